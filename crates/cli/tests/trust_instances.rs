// SPDX-License-Identifier: Apache-2.0
//! The instances that a client trusts, by the real binary: side by side, carried to a machine without a network, and used by many processes
//! at once. It reads as docs/trust.md does.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use touchmark_testing::process::{ServerProcess, free_port};

const ALICE: &str = "alice@example.com";
/// Each process of the test of many does so many rounds.
const ROUNDS: usize = 6;

/// A machine with a home of its own.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn carry(&self, file: &str, to: &Machine, name: &str) {
        std::fs::copy(self.path(file), to.path(name)).unwrap();
    }

    fn output(&self, line: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(binary());
        command.args(line.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command.env_clear().env("HOME", self.0.path()).envs(environment.iter().copied()).output().unwrap()
    }

    #[track_caller]
    fn run(&self, code: i32, line: &str) -> String {
        self.run_with(code, line, &[])
    }

    #[track_caller]
    fn run_with(&self, code: i32, line: &str, environment: &[(&str, &str)]) -> String {
        let Output { status, stdout, stderr } = self.output(line, environment);
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert_eq!(status.code(), Some(code), "{line}\n{said}");
        said
    }
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_touchmark"))
}

/// A running instance, its operator's machine, and how its signatures are verified.
struct Operator {
    machine: Machine,
    server: ServerProcess,
    mirror: String,
    verify: String,
}

impl Operator {
    async fn start() -> Self {
        let machine = Machine::new();
        let server = ServerProcess::start(binary(), &machine.path("data"), free_port().unwrap()).await.unwrap();
        let mirror = server.url().join("tuf").unwrap().to_string();
        let config: Value = serde_json::from_slice(&machine.read("data/client/signing_config.json")).unwrap();
        let issuer = config["oidcUrls"][0]["url"].as_str().unwrap();
        let verify = format!("verify-blob a.txt --certificate-identity {ALICE} --certificate-oidc-issuer {issuer}");
        Self { machine, server, mirror, verify }
    }

    fn root_hash(&self) -> String {
        format!("sha256:{}", hex::encode(touchmark_keys::sha256(&self.machine.read("data/client/root.json"))))
    }

    /// Adds the instance on a machine that reaches it, and signs a file there.
    fn signs_on(&self, machine: &Machine, name: &str) {
        machine.run(0, &format!("trust add {name} {} --root {}", self.mirror, self.root_hash()));
        machine.write("a.txt", "the artifact");
        let token = self.machine.run(0, &format!("token --data-dir data --email {ALICE}"));
        let environment = [("SIGSTORE_ID_TOKEN", token.trim()), ("TOUCHMARK_IN", name)];
        let said = machine.run_with(0, "sign-blob --yes a.txt --overwrite", &environment);
        // What it says to verify with verifies, whatever the default is.
        let line = said.lines().find_map(|line| line.split("Verify with: touchmark ").nth(1)).unwrap();
        assert!(line.ends_with(&format!(" --in {name}")), "{line}");
        machine.run(0, line);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_is_carried_to_a_machine_without_a_network() {
    let (operator, online, offline) = (Operator::start().await, Machine::new(), Machine::new());
    let verify = operator.verify.clone();
    operator.signs_on(&online, "lab");
    online.run(0, "trust refresh");
    let said = online.run(0, "trust export --out lab.json");
    assert!(said.contains("touchmark trust import lab.json --as lab --root"), "{said}");
    operator.machine.carry("data/client/root.json", &online, "root.json");
    assert!(operator.server.stop().await.unwrap().success());
    let late = online.run(4, "trust refresh");
    assert!(late.contains("could not be asked"), "{late}");

    for file in ["lab.json", "a.txt", "a.txt.sigstore.json"] {
        online.carry(file, &offline, file);
    }
    // Who says that this is the root has to be somebody else than the export.
    assert!(offline.run(2, "trust import lab.json --as lab").contains("not from the export itself"));
    offline.run(16, &format!("trust import lab.json --as lab --root sha256:{}", "00".repeat(32)));
    online.carry("root.json", &offline, "root.json");
    offline.run(0, "trust import lab.json --as lab --root root.json");
    offline.run(0, &format!("{verify} --offline"));
    assert!(offline.run(0, "trust list").contains("* lab  http://127.0.0.1:"));
    // A second time no root is needed; a changed one is refused, and nothing changes by it.
    offline.run(0, "trust import lab.json");
    let mut export: Value = serde_json::from_slice(&offline.read("lab.json")).unwrap();
    let files = export["files"].as_array_mut().unwrap();
    let position = files.iter().position(|file| file["name"] == "timestamp.json").unwrap();
    files.remove(position);
    offline.write("changed.json", export.to_string());
    assert!(offline.run(14, "trust import changed.json").contains("missing"));
    offline.write("changed.json", "{}");
    offline.run(3, "trust import changed.json");

    // In a hundred years the metadata have expired: refused, unless a time is stated at which they had not.
    let years = Timestamp::now() + SignedDuration::from_hours(24 * 365 * 100);
    let late = format!("{verify} --offline --insecure-accept-expired-trust");
    assert!(offline.run(16, &format!("{late} {years}")).contains("expired"));
    let said = offline.run(0, &format!("{late} {}", Timestamp::now()));
    assert!(said.contains("revoked since then is not known"), "{said}");
    assert!(offline.run(2, &format!("{} {years}", late.replace("--offline ", ""))).contains("--offline"));
    let import = "trust import lab.json --as late --root root.json --insecure-accept-expired-trust";
    offline.run(16, &format!("{import} {years}"));
    offline.run(0, &format!("{import} {}", Timestamp::now()));
    offline.run(0, &format!("{verify} --offline --in late"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_are_named_listed_chosen_and_removed() {
    let (one, two, client) = (Operator::start().await, Operator::start().await, Machine::new());
    one.signs_on(&client, "one");
    client.run(0, &format!("trust add two {} --root {}", two.mirror, two.root_hash()));
    let verify = format!("{} --offline", one.verify);
    client.run(0, &verify);
    client.run(15, &format!("{verify} --in two"));
    client.run_with(15, &verify, &[("TOUCHMARK_IN", "two")]);
    client.run_with(0, &verify, &[("TOUCHMARK_IN", "")]);
    let unknown = client.run(2, &format!("{verify} --in three"));
    assert!(unknown.contains("there is no instance three; there is one, two"), "{unknown}");
    client.run(2, &format!("{verify} --in ../one"));
    // A name stays with its roots.
    let taken = client.run(16, &format!("trust add one {} --root {}", two.mirror, two.root_hash()));
    assert!(taken.contains("--insecure-forget-rollback-memory"), "{taken}");

    client.run(0, "trust use two");
    client.run(15, &verify);
    let listed: Value = serde_json::from_str(&client.run(0, "trust list --output json")).unwrap();
    assert_eq!(listed["instances"][0]["name"], "one");
    assert_eq!(listed["instances"][1]["default"], true);
    // `initialize` goes on to choose, by a name of the mirror's or a given one.
    std::fs::copy(one.machine.path("data/client/root.json"), client.path("root.json")).unwrap();
    client.run(0, &format!("initialize --mirror {} --root root.json --in one", one.mirror));
    client.run(0, &verify);
    let apart = client.run(0, &format!("initialize --mirror {} --root root.json", one.mirror));
    assert!(apart.contains("one has the same address, and the two share nothing"), "{apart}");
    assert!(client.run(0, "trust list").contains("* 127.0.0.1-"));
    client.run(0, "trust use one");

    assert!(client.run(2, "trust remove one").contains("--yes"));
    client.run(0, "trust remove one --yes");
    assert!(client.run(16, &verify).contains("trust use NAME"));
    assert!(client.run(2, &format!("{verify} --in one")).contains("there is no instance one"));
    client.run(0, "trust use public-good");
    assert!(client.run(15, &verify).contains("this program carries"));
    let forgotten = client.run(0, "trust remove one --yes --insecure-forget-rollback-memory");
    assert!(forgotten.contains("nothing protects the name"), "{forgotten}");
    client.run(0, &format!("trust add one {} --root {} --use", one.mirror, one.root_hash()));
    client.run(0, &verify);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_clients_get_their_files_and_how_to_take_them() {
    let (operator, client) = (Operator::start().await, Machine::new());
    client.run(0, &format!("trust add lab {} --root {}", operator.mirror, operator.root_hash()));
    let check = |client_name: &str, files: &[&str], flag: &str| {
        let said = client.run(0, &format!("trust export --for {client_name} --out {client_name}"));
        assert!(said.contains(flag), "{said}");
        let written = std::fs::read_dir(client.path(client_name)).unwrap();
        let mut written: Vec<String> = written.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        written.sort();
        assert_eq!(written, files, "{client_name}");
        for file in files {
            let handed_out = operator.machine.read(&format!("data/client/{file}"));
            assert!(client.read(&format!("{client_name}/{file}")) == handed_out, "{client_name}: {file}");
        }
    };
    check(
        "cosign",
        &["root.json", "signing_config.json", "trusted_root.json"],
        "--trusted-root cosign/trusted_root.json",
    );
    check("sigstore-python", &["client_trust_config.json", "root.json"], "--trust-config sigstore-python/client_");
    check("sigstore-js", &["root.json", "trusted_root.json"], "--tuf-root-path sigstore-js/root.json");
    let all = ["client_trust_config.json", "root.json", "signing_config.json", "trusted_root.json"];
    check("files", &all, "cosign initialize --mirror");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_export_is_refused_and_named_so() {
    let (operator, online, offline) = (Operator::start().await, Machine::new(), Machine::new());
    online.run(0, &format!("trust add lab {} --root {}", operator.mirror, operator.root_hash()));
    online.run(0, "trust export --out old.json");
    operator.machine.run(0, "log rotate --kind rekor --overlap 1h --data-dir data");
    online.run(0, "trust refresh");
    online.run(0, "trust export --out new.json");
    for file in ["old.json", "new.json"] {
        online.carry(file, &offline, file);
    }
    offline.run(0, &format!("trust import new.json --as lab --root {}", operator.root_hash()));
    let said = offline.run(16, "trust import old.json");
    assert!(said.contains("an older export than the last") && !said.contains("--root"), "{said}");
}

/// Each mistake has the code of its class, and is told what to say instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_named_with_what_to_do() {
    let (operator, client) = (Operator::start().await, Machine::new());
    std::fs::copy(operator.machine.path("data/client/root.json"), client.path("root.json")).unwrap();
    let hash = operator.root_hash();
    let (mirror, digits) = (&operator.mirror, hash.strip_prefix("sha256:").unwrap());
    let check = |code: i32, line: String, expected: &str| {
        let said = client.run(code, &line);
        assert!(said.contains(expected), "{line}\n{said}");
    };
    check(0, "trust list".to_owned(), "touchmark trust add NAME URL");
    check(2, format!("trust add lab {mirror} --root {digits}"), &format!("say {hash}"));
    check(2, format!("initialize --mirror {mirror} --root {digits}"), "--root-checksum its hash");
    check(3, format!("trust add lab {mirror} --root nowhere.json"), "No such file");
    check(3, "trust verify nowhere --root root.json".to_owned(), "there is no directory nowhere");
    check(2, "trust verify ftp://a.example/tuf --root root.json".to_owned(), "http:// or https://");
    check(3, "serve --config nowhere.toml".to_owned(), "there is no such file");
    check(3, "up --data-dir new --listen 127.0.0.1:0 --witness-policy nowhere.txt".to_owned(), "nowhere.txt");
    client.write("nonsense.txt", "nonsense\n");
    check(3, "up --data-dir other --listen 127.0.0.1:0 --witness-policy nonsense.txt".to_owned(), "nonsense.txt");
    client.write("bad.toml", "[fulcio]\n");
    check(3, "serve --config bad.toml".to_owned(), "missing field");
    // For programs, too.
    let told: Value =
        serde_json::from_str(&client.run(3, "trust verify nowhere --root root.json --output json")).unwrap();
    assert_eq!((&told["version"], &told["failure"]["exitCode"]), (&1.into(), &3.into()), "{told}");
    assert!(client.run(16, "trust verify . --root root.json --output json").starts_with('{'));
    assert!(!client.path("a").exists() && client.run(0, "trust list").contains("No instance was added"));
}

/// The version that the cached timestamp has, if there is one.
fn cached_version(cache: &Path) -> Option<u64> {
    let timestamp: Value = serde_json::from_slice(&std::fs::read(cache.join("metadata/timestamp.json")).ok()?).unwrap();
    timestamp["signed"]["version"].as_u64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_at_once_never_break_the_cache_nor_take_it_back() {
    let (operator, client) = (Operator::start().await, Machine::new());
    operator.signs_on(&client, "lab");
    std::fs::copy(operator.machine.path("data/client/root.json"), client.path("root.json")).unwrap();
    let cache = client.path(".local/share/touchmark-trust/lab");
    let first = cached_version(&cache).unwrap();
    let verify = &operator.verify;
    let lines = [
        "trust refresh".to_owned(),
        format!("{verify} --offline"),
        format!("initialize --in lab --mirror {} --root root.json", operator.mirror),
        format!("{verify} --offline"),
        "trust refresh".to_owned(),
        "trust export --out export.json".to_owned(),
    ];
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut newest = first;
            while !ended.load(Ordering::Relaxed) {
                let version = cached_version(&cache).unwrap();
                assert!(version >= newest, "the cache went from {newest} to {version}");
                newest = version;
                std::thread::sleep(Duration::from_millis(1));
            }
            newest
        });
        let workers: Vec<_> =
            lines.iter().map(|line| scope.spawn(|| (0..ROUNDS).for_each(|_| drop(client.run(0, line))))).collect();
        // Meanwhile the repository gets newer versions.
        for _ in 0..3 {
            operator.machine.run(0, "log rotate --kind rekor --overlap 1h --data-dir data");
        }
        let worked: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        ended.store(true, Ordering::Relaxed);
        let newest = watcher.join().unwrap();
        worked.into_iter().for_each(|worked| worked.unwrap());
        assert!(newest > first, "nothing newer was fetched meanwhile");
    });
    client.run(0, "trust refresh");
    client.run(0, &format!("{verify} --offline"));
}
