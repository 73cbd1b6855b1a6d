// SPDX-License-Identifier: Apache-2.0
//! Why a request got no answer.
//!
//! Invariant: a variant says who must act; the library's own words go to the log alone, because an outsider may have chosen the URL.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;

use crate::address::Refused;

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutboundError {
    /// The CA certificates given are malformed, or an https URL was asked for and the system has no CA certificates.
    #[error("the HTTP client cannot be set up: no usable CA certificates")]
    Setup,
    #[error("only http and https URLs with a host are fetched")]
    UnsupportedUrl,
    #[error("a URL with user name or password is not fetched")]
    UserInfo,
    #[error("a request header is malformed")]
    Header,
    #[error("the host has the address {address}, which is not public")]
    AddressRefused { address: IpAddr },
    #[error("the host name does not resolve")]
    Resolve,
    #[error("cannot connect{}", kind.map(|kind| format!(": {kind}")).unwrap_or_default())]
    Connect { kind: Option<io::ErrorKind> },
    #[error("no complete answer within {} ms", after.as_millis())]
    Timeout { after: Duration },
    #[error("the answer is longer than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the server redirects (status {status}), which is not followed")]
    Redirect { status: u16 },
    #[error("the connection broke or the answer is no HTTP")]
    Protocol,
}

/// Sorts an error of the HTTP library.
pub(crate) fn sort(error: &reqwest::Error, timeout: Duration) -> OutboundError {
    tracing::debug!(error = %Chain(error), "outgoing request failed");
    if let Some(refused) = cause(error, |cause| cause.downcast_ref::<Refused>().copied()) {
        return match refused {
            Refused::NotPublic { address } => OutboundError::AddressRefused { address },
            Refused::Unresolved => OutboundError::Resolve,
        };
    }
    if error.is_timeout() {
        OutboundError::Timeout { after: timeout }
    } else if error.is_connect() {
        OutboundError::Connect { kind: cause(error, |cause| cause.downcast_ref().map(io::Error::kind)) }
    } else {
        OutboundError::Protocol
    }
}

fn cause<T>(error: &reqwest::Error, find: impl Fn(&(dyn StdError + 'static)) -> Option<T>) -> Option<T> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(found) = find(cause) {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

struct Chain<'a>(&'a reqwest::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}
