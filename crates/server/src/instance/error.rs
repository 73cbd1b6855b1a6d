// SPDX-License-Identifier: Apache-2.0
//! Why nothing was started.
//!
//! In scope: one error for everything that can stop a start, each a sentence that says what to do. Out of scope: exit codes.

use std::net::SocketAddr;
use std::path::PathBuf;

use touchmark_signers::SignerError;
use touchmark_sigstore::ct::SubmissionError;

use crate::durable::FileError;

/// Why nothing was started. Nothing was half written: what a first start had begun is completed or discarded by the next.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `up` is for one machine.
    #[error(
        "{address} is not a loopback address: `up` gives anyone who reaches it a token for any identity; use `serve` to listen elsewhere"
    )]
    NotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; {hint}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// Another process works on the same data.
    #[error("{} is in use by another process; stop that one first", directory.display())]
    InUse {
        /// The directory that it holds.
        directory: PathBuf,
    },
    /// The directory holds something else.
    #[error("{} is not empty and holds no instance.toml: it is no data directory of touchmark; choose another", directory.display())]
    NotADataDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// There is no instance yet.
    #[error("{} holds no instance; `touchmark up` makes one", directory.display())]
    NoInstance {
        /// The directory.
        directory: PathBuf,
    },
    /// `instance.toml` cannot be understood.
    #[error("{}: {problem}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        problem: String,
    },
    /// The directory was made by a newer version.
    #[error("{} has schema {found}, this version of touchmark knows {known}; use a newer one", path.display())]
    Schema {
        /// `instance.toml`.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The schema of this version.
        known: u32,
    },
    /// The keys are encrypted.
    #[error("the keys of this instance are encrypted; give its passphrase")]
    PassphraseMissing,
    /// A passphrase was given where none is in use; going on would let the user believe that it protects the keys.
    #[error("a passphrase was given, but the keys of this instance are not encrypted; start without it")]
    NotEncrypted,
    /// The data of a log are gone.
    #[error("the directory {} of log {name} is missing; restore it: an empty log under the same name would be a fork", directory.display())]
    LogMissing {
        /// The log.
        name: String,
        /// Where its data should be.
        directory: PathBuf,
    },
    /// There is no log of that name.
    #[error("this instance has no log {name}; its logs are {}", known.join(", "))]
    LogUnknown {
        /// What was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A log cannot be changed as was asked.
    #[error("{problem}")]
    LogChange {
        /// Why, and what to do.
        problem: String,
    },
    /// A process holds the data directory and does not take requests.
    #[error(
        "a process holds the data directory, but nobody answers at {}: {source}; stop that process, or start this version of it", socket.display()
    )]
    AdminUnreachable {
        /// Where a running `up` listens.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The running process did not do what was asked.
    #[error("the running server refused: {problem}")]
    AdminRefused {
        /// What it said.
        problem: String,
    },
    /// A certificate file cannot be understood.
    #[error("{} is not a chain of certificates in PEM", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
    },
    /// The chain is of another key.
    #[error("fulcio cannot start: the first certificate of {} does not hold the signer's public key", path.display())]
    AuthorityKey {
        /// The chain.
        path: PathBuf,
    },
    /// The chain is of this key, but not in its order.
    #[error(
        "fulcio cannot start: the first certificate of {} does not hold the signer's public key, and certificate {position} does: is the chain in the wrong order? The issuing certificate comes first, the root last", path.display()
    )]
    AuthorityOrder {
        /// The chain.
        path: PathBuf,
        /// Which certificate holds the key, counted from 1.
        position: usize,
    },
    /// The chain stops before its root.
    #[error("fulcio cannot start: {}: the chain ends without a root; add the root's certificate at its end", path.display())]
    AuthorityRootMissing {
        /// The chain.
        path: PathBuf,
    },
    /// The certificate authority would get no SCTs.
    #[error(
        "fulcio cannot start: the log {log} would not accept the chain {}: {problem}; add its root to the log's `accepted_roots`", chain.display()
    )]
    LogRefusesChain {
        /// The log.
        log: String,
        /// The chain.
        chain: PathBuf,
        /// Why.
        problem: SubmissionError,
    },
    /// A public key file cannot be understood.
    #[error("{} is not a public key in PEM", path.display())]
    PublicKey {
        /// The file.
        path: PathBuf,
    },
    /// A key cannot be used.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Keys and certificates of a new instance could not be made of what this program states itself.
    #[error("an authority cannot be made: {source}")]
    Making {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A role refuses to start: what its settings name cannot be used.
    #[error("{role} cannot start: {source}")]
    Role {
        /// The role, with the name of its log.
        role: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StartError {
    /// An error of a part that no setting has to do with.
    pub(super) fn making<E>(error: E) -> StartError
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        StartError::Making { source: Box::new(error) }
    }

    /// An error of one role.
    pub(super) fn role<E>(role: impl Into<String>) -> impl FnOnce(E) -> StartError
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let role = role.into();
        move |error| StartError::Role { role, source: Box::new(error) }
    }
}

impl From<crate::durable::LockError> for StartError {
    fn from(error: crate::durable::LockError) -> Self {
        match error {
            crate::durable::LockError::Held(directory) => StartError::InUse { directory },
            crate::durable::LockError::File(error) => StartError::File(error),
        }
    }
}
