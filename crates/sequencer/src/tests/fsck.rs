// SPDX-License-Identifier: Apache-2.0
//! Claims of the check of a whole log: a good one has no finding, and whatever is changed is named.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteKey, SignedNote};
use touchmark_tlog::tile::decode_entry_bundle;
use touchmark_tlog::{Hash, LeafIndex, leaf_hash};

use super::drivers::{Faults, ORIGIN, clock, config, dedup_key, entry, note_key, rendered};
use super::embedded::copy;
use crate::FindingKind as Kind;
use crate::{
    Blob, EntryFacts, EntryFormat, EntryTiles, Findings, FjallLedger, FsObjects, HashTiles, Hears, Ledger as _, Log,
    RestoreError, Restored, RestoredAs, Sequenced, Served, StoredLog, StoredReport, StoredTiles, Tiles, TilesError,
    WaitFor, check_served, check_stored, restore,
};

const ENTRIES: u64 = 600;
const BLOB: &str = "issuer/of-every-entry";

/// What the test entries say: each states its place, and needs one object.
struct Format;

impl EntryFormat for Format {
    fn entry_tiles(&self) -> EntryTiles {
        EntryTiles::Entries
    }

    fn split(&self, tile: &[u8], width: u16) -> Result<Vec<Vec<u8>>, String> {
        let entries = decode_entry_bundle(tile, width).map_err(|error| error.to_string())?;
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    fn facts(&self, entry: &[u8]) -> Result<EntryFacts, String> {
        let parse = || {
            let text = std::str::from_utf8(entry).ok()?.strip_prefix("entry ")?.strip_suffix(" ms")?;
            let (id, place) = text.split_once(" at ")?;
            let (index, time_ms) = place.split_once(", ")?;
            Some((id.parse().ok()?, LeafIndex(index.parse().ok()?), time_ms.parse().ok()?))
        };
        let (id, index, time_ms) = parse().ok_or("no test entry")?;
        Ok(EntryFacts {
            leaf_hash: leaf_hash(&rendered(id, index, time_ms).leaf_input),
            dedup_key: dedup_key(id),
            place: Some(Sequenced { index, time_ms }),
            blobs: vec![BLOB.to_owned()],
        })
    }

    fn blob_name(&self, bytes: &[u8]) -> String {
        if bytes == b"issuer" { BLOB.to_owned() } else { "another issuer".to_owned() }
    }
}

async fn open_log(dir: &Path, entries: std::ops::Range<u64>) -> Log {
    let ledger = FjallLedger::open(dir.join("ledger")).unwrap();
    let objects = FsObjects::open(dir.join("objects")).unwrap();
    let mut config = config(&Faults::new(None));
    config.anchor = Some(dir.join("anchor"));
    if entries.start == 0 {
        std::fs::write(dir.join("anchor"), "").unwrap();
    }
    let log = Log::open(config, Arc::new(ledger), Arc::new(objects), clock(1_000)).await.unwrap();
    let pending = entries.map(|id| {
        let blobs = [Blob { name: BLOB.to_owned(), bytes: b"issuer".to_vec() }].into();
        crate::Pending { blobs, ..entry(id) }
    });
    let added = join_all(pending.map(|pending| log.add(pending, WaitFor::Checkpointed))).await;
    assert!(added.iter().all(Result::is_ok));
    log
}

async fn close(log: Log) {
    log.shutdown().await;
}

/// A log of 600 entries that was shut down: two full entry tiles, 88 entries more.
async fn stopped_log(dir: &Path) {
    close(open_log(dir, 0..ENTRIES).await).await;
}

async fn check(dir: &Path, tamper: impl FnOnce(&FjallLedger)) -> StoredReport {
    let ledger = FjallLedger::open(dir.join("ledger")).unwrap();
    tamper(&ledger);
    let objects = FsObjects::open(dir.join("objects")).unwrap();
    let (keys, anchor) = ([note_key()], dir.join("anchor"));
    let log = StoredLog {
        origin: ORIGIN,
        keys: &keys,
        format: &Format,
        ledger: &ledger,
        objects: &objects,
        anchor: Some(&anchor),
    };
    let mut seen = Vec::new();
    let report = check_stored(log, &mut |done, of| seen.push((done.0, of.0))).await.unwrap();
    assert!(seen.is_sorted());
    report
}

fn named(findings: &Findings) -> Vec<(Kind, &str)> {
    findings.list().iter().map(|finding| (finding.kind, finding.object.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_log_has_no_finding_whether_it_was_shut_down_or_killed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 0..0).await;
    let killed = tempfile::tempdir().unwrap();
    close(log).await;
    assert_eq!(named(&check(dir.path(), |_| {}).await.findings), []);

    let log = open_log(dir.path(), 0..ENTRIES).await;
    let checkpoint = log.checkpoint();
    copy(dir.path(), killed.path());
    assert_eq!(named(&check(killed.path(), |_| {}).await.findings), []);
    close(log).await;
    let report = check(dir.path(), |_| {}).await;
    assert_eq!(named(&report.findings), []);
    assert_eq!((report.size, report.root), (checkpoint.size, checkpoint.root));
    assert_eq!((report.published, report.unpublished), (Some(checkpoint.size), 0));
}

type Tamper = fn(&Path, &FjallLedger);

fn object(dir: &Path, name: &str) -> std::path::PathBuf {
    dir.join("objects/tree").join(name)
}

fn flip(bytes: &mut Bytes, at: usize) {
    let mut flipped = bytes.to_vec();
    flipped[at] ^= 1;
    *bytes = flipped.into();
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Each change, and what is found for it first (what follows from it may be found, too).
const TAMPERED: &[(&str, Tamper, Kind, &str)] = &[
    (
        "a tile with a flipped bit",
        |dir, _| change(&object(dir, "tile/0/001"), |bytes| bytes[40] ^= 1),
        Kind::ObjectDiffers,
        "tile/0/001",
    ),
    (
        "a missing tile",
        |dir, _| std::fs::remove_file(object(dir, "tile/0/000")).unwrap(),
        Kind::ObjectMissing,
        "tile/0/000",
    ),
    (
        "a truncated entry tile",
        |dir, _| change(&object(dir, "tile/entries/001"), |bytes| bytes.truncate(100)),
        Kind::ObjectDiffers,
        "tile/entries/001",
    ),
    (
        "an entry tile with a byte more",
        |dir, _| change(&object(dir, "tile/entries/000"), |bytes| bytes.push(0)),
        Kind::ObjectDiffers,
        "tile/entries/000",
    ),
    (
        "a missing entry tile",
        |dir, _| std::fs::remove_file(object(dir, "tile/entries/000")).unwrap(),
        Kind::ObjectMissing,
        "tile/entries/000",
    ),
    (
        "a tile of a larger tree",
        |dir, _| std::fs::write(object(dir, "tile/0/002"), [0]).unwrap(),
        Kind::ObjectStray,
        "tile/0/002",
    ),
    (
        "a stored partial tile",
        |dir, _| {
            std::fs::create_dir(object(dir, "tile/0/002.p")).unwrap();
            std::fs::write(object(dir, "tile/0/002.p/88"), [0]).unwrap();
        },
        Kind::ObjectStray,
        "tile/0/002.p/88",
    ),
    ("another issuer", |dir, _| std::fs::write(object(dir, BLOB), "mallory").unwrap(), Kind::ObjectDiffers, BLOB),
    ("a missing issuer", |dir, _| std::fs::remove_file(object(dir, BLOB)).unwrap(), Kind::ObjectMissing, BLOB),
    (
        "a checkpoint with another size",
        |dir, _| {
            change(&object(dir, "checkpoint"), |note| {
                *note = String::from_utf8_lossy(note).replace("\n600\n", "\n601\n").into_bytes()
            })
        },
        Kind::CheckpointSignature,
        "checkpoint object",
    ),
    (
        "no checkpoint",
        |dir, _| std::fs::remove_file(object(dir, "checkpoint")).unwrap(),
        Kind::CheckpointMissing,
        "checkpoint object",
    ),
    (
        "a checkpoint that is no note",
        |dir, _| std::fs::write(object(dir, "checkpoint"), "600").unwrap(),
        Kind::CheckpointSignature,
        "checkpoint object",
    ),
    (
        "a flipped bit in an entry",
        |_, ledger| ledger.tamper_row(300, |row| flip(&mut row.bundle_bytes, 6)),
        Kind::RowFields,
        "row 300",
    ),
    (
        "an entry of another kind",
        |_, ledger| ledger.tamper_row(301, |row| flip(&mut row.bundle_bytes, 0)),
        Kind::RowEntry,
        "row 301",
    ),
    (
        "a flipped bit in a leaf hash",
        |_, ledger| ledger.tamper_row(302, |row| row.leaf_hash.0[0] ^= 1),
        Kind::RowFields,
        "row 302",
    ),
    (
        "a flipped bit in a dedup key",
        |_, ledger| ledger.tamper_row(303, |row| row.dedup_key[0] ^= 1),
        Kind::RowFields,
        "row 303",
    ),
    ("another time", |_, ledger| ledger.tamper_row(304, |row| row.time_ms += 1), Kind::RowFields, "row 304"),
    ("a missing row", |_, ledger| ledger.remove_row(511), Kind::RowMissing, "row 511"),
    ("the last row missing", |_, ledger| ledger.remove_row(599), Kind::RowMissing, "row 599"),
    (
        "a row that was never committed",
        |_, ledger| ledger.tamper_row(599, |row| row.index = LeafIndex(700)),
        Kind::RowStray,
        "row 700",
    ),
    (
        "a ledger whose state has another root",
        |_, ledger| ledger.tamper_state(|state| state.head.root.0[0] ^= 1),
        Kind::LedgerState,
        "state of the ledger",
    ),
    (
        "a cursor within a tile",
        |_, ledger| ledger.tamper_state(|state| state.published.0 = 255),
        Kind::LedgerState,
        "state of the ledger",
    ),
    (
        "a head before its entries",
        |_, ledger| ledger.tamper_state(|state| state.head.time_ms = 1),
        Kind::LedgerState,
        "state of the ledger",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_changed_is_named() {
    let good = tempfile::tempdir().unwrap();
    stopped_log(good.path()).await;
    for (what, tamper, kind, object) in TAMPERED {
        let dir = tempfile::tempdir().unwrap();
        copy(good.path(), dir.path());
        let report = check(dir.path(), |ledger| tamper(dir.path(), ledger)).await;
        let findings = named(&report.findings);
        assert!(findings.contains(&(*kind, *object)), "{what}: {findings:?}");
        // What follows: an entry that differs makes other tiles above it; nothing else spreads.
        let spreads = matches!(kind, Kind::RowFields | Kind::RowEntry | Kind::RowMissing | Kind::RowStray);
        assert!(spreads || findings.len() == 1, "{what}: {findings:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_indices_have_each_entry_and_nothing_more() {
    let good = tempfile::tempdir().unwrap();
    stopped_log(good.path()).await;
    let row = |ledger: &FjallLedger, index| {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(ledger.rows(LeafIndex(index), 1)).unwrap().remove(0)
        })
    };
    let dir = tempfile::tempdir().unwrap();
    copy(good.path(), dir.path());
    let mut keys = (String::new(), String::new());
    let report = check(dir.path(), |ledger| {
        let row = row(ledger, 17);
        keys = (format!("dedup key {}", Hash(row.dedup_key)), format!("leaf hash {}", row.leaf_hash));
        ledger.remove_keys(&row);
    })
    .await;
    assert_eq!(named(&report.findings), [(Kind::DedupKey, keys.0.as_str()), (Kind::LeafKey, keys.1.as_str())]);

    let dir = tempfile::tempdir().unwrap();
    copy(good.path(), dir.path());
    let report = check(dir.path(), |ledger| {
        let mut row = row(ledger, 17);
        row.index = LeafIndex(18);
        ledger.insert_keys(&row);
    })
    .await;
    assert_eq!(named(&report.findings), [(Kind::DedupKey, keys.0.as_str()), (Kind::LeafKey, keys.1.as_str())]);

    let dir = tempfile::tempdir().unwrap();
    copy(good.path(), dir.path());
    let report = check(dir.path(), |ledger| {
        let mut row = row(ledger, 17);
        (row.dedup_key, row.leaf_hash) = ([7; 32], Hash([7; 32]));
        ledger.insert_keys(&row);
    })
    .await;
    let expected = [(Kind::DedupStray, "number of dedup keys"), (Kind::LeafStray, "number of leaf hashes")];
    assert_eq!(named(&report.findings), expected);
    assert!(report.findings.list()[0].found.contains(&Hash([7; 32]).to_string()), "the key is named");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_of_another_history_are_found_at_both_places() {
    let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    stopped_log(ours.path()).await;
    let put = |from: &Path, name: &str, to: &str| {
        std::fs::copy(from.join(name), ours.path().join(to)).unwrap();
    };
    // Another history of the same log: the entries from 1 on, and so one fewer.
    close(open_log(other.path(), 0..1).await).await;
    std::fs::remove_dir_all(other.path().join("ledger")).unwrap();
    std::fs::remove_dir_all(other.path().join("objects")).unwrap();
    std::fs::write(other.path().join("anchor"), "").unwrap();
    close(open_log(other.path(), 1..ENTRIES).await).await;
    put(other.path(), "anchor", "anchor");
    put(other.path(), "objects/tree/checkpoint", "objects/tree/checkpoint");
    let anchor = format!("anchor {}", ours.path().join("anchor").display());
    let expected = [(Kind::CheckpointRoot, "checkpoint object"), (Kind::CheckpointRoot, anchor.as_str())];
    assert_eq!(named(&check(ours.path(), |_| {}).await.findings), expected);

    // The same history, gone on: the directory was put back.
    let newer = tempfile::tempdir().unwrap();
    stopped_log(newer.path()).await;
    close(open_log(newer.path(), ENTRIES..ENTRIES + 1).await).await;
    put(newer.path(), "anchor", "anchor");
    put(newer.path(), "objects/tree/checkpoint", "objects/tree/checkpoint");
    let expected = [(Kind::CheckpointBeyond, "checkpoint object"), (Kind::CheckpointBeyond, anchor.as_str())];
    assert_eq!(named(&check(ours.path(), |_| {}).await.findings), expected);

    std::fs::remove_file(ours.path().join("anchor")).unwrap();
    let expected = [(Kind::AnchorMissing, anchor.as_str()), (Kind::CheckpointBeyond, "checkpoint object")];
    assert_eq!(named(&check(ours.path(), |_| {}).await.findings), [expected[0], expected[1]]);
}

/// A store of tables: what a disk does to them is found by their checksums, and the rows are named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_on_the_disk_is_named_as_the_row_it_hits() {
    let dir = tempfile::tempdir().unwrap();
    stopped_log(dir.path()).await;
    FjallLedger::open(dir.path().join("ledger")).unwrap().flush_rows();
    let needle = b"entry 300 at ";
    let table = files_below(&dir.path().join("ledger/store"))
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("tables"))
        .find_map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            let at = bytes.windows(needle.len()).position(|window| window == needle)?;
            Some((path, at))
        });
    let (path, at) = table.expect("the rows are in a table, and not compressed beyond recognition");
    change(&path, |bytes| bytes[at] ^= 1);
    let report = check(dir.path(), |_| {}).await;
    let findings = named(&report.findings);
    assert!(
        matches!(findings.first(), Some((Kind::LedgerUnreadable | Kind::RowEntry, row)) if row.starts_with("row ")),
        "{findings:?}"
    );
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

/// What a log serves, as a copy that can be changed.
#[derive(Clone, Default)]
struct Copy(BTreeMap<String, Vec<u8>>);

impl Tiles for Copy {
    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, TilesError> {
        Ok(self.0.get(name).cloned())
    }
}

/// Tiles of a running log.
struct Running(Log);

impl Tiles for Running {
    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, TilesError> {
        let failed = |error: crate::ReadError| TilesError { name: name.to_owned(), problem: error.to_string() };
        if name == "checkpoint" {
            return Ok(Some(self.0.checkpoint().note.as_bytes().to_vec()));
        }
        match touchmark_tlog::tile::parse_tile_path(name) {
            Ok(path) => self.0.tile(path).await.map_err(failed),
            Err(_) => self.0.object(name).await.map_err(failed),
        }
    }
}

fn served_from<'a, T>(keys: &'a [NoteKey], tiles: &'a T) -> Served<'a, T> {
    Served { origin: ORIGIN, keys, format: &Format, tiles, hash_tiles: HashTiles::Compared, earlier: None }
}

async fn check_copy<T: Tiles>(tiles: &T) -> (crate::ServedReport, Copy) {
    check_copy_with(tiles, HashTiles::Compared).await
}

async fn check_copy_with<T: Tiles>(tiles: &T, hash_tiles: HashTiles) -> (crate::ServedReport, Copy) {
    let keys = [note_key()];
    let served = Served { hash_tiles, ..served_from(&keys, tiles) };
    let mut taken = Copy::default();
    let mut take = |blob: &Blob| {
        taken.0.insert(blob.name.clone(), blob.bytes.clone());
        Ok(())
    };
    let report = check_served(served, Hears { take: &mut take, progress: &mut |_, _| {} }).await.unwrap();
    taken.0.insert("checkpoint".to_owned(), report.checkpoint.clone());
    (report, taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_log_that_goes_on_is_whole_under_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 0..ENTRIES).await;
    let writer = {
        let log = log.clone();
        tokio::spawn(async move {
            for id in ENTRIES..ENTRIES + 900 {
                log.add(entry(id), WaitFor::Checkpointed).await.unwrap();
            }
        })
    };
    for _ in 0..5 {
        let (report, taken) = check_copy(&Running(log.clone())).await;
        assert_eq!(named(&report.findings), []);
        assert!(report.size.0 >= ENTRIES);
        let (again, same) = check_copy(&taken).await;
        assert_eq!((again.size, again.root), (report.size, report.root));
        assert_eq!(named(&again.findings), []);
        assert_eq!(same.0, taken.0, "what was taken is all that there is");
    }
    writer.await.unwrap();
    close(log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_does_not_extend_an_earlier_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 0..10).await;
    let text = log.checkpoint();
    let earlier = Checkpoint::parse(SignedNote::parse(text.note.as_bytes()).unwrap().text()).unwrap();
    for id in 10..20 {
        log.add(entry(id), WaitFor::Checkpointed).await.unwrap();
    }
    let tiles = Running(log.clone());
    let keys = [note_key()];
    let check = async |earlier: &Checkpoint| {
        let served = Served { earlier: Some(earlier), ..served_from(&keys, &tiles) };
        let hears = Hears { take: &mut |_| Ok(()), progress: &mut |_, _| {} };
        check_served(served, hears).await.unwrap().findings
    };
    assert_eq!(named(&check(&earlier).await), []);
    let mut other = earlier.clone();
    other.root.0[0] ^= 1;
    let expect = (Kind::CheckpointRoot, "the tree of 10 entries that was shown before");
    assert_eq!(named(&check(&other).await), [expect]);
    log.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_served_wrongly_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 0..ENTRIES).await;
    let (report, good) = check_copy(&Running(log.clone())).await;
    assert_eq!(named(&report.findings), []);
    close(log).await;
    assert_eq!(good.0.len(), 3 + 3 + 1 + 1 + 1, "entry tiles, hash tiles of two levels, the issuer, the checkpoint");

    for name in good.0.keys() {
        let is_checkpoint = name == "checkpoint";
        let is_entries = name.starts_with("tile/entries/");
        let mut tampered = good.clone();
        tampered.0.get_mut(name).unwrap()[4] ^= 1;
        let (flipped, _) = check_copy(&tampered).await;
        let mut tampered = good.clone();
        tampered.0.get_mut(name).unwrap().pop();
        let (truncated, _) = check_copy(&tampered).await;
        let mut tampered = good.clone();
        tampered.0.remove(name);
        let (missing, _) = check_copy(&tampered).await;
        let first = |report: &crate::ServedReport| {
            named(&report.findings).first().map(|(kind, object)| (*kind, (*object).to_owned()))
        };
        let object = name.clone();
        let expected = match (is_checkpoint, is_entries) {
            (true, _) => [Kind::CheckpointSignature, Kind::CheckpointSignature, Kind::CheckpointMissing],
            (_, true) => [Kind::RowEntry, Kind::EntryTile, Kind::ObjectMissing],
            _ => [Kind::ObjectDiffers, Kind::ObjectDiffers, Kind::ObjectMissing],
        };
        for (report, kind) in [&flipped, &truncated, &missing].into_iter().zip(expected) {
            let found = first(report);
            // An entry is named by its index, its tile by its name.
            let named_right = kind == Kind::RowEntry || found.as_ref().map(|(_, found)| found) == Some(&object);
            assert!(found.as_ref().map(|(found, _)| *found) == Some(kind) && named_right, "{name}: {found:?}");
        }
    }
}

/// An entry that looks good, in the place of another: where hash tiles are not asked for, the checkpoint's root tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_without_hash_tiles_is_held_to_the_root_of_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 0..ENTRIES).await;
    let (_, mut copy) = check_copy(&Running(log.clone())).await;
    close(log).await;
    let tile = copy.0.get_mut("tile/entries/001").unwrap();
    // Which entry got the place is not known; the last digit of its number becomes another one.
    let needle = b" at 300, ";
    let at = tile.windows(needle.len()).position(|window| window == needle).unwrap();
    tile[at - 1] ^= 1;
    let (report, _) = check_copy_with(&copy, HashTiles::Rendered).await;
    assert_eq!(named(&report.findings), [(Kind::CheckpointRoot, "checkpoint")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_that_run_backwards_are_named() {
    let dir = tempfile::tempdir().unwrap();
    stopped_log(dir.path()).await;
    let report = check(dir.path(), |ledger| {
        ledger.tamper_row(300, |row| {
            let text = String::from_utf8(row.bundle_bytes.to_vec()).unwrap();
            row.bundle_bytes = text.replace("1000 ms", "900 ms").into();
            row.time_ms = 900;
        });
    })
    .await;
    let backwards = |finding: &&crate::Finding| finding.expected == "a time not before 1000 ms";
    let found =
        report.findings.list().iter().find(backwards).map(|finding| (finding.object.as_str(), finding.found.as_str()));
    assert_eq!(found, Some(("row 300", "900 ms")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_log_is_the_log_that_was_copied_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    stopped_log(dir.path()).await;
    let copied = {
        let ledger = FjallLedger::open(dir.path().join("ledger")).unwrap();
        let objects = FsObjects::open(dir.path().join("objects")).unwrap();
        let tiles = StoredTiles { ledger: &ledger, objects: &objects, format: &Format };
        let keys = [note_key()];
        let served = Served { hash_tiles: HashTiles::Rendered, ..served_from(&keys, &tiles) };
        let mut taken = Copy::default();
        let mut take = |blob: &Blob| {
            taken.0.insert(blob.name.clone(), blob.bytes.clone());
            Ok(())
        };
        let report = check_served(served, Hears { take: &mut take, progress: &mut |_, _| {} }).await.unwrap();
        assert_eq!(named(&report.findings), []);
        taken.0.insert("checkpoint".to_owned(), report.checkpoint);
        taken
    };

    let restored = tempfile::tempdir().unwrap();
    std::fs::copy(dir.path().join("anchor"), restored.path().join("anchor")).unwrap();
    assert!(matches!(restore_into(restored.path(), &copied).await, Ok(Restored::Whole(_))));
    assert!(matches!(restore_into(restored.path(), &copied).await, Err(RestoreError::NotEmpty(_))));
    assert_eq!(named(&check(restored.path(), |_| {}).await.findings), []);
    let log = open_log(restored.path(), 1..2).await;
    assert_eq!(log.checkpoint().size.0, ENTRIES, "the entry is a duplicate there, too");
    close(log).await;
    close(open_log(restored.path(), ENTRIES..ENTRIES + 300).await).await;
    assert_eq!(named(&check(restored.path(), |_| {}).await.findings), []);

    // A copy with a finding is not written.
    let mut tampered = copied.clone();
    tampered.0.get_mut("tile/entries/001").unwrap()[4] ^= 1;
    let refused = tempfile::tempdir().unwrap();
    assert!(matches!(restore_into(refused.path(), &tampered).await, Ok(Restored::Refused(_))));
    let ledger = FjallLedger::open(refused.path().join("ledger")).unwrap();
    assert_eq!(ledger.state().await, Ok(crate::LedgerState::empty()));
}

#[tokio::test]
async fn a_frozen_log_without_its_final_checkpoint_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path(), 0..300).await;
    let before = log.checkpoint().note;
    let last = log.add(entry(300), WaitFor::Checkpointed).await;
    assert!(last.is_ok());
    log.freeze().await.unwrap();
    close(log).await;
    assert_eq!(named(&check(dir.path(), |_| {}).await.findings), []);
    for path in ["objects/tree/checkpoint", "anchor"] {
        std::fs::write(dir.path().join(path), before.as_bytes()).unwrap();
    }
    assert_eq!(named(&check(dir.path(), |_| {}).await.findings), [(Kind::CheckpointNotFinal, "checkpoint object")]);
}

async fn restore_into(dir: &Path, copy: &Copy) -> Result<Restored, RestoreError> {
    let ledger = FjallLedger::open(dir.join("ledger")).unwrap();
    let objects = FsObjects::open(dir.join("objects")).unwrap();
    let keys = [note_key()];
    let served = served_from(&keys, copy);
    let restored_as = RestoredAs { time_ms: 5_000, frozen_ms: None };
    restore(served, (&ledger, &objects), restored_as, &mut |_, _| {}).await
}
