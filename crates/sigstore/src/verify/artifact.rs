// SPDX-License-Identifier: Apache-2.0
//! The artifact in the caller's hands, and whether the bundle names another.

use std::borrow::Cow;

use touchmark_keys::{Digest, HashAlgorithm, PublicKey, digest};

use crate::bundle::{Bundle, Content};
use crate::intoto::Statement;
use crate::policy::Policy;

/// The artifact: its bytes, or digests of it. One digest is enough, if the signature covers one of that kind
/// ([`super::digest_algorithms`]).
#[derive(Debug, Clone)]
pub struct Artifact<'a> {
    digests: Vec<Digest>,
    bytes: Option<&'a [u8]>,
}

impl<'a> Artifact<'a> {
    /// An artifact at hand. Some signatures cover no digest (pure Ed25519, ML-DSA): they can be verified in this form alone.
    #[must_use]
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        Self { digests: vec![digest(HashAlgorithm::Sha256, bytes)], bytes: Some(bytes) }
    }

    /// An artifact that was hashed elsewhere, for example as a stream.
    #[must_use]
    pub fn of_digests(digests: Vec<Digest>) -> Self {
        Self { digests, bytes: None }
    }

    /// Its digest under this algorithm, if it is known or can be made.
    #[must_use]
    pub fn digest(&self, algorithm: HashAlgorithm) -> Option<Cow<'_, Digest>> {
        let known = self.digests.iter().find(|digest| digest.algorithm() == algorithm);
        known.map(Cow::Borrowed).or_else(|| self.bytes.map(|bytes| Cow::Owned(digest(algorithm, bytes))))
    }

    /// The digests that are at hand.
    #[must_use]
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// The artifact itself, if it is at hand.
    #[must_use]
    pub fn bytes(&self) -> Option<&'a [u8]> {
        self.bytes
    }
}

impl From<Digest> for Artifact<'_> {
    fn from(digest: Digest) -> Self {
        Self::of_digests(vec![digest])
    }
}

/// Why the bundle is not about the artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactFailure {
    /// The caller gave no digest of the algorithm that the bundle names.
    NoDigest {
        algorithm: HashAlgorithm,
    },
    OtherArtifact {
        expected: Digest,
        found: Digest,
    },
}

impl ArtifactFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoDigest { .. } => "artifact_digest_missing",
            Self::OtherArtifact { .. } => "artifact_mismatch",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::NoDigest { algorithm } => format!("a {} digest of the artifact", algorithm.prefix()),
            Self::OtherArtifact { expected, .. } => format!("the artifact that was signed, {expected}"),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::NoDigest { .. } => "none".to_owned(),
            Self::OtherArtifact { found, .. } => found.to_string(),
        }
    }
}

/// Compares the digest that a bundle names. Nothing signs it, so that it is equal proves nothing; that it differs says at once,
/// and by name, that the bundle belongs to something else.
pub(super) fn named(artifact: &Artifact<'_>, named: &Digest) -> Result<Digest, ArtifactFailure> {
    let algorithm = named.algorithm();
    let found = artifact.digest(algorithm).ok_or(ArtifactFailure::NoDigest { algorithm })?.into_owned();
    if found == *named { Ok(found) } else { Err(ArtifactFailure::OtherArtifact { expected: named.clone(), found }) }
}

/// How an artifact has to be hashed so that [`super::verify`] can compare it. Empty, if it has to be given as a whole.
#[must_use]
pub fn digest_algorithms(bundle: &Bundle, policy: &Policy) -> Vec<HashAlgorithm> {
    let key: Option<PublicKey> = match bundle.certificate() {
        Some(certificate) => certificate.public_key().ok(),
        None => policy.key().map(|rule| rule.key.clone()),
    };
    let of_key = || key.iter().flat_map(|key| key.schemes()).filter_map(|scheme| scheme.hash());
    let mut algorithms: Vec<HashAlgorithm> = match bundle.content() {
        // Named, and a way in which the key signs: that one is enough.
        Content::Message { digest: Some(digest), .. } if of_key().any(|hash| hash == digest.algorithm()) => {
            vec![digest.algorithm()]
        }
        Content::Message { digest, .. } => digest
            .iter()
            .map(Digest::algorithm)
            .chain(key.iter().filter_map(|key| key.default_scheme().hash()))
            .collect(),
        Content::Envelope(envelope) => match Statement::parse(&envelope.payload) {
            Ok(statement) => {
                let digests = statement.subjects().iter().flat_map(|subject| subject.digests());
                digests.map(Digest::algorithm).collect()
            }
            Err(_) => vec![HashAlgorithm::Sha256],
        },
    };
    algorithms.sort_unstable();
    algorithms.dedup();
    algorithms
}
