// SPDX-License-Identifier: Apache-2.0
//! The issuers whose tokens are accepted: by their exact URL, or by a pattern that many fit.
//!
//! In scope: which entry of the configuration a token's `iss` belongs to, how many issuers of a pattern are known at once, and what of them is kept
//! when another configuration takes over. Out of scope: their keys (`issuer_keys`), what a token says (`claims`).
//! Invariants: an exact entry goes before a pattern, and no URL fits two patterns; what is kept for a pattern is bounded by
//! [`PATTERN_ISSUERS_MAX`], and new issuers of it are met at most [`NEW_ISSUERS_MAX`] times in [`NEW_ISSUERS_WINDOW_MS`], whatever tokens
//! arrive: an outgoing request is the price of each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use touchmark_sequencer::Clock;

use super::config::{IssuerConfig, IssuerUrl, KeySource};
use super::issuer_keys::IssuerKeys;
use super::pattern::IssuerPattern;
use super::replay::UsedTokens;
use super::token::TokenError;
use crate::deps::WaysOut;

/// How many issuers that fit one pattern are kept with their keys, of some KiB each.
pub(super) const PATTERN_ISSUERS_MAX: usize = 512;
/// How many issuers that were not known before one pattern may bring within the window.
pub(super) const NEW_ISSUERS_MAX: u32 = 32;
pub(super) const NEW_ISSUERS_WINDOW_MS: u64 = 60 * 1000;

/// One issuer, as its tokens name it.
pub(super) struct Issuer {
    pub(super) url: String,
    pub(super) config: Arc<IssuerConfig>,
    pub(super) keys: IssuerKeys,
}

#[derive(Default)]
pub(super) struct Issuers {
    exact: HashMap<String, Arc<Issuer>>,
    patterns: Vec<Arc<PatternIssuers>>,
    /// Of all that there are and were.
    pub(super) used: Arc<UsedTokens>,
}

/// The issuers of one pattern, as far as they were met.
struct PatternIssuers {
    pattern: IssuerPattern,
    config: Arc<IssuerConfig>,
    ways_out: WaysOut,
    clock: Arc<dyn Clock>,
    met: Mutex<Met>,
}

#[derive(Default)]
struct Met {
    /// With the time of the last token.
    issuers: HashMap<String, (Arc<Issuer>, u64)>,
    window_began_ms: u64,
    new_in_window: u32,
}

impl Issuers {
    /// Each issuer is asked with the reach of its own transport and the CAs of its own entry, whatever the others have.
    pub(super) fn new(configs: &[Arc<IssuerConfig>], ways_out: &WaysOut, clock: &Arc<dyn Clock>) -> Self {
        Self::default().succeeded_by(configs, ways_out, clock)
    }

    /// The issuers of another configuration. Those whose entry is the same are the same, with their keys; a token that was used up here is used up
    /// there.
    pub(super) fn succeeded_by(
        &self,
        configs: &[Arc<IssuerConfig>],
        ways_out: &WaysOut,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let mut next = Self { used: Arc::clone(&self.used), ..Self::default() };
        for config in configs {
            match &config.url {
                IssuerUrl::Exact(url) => {
                    let same = self.exact.get(url).filter(|issuer| issuer.config == *config);
                    let issuer = same.cloned();
                    let issuer = issuer.unwrap_or_else(|| Arc::new(Issuer::new(url, config, ways_out, clock)));
                    next.exact.insert(url.clone(), issuer);
                }
                IssuerUrl::Pattern(pattern) => {
                    let same = self.patterns.iter().find(|entry| entry.config == *config);
                    let entry = same.cloned();
                    let entry =
                        entry.unwrap_or_else(|| Arc::new(PatternIssuers::new(pattern, config, ways_out, clock)));
                    next.patterns.push(entry);
                }
            }
        }
        next
    }

    /// The issuer that a token names. The text is the token's, and nothing but the comparison with the configuration has been done with it.
    pub(super) fn find(&self, iss: &str) -> Result<Arc<Issuer>, TokenError> {
        if let Some(issuer) = self.exact.get(iss) {
            return Ok(Arc::clone(issuer));
        }
        let pattern = self.patterns.iter().find(|entry| entry.pattern.fits(iss)).ok_or(TokenError::IssuerUnknown)?;
        pattern.meet(iss)
    }
}

impl Issuer {
    fn new(url: &str, config: &Arc<IssuerConfig>, ways_out: &WaysOut, clock: &Arc<dyn Clock>) -> Self {
        let reach = config.transport.reach();
        let outbound = match &config.keys {
            KeySource::Issuer { ca_pem: Some(pem), .. } => ways_out.trusting(reach, pem),
            KeySource::Issuer { ca_pem: None, .. } | KeySource::Pinned(_) => ways_out.reaching(reach).clone(),
        };
        Self {
            url: url.to_owned(),
            config: Arc::clone(config),
            keys: IssuerKeys::new(url, config, outbound, Arc::clone(clock)),
        }
    }
}

impl PatternIssuers {
    fn new(pattern: &IssuerPattern, config: &Arc<IssuerConfig>, ways_out: &WaysOut, clock: &Arc<dyn Clock>) -> Self {
        Self {
            pattern: pattern.clone(),
            config: Arc::clone(config),
            ways_out: ways_out.clone(),
            clock: Arc::clone(clock),
            met: Mutex::default(),
        }
    }

    fn meet(&self, url: &str) -> Result<Arc<Issuer>, TokenError> {
        let now_ms = self.clock.now_ms();
        let mut met = self.met();
        if let Some((issuer, last_ms)) = met.issuers.get_mut(url) {
            *last_ms = now_ms;
            return Ok(Arc::clone(issuer));
        }
        if now_ms.abs_diff(met.window_began_ms) >= NEW_ISSUERS_WINDOW_MS {
            (met.window_began_ms, met.new_in_window) = (now_ms, 0);
        }
        if met.new_in_window >= NEW_ISSUERS_MAX {
            tracing::warn!(pattern = %self.pattern, "too many issuers of a pattern that were not known before");
            return Err(TokenError::IssuerUnreachable);
        }
        met.new_in_window += 1;
        if met.issuers.len() >= PATTERN_ISSUERS_MAX {
            met.forget_one();
        }
        let issuer = Arc::new(Issuer::new(url, &self.config, &self.ways_out, &self.clock));
        met.issuers.insert(url.to_owned(), (Arc::clone(&issuer), now_ms));
        Ok(issuer)
    }

    fn met(&self) -> MutexGuard<'_, Met> {
        // Nothing panics while the lock is held, and every state of `Met` is a valid one.
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Met {
    /// The issuer that has shown no keys, or else the one whose last token is the oldest: names that somebody makes up do not drive out those that
    /// exist.
    fn forget_one(&mut self) {
        let least = self.issuers.iter().min_by_key(|(_, (issuer, last_ms))| (issuer.keys.has_answered(), *last_ms));
        if let Some(url) = least.map(|(url, _)| url.clone()) {
            self.issuers.remove(&url);
        }
    }
}
