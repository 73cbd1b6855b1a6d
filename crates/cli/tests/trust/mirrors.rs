// SPDX-License-Identifier: Apache-2.0
//! Mirrors that lie, repositories that were rolled back, and the thief of the online key: what a client does that was here before.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use touchmark_signers::SignerReference;
use touchmark_testing::process::free_port;
use touchmark_trust::key::Key;

use super::machines::{Machine, Team, says};

const THREE: [&str; 3] = ["ann", "bob", "cy"];

/// Between two looks at something that another process does.
const POLL: Duration = Duration::from_millis(10);
/// Who does not wait for a lock is done in a fraction of this.
const UNLOCKED_WITHIN: Duration = Duration::from_millis(1500);

/// A server of files, which shows what lies in `mirror/` of its machine. It ends with the test's process.
struct Mirror {
    machine: Machine,
    url: String,
}

impl Mirror {
    fn new() -> Self {
        let machine = Machine::new();
        let listener = TcpListener::bind(("127.0.0.1", free_port().unwrap())).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let directory = machine.path("mirror");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let directory = directory.clone();
                std::thread::spawn(move || answer(stream, &directory));
            }
        });
        Self { machine, url }
    }

    fn shows(&self, team: &Team) {
        team.coordinator.carry_all("stick/repository", &self.machine, "mirror");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.machine.path("mirror").join(name)
    }
}

/// One request, one reply. A file named `NAME.status` is answered with what stands in it, and who asks for one that has a `NAME.gate` waits until
/// that is taken away; `NAME.asked` tells that somebody does.
fn answer(stream: TcpStream, directory: &Path) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut request, mut line) = (String::new(), String::new());
    reader.read_line(&mut request)?;
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let name = request.split_whitespace().nth(1).unwrap_or_default().trim_start_matches('/');
    while directory.join(format!("{name}.gate")).exists() {
        std::fs::write(directory.join(format!("{name}.asked")), "")?;
        std::thread::sleep(POLL);
    }
    let (status, body) = match (
        std::fs::read_to_string(directory.join(format!("{name}.status"))),
        std::fs::read(directory.join(name)),
    ) {
        (Ok(status), _) => (status, Vec::new()),
        (Err(_), Ok(body)) => ("200 OK".to_owned(), body),
        (Err(_), Err(_)) => ("404 Not Found".to_owned(), Vec::new()),
    };
    let mut stream = reader.into_inner();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

/// A client's machine: what it knows of the mirror stays from call to call.
struct Client<'a> {
    machine: Machine,
    mirror: &'a Mirror,
}

impl<'a> Client<'a> {
    /// It pins the first root, which it got from the coordinator himself.
    fn new(team: &Team, mirror: &'a Mirror) -> Self {
        let machine = Machine::new();
        team.coordinator.carry("stick/repository/1.root.json", &machine, "root.json");
        Self { machine, mirror }
    }

    #[track_caller]
    fn comes(&self, code: i32) -> String {
        self.machine.run(code, &self.line())
    }

    /// Whether it takes what it sees, and what it says.
    fn takes_it(&self) -> (bool, String) {
        let output = self.machine.command(&self.line()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Of the timestamp that its one instance has on the disk.
    fn cached_version(&self) -> u64 {
        let instances = std::fs::read_dir(self.machine.path(".local/share/touchmark-trust")).unwrap();
        let found =
            instances.map(|entry| entry.unwrap().path().join("metadata/timestamp.json")).find(|path| path.exists());
        let timestamp: Value = serde_json::from_slice(&std::fs::read(found.unwrap()).unwrap()).unwrap();
        timestamp["signed"]["version"].as_u64().unwrap()
    }

    fn line(&self) -> String {
        format!("initialize --mirror {} --root root.json", self.mirror.url)
    }
}

#[test]
fn a_stolen_online_key_is_exchanged_and_the_thiefs_version_numbers_are_forgotten() {
    let team = Team::published_now(&THREE, 2);
    let mirror = Mirror::new();
    // The thief signs nothing but numbers, far ahead, and shows them to a client.
    let thief = Machine::new();
    team.coordinator.carry_all("stick", &thief, "stick");
    team.coordinator.carry("online.pem", &thief, "online.pem");
    for day in [2, 4, 6, 100] {
        let time = Timestamp::now() + SignedDuration::from_hours(24 * day);
        thief.run(0, &format!("trust online --dir stick --key online.pem --unchecked-time {time}"));
    }
    thief.carry_all("stick/repository", &mirror.machine, "mirror");
    let (deceived, fresh) = (Client::new(&team, &mirror), Client::new(&team, &mirror));
    deceived.comes(0);
    // The honest repository is older than what this client has seen.
    mirror.shows(&team);
    says(&deceived.comes(16), &["timestamp"]);
    fresh.comes(0);

    team.new_online_key();
    team.step(0, "event new --replace-online-key --note stolen");
    team.signs("ann");
    team.signs("cy");
    says(&team.step(12, "publish --key stolen.pem"), &["the online key at hand is", "the root names"]);
    team.publishes();
    mirror.shows(&team);
    deceived.comes(0);
    fresh.comes(0);
    assert_eq!(team.versions(), [2, 2, 2, 2]);
    // What the thief signs from now on nobody takes.
    thief.carry("stick/repository/timestamp.json", &mirror.machine, "mirror/timestamp.json");
    for client in [&deceived, &fresh] {
        client.comes(16);
    }
}

#[test]
fn a_repository_that_was_rolled_back_is_refused_and_no_number_is_given_twice() {
    let team = Team::published_now(&THREE, 2);
    let mirror = Mirror::new();
    let before = Machine::new();
    team.coordinator.carry_all("stick", &before, "stick");
    team.step(0, "event new --renew");
    team.signs("ann");
    team.signs("bob");
    team.publishes();
    mirror.shows(&team);
    let client = Client::new(&team, &mirror);
    client.comes(0);
    // Somebody put an old timestamp back, as from a backup.
    before.carry("stick/repository/timestamp.json", &mirror.machine, "mirror/timestamp.json");
    says(&client.comes(16), &["timestamp"]);
    // The coordinator, too: he can make nothing of it, for he would give version 2 of the targets a second time.
    before.carry("stick/repository/timestamp.json", &team.coordinator, "stick/repository/timestamp.json");
    team.coordinator.write("b.txt", "b");
    let said = team.step(16, "event new --target b.txt=b.txt");
    says(&said, &["the ceremony log says that targets 2 was published, and what is published now is targets 1"]);
    mirror.shows(&team);
    client.comes(16);
}

#[test]
fn a_mirror_that_lies_is_refused_in_every_way() {
    let team = Team::published_now(&THREE, 2);
    let stranger = Team::published_now(&THREE, 2);
    team.step(0, "event new --threshold 3");
    for holder in THREE {
        team.signs(holder);
    }
    team.publishes();
    let mirror = Mirror::new();
    mirror.shows(&team);
    let client = Client::new(&team, &mirror);
    client.comes(0);

    // Another's metadata, whole or one file of it.
    mirror.shows(&stranger);
    client.comes(16);
    Client::new(&team, &mirror).comes(16);
    for name in ["timestamp.json", "2.root.json", "2.snapshot.json", "2.targets.json"] {
        mirror.shows(&team);
        let twin = if name == "timestamp.json" { name.to_owned() } else { name.replace('2', "1") };
        stranger.coordinator.carry(&format!("stick/repository/{twin}"), &mirror.machine, &format!("mirror/{name}"));
        Client::new(&team, &mirror).comes(16);
    }
    // A byte of any file; a file without end; a file that is hidden; a server that will not say.
    mirror.shows(&team);
    let target = std::fs::read_dir(mirror.file("targets")).unwrap().next().unwrap().unwrap().file_name();
    let target = format!("targets/{}", target.to_str().unwrap());
    for name in ["timestamp.json", "2.root.json", "2.snapshot.json", "2.targets.json", target.as_str()] {
        let good = std::fs::read(mirror.file(name)).unwrap();
        let mut twin = good.clone();
        let position = twin.windows(6).position(|window| window == b"signed").unwrap_or(twin.len() / 2) + 20;
        twin[position] ^= 1;
        for (what, bytes) in [("changed", twin), ("endless", vec![b' '; 6 << 20])] {
            std::fs::write(mirror.file(name), bytes).unwrap();
            let (taken, said) = Client::new(&team, &mirror).takes_it();
            assert!(!taken, "{name} {what}: {said}");
        }
        std::fs::write(mirror.file(name), &good).unwrap();
        if name != "2.root.json" {
            std::fs::rename(mirror.file(name), mirror.file("hidden")).unwrap();
            let (taken, said) = Client::new(&team, &mirror).takes_it();
            assert!(!taken, "{name} hidden: {said}");
            std::fs::rename(mirror.file("hidden"), mirror.file(name)).unwrap();
        }
    }
    // A mirror that fails where the next root would be does not hide it: that is no "there is none".
    std::fs::write(mirror.file("2.root.json.status"), "503 Service Unavailable").unwrap();
    says(&Client::new(&team, &mirror).comes(4), &["2.root.json"]);
    std::fs::remove_file(mirror.file("2.root.json.status")).unwrap();
    client.comes(0);
    Client::new(&team, &mirror).comes(0);
}

/// The next targets, snapshot and timestamp, by the team's own keys and with another tool than ours, which publishes such a file.
fn publishes_elsewhere(team: &Team, mirror: &Mirror, version: u64, trusted_root: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hash = hex::encode(touchmark_keys::sha256(trusted_root));
    std::fs::write(mirror.file(&format!("targets/{hash}.trusted_root.json")), trusted_root).unwrap();
    let holders = THREE.map(|name| (team.holder(name).path("key.pem"), name)).to_vec();
    let online = vec![(team.coordinator.path("online.pem"), "online")];
    let sign = |from: &str, to: &str, change: &dyn Fn(&mut Value), keys: &[(PathBuf, &str)]| {
        let mut signed =
            serde_json::from_slice::<Value>(&std::fs::read(mirror.file(from)).unwrap()).unwrap()["signed"].take();
        signed["version"] = version.into();
        change(&mut signed);
        let bytes = touchmark_trust::canonical(&signed).unwrap();
        let signature = |(path, owner): &(PathBuf, &str)| {
            let reference = SignerReference::parse(path.to_str().unwrap(), Path::new("")).unwrap();
            runtime.block_on(async {
                let signer = reference.open(None).await.unwrap();
                let key = Key::of_owner(signer.public_key(), owner).unwrap().computed_id().unwrap();
                json!({ "keyid": key.as_str(), "sig": hex::encode(signer.sign(&bytes).await.unwrap()) })
            })
        };
        let signatures: Vec<Value> = keys.iter().map(signature).collect();
        std::fs::write(mirror.file(to), json!({ "signed": signed, "signatures": signatures }).to_string()).unwrap();
    };
    let (before, meta) = (version - 1, json!({ "version": version }));
    let entry = json!({ "length": trusted_root.len(), "hashes": { "sha256": hash } });
    let states = |signed: &mut Value| signed["targets"]["trusted_root.json"] = entry.clone();
    sign(&format!("{before}.targets.json"), &format!("{version}.targets.json"), &states, &holders);
    let pins = |signed: &mut Value| signed["meta"]["targets.json"] = meta.clone();
    sign(&format!("{before}.snapshot.json"), &format!("{version}.snapshot.json"), &pins, &online);
    let pins = |signed: &mut Value| signed["meta"]["snapshot.json"] = meta.clone();
    sign("timestamp.json", "timestamp.json", &pins, &online);
}

#[test]
fn a_trusted_root_that_cannot_be_read_replaces_none_that_can() {
    let team = Team::published_now(&THREE, 2);
    let mirror = Mirror::new();
    mirror.shows(&team);
    let client = Client::new(&team, &mirror);
    client.comes(0);
    client.machine.run(0, "trust export --for files --out before");
    let good = client.machine.read("before/trusted_root.json");
    publishes_elsewhere(&team, &mirror, 2, b"{\"certificateAuthorities\": []}");
    let refresh = |code| client.machine.run(code, "trust refresh");
    says(
        &refresh(16),
        &["publishes a trusted_root.json that cannot be used", "because: ", "tell the instance's operator"],
    );
    // It goes on with what it has, and its memory is of today.
    client.machine.run(0, "trust export --for files --out after");
    assert!(client.machine.read("after/trusted_root.json") == good);
    let newest = std::fs::read(mirror.file("timestamp.json")).unwrap();
    team.coordinator.carry("stick/repository/timestamp.json", &mirror.machine, "mirror/timestamp.json");
    says(&refresh(16), &["older than what was seen"]);
    std::fs::write(mirror.file("timestamp.json"), newest).unwrap();
    // Who comes now is told, and trusts nobody.
    let newcomer = Client::new(&team, &mirror);
    says(&newcomer.comes(16), &["publishes a trusted_root.json that cannot be used"]);
    let add = format!("trust add lab {} --root root.json --use", mirror.url);
    says(&newcomer.machine.run(16, &add), &["publishes a trusted_root.json that cannot be used"]);
    says(&newcomer.machine.run(0, "trust list"), &["No instance was added"]);
    // The operator mends it with the next version.
    publishes_elsewhere(&team, &mirror, 3, good.as_bytes());
    refresh(0);
    newcomer.comes(0);
}

/// Without the lock the second one would be done first, and the first would then put the older version over it.
#[test]
fn who_comes_while_another_process_asks_waits_for_it_and_nothing_is_taken_back() {
    let team = Team::published_now(&THREE, 2);
    let mirror = Mirror::new();
    mirror.shows(&team);
    let client = Client::new(&team, &mirror);
    client.comes(0);
    let good = std::fs::read(team.coordinator.path("a.txt")).unwrap();
    publishes_elsewhere(&team, &mirror, 2, &good);
    std::fs::write(mirror.file("2.snapshot.json.gate"), "").unwrap();
    let start = |line: &str| client.machine.command(line).stderr(Stdio::piped()).spawn().unwrap();
    let first = start("trust refresh");
    while !mirror.file("2.snapshot.json.asked").exists() {
        std::thread::sleep(POLL);
    }
    publishes_elsewhere(&team, &mirror, 3, &good);
    let mut later = [start("trust refresh"), start(&client.line())];
    let begun = Instant::now();
    while begun.elapsed() < UNLOCKED_WITHIN {
        assert_eq!(client.cached_version(), 1, "somebody wrote while another was asking");
        assert!(later.iter_mut().all(|process| process.try_wait().unwrap().is_none()), "somebody did not wait");
        std::thread::sleep(POLL);
    }
    std::fs::remove_file(mirror.file("2.snapshot.json.gate")).unwrap();
    for process in std::iter::once(first).chain(later) {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(client.cached_version(), 3);
}

#[test]
fn a_mirror_that_shows_no_news_is_believed_until_its_timestamp_ends() {
    let team = Team::published(&THREE, 2);
    let frozen = Machine::new();
    team.coordinator.carry_all("stick/repository", &frozen, "mirror");
    team.days_pass(3);
    team.step(0, "event new --renew");
    team.signs("ann");
    team.signs("bob");
    team.publishes();
    let verify = "trust verify mirror --root mirror/1.root.json --at";
    frozen.run(0, &format!("{verify} 2026-01-07T23:59:59Z"));
    says(&frozen.run(16, &format!("{verify} 2026-01-08T00:00:00Z")), &["timestamp expired"]);
}
