// SPDX-License-Identifier: Apache-2.0
//! A TUF repository on loopback whose owner, keys and mirror may all be hostile, and the client that comes to it.
//!
//! Metadata are JSON values that a test changes as it likes and signs with whichever keys it likes; nothing here checks anything. The
//! honest beginning is a root of three holders with threshold two, one key for snapshot and timestamp, and one for targets.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_client::trust::{Freshness, TrustError, TrustStore, VerifiedRepository};
use touchmark_keys::{KeyType, sha256};
use touchmark_outbound::{Outbound, Reach};
use touchmark_signers::{EphemeralSigner, Signer as _};
use touchmark_trust::canonical;
use touchmark_trust::key::Key;
use url::Url;

pub(crate) const LATER: &str = "2040-01-01T00:00:00Z";
pub(crate) const PAST: &str = "2026-11-01T00:00:00Z";
pub(crate) const TARGET: &str = "artifact";

/// When the tests take place.
pub(crate) fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

/// A key with the name that it has in metadata.
pub(crate) struct Holder {
    signer: Arc<EphemeralSigner>,
    pub(crate) id: String,
    pub(crate) object: Value,
}

impl Holder {
    pub(crate) fn new(name: &str) -> Self {
        Self::of(Arc::new(EphemeralSigner::generate(KeyType::EcdsaP256).unwrap()), name)
    }

    /// The same key under another name, and so under another id.
    pub(crate) fn alias(&self, name: &str) -> Self {
        Self::of(self.signer.clone(), name)
    }

    fn of(signer: Arc<EphemeralSigner>, name: &str) -> Self {
        let key = Key::of_owner(signer.public_key(), name).unwrap();
        Self { id: key.computed_id().unwrap().as_str().to_owned(), object: key.object().clone(), signer }
    }

    pub(crate) async fn signature(&self, signed: &Value) -> Value {
        let signature = self.signer.sign(&canonical(signed).unwrap()).await.unwrap();
        json!({ "keyid": self.id, "sig": hex::encode(signature) })
    }
}

/// Metadata with the signatures of these, in this order.
pub(crate) async fn signed(signed: &Value, by: &[&Holder]) -> Vec<u8> {
    let mut signatures = Vec::new();
    for holder in by {
        signatures.push(holder.signature(signed).await);
    }
    serde_json::to_vec(&json!({ "signed": signed, "signatures": signatures })).unwrap()
}

/// What a `keys` member says of these.
pub(crate) fn keys(holders: &[&Holder]) -> Value {
    holders.iter().map(|holder| (holder.id.clone(), holder.object.clone())).collect::<serde_json::Map<_, _>>().into()
}

/// A role of these.
pub(crate) fn role(holders: &[&Holder], threshold: u32) -> Value {
    json!({ "keyids": holders.iter().map(|holder| &holder.id).collect::<Vec<_>>(), "threshold": threshold })
}

/// A delegation of these paths to one holder.
pub(crate) fn delegation(name: &str, holder: &Holder, paths: &[&str]) -> Value {
    json!({ "name": name, "keyids": [holder.id], "threshold": 1, "terminating": false, "paths": paths })
}

/// What targets metadata say of a file.
pub(crate) fn entry(bytes: &[u8]) -> Value {
    json!({ "length": bytes.len(), "hashes": { "sha256": hex::encode(sha256(bytes)) } })
}

/// Targets metadata, also of a delegated role.
pub(crate) fn targets(version: u64) -> Value {
    json!({ "_type": "targets", "spec_version": "1.0.34", "version": version, "expires": LATER, "targets": {} })
}

#[derive(Clone)]
pub(crate) enum Answer {
    Bytes(Vec<u8>),
    /// Spaces for as long as somebody reads.
    Endless,
    /// A space now and then, for as long as somebody waits.
    Drip,
    /// All of it, after a while.
    Late(Vec<u8>),
    Status(u16),
}

/// Between two drops, and a tenth of a while.
const DROP: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Served {
    files: BTreeMap<String, Answer>,
    asked: Vec<String>,
}

pub(crate) struct Repository {
    /// Of the root; two of the three are enough.
    pub(crate) holders: [Holder; 3],
    /// Of snapshot and timestamp.
    pub(crate) online: Holder,
    pub(crate) packager: Holder,
    pub(crate) root: Value,
    pub(crate) targets: Value,
    pub(crate) snapshot: Value,
    pub(crate) timestamp: Value,
    served: Arc<Mutex<Served>>,
    pub(crate) url: Url,
}

impl Repository {
    /// Version 1 of everything, with one target.
    pub(crate) async fn start() -> Self {
        let served = Arc::new(Mutex::new(Served::default()));
        let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let url = format!("http://{}/tuf", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().fallback(answer).with_state(served.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let holders = ["ann", "bob", "cyd"].map(Holder::new);
        let (online, packager) = (Holder::new("online"), Holder::new("packager"));
        let [ann, bob, cyd] = &holders;
        let (root_role, online_role) = (role(&[ann, bob, cyd], 2), role(&[&online], 1));
        let meta = |_type: &str, member: &str| json!({ "_type": _type, "spec_version": "1.0.34", "version": 1, "expires": LATER, "meta": { member: { "version": 1 } } });
        let root = json!({
            "_type": "root", "spec_version": "1.0.34", "version": 1, "expires": LATER, "consistent_snapshot": true,
            "keys": keys(&[ann, bob, cyd, &online, &packager]),
            "roles": { "root": root_role, "targets": role(&[&packager], 1), "snapshot": online_role, "timestamp": online_role },
        });
        let (snapshot, timestamp) = (meta("snapshot", "targets.json"), meta("timestamp", "snapshot.json"));
        let mut repository =
            Self { holders, online, packager, root, targets: targets(1), snapshot, timestamp, served, url };
        repository.add_target(TARGET, b"one");
        repository.put_root().await;
        repository.put_all().await;
        repository
    }

    /// States a file and serves it.
    pub(crate) fn add_target(&mut self, path: &str, bytes: &[u8]) {
        self.targets["targets"][path] = entry(bytes);
        self.serve_target(path, bytes, Answer::Bytes(bytes.to_vec()));
    }

    /// Serves `answer` where the target with these bytes is looked for.
    pub(crate) fn serve_target(&self, path: &str, stated: &[u8], answer: Answer) {
        let hash = hex::encode(sha256(stated));
        let name = match path.rsplit_once('/') {
            Some((directory, name)) => format!("targets/{directory}/{hash}.{name}"),
            None => format!("targets/{hash}.{path}"),
        };
        self.serve(&name, answer);
    }

    pub(crate) fn serve(&self, name: &str, answer: Answer) {
        self.served.lock().unwrap().files.insert(name.to_owned(), answer);
    }

    pub(crate) fn withdraw(&self, name: &str) {
        self.served.lock().unwrap().files.remove(name);
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        match &self.served.lock().unwrap().files[name] {
            Answer::Bytes(bytes) => bytes.clone(),
            _ => panic!("{name} is no file"),
        }
    }

    /// What was asked for since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.served.lock().unwrap().asked)
    }

    pub(crate) async fn put(&self, name: &str, value: &Value, by: &[&Holder]) {
        self.serve(name, Answer::Bytes(signed(value, by).await));
    }

    /// The root of this version, by two of its holders.
    pub(crate) async fn put_root(&self) {
        let [ann, bob, _] = &self.holders;
        self.put(&format!("{}.root.json", self.root["version"]), &self.root, &[ann, bob]).await;
    }

    pub(crate) async fn put_targets(&self) {
        self.put(&format!("{}.targets.json", self.targets["version"]), &self.targets, &[&self.packager]).await;
    }

    pub(crate) async fn put_snapshot(&self) {
        self.put(&format!("{}.snapshot.json", self.snapshot["version"]), &self.snapshot, &[&self.online]).await;
    }

    pub(crate) async fn put_timestamp(&self) {
        self.put("timestamp.json", &self.timestamp, &[&self.online]).await;
    }

    /// All but the root, as they are.
    pub(crate) async fn put_all(&self) {
        self.put_targets().await;
        self.put_snapshot().await;
        self.put_timestamp().await;
    }

    /// The next version of all but the root.
    pub(crate) async fn publish(&mut self) {
        let version = self.timestamp["version"].as_u64().unwrap() + 1;
        self.set_versions(version);
        self.put_all().await;
    }

    pub(crate) fn set_versions(&mut self, version: u64) {
        self.targets["version"] = version.into();
        self.snapshot["meta"]["targets.json"]["version"] = version.into();
        self.snapshot["version"] = version.into();
        self.timestamp["meta"]["snapshot.json"]["version"] = version.into();
        self.timestamp["version"] = version.into();
    }

    /// Publishes a delegation to each of these roles, with the metadata that they sign.
    pub(crate) async fn delegate(&mut self, delegations: &[(Value, &Holder, Value)]) {
        let holders: Vec<&Holder> = delegations.iter().map(|(_, holder, _)| *holder).collect();
        let roles: Vec<&Value> = delegations.iter().map(|(role, _, _)| role).collect();
        self.targets["delegations"] = json!({ "keys": keys(&holders), "roles": roles });
        for (role, holder, metadata) in delegations {
            self.put_delegated(role["name"].as_str().unwrap(), metadata, holder).await;
        }
        self.publish().await;
    }

    /// Pins and serves the metadata of a delegated role. A snapshot that pins them is for the caller to publish.
    pub(crate) async fn put_delegated(&mut self, name: &str, metadata: &Value, holder: &Holder) {
        self.snapshot["meta"][format!("{name}.json")]["version"] = metadata["version"].clone();
        let quoted = name.replace('/', "%2F");
        self.put(&format!("{}.{quoted}.json", metadata["version"]), metadata, &[holder]).await;
    }
}

async fn answer(State(served): State<Arc<Mutex<Served>>>, uri: Uri) -> Response {
    let name = uri.path().trim_start_matches("/tuf/").to_owned();
    let found = {
        let mut served = served.lock().unwrap();
        served.asked.push(name.clone());
        served.files.get(&name).cloned()
    };
    match found {
        Some(Answer::Bytes(bytes)) => bytes.into_response(),
        Some(Answer::Endless) => {
            let spaces =
                futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 8192])));
            Body::from_stream(spaces).into_response()
        }
        Some(Answer::Drip) => {
            let drops = futures_util::stream::unfold((), |()| async {
                tokio::time::sleep(DROP).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
            });
            Body::from_stream(drops).into_response()
        }
        Some(Answer::Late(bytes)) => {
            tokio::time::sleep(10 * DROP).await;
            bytes.into_response()
        }
        Some(Answer::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A client with its own directory.
pub(crate) struct Client {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) outbound: Outbound,
}

impl Client {
    pub(crate) fn new() -> Self {
        let outbound = Outbound::new("touchmark-test", Reach::Private, None);
        Self { directory: tempfile::tempdir().unwrap(), outbound }
    }

    /// One that has been to the repository as it is.
    pub(crate) async fn of(repository: &Repository) -> Self {
        let client = Self::new();
        client.initialize(repository).await.unwrap();
        client
    }

    /// It keeps no targets: most repositories here are not of Sigstore.
    pub(crate) fn store(&self) -> TrustStore {
        TrustStore::at(self.directory.path()).keeping(Vec::new())
    }

    /// Pins root 1.
    pub(crate) async fn initialize(&self, repository: &Repository) -> Result<VerifiedRepository, TrustError> {
        self.store().initialize(&repository.url, &repository.file("1.root.json"), &self.outbound, now()).await
    }

    pub(crate) async fn refresh(&self) -> Result<VerifiedRepository, TrustError> {
        self.refresh_at(now()).await
    }

    pub(crate) async fn refresh_at(&self, now: Timestamp) -> Result<VerifiedRepository, TrustError> {
        self.store().open(Freshness::Refresh(&self.outbound), now).await
    }

    /// Refreshes, then fetches.
    pub(crate) async fn target(&self, name: &str) -> Result<Vec<u8>, TrustError> {
        self.refresh().await?.target(name).await
    }
}
