// SPDX-License-Identifier: Apache-2.0
//! `touchmark up`: the whole stack on this machine, out of one data directory.
//!
//! In scope: addresses, first and later starts, publishing a changed signing config. Out of scope: what the roles do.
//! Invariants: loopback only; another port changes the signing config and nothing else; the offline keys live inside
//! [`publish_changes`] and are dropped with it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use touchmark_keys::PublicKey;
use touchmark_sequencer::SystemClock;
use touchmark_signers::SignerReference;
use touchmark_sigstore::trust::TrustedRoot;
use url::Url;
use zeroize::Zeroizing;

use super::admin::{self, Attended};
use super::compose::compose;
use super::create;
use super::error::StartError;
use super::layout::{KeyFile, Layout};
use super::manifest::{Manifest, Shard};
use super::open::LogKind;
use super::running::{Running, Start};
use super::serve::USER_AGENT;
use super::{Passphrase, open, shards, trust};
use crate::config::{
    Config, CtLogRole, CtPlace, FixedSettings, FulcioRole, LogPlace, OidcRole, RekorRole, TsaRole, TufRole,
};
use crate::ctlog::Validity;
use crate::deps::{Deps, WaysOut};
use crate::durable::{self, DirectoryLock};
use crate::evidence::EvidencePlace;
use crate::fulcio::{Identities, IdentityType, IssuerPlace, IssuerText, IssuerTransport, RateLimitConfig};
use crate::http::listener;
use crate::rate::AddressLimitConfig;
use crate::tsa::{Embedded, Policies};
use crate::tuf::{OfflineKeys, Repository};
use crate::witness::{OtherLogs, WitnessMode, WitnessPlace};

/// What `touchmark up` is told.
pub struct UpOptions {
    /// The one directory that holds everything; made if it is not there.
    pub data_dir: PathBuf,
    /// Address of the services; a loopback address, port 0 for any free port.
    pub listen: SocketAddr,
    /// Address of the try-out issuer. Left out: the one it had, at the first start the port after that of `listen`.
    pub oidc_listen: Option<SocketAddr>,
    /// Witnesses that are asked to cosign the checkpoints of the logs: the policy file (C2SP tlog-policy), and what happens while they do not
    /// answer. If the policy has `log` lines, these logs alone are witnessed.
    pub witnesses: Option<(PathBuf, WitnessMode)>,
    /// Address of the metrics, a loopback address; left out, there are none.
    pub metrics_listen: Option<SocketAddr>,
    /// How often the checkpoints of the logs are stamped and kept as evidence of their time, by this instance's timestamp authority; not at all
    /// without it.
    pub evidence_interval: Option<Duration>,
    /// At the first start: encrypts every key. Later: decrypts them.
    pub passphrase: Option<Zeroizing<Vec<u8>>>,
}

/// Starts the whole stack with the system's clock.
///
/// # Errors
/// What is wrong, and what to do.
pub async fn up(options: UpOptions) -> Result<Running, StartError> {
    up_with(options, Deps { clock: Arc::new(SystemClock), ways_out: WaysOut::new(USER_AGENT) }).await
}

/// Starts the whole stack.
///
/// # Errors
/// What is wrong, and what to do.
pub async fn up_with(options: UpOptions, deps: Deps) -> Result<Running, StartError> {
    // 1. Nothing is touched before the addresses are known to be harmless.
    for address in [Some(options.listen), options.oidc_listen, options.metrics_listen].into_iter().flatten() {
        if !address.ip().is_loopback() {
            return Err(StartError::NotLoopback { address });
        }
    }
    // 2. The directory is ours, and whole or empty.
    let layout = Layout::new(&options.data_dir);
    durable::create_private_directory(layout.directory())?;
    let lock = DirectoryLock::acquire(layout.directory())?;
    let manifest = create::recover(&layout)?;
    if let Some(manifest) = &manifest {
        check_passphrase(manifest, &options.passphrase)?;
    }
    // 3. Addresses, which a first start writes into its documents.
    let bound = Bound::new(&options, manifest.as_ref()).await?;
    // 4. Make what is missing, publish what has changed.
    let start = if manifest.is_some() { Start::Later } else { Start::First };
    let manifest = match manifest {
        None => {
            let manifest = Manifest::new(whole_second(&deps), bound.issuer(), options.passphrase.is_some());
            create::create(&layout, manifest, &bound.service_url(), &options.passphrase).await?
        }
        Some(manifest) => {
            let manifest = shards::freeze_ended(&layout, manifest, &options.passphrase, &deps).await?;
            go_on(&layout, manifest, &bound, &options.passphrase, &deps).await?
        }
    };
    // 5. Serve.
    let witnesses = options.witnesses.as_ref().map(witness_place);
    let evidence = options.evidence_interval.map(|interval| EvidencePlace { interval, foreign: Vec::new() });
    let mut config = config(&layout, &manifest, &bound, witnesses.as_ref());
    config.metrics_listen = options.metrics_listen;
    for log in
        config.ctlogs.iter_mut().map(|role| &mut role.log).chain(config.rekors.iter_mut().map(|role| &mut role.log))
    {
        log.evidence.clone_from(&evidence);
    }
    let listen = bound.services.0;
    let listeners = BTreeMap::from([bound.services, bound.oidc]);
    let mut running = compose(&config, listeners, &options.passphrase, deps).await?;
    running.start = start;
    running.client_directory = Some(layout.client());
    running.locks.push(lock);
    // 6. From now on the logs can be changed.
    admin::attend(&mut running, Attended { layout, manifest, listen, witnesses, evidence })?;
    Ok(running)
}

/// A passphrase that is missing or of no use is refused before anything else is.
pub(super) fn check_passphrase(manifest: &Manifest, passphrase: &Passphrase) -> Result<(), StartError> {
    match (manifest.encrypted, passphrase) {
        (true, None) => Err(StartError::PassphraseMissing),
        (false, Some(_)) => Err(StartError::NotEncrypted),
        (true, Some(_)) | (false, None) => Ok(()),
    }
}

/// The two listeners with the addresses that they really have.
struct Bound {
    services: (SocketAddr, TcpListener),
    oidc: (SocketAddr, TcpListener),
}

impl Bound {
    async fn new(options: &UpOptions, manifest: Option<&Manifest>) -> Result<Self, StartError> {
        let services = bind(options.listen, "pass another address with --listen").await?;
        let remembered = manifest.and_then(|manifest| address_of(&manifest.oidc_issuer));
        let (wanted, hint) = match (options.oidc_listen, remembered) {
            (Some(address), _) => (address, "pass another address with --oidc-listen"),
            (None, Some(address)) => (
                address,
                "the try-out issuer keeps its port, which certificates name; free it or move it with --oidc-listen",
            ),
            (None, None) => (beside(services.0, options.listen), "choose an address for the issuer with --oidc-listen"),
        };
        let oidc = bind(wanted, hint).await?;
        Ok(Bound { services, oidc })
    }

    fn service_url(&self) -> String {
        format!("http://{}", self.services.0)
    }

    fn issuer(&self) -> Url {
        let url = format!("http://{}/oidc", self.oidc.0);
        url.parse().expect("a socket address and a path make a URL")
    }
}

async fn bind(address: SocketAddr, hint: &'static str) -> Result<(SocketAddr, TcpListener), StartError> {
    let bound = listener::bind(address).await;
    let (listener, actual) = bound.map_err(|source| StartError::Listen { address, source, hint })?;
    Ok((actual, listener))
}

/// The port after the services' one; any free port if that was any free port too.
fn beside(actual: SocketAddr, asked: SocketAddr) -> SocketAddr {
    let port = if asked.port() == 0 { 0 } else { asked.port().checked_add(1).unwrap_or(0) };
    SocketAddr::new(actual.ip(), port)
}

fn address_of(issuer: &Url) -> Option<SocketAddr> {
    issuer.socket_addrs(|| None).ok()?.into_iter().find(|address| address.ip().is_loopback())
}

pub(super) fn whole_second(deps: &Deps) -> jiff::Timestamp {
    let now = deps.now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// A later start: remembers a moved issuer, publishes a changed signing config.
async fn go_on(
    layout: &Layout,
    mut manifest: Manifest,
    bound: &Bound,
    passphrase: &Passphrase,
    deps: &Deps,
) -> Result<Manifest, StartError> {
    if manifest.oidc_issuer != bound.issuer() {
        manifest.oidc_issuer = bound.issuer();
    }
    // Also a manifest of an older schema. A crash after this publishes what has changed at the next start, because what is published is
    // compared.
    manifest.store(layout)?;
    publish_changes(layout, &manifest, &bound.service_url(), passphrase, deps.now()).await?;
    Ok(manifest)
}

/// Brings TUF targets and client files to what the addresses demand. The offline keys are opened only if something changed.
pub(super) async fn publish_changes(
    layout: &Layout,
    manifest: &Manifest,
    service_url: &str,
    passphrase: &Passphrase,
    now: jiff::Timestamp,
) -> Result<(), StartError> {
    // A `serve` on the same repository signs timestamps; released here, and taken again by the role that does so.
    let _lock = DirectoryLock::acquire(&layout.tuf())?;
    let mut repository = Repository::open(&layout.tuf()).map_err(StartError::role("tuf"))?;
    let published = repository.target(trust::TRUSTED_ROOT).map_err(StartError::role("tuf"))?;
    let new_keys = keys_unknown_to(&published, layout, manifest, passphrase).await?;
    let trusted_root = trust::with_logs(&published, manifest, &new_keys)?;
    let signing_config = trust::signing_config(manifest, service_url);
    let targets = trust::targets(trusted_root.clone(), &signing_config);
    if repository.needs_offline_keys(&targets, now) {
        let (root, offline_targets, online) = tokio::try_join!(
            async { open::key(&layout.key(KeyFile::OfflineTufRoot), passphrase).await },
            async { open::key(&layout.key(KeyFile::OfflineTufTargets), passphrase).await },
            async { open::key(&layout.key(KeyFile::TufOnline), passphrase).await },
        )?;
        let offline = OfflineKeys { root: root.as_ref(), targets: offline_targets.as_ref() };
        let published = repository.publish(&offline, online.as_ref(), &targets, now).await;
        published.map_err(StartError::role("tuf"))?;
        tracing::info!(service_url, "published a changed trust root");
    }
    let first_root = repository.first_root().map_err(StartError::role("tuf"))?;
    trust::write_client_files(layout, &first_root, &trusted_root, signing_config)
}

/// The public keys of the logs that a trusted root does not know yet.
pub(super) async fn keys_unknown_to(
    trusted_root: &[u8],
    layout: &Layout,
    manifest: &Manifest,
    passphrase: &Passphrase,
) -> Result<Vec<(String, PublicKey)>, StartError> {
    let root = TrustedRoot::from_json(trusted_root).map_err(StartError::role("trusted root"))?;
    let mut keys = Vec::new();
    for shard in trust::unknown_logs(manifest, &root) {
        let signer = open::key(&layout.log_key(shard), passphrase).await?;
        keys.push((shard.name.clone(), signer.public_key().clone()));
    }
    Ok(keys)
}

/// The whole stack as a configuration.
fn config(layout: &Layout, manifest: &Manifest, bound: &Bound, witnesses: Option<&WitnessPlace>) -> Config {
    let listen = bound.services.0;
    // The current log of a kind stands first: it answers at the bare paths.
    let logs = |kind| {
        let current = manifest.current(kind).map(|shard| shard.name.as_str());
        let mut shards: Vec<&Shard> = manifest.of_kind(kind).collect();
        shards.retain(|shard| !is_lost(layout, shard));
        shards.sort_by_key(|shard| Some(shard.name.as_str()) != current);
        shards.into_iter().map(|shard| log_place(layout, shard, witnesses))
    };
    let accepted_roots = layout.ca_chain();
    let ct_log = manifest.current(LogKind::Ct).map(|shard| shard.name.clone()).unwrap_or_default();
    let issuer = IssuerText {
        transport: IssuerTransport::LoopbackHttpAllowed,
        ..IssuerText::new(manifest.oidc_issuer.to_string(), IdentityType::Email)
    };
    let issuers = vec![IssuerPlace { text: issuer, ca: None, jwks: None }];
    Config {
        listen: Some(listen),
        external_url: None,
        passphrase_file: None,
        metrics_listen: None,
        tls: None,
        fulcio: Some(FulcioRole {
            listen,
            key: SignerReference::File(layout.key(KeyFile::Ca)),
            chain: layout.ca_chain(),
            previous_chains: Vec::new(),
            ct: CtPlace::of(ct_log),
            identities: Identities { issuers, ..Identities::default() },
            audit_log: Some(layout.audit_log()),
            rate_limit: RateLimitConfig::default(),
        }),
        ctlogs: logs(LogKind::Ct)
            .map(|log| CtLogRole { listen, log, accepted_roots: accepted_roots.clone(), validity: Validity::ANY })
            .collect(),
        rekors: logs(LogKind::Rekor).map(|log| RekorRole { listen, log }).collect(),
        tsa: Some(TsaRole {
            listen,
            key: SignerReference::File(layout.key(KeyFile::Tsa)),
            chain: layout.tsa_chain(),
            previous_chains: Vec::new(),
            policies: Policies::default(),
            embedded: Embedded::Leaf,
            time_file: layout.tsa_time(),
            audit_log: None,
            rate_limit: AddressLimitConfig::default(),
            clock: None,
        }),
        tuf: Some(TufRole { listen, directory: layout.tuf(), online_key: layout.key(KeyFile::TufOnline) }),
        oidc: Some(OidcRole {
            listen: bound.oidc.0,
            issuer: manifest.oidc_issuer.clone(),
            key: layout.key(KeyFile::Oidc),
        }),
        fixed: FixedSettings::default(),
    }
}

/// Whether the data of a log that takes no new entries are gone. The others go on without it: nothing is ever signed in its name, and what it signed
/// verifies as before.
pub(super) fn is_lost(layout: &Layout, shard: &Shard) -> bool {
    let has_ended = shard.state.until().is_some();
    let directory = layout.log(&shard.name);
    let is_lost = has_ended && !directory.is_dir();
    if is_lost {
        let name = &shard.name;
        tracing::error!(name, directory = %directory.display(), "the directory of a log that has ended is missing: it is not served; restore it from a backup");
    }
    is_lost
}

/// Where a log of a data directory lies.
pub(super) fn log_place(layout: &Layout, shard: &Shard, witnesses: Option<&WitnessPlace>) -> LogPlace {
    LogPlace {
        name: shard.name.clone(),
        key: layout.log_key(shard),
        data: layout.log(&shard.name),
        anchor: None,
        witnesses: witnesses.cloned(),
        evidence: None,
    }
}

/// The policy of an instance may be about some of its logs.
fn witness_place((policy, mode): &(PathBuf, WitnessMode)) -> WitnessPlace {
    WitnessPlace { policy: policy.clone(), mode: *mode, others: OtherLogs::Unwitnessed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_beside(actual: &str, asked: &str, expect: &str) {
        assert_eq!(beside(actual.parse().unwrap(), asked.parse().unwrap()), expect.parse().unwrap());
    }

    #[test]
    fn the_issuer_gets_the_next_port_or_any_free_one() {
        check_beside("127.0.0.1:7700", "127.0.0.1:7700", "127.0.0.1:7701");
        check_beside("127.0.0.1:34567", "127.0.0.1:0", "127.0.0.1:0");
        check_beside("[::1]:65535", "[::1]:65535", "[::1]:0");
    }

    #[test]
    fn the_remembered_address_is_that_of_the_issuer() {
        for address in ["127.0.0.1:7701", "[::1]:80"] {
            let issuer = Url::parse(&format!("http://{address}/oidc")).unwrap();
            assert_eq!(address_of(&issuer), Some(address.parse().unwrap()));
        }
    }

    #[tokio::test]
    async fn an_address_that_others_reach_is_refused_before_anything_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        for (listen, oidc_listen) in
            [("0.0.0.0:0", None), ("127.0.0.1:0", Some("0.0.0.0:0")), ("192.0.2.1:7700", None), ("[::]:0", None)]
        {
            let options = UpOptions {
                data_dir: data_dir.clone(),
                listen: listen.parse().unwrap(),
                oidc_listen: oidc_listen.map(|address| address.parse().unwrap()),
                witnesses: None,
                metrics_listen: None,
                evidence_interval: None,
                passphrase: None,
            };
            let refused = up(options).await;
            assert!(matches!(refused, Err(StartError::NotLoopback { .. })), "{listen}");
        }
        assert!(!data_dir.exists());
    }
}
