// SPDX-License-Identifier: Apache-2.0
//! Delegations as an event wishes them: who may state which targets from then on.
//!
//! Spec: TUF 1.0.34 §4.5; TAP 15 (bins).
//! In scope: the `delegations` member of the next targets. Out of scope: what a delegated role states (`delegated`), who signs the event.
//! Invariants: members that this version does not know stay; a threshold can be met; no key stands twice in one role; keys that nobody uses
//! any more go; the order of the roles, in which clients ask them, is that in which they were made.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use touchmark_keys::PublicKey;

use super::change::{Change, expect_different, named};
use super::enrolment::Enrolment;
use super::policy::{Solo, expect_threshold};
use super::{CeremonyError, expect_name};
use crate::delegation::Delegations;
use crate::key::{Key, KeyId};

/// Most patterns or prefixes of one delegation: a team has some directories.
const SCOPE_MAX: usize = 256;
/// Longest pattern.
const PATTERN_BYTES_MAX: usize = 256;
/// Most bits of bins: as many bins as a walk looks at.
const BIN_BITS_MAX: u32 = 10;

/// A role that is delegated to; one of that name that is there is exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DelegationWish {
    /// Of bins, what their names begin with.
    pub role: String,
    /// Who signs for it, with the proof that they have their keys.
    pub holders: Vec<Enrolment>,
    /// Keys that nobody has proven to have, in PEM.
    pub keys: Vec<String>,
    pub threshold: u32,
    pub scope: ScopeWish,
}

/// For which targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ScopeWish {
    /// Patterns, `*` and `?` within a part of the path.
    Paths { patterns: Vec<String>, search: Search },
    /// What the SHA-256 of the path begins with, in hexadecimal.
    HashPrefixes { prefixes: Vec<String>, search: Search },
    /// 2^bits roles, each for its share of the hashes.
    Bins { bits: u32 },
}

/// Whether roles further down are asked for a target that this one does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Search {
    GoesOn,
    Terminates,
}

/// Writes the wishes into targets.
///
/// # Errors
/// Why they cannot be met.
pub(super) fn delegate(signed: &mut Map<String, Value>, ceremony: &str, change: &Change) -> Result<(), CeremonyError> {
    if change.set_delegations.is_empty() && change.remove_delegations.is_empty() {
        return Ok(());
    }
    let mut delegations = signed.get("delegations").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut keys = delegations.get("keys").and_then(Value::as_object).cloned().unwrap_or_default();
    for role in &change.remove_delegations {
        remove(&mut delegations, role)?;
    }
    for wish in &change.set_delegations {
        let signers = signers(wish, ceremony)?;
        set(&mut delegations, wish, &signers)?;
        keys.extend(signers.iter().map(|(id, key)| (id.as_str().to_owned(), key.object().clone())));
    }
    let used: Vec<&str> = entries(&delegations)
        .filter_map(|role| role.get("keyids")?.as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    keys.retain(|id, _| used.contains(&id.as_str()));
    if used.is_empty() {
        signed.remove("delegations");
        return Ok(());
    }
    delegations.insert("keys".to_owned(), keys.into());
    let value = Value::from(delegations);
    Delegations::read(Some(&value)).map_err(CeremonyError::metadata("the next delegations"))?;
    signed.insert("delegations".to_owned(), value);
    Ok(())
}

fn entries(delegations: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let roles = delegations.get("roles").and_then(Value::as_array);
    roles.into_iter().flatten().chain(delegations.get("succinct_roles"))
}

fn is_called(entry: &Value, role: &str) -> bool {
    ["name", "name_prefix"].into_iter().any(|member| entry.get(member).and_then(Value::as_str) == Some(role))
}

fn remove(delegations: &mut Map<String, Value>, role: &str) -> Result<(), CeremonyError> {
    if !entries(delegations).any(|entry| is_called(entry, role)) {
        return Err(CeremonyError::NoDelegation { role: role.to_owned() });
    }
    if delegations.remove("succinct_roles").is_some() {
        delegations.insert("roles".to_owned(), json!([]));
    }
    if let Some(roles) = delegations.get_mut("roles").and_then(Value::as_array_mut) {
        roles.retain(|entry| !is_called(entry, role));
    }
    Ok(())
}

fn set(
    delegations: &mut Map<String, Value>,
    wish: &DelegationWish,
    signers: &[(KeyId, Key)],
) -> Result<(), CeremonyError> {
    expect_scope(wish)?;
    let is_bins = matches!(wish.scope, ScopeWish::Bins { .. });
    if entries(delegations)
        .any(|entry| !is_called(entry, &wish.role) && (is_bins || entry.get("name_prefix").is_some()))
    {
        return Err(CeremonyError::BinsAlone { role: wish.role.clone() });
    }
    let present = entries(delegations).find(|entry| is_called(entry, &wish.role)).and_then(Value::as_object).cloned();
    let mut entry = present.unwrap_or_default();
    for member in ["name", "name_prefix", "bit_length", "paths", "path_hash_prefixes", "terminating"] {
        entry.remove(member);
    }
    entry.insert("keyids".to_owned(), json!(signers.iter().map(|(id, _)| id).collect::<Vec<_>>()));
    entry.insert("threshold".to_owned(), wish.threshold.into());
    let scope = match &wish.scope {
        ScopeWish::Paths { patterns, search } => {
            json!({ "name": wish.role, "paths": patterns, "terminating": *search == Search::Terminates })
        }
        ScopeWish::HashPrefixes { prefixes, search } => {
            json!({ "name": wish.role, "path_hash_prefixes": prefixes, "terminating": *search == Search::Terminates })
        }
        ScopeWish::Bins { bits } => json!({ "name_prefix": wish.role, "bit_length": bits }),
    };
    entry.extend(scope.as_object().cloned().unwrap_or_default());
    if is_bins {
        delegations.remove("roles");
        delegations.insert("succinct_roles".to_owned(), entry.into());
        return Ok(());
    }
    delegations.remove("succinct_roles");
    let roles = delegations.entry("roles").or_insert_with(|| json!([]));
    let Some(roles) = roles.as_array_mut() else { return Ok(()) };
    match roles.iter_mut().find(|present| is_called(present, &wish.role)) {
        Some(present) => *present = entry.into(),
        None => roles.push(entry.into()),
    }
    Ok(())
}

/// The keys of the role, each with its id.
fn signers(wish: &DelegationWish, ceremony: &str) -> Result<Vec<(KeyId, Key)>, CeremonyError> {
    expect_name("the role", &wish.role)?;
    let mut signers = Vec::new();
    for enrolment in &wish.holders {
        signers.push(named(&enrolment.verified(ceremony)?)?);
    }
    for (position, pem) in wish.keys.iter().enumerate() {
        let owner = format!("{}-{}", wish.role, position + 1);
        let unreadable = |problem: String| CeremonyError::Unreadable { what: format!("the key {owner}"), problem };
        let public_key = PublicKey::from_pem(pem).map_err(|error| unreadable(error.to_string()))?;
        let kind = public_key.key_type().to_string();
        let key = Key::of_owner(&public_key, &owner);
        let key = key.ok_or_else(|| CeremonyError::KeyKind { holder: owner.clone(), kind })?;
        let id = key.computed_id().map_err(CeremonyError::metadata(owner.clone()))?;
        signers.push((id, key));
    }
    expect_different(signers.iter())?;
    // A delegated role of one key is usual: what it can do is in its scope.
    expect_threshold(wish.threshold, signers.len(), Solo::Allowed)?;
    Ok(signers)
}

fn expect_scope(wish: &DelegationWish) -> Result<(), CeremonyError> {
    let is_pattern = |text: &String| !text.is_empty() && text.len() <= PATTERN_BYTES_MAX && !text.starts_with('/');
    let is_prefix = |text: &String| {
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_right = match &wish.scope {
        ScopeWish::Paths { patterns, .. } => {
            (1..=SCOPE_MAX).contains(&patterns.len()) && patterns.iter().all(is_pattern)
        }
        ScopeWish::HashPrefixes { prefixes, .. } => {
            (1..=SCOPE_MAX).contains(&prefixes.len()) && prefixes.iter().all(is_prefix)
        }
        ScopeWish::Bins { bits } => (1..=BIN_BITS_MAX).contains(bits),
    };
    if is_right { Ok(()) } else { Err(CeremonyError::Scope { role: wish.role.clone() }) }
}

#[cfg(test)]
mod tests {
    use touchmark_keys::KeyType;
    use touchmark_signers::{EphemeralSigner, Signer as _};

    use super::*;

    fn wish(role: &str, scope: ScopeWish) -> DelegationWish {
        let key = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap().public_key().to_pem();
        DelegationWish { role: role.to_owned(), holders: Vec::new(), keys: vec![key], threshold: 1, scope }
    }

    fn paths(role: &str, pattern: &str) -> DelegationWish {
        wish(role, ScopeWish::Paths { patterns: vec![pattern.to_owned()], search: Search::Terminates })
    }

    fn apply(signed: &mut Map<String, Value>, set: Vec<DelegationWish>, gone: &[&str]) -> Result<(), CeremonyError> {
        let remove_delegations = gone.iter().map(|role| (*role).to_owned()).collect();
        delegate(signed, "example", &Change { set_delegations: set, remove_delegations, ..Change::none(String::new()) })
    }

    #[test]
    fn roles_come_in_order_are_exchanged_in_their_place_and_go_with_their_keys() {
        let mut signed = Map::new();
        apply(&mut signed, vec![paths("one", "a/*"), paths("two", "b/*")], &[]).unwrap();
        signed["delegations"]["x-more"] = json!(1);
        signed["delegations"]["roles"][0]["x-kept"] = json!(2);
        apply(&mut signed, vec![paths("one", "c/*")], &[]).unwrap();
        let delegations = &signed["delegations"];
        assert_eq!(
            (&delegations["roles"][0]["name"], &delegations["roles"][0]["paths"]),
            (&json!("one"), &json!(["c/*"]))
        );
        assert_eq!((&delegations["x-more"], &delegations["roles"][0]["x-kept"]), (&json!(1), &json!(2)));
        assert_eq!(delegations["keys"].as_object().unwrap().len(), 2);
        apply(&mut signed, Vec::new(), &["one"]).unwrap();
        assert_eq!(signed["delegations"]["keys"].as_object().unwrap().len(), 1);
        apply(&mut signed, Vec::new(), &["two"]).unwrap();
        assert!(!signed.contains_key("delegations"));
    }

    #[test]
    fn bins_stand_alone() {
        let bins = || wish("bin", ScopeWish::Bins { bits: 2 });
        let mut signed = Map::new();
        apply(&mut signed, vec![bins()], &[]).unwrap();
        assert_eq!(signed["delegations"]["succinct_roles"]["bit_length"], 2);
        assert!(matches!(apply(&mut signed, vec![paths("one", "a/*")], &[]), Err(CeremonyError::BinsAlone { .. })));
        apply(&mut signed, vec![paths("one", "a/*")], &["bin"]).unwrap();
        assert!(matches!(apply(&mut signed, vec![bins()], &[]), Err(CeremonyError::BinsAlone { .. })));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused = |wish: DelegationWish| apply(&mut Map::new(), vec![wish], &[]).unwrap_err();
        assert!(matches!(refused(paths("Team", "a")), CeremonyError::Name { .. }));
        assert!(matches!(refused(paths("targets", "a")), CeremonyError::Metadata { .. }));
        for pattern in ["", "/a", &"a".repeat(257)] {
            assert!(matches!(refused(paths("team", pattern)), CeremonyError::Scope { .. }), "{pattern}");
        }
        for bits in [0, 11] {
            assert!(matches!(refused(wish("bin", ScopeWish::Bins { bits })), CeremonyError::Scope { .. }));
        }
        for prefix in ["", "AB", "g"] {
            let scope = ScopeWish::HashPrefixes { prefixes: vec![prefix.to_owned()], search: Search::GoesOn };
            assert!(matches!(refused(wish("team", scope)), CeremonyError::Scope { .. }), "{prefix}");
        }
        let mut twice = paths("team", "a");
        twice.keys.push(twice.keys[0].clone());
        assert!(matches!(refused(twice), CeremonyError::SameKey { .. }));
        assert!(matches!(
            refused(DelegationWish { threshold: 2, ..paths("team", "a") }),
            CeremonyError::Threshold { .. }
        ));
        let gone = apply(&mut Map::new(), Vec::new(), &["team"]);
        assert!(matches!(gone, Err(CeremonyError::NoDelegation { .. })));
    }
}
