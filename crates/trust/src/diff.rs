// SPDX-License-Identifier: Apache-2.0
//! What an event changes, for the holder who is to sign it: which key, which threshold, which log, which window.
//!
//! In scope: roots, targets, and inside of the two targets that Sigstore's clients take (`services`). Out of scope: printing.
//! Invariants: what differs in the signed bytes is shown, if not by its meaning then as a member that differs; a key that changed under an
//! unchanged id is shown, because keys are compared by what they are.

mod delegations;
mod services;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use touchmark_keys::sha256;

use crate::ceremony::Event;
use crate::document::{Document, RoleType};
use crate::key::Key;
use crate::role::RootView;
use crate::stated::TargetFile;

/// One thing that differs. What is new has no `before`, what goes no `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub subject: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// A thing by its name, and how it is.
type Facts = BTreeMap<String, String>;

/// Everything that an event changes.
#[must_use]
pub fn differences(event: &Event) -> Vec<Difference> {
    let none = BTreeMap::new();
    let published = event.base().map_or(&none, |base| &base.files);
    let mut all = Vec::new();
    if let Some(root) = event.root() {
        let before = event.base().map(|base| facts_of_root(base.root().view()));
        all.extend(compare("root", &before.unwrap_or_default(), &facts_of_root(root)));
    }
    if let Some(targets) = event.targets() {
        let before = event.base().map(|base| facts_of_targets(&base.targets)).unwrap_or_default();
        all.extend(compare("targets", &before, &facts_of_targets(targets)));
    }
    let names: BTreeSet<&String> = published.keys().chain(event.files().keys()).collect();
    for name in names {
        let facts = |files: &BTreeMap<String, Vec<u8>>| files.get(name).map(|bytes| services::facts(name, bytes));
        let (before, after) = (facts(published).unwrap_or_default(), facts(event.files()).unwrap_or_default());
        all.extend(compare(name, &before, &after));
    }
    all
}

/// What the next targets of a delegated role change.
#[must_use]
pub fn differences_of_role(role: &str, before: Option<&Document>, after: &Document) -> Vec<Difference> {
    compare(role, &before.map(facts_of_targets).unwrap_or_default(), &facts_of_targets(after))
}

fn compare(what: &str, before: &Facts, after: &Facts) -> Vec<Difference> {
    let subjects: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differs = |subject: &&String| before.get(*subject) != after.get(*subject);
    subjects
        .into_iter()
        .filter(differs)
        .map(|subject| Difference {
            subject: format!("{what}: {subject}"),
            before: before.get(subject).cloned(),
            after: after.get(subject).cloned(),
        })
        .collect()
}

fn facts_of_root(root: &RootView) -> Facts {
    let mut facts = common(root.document());
    for role_type in RoleType::ALL {
        let role = root.role(role_type);
        facts.insert(format!("{role_type} threshold"), format!("{} of {}", role.threshold(), role.key_ids().len()));
        for key_id in role.key_ids() {
            let key = root.keys().get(key_id);
            let who = key.and_then(|key| key.owner()).map_or_else(|| format!("key {}", key_id.short()), str::to_owned);
            let what = match key.and_then(|key| key.fingerprint().zip(Some(key.kind()))) {
                Some((fingerprint, kind)) => format!("{kind}, sha256 {fingerprint}"),
                None => format!("a key that this program cannot read, id {key_id}"),
            };
            facts.insert(format!("{role_type} signer {who}"), what);
        }
    }
    // What has no meaning here is shown as it is.
    let known = ["keys", "roles"];
    others(root.document().signed(), &known, &mut facts);
    let roles = root.document().signed().get("roles").and_then(Value::as_object);
    for (name, role) in roles.into_iter().flatten() {
        let Some(members) = role.as_object() else { continue };
        let mut more = Facts::new();
        others(members, &["keyids", "threshold"], &mut more);
        facts.extend(more.into_iter().map(|(member, value)| (format!("role {name} {member}"), value)));
    }
    for (key_id, key) in root.keys() {
        facts.insert(format!("key object {}", key_id.short()), object_hash(key));
    }
    facts
}

fn facts_of_targets(targets: &Document) -> Facts {
    let mut facts = common(targets);
    others(targets.signed(), &["targets", "delegations"], &mut facts);
    facts.extend(delegations::facts(targets.signed()));
    for file in TargetFile::all(targets).unwrap_or_default() {
        facts.insert(format!("file {}", file.path()), format!("{} bytes, {}", file.length(), file.digest()));
    }
    let entries = targets.signed().get("targets").and_then(Value::as_object);
    for (name, entry) in entries.into_iter().flatten() {
        let mut more = Facts::new();
        others(entry.as_object().unwrap_or(&Map::new()), &["length", "hashes"], &mut more);
        facts.extend(more.into_iter().map(|(member, value)| (format!("file {name} {member}"), value)));
    }
    facts
}

/// Tells two key objects apart, whatever of them has a meaning here.
fn object_hash(key: &Key) -> String {
    hex::encode(&sha256(key.object().to_string().as_bytes())[..8])
}

fn common(document: &Document) -> Facts {
    let version = ("version".to_owned(), document.version().to_string());
    Facts::from([version, ("expires".to_owned(), document.expires().to_string())])
}

/// Longest text of a member that has no meaning here; of longer ones the hash is shown.
const VALUE_CHARACTERS_MAX: usize = 100;

fn others(members: &Map<String, Value>, known: &[&str], facts: &mut Facts) {
    for (name, value) in members {
        if known.contains(&name.as_str()) || facts.contains_key(name) {
            continue;
        }
        let text = value.to_string();
        let shown = match text.chars().count() > VALUE_CHARACTERS_MAX {
            true => format!("sha256 {}", hex::encode(sha256(text.as_bytes()))),
            false => text,
        };
        facts.insert(name.clone(), shown);
    }
}
