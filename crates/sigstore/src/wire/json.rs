// SPDX-License-Identifier: Apache-2.0
//! A JSON reader for documents from outside: RFC 8259, and stricter where parsers are known to differ.
//!
//! In scope: the tree of a document with the place of each value, within named limits of size, depth and number of values.
//! A member name that occurs twice in one object is refused, because two parsers would see two documents.
//! Out of scope: what the members mean (`codec`), and writing (`codec` as well).
//! Invariants: total (no input panics); the time is linear and the memory bounded by `JSON_VALUES_MAX` values beside the text.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::codec::WireError;

/// How deep values may nest. The deepest public document (a bundle) needs eight.
pub(crate) const JSON_DEPTH_MAX: usize = 32;

/// How many values one document may hold. The largest public trusted root holds about two hundred,
/// a bundle at its caps (32 entries with 64 hashes each) about three thousand.
pub(crate) const JSON_VALUES_MAX: usize = 65_536;

/// How deep values may nest of which only the text is kept. The reader of `serde_json`, which may come after, takes 128.
pub(crate) const JSON_TEXT_DEPTH_MAX: usize = 96;

/// Where a value stands in its document; both count from one, columns in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// The number as it was written: its meaning depends on the field.
    Number(String),
    String(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) at: Position,
    pub(crate) name: String,
    pub(crate) node: Node,
}

/// Reads one document; nothing but white space may follow it.
pub(crate) fn read(text: &[u8], bytes_max: usize) -> Result<Node, WireError> {
    if text.len() > bytes_max {
        return Err(WireError::TooLarge { limit: bytes_max });
    }
    let text = std::str::from_utf8(text).map_err(|_| WireError::NotUtf8)?;
    let mut reader = Reader { text, offset: 0, line: 1, line_start: 0, values: 0 };
    let node = reader.value(0)?;
    reader.skip_white_space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.unexpected("after top-level value")),
    }
}

/// Reads one object, except that its member `open` is checked like all others and kept as text: what it holds is not for us to
/// understand, may be large, and then takes no memory.
pub(crate) fn read_beside<'a>(
    text: &'a [u8],
    bytes_max: usize,
    open: &str,
) -> Result<(Node, Option<&'a str>), WireError> {
    if text.len() > bytes_max {
        return Err(WireError::TooLarge { limit: bytes_max });
    }
    let text = std::str::from_utf8(text).map_err(|_| WireError::NotUtf8)?;
    let mut reader = Reader { text, offset: 0, line: 1, line_start: 0, values: 0 };
    reader.skip_white_space();
    let at = reader.position();
    let mut kept = None;
    let value = reader.object(0, Some(Open { name: open, kept: &mut kept }))?;
    reader.skip_white_space();
    match reader.peek() {
        None => Ok((Node { at, value }, kept)),
        Some(_) => Err(reader.unexpected("after top-level value")),
    }
}

/// The names of the members of the first object in a text, and what follows it: enough to tell what a document is.
pub(crate) fn outline(text: &[u8], bytes_max: usize) -> Result<(Vec<String>, &[u8]), WireError> {
    if text.len() > bytes_max {
        return Err(WireError::TooLarge { limit: bytes_max });
    }
    let whole = std::str::from_utf8(text).map_err(|_| WireError::NotUtf8)?;
    let mut reader = Reader { text: whole, offset: 0, line: 1, line_start: 0, values: 0 };
    reader.skip_white_space();
    let names = reader.pass_object(0)?;
    reader.skip_white_space();
    Ok((names.into_owned(), text.get(reader.offset..).unwrap_or_default()))
}

/// A member of which the text is kept.
struct Open<'name, 'kept, 'a> {
    name: &'name str,
    kept: &'kept mut Option<&'a str>,
}

/// Reads one document into the values of `serde_json`, for documents whose shape is open, such as the claims of a token.
///
/// # Errors
/// As for every document here: not JSON, a member name twice in one object, or over a limit.
pub fn parse_value(text: &[u8], bytes_max: usize) -> Result<serde_json::Value, WireError> {
    plain(read(text, bytes_max)?)
}

fn plain(node: Node) -> Result<serde_json::Value, WireError> {
    Ok(match node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => serde_json::Value::Bool(value),
        Value::Number(text) => {
            // A number too large for any type is the only one that does not read.
            let place = "in exponent of numeric literal";
            let number = text.parse().map_err(|_| WireError::Syntax { at: node.at, found: 'e', place })?;
            serde_json::Value::Number(number)
        }
        Value::String(text) => serde_json::Value::String(text),
        Value::Array(items) => serde_json::Value::Array(items.into_iter().map(plain).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            let members = members.into_iter().map(|member| Ok((member.name, plain(member.node)?)));
            serde_json::Value::Object(members.collect::<Result<_, WireError>>()?)
        }
    })
}

/// So many names are compared one by one, without memory of their own. Objects of public documents have fewer.
const FEW_NAMES: usize = 8;

/// The names that an object had so far.
#[derive(Default)]
struct Names<'a> {
    few: [Cow<'a, str>; FEW_NAMES],
    count: usize,
    more: BTreeSet<Cow<'a, str>>,
}

#[derive(PartialEq, Eq)]
enum Added {
    First,
    Again,
}

impl<'a> Names<'a> {
    fn add(&mut self, name: Cow<'a, str>) -> Added {
        let few = self.few.get(..self.count).unwrap_or_default();
        if few.contains(&name) {
            return Added::Again;
        }
        match self.few.get_mut(self.count) {
            Some(free) => {
                *free = name;
                self.count += 1;
                Added::First
            }
            None if self.more.insert(name) => Added::First,
            None => Added::Again,
        }
    }

    /// In no order.
    fn into_owned(self) -> Vec<String> {
        let few = self.few.into_iter().take(self.count);
        few.chain(self.more).map(Cow::into_owned).collect()
    }
}

const VALUE: &str = "looking for beginning of value";

struct Reader<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
    line_start: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn position(&self) -> Position {
        Position { line: self.line, column: self.offset - self.line_start + 1 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    /// The error for the byte at hand, or for the end of the text; `place` is what the public services say of the place.
    fn unexpected(&self, place: &'static str) -> WireError {
        match self.text.get(self.offset..).and_then(|rest| rest.chars().next()) {
            Some(found) => WireError::Syntax { at: self.position(), found, place },
            None => WireError::UnexpectedEnd,
        }
    }

    fn expect(&mut self, byte: u8, place: &'static str) -> Result<(), WireError> {
        if self.peek() == Some(byte) {
            self.offset += 1;
            Ok(())
        } else {
            Err(self.unexpected(place))
        }
    }

    fn skip_white_space(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    self.offset += 1;
                    self.line += 1;
                    self.line_start = self.offset;
                }
                b' ' | b'\t' | b'\r' => self.offset += 1,
                _ => return,
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, WireError> {
        if depth > JSON_DEPTH_MAX {
            return Err(WireError::TooDeep { limit: JSON_DEPTH_MAX });
        }
        self.values += 1;
        if self.values > JSON_VALUES_MAX {
            return Err(WireError::TooManyValues { limit: JSON_VALUES_MAX });
        }
        self.skip_white_space();
        let at = self.position();
        let value = match self.peek() {
            Some(b'{') => self.object(depth, None)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?.into_owned()),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?.to_owned()),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.unexpected(VALUE)),
        };
        Ok(Node { at, value })
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, WireError> {
        for byte in word.bytes() {
            self.expect(byte, "in literal true, false or null")?;
        }
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value, WireError> {
        self.expect(b'[', VALUE)?;
        let mut items = Vec::new();
        self.skip_white_space();
        if self.peek() == Some(b']') {
            self.offset += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_white_space();
            match self.peek() {
                Some(b',') => self.offset += 1,
                Some(b']') => {
                    self.offset += 1;
                    return Ok(Value::Array(items));
                }
                _ => return Err(self.unexpected("after array element")),
            }
        }
    }

    fn object(&mut self, depth: usize, mut open: Option<Open<'_, '_, 'a>>) -> Result<Value, WireError> {
        self.expect(b'{', VALUE)?;
        let mut members = Vec::new();
        let mut names = Names::default();
        self.skip_white_space();
        if self.peek() == Some(b'}') {
            self.offset += 1;
            return Ok(Value::Object(members));
        }
        // As many as most messages here have.
        members.reserve(4);
        loop {
            let (at, name) = self.name(&mut names)?;
            match &mut open {
                Some(open) if open.name == name => *open.kept = Some(self.text_of_value(depth + 1)?),
                _ => {
                    let node = self.value(depth + 1)?;
                    members.push(Member { at, name: name.into_owned(), node });
                }
            }
            self.skip_white_space();
            match self.peek() {
                Some(b',') => self.offset += 1,
                Some(b'}') => {
                    self.offset += 1;
                    return Ok(Value::Object(members));
                }
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
    }

    /// The text of the value here.
    fn text_of_value(&mut self, depth: usize) -> Result<&'a str, WireError> {
        self.skip_white_space();
        let start = self.offset;
        self.pass(depth)?;
        Ok(self.text.get(start..self.offset).unwrap_or_default())
    }

    /// Checks the value here as `value` does, and keeps nothing of it.
    fn pass(&mut self, depth: usize) -> Result<(), WireError> {
        if depth > JSON_TEXT_DEPTH_MAX {
            return Err(WireError::TooDeep { limit: JSON_TEXT_DEPTH_MAX });
        }
        self.skip_white_space();
        match self.peek() {
            Some(b'{') => drop(self.pass_object(depth)?),
            Some(b'[') => self.pass_array(depth)?,
            Some(b'"') => drop(self.string()?),
            Some(b'-' | b'0'..=b'9') => drop(self.number()?),
            Some(b't') => drop(self.word("true", Value::Null)?),
            Some(b'f') => drop(self.word("false", Value::Null)?),
            Some(b'n') => drop(self.word("null", Value::Null)?),
            _ => return Err(self.unexpected(VALUE)),
        }
        Ok(())
    }

    fn pass_array(&mut self, depth: usize) -> Result<(), WireError> {
        self.expect(b'[', VALUE)?;
        self.skip_white_space();
        if self.peek() == Some(b']') {
            self.offset += 1;
            return Ok(());
        }
        loop {
            self.pass(depth + 1)?;
            self.skip_white_space();
            match self.peek() {
                Some(b',') => self.offset += 1,
                Some(b']') => {
                    self.offset += 1;
                    return Ok(());
                }
                _ => return Err(self.unexpected("after array element")),
            }
        }
    }

    /// Returns the names of the members.
    fn pass_object(&mut self, depth: usize) -> Result<Names<'a>, WireError> {
        self.expect(b'{', VALUE)?;
        let mut names = Names::default();
        self.skip_white_space();
        if self.peek() == Some(b'}') {
            self.offset += 1;
            return Ok(names);
        }
        loop {
            self.name(&mut names)?;
            self.pass(depth + 1)?;
            self.skip_white_space();
            match self.peek() {
                Some(b',') => self.offset += 1,
                Some(b'}') => {
                    self.offset += 1;
                    return Ok(names);
                }
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
    }

    /// The name of the next member and its colon; `names` are those that the object had before.
    fn name(&mut self, names: &mut Names<'a>) -> Result<(Position, Cow<'a, str>), WireError> {
        self.skip_white_space();
        let at = self.position();
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        let name = self.string()?;
        if names.add(name.clone()) == Added::Again {
            return Err(WireError::DuplicateMember { at, name: name.into_owned() });
        }
        self.skip_white_space();
        self.expect(b':', "after object key")?;
        Ok((at, name))
    }

    /// Finds the end of the string here and leaves the escapes to `serde_json`.
    fn string(&mut self) -> Result<Cow<'a, str>, WireError> {
        let at = self.position();
        let start = self.offset;
        let mut escaped = false;
        self.expect(b'"', VALUE)?;
        loop {
            let rest = self.text.as_bytes().get(self.offset..).unwrap_or_default();
            let length = memchr::memchr2(b'"', b'\\', rest);
            let plain = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
            // Without a way out of the loop, so that many bytes are compared at once.
            if plain.iter().fold(false, |found, byte| found | (*byte < b' ')) {
                self.offset += plain.iter().take_while(|byte| **byte >= b' ').count();
                return Err(self.unexpected("in string literal"));
            }
            self.offset += plain.len();
            match self.peek() {
                Some(b'"') => {
                    self.offset += 1;
                    break;
                }
                // The byte after a backslash cannot end the string.
                Some(_) => {
                    escaped = true;
                    self.offset += 2;
                }
                None => return Err(WireError::UnexpectedEnd),
            }
        }
        let quoted = self.text.get(start..self.offset).ok_or(WireError::UnexpectedEnd)?;
        match quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(plain) if !escaped => Ok(Cow::Borrowed(plain)),
            _ => serde_json::from_str(quoted).map(Cow::Owned).map_err(|_| {
                let place = "in string escape code";
                WireError::Syntax { at, found: '\\', place }
            }),
        }
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    fn number(&mut self) -> Result<&'a str, WireError> {
        let start = self.offset;
        if self.peek() == Some(b'-') {
            self.offset += 1;
        }
        if self.peek() == Some(b'0') {
            self.offset += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.offset += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.offset += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.offset += 1;
            }
            self.digits()?;
        }
        Ok(self.text.get(start..self.offset).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<(), WireError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected("in numeric literal"));
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.offset += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expect: Result<(), WireError>) {
        assert_eq!(read(text.as_bytes(), 1 << 20).map(|_| ()), expect, "{text}");
    }

    #[test]
    fn duplicate_members_are_refused_at_their_place() {
        let at = Position { line: 2, column: 2 };
        check("{\"a\":1,\n \"a\":2}", Err(WireError::DuplicateMember { at, name: "a".into() }));
        let at = Position { line: 1, column: 8 };
        check(r#"{"a":1,"\u0061":2}"#, Err(WireError::DuplicateMember { at, name: "a".into() }));
        check(r#"{"a":{"b":1},"b":{"b":2}}"#, Ok(()));
    }

    #[test]
    fn limits_are_kept() {
        check(&"[".repeat(JSON_DEPTH_MAX + 2), Err(WireError::TooDeep { limit: JSON_DEPTH_MAX }));
        let many = format!("[{}0]", "0,".repeat(JSON_VALUES_MAX));
        check(&many, Err(WireError::TooManyValues { limit: JSON_VALUES_MAX }));
        assert_eq!(read(b"  1", 2).map(|_| ()), Err(WireError::TooLarge { limit: 2 }));
    }

    #[test]
    fn syntax_errors_say_what_the_public_services_say() {
        for (text, expect) in [
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{x", "invalid character 'x' looking for beginning of object key string"),
            ("{\"a\" 1", "invalid character '1' after object key"),
            ("{\"a\":1]", "invalid character ']' after object key:value pair"),
            ("[1}", "invalid character '}' after array element"),
            ("1 2", "invalid character '2' after top-level value"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            ("1.x", "invalid character 'x' in numeric literal"),
            ("{", "unexpected EOF"),
        ] {
            assert_eq!(read(text.as_bytes(), 100).map(|_| ()).unwrap_err().to_string(), expect, "{text}");
        }
    }

    #[test]
    fn open_documents_become_plain_values() {
        let text = br#"{"a":[1,-2.5,"\u00e9",true,null],"b":{}}"#;
        assert_eq!(parse_value(text, 100).unwrap(), serde_json::from_slice::<serde_json::Value>(text).unwrap());
        assert!(matches!(parse_value(br#"{"a":1,"a":1}"#, 100), Err(WireError::DuplicateMember { .. })));
        assert!(matches!(parse_value(b"1e999", 100), Err(WireError::Syntax { .. })));
    }

    #[test]
    fn truncated_text_is_an_unexpected_end() {
        for text in ["", "{", "[1", "\"a", "{\"a\":", "tru", "-", "1.", "\"\\"] {
            check(text, Err(WireError::UnexpectedEnd));
        }
    }

    proptest! {
        /// `serde_json` is the independent reader: beside limits and duplicates we accept what it accepts.
        #[test]
        fn accepts_what_the_reference_reader_accepts(text in r#"[\[\]{}:,"0-9a-u\\\-+.eE \n]{0,24}"#) {
            // The reference skips escapes that it does not need; ours are all read.
            prop_assume!(!text.contains("\\u"));
            let reference = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            match read(text.as_bytes(), 1 << 20) {
                Ok(_) => prop_assert!(reference, "{text}"),
                Err(WireError::DuplicateMember { .. }) => {}
                Err(_) => prop_assert!(!reference, "{text}"),
            }
        }

        #[test]
        fn is_total(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = read(&bytes, 1 << 20);
        }
    }
}
