// SPDX-License-Identifier: Apache-2.0
//! A whole Sigstore in this process, and proxies before its services that lie.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use tempfile::TempDir;
use touchmark_client::identity::IdentityToken;
use touchmark_client::sign::{Credential, SignError, SignedBundle, Signing, Subject, certify, sign};
use touchmark_keys::{Digest, HashAlgorithm, digest};
use touchmark_outbound::{Limits, Outbound, Reach};
use touchmark_server::{Running, UpOptions};
use touchmark_sigstore::trust::{Service, Services, SigningConfig, TrustedRoot};
use url::Url;

pub(crate) const ALICE: &str = "alice@example.com";

/// An instance with its own keys; it ends with this value.
pub(crate) struct Instance {
    directory: TempDir,
    running: Running,
    pub(crate) outbound: Outbound,
    pub(crate) trusted_root: TrustedRoot,
    pub(crate) services: Services,
}

impl Instance {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    /// The same instance at another address: its signing config, and so its TUF repository, has a newer version.
    pub(crate) async fn restart(self) -> Self {
        let Self { directory, running, .. } = self;
        running.shutdown().await;
        Self::start_in(directory).await
    }

    async fn start_in(directory: TempDir) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = UpOptions {
            data_dir: directory.path().join("data"),
            listen: any_port,
            metrics_listen: None,
            oidc_listen: Some(any_port),
            witnesses: None,
            evidence_interval: None,
            passphrase: None,
        };
        let running = touchmark_server::up(options).await.unwrap();
        let read = |name: &str| std::fs::read(directory.path().join("data/client").join(name)).unwrap();
        let trusted_root = TrustedRoot::from_json(&read("trusted_root.json")).unwrap();
        let config = SigningConfig::from_json(&read("signing_config.json")).unwrap();
        let services = config.select(Timestamp::now()).unwrap();
        let outbound = Outbound::new("touchmark-test", Reach::Private, None);
        Self { directory, running, outbound, trusted_root, services }
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.directory.path().join("data").join(name)
    }

    pub(crate) fn url(&self) -> String {
        self.running.url()
    }

    pub(crate) fn issuer(&self) -> String {
        self.running.oidc_issuer().unwrap()
    }

    pub(crate) async fn raw_token(&self, email: &str) -> String {
        touchmark_server::try_out_token(&self.data(""), email, None).await.unwrap()
    }

    pub(crate) async fn token(&self, email: &str) -> IdentityToken {
        IdentityToken::parse(&self.raw_token(email).await).unwrap()
    }

    pub(crate) async fn certify_with(&self, services: &Services) -> Result<Credential, SignError> {
        certify(&self.signing(services), &self.token(ALICE).await).await
    }

    /// Certifies with the honest services and signs with these.
    pub(crate) async fn sign_with(&self, services: &Services, text: &str) -> Result<SignedBundle, SignError> {
        let credential = self.certify_with(&self.services).await.unwrap();
        sign(&self.signing(services), &credential, Subject::Artifact(&artifact(text))).await
    }

    pub(crate) fn signing<'a>(&'a self, services: &'a Services) -> Signing<'a> {
        Signing { outbound: &self.outbound, trusted_root: &self.trusted_root, services }
    }
}

pub(crate) fn artifact(text: &str) -> Digest {
    digest(HashAlgorithm::Sha256, text.as_bytes())
}

/// The service at another address.
pub(crate) fn moved(service: &Service, url: String) -> Service {
    Service::new(url, service.major_api_version(), service.valid_for(), service.operator().to_owned())
}

/// What a proxy does to the bodies that go through it.
pub(crate) trait Liar: Send + Sync + 'static {
    fn request(&self, body: Vec<u8>) -> Vec<u8> {
        body
    }

    fn reply(&self, body: Vec<u8>) -> Vec<u8> {
        body
    }
}

/// Starts a proxy before the service at `upstream` and returns the service at its address.
pub(crate) async fn proxy(service: &Service, liar: impl Liar) -> Service {
    let upstream = Url::parse(service.url()).unwrap();
    let path = upstream.path().trim_end_matches('/').to_owned();
    let liar = Arc::new(liar);
    let outbound = Outbound::new("touchmark-test-proxy", Reach::Private, None);
    let router = axum::Router::new().fallback(move |uri: axum::http::Uri, headers: HeaderMap, body: Bytes| {
        let (liar, outbound, upstream) = (liar.clone(), outbound.clone(), upstream.clone());
        async move {
            let url = upstream.join(uri.path()).unwrap();
            let content_type = headers["content-type"].to_str().unwrap();
            let body = liar.request(body.to_vec());
            let reply = outbound.post(&url, &[("content-type", content_type)], body, &Limits::SERVICE).await.unwrap();
            (StatusCode::from_u16(reply.status).unwrap(), liar.reply(reply.body))
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    moved(service, format!("http://{address}{path}"))
}

/// A server of files in memory, which a test exchanges while it runs: a mirror that lies.
pub(crate) struct ServedFiles {
    address: SocketAddr,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<AtomicUsize>,
}

/// Starts it, without files.
pub(crate) async fn serve_files() -> ServedFiles {
    let files = Arc::<Mutex<BTreeMap<String, Vec<u8>>>>::default();
    let asked = Arc::<AtomicUsize>::default();
    let (served, counted) = (files.clone(), asked.clone());
    let router = axum::Router::new().fallback(move |uri: axum::http::Uri| {
        counted.fetch_add(1, Ordering::Relaxed);
        let found = served.lock().unwrap().get(uri.path().trim_start_matches('/')).cloned();
        async move { found.ok_or(StatusCode::NOT_FOUND) }
    });
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    ServedFiles { address, files, asked }
}

impl ServedFiles {
    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("http://{}/", self.address)).unwrap()
    }

    /// How many requests there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, files: BTreeMap<String, Vec<u8>>) {
        *self.files.lock().unwrap() = files;
    }

    /// Serves what is in this directory now.
    pub(crate) fn replace(&self, directory: &Path) {
        self.set(self.files_of(directory));
    }

    pub(crate) fn files_of(&self, directory: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut directories = vec![directory.to_owned()];
        while let Some(next) = directories.pop() {
            for path in std::fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                    files.insert(name, std::fs::read(path).unwrap());
                }
            }
        }
        files
    }
}
