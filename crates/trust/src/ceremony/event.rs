// SPDX-License-Identifier: Apache-2.0
//! An event: one pending change, as one file that can be carried to every holder.
//!
//! In scope: the file, and everything that can be checked about it without trusting whoever made it. Out of scope: signing it (`signing`).
//! Invariants: an [`Event`] exists only after its chain of roots was walked, its targets were verified and their hashes computed from the
//! files that it carries, and its metadata was made again from its inputs and found to be the same, byte for byte. Whether its first root is
//! the right one only [`Event::known_to`] can say.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use touchmark_keys::{sha256, sha256_parts};

use super::CeremonyError;
use super::change::{Base, Change, Proposed, propose};
use crate::document::{Document, RoleType};
use crate::role::{Root, RootView};
use crate::stated::TargetFile;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EventFile {
    version: u32,
    ceremony: String,
    created: Timestamp,
    change: Change,
    /// The published roots from the first on, and targets; base64, as all files in here.
    base: Option<BaseFile>,
    root: Option<String>,
    targets: Option<String>,
    /// Every target that the targets state.
    files: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BaseFile {
    roots: Vec<String>,
    targets: String,
    files: BTreeMap<String, String>,
}

/// A pending change that is what it says.
#[derive(Debug, Clone)]
pub struct Event {
    ceremony: String,
    created: Timestamp,
    change: Change,
    base: Option<Base>,
    proposed: Proposed,
    files: BTreeMap<String, Vec<u8>>,
}

/// A root that a holder knows from before: the hash of any root of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownRoot(pub [u8; 32]);

/// Targets that a holder knows from before.
#[derive(Debug, Clone)]
pub enum KnownTargets {
    /// These, or later ones.
    From(Document),
    /// None but those of this SHA-256.
    Exactly([u8; 32]),
}

/// The event continues a chain that the holder knows, or begins one.
#[derive(Debug, Clone, Copy)]
pub struct KnownEvent<'a>(&'a Event);

impl<'a> KnownEvent<'a> {
    #[must_use]
    pub fn event(self) -> &'a Event {
        self.0
    }
}

impl Event {
    /// Makes an event. `files` are those of the wishes.
    ///
    /// # Errors
    /// Why the wishes cannot be met.
    pub fn make(
        ceremony: &str,
        base: Option<Base>,
        change: Change,
        mut files: BTreeMap<String, Vec<u8>>,
        now: Timestamp,
    ) -> Result<Self, CeremonyError> {
        let proposed = propose(ceremony, base.as_ref(), &change, &files, now)?;
        if let Some(base) = &base {
            for file in stated(proposed.targets.as_ref().unwrap_or(&base.targets))? {
                if let (false, Some(bytes)) = (files.contains_key(file.path()), base.files.get(file.path())) {
                    files.insert(file.path().to_owned(), bytes.clone());
                }
            }
        }
        let event = Self { ceremony: ceremony.to_owned(), created: now, change, base, proposed, files };
        // What is written must be readable: the same checks as at every holder.
        Self::from_json(&event.to_json())
    }

    /// Reads and checks an event.
    ///
    /// # Errors
    /// Which check failed.
    pub fn from_json(bytes: &[u8]) -> Result<Self, CeremonyError> {
        let file: EventFile = super::from_json("the event", bytes)?;
        if file.version != VERSION {
            return Err(CeremonyError::Version { what: "the event", expected: VERSION, found: file.version });
        }
        super::expect_name("the ceremony", &file.ceremony)?;
        let base = file.base.map(read_base).transpose()?;
        let files = decode_all(file.files)?;
        let proposed = propose(&file.ceremony, base.as_ref(), &file.change, &files, file.created)?;
        same("root", file.root, proposed.root.as_ref().map(RootView::document))?;
        same("targets", file.targets, proposed.targets.as_ref())?;
        let event = Self { ceremony: file.ceremony, created: file.created, change: file.change, base, proposed, files };
        expect_files(event.targets_after(), &event.files)?;
        Ok(event)
    }

    /// The file that is carried around.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        super::to_json(&EventFile {
            version: VERSION,
            ceremony: self.ceremony.clone(),
            created: self.created,
            change: self.change.clone(),
            base: self.base.as_ref().map(|base| BaseFile {
                roots: base.roots.iter().map(|root| encode(root.document().bytes())).collect(),
                targets: encode(base.targets.bytes()),
                files: encode_all(&base.files),
            }),
            root: self.proposed.root.as_ref().map(|root| encode(root.document().bytes())),
            targets: self.proposed.targets.as_ref().map(|targets| encode(targets.bytes())),
            files: encode_all(&self.files),
        })
    }

    /// Ties the event to a root that the holder knows. The first event of a ceremony has none before it.
    ///
    /// # Errors
    /// If the event continues a chain and the holder knows none of its roots.
    pub fn known_to(&self, known: Option<KnownRoot>) -> Result<KnownEvent<'_>, CeremonyError> {
        match (&self.base, known) {
            (None, None) => Ok(KnownEvent(self)),
            (None, Some(known)) => Err(CeremonyError::UnknownBase { known: known.0, roots: 0 }),
            (Some(_), None) => Err(CeremonyError::NoKnownRoot),
            (Some(base), Some(known)) => {
                let is_known = base.roots.iter().any(|root| sha256(root.document().bytes()) == known.0);
                let unknown = CeremonyError::UnknownBase { known: known.0, roots: base.roots.len() };
                if is_known { Ok(KnownEvent(self)) } else { Err(unknown) }
            }
        }
    }

    /// Ties the event to targets that the holder knows. A root alone does not: whoever has the online key can serve older targets again, and an event
    /// on top of them would take back what came since.
    ///
    /// # Errors
    /// If the event is made on older or other targets.
    pub fn continues(&self, known: &KnownTargets) -> Result<(), CeremonyError> {
        let base = self.base.as_ref().map(|base| &base.targets);
        let continues = |base: &&Document| match known {
            KnownTargets::From(known) => base.version() > known.version() || base.digest() == known.digest(),
            KnownTargets::Exactly(hash) => sha256(base.bytes()) == *hash,
        };
        match base.filter(continues) {
            Some(_) => Ok(()),
            None => Err(CeremonyError::UnknownTargets { found: base.map_or(0, Document::version) }),
        }
    }

    #[must_use]
    pub fn ceremony(&self) -> &str {
        &self.ceremony
    }

    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created
    }

    #[must_use]
    pub fn change(&self) -> &Change {
        &self.change
    }

    #[must_use]
    pub fn base(&self) -> Option<&Base> {
        self.base.as_ref()
    }

    /// The next root, if it changes.
    #[must_use]
    pub fn root(&self) -> Option<&RootView> {
        self.proposed.root.as_ref()
    }

    /// The next targets, if they change.
    #[must_use]
    pub fn targets(&self) -> Option<&Document> {
        self.proposed.targets.as_ref()
    }

    /// The root after the event.
    #[must_use]
    pub fn root_after(&self) -> &RootView {
        let present = self.base.as_ref().map(|base| base.root().view());
        self.root().or(present).expect("an event without a base makes a root")
    }

    /// The targets after the event.
    #[must_use]
    pub fn targets_after(&self) -> &Document {
        let present = self.base.as_ref().map(|base| &base.targets);
        self.targets().or(present).expect("an event without a base makes targets")
    }

    /// Every target after the event.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// What is signed in it: two events of one digest ask for the same signatures.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let digest = |document: Option<&Document>| document.map(Document::digest).unwrap_or_default();
        let (root, targets) = (digest(self.root().map(RootView::document)), digest(self.targets()));
        sha256_parts(&[b"touchmark trust event\n", &root, &targets])
    }

    /// The beginning of the digest, to tell events apart. Whoever makes events can make two of one id, but not of one digest.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(&self.digest()[..8])
    }

    /// What is to be signed.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.root().map(RootView::document).into_iter().chain(self.targets())
    }
}

/// Every stated target is there and is what is stated, and nothing else is.
pub(super) fn expect_files(targets: &Document, files: &BTreeMap<String, Vec<u8>>) -> Result<(), CeremonyError> {
    let stated = stated(targets)?;
    let missing = |name: &str| CeremonyError::TargetFile { name: name.to_owned() };
    for file in &stated {
        let bytes = files.get(file.path()).ok_or_else(|| missing(file.path()))?;
        file.expect(bytes).map_err(|_| missing(file.path()))?;
    }
    match files.keys().find(|name| stated.iter().all(|file| file.path() != name.as_str())) {
        Some(name) => Err(missing(name)),
        None => Ok(()),
    }
}

pub(super) fn stated(targets: &Document) -> Result<Vec<TargetFile>, CeremonyError> {
    TargetFile::all(targets).map_err(CeremonyError::metadata("targets"))
}

/// Walks the chain of roots from the first on and verifies the targets. Either may have expired: an event may be there to mend that.
fn read_base(file: BaseFile) -> Result<Base, CeremonyError> {
    let mut roots: Vec<Root> = Vec::with_capacity(file.roots.len());
    for text in &file.roots {
        let bytes = decode(text)?;
        let version = roots.len() + 1;
        let root = match roots.last() {
            None => Root::pinned(bytes),
            Some(before) => before.next(bytes),
        };
        roots.push(root.map_err(CeremonyError::metadata(format!("root {version} of the event's base")))?);
    }
    let Some(root) = roots.last() else {
        return Err(CeremonyError::Unreadable {
            what: "the event".to_owned(),
            problem: "its base has no root".to_owned(),
        });
    };
    let targets = Document::parse(RoleType::Targets, decode(&file.targets)?);
    let targets = targets.and_then(|targets| root.view().verify(&targets).map(|_| targets));
    let targets = targets.map_err(CeremonyError::metadata("targets of the event's base"))?;
    let files = decode_all(file.files)?;
    expect_files(&targets, &files)?;
    Ok(Base { roots, targets, files })
}

pub(super) fn encode_all(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, String> {
    files.iter().map(|(name, bytes)| (name.clone(), encode(bytes))).collect()
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn decode_all(files: BTreeMap<String, String>) -> Result<BTreeMap<String, Vec<u8>>, CeremonyError> {
    files.into_iter().map(|(name, text)| Ok((name, decode(&text)?))).collect()
}

pub(super) fn decode(text: &str) -> Result<Vec<u8>, CeremonyError> {
    STANDARD
        .decode(text)
        .map_err(|error| CeremonyError::Unreadable { what: "a file in base64".to_owned(), problem: error.to_string() })
}

fn same(role: &'static str, stated: Option<String>, made: Option<&Document>) -> Result<(), CeremonyError> {
    let stated = stated.as_deref().map(decode).transpose()?;
    if stated.as_deref() == made.map(Document::bytes) { Ok(()) } else { Err(CeremonyError::NotReproduced { role }) }
}
