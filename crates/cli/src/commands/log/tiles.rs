// SPDX-License-Identifier: Apache-2.0
//! Where tiles are read: behind a monitoring prefix, or in a directory that is a copy of one.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use touchmark_outbound::{Limits, Outbound};
use touchmark_sequencer::{Tiles, TilesError};
use url::Url;

use crate::paths;

/// 256 entries of 64 KiB, the most that an entry tile of our logs has, and as much again for logs that allow more.
const TILE_BYTES_MAX: usize = 32 << 20;
/// How often something that was not answered is asked for again, and how long to wait before that.
const TRIES_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// The monitoring prefix of a log (C2SP tlog-tiles, static-ct-api).
pub(super) struct Prefix {
    outbound: Outbound,
    base: Url,
}

impl Prefix {
    pub(super) fn new(outbound: Outbound, url: &Url) -> Self {
        let mut base = url.clone();
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", url.path()));
        }
        Self { outbound, base }
    }

    async fn ask(&self, url: &Url) -> Result<Option<Vec<u8>>, String> {
        let limits = Limits { response_bytes_max: TILE_BYTES_MAX, ..Limits::SERVICE };
        let answer = self.outbound.get(url, &limits).await.map_err(|error| error.to_string())?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            status => Err(format!("status {status}")),
        }
    }
}

impl Tiles for Prefix {
    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, TilesError> {
        let failed = |problem: String| TilesError { name: name.to_owned(), problem };
        let url = self.base.join(name).map_err(|error| failed(error.to_string()))?;
        let mut tries = 1;
        loop {
            match self.ask(&url).await {
                Ok(answer) => return Ok(answer),
                Err(problem) if tries == TRIES_MAX => return Err(failed(format!("GET {url}: {problem}"))),
                Err(_) => tokio::time::sleep(PAUSE * tries).await,
            }
            tries += 1;
        }
    }
}

/// A directory that has the files of a monitoring prefix, such as a backup.
pub(super) struct Directory(pub(super) PathBuf);

impl Tiles for Directory {
    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, TilesError> {
        let path = self.0.join(name);
        match paths::read_limited(&path, TILE_BYTES_MAX as u64) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(TilesError { name: name.to_owned(), problem: format!("{}: {error}", path.display()) }),
        }
    }
}
