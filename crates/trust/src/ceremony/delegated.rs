// SPDX-License-Identifier: Apache-2.0
//! The next targets of a delegated role: made and signed by its own holders, as one file that is carried, and published without the others.
//!
//! In scope: that file, what is checked of it before it is published, publishing it outside of an event. Out of scope: to whom is delegated
//! (`delegating`), root and targets (`event`).
//! Invariants: a [`DelegatedVersion`] holds every target that its metadata states, and nothing else. Published is only what enough keys of the
//! role have signed, under the delegation that is in force then; whose number follows the published one; whose paths were all delegated to the
//! role; and which lasts at least as long as the timestamp over it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use touchmark_signers::{Signer, sign_within};

use super::change::{blank, edit_targets};
use super::event::{decode, decode_all, encode, encode_all, expect_files, stated};
use super::policy::Period;
use super::publication::Publication;
use super::{Ceremony, CeremonyError, Event, HOLDER_DEADLINE, Published, files};
use crate::content::{SIGNING_CONFIG, TRUSTED_ROOT};
use crate::delegation::Delegations;
use crate::document::{Document, RoleType, SignatureEntry};
use crate::key::Fingerprint;
use crate::stated::{Pin, TargetFile};
use crate::walk::{Walked, numbered};

const VERSION: u32 = 1;
/// Longest path of a delegated target, and most directories in it.
const PATH_BYTES_MAX: usize = 512;
const PATH_PARTS_MAX: usize = 16;
/// Which part of its life metadata is signed anew before its end, where its holders say no more than how long it lives: as of root and targets.
const SIGNING_PART: u32 = 8;

/// The next targets of a delegated role, with every file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedVersion {
    role: String,
    document: Document,
    files: BTreeMap<String, Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VersionFile {
    version: u32,
    role: String,
    metadata: String,
    files: BTreeMap<String, String>,
}

/// What the holders of a delegated role wish.
#[derive(Debug, Clone, Default)]
pub struct RoleWish {
    pub set_targets: BTreeMap<String, Vec<u8>>,
    pub remove_targets: Vec<String>,
    /// How long it lives; where nothing is said, as long as before.
    pub expiry_days: Option<u32>,
}

impl DelegatedVersion {
    /// Makes the next targets of a role, unsigned. `walked` is what is published, whether or not it has ended; the role is delegated to there, or by
    /// the targets of `event`.
    ///
    /// # Errors
    /// If nobody delegates to the role, or a wish cannot be met.
    pub fn make(
        walked: &Walked,
        event: Option<&Event>,
        role: &str,
        wish: RoleWish,
        now: Timestamp,
    ) -> Result<Self, CeremonyError> {
        let delegations = delegations_to(role, walked, event.map(Event::targets_after))?;
        let present = walked.delegated.get(role);
        let mut signed = match present {
            Some(present) => present.document.signed().clone(),
            None => blank(RoleType::Targets, json!({ "targets": {} })),
        };
        let mut files = present.map(|present| present.files.clone()).unwrap_or_default();
        let names: Vec<String> = wish.set_targets.keys().cloned().collect();
        files.extend(wish.set_targets);
        names.iter().try_for_each(|path| expect_path(path))?;
        edit_targets(&mut signed, &names, &wish.remove_targets, &files)?;
        files.retain(|path, _| wish.remove_targets.iter().all(|gone| gone != path));
        if let Some(days) = wish.expiry_days {
            Period { expiry_days: days, signing_days: (days / SIGNING_PART).max(1) }.write(&mut signed);
        }
        let period = match (Period::read(&signed), wish.expiry_days) {
            (Some(period), _) => period,
            (None, Some(_)) => return Err(CeremonyError::Scope { role: role.to_owned() }),
            // Others may have made it, who say nothing of that.
            (None, None) => Period::default_of(RoleType::Targets),
        };
        signed.insert("version".to_owned(), next_version(walked, role).into());
        signed.insert("expires".to_owned(), period.end(now).to_string().into());
        let document = Document::write(RoleType::Targets, &signed, &[]).map_err(CeremonyError::metadata(role))?;
        expect_files(&document, &files)?;
        expect_in_scope(&delegations, role, &document)?;
        Ok(Self { role: role.to_owned(), document, files })
    }

    /// Reads the file; nothing in it is verified but that its targets are those that its metadata states.
    ///
    /// # Errors
    /// If it is no such file.
    pub fn from_json(bytes: &[u8]) -> Result<Self, CeremonyError> {
        let file: VersionFile = super::from_json("the delegated targets", bytes)?;
        if file.version != VERSION {
            return Err(CeremonyError::Version {
                what: "the delegated targets",
                expected: VERSION,
                found: file.version,
            });
        }
        let document = Document::parse(RoleType::Targets, decode(&file.metadata)?);
        let document = document.map_err(CeremonyError::metadata("the delegated targets"))?;
        let files = decode_all(file.files)?;
        expect_files(&document, &files)?;
        files.keys().try_for_each(|path| expect_path(path))?;
        Ok(Self { role: file.role, document, files })
    }

    /// The file that is carried to each holder of the role, and to the online machine.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let metadata = encode(self.document.bytes());
        super::to_json(&VersionFile {
            version: VERSION,
            role: self.role.clone(),
            metadata,
            files: encode_all(&self.files),
        })
    }

    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// SHA-256 of what is signed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        touchmark_keys::sha256(self.document.canonical())
    }

    /// Adds a holder's signature.
    ///
    /// # Errors
    /// If the key at hand has no say in the role, or does not sign.
    pub async fn sign(
        self,
        walked: &Walked,
        event: Option<&Event>,
        signer: &dyn Signer,
    ) -> Result<Self, CeremonyError> {
        let delegations = delegations_to(&self.role, walked, event.map(Event::targets_after))?;
        expect_in_scope(&delegations, &self.role, &self.document)?;
        let found = Fingerprint::of(signer.public_key());
        let delegate = delegations.to_role(&self.role).ok_or_else(|| no_delegation(&self.role))?;
        let own = delegate.role_keys.key_ids().iter();
        let mut own =
            own.filter(|id| delegations.keys().get(*id).and_then(crate::key::Key::fingerprint) == Some(found));
        let Some(key_id) = own.next().cloned() else {
            return Err(CeremonyError::NoSay { role: self.role, found });
        };
        let signature = sign_within(signer, self.document.canonical(), HOLDER_DEADLINE).await?;
        let mut signatures = self.document.signatures().to_vec();
        signatures.retain(|other| other.key_id != key_id);
        signatures.push(SignatureEntry { key_id, signature });
        let document = self.document.with_signatures(&signatures).map_err(CeremonyError::metadata(&self.role))?;
        Ok(Self { document, ..self })
    }

    /// How many signatures count, and how many are needed.
    ///
    /// # Errors
    /// If nobody delegates to the role.
    pub fn votes(&self, walked: &Walked, event: Option<&Event>) -> Result<(usize, u32), CeremonyError> {
        let delegations = delegations_to(&self.role, walked, event.map(Event::targets_after))?;
        let delegate = delegations.to_role(&self.role).ok_or_else(|| no_delegation(&self.role))?;
        let signers = delegate.role_keys.signers(delegations.keys(), &self.document);
        Ok((signers.votes(), delegate.role_keys.threshold()))
    }

    /// It may be published over `walked`, under these targets, with a timestamp that ends at `end`.
    pub(super) fn expect_publishable(
        &self,
        walked: &Walked,
        targets: &Document,
        end: Timestamp,
    ) -> Result<(), CeremonyError> {
        let role = || self.role.clone();
        let delegations = delegations_to(&self.role, walked, Some(targets))?;
        let delegate = delegations.to_role(&self.role).ok_or_else(|| no_delegation(&self.role))?;
        let verified = delegate.role_keys.verify(delegations.keys(), &self.document);
        verified.map_err(CeremonyError::DelegatedBelowThreshold)?;
        let (expected, found) = (next_version(walked, &self.role), self.document.version());
        if expected != found {
            return Err(CeremonyError::DelegatedOvertaken { role: role(), expected, found });
        }
        if self.document.signed().contains_key("delegations") {
            return Err(CeremonyError::DelegatesFurther { role: role() });
        }
        let is_reserved = |path: &&String| [TRUSTED_ROOT, SIGNING_CONFIG].contains(&path.as_str());
        if let Some(path) = self.files.keys().find(is_reserved) {
            return Err(CeremonyError::Reserved { role: role(), path: path.clone() });
        }
        if self.document.expires() < end {
            return Err(CeremonyError::DelegatedEndsSoon { role: role(), expires: self.document.expires(), end });
        }
        expect_in_scope(&delegations, &self.role, &self.document)
    }

    /// The files as they are served, those first that others name.
    pub(super) fn served(&self) -> Result<Vec<(String, Vec<u8>)>, CeremonyError> {
        let mut served = Vec::new();
        for file in stated(&self.document)? {
            if let Some(bytes) = self.files.get(file.path()) {
                served.push((file.served_as(), bytes.clone()));
            }
        }
        let name = numbered(self.document.version(), &self.role);
        served.push((name, self.document.bytes().to_vec()));
        Ok(served)
    }

    /// What the snapshot says of it.
    pub(super) fn pin(&self) -> (String, u64) {
        (self.role.clone(), self.document.version())
    }
}

impl Ceremony {
    /// Plans the publication of a delegated role's targets: the online roles are signed anew and clients sent through, nothing is written.
    ///
    /// # Errors
    /// Why it cannot be published.
    pub async fn plan_delegated(
        &self,
        version: &DelegatedVersion,
        online: &dyn Signer,
        now: Timestamp,
    ) -> Result<Publication, CeremonyError> {
        self.expect_no_publication()?;
        let published = self.published_as_recorded()?.ok_or(CeremonyError::NothingPublished)?;
        super::publication::plan_delegated(version, &published, &self.repository(), online, now).await
    }

    /// Publishes what was planned. A pending event stays as it is: neither root nor targets have changed.
    ///
    /// # Errors
    /// If it could not be written as a whole: [`Ceremony::resume`] writes the rest.
    pub fn publish_delegated(
        &self,
        version: &DelegatedVersion,
        publication: &Publication,
        now: Timestamp,
    ) -> Result<Published, CeremonyError> {
        self.repository().publish(publication)?;
        let details = json!({
            "role": version.role, "version": version.document.version(), "files": super::hashes(publication.files()),
        });
        self.record(now, "delegated", details)?;
        Ok(publication.published())
    }

    /// Delegated targets that lie beside the event, to be published with it: those of a role whose keys it exchanges, or that it begins.
    pub(super) fn delegated_with_event(&self) -> Result<Vec<DelegatedVersion>, CeremonyError> {
        let paths = files::list(&self.directory.join("event/delegated"))?;
        let mut versions: Vec<DelegatedVersion> = Vec::new();
        for path in paths {
            let version = DelegatedVersion::from_json(&files::read(&path, files::FILE_BYTES_MAX)?)?;
            if versions.iter().any(|other| other.role == version.role) {
                return Err(CeremonyError::DelegatedTwice { role: version.role });
            }
            versions.push(version);
        }
        Ok(versions)
    }
}

fn no_delegation(role: &str) -> CeremonyError {
    CeremonyError::NoDelegation { role: role.to_owned() }
}

/// The delegations that name the role: of the targets, or else of a delegated role.
fn delegations_to(role: &str, walked: &Walked, targets: Option<&Document>) -> Result<Delegations, CeremonyError> {
    let top = targets.unwrap_or(&walked.targets);
    let documents = [top].into_iter().chain(walked.delegated.values().map(|delegated| &delegated.document));
    for document in documents {
        let delegations = Delegations::read(document.signed().get("delegations"));
        let delegations = delegations.map_err(CeremonyError::metadata("the delegations"))?;
        if let Some(delegations) = delegations.filter(|delegations| delegations.to_role(role).is_some()) {
            return Ok(delegations);
        }
    }
    Err(no_delegation(role))
}

/// The version of the role after the one that the snapshot names. A role that was removed is still named.
fn next_version(walked: &Walked, role: &str) -> u64 {
    Pin::read(&walked.snapshot, &format!("{role}.json")).map_or(1, |pin| pin.version.saturating_add(1))
}

fn expect_in_scope(delegations: &Delegations, role: &str, document: &Document) -> Result<(), CeremonyError> {
    let is_delegated =
        |file: &TargetFile| delegations.for_target(file.path()).iter().any(|delegate| delegate.name == role);
    match stated(document)?.iter().find(|file| !is_delegated(file)) {
        Some(file) => Err(CeremonyError::OutOfScope { role: role.to_owned(), path: file.path().to_owned() }),
        None => Ok(()),
    }
}

/// What a server of ours serves: plain names in directories, none hidden.
fn expect_path(path: &str) -> Result<(), CeremonyError> {
    let parts: Vec<&str> = path.split('/').collect();
    let is_path = path.len() <= PATH_BYTES_MAX && parts.len() <= PATH_PARTS_MAX;
    if is_path && parts.iter().all(|part| super::expect_target_name(part).is_ok()) {
        return Ok(());
    }
    Err(CeremonyError::TargetPath { path: path.to_owned() })
}
