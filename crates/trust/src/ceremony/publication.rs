// SPDX-License-Identifier: Apache-2.0
//! Publishing: what is written, in which order, and the clients that are sent through it before.
//!
//! In scope: the files of a publication, simulated walks over them and what is published already, writing them to a directory. Out of scope:
//! who has signed (`signing`), serving.
//! Invariants: nothing is published that a client would refuse: one that is new, one that knows any older root, one that has the last
//! cache, and one that comes when the timestamp is about to end. Files that name others are written after those that they name, the timestamp
//! last; what is published already is never changed, except the timestamp. A delegated role that is published may end: clients refuse it alone,
//! and the rest goes on. A publication is noted down as a whole before its first file is
//! written: whoever finds the note writes the rest.

mod clients;
mod delegated;
mod note;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use touchmark_signers::{SIGN_DEADLINE, Signer, sign_within};

use super::change::next_online;
use super::delegated::DelegatedVersion;
use super::event::Event;
use super::history::earlier;
use super::policy::Period;
use super::rotation::expect_order;
use super::{CeremonyError, Published, files};
use crate::document::{Document, RoleType, SignatureEntry};
use crate::key::Fingerprint;
use crate::role::{Root, RootView};
use crate::stated::TargetFile;
use crate::walk::{Memory, Walked, Wanted, numbered, walk};

pub(super) use delegated::plan_delegated;

/// A published repository in a directory.
#[derive(Debug, Clone)]
pub struct Repository {
    directory: PathBuf,
}

/// The files of a publication, in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    files: Vec<(String, Vec<u8>)>,
}

impl Repository {
    #[must_use]
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file of the repository; `None` if there is no such file.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn file(&self, wanted: &Wanted) -> Result<Option<Vec<u8>>, CeremonyError> {
        files::read_if_there(&self.directory.join(&wanted.name), wanted.bytes_max)
    }

    /// Every root from the first on; none where nothing is published.
    ///
    /// # Errors
    /// If a root does not follow the one before.
    pub fn roots(&self) -> Result<Vec<Root>, CeremonyError> {
        let mut roots: Vec<Root> = Vec::new();
        loop {
            let name = format!("{}.root.json", roots.len() + 1);
            let wanted = Wanted { name: name.clone(), bytes_max: RoleType::Root.bytes_max() };
            let Some(bytes) = self.file(&wanted)? else { return Ok(roots) };
            let root = match roots.last() {
                None => Root::pinned(bytes),
                Some(before) => before.next(bytes),
            };
            roots.push(root.map_err(CeremonyError::metadata(name))?);
        }
    }

    /// Walks the repository as a client does that begins at `root`.
    ///
    /// # Errors
    /// What the client would refuse.
    pub fn walk(&self, root: Root, memory: Memory, now: Timestamp) -> Result<Walked, CeremonyError> {
        walk(root, memory, now, |wanted| self.file(wanted))
    }

    /// What is published, whether or not it has expired; `None` where nothing is.
    ///
    /// # Errors
    /// If it does not verify.
    pub fn published(&self) -> Result<Option<(Vec<Root>, Walked)>, CeremonyError> {
        let roots = self.roots()?;
        let Some(root) = roots.last().cloned() else { return Ok(None) };
        let walked = self.walk(root, Memory::default(), Timestamp::MIN)?;
        if let Some(error) = walked.unsound.first() {
            return Err(error.clone().into());
        }
        Ok(Some((roots, walked)))
    }

    /// What the holders signed of what was walked, and the files that it states.
    ///
    /// # Errors
    /// If targets cannot be read.
    pub(crate) fn offline_files(walked: &Walked) -> Result<Vec<(String, Vec<u8>)>, CeremonyError> {
        let mut files = Vec::new();
        let delegated = walked.delegated.values().map(|role| (&role.document, &role.files));
        for (document, contents) in delegated.chain([(&walked.targets, &walked.files)]) {
            for file in TargetFile::all(document).map_err(CeremonyError::metadata("targets"))? {
                let bytes = contents.get(file.path()).cloned();
                let missing = || CeremonyError::TargetFile { name: file.path().to_owned() };
                files.push((file.served_as(), bytes.ok_or_else(missing)?));
            }
        }
        for (role, delegated) in &walked.delegated {
            let name = numbered(delegated.document.version(), role);
            files.push((name, delegated.document.bytes().to_vec()));
        }
        for document in [&walked.targets, walked.root.document()] {
            files.push((format!("{}.{}.json", document.version(), document.role_type()), document.bytes().to_vec()));
        }
        Ok(files)
    }

    /// Writes one file of a publication.
    ///
    /// # Errors
    /// If it cannot be written, or another file of that name is published.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CeremonyError> {
        match self.expect_free(name, bytes)? {
            Place::Written => Ok(()),
            Place::Free => files::write(&self.directory.join(name), bytes),
        }
    }

    fn expect_free(&self, name: &str, bytes: &[u8]) -> Result<Place, CeremonyError> {
        match files::read_if_there(&self.directory.join(name), files::FILE_BYTES_MAX)? {
            Some(present) if present == bytes => Ok(Place::Written),
            Some(_) if name != TIMESTAMP => Err(CeremonyError::OtherContent { name: name.to_owned() }),
            _ => Ok(Place::Free),
        }
    }
}

/// What is where a file is to be written.
enum Place {
    /// Nothing, or an older timestamp.
    Free,
    /// The very file.
    Written,
}

impl Repository {
    /// Signs snapshot and timestamp anew where they are due and writes them; `None` if neither is. A publication that was interrupted is
    /// finished before.
    ///
    /// A crash between the two leaves a snapshot that no timestamp names. It is never named: the next one takes the next number.
    ///
    /// # Errors
    /// If what is published does not verify, or root or targets have ended.
    pub async fn refresh(&self, online: &dyn Signer, now: Timestamp) -> Result<Option<Published>, CeremonyError> {
        let _lock = self.lock()?;
        self.finish_locked()?;
        let published = self.published()?.ok_or(CeremonyError::NothingPublished)?;
        self.expect_not_rolled_back(&published)?;
        let Some(publication) = plan_online(&published, self, online, now).await? else { return Ok(None) };
        publication.write(self)?;
        Ok(Some(publication.published()))
    }

    /// Writes a publication: its note, its files, and then the note is gone.
    ///
    /// A crash from the note on is repaired by whoever comes next, this or [`Repository::refresh`]: everything in it is signed already.
    ///
    /// # Errors
    /// If the online roles were signed since it was planned, whose timestamp would lead clients back, or a number was given before, as in a
    /// directory that was rolled back. Nothing was written then, nor noted: a publication that can never be finished would stand in the way.
    pub(crate) fn publish(&self, publication: &Publication) -> Result<(), CeremonyError> {
        let _lock = self.lock()?;
        publication.expect_newest(self)?;
        publication.files.iter().try_for_each(|(name, bytes)| self.expect_free(name, bytes).map(drop))?;
        let note = publication.to_json();
        self.expect_finishable(publication, note.len())?;
        files::write(&self.note_path(), &note)?;
        self.finish_locked().map(drop)
    }

    /// What is noted down can be written: nothing else is done until it is. No name is too long or in the way of another, and the note can be read.
    fn expect_finishable(&self, publication: &Publication, note_bytes: usize) -> Result<(), CeremonyError> {
        if note_bytes > files::FILE_BYTES_MAX {
            return Err(CeremonyError::TooLong { path: self.note_path(), max: files::FILE_BYTES_MAX });
        }
        let names: BTreeSet<&str> = publication.files.iter().map(|(name, _)| name.as_str()).collect();
        for name in &names {
            let unwritable = || CeremonyError::Unwritable { name: (*name).to_owned() };
            if name.split('/').any(|part| part.len() > files::NAME_BYTES_MAX) || self.directory.join(name).is_dir() {
                return Err(unwritable());
            }
            let mut directories = name.match_indices('/').map(|(end, _)| &name[..end]);
            if directories.any(|directory| names.contains(directory) || self.directory.join(directory).is_file()) {
                return Err(unwritable());
            }
        }
        Ok(())
    }

    /// Writes the rest of a publication that was interrupted; `None` if none was.
    pub(crate) fn finish(&self) -> Result<Option<Publication>, CeremonyError> {
        if !self.note_path().exists() {
            return Ok(None);
        }
        let _lock = self.lock()?;
        self.finish_locked()
    }

    fn finish_locked(&self) -> Result<Option<Publication>, CeremonyError> {
        let note = self.note_path();
        let Some(bytes) = files::read_if_there(&note, files::FILE_BYTES_MAX)? else { return Ok(None) };
        // Nothing is believed because it lies there: a note is checked as a plan is.
        let publication = Publication::from_json(&bytes)?;
        publication.expect_to_continue(self)?;
        publication.write(self)?;
        std::fs::remove_file(&note).map_err(files::failed("remove", &note))?;
        files::sync(&self.directory)?;
        Ok(Some(publication))
    }

    /// Where a publication is noted down that is being written.
    pub(crate) fn note_path(&self) -> PathBuf {
        self.directory.join("publication.json")
    }

    /// Keeps a server that signs the online roles and a publication out of each other's way.
    fn lock(&self) -> Result<files::Lock, CeremonyError> {
        files::make_directory(&self.directory)?;
        files::Lock::take(&self.directory)
    }

    /// The number of the next metadata of an online role: above the published one, and of snapshots one whose file is not there.
    fn next_version(&self, role_type: RoleType, before: Option<&Document>) -> u64 {
        let mut version = before.map_or(1, |before| before.version().saturating_add(1));
        let is_taken = |version| self.directory.join(format!("{version}.{role_type}.json")).exists();
        while role_type == RoleType::Snapshot && is_taken(version) {
            version += 1;
        }
        version
    }
}

pub(super) const TIMESTAMP: &str = "timestamp.json";
/// The highest number of an online role that is gone on from once its key was exchanged. Whoever stole the old one may have given the last number
/// there is; clients forget what it signed (TUF §5.3.11), and so the numbers begin anew.
pub(super) const CONTINUED_MAX: u64 = u32::MAX as u64;

/// What holders have signed.
pub(super) struct Signed<'a> {
    pub(super) root: Option<Document>,
    pub(super) targets: Option<Document>,
    /// Of delegated roles, to be published with the event.
    pub(super) delegated: &'a [DelegatedVersion],
}

/// Signs what an event's root and targets need around them, and puts everything in order.
///
/// # Errors
/// If the online key is not the one that the root names, or a client would refuse the result.
pub(super) async fn plan(
    event: &Event,
    Signed { root, targets, delegated }: Signed<'_>,
    published: Option<&(Vec<Root>, Walked)>,
    repository: &Repository,
    online: &dyn Signer,
    now: Timestamp,
) -> Result<Publication, CeremonyError> {
    expect_base(event, published)?;
    let life = Period::of_online(event.root_after().document(), RoleType::Timestamp);
    let life = life.end(now).duration_since(now);
    let since = now.checked_sub(life).unwrap_or(Timestamp::MIN);
    let known = published.map(|published| earlier(repository, published, since)).transpose()?.flatten();
    expect_order(event, known.as_ref(), now, life)?;
    let view = event.root_after();
    let before = published.map(|(_, walked)| walked);
    let continued = |document: &&Document| view.verify(document).is_ok() || document.version() <= CONTINUED_MAX;
    let targets_after = event.targets_after();
    delegated::expect_publishable(delegated, before, targets_after, now.checked_add(life).unwrap_or(now))?;
    let online = Online { repository, signer: online, offline_end: offline_end(view, targets_after) };
    // The snapshot changes with the targets, and with its key.
    let has_new_key = before.is_some_and(|before| view.verify(&before.snapshot).is_err());
    let present = before.map(|before| &before.snapshot).filter(continued);
    let snapshot = match present {
        Some(snapshot) if targets.is_none() && delegated.is_empty() && !has_new_key && !is_due(view, snapshot, now) => {
            snapshot.clone()
        }
        _ => online.next(RoleType::Snapshot, present, view, &pins(targets_after, delegated), now).await?,
    };
    let stamp = before.map(|before| &before.timestamp).filter(continued);
    let timestamp = online.next(RoleType::Timestamp, stamp, view, &pins(&snapshot, &[]), now).await?;
    let mut order = Vec::new();
    for version in delegated {
        order.extend(version.served()?);
    }
    for file in TargetFile::all(targets_after).map_err(CeremonyError::metadata("targets"))? {
        let bytes = event.files().get(file.path()).cloned();
        let bytes = bytes.ok_or_else(|| CeremonyError::TargetFile { name: file.path().to_owned() })?;
        order.push((file.served_as(), bytes));
    }
    for document in [targets.as_ref(), Some(&snapshot), root.as_ref()].into_iter().flatten() {
        order.push((format!("{}.{}.json", document.version(), document.role_type()), document.bytes().to_vec()));
    }
    order.push((TIMESTAMP.to_owned(), timestamp.bytes().to_vec()));
    let publication = Publication { files: order };
    publication.expect_walkable(repository, published, now)?;
    Ok(publication)
}

/// Signs snapshot and timestamp anew where they are due; `None` if neither is.
async fn plan_online(
    published: &(Vec<Root>, Walked),
    repository: &Repository,
    online: &dyn Signer,
    now: Timestamp,
) -> Result<Option<Publication>, CeremonyError> {
    let (_, walked) = published;
    let view = walked.root.view();
    expect_lasting(view, &walked.targets, now)?;
    let online = Online { repository, signer: online, offline_end: offline_end(view, &walked.targets) };
    let snapshot_is_due = is_due(view, &walked.snapshot, now);
    // One that ends with the root cannot be made to last longer.
    let lasts_longer = online.end_of(RoleType::Timestamp, view, now) > walked.timestamp.expires();
    let timestamp_is_due = lasts_longer && is_due(view, &walked.timestamp, now);
    if !snapshot_is_due && !timestamp_is_due {
        return Ok(None);
    }
    let mut order = Vec::new();
    let mut snapshot = walked.snapshot.clone();
    if snapshot_is_due {
        let before = Some(&walked.snapshot);
        snapshot = online.next(RoleType::Snapshot, before, view, &pins(&walked.targets, &[]), now).await?;
        order.push((format!("{}.snapshot.json", snapshot.version()), snapshot.bytes().to_vec()));
    }
    let before = Some(&walked.timestamp);
    let timestamp = online.next(RoleType::Timestamp, before, view, &pins(&snapshot, &[]), now).await?;
    order.push((TIMESTAMP.to_owned(), timestamp.bytes().to_vec()));
    let publication = Publication { files: order };
    publication.expect_walkable(repository, Some(published), now)?;
    Ok(Some(publication))
}

/// What the metadata above says of these files.
fn pins(document: &Document, delegated: &[DelegatedVersion]) -> Vec<(String, u64)> {
    let own = (document.role_type().name().to_owned(), document.version());
    [own].into_iter().chain(delegated.iter().map(DelegatedVersion::pin)).collect()
}

fn is_due(root: &RootView, document: &Document, now: Timestamp) -> bool {
    Period::of_online(root.document(), document.role_type()).is_due(document.expires(), now)
}

/// Nothing is signed over a root or targets that have ended.
fn expect_lasting(root: &RootView, targets: &Document, now: Timestamp) -> Result<(), CeremonyError> {
    match [root.document(), targets].into_iter().find(|document| document.expires() <= now) {
        Some(ended) => Err(CeremonyError::Ended { role: ended.role_type().name(), expires: ended.expires() }),
        None => Ok(()),
    }
}

/// When the first of the roles ends that only the holders can renew.
fn offline_end(root: &RootView, targets: &Document) -> Timestamp {
    root.document().expires().min(targets.expires())
}

/// What was signed was made on what is published now.
fn expect_base(event: &Event, published: Option<&(Vec<Root>, Walked)>) -> Result<(), CeremonyError> {
    let base = event.base().map(|base| (base.root().document(), &base.targets));
    let present = published.map(|(_, walked)| (walked.root.document(), &walked.targets));
    if base.map(|(root, targets)| (root.bytes(), targets.bytes()))
        == present.map(|(root, targets)| (root.bytes(), targets.bytes()))
    {
        return Ok(());
    }
    let versions = |pair: Option<(&Document, &Document)>| {
        pair.map_or((0, 0), |(root, targets)| (root.version(), targets.version()))
    };
    Err(CeremonyError::Overtaken { base: versions(base), published: versions(present) })
}

/// The online key at work on a repository.
struct Online<'a> {
    repository: &'a Repository,
    signer: &'a dyn Signer,
    /// No timestamp is good for longer.
    offline_end: Timestamp,
}

impl Online<'_> {
    /// The end of what is signed now. A timestamp says that what the holders signed is good: it ends with that at the latest.
    fn end_of(&self, role_type: RoleType, root: &RootView, now: Timestamp) -> Timestamp {
        let end = Period::of_online(root.document(), role_type).end(now);
        if role_type == RoleType::Timestamp { end.min(self.offline_end) } else { end }
    }

    /// Signs the next metadata of a role, which pins these files.
    async fn next(
        &self,
        role_type: RoleType,
        before: Option<&Document>,
        root: &RootView,
        pins: &[(String, u64)],
        now: Timestamp,
    ) -> Result<Document, CeremonyError> {
        let found = Fingerprint::of(self.signer.public_key());
        let own = root.keys_of(role_type).find(|(_, key)| key.fingerprint() == Some(found));
        let Some(key_id) = own.map(|(id, _)| id.clone()) else {
            let expected = root.keys_of(role_type).find_map(|(_, key)| key.fingerprint()).unwrap_or(found);
            return Err(CeremonyError::WrongOnlineKey { expected, found });
        };
        let version = self.repository.next_version(role_type, before);
        let document = next_online(role_type, before, pins, version, self.end_of(role_type, root, now))?;
        let signature = sign_within(self.signer, document.canonical(), SIGN_DEADLINE).await?;
        let entry = SignatureEntry { key_id, signature };
        let signed = document.with_signatures(&[entry]).map_err(CeremonyError::metadata(role_type.name()))?;
        root.verify(&signed).map_err(CeremonyError::metadata(role_type.name()))?;
        Ok(signed)
    }
}

impl Publication {
    /// In the order in which they are written.
    #[must_use]
    pub fn files(&self) -> &[(String, Vec<u8>)] {
        &self.files
    }

    pub(crate) fn published(&self) -> Published {
        Published { files: self.files.iter().map(|(name, _)| name.clone()).collect() }
    }

    /// A file as it will be published.
    fn file(&self, repository: &Repository, wanted: &Wanted) -> Result<Option<Vec<u8>>, CeremonyError> {
        match self.files.iter().find(|(name, _)| *name == wanted.name) {
            Some((_, bytes)) => Ok(Some(bytes.clone())),
            None => repository.file(wanted),
        }
    }

    /// The root from which everything will be walked.
    fn first_root(&self, repository: &Repository) -> Result<Root, CeremonyError> {
        let wanted = Wanted { name: "1.root.json".to_owned(), bytes_max: RoleType::Root.bytes_max() };
        let bytes = self.file(repository, &wanted)?.unwrap_or_default();
        Root::pinned(bytes).map_err(CeremonyError::metadata(wanted.name))
    }

    /// Writes every file.
    ///
    /// A crash between two of them leaves the old timestamp, which names the old files; the note has the rest.
    fn write(&self, repository: &Repository) -> Result<(), CeremonyError> {
        self.files.iter().try_for_each(|(name, bytes)| repository.put(name, bytes))
    }

    /// The timestamp of this publication is newer than the published one, or that one counts for nothing under the new root.
    fn expect_newest(&self, repository: &Repository) -> Result<(), CeremonyError> {
        let wanted = Wanted { name: TIMESTAMP.to_owned(), bytes_max: RoleType::Timestamp.bytes_max() };
        let Some(present) = repository.file(&wanted)? else { return Ok(()) };
        let own = self.files.last().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        let parse = |bytes| Document::parse(RoleType::Timestamp, bytes).map_err(CeremonyError::metadata(TIMESTAMP));
        let present = parse(present)?;
        let is_forgotten = present.version() > CONTINUED_MAX && self.exchanges_key_of(&present);
        let is_newer = present.version() < parse(own)?.version();
        if is_newer || is_forgotten { Ok(()) } else { Err(CeremonyError::SignedMeanwhile) }
    }

    /// This publication brings a root under which the document does not verify.
    fn exchanges_key_of(&self, document: &Document) -> bool {
        let root = self.files.iter().find(|(name, _)| name.ends_with(".root.json"));
        let root =
            root.and_then(|(_, bytes)| RootView::read(Document::parse(RoleType::Root, bytes.clone()).ok()?).ok());
        root.is_some_and(|root| root.verify(document).is_err())
    }
}
