// SPDX-License-Identifier: Apache-2.0
//! A real server whose disk fills up under load: nothing acknowledged is lost, the services say what is wrong, and go on once there is space.
//!
//! The disk is a small tmpfs, which only root can mount: without that right the test says so and checks nothing. What a full disk does to the log
//! alone is tested everywhere, by injected errors (`touchmark-sequencer: tests::disk`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use touchmark_keys::PublicKey;
use touchmark_outbound::{Outbound, Reach};
use touchmark_testing::audit::{Leaves, LogCopy};
use touchmark_testing::load;
use touchmark_testing::process::{ServerProcess, free_port, log_path};
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};
use url::Url;

/// The whole disk: an instance that has just been made takes about a tenth.
const DISK: &str = "size=48m";
/// What is left free for the load.
const FREE_BYTES: u64 = 2 << 20;
/// Entries until the disk must have been full: each takes at least a kilobyte.
const ENTRIES_MAX: u64 = 8_000;

/// A small disk, gone with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(dir: &Path) -> Option<Self> {
        std::fs::create_dir(dir).expect("a directory can be made");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(dir).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(dir.to_owned()))
    }

    /// Fills the disk up to what is left for the load.
    fn fill(&self) {
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.0).output().expect("df runs");
        let text = String::from_utf8(output.stdout).expect("df prints text");
        let free: u64 = text.lines().nth(1).expect("a line of numbers").trim().parse().expect("a number");
        let ballast = usize::try_from(free.saturating_sub(FREE_BYTES)).expect("a small disk");
        std::fs::write(self.ballast(), vec![1; ballast]).expect("there is as much space as df says");
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_the_log_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk")) else {
        eprintln!("SKIPPED: only root can mount a small tmpfs here; the full disk of a real server was NOT tested");
        return;
    };
    let binary = Path::new(env!("CARGO_BIN_EXE_touchmark"));
    // The log of the process lies beside the disk and not on it.
    let data_dir = disk.0.join("data");
    std::os::unix::fs::symlink(dir.path().join("server.log"), log_path(&data_dir)).expect("a link can be made");
    let port = free_port().expect("a free port");
    let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
    let key = load::LoadKey::generate();
    let mut acknowledged: Vec<Value> = Vec::new();

    let server = ServerProcess::start(binary, &data_dir, port).await.expect("the server starts");
    disk.fill();
    let refusal = add_until_refused(&outbound, server.url(), &key, &mut acknowledged).await;
    let refusal = refusal.expect("so many entries fill the disk");
    assert!((500..600).contains(&refusal), "a server without space says that it is its own fault, not {refusal}");
    assert!(!acknowledged.is_empty(), "there was space at first");
    // What is published goes on being served.
    let (base, note_key) = log_of(&data_dir, server.url());
    LogCopy::read(&outbound, &base, note_key, Leaves::EntryBundles).await.expect("a full disk can be read");

    std::fs::remove_file(disk.ballast()).expect("the ballast can be removed");
    let server = restart_if_stopped(server, binary, &data_dir, port, &outbound).await;
    for number in 0..20_u64 {
        acknowledged.push(add(&outbound, server.url(), &key, ENTRIES_MAX + number).await.expect("the log goes on"));
    }
    let (base, note_key) = log_of(&data_dir, server.url());
    let copy = LogCopy::read(&outbound, &base, note_key, Leaves::EntryBundles).await.expect("a whole log");
    for entry in &acknowledged {
        copy.holds_entry(entry).expect("an acknowledged entry is in the log");
    }
    assert_eq!(copy.duplicates(), 0, "no entry stands twice");
    assert!(server.stop().await.expect("the server stops").success());
}

async fn add_until_refused(outbound: &Outbound, url: &Url, key: &load::LoadKey, to: &mut Vec<Value>) -> Option<u16> {
    for number in 0..ENTRIES_MAX {
        match add(outbound, url, key, number).await {
            Ok(entry) => to.push(entry),
            Err(status) => return Some(status),
        }
    }
    None
}

/// The entry that was logged, or the status of the refusal.
async fn add(outbound: &Outbound, url: &Url, key: &load::LoadKey, number: u64) -> Result<Value, u16> {
    let url = url.join("api/v2/log/entries").expect("a path");
    let body = load::entry_request(key, &number.to_be_bytes()).body;
    let reply = load::post_json(outbound, &url, body).await.expect("the server answers");
    if reply.status == 201 { Ok(load::json_of(&reply).expect("JSON")) } else { Err(reply.status) }
}

/// A log whose store failed says so, and what to do; then it is done.
async fn restart_if_stopped(
    server: ServerProcess,
    binary: &Path,
    data_dir: &Path,
    port: u16,
    outbound: &Outbound,
) -> ServerProcess {
    let readyz = server.url().join("readyz").expect("a path");
    let reply = outbound.get(&readyz, &touchmark_outbound::Limits::SERVICE).await.expect("the server answers");
    if reply.status == 200 {
        return server;
    }
    let said = std::fs::read_to_string(log_path(data_dir)).expect("the server's log");
    assert!(said.contains("see that the disk has space and is sound, then start the service again"), "{said}");
    server.stop().await.expect("a server whose log has stopped ends when it is asked to");
    tokio::time::sleep(Duration::from_millis(50)).await;
    ServerProcess::start(binary, data_dir, port).await.expect("the server starts when there is space again")
}

fn log_of(data_dir: &Path, url: &Url) -> (Url, NoteKey) {
    use base64::Engine as _;
    let root = std::fs::read(data_dir.join("client/trusted_root.json")).expect("a trusted root");
    let root: Value = serde_json::from_slice(&root).expect("a trusted root");
    let text = |pointer: &str| root.pointer(pointer).and_then(Value::as_str).expect("a member of a log").to_owned();
    let name = Url::parse(&text("/tlogs/0/baseUrl")).expect("a base URL").host_str().expect("a host").to_owned();
    let spki = base64::engine::general_purpose::STANDARD.decode(text("/tlogs/0/publicKey/rawBytes")).expect("base64");
    let key = PublicKey::from_spki_der(&spki).expect("a key");
    let base = url.join(&format!("log/{name}/")).expect("a log address");
    (base, NoteKey::new(&name, NoteAlgorithm::Ed25519, key).expect("a note key"))
}
