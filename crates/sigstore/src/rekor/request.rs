// SPDX-License-Identifier: Apache-2.0
//! A request to log an entry: read, checked in the order of the public service, and its signature verified.
//!
//! The public service answers each failure with status 400 and code 3; what it says is the display text of [`RequestError`].
//! The reason of a semantic failure is for the log of the server only.

use touchmark_keys::{Digest, Scheme};

use super::{EntryError, HashedRekord, Verifier, digest_algorithm};
use crate::wire::WireError;
use crate::wire::rekor as wire;

/// Why a request is refused; the text is the public one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("proto: invalid value for enum field keyDetails: {name:?}")]
    UnknownKeyDetails { name: String },
    #[error("invalid type, must be hashedrekord")]
    NotHashedRekord,
    #[error("invalid hashedrekord request")]
    Invalid(#[source] EntryError),
}

/// An entry whose signature was verified; only [`check_request`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedHashedRekord {
    record: HashedRekord,
}

impl VerifiedHashedRekord {
    #[must_use]
    pub fn record(&self) -> &HashedRekord {
        &self.record
    }

    #[must_use]
    pub fn into_record(self) -> HashedRekord {
        self.record
    }
}

/// Reads and checks the body of `POST /api/v2/log/entries`.
///
/// # Errors
/// The first check that fails, in the order of the public service.
pub fn parse_request(body: &[u8]) -> Result<VerifiedHashedRekord, RequestError> {
    check_request(wire::CreateEntryRequest::from_json(body)?)
}

/// Checks a request to log an entry, however it came.
///
/// # Errors
/// The first check that fails, in the order of the public service.
pub fn check_request(request: wire::CreateEntryRequest) -> Result<VerifiedHashedRekord, RequestError> {
    let request = request.hashed_rekord_request_v002.ok_or(RequestError::NotHashedRekord)?;
    let key_details = request.signature.as_ref().and_then(|signature| signature.verifier.as_ref());
    let algorithm = key_details.map_or(Ok(Algorithm::Unspecified), |verifier| algorithm(&verifier.key_details.0))?;
    let record = from_wire(request, algorithm).map_err(RequestError::Invalid)?;
    let _valid = record.verify_signature().map_err(RequestError::Invalid)?;
    Ok(VerifiedHashedRekord { record })
}

/// The checks, one a step.
fn from_wire(request: wire::HashedRekordRequest, algorithm: Algorithm) -> Result<HashedRekord, EntryError> {
    // 1. There is a signature.
    let signature =
        request.signature.filter(|signature| !signature.content.is_empty()).ok_or(EntryError::NoSignature)?;
    // 2. There is one verifier.
    let verifier = signature.verifier.ok_or(EntryError::NoVerifier)?;
    let verifier = match (verifier.public_key, verifier.x509_certificate) {
        (Some(key), None) => Verifier::PublicKey { spki_der: key.raw_bytes },
        (None, Some(certificate)) => Verifier::Certificate { der: certificate.raw_bytes },
        (Some(_), Some(_)) => return Err(EntryError::TwoVerifiers),
        (None, None) => return Err(EntryError::NoVerifier),
    };
    // 3. There is a digest.
    if request.digest.is_empty() {
        return Err(EntryError::NoDigest);
    }
    // 4. The key or certificate is not empty and can be read.
    if verifier.as_bytes().is_empty() {
        return Err(EntryError::NoVerifier);
    }
    let key = verifier.public_key()?;
    // 5. The algorithm is one of those that the log takes, fits the key, and signs digests.
    let scheme = match algorithm {
        Algorithm::Known(scheme) => scheme,
        Algorithm::Refused(name) => return Err(EntryError::AlgorithmRefused { key_details: name.to_owned() }),
        Algorithm::Unspecified => return Err(EntryError::AlgorithmRefused { key_details: UNSPECIFIED.to_owned() }),
    };
    let hash = digest_algorithm(scheme, &key)?;
    // 6. The digest has the length of the algorithm's hash.
    let digest = Digest::new(hash, request.digest)?;
    // 7. The signature over the digest is verified by the caller.
    HashedRekord::new(digest, signature.content, verifier, scheme)
}

/// What the name of an algorithm says to this log.
enum Algorithm {
    Known(Scheme),
    /// A name of the enum that this log does not take.
    Refused(&'static str),
    Unspecified,
}

const UNSPECIFIED: &str = "PUBLIC_KEY_DETAILS_UNSPECIFIED";

/// `dev.sigstore.common.v1.PublicKeyDetails`: numbers and names, so that a name outside the enum can be told from one that
/// is merely refused.
pub const KEY_DETAILS: [(u32, &str); 26] = [
    (0, UNSPECIFIED),
    (1, "PKCS1_RSA_PKCS1V5"),
    (2, "PKCS1_RSA_PSS"),
    (3, "PKIX_RSA_PKCS1V5"),
    (4, "PKIX_RSA_PSS"),
    (5, "PKIX_ECDSA_P256_SHA_256"),
    (6, "PKIX_ECDSA_P256_HMAC_SHA_256"),
    (7, "PKIX_ED25519"),
    (8, "PKIX_ED25519_PH"),
    (9, "PKIX_RSA_PKCS1V15_2048_SHA256"),
    (10, "PKIX_RSA_PKCS1V15_3072_SHA256"),
    (11, "PKIX_RSA_PKCS1V15_4096_SHA256"),
    (12, "PKIX_ECDSA_P384_SHA_384"),
    (13, "PKIX_ECDSA_P521_SHA_512"),
    (14, "LMS_SHA256"),
    (15, "LMOTS_SHA256"),
    (16, "PKIX_RSA_PSS_2048_SHA256"),
    (17, "PKIX_RSA_PSS_3072_SHA256"),
    (18, "PKIX_RSA_PSS_4096_SHA256"),
    (19, "PKIX_ECDSA_P384_SHA_256"),
    (20, "PKIX_ECDSA_P521_SHA_256"),
    (21, "ML_DSA_65"),
    (22, "ML_DSA_87"),
    (23, "ML_DSA_44"),
    (24, "SLH_DSA_SHA2_128S"),
    (25, "SLH_DSA_SHAKE_128S"),
];

fn algorithm(text: &str) -> Result<Algorithm, RequestError> {
    if text.is_empty() {
        return Ok(Algorithm::Unspecified);
    }
    let number = text.parse::<u32>().ok();
    let known = KEY_DETAILS.iter().find(|(value, name)| *name == text || Some(*value) == number);
    match known {
        Some((0, _)) => Ok(Algorithm::Unspecified),
        Some((_, name)) => Ok(Scheme::from_key_details(name).map_or(Algorithm::Refused(name), Algorithm::Known)),
        // protojson keeps a number outside the enum, and refuses a name.
        None if number.is_some() => Ok(Algorithm::Unspecified),
        None => Err(RequestError::UnknownKeyDetails { name: text.chars().take(64).collect() }),
    }
}
