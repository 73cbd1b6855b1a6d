// SPDX-License-Identifier: Apache-2.0
//! One time server, asked again and again.
//!
//! In scope: which protocol it is asked by, what is kept between two questions, what an answer says, and why there is none. Out of scope: the protocols
//! ([`crate::sntp`], [`crate::nts`]); how many servers have to agree (crate `server`).
//! Invariant: a server that is to authenticate its answers is never asked without that.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;
use thiserror::Error;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::OutboundError;
use crate::nts::{ALPN, KeyExchangeError, NtsClient};
use crate::sntp::ask_time;
use crate::time_server::{NtpServer, TimeProtocol};

/// How far a clock is off, by one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSample {
    /// Who said so: two names of one server have one answer.
    pub server: SocketAddr,
    /// What would have to be added to the clock, in microseconds.
    pub offset_us: i64,
    /// How wrong that may be: half of the way there and back, and what the server says of its own way to its reference (root distance).
    pub error_us: u64,
}

/// Why a server says nothing about the time.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum TimeError {
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
    /// RFC 8915 §4: without keys nothing is asked.
    #[error("no keys were established with the server: {0}")]
    KeyExchange(#[from] KeyExchangeError),
    /// RFC 8915 §5.7: somebody else answered, or changed an answer, or the server uses other keys.
    #[error("what came as an answer does not authenticate")]
    NotAuthenticated,
    /// RFC 8915 §5.7 (`NTSN`): the server does not know the keys any more, or somebody says so in its place.
    #[error("the server does not know the keys any more")]
    KeysForgotten,
    #[error("the server gave a cookie for the second time")]
    CookieRepeated,
}

/// Whose certificates name time servers.
#[derive(Clone)]
pub struct TimeRoots(Arc<ClientConfig>);

impl TimeRoots {
    /// Nobody's: enough for servers that are asked by SNTP.
    #[must_use]
    pub fn none() -> Self {
        Self::config(RootCertStore::empty())
    }

    /// Those that the system trusts.
    ///
    /// # Errors
    /// The system has no CA certificates.
    pub fn system() -> Result<Self, OutboundError> {
        let builder = ClientConfig::builder_with_protocol_versions(&[&TLS13]);
        let builder = builder.with_platform_verifier().map_err(|_| OutboundError::Setup)?;
        Ok(Self::speaking_nts(builder.with_no_client_auth()))
    }

    /// Those of a PEM file, and no others.
    ///
    /// # Errors
    /// It holds no CA certificate, or one that cannot be read.
    pub fn of_pem(pem: &[u8]) -> Result<Self, OutboundError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(|_| OutboundError::Setup)?).map_err(|_| OutboundError::Setup)?;
        }
        if roots.is_empty() { Err(OutboundError::Setup) } else { Ok(Self::config(roots)) }
    }

    fn config(roots: RootCertStore) -> Self {
        let builder = ClientConfig::builder_with_protocol_versions(&[&TLS13]);
        Self::speaking_nts(builder.with_root_certificates(roots).with_no_client_auth())
    }

    fn speaking_nts(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Each exchange is to prove anew who the server is.
        config.resumption = Resumption::disabled();
        Self(Arc::new(config))
    }
}

/// A time server, and what is kept of it between two questions.
pub struct TimeSource {
    server: NtpServer,
    /// There for those that are asked by NTS.
    nts: Option<NtsClient>,
}

impl TimeSource {
    /// `roots` are looked at for servers with NTS alone.
    #[must_use]
    pub fn new(server: NtpServer, roots: &TimeRoots) -> Self {
        let nts = match server.protocol() {
            TimeProtocol::Sntp => None,
            TimeProtocol::Nts => Some(NtsClient::new(server.clone(), Arc::clone(&roots.0))),
        };
        Self { server, nts }
    }

    #[must_use]
    pub fn server(&self) -> &NtpServer {
        &self.server
    }

    /// Asks. `clock_ms` is the clock in question, in milliseconds since 1970; an answer may take until `patience` is over, and keys, where they are
    /// needed first, have a time of their own.
    ///
    /// # Errors
    /// There is no answer that says anything.
    pub async fn ask(
        &mut self,
        clock_ms: &(dyn Fn() -> u64 + Sync),
        patience: Duration,
    ) -> Result<ClockSample, TimeError> {
        match &mut self.nts {
            Some(nts) => nts.ask(clock_ms, patience).await,
            None => {
                let mut cookie = [0; 8];
                touchmark_keys::random(&mut cookie);
                ask_time(&self.server, cookie, clock_ms, patience).await
            }
        }
    }
}
