// SPDX-License-Identifier: Apache-2.0
//! Taking up other keys, chains, identities, accepted roots and certificates of the listeners while requests are answered.
//!
//! In scope: what is read again, what is checked before it takes over, the order of taking over. Out of scope: the signal that asks for it (the
//! command line); how requests and connections under way keep what they began with (`crate::fulcio`,
//! `crate::http`).
//! Invariants: all is taken up or nothing; a CT log of this process accepts the chain that issues before, during and after; whatever else differs in the
//! configuration refuses the reload, because a process that runs with half of a file is hard to reason about.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use touchmark_sigstore::ct::SubmissionError;
use touchmark_sigstore::x509::Certificate;

use super::control::Control;
use super::error::StartError;
use super::running::Running;
use super::serve::read_passphrase;
use super::{expiry, open};
use crate::config::{Config, ConfigError};
use crate::ctlog::{AcceptedRoots, CtLog};
use crate::fulcio::{Serving, Successor};
use crate::http::tls::Terminator;
use crate::http::tls::credentials::Credentials;
use crate::tsa::{self, Tsa};

/// How long opening and checking may take: a key elsewhere is asked a few times, ten seconds at most each.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a process has taken up.
#[derive(Debug)]
pub struct Reloaded {
    /// The subject of the certificate that issues now and the time at which it ends, if this process has a certificate authority.
    pub issuing: Option<(String, Timestamp)>,
    /// The same of the certificate whose key stamps, if this process has a timestamp authority.
    pub stamping: Option<(String, Timestamp)>,
    /// The same of the certificate that new connections are shown, if the listeners of this process speak TLS.
    pub shown: Option<(String, Timestamp)>,
}

/// Why a process goes on with what it had.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It has no configuration file.
    #[error("this process was not started with a configuration file")]
    NoConfiguration,
    /// The file cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something differs that is read at the start alone.
    #[error(
        "`{key}` differs from the file at the start in more than keys, chains, identities and accepted roots: undo that, or restart the process"
    )]
    NeedsRestart {
        /// The key or section.
        key: String,
    },
    /// A key, chain or identity cannot be used.
    #[error(transparent)]
    Unfit(#[from] StartError),
    /// The certificate authority would get no SCTs.
    #[error(
        "the log {log} would not accept the new chain: {problem}; add the new root to its `accepted_roots` and reload again"
    )]
    LogRefusesNew {
        /// The log.
        log: String,
        /// Why.
        problem: SubmissionError,
    },
    /// Requests under way would get no SCTs.
    #[error(
        "the log {log} would no longer accept the chain that issues now: {problem}; leave its root in `accepted_roots`, and take it out with a later reload"
    )]
    LogRefusesOld {
        /// The log.
        log: String,
        /// Why.
        problem: SubmissionError,
    },
    /// A key elsewhere did not answer.
    #[error("opening and checking took longer than {} s", DEADLINE.as_secs())]
    TooSlow,
}

impl Running {
    /// Reads the configuration file again, and takes up the key, chains and identities of the certificate authority, the key and chains of the timestamp
    /// authority, the accepted roots of CT logs, and the key and certificates of the listeners, if all of them are fit. Requests under way end with what
    /// they began with. The log says what happened.
    ///
    /// # Errors
    /// Why everything is as it was.
    pub async fn reload(&self, path: &Path) -> Result<Reloaded, ReloadError> {
        let outcome = self.take_up(path).await;
        if let Ok(Reloaded { shown: Some((subject, not_after)), .. }) = &outcome {
            tracing::info!(config = %path.display(), %subject, %not_after, "new connections are shown this certificate");
        }
        match &outcome {
            Ok(Reloaded { issuing, stamping, .. }) => {
                let [issuing, stamping] = [issuing, stamping].map(|certificate| certificate.as_ref().map(until));
                let config = path.display();
                tracing::info!(%config, issuing, stamping, "reloaded: these certificates issue and stamp now");
            }
            Err(error) => tracing::error!(config = %path.display(), %error, "not reloaded: everything is as it was"),
        }
        outcome
    }

    async fn take_up(&self, path: &Path) -> Result<Reloaded, ReloadError> {
        let control = self.control.as_ref().ok_or(ReloadError::NoConfiguration)?;
        let config = Config::load(path)?;
        if let Some(key) = self.fixed.first_difference(&config.fixed) {
            return Err(ReloadError::NeedsRestart { key });
        }
        let preparing = Prepared::of(&config, control);
        let prepared = tokio::time::timeout(DEADLINE, preparing).await.map_err(|_| ReloadError::TooSlow)??;
        let reloaded = prepared.take_over();
        expiry::Holders::of(control).announce(control.deps.now());
        Ok(reloaded)
    }
}

fn until((subject, not_after): &(String, Timestamp)) -> String {
    format!("{subject} until {not_after}")
}

/// What was read and found fit.
struct Prepared {
    roots: Vec<(CtLog, AcceptedRoots)>,
    authority: Option<(Serving, Successor)>,
    tsa: Option<(Arc<Tsa>, tsa::Successor)>,
    tls: Option<(Terminator, Credentials)>,
}

impl Prepared {
    async fn of(config: &Config, control: &Control) -> Result<Self, ReloadError> {
        let mut prepared = Self { roots: Vec::new(), authority: None, tsa: None, tls: None };
        if let (Some(place), Some(terminator)) = (&config.tls, &control.tls) {
            let passphrase = read_passphrase(config)?;
            prepared.tls = Some((terminator.clone(), open::tls(place, &passphrase, control.deps.now()).await?));
        }
        let authority = match (&config.fulcio, &control.fulcio) {
            (Some(role), Some(serving)) => {
                let passphrase = read_passphrase(config)?;
                let authority = open::certificate_authority(role, &passphrase).await?;
                let identities = open::fulcio_config(role)?;
                let successor = serving.prepare(identities, authority).await.map_err(StartError::role("fulcio"))?;
                Some((role, serving.clone(), successor))
            }
            _ => None,
        };
        if let (Some(role), Some(tsa)) = (&config.tsa, control.own_tsa.get()) {
            let passphrase = read_passphrase(config)?;
            let authority = open::timestamp_authority(role, &passphrase, control.deps.now()).await?;
            let successor = tsa.prepare(authority).await.map_err(StartError::role("tsa"))?;
            prepared.tsa = Some((Arc::clone(tsa), successor));
        }
        for role in &config.ctlogs {
            let name = &role.log.name;
            let roots = AcceptedRoots::new(open::chain(&role.accepted_roots)?);
            let roots = roots.map_err(StartError::role(format!("ctlog {name}")))?;
            if let Some((fulcio, serving, successor)) = &authority
                && fulcio.ct.names(name)
            {
                expect_both(name, &roots, serving, successor)?;
            }
            prepared.roots.extend(control.ct_log(name).map(|log| (log, roots)));
        }
        prepared.authority = authority.map(|(_, serving, successor)| (serving, successor));
        Ok(prepared)
    }

    /// The logs first: they accept the chain that issues now and the one that will. Nothing here can fail.
    fn take_over(self) -> Reloaded {
        for (log, roots) in self.roots {
            log.accept_roots(roots);
        }
        let shown = self.tls.and_then(|(terminator, credentials)| {
            terminator.exchange(credentials);
            terminator.inspect(first_of)
        });
        let issuing = self.authority.and_then(|(serving, successor)| {
            let issuing = successor.inspect(|authority| first_of(authority.chain()));
            serving.hand_over(successor);
            issuing
        });
        let stamping = self.tsa.and_then(|(tsa, successor)| {
            let stamping = successor.inspect(|authority| first_of(authority.chain()));
            tsa.hand_over(successor);
            stamping
        });
        Reloaded { issuing, stamping, shown }
    }
}

/// Subject and end of the certificate that a chain is about.
fn first_of(chain: &[Certificate]) -> Option<(String, Timestamp)> {
    chain.first().map(|certificate| (certificate.subject_text(), certificate.not_after()))
}

/// A log accepts what is issued now and what will be.
fn expect_both(name: &str, roots: &AcceptedRoots, serving: &Serving, successor: &Successor) -> Result<(), ReloadError> {
    let log = || name.to_owned();
    let accepts = |chain: &[Certificate]| roots.expect_authority(chain);
    successor
        .inspect(|authority| accepts(authority.chain()))
        .map_err(|problem| ReloadError::LogRefusesNew { log: log(), problem })?;
    serving
        .inspect(|authority| accepts(authority.chain()))
        .map_err(|problem| ReloadError::LogRefusesOld { log: log(), problem })
}
