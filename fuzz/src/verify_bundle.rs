// SPDX-License-Identifier: Apache-2.0
//! Whole verifications: a conformance bundle that was tampered with never panics, and what is accepted all the same proves
//! nothing but what an untouched bundle proves.
//!
//! The input is a list of edits on one of the bundles. Edits know about JSON and base64, because random changes of the text
//! end in its parser; edits of the text itself are among them.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use touchmark_sigstore::bundle::Bundle;
use touchmark_sigstore::policy::Policy;
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_sigstore::verify::{Artifact, LoggedEntry, Verified, verify};

use crate::vectors;

/// As of this day the vectors were taken.
const NOW: &str = "2026-08-26T00:00:00Z";
/// Edits in one input.
const EDITS_MAX: usize = 8;

/// A bundle that verifies, and what it proves.
struct Original {
    json: Value,
    places: Vec<String>,
    root: TrustedRoot,
    policy: Policy,
    artifact: Vec<u8>,
    proved: Facts,
}

/// What a verification proved, as texts that can be compared in parts.
struct Facts {
    signer: String,
    signature: String,
    times: Vec<String>,
    entries: Vec<Entry>,
}

/// Where it was logged, and under which index.
struct Entry {
    place: String,
    index: u64,
    index_in_tree: Option<u64>,
}

impl Entry {
    fn of(entry: &LoggedEntry) -> Self {
        Self {
            place: format!("{:?} {:?} {} {:?}", entry.kind(), entry.log_id(), entry.origin(), entry.inclusion()),
            index: entry.index().0,
            index_in_tree: entry.inclusion().map(|inclusion| inclusion.included().index().0),
        }
    }

    /// A v1 entry that lost its promise has its place in the tree for an index: the other one was in the promise alone.
    fn within(&self, other: &Self) -> bool {
        self.place == other.place && (self.index == other.index || Some(self.index) == other.index_in_tree)
    }
}

impl Facts {
    fn of(verified: &Verified) -> Self {
        // The chain keeps the times at which it was judged; they are compared as times.
        let signer = match verified.certified() {
            Some(certified) => {
                let (chain, sct, identity) = (certified.chain(), certified.sct(), certified.identity());
                format!("{:?} {} {sct:?} {identity:?}", chain.certificates(), chain.authority())
            }
            None => format!("{:?}", verified.signer()),
        };
        Self {
            signer,
            signature: format!("{:?} {:?}", verified.signature(), verified.statement()),
            times: verified.times().iter().map(|time| format!("{time:?}")).collect(),
            entries: verified.entries().iter().map(Entry::of).collect(),
        }
    }

    /// Whether all of this is part of what another bundle proved: fewer times and entries are, other ones are not.
    fn within(&self, other: &Self) -> bool {
        self.signer == other.signer
            && self.signature == other.signature
            && self.times.iter().all(|time| other.times.contains(time))
            && self.entries.iter().all(|entry| other.entries.iter().any(|other| entry.within(other)))
    }
}

pub fn check(data: &[u8]) {
    let originals = originals();
    let mut input = Input { left: data };
    let original = &originals[usize::from(input.byte()) % originals.len()];
    let text = tampered(original, originals, &mut input);
    let Ok(bundle) = Bundle::parse(&text) else { return };
    let now = NOW.parse().expect("a time");
    match verify(&Artifact::of_bytes(&original.artifact), &bundle, &original.root, &original.policy, now) {
        Ok(verified) => {
            let facts = Facts::of(&verified);
            // Put together from the parts of another original it is that one.
            let known = originals.iter().any(|other| facts.within(&other.proved));
            assert!(known, "a bundle proves what none of the originals does:\n{}", String::from_utf8_lossy(&text));
        }
        Err(error) => {
            assert!(!error.code().is_empty());
            let _ = (error.check(), error.class(), error.expected(), error.found(), error.to_string());
        }
    }
}

/// One input without edits for each original, and one with each edit.
pub fn seeds() -> Vec<Vec<u8>> {
    let untouched = (0..originals().len()).map(|index| vec![u8::try_from(index).unwrap_or_default()]);
    let edited = (0..EDITS).map(|edit| vec![0, edit, 0, 7, 1, 3, 5, 9]);
    untouched.chain(edited).collect()
}

fn originals() -> &'static [Original] {
    static ORIGINALS: OnceLock<Vec<Original>> = OnceLock::new();
    ORIGINALS.get_or_init(|| {
        let cases = vectors::cases().into_iter().filter(|case| !case.must_fail());
        let originals: Vec<Original> = cases.filter_map(|case| original(&case)).collect();
        assert!(originals.len() > 15, "only {} bundles verify", originals.len());
        originals
    })
}

/// Nothing for the case whose key is none.
fn original(case: &vectors::Case) -> Option<Original> {
    let bundle = Bundle::parse(&case.bundle).ok()?;
    let (root, policy) = (case.trusted_root().prepared(), case.policy()?);
    let artifact = case.artifact.clone();
    let verified =
        verify(&Artifact::of_bytes(&artifact), &bundle, &root, &policy, NOW.parse().expect("a time")).ok()?;
    let json = case.json();
    let mut places = Vec::new();
    walk(&json, String::new(), &mut places);
    Some(Original { json, places, root, policy, artifact, proved: Facts::of(&verified) })
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

/// The bytes of an input, one after the other; zeroes when it is used up.
struct Input<'a> {
    left: &'a [u8],
}

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.left.split_first() else { return 0 };
        self.left = rest;
        *first
    }

    fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    fn below(&mut self, limit: usize) -> usize {
        self.number() % limit.max(1)
    }
}

/// The kinds of edits: those below `TEXT_EDITS` change the value at a place, the others the text.
const EDITS: u8 = 15;
const TEXT_EDITS: u8 = 12;

fn tampered(original: &Original, originals: &[Original], input: &mut Input<'_>) -> Vec<u8> {
    let mut json = original.json.clone();
    let mut text_edits = Vec::new();
    for _ in 0..EDITS_MAX {
        if input.left.is_empty() {
            break;
        }
        let edit = input.byte() % EDITS;
        if edit >= TEXT_EDITS {
            text_edits.push((edit, input.number(), input.byte()));
            continue;
        }
        let place = &original.places[input.below(original.places.len())];
        // An earlier edit may have taken the place away.
        let Some(value) = json.pointer(place).cloned() else { continue };
        let other = &originals[usize::from(input.byte()) % originals.len()].json;
        let replacement = edited(edit, value, &json, place, other, &original.places, input);
        replace(&mut json, place, replacement);
    }
    let mut text = json.to_string().into_bytes();
    for (edit, position, byte) in text_edits {
        // Positions are 16 bits; the last part of a long bundle is reached from its end.
        let position = if byte & 1 == 0 { position } else { text.len().saturating_sub(position) } % text.len().max(1);
        match edit {
            TEXT_EDITS => text[position] = byte,
            13 => text.insert(position, byte),
            _ => drop(text.drain(position..(position + usize::from(byte)).min(text.len()))),
        }
        if text.is_empty() {
            break;
        }
    }
    text
}

/// The value that takes the place of `value`; none where it is taken away.
fn edited(
    edit: u8,
    value: Value,
    json: &Value,
    place: &str,
    other: &Value,
    places: &[String],
    input: &mut Input<'_>,
) -> Option<Value> {
    let text = value.as_str().map(str::to_owned);
    Some(match (edit, text, value) {
        (0, _, _) => return None,
        (1, _, _) => Value::Null,
        // A bit of the bytes.
        (2 | 3, Some(text), value) => {
            let Ok(mut bytes) = STANDARD.decode(&text) else { return Some(value) };
            if !bytes.is_empty() {
                let position = input.below(bytes.len());
                bytes[position] ^= input.byte().max(1);
            }
            STANDARD.encode(bytes).into()
        }
        // Bytes more, bytes fewer.
        (4, Some(text), value) => {
            let Ok(mut bytes) = STANDARD.decode(&text) else { return Some(value) };
            let length = input.below(bytes.len() + 16);
            bytes.resize(length, input.byte());
            STANDARD.encode(bytes).into()
        }
        // A character of the text.
        (5, Some(text), _) => {
            let mut characters: Vec<char> = text.chars().collect();
            let position = input.below(characters.len());
            let character = char::from(input.byte());
            match characters.get_mut(position) {
                Some(found) => *found = character,
                None => characters.push(character),
            }
            characters.into_iter().collect::<String>().into()
        }
        // A number, as text and as it is.
        (6, _, _) => (input.number() as i64 - 0x100).to_string().into(),
        (7, _, _) => json!(input.number() as i64 - 0x100),
        // What stands at the same place of another bundle, or at another place of this one.
        (8, _, value) => other.pointer(place).cloned().unwrap_or(value),
        (9, _, value) => json.pointer(&places[input.below(places.len())]).cloned().unwrap_or(value),
        // A list with an item twice, an object with a member more.
        (10, _, Value::Array(mut items)) => {
            let item = items.get(input.below(items.len())).cloned();
            items.extend(item);
            items.into()
        }
        (10, _, Value::Object(mut members)) => {
            members.insert("unknown".to_owned(), json!(1));
            members.into()
        }
        // A list in another order, and anything else in a list.
        (11, _, Value::Array(mut items)) => {
            items.reverse();
            items.into()
        }
        (11, _, value) => json!([value]),
        (_, _, value) => value,
    })
}

fn replace(json: &mut Value, place: &str, replacement: Option<Value>) {
    let Some((parent, name)) = place.rsplit_once('/') else { return };
    match (json.pointer_mut(parent), replacement) {
        (Some(Value::Object(members)), Some(value)) => drop(members.insert(name.to_owned(), value)),
        (Some(Value::Object(members)), None) => drop(members.remove(name)),
        (Some(Value::Array(items)), replacement) => {
            let Some(index) = name.parse().ok().filter(|index: &usize| *index < items.len()) else { return };
            match replacement {
                Some(value) => items[index] = value,
                None => drop(items.remove(index)),
            }
        }
        _ => {}
    }
}
