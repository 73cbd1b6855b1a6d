// SPDX-License-Identifier: Apache-2.0
//! DER as a tree that can be changed: elements, and elements inside of strings, as certificates and tokens nest them.

use super::Change;
use super::sample::Sample;
use crate::asn1;

/// Deeper than any certificate or token.
const DEPTH_MAX: usize = 24;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) tag: u8,
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    /// With the bytes that stand before the first element: the zero of a BIT STRING.
    Elements(Vec<u8>, Vec<Element>),
}

/// The elements of `input`, if it is made of such.
pub(super) fn parse(input: &[u8]) -> Option<Vec<Element>> {
    parse_at(input, 0)
}

fn parse_at(input: &[u8], depth: usize) -> Option<Vec<Element>> {
    let mut reader = asn1::Reader::new(input);
    let mut elements = Vec::new();
    while !reader.is_empty() {
        let element = reader.any().ok()?;
        elements.push(Element { tag: element.tag, content: content(element.tag, element.value, depth + 1) });
    }
    Some(elements)
}

fn content(tag: u8, value: &[u8], depth: usize) -> Content {
    let head = match tag {
        _ if tag & 0x20 != 0 => 0,
        asn1::OCTET_STRING => 0,
        asn1::BIT_STRING if value.first() == Some(&0) => 1,
        _ => return Content::Bytes(value.to_vec()),
    };
    let (head, inner) = value.split_at(head);
    match parse_at(inner, depth).filter(|elements| !elements.is_empty() && depth < DEPTH_MAX) {
        Some(elements) => Content::Elements(head.to_vec(), elements),
        None => Content::Bytes(value.to_vec()),
    }
}

pub(super) fn encode(elements: &[Element]) -> Vec<u8> {
    elements.iter().flat_map(Element::encode).collect()
}

impl Element {
    pub(super) fn encode(&self) -> Vec<u8> {
        match &self.content {
            Content::Bytes(bytes) => asn1::element(self.tag, &[bytes]),
            Content::Elements(head, elements) => asn1::element(self.tag, &[head, &encode(elements)]),
        }
    }

    pub(super) fn children(&self) -> &[Element] {
        match &self.content {
            Content::Bytes(_) => &[],
            Content::Elements(_, elements) => elements,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Elements(head, elements) => [head.clone(), encode(elements)].concat(),
        }
    }
}

/// The element at a path of indices.
pub(super) fn at<'a>(elements: &'a [Element], path: &[usize]) -> Option<&'a Element> {
    let (first, rest) = path.split_first()?;
    let element = elements.get(*first)?;
    if rest.is_empty() { Some(element) } else { at(element.children(), rest) }
}

/// The list in which the element at a path stands.
fn siblings<'a>(elements: &'a mut Vec<Element>, path: &[usize]) -> &'a mut Vec<Element> {
    match path {
        [] | [_] => elements,
        [first, rest @ ..] => match &mut elements[*first].content {
            Content::Elements(_, elements) => siblings(elements, rest),
            Content::Bytes(_) => unreachable!("the walk made this path"),
        },
    }
}

/// Puts another element in a place.
pub(super) fn set(elements: &mut [Element], path: &[usize], value: Element) {
    let (first, rest) = path.split_first().expect("no path is empty");
    match (rest, &mut elements[*first].content) {
        ([], _) => elements[*first] = value,
        (_, Content::Elements(_, elements)) => set(elements, rest, value),
        _ => unreachable!("the walk made this path"),
    }
}

/// Every path of a tree, outer elements first.
pub(super) fn paths(elements: &[Element]) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        found.push(vec![index]);
        found.extend(paths(element.children()).into_iter().map(|rest| [vec![index], rest].concat()));
    }
    found
}

/// The input with one element changed: dropped, doubled, emptied, of another tag, in another order, with other bits.
pub(super) fn twins(input: &[u8], sample: Sample) -> Vec<Change<Vec<u8>>> {
    let tree = parse(input).expect("the original is DER");
    assert_eq!(encode(&tree), input, "the tree is the input");
    let mut twins = Vec::new();
    for path in paths(&tree) {
        let element = at(&tree, &path).expect("the walk made this path");
        let index = *path.last().expect("no path is empty");
        let mut add = |name: String, edit: &dyn Fn(&mut Vec<Element>)| {
            let mut tree = tree.clone();
            edit(siblings(&mut tree, &path));
            twins.push(Change { name: format!("element {path:?} {name}"), value: encode(&tree) });
        };
        add("dropped".into(), &|list| drop(list.remove(index)));
        add("doubled".into(), &|list| list.insert(index, list[index].clone()));
        add("emptied".into(), &|list| list[index].content = Content::Bytes(Vec::new()));
        add("of another tag".into(), &|list| list[index].tag ^= 1);
        add("before the one before".into(), &|list| list.swap(index.saturating_sub(1), index));
        let Content::Bytes(bytes) = &element.content else { continue };
        let set = |bytes: Vec<u8>| move |list: &mut Vec<Element>| list[index].content = Content::Bytes(bytes.clone());
        for (place, bit) in sample.inside(bytes.len()) {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            add(format!("byte {place} bit {bit}"), &set(flipped));
        }
        add("with a byte after".into(), &set([bytes.as_slice(), &[0]].concat()));
        add("with a byte before".into(), &set([&[0], bytes.as_slice()].concat()));
        if let Some((_, rest)) = bytes.split_first() {
            add("without its first byte".into(), &set(rest.to_vec()));
        }
    }
    twins.retain(|twin| twin.value != input);
    twins
}
