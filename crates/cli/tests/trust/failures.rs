// SPDX-License-Identifier: Apache-2.0
//! What goes wrong with keys, holders and events.

use serde_json::Value;

use super::machines::{Machine, Team, says, trusted_root};

const THREE: [&str; 3] = ["ann", "bob", "cy"];

#[test]
fn a_lost_key_is_exchanged_by_the_others() {
    let team = Team::published(&THREE, 2);
    says(&team.doctor(0, "--without ann"), &["root needs all of its 2 keys: none may be lost"]);
    team.enrols("ann");
    team.step(0, "event new --replace-key ann --note lost");
    // The new key counts for the new root, and for nothing in the old one.
    team.signs("ann");
    team.signs("bob");
    let status = team.look(10, "event status");
    says(&status, &["root by the keys of root 1: 1 of 2 needed; signed by bob; not yet: ann, cy"]);
    says(&team.step(10, "publish --key online.pem"), &["not enough holders have signed", "needs 2 signatures"]);
    team.signs("cy");
    team.publishes();
    assert_eq!(team.versions(), [2, 2, 2, 2]);
    // Whoever finds the old key can do nothing with it.
    team.step(0, "event new --renew");
    says(&team.asked(12, "ann", "--key old.pem"), &["the key at hand is", "ann signs with"]);
}

#[test]
fn an_absent_holder_is_named_and_the_others_suffice() {
    let team = Team::published(&THREE, 2);
    team.step(0, "event new --renew");
    team.signs("ann");
    let missing = "not yet: bob, cy";
    says(&team.look(10, "event status"), &["1 of 2 needed", missing, "signatures are missing"]);
    // The event waits; the online machine goes on meanwhile, and clients see nothing of it.
    for _ in 0..10 {
        team.days_pass(3);
        team.step(0, "online --key online.pem");
        assert_eq!(team.versions()[..2], [1, 1]);
    }
    says(&team.doctor(16, ""), &["is pending since 2026-01-01T00:00:00Z", missing, "waits for signatures"]);
    team.signs("cy");
    team.publishes();
    assert_eq!(team.versions()[..2], [2, 2]);
    // Or nobody comes.
    team.step(0, "event new --renew");
    says(&team.step(0, "event abort"), &["put away"]);
    says(&team.look(2, "event status"), &["no event is pending"]);
}

#[test]
fn fewer_keys_than_must_sign_are_the_end_of_a_trust_root() {
    let team = Team::published(&THREE, 2);
    let lost = ["root needs 2 signatures and has 1 usable keys: it can never be signed again", "begin a new ceremony"];
    says(&team.doctor(16, "--without bob,cy"), &lost);
    team.step(0, "event new --renew");
    team.signs("ann");
    says(&team.step(10, "publish --key online.pem"), &["needs 2 signatures"]);
    // A new ceremony is another trust root: who pinned the old one refuses it, and who pins the new one does not.
    let anew = Team::published(&THREE, 2);
    let client = Machine::new();
    anew.coordinator.carry_all("stick/repository", &client, "mirror");
    team.coordinator.carry("stick/repository/1.root.json", &client, "old.json");
    let verify = "trust verify mirror --at 2026-01-02T00:00:00Z --root";
    says(&client.run(16, &format!("{verify} old.json")), &["timestamp.json", "signatures"]);
    client.run(0, &format!("{verify} mirror/1.root.json"));
}

#[test]
fn one_stolen_key_of_a_holder_forges_nothing_and_is_exchanged() {
    let team = Team::published(&THREE, 2);
    // The thief has a copy of everything that is public, Ann's key and the online key.
    let thief = Machine::new();
    team.coordinator.carry_all("stick", &thief, "stick");
    team.holder("ann").carry("key.pem", &thief, "ann.pem");
    team.coordinator.carry("online.pem", &thief, "online.pem");
    thief.write("evil.json", &trusted_root("evil"));
    team.step_on(&thief, 0, "event new --target trusted_root.json=evil.json");
    let sign = "trust sign stick/event/event.json --holder ann --key ann.pem --yes";
    thief.run(0, &format!("{sign} --known-root stick/repository/1.root.json"));
    says(&team.step_on(&thief, 10, "publish --key online.pem"), &["needs 2 signatures"]);
    // The same signature under another name is no second one.
    let name = std::fs::read_dir(thief.path("stick/event/signatures")).unwrap().next().unwrap().unwrap().path();
    std::fs::copy(&name, name.with_file_name("bob.json")).unwrap();
    says(&thief.run(10, "trust event status --dir stick"), &["1 of 2 needed; signed by ann"]);
    says(&team.step_on(&thief, 10, "publish --key online.pem"), &["needs 2 signatures"]);

    team.enrols("ann");
    team.step(0, "event new --replace-key ann --note stolen");
    team.signs("bob");
    team.signs("cy");
    team.publishes();
    // With the new root the key has no say at all.
    team.coordinator.carry_all("stick", &thief, "stick");
    team.step_on(&thief, 0, "event new --target trusted_root.json=evil.json");
    says(&thief.run(12, &format!("{sign} --known-root stick/repository/1.root.json")), &["ann signs with"]);
}

#[test]
fn thresholds_go_up_and_down_under_the_old_and_the_new_one() {
    let team = Team::published(&THREE, 2);
    says(&team.step(2, "event new --threshold 4"), &["a threshold of 4 cannot be met by 3 holders"]);
    says(&team.step(2, "event new --threshold 1"), &["single lost or stolen key", "--solo"]);
    for (version, threshold, signers) in [(2, 3, ["ann", "bob", "cy"]), (3, 2, ["cy", "ann", "bob"])] {
        team.step(0, &format!("event new --threshold {threshold}"));
        team.signs(signers[0]);
        team.signs(signers[1]);
        says(&team.step(10, "publish --key online.pem"), &["needs 3 signatures"]);
        team.signs(signers[2]);
        team.publishes();
        assert_eq!(team.versions()[0], version);
    }
    team.step(0, "event new --renew");
    team.signs("ann");
    team.signs("bob");
    team.publishes();
}

#[test]
fn an_online_signature_meanwhile_costs_no_holders_signature() {
    let team = Team::published(&THREE, 2);
    team.coordinator.write("a.txt", &trusted_root("two"));
    team.step(0, "event new --target trusted_root.json=a.txt");
    team.signs("ann");
    // Long enough that the snapshot is signed anew, too.
    team.days_pass(50);
    says(&team.step(0, "online --key online.pem"), &["2.snapshot.json", "timestamp.json"]);
    team.signs("bob");
    team.publishes();
    assert_eq!(team.versions(), [1, 2, 3, 3]);
}

#[test]
fn signatures_made_before_a_file_changed_do_not_count() {
    let team = Team::published(&THREE, 2);
    team.coordinator.write("a.txt", &trusted_root("two"));
    team.step(0, "event new --target trusted_root.json=a.txt");
    team.signs("ann");
    let stick = team.coordinator.path("stick/event");
    let signature = std::fs::read_dir(stick.join("signatures")).unwrap().next().unwrap().unwrap().file_name();
    let signature = signature.to_str().unwrap();
    team.coordinator.carry(&format!("stick/event/signatures/{signature}"), &team.coordinator, "early.json");
    // In the event file itself nothing can be exchanged.
    let mut event: Value = serde_json::from_str(&team.coordinator.read("stick/event/event.json")).unwrap();
    event["files"] = event["base"]["files"].clone();
    team.coordinator.write("stick/event/event.json", &event.to_string());
    says(&team.asked(14, "bob", ""), &["it was changed after the event was made", "sign nothing"]);
    says(&team.step(14, "publish --key online.pem"), &["it was changed after the event was made"]);
    // So the event is made anew, and Ann's signature is none for it.
    team.step(0, "event abort");
    team.coordinator.write("a.txt", &trusted_root("three"));
    team.step(0, "event new --target trusted_root.json=a.txt");
    team.coordinator.carry("early.json", &team.coordinator, &format!("stick/event/signatures/{signature}"));
    team.signs("bob");
    let status = team.look(10, "event status");
    says(&status, &["does not count: it signs another targets", "ask ann to sign again"]);
    says(&team.step(10, "publish --key online.pem"), &["needs 2 signatures"]);
    team.signs("ann");
    team.publishes();
}

#[test]
fn of_two_events_at_once_the_second_is_made_anew() {
    let team = Team::published(&THREE, 2);
    // A second coordinator has a copy of the stick.
    let other = Machine::new();
    team.coordinator.carry_all("stick", &other, "stick");
    other.write("b.txt", "b");
    team.step_on(&other, 0, "event new --target b.txt=b.txt");

    team.step(0, "event new --renew");
    says(&team.step(2, "event new --threshold 3"), &["an event is pending since", "event abort"]);
    team.signs("ann");
    team.signs("bob");
    team.publishes();
    // The other one comes with his event, fully signed.
    other.carry("stick/event/event.json", &team.coordinator, "stick/event/event.json");
    std::fs::create_dir_all(team.coordinator.path("stick/event/signatures")).unwrap();
    team.signs("ann");
    team.signs("cy");
    let overtaken = "the event was made on root 1 and targets 1, but root 2 and targets 2 are published: make it anew";
    says(&team.step(16, "publish --key online.pem"), &[overtaken, "signatures of the old one do not count"]);
    team.step(0, "event abort");
    other.carry("b.txt", &team.coordinator, "b.txt");
    team.step(0, "event new --target b.txt=b.txt");
    team.signs("ann");
    team.signs("cy");
    team.publishes();
    assert_eq!(team.versions()[..2], [2, 3]);
}

#[test]
fn a_ceremony_log_that_was_written_anew_is_told_from_the_one_that_was_recorded() {
    let team = Team::published(&THREE, 2);
    team.coordinator.carry("stick/log.jsonl", &team.coordinator, "recorded.jsonl");
    team.step(0, "event new --renew");
    says(&team.doctor(16, "--recorded-log recorded.jsonl"), &["the log begins with recorded.jsonl"]);
    // Its own chain is whole: it begins one line later.
    let log = team.coordinator.read("stick/log.jsonl");
    let first = log.lines().next().unwrap();
    team.coordinator.write("stick/log.jsonl", &format!("{}\n", first.replace("\"threshold\":2", "\"threshold\":1")));
    says(&team.doctor(16, ""), &["1.root.json is published, and no line of the ceremony log says so"]);
    let said = team.doctor(14, "--recorded-log recorded.jsonl");
    says(&said, &["the ceremony log does not begin with the earlier copy: it was written anew"]);
}

#[test]
fn the_wrong_key_is_named_and_signs_nothing() {
    let team = Team::published(&THREE, 2);
    team.step(0, "event new --renew");
    let ann = team.holder("ann");
    team.holder("bob").carry("key.pem", ann, "bobs.pem");
    std::fs::remove_dir_all(ann.path("signatures")).unwrap();
    let said = team.asked(12, "ann", "--key bobs.pem");
    says(&said, &["the key at hand is", "; ann signs with ", "is another token in the slot"]);
    assert!(!ann.path("signatures").exists());
    says(&team.look(10, "event status"), &["signed by nobody yet"]);
}

#[test]
fn a_repository_that_lacks_what_was_published_or_a_log_that_does_not_know_it_stops_everything() {
    let team = Team::published(&THREE, 2);
    let (root, log) = (team.coordinator.path("stick/repository/1.root.json"), team.coordinator.path("stick/log.jsonl"));
    team.coordinator.carry_all("stick/repository", &team.coordinator, "earlier");
    team.step(0, "event new --renew");
    team.signs("ann");
    team.signs("bob");
    team.publishes();
    says(&team.doctor(0, "--output json"), &["\"toDo\":[]"]);
    // Somebody puts the repository back from an older copy.
    team.coordinator.carry_all("stick/repository", &team.coordinator, "newest");
    team.coordinator.carry_all("earlier", &team.coordinator, "stick/repository");
    let lost = "was published, and it is not in the repository";
    says(&team.doctor(16, ""), &[lost, "put the repository back from what clients are served"]);
    for step in ["event new --renew", "online --key online.pem", "record --yes"] {
        says(&team.step(16, step), &[lost]);
    }
    says(&team.coordinator.run(16, "trust push stick/repository --to elsewhere"), &[lost]);
    assert!(!team.coordinator.path("elsewhere").exists());
    team.coordinator.carry_all("newest", &team.coordinator, "stick/repository");
    team.doctor(0, "");
    // Or the log is gone; a line that was cut off by a crash is not.
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, [&whole[..], b"{\"previous\":\"12"].concat()).unwrap();
    says(&team.doctor(16, ""), &["15 bytes of a line that was never whole"]);
    team.step(0, "event new --renew");
    team.step(0, "event abort");
    says(&team.coordinator.read("stick/log.jsonl"), &["\"tornBytes\":15"]);
    team.doctor(0, "");
    std::fs::remove_file(&log).unwrap();
    says(&team.doctor(16, ""), &["1.root.json is published, and no line", "touchmark trust record --yes"]);
    says(&team.step(0, "record"), &["nothing was recorded"]);
    team.doctor(16, "");
    says(&team.step(0, "record --yes"), &["2.root.json"]);
    team.doctor(0, "");
    assert!(root.exists());
}

#[test]
fn what_a_holder_looked_at_is_what_he_signs() {
    let team = Team::published(&THREE, 2);
    team.coordinator.carry("stick/repository/1.targets.json", team.holder("ann"), "targets.json");
    team.coordinator.write("a.txt", &trusted_root("two"));
    team.step(0, "event new --target trusted_root.json=a.txt");
    let ann = team.holder("ann");
    team.coordinator.carry("stick/event/event.json", ann, "event.json");
    let sign = "trust sign event.json --holder ann --key key.pem --known-root known.json";
    let said = ann.run(0, sign);
    says(
        &said,
        &["on root 1, sha256", "on targets 1, sha256", "nothing says which targets you know", "nothing was signed"],
    );
    let pinned = said.lines().find_map(|line| line.split("--yes=").nth(1)).unwrap().to_owned();
    let sign = format!("{sign} --known-targets targets.json");
    assert!(!ann.run(0, &sign).contains("nothing says which targets"));
    // Another event lies there by now.
    team.step(0, "event abort");
    team.coordinator.write("a.txt", &trusted_root("three"));
    team.step(0, "event new --target trusted_root.json=a.txt");
    team.coordinator.carry("stick/event/event.json", ann, "event.json");
    std::fs::remove_dir_all(ann.path("signatures")).unwrap();
    says(
        &ann.run(14, &format!("{sign} --yes={pinned}")),
        &["what lies there to be signed has sha256", "look at it anew"],
    );
    assert!(!ann.path("signatures").exists());
    ann.run(2, &format!("{sign} --yes=12"));
    let pinned = ann.run(0, &sign).lines().find_map(|line| line.split("--yes=").nth(1)).unwrap().to_owned();
    ann.run(0, &format!("{sign} --yes={pinned}"));
    team.signs("ann");
    team.signs("bob");
    team.publishes();
    // With the old targets as base nobody who knows the new ones signs.
    team.coordinator.carry("stick/repository/2.targets.json", ann, "targets.json");
    let said = ann.run(15, &format!("{sign} --yes={pinned}"));
    says(&said, &["the event is made on targets 1, which are not those that you know", "sign nothing"]);
}

#[test]
fn a_target_that_clients_could_not_read_is_refused_where_the_event_is_made() {
    let team = Team::published(&THREE, 2);
    team.coordinator.write("a.txt", "one");
    let said = team.step(3, "event new --target trusted_root.json=a.txt");
    says(&said, &["the file for the target \"trusted_root.json\" is none", "invalid character"]);
    says(&team.step(2, "event new --remove-target trusted_root.json"), &["can be replaced, and not removed"]);
    says(&team.look(2, "event status"), &["no event is pending"]);
}
