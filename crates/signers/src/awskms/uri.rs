// SPDX-License-Identifier: Apache-2.0
//! Names of keys in AWS KMS: `awskms://[ENDPOINT]/KEY`.
//!
//! Spec: the key references of Sigstore's tools (sigstore/sigstore, `pkg/signature/kms/aws`); key identifiers as in the developer guide of AWS
//! KMS: a key ID, `alias/NAME`, or the ARN of either.
//! In scope: the reference, and one addition of ours, `?transport=`, without which nothing but HTTPS to public addresses is spoken.
//! Out of scope: credentials ([`super::credentials`]).

use std::fmt;

use thiserror::Error;
use url::{Host, Url};

/// Longest reference: KMS allows 2048 bytes for a key identifier, a host name has at most 253.
const URI_BYTES_MAX: usize = 2560;

/// Which key, and where it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKmsUri {
    /// A key ID, `alias/NAME` or an ARN.
    pub(super) key: String,
    /// Host and port; none for the public endpoint of the region.
    pub(super) endpoint: Option<String>,
    pub(super) transport: AwsKmsTransport,
}

/// How the service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsKmsTransport {
    /// HTTPS, to public addresses alone.
    Https,
    /// HTTPS, to private networks too: an endpoint in a private cloud.
    HttpsPrivate,
    /// Plain HTTP to this machine: a service for tests.
    LoopbackHttp,
}

/// Why an `awskms://` reference is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AwsKmsUriError {
    #[error(
        "must be `awskms://[ENDPOINT]/KEY`, where KEY is a key ID, `alias/NAME` or the ARN of either, and the endpoint may be left out"
    )]
    Form,
    #[error("the endpoint must be a host name or address, and a port if it is not the usual one")]
    Endpoint,
    #[error(
        "after the question mark only `transport=` may stand, with `https` (the default), `https-private` (private networks too) or `loopback-http` (plain HTTP to this machine)"
    )]
    Query,
    #[error("`transport=loopback-http` and `transport=https-private` need an endpoint")]
    EndpointMissing,
    #[error("`transport=loopback-http` is for endpoints on this machine: localhost, 127.0.0.1 or [::1]")]
    NotLoopback,
}

impl AwsKmsUri {
    pub(crate) const SCHEME: &str = "awskms://";

    pub fn parse(text: &str) -> Result<Self, AwsKmsUriError> {
        let rest =
            text.strip_prefix(Self::SCHEME).filter(|_| text.len() <= URI_BYTES_MAX).ok_or(AwsKmsUriError::Form)?;
        let (rest, transport) = match rest.split_once('?') {
            None => (rest, AwsKmsTransport::Https),
            Some((rest, "transport=https")) => (rest, AwsKmsTransport::Https),
            Some((rest, "transport=https-private")) => (rest, AwsKmsTransport::HttpsPrivate),
            Some((rest, "transport=loopback-http")) => (rest, AwsKmsTransport::LoopbackHttp),
            Some(_) => return Err(AwsKmsUriError::Query),
        };
        let (endpoint, key) = rest.split_once('/').ok_or(AwsKmsUriError::Form)?;
        if !is_key(key) {
            return Err(AwsKmsUriError::Form);
        }
        let endpoint = Some(endpoint).filter(|endpoint| !endpoint.is_empty()).map(str::to_owned);
        let uri = Self { key: key.to_owned(), endpoint, transport };
        match &uri.endpoint {
            None if transport != AwsKmsTransport::Https => return Err(AwsKmsUriError::EndpointMissing),
            None => {}
            Some(endpoint) => {
                let url = uri.url_of(endpoint).ok_or(AwsKmsUriError::Endpoint)?;
                if transport == AwsKmsTransport::LoopbackHttp && !is_loopback(&url) {
                    return Err(AwsKmsUriError::NotLoopback);
                }
            }
        }
        Ok(uri)
    }

    /// The region that an ARN names.
    pub(super) fn region(&self) -> Option<&str> {
        self.key.strip_prefix("arn:")?.split(':').nth(2)
    }

    /// Where requests are sent.
    pub(super) fn url(&self, region: &str) -> Option<Url> {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        match &self.endpoint {
            Some(endpoint) => self.url_of(endpoint),
            None => self.url_of(&format!("kms.{region}.{domain}")),
        }
    }

    /// Nothing but a host and a port.
    fn url_of(&self, endpoint: &str) -> Option<Url> {
        let scheme = if self.transport == AwsKmsTransport::LoopbackHttp { "http" } else { "https" };
        let url = Url::parse(&format!("{scheme}://{endpoint}/")).ok()?;
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let nobody = url.username().is_empty() && url.password().is_none() && !endpoint.contains('@');
        (plain && nobody && !endpoint.contains(['/', '\\', '?', '#'])).then_some(url)
    }
}

impl fmt::Display for AwsKmsUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", Self::SCHEME, self.endpoint.as_deref().unwrap_or_default(), self.key)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_key(text: &str) -> bool {
    let Some(arn) = text.strip_prefix("arn:") else { return is_id(text) || is_alias(text) };
    match arn.splitn(5, ':').collect::<Vec<_>>().as_slice() {
        [partition, "kms", region, account, resource] => {
            let of_key = resource.strip_prefix("key/").is_some_and(is_id) || is_alias(resource);
            let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
            matches!(*partition, "aws" | "aws-cn" | "aws-us-gov") && is_region(region) && digits && of_key
        }
        _ => false,
    }
}

/// A UUID, of a key in many regions with `mrk-` before its digits.
fn is_id(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.strip_prefix("mrk-") {
        Some(id) => id.len() == 32 && digits(id),
        None => {
            let parts: Vec<&str> = text.split('-').collect();
            parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.into_iter().all(digits)
        }
    }
}

/// `CreateAlias` in the API reference: letters, digits, slashes, underscores and hyphens, at most 256 bytes in all.
fn is_alias(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-');
    let name = text.strip_prefix("alias/").unwrap_or_default();
    !name.is_empty() && text.len() <= 256 && name.bytes().all(plain)
}

/// Also what an environment variable says goes into a host name, so nothing else may be in it.
pub(super) fn is_region(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
    const ARN: &str = "arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn every_kind_of_key_is_read_with_and_without_endpoint() {
        for key in [
            ID,
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            "alias/ExampleAlias",
            "alias/a/b_c-d",
            ARN,
            "arn:aws-cn:kms:cn-north-1:111122223333:alias/ExampleAlias",
        ] {
            let region = key.strip_prefix("arn:").map(|arn| arn.split(':').nth(2).unwrap());
            let uri = AwsKmsUri::parse(&format!("awskms:///{key}")).unwrap();
            assert_eq!((uri.key.as_str(), uri.endpoint.clone(), uri.region()), (key, None, region));
            let uri = AwsKmsUri::parse(&format!("awskms://kms.example.com:8443/{key}")).unwrap();
            assert_eq!(uri.url("us-east-1").unwrap().as_str(), "https://kms.example.com:8443/");
            assert_eq!(uri.to_string(), format!("awskms://kms.example.com:8443/{key}"));
        }
        let uri = AwsKmsUri::parse(&format!("awskms:///{ID}")).unwrap();
        assert_eq!(uri.url("eu-central-1").unwrap().as_str(), "https://kms.eu-central-1.amazonaws.com/");
        assert_eq!(uri.url("cn-north-1").unwrap().as_str(), "https://kms.cn-north-1.amazonaws.com.cn/");
    }

    #[test]
    fn other_ways_are_spelled_out() {
        let parse = |endpoint: &str, query: &str| {
            AwsKmsUri::parse(&format!("awskms://{endpoint}/{ID}{query}")).map(|uri| uri.url("r").unwrap().to_string())
        };
        let (private, plain) = ("?transport=https-private", "?transport=loopback-http");
        for (endpoint, query, expect) in [
            ("127.0.0.1:4566", "", Ok("https://127.0.0.1:4566/")),
            ("kms.internal", private, Ok("https://kms.internal/")),
            ("127.0.0.1:4566", plain, Ok("http://127.0.0.1:4566/")),
            ("localhost:4566", plain, Ok("http://localhost:4566/")),
            ("[::1]:4566", plain, Ok("http://[::1]:4566/")),
            ("kms.internal", plain, Err(AwsKmsUriError::NotLoopback)),
            ("127.0.0.1.example.com", plain, Err(AwsKmsUriError::NotLoopback)),
            ("", plain, Err(AwsKmsUriError::EndpointMissing)),
            ("", private, Err(AwsKmsUriError::EndpointMissing)),
            ("", "?transport=http", Err(AwsKmsUriError::Query)),
            ("", "?region=us-east-1", Err(AwsKmsUriError::Query)),
            ("user@host", "", Err(AwsKmsUriError::Endpoint)),
            ("host:port", "", Err(AwsKmsUriError::Endpoint)),
            ("a b", "", Err(AwsKmsUriError::Endpoint)),
            ("a#b", "", Err(AwsKmsUriError::Endpoint)),
        ] {
            assert_eq!(parse(endpoint, query), expect.map(str::to_owned), "{endpoint} {query}");
        }
    }

    #[test]
    fn what_names_no_key_is_refused() {
        let long = format!("alias/{}", "a".repeat(251));
        for key in [
            "",
            "alias/",
            "alias/a b",
            "alias/é",
            &long,
            "1234abcd",
            "1234abcd-12ab-34cd-56ef-1234567890ag",
            "mrk-1234",
            "arn:aws:kms:us-east-2:111122223333:key/",
            "arn:aws:s3:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:us.evil/:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:us-east-2:1111:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:other:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        ] {
            assert_eq!(AwsKmsUri::parse(&format!("awskms:///{key}")), Err(AwsKmsUriError::Form), "{key}");
        }
        for text in ["awskms://", "awskms:/key", ID] {
            assert_eq!(AwsKmsUri::parse(text), Err(AwsKmsUriError::Form), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_no_harm(text in "[ -~]{0,60}", endpoint in "[a-z0-9:.@#?/\\[\\]]{0,20}") {
            let _ = AwsKmsUri::parse(&text);
            // Whatever is taken for an endpoint, the host that is asked is within it.
            if let Ok(uri) = AwsKmsUri::parse(&format!("awskms://{endpoint}/{ID}")) {
                let url = uri.url("eu-west-1").unwrap();
                prop_assert!(endpoint.is_empty() || url.path() == "/" && url.username().is_empty());
            }
        }
    }
}
