// SPDX-License-Identifier: Apache-2.0
//! The lane: one task for each log, beside the commit path, which asks all witnesses about one checkpoint at a time.
//!
//! A quorum has to cosign the same text, so a round fixes the newest checkpoint and asks everybody about that one. A round ends when
//! everybody has answered, or when the quorum is there and a second has passed: then a slow witness no longer holds up the next round; its late
//! answer is taken when it comes. What was signed in between is skipped.
//!
//! In scope: rounds, pauses after failures, gathering, the quorum. Out of scope: one question (`ask`), the file (`store`).
//! Invariants: at most one question to a witness is under way; nothing is shown before it is durable; the shown size never falls.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use touchmark_outbound::Outbound;
use touchmark_sequencer::{SignedCheckpoint, Signings};
use touchmark_tlog::TreeSize;
use touchmark_tlog::note::{NoteSignature, SignedNote};

use super::ask::{Answer, AskError, ask};
use super::store::Store;
use super::{Cosigned, Member, Shared};
use crate::http::listener::Stop;

/// Rounds begin at most so often. What a log signs in between is covered by the next one.
const PERIOD: Duration = Duration::from_secs(1);
/// A start waits so long for the answers of the first round: a witness that cannot be reached must not keep a log down.
const FIRST_ROUND_MAX: Duration = Duration::from_secs(6);
/// Cosignatures of a tree that does not grow are renewed after this time, so that readers see that the witnesses live.
const RENEW_AFTER: Duration = Duration::from_secs(600);
/// The pause after a failure of a witness; it doubles with each further one.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The task and all its state.
pub(crate) struct Lane {
    shared: Arc<Shared>,
    peers: Vec<Peer>,
    store: Store,
    outbound: Outbound,
    stop: Stop,
    signings: Signings,
    asking: JoinSet<Answered>,
    round: Round,
}

/// A witness and what is known of it.
struct Peer {
    member: Arc<Member>,
    /// The size that it cosigned last, as far as we know; a guess that its answers correct.
    known: TreeSize,
    busy: bool,
    failures: u32,
    /// Not asked again before.
    due: Instant,
}

/// One checkpoint and its cosignatures so far.
struct Round {
    checkpoint: SignedCheckpoint,
    note: SignedNote,
    begun: Instant,
    /// By position of the peer.
    lines: Vec<Option<NoteSignature>>,
    quorum: bool,
}

struct Answered {
    peer: usize,
    /// The text that was asked about.
    text: String,
    size: TreeSize,
    answer: Answer,
}

/// Why waiting ended.
enum Event {
    Answered(Answered),
    Other,
    Stop,
}

impl Lane {
    pub(super) fn new(
        shared: Arc<Shared>,
        members: Vec<Member>,
        cosigned_before: Option<&(SignedNote, TreeSize)>,
        store: Store,
        outbound: Outbound,
        stop: Stop,
    ) -> Self {
        let now = Instant::now();
        let peer = |member: Member| {
            let known = cosigned_before.filter(|(note, _)| member.key.verify(note).is_ok());
            let known = known.map_or(TreeSize(0), |(_, size)| *size);
            Peer { member: Arc::new(member), known, busy: false, failures: 0, due: now }
        };
        let peers: Vec<Peer> = members.into_iter().map(peer).collect();
        let (signings, checkpoint) = (shared.log.signings(), shared.log.checkpoint());
        let round = Round::new(checkpoint, peers.len(), now);
        Self { shared, peers, store, outbound, stop, signings, asking: JoinSet::new(), round }
    }

    /// Asks every witness once and waits for the answers, though not for ever.
    pub(super) async fn first_round(&mut self) {
        let until = Instant::now() + FIRST_ROUND_MAX;
        self.ask_those_due();
        while self.peers.iter().any(|peer| peer.busy) && self.shared.log.stopped().is_none() {
            match timeout_at(until, self.asking.join_next()).await {
                Ok(Some(Ok(answered))) => self.take(answered).await,
                Ok(_) => {}
                Err(_) => {
                    tracing::warn!(
                        origin = self.shared.log.origin(),
                        "not every witness has answered; starting without them"
                    );
                    return;
                }
            }
        }
    }

    /// The body of the task. It ends at `stop` alone; after an alarm it asks nobody any more.
    pub(crate) async fn run(mut self) {
        loop {
            if self.shared.log.stopped().is_some() {
                return self.stop.requested().await;
            }
            self.begin_round_if_due();
            self.ask_those_due();
            match self.event().await {
                Event::Answered(answered) => self.take(answered).await,
                Event::Other => {}
                Event::Stop => return,
            }
        }
    }

    /// A new round is due for another checkpoint, or to renew cosignatures, if the running one is over.
    fn begin_round_if_due(&mut self) {
        let now = Instant::now();
        let newest = self.shared.log.checkpoint();
        let is_other = (newest.size, newest.root) != (self.round.checkpoint.size, self.round.checkpoint.root);
        let renew = now >= self.round.begun + RENEW_AFTER;
        if (is_other && self.round_is_over()) || renew {
            self.round = Round::new(newest, self.peers.len(), now);
        }
    }

    fn round_is_over(&self) -> bool {
        let settled = self.round.quorum || !self.round.can_go_on(&self.peers);
        settled && Instant::now() >= self.round.begun + PERIOD
    }

    fn ask_those_due(&mut self) {
        let now = Instant::now();
        for position in 0..self.peers.len() {
            let peer = &mut self.peers[position];
            if peer.busy || peer.due > now || self.round.lines[position].is_some() {
                continue;
            }
            peer.busy = true;
            let (shared, outbound) = (Arc::clone(&self.shared), self.outbound.clone());
            let (member, guess) = (Arc::clone(&peer.member), peer.known);
            let (note, size) = (self.round.note.clone(), self.round.checkpoint.size);
            self.asking.spawn(async move {
                let text = note.text().to_owned();
                let answer = ask(&outbound, &shared.log, &member, (note, size), guess).await;
                Answered { peer: position, text, size, answer }
            });
        }
    }

    /// Waits for an answer, for a newer checkpoint, or until somebody is due.
    async fn event(&mut self) -> Event {
        let until = self.wake_at();
        // While a round is on its way a newer checkpoint changes nothing.
        let listens = self.round_is_over();
        tokio::select! {
            answered = self.asking.join_next(), if !self.asking.is_empty() => match answered {
                Some(Ok(answered)) => Event::Answered(answered),
                // A question that panicked: its peer stays busy, which only takes that witness out.
                Some(Err(_)) | None => Event::Other,
            },
            signing = self.signings.next(), if listens => match signing {
                Some(_) => Event::Other,
                None => Event::Stop,
            },
            () = sleep_until(until) => Event::Other,
            () = self.stop.requested() => Event::Stop,
        }
    }

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let missing =
            |(position, peer): (usize, &Peer)| (self.round.lines[position].is_none() && !peer.busy).then_some(peer.due);
        let retry = self.peers.iter().enumerate().filter_map(missing).min();
        let period_over = self.round.begun + PERIOD;
        let next = if now < period_over { period_over } else { self.round.begun + RENEW_AFTER };
        retry.map_or(next, |retry| retry.min(next)).max(now + Duration::from_millis(1))
    }

    async fn take(&mut self, answered: Answered) {
        let Answered { peer: position, text, size, answer } = answered;
        let origin = self.shared.log.origin();
        let peer = &mut self.peers[position];
        let witness = peer.member.name.clone();
        peer.busy = false;
        match answer {
            Answer::Cosigned(line) => {
                peer.known = size;
                peer.failures = 0;
                tracing::debug!(origin, witness, %size, "cosigned");
                if text == self.round.note.text() {
                    self.round.lines[position] = Some(line);
                    self.gather().await;
                }
            }
            Answer::Newer(known) => {
                peer.known = known;
                peer.failures = 0;
                peer.due = Instant::now() + PERIOD;
            }
            Answer::Failed { error, known } => {
                peer.known = known;
                peer.failed(&error, origin);
            }
            Answer::Alarm(cause) => self.shared.log.stop(cause),
        }
    }

    /// Shows what the round has so far, once the quorum is reached and whenever another cosignature comes.
    ///
    /// Effect: the store's file, before any reader sees it. A crash after it leaves a checkpoint there that the next start shows.
    async fn gather(&mut self) {
        let lines: Vec<NoteSignature> = self.round.lines.iter().flatten().cloned().collect();
        let Ok(note) = self.round.note.with_signatures(&lines) else { return };
        if self.shared.policy.cosigned(&note).is_err() {
            return;
        }
        let shown_size = self.shared.cosigned.borrow().as_ref().map_or(TreeSize(0), |shown| shown.checkpoint.size);
        if self.round.checkpoint.size < shown_size {
            return;
        }
        if let Err(error) = self.store.save(&note).await {
            tracing::error!(origin = self.shared.log.origin(), %error, "a cosigned checkpoint is not shown, for it could not be stored");
            return;
        }
        self.round.quorum = true;
        let SignedCheckpoint { size, root, .. } = self.round.checkpoint;
        let checkpoint = SignedCheckpoint { note: Arc::from(note.to_string()), size, root };
        let cosigned = Cosigned { checkpoint, text: note.text().to_owned(), lines };
        self.shared.cosigned.send_replace(Some(cosigned));
    }
}

impl Round {
    fn new(checkpoint: SignedCheckpoint, peers: usize, begun: Instant) -> Self {
        let note =
            SignedNote::parse(checkpoint.note.as_bytes()).expect("the log signs notes and reads each before it leaves");
        Self { checkpoint, note, begun, lines: vec![None; peers], quorum: false }
    }

    /// Whether an answer to this round is under way or will be asked for at once.
    fn can_go_on(&self, peers: &[Peer]) -> bool {
        let now = Instant::now();
        peers.iter().zip(&self.lines).any(|(peer, line)| line.is_none() && (peer.busy || peer.due <= now))
    }
}

impl Peer {
    fn failed(&mut self, error: &AskError, origin: &str) {
        let pause = RETRY_MIN.saturating_mul(1 << self.failures.min(16)).min(RETRY_MAX);
        self.failures += 1;
        self.due = Instant::now() + pause;
        tracing::warn!(
            origin,
            witness = self.member.name,
            url = %self.member.add_checkpoint,
            %error,
            again_in_s = pause.as_secs(),
            "a witness did not cosign"
        );
    }
}
