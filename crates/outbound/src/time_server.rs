// SPDX-License-Identifier: Apache-2.0
//! How an operator names a time server.
//!
//! In scope: host, port, and whether its answers are to be authenticated. Out of scope: asking it ([`crate::sntp`], [`crate::nts`]).
//! Invariant: a server is one value by any spelling of its name.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

/// Where NTP is spoken.
pub(crate) const NTP_PORT: u16 = 123;
/// Where keys for NTS are established (RFC 8915 §7.2).
const NTS_PORT: u16 = 4460;
/// What names a server whose answers are authenticated.
const NTS_SCHEME: &str = "nts://";
/// The longest name of a server: a host name of DNS, and a port.
const NAME_BYTES_MAX: usize = 253 + 6;

/// Whether anybody on the way can answer in place of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeProtocol {
    /// SNTP (RFC 4330): whoever sees the question can answer it.
    Sntp,
    /// Network Time Security (RFC 8915): only the server can that its certificate names.
    Nts,
}

impl TimeProtocol {
    fn port(self) -> u16 {
        match self {
            Self::Sntp => NTP_PORT,
            Self::Nts => NTS_PORT,
        }
    }
}

/// A time server: a host name or an address, with a port if it is another than that of its protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NtpServer {
    protocol: TimeProtocol,
    host: String,
    port: u16,
}

/// What a text should be to name a time server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "must be a host name or an address, with a port if it is not 123, such as `time.example.com` or `[2001:db8::1]:123`; with `nts://` before it, if it speaks NTS, and a port if that is not 4460"
)]
pub struct NtpServerError;

impl NtpServer {
    /// Reads `host`, `host:port`, an IP address, or `[IPv6 address]:port`, each alone or after `nts://`.
    ///
    /// # Errors
    /// The text names no server.
    pub fn parse(text: &str) -> Result<Self, NtpServerError> {
        match text.split_at_checked(NTS_SCHEME.len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(NTS_SCHEME) => Self::place(TimeProtocol::Nts, rest),
            _ => Self::place(TimeProtocol::Sntp, text),
        }
    }

    fn place(protocol: TimeProtocol, text: &str) -> Result<Self, NtpServerError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NtpServerError);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Self::of(protocol, address.ip().to_canonical().to_string(), address.port());
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Self::of(protocol, address.to_canonical().to_string(), protocol.port());
        }
        match text.split_once(':') {
            Some((host, port)) => Self::of(protocol, host_name(host)?, port.parse().map_err(|_| NtpServerError)?),
            None => Self::of(protocol, host_name(text)?, protocol.port()),
        }
    }

    fn of(protocol: TimeProtocol, host: String, port: u16) -> Result<Self, NtpServerError> {
        if port == 0 { Err(NtpServerError) } else { Ok(Self { protocol, host, port }) }
    }

    /// Whether its answers are authenticated.
    #[must_use]
    pub fn protocol(&self) -> TimeProtocol {
        self.protocol
    }

    /// Whether it is one server with another, as far as names say: the same place by the same protocol, or the same host by both. Which port of NTP
    /// a host with NTS has is not known before it was asked.
    #[must_use]
    pub fn is_one_with(&self, other: &Self) -> bool {
        self.host == other.host && (self.protocol != other.protocol || self.port == other.port)
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for NtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, host, port } = self;
        if *protocol == TimeProtocol::Nts {
            f.write_str(NTS_SCHEME)?;
        }
        match (host.contains(':'), *port) {
            (_, port) if port == protocol.port() => f.write_str(host),
            (true, port) => write!(f, "[{host}]:{port}"),
            (false, port) => write!(f, "{host}:{port}"),
        }
    }
}

pub(crate) fn host_name(text: &str) -> Result<String, NtpServerError> {
    let is_label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.split('.').all(is_label) { Ok(name.to_ascii_lowercase()) } else { Err(NtpServerError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> NtpServer {
        NtpServer::parse(text).unwrap()
    }

    #[test]
    fn servers_are_named_by_host_or_address_and_port() {
        for (text, shown) in [
            ("time.example.com", "time.example.com"),
            // One server by any spelling.
            ("Time.EXAMPLE.com.", "time.example.com"),
            ("time.example.com:123", "time.example.com"),
            ("time.example.com:1123", "time.example.com:1123"),
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:1123", "192.0.2.1:1123"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:DB8:0::1]", "2001:db8::1"),
            ("[2001:db8::1]:1123", "[2001:db8::1]:1123"),
            ("nts://time.example.com", "nts://time.example.com"),
            ("NTS://Time.example.com.:4460", "nts://time.example.com"),
            ("nts://time.example.com:123", "nts://time.example.com:123"),
            ("nts://[2001:db8::1]", "nts://2001:db8::1"),
            ("nts://[2001:db8::1]:4461", "nts://[2001:db8::1]:4461"),
        ] {
            let server = server(text);
            assert_eq!(server.to_string(), shown);
            assert_eq!(NtpServer::parse(shown), Ok(server));
        }
        let long = format!("{}.example", "a".repeat(300));
        for text in [
            "",
            ":123",
            "a:",
            "a:0",
            "a:65536",
            "a b",
            "-a",
            "a..b",
            "http://a",
            "a/b",
            "nts://",
            "nts:a",
            "nts://a/",
            "ntp://a",
            "nts://nts://a",
            "nts://a:0",
            &long,
            &format!("nts://{long}"),
        ] {
            assert_eq!(NtpServer::parse(text), Err(NtpServerError), "{text}");
        }
    }

    #[test]
    fn a_server_is_one_with_itself_by_any_spelling_and_protocol() {
        for (one, other, expect) in [
            ("a", "A.:123", true),
            ("a", "a:1123", false),
            ("a", "b", false),
            ("nts://a", "nts://A:4460", true),
            ("nts://a", "nts://a:4461", false),
            ("nts://a", "a", true),
            ("nts://a", "a:1123", true),
            ("nts://a", "b", false),
            ("nts://[2001:db8::1]", "2001:db8:0::1", true),
        ] {
            assert_eq!(server(one).is_one_with(&server(other)), expect, "{one} {other}");
            assert_eq!(server(other).is_one_with(&server(one)), expect, "{other} {one}");
        }
    }
}
