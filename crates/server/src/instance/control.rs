// SPDX-License-Identifier: Apache-2.0
//! What a running process has open and can change while it answers: its logs, which of them is the current one, the TUF repository.
//!
//! In scope: opening a log and giving its router, switching. Out of scope: when to switch ([`super::admin`]); files.
//! Invariants: a log is open once, and its directory is held as long as it is; whoever is pointed at is open.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use touchmark_outbound::Reach;
use touchmark_sequencer::Log;
use touchmark_signers::Signer;
use touchmark_tlog::note::NoteKey;

use super::Passphrase;
use super::error::StartError;
use super::open::{self, LogKind, OpenLog};
use crate::config::LogPlace;
use crate::ctlog::{self, Acceptance, CtLog, Validity};
use crate::deps::Deps;
use crate::durable::DirectoryLock;
use crate::evidence::{self, Authorities, Foreign, ForeignPlace, OwnTsa, Stamping};
use crate::fulcio::{CtSubmit, CtTarget, Serving};
use crate::http::listener::Stop;
use crate::http::site::{Readiness, RoleState, Site};
use crate::http::tls::Terminator;
use crate::metrics::Metrics;
use crate::rekor::{self, ActiveRekor, Rekor};
use crate::tuf::Repository;
use crate::witness::{self, Lane, OtherLogs, Started, WitnessStartError, Witnesses};

/// The changeable parts of a process.
pub(super) struct Control {
    pub(super) deps: Deps,
    pub(super) readiness: Readiness,
    pub(super) metrics: Metrics,
    pub(super) sites: BTreeMap<SocketAddr, Site>,
    pub(super) logs: OpenLogs,
    pub(super) tuf: Option<OnlineTuf>,
    pub(super) fulcio: Option<Serving>,
    /// What the listeners of services show, if they speak TLS.
    pub(super) tls: Option<Terminator>,
    active_rekor: Option<ActiveRekor>,
    ct_target: Option<CtTarget>,
    /// The timestamp authority of this process, once it is up.
    pub(super) own_tsa: OwnTsa,
}

/// The TUF repository with the key that signs snapshot and timestamp.
pub(super) struct OnlineTuf {
    pub(super) repository: Arc<tokio::sync::Mutex<Repository>>,
    pub(super) online: Arc<dyn Signer>,
}

/// What a log is served as.
pub(super) enum ServedKind<'a> {
    Rekor,
    Ct { accepted_roots: &'a Path, validity: Validity },
}

/// The logs that are open, by name; clones are the same.
#[derive(Clone, Default)]
pub(super) struct OpenLogs(Arc<Mutex<BTreeMap<String, OneLog>>>);

struct OneLog {
    log: Log,
    service: LogService,
    /// Released after the log is closed.
    _lock: DirectoryLock,
}

#[derive(Clone)]
enum LogService {
    Rekor(Rekor),
    Ct(CtLog),
}

impl OpenLogs {
    pub(super) fn log(&self, name: &str) -> Option<Log> {
        self.lock().get(name).map(|one| one.log.clone())
    }

    fn service(&self, name: &str) -> Option<LogService> {
        self.lock().get(name).map(|one| one.service.clone())
    }

    /// Closes every log, then releases the directories.
    pub(super) async fn shutdown(&self) {
        let logs: Vec<Log> = self.lock().values().map(|one| one.log.clone()).collect();
        for log in &logs {
            log.shutdown().await;
        }
        drop(logs);
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, OneLog>> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What attends an open log beside its writers and readers, to be run until the process stops.
pub(super) struct Attendants {
    lane: Option<Lane>,
    stamping: Option<Stamping>,
    stop: Stop,
}

impl Attendants {
    pub(super) async fn run(self) {
        let Attendants { lane, stamping, mut stop } = self;
        let asking = async {
            if let Some(lane) = lane {
                lane.run().await;
            }
        };
        let stamping = async {
            if let Some(stamping) = stamping {
                stamping.run(stop.clone()).await;
            }
        };
        tokio::join!(asking, stamping);
        stop.requested().await;
    }
}

impl Control {
    pub(super) fn new(deps: Deps, readiness: Readiness) -> Self {
        let (sites, logs) = (BTreeMap::new(), OpenLogs::default());
        Control {
            deps,
            readiness,
            metrics: Metrics::new(),
            sites,
            logs,
            tuf: None,
            fulcio: None,
            tls: None,
            active_rekor: None,
            ct_target: None,
            own_tsa: OwnTsa::default(),
        }
    }

    /// Opens a log: the router of its paths, and what attends it, which is to run as long as the process.
    pub(super) async fn open_log(
        &self,
        place: &LogPlace,
        kind: ServedKind<'_>,
        passphrase: &Passphrase,
        stop: &Stop,
    ) -> Result<(Router, Attendants), StartError> {
        let log_kind = match kind {
            ServedKind::Rekor => LogKind::Rekor,
            ServedKind::Ct { .. } => LogKind::Ct,
        };
        let role = format!("{} {}", log_kind.name(), place.name);
        let opened = open::log(place, log_kind, passphrase, Arc::clone(&self.deps.clock)).await?;
        let OpenLog { log, note_key, signer, lock } = opened;
        let (witnesses, lane) = match self.witnesses(place, &role, &log, &note_key, stop).await? {
            Some(Started { witnesses, lane }) => (Some(witnesses), Some(lane)),
            None => (None, None),
        };
        let submissions = self.metrics.submissions(&log);
        let stamping = self.stamping(place, &log, witnesses.clone())?;
        let service = match kind {
            ServedKind::Rekor => LogService::Rekor(Rekor::new(log.clone(), witnesses, &note_key, submissions)),
            ServedKind::Ct { accepted_roots, validity } => {
                let roots = open::chain(accepted_roots)?;
                let acceptance = Acceptance { roots, validity, clock: Arc::clone(&self.deps.clock) };
                LogService::Ct(
                    CtLog::new(log.clone(), witnesses, signer, acceptance, submissions)
                        .map_err(StartError::role(role.clone()))?,
                )
            }
        };
        let probed = log.clone();
        self.readiness.probe(role, move || match probed.stopped() {
            None => RoleState::Up,
            Some(_) => RoleState::Stopped,
        });
        let router = match service.clone() {
            LogService::Rekor(rekor) => rekor::router(rekor, stop),
            LogService::Ct(ct_log) => ctlog::router(ct_log),
        };
        // Last of all: a log whose opening failed is closed with its last clone.
        self.metrics.watch(&log);
        self.logs.lock().insert(place.name.clone(), OneLog { log, service, _lock: lock });
        Ok((router.merge(evidence::router(&place.data)), Attendants { lane, stamping, stop: stop.clone() }))
    }

    /// Keeps evidence of a log's time, if that is configured.
    fn stamping(
        &self,
        place: &LogPlace,
        log: &Log,
        witnesses: Option<Witnesses>,
    ) -> Result<Option<Stamping>, StartError> {
        let Some(evidence) = &place.evidence else { return Ok(None) };
        let read =
            |foreign: &ForeignPlace| Ok(Foreign { url: foreign.url.clone(), chain: open::chain(&foreign.chain)? });
        let authorities = Authorities {
            own: Arc::clone(&self.own_tsa),
            foreign: evidence.foreign.iter().map(read).collect::<Result<_, StartError>>()?,
            // The operator's own addresses, which no request has a say in.
            outbound: self.deps.ways_out.reaching(Reach::Private).clone(),
        };
        Ok(Some(Stamping::new(log.clone(), witnesses, &place.data, authorities, evidence.interval)?))
    }

    /// Asks the witnesses of a log, from before it takes its first entry until the process stops.
    async fn witnesses(
        &self,
        place: &LogPlace,
        role: &str,
        log: &Log,
        note_key: &NoteKey,
        stop: &Stop,
    ) -> Result<Option<Started>, StartError> {
        let Some(witness_place) = &place.witnesses else { return Ok(None) };
        let plan = match witness::Plan::read(witness_place, note_key) {
            // One policy for all logs of an instance may be about some of them.
            Err(WitnessStartError::OtherLogs { .. }) if witness_place.others == OtherLogs::Unwitnessed => {
                return Ok(None);
            }
            plan => plan.map_err(StartError::role(role))?,
        };
        // The operator's own addresses, which no request has a say in.
        let outbound = self.deps.ways_out.reaching(Reach::Private).clone();
        let started = witness::start(plan, log.clone(), note_key, &place.data, outbound, stop.clone()).await;
        started.map(Some).map_err(StartError::role(role))
    }

    /// Makes an open Rekor log the one of the bare paths.
    pub(super) fn make_active(&mut self, name: &str) -> ActiveRekor {
        let Some(LogService::Rekor(rekor)) = self.logs.service(name) else {
            unreachable!("a role is made active right after its log was opened as a Rekor log");
        };
        self.active_rekor.insert(ActiveRekor::new(rekor)).clone()
    }

    /// Makes an open CT log the one that certificates go to.
    pub(super) fn make_target(&mut self, name: &str) -> CtTarget {
        let Some(LogService::Ct(ct_log)) = self.logs.service(name) else {
            unreachable!("the configuration names only CT logs that it holds, and they are opened first");
        };
        self.ct_target.insert(CtTarget::new(Arc::new(ct_log))).clone()
    }

    /// An open CT log.
    pub(super) fn ct_log(&self, name: &str) -> Option<CtLog> {
        match self.logs.service(name) {
            Some(LogService::Ct(ct_log)) => Some(ct_log),
            Some(LogService::Rekor(_)) | None => None,
        }
    }

    /// Points new writes at another open log.
    pub(super) fn switch(&self, name: &str) {
        match (self.logs.service(name), &self.active_rekor, &self.ct_target) {
            (Some(LogService::Rekor(rekor)), Some(active), _) => active.switch(rekor),
            (Some(LogService::Ct(ct_log)), _, Some(target)) => target.switch(Arc::new(ct_log) as Arc<dyn CtSubmit>),
            _ => {}
        }
    }
}
