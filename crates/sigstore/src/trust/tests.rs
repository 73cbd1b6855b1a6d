// SPDX-License-Identifier: Apache-2.0
//! The documents of trust: the public ones, and small ones for each rule.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::x509::CHAIN_LENGTH_MAX;

const PUBLIC_GOOD: &[u8] =
    include_bytes!("../../../../../shared/vectors/sigstore-tuf-repository/targets/trusted_root.json");
const SIGNING_CONFIG: &[u8] =
    include_bytes!("../../../../../shared/vectors/sigstore-tuf-repository/targets/signing_config.v0.2.json");
const SIGNING_CONFIG_REKOR_V2: &[u8] =
    include_bytes!("../../../../../shared/vectors/sigstore-tuf-repository/targets/signing_config_rekor_v2.v0.2.json");
const SIGNING_CONFIG_V01: &[u8] =
    include_bytes!("../../../../../shared/vectors/sigstore-tuf-repository/targets/signing_config.json");

fn time(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn root_of(value: &Value) -> TrustedRoot {
    TrustedRoot::from_json(value.to_string().as_bytes()).unwrap()
}

#[test]
fn every_trusted_root_of_the_conformance_suite_is_read() {
    let mut reasons = Vec::new();
    for (name, text) in crate::verify::vectors::trusted_roots() {
        let root = TrustedRoot::from_json(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!root.certificate_authorities().is_empty(), "{name}");
        for log in root.ctlogs() {
            assert_eq!(*log.log_id(), log.public_key().spki_sha256(), "{name}: {}", log.base_url());
        }
        for entry in root.unusable() {
            if !reasons.contains(&entry.reason) {
                reasons.push(entry.reason.clone());
            }
        }
    }
    // One case is about a log without start. (Staging's retired CT log, a bare PKCS#1 key, is read.)
    assert_eq!(reasons, [UnusableReason::Window(WindowError::NoStart)]);
}

#[test]
fn the_public_root_is_read_whole_and_written_back() {
    let root = TrustedRoot::from_json(PUBLIC_GOOD).unwrap();
    assert_eq!(root.unusable(), []);
    let written = root.to_json();
    assert!(written.ends_with("}\n"));
    let mut expect: Value = serde_json::from_slice(PUBLIC_GOOD).unwrap();
    let mut found: Value = serde_json::from_str(&written).unwrap();
    for document in [&mut expect, &mut found] {
        without_what_is_not_kept(document);
    }
    assert_eq!(found, expect);
    assert_eq!(TrustedRoot::from_json(written.as_bytes()).unwrap().to_json(), written);
}

/// Times lose empty fractions.
fn without_what_is_not_kept(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(without_what_is_not_kept);
        }
        Value::Array(items) => items.iter_mut().for_each(without_what_is_not_kept),
        Value::String(text) => {
            if let Ok(time) = text.parse::<jiff::Timestamp>() {
                *text = time.to_string();
            }
        }
        _ => {}
    }
}

#[test]
fn one_bad_entry_does_not_cost_the_others() {
    let public: Value = serde_json::from_slice(PUBLIC_GOOD).unwrap();
    let good = TrustedRoot::from_json(PUBLIC_GOOD).unwrap();
    let cases: [(&str, Value, UnusableReason); 10] = [
        (
            "/tlogs/0/publicKey/keyDetails",
            json!("LMS_SHA256"),
            UnusableReason::UnknownAlgorithm { key_details: "LMS_SHA256".into() },
        ),
        (
            "/tlogs/0/publicKey/keyDetails",
            json!("PKIX_ED25519"),
            UnusableReason::KeyOfOtherType { key_details: "PKIX_ED25519".into() },
        ),
        ("/tlogs/0/publicKey/rawBytes", json!("AAAA"), UnusableReason::Key(KeyError::Malformed)),
        ("/tlogs/0/publicKey", Value::Null, UnusableReason::NoKey),
        ("/tlogs/0/hashAlgorithm", json!("SHA3_256"), UnusableReason::UnknownHash { hash: "SHA3_256".into() }),
        ("/tlogs/0/logId/keyId", json!("AAAA"), UnusableReason::LogIdLength { bytes: 3 }),
        ("/tlogs/0/checkpointKeyId", json!({ "keyId": "AAAA" }), UnusableReason::CheckpointKeyIdLength { bytes: 3 }),
        ("/tlogs/0/publicKey/validFor/start", Value::Null, UnusableReason::Window(WindowError::NoStart)),
        ("/tlogs/0/publicKey/validFor/start", json!("soon"), UnusableReason::Window(WindowError::MalformedTime)),
        (
            "/tlogs/0/publicKey/validFor",
            json!({"start": "2024-01-02T00:00:00Z", "end": "2024-01-01T00:00:00Z"}),
            UnusableReason::Window(WindowError::EndBeforeStart {
                start: time("2024-01-02T00:00:00Z"),
                end: time("2024-01-01T00:00:00Z"),
            }),
        ),
    ];
    for (place, value, reason) in cases {
        let mut changed = public.clone();
        let (parent, member) = place.rsplit_once('/').unwrap();
        changed.pointer_mut(parent).unwrap()[member] = value;
        let root = root_of(&changed);
        assert_eq!(root.unusable(), [Unusable { section: Section::TransparencyLogs, index: 0, reason }], "{place}");
        assert_eq!(root.tlogs(), &good.tlogs()[1..]);
        assert_eq!(root.ctlogs(), good.ctlogs());
    }
    let authority_cases = [
        ("/certChain/certificates", json!([]), UnusableReason::NoCertificate),
        ("/certChain", Value::Null, UnusableReason::NoCertificate),
        (
            "/certChain/certificates",
            json!(vec![json!({ "rawBytes": "AAAA" }); CHAIN_LENGTH_MAX + 1]),
            UnusableReason::ChainTooLong { certificates: CHAIN_LENGTH_MAX + 1 },
        ),
        ("/validFor", Value::Null, UnusableReason::Window(WindowError::NoStart)),
        ("/validFor/start", Value::Null, UnusableReason::Window(WindowError::NoStart)),
    ];
    for (place, value, reason) in authority_cases {
        for (list, section) in [
            ("timestampAuthorities", Section::TimestampAuthorities),
            ("certificateAuthorities", Section::CertificateAuthorities),
        ] {
            let mut changed = public.clone();
            *changed[list][0].pointer_mut(place).unwrap() = value.clone();
            changed["newSection"] = json!([1, 2]);
            changed[list][0]["newMember"] = json!({ "a": 1 });
            let root = root_of(&changed);
            assert_eq!(root.unusable(), [Unusable { section, index: 0, reason: reason.clone() }], "{list}{place}");
            assert_eq!(root.tlogs(), good.tlogs());
        }
    }
}

const LISTS: [(&str, Section); 4] = [
    ("tlogs", Section::TransparencyLogs),
    ("certificateAuthorities", Section::CertificateAuthorities),
    ("ctlogs", Section::CtLogs),
    ("timestampAuthorities", Section::TimestampAuthorities),
];

#[test]
fn an_entry_of_another_shape_is_set_aside_with_its_place() {
    let public: Value = serde_json::from_slice(PUBLIC_GOOD).unwrap();
    let shapes = [json!(1), json!("text"), Value::Null, json!([[]]), json!({ "validFor": { "start": 5 } })];
    let members = [
        json!({ "publicKey": { "rawBytes": "%" }, "certChain": { "certificates": [{ "rawBytes": "%" }] } }),
        json!({ "publicKey": [], "certChain": [] }),
        json!({ "operator": { "name": "x" } }),
        json!({ "baseUrl": 1, "uri": 1 }),
    ];
    for (list, section) in LISTS {
        for strange in shapes.iter().chain(&members) {
            let mut changed = public.clone();
            changed[list].as_array_mut().unwrap().insert(0, strange.clone());
            let root = root_of(&changed);
            let [unusable] = root.unusable() else { panic!("{list} {strange}: {:?}", root.unusable()) };
            assert_eq!((unusable.section, unusable.index), (section, 0), "{list} {strange}");
            assert_eq!(root.to_json(), TrustedRoot::from_json(PUBLIC_GOOD).unwrap().to_json());
        }
    }
    let mut config: Value = serde_json::from_slice(SIGNING_CONFIG).unwrap();
    config["tsaUrls"].as_array_mut().unwrap().push(json!("https://tsa.example"));
    let config = SigningConfig::from_json(config.to_string().as_bytes()).unwrap();
    assert!(matches!(
        config.unusable(),
        [Unusable { section: Section::TsaUrls, reason: UnusableReason::Malformed(_), .. }]
    ));
    assert_eq!(config.lists(), SigningConfig::from_json(SIGNING_CONFIG).unwrap().lists());
}

#[test]
fn version_0_2_names_operators_and_checkpoint_keys() {
    let mut newer: Value = serde_json::from_slice(PUBLIC_GOOD).unwrap();
    newer["mediaType"] = json!("application/vnd.dev.sigstore.trustedroot.v0.2+json");
    for (list, _) in LISTS {
        newer[list][0]["operator"] = json!("sigstore.dev");
    }
    // As the specification says, four bytes; the whole hash is read as well.
    newer["tlogs"][0]["checkpointKeyId"] = json!({ "keyId": "AQIDBA==" });
    newer["tlogs"][1]["checkpointKeyId"] = newer["tlogs"][1]["logId"].clone();
    let root = root_of(&newer);
    assert_eq!(root.unusable(), []);
    assert_eq!(root.tlogs()[0].checkpoint_key_id(), Some([1, 2, 3, 4]));
    assert_eq!(root.tlogs()[1].checkpoint_key_id().unwrap(), root.tlogs()[1].log_id()[..4]);
    assert_eq!(root.ctlogs()[0].checkpoint_key_id(), None);
    assert_eq!((root.tlogs()[0].operator(), root.tlogs()[1].operator()), ("sigstore.dev", ""));
    assert_eq!(root.certificate_authorities()[0].operator(), "sigstore.dev");
    assert_eq!(root.timestamp_authorities()[0].operator(), "sigstore.dev");
    // Nothing of it is lost on the way out, in the version that everybody reads.
    let written = root.to_json();
    assert!(written.contains(TRUSTED_ROOT_MEDIA_TYPE));
    assert_eq!(TrustedRoot::from_json(written.as_bytes()).unwrap().tlogs(), root.tlogs());
}

#[test]
fn a_log_id_of_two_keys_stands_for_neither() {
    let public: Value = serde_json::from_slice(PUBLIC_GOOD).unwrap();
    let disputed =
        |index| Unusable { section: Section::TransparencyLogs, index, reason: UnusableReason::LogIdOfTwoKeys };
    // The first log's id with the second log's key, before it and behind it.
    let mut impostor = public["tlogs"][1].clone();
    impostor["logId"] = public["tlogs"][0]["logId"].clone();
    for (at, expect) in [(0, [0, 1]), (1, [0, 1]), (2, [0, 2])] {
        let mut changed = public.clone();
        changed["tlogs"].as_array_mut().unwrap().insert(at, impostor.clone());
        let root = root_of(&changed);
        assert_eq!(root.unusable(), expect.map(disputed));
        assert_eq!(root.tlogs(), &TrustedRoot::from_json(PUBLIC_GOOD).unwrap().tlogs()[1..]);
    }
    // The same key under the same id, with another window, is one log.
    let mut changed = public.clone();
    let mut again = public["tlogs"][0].clone();
    again["publicKey"]["validFor"] = json!({ "start": "2030-01-01T00:00:00Z" });
    changed["tlogs"].as_array_mut().unwrap().push(again);
    assert_eq!(root_of(&changed).unusable(), []);
}

#[test]
fn a_list_has_a_limit() {
    let public: Value = serde_json::from_slice(PUBLIC_GOOD).unwrap();
    for (list, section) in LISTS {
        let entry = public[list][0].clone();
        let mut changed = json!({ "mediaType": TRUSTED_ROOT_MEDIA_TYPE });
        changed[list] = json!(vec![entry.clone(); ENTRIES_MAX]);
        assert_eq!(root_of(&changed).unusable(), []);
        changed[list] = json!(vec![entry; ENTRIES_MAX + 1]);
        let refused = TrustedRoot::from_json(changed.to_string().as_bytes()).unwrap_err();
        assert_eq!(refused, TrustError::TooManyEntries { section, found: ENTRIES_MAX + 1 });
    }
}

#[test]
fn a_preparation_changes_nothing_that_is_written() {
    let root = TrustedRoot::from_json(PUBLIC_GOOD).unwrap();
    assert_eq!(root.clone().prepared().to_json(), root.to_json());
}

#[test]
fn a_trusted_root_of_another_media_type_is_refused() {
    for found in ["", "application/vnd.dev.sigstore.trustedroot+json;version=9", "application/json"] {
        let text = json!({ "mediaType": found }).to_string();
        let expect = TrustError::MediaType { expected: TRUSTED_ROOT_MEDIA_TYPE, found: found.into() };
        assert_eq!(TrustedRoot::from_json(text.as_bytes()).unwrap_err(), expect);
    }
    let newer = json!({ "mediaType": "application/vnd.dev.sigstore.trustedroot.v0.2+json" });
    assert!(root_of(&newer).tlogs().is_empty());
}

#[test]
fn both_ends_of_a_window_are_inside() {
    let (start, end) = (time("2024-01-01T00:00:00Z"), time("2024-12-31T23:59:59Z"));
    let window = ValidFor::new(start, Some(end)).unwrap();
    let tick = jiff::SignedDuration::from_nanos(1);
    for (at, expect) in [(start, true), (end, true), (start - tick, false), (end + tick, false)] {
        assert_eq!(window.contains(at), expect, "{at}");
    }
    assert!(ValidFor::since(start).contains(time("9999-01-01T00:00:00Z")));
}

#[test]
fn the_hostname_has_no_port_and_no_path() {
    let root = TrustedRoot::from_json(PUBLIC_GOOD).unwrap();
    let log = &root.tlogs()[0];
    for (base_url, expect) in [
        ("https://rekor.example", Some("rekor.example")),
        ("http://rekor.example:3000/log/x", Some("rekor.example")),
        ("rekor.example", None),
        ("", None),
    ] {
        let log =
            TransparencyLog::new(base_url.into(), [0; 32], log.public_key().clone(), log.scheme(), log.valid_for());
        assert_eq!(log.hostname(), expect, "{base_url}");
    }
}

#[test]
fn the_public_signing_configs_are_read_and_written_back() {
    for text in [SIGNING_CONFIG, SIGNING_CONFIG_REKOR_V2] {
        let config = SigningConfig::from_json(text).unwrap();
        assert_eq!(config.unusable(), []);
        assert_eq!(SigningConfig::from_json(config.to_json().as_bytes()).unwrap(), config);
    }
    let old = SigningConfig::from_json(SIGNING_CONFIG_V01).unwrap_err();
    let found = "application/vnd.dev.sigstore.signingconfig.v0.1+json".into();
    assert_eq!(old, TrustError::MediaType { expected: SIGNING_CONFIG_MEDIA_TYPE, found });
}

#[test]
fn the_public_rekor_v2_config_selects_the_newer_log() {
    let config = SigningConfig::from_json(SIGNING_CONFIG_REKOR_V2).unwrap();
    let services = config.select(time("2026-08-26T00:00:00Z")).unwrap();
    assert_eq!(services.ca.url(), "https://fulcio.sigstore.dev");
    assert_eq!(services.oidc.unwrap().url(), "https://oauth2.sigstore.dev/auth");
    assert_eq!(services.rekor[0].url(), "https://log2025-1.rekor.sigstore.dev");
    assert_eq!(services.tsa[0].url(), "https://timestamp.sigstore.dev/api/v1/timestamp");
    // Only version 1 of Rekor was there before, which is not spoken yet.
    let early = time("2025-08-26T00:00:00Z");
    assert_eq!(config.select(early), Err(SelectError::NoneUsable { kind: ServiceKind::Rekor, now: early }));
}

/// A service whose URL is its name, from a day of 2026 on.
fn service(name: &str, version: u32, day: u32, operator: &str) -> Service {
    let start = time(&format!("2026-01-{day:02}T00:00:00Z"));
    Service::new(name.into(), version, ValidFor::since(start), operator.into())
}

fn select_tsa(tsa: Vec<Service>, selector: Option<Selector>) -> Result<Vec<String>, SelectError> {
    let ca = vec![service("ca", 1, 1, "a")];
    let config = SigningConfig::new(ServiceLists { ca, tsa, tsa_selector: selector, ..ServiceLists::default() });
    let services = config.select(time("2026-06-01T00:00:00Z"))?;
    Ok(services.tsa.iter().map(|service| service.url().to_owned()).collect())
}

#[test]
fn selectors_take_the_newest_of_each_operator() {
    let list = || {
        vec![
            service("old-a", 1, 1, "a"),
            service("new-a", 1, 3, "a"),
            service("b", 1, 2, "b"),
            service("unknown-version", 2, 4, "c"),
            service("unreleased", 0, 4, "d"),
        ]
    };
    let exact = |count: u32| Some(Selector::Exact(count.try_into().unwrap()));
    assert_eq!(select_tsa(list(), Some(Selector::All)).unwrap(), ["new-a", "b"]);
    assert_eq!(select_tsa(list(), Some(Selector::Any)).unwrap(), ["new-a"]);
    assert_eq!(select_tsa(list(), exact(2)).unwrap(), ["new-a", "b"]);
    let too_few = SelectError::TooFew { kind: ServiceKind::TimestampAuthority, expected: 3, found: 2 };
    assert_eq!(select_tsa(list(), exact(3)), Err(too_few));
    assert_eq!(select_tsa(list(), None), Err(SelectError::NoSelector { kind: ServiceKind::TimestampAuthority }));
    assert_eq!(select_tsa(Vec::new(), None).unwrap(), [""; 0]);
}

#[test]
fn selectors_that_cannot_be_followed_are_none() {
    for (text, expect) in [
        (r#"{"selector":"ANY"}"#, Some(Selector::Any)),
        (r#"{"selector":"EXACT","count":2}"#, Some(Selector::Exact(2.try_into().unwrap()))),
        (r#"{"selector":"EXACT"}"#, None),
        (r#"{"selector":"SERVICE_SELECTOR_UNDEFINED"}"#, None),
        (r#"{}"#, None),
    ] {
        let config = format!(r#"{{"mediaType":"{SIGNING_CONFIG_MEDIA_TYPE}","tsaConfig":{text}}}"#);
        let config = SigningConfig::from_json(config.as_bytes()).unwrap();
        assert_eq!(config.lists().tsa_selector, expect, "{text}");
    }
}

#[test]
fn a_certificate_authority_is_needed_and_the_newest_is_taken() {
    let now = time("2026-06-01T00:00:00Z");
    let select = |ca| SigningConfig::new(ServiceLists { ca, ..ServiceLists::default() }).select(now);
    let none = SelectError::NoneUsable { kind: ServiceKind::CertificateAuthority, now };
    assert_eq!(select(Vec::new()), Err(none.clone()));
    assert_eq!(select(vec![service("future-version", 7, 1, "a")]), Err(none));
    let services = select(vec![service("old", 1, 1, "a"), service("new", 1, 2, "a")]).unwrap();
    assert_eq!(services.ca.url(), "new");
    assert_eq!((services.oidc, services.rekor, services.tsa), (None, Vec::new(), Vec::new()));
}

#[test]
fn a_client_trust_config_holds_both() {
    let root = TrustedRoot::from_json(PUBLIC_GOOD).unwrap();
    let signing = SigningConfig::from_json(SIGNING_CONFIG).unwrap();
    let text = ClientTrustConfig::new(root.clone(), signing.clone()).to_json();
    let config = ClientTrustConfig::from_json(text.as_bytes()).unwrap();
    assert_eq!(config.trusted_root().to_json(), root.to_json());
    assert_eq!(config.signing_config(), &signing);
    let half = format!(r#"{{"mediaType":"{CLIENT_TRUST_CONFIG_MEDIA_TYPE}","trustedRoot":{}}}"#, root.to_json());
    let error = ClientTrustConfig::from_json(half.as_bytes()).unwrap_err();
    assert_eq!(error, TrustError::Missing { member: "signingConfig" });
}

/// Every place of a document.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), all)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), all));
        }
        _ => {}
    }
}

proptest! {
    /// One value below an entry of a list may be anything: at most that entry is lost, and it is accounted for.
    #[test]
    fn a_tampered_entry_costs_itself_at_most(place in any::<prop::sample::Index>(), which in 0_usize..9) {
        let mut changed: Value = serde_json::from_slice(PUBLIC_GOOD).unwrap();
        let mut all = Vec::new();
        places(&changed, "", &mut all);
        let within = |place: &&String| place.matches('/').count() >= 2 && LISTS.iter().any(|(list, _)| place[1..].starts_with(list));
        let within: Vec<&String> = all.iter().filter(within).collect();
        let strange = [json!(null), json!(true), json!(-1), json!(""), json!("AAAA"), json!("2999-01-01T00:00:00Z"), json!([]), json!({}), json!([{}])];
        *changed.pointer_mut(place.get(&within).as_str()).unwrap() = strange[which].clone();
        let root = root_of(&changed);
        let entries: usize = LISTS.iter().map(|(list, _)| changed[list].as_array().unwrap().len()).sum();
        let usable = root.tlogs().len() + root.ctlogs().len() + root.certificate_authorities().len() + root.timestamp_authorities().len();
        prop_assert!(root.unusable().len() <= 1);
        prop_assert_eq!(usable + root.unusable().len(), entries);
        let _ = root.prepared().to_json();
    }

    /// Any byte of a good document may be another one.
    #[test]
    fn readers_are_total(place in 0..PUBLIC_GOOD.len(), byte in any::<u8>()) {
        let mut text = PUBLIC_GOOD.to_vec();
        text[place] = byte;
        let _ = TrustedRoot::from_json(&text);
        let mut text = SIGNING_CONFIG.to_vec();
        let place = place % text.len();
        text[place] = byte;
        if let Ok(config) = SigningConfig::from_json(&text) {
            let _ = config.select(time("2026-06-01T00:00:00Z"));
        }
    }
}
