// SPDX-License-Identifier: Apache-2.0
//! The last look at a certificate before it leaves: read back from its bytes and compared with what was permitted.
//!
//! In scope: path, validity, key, identity, and the SCTs over the certificate as it is. Out of scope: making it (`issue`).
//! Invariant: an [`IssuedChain`] exists only for a certificate that a strict client would accept now.

use std::sync::Arc;

use jiff::Timestamp;
use touchmark_sigstore::ct::{self, LogEntry};
use touchmark_sigstore::x509::Certificate;
use touchmark_sigstore::x509::path::{ExtendedKeyUsage, verify_path};

use super::authorize::Permit;
use super::ca::{CertificateAuthority, LEAF_LIFETIME};
use super::issue::LoggedPrecertificate;

/// What a certificate that we made ourselves turned out to be. Always our fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SelfCheckError {
    #[error("it cannot be read back")]
    Unreadable,
    #[error("the precertificate makes no log entry")]
    Precertificate,
    #[error("it does not lead to the root")]
    Path,
    #[error("it is valid too long")]
    Validity,
    #[error("it holds another key")]
    Key,
    #[error("it names somebody else")]
    Identity,
    #[error("it does not hold exactly the SCTs of the logs, or they are not over this certificate")]
    Sct,
}

/// A certificate that may leave, under the chain of the authority that made it.
pub(super) struct IssuedChain {
    leaf: Certificate,
    /// The certificates above it in PEM.
    above: Arc<[String]>,
}

impl IssuedChain {
    /// The chain as the client receives it: leaf, intermediates, root, each in PEM without a final line end.
    pub(super) fn to_pems(&self) -> Vec<String> {
        let leaf = self.leaf.to_pem().trim().to_owned();
        std::iter::once(leaf).chain(self.above.iter().cloned()).collect()
    }

    pub(super) fn leaf(&self) -> &Certificate {
        &self.leaf
    }
}

pub(super) fn check_before_release(
    certificate: Certificate,
    permit: &Permit,
    ca: &CertificateAuthority,
    logged: &LoggedPrecertificate,
    now: Timestamp,
) -> Result<IssuedChain, SelfCheckError> {
    let path = verify_path(&certificate, ca.trusted_chain(), ExtendedKeyUsage::CodeSigning, now);
    let path = path.map_err(|error| {
        tracing::error!(%error, "a certificate of our own does not verify");
        SelfCheckError::Path
    })?;
    if path.issuer() != ca.issuing_certificate() {
        return Err(SelfCheckError::Path);
    }
    check_validity(&certificate, ca)?;
    if certificate.spki_der() != permit.key().public_key().spki_der() {
        return Err(SelfCheckError::Key);
    }
    let principal = permit.principal();
    let names_subject = certificate.san().is_ok_and(|name| name == principal.san);
    let names_issuer = certificate.issuer_claim().is_ok_and(|issuer| issuer == principal.issuer);
    if !names_subject || !names_issuer {
        return Err(SelfCheckError::Identity);
    }
    check_sct(&certificate, ca, logged)?;
    Ok(IssuedChain { leaf: certificate, above: ca.chain_pems() })
}

fn check_validity(certificate: &Certificate, ca: &CertificateAuthority) -> Result<(), SelfCheckError> {
    let lifetime = certificate.not_after().duration_since(certificate.not_before());
    let outlives = ca.chain().iter().any(|above| certificate.not_after() > above.not_after());
    if outlives || lifetime > LEAF_LIFETIME || lifetime.is_negative() || lifetime.is_zero() {
        return Err(SelfCheckError::Validity);
    }
    Ok(())
}

/// Each SCT was verified over the entry of the precertificate. The certificate holds those very SCTs and makes that very entry, so they are over the
/// certificate too, and the two agree in every byte but poison and SCTs.
fn check_sct(
    certificate: &Certificate,
    ca: &CertificateAuthority,
    logged: &LoggedPrecertificate,
) -> Result<(), SelfCheckError> {
    let embedded = ct::embedded_scts(certificate).map_err(|_| SelfCheckError::Sct)?;
    let entry = LogEntry::from_certificate_with_scts(certificate, ca.issuing_certificate());
    let entry = entry.map_err(|_| SelfCheckError::Sct)?;
    if embedded.is_empty() || embedded != logged.scts() || entry != *logged.entry() {
        return Err(SelfCheckError::Sct);
    }
    Ok(())
}
