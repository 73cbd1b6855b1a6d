// SPDX-License-Identifier: Apache-2.0
//! From a token to the principal that one configured issuer vouches for.
//!
//! OpenID Connect Core 1.0 §3.1.3.7, in the order in which nothing unverified is acted on except `iss`, and that only to choose
//! among the configured issuers.
//!
//! In scope: the order of the checks. Out of scope: each check (`token`, `issuer_keys`, `identity`).
//! Invariant: an [`Authenticated`] exists only for a token whose signature, audience and times were checked.

use std::collections::HashMap;
use std::sync::Arc;

use touchmark_sequencer::Clock;
use touchmark_sigstore::principal::Principal;

use super::authorize::AuthorizationRule;
use super::config::IssuerConfig;
use super::identity;
use super::issuer_keys::IssuerKeys;
use super::token::{Token, TokenError};
use crate::deps::WaysOut;

/// The issuers whose tokens are accepted, by their exact URL.
pub(super) struct Issuers(HashMap<String, IssuerKeys>);

/// Who asks, and by which issuer's rule he is judged.
pub(super) struct Authenticated {
    pub(super) principal: Principal,
    pub(super) rule: AuthorizationRule,
}

impl Issuers {
    /// Each issuer is asked with the reach of its own transport, whatever the others have.
    pub(super) fn new(configs: &[IssuerConfig], ways_out: &WaysOut, clock: &Arc<dyn Clock>) -> Self {
        let keys_of = |config: &IssuerConfig| {
            let outbound = ways_out.reaching(config.transport.reach()).clone();
            IssuerKeys::new(config.clone(), outbound, Arc::clone(clock))
        };
        Self(configs.iter().map(|config| (config.url.clone(), keys_of(config))).collect())
    }

    /// `now_ms` is the time at which the request arrived.
    pub(super) async fn authenticate(&self, token: &str, now_ms: u64) -> Result<Authenticated, TokenError> {
        // 1. The token's shape, within its limits.
        let token = Token::parse(token)?;
        // 2. Its issuer is one of ours, letter for letter.
        let issuer = self.0.get(token.claims.text("iss")?).ok_or(TokenError::IssuerUnknown)?;
        // 3. That issuer signed it.
        let _signature = issuer.verify(&token).await?;
        // 4. It is for us, and now.
        token.claims.check_audience_and_time(&issuer.config().client_id, seconds(now_ms))?;
        // 5. It names somebody in the way of its issuer's type.
        let principal = identity::principal(issuer.config(), &token.claims)?;
        Ok(Authenticated { principal, rule: issuer.config().rule.clone() })
    }
}

/// Exact for every millisecond of the next 285,000 years.
#[expect(clippy::cast_precision_loss, reason = "a double counts milliseconds exactly up to 2^53")]
fn seconds(now_ms: u64) -> f64 {
    now_ms as f64 / 1000.0
}
