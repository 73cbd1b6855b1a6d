// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a repository that a client would accept all the same.
//!
//! In scope: key sets that do not mean what they say, keys that some public clients do not know, ends that are near, periods that cannot
//! work. Out of scope: what a client refuses (`walk`).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{Timestamp, ToSpan as _};
use touchmark_keys::KeyType;

use crate::ceremony::Period;
use crate::content::{self, TRUSTED_ROOT};
use crate::delegation::Delegations;
use crate::document::{Document, RoleType};
use crate::key::{Fingerprint, Key, KeyId};
use crate::role::RootView;
use crate::stated::Pin;
use crate::walk::Walked;

/// How long before its end metadata that holders must sign is announced: the public instance's window.
pub const WARN_DAYS: i64 = 46;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// To be mended soon.
    Warning,
    /// Never to be published.
    Danger,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Danger => "danger",
        })
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Clients that count key ids count it twice.
    KeyTwice { role: RoleType, one: String, other: String },
    /// Whoever has the online machine has a vote of the holders.
    OnlineKeyOffline { role: RoleType, key: String },
    /// The role can never sign again.
    BelowThreshold { role: RoleType, threshold: u32, usable: usize },
    /// One lost key is the end, one stolen key the whole trust root.
    ThresholdOne { role: RoleType },
    /// No key may be lost.
    NoSpareKey { role: RoleType, threshold: u32 },
    /// Clients that compute key ids refuse the root.
    OddKeyId { key_id: KeyId },
    /// Some public clients do not know such keys.
    RareKey { key: String, kind: String },
    /// Near, or past.
    EndsSoon { role: RoleType, expires: Timestamp },
    /// A delegated role ends soon.
    DelegationEndsSoon { role: String, expires: Timestamp },
    /// A client that looks for a target there is refused instead of told that there is none.
    DelegationUnpublished { role: String },
    /// Without them a client may see files of two versions.
    NoConsistentSnapshots,
    /// A target is not what its name says: clients that take it have lost what they went by.
    UnusableTarget { name: String, problem: String },
    /// Clients of Sigstore have nothing to verify by.
    NoTrustedRoot,
}

impl Finding {
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::KeyTwice { .. } | Self::OnlineKeyOffline { .. } | Self::BelowThreshold { .. } => Severity::Danger,
            Self::NoConsistentSnapshots | Self::UnusableTarget { .. } => Severity::Danger,
            Self::ThresholdOne { .. } | Self::EndsSoon { .. } => Severity::Warning,
            Self::OddKeyId { .. } | Self::RareKey { .. } | Self::NoTrustedRoot => Severity::Warning,
            Self::DelegationEndsSoon { .. } | Self::DelegationUnpublished { .. } => Severity::Warning,
            Self::NoSpareKey { .. } => Severity::Note,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyTwice { role, one, other } => {
                write!(f, "{one} and {other} are one key, and both are listed for {role}")
            }
            Self::OnlineKeyOffline { role, key } => write!(f, "the online key is also one of {role}: {key}"),
            Self::BelowThreshold { role, threshold, usable } => {
                write!(
                    f,
                    "{role} needs {threshold} signatures and has {usable} usable keys: it can never be signed again"
                )
            }
            Self::ThresholdOne { role } => write!(f, "one stolen key is enough to sign {role}"),
            Self::NoSpareKey { role, threshold } => {
                write!(f, "{role} needs all of its {threshold} keys: none may be lost")
            }
            Self::OddKeyId { key_id } => {
                write!(f, "key id {key_id} is not the hash of its key: some clients refuse it")
            }
            Self::RareKey { key, kind } => {
                write!(f, "{key} holds a key of kind {kind}, which not every public client knows")
            }
            Self::EndsSoon { role, expires } => write!(f, "{role} expires at {expires}"),
            Self::DelegationEndsSoon { role, expires } => write!(f, "the delegated role {role} expires at {expires}"),
            Self::DelegationUnpublished { role } => {
                write!(f, "the delegated role {role} has no targets yet: clients that look for one are refused")
            }
            Self::NoConsistentSnapshots => f.write_str("consistent snapshots are off"),
            Self::UnusableTarget { name, problem } => {
                write!(f, "the target {name} is not what its name says: {problem}")
            }
            Self::NoTrustedRoot => write!(f, "there is no target {TRUSTED_ROOT}: clients have nothing to verify by"),
        }
    }
}

/// Looks for what is wrong, the worst first.
#[must_use]
pub fn lint(walked: &Walked, now: Timestamp) -> Vec<Finding> {
    let root = walked.root.view();
    let mut findings = Vec::new();
    if !root.has_consistent_snapshots() {
        findings.push(Finding::NoConsistentSnapshots);
    }
    for role in RoleType::ALL {
        keys_of_role(root, role, &mut findings);
    }
    for (key_id, key) in root.keys() {
        if key.computed_id().ok().as_ref() != Some(key_id) {
            findings.push(Finding::OddKeyId { key_id: key_id.clone() });
        }
        if !matches!(key.public_key().map(|key| key.key_type()), Some(KeyType::EcdsaP256 | KeyType::Ed25519)) {
            findings.push(Finding::RareKey { key: name(key_id, key), kind: key.kind() });
        }
    }
    for document in [root.document(), &walked.targets] {
        if ends_soon(document.expires(), now) {
            findings.push(Finding::EndsSoon { role: document.role_type(), expires: document.expires() });
        }
    }
    for (role, delegated) in &walked.delegated {
        let (document, expires) = (&delegated.document, delegated.document.expires());
        // A delegate says himself how long before the end he signs.
        if Period::of_document(document).is_due(expires, now) {
            findings.push(Finding::DelegationEndsSoon { role: role.clone(), expires });
        }
    }
    for role in unpublished(walked) {
        findings.push(Finding::DelegationUnpublished { role });
    }
    let problems = walked.files.iter().filter_map(|(name, bytes)| Some((name, content::problem(name, bytes)?)));
    findings.extend(problems.map(|(name, problem)| Finding::UnusableTarget { name: name.clone(), problem }));
    if !walked.files.contains_key(TRUSTED_ROOT) {
        findings.push(Finding::NoTrustedRoot);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
    findings
}

/// What is wrong with the offline roles once these holders can no longer sign.
#[must_use]
pub fn without_holders(walked: &Walked, gone: &[String]) -> Vec<Finding> {
    let root = walked.root.view();
    let left = |role| {
        root.keys_of(role).filter(|(_, key)| key.owner().is_none_or(|owner| !gone.iter().any(|name| name == owner)))
    };
    let mut findings = Vec::new();
    for role in [RoleType::Root, RoleType::Targets] {
        let usable = left(role).filter_map(|(_, key)| key.fingerprint()).collect::<BTreeSet<_>>().len();
        let threshold = root.role(role).threshold();
        match usable.cmp(&usize::try_from(threshold).unwrap_or(usize::MAX)) {
            Ordering::Less => findings.push(Finding::BelowThreshold { role, threshold, usable }),
            Ordering::Equal => findings.push(Finding::NoSpareKey { role, threshold }),
            Ordering::Greater => {}
        }
    }
    findings
}

fn keys_of_role(root: &RootView, role: RoleType, findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<Fingerprint, String> = BTreeMap::new();
    let online: Vec<Fingerprint> = root.keys_of(RoleType::Timestamp).filter_map(|(_, key)| key.fingerprint()).collect();
    let is_offline = matches!(role, RoleType::Root | RoleType::Targets);
    for (key_id, key) in root.keys_of(role) {
        let Some(fingerprint) = key.fingerprint() else { continue };
        if is_offline && online.contains(&fingerprint) {
            findings.push(Finding::OnlineKeyOffline { role, key: name(key_id, key) });
        }
        if let Some(one) = seen.insert(fingerprint, name(key_id, key)) {
            findings.push(Finding::KeyTwice { role, one, other: name(key_id, key) });
        }
    }
    let threshold = root.role(role).threshold();
    let needed = usize::try_from(threshold).unwrap_or(usize::MAX);
    if seen.len() < needed {
        findings.push(Finding::BelowThreshold { role, threshold, usable: seen.len() });
    } else if is_offline && threshold == 1 {
        findings.push(Finding::ThresholdOne { role });
    } else if is_offline && seen.len() == needed {
        findings.push(Finding::NoSpareKey { role, threshold });
    }
}

/// Whether metadata that ends then, and that holders must sign, is to be announced.
#[must_use]
pub fn ends_soon(expires: Timestamp, now: Timestamp) -> bool {
    now.checked_add((WARN_DAYS * 24).hours()).is_ok_and(|soon| soon >= expires)
}

/// Roles that are delegated to and that the snapshot does not name. Bins are too many to be listed: the first missing one stands for all.
fn unpublished(walked: &Walked) -> Vec<String> {
    let documents = [&walked.targets].into_iter().chain(walked.delegated.values().map(|role| &role.document));
    let read = |document: &Document| Delegations::read(document.signed().get("delegations")).ok().flatten();
    let is_pinned = |role: &String| Pin::read(&walked.snapshot, &format!("{role}.json")).is_ok();
    documents.filter_map(read).flat_map(|delegations| delegations.first_missing(is_pinned)).collect()
}

fn name(key_id: &KeyId, key: &Key) -> String {
    key.owner().map_or_else(|| format!("key {}", key_id.short()), str::to_owned)
}
