// SPDX-License-Identifier: Apache-2.0
//! From a token to the principal that one configured issuer vouches for.
//!
//! OpenID Connect Core 1.0 §3.1.3.7, in the order in which nothing unverified is acted on except `iss`, and that only to choose
//! among the configured issuers.
//!
//! In scope: the order of the checks. Out of scope: each check (`token`, `claims`, `issuers`, `issuer_keys`, `identity`).
//! Invariant: an [`Authenticated`] exists only for a token whose signature, audience and times were checked.

use std::sync::Arc;

use touchmark_sigstore::principal::Principal;

use super::authorize::AuthorizationRules;
use super::claims::Claims;
use super::config::Reuse;
use super::identity;
use super::issuers::{Issuer, Issuers};
use super::replay::{SignedPart, UsedTokens};
use super::token::{Token, TokenError};

/// Who asks, and by which entry of the configuration he is judged.
pub(super) struct Authenticated {
    pub(super) principal: Principal,
    pub(super) claims: Claims,
    issuer: Arc<Issuer>,
    used: Arc<UsedTokens>,
    signed: SignedPart,
}

impl Authenticated {
    pub(super) fn rules(&self) -> &AuthorizationRules {
        &self.issuer.config.rules
    }

    /// The URL or the pattern of the configuration's entry.
    pub(super) fn entry(&self) -> String {
        self.issuer.config.url.to_string()
    }

    /// Where tokens may be used once, this was the time. Of two requests at once one is refused. `now_ms` is the time of this call.
    pub(super) fn use_token_up(&self, now_ms: u64) -> Result<(), TokenError> {
        match self.issuer.config.limits.reuse {
            Reuse::Refused => {
                self.used.use_up(&self.issuer.url, &self.signed, self.claims.expires_at_s()?, seconds(now_ms))
            }
            Reuse::Allowed => Ok(()),
        }
    }

    /// It has brought no certificate after all.
    pub(super) fn give_token_back(&self) {
        if let Ok(expires_s) = self.claims.expires_at_s() {
            self.used.give_back(&self.issuer.url, &self.signed, expires_s);
        }
    }
}

impl Issuers {
    /// `now_ms` is the time at which the request arrived.
    pub(super) async fn authenticate(&self, token: &str, now_ms: u64) -> Result<Authenticated, TokenError> {
        // 1. The token's shape, within its limits.
        let token = Token::parse(token)?;
        // 2. Its issuer is one of ours, letter for letter or by a pattern.
        let issuer = self.find(token.claims.text("iss")?)?;
        // 3. That issuer signed it.
        let _signature = issuer.keys.verify(&token).await?;
        // 4. It is for us, and now, and not too old.
        let now_s = seconds(now_ms);
        token.claims.check_audience_and_time(&issuer.config.client_id, now_s)?;
        if let Some(age_max) = issuer.config.limits.age_max {
            token.claims.check_age(age_max, now_s)?;
        }
        // 5. It names somebody in the way of its issuer's type.
        let principal = identity::principal(&issuer.config, &issuer.url, &token.claims)?;
        let (signed, used) = (SignedPart::of(token.signing_input), Arc::clone(&self.used));
        Ok(Authenticated { principal, signed, used, issuer, claims: token.claims })
    }
}

/// Exact for every millisecond of the next 285,000 years.
#[expect(clippy::cast_precision_loss, reason = "a double counts milliseconds exactly up to 2^53")]
pub(super) fn seconds(now_ms: u64) -> f64 {
    now_ms as f64 / 1000.0
}
