// SPDX-License-Identifier: Apache-2.0
//! The records of a key establishment (RFC 8915 §4.1).
//!
//! In scope: what a client asks, and what a server's answer says. Out of scope: TLS ([`super::exchange`]).
//! Invariants: what is not understood and critical ends it; what has to be there once is there once; nothing is taken of an answer without its end.

use thiserror::Error;

use super::Cookie;

/// The longest answer: [`COOKIES_MAX`](super::COOKIES_MAX) cookies of the greatest length and a host name take a tenth of it.
pub(super) const ANSWER_BYTES_MAX: usize = 16 << 10;
/// Records of an answer: what is known, eight cookies, and as many again of kinds to come.
const RECORDS_MAX: usize = 64;
/// NTPv4 (RFC 8915 §7.7).
pub(super) const NTPV4: [u8; 2] = [0, 0];
/// AEAD_AES_SIV_CMAC_256 (IANA, AEAD Algorithms).
pub(super) const AES_SIV_CMAC_256: [u8; 2] = [0, 15];
const CRITICAL: u16 = 0x8000;
const END: u16 = 0;
const NEXT_PROTOCOL: u16 = 1;
const ERROR: u16 = 2;
const WARNING: u16 = 3;
const AEAD: u16 = 4;
const COOKIE: u16 = 5;
const SERVER: u16 = 6;
const PORT: u16 = 7;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordsError {
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes, or has more than {RECORDS_MAX} records")]
    TooLong,
    #[error("the answer ends before its last record")]
    Incomplete,
    #[error("the server refuses with error {code}")]
    Refused { code: u16 },
    #[error("the server warns with code {code}, which is not understood")]
    Warned { code: u16 },
    #[error("a critical record of type {kind} is not understood")]
    Critical { kind: u16 },
    #[error("the server does not offer NTPv4 alone")]
    Protocol,
    #[error("the server does not choose AEAD_AES_SIV_CMAC_256")]
    Algorithm,
    #[error("the record of the {what} is malformed, or there twice")]
    Malformed { what: &'static str },
    #[error("there is no cookie that can be used")]
    NoCookie,
    #[error("the server gives a cookie twice")]
    CookieRepeated,
}

/// What a client says: NTPv4, under the one algorithm that every server knows.
pub(super) fn request() -> Vec<u8> {
    let mut request = Vec::new();
    for (kind, body) in
        [(CRITICAL | NEXT_PROTOCOL, NTPV4.as_slice()), (CRITICAL | AEAD, &AES_SIV_CMAC_256), (CRITICAL | END, &[])]
    {
        let length = u16::try_from(body.len()).expect("two bytes at most");
        request.extend_from_slice(&kind.to_be_bytes());
        request.extend_from_slice(&length.to_be_bytes());
        request.extend_from_slice(body);
    }
    request
}

/// What a server's answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// In the order in which they came; at least one.
    pub(super) cookies: Vec<Cookie>,
    /// The host to ask for the time, if it is another.
    pub(super) server: Option<String>,
    pub(super) port: Option<u16>,
}

/// Reads what has come. None as long as the end is not among it.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Answer>, RecordsError> {
    let (mut rest, mut found) = (bytes, Found::default());
    for _ in 0..RECORDS_MAX {
        let Some((head, after)) = rest.split_first_chunk::<4>() else { return unfinished(bytes) };
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some((body, after)) = after.split_at_checked(length) else { return unfinished(bytes) };
        let kind = u16::from_be_bytes([head[0], head[1]]);
        if kind & !CRITICAL == END {
            return if body.is_empty() { found.answer().map(Some) } else { Err(malformed("end")) };
        }
        found.take(kind, body)?;
        rest = after;
    }
    Err(RecordsError::TooLong)
}

fn unfinished(bytes: &[u8]) -> Result<Option<Answer>, RecordsError> {
    if bytes.len() >= ANSWER_BYTES_MAX { Err(RecordsError::TooLong) } else { Ok(None) }
}

fn malformed(what: &'static str) -> RecordsError {
    RecordsError::Malformed { what }
}

#[derive(Default)]
struct Found {
    protocol: Option<()>,
    algorithm: Option<()>,
    cookies: Vec<Cookie>,
    server: Option<String>,
    port: Option<u16>,
}

impl Found {
    fn take(&mut self, kind: u16, body: &[u8]) -> Result<(), RecordsError> {
        match kind & !CRITICAL {
            NEXT_PROTOCOL if body == NTPV4 => once(&mut self.protocol, (), "protocol"),
            NEXT_PROTOCOL => Err(RecordsError::Protocol),
            AEAD if body == AES_SIV_CMAC_256 => once(&mut self.algorithm, (), "algorithm"),
            AEAD => Err(RecordsError::Algorithm),
            ERROR => Err(RecordsError::Refused { code: code(body, "error")? }),
            // RFC 8915 §4.1.4: a warning that is not understood ends it, and none is defined.
            WARNING => Err(RecordsError::Warned { code: code(body, "warning")? }),
            COOKIE => self.cookie(body),
            SERVER => {
                let text = std::str::from_utf8(body).map_err(|_| malformed("server"))?;
                once(&mut self.server, host(text).ok_or(malformed("server"))?, "server")
            }
            PORT => match code(body, "port")? {
                0 => Err(malformed("port")),
                port => once(&mut self.port, port, "port"),
            },
            unknown if kind & CRITICAL != 0 => Err(RecordsError::Critical { kind: unknown }),
            _ => Ok(()),
        }
    }

    /// Those that are too long for a datagram, and those beyond the eighth, are left.
    fn cookie(&mut self, body: &[u8]) -> Result<(), RecordsError> {
        let Some(cookie) = Cookie::of(body) else { return Ok(()) };
        if self.cookies.contains(&cookie) {
            return Err(RecordsError::CookieRepeated);
        }
        if self.cookies.len() < super::COOKIES_MAX {
            self.cookies.push(cookie);
        }
        Ok(())
    }

    fn answer(self) -> Result<Answer, RecordsError> {
        self.protocol.ok_or(RecordsError::Protocol)?;
        self.algorithm.ok_or(RecordsError::Algorithm)?;
        let Self { cookies, server, port, .. } = self;
        if cookies.is_empty() { Err(RecordsError::NoCookie) } else { Ok(Answer { cookies, server, port }) }
    }
}

fn once<T>(place: &mut Option<T>, value: T, what: &'static str) -> Result<(), RecordsError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(malformed(what)),
    }
}

fn code(body: &[u8], what: &'static str) -> Result<u16, RecordsError> {
    body.try_into().map(u16::from_be_bytes).map_err(|_| malformed(what))
}

/// A host name or an address, as RFC 8915 §4.1.7 has it.
fn host(text: &str) -> Option<String> {
    let address = text.parse::<std::net::IpAddr>().ok().map(|address| address.to_canonical().to_string());
    address.or_else(|| crate::time_server::host_name(text).ok()).filter(|host| host.len() <= 253)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
    }

    fn good() -> Vec<Vec<u8>> {
        vec![
            record(CRITICAL | NEXT_PROTOCOL, &NTPV4),
            record(AEAD, &AES_SIV_CMAC_256),
            record(COOKIE, &[1; 100]),
            record(COOKIE, &[2; 100]),
            record(CRITICAL | SERVER, b"Time.example."),
            record(PORT, &[4, 0xd2]),
            record(0x4000, b"of a time to come"),
            record(CRITICAL | END, &[]),
        ]
    }

    #[test]
    fn an_answer_is_read_as_soon_as_its_end_is_there() {
        let whole = good().concat();
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Ok(None), "{length}");
        }
        let cookies = [[1; 100], [2; 100]].map(|body| Cookie::of(&body).unwrap()).to_vec();
        let expect = Answer { cookies, server: Some("time.example".to_owned()), port: Some(1234) };
        assert_eq!(read(&whole), Ok(Some(expect)));
    }

    #[test]
    fn an_answer_that_says_less_or_more_or_something_else_is_refused() {
        let with = |record: Vec<u8>| {
            let mut records = good();
            records.insert(3, record);
            read(&records.concat())
        };
        let without = |at: usize| {
            let mut records = good();
            records.remove(at);
            read(&records.concat())
        };
        for (found, expect) in [
            (without(0), RecordsError::Protocol),
            (without(1), RecordsError::Algorithm),
            (with(record(NEXT_PROTOCOL, &NTPV4)), malformed("protocol")),
            (with(record(AEAD, &AES_SIV_CMAC_256)), malformed("algorithm")),
            (with(record(NEXT_PROTOCOL, &[0x80, 0])), RecordsError::Protocol),
            (with(record(NEXT_PROTOCOL, &[])), RecordsError::Protocol),
            (with(record(AEAD, &[0, 30])), RecordsError::Algorithm),
            (with(record(AEAD, &[0, 15, 0, 30])), RecordsError::Algorithm),
            (with(record(CRITICAL | ERROR, &[0, 1])), RecordsError::Refused { code: 1 }),
            (with(record(ERROR, &[0])), malformed("error")),
            (with(record(WARNING, &[0, 9])), RecordsError::Warned { code: 9 }),
            (with(record(CRITICAL | 0x4000, &[])), RecordsError::Critical { kind: 0x4000 }),
            (with(record(COOKIE, &[1; 100])), RecordsError::CookieRepeated),
            (with(record(SERVER, b"other.example")), malformed("server")),
            (with(record(SERVER, b"a b")), malformed("server")),
            (with(record(SERVER, &[0xff])), malformed("server")),
            (with(record(PORT, &[0, 124])), malformed("port")),
            (with(record(PORT, &[0, 0])), malformed("port")),
            (with(record(PORT, &[1])), malformed("port")),
            (with(record(END, &[0])), malformed("end")),
        ] {
            assert_eq!(found, Err(expect));
        }
        let records = good();
        let no_cookie = [&records[0][..], &records[1], &record(COOKIE, &[1; 3]), &records[7]].concat();
        assert_eq!(read(&no_cookie), Err(RecordsError::NoCookie));
    }

    #[test]
    fn answers_without_an_end_are_cut_off_by_length_and_by_count() {
        assert_eq!(read(&record(0x4000, &[])[..].repeat(RECORDS_MAX)), Err(RecordsError::TooLong));
        assert_eq!(read(&record(0x4000, &[0; 1000])[..].repeat(16)), Ok(None));
        assert_eq!(read(&record(0x4000, &[0; 1000])[..].repeat(17)), Err(RecordsError::TooLong));
    }

    #[test]
    fn cookies_beyond_the_eighth_and_too_long_ones_are_left() {
        let mut records = good();
        for number in 10..20 {
            records.insert(2, record(COOKIE, &[number; 64]));
        }
        records.insert(2, record(COOKIE, &[9; super::super::COOKIE_BYTES_MAX + 4]));
        let answer = read(&records.concat()).unwrap().unwrap();
        assert_eq!(answer.cookies.len(), super::super::COOKIES_MAX);
        assert_eq!(answer.cookies[0], Cookie::of(&[19; 64]).unwrap());
    }

    proptest! {
        #[test]
        fn reading_any_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = read(&bytes);
        }
    }
}
