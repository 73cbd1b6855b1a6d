// SPDX-License-Identifier: Apache-2.0
//! Tokens that were used, for issuers whose tokens may be used once.
//!
//! RFC 7519 §4.1.7 (`jti`) names a token; what is remembered here is the hash of what its issuer signed, which no issuer can leave out.
//!
//! In scope: the memory of one process. Out of scope: several processes behind one address: each has its own, so a token can be used once in each;
//! restarts, which forget.
//! Invariants: a token is remembered until it has expired, whatever becomes of its issuer's entry; at most [`TOKENS_MAX`] are for each issuer, and
//! when that many are, none is accepted rather than one forgotten.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use touchmark_keys::sha256;

use super::token::TokenError;

/// How many tokens of one issuer are remembered: 40 bytes each, and at the most some 200 a second for tokens of ten minutes.
pub(super) const TOKENS_MAX: usize = 1 << 17;
/// Of how many issuers: more than there are entries and issuers of patterns that were met.
pub(super) const ISSUERS_MAX: usize = 4096;

/// The hash of what a token's issuer signed.
pub(super) struct SignedPart([u8; 32]);

impl SignedPart {
    pub(super) fn of(signing_input: &str) -> Self {
        Self(sha256(signing_input.as_bytes()))
    }
}

/// By the URL of the issuer. It outlives every change of the configuration: an entry that is taken away and comes back finds what was used.
#[derive(Default)]
pub(super) struct UsedTokens(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    of_issuers: HashMap<String, Used>,
    /// The latest second by which anything was forgotten: what a clock says later and earlier than that is no time to come back.
    latest: u64,
}

#[derive(Default)]
struct Used {
    hashes: HashSet<[u8; 32]>,
    /// By the second in which each expires.
    by_end: BTreeSet<(u64, [u8; 32])>,
}

impl UsedTokens {
    /// Uses the token up. `signed` is what its issuer signed; the signature itself can have more than one form. `now_s` is the time of this call, not
    /// that of the request's arrival: what was remembered for a token that has expired meanwhile is forgotten.
    pub(super) fn use_up(
        &self,
        issuer: &str,
        signed: &SignedPart,
        expires_s: f64,
        now_s: f64,
    ) -> Result<(), TokenError> {
        let hash = signed.0;
        let mut memory = self.memory();
        let now = whole(now_s).max(memory.latest);
        memory.latest = now;
        let end = end_of(expires_s);
        if end <= now {
            return Err(TokenError::Expired);
        }
        if !memory.of_issuers.contains_key(issuer) {
            memory.of_issuers.retain(|_, used| !used.forget_expired(now).hashes.is_empty());
            if memory.of_issuers.len() >= ISSUERS_MAX {
                return Err(TokenError::MemoryFull);
            }
        }
        let used = memory.of_issuers.entry(issuer.to_owned()).or_default().forget_expired(now);
        if used.hashes.contains(&hash) {
            return Err(TokenError::Replayed);
        }
        if used.hashes.len() >= TOKENS_MAX {
            return Err(TokenError::MemoryFull);
        }
        used.hashes.insert(hash);
        used.by_end.insert((end, hash));
        Ok(())
    }

    /// The token has brought nothing, and may be used again.
    pub(super) fn give_back(&self, issuer: &str, signed: &SignedPart, expires_s: f64) {
        if let Some(used) = self.memory().of_issuers.get_mut(issuer) {
            used.hashes.remove(&signed.0);
            used.by_end.remove(&(end_of(expires_s), signed.0));
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn forget_expired(&mut self, now: u64) -> &mut Self {
        while let Some((end, expired)) = self.by_end.first().copied().filter(|(end, _)| *end <= now) {
            self.by_end.remove(&(end, expired));
            self.hashes.remove(&expired);
        }
        self
    }
}

/// The first whole second in which the token has expired.
fn end_of(expires_s: f64) -> u64 {
    whole(expires_s).saturating_add(1)
}

/// Whole seconds; times before the epoch or beyond 2^53 do not come here.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "claims bounds them to 0..=2^53")]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://issuer.example";

    #[test]
    fn a_token_is_used_once_until_it_has_expired() {
        let used = UsedTokens::default();
        let use_up = |token: &str, expires_s, now_s| used.use_up(ISSUER, &SignedPart::of(token), expires_s, now_s);
        assert_eq!(use_up("one", 160.5, 100.0), Ok(()));
        assert_eq!(use_up("one", 160.5, 100.0), Err(TokenError::Replayed));
        assert_eq!(use_up("two", 160.5, 101.0), Ok(()));
        assert_eq!(use_up("one", 160.5, 160.4), Err(TokenError::Replayed));
        assert_eq!(use_up("three", 300.0, 162.0), Ok(()));
        assert_eq!(used.memory().of_issuers[ISSUER].hashes.len(), 1);
        assert_eq!(used.memory().of_issuers[ISSUER].by_end.len(), 1);
        // Forgotten, because it has expired: not even somebody who read the clock before comes back with it.
        assert_eq!(use_up("one", 160.5, 162.0), Err(TokenError::Expired));
        assert_eq!(use_up("one", 160.5, 160.0), Err(TokenError::Expired));
    }

    #[test]
    fn a_token_that_brought_nothing_is_given_back_and_no_other() {
        let used = UsedTokens::default();
        let (one, two) = (SignedPart::of("one"), SignedPart::of("two"));
        used.use_up(ISSUER, &one, 200.0, 100.0).unwrap();
        used.use_up(ISSUER, &two, 200.0, 100.0).unwrap();
        used.give_back(ISSUER, &one, 200.0);
        assert_eq!(used.use_up(ISSUER, &two, 200.0, 100.0), Err(TokenError::Replayed));
        assert_eq!(used.use_up(ISSUER, &one, 200.0, 100.0), Ok(()));
        assert_eq!(used.memory().of_issuers[ISSUER].by_end.len(), 2);
    }

    #[test]
    fn issuers_are_apart_and_those_without_a_token_that_lasts_are_forgotten() {
        let used = UsedTokens::default();
        let token = SignedPart::of("one");
        for count in 0..ISSUERS_MAX {
            used.use_up(&count.to_string(), &token, 200.0, 100.0).unwrap();
        }
        assert_eq!(used.use_up("one more", &token, 200.0, 100.0), Err(TokenError::MemoryFull));
        assert_eq!(used.use_up("0", &token, 200.0, 100.0), Err(TokenError::Replayed));
        assert_eq!(used.use_up("one more", &token, 300.0, 202.0), Ok(()));
        assert_eq!(used.memory().of_issuers.len(), 1);
    }

    #[test]
    fn when_the_memory_is_full_nobody_is_forgotten() {
        let used = UsedTokens::default();
        let use_up = |token: &str, expires_s, now_s| used.use_up(ISSUER, &SignedPart::of(token), expires_s, now_s);
        for count in 0..TOKENS_MAX {
            use_up(&count.to_string(), 200.0, 100.0).unwrap();
        }
        assert_eq!(use_up("one more", 200.0, 100.0), Err(TokenError::MemoryFull));
        assert_eq!(use_up("0", 200.0, 100.0), Err(TokenError::Replayed));
        assert_eq!(use_up("one more", 300.0, 202.0), Ok(()));
    }
}
