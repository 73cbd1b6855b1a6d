// SPDX-License-Identifier: Apache-2.0
//! The trusted root: logs, certificate authorities and timestamp authorities, each with its window.

use touchmark_keys::{KeyError, PublicKey, Scheme};
use url::Url;

use super::{
    Section, TRUSTED_ROOT_MEDIA_TYPE, TRUSTED_ROOT_MEDIA_TYPES_READ, TrustError, Unusable, UnusableReason, ValidFor,
    expect_media_type, sort_entries, without_places,
};
use crate::wire::EnumName;
use crate::wire::rekor::{LogId, RawBytes};
use crate::wire::trust as wire;
use crate::x509::chain::TrustedChain;
use crate::x509::path::ExtendedKeyUsage;
use crate::x509::{CHAIN_LENGTH_MAX, Certificate};

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
        let logs = |list, section, unusable: &mut Vec<Unusable>| {
            let logs = sort_entries(list, section, unusable, TransparencyLog::from_wire)?;
            Ok::<_, TrustError>(with_ids_of_one_key(logs, section, unusable))
        };
        let authorities = |list, section, unusable: &mut Vec<Unusable>| {
            sort_entries(list, section, unusable, CertificateAuthority::from_wire).map(without_places)
        };
        let tlogs = logs(root.tlogs, Section::TransparencyLogs, &mut unusable)?;
        let certificate_authorities =
            authorities(root.certificate_authorities, Section::CertificateAuthorities, &mut unusable)?;
        let ctlogs = logs(root.ctlogs, Section::CtLogs, &mut unusable)?;
        let timestamp_authorities =
            authorities(root.timestamp_authorities, Section::TimestampAuthorities, &mut unusable)?;
        Ok(Self { tlogs, certificate_authorities, ctlogs, timestamp_authorities, unusable })
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
        let logs = |logs: &[TransparencyLog]| logs.iter().map(|log| log.to_wire().into()).collect();
        let authorities =
            |list: &[CertificateAuthority]| list.iter().map(|authority| authority.to_wire().into()).collect();
        wire::TrustedRoot {
            media_type: TRUSTED_ROOT_MEDIA_TYPE.to_owned(),
            tlogs: logs(&self.tlogs),
            certificate_authorities: authorities(&self.certificate_authorities),
            ctlogs: logs(&self.ctlogs),
            timestamp_authorities: authorities(&self.timestamp_authorities),
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

/// Sets aside every log that shares its id with another key: an entry names a log by its id alone.
fn with_ids_of_one_key(
    logs: Vec<(usize, TransparencyLog)>,
    section: Section,
    unusable: &mut Vec<Unusable>,
) -> Vec<TransparencyLog> {
    let disputed = |log: &TransparencyLog| {
        logs.iter().any(|(_, other)| other.log_id == log.log_id && other.public_key != log.public_key)
    };
    let disputed: Vec<bool> = logs.iter().map(|(_, log)| disputed(log)).collect();
    let mut usable = Vec::with_capacity(logs.len());
    for ((index, log), disputed) in logs.into_iter().zip(disputed) {
        if disputed {
            unusable.push(Unusable { section, index, reason: UnusableReason::LogIdOfTwoKeys });
        } else {
            usable.push(log);
        }
    }
    usable
}

/// A log of signatures or of certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransparencyLog {
    base_url: String,
    /// What the base URL says, read once.
    host: Option<Host>,
    log_id: [u8; 32],
    public_key: PublicKey,
    scheme: Scheme,
    valid_for: ValidFor,
    operator: String,
    checkpoint_key_id: Option<CheckpointKeyId>,
}

const HASH_ALGORITHM: &str = "SHA2_256";

/// The id of the log's key in signed notes, of which the first four bytes stand in a note; some documents give the whole hash.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CheckpointKeyId {
    hint: [u8; 4],
    rest: Vec<u8>,
}

impl CheckpointKeyId {
    fn from_wire(id: Option<LogId>) -> Result<Option<Self>, UnusableReason> {
        const HASH_BYTES: usize = 32;
        let Some(LogId { key_id }) = id.filter(|id| !id.key_id.is_empty()) else { return Ok(None) };
        match key_id.split_first_chunk() {
            Some((hint, rest)) if key_id.len() <= HASH_BYTES => Ok(Some(Self { hint: *hint, rest: rest.to_vec() })),
            _ => Err(UnusableReason::CheckpointKeyIdLength { bytes: key_id.len() }),
        }
    }

    fn to_wire(&self) -> LogId {
        LogId { key_id: [&self.hint[..], &self.rest].concat() }
    }
}

impl TransparencyLog {
    #[must_use]
    pub fn new(base_url: String, log_id: [u8; 32], public_key: PublicKey, scheme: Scheme, valid_for: ValidFor) -> Self {
        let (operator, checkpoint_key_id, host) = (String::new(), None, Host::of(&base_url));
        Self { base_url, host, log_id, public_key, scheme, valid_for, operator, checkpoint_key_id }
    }

    #[must_use]
    pub fn with_operator(self, operator: String) -> Self {
        Self { operator, ..self }
    }

    /// The same log, trusted for another time.
    #[must_use]
    pub fn with_valid_for(self, valid_for: ValidFor) -> Self {
        Self { valid_for, ..self }
    }

    fn from_wire(log: wire::TransparencyLogInstance) -> Result<Self, UnusableReason> {
        if log.hash_algorithm.0 != HASH_ALGORITHM {
            return Err(UnusableReason::UnknownHash { hash: log.hash_algorithm.0 });
        }
        let key = log.public_key.ok_or(UnusableReason::NoKey)?;
        let key_details = key.key_details.0;
        let parsed = PublicKey::from_key_details(&key_details, &key.raw_bytes).map_err(|error| match error {
            KeyError::UnknownKeyDetails => UnusableReason::UnknownAlgorithm { key_details },
            KeyError::KeyDetailsOfAnotherType { .. } => UnusableReason::KeyOfOtherType { key_details },
            error => UnusableReason::Key(error),
        });
        let (public_key, scheme) = parsed?;
        let id = log.log_id.unwrap_or_default().key_id;
        let log_id = id.try_into().map_err(|id: Vec<u8>| UnusableReason::LogIdLength { bytes: id.len() })?;
        let valid_for = ValidFor::from_wire(key.valid_for)?;
        let checkpoint_key_id = CheckpointKeyId::from_wire(log.checkpoint_key_id)?;
        let (base_url, operator) = (log.base_url, log.operator);
        let host = Host::of(&base_url);
        Ok(Self { base_url, host, log_id, public_key, scheme, valid_for, operator, checkpoint_key_id })
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
            checkpoint_key_id: self.checkpoint_key_id.as_ref().map(CheckpointKeyId::to_wire),
            operator: self.operator.clone(),
        }
    }

    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The hostname of the base URL, without port: the origin that a checkpoint of a Rekor v2 log must have.
    #[must_use]
    pub fn hostname(&self) -> Option<&str> {
        self.host.as_ref().map(|host| host.name.as_str())
    }

    /// The host of the base URL, with its port if it names one: the name under which a Rekor v1 log signs checkpoints.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.host.as_ref().map(|host| host.authority.as_str())
    }

    #[must_use]
    pub fn log_id(&self) -> &[u8; 32] {
        &self.log_id
    }

    /// The key hint in the log's checkpoints, where the document says it (version 0.2). It follows from name and key, and is no proof.
    #[must_use]
    pub fn checkpoint_key_id(&self) -> Option<[u8; 4]> {
        self.checkpoint_key_id.as_ref().map(|id| id.hint)
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

/// The host of a base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    name: String,
    /// With its port, if the URL names one.
    authority: String,
}

impl Host {
    fn of(base_url: &str) -> Option<Self> {
        let url = Url::parse(base_url).ok()?;
        let name = url.host_str()?.to_owned();
        let authority = url.port().map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
        Some(Self { name, authority })
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
        if chain.len() > CHAIN_LENGTH_MAX {
            return Err(UnusableReason::ChainTooLong { certificates: chain.len() });
        }
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
