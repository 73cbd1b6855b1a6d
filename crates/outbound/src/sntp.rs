// SPDX-License-Identifier: Apache-2.0
//! Asking a time server how far a clock is off: SNTP, the client mode of NTP over UDP (RFC 4330 §5, RFC 5905 §14).
//!
//! In scope: one question to one server that the operator named, and whether the answer is one: from the address that was asked, with what we sent
//! in it, of a server that knows the time. Out of scope: how many servers have to agree, and what follows (crate `server`); authentication of
//! servers (NTS); setting a clock.
//! Invariants: what is sent says nothing of the local clock; a datagram that does not repeat the random bytes that were sent is nobody's answer and ends
//! nothing; a question ends by its deadline.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::net::UdpSocket;

/// Where NTP is spoken.
const PORT: u16 = 123;
/// The longest name of a server: a host name of DNS, and a port.
const NAME_BYTES_MAX: usize = 253 + 6;
/// The header, without extension fields and authenticator, which are not read.
const HEADER_BYTES: usize = 48;
/// Datagrams that are no answer and are read until one is: an attacker who floods us gains a question without an answer.
const STRAY_DATAGRAMS_MAX: usize = 64;
/// Seconds from 1900, where NTP begins, to 1970.
const UNIX_EPOCH_S: i64 = 2_208_988_800;
/// NTP counts seconds in 32 bits.
const ERA_S: i64 = 1 << 32;
const MICROS: i128 = 1_000_000;

/// A time server: a host name or an address, with a port if it is not 123.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NtpServer {
    host: String,
    port: u16,
}

/// What a text should be to name a time server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "must be a host name or an address, with a port if it is not 123, such as `time.example.com` or `[2001:db8::1]:123`"
)]
pub struct NtpServerError;

impl NtpServer {
    /// Reads `host`, `host:port`, an IP address, or `[IPv6 address]:port`.
    ///
    /// # Errors
    /// The text names no server.
    pub fn parse(text: &str) -> Result<Self, NtpServerError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NtpServerError);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Self::of(address.ip().to_string(), address.port());
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Self::of(address.to_string(), PORT);
        }
        match text.split_once(':') {
            Some((host, port)) => Self::of(host_name(host)?, port.parse().map_err(|_| NtpServerError)?),
            None => Self::of(host_name(text)?, PORT),
        }
    }

    fn of(host: String, port: u16) -> Result<Self, NtpServerError> {
        if port == 0 { Err(NtpServerError) } else { Ok(Self { host, port }) }
    }
}

impl fmt::Display for NtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match (host.contains(':'), *port) {
            (_, PORT) => f.write_str(host),
            (true, port) => write!(f, "[{host}]:{port}"),
            (false, port) => write!(f, "{host}:{port}"),
        }
    }
}

fn host_name(text: &str) -> Result<String, NtpServerError> {
    let is_label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.split('.').all(is_label) { Ok(name.to_ascii_lowercase()) } else { Err(NtpServerError) }
}

/// Why a server says nothing about the time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SntpError {
    #[error("the host name does not resolve")]
    Resolve,
    #[error("cannot be reached: {kind}")]
    Unreachable { kind: io::ErrorKind },
    #[error("no answer within {} ms", after.as_millis())]
    Timeout { after: Duration },
    /// RFC 5905 §7.4: the server wants to be asked less (`RATE`) or not at all (`DENY`, `RSTR`).
    #[error("the server refuses to answer: kiss code {}", String::from_utf8_lossy(code))]
    KissOfDeath { code: [u8; 4] },
    #[error("the server does not know the time")]
    Unsynchronised,
    #[error("the answer is implausible: {field}")]
    Implausible { field: &'static str },
}

/// How far a clock is off, by one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSample {
    /// What would have to be added to the clock, in microseconds.
    pub offset_us: i64,
    /// How wrong that may be: half of the way there and back, and what the server says of its own way to its reference (root distance).
    pub error_us: u64,
}

/// Asks a server. `clock_ms` is the clock in question, in milliseconds since 1970; `cookie` are random bytes of this question alone.
///
/// # Errors
/// There is no answer that says anything.
pub async fn ask_time(
    server: &NtpServer,
    cookie: [u8; 8],
    clock_ms: &(dyn Fn() -> u64 + Sync),
    deadline: Duration,
) -> Result<ClockSample, SntpError> {
    let asked = tokio::time::timeout(deadline, ask(server, cookie, clock_ms));
    asked.await.unwrap_or(Err(SntpError::Timeout { after: deadline }))
}

async fn ask(
    server: &NtpServer,
    cookie: [u8; 8],
    clock_ms: &(dyn Fn() -> u64 + Sync),
) -> Result<ClockSample, SntpError> {
    let mut found =
        tokio::net::lookup_host((server.host.as_str(), server.port)).await.map_err(|_| SntpError::Resolve)?;
    let address = found.next().ok_or(SntpError::Resolve)?;
    let unreachable = |error: io::Error| SntpError::Unreachable { kind: error.kind() };
    // A port of the kernel's choice: who does not see the question has to guess it besides the cookie.
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.map_err(unreachable)?;
    // From here on the kernel drops what comes from another address.
    socket.connect(address).await.map_err(unreachable)?;
    let (sent_ms, sent_at) = (clock_ms(), Instant::now());
    socket.send(&question(cookie)).await.map_err(unreachable)?;
    let mut datagram = [0; 512];
    for _ in 0..STRAY_DATAGRAMS_MAX {
        let length = socket.recv(&mut datagram).await.map_err(unreachable)?;
        let elapsed = sent_at.elapsed();
        if let Some(answer) = Answer::of(&datagram[..length], cookie) {
            return answer.sample(sent_ms, elapsed);
        }
    }
    Err(SntpError::Implausible { field: "too many datagrams that answer nothing" })
}

/// Version 4, mode 3 (client). The transmit timestamp is random, as a client's may be: the server only repeats it.
fn question(cookie: [u8; 8]) -> [u8; HEADER_BYTES] {
    let mut question = [0; HEADER_BYTES];
    question[0] = 4 << 3 | 3;
    question[HEADER_BYTES - 8..].copy_from_slice(&cookie);
    question
}

/// A datagram that repeats what was sent.
struct Answer<'d> {
    header: &'d [u8; HEADER_BYTES],
}

impl<'d> Answer<'d> {
    fn of(datagram: &'d [u8], cookie: [u8; 8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = datagram.first_chunk()?;
        (header[24..32] == cookie).then_some(Self { header })
    }

    fn sample(&self, sent_ms: u64, elapsed: Duration) -> Result<ClockSample, SntpError> {
        let [leap_version_mode, stratum, ..] = *self.header;
        if leap_version_mode & 7 != 4 {
            return Err(SntpError::Implausible { field: "the mode is not that of a server" });
        }
        if !matches!(leap_version_mode >> 3 & 7, 3 | 4) {
            return Err(SntpError::Implausible { field: "the version is neither 3 nor 4" });
        }
        if stratum == 0 {
            let code = self.header[12..16].try_into().expect("four bytes of the header");
            return Err(SntpError::KissOfDeath { code });
        }
        if leap_version_mode >> 6 == 3 || stratum > 15 {
            return Err(SntpError::Unsynchronised);
        }
        let sent_us = i128::from(sent_ms) * 1000;
        let (received, answered) = (self.time_us(32, sent_us)?, self.time_us(40, sent_us)?);
        if answered < received {
            return Err(SntpError::Implausible { field: "it was sent before the question came" });
        }
        let elapsed_us = i128::try_from(elapsed.as_micros()).unwrap_or(i128::MAX);
        let way_us = (elapsed_us - (answered - received)).max(0);
        let offset_us = ((received - sent_us) + (answered - sent_us - elapsed_us)) / 2;
        // A millisecond is what our own clock may be cut by.
        let error_us = way_us / 2 + self.short_us(4) / 2 + self.short_us(8) + 1000;
        let implausible = SntpError::Implausible { field: "the offset" };
        Ok(ClockSample {
            offset_us: i64::try_from(offset_us).map_err(|_| implausible.clone())?,
            error_us: u64::try_from(error_us).map_err(|_| implausible)?,
        })
    }

    /// A timestamp in microseconds since 1970, in the era that brings it nearest to `about_us`.
    fn time_us(&self, at: usize, about_us: i128) -> Result<i128, SntpError> {
        let (seconds, fraction) = (self.word(at), self.word(at + 4));
        if seconds == 0 && fraction == 0 {
            return Err(SntpError::Implausible { field: "a timestamp is missing" });
        }
        let about_s = i64::try_from(about_us / MICROS).unwrap_or(i64::MAX / 2) + UNIX_EPOCH_S;
        let ahead_s = (i64::from(seconds) - about_s).rem_euclid(ERA_S);
        let ahead_s = if ahead_s >= ERA_S / 2 { ahead_s - ERA_S } else { ahead_s };
        let seconds = i128::from(about_s + ahead_s - UNIX_EPOCH_S);
        Ok(seconds * MICROS + ((i128::from(fraction) * MICROS) >> 32))
    }

    /// NTP short format: 16 bits of seconds, 16 of their fraction.
    fn short_us(&self, at: usize) -> i128 {
        (i128::from(self.word(at)) * MICROS) >> 16
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.header[at..at + 4].try_into().expect("four bytes of the header");
        u32::from_be_bytes(bytes)
    }
}

#[cfg(test)]
mod tests;
