// SPDX-License-Identifier: Apache-2.0
//! Putting roles on listeners.
//!
//! In scope: which router stands where, what starts in which order. Out of scope: where the roles' files came from: `up` and
//! `serve` both hand over a [`Config`].
//! Invariants: a listener answers `/readyz` with 503 from its first moment until every role of the process is up; the login
//! page of the try-out issuer shares its web origin with nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use touchmark_outbound::Reach;
use touchmark_signers::Signer;
use url::Url;

use super::control::{Control, OnlineTuf, ServedKind};
use super::error::StartError;
use super::expiry;
use super::open;
use super::running::{Running, Start};
use super::{Passphrase, trust};
use crate::config::{
    Config, CtLogRef, CtLogRole, CtPlace, FulcioRole, LogPlace, OidcRole, RekorRole, TsaRole, TufRole,
};
use crate::ctlog::AcceptedRoots;
use crate::deps::Deps;
use crate::durable::DirectoryLock;
use crate::evidence::NoAuthority;
use crate::fulcio::{
    self, AuditLog, CertificateAuthority, Condition, CtLogs, CtMember, CtTarget, HttpCtLog, Need, Operations,
};
use crate::http::layers::{CrossOrigin, around};
use crate::http::listener::{self, Stop, Transport};
use crate::http::site::{Readiness, RoleState, Services, Site};
use crate::http::tls::Terminator;
use crate::oidc::{self, OidcIssuer};
use crate::rekor;
use crate::tsa::{self, Tsa};
use crate::tuf::{self, HeldRepository, Kept, Shown};

/// Listeners that are bound, by the address that roles name.
pub(super) type Listeners = BTreeMap<SocketAddr, TcpListener>;

/// Starts every role of the configuration on listeners that are already bound.
pub(super) async fn compose(
    config: &Config,
    listeners: Listeners,
    passphrase: &Passphrase,
    deps: Deps,
) -> Result<Running, StartError> {
    let metrics_listener = match config.metrics_listen {
        Some(address) => Some(bind_metrics(address).await?),
        None => None,
    };
    let (switch, stop) = Stop::pair();
    let readiness = announced(config);
    let mut starting = Starting {
        passphrase: passphrase.clone(),
        stop: stop.clone(),
        services: BTreeMap::new(),
        tasks: JoinSet::new(),
        locks: Vec::new(),
        audit: None,
        control: Control::new(deps, readiness),
    };
    starting.control.tls = starting.terminator(config).await?;
    for (address, listener) in listeners {
        let site = Site::new(starting.control.readiness.clone(), starting.control.metrics.clone());
        let is_login_page = config.oidc.as_ref().is_some_and(|role| role.listen == address);
        let (transport, cross_origin) = match &starting.control.tls {
            // It is on loopback, under a URL that is in certificates.
            _ if is_login_page => (Transport::Plain, CrossOrigin::Refused),
            Some(terminator) => (Transport::Tls(terminator.clone()), CrossOrigin::Any),
            None => (Transport::Plain, CrossOrigin::Any),
        };
        let service = around(site.clone(), cross_origin);
        starting.tasks.spawn(listener::serve(listener, transport, service, stop.clone()));
        starting.control.sites.insert(address, site);
    }
    if let Some(listener) = metrics_listener {
        let router = around(starting.control.metrics.clone().router(), CrossOrigin::Refused);
        starting.tasks.spawn(listener::serve(listener, Transport::Plain, router, stop.clone()));
    }
    if let Err(error) = starting.roles(config).await {
        starting.give_up().await;
        return Err(error);
    }
    for (address, services) in std::mem::take(&mut starting.services) {
        if let Some(site) = starting.control.sites.get(&address) {
            site.open(services, &stop);
        }
    }
    starting.control.readiness.set_all(RoleState::Up);
    let watched = expiry::Holders::of(&starting.control);
    starting.tasks.spawn(expiry::watch(watched, Arc::clone(&starting.control.deps.clock), stop.clone()));
    Ok(Running {
        url: public_url(config),
        listening: listening(config),
        oidc_issuer: config.oidc.as_ref().map(|role| trust::base_url(&role.issuer)),
        client_directory: None,
        start: Start::Later,
        tsa: Arc::clone(&starting.control.own_tsa),
        readiness: starting.control.readiness.clone(),
        stop: switch,
        stopping: stop,
        tasks: starting.tasks,
        logs: starting.control.logs.clone(),
        control: Some(starting.control),
        audit: starting.audit,
        fixed: config.fixed.clone(),
        locks: starting.locks,
    })
}

async fn bind_metrics(address: SocketAddr) -> Result<TcpListener, StartError> {
    let hint = "choose another address for metrics";
    let bound = listener::bind(address).await;
    let (listener, address) = bound.map_err(|source| StartError::Listen { address, source, hint })?;
    tracing::info!(%address, "metrics are at /metrics");
    Ok(listener)
}

/// Every role of the process as starting, so that `/readyz` is 503 until all are up.
fn announced(config: &Config) -> Readiness {
    let readiness = Readiness::default();
    let singles = [
        ("fulcio", config.fulcio.is_some()),
        ("tsa", config.tsa.is_some()),
        ("tuf", config.tuf.is_some()),
        ("oidc", config.oidc.is_some()),
        ("rekor", !config.rekors.is_empty()),
        ("ctlog", !config.ctlogs.is_empty()),
    ];
    for (role, _) in singles.into_iter().filter(|(_, configured)| *configured) {
        readiness.set(role, RoleState::Starting);
    }
    readiness
}

/// An address without what it may hold of secrets.
fn shown(url: &Url) -> String {
    format!("{}{}", url.authority().rsplit('@').next().unwrap_or_default(), url.path())
}

/// Where each role listens, whatever stands before it.
fn listening(config: &Config) -> Vec<(String, String)> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let at = |address: SocketAddr, path: &str| format!("{scheme}://{address}{path}");
    let mut roles = Vec::new();
    roles.extend(config.fulcio.iter().map(|role| ("fulcio".to_owned(), at(role.listen, ""))));
    roles.extend(config.ctlogs.iter().map(|role| (format!("ctlog {}", role.log.name), at(role.listen, ""))));
    roles.extend(config.rekors.iter().map(|role| (format!("rekor {}", role.log.name), at(role.listen, ""))));
    roles.extend(config.tsa.iter().map(|role| ("tsa".to_owned(), at(role.listen, ""))));
    roles.extend(config.tuf.iter().map(|role| ("tuf".to_owned(), at(role.listen, "/tuf"))));
    // The try-out issuer never speaks TLS.
    roles.extend(config.oidc.iter().map(|role| ("oidc".to_owned(), format!("http://{}/oidc", role.listen))));
    roles
}

fn public_url(config: &Config) -> String {
    let addresses = config.service_addresses();
    let shared = config.listen.filter(|listen| addresses.contains(listen));
    match (&config.external_url, shared.or_else(|| addresses.first().copied())) {
        (Some(url), _) => trust::base_url(url),
        (None, Some(address)) if config.tls.is_some() => format!("https://{address}"),
        (None, Some(address)) => format!("http://{address}"),
        (None, None) => String::new(),
    }
}

/// What has been started so far.
struct Starting {
    passphrase: Passphrase,
    stop: Stop,
    services: BTreeMap<SocketAddr, Services>,
    tasks: JoinSet<()>,
    locks: Vec<DirectoryLock>,
    audit: Option<AuditLog>,
    control: Control,
}

impl Starting {
    /// Releases ports and data, so that the caller can try again at once.
    async fn give_up(mut self) {
        self.tasks.shutdown().await;
        self.control.logs.shutdown().await;
        if let Some(audit) = &self.audit {
            audit.close().await;
        }
        if let Some(tsa) = self.control.own_tsa.get() {
            tsa.close().await;
        }
    }

    /// What ends TLS on the listeners of services, if they are to speak it.
    async fn terminator(&self, config: &Config) -> Result<Option<Terminator>, StartError> {
        let Some(place) = &config.tls else { return Ok(None) };
        let Control { deps, metrics, .. } = &self.control;
        let credentials = open::tls(place, &self.passphrase, deps.now()).await?;
        Ok(Some(Terminator::new(credentials, Arc::clone(&deps.clock), metrics.tls())))
    }

    async fn roles(&mut self, config: &Config) -> Result<(), StartError> {
        for role in &config.ctlogs {
            self.ctlog(role).await?;
        }
        for (position, role) in config.rekors.iter().enumerate() {
            let shard = if position == 0 { Shard::Active } else { Shard::Older };
            self.rekor(role, shard).await?;
        }
        self.expect_authority(config)?;
        if let Some(role) = &config.tsa {
            self.tsa(role).await?;
        }
        if let Some(role) = &config.tuf {
            self.tuf(role, config.external_url.as_ref()).await?;
        }
        if let Some(role) = &config.fulcio {
            self.fulcio(role, &config.ctlogs).await?;
        }
        if let Some(role) = &config.oidc {
            self.oidc(role).await?;
        }
        Ok(())
    }

    /// Evidence of a log's time that nobody could give is a mistake in the configuration.
    fn expect_authority(&self, config: &Config) -> Result<(), StartError> {
        let logs = config.ctlogs.iter().map(|role| &role.log).chain(config.rekors.iter().map(|role| &role.log));
        let unstamped = |log: &&LogPlace| log.evidence.as_ref().is_some_and(|evidence| evidence.foreign.is_empty());
        match logs.filter(|_| config.tsa.is_none()).find(unstamped) {
            None => Ok(()),
            Some(log) => Err(StartError::role(format!("evidence of {}", log.name))(NoAuthority)),
        }
    }

    async fn ctlog(&mut self, role: &CtLogRole) -> Result<(), StartError> {
        let kind = ServedKind::Ct { accepted_roots: &role.accepted_roots, validity: role.validity };
        let router = self.open_log(&role.log, kind).await?;
        self.mount_log(role.listen, &role.log.name, router);
        Ok(())
    }

    async fn rekor(&mut self, role: &RekorRole, shard: Shard) -> Result<(), StartError> {
        let router = self.open_log(&role.log, ServedKind::Rekor).await?;
        if shard == Shard::Active {
            let active = self.control.make_active(&role.log.name);
            let (router, about) = rekor::active_shard(active);
            self.mount(role.listen, router);
            self.services.entry(role.listen).or_default().about.push(about);
        }
        self.mount_log(role.listen, &role.log.name, router);
        Ok(())
    }

    async fn tsa(&mut self, role: &TsaRole) -> Result<(), StartError> {
        let clock = Arc::clone(&self.control.deps.clock);
        let authority = open::timestamp_authority(role, &self.passphrase, self.control.deps.now()).await?;
        let audit = role.audit_log.as_ref().map(|path| tsa::AuditLog::open(path, clock.as_ref())).transpose();
        let operations = tsa::Operations {
            policies: role.policies.clone(),
            embedded: role.embedded,
            time_file: &role.time_file,
            rate_limit: role.rate_limit.clone(),
            clock: role.clock.clone().map(open::time_servers).transpose()?,
            audit: audit.map_err(StartError::role("tsa"))?,
            metrics: self.control.metrics.tsa(),
        };
        let tsa = Arc::new(Tsa::new(authority, operations, clock).map_err(StartError::role("tsa"))?);
        for condition in tsa::Condition::ALL {
            let tsa = Arc::clone(&tsa);
            self.control.readiness.trial(condition.name().to_owned(), move || Arc::clone(&tsa).health(condition));
        }
        self.tasks.spawn(tsa.attend(self.stop.clone()));
        let _ = self.control.own_tsa.set(Arc::clone(&tsa));
        self.mount(role.listen, tsa::router(tsa));
        Ok(())
    }

    async fn tuf(&mut self, role: &TufRole, external_url: Option<&Url>) -> Result<(), StartError> {
        if let Some(held) = HeldRepository::open(&role.directory).map_err(StartError::role("tuf"))? {
            return self.held_tuf(role, held, external_url).await;
        }
        self.locks.push(DirectoryLock::acquire(&role.directory)?);
        let online = self.key(&role.online_key).await?;
        let mut repository = tuf::Repository::open(&role.directory).map_err(StartError::role("tuf"))?;
        let now = self.control.deps.now();
        repository.check_live(now).map_err(StartError::role("tuf"))?;
        repository.expect_online_key(online.public_key()).map_err(StartError::role("tuf"))?;
        if let Some(url) = external_url {
            let published = repository.target(trust::SIGNING_CONFIG).map_err(StartError::role("tuf"))?;
            trust::warn_of_other_addresses(&published, url);
        }
        // Fresh before the first client asks; from then on the keeper looks.
        repository.refresh(online.as_ref(), now).await.map_err(StartError::role("tuf"))?;
        let shown = Shown::new(repository.overview());
        let repository = Arc::new(Mutex::new(repository));
        self.control.tuf = Some(OnlineTuf { repository: Arc::clone(&repository), online: Arc::clone(&online) });
        self.keep_and_serve(role, repository, shown, online);
        Ok(())
    }

    /// A repository that several hold. It is not locked: a ceremony publishes into it while it is served.
    async fn held_tuf(
        &mut self,
        role: &TufRole,
        mut held: HeldRepository,
        external_url: Option<&Url>,
    ) -> Result<(), StartError> {
        let (online, now) = (self.key(&role.online_key).await?, self.control.deps.now());
        held.check_live(now).map_err(StartError::role("tuf"))?;
        if let (Some(url), Some(published)) = (external_url, held.target(trust::SIGNING_CONFIG)) {
            trust::warn_of_other_addresses(published, url);
        }
        // First, because it finishes a publication that was interrupted, which may bring a root with another key.
        let refreshed = held.refresh(online.as_ref(), now).await;
        held.expect_online_key(online.public_key()).map_err(StartError::role("tuf"))?;
        match refreshed {
            // Clients can still use what is there, and the holders have a few days.
            Err(error) if error.is_for_the_holders() => tracing::error!(%error, "gather the holders of the trust root"),
            refreshed => refreshed.map_err(StartError::role("tuf"))?,
        }
        let shown = Shown::new(held.overview());
        self.keep_and_serve(role, Arc::new(Mutex::new(held)), shown, online);
        Ok(())
    }

    fn keep_and_serve<K: Kept + 'static>(
        &mut self,
        role: &TufRole,
        repository: Arc<Mutex<K>>,
        shown: Shown,
        online: Arc<dyn Signer>,
    ) {
        let (clock, metrics) = (Arc::clone(&self.control.deps.clock), self.control.metrics.clone());
        let page = tuf::overview_router(shown.clone(), Arc::clone(&clock));
        self.tasks.spawn(tuf::keep_fresh(repository, online, clock, metrics, shown, self.stop.clone()));
        self.mount(role.listen, Router::new().nest("/tuf", tuf::router(role.directory.clone())).merge(page));
    }

    async fn fulcio(&mut self, role: &FulcioRole, own_logs: &[CtLogRole]) -> Result<(), StartError> {
        let authority = open::certificate_authority(role, &self.passphrase).await?;
        expect_accepted(role, &authority, own_logs)?;
        let ct_logs = self.ct_logs(&role.ct)?;
        let config = open::fulcio_config(role)?;
        let operations = Operations {
            audit: self.audit_log(role)?,
            rate_limit: role.rate_limit.clone(),
            metrics: self.control.metrics.fulcio(),
        };
        let service = fulcio::Service::new(config, authority, ct_logs, operations, &self.control.deps);
        let fulcio::Service { router, about, health, serving } = service.map_err(StartError::role("fulcio"))?;
        self.control.fulcio = Some(serving);
        for condition in Condition::ALL {
            let health = health.clone();
            self.control.readiness.probe(condition.name().to_owned(), move || health.of(condition));
        }
        self.mount(role.listen, router);
        self.services.entry(role.listen).or_default().about.push(about);
        Ok(())
    }

    fn audit_log(&mut self, role: &FulcioRole) -> Result<Option<AuditLog>, StartError> {
        let Some(path) = &role.audit_log else { return Ok(None) };
        let audit = AuditLog::open(path, self.control.deps.clock.as_ref()).map_err(StartError::role("fulcio"))?;
        self.audit = Some(audit.clone());
        Ok(Some(audit))
    }

    fn ct_logs(&mut self, place: &CtPlace) -> Result<CtLogs, StartError> {
        let members = place.logs.iter().map(|(log, need)| self.ct_member(log, *need));
        let members = members.collect::<Result<_, _>>()?;
        CtLogs::new(members, place.scts_min, place.deadline).map_err(StartError::role("fulcio"))
    }

    fn ct_member(&mut self, log: &CtLogRef, need: Need) -> Result<CtMember, StartError> {
        match log {
            CtLogRef::Named(name) => Ok(CtMember { name: name.clone(), target: self.control.make_target(name), need }),
            CtLogRef::Remote { url, public_key } => {
                let public_key = open::public_key(public_key)?;
                // The operator's own address, which no request has a say in.
                let outbound = self.control.deps.ways_out.reaching(Reach::Private).clone();
                let target = CtTarget::new(Arc::new(HttpCtLog::new(url.clone(), public_key, outbound)));
                Ok(CtMember { name: shown(url), target, need })
            }
        }
    }

    async fn oidc(&mut self, role: &OidcRole) -> Result<(), StartError> {
        let signer = self.key(&role.key).await?;
        let issuer = OidcIssuer::new(role.issuer.clone(), signer, Arc::clone(&self.control.deps.clock))
            .map_err(StartError::role("oidc"))?;
        self.mount(role.listen, oidc::router(issuer));
        Ok(())
    }

    async fn key(&self, path: &std::path::Path) -> Result<Arc<dyn Signer>, StartError> {
        open::key(path, &self.passphrase).await
    }

    async fn open_log(&mut self, place: &LogPlace, kind: ServedKind<'_>) -> Result<Router, StartError> {
        let (router, attendants) = self.control.open_log(place, kind, &self.passphrase, &self.stop).await?;
        self.tasks.spawn(attendants.run());
        Ok(router)
    }

    fn mount(&mut self, address: SocketAddr, router: Router) {
        let services = self.services.entry(address).or_default();
        services.router = std::mem::take(&mut services.router).merge(router);
    }

    fn mount_log(&mut self, address: SocketAddr, name: &str, router: Router) {
        self.mount(address, Router::new().nest(&format!("/log/{name}"), router));
        self.services.entry(address).or_default().log_names.push(name.to_owned());
    }
}

/// A log of this process that refuses the chain would refuse every precertificate: better known before the first client asks. What a reload
/// checks of the next chain.
fn expect_accepted(role: &FulcioRole, authority: &CertificateAuthority, logs: &[CtLogRole]) -> Result<(), StartError> {
    for log in logs.iter().filter(|log| role.ct.names(&log.log.name)) {
        let name = &log.log.name;
        let roots = AcceptedRoots::new(open::chain(&log.accepted_roots)?);
        let roots = roots.map_err(StartError::role(format!("ctlog {name}")))?;
        roots.expect_authority(authority.chain()).map_err(|problem| StartError::LogRefusesChain {
            log: name.clone(),
            chain: role.chain.clone(),
            problem,
        })?;
    }
    Ok(())
}

/// Whether a log answers at the bare paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shard {
    Active,
    Older,
}
