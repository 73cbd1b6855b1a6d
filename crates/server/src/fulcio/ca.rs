// SPDX-License-Identifier: Apache-2.0
//! The certificate authority's key and chain.
//!
//! RFC 5280 §4.1.2.5 (validity within the issuer's), Fulcio's chain rules.
//!
//! In scope: the checks when it is loaded, signing within a deadline, the validity that a leaf may have, the chains of earlier keys that are still
//! published.
//! Out of scope: the profile of a leaf (`sigstore::issue`), making the chain (`crate::instance`).
//! Invariants: the signer's key is the one in the first certificate; a leaf never outlives any certificate above it; the links of the chain to each
//! other are verified once, here, and their validity with every leaf.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use touchmark_keys::Scheme;
use touchmark_signers::{SIGN_DEADLINE, Signer, sign_within};
use touchmark_sigstore::issue::{self, LintedTbs};
use touchmark_sigstore::x509::Certificate;
use touchmark_sigstore::x509::chain::TrustedChain;
use touchmark_sigstore::x509::path::{ExtendedKeyUsage, verify_authorities};

use super::config::FulcioStartError;
use super::error::IssueError;
use super::self_check::SelfCheckError;

/// How long a certificate is valid; the public service's figure, and the most that the profile allows.
pub(crate) const LEAF_LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// The key of an authority signed, and its chain was valid.
pub(crate) struct Proven(());

pub(crate) struct CertificateAuthority {
    signer: Arc<dyn Signer>,
    /// The issuing certificate first, the root last; not empty. Prepared for leaves that sign code.
    chain: TrustedChain,
    /// The same in PEM, as every reply has it.
    chain_pems: Arc<[String]>,
    /// No longer for issuing.
    previous: Vec<Vec<Certificate>>,
}

/// What the key signs to show that it can. No TBSCertificate begins so.
const TRIAL: &[u8] = b"touchmark: a trial signature of a certificate authority";

impl CertificateAuthority {
    pub(crate) fn new(signer: Arc<dyn Signer>, chain: Vec<Certificate>) -> Result<Self, FulcioStartError> {
        let issuing = chain.first().ok_or(FulcioStartError::ChainEmpty)?;
        if signer.scheme() == Scheme::Ed25519ph {
            return Err(FulcioStartError::SignerScheme);
        }
        let key = issuing.public_key().map_err(|_| FulcioStartError::ChainKey)?;
        if key != *signer.public_key() {
            return Err(FulcioStartError::ChainKey);
        }
        key.check_strength().map_err(|_| FulcioStartError::ChainKeyWeak)?;
        check_links(&chain).map_err(|position| FulcioStartError::ChainLink { position })?;
        verify_authorities(&chain, ExtendedKeyUsage::CodeSigning).map_err(FulcioStartError::ChainUnfit)?;
        let chain_pems = chain.iter().map(|certificate| certificate.to_pem().trim().to_owned()).collect();
        let chain = TrustedChain::new(chain).prepared(ExtendedKeyUsage::CodeSigning);
        Ok(Self { signer, chain, chain_pems, previous: Vec::new() })
    }

    /// Publishes the chains of earlier keys too; one that is the current one is published once.
    pub(crate) fn with_previous(mut self, chains: Vec<Vec<Certificate>>) -> Result<Self, FulcioStartError> {
        for (number, chain) in chains.into_iter().enumerate() {
            check_links(&chain).map_err(|position| FulcioStartError::PreviousChainLink { number, position })?;
            if chain != self.chain() && !self.previous.contains(&chain) {
                self.previous.push(chain);
            }
        }
        Ok(self)
    }

    /// Whether the key signs, and a certificate could be issued now.
    pub(crate) async fn prove(&self, now: Timestamp) -> Result<Proven, FulcioStartError> {
        let signed = sign_within(self.signer.as_ref(), TRIAL, SIGN_DEADLINE).await;
        let signature = signed.map_err(FulcioStartError::Trial)?;
        let key = self.issuing_certificate().public_key().map_err(|_| FulcioStartError::ChainKey)?;
        key.verify(self.scheme(), TRIAL, &signature).map_err(|_| FulcioStartError::TrialSignature)?;
        self.leaf_validity(now).map_err(|_| FulcioStartError::ChainNotValid)?;
        Ok(Proven(()))
    }

    /// The chains to be trusted: the current one, and the previous ones of which no certificate has ended.
    pub(super) fn published(&self, now: Timestamp) -> impl Iterator<Item = &[Certificate]> {
        let lasts = move |chain: &&[Certificate]| chain.iter().all(|certificate| now <= certificate.not_after());
        std::iter::once(self.chain()).chain(self.previous().filter(lasts))
    }

    /// The chains of earlier keys, ended or not.
    pub(crate) fn previous(&self) -> impl Iterator<Item = &[Certificate]> {
        self.previous.iter().map(Vec::as_slice)
    }

    /// The certificate whose key signs.
    pub(super) fn issuing_certificate(&self) -> &Certificate {
        self.chain().first().expect("the constructor refuses an empty chain")
    }

    pub(crate) fn chain(&self) -> &[Certificate] {
        self.chain.certificates()
    }

    /// Each certificate of the chain in PEM without a final line end.
    pub(super) fn chain_pems(&self) -> Arc<[String]> {
        Arc::clone(&self.chain_pems)
    }

    /// The chain as leaves are verified under it.
    pub(super) fn trusted_chain(&self) -> &TrustedChain {
        &self.chain
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.signer.scheme()
    }

    /// From `now`, in whole seconds as certificates count, for [`LEAF_LIFETIME`] or until the first certificate above ends.
    pub(super) fn leaf_validity(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), IssueError> {
        let not_before = Timestamp::from_second(now.as_second()).map_err(|_| IssueError::AuthorityNotValid)?;
        let wanted = not_before.checked_add(LEAF_LIFETIME).map_err(|_| IssueError::AuthorityNotValid)?;
        let not_after = self.chain().iter().map(Certificate::not_after).fold(wanted, Timestamp::min);
        let begun = self.chain().iter().all(|certificate| certificate.not_before() <= not_before);
        if !begun || not_after <= not_before {
            return Err(IssueError::AuthorityNotValid);
        }
        Ok((not_before, not_after))
    }

    /// Signs a TBSCertificate and reads the result back, as anybody will who receives it.
    pub(super) async fn sign(&self, tbs: &LintedTbs) -> Result<Certificate, IssueError> {
        let signature = sign_within(self.signer.as_ref(), tbs, SIGN_DEADLINE).await?;
        let der = issue::assemble(tbs, self.signer.scheme(), &signature)?;
        Ok(Certificate::from_der(&der).map_err(|_| SelfCheckError::Unreadable)?)
    }
}

/// Each certificate is issued by the next, the root by itself, and all may issue; else the position of the first that is not or may not.
fn check_links(chain: &[Certificate]) -> Result<(), usize> {
    for (position, certificate) in chain.iter().enumerate() {
        let issuer = chain.get(position + 1).unwrap_or(certificate);
        if !certificate.is_ca() || certificate.verify_issued_by(issuer).is_err() {
            return Err(position);
        }
    }
    Ok(())
}
