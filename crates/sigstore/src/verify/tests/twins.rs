// SPDX-License-Identifier: Apache-2.0
//! Tampered twins: an accepted bundle with one thing changed. None may be accepted but those on a short list.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::ops::Range;

use super::conformance::now;
use crate::bundle::Bundle;
use crate::verify::vectors::{Case, case};
use crate::verify::{Verified, verify};

/// What may change without harm, and why.
const HARMLESS: [(&str, &str); 3] = [
    // Nothing signs the digest that a bundle names; where it stands it must be right, and where it does not stand the
    // artifact is hashed all the same.
    ("/messageSignature/messageDigest", "dropped"),
    ("/messageSignature/messageDigest", "null"),
    // The two spellings of version 0.3.
    ("/mediaType", "other spelling"),
];

/// A bundle with one thing changed: where, how, and the text.
struct Twin {
    place: String,
    change: String,
    bundle: Value,
}

/// The parts of a timestamp that its authority does not sign: the status beside "granted" (at byte 8), the list of digest
/// algorithms before the content (36 to 50), and certificates in its bag that are not the authority's.
const TOKEN: &str = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";

fn is_harmless(place: &str, change: &str, unsigned: &[Range<usize>]) -> bool {
    let byte = change.strip_prefix("byte ").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
    let in_token = place == TOKEN && byte.is_some_and(|byte| unsigned.iter().any(|range| range.contains(&byte)));
    // Of Rekor v2 the signed checkpoint and the entry's own index count, and not what the proof says again.
    let again = ["rootHash", "treeSize", "logIndex"]
        .map(|member| format!("/verificationMaterial/tlogEntries/0/inclusionProof/{member}"));
    in_token || again.iter().any(|again| again == place) || HARMLESS.contains(&(place, change))
}

/// No twin is accepted but the harmless ones, and those prove nothing else than the original.
pub(super) fn check_twins(
    original: &Value,
    strangers: &[Value],
    unsigned_token_bytes: &[Range<usize>],
    accepts: impl Fn(&[u8]) -> Option<Verified>,
) {
    let proved = accepts(original.to_string().as_bytes()).expect("the original is accepted");
    let (mut harmful, mut made) = (Vec::new(), 0);
    for twin in twins(original, strangers) {
        made += 1;
        let Some(verified) = accepts(twin.bundle.to_string().as_bytes()) else { continue };
        if !is_harmless(&twin.place, &twin.change, unsigned_token_bytes) || verified != proved {
            harmful.push((twin.place, twin.change));
        }
    }
    assert!(made > 500, "only {made} twins were made");
    assert_eq!(harmful, [], "of {made} twins");
}

fn twins(original: &Value, strangers: &[Value]) -> Vec<Twin> {
    let mut twins = Vec::new();
    let mut places = Vec::new();
    walk(original, String::new(), &mut places);
    for place in places {
        let value = original.pointer(&place).expect("the walk made this place");
        let mut add = |change: String, replacement: Option<Value>| {
            let mut bundle = original.clone();
            replace(&mut bundle, &place, replacement);
            if bundle != *original {
                twins.push(Twin { place: place.clone(), change, bundle });
            }
        };
        add("dropped".into(), None);
        add("null".into(), Some(Value::Null));
        add("a number".into(), Some(json!(1)));
        add("a list".into(), Some(json!([value])));
        add("in an object".into(), Some(json!({ "value": value })));
        for (index, stranger) in strangers.iter().enumerate() {
            if let Some(other) = stranger.pointer(&place) {
                add(format!("stranger {index}"), Some(other.clone()));
            }
        }
        match value {
            Value::String(text) => text_twins(text, &mut add),
            Value::Array(items) => {
                add("empty".into(), Some(json!([])));
                let doubled: Vec<&Value> = items.iter().chain(items.first()).collect();
                add("first item doubled".into(), Some(json!(doubled)));
                let reversed: Vec<&Value> = items.iter().rev().collect();
                add("reversed".into(), Some(json!(reversed)));
            }
            Value::Object(members) => {
                add("empty".into(), Some(json!({})));
                let mut more = members.clone();
                more.insert("unknown".into(), json!("x"));
                add("unknown member".into(), Some(Value::Object(more)));
            }
            _ => {}
        }
    }
    add_spelling(original, &mut twins);
    twins
}

fn text_twins(text: &str, add: &mut impl FnMut(String, Option<Value>)) {
    add("empty".into(), Some(json!("")));
    add("a space after".into(), Some(json!(format!("{text} "))));
    add("a line after".into(), Some(json!(format!("{text}\n"))));
    add("a zero before".into(), Some(json!(format!("0{text}"))));
    add("without its last character".into(), Some(json!(text[..text.len() - 1])));
    if let (Ok(number), false) = (text.parse::<i64>(), text.is_empty()) {
        for other in [number + 1, number - 1, -number - 1, 0, i64::MAX] {
            add(format!("{other}"), Some(json!(other.to_string())));
        }
        return;
    }
    match STANDARD.decode(text) {
        Ok(bytes) if bytes.len() > 8 => {
            for (place, bit) in sample(bytes.len()) {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << bit;
                add(format!("byte {place} bit {bit}"), Some(json!(STANDARD.encode(flipped))));
            }
            add("a byte after".into(), Some(json!(STANDARD.encode([bytes.as_slice(), &[0]].concat()))));
            add("without its last byte".into(), Some(json!(STANDARD.encode(&bytes[..bytes.len() - 1]))));
        }
        _ => {
            for (place, _) in sample(text.len()).filter(|(place, _)| text.is_char_boundary(*place)) {
                let mut changed: Vec<char> = text.chars().collect();
                let Some(character) = changed.get_mut(place) else { continue };
                *character = if *character == 'x' { 'y' } else { 'x' };
                add(format!("character {place}"), Some(json!(changed.into_iter().collect::<String>())));
            }
        }
    }
}

/// Some three hundred places of a text, both ends included, with a bit for each.
fn sample(length: usize) -> impl Iterator<Item = (usize, usize)> {
    let step = (length / 300).max(1);
    (0..length).step_by(step).chain([length - 1]).map(|place| (place, place % 8))
}

fn add_spelling(original: &Value, twins: &mut Vec<Twin>) {
    for (change, text) in [
        ("other spelling", "application/vnd.dev.sigstore.bundle+json;version=0.3"),
        ("version 0.1", "application/vnd.dev.sigstore.bundle+json;version=0.1"),
        ("version 0.2", "application/vnd.dev.sigstore.bundle+json;version=0.2"),
    ] {
        let mut bundle = original.clone();
        bundle["mediaType"] = json!(text);
        twins.push(Twin { place: "/mediaType".into(), change: change.into(), bundle });
    }
}

fn walk(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| walk(member, format!("{place}/{name}"), places));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| walk(item, format!("{place}/{index}"), places));
        }
        _ => {}
    }
    if !place.is_empty() {
        places.push(place);
    }
}

/// Puts another value in a place, or takes the place away.
fn replace(bundle: &mut Value, place: &str, replacement: Option<Value>) {
    let (parent, name) = place.rsplit_once('/').expect("no place is the whole");
    match (bundle.pointer_mut(parent).expect("the walk made this place"), replacement) {
        (Value::Object(members), Some(value)) => drop(members.insert(name.to_owned(), value)),
        (Value::Object(members), None) => drop(members.remove(name)),
        (Value::Array(items), Some(value)) => items[name.parse::<usize>().unwrap()] = value,
        (Value::Array(items), None) => drop(items.remove(name.parse().unwrap())),
        _ => unreachable!("only objects and lists have places"),
    }
}

fn accepted_by(case: &Case) -> impl Fn(&[u8]) -> Option<Verified> {
    let (root, policy, artifact) = (case.root(), case.policy(), case.artifact());
    move |text| verify(&artifact, &Bundle::parse(text).ok()?, &root, &policy, now()).ok()
}

fn bundle_of(name: &str) -> Value {
    serde_json::from_slice(&case(name).bundle).unwrap()
}

/// Bundles that are valid themselves, from the same instance and from another.
fn strangers() -> Vec<Value> {
    ["rekor2-timestamp-with-embedded-cert", "rekor2-timestamp-without-embedded-cert", "bundle-with-sct-with-extensions"]
        .map(bundle_of)
        .to_vec()
}

#[test]
fn no_tampered_twin_of_a_public_bundle_is_accepted() {
    let case = case("rekor2-happy-path");
    // With another serial or issuer (264 to 360) the certificate in the token is a stranger's, which nobody asks.
    check_twins(&bundle_of(&case.name), &strangers(), &[8..9, 36..50, 264..360], accepted_by(&case));
}

#[test]
fn no_tampered_twin_of_a_bundle_without_embedded_certificates_is_accepted() {
    let case = case("rekor2-timestamp-without-embedded-cert");
    check_twins(&bundle_of(&case.name), &[bundle_of("rekor2-happy-path")], &[8..9, 36..50], accepted_by(&case));
}
