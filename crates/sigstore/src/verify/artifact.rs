// SPDX-License-Identifier: Apache-2.0
//! What was signed: the digest of the artifact, and the signature of the certified key over it.

use touchmark_keys::{Digest, HashAlgorithm, SignatureError, SignatureValid, digest};

use crate::bundle::Bundle;
use crate::rekor::{EntryError, HashedRekord, Verifier, scheme_for};
use crate::x509::CertificateError;

/// The artifact, by its digests: one is enough, if it is that of the signer's algorithm ([`Bundle::hash_algorithm`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactDigests(Vec<Digest>);

impl ArtifactDigests {
    /// The digests of an artifact at hand, under every algorithm.
    #[must_use]
    pub fn of_bytes(artifact: &[u8]) -> Self {
        Self(HashAlgorithm::ALL.into_iter().map(|algorithm| digest(algorithm, artifact)).collect())
    }

    fn get(&self, algorithm: HashAlgorithm) -> Option<&Digest> {
        self.0.iter().find(|digest| digest.algorithm() == algorithm)
    }
}

impl From<Digest> for ArtifactDigests {
    fn from(digest: Digest) -> Self {
        Self(vec![digest])
    }
}

/// The certified key signed the digest. Made by [`signature`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    digest: Digest,
    _valid: SignatureValid,
}

impl VerifiedSignature {
    /// The digest of the artifact.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// Why the signature is not one over the artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactFailure {
    Key(CertificateError),
    /// The caller gave no digest of the algorithm with which the key signs.
    NoDigest {
        algorithm: HashAlgorithm,
    },
    OtherAlgorithm {
        expected: HashAlgorithm,
        found: HashAlgorithm,
    },
    OtherArtifact {
        expected: Digest,
        found: Digest,
    },
    Signature(SignatureError),
    /// The parts of the bundle make no log entry.
    Entry(EntryError),
}

impl ArtifactFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Key(_) => "signature_key_unsupported",
            Self::NoDigest { .. } => "artifact_digest_missing",
            Self::OtherAlgorithm { .. } => "artifact_digest_algorithm",
            Self::OtherArtifact { .. } => "artifact_mismatch",
            Self::Signature(_) => "signature_invalid",
            Self::Entry(_) => "signature_malformed",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::Key(_) => "a certificate with a key of a known kind".to_owned(),
            Self::NoDigest { algorithm } => format!("a {} digest of the artifact", algorithm.prefix()),
            Self::OtherAlgorithm { expected, .. } => format!("a message digest of algorithm {}", expected.prefix()),
            Self::OtherArtifact { expected, .. } => format!("the artifact that was signed, {expected}"),
            Self::Signature(_) => "a signature of the certificate's key over the artifact".to_owned(),
            Self::Entry(_) => "a signature that can be logged".to_owned(),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::Key(error) => error.to_string(),
            Self::NoDigest { .. } => "none".to_owned(),
            Self::OtherAlgorithm { found, .. } => found.prefix().to_owned(),
            Self::OtherArtifact { found, .. } => found.to_string(),
            Self::Signature(error) => error.to_string(),
            Self::Entry(error) => error.to_string(),
        }
    }
}

/// The entry that a log makes of this artifact and this bundle: digest, signature, certificate.
///
/// The digest that the bundle names is compared first, though nothing signs it: another artifact is then called by its name.
///
/// # Errors
/// If the artifact is another than the bundle names, or the parts make no entry.
pub fn record(artifact: &ArtifactDigests, bundle: &Bundle) -> Result<HashedRekord, ArtifactFailure> {
    let key = bundle.certificate().public_key().map_err(ArtifactFailure::Key)?;
    let scheme = scheme_for(&key);
    let algorithm = scheme.hash().expect("the scheme of a log of digests has a hash");
    let digest = artifact.get(algorithm).ok_or(ArtifactFailure::NoDigest { algorithm })?;
    match bundle.message_digest() {
        Some(named) if named.algorithm() != algorithm => {
            return Err(ArtifactFailure::OtherAlgorithm { expected: algorithm, found: named.algorithm() });
        }
        Some(named) if named != digest => {
            return Err(ArtifactFailure::OtherArtifact { expected: named.clone(), found: digest.clone() });
        }
        _ => {}
    }
    let verifier = Verifier::Certificate { der: bundle.certificate().der().to_vec() };
    HashedRekord::new(digest.clone(), bundle.signature().to_vec(), verifier, scheme).map_err(ArtifactFailure::Entry)
}

/// Verifies the signature over the digest with the key of the certificate.
///
/// # Errors
/// If it does not match.
pub fn signature(record: &HashedRekord) -> Result<VerifiedSignature, ArtifactFailure> {
    match record.verify_signature() {
        Ok(valid) => Ok(VerifiedSignature { digest: record.digest().clone(), _valid: valid }),
        Err(EntryError::Signature(error)) => Err(ArtifactFailure::Signature(error)),
        Err(error) => Err(ArtifactFailure::Entry(error)),
    }
}
