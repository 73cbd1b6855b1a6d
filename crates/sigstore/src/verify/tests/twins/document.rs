// SPDX-License-Identifier: Apache-2.0
//! Twins of a JSON document: each place of it changed in every way in which a document can be changed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Change;
use super::sample::{Sample, whole};

/// How many different values of strangers are put in a place.
const STRANGERS_MAX: usize = 3;

pub(super) fn twins(original: &Value, strangers: &[Value], sample: Sample) -> Vec<Change<Value>> {
    let mut twins = Vec::new();
    for place in places(original) {
        let value = original.pointer(&place).expect("the walk made this place");
        let mut add = |name: String, replacement: Option<Value>| {
            let mut value = original.clone();
            replace(&mut value, &place, replacement);
            twins.push(Change { name: format!("{place} {name}"), value });
        };
        add("dropped".into(), None);
        for other in [json!(null), json!(1), json!(true), json!(""), json!([]), json!({}), json!("AA==")] {
            add(format!("{other}"), Some(other));
        }
        add("in a list".into(), Some(json!([value])));
        add("in an object".into(), Some(json!({ "value": value })));
        for other in of_strangers(value, strangers, &place) {
            add("of a stranger".into(), Some(other.clone()));
        }
        match value {
            Value::String(text) => text_twins(text, sample, &mut add),
            Value::Array(items) => list_twins(items, strangers, &place, &mut add),
            Value::Object(_) => object_twins(value, &place, strangers, &mut add),
            _ => {}
        }
    }
    object_twins(original, "", strangers, &mut |name, replacement| {
        twins.push(Change { name, value: replacement.unwrap_or_default() });
    });
    twins.retain(|twin| twin.value != *original);
    twins
}

/// The values that strangers have in this place.
fn of_strangers<'a>(value: &Value, strangers: &'a [Value], place: &str) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = Vec::new();
    for other in strangers.iter().filter_map(|stranger| stranger.pointer(place)) {
        if other != value && !found.contains(&other) {
            found.push(other);
        }
    }
    found.truncate(if whole() { usize::MAX } else { STRANGERS_MAX });
    found
}

fn text_twins(text: &str, sample: Sample, add: &mut impl FnMut(String, Option<Value>)) {
    for (name, other) in [
        ("with a space after", format!("{text} ")),
        ("with a line after", format!("{text}\n")),
        ("with a zero before", format!("0{text}")),
        ("in lower case", text.to_lowercase()),
        ("twice", format!("{text}{text}")),
    ] {
        add(name.into(), Some(json!(other)));
    }
    let mut shorter = text.to_owned();
    shorter.pop();
    add("without its last character".into(), Some(json!(shorter)));
    if let Ok(number) = text.parse::<i64>() {
        for other in [number.saturating_add(1), number - 1, -number - 1, 0, i64::MAX] {
            add(format!("{other}"), Some(json!(other.to_string())));
        }
        add("as a number".into(), Some(json!(number)));
        return;
    }
    match STANDARD.decode(text) {
        Ok(bytes) if bytes.len() > 8 => {
            for (place, bit) in sample.places(bytes.len()) {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << bit;
                add(format!("byte {place} bit {bit}"), Some(json!(STANDARD.encode(flipped))));
            }
            add("with a byte after".into(), Some(json!(STANDARD.encode([bytes.as_slice(), &[0]].concat()))));
            add("without its last byte".into(), Some(json!(STANDARD.encode(&bytes[..bytes.len() - 1]))));
            add("in the other alphabet".into(), Some(json!(text.replace('+', "-").replace('/', "_"))));
            add("without padding".into(), Some(json!(text.trim_end_matches('='))));
        }
        _ => {
            let characters: Vec<char> = text.chars().collect();
            for (place, _) in sample.places(characters.len()) {
                let mut changed = characters.clone();
                changed[place] = if changed[place] == 'x' { 'y' } else { 'x' };
                add(format!("character {place}"), Some(json!(changed.into_iter().collect::<String>())));
            }
        }
    }
}

fn list_twins(items: &[Value], strangers: &[Value], place: &str, add: &mut impl FnMut(String, Option<Value>)) {
    let first = || items.first().into_iter();
    add("with its first item again".into(), Some(json!(items.iter().chain(first()).collect::<Vec<_>>())));
    add("each item twice".into(), Some(json!(items.iter().flat_map(|item| [item, item]).collect::<Vec<_>>())));
    add("reversed".into(), Some(json!(items.iter().rev().collect::<Vec<_>>())));
    add("without its first item".into(), Some(json!(items.iter().skip(1).collect::<Vec<_>>())));
    for other in of_strangers(&Value::Null, strangers, &format!("{place}/0")) {
        add("with a stranger's item after".into(), Some(json!(items.iter().chain([other]).collect::<Vec<_>>())));
        add("with a stranger's item before".into(), Some(json!([other].into_iter().chain(items).collect::<Vec<_>>())));
    }
}

fn object_twins(object: &Value, place: &str, strangers: &[Value], add: &mut impl FnMut(String, Option<Value>)) {
    let Value::Object(members) = object else { return };
    let mut with = |name: String, edit: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut members = members.clone();
        edit(&mut members);
        add(name, Some(Value::Object(members)));
    };
    with("with an unknown member".into(), &|members| drop(members.insert("unknown".into(), json!("x"))));
    for name in members.keys() {
        for other in [format!("{name}x"), name.to_uppercase(), snake_case(name)] {
            with(format!("with {name} renamed to {other}"), &|members| {
                let value = members.remove(name).expect("it is a member");
                members.insert(other.clone(), value);
            });
        }
    }
    // Members that the original leaves out.
    for other in strangers.iter().filter_map(|stranger| stranger.pointer(place)?.as_object()) {
        for (name, value) in other.iter().filter(|(name, _)| !members.contains_key(*name)) {
            with(format!("with {name} of a stranger"), &|members| drop(members.insert(name.clone(), value.clone())));
        }
    }
}

fn snake_case(name: &str) -> String {
    let letter = |letter: char| {
        if letter.is_uppercase() { format!("_{}", letter.to_lowercase()) } else { letter.to_string() }
    };
    name.chars().map(letter).collect()
}

/// Every place of a document but the whole, as JSON pointers.
pub(super) fn places(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), member)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (name, child) in children {
        let name = name.replace('~', "~0").replace('/', "~1");
        found.push(format!("/{name}"));
        found.extend(places(child).into_iter().map(|rest| format!("/{name}{rest}")));
    }
    found
}

/// Puts another value in a place, or takes the place away.
pub(super) fn replace(document: &mut Value, place: &str, replacement: Option<Value>) {
    let (parent, name) = place.rsplit_once('/').expect("no place is the whole");
    let name = name.replace("~1", "/").replace("~0", "~");
    match (document.pointer_mut(parent).expect("the walk made this place"), replacement) {
        (Value::Object(members), Some(value)) => drop(members.insert(name, value)),
        (Value::Object(members), None) => drop(members.remove(&name)),
        (Value::Array(items), Some(value)) => items[name.parse::<usize>().unwrap()] = value,
        (Value::Array(items), None) => drop(items.remove(name.parse().unwrap())),
        _ => unreachable!("only objects and lists have places"),
    }
}
