// SPDX-License-Identifier: Apache-2.0
//! A signer whose key is behind a program, as Sigstore's other tools use for key management services that they do not know themselves.
//!
//! Spec: sigstore/sigstore, `pkg/signature/kms/cliplugin`, protocol version `v1`: the program `sigstore-kms-<scheme>`, run once for each call.
//! In scope: reading the public key when the signer is opened, signing, limits. Out of scope: making keys; credentials, which a program takes
//! from its environment, that is, ours.
//! Invariants: the program is looked up once; the public key is read once; a signature that is returned was verified with it; at most
//! [`CHILDREN_MAX`] programs of one signer run at once, each for at most [`PLUGIN_DEADLINE`].

mod process;
mod protocol;
mod uri;

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::Semaphore;
use touchmark_keys::{Digest, HashAlgorithm, KeyError, PublicKey, Scheme};

use self::protocol::{Answer, Method};
use crate::{InWords, Signer, SignerError, proof};

pub use uri::{PluginUri, PluginUriError};

/// Programs of one signer at once: each is a process, and the service behind it has its own limits.
const CHILDREN_MAX: usize = 8;

/// How long one program may run: less than [`crate::SIGN_DEADLINE`], so that the reason is named.
const PLUGIN_DEADLINE: Duration = Duration::from_secs(8);

/// Longest text of a plugin that is repeated in an error.
const SAID_CHARS_MAX: usize = 300;

/// A key behind a program.
pub struct PluginSigner {
    plugin: Plugin,
    public: PublicKey,
}

struct Plugin {
    uri: PluginUri,
    program: PathBuf,
    children: Semaphore,
    deadline: Duration,
}

/// A plugin did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("plugin {program}: {problem}")]
pub struct PluginError {
    pub program: String,
    pub problem: PluginProblem,
}

/// What a plugin did not do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PluginProblem {
    #[error(
        "no program of this name is in an absolute directory of PATH; install it, or check the scheme of the key's URI"
    )]
    NotFound,
    #[error("cannot be started: {}", InWords(*kind))]
    NotStarted { kind: io::ErrorKind },
    #[error("its output cannot be read: {kind}")]
    Pipe { kind: io::ErrorKind },
    #[error("did not end within its time and was killed")]
    Deadline,
    #[error("was ended by a signal")]
    Killed,
    #[error("answered with more than {} bytes and was killed", process::ANSWER_BYTES_MAX)]
    AnswerTooLong,
    #[error("its answer is not that of protocol {}", protocol::VERSION)]
    Answer,
    #[error("says: {said}")]
    Refused { said: String },
    #[error("its public key: {0}")]
    PublicKey(KeyError),
    #[error("returned a signature that its own public key does not verify; it was not used")]
    WrongSignature,
}

impl PluginSigner {
    /// Finds the program in `search_path` (what the variable `PATH` holds) and asks it for the public key.
    pub async fn open(uri: PluginUri, search_path: &OsStr) -> Result<Self, SignerError> {
        Self::open_within(uri, search_path, PLUGIN_DEADLINE).await
    }

    /// [`PluginSigner::open`], with another time for each run of the program.
    pub async fn open_within(uri: PluginUri, search_path: &OsStr, deadline: Duration) -> Result<Self, SignerError> {
        let name = uri.program();
        let error = |problem| SignerError::Plugin(PluginError { program: name.clone(), problem });
        let program = process::find(&name, search_path).map_err(error)?;
        let plugin = Plugin { uri, program, children: Semaphore::new(CHILDREN_MAX), deadline };
        let public = plugin.public_key().await.map_err(error)?;
        Ok(Self { plugin, public })
    }

    async fn signature(&self, method: Method<'_>, input: proof::Input<'_>) -> Result<Vec<u8>, SignerError> {
        let signed = self.plugin.sign(method, input, &self.public, self.scheme()).await;
        signed.map_err(|problem| SignerError::Plugin(PluginError { program: self.plugin.uri.program(), problem }))
    }
}

impl Plugin {
    async fn public_key(&self) -> Result<PublicKey, PluginProblem> {
        let pem = self.ask(Method::PublicKey, &[]).await?.public_key_pem().ok_or(PluginProblem::Answer)?;
        PublicKey::from_pem(&pem).map_err(PluginProblem::PublicKey)
    }

    async fn sign(
        &self,
        method: Method<'_>,
        input: proof::Input<'_>,
        public: &PublicKey,
        scheme: Scheme,
    ) -> Result<Vec<u8>, PluginProblem> {
        let message = match input {
            proof::Input::Message(message) => message,
            proof::Input::Digest(_) => &[],
        };
        let signature = self.ask(method, message).await?.signature().ok_or(PluginProblem::Answer)?;
        proof::verified(public, scheme, input, signature).map_err(|_| PluginProblem::WrongSignature)
    }

    /// The time begins when a place for the program is free; whoever waits for places too has a deadline of his own.
    async fn ask(&self, method: Method<'_>, message: &[u8]) -> Result<Answer, PluginProblem> {
        let _place = self.children.acquire().await.expect("the semaphore is never closed");
        let deadline = Timestamp::now().saturating_add(self.deadline).unwrap_or(Timestamp::MAX);
        let arguments = method.arguments(&self.uri.key, deadline);
        let ended = process::run(&self.program, &[protocol::VERSION, &arguments], message, self.deadline).await?;
        let answer = Answer::parse(&ended.answer).ok_or(PluginProblem::Answer);
        if !ended.diagnostics.is_empty() {
            let (program, said) = (self.uri.program(), printable(&ended.diagnostics));
            match &answer {
                Ok(answer) if answer.error_message.is_empty() => {
                    tracing::debug!(program, said, "a plugin's standard error")
                }
                _ => tracing::warn!(program, said, "a plugin that failed wrote to its standard error"),
            }
        }
        let answer = answer?;
        match answer.error_message.as_str() {
            "" => Ok(answer),
            said => Err(PluginProblem::Refused { said: printable(said) }),
        }
    }
}

/// Text from outside, for one line of a log.
fn printable(said: &str) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    said.chars().take(SAID_CHARS_MAX).map(plain).collect()
}

#[async_trait]
impl Signer for PluginSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn scheme(&self) -> Scheme {
        self.public.default_scheme()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        // A scheme without a hash takes the message as it is; the protocol wants a number all the same.
        let hash = self.scheme().hash().unwrap_or(HashAlgorithm::Sha512);
        self.signature(Method::SignMessage(hash), proof::Input::Message(message)).await
    }

    async fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignerError> {
        proof::expect_digest(self.scheme(), digest)?;
        self.signature(Method::SignDigest(digest), proof::Input::Digest(digest)).await
    }
}
