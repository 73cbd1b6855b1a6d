// SPDX-License-Identifier: Apache-2.0
//! The walk of a client through a repository, without a file or a socket: it says what it wants, and is given it.
//!
//! Spec: TUF 1.0.34 §5.3 to §5.6.
//! In scope: the root chain, timestamp, snapshot, targets, every delegated role that the snapshot pins and every target, so that a repository
//! is known as a whole before it is published. Out of scope: the client's own walk and cache (crate `client`), searching one target.
//! Invariants: what a walk gives is verified from the root that it started from, and was fresh at the time of the walk. What is wrong with a
//! delegated role or a target is told and does not hide the rest. A delegated role has a say in the paths that were delegated to it, and
//! never in what the targets role itself states.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::MetadataError;
use crate::delegation::Delegations;
use crate::document::{Document, RoleType};
use crate::role::Root;
use crate::stated::{Pin, TargetFile, versions};

/// Most roots that one walk follows: what python-tuf and sigstore-tuf do.
const ROOTS_MAX: usize = 256;
/// Most delegated roles of one repository that are looked at.
const DELEGATED_MAX: usize = 1024;
/// Longest target that is fetched to be checked: a trusted root has some kilobytes.
pub const TARGET_BYTES_MAX: usize = 64 << 20;

/// What is wrong, and with which file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct WalkError {
    pub file: String,
    #[source]
    pub problem: MetadataError,
}

/// What a client that comes back has in its cache. Whatever does not verify under the newest root is forgotten (§5.3.11).
#[derive(Debug, Clone, Default)]
pub struct Memory {
    pub timestamp: Option<Vec<u8>>,
    pub snapshot: Option<Vec<u8>>,
    pub targets: Option<Vec<u8>>,
}

/// A file that the walk wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As it is served, relative to the repository.
    pub name: String,
    pub bytes_max: usize,
}

/// A walk under way.
#[derive(Debug)]
pub struct Walk {
    now: Timestamp,
    root: Root,
    roots: usize,
    memory: Memory,
    next: Next,
    seen: Seen,
    delegated: VecDeque<Pending>,
    files: VecDeque<WantedFile>,
    found: Found,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Root,
    Timestamp,
    Snapshot,
    Targets,
    Delegated,
    File,
}

/// What of the memory still verifies.
#[derive(Debug, Default)]
struct Seen {
    timestamp: Option<Document>,
    snapshot: Option<Document>,
    targets: Option<Document>,
}

#[derive(Debug, Default)]
struct Found {
    timestamp: Option<Document>,
    snapshot: Option<Document>,
    targets: Option<Document>,
    delegated: BTreeMap<String, DelegatedRole>,
    files: BTreeMap<String, Vec<u8>>,
    unsound: Vec<WalkError>,
}

/// A target that is to be fetched.
#[derive(Debug, Clone)]
struct WantedFile {
    /// `None` if the targets role itself states it.
    role: Option<String>,
    file: TargetFile,
}

/// A delegated role that is to be fetched, and who delegates to it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    role: String,
    delegator: String,
}

/// A delegated role that was walked.
#[derive(Debug, Clone)]
pub struct DelegatedRole {
    pub document: Document,
    /// The role that delegates to it, `targets` or a delegated one.
    pub delegator: String,
    /// Its targets by their paths, of those that were delegated to it.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A repository that was walked from its root on.
#[derive(Debug, Clone)]
pub struct Walked {
    pub root: Root,
    pub timestamp: Document,
    pub snapshot: Document,
    pub targets: Document,
    /// By the names of their roles.
    pub delegated: BTreeMap<String, DelegatedRole>,
    /// Every target that the targets role itself states, by its path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What is wrong with delegated roles and targets.
    pub unsound: Vec<WalkError>,
}

impl Walked {
    /// What a client remembers after this walk.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let bytes = |document: &Document| Some(document.bytes().to_vec());
        Memory { timestamp: bytes(&self.timestamp), snapshot: bytes(&self.snapshot), targets: bytes(&self.targets) }
    }

    /// When the first of the four top-level roles expires, and which it is.
    #[must_use]
    pub fn first_expiry(&self) -> (RoleType, Timestamp) {
        let documents = [self.root.document(), &self.targets, &self.snapshot, &self.timestamp];
        let first = documents.into_iter().min_by_key(|document| document.expires()).expect("there are four");
        (first.role_type(), first.expires())
    }
}

/// Walks a repository that answers at once, such as a directory.
///
/// # Errors
/// What a client would refuse.
pub fn walk<E: From<WalkError>>(
    root: Root,
    memory: Memory,
    now: Timestamp,
    mut fetch: impl FnMut(&Wanted) -> Result<Option<Vec<u8>>, E>,
) -> Result<Walked, E> {
    let mut walk = Walk::start(root, memory, now);
    while let Some(wanted) = walk.wanted() {
        let bytes = fetch(&wanted)?;
        walk.supply(bytes)?;
    }
    Ok(walk.finish().expect("a walk that wants nothing has found everything"))
}

impl Walk {
    #[must_use]
    pub fn start(root: Root, memory: Memory, now: Timestamp) -> Self {
        Self {
            now,
            root,
            roots: 0,
            memory,
            next: Next::Root,
            seen: Seen::default(),
            delegated: VecDeque::new(),
            files: VecDeque::new(),
            found: Found::default(),
        }
    }

    /// The next file to bring; `None` at the end.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        let (name, bytes_max) = match self.next {
            Next::Root => (format!("{}.root.json", self.root.version() + 1), RoleType::Root.bytes_max()),
            Next::Timestamp => ("timestamp.json".to_owned(), RoleType::Timestamp.bytes_max()),
            Next::Snapshot => (self.name_of("snapshot"), RoleType::Snapshot.bytes_max()),
            Next::Targets => (self.name_of("targets"), RoleType::Targets.bytes_max()),
            Next::Delegated => (self.name_of(&self.delegated.front()?.role), RoleType::Targets.bytes_max()),
            Next::File => {
                let file = &self.files.front()?.file;
                let is_consistent = self.root.view().has_consistent_snapshots();
                let name = if is_consistent { file.served_as() } else { format!("targets/{}", file.path()) };
                (name, TARGET_BYTES_MAX)
            }
        };
        Some(Wanted { name, bytes_max })
    }

    /// Takes the file that was wanted, or that there is none. A file that could not be asked for is no missing file: end the walk then.
    ///
    /// # Errors
    /// If a client stops here.
    pub fn supply(&mut self, bytes: Option<Vec<u8>>) -> Result<(), WalkError> {
        let Some(Wanted { name, bytes_max }) = self.wanted() else { return Ok(()) };
        // Where there is no next root, what is wrong is wrong with the last one.
        let is_last_root = self.next == Next::Root && bytes.is_none();
        let name = if is_last_root { format!("{}.root.json", self.root.version()) } else { name };
        let too_long = bytes.as_ref().map(Vec::len).filter(|found| *found > bytes_max);
        let taken = match too_long {
            Some(found) => Err(MetadataError::TooLong { max: bytes_max, found }),
            None => self.take(bytes),
        };
        let failed = |problem| WalkError { file: name, problem };
        match (taken, self.next) {
            (Ok(()), _) => Ok(()),
            (Err(problem), Next::Delegated) => {
                self.found.unsound.push(failed(problem));
                self.delegated.pop_front();
                self.end_delegated();
                Ok(())
            }
            (Err(problem), Next::File) => {
                self.found.unsound.push(failed(problem));
                self.files.pop_front();
                Ok(())
            }
            (Err(problem), _) => Err(failed(problem)),
        }
    }

    fn take(&mut self, bytes: Option<Vec<u8>>) -> Result<(), MetadataError> {
        match (self.next, bytes) {
            (Next::Root, Some(bytes)) => self.take_root(bytes),
            (Next::Root, None) => self.end_of_roots(),
            (_, None) => Err(MetadataError::Missing),
            (Next::Timestamp, Some(bytes)) => self.take_timestamp(bytes),
            (Next::Snapshot, Some(bytes)) => self.take_snapshot(bytes),
            (Next::Targets, Some(bytes)) => self.take_targets(bytes),
            (Next::Delegated, Some(bytes)) => self.take_delegated(bytes),
            (Next::File, Some(bytes)) => self.take_file(bytes),
        }
    }

    fn take_root(&mut self, bytes: Vec<u8>) -> Result<(), MetadataError> {
        if self.roots == ROOTS_MAX {
            return Err(MetadataError::Limit { what: "roots", max: ROOTS_MAX });
        }
        self.root = self.root.next(bytes)?;
        self.roots += 1;
        Ok(())
    }

    /// The expiry of roots on the way is of no concern (§5.3.10).
    fn end_of_roots(&mut self) -> Result<(), MetadataError> {
        self.root.document().fresh_at(self.now)?;
        let memory = std::mem::take(&mut self.memory);
        let had_snapshot = memory.snapshot.is_some();
        let still = |role_type, bytes: Option<Vec<u8>>| {
            let document = Document::parse(role_type, bytes?).ok()?;
            self.root.view().verify(&document).ok().map(|_| document)
        };
        self.seen = Seen {
            timestamp: still(RoleType::Timestamp, memory.timestamp),
            snapshot: still(RoleType::Snapshot, memory.snapshot),
            targets: still(RoleType::Targets, memory.targets),
        };
        // §5.3.11: where either key was exchanged, both files are forgotten: whoever had the key may have set any version.
        if self.seen.timestamp.is_none() || (had_snapshot && self.seen.snapshot.is_none()) {
            (self.seen.timestamp, self.seen.snapshot) = (None, None);
        }
        self.next = Next::Timestamp;
        Ok(())
    }

    fn take_timestamp(&mut self, bytes: Vec<u8>) -> Result<(), MetadataError> {
        let mut timestamp = self.verified(RoleType::Timestamp, bytes)?;
        let pin = Pin::read(&timestamp, "snapshot.json")?;
        if let Some(seen) = &self.seen.timestamp {
            not_older("timestamp", seen.version(), timestamp.version())?;
            not_older("snapshot", Pin::read(seen, "snapshot.json")?.version, pin.version)?;
            if seen.version() == timestamp.version() {
                timestamp = seen.clone(); // §5.4.3.1: nothing new.
            }
        }
        timestamp.fresh_at(self.now)?;
        self.found.timestamp = Some(timestamp);
        self.next = Next::Snapshot;
        Ok(())
    }

    fn take_snapshot(&mut self, bytes: Vec<u8>) -> Result<(), MetadataError> {
        let pin = Pin::read(self.timestamp(), "snapshot.json")?;
        pin.expect(&bytes, "the timestamp")?;
        let snapshot = self.verified(RoleType::Snapshot, bytes)?;
        expect_version(pin.version, snapshot.version())?;
        for (name, version) in self.seen.snapshot.iter().flat_map(versions) {
            not_older(name, version, Pin::read(&snapshot, name)?.version)?;
        }
        snapshot.fresh_at(self.now)?;
        self.found.snapshot = Some(snapshot);
        self.next = Next::Targets;
        Ok(())
    }

    fn take_targets(&mut self, bytes: Vec<u8>) -> Result<(), MetadataError> {
        let pin = Pin::read(self.snapshot(), "targets.json")?;
        pin.expect(&bytes, "the snapshot")?;
        let targets = self.verified(RoleType::Targets, bytes)?;
        expect_version(pin.version, targets.version())?;
        if let Some(seen) = &self.seen.targets {
            not_older("targets", seen.version(), targets.version())?;
        }
        targets.fresh_at(self.now)?;
        self.look_into("targets", &targets, &[])?;
        self.found.targets = Some(targets);
        self.next = Next::Delegated;
        self.end_delegated();
        Ok(())
    }

    fn take_delegated(&mut self, bytes: Vec<u8>) -> Result<(), MetadataError> {
        let Some(Pending { role, delegator }) = self.delegated.front().cloned() else { return Ok(()) };
        let pin = Pin::read(self.snapshot(), &format!("{role}.json"))?;
        pin.expect(&bytes, "the snapshot")?;
        let document = Document::parse(RoleType::Targets, bytes)?;
        let chain = self.chain_to(&role, &delegator)?;
        let (delegations, _) = &chain[0];
        let not_named = || MetadataError::NotNamed { by: "the delegating role", name: role.clone() };
        let delegate = delegations.to_role(&role).ok_or_else(not_named)?;
        delegate.role_keys.verify(delegations.keys(), &document)?;
        expect_version(pin.version, document.version())?;
        document.fresh_at(self.now)?;
        self.look_into(&role, &document, &chain)?;
        self.delegated.pop_front();
        self.found.delegated.insert(role, DelegatedRole { document, delegator, files: BTreeMap::new() });
        self.end_delegated();
        Ok(())
    }

    fn take_file(&mut self, bytes: Vec<u8>) -> Result<(), MetadataError> {
        let Some(WantedFile { role, file }) = self.files.front() else { return Ok(()) };
        file.expect(&bytes)?;
        let path = file.path().to_owned();
        match role {
            None => self.found.files.insert(path, bytes),
            Some(role) => self.found.delegated.get_mut(role).and_then(|role| role.files.insert(path, bytes)),
        };
        self.files.pop_front();
        Ok(())
    }

    /// Remembers what a targets role states and to whom it delegates.
    fn look_into(&mut self, role: &str, document: &Document, chain: &[Step]) -> Result<(), MetadataError> {
        let files = TargetFile::all(document)?;
        // A client never comes to a path that was not delegated to the role.
        let files = files.into_iter().filter(|file| leads_to(chain, file.path()));
        let of_role = (role != TARGETS).then(|| role.to_owned());
        let files: Vec<_> = files.map(|file| WantedFile { role: of_role.clone(), file }).collect();
        let delegations = Delegations::read(document.signed().get("delegations"))?;
        self.files.extend(files);
        let Some(delegations) = delegations else { return Ok(()) };
        // Which roles there are, the snapshot says; what it does not pin is not trusted.
        let pinned: Vec<String> = versions(self.snapshot())
            .filter_map(|(name, _)| name.strip_suffix(".json"))
            .filter(|name| delegations.to_role(name).is_some())
            .map(str::to_owned)
            .collect();
        for name in pinned {
            let is_known = self.found.delegated.contains_key(&name) || name == role;
            if is_known || self.delegated.iter().any(|pending| pending.role == name) {
                continue;
            }
            if self.found.delegated.len() + self.delegated.len() == DELEGATED_MAX {
                return Err(MetadataError::Limit { what: "delegated roles", max: DELEGATED_MAX });
            }
            self.delegated.push_back(Pending { role: name, delegator: role.to_owned() });
        }
        Ok(())
    }

    /// How a search comes to a role: the delegations on the way, its own delegator's first, each with the role that they lead to.
    fn chain_to(&self, role: &str, delegator: &str) -> Result<Vec<Step>, MetadataError> {
        let (mut role, mut by) = (role, delegator);
        let mut chain = Vec::new();
        loop {
            let above = self.found.delegated.get(by);
            let document = if by == TARGETS { self.found.targets.as_ref() } else { above.map(|above| &above.document) };
            let delegations = document.map(|document| Delegations::read(document.signed().get("delegations")));
            let not_named = || MetadataError::NotNamed { by: "the delegating role", name: role.to_owned() };
            chain.push((delegations.transpose()?.flatten().ok_or_else(not_named)?, role.to_owned()));
            match above {
                // Who delegates was found before its delegate, so the chain has an end.
                Some(above) => (role, by) = (by, &above.delegator),
                None => return Ok(chain),
            }
        }
    }

    fn end_delegated(&mut self) {
        if self.delegated.is_empty() {
            self.next = Next::File;
        }
    }

    fn verified(&self, role_type: RoleType, bytes: Vec<u8>) -> Result<Document, MetadataError> {
        let document = Document::parse(role_type, bytes)?;
        self.root.view().verify(&document)?;
        Ok(document)
    }

    /// The name of a metadata file whose version the walk knows by now.
    fn name_of(&self, role: &str) -> String {
        let by = if role == "snapshot" { self.found.timestamp.as_ref() } else { self.found.snapshot.as_ref() };
        let version = by.and_then(|by| Pin::read(by, &format!("{role}.json")).ok()).map(|pin| pin.version);
        match version.filter(|_| self.root.view().has_consistent_snapshots()) {
            Some(version) => numbered(version, role),
            None => format!("{}.json", quoted(role)),
        }
    }

    fn timestamp(&self) -> &Document {
        self.found.timestamp.as_ref().expect("the timestamp comes before what it pins")
    }

    fn snapshot(&self) -> &Document {
        self.found.snapshot.as_ref().expect("the snapshot comes before what it pins")
    }

    /// What was found; `None` if the walk still wants something.
    #[must_use]
    pub fn finish(self) -> Option<Walked> {
        if self.wanted().is_some() {
            return None;
        }
        let Found { timestamp, snapshot, targets, delegated, files, unsound } = self.found;
        Some(Walked {
            root: self.root,
            timestamp: timestamp?,
            snapshot: snapshot?,
            targets: targets?,
            delegated,
            files,
            unsound,
        })
    }
}

/// Delegations, and the role that they lead to.
type Step = (Delegations, String);

/// The top of every chain.
const TARGETS: &str = "targets";

/// Whether each delegation on the way is for that path.
fn leads_to(chain: &[Step], path: &str) -> bool {
    chain.iter().all(|(delegations, role)| delegations.for_target(path).iter().any(|delegate| delegate.name == *role))
}

fn expect_version(expected: u64, found: u64) -> Result<(), MetadataError> {
    if expected == found { Ok(()) } else { Err(MetadataError::Version { expected, found }) }
}

fn not_older(role: &str, known: u64, found: u64) -> Result<(), MetadataError> {
    if found >= known { Ok(()) } else { Err(MetadataError::RolledBack { role: role.to_owned(), known, found }) }
}

/// The name of a role's metadata file of that version, with consistent snapshots (§6.2).
pub(crate) fn numbered(version: u64, role: &str) -> String {
    format!("{version}.{}.json", quoted(role))
}

/// The name of a role as it stands in a URL: what is not unreserved (RFC 3986 §2.3) is percent-encoded, so that no role leaves its directory.
#[must_use]
pub fn quoted(role: &str) -> String {
    let mut text = String::with_capacity(role.len());
    for byte in role.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests;
