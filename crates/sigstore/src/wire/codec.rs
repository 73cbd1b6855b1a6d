// SPDX-License-Identifier: Apache-2.0
//! One codec for the JSON dialects of Sigstore: the protobuf JSON mapping, and the plain JSON of the older services.
//!
//! In scope: names in camelCase and snake_case, int64 as strings, base64 of both alphabets on input and the standard padded
//! one on output, `null` as absent, unknown members dropped or refused, as the dialect says. A message is declared once with
//! `message!`, which makes its reader and its writer. The types of single fields are in `field`.
//! Out of scope: what a message must hold to make sense; the modules that own the meaning convert from these types.
//! Invariants: a reader is total and never allocates more than a constant times its input, which has a named limit.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::json::{self, Member, Node, Position, Value};

/// Whose habits a document follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Fulcio behind its HTTP gateway: unknown members and unknown enum names are dropped.
    Fulcio,
    /// Rekor v2: unknown members and unknown enum names are refused.
    RekorV2,
    /// RFC 6962 and the timestamp authority: names as declared, unknown members are ignored.
    Plain,
    /// A bundle: names in camelCase only, standard base64 only, unknown members are refused. Nothing signs the whole of a
    /// bundle, so one document has one meaning here.
    Bundle,
    /// Trusted root, signing config: unknown members are dropped, so that an old client reads a newer file.
    Trust,
}

impl Dialect {
    fn refuses_unknown(self) -> bool {
        match self {
            Self::RekorV2 | Self::Bundle => true,
            Self::Fulcio | Self::Plain | Self::Trust => false,
        }
    }

    fn reads_snake_case(self) -> bool {
        match self {
            Self::Fulcio | Self::RekorV2 | Self::Trust => true,
            Self::Plain | Self::Bundle => false,
        }
    }

    pub(crate) fn base64(self) -> Base64 {
        match self {
            Self::Fulcio | Self::RekorV2 | Self::Trust => Base64::EitherAlphabet,
            Self::Plain => Base64::Standard,
            Self::Bundle => Base64::StandardStrict,
        }
    }
}

/// Which base64 a dialect reads. Go, in which the public services are written, passes over line ends in it.
pub(crate) enum Base64 {
    /// Of the standard or the URL alphabet, padded or not, on one line or several.
    EitherAlphabet,
    /// Of the standard alphabet, padded, on one line or several.
    Standard,
    /// Of the standard alphabet, padded, on one line.
    StandardStrict,
}

/// What a writer does with a field that holds its default value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// Leave it out (except 64-bit integers and lists, which always stand).
    Populated,
    /// Write it, as the replies of the public services do.
    All,
}

/// Why a document was not read. The display text is that of the public services.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("document is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("document nests deeper than {limit} levels")]
    TooDeep { limit: usize },
    #[error("document holds more than {limit} values")]
    TooManyValues { limit: usize },
    #[error("document is not UTF-8")]
    NotUtf8,
    #[error("unexpected EOF")]
    UnexpectedEnd,
    #[error("invalid character {found:?} {place}")]
    Syntax { at: Position, found: char, place: &'static str },
    #[error("proto: (line {}:{}): duplicate field {:?}", at.line, at.column, clip(name))]
    DuplicateMember { at: Position, name: String },
    #[error("proto: (line {}:{}): unknown field {:?}", at.line, at.column, clip(name))]
    UnknownMember { at: Position, name: String },
    #[error("proto: (line {}:{}): invalid value for {expected} field {member}", at.line, at.column)]
    InvalidValue { at: Position, member: &'static str, expected: Kind },
}

/// What kind of value a field holds; the names are those of protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Bytes,
    Enum,
    Integer,
    List,
    Message,
    String,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Enum => "enum",
            Self::Integer => "integer",
            Self::List => "list",
            Self::Message => "message",
            Self::String => "string",
        })
    }
}

/// Text from outside is shown up to this many characters.
const SHOWN_CHARACTERS_MAX: usize = 64;

fn clip(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS_MAX).collect()
}

/// How one field is being read: under which name, in which dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    pub(crate) dialect: Dialect,
    pub(crate) member: &'static str,
}

impl Context {
    pub(crate) fn invalid(&self, at: Position, expected: Kind) -> WireError {
        WireError::InvalidValue { at, member: self.member, expected }
    }
}

/// A type that stands for the value of a member.
pub(crate) trait Field: Sized + Default {
    /// Reads a value that is not `null`; an absent or `null` member is `Default::default()`.
    fn read(node: Node, context: Context) -> Result<Self, WireError>;
    /// The value to write, or `None` to leave the member out.
    fn write(&self, emit: Emit) -> Option<Json<'_>>;
}

/// A document to be written, with its members in order.
#[derive(Debug)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// A 64-bit integer of protobuf: a string.
    Integer(i64),
    Text(&'a str),
    /// A string in the standard base64.
    Bytes(&'a [u8]),
    Array(Vec<Json<'a>>),
    Object(Vec<(&'static str, Json<'a>)>),
}

impl Json<'_> {
    /// About as long as the text will be: exact but for escapes and numbers.
    fn expected_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Unsigned(_) | Self::Integer(_) => 8,
            // Line ends, which the signed notes in here have, are written as two characters.
            Self::Text(text) => text.len() + 8,
            Self::Bytes(bytes) => bytes.len().div_ceil(3) * 4 + 2,
            Self::Array(items) => 2 + items.iter().map(|item| item.expected_bytes() + 1).sum::<usize>(),
            Self::Object(members) => {
                2 + members.iter().map(|(name, value)| name.len() + 4 + value.expected_bytes()).sum::<usize>()
            }
        }
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Integer(value) => serializer.collect_str(value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Bytes(value) => serializer.collect_str(&Base64Display::new(value, &STANDARD)),
            Self::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// Reads a whole document. To the gateways of Fulcio and Rekor nothing at all is a message without members.
pub(crate) fn from_json<T: Field>(text: &[u8], dialect: Dialect, bytes_max: usize) -> Result<T, WireError> {
    if matches!(dialect, Dialect::Fulcio | Dialect::RekorV2) && text.is_empty() {
        return Ok(T::default());
    }
    let node = json::read(text, bytes_max)?;
    T::read(node, Context { dialect, member: "document" })
}

/// Writes a whole document on one line.
pub(crate) fn to_json<T: Field>(message: &T, emit: Emit) -> Vec<u8> {
    let json = message.write(emit).unwrap_or(Json::Null);
    let mut text = Vec::with_capacity(json.expected_bytes());
    serde_json::to_writer(&mut text, &json).expect("strings, numbers and string keys always serialise");
    text
}

/// Writes a whole document for people to read, with a final newline.
pub(crate) fn to_json_pretty<T: Field>(message: &T, emit: Emit) -> String {
    let mut text = serde_json::to_string_pretty(&message.write(emit).unwrap_or(Json::Null))
        .expect("strings, numbers and string keys always serialise");
    text.push('\n');
    text
}

/// The members of an object while a message is read from them.
pub(crate) struct Members {
    members: Vec<Option<Member>>,
    dialect: Dialect,
}

impl Members {
    pub(crate) fn open(node: Node, context: Context) -> Result<Self, WireError> {
        match node.value {
            Value::Object(members) => {
                Ok(Self { members: members.into_iter().map(Some).collect(), dialect: context.dialect })
            }
            _ => Err(context.invalid(node.at, Kind::Message)),
        }
    }

    /// The field of this name; `snake` is the name of the declaration, which some dialects read as well.
    pub(crate) fn take<T: Field>(&mut self, name: &'static str, snake: &'static str) -> Result<T, WireError> {
        let mut found: Option<Member> = None;
        for slot in &mut self.members {
            let hit = slot
                .as_ref()
                .is_some_and(|member| member.name == name || (self.dialect.reads_snake_case() && member.name == snake));
            if !hit {
                continue;
            }
            let member = slot.take().expect("the slot was just seen to be filled");
            if found.is_some() {
                return Err(WireError::DuplicateMember { at: member.at, name: member.name });
            }
            found = Some(member);
        }
        match found {
            None => Ok(T::default()),
            Some(Member { node: Node { value: Value::Null, .. }, .. }) => Ok(T::default()),
            Some(member) => T::read(member.node, Context { dialect: self.dialect, member: name }),
        }
    }

    /// Ends the reading: what is left over is unknown.
    pub(crate) fn close(self) -> Result<(), WireError> {
        match self.members.into_iter().flatten().next() {
            Some(member) if self.dialect.refuses_unknown() => {
                Err(WireError::UnknownMember { at: member.at, name: member.name })
            }
            _ => Ok(()),
        }
    }
}

/// Declares a message: its struct, its reader and its writer. `field: Type = "jsonName"`.
macro_rules! message {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty = $json:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::wire::codec::Field for $name {
            fn read(
                node: $crate::wire::json::Node,
                context: $crate::wire::codec::Context,
            ) -> Result<Self, $crate::wire::codec::WireError> {
                let mut members = $crate::wire::codec::Members::open(node, context)?;
                let message = Self { $($field: members.take($json, stringify!($field))?,)* };
                members.close()?;
                Ok(message)
            }

            fn write(&self, emit: $crate::wire::codec::Emit) -> Option<$crate::wire::codec::Json<'_>> {
                let members = [$(($json, $crate::wire::codec::Field::write(&self.$field, emit)),)*];
                let mut written = Vec::with_capacity(members.len());
                written.extend(members.into_iter().filter_map(|(name, value)| Some((name, value?))));
                Some($crate::wire::codec::Json::Object(written))
            }
        }
    };
}
pub(crate) use message;

/// Gives a message the functions of a whole document: `from_json`, `to_json` and `to_json_pretty`.
macro_rules! document {
    ($name:ident, $dialect:expr, $bytes_max:expr, $emit:expr) => {
        impl $name {
            /// Reads the document.
            ///
            /// # Errors
            /// The first thing in it that the dialect refuses.
            pub fn from_json(text: &[u8]) -> Result<Self, $crate::wire::WireError> {
                $crate::wire::codec::from_json(text, $dialect, $bytes_max)
            }

            /// Writes the document on one line.
            #[must_use]
            pub fn to_json(&self) -> Vec<u8> {
                $crate::wire::codec::to_json(self, $emit)
            }

            /// Writes the document for people to read, with a final newline.
            #[must_use]
            pub fn to_json_pretty(&self) -> String {
                $crate::wire::codec::to_json_pretty(self, $emit)
            }
        }
    };
}
pub(crate) use document;

#[cfg(test)]
mod tests;
