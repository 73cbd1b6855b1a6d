// SPDX-License-Identifier: Apache-2.0
//! A running stack, and the HTTP client of its tests.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use touchmark_outbound::{Limits, Outbound, Reach, Response};
use touchmark_server::{Running, StartError, UpOptions, up};
use touchmark_sigstore::trust::TrustedRoot;
use url::Url;

/// A stack in a directory of its own.
pub(crate) struct Stack {
    pub(crate) running: Running,
    pub(crate) directory: TempDir,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn start_in(directory: TempDir) -> Self {
        let running = up(options(&directory.path().join("data"))).await.unwrap();
        Stack { running, directory }
    }

    pub(crate) async fn stop(self) -> TempDir {
        self.running.shutdown().await;
        self.directory
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{}{path}", self.running.url())).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        outbound().get(&self.url(path), &Limits::SERVICE).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        let headers = [("content-type", content_type)];
        outbound().post(&self.url(path), &headers, body.into(), &Limits::SERVICE).await.unwrap()
    }

    pub(crate) fn trusted_root(&self) -> TrustedRoot {
        let path = self.running.client_directory().unwrap().join("trusted_root.json");
        TrustedRoot::from_json(&std::fs::read(path).unwrap()).unwrap()
    }

    /// The name of the Rekor log, without the rest of its base URL.
    pub(crate) fn rekor_log(&self) -> String {
        self.trusted_root().tlogs()[0].hostname().unwrap().to_owned()
    }

    pub(crate) fn ct_log(&self) -> String {
        self.trusted_root().ctlogs()[0].hostname().unwrap().to_owned()
    }
}

pub(crate) fn outbound() -> Outbound {
    Outbound::new("test", Reach::Private, None)
}

pub(crate) fn options(data_dir: &Path) -> UpOptions {
    UpOptions {
        data_dir: data_dir.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        metrics_listen: None,
        oidc_listen: None,
        witnesses: None,
        evidence_interval: None,
        passphrase: None,
    }
}

pub(crate) fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

pub(crate) fn json(response: &Response) -> serde_json::Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {}", text(response)))
}

pub(crate) fn refusal(started: Result<Running, StartError>) -> StartError {
    match started {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}
