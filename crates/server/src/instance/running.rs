// SPDX-License-Identifier: Apache-2.0
//! A process that answers, and how it stops.
//!
//! In scope: the order of stopping. Out of scope: signals, which the command line turns into [`Running::shutdown`].
//! Invariant: requests under way are answered before the logs, the audit logs and the timestamp authority close, and they close before the locks are released.

use std::path::{Path, PathBuf};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::control::{Control, OpenLogs};
use crate::config::FixedSettings;
use crate::durable::DirectoryLock;
use crate::evidence::OwnTsa;
use crate::fulcio::AuditLog;
use crate::http::listener::Stop;
use crate::http::site::{Readiness, RoleState};

/// Whether a data directory was made by this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It was: client files and keys are new.
    First,
    /// It was there and went on where it had stopped.
    Later,
}

/// Services that answer requests until [`Running::shutdown`]. Dropping it stops them too, without waiting.
pub struct Running {
    pub(super) url: String,
    pub(super) listening: Vec<(String, String)>,
    pub(super) oidc_issuer: Option<String>,
    pub(super) client_directory: Option<PathBuf>,
    pub(super) start: Start,
    pub(super) readiness: Readiness,
    pub(super) stop: watch::Sender<bool>,
    /// What `stop` switches, for tasks that are added.
    pub(super) stopping: Stop,
    pub(super) tasks: JoinSet<()>,
    /// Until somebody attends to it.
    pub(super) control: Option<Control>,
    pub(super) logs: OpenLogs,
    pub(super) audit: Option<AuditLog>,
    pub(super) tsa: OwnTsa,
    /// What of the configuration a reload cannot take up.
    pub(super) fixed: FixedSettings,
    /// Released last: fields are dropped in the order of their declaration.
    pub(super) locks: Vec<DirectoryLock>,
}

impl Running {
    /// The base URL of the services, without a final slash.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Each role with the base URL of the address that it listens on, without a final slash: `fulcio`, `ctlog NAME`, `rekor NAME`, `tsa`, `tuf`, `oidc`.
    #[must_use]
    pub fn listening(&self) -> &[(String, String)] {
        &self.listening
    }

    /// The issuer URL of the try-out issuer, if it runs.
    #[must_use]
    pub fn oidc_issuer(&self) -> Option<String> {
        self.oidc_issuer.clone()
    }

    /// Where the files for clients lie: `root.json`, `trusted_root.json`, `signing_config.json`, `client_trust_config.json`.
    #[must_use]
    pub fn client_directory(&self) -> Option<&Path> {
        self.client_directory.as_deref()
    }

    /// Whether this start made the data directory.
    #[must_use]
    pub fn start(&self) -> Start {
        self.start
    }

    /// Returns when something that should run for good has ended; then there is nothing left but to shut down.
    pub async fn wait(&mut self) {
        let _ = self.tasks.join_next().await;
    }

    /// Stops accepting, answers what is under way, closes the logs, releases the data.
    pub async fn shutdown(mut self) {
        self.readiness.set_all(RoleState::Stopped);
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        if let Some(audit) = &self.audit {
            audit.close().await;
        }
        if let Some(tsa) = self.tsa.get() {
            tsa.close().await;
        }
        // Only after this may another process open them.
        self.logs.shutdown().await;
        self.locks.clear();
        tracing::info!("stopped");
    }
}
