// SPDX-License-Identifier: Apache-2.0
//! The logs that every precertificate goes to, and how many of them have to promise to show it.
//!
//! RFC 6962 §3.3: a certificate may carry the SCTs of several logs, and a client decides how many it wants.
//!
//! In scope: asking all logs at once, within one deadline, and the rule by which their answers are enough. Out of scope: one log
//! ([`super`], [`super::http`]); the certificate (`issue`).
//! Invariants: an SCT counts only after it was verified over the entry with the key of the log that was asked; a log counts once, whatever it is
//! called; where the rule is not met there is no SCT at all.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};
use touchmark_sigstore::ct::{LogEntry, Sct, SctVerified, verify_sct};
use touchmark_sigstore::x509::Certificate;

use super::{CtError, CtTarget};
use crate::metrics::FulcioMetrics;

/// How long a certificate may wait for its SCTs, all tries of all logs together, unless the configuration says otherwise.
pub(crate) const DEADLINE_DEFAULT: Duration = Duration::from_secs(20);
/// How long a log is waited for whose promise is not needed. It bounds what an outage of such a log costs each certificate.
const WELCOME_WAIT: Duration = Duration::from_millis(500);

/// How far the clock of a log may be from ours: an SCT of another time is one that no verifier believes.
const SCT_SKEW_MAX_MS: u64 = 5 * 60 * 1000;
/// The longest extensions of an SCT: the leaf index of static CT has eight bytes, and certificates are to stay small.
const SCT_EXTENSIONS_BYTES_MAX: usize = 256;

/// A log that precertificates go to.
pub(crate) struct CtMember {
    /// What the configuration and the metrics call it.
    pub(crate) name: String,
    pub(crate) target: CtTarget,
    pub(crate) need: Need,
}

/// Whether a certificate can do without the promise of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    /// It counts, and others may stand in for it.
    Welcome,
}

/// All logs, and the rule.
pub(crate) struct CtLogs {
    members: Vec<CtMember>,
    scts_min: usize,
    deadline: Duration,
}

/// Why logs cannot be used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CtLogsError {
    #[error("certificates would go to no log")]
    None,
    #[error("{scts_min} SCTs are demanded of {logs} logs")]
    TooFew { scts_min: usize, logs: usize },
    #[error("{first:?} and {second:?} have one key: they are the same log")]
    Same { first: String, second: String },
}

/// What one log promised, and the proof that it did, over exactly the entry that it was asked for.
pub(in crate::fulcio) struct Promise {
    sct: Sct,
    _verified: SctVerified,
}

impl Promise {
    pub(in crate::fulcio) fn sct(&self) -> &Sct {
        &self.sct
    }
}

/// What became of the questions; in the order of the configuration, `None` where no answer came yet.
type Answers = Vec<Option<Result<Promise, CtError>>>;

impl CtLogs {
    /// `scts_min` counts distinct logs, required ones included.
    pub(crate) fn new(members: Vec<CtMember>, scts_min: usize, deadline: Duration) -> Result<Self, CtLogsError> {
        if members.is_empty() || scts_min == 0 {
            return Err(CtLogsError::None);
        }
        if scts_min > members.len() {
            return Err(CtLogsError::TooFew { scts_min, logs: members.len() });
        }
        for (place, second) in members.iter().enumerate() {
            let key = second.target.current().public_key().clone();
            let same = members.iter().take(place).find(|first| *first.target.current().public_key() == key);
            if let Some(first) = same {
                return Err(CtLogsError::Same { first: first.name.clone(), second: second.name.clone() });
            }
        }
        Ok(Self { members, scts_min, deadline })
    }

    /// Whether the rule can be met, as far as that is known without asking.
    pub(in crate::fulcio) fn can_promise(&self) -> bool {
        let open: Vec<&CtMember> = self.members.iter().filter(|one| one.target.current().ended().is_none()).collect();
        let required = self.members.iter().filter(|one| one.need == Need::Required).count();
        let required_open = open.iter().filter(|one| one.need == Need::Required).count();
        required_open == required && open.len() >= self.scts_min
    }

    /// Asks every log, and gives the promises in the order of the configuration as soon as they are enough: to those that are merely welcome
    /// a moment more is given.
    pub(in crate::fulcio) async fn promises(
        &self,
        precertificate: &Certificate,
        chain: &[Certificate],
        entry: &LogEntry,
        now_ms: u64,
        metrics: &FulcioMetrics,
    ) -> Result<Vec<Promise>, CtError> {
        let asked = self.members.iter().enumerate();
        let mut asked: FuturesUnordered<_> = asked
            .map(|(place, member)| async move { (place, member.promise(precertificate, chain, entry, now_ms).await) })
            .collect();
        let mut answers: Answers = self.members.iter().map(|_| None).collect();
        let mut until = Instant::now() + self.deadline;
        let mut enough = false;
        while let Ok(Some((place, answer))) = timeout_at(until, asked.next()).await {
            if let Some(slot) = answers.get_mut(place) {
                *slot = Some(answer);
            }
            if !enough && self.are_enough(&answers) {
                enough = true;
                until = until.min(Instant::now() + WELCOME_WAIT);
            }
            if !enough && !self.may_become_enough(&answers) {
                break;
            }
        }
        self.report(&answers, metrics);
        if enough { Ok(answers.into_iter().flatten().flatten().collect()) } else { Err(self.failure(&answers)) }
    }

    fn are_enough(&self, answers: &Answers) -> bool {
        self.meets(answers, |answer| matches!(answer, Some(Ok(_))))
    }

    fn may_become_enough(&self, answers: &Answers) -> bool {
        self.meets(answers, |answer| !matches!(answer, Some(Err(_))))
    }

    /// Distinct by the id of the log: one that took another's place meanwhile could have the key of a third.
    fn meets(&self, answers: &Answers, counts: impl Fn(&Option<Result<Promise, CtError>>) -> bool) -> bool {
        let mut required_met = true;
        let (mut unanswered, mut logs) = (0, BTreeSet::new());
        for (member, answer) in self.members.iter().zip(answers) {
            match answer {
                answer if !counts(answer) => required_met &= member.need == Need::Welcome,
                Some(Ok(promise)) => {
                    logs.insert(promise.sct.log_id);
                }
                _ => unanswered += 1,
            }
        }
        required_met && logs.len() + unanswered >= self.scts_min
    }

    /// The reason to name: one that another try may cure, where that would be enough.
    fn failure(&self, answers: &Answers) -> CtError {
        let lasts = |answer: &Option<Result<Promise, CtError>>| matches!(answer, Some(Err(error)) if !error.may_pass());
        let curable = self.meets(answers, |answer| !lasts(answer));
        let reasons = answers.iter().filter_map(|answer| match answer {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(error.clone()),
            None => Some(CtError::Deadline),
        });
        reasons.into_iter().find(|reason| reason.may_pass() == curable).unwrap_or(CtError::Deadline)
    }

    fn report(&self, answers: &Answers, metrics: &FulcioMetrics) {
        for (member, answer) in self.members.iter().zip(answers) {
            let outcome = match answer {
                Some(Ok(_)) => "sct",
                Some(Err(error)) => {
                    tracing::warn!(log = member.name, %error, "a certificate transparency log gave no SCT");
                    error.name()
                }
                None => "late",
            };
            metrics.count_ct(&member.name, outcome);
        }
    }
}

#[cfg(test)]
impl Promise {
    pub(in crate::fulcio) fn of(sct: Sct, verified: SctVerified) -> Self {
        Self { sct, _verified: verified }
    }
}

#[cfg(test)]
impl CtLogs {
    /// Certificates go to this log alone.
    pub(in crate::fulcio) fn only(log: std::sync::Arc<dyn super::CtSubmit>) -> std::sync::Arc<Self> {
        Self::only_within(log, DEADLINE_DEFAULT)
    }

    pub(in crate::fulcio) fn only_within(
        log: std::sync::Arc<dyn super::CtSubmit>,
        deadline: Duration,
    ) -> std::sync::Arc<Self> {
        let member = CtMember { name: "the log".to_owned(), target: CtTarget::new(log), need: Need::Required };
        std::sync::Arc::new(Self::new(vec![member], 1, deadline).unwrap())
    }

    pub(in crate::fulcio) fn first(&self) -> std::sync::Arc<dyn super::CtSubmit> {
        self.members[0].target.current()
    }
}

impl CtMember {
    /// Believes the log only after verifying what it signed.
    async fn promise(
        &self,
        precertificate: &Certificate,
        chain: &[Certificate],
        entry: &LogEntry,
        now_ms: u64,
    ) -> Result<Promise, CtError> {
        let mut log = self.target.current();
        let sct = match log.submit(precertificate, chain).await {
            // It ended while we were on the way; its successor was there before.
            Err(CtError::Frozen) => {
                log = self.target.current();
                log.submit(precertificate, chain).await
            }
            outcome => outcome,
        }?;
        let verified = verify_sct(&sct, entry, log.public_key()).map_err(|error| {
            tracing::error!(log = self.name, %error, "a certificate transparency log returned an SCT that does not verify");
            CtError::SctInvalid
        })?;
        let (timestamp_ms, extensions) = (sct.timestamp_ms, sct.extensions.len());
        if timestamp_ms.abs_diff(now_ms) > SCT_SKEW_MAX_MS || extensions > SCT_EXTENSIONS_BYTES_MAX {
            tracing::error!(
                log = self.name,
                timestamp_ms,
                now_ms,
                extensions,
                "a certificate transparency log returned an SCT of another time, or a huge one"
            );
            return Err(CtError::SctUnfit);
        }
        Ok(Promise { sct, _verified: verified })
    }
}
