// SPDX-License-Identifier: Apache-2.0
//! When services have to change over: from which moment the new key signs, and after which the old one is refused.
//!
//! A rotation keeps its order by windows in two documents; the services themselves read neither. Who runs them must know both moments: before
//! the first, some verifiers do not know the new key; after the second, all refuse what the old one still signs.
//!
//! In scope: reading those moments out of trusted root and signing config; addresses that clients are still sent to although their key is taken
//! back. Out of scope: writing the windows (`rotation`), whether a service has changed over, which nobody here can see.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::CeremonyError;
use super::rotation::{Documents, LAST_RESULTS, document, ends, identity, list_of, text, window};
use crate::content::{SIGNING_CONFIG, TRUSTED_ROOT};

/// How far ahead a change is worth telling: authorities may end in years.
pub const SWITCH_SHOWN_AHEAD: SignedDuration = SignedDuration::from_hours(92 * 24);

/// The lists of a trusted root, what is in them, and where the signing config has the addresses; clients choose no CT log.
const KINDS: [(&str, &str, Option<&str>); 4] = [
    ("tlogs", "signature log", Some("rekorTlogUrls")),
    ("certificateAuthorities", "certificate authority", Some("caUrls")),
    ("ctlogs", "certificate log", None),
    ("timestampAuthorities", "timestamp authority", Some("tsaUrls")),
];

/// A service whose key ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// What it is and its name in the trusted root.
    pub service: String,
    /// The new key signs from then on; `None` if no other key of its kind outlives the old one.
    pub sign_from: Option<Timestamp>,
    /// What the old key signs after it is refused.
    pub not_after: Timestamp,
}

/// Every service whose key ends after `now`, the soonest first. A document that is not there or cannot be read says nothing.
#[must_use]
pub fn switches(documents: &Documents, now: Timestamp) -> Vec<Switch> {
    let Ok(root) = document(documents, TRUSTED_ROOT) else { return Vec::new() };
    let config = document(documents, SIGNING_CONFIG).ok();
    let mut found = Vec::new();
    for (list, kind, services) in KINDS {
        for entry in list_of(&root, list) {
            let Some(not_after) = ends(entry).filter(|end| *end > now) else { continue };
            let outlives =
                |other: &&Value| identity(other) != identity(entry) && ends(other).is_none_or(|end| end > not_after);
            let has_successor = list_of(&root, list).iter().any(|other| outlives(&other));
            let services =
                services.zip(config.as_ref()).map_or(&[][..], |(services, config)| list_of(config, services));
            let service = format!("{kind} {}", name_of(entry));
            let sign_from = has_successor.then(|| sign_from(services, not_after));
            found.push(Switch { service, sign_from, not_after });
        }
    }
    found.sort_by_key(|switch| switch.not_after);
    found
}

/// Lists of the signing config that name services of which none can be used now: clients cannot sign.
#[must_use]
pub fn out_of_service(documents: &Documents, now: Timestamp) -> Vec<&'static str> {
    let Ok(config) = document(documents, SIGNING_CONFIG) else { return Vec::new() };
    let is_open = |service: &Value| {
        window(service, "start").is_none_or(|start| start <= now) && window(service, "end").is_none_or(|end| now < end)
    };
    let lists = KINDS.iter().filter_map(|(_, _, services)| *services);
    let is_closed = |list: &&str| {
        let services = list_of(&config, list);
        !services.is_empty() && !services.iter().any(is_open)
    };
    lists.filter(is_closed).collect()
}

/// When the services begin that are there after the old key has ended; where the signing config does not say it, the day before that, as `rotate`
/// leaves for the last results.
fn sign_from(services: &[Value], not_after: Timestamp) -> Timestamp {
    let last = services.iter().filter(|service| window(service, "end").is_none_or(|end| end > not_after));
    let begins = last.filter_map(|service| window(service, "start")).filter(|start| *start <= not_after).max();
    begins.unwrap_or_else(|| not_after.checked_sub(LAST_RESULTS).unwrap_or(Timestamp::MIN))
}

/// What a rotation ends: the services of `next` that end and did not, or later, in what is published.
#[must_use]
pub fn ended_by(published: &Documents, next: &Documents, now: Timestamp) -> Vec<Switch> {
    let mut after = published.clone();
    after.extend(next.iter().map(|(name, bytes)| (name.clone(), bytes.clone())));
    let before = switches(published, now);
    let is_new =
        |switch: &Switch| before.iter().all(|old| (&old.service, old.not_after) != (&switch.service, switch.not_after));
    switches(&after, now).into_iter().filter(is_new).collect()
}

/// Nobody is sent to a service whose key is taken back. `after` is what would be published; keys live that are good at `now`.
///
/// A service is known by its address. One that another live key stands behind too was given a new key, and stays. Where no live key of a kind
/// is left, all of its addresses are meant.
///
/// # Errors
/// Which addresses are still there.
pub(super) fn expect_nobody_is_sent(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    config: &Map<String, Value>,
    now: Timestamp,
) -> Result<(), CeremonyError> {
    let is_live = |entry: &&Value| ends(entry).is_none_or(|end| end > now);
    let mut urls = Vec::new();
    for (list, _, services) in KINDS {
        let Some(services) = services else { continue };
        let live: Vec<&Value> = list_of(after, list).iter().filter(is_live).collect();
        let was_live =
            |entry: &&Value| list_of(before, list).iter().any(|old| identity(old) == identity(entry) && is_live(&old));
        let taken: Vec<&Value> =
            list_of(after, list).iter().filter(|entry| !is_live(entry) && was_live(entry)).collect();
        for service in
            list_of(config, services).iter().filter(|service| window(service, "end").is_none_or(|end| end > now))
        {
            let Some(url) = text(service, "url") else { continue };
            let is_at = |entry: &&Value| is_address_of(url, &name_of(entry));
            let is_orphaned = taken.iter().any(is_at) && !live.iter().any(is_at);
            if is_orphaned || (live.is_empty() && !taken.is_empty()) {
                urls.push(url.to_owned());
            }
        }
    }
    if urls.is_empty() { Ok(()) } else { Err(CeremonyError::StillNamed { urls }) }
}

/// Whether a client comes to the service of that name by this address: the same, or the place of a log on a server of ours.
fn is_address_of(url: &str, name: &str) -> bool {
    let plain = |text: &str| text.trim_end_matches('/').to_owned();
    let host = name.split_once("://").map_or(name, |(_, host)| host);
    plain(url) == plain(name) || (!host.is_empty() && plain(url).ends_with(&format!("/log/{}", plain(host))))
}

/// What a trusted root calls a log or an authority.
fn name_of(entry: &Value) -> String {
    text(entry, "baseUrl").or_else(|| text(entry, "uri")).unwrap_or("without a name").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn log(key: &str, url: &str, end: Option<&str>) -> Value {
        let window = end.map_or(json!({ "start": "2026-01-01T00:00:00Z" }), |end| json!({ "end": end }));
        json!({ "baseUrl": url, "publicKey": { "rawBytes": key, "validFor": window } })
    }

    fn documents(root: &Value, config: &Value) -> Documents {
        let bytes = |value: &Value| value.to_string().into_bytes();
        Documents::from([(TRUSTED_ROOT.to_owned(), bytes(root)), (SIGNING_CONFIG.to_owned(), bytes(config))])
    }

    #[test]
    fn a_service_changes_over_between_two_moments() {
        let ended = log("one", "https://one.example", Some("2026-12-11T00:00:00Z"));
        let root = json!({ "tlogs": [ended, log("two", "https://two.example", None)], "ctlogs": [ended] });
        let config = json!({ "rekorTlogUrls": [
            { "url": "https://two.example", "validFor": { "start": "2026-12-10T00:00:00Z" } },
            { "url": "https://one.example", "validFor": { "start": "2026-01-01T00:00:00Z", "end": "2026-12-10T00:00:00Z" } },
        ] });
        let documents = documents(&root, &config);
        let found = switches(&documents, at("2026-11-24T00:00:00Z"));
        let tlog = Switch {
            service: "signature log https://one.example".to_owned(),
            sign_from: Some(at("2026-12-10T00:00:00Z")),
            not_after: at("2026-12-11T00:00:00Z"),
        };
        assert_eq!(found[0], tlog);
        // Nothing comes after the only CT log.
        assert_eq!((found[1].service.as_str(), found[1].sign_from), ("certificate log https://one.example", None));
        assert!(switches(&documents, at("2026-12-11T00:00:00Z")).is_empty());
        assert!(switches(&Documents::new(), Timestamp::MIN).is_empty());
    }

    #[test]
    fn only_what_a_rotation_ends_is_its_doing() {
        let now = at("2026-11-24T00:00:00Z");
        let planned = log("zero", "https://zero.example", Some("2027-01-01T00:00:00Z"));
        let root = |end| json!({ "tlogs": [planned, log("one", "https://one.example", end), log("two", "two", None)] });
        let (published, next) =
            (documents(&root(None), &json!({})), documents(&root(Some("2026-12-11T00:00:00Z")), &json!({})));
        let ended = ended_by(&published, &next, now);
        assert_eq!(ended.len(), 1);
        // The signing config names nobody: the day that is left for the last results.
        assert_eq!(ended[0].sign_from, Some(at("2026-12-10T00:00:00Z")));
        assert!(ended_by(&next, &next, now).is_empty());
    }

    #[test]
    fn an_address_without_a_live_key_is_named() {
        let now = at("2026-11-24T00:00:00Z");
        let gone = Some("2026-11-20T00:00:00Z");
        let service =
            |url: &str| json!({ "rekorTlogUrls": [{ "url": url, "validFor": { "start": "2026-01-01T00:00:00Z" } }] });
        let check = |after: Value, url: &str| {
            let before =
                json!({ "tlogs": [log("one", "http://one.example", None), log("two", "http://two.example", None)] });
            let object = |value: &Value| value.as_object().unwrap().clone();
            expect_nobody_is_sent(&object(&before), &object(&after), &object(&service(url)), now)
        };
        let first = || log("one", "http://one.example", gone);
        let second = || log("two", "http://two.example", None);
        for (after, url, is_refused) in [
            (json!({ "tlogs": [first(), second()] }), "http://one.example/", true),
            (json!({ "tlogs": [first(), second()] }), "https://logs.example/log/one.example", true),
            (json!({ "tlogs": [first(), second()] }), "https://logs.example/log/not-one.example", false),
            (json!({ "tlogs": [first(), second()] }), "http://two.example", false),
            // The same address has another key by now.
            (json!({ "tlogs": [first(), log("three", "http://one.example", None)] }), "http://one.example", false),
            // Nobody is left behind any address.
            (json!({ "tlogs": [first(), log("two", "http://two.example", gone)] }), "http://elsewhere.example", true),
        ] {
            let refused = matches!(check(after.clone(), url), Err(CeremonyError::StillNamed { urls }) if urls == [url]);
            assert_eq!(refused, is_refused, "{after} {url}");
        }
    }
}
