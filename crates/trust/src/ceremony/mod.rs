// SPDX-License-Identifier: Apache-2.0
//! The ceremony: several holders, each with a key of his own, make and change a trust root together; docs/ceremony.md is the manual.
//!
//! ```text
//! DIR/ceremony.json            name, first holders, first threshold
//! DIR/holders/NAME.json        enrolments; `online.json` is the key of snapshot and timestamp
//! DIR/event/event.json         the pending change: the file that is carried to every holder
//! DIR/event/signatures/…       what comes back
//! DIR/event/delegated/…        targets of delegated roles that are published with the event
//! DIR/repository/              what clients are served; `publication.json` is a publication under way, gone when it is whole
//! DIR/past/ID/                 events that were published or aborted
//! DIR/log.jsonl                who did what when
//! ```
//!
//! In scope: that directory, which may be on a stick or in any version control, and each step on it. Out of scope: arguments and printing (the
//! command line), serving the repository.
//! Invariants: nothing in the directory is believed because it is there: the repository is walked, an event made again from its inputs,
//! signatures counted anew at each step. One event is pending at a time. One process works in the directory.

mod attestation;
mod change;
mod delegated;
mod delegating;
mod enrolment;
mod error;
mod event;
mod files;
mod history;
mod policy;
mod publication;
mod push;
mod record;
mod recorded;
mod rotation;
mod signing;
mod switch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use touchmark_keys::KeyType;
use touchmark_signers::{FileSigner, Signer};
use zeroize::Zeroizing;

use crate::key::Fingerprint;
use crate::role::Root;
use crate::walk::Walked;

pub use attestation::Attested;
pub use change::{Base, Change};
pub use delegated::{DelegatedVersion, RoleWish};
pub use delegating::{DelegationWish, ScopeWish, Search};
pub use enrolment::{EnrolledKey, Enrolment, ONLINE};
pub use error::CeremonyError;
pub use event::{Event, KnownEvent, KnownRoot, KnownTargets};
pub use policy::{HOLDERS_DEFAULT, Period, Policy, Solo, THRESHOLD_DEFAULT};
pub use publication::{Publication, Repository};
pub use push::{Object, Objects};
pub use rotation::{Addresses, Documents, revoke, rotate};
pub use signing::{Collected, SignatureFile, Standing, collect, sign};
pub use switch::{SWITCH_SHOWN_AHEAD, Switch, ended_by, out_of_service, switches};

pub use crate::content::{SIGNING_CONFIG, TRUSTED_ROOT};

/// How long a holder has for PIN and touch.
pub(crate) const HOLDER_DEADLINE: Duration = Duration::from_secs(120);
/// Longest name of a ceremony or a holder.
const NAME_BYTES_MAX: usize = 64;
/// Longest name of a target.
const TARGET_NAME_BYTES_MAX: usize = 128;

/// A ceremony directory, held by this process.
#[derive(Debug)]
pub struct Ceremony {
    directory: PathBuf,
    policy: Policy,
    clock: Clock,
    _lock: files::Lock,
}

/// Where the times come from that the steps of a ceremony are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The machine's own.
    Machine,
    /// Somebody said them; the ceremony log says so.
    Stated,
}

/// What was written by a publication or a signing of the online roles.
#[derive(Debug, Clone)]
pub struct Published {
    /// Names of files, in the order in which they were written.
    pub files: Vec<String>,
}

impl Ceremony {
    /// Begins a ceremony in a directory.
    ///
    /// # Errors
    /// If there is one already, or the directory cannot be written.
    pub fn init(directory: &Path, policy: &Policy, clock: Clock, now: Timestamp) -> Result<Self, CeremonyError> {
        files::make_directory(directory)?;
        let lock = files::Lock::take(directory)?;
        let path = directory.join("ceremony.json");
        if path.exists() {
            return Err(CeremonyError::Exists { path: directory.to_owned() });
        }
        files::make_directory(&directory.join("holders"))?;
        files::write(&path, &policy.to_json())?;
        let ceremony = Self { directory: directory.to_owned(), policy: policy.clone(), clock, _lock: lock };
        let details = json!({ "holders": policy.holders(), "threshold": policy.threshold() });
        ceremony.record(now, "init", details)?;
        Ok(ceremony)
    }

    /// Opens a ceremony.
    ///
    /// # Errors
    /// If there is none, or another process holds it.
    pub fn open(directory: &Path, clock: Clock) -> Result<Self, CeremonyError> {
        let bytes = files::read_if_there(&directory.join("ceremony.json"), files::FILE_BYTES_MAX)?;
        let bytes = bytes.ok_or_else(|| CeremonyError::NoCeremony { path: directory.to_owned() })?;
        let lock = files::Lock::take(directory)?;
        Ok(Self { directory: directory.to_owned(), policy: Policy::from_json(&bytes)?, clock, _lock: lock })
    }

    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    #[must_use]
    pub fn repository(&self) -> Repository {
        Repository::at(self.directory.join("repository"))
    }

    /// Where the file of the pending event is.
    #[must_use]
    pub fn event_path(&self) -> PathBuf {
        self.directory.join("event/event.json")
    }

    /// The key of an enrolment that can be taken in. The very same may be there; another one under that name must be removed first.
    ///
    /// # Errors
    /// If it does not hold.
    pub fn expect_enrollable(&self, enrolment: &Enrolment) -> Result<EnrolledKey, CeremonyError> {
        let key = enrolment.verified(self.policy.name())?;
        let path = self.enrolment_path(key.holder());
        match files::read_if_there(&path, files::FILE_BYTES_MAX)? {
            Some(present) if present != enrolment.to_json() => {
                Err(CeremonyError::Enrolled { holder: key.holder().to_owned(), path })
            }
            _ => Ok(key),
        }
    }

    /// Takes an enrolment in, if it is [enrollable](Ceremony::expect_enrollable).
    ///
    /// # Errors
    /// If it does not hold, or cannot be written.
    pub fn enrol(&self, enrolment: &Enrolment, now: Timestamp) -> Result<(), CeremonyError> {
        let key = self.expect_enrollable(enrolment)?;
        files::write(&self.enrolment_path(key.holder()), &enrolment.to_json())?;
        let details = json!({ "holder": key.holder(), "key": logged(key.fingerprint()) });
        self.record(now, "enrol", details)
    }

    fn enrolment_path(&self, holder: &str) -> PathBuf {
        self.directory.join("holders").join(format!("{holder}.json"))
    }

    /// The enrolment that lies in `holders/` under that name.
    ///
    /// # Errors
    /// If there is none, or it is another's.
    pub fn enrolment(&self, holder: &str) -> Result<Enrolment, CeremonyError> {
        expect_name("the holder", holder)?;
        let path = self.enrolment_path(holder);
        let Some(bytes) = files::read_if_there(&path, files::FILE_BYTES_MAX)? else {
            return Err(CeremonyError::NotEnrolled { holder: holder.to_owned(), path });
        };
        let enrolment = Enrolment::from_json(&bytes)?;
        if enrolment.holder() != holder {
            return Err(CeremonyError::NotEnrolled { holder: holder.to_owned(), path });
        }
        // The key that was heard and attested then, and no other that was put in its place.
        let key = logged(enrolment.verified(self.policy.name())?.fingerprint());
        if self.log()?.accepted_key(holder) != Some(key.as_str()) {
            return Err(CeremonyError::NotAccepted { holder: holder.to_owned(), path });
        }
        Ok(enrolment)
    }

    /// The wishes of the first event: every holder of `ceremony.json` with his key.
    ///
    /// # Errors
    /// If somebody has not enrolled.
    pub fn first_change(&self, note: String) -> Result<Change, CeremonyError> {
        let add_holders =
            self.policy.holders().iter().map(|holder| self.enrolment(holder)).collect::<Result<_, _>>()?;
        Ok(Change {
            add_holders,
            threshold: Some(self.policy.threshold()),
            solo: self.policy.solo(),
            online_key: Some(self.enrolment(ONLINE)?),
            ..Change::none(note)
        })
    }

    /// What is published; `None` where nothing is.
    ///
    /// # Errors
    /// If it does not verify.
    pub fn published(&self) -> Result<Option<(Vec<Root>, Walked)>, CeremonyError> {
        self.repository().published()
    }

    /// Begins an event; `files` are new contents of targets.
    ///
    /// # Errors
    /// If one is pending, or the wishes cannot be met.
    pub fn begin(
        &self,
        change: Change,
        files: BTreeMap<String, Vec<u8>>,
        now: Timestamp,
    ) -> Result<Event, CeremonyError> {
        self.expect_no_publication()?;
        if let Some(pending) = self.event()? {
            return Err(CeremonyError::EventPending { since: pending.created() });
        }
        let base = self.published_as_recorded()?;
        let base = base.map(|(roots, walked)| Base { roots, targets: walked.targets, files: walked.files });
        let event = Event::make(self.policy.name(), base, change, files, now)?;
        files::write(&self.event_path(), &event.to_json())?;
        files::make_directory(&self.signatures_directory())?;
        self.record(now, "event", summary(&event))?;
        Ok(event)
    }

    /// The pending event, checked.
    ///
    /// # Errors
    /// If there is one that does not hold.
    pub fn event(&self) -> Result<Option<Event>, CeremonyError> {
        let bytes = files::read_if_there(&self.event_path(), files::FILE_BYTES_MAX)?;
        let event = bytes.map(|bytes| Event::from_json(&bytes)).transpose()?;
        match event {
            Some(event) if event.ceremony() != self.policy.name() => Err(CeremonyError::OtherCeremony {
                what: "the event".to_owned(),
                expected: self.policy.name().to_owned(),
                found: event.ceremony().to_owned(),
            }),
            event => Ok(event),
        }
    }

    /// Puts the pending event away, with its signatures. It need not hold.
    ///
    /// # Errors
    /// If there is none.
    pub fn abort(&self, now: Timestamp) -> Result<(), CeremonyError> {
        self.expect_no_publication()?;
        if !self.event_path().exists() {
            return Err(CeremonyError::NoEvent);
        }
        let name = self.past_name("aborted", now);
        self.record(now, "abort", json!({ "event": name }))?;
        self.put_away(&name)
    }

    fn past_name(&self, how: &str, now: Timestamp) -> String {
        let id = self.event().ok().flatten().map_or_else(|| "unreadable".to_owned(), |event| event.id());
        format!("{}-{how}-{id}", now.as_second())
    }

    fn put_away(&self, name: &str) -> Result<(), CeremonyError> {
        let event = self.directory.join("event");
        if event.exists() {
            let past = self.directory.join("past");
            files::make_directory(&past)?;
            files::rename(&event, &past.join(name))?;
        }
        Ok(())
    }

    /// The signature files that have come.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn signatures(&self) -> Result<Vec<(String, Vec<u8>)>, CeremonyError> {
        let read = |path: PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, files::read(&path, files::FILE_BYTES_MAX)?))
        };
        files::list(&self.signatures_directory())?.into_iter().map(read).collect()
    }

    fn signatures_directory(&self) -> PathBuf {
        self.directory.join("event/signatures")
    }

    /// Plans the publication of the pending event: everything is signed and tried, nothing is written.
    ///
    /// # Errors
    /// Why it cannot be published.
    pub async fn plan(&self, online: &dyn Signer, now: Timestamp) -> Result<Publication, CeremonyError> {
        self.expect_no_publication()?;
        let event = self.event()?.ok_or(CeremonyError::NoEvent)?;
        let signed = collect(&event, &self.signatures()?).complete(&event)?;
        let versions = self.delegated_with_event()?;
        let signed = publication::Signed { root: signed.0, targets: signed.1, delegated: &versions };
        let published = self.published_as_recorded()?;
        publication::plan(&event, signed, published.as_ref(), &self.repository(), online, now).await
    }

    /// Publishes what was planned.
    ///
    /// # Errors
    /// If it could not be written as a whole: [`Ceremony::resume`] writes the rest.
    pub fn publish(&self, publication: &Publication, now: Timestamp) -> Result<Published, CeremonyError> {
        self.repository().publish(publication)?;
        self.conclude(publication.files(), now)
    }

    /// Finishes a publication that was interrupted; `None` if none was.
    ///
    /// # Errors
    /// If it still cannot be written as a whole.
    pub fn resume(&self, now: Timestamp) -> Result<Option<Published>, CeremonyError> {
        match self.repository().finish()? {
            Some(publication) if self.event_is_published() => self.conclude(publication.files(), now).map(Some),
            // It was of no event that is pending here.
            Some(publication) => {
                self.record(now, "resume", json!({ "files": hashes(publication.files()) }))?;
                Ok(Some(publication.published()))
            }
            // A server that signs the online roles may have finished it.
            None if self.event_is_published() => {
                let (_, walked) = self.published()?.ok_or(CeremonyError::NothingPublished)?;
                self.conclude(&Repository::offline_files(&walked)?, now).map(Some)
            }
            None => Ok(None),
        }
    }

    /// A crash before this leaves an event whose result is published, and a crash in it an event that is recorded as such; `resume` puts it away.
    fn conclude(&self, files: &[(String, Vec<u8>)], now: Timestamp) -> Result<Published, CeremonyError> {
        let event = self.past_name("published", now);
        self.record(now, "publish", json!({ "event": event, "files": hashes(files) }))?;
        self.put_away(&event)?;
        Ok(Published { files: files.iter().map(|(name, _)| name.clone()).collect() })
    }

    fn event_is_published(&self) -> bool {
        let (Ok(Some(event)), Ok(Some((_, walked)))) = (self.event(), self.published()) else { return false };
        event.root_after().document().digest() == walked.root.document().digest()
            && event.targets_after().digest() == walked.targets.digest()
    }

    /// Signs snapshot and timestamp anew where they are due; `None` if neither is.
    ///
    /// # Errors
    /// If what is published does not verify, or root or targets have ended.
    pub async fn refresh(&self, online: &dyn Signer, now: Timestamp) -> Result<Option<Published>, CeremonyError> {
        self.expect_no_publication()?;
        self.published_as_recorded()?;
        let Some(published) = self.repository().refresh(online, now).await? else { return Ok(None) };
        self.record(now, "online", json!({ "files": published.files }))?;
        Ok(Some(published))
    }

    /// A publication that was interrupted waits for [`Ceremony::resume`].
    ///
    /// # Errors
    /// If one does.
    pub fn expect_no_publication(&self) -> Result<(), CeremonyError> {
        let is_pending = self.repository().note_path().exists() || self.event_is_published();
        if is_pending { Err(CeremonyError::PublicationPending) } else { Ok(()) }
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("log.jsonl")
    }

    fn record(&self, now: Timestamp, action: &str, details: Value) -> Result<(), CeremonyError> {
        let mut details = details.as_object().cloned().unwrap_or_default();
        if self.clock == Clock::Stated {
            details.insert("clock".to_owned(), "stated".into());
        }
        record::record(&self.log_path(), now, action, details)
    }
}

fn hashes(files: &[(String, Vec<u8>)]) -> Map<String, Value> {
    files.iter().map(|(name, bytes)| (name.clone(), hex::encode(touchmark_keys::sha256(bytes)).into())).collect()
}

/// A key in the ceremony log: hexadecimal without spaces.
fn logged(key: Fingerprint) -> String {
    format!("{key:?}")
}

fn summary(event: &Event) -> Value {
    let digest = |document: &crate::document::Document| hex::encode(document.digest());
    json!({
        "event": event.id(),
        "note": event.change().note,
        "root": event.root().map(|root| digest(root.document())),
        "targets": event.targets().map(digest),
    })
}

/// Reads a file of people's: any length was limited before.
pub fn read_file(path: &Path) -> Result<Vec<u8>, CeremonyError> {
    files::read(path, files::FILE_BYTES_MAX)
}

/// Writes a file that is carried around, whole.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CeremonyError> {
    files::write(path, bytes)
}

/// Makes an ECDSA P-256 key in a new file.
///
/// # Errors
/// If the file is there already or cannot be written.
pub async fn new_key(path: &Path, passphrase: Option<Zeroizing<Vec<u8>>>) -> Result<Arc<dyn Signer>, CeremonyError> {
    let path = path.to_owned();
    // Encrypting a key takes its time.
    let create =
        move || FileSigner::create(&path, KeyType::EcdsaP256, passphrase.as_ref().map(|bytes| bytes.as_slice()));
    let created = tokio::task::spawn_blocking(create).await;
    Ok(Arc::new(created.expect("making a key does not panic and is never aborted")?))
}

fn from_json<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, CeremonyError> {
    let unreadable = |problem: String| CeremonyError::Unreadable { what: what.to_owned(), problem };
    // Twice: once for members that stand twice, once for the types.
    let value = crate::json::read(bytes).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("files of a ceremony always serialise");
    bytes.push(b'\n');
    bytes
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Names become file names on every system, and must not be mistaken for each other.
fn expect_name(what: &'static str, name: &str) -> Result<(), CeremonyError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let all = name.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'-' | b'_'));
    let is_name = all && name.len() <= NAME_BYTES_MAX && name.bytes().next().is_some_and(plain);
    if is_name { Ok(()) } else { Err(CeremonyError::Name { what, name: name.to_owned() }) }
}

/// What a server of ours serves: one directory, no hidden files.
fn expect_target_name(name: &str) -> Result<(), CeremonyError> {
    let all = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let is_name = all && !name.is_empty() && name.len() <= TARGET_NAME_BYTES_MAX && !name.starts_with('.');
    if is_name { Ok(()) } else { Err(CeremonyError::Name { what: "the target", name: name.to_owned() }) }
}

#[cfg(test)]
mod tests;
