// SPDX-License-Identifier: Apache-2.0
//! Authorization codes between login and token endpoint.
//!
//! RFC 6749 §4.1.2 (short-lived, single use, bound to client and redirect URI), RFC 7636 §4.6 (PKCE).
//!
//! In scope: keeping codes, in memory. Out of scope: the forms that make and spend them (`login`, `exchange`).
//! Invariants: at most [`CODES_MAX`] codes are kept; a code that was shown once is gone, whether or not the exchange succeeded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use touchmark_keys::{random, sha256};

/// RFC 6749 §4.1.2 recommends ten minutes at most; a client on the same machine needs a second.
pub(super) const CODE_LIFETIME_MS: u64 = 60 * 1000;
/// More logins than anyone tries out in a minute.
const CODES_MAX: usize = 1024;

/// What a login decided, waiting to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) email: String,
    pub(super) nonce: Option<String>,
    pub(super) redirect_uri: String,
    /// base64url of the SHA-256 of the verifier.
    pub(super) code_challenge: String,
}

#[derive(Default)]
pub(super) struct Codes(Mutex<HashMap<String, (Grant, u64)>>);

impl Codes {
    /// `None` if too many logins are waiting.
    pub(super) fn issue(&self, grant: Grant, now_ms: u64) -> Option<String> {
        let mut bytes = [0; 32];
        random(&mut bytes);
        let code = URL_SAFE_NO_PAD.encode(bytes);
        // Nothing panics while the lock is held.
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, (_, expires_ms)| *expires_ms > now_ms);
        if codes.len() >= CODES_MAX {
            return None;
        }
        codes.insert(code.clone(), (grant, now_ms.saturating_add(CODE_LIFETIME_MS)));
        Some(code)
    }

    /// The grant, if the code is known, in time, and asked for by whoever began the login. The code is spent in any case.
    pub(super) fn redeem(&self, code: &str, redirect_uri: &str, verifier: &str, now_ms: u64) -> Option<Grant> {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (grant, expires_ms) = codes.remove(code)?;
        let right = expires_ms > now_ms && grant.redirect_uri == redirect_uri && fits(verifier, &grant.code_challenge);
        right.then_some(grant)
    }
}

/// RFC 7636 §4.6. The challenge is no secret, so the comparison need not take constant time.
fn fits(verifier: &str, challenge: &str) -> bool {
    is_verifier(verifier) && URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes())) == challenge
}

/// RFC 7636 §4.1: 43 to 128 unreserved characters.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn grant() -> Grant {
        Grant {
            email: "alice@example.com".to_owned(),
            nonce: None,
            redirect_uri: "http://localhost:1/cb".to_owned(),
            code_challenge: CHALLENGE.to_owned(),
        }
    }

    #[test]
    fn the_example_of_rfc_7636_appendix_b_is_redeemed_once() {
        let codes = Codes::default();
        let code = codes.issue(grant(), 0).unwrap();
        assert_eq!(codes.redeem(&code, "http://localhost:1/cb", VERIFIER, 1), Some(grant()));
        assert_eq!(codes.redeem(&code, "http://localhost:1/cb", VERIFIER, 1), None);
    }

    #[test]
    fn a_code_is_spent_by_any_try_and_bound_to_uri_verifier_and_time() {
        let codes = Codes::default();
        for (redirect_uri, verifier, now_ms) in [
            ("http://localhost:2/cb", VERIFIER, 1),
            ("http://localhost:1/cb", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXj", 1),
            ("http://localhost:1/cb", "", 1),
            ("http://localhost:1/cb", CHALLENGE, 1),
            ("http://localhost:1/cb", VERIFIER, CODE_LIFETIME_MS),
        ] {
            let code = codes.issue(grant(), 0).unwrap();
            assert_eq!(codes.redeem(&code, redirect_uri, verifier, now_ms), None);
            assert_eq!(codes.redeem(&code, "http://localhost:1/cb", VERIFIER, 1), None);
        }
    }

    #[test]
    fn waiting_codes_are_bounded_and_make_room_when_they_expire() {
        let codes = Codes::default();
        for _ in 0..CODES_MAX {
            assert!(codes.issue(grant(), 0).is_some());
        }
        assert_eq!(codes.issue(grant(), 1), None);
        assert!(codes.issue(grant(), CODE_LIFETIME_MS).is_some());
    }
}
