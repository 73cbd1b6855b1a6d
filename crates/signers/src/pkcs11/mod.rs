// SPDX-License-Identifier: Apache-2.0
//! A signer whose key is in a token that speaks PKCS#11: a hardware security module, a smart card, SoftHSM.
//!
//! Spec: PKCS#11 3.1; RFC 7512 for the names of keys.
//! In scope: ECDSA keys on P-256, P-384 and P-521, RSA keys of 2048, 3072 and 4096 bits (PKCS#1 v1.5); a few sessions; a deadline; finding
//! the key again after the token was lost; keys that want the PIN for each signature ([`attended`]). Out of scope: making keys, PIN pads.
//! Invariants: a signature that is returned was verified with the public key that was found when the signer was opened; calls into the
//! library run on threads of their own, at most [`SESSIONS_MAX`] at once; no error holds a PIN.

mod attended;
mod module;
mod pin;
mod token;
mod uri;
mod workers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cryptoki::error::Error;
use thiserror::Error;
use touchmark_keys::{Digest, KeyError, PublicKey, Scheme, digest};

use self::module::Module;
use self::token::{Asked, KeyPlace, OpenKey};
use self::workers::Workers;
use crate::{Signer, SignerError, proof};

pub use pin::TriesLeft;
pub use uri::{Pkcs11Uri, Pkcs11UriError};

/// Sessions with one key at once. Small modules do one signature at a time, large ones some dozens; tokens allow few sessions.
const SESSIONS_MAX: usize = 4;

/// How long a signature may take, with opening a session again: less than [`crate::SIGN_DEADLINE`], so that the reason is named.
const PKCS11_DEADLINE: Duration = Duration::from_secs(8);

/// The same for a key that wants the PIN each time: such a key often wants to be touched as well, and a YubiKey waits 15 s for that. A service
/// gives up before, at its own deadline.
const ATTENDED_DEADLINE: Duration = Duration::from_secs(60);

/// A key in a token.
pub struct Pkcs11Signer {
    key: Arc<Key>,
    workers: Workers,
    public: PublicKey,
    is_attended: bool,
}

struct Key {
    module: Arc<Module>,
    place: KeyPlace,
    name: String,
}

/// What is wrong with a token, its key or its module.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Pkcs11Problem {
    #[error("the module {} cannot be loaded: {problem}; check `module-path`", path.display())]
    Library { path: PathBuf, problem: String },
    #[error("no token matches; is it plugged in, and does `pkcs11-tool --module … --list-token-slots` show it?")]
    TokenMissing,
    #[error("{found} tokens match; add `serial=` to the URI")]
    TokenNotUnique { found: usize },
    #[error(
        "{found} {class} match, and exactly one must; compare with `pkcs11-tool --module … --login --list-objects` (private keys show only after a login: is `pin-source` there?)"
    )]
    KeyNotUnique { class: &'static str, found: usize },
    #[error("the key is neither an EC nor an RSA key")]
    KeyKind,
    #[error("the token's public key: {0}")]
    PublicKey(KeyError),
    #[error(
        "the key wants the PIN for each signature (CKA_ALWAYS_AUTHENTICATE), and the URI does not say where it is: add `pin-source`"
    )]
    PinMissing,
    #[error(
        "the key wants the PIN for each signature, and the module cannot take it between the beginning of a signature and its end: it answers {code} to {function}"
    )]
    NotInParts { function: String, code: String },
    #[error(
        "the token took the PIN and did not sign all the same: if it wants to be touched, touch it while it blinks, and try again"
    )]
    NotTouched,
    #[error(
        "another key is there now under the same name; nothing is signed with it. Put the old one back, or restart with a certificate of the new one"
    )]
    KeyChanged,
    #[error("the PIN: {0}")]
    PinFile(Box<SignerError>),
    #[error("the environment variable {name} holds no PIN")]
    PinVariable { name: String },
    #[error(
        "the token refused the PIN; it is not tried again until it is another, because tokens lock after some tries{tries_left}"
    )]
    PinRefused { tries_left: TriesLeft },
    #[error("the token has locked its PIN after too many tries; its security officer must unlock it")]
    PinLocked,
    #[error("the token answers {code} to {function}")]
    Call { function: String, code: String },
    #[error("the module does not work as the standard says: {problem}")]
    Module { problem: String },
    #[error("the token made a signature that its own public key does not verify; it was not used")]
    WrongSignature,
    #[error("no answer within {} s; a token that blinks waits to be touched", within.as_secs())]
    Deadline { within: Duration },
    #[error("no thread can be started: {kind}")]
    Threads { kind: std::io::ErrorKind },
    #[error("the module's thread broke off")]
    Panicked,
}

impl Pkcs11Problem {
    /// Whether another session, or the library anew, may help.
    fn may_pass(&self) -> bool {
        match self {
            Self::TokenMissing | Self::Call { .. } | Self::Module { .. } => true,
            // A token that is half gone shows no objects.
            Self::KeyNotUnique { found, .. } => *found == 0,
            Self::Library { .. }
            | Self::TokenNotUnique { .. }
            | Self::KeyKind
            | Self::PublicKey(_)
            | Self::PinMissing
            | Self::NotInParts { .. }
            | Self::NotTouched
            | Self::KeyChanged
            | Self::PinFile(_)
            | Self::PinVariable { .. }
            | Self::PinRefused { .. }
            | Self::PinLocked
            | Self::WrongSignature
            | Self::Deadline { .. }
            | Self::Threads { .. }
            | Self::Panicked => false,
        }
    }
}

impl From<Error> for Pkcs11Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Pkcs11(code, function) => {
                Self::Call { function: format!("C_{function:?}"), code: format!("{code:?}") }
            }
            other => Self::Module { problem: other.to_string() },
        }
    }
}

impl Pkcs11Signer {
    /// Loads the module, logs in and finds the key.
    pub async fn open(uri: Pkcs11Uri) -> Result<Self, SignerError> {
        let name = uri.to_string();
        let problem = |problem| SignerError::Pkcs11 { key: name.clone(), problem };
        let workers =
            Workers::start(SESSIONS_MAX).map_err(|error| problem(Pkcs11Problem::Threads { kind: error.kind() }))?;
        let key_name = name.clone();
        let opening = workers.run(move || {
            let module = Module::load(&uri.module_path)?;
            let key = Key { module, place: KeyPlace::new(uri), name: key_name };
            let found = |open: &OpenKey| Ok((open.public.clone(), open.is_attended()));
            let found = key.module.with_key(&key.place, found)?;
            Ok((Arc::new(key), found))
        });
        let (key, (public, is_attended)) = answered_within(PKCS11_DEADLINE, opening).await.map_err(problem)?;
        Ok(Self { key, workers, public, is_attended })
    }

    async fn ask(&self, asked: Asked) -> Result<Vec<u8>, SignerError> {
        let key = Arc::clone(&self.key);
        let signing = self.workers.run(move || key.module.with_key(&key.place, |open| open.sign(&key.place, &asked)));
        let within = if self.is_attended { ATTENDED_DEADLINE } else { PKCS11_DEADLINE };
        let problem = |problem| SignerError::Pkcs11 { key: self.key.name.clone(), problem };
        answered_within(within, signing).await.map_err(problem)
    }
}

async fn answered_within<T>(
    within: Duration,
    work: impl Future<Output = Option<Result<T, Pkcs11Problem>>>,
) -> Result<T, Pkcs11Problem> {
    match tokio::time::timeout(within, work).await {
        Ok(Some(done)) => done,
        Ok(None) => Err(Pkcs11Problem::Panicked),
        Err(_) => Err(Pkcs11Problem::Deadline { within }),
    }
}

#[async_trait]
impl Signer for Pkcs11Signer {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn scheme(&self) -> Scheme {
        self.public.default_scheme()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let hash = proof::hash_of(self.scheme())?;
        if self.is_attended {
            return self.ask(Asked::Message(message.to_vec())).await;
        }
        self.ask(Asked::Digest(digest(hash, message))).await
    }

    async fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignerError> {
        proof::expect_digest(self.scheme(), digest)?;
        self.ask(Asked::Digest(digest.clone())).await
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.module.forget(&self.place);
    }
}
