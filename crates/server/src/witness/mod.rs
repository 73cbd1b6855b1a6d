// SPDX-License-Identifier: Apache-2.0
//! Witnesses: the log asks others to cosign its checkpoints (C2SP tlog-witness, client side), and shows what they cosigned.
//!
//! ```text
//! signed checkpoints ──▶ lane (latest only, about once a second) ──ask──▶ each witness
//!                          │ every cosignature verified, quorum of the policy reached
//!                          ├─▶ store: one file, durable before anybody sees it
//!                          └─▶ readers: `checkpoint`, replies to who asks for a cosigned one
//! ```
//!
//! In scope: who is asked, when ([`lane`]) and how ([`ask`]); the newest cosigned checkpoint on disk ([`store`]); which checkpoint a reader is
//! shown and which a writer waits for ([`show`]). Out of scope: the request's text (`touchmark_tlog::witness`), the policy file and the quorum
//! (`touchmark_sigstore::policy`), signing (`touchmark_sequencer`).
//! Invariants: the commit path never waits for a witness unless the configuration says fail-closed or the caller asks; a cosignature counts only
//! after its key has verified it; readers of one kind never see a tree smaller than one they saw; a witness that has seen more than the log
//! holds, or something else, stops the log.

mod ask;
mod lane;
mod show;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use touchmark_outbound::Outbound;
use touchmark_sequencer::{Log, ReadError, SignedCheckpoint};
use touchmark_sigstore::policy::{TlogPolicyError, WitnessPolicy};
use touchmark_tlog::TreeSize;
use touchmark_tlog::note::{NoteKey, NoteSignature};
use url::Url;

pub(crate) use self::lane::Lane;
use self::store::Store;
use crate::durable::FileError;
use crate::http::listener::Stop;

pub(crate) use self::show::{NotCosigned, Wish, checkpoint, evidence};

/// What happens while too few witnesses answer. There is no default: either has a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WitnessMode {
    /// The log goes on as if it had no witnesses; who wants cosignatures asks for them.
    FailOpen,
    /// No checkpoint is shown and no entry confirmed before the quorum has cosigned.
    FailClosed,
}

/// The witnesses of a log, as they are configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WitnessPlace {
    /// The policy file (C2SP tlog-policy).
    pub(crate) policy: PathBuf,
    pub(crate) mode: WitnessMode,
    pub(crate) others: OtherLogs,
}

/// What becomes of a log that the policy does not list, although it lists some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherLogs {
    /// It is a mistake: the policy was named for this very log.
    Refused,
    /// It has no witnesses: the policy was named for all logs of an instance.
    Unwitnessed,
}

/// Why a log does not start with its witnesses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WitnessStartError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: expected text in UTF-8", .0.display())]
    NotText(PathBuf),
    #[error("{}: {source}", path.display())]
    Policy { path: PathBuf, source: TlogPolicyError },
    #[error("{}: expected a quorum of witnesses, found `quorum none`; name a witness or group, or leave the policy out", .0.display())]
    NoQuorum(PathBuf),
    #[error("{}: expected the submission prefix of the witness {name} after its key, found none: the log has to reach it", path.display())]
    NoUrl { path: PathBuf, name: String },
    #[error("{}: the witness {name} has the URL {url:?}; expected an http or https URL", path.display())]
    Url { path: PathBuf, name: String, url: String },
    #[error("{}: expected a line `log {vkey}` for this log, found lines of other logs only", path.display())]
    OtherLogs { path: PathBuf, vkey: String },
    #[error("{}: expected the last cosigned checkpoint of this log, found something else; look who wrote it, then remove the file", .0.display())]
    StoreUnreadable(PathBuf),
    #[error(
        "{} shows that a tree of {cosigned} entries was cosigned, but the log holds {held}: its data were rolled back. Restore the newest \
         data; if they are lost, open a new shard (docs/log.md, Witnesses)", path.display()
    )]
    RolledBack { path: PathBuf, cosigned: TreeSize, held: TreeSize },
    #[error(
        "{} shows that another tree of {cosigned} entries was cosigned than the log holds: its data were rolled back and written to since. \
         Restore the data that were cosigned; if they are lost, open a new shard (docs/log.md, Witnesses)", path.display()
    )]
    Forked { path: PathBuf, cosigned: TreeSize },
    #[error("the log cannot be read: {0}")]
    Read(#[from] ReadError),
    /// What the first round of questions found.
    #[error("{0}")]
    Stopped(touchmark_sequencer::FatalCause),
}

/// The witnesses of one open log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Witnesses(Arc<Shared>);

struct Shared {
    log: Log,
    policy: WitnessPolicy,
    mode: WitnessMode,
    /// The newest checkpoint that the quorum cosigned. Written by the lane alone; sizes never fall.
    cosigned: watch::Sender<Option<Cosigned>>,
}

/// A checkpoint that the quorum has cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cosigned {
    /// The note with the log's signatures and the cosignatures.
    checkpoint: SignedCheckpoint,
    /// What was cosigned: the text of the note.
    text: String,
    /// The cosignatures, verified.
    lines: Vec<NoteSignature>,
}

/// One witness of the policy.
#[derive(Debug)]
struct Member {
    name: String,
    key: NoteKey,
    /// Where checkpoints are sent.
    add_checkpoint: Url,
}

/// What a policy file says for one log.
pub(crate) struct Plan {
    policy: WitnessPolicy,
    members: Vec<Member>,
    mode: WitnessMode,
}

impl Plan {
    /// Reads the policy file of a log with this key.
    ///
    /// # Errors
    /// What the file lacks for asking witnesses, with its line where there is one.
    pub(crate) fn read(place: &WitnessPlace, log: &NoteKey) -> Result<Self, WitnessStartError> {
        let path = &place.policy;
        let text = String::from_utf8(crate::durable::read(path)?);
        let text = text.map_err(|_| WitnessStartError::NotText(path.clone()))?;
        let policy = WitnessPolicy::from_tlog_policy(&text)
            .map_err(|source| WitnessStartError::Policy { path: path.clone(), source })?;
        if policy.is_without_witnesses() {
            return Err(WitnessStartError::NoQuorum(path.clone()));
        }
        let listed = policy.logs().iter().any(|key| key.name() == log.name() && key.public_key() == log.public_key());
        if !listed && !policy.logs().is_empty() {
            let vkey = log.to_vkey().unwrap_or_default();
            return Err(WitnessStartError::OtherLogs { path: path.clone(), vkey });
        }
        let members = policy.witnesses().map(|witness| member(path, witness)).collect::<Result<_, _>>()?;
        Ok(Plan { policy, members, mode: place.mode })
    }
}

fn member(path: &Path, (name, key, url): (&str, &NoteKey, Option<&str>)) -> Result<Member, WitnessStartError> {
    let prefix = url.ok_or_else(|| WitnessStartError::NoUrl { path: path.to_owned(), name: name.to_owned() })?;
    let malformed = || WitnessStartError::Url { path: path.to_owned(), name: name.to_owned(), url: prefix.to_owned() };
    let url = Url::parse(&format!("{}/{}", prefix.trim_end_matches('/'), touchmark_tlog::witness::ADD_CHECKPOINT))
        .map_err(|_| malformed())?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(malformed());
    }
    Ok(Member { name: name.to_owned(), key: key.clone(), add_checkpoint: url })
}

/// The witnesses of an open log, and the task that asks them, to be run until `stop`.
pub(crate) struct Started {
    pub(crate) witnesses: Witnesses,
    pub(crate) lane: Lane,
}

/// Prepares asking the witnesses of `log`, whose own key is `note_key` and whose data lie in `directory`, and asks each once, so that a log that
/// was rolled back does not take an entry.
///
/// # Errors
/// If the data on disk or a witness show that the log was rolled back, or the file of the last cosigned checkpoint is not one.
pub(crate) async fn start(
    plan: Plan,
    log: Log,
    note_key: &NoteKey,
    directory: &Path,
    outbound: Outbound,
    stop: Stop,
) -> Result<Started, WitnessStartError> {
    let Plan { policy, members, mode } = plan;
    let store = Store::open(directory)?;
    let stored = store.load(&log, note_key, &policy).await?;
    let shared = Arc::new(Shared { log, policy, mode, cosigned: watch::Sender::new(stored.cosigned) });
    let mut lane = Lane::new(Arc::clone(&shared), members, stored.note.as_ref(), store, outbound, stop);
    lane.first_round().await;
    match shared.log.stopped() {
        Some(cause) => Err(WitnessStartError::Stopped(cause)),
        None => Ok(Started { witnesses: Witnesses(shared), lane }),
    }
}
