// SPDX-License-Identifier: Apache-2.0
//! The transport of the TUF walk: files of one repository over `touchmark_outbound`.
//!
//! TUF specification 1.0.34, section 5: each download has a length limit; a next root that is not there ends the root
//! chain, while any other failure is a failure (a mirror must not be able to hide a root behind an error).
//!
//! Invariants: no file and no walk takes longer than its limit, however slowly a mirror speaks. The name of a target is data: no
//! segment of it leads elsewhere, and no character of it means anything in the address.

use std::time::{Duration, Instant};

use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Repository};
use touchmark_outbound::{Limits, Outbound};
use url::Url;

/// How long a mirror may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// With one file.
    pub file: Duration,
    /// With all that one walk wants: a mirror that is slow with each file is not waited for without end.
    pub walk: Duration,
}

impl Patience {
    /// A file of some megabytes on a slow line; a walk of some dozens of small files on one.
    pub const MAX: Self = Self { file: Duration::from_secs(30), walk: Duration::from_secs(300) };
}

pub(super) struct HttpMirror {
    outbound: Outbound,
    metadata: Url,
    targets: Url,
    file_max: Duration,
    until: Instant,
}

impl HttpMirror {
    /// `targets` is where the files are that the metadata state; a walk begins now.
    pub(super) fn new(outbound: Outbound, metadata: Url, targets: Url, patience: Patience) -> Self {
        Self { outbound, metadata, targets, file_max: patience.file, until: Instant::now() + patience.walk }
    }

    async fn fetch(&self, url: &Url, max_length: u64) -> Result<Option<Vec<u8>>, Error> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::transport(format!(
                "fetching {url}: the repository took too long with the files before"
            )));
        }
        let response_bytes_max = usize::try_from(max_length).unwrap_or(usize::MAX);
        let limits = Limits { response_bytes_max, timeout: self.file_max.min(left) };
        let response = self
            .outbound
            .get(url, &limits)
            .await
            .map_err(|error| Error::transport_with_source(format!("fetching {url}"), error))?;
        match response.status {
            200 => Ok(Some(response.body)),
            // Object stores answer 403 for a name that does not exist; python-tuf and go-tuf read it so too.
            403 | 404 => Ok(None),
            status => Err(Error::transport(format!("fetching {url}: status {status}"))),
        }
    }

    /// The walk has percent-encoded the names of roles.
    fn metadata_url(&self, name: &str) -> Result<Url, Error> {
        let text = format!("{}/{name}", self.metadata.as_str().trim_end_matches('/'));
        Url::parse(&text).map_err(|error| Error::transport_with_source(format!("bad address {text}"), error))
    }

    fn target_url(&self, path: &str) -> Result<Url, Error> {
        let mut url = self.targets.clone();
        let Ok(mut segments) = url.path_segments_mut() else {
            return Err(Error::transport(format!("{} is no address to fetch from", self.targets)));
        };
        segments.pop_if_empty().extend(path.split('/'));
        drop(segments);
        Ok(url)
    }
}

impl Repository for HttpMirror {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move { self.fetch(&self.metadata_url(name)?, max_length).await })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move { self.fetch(&self.target_url(path)?, max_length).await })
    }
}

#[cfg(test)]
mod tests;
