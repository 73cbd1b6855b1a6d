// SPDX-License-Identifier: Apache-2.0
//! The types of fields: how each is read and written in JSON.
//!
//! `i64` is the 64-bit integer of protobuf (a string), `u32` its 32-bit integer (a number), `u64` the plain number of
//! RFC 6962, `Vec<u8>` base64, `Option` the presence of a message.

use std::borrow::Cow;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

use super::codec::{Base64, Context, Emit, Field, Json, Kind, WireError};
use super::json::{Node, Value};

impl Field for String {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        match node.value {
            Value::String(text) => Ok(text),
            _ => Err(context.invalid(node.at, Kind::String)),
        }
    }

    fn write(&self, emit: Emit) -> Option<Json<'_>> {
        (emit == Emit::All || !self.is_empty()).then(|| Json::Text(self))
    }
}

impl Field for bool {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        match node.value {
            Value::Bool(value) => Ok(value),
            _ => Err(context.invalid(node.at, Kind::Bool)),
        }
    }

    fn write(&self, emit: Emit) -> Option<Json<'_>> {
        (emit == Emit::All || *self).then_some(Json::Bool(*self))
    }
}

/// A 64-bit integer of protobuf: a string in JSON, read from a number too.
impl Field for i64 {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        match &node.value {
            Value::String(text) | Value::Number(text) => {
                integer(text).ok_or_else(|| context.invalid(node.at, Kind::Integer))
            }
            _ => Err(context.invalid(node.at, Kind::Integer)),
        }
    }

    fn write(&self, _: Emit) -> Option<Json<'_>> {
        Some(Json::Integer(*self))
    }
}

/// A 32-bit integer of protobuf: a number in JSON, read from a string too.
impl Field for u32 {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        match &node.value {
            Value::String(text) | Value::Number(text) => {
                integer(text).ok_or_else(|| context.invalid(node.at, Kind::Integer))
            }
            _ => Err(context.invalid(node.at, Kind::Integer)),
        }
    }

    fn write(&self, emit: Emit) -> Option<Json<'_>> {
        (emit == Emit::All || *self != 0).then_some(Json::Unsigned(u64::from(*self)))
    }
}

/// A plain number of RFC 6962; always written.
impl Field for u64 {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        match &node.value {
            Value::Number(text) => integer(text).ok_or_else(|| context.invalid(node.at, Kind::Integer)),
            _ => Err(context.invalid(node.at, Kind::Integer)),
        }
    }

    fn write(&self, _: Emit) -> Option<Json<'_>> {
        Some(Json::Unsigned(*self))
    }
}

impl Field for Vec<u8> {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        let Value::String(text) = &node.value else {
            return Err(context.invalid(node.at, Kind::Bytes));
        };
        decode_base64(text, &context.dialect.base64()).ok_or_else(|| context.invalid(node.at, Kind::Bytes))
    }

    fn write(&self, emit: Emit) -> Option<Json<'_>> {
        (emit == Emit::All || !self.is_empty()).then(|| Json::Bytes(self))
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        match node.value {
            Value::Array(items) => items.into_iter().map(|item| T::read(item, context)).collect(),
            _ => Err(context.invalid(node.at, Kind::List)),
        }
    }

    fn write(&self, emit: Emit) -> Option<Json<'_>> {
        let mut items = Vec::with_capacity(self.len());
        // An empty string in a list is still an item of the list.
        items.extend(self.iter().filter_map(|item| item.write(emit).or_else(|| item.write(Emit::All))));
        Some(Json::Array(items))
    }
}

/// The presence of a message or of a member of a oneof: left out when absent.
impl<T: Field> Field for Option<T> {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        T::read(node, context).map(Some)
    }

    fn write(&self, emit: Emit) -> Option<Json<'_>> {
        // A member that is present is written even when it holds its default.
        self.as_ref().and_then(|value| value.write(emit).or_else(|| value.write(Emit::All)))
    }
}

/// A message that is written as `null` when absent and everything is to be emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nullable<T>(pub Option<T>);

impl<T> Default for Nullable<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Field> Field for Nullable<T> {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        T::read(node, context).map(|value| Self(Some(value)))
    }

    fn write(&self, emit: Emit) -> Option<Json<'_>> {
        match (&self.0, emit) {
            (Some(value), _) => value.write(emit),
            (None, Emit::All) => Some(Json::Null),
            (None, Emit::Populated) => None,
        }
    }
}

/// An item of a list that must not cost the other items: where it is malformed, why stands in its place. Never written then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tolerated<T>(pub Result<T, WireError>);

impl<T: Default> Default for Tolerated<T> {
    fn default() -> Self {
        Self(Ok(T::default()))
    }
}

impl<T> From<T> for Tolerated<T> {
    fn from(item: T) -> Self {
        Self(Ok(item))
    }
}

impl<T: Field> Field for Tolerated<T> {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        Ok(Self(T::read(node, context)))
    }

    fn write(&self, emit: Emit) -> Option<Json<'_>> {
        self.0.as_ref().ok().and_then(|item| item.write(emit))
    }
}

/// The name of an enum value. Numbers of protobuf are kept as their digits; an unknown name is for the owner of the
/// enum to judge, because one unknown value in a list must not cost the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnumName(pub String);

impl Field for EnumName {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        match node.value {
            Value::String(text) | Value::Number(text) => Ok(Self(text)),
            _ => Err(context.invalid(node.at, Kind::Enum)),
        }
    }

    fn write(&self, emit: Emit) -> Option<Json<'_>> {
        self.0.write(emit)
    }
}

/// Seconds since the Unix epoch, where zero means that there is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnixSeconds(pub i64);

impl Field for UnixSeconds {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        i64::read(node, context).map(Self)
    }

    fn write(&self, emit: Emit) -> Option<Json<'_>> {
        (emit == Emit::All || self.0 != 0).then_some(Json::Integer(self.0))
    }
}

/// A member of which only the presence matters; never written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presence {
    #[default]
    Absent,
    Present,
}

impl Field for Presence {
    fn read(_: Node, _: Context) -> Result<Self, WireError> {
        Ok(Self::Present)
    }

    fn write(&self, _: Emit) -> Option<Json<'_>> {
        None
    }
}

/// An integer in the one form in which it is written: without sign if not negative, without zeros before it.
fn integer<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|value| value.to_string() == text)
}

/// Trailing bits must be zero in every form.
fn decode_base64(text: &str, accepted: &Base64) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD_LENIENT: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    const URL_LENIENT: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
    let joined: Cow<'_, str> = match accepted {
        Base64::EitherAlphabet | Base64::Standard if text.contains(['\r', '\n']) => {
            text.replace(['\r', '\n'], "").into()
        }
        _ => text.into(),
    };
    match accepted {
        Base64::Standard | Base64::StandardStrict => STANDARD.decode(joined.as_bytes()).ok(),
        Base64::EitherAlphabet if joined.contains(['-', '_']) => URL_LENIENT.decode(joined.as_bytes()).ok(),
        Base64::EitherAlphabet => STANDARD_LENIENT.decode(joined.as_bytes()).ok(),
    }
}
