// SPDX-License-Identifier: Apache-2.0
//! Is the signature public: the entry that a Rekor log makes of it is in a log of the trusted root.
//!
//! The leaf of Rekor v2 is rebuilt from the artifact and the bundle by the function with which the server renders it; the body of
//! an entry of v1 is read strictly, and each of its parts compared. So an entry for something else cannot pass (CVE-2026-22703).
//! The checkpoint must be signed by the key of the very log that the entry names, under the log's name.

use std::collections::BTreeSet;

use jiff::Timestamp;
use touchmark_keys::Scheme;
use touchmark_tlog::checkpoint::{Checkpoint, CheckpointError};
use touchmark_tlog::note::{NoteError, NoteKey, NoteKeyError, SignedNote};
use touchmark_tlog::proof::{Included, ProofError, verify_inclusion};
use touchmark_tlog::{Hash, LeafIndex, TreeSize, leaf_hash};

use super::claim::{Claim, Subject};
use super::time::VerifiedTime;
use crate::policy::{Cosignature, Demands, WitnessError};
use crate::rekor::v1::{self, BodyError, BodyV1};
use crate::rekor::{EntryKind, HashedRekord, Inclusion, LogEntry};
use crate::trust::{TransparencyLog, TrustedRoot, ValidFor};

/// An entry that is in a log of the trusted root. Made by [`logged`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEntry {
    kind: EntryKind,
    log_id: [u8; 32],
    key_sha256: [u8; 32],
    log: String,
    operator: String,
    index: LeafIndex,
    inclusion: Option<VerifiedInclusion>,
}

/// A leaf that a tree has, as a checkpoint of the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedInclusion {
    origin: String,
    tree_size: TreeSize,
    included: Included,
    cosignatures: Vec<Cosignature>,
}

impl VerifiedInclusion {
    /// The origin of the checkpoint.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The size of the tree in which the entry was proved to be.
    #[must_use]
    pub fn tree_size(&self) -> TreeSize {
        self.tree_size
    }

    #[must_use]
    pub fn included(&self) -> &Included {
        &self.included
    }

    /// The witnesses that the policy asked for.
    #[must_use]
    pub fn cosignatures(&self) -> &[Cosignature] {
        &self.cosignatures
    }
}

impl LoggedEntry {
    #[must_use]
    pub fn log_id(&self) -> &[u8; 32] {
        &self.log_id
    }

    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// The name of the log: the host of its address in the trusted root.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.log
    }

    /// The index of the entry in the log; for Rekor v1 counted over all its shards, or in the tree of its proof where no promise
    /// says more.
    #[must_use]
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    /// The proof that the entry is in the log. None where the policy is content with the promise of a Rekor v1 log.
    #[must_use]
    pub fn inclusion(&self) -> Option<&VerifiedInclusion> {
        self.inclusion.as_ref()
    }
}

/// Why the entry is not proved to be in a log of the trusted root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFailure {
    Missing,
    UnknownLog {
        log_id: [u8; 32],
    },
    OutsideWindow {
        time: Timestamp,
        window: ValidFor,
    },
    /// The entries are of fewer logs, or operators of logs, than the policy demands.
    TooFew {
        of: &'static str,
        expected: usize,
        found: usize,
    },
    /// There is a promise and no proof, and the policy demands proofs.
    NoInclusionProof,
    /// The entry of Rekor v1 cannot be read.
    Body(BodyError),
    /// The entry of Rekor v1 is for something else.
    OtherPart {
        part: &'static str,
    },
    Witnesses(WitnessError),
    /// The base URL of the log in the trusted root has no hostname.
    NoName {
        base_url: String,
    },
    /// The log in the trusted root has another id than its name and key make.
    Key(NoteKeyError),
    Note(NoteError),
    Checkpoint(CheckpointError),
    Origin {
        expected: String,
        found: String,
    },
    TreeSize {
        checkpoint: TreeSize,
        entry: i64,
    },
    RootHash {
        checkpoint: Hash,
        entry: Vec<u8>,
    },
    /// The entry is for another artifact, signature or certificate; the hashes are those of the leaves.
    OtherEntry {
        expected: Hash,
        found: Hash,
    },
    Inclusion(ProofError),
}

impl LogFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Missing => "log_entry_missing",
            Self::TooFew { .. } => "log_threshold",
            Self::NoInclusionProof => "inclusion_proof_missing",
            Self::Body(_) => "log_entry_malformed",
            Self::OtherPart { .. } => "log_entry_mismatch",
            Self::Witnesses(_) => "checkpoint_cosignatures",
            Self::UnknownLog { .. } => "log_unknown",
            Self::OutsideWindow { .. } => "log_outside_window",
            Self::NoName { .. } | Self::Key(_) => "log_misconfigured",
            Self::Note(_) => "checkpoint_signature_invalid",
            Self::Checkpoint(_) => "checkpoint_malformed",
            Self::Origin { .. } => "checkpoint_origin_mismatch",
            Self::TreeSize { .. } | Self::RootHash { .. } => "log_entry_inconsistent",
            Self::OtherEntry { .. } => "log_entry_mismatch",
            Self::Inclusion(_) => "inclusion_proof_invalid",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::Missing => "a log entry".to_owned(),
            Self::TooFew { of, expected, .. } => format!("entries of {expected} different {of}"),
            Self::NoInclusionProof => "an inclusion proof with checkpoint".to_owned(),
            Self::Body(_) => "an entry of its kind".to_owned(),
            Self::OtherPart { part } => format!("an entry with the {part} of this bundle and artifact"),
            Self::Witnesses(_) => "a checkpoint that as many witnesses have cosigned as the policy demands".to_owned(),
            Self::UnknownLog { .. } => "an entry of a log of the trusted root".to_owned(),
            Self::OutsideWindow { window, .. } => format!("a time in the log's window, {window}"),
            Self::NoName { .. } => "a hostname in the log's base URL".to_owned(),
            Self::Key(_) => "a log whose id is that of its name and key".to_owned(),
            Self::Note(_) => "a checkpoint signed by the log that the entry names".to_owned(),
            Self::Checkpoint(_) => "a checkpoint".to_owned(),
            Self::Origin { expected, .. } => format!("a checkpoint of {expected}"),
            Self::TreeSize { checkpoint, .. } => format!("the tree size of the checkpoint, {checkpoint}"),
            Self::RootHash { checkpoint, .. } => format!("the root hash of the checkpoint, {checkpoint}"),
            Self::OtherEntry { expected, .. } => {
                format!("the entry of this artifact, signature and certificate, with leaf hash {expected}")
            }
            Self::Inclusion(_) => "a proof that leads from the entry to the checkpoint".to_owned(),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::Missing => "none".to_owned(),
            Self::TooFew { found, .. } => found.to_string(),
            Self::NoInclusionProof => "the log's promise alone".to_owned(),
            Self::Body(error) => error.to_string(),
            Self::OtherPart { part } => format!("one with another {part}"),
            Self::Witnesses(error) => error.to_string(),
            Self::UnknownLog { log_id } => format!("one of log {}", hex::encode(log_id)),
            Self::OutsideWindow { time, .. } => time.to_string(),
            Self::NoName { base_url } => format!("{base_url:?}"),
            Self::Key(error) => error.to_string(),
            Self::Note(error) => error.to_string(),
            Self::Checkpoint(error) => error.to_string(),
            Self::Origin { found, .. } => found.clone(),
            Self::TreeSize { entry, .. } => entry.to_string(),
            Self::RootHash { entry, .. } => hex::encode(entry),
            Self::OtherEntry { found, .. } => format!("leaf hash {found}"),
            Self::Inclusion(error) => error.to_string(),
        }
    }
}

/// The entries of a bundle that were proved, and the ways of signing that all of them record.
#[derive(Debug)]
pub(super) struct Logged {
    entries: Vec<LoggedEntry>,
    schemes: Option<Vec<Scheme>>,
}

impl Logged {
    /// None where no entry says how the signature was made.
    pub(super) fn schemes(&self) -> Option<&[Scheme]> {
        self.schemes.as_deref()
    }

    pub(super) fn into_entries(self) -> Vec<LoggedEntry> {
        self.entries
    }

    /// Two entries for one signature record one way of signing.
    fn narrow(&mut self, recorded: Vec<Scheme>) {
        self.schemes = Some(match self.schemes.take() {
            None => recorded,
            Some(known) => known.into_iter().filter(|scheme| recorded.contains(scheme)).collect(),
        });
    }
}

/// Every entry of a bundle, of as many logs and operators as the policy demands. Logs outside the root are passed over; an entry
/// of one inside it must not be wrong.
pub(super) fn logged_all(
    entries: &[LogEntry],
    claim: &Claim<'_>,
    root: &TrustedRoot,
    demands: &Demands,
    times: &[VerifiedTime],
    now: Timestamp,
) -> Result<Logged, LogFailure> {
    // Where nobody vouches for a time, as a managed key allows, a log has to be trusted now.
    let mut times: Vec<Timestamp> = times.iter().map(VerifiedTime::time).collect();
    if times.is_empty() {
        times.push(now);
    }
    let mut logged = Logged { entries: Vec::with_capacity(entries.len()), schemes: None };
    let mut failure = LogFailure::Missing;
    for entry in entries {
        let log = match log_at(entry, root, &times) {
            Ok(log) => log,
            Err(unknown @ LogFailure::UnknownLog { .. }) => {
                failure = unknown;
                continue;
            }
            Err(wrong) => return Err(wrong),
        };
        // What the log says is read only when it has said so.
        let tree = entry.inclusion().map(|inclusion| tree_of(entry, inclusion, log)).transpose()?;
        logged.narrow(recorded(entry, claim)?);
        let inclusion = tree.map(|tree| tree.holds(entry, demands)).transpose()?;
        // Witnesses see trees: of an entry that is proved in none they say nothing.
        if inclusion.is_none() && (!demands.legacy_entries_without_proof || demands.witnesses.is_some()) {
            return Err(LogFailure::NoInclusionProof);
        }
        logged.entries.push(LoggedEntry::new(entry, log, inclusion));
    }
    threshold(&logged.entries, demands, failure)?;
    Ok(logged)
}

/// Counts distinct logs and operators, never entries (GHSA-9vcr-p3rj-q5q6). A log is its key, under whatever ids a root names it; logs
/// of whom the root does not say who runs them may all be run by the same.
fn threshold(entries: &[LoggedEntry], demands: &Demands, failure: LogFailure) -> Result<Counted, LogFailure> {
    let logs = distinct(entries.iter().map(|entry| entry.key_sha256.as_slice()));
    if logs < demands.log_entries {
        let too_few = LogFailure::TooFew { of: "logs", expected: demands.log_entries, found: logs };
        return Err(if logs == 0 { failure } else { too_few });
    }
    let named = entries.iter().map(|entry| entry.operator.as_bytes()).filter(|operator| !operator.is_empty());
    let operators = distinct(named).max(logs.min(1));
    if operators < demands.log_operators {
        let expected = demands.log_operators;
        return Err(LogFailure::TooFew { of: "operators of logs", expected, found: operators });
    }
    Ok(Counted)
}

/// The thresholds of the policy are met.
struct Counted;

fn distinct<'a>(names: impl Iterator<Item = &'a [u8]>) -> usize {
    let names: BTreeSet<&[u8]> = names.collect();
    names.len()
}

/// Proves that `record` is the entry, and that it is in the log of Rekor v2 of the root that the entry names.
///
/// # Errors
/// The first step that fails.
pub fn logged(
    entry: &LogEntry,
    record: &HashedRekord,
    root: &TrustedRoot,
    times: &[Timestamp],
) -> Result<LoggedEntry, LogFailure> {
    let log = log_at(entry, root, times)?;
    let tree = tree_of(entry, entry.inclusion().ok_or(LogFailure::NoInclusionProof)?, log)?;
    let leaf = record.leaf_bytes();
    if leaf != entry.body() {
        return Err(LogFailure::OtherEntry { expected: leaf_hash(&leaf), found: leaf_hash(entry.body()) });
    }
    let inclusion = tree.proves(entry, Vec::new())?;
    Ok(LoggedEntry::new(entry, log, Some(inclusion)))
}

impl LoggedEntry {
    fn new(entry: &LogEntry, log: &TransparencyLog, inclusion: Option<VerifiedInclusion>) -> Self {
        // The index of Rekor v1 is signed in its promise alone; without one only the place in the tree is proved.
        let index = match entry.inclusion() {
            Some(inclusion) if !entry.kind().is_v2() && entry.promise().is_none() => inclusion.index(),
            _ => entry.index(),
        };
        Self {
            kind: entry.kind(),
            log_id: *entry.log_id(),
            key_sha256: log.public_key().spki_sha256(),
            log: log.hostname().unwrap_or(log.base_url()).to_owned(),
            operator: log.operator().to_owned(),
            index,
            inclusion,
        }
    }
}

/// The log of the entry, in a window that holds all times; a log can stand in a root several times.
fn log_at<'a>(entry: &LogEntry, root: &'a TrustedRoot, times: &[Timestamp]) -> Result<&'a TransparencyLog, LogFailure> {
    let mut failure = LogFailure::UnknownLog { log_id: *entry.log_id() };
    for log in root.tlogs().iter().filter(|log| log.log_id() == entry.log_id()) {
        match times.iter().find(|time| !log.valid_for().contains(**time)) {
            None => return Ok(log),
            Some(time) => failure = LogFailure::OutsideWindow { time: *time, window: log.valid_for() },
        }
    }
    Err(failure)
}

/// A tree of the log, as a checkpoint says that the log signed.
struct SignedTree<'a> {
    note: SignedNote,
    checkpoint: Checkpoint,
    inclusion: &'a Inclusion,
}

/// The tree of the entry's checkpoint: signed by the key of the log that the entry names, under the log's name. Any trusted key,
/// or any name with that key, would not do.
fn tree_of<'a>(
    entry: &LogEntry,
    inclusion: &'a Inclusion,
    log: &TransparencyLog,
) -> Result<SignedTree<'a>, LogFailure> {
    let base_url = || log.base_url().to_owned();
    let v2 = entry.kind().is_v2();
    let name = if v2 { log.hostname() } else { log.authority() };
    let name = name.ok_or_else(|| LogFailure::NoName { base_url: base_url() })?;
    let key = NoteKey::of_log(name, log.public_key(), log.log_id()).map_err(LogFailure::Key)?;
    let note = SignedNote::parse(inclusion.checkpoint().as_bytes()).map_err(LogFailure::Note)?;
    key.verify(&note).map_err(LogFailure::Note)?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(LogFailure::Checkpoint)?;
    if !names(&checkpoint.origin, name, entry.kind()) {
        return Err(LogFailure::Origin { expected: name.to_owned(), found: checkpoint.origin });
    }
    // Rekor v2 says the same twice, and only the signed one counts; v1 must not contradict itself.
    if !v2 && i64::try_from(checkpoint.size.0) != Ok(inclusion.tree_size()) {
        return Err(LogFailure::TreeSize { checkpoint: checkpoint.size, entry: inclusion.tree_size() });
    }
    if !v2 && checkpoint.root.0 != *inclusion.root() {
        return Err(LogFailure::RootHash { checkpoint: checkpoint.root, entry: inclusion.root().to_vec() });
    }
    Ok(SignedTree { note, checkpoint, inclusion })
}

/// The origin of a v2 log is its name; that of v1 its name and the number of the shard's tree.
fn names(origin: &str, name: &str, kind: EntryKind) -> bool {
    if kind.is_v2() {
        return origin == name;
    }
    let tree = origin.strip_prefix(name).and_then(|rest| rest.strip_prefix(" - "));
    tree.is_some_and(|tree| !tree.is_empty() && tree.bytes().all(|digit| digit.is_ascii_digit()))
}

impl SignedTree<'_> {
    /// The entry is a leaf of the tree, which as many witnesses have seen as the policy demands.
    fn holds(&self, entry: &LogEntry, demands: &Demands) -> Result<VerifiedInclusion, LogFailure> {
        let witnesses = demands.witnesses.as_ref();
        let cosignatures = witnesses.map(|witnesses| witnesses.cosigned(&self.note)).transpose();
        self.proves(entry, cosignatures.map_err(LogFailure::Witnesses)?.unwrap_or_default())
    }

    fn proves(&self, entry: &LogEntry, cosignatures: Vec<Cosignature>) -> Result<VerifiedInclusion, LogFailure> {
        let (index, hashes) = (entry.index_in_tree(self.inclusion), self.inclusion.hashes());
        let leaf = leaf_hash(entry.body());
        let included = verify_inclusion(&leaf, index, self.checkpoint.size, hashes, &self.checkpoint.root)
            .map_err(LogFailure::Inclusion)?;
        let (origin, tree_size) = (self.checkpoint.origin.clone(), self.checkpoint.size);
        Ok(VerifiedInclusion { origin, tree_size, included, cosignatures })
    }
}

/// The ways of signing that the entry leaves open, if it is the one of this claim.
fn recorded(entry: &LogEntry, claim: &Claim<'_>) -> Result<Vec<Scheme>, LogFailure> {
    if entry.kind().is_v2() {
        return recorded_v2(entry, claim);
    }
    match v1::parse_body(entry.kind(), entry.body()).map_err(LogFailure::Body)? {
        BodyV1::HashedRekord { digest, signature, verifier } => {
            expect_part("signature", signature == claim.signature())?;
            expect_part("certificate or key", verifier == claim.verifier())?;
            expect_part("kind", matches!(claim.subject(), Subject::Message(_)))?;
            expect_part("digest", claim.digest(digest.algorithm()).is_some_and(|ours| ours == digest))?;
            let same_hash = |scheme: &Scheme| scheme.hash() == Some(digest.algorithm());
            Ok(claim.schemes().iter().copied().filter(same_hash).collect())
        }
        BodyV1::Dsse { payload_hash, signatures, .. } | BodyV1::Intoto { payload_hash, signatures, .. } => {
            let Subject::Envelope(envelope) = claim.subject() else {
                return Err(LogFailure::OtherPart { part: "kind" });
            };
            let [signature] = signatures.as_slice() else {
                return Err(LogFailure::OtherPart { part: "number of signatures" });
            };
            expect_part("signature", signature.signature == claim.signature())?;
            expect_part("certificate or key", signature.verifier == claim.verifier())?;
            let payload = touchmark_keys::digest(payload_hash.algorithm(), &envelope.payload);
            expect_part("payload", payload == payload_hash)?;
            Ok(claim.schemes().to_vec())
        }
    }
}

/// The leaf is rebuilt for each way in which the key can have signed; one of them has to be the body, byte for byte.
fn recorded_v2(entry: &LogEntry, claim: &Claim<'_>) -> Result<Vec<Scheme>, LogFailure> {
    let mut expected = None;
    for scheme in claim.schemes() {
        let Some(record) = claim.record(*scheme) else { continue };
        let leaf = record.leaf_bytes();
        if leaf == entry.body() {
            return Ok(vec![*scheme]);
        }
        expected.get_or_insert_with(|| leaf_hash(&leaf));
    }
    let found = leaf_hash(entry.body());
    Err(expected
        .map_or(LogFailure::OtherPart { part: "digest" }, |expected| LogFailure::OtherEntry { expected, found }))
}

/// One part of an entry is that of the claim.
struct SamePart;

fn expect_part(part: &'static str, same: bool) -> Result<SamePart, LogFailure> {
    if same { Ok(SamePart) } else { Err(LogFailure::OtherPart { part }) }
}
