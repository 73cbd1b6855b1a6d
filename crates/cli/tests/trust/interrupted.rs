// SPDX-License-Identifier: Apache-2.0
//! A publication that ends before, at and after each of its files: what clients see then, and who finishes it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use super::machines::{Machine, Team, says, trusted_root};

/// An event of root and targets that everybody has signed.
fn signed_event() -> Team {
    let team = Team::published(&["ann", "bob", "cy"], 2);
    team.coordinator.write("a.txt", &trusted_root("two"));
    team.step(0, "event new --renew --target trusted_root.json=a.txt");
    team.signs("ann");
    team.signs("bob");
    team.coordinator.carry_all("stick", &team.coordinator, "signed");
    team
}

/// Where a file is while it is written.
fn staged(team: &Team, name: &str) -> PathBuf {
    let path = team.coordinator.path(&format!("stick/repository/{name}"));
    path.with_file_name(format!(".{}.new", path.file_name().unwrap().display()))
}

/// Puts the directory back to where everybody had signed.
fn again(team: &Team) {
    team.coordinator.carry_all("signed", &team.coordinator, "stick");
}

/// The files of the publication, as a dry run names them.
fn files(team: &Team) -> Vec<String> {
    let said = team.step(0, "publish --key online.pem --dry-run");
    let files: Vec<String> =
        said.lines().filter_map(|line| line.strip_suffix(" bytes)")?.split(" (").next()).map(str::to_owned).collect();
    assert_eq!(files.len(), 5, "{said}");
    files
}

#[test]
fn clients_see_the_state_before_until_the_timestamp_is_there_and_the_next_publication_finishes() {
    let team = signed_event();
    let files = files(&team);
    for (position, name) in files.iter().enumerate() {
        again(&team);
        // The disk refuses this very file: a directory stands where it would be written.
        let obstacle = staged(&team, name);
        std::fs::create_dir(&obstacle).unwrap();
        says(&team.step(3, "publish --key online.pem"), &["cannot", name.rsplit('/').next().unwrap()]);
        // A root stands for itself; everything else waits for the timestamp.
        let has_root = files[..position].contains(&"2.root.json".to_owned());
        assert_eq!(team.versions(), [if has_root { 2 } else { 1 }, 1, 1, 1], "{name}");
        let pending = "a publication was interrupted: run `touchmark trust publish` again";
        for step in ["event abort", "event new --renew", "publish --key online.pem --dry-run"] {
            let said = team.step(if step.contains("publish") { 3 } else { 2 }, step);
            assert!(said.contains(pending) || step.contains("publish"), "{said}");
        }
        std::fs::remove_dir(&obstacle).unwrap();
        says(&team.step(0, "publish --key online.pem"), &["had been interrupted; it is whole now", "timestamp.json"]);
        assert_eq!(team.versions(), [2, 2, 2, 2], "{name}");
        says(&team.look(2, "event status"), &["no event is pending"]);
        team.doctor(0, "");
    }
}

#[test]
fn before_its_note_nothing_is_published_and_after_its_last_file_only_the_event_is_left() {
    let team = signed_event();
    let obstacle = staged(&team, "publication.json");
    std::fs::create_dir(&obstacle).unwrap();
    says(&team.step(3, "publish --key online.pem"), &["publication.json"]);
    assert_eq!(team.versions(), [1, 1, 1, 1]);
    std::fs::remove_dir(&obstacle).unwrap();
    team.publishes();
    assert_eq!(team.versions(), [2, 2, 2, 2]);

    again(&team);
    let past = team.coordinator.path("stick/past");
    std::fs::rename(&past, past.with_extension("moved")).unwrap();
    std::fs::write(&past, "in the way").unwrap();
    says(&team.step(3, "publish --key online.pem"), &["past"]);
    assert_eq!(team.versions(), [2, 2, 2, 2]);
    std::fs::remove_file(&past).unwrap();
    says(&team.step(0, "publish --key online.pem"), &["it is whole now"]);
    says(&team.look(2, "event status"), &["no event is pending"]);
}

#[test]
fn the_online_machine_finishes_it_too() {
    let team = signed_event();
    let files = files(&team);
    let obstacle = staged(&team, &files[3]);
    std::fs::create_dir(&obstacle).unwrap();
    team.step(3, "publish --key online.pem");
    // It is at the ceremony's own directory, where it says what is to be done.
    says(&team.step(2, "online --key online.pem"), &["a publication was interrupted"]);
    std::fs::remove_dir(&obstacle).unwrap();
    team.step(0, "publish --key online.pem");
    assert_eq!(team.versions(), [2, 2, 2, 2]);
}

#[test]
fn a_process_that_is_killed_at_any_moment_leaves_no_half() {
    let team = signed_event();
    let clock = "--unchecked-time 2026-01-01T00:00:00Z";
    for milliseconds in [0, 2, 4, 6, 8, 10, 12, 15, 20, 30] {
        again(&team);
        let mut publish = team.coordinator.command(&format!("trust publish --dir stick --key online.pem {clock}"));
        let mut process = publish.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        process.kill().unwrap();
        process.wait().unwrap();
        let [root, rest @ ..] = team.versions();
        assert!((rest == [1, 1, 1] && root <= 2) || (root, rest) == (2, [2, 2, 2]), "{root} {rest:?}");
        // Done already, finished now, or done now.
        let said = Machine::command(&team.coordinator, &format!("trust publish --dir stick --key online.pem {clock}"));
        let said = { said }.output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.success() || text.contains("no event is pending"), "{text}");
        assert_eq!(team.versions(), [2, 2, 2, 2]);
        team.doctor(0, "");
    }
}
