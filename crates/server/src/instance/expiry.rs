// SPDX-License-Identifier: Apache-2.0
//! Announcing the end of the certificates that are in use, in the log, at the start, after a reload and daily.
//!
//! In scope: the chains of the certificate authority and of the timestamp authority, those that are only published still, what the listeners show. Out of scope: renewing
//! (`crate::ceremony`); the TUF roles (`crate::tuf`).
//! Invariant: looking changes nothing and ends with the process.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use touchmark_sequencer::Clock;
use touchmark_sigstore::x509::Certificate;

use super::control::Control;
use crate::deps::timestamp;
use crate::fulcio::{LEAF_LIFETIME, Serving};
use crate::http::listener::Stop;
use crate::http::tls::Terminator;
use crate::tsa::Tsa;

/// How long before its end a certificate is announced: time for a ceremony with an offline key, and for clients to learn of the new chain.
const WARN: SignedDuration = SignedDuration::from_hours(46 * 24);
/// How often, by the clock.
const ANNOUNCE_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// How often the clock is looked at: the wait does not count the time that a machine sleeps.
const CHECK_EVERY: Duration = Duration::from_secs(3600);

/// Who of this process has certificates.
pub(super) struct Holders {
    fulcio: Option<Serving>,
    tsa: Option<Arc<Tsa>>,
    tls: Option<Terminator>,
}

/// What is to be said of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// Nothing yet.
    Good,
    /// It ends within [`WARN`].
    Ends,
    /// Before the next announcement what it issues will end with it.
    CutsShort,
    Ended,
}

impl Outlook {
    fn of(not_after: Timestamp, now: Timestamp) -> Self {
        let left = not_after.duration_since(now);
        if left <= SignedDuration::ZERO {
            Self::Ended
        } else if left < ANNOUNCE_EVERY + LEAF_LIFETIME {
            Self::CutsShort
        } else if left <= WARN {
            Self::Ends
        } else {
            Self::Good
        }
    }
}

/// Runs until `stop`.
pub(super) async fn watch(holders: Holders, clock: Arc<dyn Clock>, mut stop: Stop) {
    let mut announced: Option<Timestamp> = None;
    loop {
        let now = timestamp(clock.as_ref());
        // A clock that was set back is no reason for silence.
        if announced.is_none_or(|last| now.duration_since(last).abs() >= ANNOUNCE_EVERY) {
            holders.announce(now);
            announced = Some(now);
        }
        tokio::select! {
            () = tokio::time::sleep(CHECK_EVERY) => {}
            () = stop.requested() => return,
        }
    }
}

impl Holders {
    pub(super) fn of(control: &Control) -> Self {
        Self { fulcio: control.fulcio.clone(), tsa: control.own_tsa.get().cloned(), tls: control.tls.clone() }
    }

    /// Says what has to be said of each certificate.
    pub(super) fn announce(&self, now: Timestamp) {
        if let Some(serving) = &self.fulcio {
            serving.inspect(|authority| {
                authority.chain().iter().for_each(|certificate| announce("fulcio", certificate, now));
                authority.previous().for_each(|chain| announce_previous(chain, now));
            });
        }
        if let Some(tsa) = &self.tsa {
            tsa.inspect(|authority| {
                authority.chain().iter().for_each(|certificate| announce("tsa", certificate, now));
                authority.previous().for_each(|chain| announce_previous(chain, now));
            });
        }
        if let Some(tls) = &self.tls {
            tls.inspect(|chain| chain.iter().for_each(|certificate| announce_shown(certificate, now)));
        }
    }
}

fn announce(role: &str, certificate: &Certificate, now: Timestamp) {
    let (subject, not_after) = (certificate.subject_text(), certificate.not_after());
    let days_left = not_after.duration_since(now).as_hours() / 24;
    match Outlook::of(not_after, now) {
        Outlook::Good => {}
        Outlook::Ends => {
            tracing::warn!(role, subject, %not_after, days_left, "a certificate in use ends soon: renew it");
        }
        Outlook::CutsShort => {
            tracing::error!(role, subject, %not_after, "a certificate in use ends within a day, and with it all that it issues: renew it now");
        }
        Outlook::Ended => {
            tracing::error!(role, subject, %not_after, "a certificate in use has ended: nothing that it issues is valid; renew it now");
        }
    }
}

/// A certificate of the listeners issues nothing, and is renewed by other means.
fn announce_shown(certificate: &Certificate, now: Timestamp) {
    let (subject, not_after) = (certificate.subject_text(), certificate.not_after());
    let days_left = not_after.duration_since(now).as_hours() / 24;
    match outlook_of_shown(certificate.not_before(), not_after, now) {
        Outlook::Good => {}
        Outlook::Ends => {
            tracing::warn!(role = "tls", subject, %not_after, days_left, "a certificate of the listeners ends soon: renew it and send SIGHUP");
        }
        Outlook::CutsShort => {
            tracing::error!(role = "tls", subject, %not_after, "a certificate of the listeners ends within a day: renew it and send SIGHUP now");
        }
        Outlook::Ended => {
            tracing::error!(role = "tls", subject, %not_after, "a certificate of the listeners has ended: no client connects; renew it and send SIGHUP now");
        }
    }
}

/// Programs renew certificates of few weeks when a third of their life is left: before that there is nothing to say.
fn outlook_of_shown(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Outlook {
    let third = not_after.duration_since(not_before) / 3;
    match Outlook::of(not_after, now) {
        Outlook::Ends if not_after.duration_since(now) > third => Outlook::Good,
        outlook => outlook,
    }
}

/// A previous chain is to end one day; only that it is no longer published is worth a line.
fn announce_previous(chain: &[Certificate], now: Timestamp) {
    for certificate in chain.iter().filter(|certificate| certificate.not_after() < now) {
        let (subject, not_after) = (certificate.subject_text(), certificate.not_after());
        tracing::info!(subject, %not_after, "a previous chain is no longer published: a certificate of it has ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_announced_while_there_is_time_to_act() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for (left, expect) in [
            (SignedDuration::from_hours(46 * 24) + SignedDuration::from_secs(1), Outlook::Good),
            (SignedDuration::from_hours(46 * 24), Outlook::Ends),
            (ANNOUNCE_EVERY + LEAF_LIFETIME, Outlook::Ends),
            (ANNOUNCE_EVERY + LEAF_LIFETIME - SignedDuration::from_secs(1), Outlook::CutsShort),
            (SignedDuration::from_secs(1), Outlook::CutsShort),
            (SignedDuration::ZERO, Outlook::Ended),
            (SignedDuration::from_hours(-24), Outlook::Ended),
        ] {
            assert_eq!(Outlook::of(now + left, now), expect, "{left:?}");
        }
    }

    #[test]
    fn a_short_certificate_of_the_listeners_is_announced_when_it_should_have_been_renewed() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        for (life, left, expect) in [
            (365, 47, Outlook::Good),
            (365, 46, Outlook::Ends),
            (90, 46, Outlook::Good),
            (90, 31, Outlook::Good),
            (90, 30, Outlook::Ends),
            (6, 3, Outlook::Good),
            (6, 2, Outlook::Ends),
            (6, 1, Outlook::CutsShort),
            (6, 0, Outlook::Ended),
        ] {
            let not_after = now + days(left);
            assert_eq!(outlook_of_shown(not_after - days(life), not_after, now), expect, "{left} of {life} days");
        }
    }
}
