// SPDX-License-Identifier: Apache-2.0
//! A team that states its own targets: delegated to by the holders of the root, who are not asked again.

use serde_json::Value;

use super::machines::{Machine, Team, says};

/// What somebody is given who sees the repository: a copy, and the root that he knows.
const SEEN: &str = "--repository stick/repository --root stick/repository/1.root.json --at 2026-01-01T00:00:00Z";

/// Three holders of the root, and tess with a machine and a key of her own, to whom nothing is delegated yet.
fn team() -> (Team, Machine) {
    let team = Team::published(&["ann", "bob", "cy"], 2);
    let tess = Machine::new();
    let enrol = "trust key enrol --ceremony example --holder tess --new-key key.pem --unencrypted-key --out tess.json";
    tess.run(0, enrol);
    tess.carry("tess.json", &team.coordinator, "tess.json");
    team.coordinator.run(0, "trust key accept --dir stick tess.json");
    (team, tess)
}

fn signed_and_published(team: &Team) {
    team.signs("ann");
    team.signs("bob");
    team.publishes();
}

#[test]
fn a_team_publishes_its_targets_without_a_ceremony() {
    let (team, tess) = team();
    says(
        &team.step(0, "delegate add --role tools --holder tess --path tools/* --terminating"),
        &["delegation tools signer tess"],
    );
    signed_and_published(&team);
    says(&team.doctor(16, ""), &["the delegated role tools has no targets yet", "touchmark trust delegate make"]);
    let before = team.versions();

    team.coordinator.carry_all("stick", &tess, "stick");
    tess.write("hello.txt", "hello");
    let make = format!("trust delegate make --role tools {SEEN} --out tools.json");
    says(&tess.run(2, &format!("{make} --target other.txt=hello.txt")), &["\"other.txt\" is not delegated to tools"]);
    says(
        &tess.run(0, &format!("{make} --target tools/hello.txt=hello.txt")),
        &["+ tools: file tools/hello.txt: 5 bytes"],
    );
    tess.carry("tools.json", &team.coordinator, "unsigned.json");
    says(
        &team.step(10, "delegate publish unsigned.json --key online.pem"),
        &["not enough holders of the role have signed"],
    );
    let sign = format!("trust delegate sign tools.json {SEEN} --key");
    says(&tess.run(0, &format!("{sign} key.pem")), &["nothing was signed"]);
    says(&tess.run(0, &format!("{sign} key.pem --yes")), &["1 of 1 needed"]);
    tess.carry("tools.json", &team.coordinator, "tools.json");
    says(
        &team.step(0, "delegate publish tools.json --key online.pem --dry-run"),
        &["1.tools.json", "nothing was published"],
    );
    says(&team.step(0, "delegate publish tools.json --key online.pem"), &["1.tools.json", "timestamp.json"]);

    // Neither root nor targets have changed, and clients see the team's file.
    let after = team.versions();
    assert_eq!(after, [before[0], before[1], before[2] + 1, before[3] + 1]);
    says(
        &team.client(0),
        &["delegated tools version 1 until 2027-01-01T00:00:00Z (365 days)", "target    tools/hello.txt (5 bytes)"],
    );
    says(
        &team.step(16, "delegate publish tools.json --key online.pem"),
        &["these are targets 1 of tools, and the next ones are 2"],
    );
    team.days_pass(330);
    team.step(0, "online --key online.pem");
    says(
        &team.doctor(16, ""),
        &["the delegated role tools expires at 2027-01-01T00:00:00Z", "touchmark trust delegate make"],
    );
    let said = team.coordinator.run(
        0,
        "trust verify stick/repository --root stick/repository/1.root.json --at 2026-11-27T00:00:00Z --output json",
    );
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["delegated"][0]["role"], &said["delegated"][0]["daysLeft"]), (&"tools".into(), &35.into()));
}

#[test]
fn a_delegation_is_taken_back_and_a_key_without_a_proof_is_taken_in() {
    let (team, tess) = team();
    tess.run(
        0,
        "trust key enrol --ceremony example --holder other --new-key other.pem --unencrypted-key --out other.json",
    );
    let enrolment: Value = serde_json::from_str(&tess.read("other.json")).unwrap();
    team.coordinator.write("other.pub", enrolment["key"]["keyval"]["public"].as_str().unwrap());
    team.step(0, "delegate add --role bins --public-key other.pub --bins 1");
    signed_and_published(&team);
    says(&team.step(2, "delegate add --role tools --holder tess --path tools/*"), &["cannot stand beside bins"]);
    team.coordinator.carry_all("stick", &tess, "stick");
    for bin in ["bins-0", "bins-1"] {
        tess.run(0, &format!("trust delegate make --role {bin} {SEEN} --out {bin}.json"));
        says(
            &tess.run(12, &format!("trust delegate sign {bin}.json {SEEN} --key key.pem --yes")),
            &["has no say in the role"],
        );
        tess.run(0, &format!("trust delegate sign {bin}.json {SEEN} --key other.pem --yes"));
        tess.carry(&format!("{bin}.json"), &team.coordinator, &format!("{bin}.json"));
        team.step(0, &format!("delegate publish {bin}.json --key online.pem"));
    }
    says(&team.client(0), &["delegated bins-0 version 1", "delegated bins-1 version 1"]);
    says(
        &team.step(0, "delegate remove --role bins"),
        &["- targets: delegation bins: number 1, 1 of 1, bins of 1 bits"],
    );
    signed_and_published(&team);
    assert!(!team.client(0).contains("delegated"));
    says(&team.step(2, "delegate remove --role bins"), &["nobody delegates to a role \"bins\""]);
}
