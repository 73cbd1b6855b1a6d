// SPDX-License-Identifier: Apache-2.0
//! Whether a timestamp could be issued now: shown by issuing one to nobody.
//!
//! In scope: the conditions that `/readyz` shows. Out of scope: the reply (`crate::http::site`).
//! Invariants: what is shown here refuses every request, and what would refuse every request is shown here; however often it is asked, a token is made
//! at most once in [`KEPT_FOR`], and that token goes nowhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::authority;
use super::error::TsaError;
use super::serving::Tsa;
use crate::http::site::RoleState;

/// How long the last answer is given again: no more than a signature in five seconds is spent on who asks.
const KEPT_FOR: Duration = Duration::from_secs(5);
/// How long a token may take to be made, before the authority counts as down.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

/// What issuing depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The time servers confirm the clock, and times are kept.
    Clock,
    /// Tokens can be written down.
    AuditLog,
    /// A token can be made, and verifies.
    Token,
}

impl Condition {
    pub(crate) const ALL: [Self; 3] = [Self::Clock, Self::AuditLog, Self::Token];

    /// Its name in `/readyz`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clock => "tsa clock",
            Self::AuditLog => "tsa audit log",
            Self::Token => "tsa token",
        }
    }
}

/// What was found out last.
#[derive(Default)]
pub(super) struct Probe(Mutex<Option<(Instant, RoleState)>>);

impl Probe {
    /// What was found out was about another key.
    pub(super) fn forget(&self) {
        // Whoever is finding something out now began before.
        if let Ok(mut kept) = self.0.try_lock() {
            *kept = None;
        }
    }
}

impl Tsa {
    /// How it is about one condition.
    pub(crate) async fn health(self: Arc<Self>, condition: Condition) -> RoleState {
        match condition {
            Condition::Clock if self.keeps_times() => state(self.expect_clock().is_ok()),
            Condition::Clock => RoleState::Stopped,
            Condition::AuditLog => state(self.expect_audit().is_ok()),
            Condition::Token => self.probed().await,
        }
    }

    /// Who asks while a token is made waits for that one.
    async fn probed(&self) -> RoleState {
        let mut kept = self.probe.0.lock().await;
        match *kept {
            Some((at, found)) if at.elapsed() < KEPT_FOR => found,
            _ => {
                let found = match tokio::time::timeout(PROBE_WITHIN, self.stamp_for_nobody()).await {
                    Ok(Ok(())) => RoleState::Up,
                    Ok(Err(error)) => {
                        error.log();
                        RoleState::Stopped
                    }
                    Err(_) => {
                        tracing::error!(within = ?PROBE_WITHIN, "no timestamp could be made in time");
                        RoleState::Stopped
                    }
                };
                *kept = Some((Instant::now(), found));
                found
            }
        }
    }

    async fn stamp_for_nobody(&self) -> Result<(), TsaError> {
        let authority = self.current();
        let (message, request) = authority::trial();
        let (_, token) = self.make(&authority, &request, self.policies().default_policy()).await?;
        authority.verified(&token, &request, &message).map(drop).map_err(|error| TsaError::internal(&error))
    }
}

fn state(good: bool) -> RoleState {
    if good { RoleState::Up } else { RoleState::Stopped }
}
