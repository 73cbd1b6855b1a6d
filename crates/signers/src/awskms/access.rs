// SPDX-License-Identifier: Apache-2.0
//! Access to another service of AWS, or to one that speaks its protocol, with the same credentials as keys have.
//!
//! In scope: the headers of one request. Out of scope: sending it, what it means.
//! Invariant: the credentials are read for each request, so that those which were renewed are used.

use jiff::Timestamp;
use url::Url;

use super::AwsKmsProblem;
use super::credentials::{self, CredentialSource};
use super::sigv4::{self, Scope};

/// Who asks, and in which region.
pub struct AwsAccess {
    credentials: CredentialSource,
    region: String,
}

impl AwsAccess {
    /// Looks at the environment, given as a function from names to values.
    ///
    /// # Errors
    /// If it names no credentials or no region.
    pub fn from_environment(environment: impl Fn(&str) -> Option<String>) -> Result<Self, AwsKmsProblem> {
        let region = credentials::region(&environment)?;
        Ok(Self { credentials: CredentialSource::choose(environment)?, region })
    }

    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The headers of a request without a query: those given (names in lower case), and those that say who sends it.
    ///
    /// # Errors
    /// If the credentials cannot be read.
    pub async fn signed_headers(
        &self,
        method: &str,
        service: &str,
        url: &Url,
        headers: &[(&str, &str)],
        body: &[u8],
        now: Timestamp,
    ) -> Result<Vec<(String, String)>, AwsKmsProblem> {
        let credentials = self.credentials.read().await?;
        // S3 wants the hash of the body among the headers; elsewhere it does no harm.
        let hash = hex::encode(touchmark_keys::sha256(body));
        let headers = [headers, &[("x-amz-content-sha256", hash.as_str())]].concat();
        let scope = Scope { region: &self.region, service };
        let request = sigv4::Request { method, url, headers: &headers, body };
        Ok(sigv4::signed_headers(&request, scope, &credentials, now))
    }
}
