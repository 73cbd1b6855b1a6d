// SPDX-License-Identifier: Apache-2.0
//! What clients are given: the trusted root, which never depends on an address, and the signing config, which is addresses.
//!
//! In scope: building both, their TUF targets, and the files of `DIR/client`. Out of scope: their formats
//! (`touchmark_sigstore::trust`), signing them into TUF (`crate::tuf`).
//! Invariant: the same instance at the same addresses gives the same bytes, so that nothing is published without a change.

use jiff::{SignedDuration, Timestamp};
use touchmark_keys::PublicKey;
use touchmark_sigstore::trust::{
    CertificateAuthority, ClientTrustConfig, Selector, Service, ServiceLists, SigningConfig, Subject, TransparencyLog,
    TrustedRoot, ValidFor,
};
use touchmark_sigstore::x509::Certificate;
use touchmark_tlog::note::NoteKey;
use url::Url;

use super::error::StartError;
use super::layout::Layout;
use super::manifest::{Manifest, Shard};
use super::open::LogKind;
use crate::durable::{self, Access};
use crate::tuf::Target;

/// Names that clients ask the TUF repository for.
pub(super) const TRUSTED_ROOT: &str = "trusted_root.json";
pub(super) const SIGNING_CONFIG: &str = "signing_config.v0.2.json";

/// How long after its last day a log is still trusted: a certificate lives ten minutes after its SCT, timestamps come from clocks of other
/// machines, and nothing can be logged in that time.
const TRUSTED_AFTER_END: SignedDuration = SignedDuration::from_hours(1);

/// What a trusted root is made of.
pub(super) struct Material<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) valid_from: Timestamp,
    pub(super) ca_chain: Vec<Certificate>,
    pub(super) tsa_chain: Vec<Certificate>,
    /// In the order of the manifest.
    pub(super) log_keys: &'a [PublicKey],
}

impl Material<'_> {
    pub(super) fn trusted_root(self) -> Result<TrustedRoot, StartError> {
        let since = ValidFor::since(self.valid_from);
        let domain = self.manifest.domain();
        let logs = |kind| {
            let shards = self.manifest.logs.iter().zip(self.log_keys).filter(move |(shard, _)| shard.kind == kind);
            shards.map(|(shard, key)| log(shard, key, since)).collect::<Result<Vec<_>, _>>()
        };
        let authority = |service: &str, chain: Vec<Certificate>, common_name: &str| {
            let subject = Subject { organization: domain.clone(), common_name: format!("touchmark {common_name}") };
            CertificateAuthority::new(subject, format!("http://{service}.{domain}"), chain, since)
                .map_err(StartError::role("trusted root"))
        };
        Ok(TrustedRoot::new(
            logs(LogKind::Rekor)?,
            vec![authority("fulcio", self.ca_chain, "intermediate")?],
            logs(LogKind::Ct)?,
            vec![authority("tsa", self.tsa_chain, "timestamping")?],
        ))
    }
}

/// A log as verifiers know it.
fn log(shard: &Shard, key: &PublicKey, valid_for: ValidFor) -> Result<TransparencyLog, StartError> {
    let log_id = match shard.kind {
        LogKind::Ct => key.spki_sha256(),
        LogKind::Rekor => {
            let algorithm = shard.kind.note_algorithm(key.key_type());
            NoteKey::new(&shard.name, algorithm, key.clone()).map_err(StartError::role("rekor"))?.id()
        }
    };
    // Go compares the host of the base URL with the origin of the checkpoint, and so must have no port or path.
    // No operators: they came with version 0.2 of the media type, and a strict reader of 0.1 knows no such member.
    let base_url = format!("http://{}", shard.name);
    Ok(TransparencyLog::new(base_url, log_id, key.clone(), key.default_scheme(), valid_for))
}

/// Why a published trusted root cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
enum TrustedRootError {
    #[error(
        "{count} entries of the published trusted root cannot be read, and would be lost: mend or remove them first"
    )]
    WouldLose { count: usize },
}

/// Which logs of the manifest a trusted root does not know.
pub(super) fn unknown_logs<'m>(manifest: &'m Manifest, trusted_root: &TrustedRoot) -> Vec<&'m Shard> {
    let known = |shard: &&Shard| !list(trusted_root, shard.kind).iter().any(|log| log.hostname() == Some(&shard.name));
    manifest.logs.iter().filter(known).collect()
}

fn list(trusted_root: &TrustedRoot, kind: LogKind) -> &[TransparencyLog] {
    match kind {
        LogKind::Rekor => trusted_root.tlogs(),
        LogKind::Ct => trusted_root.ctlogs(),
    }
}

/// The published trusted root with the logs of the manifest: those that it did not know, with these keys, and an end for those that
/// end. Whatever else it says stays.
pub(super) fn with_logs(
    published: &[u8],
    manifest: &Manifest,
    new_keys: &[(String, PublicKey)],
) -> Result<Vec<u8>, StartError> {
    let root = TrustedRoot::from_json(published).map_err(StartError::role("trusted root"))?;
    let update = |kind| {
        let mut logs: Vec<TransparencyLog> = list(&root, kind).to_vec();
        for log in &mut logs {
            let shard = manifest.of_kind(kind).find(|shard| log.hostname() == Some(&shard.name));
            if let Some(shard) = shard {
                *log = log.clone().with_valid_for(window(log.valid_for().start(), shard));
            }
        }
        for shard in unknown_logs(manifest, &root).into_iter().filter(|shard| shard.kind == kind) {
            if let Some((_, key)) = new_keys.iter().find(|(name, _)| *name == shard.name) {
                logs.push(log(shard, key, window(shard.created, shard))?);
            }
        }
        Ok::<_, StartError>(logs)
    };
    let (tlogs, ctlogs) = (update(LogKind::Rekor)?, update(LogKind::Ct)?);
    if tlogs == root.tlogs() && ctlogs == root.ctlogs() {
        return Ok(published.to_vec());
    }
    if !root.unusable().is_empty() {
        let lost = TrustedRootError::WouldLose { count: root.unusable().len() };
        return Err(StartError::role("trusted root")(lost));
    }
    let (authorities, stamps) = (root.certificate_authorities().to_vec(), root.timestamp_authorities().to_vec());
    Ok(TrustedRoot::new(tlogs, authorities, ctlogs, stamps).to_json().into_bytes())
}

fn window(start: Timestamp, shard: &Shard) -> ValidFor {
    let end = shard.state.until().map(|until| until.saturating_add(TRUSTED_AFTER_END).unwrap_or(until));
    ValidFor::new(start, end).unwrap_or(ValidFor::since(start))
}

/// Where the services of an instance are reached. Each Rekor log has an address of its own, so that who holds an older signing config
/// writes to the log whose key he knows, or is told that it has ended; never to one that he cannot verify.
pub(super) fn signing_config(manifest: &Manifest, service_url: &str) -> SigningConfig {
    let since = ValidFor::since(manifest.created);
    let service = |url: String, version| vec![Service::new(url, version, since, manifest.domain())];
    let log = |shard: &Shard| {
        let (since, until) = shard.state.service()?;
        let window = ValidFor::new(since, until).unwrap_or(ValidFor::since(since));
        Some(Service::new(log_url(service_url, &shard.name), 2, window, manifest.domain()))
    };
    SigningConfig::new(ServiceLists {
        ca: service(service_url.to_owned(), 1),
        oidc: service(manifest.oidc_issuer.to_string(), 1),
        rekor: manifest.of_kind(LogKind::Rekor).rev().filter_map(log).collect(),
        rekor_selector: Some(Selector::Any),
        tsa: service(format!("{service_url}/api/v1/timestamp"), 1),
        tsa_selector: Some(Selector::Any),
    })
}

/// The address of one log.
pub(super) fn log_url(service_url: &str, name: &str) -> String {
    format!("{service_url}/log/{name}")
}

/// The two documents as TUF hands them out.
pub(super) fn targets(trusted_root: Vec<u8>, signing_config: &SigningConfig) -> Vec<Target> {
    vec![
        Target { name: TRUSTED_ROOT, bytes: trusted_root },
        Target { name: SIGNING_CONFIG, bytes: signing_config.to_json().into_bytes() },
    ]
}

/// Writes the files of `DIR/client` that are not as they should be.
pub(super) fn write_client_files(
    layout: &Layout,
    tuf_root: &[u8],
    trusted_root_json: &[u8],
    signing_config: SigningConfig,
) -> Result<(), StartError> {
    let directory = layout.client();
    durable::create_private_directory(&directory)?;
    let trusted_root = TrustedRoot::from_json(trusted_root_json).map_err(StartError::role("trusted root"))?;
    let signing_config_json = signing_config.to_json().into_bytes();
    let both = ClientTrustConfig::new(trusted_root, signing_config).to_json().into_bytes();
    for (name, bytes) in [
        ("root.json", tuf_root),
        ("trusted_root.json", trusted_root_json),
        ("signing_config.json", &signing_config_json),
        ("client_trust_config.json", &both),
    ] {
        let path = directory.join(name);
        if !path.exists() || durable::read(&path)? != bytes {
            durable::write(&path, bytes, Access::Public)?;
        }
    }
    Ok(())
}

/// Writes the files of `DIR/client` from published targets.
pub(super) fn write_client_documents(layout: &Layout, tuf_root: &[u8], targets: &[Target]) -> Result<(), StartError> {
    let find = |name| targets.iter().find(|target| target.name == name).map(|target| target.bytes.as_slice());
    let (Some(trusted_root), Some(signing_config)) = (find(TRUSTED_ROOT), find(SIGNING_CONFIG)) else { return Ok(()) };
    let signing_config = SigningConfig::from_json(signing_config).map_err(StartError::role("signing config"))?;
    write_client_files(layout, tuf_root, trusted_root, signing_config)
}

/// Says so if clients are sent elsewhere than to the address that this server calls its own: what it serves was published for
/// another address, and only the offline keys can change that.
pub(super) fn warn_of_other_addresses(signing_config: &[u8], external_url: &Url) {
    let Ok(config) = SigningConfig::from_json(signing_config) else {
        tracing::warn!("the published signing config cannot be read");
        return;
    };
    let lists = config.lists();
    let services = lists.ca.iter().chain(&lists.rekor).chain(&lists.tsa);
    let own = base_url(external_url);
    if !services.into_iter().any(|service| service.url().starts_with(&own)) {
        tracing::warn!(external_url = own, "the published signing config names no service at this address");
    }
}

/// The base URL of a URL without its final slash, as clients append paths to it.
pub(super) fn base_url(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
