// SPDX-License-Identifier: Apache-2.0
//! Questions and answers of NTP whose extension fields authenticate them (RFC 8915 §5, RFC 7822).
//!
//! In scope: a question under a cookie; whether a datagram is the server's answer to it; the cookies that come with it. Out of scope: what the header says
//! of the time ([`crate::sntp`]); when cookies are used up ([`super`]).
//! Invariants: an answer counts only if the keys of this association sealed it, over this question's unique identifier; of what stands behind the
//! authenticator nothing is taken.

use touchmark_keys::{SIV_OVERHEAD_BYTES, SivKey};

use super::{COOKIES_MAX, Cookie};
use crate::sntp::{self, HEADER_BYTES};

/// The longest datagram that is looked at: eight cookies of the greatest length fit, with everything around them.
pub(super) const ANSWER_BYTES_MAX: usize = 4096;
/// The longest question, so that it is not cut to pieces on the way: the least that every path with IPv6 carries (1280, RFC 8200 §5) without the headers of IP and UDP.
const QUESTION_BYTES_MAX: usize = 1280 - 40 - 8;
/// Extension fields of a datagram: nothing that is known has more than a dozen.
const FIELDS_MAX: usize = 32;
const UNIQUE_IDENTIFIER: u16 = 0x0104;
const COOKIE: u16 = 0x0204;
const PLACEHOLDER: u16 = 0x0304;
const AUTHENTICATOR: u16 = 0x0404;
/// RFC 8915 §5.3: at least 32 random bytes.
const UNIQUE_IDENTIFIER_BYTES: usize = 32;
/// RFC 5297 §6 takes any; RFC 8915 §5.6 has clients send 16.
const NONCE_BYTES: usize = 16;
/// Type and length of an extension field.
const FIELD_HEAD_BYTES: usize = 4;
/// Lengths of nonce and ciphertext in an authenticator.
const AUTHENTICATOR_HEAD_BYTES: usize = 4;
const NTS_NAK: [u8; 4] = *b"NTSN";

/// A question that was asked.
pub(super) struct Question {
    pub(super) datagram: Vec<u8>,
    origin: [u8; 8],
    unique_identifier: [u8; UNIQUE_IDENTIFIER_BYTES],
}

impl Question {
    /// Asks under a cookie, and for `wanted` more beside the one that each answer brings.
    pub(super) fn new(key: &SivKey, cookie: &Cookie, wanted: usize) -> Self {
        let (mut origin, mut unique_identifier) = ([0; 8], [0; UNIQUE_IDENTIFIER_BYTES]);
        let mut nonce = [0; NONCE_BYTES];
        touchmark_keys::random(&mut origin);
        touchmark_keys::random(&mut unique_identifier);
        touchmark_keys::random(&mut nonce);
        let mut datagram = sntp::question(origin).to_vec();
        push(&mut datagram, UNIQUE_IDENTIFIER, &unique_identifier);
        push(&mut datagram, COOKIE, cookie.as_bytes());
        let field_bytes = FIELD_HEAD_BYTES + cookie.as_bytes().len();
        let authenticator_bytes = FIELD_HEAD_BYTES + AUTHENTICATOR_HEAD_BYTES + NONCE_BYTES + SIV_OVERHEAD_BYTES;
        let room = QUESTION_BYTES_MAX.saturating_sub(datagram.len() + authenticator_bytes) / field_bytes;
        // RFC 8915 §5.5: of the cookie's length, so that the answer is no longer than the question.
        for _ in 0..wanted.min(room) {
            push(&mut datagram, PLACEHOLDER, &vec![0; cookie.as_bytes().len()]);
        }
        let tag = key.seal(&[&datagram, &nonce], &[]).expect("two parts of associated data");
        let lengths = [NONCE_BYTES, tag.len()].map(|length| u16::try_from(length).expect("16 bytes").to_be_bytes());
        push(&mut datagram, AUTHENTICATOR, &[&lengths.concat()[..], &nonce, &tag].concat());
        Self { datagram, origin, unique_identifier }
    }
}

/// What a datagram is, that came after a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading<'d> {
    /// The server's answer, and the cookies in it, some of which may be too long to be used.
    Authentic { answer: sntp::Answer<'d>, cookies: Vec<Cookie> },
    /// It says that the server does not know the keys; nobody can authenticate that.
    KeysForgotten,
    /// It repeats what was asked, and does not authenticate.
    Forged,
    /// Nobody's answer.
    Stray,
}

/// Reads a datagram.
pub(super) fn read<'d>(datagram: &'d [u8], question: &Question, key: &SivKey) -> Reading<'d> {
    let Some(answer) = sntp::Answer::of(datagram, question.origin) else { return Reading::Stray };
    if datagram.len() > ANSWER_BYTES_MAX {
        return Reading::Forged;
    }
    let Some(fields) = Fields::of(datagram) else { return Reading::Forged };
    if fields.unique_identifier != Some(&question.unique_identifier[..]) {
        return Reading::Forged;
    }
    match fields.opened(datagram, key) {
        Some(cookies) => Reading::Authentic { answer, cookies },
        None if answer.kiss_code() == Some(NTS_NAK) => Reading::KeysForgotten,
        None => Reading::Forged,
    }
}

/// The extension fields up to the authenticator.
struct Fields<'d> {
    unique_identifier: Option<&'d [u8]>,
    /// Where it begins, and what is in it.
    authenticator: Option<(usize, &'d [u8])>,
}

impl<'d> Fields<'d> {
    /// None if what follows the header is no row of fields, or a field is there twice.
    fn of(datagram: &'d [u8]) -> Option<Self> {
        let mut fields = Self { unique_identifier: None, authenticator: None };
        let mut at = HEADER_BYTES;
        for _ in 0..FIELDS_MAX {
            let rest = datagram.get(at..)?;
            if rest.is_empty() {
                return Some(fields);
            }
            let (kind, body) = field(rest)?;
            match kind {
                UNIQUE_IDENTIFIER if fields.unique_identifier.replace(body).is_some() => return None,
                AUTHENTICATOR => {
                    fields.authenticator = Some((at, body));
                    // What stands behind it is nobody's word.
                    return Some(fields);
                }
                _ => {}
            }
            at += FIELD_HEAD_BYTES + body.len();
        }
        None
    }

    /// The cookies, if the key sealed them and everything before the authenticator.
    fn opened(&self, datagram: &[u8], key: &SivKey) -> Option<Vec<Cookie>> {
        let (at, body) = self.authenticator?;
        let (head, rest) = body.split_first_chunk::<AUTHENTICATOR_HEAD_BYTES>()?;
        let nonce_bytes = usize::from(u16::from_be_bytes([head[0], head[1]]));
        let sealed_bytes = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if nonce_bytes == 0 {
            return None;
        }
        // Each of both is padded to whole words (RFC 8915 §5.6).
        let (nonce, rest) = rest.split_at_checked(nonce_bytes.next_multiple_of(4))?;
        let sealed = rest.get(..sealed_bytes)?;
        let plaintext = key.open(&[&datagram[..at], &nonce[..nonce_bytes]], sealed).ok()?;
        cookies(&plaintext)
    }
}

/// The cookies among encrypted fields; what else is there is not known.
fn cookies(mut plaintext: &[u8]) -> Option<Vec<Cookie>> {
    let mut cookies = Vec::new();
    for _ in 0..FIELDS_MAX {
        if plaintext.is_empty() {
            return Some(cookies);
        }
        let (kind, body) = field(plaintext)?;
        if kind == COOKIE && cookies.len() < COOKIES_MAX {
            cookies.extend(Cookie::of(body));
        }
        plaintext = &plaintext[FIELD_HEAD_BYTES + body.len()..];
    }
    None
}

/// The first field: its length counts its head, and is one of whole words (RFC 7822 §3).
fn field(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<FIELD_HEAD_BYTES>()?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let body = rest.get(..length.checked_sub(FIELD_HEAD_BYTES)?)?;
    length.is_multiple_of(4).then_some((u16::from_be_bytes([head[0], head[1]]), body))
}

/// Adds a field, whose body has whole words.
fn push(datagram: &mut Vec<u8>, kind: u16, body: &[u8]) {
    let length = u16::try_from(FIELD_HEAD_BYTES + body.len()).expect("a question is shorter than its limit");
    datagram.extend_from_slice(&kind.to_be_bytes());
    datagram.extend_from_slice(&length.to_be_bytes());
    datagram.extend_from_slice(body);
}

#[cfg(test)]
mod tests;
