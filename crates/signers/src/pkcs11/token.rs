// SPDX-License-Identifier: Apache-2.0
//! One key of one token: logging in, finding it, signing with it.
//!
//! Spec: PKCS#11 3.1 §5.6 (sessions, login), §5.7 (finding objects), §5.13 (signing), §6.1.6 (`CKM_RSA_PKCS`), §6.3.12 (`CKM_ECDSA`).
//! In scope: what happens in one session. Out of scope: the module and what happens when a session is lost ([`super::module`]).
//! Invariants: a private key is used only if exactly one object matches, and its public key is the one that was there when the signer was
//! opened.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use cryptoki::context::Pkcs11;
use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType as TokenKeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::RawAuthPin;
use touchmark_keys::{Digest, KeyError, KeyFamily, PublicKey, digest, pkcs11};

use super::Pkcs11Problem;
use super::attended::{Attended, Turns};
use super::pin::{self, RefusedPin};
use super::uri::{PinSource, Pkcs11Uri, TokenMatch};
use crate::proof::{self, Input};

/// Which key it is, and what is remembered of it between sessions.
pub(super) struct KeyPlace {
    /// Tells the sessions of this key from those of others that use the same module.
    pub(super) number: u64,
    uri: Pkcs11Uri,
    /// Set when the key is first found.
    known: OnceLock<PublicKey>,
    refused_pin: RefusedPin,
}

/// What is to be signed.
pub(super) enum Asked {
    Message(Vec<u8>),
    Digest(Digest),
}

impl Asked {
    fn input(&self) -> Input<'_> {
        match self {
            Self::Message(message) => Input::Message(message),
            Self::Digest(digest) => Input::Digest(digest),
        }
    }
}

/// A session in which the key was found.
pub(super) struct OpenKey {
    session: Session,
    private: ObjectHandle,
    pub(super) public: PublicKey,
    /// Where the key wants the PIN for each signature.
    attended: Option<Attended>,
    turns: Turns,
}

impl KeyPlace {
    pub(super) fn new(uri: Pkcs11Uri) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { number, uri, known: OnceLock::new(), refused_pin: RefusedPin::default() }
    }

    /// Opens a session, logs in and finds the key.
    pub(super) fn open(&self, context: &Pkcs11, turns: &Turns) -> Result<OpenKey, Pkcs11Problem> {
        let (slot, info) = find_token(context, &self.uri.token)?;
        let session = context.open_ro_session(slot)?;
        if let (true, Some(source)) = (info.login_required(), &self.uri.pin_source) {
            let refused = |problem| pin::after_refusal(problem, context.get_token_info(slot).ok().as_ref());
            self.log_in(&session, UserType::User, source).map_err(refused)?;
        }
        let (private, wants_pin_each_time) = self.private_key(&session)?;
        let public = self.public_key_of(&session, private)?;
        if *self.known.get_or_init(|| public.clone()) != public {
            return Err(Pkcs11Problem::KeyChanged);
        }
        let attended = match (wants_pin_each_time, &self.uri.pin_source) {
            (false, _) => None,
            (true, None) => return Err(Pkcs11Problem::PinMissing),
            (true, Some(_)) => Some(Attended::look(context, slot, &public)?),
        };
        Ok(OpenKey { session, private, public, attended, turns: turns.clone() })
    }

    fn log_in(&self, session: &Session, user: UserType, source: &PinSource) -> Result<(), Pkcs11Problem> {
        let pin = pin::read(source)?;
        let login = |pin: &[u8]| session.login_with_raw(user, &RawAuthPin::from(Box::new(pin.to_vec())));
        self.refused_pin.log_in(&pin, login)
    }

    /// Says the PIN for the one signature that was begun.
    pub(super) fn log_in_for_signature(&self, session: &Session) -> Result<(), Pkcs11Problem> {
        let source = self.uri.pin_source.as_ref().ok_or(Pkcs11Problem::PinMissing)?;
        self.log_in(session, UserType::ContextSpecific, source)
    }

    /// The key, and whether it wants the PIN for each signature.
    fn private_key(&self, session: &Session) -> Result<(ObjectHandle, bool), Pkcs11Problem> {
        let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
        template.extend(self.uri.object.clone().map(Attribute::Label));
        template.extend(self.uri.id.clone().map(Attribute::Id));
        let private = only(session, &template).map_err(|found| found.of("private keys"))?;
        let attributes = session.get_attributes(private, &[AttributeType::AlwaysAuthenticate])?;
        Ok((private, attributes.contains(&Attribute::AlwaysAuthenticate(true))))
    }

    /// The public key with the private key's `CKA_ID`; where that is empty, with the label of the URI.
    fn public_key_of(&self, session: &Session, private: ObjectHandle) -> Result<PublicKey, Pkcs11Problem> {
        let mut template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY)];
        let id =
            session.get_attributes(private, &[AttributeType::Id])?.into_iter().find_map(|attribute| match attribute {
                Attribute::Id(id) if !id.is_empty() => Some(Attribute::Id(id)),
                _ => None,
            });
        template.extend(id.or_else(|| self.uri.object.clone().map(Attribute::Label)));
        let public = only(session, &template).map_err(|found| found.of("public keys"))?;
        read_public_key(session, public)
    }
}

impl OpenKey {
    pub(super) fn is_attended(&self) -> bool {
        self.attended.is_some()
    }

    /// Signs; what comes back has been verified.
    pub(super) fn sign(&self, place: &KeyPlace, asked: &Asked) -> Result<Vec<u8>, Pkcs11Problem> {
        let (key_type, scheme) = (self.public.key_type(), self.public.default_scheme());
        let made = match &self.attended {
            Some(attended) => {
                let _alone = self.turns.alone();
                attended.sign(place, &self.session, self.private, asked)?
            }
            None => {
                let _beside_others = self.turns.beside_others();
                let (mechanism, data) = of_digest(&self.public, asked)?;
                self.session.sign(&mechanism, self.private, &data)?
            }
        };
        let signature = match key_type.family() {
            KeyFamily::Ecdsa => {
                pkcs11::ecdsa_signature_der(key_type, &made).map_err(|_| Pkcs11Problem::WrongSignature)?
            }
            _ => made,
        };
        proof::verified(&self.public, scheme, asked.input(), signature).map_err(|_| Pkcs11Problem::WrongSignature)
    }
}

/// The mechanism that signs digests, and what it is given.
pub(super) fn of_digest(public: &PublicKey, asked: &Asked) -> Result<(Mechanism<'static>, Vec<u8>), Pkcs11Problem> {
    let scheme = public.default_scheme();
    let digest = match asked {
        Asked::Message(message) => digest(proof::hash_of(scheme).map_err(Pkcs11Problem::PublicKey)?, message),
        Asked::Digest(digest) => digest.clone(),
    };
    Ok(match public.key_type().family() {
        KeyFamily::Ecdsa => (Mechanism::Ecdsa, digest.as_bytes().to_vec()),
        _ => (Mechanism::RsaPkcs, pkcs11::digest_info(&digest)),
    })
}

fn find_token(context: &Pkcs11, wanted: &TokenMatch) -> Result<(Slot, TokenInfo), Pkcs11Problem> {
    let matches = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let mut found = Vec::new();
    for slot in context.get_slots_with_token()? {
        // One that is being pulled does not hide the others.
        let Ok(info) = context.get_token_info(slot) else { continue };
        if matches(&wanted.token, info.label())
            && matches(&wanted.manufacturer, info.manufacturer_id())
            && matches(&wanted.model, info.model())
            && matches(&wanted.serial, info.serial_number())
        {
            found.push((slot, info));
        }
    }
    match <[_; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(found) if found.is_empty() => Err(Pkcs11Problem::TokenMissing),
        Err(found) => Err(Pkcs11Problem::TokenNotUnique { found: found.len() }),
    }
}

/// Why there is not exactly one object.
enum NotOne {
    Found(usize),
    Failed(Error),
}

impl NotOne {
    fn of(self, class: &'static str) -> Pkcs11Problem {
        match self {
            Self::Found(found) => Pkcs11Problem::KeyNotUnique { class, found },
            Self::Failed(error) => error.into(),
        }
    }
}

fn only(session: &Session, template: &[Attribute]) -> Result<ObjectHandle, NotOne> {
    let found = session.find_objects(template).map_err(NotOne::Failed)?;
    match found.as_slice() {
        [only] => Ok(*only),
        found => Err(NotOne::Found(found.len())),
    }
}

fn read_public_key(session: &Session, object: ObjectHandle) -> Result<PublicKey, Pkcs11Problem> {
    use AttributeType::{EcParams, EcPoint, KeyType, Modulus, PublicExponent};
    let key_type = session.get_attributes(object, &[KeyType])?;
    let read = match key_type.as_slice() {
        [Attribute::KeyType(TokenKeyType::EC)] => {
            match session.get_attributes(object, &[EcParams, EcPoint])?.as_slice() {
                [Attribute::EcParams(params), Attribute::EcPoint(point)] => pkcs11::public_key_of_point(params, point),
                _ => Err(KeyError::Malformed),
            }
        }
        [Attribute::KeyType(TokenKeyType::RSA)] => {
            match session.get_attributes(object, &[Modulus, PublicExponent])?.as_slice() {
                [Attribute::Modulus(modulus), Attribute::PublicExponent(exponent)] => {
                    pkcs11::public_key_of_modulus(modulus, exponent)
                }
                _ => Err(KeyError::Malformed),
            }
        }
        _ => return Err(Pkcs11Problem::KeyKind),
    };
    read.map_err(Pkcs11Problem::PublicKey)
}
