// SPDX-License-Identifier: Apache-2.0
//! What a bundle claims: that this key signed this artifact or envelope. It is what log entries are compared with, and what the
//! signature has to be over.

use touchmark_keys::{Digest, HashAlgorithm, PublicKey, Scheme, SignatureError, SignatureValid};

use super::artifact::{self, Artifact, ArtifactFailure};
use crate::bundle::{Bundle, Content, KeyMaterial};
use crate::dsse::Envelope;
use crate::rekor::{HashedRekord, Verifier};

/// A signature, what it is over, and whose it is. Nothing of it is proved before [`Claim::verify`].
pub(super) struct Claim<'a> {
    subject: Subject<'a>,
    signature: &'a [u8],
    key_material: &'a KeyMaterial,
    key: &'a PublicKey,
}

/// What the signature is over.
pub(super) enum Subject<'a> {
    Message(&'a Artifact<'a>),
    Envelope(&'a Envelope),
}

/// The key signed what the bundle claims. Made by [`Claim::verify`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    scheme: Scheme,
    digest: Option<Digest>,
    _valid: SignatureValid,
}

impl VerifiedSignature {
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The digest of what was signed: of the file, or of the encoded envelope. None where the scheme covers no digest.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}

/// Why the signature is not one over what the bundle claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureFailure {
    /// The caller gave no digest of an algorithm with which the key signs.
    NoDigest {
        algorithm: HashAlgorithm,
    },
    /// The key signs whole messages, and the caller gave a digest.
    NeedsMessage {
        scheme: Scheme,
    },
    /// Two log entries say that the signature was made in different ways.
    NoCommonScheme,
    Invalid(SignatureError),
}

impl SignatureFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoDigest { .. } => "signature_digest_missing",
            Self::NeedsMessage { .. } => "signature_needs_artifact",
            Self::NoCommonScheme => "signature_scheme_ambiguous",
            Self::Invalid(_) => "signature_invalid",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::NoDigest { algorithm } => format!("a {} digest of the artifact", algorithm.prefix()),
            Self::NeedsMessage { scheme } => {
                format!("the artifact itself: {} signs no digests", scheme.key_details())
            }
            Self::NoCommonScheme => "log entries that agree on how the signature was made".to_owned(),
            Self::Invalid(_) => "a signature of the signer's key over the artifact".to_owned(),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::NoDigest { .. } => "none".to_owned(),
            Self::NeedsMessage { .. } => "a digest".to_owned(),
            Self::NoCommonScheme => "none in common".to_owned(),
            Self::Invalid(error) => error.to_string(),
        }
    }
}

impl<'a> Claim<'a> {
    /// The claim of a bundle about an artifact, by the signer's key.
    ///
    /// # Errors
    /// If the bundle itself names another artifact.
    pub(super) fn new(
        artifact: &'a Artifact<'a>,
        bundle: &'a Bundle,
        key: &'a PublicKey,
    ) -> Result<Self, ArtifactFailure> {
        let subject = match bundle.content() {
            Content::Message { digest, .. } => {
                if let Some(digest) = digest {
                    artifact::named(artifact, digest)?;
                }
                Subject::Message(artifact)
            }
            Content::Envelope(envelope) => Subject::Envelope(envelope),
        };
        Ok(Self { subject, signature: bundle.signature(), key_material: bundle.key_material(), key })
    }

    pub(super) fn subject(&self) -> &Subject<'a> {
        &self.subject
    }

    pub(super) fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// The ways in which the key can have signed, the usual one first.
    pub(super) fn schemes(&self) -> &'static [Scheme] {
        self.key.schemes()
    }

    /// The digest of what is signed.
    pub(super) fn digest(&self, algorithm: HashAlgorithm) -> Option<Digest> {
        match &self.subject {
            Subject::Message(artifact) => Some(artifact.digest(algorithm)?.into_owned()),
            Subject::Envelope(envelope) => Some(envelope.pae_digest(algorithm)),
        }
    }

    /// The signer as a log names it.
    pub(super) fn verifier(&self) -> Verifier {
        match self.key_material {
            KeyMaterial::Certificate(certificate) => Verifier::Certificate { der: certificate.der().to_vec() },
            KeyMaterial::PublicKey { .. } => Verifier::PublicKey { spki_der: self.key.spki_der().to_vec() },
        }
    }

    /// The entry that a log of Rekor v2 makes of the claim, under a scheme that signs digests.
    pub(super) fn record(&self, scheme: Scheme) -> Option<HashedRekord> {
        let digest = self.digest(scheme.hash()?)?;
        Some(HashedRekord::of_parsed(digest, self.signature.to_vec(), self.verifier(), self.key.clone(), scheme))
    }

    /// Verifies the signature, in one of these ways: those that the log entries leave, or all that the key has.
    ///
    /// # Errors
    /// If none of them fits.
    pub(super) fn verify(&self, schemes: Option<&[Scheme]>) -> Result<VerifiedSignature, SignatureFailure> {
        let mut failure = None;
        for scheme in schemes.unwrap_or(self.schemes()) {
            match self.verify_as(*scheme) {
                Ok(verified) => return Ok(verified),
                Err(error) => failure = Some(more_telling(failure, error)),
            }
        }
        Err(failure.unwrap_or(SignatureFailure::NoCommonScheme))
    }

    fn verify_as(&self, scheme: Scheme) -> Result<VerifiedSignature, SignatureFailure> {
        let Some(algorithm) = scheme.hash() else {
            let valid = match &self.subject {
                Subject::Message(artifact) => {
                    let message = artifact.bytes().ok_or(SignatureFailure::NeedsMessage { scheme })?;
                    self.key.verify(scheme, message, self.signature)
                }
                Subject::Envelope(envelope) => self.key.verify(scheme, &envelope.pae(), self.signature),
            };
            let valid = valid.map_err(SignatureFailure::Invalid)?;
            return Ok(VerifiedSignature { scheme, digest: None, _valid: valid });
        };
        let digest = self.digest(algorithm).ok_or(SignatureFailure::NoDigest { algorithm })?;
        let valid = self.key.verify_digest(scheme, &digest, self.signature).map_err(SignatureFailure::Invalid)?;
        Ok(VerifiedSignature { scheme, digest: Some(digest), _valid: valid })
    }
}

/// That a signature does not match says more than that one could not be tried; otherwise the first way counts.
fn more_telling(failure: Option<SignatureFailure>, error: SignatureFailure) -> SignatureFailure {
    match (failure, error) {
        (Some(known @ SignatureFailure::Invalid(_)), _) => known,
        (_, error @ SignatureFailure::Invalid(_)) => error,
        (Some(known), _) => known,
        (None, error) => error,
    }
}
