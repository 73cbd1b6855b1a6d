// SPDX-License-Identifier: Apache-2.0
//! The transport of the TUF walk: files of one repository over `touchmark_outbound`.
//!
//! TUF specification 1.0.34, section 5: each download has a length limit; a next root that is not there ends the root
//! chain, while any other failure is a failure (a mirror must not be able to hide a root behind an error).

use std::time::Duration;

use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Repository};
use touchmark_outbound::{Limits, Outbound};
use url::Url;

/// One file of a repository.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct HttpMirror {
    outbound: Outbound,
    base: Url,
}

impl HttpMirror {
    pub(super) fn new(outbound: Outbound, base: Url) -> Self {
        Self { outbound, base }
    }

    async fn fetch(&self, path: &str, max_length: u64) -> Result<Option<Vec<u8>>, Error> {
        let text = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        let url =
            Url::parse(&text).map_err(|error| Error::transport_with_source(format!("bad address {text}"), error))?;
        let limits =
            Limits { response_bytes_max: usize::try_from(max_length).unwrap_or(usize::MAX), timeout: FETCH_TIMEOUT };
        let response = self
            .outbound
            .get(&url, &limits)
            .await
            .map_err(|error| Error::transport_with_source(format!("fetching {url}"), error))?;
        match response.status {
            200 => Ok(Some(response.body)),
            // Object stores answer 403 for a name that does not exist; python-tuf and go-tuf read it so too.
            403 | 404 => Ok(None),
            status => Err(Error::transport(format!("fetching {url}: status {status}"))),
        }
    }
}

impl Repository for HttpMirror {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.fetch(name, max_length))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move { self.fetch(&format!("targets/{path}"), max_length).await })
    }
}
