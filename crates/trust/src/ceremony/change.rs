// SPDX-License-Identifier: Apache-2.0
//! What an event changes, and the metadata that comes of it.
//!
//! In scope: a function from the published root and targets, the wishes and the files to the next root and targets, so that whoever has the
//! same inputs gets the same bytes. Out of scope: who wishes it, and who signs.
//! Invariants: what is not wished stays as it was, also members that this version does not know; no key stands for two holders; a threshold
//! can be met; with a new root the targets are signed anew, so that they verify under it and do not end before it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::CeremonyError;
use super::delegating::{DelegationWish, delegate};
use super::enrolment::{EnrolledKey, Enrolment, ONLINE};
use super::policy::{Period, Solo, expect_threshold};
use crate::content::{self, TRUSTED_ROOT};
use crate::document::{Document, RoleType};
use crate::key::{Fingerprint, Key, KeyId};
use crate::role::{Root, RootView};
use crate::stated::TargetFile;

/// The version of the specification that new metadata follows. Clients compare the first part alone.
const SPEC_VERSION: &str = "1.0.31";

/// What is wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    /// Why, for those who are asked to sign.
    pub note: String,
    /// Holders that come. Who exchanges a key goes and comes.
    pub add_holders: Vec<Enrolment>,
    pub remove_holders: Vec<String>,
    pub threshold: Option<u32>,
    pub solo: Solo,
    /// The key of snapshot and timestamp.
    pub online_key: Option<Enrolment>,
    /// Targets that are new or have new content; the event holds their files.
    pub set_targets: Vec<String>,
    pub remove_targets: Vec<String>,
    /// Roles that are delegated to, new or exchanged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_delegations: Vec<DelegationWish>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_delegations: Vec<String>,
    /// Sign root and targets anew although nothing else changes.
    pub renew: bool,
    /// A new service may be used before every verifier knows its key: signatures made meanwhile are refused by some.
    pub sign_before_verifiers_know: bool,
}

impl Change {
    /// A change that changes nothing yet.
    #[must_use]
    pub fn none(note: String) -> Self {
        Self {
            note,
            add_holders: Vec::new(),
            remove_holders: Vec::new(),
            threshold: None,
            solo: Solo::Refused,
            online_key: None,
            set_targets: Vec::new(),
            remove_targets: Vec::new(),
            set_delegations: Vec::new(),
            remove_delegations: Vec::new(),
            renew: false,
            sign_before_verifiers_know: false,
        }
    }

    fn touches_root(&self) -> bool {
        let touches_holders =
            !self.add_holders.is_empty() || !self.remove_holders.is_empty() || self.threshold.is_some();
        touches_holders || self.online_key.is_some() || self.renew
    }

    fn touches_targets(&self) -> bool {
        let touches_files = !self.set_targets.is_empty() || !self.remove_targets.is_empty();
        touches_files || !self.set_delegations.is_empty() || !self.remove_delegations.is_empty()
    }
}

/// What is published.
#[derive(Debug, Clone)]
pub struct Base {
    /// From the first on.
    pub roots: Vec<Root>,
    pub targets: Document,
    /// Every target that the targets state.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Base {
    #[must_use]
    pub fn root(&self) -> &Root {
        self.roots.last().expect("a base has at least its first root")
    }
}

/// Metadata that nobody has signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proposed {
    pub root: Option<RootView>,
    pub targets: Option<Document>,
}

/// Makes the next root and targets.
///
/// # Errors
/// Why the wishes cannot be met.
pub(super) fn propose(
    ceremony: &str,
    base: Option<&Base>,
    change: &Change,
    files: &BTreeMap<String, Vec<u8>>,
    now: Timestamp,
) -> Result<Proposed, CeremonyError> {
    let root = match base {
        Some(_) if !change.touches_root() => None,
        _ => Some(next_root(ceremony, base.map(Base::root), change, now)?),
    };
    // A new root brings new targets, so that targets never end before the root does.
    let changes_targets = change.touches_root() || change.touches_targets();
    let targets = match base {
        Some(_) if !changes_targets => None,
        _ => Some(next_targets(ceremony, base.map(|base| &base.targets), change, files, now)?),
    };
    match (root, targets) {
        (None, None) => Err(CeremonyError::NothingChanges),
        (root, targets) => Ok(Proposed { root, targets }),
    }
}

fn next_root(ceremony: &str, base: Option<&Root>, change: &Change, now: Timestamp) -> Result<RootView, CeremonyError> {
    let mut signed = match base {
        Some(root) => root.document().signed().clone(),
        None => blank(RoleType::Root, json!({ "consistent_snapshot": true, "keys": {}, "roles": {} })),
    };
    let mut holders = base.map_or_else(Vec::new, |root| keys_of(root.view(), RoleType::Root));
    for name in &change.remove_holders {
        let before = holders.len();
        holders.retain(|(_, key)| key.owner() != Some(name.as_str()));
        if holders.len() == before {
            return Err(CeremonyError::NotAHolder { holder: name.clone() });
        }
    }
    for enrolment in &change.add_holders {
        let enrolled = enrolment.verified(ceremony)?;
        if enrolled.holder() == ONLINE || holders.iter().any(|(_, key)| key.owner() == Some(enrolled.holder())) {
            return Err(CeremonyError::AlreadyAHolder { holder: enrolled.holder().to_owned() });
        }
        expect_exchanged(&enrolled, base, RoleType::Root)?;
        holders.push(named(&enrolled)?);
    }
    let present = base.map_or(0, |root| root.view().role(RoleType::Root).threshold());
    let threshold = change.threshold.unwrap_or(present);
    // One that is one already stays so without being said again.
    let solo = if base.is_some() && present == 1 { Solo::Allowed } else { change.solo };
    expect_threshold(threshold, holders.len(), solo)?;
    let online = match (&change.online_key, base) {
        (Some(enrolment), _) if enrolment.holder() == ONLINE => {
            let enrolled = enrolment.verified(ceremony)?;
            expect_exchanged(&enrolled, base, RoleType::Timestamp)?;
            vec![named(&enrolled)?]
        }
        (Some(enrolment), _) => return Err(CeremonyError::NotAHolder { holder: enrolment.holder().to_owned() }),
        (None, Some(root)) => keys_of(root.view(), RoleType::Timestamp),
        (None, None) => {
            return Err(CeremonyError::NotEnrolled { holder: ONLINE.to_owned(), path: "holders/online.json".into() });
        }
    };
    expect_different(holders.iter().chain(&online))?;
    write_keys(&mut signed, &holders, &online, threshold, change.online_key.is_some() || base.is_none());
    finish(RoleType::Root, signed, base.map(Root::document), now)
        .and_then(|document| RootView::read(document).map_err(CeremonyError::metadata("the next root")))
}

/// Who gives a new key gives another one.
fn expect_exchanged(enrolled: &EnrolledKey, base: Option<&Root>, role_type: RoleType) -> Result<(), CeremonyError> {
    let held = |(_, key): (&KeyId, &Key)| {
        key.owner() == Some(enrolled.holder()) && key.fingerprint() == Some(enrolled.fingerprint())
    };
    match base {
        Some(root) if root.view().keys_of(role_type).any(held) => {
            Err(CeremonyError::NotExchanged { holder: enrolled.holder().to_owned() })
        }
        _ => Ok(()),
    }
}

pub(super) fn named(enrolled: &EnrolledKey) -> Result<(KeyId, Key), CeremonyError> {
    let id = enrolled.key().computed_id().map_err(CeremonyError::metadata("the enrolment"))?;
    Ok((id, enrolled.key().clone()))
}

fn keys_of(root: &RootView, role_type: RoleType) -> Vec<(KeyId, Key)> {
    root.keys_of(role_type).map(|(id, key)| (id.clone(), key.clone())).collect()
}

pub(super) fn expect_different<'a>(keys: impl Iterator<Item = &'a (KeyId, Key)>) -> Result<(), CeremonyError> {
    let mut seen: Vec<(Fingerprint, String)> = Vec::new();
    for (id, key) in keys {
        let Some(fingerprint) = key.fingerprint() else { continue };
        let name = key.owner().unwrap_or(id.short()).to_owned();
        if let Some((_, one)) = seen.iter().find(|(other, _)| *other == fingerprint) {
            return Err(CeremonyError::SameKey { one: one.clone(), other: name, fingerprint });
        }
        seen.push((fingerprint, name));
    }
    Ok(())
}

/// Writes key lists and thresholds; other members of the roles and keys of other roles stay.
fn write_keys(
    signed: &mut Map<String, Value>,
    holders: &[(KeyId, Key)],
    online: &[(KeyId, Key)],
    threshold: u32,
    is_online_new: bool,
) {
    let mut roles = signed.get("roles").and_then(Value::as_object).cloned().unwrap_or_default();
    for role_type in RoleType::ALL {
        let role = roles.entry(role_type.name()).or_insert_with(|| json!({}));
        let Some(role) = role.as_object_mut() else { continue };
        let is_offline = matches!(role_type, RoleType::Root | RoleType::Targets);
        let ids: Vec<&KeyId> = if is_offline { holders } else { online }.iter().map(|(id, _)| id).collect();
        if is_offline {
            role.insert("threshold".to_owned(), threshold.into());
            role.insert("keyids".to_owned(), json!(ids));
        } else if is_online_new {
            role.insert("threshold".to_owned(), 1.into());
            role.insert("keyids".to_owned(), json!(ids));
            if !role.keys().any(|field| field.starts_with("x-tuf-on-ci-")) {
                Period::default_of(role_type).write(role);
            }
        }
    }
    let before = signed.get("keys").and_then(Value::as_object).cloned().unwrap_or_default();
    let all: BTreeMap<&str, &Key> = holders.iter().chain(online).map(|(id, key)| (id.as_str(), key)).collect();
    let used = roles.values().filter_map(|role| role.get("keyids")?.as_array()).flatten().filter_map(Value::as_str);
    let keys: Map<String, Value> = used
        .filter_map(|id| {
            let object = all.get(id).map(|key| key.object()).or_else(|| before.get(id))?;
            Some((id.to_owned(), object.clone()))
        })
        .collect();
    signed.insert("roles".to_owned(), roles.into());
    signed.insert("keys".to_owned(), keys.into());
}

fn next_targets(
    ceremony: &str,
    base: Option<&Document>,
    change: &Change,
    files: &BTreeMap<String, Vec<u8>>,
    now: Timestamp,
) -> Result<Document, CeremonyError> {
    let mut signed = match base {
        Some(targets) => targets.signed().clone(),
        None => blank(RoleType::Targets, json!({ "targets": {} })),
    };
    change.set_targets.iter().try_for_each(|name| super::expect_target_name(name))?;
    edit_targets(&mut signed, &change.set_targets, &change.remove_targets, files)?;
    delegate(&mut signed, ceremony, change)?;
    finish(RoleType::Targets, signed, base, now)
}

/// Writes what is stated of files into targets.
pub(super) fn edit_targets(
    signed: &mut Map<String, Value>,
    set: &[String],
    remove: &[String],
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<(), CeremonyError> {
    let mut targets = signed.get("targets").and_then(Value::as_object).cloned().unwrap_or_default();
    for name in remove {
        targets.remove(name).ok_or_else(|| CeremonyError::NoTarget { name: name.clone() })?;
        if name == TRUSTED_ROOT {
            return Err(CeremonyError::Needed { name: name.clone() });
        }
    }
    for name in set {
        let bytes = files.get(name).ok_or_else(|| CeremonyError::TargetFile { name: name.clone() })?;
        if let Some(problem) = content::problem(name, bytes) {
            return Err(CeremonyError::UnusableTarget { name: name.clone(), problem });
        }
        let mut entry = TargetFile::entry(bytes);
        // What a file is for may stand beside its hash.
        if let Some(custom) = targets.get(name).and_then(|present| present.get("custom")) {
            entry["custom"] = custom.clone();
        }
        targets.insert(name.clone(), entry);
    }
    signed.insert("targets".to_owned(), targets.into());
    Ok(())
}

pub(super) fn blank(role_type: RoleType, members: Value) -> Map<String, Value> {
    let mut signed = members.as_object().cloned().unwrap_or_default();
    signed.insert("_type".to_owned(), role_type.name().into());
    signed.insert("spec_version".to_owned(), SPEC_VERSION.into());
    Period::default_of(role_type).write(&mut signed);
    signed
}

fn finish(
    role_type: RoleType,
    mut signed: Map<String, Value>,
    base: Option<&Document>,
    now: Timestamp,
) -> Result<Document, CeremonyError> {
    let period = base.map_or(Period::default_of(role_type), Period::of_document);
    signed.insert("version".to_owned(), base.map_or(1, |base| base.version() + 1).into());
    signed.insert("expires".to_owned(), period.end(now).to_string().into());
    Document::write(role_type, &signed, &[]).map_err(CeremonyError::metadata(format!("the next {role_type}")))
}

/// Next metadata of an online role that pins these files and ends at `end`; other pins stay, because no role may disappear from a snapshot.
pub(crate) fn next_online(
    role_type: RoleType,
    before: Option<&Document>,
    pins: &[(String, u64)],
    version: u64,
    end: Timestamp,
) -> Result<Document, CeremonyError> {
    let mut signed = match before {
        Some(document) => document.signed().clone(),
        None => {
            let mut signed = blank(role_type, json!({ "meta": {} }));
            signed.retain(|member, _| !member.starts_with("x-"));
            signed
        }
    };
    let mut meta = signed.get("meta").and_then(Value::as_object).cloned().unwrap_or_default();
    meta.extend(pins.iter().map(|(role, version)| (format!("{role}.json"), json!({ "version": version }))));
    signed.insert("meta".to_owned(), meta.into());
    signed.insert("version".to_owned(), version.into());
    signed.insert("expires".to_owned(), end.to_string().into());
    Document::write(role_type, &signed, &[]).map_err(CeremonyError::metadata(format!("the next {role_type}")))
}

/// The name of a key's holder for people.
pub(crate) fn holder_name(id: &KeyId, key: &Key) -> String {
    key.owner().map_or_else(|| format!("the holder of key {}", id.short()), str::to_owned)
}
