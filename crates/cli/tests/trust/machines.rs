// SPDX-License-Identifier: Apache-2.0
//! People with their machines, the files that they carry, and a clock that a test sets.

use std::cell::Cell;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_touchmark");

/// One person's machine.
pub(crate) struct Machine(TempDir);

impl Machine {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn write_private(&self, name: &str, text: &str) {
        self.write(name, text);
        std::fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.args(line.split_whitespace()).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, code: i32, line: &str) -> String {
        self.run_with(code, line, &[])
    }

    #[track_caller]
    pub(crate) fn run_with(&self, code: i32, line: &str, environment: &[(&str, &str)]) -> String {
        let Output { status, stdout, stderr } = self.command(line).envs(environment.iter().copied()).output().unwrap();
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert_eq!(status.code(), Some(code), "{line}\n{said}");
        said
    }

    /// What a person with a stick does.
    pub(crate) fn carry(&self, file: &str, to: &Machine, name: &str) {
        let target = to.path(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(self.path(file), target).unwrap();
    }

    /// The same with everything on it; what was there before is gone.
    pub(crate) fn carry_all(&self, directory: &str, to: &Machine, name: &str) {
        if to.path(name).exists() {
            std::fs::remove_dir_all(to.path(name)).unwrap();
        }
        copy_all(&self.path(directory), &to.path(name));
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_all(&path, &target),
            false => assert!(std::fs::copy(&path, &target).is_ok()),
        }
    }
}

/// A coordinator, whose stick is the ceremony, and the holders. The coordinator also has the online key.
pub(crate) struct Team {
    pub(crate) coordinator: Machine,
    holders: Vec<(&'static str, Machine)>,
    /// `None` is the machine's own clock.
    clock: Cell<Option<Timestamp>>,
}

impl Team {
    /// Everybody has enrolled; the clock stands at the beginning of 2026.
    pub(crate) fn of(holders: &[&'static str], threshold: u32) -> Self {
        let coordinator = Machine::new();
        let names = holders.join(",");
        let solo = if holders.len() == 1 { " --solo" } else { "" };
        let init = format!("trust init --dir stick --name example --holders {names} --threshold {threshold}{solo}");
        coordinator.run(0, &init);
        let holders = holders.iter().map(|name| (*name, Machine::new())).collect();
        let team = Self { coordinator, holders, clock: Cell::new(Some("2026-01-01T00:00:00Z".parse().unwrap())) };
        for (name, _) in &team.holders {
            team.enrols(name);
        }
        team.new_online_key();
        team
    }

    /// The same, with a first root that is published.
    pub(crate) fn published(holders: &[&'static str], threshold: u32) -> Self {
        let team = Self::of(holders, threshold);
        team.coordinator.write("a.txt", &trusted_root("one"));
        team.publishes_first();
        team
    }

    /// The same at the present time of this machine, with a trusted root that clients read.
    pub(crate) fn published_now(holders: &[&'static str], threshold: u32) -> Self {
        let team = Self::of(holders, threshold);
        team.clock.set(None);
        team.coordinator.write("a.txt", &trusted_root(""));
        team.publishes_first();
        team
    }

    pub(crate) fn sets_clock(&self, now: Timestamp) {
        self.clock.set(Some(now));
    }

    pub(crate) fn publishes_first(&self) {
        self.step(0, "event new --target trusted_root.json=a.txt");
        for (name, _) in &self.holders {
            self.signs(name);
        }
        self.publishes();
    }

    pub(crate) fn holder(&self, name: &str) -> &Machine {
        &self.holders.iter().find(|(holder, _)| *holder == name).unwrap().1
    }

    /// A holder makes a key, and the coordinator takes it in; one that was there before is moved to `old.pem`.
    pub(crate) fn enrols(&self, name: &str) {
        let machine = self.holder(name);
        if machine.path("key.pem").exists() {
            std::fs::rename(machine.path("key.pem"), machine.path("old.pem")).unwrap();
            std::fs::remove_file(self.coordinator.path(&format!("stick/holders/{name}.json"))).unwrap();
        }
        let enrol = "trust key enrol --ceremony example --new-key key.pem --unencrypted-key --out enrolment.json";
        let said = machine.run(0, &format!("{enrol} --holder {name}"));
        machine.carry("enrolment.json", &self.coordinator, &format!("{name}.json"));
        let accepted = self.coordinator.run(0, &format!("trust key accept --dir stick {name}.json"));
        // What the holder reads aloud is what the coordinator sees.
        assert_eq!(accepted.lines().next(), said.lines().next());
    }

    pub(crate) fn new_online_key(&self) {
        let there = self.coordinator.path("stick/holders/online.json");
        if there.exists() {
            std::fs::rename(self.coordinator.path("online.pem"), self.coordinator.path("stolen.pem")).unwrap();
            std::fs::remove_file(there).unwrap();
        }
        let enrol = "trust key enrol --ceremony example --holder online --new-key online.pem --unencrypted-key";
        self.coordinator.run(0, &format!("{enrol} --out online.json"));
        self.coordinator.run(0, "trust key accept --dir stick online.json");
    }

    /// Carries the event to a holder, who signs it, and the signature back.
    pub(crate) fn signs(&self, name: &str) {
        let machine = self.holder(name);
        let said = self.asked(0, name, "");
        let signature = said.lines().find_map(|line| line.split("wrote ").nth(1)?.split(": bring").next()).unwrap();
        let file = signature.rsplit('/').next().unwrap();
        machine.carry(signature, &self.coordinator, &format!("stick/event/signatures/{file}"));
    }

    /// What `trust sign` says to a holder.
    #[track_caller]
    pub(crate) fn asked(&self, code: i32, name: &str, flags: &str) -> String {
        let machine = self.holder(name);
        self.coordinator.carry("stick/event/event.json", machine, "event.json");
        let known = match machine.path("known.json").exists() {
            true => "--known-root known.json",
            false => "",
        };
        let key = if flags.contains("--key") { "" } else { "--key key.pem" };
        machine.run(code, &format!("trust sign event.json --holder {name} {key} {known} --yes {flags}"))
    }

    /// A look at the ceremony that no time has to do with.
    #[track_caller]
    pub(crate) fn look(&self, code: i32, line: &str) -> String {
        self.coordinator.run(code, &format!("trust {line} --dir stick"))
    }

    /// A step of the ceremony, at the time of the clock.
    #[track_caller]
    pub(crate) fn step(&self, code: i32, line: &str) -> String {
        self.step_on(&self.coordinator, code, line)
    }

    /// The same on another machine that has a copy of the stick.
    #[track_caller]
    pub(crate) fn step_on(&self, machine: &Machine, code: i32, line: &str) -> String {
        let clock = self.clock.get().map_or_else(String::new, |now| format!("--unchecked-time {now}"));
        machine.run(code, &format!("trust {line} --dir stick {clock}"))
    }

    #[track_caller]
    pub(crate) fn publishes(&self) -> String {
        let said = self.step(0, "publish --key online.pem");
        // Each holder keeps what he needs to know the next event by.
        for (_, machine) in &self.holders {
            self.coordinator.carry("stick/repository/1.root.json", machine, "known.json");
        }
        said
    }

    /// `trust doctor`, at the time of the clock.
    #[track_caller]
    pub(crate) fn doctor(&self, code: i32, flags: &str) -> String {
        let clock = self.clock.get().map_or_else(String::new, |now| format!("--at {now}"));
        self.coordinator.run(code, &format!("trust doctor --dir stick {flags} {clock}"))
    }

    /// What a client says that knows the first root.
    #[track_caller]
    pub(crate) fn client(&self, code: i32) -> String {
        let clock = self.clock.get().map_or_else(String::new, |now| format!("--at {now}"));
        let verify = "trust verify stick/repository --root stick/repository/1.root.json";
        self.coordinator.run(code, &format!("{verify} {clock}"))
    }

    /// The versions of root, targets, snapshot and timestamp that a client sees.
    #[track_caller]
    pub(crate) fn versions(&self) -> [u64; 4] {
        let clock = self.clock.get().map_or_else(String::new, |now| format!("--at {now}"));
        let verify = "trust verify stick/repository --root stick/repository/1.root.json --output json";
        let said = self.coordinator.run(0, &format!("{verify} {clock}"));
        let said: Value = serde_json::from_str(&said).unwrap();
        [0, 1, 2, 3].map(|role| said["roles"][role]["version"].as_u64().unwrap())
    }

    pub(crate) fn days_pass(&self, days: i64) {
        let now = self.clock.get().unwrap();
        self.clock.set(Some(now + SignedDuration::from_hours(24 * days)));
    }
}

/// The public trusted root, with a member that nobody knows: another content for each note.
pub(crate) fn trusted_root(note: &str) -> String {
    let public = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-tuf-repository/targets");
    let text = std::fs::read_to_string(format!("{public}/trusted_root.json")).unwrap();
    text.replacen('{', &format!("{{\"note\":\"{note}\","), 1)
}

/// Whether every text stands in what was said.
#[track_caller]
pub(crate) fn says(said: &str, texts: &[&str]) {
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in:\n{said}");
    }
}
