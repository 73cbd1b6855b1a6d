// SPDX-License-Identifier: Apache-2.0
//! The trusted root: logs, certificate authorities and timestamp authorities, each with its window.

use touchmark_keys::{PublicKey, Scheme};
use url::Url;

use super::{
    Section, TRUSTED_ROOT_MEDIA_TYPE, TRUSTED_ROOT_MEDIA_TYPES_READ, TrustError, Unusable, UnusableReason, ValidFor,
    expect_media_type, sort_entries,
};
use crate::wire::EnumName;
use crate::wire::rekor::{LogId, RawBytes};
use crate::wire::trust as wire;
use crate::x509::Certificate;
use crate::x509::chain::TrustedChain;
use crate::x509::path::ExtendedKeyUsage;

/// Everything that a verifier trusts, and nothing else.
#[derive(Debug, Clone)]
pub struct TrustedRoot {
    tlogs: Vec<TransparencyLog>,
    certificate_authorities: Vec<CertificateAuthority>,
    ctlogs: Vec<TransparencyLog>,
    timestamp_authorities: Vec<CertificateAuthority>,
    unusable: Vec<Unusable>,
}

impl TrustedRoot {
    #[must_use]
    pub fn new(
        tlogs: Vec<TransparencyLog>,
        certificate_authorities: Vec<CertificateAuthority>,
        ctlogs: Vec<TransparencyLog>,
        timestamp_authorities: Vec<CertificateAuthority>,
    ) -> Self {
        Self { tlogs, certificate_authorities, ctlogs, timestamp_authorities, unusable: Vec::new() }
    }

    /// Reads the document.
    ///
    /// # Errors
    /// If it is not JSON of this shape, or of another media type. Single entries never fail the whole.
    pub fn from_json(text: &[u8]) -> Result<Self, TrustError> {
        Self::from_wire(wire::TrustedRoot::from_json(text)?)
    }

    pub(super) fn from_wire(root: wire::TrustedRoot) -> Result<Self, TrustError> {
        expect_media_type(&root.media_type, TRUSTED_ROOT_MEDIA_TYPE, &TRUSTED_ROOT_MEDIA_TYPES_READ)?;
        let mut unusable = Vec::new();
        let log = TransparencyLog::from_wire;
        let authority = CertificateAuthority::from_wire;
        Ok(Self {
            tlogs: sort_entries(root.tlogs, Section::TransparencyLogs, &mut unusable, log),
            certificate_authorities: sort_entries(
                root.certificate_authorities,
                Section::CertificateAuthorities,
                &mut unusable,
                authority,
            ),
            ctlogs: sort_entries(root.ctlogs, Section::CtLogs, &mut unusable, log),
            timestamp_authorities: sort_entries(
                root.timestamp_authorities,
                Section::TimestampAuthorities,
                &mut unusable,
                authority,
            ),
            unusable,
        })
    }

    /// The same root, ready for many verifications: the links of each authority's chain are verified once, here, and their keys parsed
    /// once. It changes no verdict. For a single verification it costs more than it saves.
    #[must_use]
    pub fn prepared(self) -> Self {
        let prepare = |authorities: Vec<CertificateAuthority>, eku: ExtendedKeyUsage| {
            let prepare = |authority: CertificateAuthority| CertificateAuthority {
                chain: authority.chain.prepared(eku),
                ..authority
            };
            authorities.into_iter().map(prepare).collect()
        };
        Self {
            certificate_authorities: prepare(self.certificate_authorities, ExtendedKeyUsage::CodeSigning),
            timestamp_authorities: prepare(self.timestamp_authorities, ExtendedKeyUsage::TimeStamping),
            ..self
        }
    }

    /// The document for people and clients, with a final newline. Entries that were set aside are not in it.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_wire().to_json_pretty()
    }

    pub(super) fn to_wire(&self) -> wire::TrustedRoot {
        wire::TrustedRoot {
            media_type: TRUSTED_ROOT_MEDIA_TYPE.to_owned(),
            tlogs: self.tlogs.iter().map(TransparencyLog::to_wire).collect(),
            certificate_authorities: self.certificate_authorities.iter().map(CertificateAuthority::to_wire).collect(),
            ctlogs: self.ctlogs.iter().map(TransparencyLog::to_wire).collect(),
            timestamp_authorities: self.timestamp_authorities.iter().map(CertificateAuthority::to_wire).collect(),
        }
    }

    /// The signature logs (Rekor).
    #[must_use]
    pub fn tlogs(&self) -> &[TransparencyLog] {
        &self.tlogs
    }

    #[must_use]
    pub fn certificate_authorities(&self) -> &[CertificateAuthority] {
        &self.certificate_authorities
    }

    /// The certificate transparency logs.
    #[must_use]
    pub fn ctlogs(&self) -> &[TransparencyLog] {
        &self.ctlogs
    }

    #[must_use]
    pub fn timestamp_authorities(&self) -> &[CertificateAuthority] {
        &self.timestamp_authorities
    }

    /// What was set aside while reading.
    #[must_use]
    pub fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }
}

/// A log of signatures or of certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransparencyLog {
    base_url: String,
    log_id: [u8; 32],
    public_key: PublicKey,
    scheme: Scheme,
    valid_for: ValidFor,
    operator: String,
}

const HASH_ALGORITHM: &str = "SHA2_256";

impl TransparencyLog {
    #[must_use]
    pub fn new(base_url: String, log_id: [u8; 32], public_key: PublicKey, scheme: Scheme, valid_for: ValidFor) -> Self {
        Self { base_url, log_id, public_key, scheme, valid_for, operator: String::new() }
    }

    #[must_use]
    pub fn with_operator(self, operator: String) -> Self {
        Self { operator, ..self }
    }

    fn from_wire(log: wire::TransparencyLogInstance) -> Result<Self, UnusableReason> {
        if log.hash_algorithm.0 != HASH_ALGORITHM {
            return Err(UnusableReason::UnknownHash { hash: log.hash_algorithm.0 });
        }
        let key = log.public_key.ok_or(UnusableReason::NoKey)?;
        let Some(scheme) = Scheme::from_key_details(&key.key_details.0) else {
            return Err(UnusableReason::UnknownAlgorithm { key_details: key.key_details.0 });
        };
        let public_key = PublicKey::from_spki_der(&key.raw_bytes).map_err(UnusableReason::Key)?;
        if public_key.key_type() != scheme.key_type() {
            return Err(UnusableReason::KeyOfOtherType { key_details: scheme.key_details() });
        }
        let id = log.log_id.unwrap_or_default().key_id;
        let log_id = id.try_into().map_err(|id: Vec<u8>| UnusableReason::LogIdLength { bytes: id.len() })?;
        let valid_for = ValidFor::from_wire(key.valid_for)?;
        Ok(Self { base_url: log.base_url, log_id, public_key, scheme, valid_for, operator: log.operator })
    }

    fn to_wire(&self) -> wire::TransparencyLogInstance {
        wire::TransparencyLogInstance {
            base_url: self.base_url.clone(),
            hash_algorithm: EnumName(HASH_ALGORITHM.to_owned()),
            public_key: Some(wire::PublicKey {
                raw_bytes: self.public_key.spki_der().to_vec(),
                key_details: EnumName(self.scheme.key_details().to_owned()),
                valid_for: Some(self.valid_for.to_wire()),
            }),
            log_id: Some(LogId { key_id: self.log_id.to_vec() }),
            checkpoint_key_id: None,
            operator: self.operator.clone(),
        }
    }

    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The hostname of the base URL, without port: the origin that a checkpoint of a Rekor v2 log must have.
    #[must_use]
    pub fn hostname(&self) -> Option<String> {
        Url::parse(&self.base_url).ok()?.host_str().map(str::to_owned)
    }

    /// The host of the base URL, with its port if it names one: the name under which a Rekor v1 log signs checkpoints.
    #[must_use]
    pub fn authority(&self) -> Option<String> {
        let url = Url::parse(&self.base_url).ok()?;
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }

    #[must_use]
    pub fn log_id(&self) -> &[u8; 32] {
        &self.log_id
    }

    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    #[must_use]
    pub fn valid_for(&self) -> ValidFor {
        self.valid_for
    }

    #[must_use]
    pub fn operator(&self) -> &str {
        &self.operator
    }
}

/// The two parts of an authority's name that the document shows to people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    pub organization: String,
    pub common_name: String,
}

/// A certificate authority or a timestamp authority.
#[derive(Debug, Clone)]
pub struct CertificateAuthority {
    subject: Subject,
    uri: String,
    chain: TrustedChain,
    valid_for: ValidFor,
    operator: String,
}

impl CertificateAuthority {
    /// The chain stands with the root last; the one of a timestamp authority begins with its signing certificate.
    ///
    /// # Errors
    /// If the chain is empty.
    pub fn new(
        subject: Subject,
        uri: String,
        chain: Vec<Certificate>,
        valid_for: ValidFor,
    ) -> Result<Self, UnusableReason> {
        if chain.is_empty() {
            return Err(UnusableReason::NoCertificate);
        }
        Ok(Self { subject, uri, chain: TrustedChain::new(chain), valid_for, operator: String::new() })
    }

    #[must_use]
    pub fn with_operator(self, operator: String) -> Self {
        Self { operator, ..self }
    }

    fn from_wire(authority: wire::CertificateAuthority) -> Result<Self, UnusableReason> {
        let chain = authority.cert_chain.unwrap_or_default().certificates;
        let chain = chain.iter().map(|certificate| Certificate::from_der(&certificate.raw_bytes));
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(UnusableReason::Certificate)?;
        let subject = authority.subject.unwrap_or_default();
        let subject = Subject { organization: subject.organization, common_name: subject.common_name };
        let valid_for = ValidFor::from_wire(authority.valid_for)?;
        Ok(Self::new(subject, authority.uri, chain, valid_for)?.with_operator(authority.operator))
    }

    fn to_wire(&self) -> wire::CertificateAuthority {
        let certificates = self.chain().iter().map(|certificate| RawBytes { raw_bytes: certificate.der().to_vec() });
        wire::CertificateAuthority {
            subject: Some(wire::DistinguishedName {
                organization: self.subject.organization.clone(),
                common_name: self.subject.common_name.clone(),
            }),
            uri: self.uri.clone(),
            cert_chain: Some(wire::X509CertificateChain { certificates: certificates.collect() }),
            valid_for: Some(self.valid_for.to_wire()),
            operator: self.operator.clone(),
        }
    }

    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// At least one certificate, the root last.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        self.chain.certificates()
    }

    /// The chain to verify paths and tokens under, prepared if the root is.
    #[must_use]
    pub fn trusted_chain(&self) -> &TrustedChain {
        &self.chain
    }

    #[must_use]
    pub fn valid_for(&self) -> ValidFor {
        self.valid_for
    }

    #[must_use]
    pub fn operator(&self) -> &str {
        &self.operator
    }
}
