// SPDX-License-Identifier: Apache-2.0
//! Opening a log: the normal path, taken up where it stopped.
//!
//! The right edge is rebuilt by appending the ledger's rows after the publishing cursor to it, as if they had just been sequenced; what
//! that completes goes to the publishing task as usual. Then the ledger's tree must prove to extend every checkpoint that is
//! known to have been signed, is signed itself, and the log begins to run.
//!
//! In scope: the checks before the first signature, starting the thread and the tasks. Out of scope: what they do.
//!
//! Invariant: nothing is signed or written unless every check has passed.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use touchmark_tlog::proof::consistency_plan;
use touchmark_tlog::tile::{TILE_HEIGHT, TILE_WIDTH, Tile};
use touchmark_tlog::{Hash, TreeSize};

use crate::anchor;
use crate::clock::Clock;
use crate::config::LogConfig;
use crate::edge::{Edge, perfect_root};
use crate::entry::{Blob, SignedCheckpoint};
use crate::error::{CheckpointSource, OpenError, ReadError};
use crate::extension::{LastSigned, SignableTree, Unreadable, sign, sign_final};
use crate::ledger::{Ledger, LedgerState, TreeHead};
use crate::log::{Log, Shared, SignedTree, Tasks};
use crate::objects::{CHECKPOINT_NAME, Objects};
use crate::publish::{Backlog, Publishing};
use crate::read::{ROWS_MAX, TreeReader};
use crate::sequence::Sequencer;
use crate::sign::{Signing, TO_SIGN_MAX};

/// How far the clock may be behind the log's newest time when a log is opened. It stands still until it has caught up, and with it the times of
/// entries.
const CLOCK_BEHIND_MAX: Duration = Duration::from_secs(600);

impl Log {
    /// Opens a log, new or old. Must be called within a tokio run time.
    ///
    /// Effects, after all checks: a signature, and the anchor file if one is configured. A crash before the anchor is written leaves what was
    /// there; the next start does the same again.
    pub async fn open(
        config: LogConfig,
        ledger: Arc<dyn Ledger>,
        objects: Arc<dyn Objects>,
        clock: Arc<dyn Clock>,
    ) -> Result<Log, OpenError> {
        check_signers(&config)?;
        let state = ledger.state().await?;
        let signed_before = find_signed(&config, objects.as_ref(), &state).await?;
        if state.frozen_ms.is_none() {
            let signed_ms = signed_before.iter().map(|(_, last)| last.time_ms()).max().unwrap_or(0);
            check_clock(clock.now_ms(), signed_ms.max(state.head.time_ms))?;
        }

        let (edge, completed) = rebuild_edge(&config, ledger.as_ref(), objects.as_ref(), &state).await?;
        let backlog = Backlog::new(state.published);
        backlog.push(completed, state.head.size);

        let (last, tree) = prove_extension(&edge, &backlog, objects.as_ref(), signed_before).await?;
        let now_ms = clock.now_ms().max(edge.time_ms());
        let signed = match state.frozen_ms {
            None => sign(&config, tree, now_ms).await,
            // A frozen log signs nothing but its final checkpoint, and that only if nobody has it yet.
            Some(frozen_ms) => match published_final(&config, objects.as_ref(), &edge.head(), frozen_ms).await? {
                Some(last_note) => Ok(last_note),
                None => sign_final(&config, tree, frozen_ms).await,
            },
        };
        let (checkpoint, last) = signed.inspect_err(|_| {
            tracing::error!(origin = config.origin, signed = %last.size(), "the log's first checkpoint could not be signed");
        })?;
        if let Some(path) = &config.anchor {
            let written = anchor::write(path.clone(), Arc::clone(&checkpoint.note)).await;
            written.map_err(|error| OpenError::AnchorFile { path: path.clone(), kind: error.kind() })?;
        }

        let signed = SignedTree { checkpoint, edge: edge.clone() };
        let shared = Arc::new(Shared::new(config, ledger, objects, clock, backlog, signed));
        if let Some(at_ms) = state.frozen_ms {
            shared.is_frozen_since(at_ms);
        }
        Ok(start(shared, edge, last))
    }
}

fn check_signers(config: &LogConfig) -> Result<(), OpenError> {
    if config.signers.is_empty() {
        return Err(OpenError::NoSigner);
    }
    match config.signers.iter().find(|signer| signer.signer.public_key() != signer.note_key.public_key()) {
        None => Ok(()),
        Some(signer) => Err(OpenError::SignerKey { name: signer.note_key.name().to_owned() }),
    }
}

/// A clock that is a little behind stands still until it has caught up; one that is far behind is wrong, or the log's newest time is.
fn check_clock(now_ms: u64, newest_ms: u64) -> Result<(), OpenError> {
    let behind = Duration::from_millis(newest_ms.saturating_sub(now_ms));
    if behind > CLOCK_BEHIND_MAX {
        return Err(OpenError::ClockBehind { behind_s: behind.as_secs(), max_s: CLOCK_BEHIND_MAX.as_secs() });
    }
    Ok(())
}

/// Every checkpoint that this log is known to have signed. None is of a larger tree than the ledger's.
async fn find_signed(
    config: &LogConfig,
    objects: &dyn Objects,
    state: &LedgerState,
) -> Result<Vec<(CheckpointSource, LastSigned)>, OpenError> {
    let mut notes = Vec::new();
    if let Some(note) = objects.read(CHECKPOINT_NAME).await? {
        notes.push((CheckpointSource::Published, note));
    }
    if let Some(path) = &config.anchor {
        let note = anchor::read(path).await;
        match note.map_err(|error| OpenError::AnchorFile { path: path.clone(), kind: error.kind() })? {
            // A new log: the file is made before the first entry is taken. A log with entries has lost it, or its disk is not there.
            None if state.head.size.0 == 0 => {}
            None => return Err(OpenError::AnchorMissing { path: path.clone(), size: state.head.size }),
            Some(note) if note.is_empty() => {}
            Some(note) => notes.push((CheckpointSource::Anchor, note)),
        }
    }
    let mut signed = Vec::new();
    for (from, note) in notes {
        let last = LastSigned::from_note(config, &note).map_err(|unreadable| match unreadable {
            Unreadable::NotThisLogs => OpenError::CheckpointUnreadable { from },
            Unreadable::OtherOrigin(origin_found) => OpenError::OtherOrigin { from, origin_found },
        })?;
        if last.size() > state.head.size {
            return Err(OpenError::RolledBack { from, ledger: state.head.size, signed: last.size() });
        }
        if last.is_final() && state.frozen_ms.is_none() {
            return Err(OpenError::FrozenBefore { from, size: last.size() });
        }
        signed.push((from, last));
    }
    Ok(signed)
}

/// The final checkpoint of a frozen log, if the published one is it.
async fn published_final(
    config: &LogConfig,
    objects: &dyn Objects,
    head: &TreeHead,
    frozen_ms: u64,
) -> Result<Option<(SignedCheckpoint, LastSigned)>, OpenError> {
    let Some(note) = objects.read(CHECKPOINT_NAME).await? else { return Ok(None) };
    Ok(LastSigned::of_final_note(config, &note, head, frozen_ms))
}

/// The right edge of the ledger's tree, and the objects that it completes after the publishing cursor.
async fn rebuild_edge(
    config: &LogConfig,
    ledger: &dyn Ledger,
    objects: &dyn Objects,
    state: &LedgerState,
) -> Result<(Edge, Vec<Blob>), OpenError> {
    let size = state.head.size;
    let levels = partial_tiles_at(objects, state.published).await?;
    let rows_missing = |found| OpenError::RowsMissing { found, size };
    let mut edge =
        Edge::at_boundary(config.entry_tiles, state.published, levels).ok_or(rows_missing(state.published))?;
    let mut completed = Vec::new();
    while edge.size() < size {
        let left = usize::try_from(size.0 - edge.size().0).unwrap_or(usize::MAX);
        let rows = ledger.rows(touchmark_tlog::LeafIndex(edge.size().0), left.min(ROWS_MAX)).await?;
        if rows.is_empty() {
            return Err(rows_missing(edge.size()));
        }
        for row in rows {
            if row.index.0 != edge.size().0 {
                return Err(rows_missing(edge.size()));
            }
            completed.extend(edge.append(&row.leaf_hash, row.bundle_bytes, row.time_ms).completed);
        }
    }
    edge.not_before(state.head.time_ms);
    let computed = edge.head().root;
    if computed != state.head.root {
        return Err(OpenError::RootMismatch { size, recorded: state.head.root, computed });
    }
    Ok((edge, completed))
}

/// The partial tiles of the tree of `size`, a multiple of 256, out of the full tiles below them.
async fn partial_tiles_at(objects: &dyn Objects, size: TreeSize) -> Result<Vec<Vec<Hash>>, OpenError> {
    let mut levels = Vec::new();
    let mut full_tiles_below = size.0;
    for level in 0_u8.. {
        if full_tiles_below == 0 {
            break;
        }
        let partial = full_tiles_below % u64::from(TILE_WIDTH);
        let mut hashes = Vec::new();
        for index in full_tiles_below - partial..full_tiles_below {
            let below = level.checked_sub(1).ok_or(OpenError::RowsMissing { found: size, size })?;
            hashes.push(full_tile_root(objects, Tile { level: below, index, width: TILE_WIDTH }).await?);
        }
        levels.push(hashes);
        full_tiles_below >>= TILE_HEIGHT;
    }
    Ok(levels)
}

async fn full_tile_root(objects: &dyn Objects, tile: Tile) -> Result<Hash, OpenError> {
    let name = tile.path();
    let hashes = objects.read(&name).await?.and_then(|bytes| tile.hashes(&bytes).ok());
    hashes.map(|hashes| perfect_root(&hashes)).ok_or(OpenError::TileUnreadable { name })
}

/// Proves that the rebuilt tree extends everything that was signed; the newest of that, and the tree to sign.
async fn prove_extension(
    edge: &Edge,
    backlog: &Backlog,
    objects: &dyn Objects,
    signed_before: Vec<(CheckpointSource, LastSigned)>,
) -> Result<(LastSigned, SignableTree), OpenError> {
    let head = edge.head();
    let reader = TreeReader { objects, backlog, edge };
    let mut last = LastSigned::nothing();
    for (from, signed) in signed_before {
        let forked = || OpenError::Forked { from, ledger: head.size, signed: signed.size() };
        let plan = consistency_plan(signed.size(), head.size).map_err(|_| forked())?;
        let proof = reader.prove(&plan).await.map_err(unreadable)?;
        SignableTree::extending(&signed, head.size, &head.root, &proof).map_err(|_| forked())?;
        last = last.newer(signed);
    }
    let plan = consistency_plan(last.size(), head.size).expect("no signed tree is larger than the ledger's");
    let proof = reader.prove(&plan).await.map_err(unreadable)?;
    let tree = SignableTree::extending(&last, head.size, &head.root, &proof)
        .expect("the newest signed tree was proven to be extended above");
    Ok((last, tree))
}

fn unreadable(error: ReadError) -> OpenError {
    match error {
        ReadError::Ledger(error) => OpenError::Ledger(error),
        ReadError::Objects(error) => OpenError::Objects(error),
        ReadError::TileUnreadable { name } => OpenError::TileUnreadable { name },
        ReadError::SizeBeyondSigned { .. } | ReadError::IndexBeyondSize { .. } | ReadError::SizesReversed { .. } => {
            unreachable!("a plan within the tree asks for nothing outside it")
        }
    }
}

fn start(shared: Arc<Shared>, edge: Edge, last: LastSigned) -> Log {
    let (to_sign, committed) = mpsc::channel(TO_SIGN_MAX);
    let (finish, finished) = watch::channel(false);
    let signing = Signing::new(Arc::clone(&shared), committed, last, edge.clone());
    let publishing = Publishing::new(Arc::clone(&shared), finished.clone());
    let anchored = Arc::clone(&shared.signed.borrow().checkpoint.note);
    let sequencer = Sequencer::new(Arc::clone(&shared), edge, to_sign);
    let runtime = Handle::current();
    let tasks = Tasks {
        signing: tokio::spawn(signing.run()),
        publishing: tokio::spawn(publishing.run()),
        anchoring: tokio::spawn(anchor::keep(Arc::clone(&shared), anchored, finished)),
        sequencing: std::thread::Builder::new()
            .name("sequencer".to_owned())
            .spawn(move || sequencer.run(&runtime))
            .expect("the operating system can start a thread"),
    };
    Log::new(shared, tasks, finish)
}
