// SPDX-License-Identifier: Apache-2.0
//! The check of what a monitoring prefix serves (C2SP tlog-tiles, static-ct-api), or of a copy of it.
//!
//! The checkpoint is read first and stands: every tile is asked for as the tree of its size has it, however far the log goes on meanwhile. The
//! entries give the tree, and with it each hash tile, full or partial, and the root.
//!
//! Out of scope: where the tiles come from ([`Tiles`]), whether another reader is shown the same checkpoint (witnesses).

use std::collections::HashSet;
use std::future::Future;

use futures_util::StreamExt as _;
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::NoteKey;
use touchmark_tlog::tile::TILE_WIDTH;
use touchmark_tlog::{Hash, TreeSize, leaf_hash};

use super::note::SignedHead;
use super::{EntryFormat, FindingKind, Findings, Rederived};
use crate::entry::Blob;
use crate::objects::CHECKPOINT_NAME;

/// Tiles that are asked for at the same time.
const ASKED_MAX: usize = 8;
/// Names of blobs that were compared; a CT log has a handful of issuers.
const KNOWN_BLOBS_MAX: usize = 4096;

/// Where tiles and the checkpoint are read.
///
/// What an implementer owes: `None` for what is not there; the bytes as they are served or stored; a bound on their number.
pub trait Tiles: Send + Sync {
    fn read(&self, name: &str) -> impl Future<Output = Result<Option<Vec<u8>>, TilesError>> + Send;
}

/// Why something could not be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct TilesError {
    pub name: String,
    pub problem: String,
}

/// A log that is served.
pub struct Served<'a, T> {
    pub origin: &'a str,
    /// The checkpoint counts with a signature by one of them.
    pub keys: &'a [NoteKey],
    pub format: &'a dyn EntryFormat,
    pub tiles: &'a T,
    pub hash_tiles: HashTiles,
    /// A tree that the log has shown before, and that this one must extend.
    pub earlier: Option<&'a Checkpoint>,
}

/// What is done about hash tiles, which follow from the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashTiles {
    /// Each is asked for and compared.
    Compared,
    /// They are rendered and not asked for: the root of the checkpoint is over the same entries.
    Rendered,
}

/// What was checked, and what was found.
#[derive(Clone, Debug)]
pub struct ServedReport {
    /// The signed note under which everything was checked; empty if there is none of this log.
    pub checkpoint: Vec<u8>,
    /// Entries that were read, and the root that they make.
    pub size: TreeSize,
    pub root: Hash,
    pub findings: Findings,
}

/// Why a check could not be finished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServedError {
    #[error(transparent)]
    Tiles(#[from] TilesError),
    /// Whoever takes the objects could not.
    #[error("{name} could not be kept: {problem}")]
    Take { name: String, problem: String },
}

/// Who is told what goes on.
pub struct Hears<'a> {
    /// Takes every object of the tree as it is served, partial tiles last. They are proven to belong to the checkpoint only when the check
    /// ends without findings.
    pub take: &'a mut (dyn FnMut(&Blob) -> Result<(), String> + Send),
    /// How many entries are done, and of how many.
    pub progress: &'a mut (dyn FnMut(TreeSize, TreeSize) + Send),
}

/// Checks a whole log as it is served.
///
/// # Errors
/// Something could not be asked for, or not be kept. What is wrong with the log is no error but a finding.
pub async fn check_served<'a, T: Tiles>(served: Served<'a, T>, hears: Hears<'a>) -> Result<ServedReport, ServedError> {
    let tree = Rederived::new(served.format.entry_tiles());
    let mut check = Check { served, hears, tree, known_blobs: HashSet::new(), findings: Findings::default() };
    let mut checkpoint = Vec::new();
    if let Some((note, mut head)) = check.checkpoint().await? {
        checkpoint = note;
        check.entries(head.size).await?;
        if check.tree.size() == head.size {
            check.partial().await?;
            head.compare_at(check.tree.size(), || check.tree.root(), &mut check.findings);
        }
    }
    Ok(ServedReport { checkpoint, size: check.tree.size(), root: check.tree.root(), findings: check.findings })
}

struct Check<'a, T> {
    served: Served<'a, T>,
    hears: Hears<'a>,
    tree: Rederived,
    known_blobs: HashSet<String>,
    findings: Findings,
}

impl<T: Tiles> Check<'_, T> {
    async fn checkpoint(&mut self) -> Result<Option<(Vec<u8>, SignedHead)>, ServedError> {
        let Some(note) = self.served.tiles.read(CHECKPOINT_NAME).await? else {
            self.findings.add(FindingKind::CheckpointMissing, CHECKPOINT_NAME, "a signed checkpoint", "nothing");
            return Ok(None);
        };
        let Served { origin, keys, .. } = self.served;
        let head = SignedHead::read(CHECKPOINT_NAME, &note, origin, keys, &mut self.findings);
        Ok(head.map(|head| (note, head)))
    }

    /// All entries of a tree of `size`, until an entry tile does not have them.
    async fn entries(&mut self, size: TreeSize) -> Result<(), ServedError> {
        let (tiles, entry_tiles) = (self.served.tiles, self.served.format.entry_tiles());
        let width = u64::from(TILE_WIDTH);
        let asked = (0..size.0.div_ceil(width)).map(|index| {
            let held = (size.0 - index * width).min(width);
            let held = u16::try_from(held).expect("an entry tile has at most 256 entries");
            let name = entry_tiles.path(index, held);
            async move {
                let read = tiles.read(&name).await;
                (name, held, read)
            }
        });
        let mut answers = futures_util::stream::iter(asked).buffered(ASKED_MAX);
        while let Some((name, held, answer)) = answers.next().await {
            let Some(bytes) = answer? else {
                let expected = format!("{held} entries of the tree of {size}");
                self.findings.add(FindingKind::ObjectMissing, name, expected, "nothing");
                return Ok(());
            };
            match self.served.format.split(&bytes, held) {
                Ok(entries) => self.entry_tile(entries).await?,
                Err(error) => {
                    let expected = format!("{held} entries");
                    self.findings.add(FindingKind::EntryTile, name, expected, error);
                    return Ok(());
                }
            }
            (self.hears.progress)(self.tree.size(), size);
        }
        Ok(())
    }

    async fn entry_tile(&mut self, entries: Vec<Vec<u8>>) -> Result<(), ServedError> {
        for entry in entries {
            let index = self.tree.size();
            let facts = match self.served.format.facts(&entry) {
                Ok(facts) => Some(facts),
                Err(error) => {
                    let expected = "an entry of this kind of log";
                    self.findings.add(FindingKind::RowEntry, format_args!("entry {index}"), expected, error);
                    None
                }
            };
            if let Some(stated) = facts.as_ref().and_then(|facts| facts.place)
                && stated.index.0 != index.0
            {
                let found = format!("one that says index {}", stated.index);
                let expected = format!("the entry of index {index}");
                self.findings.add(FindingKind::RowFields, format_args!("entry {index}"), expected, found);
            }
            let hash = facts.as_ref().map_or_else(|| leaf_hash(&entry), |facts| facts.leaf_hash);
            let completed = self.tree.append(&hash, entry.into());
            self.compare_with_earlier();
            for name in facts.into_iter().flat_map(|facts| facts.blobs) {
                self.blob(name).await?;
            }
            self.objects(completed).await?;
        }
        Ok(())
    }

    fn compare_with_earlier(&mut self) {
        let Some(earlier) = self.served.earlier.filter(|earlier| earlier.size == self.tree.size()) else { return };
        let root = self.tree.root();
        if root != earlier.root {
            let what = format!("the tree of {} entries that was shown before", earlier.size);
            self.findings.add(
                FindingKind::CheckpointRoot,
                what,
                format!("root {}", earlier.root),
                format!("root {root}"),
            );
        }
    }

    /// The partial tiles of the tree, as it ends.
    async fn partial(&mut self) -> Result<(), ServedError> {
        let partial = self.tree.partial();
        self.objects(partial).await
    }

    /// Objects that follow from the entries. Entry tiles are what was read; hash tiles are asked for.
    async fn objects(&mut self, expected: Vec<Blob>) -> Result<(), ServedError> {
        for expected in expected {
            if self.served.hash_tiles == HashTiles::Compared && !is_entry_tile(&expected.name) {
                match self.served.tiles.read(&expected.name).await? {
                    Some(found) => self.findings.compare(FindingKind::ObjectDiffers, &expected, &found),
                    None => {
                        let length = format!("the {} bytes that follow from the entries", expected.bytes.len());
                        self.findings.add(FindingKind::ObjectMissing, &expected.name, length, "nothing");
                    }
                }
            }
            self.take(&expected)?;
        }
        Ok(())
    }

    async fn blob(&mut self, name: String) -> Result<(), ServedError> {
        if self.known_blobs.contains(&name) {
            return Ok(());
        }
        match self.served.tiles.read(&name).await? {
            Some(bytes) if self.served.format.blob_name(&bytes) == name => {
                self.take(&Blob { name: name.clone(), bytes })?;
            }
            Some(bytes) => {
                let found = format!("the bytes of {}", self.served.format.blob_name(&bytes));
                self.findings.add(FindingKind::ObjectDiffers, &name, "the bytes that its name says", found);
            }
            None => {
                let expected = format!("an object that entry {} needs", self.tree.size().0 - 1);
                self.findings.add(FindingKind::ObjectMissing, &name, expected, "nothing");
            }
        }
        if self.known_blobs.len() >= KNOWN_BLOBS_MAX {
            self.known_blobs.clear();
        }
        self.known_blobs.insert(name);
        Ok(())
    }

    fn take(&mut self, object: &Blob) -> Result<(), ServedError> {
        (self.hears.take)(object).map_err(|problem| ServedError::Take { name: object.name.clone(), problem })
    }
}

fn is_entry_tile(name: &str) -> bool {
    name.starts_with("tile/entries/") || name.starts_with("tile/data/")
}
