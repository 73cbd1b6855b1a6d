// SPDX-License-Identifier: Apache-2.0
//! Storage, signer and clock of a test: in memory, surviving the log as a disk survives a process, and failing on command.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use touchmark_keys::{Digest, KeyType, PublicKey, Scheme};
use touchmark_signers::{FileSigner, Signer, SignerError};
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};
use touchmark_tlog::{Hash, LeafIndex, leaf_hash};

use crate::ledger::{Batch, Commit, Ledger, LedgerError, LedgerState, Row, TreeHead};
use crate::objects::{ObjectError, Objects};
use crate::{CheckpointSigner, Clock, DedupKey, EntryTiles, Log, LogConfig, OpenError, Pending, Rendered, Sequenced};

pub(super) const ORIGIN: &str = "rekor2026-1.00000000.touchmark.localhost";

/// How the final checkpoint of a frozen test log begins to say so.
pub(super) const FINAL_LINE: &str = "ended at ";

/// A directory whose syncs cost nothing, if there is a place for one.
pub(crate) fn directory_in_memory(prefix: &str) -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let builder = tempfile::Builder::new().prefix(prefix).to_owned();
    if memory.is_dir() { builder.tempdir_in(memory).unwrap() } else { builder.tempdir().unwrap() }
}

/// Where in an operation it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    BeforeEffect,
    AfterEffect,
}

/// What is left after the failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The next operation works again.
    Recovers,
    /// The ledger must be opened again; the rest works.
    LedgerBroken,
    /// Nothing works any more, as if the process had been killed there.
    Dead,
}

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    State,
    FindDuplicates,
    Commit,
    Rows,
    Create,
    Replace,
    Read,
    Sign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The operation that fails, counted from 0 since the fault was set: over all of them, or those of one kind.
    pub(super) at: u64,
    pub(super) only: Option<Operation>,
    pub(super) when: When,
    pub(super) then: Then,
}

impl Fault {
    /// The next operation of this kind fails.
    pub(super) fn next(operation: Operation, when: When, then: Then) -> Option<Self> {
        Some(Self { at: 0, only: Some(operation), when, then })
    }
}

/// Counts operations and says which of them fails.
#[derive(Default)]
pub(super) struct Faults(Mutex<Failing>);

#[derive(Default)]
struct Failing {
    count: u64,
    fault: Option<Fault>,
    ledger_broken: bool,
    dead: bool,
}

impl Faults {
    pub(super) fn new(fault: Option<Fault>) -> Arc<Self> {
        let faults = Arc::new(Self::default());
        faults.set(fault);
        faults
    }

    pub(super) fn set(&self, fault: Option<Fault>) {
        *self.0.lock().unwrap() = Failing { fault, ..Failing::default() };
    }

    /// Whether the fault that was set has happened.
    pub(super) fn happened(&self) -> bool {
        let failing = self.0.lock().unwrap();
        failing.fault.is_some_and(|fault| failing.count > fault.at)
    }

    fn step(&self, operation: Operation) -> Option<When> {
        let mut failing = self.0.lock().unwrap();
        if failing.dead {
            return Some(When::BeforeEffect);
        }
        let fault = failing.fault;
        if fault.and_then(|fault| fault.only).is_some_and(|only| only != operation) {
            return None;
        }
        failing.count += 1;
        let fault = fault.filter(|fault| fault.at == failing.count - 1)?;
        failing.ledger_broken = fault.then == Then::LedgerBroken;
        failing.dead = fault.then == Then::Dead;
        Some(fault.when)
    }

    fn ledger_step(&self, operation: Operation) -> Result<Option<When>, LedgerError> {
        if self.0.lock().unwrap().ledger_broken {
            return Err(LedgerError::Broken);
        }
        match self.step(operation) {
            Some(When::BeforeEffect) => Err(self.ledger_error()),
            other => Ok(other),
        }
    }

    fn ledger_error(&self) -> LedgerError {
        if self.0.lock().unwrap().ledger_broken { LedgerError::Broken } else { LedgerError::Io(io::ErrorKind::Other) }
    }
}

/// What a disk holds.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) rows: Vec<Row>,
    pub(super) dedup: HashMap<DedupKey, Sequenced>,
    pub(super) leaves: HashMap<Hash, LeafIndex>,
    pub(super) state: LedgerState,
    pub(super) objects: BTreeMap<String, Vec<u8>>,
}

impl Disk {
    pub(super) fn new() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            rows: Vec::new(),
            dedup: HashMap::new(),
            leaves: HashMap::new(),
            state: LedgerState::empty(),
            objects: BTreeMap::new(),
        }))
    }
}

/// A ledger and objects on a disk in memory.
pub(super) struct Memory {
    pub(super) disk: Arc<Mutex<Disk>>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl Ledger for Memory {
    async fn state(&self) -> Result<LedgerState, LedgerError> {
        match self.faults.ledger_step(Operation::State)? {
            Some(_) => Err(self.faults.ledger_error()),
            None => Ok(self.disk.lock().unwrap().state),
        }
    }

    async fn find_duplicates(&self, keys: &[DedupKey]) -> Result<Vec<Option<Sequenced>>, LedgerError> {
        match self.faults.ledger_step(Operation::FindDuplicates)? {
            Some(_) => Err(self.faults.ledger_error()),
            None => {
                let disk = self.disk.lock().unwrap();
                Ok(keys.iter().map(|key| disk.dedup.get(key).copied()).collect())
            }
        }
    }

    async fn commit(&self, expected: &TreeHead, batch: &Batch) -> Result<Commit, LedgerError> {
        let verdict = self.faults.ledger_step(Operation::Commit)?;
        let mut disk = self.disk.lock().unwrap();
        if disk.state.head != *expected {
            return Ok(Commit::Conflict { actual: disk.state.head });
        }
        if disk.state.frozen_ms.is_some() {
            return Err(LedgerError::Frozen);
        }
        for row in &batch.rows {
            let place = Sequenced { index: row.index, time_ms: row.time_ms };
            assert_eq!(row.index.0, disk.rows.len() as u64, "rows are consecutive");
            assert_eq!(disk.dedup.insert(row.dedup_key, place), None, "a duplicate was admitted");
            disk.leaves.insert(row.leaf_hash, row.index);
            disk.rows.push(row.clone());
        }
        disk.state = batch.state;
        match verdict {
            Some(_) => Err(self.faults.ledger_error()),
            None => Ok(Commit::Committed),
        }
    }

    async fn rows(&self, start: LeafIndex, count: usize) -> Result<Vec<Row>, LedgerError> {
        match self.faults.ledger_step(Operation::Rows)? {
            Some(_) => Err(self.faults.ledger_error()),
            None => {
                let start = usize::try_from(start.0).unwrap();
                Ok(self.disk.lock().unwrap().rows.iter().skip(start).take(count).cloned().collect())
            }
        }
    }

    async fn find_leaf(&self, leaf_hash: &Hash) -> Result<Option<LeafIndex>, LedgerError> {
        Ok(self.disk.lock().unwrap().leaves.get(leaf_hash).copied())
    }
}

fn object_failed(name: &str) -> ObjectError {
    ObjectError::Io { name: name.to_owned(), kind: io::ErrorKind::Other }
}

#[async_trait]
impl Objects for Memory {
    async fn create(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let verdict = self.faults.step(Operation::Create);
        if verdict == Some(When::BeforeEffect) {
            return Err(object_failed(name));
        }
        let mut disk = self.disk.lock().unwrap();
        let found = disk.objects.entry(name.to_owned()).or_insert_with(|| bytes.to_vec());
        if found != bytes {
            return Err(ObjectError::Differs { name: name.to_owned() });
        }
        if verdict.is_some() { Err(object_failed(name)) } else { Ok(()) }
    }

    async fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let verdict = self.faults.step(Operation::Replace);
        if verdict == Some(When::BeforeEffect) {
            return Err(object_failed(name));
        }
        self.disk.lock().unwrap().objects.insert(name.to_owned(), bytes.to_vec());
        if verdict.is_some() { Err(object_failed(name)) } else { Ok(()) }
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        match self.faults.step(Operation::Read) {
            Some(_) => Err(object_failed(name)),
            None => Ok(self.disk.lock().unwrap().objects.get(name).cloned()),
        }
    }
}

/// A signer that fails on command, and remembers everything that it signed.
struct FlakySigner {
    signer: Arc<FileSigner>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Signer for FlakySigner {
    fn public_key(&self) -> &PublicKey {
        self.signer.public_key()
    }

    fn scheme(&self) -> Scheme {
        self.signer.scheme()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let verdict = self.faults.step(Operation::Sign);
        let signature = self.signer.sign(message).await?;
        match verdict {
            Some(_) => Err(SignerError::Deadline { deadline: std::time::Duration::ZERO }),
            None => Ok(signature),
        }
    }

    async fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignerError> {
        self.signer.sign_digest(digest).await
    }
}

/// The key of all logs of a test process. It can be handed on to a process that the test starts.
pub(super) struct TestKey {
    signer: Arc<FileSigner>,
    pem: Vec<u8>,
}

impl TestKey {
    /// Names a file with the key, in the environment of a process that gets it handed on.
    pub(super) const VARIABLE: &str = "TOUCHMARK_TEST_KEY";

    pub(super) fn get() -> &'static Self {
        static KEY: OnceLock<TestKey> = OnceLock::new();
        KEY.get_or_init(|| match std::env::var_os(Self::VARIABLE) {
            Some(path) => Self::of(FileSigner::open(path.as_ref(), None).unwrap(), path.as_ref()),
            None => {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("key.pem");
                Self::of(FileSigner::create(&path, KeyType::Ed25519, None).unwrap(), &path)
            }
        })
    }

    fn of(signer: FileSigner, path: &Path) -> Self {
        Self { signer: Arc::new(signer), pem: std::fs::read(path).unwrap() }
    }

    /// A copy of the key's file.
    pub(super) fn write_to(&self, path: &Path) {
        std::fs::write(path, &self.pem).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
}

pub(super) fn note_key() -> NoteKey {
    NoteKey::new(ORIGIN, NoteAlgorithm::Ed25519, TestKey::get().signer.public_key().clone()).unwrap()
}

pub(super) fn config(faults: &Arc<Faults>) -> LogConfig {
    let signer = FlakySigner { signer: Arc::clone(&TestKey::get().signer), faults: Arc::clone(faults) };
    let signer = CheckpointSigner { note_key: note_key(), signer: Arc::new(signer) };
    LogConfig {
        final_line: Some(|at_ms| format!("{FINAL_LINE}{at_ms}")),
        ..LogConfig::new(ORIGIN, vec![signer], EntryTiles::Entries)
    }
}

/// A clock that moves when it is told to.
#[derive(Default)]
pub(super) struct TestClock(pub(super) AtomicU64);

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(super) fn clock(now_ms: u64) -> Arc<TestClock> {
    Arc::new(TestClock(AtomicU64::new(now_ms)))
}

/// Opens a log on a disk in memory.
pub(super) async fn open(
    disk: &Arc<Mutex<Disk>>,
    faults: &Arc<Faults>,
    configure: impl FnOnce(&mut LogConfig),
) -> Result<Log, OpenError> {
    let memory = Arc::new(Memory { disk: Arc::clone(disk), faults: Arc::clone(faults) });
    let mut config = config(faults);
    configure(&mut config);
    Log::open(config, Arc::clone(&memory) as Arc<dyn Ledger>, memory, clock(1_000)).await
}

/// The dedup key of the test entry with this number.
pub(super) fn dedup_key(id: u64) -> DedupKey {
    leaf_hash(&id.to_be_bytes()).0
}

pub(super) fn rendered(id: u64, index: LeafIndex, time_ms: u64) -> Rendered {
    let mut bundle_bytes = format!("entry {id} at {index}, {time_ms} ms").into_bytes();
    bundle_bytes.extend(padding(id));
    Rendered { leaf_input: format!("leaf {id} at {index}, {time_ms} ms").into(), bundle_bytes: bundle_bytes.into() }
}

/// In the number of a test entry: it is some hundred bytes long.
pub(super) const LONG: u64 = 1 << 40;
/// In the number of a test entry: it is up to nearly as long as entries may be.
pub(super) const LONGER: u64 = 2 << 40;

/// Bytes that follow from an entry's number and look like an entry's.
fn padding(id: u64) -> Vec<u8> {
    let mut state = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = match id & (0xff << 40) {
        LONG => 200 + next() % 1_500,
        LONGER => 1_000 + next() % 63_000,
        _ => 0,
    };
    (0..length).map(|_| b' ' + u8::try_from(next() % 90).unwrap()).collect()
}

/// The test entry with this number.
pub(super) fn entry(id: u64) -> Pending {
    Pending {
        dedup_key: dedup_key(id),
        render: Box::new(move |index, time_ms| rendered(id, index, time_ms)),
        blobs: [].into(),
        meta: id.to_be_bytes().to_vec(),
    }
}
