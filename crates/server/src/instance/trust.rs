// SPDX-License-Identifier: Apache-2.0
//! What clients are given: the trusted root, which never depends on an address, and the signing config, which is addresses.
//!
//! In scope: building both, their TUF targets, and the files of `DIR/client`. Out of scope: their formats
//! (`touchmark_sigstore::trust`), signing them into TUF (`crate::tuf`).
//! Invariant: the same instance at the same addresses gives the same bytes, so that nothing is published without a change.

use jiff::Timestamp;
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
use super::manifest::Manifest;
use crate::durable::{self, Access};
use crate::tuf::Target;

/// Names that clients ask the TUF repository for.
pub(super) const TRUSTED_ROOT: &str = "trusted_root.json";
pub(super) const SIGNING_CONFIG: &str = "signing_config.v0.2.json";

/// What a trusted root is made of.
pub(super) struct Material<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) valid_from: Timestamp,
    pub(super) ca_chain: Vec<Certificate>,
    pub(super) tsa_chain: Vec<Certificate>,
    pub(super) rekor_key: &'a NoteKey,
    pub(super) ct_key: &'a PublicKey,
}

impl Material<'_> {
    pub(super) fn trusted_root(self) -> Result<TrustedRoot, StartError> {
        let since = ValidFor::since(self.valid_from);
        let domain = self.manifest.domain();
        // Go compares the host of the base URL with the origin of the checkpoint, and so must have no port or path.
        // No operators: they came with version 0.2 of the media type, and a strict reader of 0.1 knows no such member.
        let log = |name: &str, log_id: [u8; 32], key: &PublicKey| {
            TransparencyLog::new(format!("http://{name}"), log_id, key.clone(), key.default_scheme(), since)
        };
        let authority = |service: &str, chain: Vec<Certificate>, common_name: &str| {
            let subject = Subject { organization: domain.clone(), common_name: format!("touchmark {common_name}") };
            CertificateAuthority::new(subject, format!("http://{service}.{domain}"), chain, since)
                .map_err(StartError::role("trusted root"))
        };
        Ok(TrustedRoot::new(
            vec![log(&self.manifest.rekor_log, self.rekor_key.id(), self.rekor_key.public_key())],
            vec![authority("fulcio", self.ca_chain, "intermediate")?],
            vec![log(&self.manifest.ct_log, self.ct_key.spki_sha256(), self.ct_key)],
            vec![authority("tsa", self.tsa_chain, "timestamping")?],
        ))
    }
}

/// Where the services of an instance are reached.
pub(super) fn signing_config(manifest: &Manifest, service_url: &str) -> SigningConfig {
    let since = ValidFor::since(manifest.created);
    let service = |url: String, version| vec![Service::new(url, version, since, manifest.domain())];
    SigningConfig::new(ServiceLists {
        ca: service(service_url.to_owned(), 1),
        oidc: service(manifest.oidc_issuer.to_string(), 1),
        rekor: service(service_url.to_owned(), 2),
        rekor_selector: Some(Selector::Any),
        tsa: service(format!("{service_url}/api/v1/timestamp"), 1),
        tsa_selector: Some(Selector::Any),
    })
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
