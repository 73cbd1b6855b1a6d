// SPDX-License-Identifier: Apache-2.0
//! Whether the client holds the private key of the public key that it wants certified.
//!
//! Fulcio's two proofs: a PKCS#10 request (RFC 2986 §4.2) signed with the key, or a signature over the subject of the token.
//!
//! In scope: reading the key, its strength, the proof, in this order. Out of scope: which key and hash pairs are allowed (`authorize`).
//! Invariants: subject, attributes and extensions of a CSR are never looked at; a [`ProvenKey`] is strong and was proven.

use touchmark_keys::{KeyError, PublicKey, Scheme, StrongKey};
use touchmark_sigstore::principal::Principal;
use touchmark_sigstore::x509::csr::{Csr, CsrError};

use super::error::IssueError;
use super::request::{ClientKey, KeyRequest};

/// A strong key whose holder signed for this request, and how it was signed.
pub(super) struct ProvenKey {
    key: StrongKey,
    scheme: Scheme,
}

impl ProvenKey {
    pub(super) fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }
}

pub(super) fn prove_possession(request: &KeyRequest, principal: &Principal) -> Result<ProvenKey, IssueError> {
    match request {
        KeyRequest::Csr(pem) => by_csr(pem),
        KeyRequest::Challenge { public_key, proof } => by_challenge(public_key, proof, principal),
        KeyRequest::Absent => Err(IssueError::KeyUnreadable),
    }
}

fn by_csr(pem: &[u8]) -> Result<ProvenKey, IssueError> {
    let csr = Csr::from_pem(pem).map_err(|_| IssueError::CsrUnreadable)?;
    let key = csr.public_key().map_err(csr_refusal)?.check_strength().map_err(key_refusal)?;
    let _valid = csr.verify().map_err(csr_refusal)?;
    let scheme = csr.scheme().map_err(csr_refusal)?;
    Ok(ProvenKey { key, scheme })
}

/// The hash is fixed by the key: that of its curve for ECDSA, SHA-256 for RSA.
fn by_challenge(public_key: &ClientKey, proof: &[u8], principal: &Principal) -> Result<ProvenKey, IssueError> {
    let key = read(public_key)?.check_strength().map_err(key_refusal)?;
    let scheme = key.public_key().default_scheme();
    let verified = key.public_key().verify(scheme, principal.proof_subject.as_bytes(), proof);
    let _valid = verified.map_err(|_| IssueError::Possession)?;
    Ok(ProvenKey { key, scheme })
}

fn read(public_key: &ClientKey) -> Result<PublicKey, IssueError> {
    /// An SPKI is a SEQUENCE, and no PEM text begins with its tag.
    const SEQUENCE: u8 = 0x30;
    let key = match public_key {
        ClientKey::Pem(text) => PublicKey::from_pem(text),
        ClientKey::DerOrPem(der) if der.first() == Some(&SEQUENCE) => PublicKey::from_spki_der(der),
        ClientKey::DerOrPem(pem) => {
            PublicKey::from_pem(std::str::from_utf8(pem).map_err(|_| IssueError::KeyUnreadable)?)
        }
    };
    key.map_err(key_refusal)
}

fn csr_refusal(error: CsrError) -> IssueError {
    match error {
        CsrError::PublicKey(error) => key_refusal(error),
        CsrError::UnknownAlgorithm { .. } | CsrError::NotPermitted { .. } => IssueError::CsrAlgorithm(error),
        CsrError::Signature(_) => IssueError::Possession,
        _ => IssueError::CsrUnreadable,
    }
}

/// A key that can be read and that nobody should use is insecure; what cannot be read is unreadable.
fn key_refusal(error: KeyError) -> IssueError {
    match error {
        KeyError::UnsupportedAlgorithm { .. }
        | KeyError::UnsupportedCurve { .. }
        | KeyError::UnsupportedRsaSize { .. }
        | KeyError::Weak(_) => IssueError::KeyInsecure,
        _ => IssueError::KeyUnreadable,
    }
}
