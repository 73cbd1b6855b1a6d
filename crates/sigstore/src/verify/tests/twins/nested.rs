// SPDX-License-Identifier: Apache-2.0
//! Twins inside of the formats that a bundle nests in base64, where a change of the outer text would only be noise.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::der::{self, Content, Element};
use super::sample::Sample;
use super::token::Token;
use super::{Change, document, ecdsa};
use crate::asn1;
use crate::ct::{Sct, encode_sct_list, parse_sct_list};

/// Every twin that is made inside of a member: of certificates, timestamps, bodies, checkpoints, promises and payloads.
pub(super) fn twins(original: &Value, strangers: &[Value], sample: Sample) -> Vec<Change<Value>> {
    let mut twins = Vec::new();
    for place in document::places(original) {
        let value = original.pointer(&place).expect("the walk made this place");
        let Some(text) = value.as_str() else { continue };
        let of_strangers: Vec<&str> =
            strangers.iter().filter_map(|stranger| stranger.pointer(&place)?.as_str()).collect();
        let member = place.rsplit('/').next().expect("a place ends with a name");
        let made = match member {
            "rawBytes" => in_certificate(&decode(text), &of_strangers, sample),
            "signedTimestamp" => in_token(&decode(text), sample),
            "canonicalizedBody" | "payload" => in_json(&decode(text), &of_strangers, sample),
            "signedEntryTimestamp" | "signature" | "sig" => in_signature(&decode(text)),
            "envelope" => in_checkpoint(text, &of_strangers, sample),
            _ => Vec::new(),
        };
        twins.extend(made.into_iter().map(|change| {
            let mut value = original.clone();
            let inner = if member == "envelope" {
                json!(String::from_utf8(change.value).expect("lines of text"))
            } else {
                json!(STANDARD.encode(change.value))
            };
            document::replace(&mut value, &place, Some(inner));
            Change { name: format!("{place} {}", change.name), value }
        }));
    }
    twins.retain(|twin| twin.value != *original);
    twins
}

pub(super) fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("the original is base64")
}

fn in_json(original: &[u8], strangers: &[&str], sample: Sample) -> Vec<Change<Vec<u8>>> {
    let value: Value = serde_json::from_slice(original).expect("the original is JSON");
    let strangers: Vec<Value> =
        strangers.iter().filter_map(|text| serde_json::from_slice(&decode(text)).ok()).collect();
    let mut twins: Vec<Change<Vec<u8>>> = document::twins(&value, &strangers, sample)
        .into_iter()
        .map(|change| Change { name: change.name, value: change.value.to_string().into_bytes() })
        .collect();
    let text = String::from_utf8(original.to_vec()).expect("JSON is text");
    let mut add = |name: &str, text: String| twins.push(Change { name: name.into(), value: text.into_bytes() });
    add("with a space before", format!(" {text}"));
    add("with a line after", format!("{text}\n"));
    add("pretty", serde_json::to_string_pretty(&value).expect("JSON"));
    if let Value::Object(members) = &value {
        for (name, member) in members {
            let rest = text.split_once('{').expect("an object").1;
            add("with a member twice", format!("{{{}:{member},{rest}", json!(name)));
            add("with a member twice, the first empty", format!("{{{}:null,{rest}", json!(name)));
        }
    }
    twins
}

fn in_signature(original: &[u8]) -> Vec<Change<Vec<u8>>> {
    let other = ecdsa::other_form(original).into_iter();
    other.map(|value| Change { name: "in its other form".into(), value }).collect()
}

fn in_token(original: &[u8], sample: Sample) -> Vec<Change<Vec<u8>>> {
    let mut twins = der::twins(original, sample);
    let token = Token::parse(original).expect("the original is a token");
    twins.extend(
        token
            .with_other_signature_form()
            .into_iter()
            .map(|value| Change { name: "with the signature in its other form".into(), value }),
    );
    twins
}

fn in_certificate(original: &[u8], strangers: &[&str], sample: Sample) -> Vec<Change<Vec<u8>>> {
    let mut twins = der::twins(original, sample);
    let Some((path, list)) = sct_list(original) else { return twins };
    let scts = parse_sct_list(&list).expect("the original has SCTs");
    let strangers: Vec<Sct> = strangers
        .iter()
        .filter_map(|text| parse_sct_list(&sct_list(&decode(text))?.1).ok())
        .flatten()
        .filter(|stranger| !scts.contains(stranger))
        .collect();
    let tree = der::parse(original).expect("the original is DER");
    twins.extend(sct_twins(&scts, &strangers).into_iter().map(|change| {
        let mut tree = tree.clone();
        let value = Element { tag: asn1::OCTET_STRING, content: Content::Bytes(change.value) };
        der::set(&mut tree, &path, value);
        Change { name: format!("the list of SCTs {}", change.name), value: der::encode(&tree) }
    }));
    twins
}

/// Where the list of SCTs stands in a certificate, and the list.
fn sct_list(certificate: &[u8]) -> Option<(Vec<usize>, Vec<u8>)> {
    /// 1.3.6.1.4.1.11129.2.4.2
    const OID: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x02];
    let tree = der::parse(certificate)?;
    let paths = der::paths(&tree);
    let oid = paths.iter().find(|path| {
        let element = der::at(&tree, path).expect("the walk made this path");
        element.tag == asn1::OBJECT_IDENTIFIER && element.bytes() == OID
    })?;
    let (last, parent) = oid.split_last()?;
    let path = [parent, &[last + 1, 0]].concat();
    let list = der::at(&tree, &path)?.bytes();
    Some((path, list))
}

/// Lists of SCTs that differ from a good one in one thing.
fn sct_twins(scts: &[Sct], strangers: &[Sct]) -> Vec<Change<Vec<u8>>> {
    let mut twins = Vec::new();
    let mut add = |name: &str, value: Vec<u8>| twins.push(Change { name: name.into(), value });
    let list = encode_sct_list(scts);
    add("empty", encode_sct_list(&[]));
    add("of no bytes", Vec::new());
    add("with a byte after", [list.as_slice(), &[0]].concat());
    add("without its last byte", list[..list.len() - 1].to_vec());
    add("twice", encode_sct_list(&[scts, scts].concat()));
    for stranger in strangers.iter().take(2) {
        add("with a stranger's after", encode_sct_list(&[scts, std::slice::from_ref(stranger)].concat()));
        add("with a stranger's before", encode_sct_list(&[std::slice::from_ref(stranger), scts].concat()));
        add("of a stranger", encode_sct_list(std::slice::from_ref(stranger)));
    }
    let first = &scts[0];
    let mut with = |name: &str, edit: &dyn Fn(&mut Sct)| {
        let mut twin = first.clone();
        edit(&mut twin);
        add(name, encode_sct_list(&[std::slice::from_ref(&twin), &scts[1..]].concat()));
    };
    for bit in [0, 7] {
        with("of another log", &|sct| sct.log_id[31] ^= 1 << bit);
        with("of another time", &|sct| sct.timestamp_ms ^= 1 << bit);
        with("with another signature", &|sct| *sct.signature.last_mut().unwrap() ^= 1 << bit);
    }
    with("of no log", &|sct| sct.log_id = [0; 32]);
    with("at no time", &|sct| sct.timestamp_ms = 0);
    with("at the end of time", &|sct| sct.timestamp_ms = u64::MAX);
    with("with an extension", &|sct| sct.extensions.push(0));
    with("without extensions", &|sct| sct.extensions.clear());
    with("without signature", &|sct| sct.signature.clear());
    for stranger in strangers.iter().take(2) {
        with("with a stranger's signature", &|sct| sct.signature.clone_from(&stranger.signature));
        with("with a stranger's log", &|sct| sct.log_id = stranger.log_id);
    }
    // Version, hash and signature algorithm stand at fixed places before and behind the log's id.
    for (name, place) in [("of another version", 4), ("of another length", 3), ("of another length of the list", 1)] {
        let mut twin = list.clone();
        twin[place] ^= 1;
        add(name, twin);
    }
    twins
}

fn in_checkpoint(original: &str, strangers: &[&str], sample: Sample) -> Vec<Change<Vec<u8>>> {
    let lines: Vec<&str> = original.lines().collect();
    let mut twins = Vec::new();
    let mut add = |name: String, text: String| twins.push(Change { name, value: text.into_bytes() });
    for (number, line) in lines.iter().enumerate() {
        let mut with = |name: &str, replacement: &[&str]| {
            let text = [&lines[..number], replacement, &lines[number + 1..]].concat().join("\n");
            add(format!("line {number} {name}"), text + "\n");
        };
        with("dropped", &[]);
        with("twice", &[line, line]);
        with("emptied", &[""]);
        with("with a line after", &[line, "another"]);
        with("with an empty line after", &[line, ""]);
        with("with a space after", &[&format!("{line} ")]);
        with("with a return after", &[&format!("{line}\r")]);
        let characters: Vec<char> = line.chars().collect();
        for (place, _) in sample.places(characters.len()) {
            let mut changed = characters.clone();
            changed[place] = if changed[place] == 'A' { 'B' } else { 'A' };
            with(&format!("character {place}"), &[&changed.into_iter().collect::<String>()]);
        }
        for stranger in strangers.iter().filter_map(|stranger| stranger.lines().nth(number)) {
            with("of a stranger", &[stranger]);
            with("with a stranger's after", &[line, stranger]);
        }
        if let Some((key, blob)) = line.rsplit_once(' ').filter(|_| line.starts_with('\u{2014}')) {
            let blob = decode(blob);
            let (hint, signature) = blob.split_at(4);
            if let Some(other) = ecdsa::other_form(signature) {
                let blob = STANDARD.encode([hint, other.as_slice()].concat());
                with("in its other form", &[&format!("{key} {blob}")]);
            }
            with("without signature", &[&format!("{key} {}", STANDARD.encode(hint))]);
            with("of another key", &[&format!("{key} {}", STANDARD.encode([&[0; 4], signature].concat()))]);
            with("of another name", &[&format!("\u{2014} another {}", STANDARD.encode(&blob))]);
        }
    }
    add("without its end".into(), original.trim_end().into());
    add("with a line after".into(), format!("{original}\n"));
    add("reversed".into(), lines.iter().rev().copied().collect::<Vec<_>>().join("\n") + "\n");
    twins
}
