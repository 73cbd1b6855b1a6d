// SPDX-License-Identifier: Apache-2.0
//! Asking a time server how far a clock is off: SNTP, the client mode of NTP over UDP (RFC 4330 §5, RFC 5905 §14).
//!
//! In scope: one question to one server that the operator named, and whether the answer is one: from the address that was asked, with what we sent
//! in it, of a server that knows the time. Out of scope: how many servers have to agree, and what follows (crate `server`); that the answer is the
//! server's own ([`crate::nts`]); setting a clock.
//! Invariants: what is sent says nothing of the local clock; a datagram that does not repeat the random bytes that were sent is nobody's answer and ends
//! nothing; a question ends by its deadline.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use crate::time::{ClockSample, TimeError};
use crate::time_server::NtpServer;

/// The header; what follows it is read where the answer is authenticated ([`crate::nts`]).
pub(crate) const HEADER_BYTES: usize = 48;
/// Datagrams that are no answer and are read until one is: an attacker who floods us gains a question without an answer.
pub(crate) const STRAY_DATAGRAMS_MAX: usize = 64;
/// Seconds from 1900, where NTP begins, to 1970.
const UNIX_EPOCH_S: i64 = 2_208_988_800;
/// NTP counts seconds in 32 bits.
const ERA_S: i64 = 1 << 32;
const MICROS: i128 = 1_000_000;

/// Asks a server. `cookie` are random bytes of this question alone.
pub(crate) async fn ask_time(
    server: &NtpServer,
    cookie: [u8; 8],
    clock_ms: &(dyn Fn() -> u64 + Sync),
    deadline: Duration,
) -> Result<ClockSample, TimeError> {
    let asked = tokio::time::timeout(deadline, ask(server, cookie, clock_ms));
    asked.await.unwrap_or(Err(TimeError::Timeout { after: deadline }))
}

async fn ask(
    server: &NtpServer,
    cookie: [u8; 8],
    clock_ms: &(dyn Fn() -> u64 + Sync),
) -> Result<ClockSample, TimeError> {
    let address = resolve(server.host(), server.port()).await?;
    let socket = socket_to(address).await?;
    let (sent_ms, sent_at) = (clock_ms(), Instant::now());
    socket.send(&question(cookie)).await.map_err(unreachable)?;
    let mut datagram = [0; 512];
    for _ in 0..STRAY_DATAGRAMS_MAX {
        let length = socket.recv(&mut datagram).await.map_err(unreachable)?;
        let elapsed = sent_at.elapsed();
        if let Some(answer) = Answer::of(&datagram[..length], cookie) {
            return answer.sample(sent_ms, elapsed, address);
        }
    }
    Err(TimeError::Implausible { field: "too many datagrams that answer nothing" })
}

/// The first address of a host.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<SocketAddr, TimeError> {
    let mut found = tokio::net::lookup_host((host, port)).await.map_err(|_| TimeError::Resolve)?;
    found.next().ok_or(TimeError::Resolve)
}

/// A socket that hears one server alone: the kernel drops what comes from another address.
pub(crate) async fn socket_to(address: SocketAddr) -> Result<UdpSocket, TimeError> {
    // A port of the kernel's choice: who does not see the question has to guess it besides the cookie.
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.map_err(unreachable)?;
    socket.connect(address).await.map_err(unreachable)?;
    Ok(socket)
}

pub(crate) fn unreachable(error: io::Error) -> TimeError {
    TimeError::Unreachable { kind: error.kind() }
}

/// Version 4, mode 3 (client). The transmit timestamp is random, as a client's may be: the server only repeats it.
pub(crate) fn question(cookie: [u8; 8]) -> [u8; HEADER_BYTES] {
    let mut question = [0; HEADER_BYTES];
    question[0] = 4 << 3 | 3;
    question[HEADER_BYTES - 8..].copy_from_slice(&cookie);
    question
}

/// A datagram that repeats what was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'d> {
    header: &'d [u8; HEADER_BYTES],
}

impl<'d> Answer<'d> {
    pub(crate) fn of(datagram: &'d [u8], cookie: [u8; 8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = datagram.first_chunk()?;
        (header[24..32] == cookie).then_some(Self { header })
    }

    /// Four bytes that say why a server does not say the time (RFC 5905 §7.4), if it does not.
    pub(crate) fn kiss_code(&self) -> Option<[u8; 4]> {
        let code = self.header[12..16].try_into().expect("four bytes of the header");
        (self.header[1] == 0).then_some(code)
    }

    /// What it says of a clock that showed `sent_ms` when the question went out, `elapsed` before this came back from `server`.
    pub(crate) fn sample(&self, sent_ms: u64, elapsed: Duration, server: SocketAddr) -> Result<ClockSample, TimeError> {
        let [leap_version_mode, stratum, ..] = *self.header;
        if leap_version_mode & 7 != 4 {
            return Err(TimeError::Implausible { field: "the mode is not that of a server" });
        }
        if !matches!(leap_version_mode >> 3 & 7, 3 | 4) {
            return Err(TimeError::Implausible { field: "the version is neither 3 nor 4" });
        }
        if let Some(code) = self.kiss_code() {
            return Err(TimeError::KissOfDeath { code });
        }
        if leap_version_mode >> 6 == 3 || stratum > 15 {
            return Err(TimeError::Unsynchronised);
        }
        let sent_us = i128::from(sent_ms) * 1000;
        let (received, answered) = (self.time_us(32, sent_us)?, self.time_us(40, sent_us)?);
        if answered < received {
            return Err(TimeError::Implausible { field: "it was sent before the question came" });
        }
        let elapsed_us = i128::try_from(elapsed.as_micros()).unwrap_or(i128::MAX);
        let way_us = (elapsed_us - (answered - received)).max(0);
        let offset_us = ((received - sent_us) + (answered - sent_us - elapsed_us)) / 2;
        // A millisecond is what our own clock may be cut by.
        let error_us = way_us / 2 + self.short_us(4) / 2 + self.short_us(8) + 1000;
        let implausible = TimeError::Implausible { field: "the offset" };
        Ok(ClockSample {
            server,
            offset_us: i64::try_from(offset_us).map_err(|_| implausible.clone())?,
            error_us: u64::try_from(error_us).map_err(|_| implausible)?,
        })
    }

    /// A timestamp in microseconds since 1970, in the era that brings it nearest to `about_us`.
    fn time_us(&self, at: usize, about_us: i128) -> Result<i128, TimeError> {
        let (seconds, fraction) = (self.word(at), self.word(at + 4));
        if seconds == 0 && fraction == 0 {
            return Err(TimeError::Implausible { field: "a timestamp is missing" });
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
