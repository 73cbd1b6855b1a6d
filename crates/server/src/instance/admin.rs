// SPDX-License-Identifier: Apache-2.0
//! How `touchmark log` commands reach a running `up`: one request and one reply of JSON, each a line, over a socket in the data directory.
//!
//! ```text
//! {"do":"status"}                                              → {"ok":{"service_url":…,"manifest":…}}
//! {"do":"apply","manifest":…,"targets":[…],"metadata":…,…}     → {"ok":…}      a new manifest with TUF targets that are signed already
//! {"do":"freeze","name":…,"demand":…}                          → {"ok":…}
//! ```
//!
//! Who may ask: whoever may write to the socket. It has mode 0600 in a directory of mode 0700, and a peer that is neither the directory's
//! owner nor root is turned away all the same. The commands hold the offline keys, this process never does: targets come signed.
//!
//! In scope: the protocol, doing what is asked in an order that a crash cannot spoil, ending logs whose time has come. Out of scope: what
//! is asked ([`super::shards`]).
//! Invariants: this task alone writes the manifest while the process runs; verifiers are told of a log before anything is signed with its
//! key, and clients are sent to it only when it is open; requests are done one after the other.

use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::Passphrase;
use super::control::{Control, OnlineTuf, ServedKind};
use super::error::StartError;
use super::layout::Layout;
use super::manifest::{Manifest, Shard};
use super::open::{self, LogKind};
use super::running::Running;
use super::shards::{Demand, ended, is_ended_by, record_end};
use super::{trust, up};
use crate::ctlog::Validity;
use crate::durable::failed;
use crate::evidence::EvidencePlace;
use crate::http::listener::Stop;
use crate::tuf::{PreparedTargets, Target, TufError};
use crate::witness::WitnessPlace;

/// A manifest of the most logs that there may be, with the two documents in base64, is smaller.
const MESSAGE_BYTES_MAX: u64 = 8 << 20;
/// Time that a peer has to send its request, and to take the reply.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a command waits for its reply: a freeze drains the pool first.
const REPLY_TIMEOUT: Duration = Duration::from_secs(120);
/// How often is looked whether a log's time has come. The wait does not count the time that a machine sleeps.
const CHECK_EVERY: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum AdminRequest {
    Status,
    Apply(Change),
    Freeze { name: String, demand: Demand },
}

/// A new state of the instance, ready to be published.
#[derive(Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) manifest: String,
    /// The manifest that it was made from: whatever came in between must not be lost.
    pub(super) made_from: String,
    /// Name and content of each TUF target, in base64.
    pub(super) targets: Vec<(String, String)>,
    /// The signed targets role, in base64.
    pub(super) metadata: String,
    /// What decrypts the keys of new logs, in base64. It is used once and forgotten.
    #[serde(serialize_with = "encode_passphrase", deserialize_with = "decode_passphrase")]
    pub(super) passphrase: Passphrase,
}

/// What a running process says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) service_url: String,
    pub(super) manifest: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Ok(Status),
    Refused(String),
}

/// Why a request is refused. The text goes to the owner of the instance.
#[derive(Debug, thiserror::Error)]
enum AdminError {
    #[error("the request cannot be read: {0}")]
    Unreadable(String),
    #[error("the manifest was changed meanwhile; try again")]
    Changed,
    #[error("the new manifest does not follow the present one: {0}")]
    Manifest(&'static str),
    #[error("this process serves no TUF repository")]
    NoRepository,
    #[error(transparent)]
    Tuf(#[from] TufError),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The task that takes requests.
struct Admin {
    layout: Layout,
    manifest: Manifest,
    control: Control,
    listen: SocketAddr,
    witnesses: Option<WitnessPlace>,
    evidence: Option<EvidencePlace>,
    service_url: String,
    stop: Stop,
    /// What attends logs that were opened here.
    lanes: JoinSet<()>,
}

/// What a running process is attended with.
pub(super) struct Attended {
    pub(super) layout: Layout,
    pub(super) manifest: Manifest,
    pub(super) listen: SocketAddr,
    pub(super) witnesses: Option<WitnessPlace>,
    pub(super) evidence: Option<EvidencePlace>,
}

/// Begins to take requests of `touchmark log` and to end logs whose time has come.
pub(super) fn attend(running: &mut Running, attended: Attended) -> Result<(), StartError> {
    let Attended { layout, manifest, listen, witnesses, evidence } = attended;
    let listener = bind(&layout)?;
    let control = running.control.take().expect("a process is attended once");
    let (service_url, stop, lanes) = (running.url.clone(), running.stopping.clone(), JoinSet::new());
    let admin = Admin { layout, manifest, control, listen, witnesses, evidence, service_url, stop, lanes };
    running.tasks.spawn(admin.run(listener));
    Ok(())
}

/// Effect: the socket's file. A crash leaves it, and nobody behind it; the next start, which holds the directory, replaces it.
fn bind(layout: &Layout) -> Result<Option<UnixListener>, StartError> {
    let path = layout.admin_socket();
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed("cannot remove", &path)(error).into());
        }
        _ => {}
    }
    match UnixListener::bind(&path) {
        Ok(listener) => {
            let owner_alone = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, owner_alone).map_err(failed("cannot protect", &path))?;
            Ok(Some(listener))
        }
        // Systems take about a hundred bytes for the name of a socket.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            tracing::warn!(path = %path.display(), "the path is too long for a socket: `touchmark log` can change the logs only while this process is stopped");
            Ok(None)
        }
        Err(error) => Err(failed("cannot listen on", &path)(error).into()),
    }
}

impl Admin {
    async fn run(mut self, listener: Option<UnixListener>) {
        let mut stop = self.stop.clone();
        self.adopt_ended().await;
        loop {
            tokio::select! {
                peer = accept(listener.as_ref()) => match peer {
                    Ok(stream) => self.serve(stream).await,
                    Err(error) => {
                        tracing::warn!(%error, "an administrative request was not accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                () = tokio::time::sleep(self.until_next_end()) => self.end_due().await,
                () = stop.requested() => break,
            }
        }
        let _ = std::fs::remove_file(self.layout.admin_socket());
        while self.lanes.join_next().await.is_some() {}
    }

    /// One request. Whatever happens to the peer, what was begun is completed.
    async fn serve(&mut self, stream: UnixStream) {
        if let Err(error) = is_owner(&stream, &self.layout) {
            tracing::warn!(%error, "an administrative request was turned away");
            return;
        }
        let mut stream = BufReader::new(stream);
        let reply = match receive(&mut stream).await {
            Ok(request) => self.answer(request).await,
            Err(error) => Err(error),
        };
        let reply = match reply {
            Ok(()) => Reply::Ok(Status { service_url: self.service_url.clone(), manifest: self.manifest.to_text() }),
            Err(error) => {
                tracing::warn!(%error, "an administrative request was refused");
                Reply::Refused(error.to_string())
            }
        };
        let mut line = serde_json::to_vec(&reply).expect("a reply of texts encodes");
        line.push(b'\n');
        let _ = tokio::time::timeout(PEER_TIMEOUT, stream.get_mut().write_all(&line)).await;
    }

    async fn answer(&mut self, request: AdminRequest) -> Result<(), AdminError> {
        match request {
            AdminRequest::Status => Ok(()),
            AdminRequest::Apply(change) => self.apply(change).await,
            AdminRequest::Freeze { name, demand } => Ok(self.freeze(&name, demand).await?),
        }
    }

    /// Brings the process to a new state.
    async fn apply(&mut self, change: Change) -> Result<(), AdminError> {
        let passphrase = change.passphrase;
        let prepared = prepared(change.targets, &change.metadata)?;
        if change.made_from != self.manifest.to_text() {
            return Err(AdminError::Changed);
        }
        let manifest = Manifest::parse(&change.manifest, &self.layout)?;
        manifest.check_follows(&self.manifest).map_err(AdminError::Manifest)?;
        let new: Vec<&Shard> = manifest.logs.iter().skip(self.manifest.logs.len()).collect();
        // 1. What could fail is tried first: a key that cannot be opened must not be published.
        for shard in &new {
            open::key(&self.layout.log_key(shard), &passphrase).await?;
        }
        // 2. Verifiers learn of the log. A crash after this leaves a log that is trusted and signs nothing; asking again goes on, and what the
        //    signing config says is put back at the next start.
        let (targets, client_files) = (prepared, self.layout.clone());
        let documents = targets.targets.clone();
        let OnlineTuf { repository, online } = self.control.tuf.as_ref().ok_or(AdminError::NoRepository)?;
        let mut repository = repository.lock().await;
        repository.adopt(targets, online.as_ref(), self.control.deps.now()).await?;
        let first_root = repository.first_root()?;
        drop(repository);
        trust::write_client_documents(&client_files, &first_root, &documents)?;
        // 3. The log opens, and signs its empty tree.
        for shard in &new {
            self.open(shard, &passphrase).await?;
        }
        // 4. From here on a restart comes back to the new state.
        manifest.store(&self.layout)?;
        self.manifest = manifest;
        // 5. New writes go to the current logs.
        for kind in [LogKind::Rekor, LogKind::Ct] {
            if let Some(current) = self.manifest.current(kind) {
                self.control.switch(&current.name);
            }
        }
        tracing::info!(logs = self.manifest.logs.len(), "the logs of this instance were changed");
        Ok(())
    }

    async fn open(&mut self, shard: &Shard, passphrase: &Passphrase) -> Result<(), StartError> {
        if self.control.logs.log(&shard.name).is_some() {
            return Ok(());
        }
        let mut place = up::log_place(&self.layout, shard, self.witnesses.as_ref());
        place.evidence.clone_from(&self.evidence);
        let accepted_roots = self.layout.ca_chain();
        let kind = match shard.kind {
            LogKind::Rekor => ServedKind::Rekor,
            LogKind::Ct => ServedKind::Ct { accepted_roots: &accepted_roots, validity: Validity::ANY },
        };
        let (router, attendants) = self.control.open_log(&place, kind, passphrase, &self.stop).await?;
        self.lanes.spawn(attendants.run());
        if let Some(site) = self.control.sites.get(&self.listen) {
            site.add_log(&shard.name, router);
        }
        Ok(())
    }

    /// Ends a log and writes that down.
    async fn freeze(&mut self, name: &str, demand: Demand) -> Result<(), StartError> {
        if is_ended_by(&self.manifest, name, demand)? {
            return Ok(());
        }
        let log = self.control.logs.log(name).ok_or_else(|| ended(&self.manifest, name))?;
        // A crash after this leaves a log that is frozen and a manifest that does not say so: the next start writes it.
        let frozen = log.freeze().await.map_err(StartError::role(format!("log {name}")))?;
        record_end(&mut self.manifest, name, &frozen);
        self.manifest.store(&self.layout)?;
        tracing::info!(name, size = %frozen.checkpoint.size, "the log is frozen");
        Ok(())
    }

    /// Logs that are frozen although the manifest does not say so: a crash was in between.
    async fn adopt_ended(&mut self) {
        let is_live = |shard: &&Shard| !shard.state.is_frozen();
        let live: Vec<String> = self.manifest.logs.iter().filter(is_live).map(|shard| shard.name.clone()).collect();
        for name in live {
            if self.control.logs.log(&name).is_some_and(|log| log.is_frozen())
                && let Err(error) = self.freeze(&name, Demand::EvenIfActive).await
            {
                tracing::error!(%error, name, "the end of a log was not written down");
            }
        }
    }

    async fn end_due(&mut self) {
        for name in due(&self.manifest, self.control.deps.now()) {
            if self.control.logs.log(&name).is_none() {
                // Its data are gone; the start said so.
                continue;
            }
            if let Err(error) = self.freeze(&name, Demand::NotIfActive).await {
                tracing::error!(%error, name, "a retired log was not frozen; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    fn until_next_end(&self) -> Duration {
        let now = self.control.deps.now();
        let retired = self.manifest.logs.iter().filter(|shard| !shard.state.is_frozen());
        let retired = retired.filter(|shard| self.control.logs.log(&shard.name).is_some());
        let next = retired.filter_map(|shard| shard.state.until()).min();
        let wait = next.map(|until| Duration::try_from(until.duration_since(now)).unwrap_or_default());
        wait.unwrap_or(CHECK_EVERY).min(CHECK_EVERY)
    }
}

/// Retired logs whose time has come.
pub(super) fn due(manifest: &Manifest, now: jiff::Timestamp) -> Vec<String> {
    let is_due = |shard: &&Shard| !shard.state.is_frozen() && shard.state.until().is_some_and(|until| until <= now);
    manifest.logs.iter().filter(is_due).map(|shard| shard.name.clone()).collect()
}

async fn accept(listener: Option<&UnixListener>) -> std::io::Result<UnixStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

/// A peer that may ask.
struct Owner;

fn is_owner(stream: &UnixStream, layout: &Layout) -> std::io::Result<Owner> {
    let (peer, owner) = (stream.peer_cred()?.uid(), std::fs::metadata(layout.directory())?.uid());
    if peer == owner || peer == 0 { Ok(Owner) } else { Err(std::io::ErrorKind::PermissionDenied.into()) }
}

async fn receive(stream: &mut BufReader<UnixStream>) -> Result<AdminRequest, AdminError> {
    let mut line = Zeroizing::new(Vec::new());
    let mut limited = stream.take(MESSAGE_BYTES_MAX);
    let read = tokio::time::timeout(PEER_TIMEOUT, limited.read_until(b'\n', &mut line)).await;
    match read {
        Ok(Ok(_)) if line.last() == Some(&b'\n') => {
            serde_json::from_slice(&line).map_err(|error| AdminError::Unreadable(error.to_string()))
        }
        Ok(Ok(_)) => Err(AdminError::Unreadable(format!("no whole line within {MESSAGE_BYTES_MAX} bytes"))),
        Ok(Err(error)) => Err(AdminError::Unreadable(error.to_string())),
        Err(_) => Err(AdminError::Unreadable("it did not come in time".to_owned())),
    }
}

fn decode(text: &str) -> Result<Vec<u8>, AdminError> {
    STANDARD.decode(text).map_err(|error| AdminError::Unreadable(error.to_string()))
}

fn encode_passphrase<S: Serializer>(passphrase: &Passphrase, serializer: S) -> Result<S::Ok, S::Error> {
    let text = passphrase.as_ref().map(|bytes| Zeroizing::new(STANDARD.encode(bytes)));
    text.as_ref().map(|text| text.as_str()).serialize(serializer)
}

fn decode_passphrase<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Passphrase, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.map(Zeroizing::new);
    let bytes = text.map(|text| STANDARD.decode(text.as_bytes())).transpose();
    Ok(bytes.map_err(|_| serde::de::Error::custom("the passphrase is not base64"))?.map(Zeroizing::new))
}

fn prepared(targets: Vec<(String, String)>, metadata: &str) -> Result<PreparedTargets, AdminError> {
    let target = |(name, bytes): (String, String)| {
        let known = [trust::TRUSTED_ROOT, trust::SIGNING_CONFIG].into_iter().find(|known| *known == name);
        let name = known.ok_or_else(|| AdminError::Unreadable(format!("{name:?} is no target of ours")))?;
        Ok(Target { name, bytes: decode(&bytes)? })
    };
    let targets = targets.into_iter().map(target).collect::<Result<_, AdminError>>()?;
    Ok(PreparedTargets { targets, metadata: decode(metadata)? })
}

impl Change {
    pub(super) fn new(from: &Manifest, to: &Manifest, prepared: &PreparedTargets, passphrase: &Passphrase) -> Self {
        let encoded = |target: &Target| (target.name.to_owned(), STANDARD.encode(&target.bytes));
        Change {
            manifest: to.to_text(),
            made_from: from.to_text(),
            targets: prepared.targets.iter().map(encoded).collect(),
            metadata: STANDARD.encode(&prepared.metadata),
            passphrase: passphrase.clone(),
        }
    }
}

/// Asks the process that holds a data directory.
pub(super) async fn ask(socket: &Path, request: &AdminRequest) -> Result<Status, StartError> {
    let unreachable = |source| StartError::AdminUnreachable { socket: socket.to_owned(), source };
    let exchange = async {
        let mut stream = BufReader::new(UnixStream::connect(socket).await?);
        let mut line = Zeroizing::new(serde_json::to_vec(request).expect("a request of texts encodes"));
        line.push(b'\n');
        stream.get_mut().write_all(&line).await?;
        let mut reply = Vec::new();
        stream.take(MESSAGE_BYTES_MAX).read_until(b'\n', &mut reply).await?;
        Ok(reply)
    };
    let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    let exchanged = tokio::time::timeout(REPLY_TIMEOUT, exchange).await.map_err(late).and_then(|reply| reply);
    let reply = exchanged.map_err(unreachable)?;
    match serde_json::from_slice(&reply) {
        Ok(Reply::Ok(status)) => Ok(status),
        Ok(Reply::Refused(problem)) => Err(StartError::AdminRefused { problem }),
        Err(_) => Err(unreachable(std::io::ErrorKind::InvalidData.into())),
    }
}

#[cfg(test)]
mod tests;
