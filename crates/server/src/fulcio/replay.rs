// SPDX-License-Identifier: Apache-2.0
//! Tokens that were used, for issuers whose tokens may be used once.
//!
//! RFC 7519 §4.1.7 (`jti`) names a token; what is remembered here is the hash of what its issuer signed, which no issuer can leave out.
//!
//! In scope: the memory of one process. Out of scope: several processes behind one address: each has its own, so a token can be used once in each;
//! restarts, which forget.
//! Invariants: a token is remembered until it has expired; at most [`TOKENS_MAX`] are, and when that many are, none is accepted rather than one
//! forgotten.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use touchmark_keys::sha256;

use super::token::TokenError;

/// How many tokens of one issuer are remembered: 40 bytes each, and at the most some 200 a second for tokens of ten minutes.
pub(super) const TOKENS_MAX: usize = 1 << 17;

/// The hash of what a token's issuer signed.
pub(super) struct SignedPart([u8; 32]);

impl SignedPart {
    pub(super) fn of(signing_input: &str) -> Self {
        Self(sha256(signing_input.as_bytes()))
    }
}

#[derive(Default)]
pub(super) struct UsedTokens(Mutex<Used>);

#[derive(Default)]
struct Used {
    hashes: HashSet<[u8; 32]>,
    /// By the second in which each expires.
    by_end: BTreeSet<(u64, [u8; 32])>,
}

impl UsedTokens {
    /// Uses the token up. `signed` is what its issuer signed; the signature itself can have more than one form.
    pub(super) fn use_up(&self, signed: &SignedPart, expires_s: f64, now_s: f64) -> Result<(), TokenError> {
        let hash = signed.0;
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = whole(now_s);
        while let Some((end, expired)) = used.by_end.first().copied().filter(|(end, _)| *end <= now) {
            used.by_end.remove(&(end, expired));
            used.hashes.remove(&expired);
        }
        if used.hashes.contains(&hash) {
            return Err(TokenError::Replayed);
        }
        if used.hashes.len() >= TOKENS_MAX {
            return Err(TokenError::MemoryFull);
        }
        used.hashes.insert(hash);
        used.by_end.insert((whole(expires_s).saturating_add(1), hash));
        Ok(())
    }
}

/// Whole seconds; times before the epoch or beyond 2^53 do not come here.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "claims bounds them to 0..=2^53")]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_once_until_it_has_expired() {
        let used = UsedTokens::default();
        assert_eq!(used.use_up(&SignedPart::of("one"), 160.5, 100.0), Ok(()));
        assert_eq!(used.use_up(&SignedPart::of("one"), 160.5, 100.0), Err(TokenError::Replayed));
        assert_eq!(used.use_up(&SignedPart::of("two"), 160.5, 101.0), Ok(()));
        assert_eq!(used.use_up(&SignedPart::of("one"), 160.5, 160.4), Err(TokenError::Replayed));
        // Expired: it is refused for that before it comes here.
        assert_eq!(used.use_up(&SignedPart::of("three"), 300.0, 162.0), Ok(()));
        assert_eq!(used.0.lock().unwrap().hashes.len(), 1);
        assert_eq!(used.0.lock().unwrap().by_end.len(), 1);
    }

    #[test]
    fn when_the_memory_is_full_nobody_is_forgotten() {
        let used = UsedTokens::default();
        for count in 0..TOKENS_MAX {
            used.use_up(&SignedPart::of(&count.to_string()), 200.0, 100.0).unwrap();
        }
        assert_eq!(used.use_up(&SignedPart::of("one more"), 200.0, 100.0), Err(TokenError::MemoryFull));
        assert_eq!(used.use_up(&SignedPart::of("0"), 200.0, 100.0), Err(TokenError::Replayed));
        assert_eq!(used.use_up(&SignedPart::of("one more"), 300.0, 202.0), Ok(()));
    }
}
