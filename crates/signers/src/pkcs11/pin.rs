// SPDX-License-Identifier: Apache-2.0
//! The user's PIN: where it is read, and that a wrong one is tried once.
//!
//! Spec: PKCS#11 3.1 §5.6.7 (`C_Login`), §3.2 (token flags).
//! In scope: PINs of files and environment variables, what a token's refusal means. Out of scope: PIN pads.
//! Invariants: a PIN is wiped after use; one that the token refused is not tried again before it is another, because tokens lock after some
//! tries, and a service would use them up within a second.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use cryptoki::error::{Error, RvError};
use cryptoki::slot::TokenInfo;
use touchmark_keys::sha256;
use zeroize::Zeroizing;

use super::Pkcs11Problem;
use super::uri::PinSource;
use crate::file::read_private;

/// Longest PIN: PKCS#11 knows no limit, tokens allow at most 255 bytes.
const PIN_BYTES_MAX: u64 = 255;

/// How many tries a token says that the user has left. Many say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriesLeft {
    Unsaid,
    /// `CKF_USER_PIN_COUNT_LOW`: at least one was wrong since the last that was right.
    Few,
    /// `CKF_USER_PIN_FINAL_TRY`.
    Last,
}

impl fmt::Display for TriesLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsaid => "",
            Self::Few => "; the token says that few are left",
            Self::Last => {
                "; the token says that one is left: if that is wrong, too, only its security officer can unlock it"
            }
        })
    }
}

/// What a refusal means, by what the token says of itself after it; `None` where it does not answer.
pub(super) fn after_refusal(problem: Pkcs11Problem, token: Option<&TokenInfo>) -> Pkcs11Problem {
    match (problem, token) {
        (Pkcs11Problem::PinRefused { .. }, Some(token)) if token.user_pin_locked() => Pkcs11Problem::PinLocked,
        (Pkcs11Problem::PinRefused { .. }, Some(token)) if token.user_pin_final_try() => {
            Pkcs11Problem::PinRefused { tries_left: TriesLeft::Last }
        }
        (Pkcs11Problem::PinRefused { .. }, Some(token)) if token.user_pin_count_low() => {
            Pkcs11Problem::PinRefused { tries_left: TriesLeft::Few }
        }
        (problem, _) => problem,
    }
}

/// SHA-256 of the PIN that a token refused last.
#[derive(Default)]
pub(super) struct RefusedPin(Mutex<Option<[u8; 32]>>);

impl RefusedPin {
    /// Tries `login` with the PIN, unless the token has refused it before. One caller at a time.
    pub(super) fn log_in(
        &self,
        pin: &[u8],
        login: impl FnOnce(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Pkcs11Problem> {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *refused == Some(sha256(pin)) {
            return Err(Pkcs11Problem::PinRefused { tries_left: TriesLeft::Unsaid });
        }
        let problem = match login(pin) {
            // All sessions with a token share one login.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                *refused = None;
                return Ok(());
            }
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                Pkcs11Problem::PinRefused { tries_left: TriesLeft::Unsaid }
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Pkcs11Problem::PinLocked,
            Err(error) => return Err(error.into()),
        };
        *refused = Some(sha256(pin));
        Err(problem)
    }
}

/// The PIN of now, without its final line end.
pub(super) fn read(source: &PinSource) -> Result<Zeroizing<Vec<u8>>, Pkcs11Problem> {
    let mut pin = match source {
        PinSource::File(path) => {
            let text = read_private(path, PIN_BYTES_MAX).map_err(|error| Pkcs11Problem::PinFile(Box::new(error)))?;
            Zeroizing::new(text.as_bytes().to_vec())
        }
        PinSource::Environment(name) => {
            let value = std::env::var(name).map_err(|_| Pkcs11Problem::PinVariable { name: name.clone() })?;
            Zeroizing::new(value.into_bytes())
        }
    };
    if pin.last() == Some(&b'\n') {
        pin.pop();
        if pin.last() == Some(&b'\r') {
            pin.pop();
        }
    }
    Ok(pin)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::fs::PermissionsExt;

    use cryptoki::context::Function;

    use super::*;
    use crate::SignerError;

    const REFUSED: Pkcs11Problem = Pkcs11Problem::PinRefused { tries_left: TriesLeft::Unsaid };

    fn says(code: RvError) -> Result<(), Error> {
        Err(Error::Pkcs11(code, Function::Login))
    }

    #[test]
    fn a_refused_pin_is_tried_once_and_another_is_tried() {
        for (code, expect) in [
            (RvError::PinIncorrect, REFUSED),
            (RvError::PinLenRange, REFUSED),
            (RvError::PinLocked, Pkcs11Problem::PinLocked),
        ] {
            let (pin, tries) = (RefusedPin::default(), Cell::new(0));
            let try_with = |text: &[u8], answer: Result<(), Error>| {
                pin.log_in(text, |_| {
                    tries.set(tries.get() + 1);
                    answer
                })
            };
            assert_eq!(try_with(b"wrong", says(code)), Err(expect));
            for _ in 0..10 {
                assert_eq!(try_with(b"wrong", Ok(())), Err(REFUSED));
            }
            assert_eq!(tries.get(), 1);
            assert_eq!(try_with(b"right", Ok(())), Ok(()));
            assert_eq!(try_with(b"right", says(RvError::UserAlreadyLoggedIn)), Ok(()));
            assert_eq!(tries.get(), 3);
        }
    }

    #[test]
    fn a_token_that_is_away_refuses_no_pin() {
        let pin = RefusedPin::default();
        for _ in 0..2 {
            let problem = pin.log_in(b"right", |_| says(RvError::DeviceRemoved)).unwrap_err();
            assert!(problem.may_pass(), "{problem}");
        }
        assert_eq!(pin.log_in(b"right", |_| Ok(())), Ok(()));
    }

    #[test]
    fn a_pin_is_the_content_of_a_file_that_nobody_else_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        let read_with = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read(&PinSource::File(path.clone())).map(|pin| pin.to_vec())
        };
        for (text, pin) in [("5678", "5678"), ("5678\n", "5678"), ("56 78\r\n", "56 78"), ("5678\n\n", "5678\n")] {
            assert_eq!(read_with(text, 0o600), Ok(pin.as_bytes().to_vec()));
        }
        let refused = |error| Err(Pkcs11Problem::PinFile(Box::new(error)));
        let error = SignerError::LoosePermissions { path: path.clone(), mode: 0o640 };
        assert_eq!(read_with("5678", 0o640), refused(error));
        let error = SignerError::TooLong { path: path.clone(), bytes_max: PIN_BYTES_MAX };
        assert_eq!(read_with(&"5".repeat(256), 0o600), refused(error));
        let unset = "TOUCHMARK_TEST_NO_SUCH_PIN";
        let expect = Err(Pkcs11Problem::PinVariable { name: unset.to_owned() });
        assert_eq!(read(&PinSource::Environment(unset.to_owned())).map(|pin| pin.to_vec()), expect);
    }
}
