// SPDX-License-Identifier: Apache-2.0
//! What distinguishes one log from another, and its limits.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use touchmark_signers::Signer;
use touchmark_tlog::note::NoteKey;
use touchmark_tlog::tile;

/// Entries that may wait in the pool before [`AddError::PoolFull`](crate::AddError::PoolFull). Tessera pushes back at the same number.
const POOL_MAX: usize = 4096;
/// Entries in one durable commit. At about 700 bytes each a batch is under a mebibyte: one sequential write.
const BATCH_MAX: usize = 1024;
/// An idle log signs its tree again after this time, so that readers see that it lives.
const RESIGN_AFTER_MS: u64 = 60_000;
/// An entry in a `tile/entries` bundle has a 16-bit length (C2SP tlog-tiles, Log Entries). A static CT leaf may be longer (its certificate
/// has a 24-bit length), but nothing legitimate comes near this; the limit bounds an entry bundle to 16 MiB in both encodings.
pub(crate) const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// Everything that a log is told when it is opened.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The first line of every checkpoint. It identifies the log to its readers and never changes.
    pub origin: String,
    /// Who signs the checkpoints; at least one. Every signature is checked against its note key before a checkpoint leaves.
    pub signers: Vec<CheckpointSigner>,
    pub entry_tiles: EntryTiles,
    pub pool_max: usize,
    pub batch_max: usize,
    pub resign_after_ms: u64,
    /// A file outside the data directory, on another disk if possible, that holds the last signed checkpoint, at most about a second
    /// behind. It is compared when the log is opened. To anchor a log that already has entries, create the file empty.
    pub anchor: Option<PathBuf>,
    /// The extension line by which the final checkpoint of a frozen log says so, from the time of the freeze in milliseconds; `None` where
    /// checkpoints have no extension lines (C2SP static-ct-api).
    pub final_line: Option<fn(u64) -> String>,
}

impl LogConfig {
    /// A configuration with the default limits and no anchor.
    pub fn new(origin: impl Into<String>, signers: Vec<CheckpointSigner>, entry_tiles: EntryTiles) -> Self {
        Self {
            origin: origin.into(),
            signers,
            entry_tiles,
            pool_max: POOL_MAX,
            batch_max: BATCH_MAX,
            resign_after_ms: RESIGN_AFTER_MS,
            anchor: None,
            final_line: None,
        }
    }
}

/// A note key and the signer that holds its private half.
#[derive(Clone)]
pub struct CheckpointSigner {
    pub note_key: NoteKey,
    pub signer: Arc<dyn Signer>,
}

impl fmt::Debug for CheckpointSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointSigner").field("name", &self.note_key.name()).finish_non_exhaustive()
    }
}

/// How entry tiles are named and encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryTiles {
    /// `tile/entries/…`: each entry after its 16-bit length (C2SP tlog-tiles).
    Entries,
    /// `tile/data/…`: the entries one after the other, each delimiting itself (C2SP static-ct-api).
    Data,
}

impl EntryTiles {
    pub(crate) fn path(self, index: u64, width: u16) -> String {
        match self {
            Self::Entries => tile::entry_bundle_path(index, width),
            Self::Data => tile::data_path(index, width),
        }
    }

    /// The bytes of an entry tile. No entry is longer than [`ENTRY_BYTES_MAX`].
    pub(crate) fn encode<'a>(self, entries: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            if self == Self::Entries {
                let length = u16::try_from(entry.len()).expect("an entry longer than its limit is refused by the plan");
                bytes.extend_from_slice(&length.to_be_bytes());
            }
            bytes.extend_from_slice(entry);
        }
        bytes
    }
}
