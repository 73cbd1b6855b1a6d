// SPDX-License-Identifier: Apache-2.0
//! The chain of an authority of the trusted root, and what can be known of it before any leaf is seen.
//!
//! In scope: `TrustedChain::prepared`, which verifies the links between the authorities once, and parses the keys that leaves and tokens
//! are verified with once, so that a leaf directly under the chain costs one signature. Out of scope: every check that depends on a time
//! (`path` makes them at each time, of every certificate).
//! Invariants: preparing changes no verdict and no error. A prepared chain only ever says yes; whatever it does not know (a leaf of
//! another issuer, a signature that does not verify, a chain with name constraints or two certificates of one name) takes the whole
//! path through webpki.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use touchmark_keys::PublicKey;

use crate::asn1;

use super::extension::oid;
use super::path::{ExtendedKeyUsage, check_authority, check_leaf};
use super::{Certificate, CertificateError};

/// Most authorities in a chain that is prepared; webpki walks no path of more intermediates. Public chains have one or two.
const AUTHORITIES_PREPARED_MAX: usize = 6;

/// The certificates of one authority, the anchor last; prepared or as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedChain {
    certificates: Vec<Certificate>,
    links: Option<Arc<VerifiedLinks>>,
}

/// What was found good of a chain for one use, whatever the time. Made by `VerifiedLinks::of` alone.
#[derive(Debug, PartialEq, Eq)]
struct VerifiedLinks {
    eku: ExtendedKeyUsage,
    /// From the one that issues leaves to the anchor.
    authorities: Vec<Certificate>,
    issuer_key: PublicKey,
    own_leaf: Option<OwnLeaf>,
}

/// The leaf that the chain itself begins with, as trusted roots write timestamp authorities.
#[derive(Debug, PartialEq, Eq)]
struct OwnLeaf {
    certificate: Certificate,
    key: PublicKey,
}

/// A chain as a verifier takes it: a `TrustedChain`, or plain certificates with the anchor last.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    certificates: &'a [Certificate],
    links: Option<&'a VerifiedLinks>,
}

impl TrustedChain {
    #[must_use]
    pub fn new(certificates: Vec<Certificate>) -> Self {
        Self { certificates, links: None }
    }

    /// The same chain, ready for many leaves of this use: its own links are verified now, or never if it is not a plain chain.
    #[must_use]
    pub fn prepared(self, eku: ExtendedKeyUsage) -> Self {
        let links = VerifiedLinks::of(&self.certificates, eku).map(Arc::new);
        Self { links, ..self }
    }

    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }
}

impl VerifiedLinks {
    /// None for every chain that is not as simple as those of the public instances.
    fn of(chain: &[Certificate], eku: ExtendedKeyUsage) -> Option<Self> {
        let (own_leaf, authorities) = match chain {
            [leaf, authorities @ ..] if !leaf.is_ca() => (Some(leaf), authorities),
            authorities => (None, authorities),
        };
        let (issuer, anchor) = (authorities.first()?, authorities.last()?);
        if authorities.len() > AUTHORITIES_PREPARED_MAX || !is_plain_anchor(anchor) {
            return None;
        }
        for (place, authority) in authorities.iter().enumerate() {
            check_authority(authority, place + 1, eku).ok()?;
            let named_once = chain.iter().filter(|other| other.subject_der() == authority.subject_der()).count() == 1;
            if !named_once || authority.extension_by(oid::NAME_CONSTRAINTS).is_some() {
                return None;
            }
        }
        for (subject, issuer) in authorities.iter().zip(authorities.iter().skip(1)) {
            is_issued_by(subject, issuer, &issuer.public_key().ok()?)?;
        }
        let issuer_key = issuer.public_key().ok()?;
        let own_leaf = own_leaf.and_then(|leaf| OwnLeaf::of(leaf, issuer, &issuer_key, eku));
        Some(Self { eku, authorities: authorities.to_vec(), issuer_key, own_leaf })
    }
}

impl OwnLeaf {
    fn of(leaf: &Certificate, issuer: &Certificate, issuer_key: &PublicKey, eku: ExtendedKeyUsage) -> Option<Self> {
        check_leaf(leaf, eku).ok()?;
        is_issued_by(leaf, issuer, issuer_key)?;
        Some(Self { certificate: leaf.clone(), key: leaf.public_key().ok()? })
    }
}

/// Proof that one certificate was issued by another, as webpki would have found.
#[derive(Debug)]
struct Issued;

/// Whether webpki, too, would have found the signature good: the same name, the same parsing (which knows every critical extension), an
/// algorithm that it knows for such a key, and the key's signature. Validity is asked elsewhere.
fn is_issued_by(subject: &Certificate, issuer: &Certificate, issuer_key: &PublicKey) -> Option<Issued> {
    if subject.issuer_der() != issuer.subject_der() || subject.not_before() > subject.not_after() {
        return None;
    }
    webpki::EndEntityCert::try_from(&CertificateDer::from(subject.der())).ok()?;
    let signature_id = asn1::single(subject.algorithm_der(), asn1::SEQUENCE).ok()?.value;
    let key_id = asn1::single(issuer.spki_der(), asn1::SEQUENCE).ok()?.reader().expect(asn1::SEQUENCE).ok()?.value;
    let known = touchmark_keys::webpki_algorithms().iter().any(|algorithm| {
        algorithm.signature_alg_id().as_ref() == signature_id && algorithm.public_key_alg_id().as_ref() == key_id
    });
    let (algorithm, signature) = subject.signature().ok().filter(|_| known)?;
    algorithm.verify(issuer_key, subject.tbs_der(), signature).ok()?;
    Some(Issued)
}

fn is_plain_anchor(anchor: &Certificate) -> bool {
    let der = CertificateDer::from(anchor.der());
    webpki::anchor_from_trusted_cert(&der).is_ok_and(|anchor| anchor.name_constraints.is_none())
}

impl<'a> Chain<'a> {
    pub(crate) fn certificates(&self) -> &'a [Certificate] {
        self.certificates
    }

    /// The path of a leaf that was issued directly under a prepared chain, as far as no time is concerned.
    pub(super) fn prepared_path(&self, leaf: &Certificate, eku: ExtendedKeyUsage) -> Option<Vec<Certificate>> {
        let links = self.links.filter(|links| links.eku == eku)?;
        let known = links.own_leaf.as_ref().is_some_and(|own| own.certificate == *leaf);
        if !known {
            let issuer = links.authorities.first()?;
            is_issued_by(leaf, issuer, &links.issuer_key)?;
        }
        let mut path = Vec::with_capacity(links.authorities.len() + 1);
        path.push(leaf.clone());
        path.extend_from_slice(&links.authorities);
        Some(path)
    }

    /// The certificate's key, parsed before if it is that of the chain's own leaf.
    pub(crate) fn key_of(&self, certificate: &Certificate) -> Result<PublicKey, CertificateError> {
        let own = self.links.and_then(|links| links.own_leaf.as_ref());
        match own.filter(|own| own.certificate == *certificate) {
            Some(own) => Ok(own.key.clone()),
            None => certificate.public_key(),
        }
    }
}

impl<'a> From<&'a TrustedChain> for Chain<'a> {
    fn from(chain: &'a TrustedChain) -> Self {
        Self { certificates: &chain.certificates, links: chain.links.as_deref() }
    }
}

impl<'a> From<&'a [Certificate]> for Chain<'a> {
    fn from(certificates: &'a [Certificate]) -> Self {
        Self { certificates, links: None }
    }
}

impl<'a> From<&'a Vec<Certificate>> for Chain<'a> {
    fn from(certificates: &'a Vec<Certificate>) -> Self {
        Self { certificates, links: None }
    }
}

impl<'a, const N: usize> From<&'a [Certificate; N]> for Chain<'a> {
    fn from(certificates: &'a [Certificate; N]) -> Self {
        Self { certificates, links: None }
    }
}

#[cfg(test)]
mod tests;
