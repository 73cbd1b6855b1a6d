// SPDX-License-Identifier: Apache-2.0
//! DER (X.690 §10) for the structures of this crate: a strict reader that hands out the bytes as received, and a writer.
//!
//! In scope: definite minimal lengths, low tag numbers, the few primitive types of X.509 and CMS. Out of scope: BER, the meaning of
//! the structures (`x509`, `issue`, `tsp`), and object identifiers, which are `der`'s.
//! Invariants: what was signed is never re-encoded, so every element keeps its raw bytes and its place; no input panics; an
//! accepted length is minimal, so re-wrapping an element with this writer gives the same bytes again.

use std::ops::Range;

use der::asn1::ObjectIdentifier;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Why bytes are not the DER that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DerError {
    #[error("the DER ends early")]
    Truncated,
    #[error("bytes follow the DER value")]
    Trailing,
    #[error("DER tag {found:#04x} stands where {expected:#04x} belongs")]
    Tag { expected: u8, found: u8 },
    #[error("a DER tag number over 30")]
    HighTag,
    #[error("a DER length is indefinite, not minimal or over four bytes")]
    Length,
    #[error("malformed DER {kind}")]
    Value { kind: &'static str },
}

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The tag `[number]` of a primitive implicit value.
pub(crate) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// The tag `[number]` of a constructed or explicit value.
pub(crate) const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

/// One element: its tag, its content, and the whole as received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    pub(crate) raw: &'a [u8],
    start: usize,
}

impl<'a> Element<'a> {
    /// Where `raw` stands in the input of the outermost reader.
    pub(crate) fn raw_range(&self) -> Range<usize> {
        self.start..self.start + self.raw.len()
    }

    /// Where `value` stands in the input of the outermost reader.
    pub(crate) fn value_range(&self) -> Range<usize> {
        let end = self.start + self.raw.len();
        end - self.value.len()..end
    }

    /// Reads the content as a series of elements.
    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader { rest: self.value, at: self.value_range().start }
    }
}

/// Reads elements one after another.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { rest: input, at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn finish(&self) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError::Trailing) }
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, DerError> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(DerError::Truncated)?;
        if tag & 0x1f == 0x1f {
            return Err(DerError::HighTag);
        }
        let (length, header) = length(after_tag)?;
        let header = header + 1;
        let total = header.checked_add(length).ok_or(DerError::Length)?;
        let (raw, rest) = self.rest.split_at_checked(total).ok_or(DerError::Truncated)?;
        let (_, value) = raw.split_at_checked(header).ok_or(DerError::Truncated)?;
        let element = Element { tag, value, raw, start: self.at };
        self.rest = rest;
        self.at += total;
        Ok(element)
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, DerError> {
        match self.rest.first() {
            None => Err(DerError::Truncated),
            Some(&found) if found != tag => Err(DerError::Tag { expected: tag, found }),
            Some(_) => self.any(),
        }
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.rest.first() == Some(&tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Opens the next element, which must have this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Reader<'a>, DerError> {
        Ok(self.expect(tag)?.reader())
    }

    pub(crate) fn object_identifier(&mut self) -> Result<ObjectIdentifier, DerError> {
        let element = self.expect(OBJECT_IDENTIFIER)?;
        ObjectIdentifier::from_bytes(element.value).map_err(|_| DerError::Value { kind: "OBJECT IDENTIFIER" })
    }

    /// The bytes of a non-negative INTEGER without the sign octet; zero is one zero byte.
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], DerError> {
        let bytes = self.integer()?;
        match bytes {
            [first, ..] if first & 0x80 != 0 => Err(DerError::Value { kind: "negative INTEGER" }),
            [0, rest @ ..] if !rest.is_empty() => Ok(rest),
            _ => Ok(bytes),
        }
    }

    /// The content bytes of an INTEGER, checked to be minimal.
    pub(crate) fn integer(&mut self) -> Result<&'a [u8], DerError> {
        let bytes = self.expect(INTEGER)?.value;
        let minimal = match bytes {
            [] => false,
            [0, second, ..] => second & 0x80 != 0,
            [0xff, second, ..] => second & 0x80 == 0,
            _ => true,
        };
        if minimal { Ok(bytes) } else { Err(DerError::Value { kind: "INTEGER" }) }
    }

    /// A small non-negative INTEGER, such as a version.
    pub(crate) fn small(&mut self) -> Result<u32, DerError> {
        small_value(self.unsigned()?)
    }

    /// The whole octets of a BIT STRING that has no unused bits.
    pub(crate) fn bit_string(&mut self) -> Result<Element<'a>, DerError> {
        let element = self.expect(BIT_STRING)?;
        match element.value.split_first() {
            Some((0, bytes)) => Ok(Element { value: bytes, ..element }),
            _ => Err(DerError::Value { kind: "BIT STRING" }),
        }
    }

    pub(crate) fn boolean(&mut self) -> Result<Option<bool>, DerError> {
        self.optional(BOOLEAN)?.map(|element| boolean_value(element.value)).transpose()
    }
}

/// The only element of `input`, which must have this tag.
pub(crate) fn single(input: &[u8], tag: u8) -> Result<Element<'_>, DerError> {
    let mut reader = Reader::new(input);
    let element = reader.expect(tag)?;
    reader.finish()?;
    Ok(element)
}

pub(crate) fn boolean_value(value: &[u8]) -> Result<bool, DerError> {
    match value {
        [0x00] => Ok(false),
        [0xff] => Ok(true),
        _ => Err(DerError::Value { kind: "BOOLEAN" }),
    }
}

pub(crate) fn small_value(unsigned: &[u8]) -> Result<u32, DerError> {
    if unsigned.is_empty() || unsigned.len() > 4 {
        return Err(DerError::Value { kind: "small INTEGER" });
    }
    Ok(unsigned.iter().fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte)))
}

pub(crate) fn utf8_value(value: &[u8]) -> Result<&str, DerError> {
    std::str::from_utf8(value).map_err(|_| DerError::Value { kind: "UTF8String" })
}

pub(crate) fn ia5_value(value: &[u8]) -> Result<&str, DerError> {
    if value.is_ascii() { utf8_value(value) } else { Err(DerError::Value { kind: "IA5String" }) }
}

/// The time of a UTCTime or GeneralizedTime of a certificate (RFC 5280 §4.1.2.5: seconds present, Zulu, no fraction).
pub(crate) fn certificate_time(element: &Element<'_>) -> Result<Timestamp, DerError> {
    match (element.tag, element.value) {
        (UTC_TIME, [y1, y2, rest @ ..]) if rest.len() == 11 => {
            let short = two_digits(*y1, *y2)?;
            let year = if short < 50 { 2000 + i16::from(short) } else { 1900 + i16::from(short) };
            time_of(year, rest, 0)
        }
        (GENERALIZED_TIME, value) if value.len() == 15 => generalized_time(value),
        (UTC_TIME | GENERALIZED_TIME, _) => Err(BAD_TIME),
        (found, _) => Err(DerError::Tag { expected: UTC_TIME, found }),
    }
}

/// The time of a GeneralizedTime that may carry a fraction of a second (RFC 3161 §2.4.2), at most nanoseconds.
pub(crate) fn generalized_time(value: &[u8]) -> Result<Timestamp, DerError> {
    let (digits, fraction) = value.split_at_checked(14).ok_or(BAD_TIME)?;
    let nanosecond = match fraction {
        b"Z" => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            let mut sum = 0_i32;
            for position in 0..9 {
                let digit = match fraction.get(position) {
                    Some(byte) if byte.is_ascii_digit() => byte - b'0',
                    Some(_) => return Err(BAD_TIME),
                    None => 0,
                };
                sum = sum * 10 + i32::from(digit);
            }
            sum
        }
        _ => return Err(BAD_TIME),
    };
    let [y1, y2, y3, y4, rest @ ..] = digits else { return Err(BAD_TIME) };
    let year = i16::from(two_digits(*y1, *y2)?) * 100 + i16::from(two_digits(*y3, *y4)?);
    let mut rest = rest.to_vec();
    rest.push(b'Z');
    time_of(year, &rest, nanosecond)
}

const BAD_TIME: DerError = DerError::Value { kind: "time" };

/// `MMDDHHMMSSZ` of a year.
fn time_of(year: i16, rest: &[u8], nanosecond: i32) -> Result<Timestamp, DerError> {
    let [m1, m2, d1, d2, h1, h2, n1, n2, s1, s2, b'Z'] = rest else { return Err(BAD_TIME) };
    let part = |tens: &u8, units: &u8| two_digits(*tens, *units);
    let time =
        DateTime::new(year, part(m1, m2)?, part(d1, d2)?, part(h1, h2)?, part(n1, n2)?, part(s1, s2)?, nanosecond)
            .map_err(|_| BAD_TIME)?;
    match Offset::UTC.to_timestamp(time) {
        Ok(timestamp) => Ok(timestamp),
        // RFC 5280's "no expiration" 99991231235959Z lies a day behind the last time that jiff can hold.
        Err(_) if year == 9999 => Ok(Timestamp::MAX),
        Err(_) => Err(BAD_TIME),
    }
}

fn two_digits(tens: u8, units: u8) -> Result<i8, DerError> {
    if !tens.is_ascii_digit() || !units.is_ascii_digit() {
        return Err(BAD_TIME);
    }
    i8::try_from((tens - b'0') * 10 + (units - b'0')).map_err(|_| BAD_TIME)
}

/// The length and the number of bytes that it took.
fn length(input: &[u8]) -> Result<(usize, usize), DerError> {
    let (&first, rest) = input.split_first().ok_or(DerError::Truncated)?;
    if first < 0x80 {
        return Ok((usize::from(first), 1));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return Err(DerError::Length);
    }
    let bytes = rest.get(..count).ok_or(DerError::Truncated)?;
    let length = bytes.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
    if bytes.first() == Some(&0) || length < 0x80 {
        return Err(DerError::Length);
    }
    Ok((length, 1 + count))
}

/// One element around the concatenation of its parts.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    let bytes = length.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    match (length, bytes.get(skip..)) {
        (0..0x80, _) | (_, None) => out.push(u8::try_from(length).unwrap_or(0)),
        (_, Some(significant)) => {
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or(0));
            out.extend_from_slice(significant);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, parts)
}

/// A DER SET OF: the encodings in ascending order (X.690 §11.6).
pub(crate) fn set_of(mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort();
    let parts: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
    element(SET, &parts)
}

pub(crate) fn object_identifier(oid: ObjectIdentifier) -> Vec<u8> {
    element(OBJECT_IDENTIFIER, &[oid.as_bytes()])
}

/// An INTEGER from the big-endian bytes of an unsigned number.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    match bytes.get(skip..) {
        None | Some([]) => element(INTEGER, &[&[0]]),
        Some(significant @ [first, ..]) if first & 0x80 != 0 => element(INTEGER, &[&[0], significant]),
        Some(significant) => element(INTEGER, &[significant]),
    }
}

pub(crate) fn octet_string(bytes: &[u8]) -> Vec<u8> {
    element(OCTET_STRING, &[bytes])
}

pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes])
}

pub(crate) fn utf8_string(text: &str) -> Vec<u8> {
    element(UTF8_STRING, &[text.as_bytes()])
}

pub(crate) fn null() -> Vec<u8> {
    vec![NULL, 0]
}

/// A time of a certificate: UTCTime to 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5), whole seconds.
pub(crate) fn encode_certificate_time(time: Timestamp) -> Vec<u8> {
    let civil = Offset::UTC.to_datetime(time);
    if (1950..2050).contains(&civil.year()) {
        let text = civil.strftime("%y%m%d%H%M%SZ").to_string();
        element(UTC_TIME, &[text.as_bytes()])
    } else {
        encode_generalized_time(time)
    }
}

/// A GeneralizedTime of whole seconds.
pub(crate) fn encode_generalized_time(time: Timestamp) -> Vec<u8> {
    let text = Offset::UTC.to_datetime(time).strftime("%Y%m%d%H%M%SZ").to_string();
    element(GENERALIZED_TIME, &[text.as_bytes()])
}

#[cfg(test)]
mod tests;
