// SPDX-License-Identifier: Apache-2.0
//! Keys that want the PIN for each signature (`CKA_ALWAYS_AUTHENTICATE`), such as the one in slot 9c of a PIV card.
//!
//! Spec: PKCS#11 3.1 §4.9 (the attribute), §5.6.7 (`C_Login` with `CKU_CONTEXT_SPECIFIC`), §5.13 (`C_SignInit`, `C_SignUpdate`, `C_SignFinal`).
//! In scope: one signature: begin, say the PIN, give the data, end. Out of scope: where the PIN is, and that a wrong one is tried once ([`super::pin`]).
//!
//! The PIN is said between the beginning of a signature and its end, so the signature is made in parts. The standard knows parts for the mechanisms
//! that hash the message themselves: where the token has one, it gets the message. Where it has none, or only a digest is at hand, the one that
//! signs digests is tried in parts: the modules of PIV cards (YKCS11, OpenSC) keep the parts until the end, others refuse, and their answer is told.
//! Invariants: between PIN and signature nobody else signs through the same module, because cards forget the PIN at the next command; a
//! signature that was refused after the PIN was right is not tried again by itself.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use cryptoki::slot::Slot;
use touchmark_keys::{HashAlgorithm, KeyFamily, PublicKey};

use super::Pkcs11Problem;
use super::pin;
use super::token::{Asked, KeyPlace, of_digest};

/// What the token of such a key can do.
pub(super) struct Attended {
    context: Pkcs11,
    slot: Slot,
    public: PublicKey,
    /// Whether the token hashes messages itself.
    can_hash: bool,
}

/// Who may sign through a module now: any number of keys, or one that the PIN was just said for.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<RwLock<()>>);

impl Turns {
    pub(super) fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn beside_others(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attended {
    pub(super) fn look(context: &Pkcs11, slot: Slot, public: &PublicKey) -> Result<Self, Pkcs11Problem> {
        let offered: Vec<MechanismType> = context.get_mechanism_list(slot)?;
        let can_hash = hashing(public).is_some_and(|mechanism| offered.contains(&mechanism.mechanism_type()));
        Ok(Self { context: context.clone(), slot, public: public.clone(), can_hash })
    }

    /// Signs once. What fails leaves an operation in the session, which the caller closes.
    pub(super) fn sign(
        &self,
        place: &KeyPlace,
        session: &Session,
        private: ObjectHandle,
        asked: &Asked,
    ) -> Result<Vec<u8>, Pkcs11Problem> {
        let hashing = hashing(&self.public).filter(|_| self.can_hash);
        let (mechanism, data) = match (asked, hashing) {
            (Asked::Message(message), Some(hashing)) => (hashing, message.clone()),
            _ => of_digest(&self.public, asked)?,
        };
        session.sign_init(&mechanism, private)?;
        let refused = |problem| pin::after_refusal(problem, self.context.get_token_info(self.slot).ok().as_ref());
        place.log_in_for_signature(session).map_err(refused)?;
        session.sign_update(&data).and_then(|()| session.sign_final()).map_err(after_the_pin)
    }
}

/// The mechanism of the key's scheme that hashes.
fn hashing(public: &PublicKey) -> Option<Mechanism<'static>> {
    match (public.key_type().family(), public.default_scheme().hash()?) {
        (KeyFamily::Ecdsa, HashAlgorithm::Sha256) => Some(Mechanism::EcdsaSha256),
        (KeyFamily::Ecdsa, HashAlgorithm::Sha384) => Some(Mechanism::EcdsaSha384),
        (KeyFamily::Ecdsa, HashAlgorithm::Sha512) => Some(Mechanism::EcdsaSha512),
        (KeyFamily::Rsa, HashAlgorithm::Sha256) => Some(Mechanism::Sha256RsaPkcs),
        _ => None,
    }
}

/// What an answer means once the PIN was right.
fn after_the_pin(error: Error) -> Pkcs11Problem {
    match error {
        // What a YubiKey's module answers when nobody touched it in time.
        Error::Pkcs11(RvError::UserNotLoggedIn | RvError::FunctionCanceled | RvError::FunctionRejected, _) => {
            Pkcs11Problem::NotTouched
        }
        Error::Pkcs11(
            code @ (RvError::OperationNotInitialized | RvError::FunctionNotSupported | RvError::MechanismInvalid),
            function,
        ) => Pkcs11Problem::NotInParts { function: format!("C_{function:?}"), code: format!("{code:?}") },
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn a_refusal_after_the_pin_is_not_tried_again_by_itself() {
        let says = |code, function| after_the_pin(Error::Pkcs11(code, function));
        assert_eq!(says(RvError::UserNotLoggedIn, Function::SignFinal), Pkcs11Problem::NotTouched);
        assert_eq!(says(RvError::FunctionCanceled, Function::SignFinal), Pkcs11Problem::NotTouched);
        let not_in_parts = says(RvError::OperationNotInitialized, Function::SignUpdate);
        assert!(matches!(&not_in_parts, Pkcs11Problem::NotInParts { function, .. } if function == "C_SignUpdate"));
        assert!(!not_in_parts.may_pass() && !Pkcs11Problem::NotTouched.may_pass());
        assert!(says(RvError::DeviceRemoved, Function::SignFinal).may_pass());
    }
}
