// SPDX-License-Identifier: Apache-2.0
//! What targets say of delegations, as facts that can be compared: who signs for which role, how many, and for which paths.

use serde_json::{Map, Value};

use super::{Facts, object_hash, others};
use crate::delegation::Delegations;
use crate::key::{Key, KeyId};

/// The facts of the `delegations` of a targets role. What cannot be read is shown as it is.
pub(super) fn facts(signed: &Map<String, Value>) -> Facts {
    let mut facts = Facts::new();
    let Some(value) = signed.get("delegations") else { return facts };
    let Ok(Some(delegations)) = Delegations::read(Some(value)) else {
        others(signed, &["targets"], &mut facts);
        facts.retain(|member, _| member == "delegations");
        return facts;
    };
    let roles = value.get("roles").and_then(Value::as_array);
    for (position, entry) in roles.into_iter().flatten().chain(value.get("succinct_roles")).enumerate() {
        let Some(members) = entry.as_object() else { continue };
        let text = |member: &str| entry.get(member).and_then(Value::as_str);
        let role = text("name").or_else(|| text("name_prefix")).unwrap_or_default();
        of_role(&format!("delegation {role}"), position + 1, members, &delegations, &mut facts);
    }
    for (key_id, key) in delegations.keys() {
        facts.insert(format!("delegation key object {}", key_id.short()), object_hash(key));
    }
    let mut more = Facts::new();
    others(value.as_object().unwrap_or(&Map::new()), &["keys", "roles", "succinct_roles"], &mut more);
    facts.extend(more.into_iter().map(|(member, fact)| (format!("delegations {member}"), fact)));
    facts
}

fn of_role(name: &str, position: usize, members: &Map<String, Value>, delegations: &Delegations, facts: &mut Facts) {
    let ids: Vec<&str> =
        members.get("keyids").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let threshold = members.get("threshold").and_then(Value::as_u64).unwrap_or_default();
    let list = |member: &str| {
        let texts = members.get(member)?.as_array()?.iter().filter_map(Value::as_str);
        Some(texts.collect::<Vec<_>>().join(", "))
    };
    let scope = list("paths").map(|paths| format!("paths {paths}"));
    let scope =
        scope.or_else(|| list("path_hash_prefixes").map(|prefixes| format!("paths whose hash begins with {prefixes}")));
    let bits = members.get("bit_length").and_then(Value::as_u64);
    let scope = scope.or_else(|| bits.map(|bits| format!("bins of {bits} bits"))).unwrap_or_default();
    let search = match members.get("terminating").and_then(Value::as_bool) {
        Some(true) => ", nobody is asked after it",
        Some(false) => ", others are asked after it",
        None => "",
    };
    facts.insert(name.to_owned(), format!("number {position}, {threshold} of {}, {scope}{search}", ids.len()));
    for (key_id, key) in delegations.keys().iter().filter(|(key_id, _)| ids.contains(&key_id.as_str())) {
        let (who, what) = signer(key_id, key);
        facts.insert(format!("{name} signer {who}"), what);
    }
    let mut more = Facts::new();
    let known =
        ["name", "name_prefix", "keyids", "threshold", "paths", "path_hash_prefixes", "bit_length", "terminating"];
    others(members, &known, &mut more);
    facts.extend(more.into_iter().map(|(member, fact)| (format!("{name} {member}"), fact)));
}

fn signer(key_id: &KeyId, key: &Key) -> (String, String) {
    let who = key.owner().map_or_else(|| format!("key {}", key_id.short()), str::to_owned);
    let what = match key.fingerprint() {
        Some(fingerprint) => format!("{}, sha256 {fingerprint}", key.kind()),
        None => format!("a key that this program cannot read, id {key_id}"),
    };
    (who, what)
}
