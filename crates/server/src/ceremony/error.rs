// SPDX-License-Identifier: Apache-2.0
//! Why a ceremony made nothing.
//!
//! In scope: one error for all of them, each a sentence that says what to do. Out of scope: exit codes.

use std::path::PathBuf;

use jiff::Timestamp;
use touchmark_keys::{KeyError, KeyType};
use touchmark_signers::SignerError;
use touchmark_sigstore::issue::IssueError;
use touchmark_sigstore::x509::CertificateError;
use touchmark_sigstore::x509::csr::CsrError;
use touchmark_sigstore::x509::path::PathError;

use crate::durable::FileError;

/// Why nothing was made. What had been written is removed again.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// A file would be overwritten.
    #[error("{} exists: nothing is overwritten; choose another directory or name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key cannot be used.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A certificate file cannot be understood.
    #[error("{} is not a chain of certificates in PEM: {error}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// A request cannot be understood, or does not prove its key.
    #[error("{}: {error}", path.display())]
    Request {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: CsrError,
    },
    /// The name is not one that Fulcio's certificate specification has for authorities.
    #[error("the subject of {what} is not one organisation and one common name; name both yourself")]
    Subject {
        /// Whose subject.
        what: &'static str,
    },
    /// A name of no characters, or of too many.
    #[error("the {part} must have 1 to 64 characters and no control characters (RFC 5280, appendix A.1)")]
    Name {
        /// Which part.
        part: &'static str,
    },
    /// A lifetime that no certificate has.
    #[error("a lifetime of {days} days is not one of 1 to {max}")]
    Lifetime {
        /// What was asked for.
        days: u32,
        /// The most.
        max: u32,
    },
    /// The certificate of the root is not one, or not valid now.
    #[error("{} is not the certificate of a root that is valid at {at}", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// Now.
        at: Timestamp,
    },
    /// The key is another one's.
    #[error("the root's key is not the one in {}", path.display())]
    RootKey {
        /// The root's certificate.
        path: PathBuf,
    },
    /// The chain to be renewed belongs to another root.
    #[error("{} does not end in the root {}", chain.display(), root.display())]
    OtherRoot {
        /// The chain.
        chain: PathBuf,
        /// The root's certificate.
        root: PathBuf,
    },
    /// A renewal that renews nothing.
    #[error(
        "the new certificate would end at {new}, no later than the present one ({present}): give it more --days, or make another root where the root ends then"
    )]
    NoLonger {
        /// When the new one would end.
        new: Timestamp,
        /// When the present one ends.
        present: Timestamp,
    },
    /// The key that is to be certified is weak.
    #[error("the key to be certified is too weak: {0}")]
    WeakKey(KeyError),
    /// A key of a kind that is not for authorities.
    #[error(
        "a key of type {0} is not for certificate authorities; use P-256 or P-384, or a key elsewhere of another kind that signs certificates"
    )]
    KeyType(KeyType),
    /// The template was refused.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// What was made is not what was meant: it was read back, and not written.
    #[error("the new certificate was read back and is not sound: {0}")]
    Unsound(Unsound),
}

/// What is wrong with a certificate that was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(CertificateError),
    /// It does not lead to the root, or is not an authority for code signing.
    #[error("{0}")]
    Path(PathError),
    /// It holds another key.
    #[error("it holds another key")]
    Key,
    /// It may issue more than it should.
    #[error("it may issue more than code signing leaves")]
    Purpose,
    /// It is not valid now.
    #[error("it is not valid now")]
    Validity,
    /// The server would refuse it.
    #[error("the server would refuse it: {0}")]
    Refused(String),
}
