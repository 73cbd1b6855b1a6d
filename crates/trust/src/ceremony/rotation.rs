// SPDX-License-Identifier: Apache-2.0
//! Exchanging the keys and addresses of services: trusted root and signing config, edited together.
//!
//! The order is: verify first, sign later. A client that verifies has the new key within one lifetime of the timestamp; only then may a client
//! that signs come to the new service. Both documents are published at once, and the windows in the signing config keep the order.
//!
//! In scope: what services say of themselves merged into what is published; taking trust back; the order, looked at again when the event is
//! published. Out of scope: making keys, running services.
//! Invariants: what is published stays, also members and entries that this version cannot read; an entry leaves the trusted root never, it
//! ends, because older signatures must verify.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use touchmark_keys::sha256;
use touchmark_sigstore::trust::{SigningConfig, TrustedRoot};
use touchmark_sigstore::x509::Certificate;

use super::CeremonyError;
use super::event::Event;
use super::history::Earlier;
use super::switch::expect_nobody_is_sent;
use crate::content::{SIGNING_CONFIG, TRUSTED_ROOT};
use crate::json;

/// How long after the last signature of an old service its results may still come in: timestamps and log entries of a signing that was begun.
pub(super) const LAST_RESULTS: SignedDuration = SignedDuration::from_hours(24);

const TRUST_LISTS: [&str; 4] = ["tlogs", "certificateAuthorities", "ctlogs", "timestampAuthorities"];
const SERVICE_LISTS: [&str; 4] = ["caUrls", "oidcUrls", "rekorTlogUrls", "tsaUrls"];

/// The next documents, by the names of their targets.
pub type Documents = BTreeMap<String, Vec<u8>>;

/// Merges what services say of themselves into what is published. What is new in the trusted root is trusted as they say; what is new in the
/// signing config is used from `sign_from` on, and what they no longer name until then.
///
/// # Errors
/// If a document cannot be read, or nothing would change.
pub fn rotate(
    published: &Documents,
    trusted_root: &[u8],
    signing_config: Option<&[u8]>,
    sign_from: Timestamp,
) -> Result<Documents, CeremonyError> {
    let unreadable = |what: &str| {
        let what = what.to_owned();
        move |error: touchmark_sigstore::trust::TrustError| CeremonyError::Unreadable {
            what,
            problem: error.to_string(),
        }
    };
    TrustedRoot::from_json(trusted_root).map_err(unreadable("the services' trusted root"))?;
    let mut root = document(published, TRUSTED_ROOT)?;
    let theirs = object("the services' trusted root", trusted_root)?;
    for list in TRUST_LISTS {
        merge_trust(entries(&mut root, list), theirs.get(list), sign_from);
    }
    let merged = written(&root);
    expect_readable(published, &merged)?;
    let mut next = Documents::from([(TRUSTED_ROOT.to_owned(), merged)]);
    if let Some(signing_config) = signing_config {
        SigningConfig::from_json(signing_config).map_err(unreadable("the services' signing config"))?;
        let mut config = document(published, SIGNING_CONFIG)?;
        let theirs = object("the services' signing config", signing_config)?;
        for list in SERVICE_LISTS {
            merge_services(entries(&mut config, list), theirs.get(list), sign_from);
        }
        next.insert(SIGNING_CONFIG.to_owned(), written(&config));
    }
    changed(published, next)
}

/// No entry takes another one with it: of two logs with one id and different keys clients read neither.
fn expect_readable(published: &Documents, merged: &[u8]) -> Result<(), CeremonyError> {
    let what = "what is published, with what the services say";
    let unreadable = |problem: String| CeremonyError::Unreadable { what: what.to_owned(), problem };
    let merged = TrustedRoot::from_json(merged).map_err(|error| unreadable(error.to_string()))?;
    let present = published.get(TRUSTED_ROOT).and_then(|bytes| TrustedRoot::from_json(bytes).ok());
    let known = present.map_or(0, |present| present.unusable().len());
    match merged.unusable().get(known..) {
        Some([first, ..]) => Err(unreadable(format!("{:?} {}: {}", first.section, first.index, first.reason))),
        _ => Ok(()),
    }
}

/// Whether clients may still be sent to a service whose key is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// None stays that no live key stands behind.
    Checked,
    /// Said in so many words.
    Left,
}

/// Ends the trust in a key or certificate, and the use of addresses; `now` says which keys live.
///
/// # Errors
/// If the trusted root knows no such key, or the signing config no such address; or names the service still.
pub fn revoke(
    published: &Documents,
    key_sha256: [u8; 32],
    (urls, addresses): (&[String], Addresses),
    since: Timestamp,
    now: Timestamp,
) -> Result<Documents, CeremonyError> {
    let mut root = document(published, TRUSTED_ROOT)?;
    let mut found = false;
    for list in TRUST_LISTS {
        for entry in entries(&mut root, list).iter_mut().filter(|entry| holds(entry, key_sha256)) {
            found = true;
            // What ended before stays ended.
            if ends(entry).is_none_or(|end| since < end) {
                set_end(entry, since);
            }
        }
    }
    if !found {
        return Err(CeremonyError::NothingTrusted { what: hex::encode(key_sha256) });
    }
    let ended = written(&root);
    expect_readable(published, &ended)?;
    let mut next = Documents::from([(TRUSTED_ROOT.to_owned(), ended)]);
    let mut config = match published.contains_key(SIGNING_CONFIG) || !urls.is_empty() {
        true => document(published, SIGNING_CONFIG)?,
        false => Map::new(),
    };
    take_out(&mut config, urls)?;
    if addresses == Addresses::Checked {
        expect_nobody_is_sent(&document(published, TRUSTED_ROOT)?, &root, &config, now.max(since))?;
    }
    if !urls.is_empty() {
        next.insert(SIGNING_CONFIG.to_owned(), written(&config));
    }
    changed(published, next)
}

fn take_out(config: &mut Map<String, Value>, urls: &[String]) -> Result<(), CeremonyError> {
    for url in urls {
        let mut found = false;
        for list in SERVICE_LISTS {
            let services = entries(config, list);
            let before = services.len();
            services.retain(|service| text(service, "url") != Some(url));
            found |= services.len() != before;
        }
        if !found {
            return Err(CeremonyError::NothingTrusted { what: url.clone() });
        }
    }
    Ok(())
}

/// Whether clients that sign come to a new service only after clients that verify know its key. `now` is when the event is published; `known` is
/// what clients may still go by that came a lifetime ago, so that a second event does not break the order that a first one keeps.
///
/// # Errors
/// If a service is used too early.
pub(super) fn expect_order(
    event: &Event,
    known: Option<&Earlier>,
    now: Timestamp,
    lifetime: SignedDuration,
) -> Result<(), CeremonyError> {
    let Some(base) = event.base().filter(|_| !event.change().sign_before_verifiers_know) else { return Ok(()) };
    let (before, after) = (&base.files, event.files());
    let Ok(root) = document(after, TRUSTED_ROOT) else { return Ok(()) };
    // The first documents come to clients that know nothing yet.
    let Ok(published) = document(before, TRUSTED_ROOT) else { return Ok(()) };
    // When the newest key is known to everybody.
    let since = if adds_trust(&published, &root) {
        now
    } else {
        let Some(known) = known else { return Ok(()) };
        if !adds_trust(&object("an earlier trusted root", &known.trusted_root)?, &root) {
            return Ok(());
        }
        known.published_at
    };
    let earliest = since.checked_add(lifetime).unwrap_or(Timestamp::MAX);
    let Ok(config) = document(after, SIGNING_CONFIG) else { return Ok(()) };
    let used = document(before, SIGNING_CONFIG).unwrap_or_default();
    for list in SERVICE_LISTS {
        let new = list_of(&config, list).iter().filter(|service| !list_of(&used, list).contains(service));
        for service in new {
            let starts = window(service, "start").unwrap_or(Timestamp::MIN);
            // A service whose window was only ended is not new.
            let was = list_of(&used, list).iter().find(|old| name_of(old) == name_of(service));
            if starts < earliest && was.and_then(|old| window(old, "start")) != Some(starts) {
                let url = text(service, "url").unwrap_or_default().to_owned();
                return Err(CeremonyError::SignsTooEarly { url, starts, earliest });
            }
        }
    }
    Ok(())
}

fn adds_trust(known: &Map<String, Value>, root: &Map<String, Value>) -> bool {
    let is_new = |list: &str, entry: &Value| list_of(known, list).iter().all(|old| identity(old) != identity(entry));
    TRUST_LISTS.into_iter().any(|list| list_of(root, list).iter().any(|entry| is_new(list, entry)))
}

fn merge_trust(ours: &mut Vec<Value>, theirs: Option<&Value>, sign_from: Timestamp) {
    let theirs = theirs.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let new: Vec<Value> =
        theirs.iter().filter(|entry| ours.iter().all(|own| identity(own) != identity(entry))).cloned().collect();
    for own in ours.iter_mut() {
        let end = match theirs.iter().find(|entry| identity(entry) == identity(own)) {
            Some(entry) => window(entry, "end"),
            None if new.is_empty() => None,
            None => sign_from.checked_add(LAST_RESULTS).ok(),
        };
        if let (Some(end), None) = (end, window(own, "end")) {
            set_end(own, end);
        }
    }
    ours.extend(new);
}

fn merge_services(ours: &mut Vec<Value>, theirs: Option<&Value>, sign_from: Timestamp) {
    let theirs = theirs.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut new: Vec<Value> =
        theirs.iter().filter(|service| ours.iter().all(|own| name_of(own) != name_of(service))).cloned().collect();
    if new.is_empty() {
        return;
    }
    for own in ours.iter_mut().filter(|own| theirs.iter().all(|service| name_of(service) != name_of(own))) {
        if window(own, "end").is_none_or(|end| end > sign_from) {
            set_end(own, sign_from);
        }
    }
    for service in &mut new {
        if window(service, "start").is_none_or(|start| start < sign_from) {
            set_window(service, "start", sign_from);
        }
    }
    // The newest first, as people read it; clients look at the windows.
    new.append(ours);
    *ours = new;
}

/// Which key or chain an entry is about.
pub(super) fn identity(entry: &Value) -> Option<&Value> {
    entry.get("publicKey").and_then(|key| key.get("rawBytes")).or_else(|| entry.get("certChain"))
}

fn name_of(service: &Value) -> (Option<&Value>, Option<&Value>) {
    (service.get("url"), service.get("majorApiVersion"))
}

/// Whether an entry has this key, or a certificate with this hash.
fn holds(entry: &Value, key_sha256: [u8; 32]) -> bool {
    let bytes = |value: &Value| super::decode_base64(value.get("rawBytes")?.as_str()?);
    let key = entry.get("publicKey").and_then(bytes);
    let chain = entry.get("certChain").and_then(|chain| chain.get("certificates")).and_then(Value::as_array);
    let certificates = chain.into_iter().flatten().filter_map(bytes);
    key.is_some_and(|key| sha256(&key) == key_sha256)
        || certificates.into_iter().any(|der| {
            let spki = Certificate::from_der(&der).ok().map(|certificate| sha256(certificate.spki_der()));
            sha256(&der) == key_sha256 || spki == Some(key_sha256)
        })
}

/// The window of a log is that of its key.
pub(super) fn window(entry: &Value, end: &str) -> Option<Timestamp> {
    text(entry.get("publicKey").unwrap_or(entry).get("validFor")?, end)?.parse().ok()
}

pub(super) fn ends(entry: &Value) -> Option<Timestamp> {
    let holder = entry.get("publicKey").unwrap_or(entry);
    holder.get("validFor")?.get("end")?.as_str()?.parse().ok()
}

fn set_end(entry: &mut Value, at: Timestamp) {
    set_window(entry, "end", at);
}

fn set_window(entry: &mut Value, end: &str, at: Timestamp) {
    let holder = if entry.get("publicKey").is_some() { &mut entry["publicKey"] } else { entry };
    if let Some(entry) = holder.as_object_mut() {
        let window = entry.entry("validFor").or_insert_with(|| Value::Object(Map::new()));
        if let Some(window) = window.as_object_mut() {
            window.insert(end.to_owned(), at.to_string().into());
        }
    }
}

pub(super) fn text<'v>(value: &'v Value, member: &str) -> Option<&'v str> {
    value.get(member).and_then(Value::as_str)
}

pub(super) fn list_of<'d>(document: &'d Map<String, Value>, list: &str) -> &'d [Value] {
    document.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn entries<'d>(document: &'d mut Map<String, Value>, list: &str) -> &'d mut Vec<Value> {
    let value = document.entry(list).or_insert_with(|| Value::Array(Vec::new()));
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut().expect("it is a list since the line above")
}

pub(super) fn document(files: &Documents, name: &str) -> Result<Map<String, Value>, CeremonyError> {
    let bytes = files.get(name).ok_or_else(|| CeremonyError::NoTarget { name: name.to_owned() })?;
    object(name, bytes)
}

fn object(what: &str, bytes: &[u8]) -> Result<Map<String, Value>, CeremonyError> {
    let unreadable = |problem: String| CeremonyError::Unreadable { what: what.to_owned(), problem };
    let value = json::read(bytes).map_err(|error| unreadable(error.to_string()))?;
    value.as_object().cloned().ok_or_else(|| unreadable("it is no object".to_owned()))
}

fn written(document: &Map<String, Value>) -> Vec<u8> {
    super::to_json(document)
}

/// Only the documents that say something else than before.
fn changed(published: &Documents, next: Documents) -> Result<Documents, CeremonyError> {
    let differs = |name: &String, bytes: &[u8]| document(published, name).ok() != object(name, bytes).ok();
    let changed: Documents = next.into_iter().filter(|(name, bytes)| differs(name, bytes)).collect();
    if changed.is_empty() { Err(CeremonyError::NothingChanges) } else { Ok(changed) }
}

#[cfg(test)]
mod tests;
