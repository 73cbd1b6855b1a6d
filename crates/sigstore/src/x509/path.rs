// SPDX-License-Identifier: Apache-2.0
//! Certification paths: RFC 5280 §6 from a leaf to an anchor of the trusted root, for code signing and for time stamping.
//!
//! In scope: signatures, names, basic constraints, path length, name constraints and unknown critical extensions (by webpki); and what
//! webpki leaves to its caller: the validity and key usage of the anchor, keyCertSign of every authority, digitalSignature of the leaf, and
//! the exact extended key usage. Out of scope: the window in which an authority is trusted (`trust`), revocation (Sigstore has none).
//! Invariants: every certificate of a `VerifiedPath`, the anchor included, was valid at every time asked for; its direct issuer is the
//! one whose key verified the leaf. One path is found, with each signature verified once, and that one must hold at all times.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use touchmark_keys::{PublicKey, SignatureError, SignatureValid};

use super::chain::Chain;
use super::extension::{KeyUsage, oid};
use super::{Certificate, CertificateError};

/// What the leaf may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendedKeyUsage {
    /// id-kp-codeSigning is among the purposes.
    CodeSigning,
    /// id-kp-timeStamping is the sole purpose and critical (RFC 3161 §2.3).
    TimeStamping,
}

/// Why a certificate is not accepted under an anchor. Positions count from the leaf, which is 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the trusted chain is empty")]
    EmptyChain,
    #[error("there is no time to verify the path at")]
    NoTime,
    #[error("the leaf certificate is a certificate authority")]
    LeafIsCa,
    #[error("the leaf certificate is the trust anchor itself")]
    LeafIsAnchor,
    #[error("the leaf certificate's key usage lacks digitalSignature")]
    LeafKeyUsage,
    #[error("the leaf certificate's extended key usage does not allow {required:?}")]
    LeafExtendedKeyUsage { required: ExtendedKeyUsage },
    #[error("certificate {position} of the path is valid from {not_before}, not yet at {at}")]
    NotYetValid { position: usize, not_before: Timestamp, at: Timestamp },
    #[error("certificate {position} of the path was valid until {not_after}, no longer at {at}")]
    Expired { position: usize, not_after: Timestamp, at: Timestamp },
    #[error("certificate {position} of the path is not a certificate authority")]
    NotAnAuthority { position: usize },
    #[error("the key usage of certificate {position} of the path lacks keyCertSign")]
    AuthorityKeyUsage { position: usize },
    #[error("the extended key usage of certificate {position} of the path does not allow {required:?}")]
    AuthorityExtendedKeyUsage { position: usize, required: ExtendedKeyUsage },
    #[error(
        "{intermediates} certificate authorities follow certificate {position} of the path, which allows {allowed}"
    )]
    PathLength { position: usize, intermediates: usize, allowed: u32 },
    #[error("no path from the leaf to the anchor: {0}")]
    Unverified(webpki::Error),
    #[error("the time {at} is before 1970")]
    Time { at: Timestamp },
    #[error("the certificate names another issuer than the certificate given for it")]
    IssuerName,
    #[error("the certificate's signature does not verify with its issuer's key: {0}")]
    Signature(SignatureError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A path whose every certificate was found good. Made by `verify_path_at_all` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPath {
    certificates: Vec<Certificate>,
    times: Vec<Timestamp>,
}

impl VerifiedPath {
    /// Leaf first, anchor last; at least two.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    pub fn leaf(&self) -> &Certificate {
        self.certificates.first().expect("a path has a leaf and an anchor")
    }

    /// The direct issuer of the leaf.
    pub fn issuer(&self) -> &Certificate {
        self.certificates.get(1).expect("a path has a leaf and an anchor")
    }

    pub fn anchor(&self) -> &Certificate {
        self.certificates.last().expect("a path has a leaf and an anchor")
    }

    /// The times at which every certificate was valid; at least one.
    pub fn times(&self) -> &[Timestamp] {
        &self.times
    }
}

/// Verifies `leaf` under the last certificate of `chain`, which is the anchor, at one time. The others are intermediates; the leaf
/// itself may stand among them, as trusted roots write timestamp authorities.
pub fn verify_path<'a>(
    leaf: &Certificate,
    chain: impl Into<Chain<'a>>,
    eku: ExtendedKeyUsage,
    at: Timestamp,
) -> Result<VerifiedPath, PathError> {
    verify_path_at_all(leaf, chain, eku, &[at])
}

/// Verifies `leaf` as `verify_path` does, at every one of `times`. The path is the one found at the first of them.
pub fn verify_path_at_all<'a>(
    leaf: &Certificate,
    chain: impl Into<Chain<'a>>,
    eku: ExtendedKeyUsage,
    times: &[Timestamp],
) -> Result<VerifiedPath, PathError> {
    let chain = chain.into();
    let first = *times.first().ok_or(PathError::NoTime)?;
    let (anchor, others) = chain.certificates().split_last().ok_or(PathError::EmptyChain)?;
    if anchor == leaf {
        return Err(PathError::LeafIsAnchor);
    }
    check_leaf(leaf, eku)?;
    check_validity(leaf, 0, first)?;
    let unix_time = unix_time(first)?;
    // A prepared chain only ever says yes, so that both ways give the same answer and the same error.
    let certificates = match chain.prepared_path(leaf, eku) {
        Some(certificates) => certificates,
        None => found_path(leaf, others, anchor, eku, unix_time, first)?,
    };
    for time in times {
        for (position, certificate) in certificates.iter().enumerate() {
            check_validity(certificate, position, *time)?;
        }
    }
    Ok(VerifiedPath { certificates, times: times.to_vec() })
}

/// The path from the leaf to the anchor that webpki finds, each authority of it allowed to be one.
fn found_path(
    leaf: &Certificate,
    others: &[Certificate],
    anchor: &Certificate,
    eku: ExtendedKeyUsage,
    unix_time: UnixTime,
    at: Timestamp,
) -> Result<Vec<Certificate>, PathError> {
    let intermediates: Vec<&Certificate> = others.iter().filter(|certificate| *certificate != leaf).collect();
    let used = webpki_path(leaf, &intermediates, anchor, eku, unix_time)
        .map_err(|error| untimely(&error, &intermediates, at).unwrap_or(PathError::Unverified(error)))?;
    let mut certificates = vec![leaf.clone()];
    certificates.extend(used);
    certificates.push(anchor.clone());
    for (position, authority) in certificates.iter().enumerate().skip(1) {
        check_validity(authority, position, at)?;
        check_authority(authority, position, eku)?;
    }
    Ok(certificates)
}

/// A certificate that another one was found to have issued. Made by `verify_issued_by` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuedBy(());

impl Certificate {
    /// Checks name, authority and signature of one step of a chain, and nothing about time or critical extensions: what a CT log
    /// checks of a submission (RFC 6962 §3.1), and an authority of its own chain.
    pub fn verify_issued_by(&self, issuer: &Certificate) -> Result<IssuedBy, PathError> {
        self.verify_issued_with(issuer, || issuer.public_key())
    }

    /// The same with the issuer's key where it was parsed before.
    pub(crate) fn verify_issued_by_key(&self, issuer: &Certificate, key: &PublicKey) -> Result<IssuedBy, PathError> {
        self.verify_issued_with(issuer, || Ok(key.clone()))
    }

    fn verify_issued_with(
        &self,
        issuer: &Certificate,
        key: impl FnOnce() -> Result<PublicKey, CertificateError>,
    ) -> Result<IssuedBy, PathError> {
        if self.issuer_der() != issuer.subject_der() {
            return Err(PathError::IssuerName);
        }
        if !issuer.is_ca() {
            return Err(PathError::NotAnAuthority { position: 1 });
        }
        if issuer.key_usage().is_some_and(|usage| !usage.contains(KeyUsage::CERTIFICATE_SIGN)) {
            return Err(PathError::AuthorityKeyUsage { position: 1 });
        }
        let (algorithm, signature) = self.signature()?;
        let _: SignatureValid = algorithm.verify(&key()?, self.tbs_der(), signature).map_err(PathError::Signature)?;
        Ok(IssuedBy(()))
    }
}

pub(super) fn check_leaf(leaf: &Certificate, eku: ExtendedKeyUsage) -> Result<(), PathError> {
    if leaf.is_ca() {
        return Err(PathError::LeafIsCa);
    }
    if !leaf.key_usage().is_some_and(|usage| usage.contains(KeyUsage::DIGITAL_SIGNATURE)) {
        return Err(PathError::LeafKeyUsage);
    }
    let allowed = leaf.extended_key_usages().is_some_and(|purposes| match eku {
        ExtendedKeyUsage::CodeSigning => purposes.contains(oid::KP_CODE_SIGNING),
        ExtendedKeyUsage::TimeStamping => {
            purposes.is_only(oid::KP_TIME_STAMPING) && leaf.is_critical(oid::EXTENDED_KEY_USAGE)
        }
    });
    if allowed { Ok(()) } else { Err(PathError::LeafExtendedKeyUsage { required: eku }) }
}

fn check_validity(certificate: &Certificate, position: usize, at: Timestamp) -> Result<(), PathError> {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    if at < not_before {
        return Err(PathError::NotYetValid { position, not_before, at });
    }
    if at > not_after {
        return Err(PathError::Expired { position, not_after, at });
    }
    Ok(())
}

/// What webpki does not ask of authorities: keyCertSign, and all of this of the anchor.
pub(super) fn check_authority(
    authority: &Certificate,
    position: usize,
    eku: ExtendedKeyUsage,
) -> Result<(), PathError> {
    if !authority.is_ca() {
        return Err(PathError::NotAnAuthority { position });
    }
    if authority.key_usage().is_some_and(|usage| !usage.contains(KeyUsage::CERTIFICATE_SIGN)) {
        return Err(PathError::AuthorityKeyUsage { position });
    }
    let purpose = match eku {
        ExtendedKeyUsage::CodeSigning => oid::KP_CODE_SIGNING,
        ExtendedKeyUsage::TimeStamping => oid::KP_TIME_STAMPING,
    };
    if authority.extended_key_usages().is_some_and(|purposes| !purposes.contains(purpose)) {
        return Err(PathError::AuthorityExtendedKeyUsage { position, required: eku });
    }
    let intermediates = position - 1;
    match authority.basic_constraints().and_then(|constraints| constraints.path_length) {
        Some(allowed) if usize::try_from(allowed).is_ok_and(|allowed| intermediates > allowed) => {
            Err(PathError::PathLength { position, intermediates, allowed })
        }
        _ => Ok(()),
    }
}

/// A chain of which every certificate was issued by the next, and all may be authorities of one kind. Made by `verify_authorities` alone.
#[derive(Debug, Clone, Copy)]
pub struct VerifiedAuthorities<'a>(&'a [Certificate]);

impl VerifiedAuthorities<'_> {
    /// Until when all are valid.
    pub fn not_after(&self) -> Timestamp {
        self.0.iter().map(Certificate::not_after).fold(Timestamp::MAX, Timestamp::min)
    }
}

/// Checks the chain of an authority, the issuing certificate first and its root last, for leaves of this kind; times are the caller's. Positions
/// count from the leaf that there will be.
pub fn verify_authorities(chain: &[Certificate], eku: ExtendedKeyUsage) -> Result<VerifiedAuthorities<'_>, PathError> {
    if chain.is_empty() {
        return Err(PathError::EmptyChain);
    }
    for (place, certificate) in chain.iter().enumerate() {
        check_authority(certificate, place + 1, eku)?;
        certificate.verify_issued_by(chain.get(place + 1).unwrap_or(certificate))?;
    }
    Ok(VerifiedAuthorities(chain))
}

/// Which authority was not valid, where that is what webpki found; it does not say which, and the leaf was seen to be valid.
fn untimely(error: &webpki::Error, intermediates: &[&Certificate], at: Timestamp) -> Option<PathError> {
    if !matches!(error, webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) {
        return None;
    }
    intermediates.iter().enumerate().find_map(|(place, intermediate)| check_validity(intermediate, place + 1, at).err())
}

fn unix_time(at: Timestamp) -> Result<UnixTime, PathError> {
    let seconds = u64::try_from(at.as_second()).map_err(|_| PathError::Time { at })?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

/// The intermediates of the path that webpki finds, in order.
fn webpki_path(
    leaf: &Certificate,
    intermediates: &[&Certificate],
    anchor: &Certificate,
    eku: ExtendedKeyUsage,
    time: UnixTime,
) -> Result<Vec<Certificate>, webpki::Error> {
    let usage = webpki::KeyUsage::required_if_present(match eku {
        ExtendedKeyUsage::CodeSigning => oid::KP_CODE_SIGNING_DER,
        ExtendedKeyUsage::TimeStamping => oid::KP_TIME_STAMPING_DER,
    });
    let leaf_der = CertificateDer::from(leaf.der());
    let anchor_der = CertificateDer::from(anchor.der());
    let candidates: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|certificate| CertificateDer::from(certificate.der())).collect();
    let anchors = [webpki::anchor_from_trusted_cert(&anchor_der)?];
    let end_entity = webpki::EndEntityCert::try_from(&leaf_der)?;
    let path = end_entity.verify_for_usage(
        touchmark_keys::webpki_algorithms(),
        &anchors,
        &candidates,
        time,
        usage,
        None,
        None,
    )?;
    let given = |der: &CertificateDer<'_>| {
        let certificate = intermediates.iter().find(|candidate| candidate.der() == der.as_ref());
        Certificate::clone(certificate.expect("webpki builds paths of the certificates that it was given"))
    };
    Ok(path.intermediate_certificates().map(|certificate| given(&certificate.der())).collect())
}
