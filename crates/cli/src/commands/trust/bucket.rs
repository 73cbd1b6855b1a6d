// SPDX-License-Identifier: Apache-2.0
//! A bucket of S3, or of a store that speaks its protocol, as the place of a repository.
//!
//! Spec: Amazon S3 API reference, `GetObject` and `PutObject` with `If-None-Match` and `If-Match`; requests are signed with Signature Version 4.
//! In scope: the two calls, path-style addresses. Out of scope: making buckets, letting readers in.
//! Invariants: a new object is created only where there is none, by the store's own condition; the timestamp is exchanged only for the one that was
//! read; credentials go to https addresses, or to this machine.

use async_trait::async_trait;
use jiff::Timestamp;
use touchmark_outbound::{Limits, Outbound, Response};
use touchmark_signers::AwsAccess;
use touchmark_trust::ceremony::{CeremonyError, Object, Objects};
use url::Url;

/// Objects are some kilobytes.
const LIMITS: Limits = Limits::SERVICE;

/// Where a repository lies in a bucket.
pub(super) struct Bucket {
    outbound: Outbound,
    access: AwsAccess,
    /// Ends with the prefix and a slash.
    base: Url,
}

impl Bucket {
    /// `place` is `s3://BUCKET` or `s3://BUCKET/PREFIX`; `endpoint` is that of AWS in the region, unless another is named.
    pub(super) fn open(place: &str, endpoint: Option<&Url>, outbound: Outbound) -> Result<Self, CeremonyError> {
        let wrong = |problem: String| CeremonyError::Store { place: place.to_owned(), problem };
        let access =
            AwsAccess::from_environment(|name| std::env::var(name).ok()).map_err(|error| wrong(error.to_string()))?;
        let path = place.strip_prefix("s3://").unwrap_or_default().trim_end_matches('/');
        let is_plain = |part: &str| {
            let all = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
            all && !part.is_empty() && !part.starts_with('.')
        };
        if !path.split('/').all(is_plain) {
            return Err(wrong("a bucket is named as s3://BUCKET or s3://BUCKET/PREFIX, of letters, digits, dots, hyphens and underscores".to_owned()));
        }
        let endpoint = match endpoint {
            Some(endpoint) => endpoint.as_str().trim_end_matches('/').to_owned(),
            None => format!("https://s3.{}.amazonaws.com", access.region()),
        };
        let base = Url::parse(&format!("{endpoint}/{path}/")).map_err(|error| wrong(error.to_string()))?;
        let is_here = matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if base.scheme() != "https" && !is_here {
            return Err(wrong(format!("{base} is not https, and not on this machine")));
        }
        Ok(Self { outbound, access, base })
    }

    fn url(&self, name: &str) -> Result<Url, CeremonyError> {
        // A percent sign of a role's name is a character of the object's name.
        self.base.join(&name.replace('%', "%25")).map_err(|error| self.failed(name, error.to_string()))
    }

    fn failed(&self, name: &str, problem: String) -> CeremonyError {
        CeremonyError::Store { place: format!("{}{name}", self.base), problem }
    }

    async fn put(&self, name: &str, bytes: &[u8], headers: &[(&str, &str)]) -> Result<(), CeremonyError> {
        let url = self.url(name)?;
        let headers = [headers, &[("content-type", content_type(name))]].concat();
        let signed = self.access.signed_headers("PUT", "s3", &url, &headers, bytes, Timestamp::now()).await;
        let signed = signed.map_err(|error| self.failed(name, error.to_string()))?;
        let signed: Vec<_> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let response = self.outbound.put(&url, &signed, bytes.to_vec(), &LIMITS).await;
        let response = response.map_err(|error| self.failed(name, error.to_string()))?;
        match response.status {
            200 | 201 => Ok(()),
            409 | 412 => Err(self.failed(name, "somebody else wrote it at this moment: push again".to_owned())),
            _ => Err(self.refused(name, &response)),
        }
    }

    fn refused(&self, name: &str, response: &Response) -> CeremonyError {
        let said: String = String::from_utf8_lossy(&response.body).chars().take(SAID_CHARS_MAX).collect();
        self.failed(name, format!("the store answers {}: {said}", response.status))
    }
}

/// Longest text of the store that is repeated in an error.
const SAID_CHARS_MAX: usize = 300;

fn content_type(name: &str) -> &'static str {
    if name.ends_with(".json") { "application/json" } else { "application/octet-stream" }
}

#[async_trait]
impl Objects for Bucket {
    async fn read(&self, name: &str, bytes_max: usize) -> Result<Option<Object>, CeremonyError> {
        let url = self.url(name)?;
        let signed = self.access.signed_headers("GET", "s3", &url, &[], b"", Timestamp::now()).await;
        let signed = signed.map_err(|error| self.failed(name, error.to_string()))?;
        let signed: Vec<_> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let limits = Limits { response_bytes_max: bytes_max, ..LIMITS };
        let response = self.outbound.get_with(&url, &signed, &limits).await;
        let response = response.map_err(|error| self.failed(name, error.to_string()))?;
        let tag = response.header("etag").map(str::to_owned);
        match response.status {
            200 => Ok(Some(Object { bytes: response.body, tag })),
            404 => Ok(None),
            // 403 may stand for a name that is not there, or for credentials that are wrong: who pushes must be able to tell.
            _ => Err(self.refused(name, &response)),
        }
    }

    async fn create(&self, name: &str, bytes: &[u8]) -> Result<(), CeremonyError> {
        let headers = [("if-none-match", "*"), ("cache-control", "public, max-age=31536000, immutable")];
        self.put(name, bytes, &headers).await
    }

    async fn replace(&self, name: &str, bytes: &[u8], seen: Option<&Object>) -> Result<(), CeremonyError> {
        let condition = match seen {
            None => ("if-none-match", "*"),
            Some(Object { tag: Some(tag), .. }) => ("if-match", tag.as_str()),
            Some(Object { tag: None, .. }) => {
                return Err(
                    self.failed(name, "the store gives no ETag, so that it cannot be exchanged safely".to_owned())
                );
            }
        };
        self.put(name, bytes, &[condition, ("cache-control", "no-cache")]).await
    }
}
