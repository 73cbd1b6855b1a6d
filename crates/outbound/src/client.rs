// SPDX-License-Identifier: Apache-2.0
//! The HTTP client.
//!
//! In scope: one request, one bounded answer. Out of scope: which addresses are public (`address`).
//! Invariants: the client library is set up on first use, and CA certificates are loaded on first use of https, because verifying
//! offline needs neither and loading takes milliseconds; a connection pool is shared by all clones.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Method};
use url::{Host, Url};

use crate::OutboundError;
use crate::address::{AnyResolver, PublicResolver, Refused, expect_public};
use crate::error::sort;

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Globally routable addresses alone.
    PublicOnly,
    /// Also private networks and this machine: for services that the operator named.
    Private,
}

/// What an answer may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub response_bytes_max: usize,
    /// From the start of the request to the last byte of the answer.
    pub timeout: Duration,
}

impl Limits {
    /// A Sigstore service: answers are certificates, log entries and timestamps of some kilobytes.
    pub const SERVICE: Self = Self { response_bytes_max: 1 << 20, timeout: Duration::from_secs(30) };

    /// OIDC discovery and keys of an issuer, while a request for a certificate waits.
    pub const DISCOVERY: Self = Self { response_bytes_max: 1 << 18, timeout: Duration::from_secs(10) };
}

/// An answer: any status but a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Response {
    /// The first header of this name, in any case; none if it is not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// An HTTP client. Cheap to make and to clone.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
}

struct Shared {
    user_agent: String,
    reach: Reach,
    ca_pem: Option<Vec<u8>>,
    /// For http URLs: trusts no CA, so it can be made on a machine that has none.
    plain: OnceLock<Result<Client, OutboundError>>,
    tls: OnceLock<Result<Client, OutboundError>>,
}

impl Outbound {
    /// `ca_pem` holds CA certificates to trust besides the system's.
    #[must_use]
    pub fn new(user_agent: &str, reach: Reach, ca_pem: Option<Vec<u8>>) -> Self {
        let (plain, tls) = (OnceLock::new(), OnceLock::new());
        Self { shared: Arc::new(Shared { user_agent: user_agent.to_owned(), reach, ca_pem, plain, tls }) }
    }

    pub async fn get(&self, url: &Url, limits: &Limits) -> Result<Response, OutboundError> {
        self.get_with(url, &[], limits).await
    }

    pub async fn get_with(
        &self,
        url: &Url,
        headers: &[(&str, &str)],
        limits: &Limits,
    ) -> Result<Response, OutboundError> {
        self.send(Method::GET, url, headers, Vec::new(), limits).await
    }

    pub async fn post(
        &self,
        url: &Url,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        limits: &Limits,
    ) -> Result<Response, OutboundError> {
        self.send(Method::POST, url, headers, body, limits).await
    }

    pub async fn put(
        &self,
        url: &Url,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        limits: &Limits,
    ) -> Result<Response, OutboundError> {
        self.send(Method::PUT, url, headers, body, limits).await
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        limits: &Limits,
    ) -> Result<Response, OutboundError> {
        self.expect_allowed(url)?;
        let request = self
            .client(url)?
            .request(method, url.clone())
            .headers(header_map(headers)?)
            .body(body)
            .timeout(limits.timeout);
        let response = request.send().await.map_err(|error| sort(&error, limits.timeout))?;
        if response.status().is_redirection() {
            return Err(OutboundError::Redirect { status: response.status().as_u16() });
        }
        bounded(response, limits).await
    }

    fn expect_allowed(&self, url: &Url) -> Result<(), OutboundError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundError::UserInfo);
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(OutboundError::UnsupportedUrl);
        }
        // A literal address never comes to the resolver. The URL parser has normalised it: 127.1 and 0x7f000001 are 127.0.0.1.
        let literal = match url.host().ok_or(OutboundError::UnsupportedUrl)? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
        };
        match (self.shared.reach, literal) {
            (Reach::PublicOnly, Some(address)) => expect_public(address).map_err(|refused| match refused {
                Refused::NotPublic { address } => OutboundError::AddressRefused { address },
                Refused::Unresolved => OutboundError::Resolve,
            }),
            (Reach::PublicOnly, None) | (Reach::Private, _) => Ok(()),
        }
    }

    fn client(&self, url: &Url) -> Result<&Client, OutboundError> {
        let shared = &self.shared;
        let client = match url.scheme() {
            "https" => shared.tls.get_or_init(|| shared.build_tls()),
            _ => shared.plain.get_or_init(|| build(shared.builder().tls_certs_only([]))),
        };
        client.as_ref().map_err(Clone::clone)
    }
}

impl Shared {
    fn builder(&self) -> ClientBuilder {
        let builder = Client::builder().user_agent(&self.user_agent).redirect(Policy::none()).no_proxy().referer(false);
        match self.reach {
            Reach::PublicOnly => builder.dns_resolver(Arc::new(PublicResolver)),
            Reach::Private => builder.dns_resolver(Arc::new(AnyResolver)),
        }
    }

    fn build_tls(&self) -> Result<Client, OutboundError> {
        let builder = self.builder().https_only(true);
        let Some(pem) = &self.ca_pem else { return build(builder) };
        let certificates = Certificate::from_pem_bundle(pem).map_err(|_| OutboundError::Setup)?;
        if certificates.is_empty() {
            return Err(OutboundError::Setup);
        }
        build(builder.tls_certs_merge(certificates))
    }
}

fn build(builder: ClientBuilder) -> Result<Client, OutboundError> {
    builder.build().map_err(|error| {
        tracing::warn!(%error, "the HTTP client cannot be set up");
        OutboundError::Setup
    })
}

fn header_map(headers: &[(&str, &str)]) -> Result<HeaderMap, OutboundError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().map_err(|_| OutboundError::Header)?;
        let value: HeaderValue = value.parse().map_err(|_| OutboundError::Header)?;
        map.append(name, value);
    }
    Ok(map)
}

async fn bounded(mut response: reqwest::Response, limits: &Limits) -> Result<Response, OutboundError> {
    let too_large = || OutboundError::BodyTooLarge { limit: limits.response_bytes_max };
    let announced = response.content_length().map_or(Ok(0), usize::try_from).map_err(|_| too_large())?;
    if announced > limits.response_bytes_max {
        return Err(too_large());
    }
    let mut body = Vec::with_capacity(announced);
    while let Some(chunk) = response.chunk().await.map_err(|error| sort(&error, limits.timeout))? {
        if chunk.len() > limits.response_bytes_max - body.len() {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        value.to_str().ok().map(|value| (name.as_str().to_owned(), value.to_owned()))
    };
    let headers = response.headers().iter().filter_map(text).collect();
    Ok(Response { status: response.status().as_u16(), body, headers })
}

#[cfg(test)]
mod tests;
