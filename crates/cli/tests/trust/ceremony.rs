// SPDX-License-Identifier: Apache-2.0
//! A trust root that five people hold, from nothing to a verified signature: each holder in a directory of his own, with nothing in common but
//! the files that are carried between them. It reads as docs/ceremony.md does.

use std::path::Path;

use serde_json::Value;
use touchmark_testing::process::{ServerProcess, free_port};

use super::machines::{BINARY, Machine};

const HOLDERS: [&str; 5] = ["ann", "bob", "cy", "dee", "eve"];
const ALICE: &str = "alice@example.com";

/// A coordinator's machine and five others, whose keys are enrolled.
struct Ceremony {
    coordinator: Machine,
    holders: Vec<(&'static str, Machine)>,
}

impl Ceremony {
    fn enrolled() -> Self {
        let coordinator = Machine::new();
        coordinator
            .run(0, &format!("trust init --dir stick --name example --holders {} --threshold 3", HOLDERS.join(",")));
        let holders: Vec<_> = HOLDERS.into_iter().map(|name| (name, Machine::new())).collect();
        for (name, machine) in &holders {
            machine.write_private("passphrase", "in a drawer\n");
            let enrol = "trust key enrol --ceremony example --new-key key.pem --passphrase-file passphrase";
            let said = machine.run(0, &format!("{enrol} --holder {name} --out enrolment.json"));
            machine.carry("enrolment.json", &coordinator, &format!("{name}.json"));
            let accepted = coordinator.run(0, &format!("trust key accept --dir stick {name}.json"));
            // What the holder reads aloud is what the coordinator sees.
            assert_eq!(accepted.lines().next(), said.lines().next());
        }
        let enrol = "trust key enrol --ceremony example --holder online --new-key online.pem --unencrypted-key";
        coordinator.run(0, &format!("{enrol} --out online.json"));
        coordinator.run(0, "trust key accept --dir stick online.json");
        Self { coordinator, holders }
    }

    fn holder(&self, name: &str) -> &Machine {
        &self.holders.iter().find(|(holder, _)| *holder == name).unwrap().1
    }

    /// Carries the event to a holder, who signs it, and the signature back.
    fn signs(&self, name: &str, known_root: &str) {
        let machine = self.holder(name);
        self.coordinator.carry("stick/event/event.json", machine, "event.json");
        let sign =
            format!("trust sign event.json --holder {name} --key key.pem --passphrase-file passphrase {known_root}");
        assert!(machine.run(0, &sign).contains("nothing was signed"));
        assert!(!machine.path("signatures").exists());
        machine.run(0, &format!("{sign} --yes"));
        let signature = std::fs::read_dir(machine.path("signatures")).unwrap().next().unwrap().unwrap().file_name();
        let file = format!("signatures/{}", signature.to_str().unwrap());
        machine.carry(&file, &self.coordinator, &format!("stick/event/{file}"));
        std::fs::remove_dir_all(machine.path("signatures")).unwrap();
    }

    fn publish(&self) -> String {
        self.coordinator.run(0, "trust publish --dir stick --key online.pem")
    }

    /// The first event, from the wishes to the published root.
    fn first_root(&self) {
        let coordinator = &self.coordinator;
        // The first event: everybody's keys, and what clients are to trust.
        let event = "trust event new --dir stick --note first --target trusted_root.json=data/client/trusted_root.json \
                     --target signing_config.v0.2.json=data/client/signing_config.json";
        let shown = coordinator.run(0, event);
        for text in
            ["+ root: root threshold: 3 of 5", "+ root: root signer eve: ECDSA P-256, sha256 ", "certificate authority"]
        {
            assert!(shown.contains(text), "{shown}");
        }
        assert!(coordinator.run(2, event).contains("an event is pending"));

        // A reviewer who does not sign has the two files from elsewhere.
        let reviewer = Machine::new();
        coordinator.carry("stick/event/event.json", &reviewer, "event.json");
        coordinator.carry("data/client/trusted_root.json", &reviewer, "trusted_root.json");
        reviewer.run(0, "trust review event.json --target trusted_root.json=trusted_root.json");
        reviewer.write("trusted_root.json", "{}");
        reviewer.run(14, "trust review event.json --target trusted_root.json=trusted_root.json");

        // Two of five are not enough, three are.
        self.signs("ann", "");
        self.signs("dee", "");
        let status: Value =
            serde_json::from_str(&coordinator.run(10, "trust event status --dir stick --output json")).unwrap();
        assert_eq!(status["standings"][0]["missing"], serde_json::json!(["bob", "cy", "eve"]));
        assert!(coordinator.run(10, "trust publish --dir stick --key online.pem").contains("needs 3 signatures"));
        self.signs("eve", "");
        coordinator.run(0, "trust event status --dir stick");
        coordinator.run(0, "trust publish --dir stick --key online.pem --dry-run");
        assert!(!coordinator.path("stick/repository/timestamp.json").exists());
        assert!(self.publish().contains("timestamp.json"));
        coordinator.run(0, "trust verify stick/repository --root stick/repository/1.root.json");
        coordinator.run(0, "trust doctor --dir stick");
        coordinator.run(0, "trust doctor --dir stick --without ann,bob");
        let lost = coordinator.run(16, "trust doctor --dir stick --without ann,bob,cy");
        assert!(
            lost.contains("needs 3 signatures and has 2 usable keys") && lost.contains("begin a new ceremony"),
            "{lost}"
        );
    }

    /// Everything up to the publication.
    fn exchanges_anns_key(&self) {
        let coordinator = &self.coordinator;
        // Ann lost her key: the others exchange it, and the server takes the new root up while it runs.
        std::fs::remove_file(self.holder("ann").path("key.pem")).unwrap();
        std::fs::remove_file(coordinator.path("stick/holders/ann.json")).unwrap();
        let enrol = "trust key enrol --ceremony example --new-key key.pem --passphrase-file passphrase";
        self.holder("ann").run(0, &format!("{enrol} --holder ann --out enrolment.json"));
        self.holder("ann").carry("enrolment.json", coordinator, "ann.json");
        coordinator.run(0, "trust key accept --dir stick ann.json");
        coordinator.run(0, "trust event new --dir stick --replace-key ann --note lost");
        for (name, _) in &self.holders {
            coordinator.carry("stick/repository/1.root.json", self.holder(name), "known.json");
        }
        assert!(self.holder("bob").path("known.json").exists());
        coordinator.carry("stick/event/event.json", self.holder("bob"), "event.json");
        let unknown = "trust sign event.json --holder bob --key key.pem --passphrase-file passphrase --yes";
        assert!(self.holder("bob").run(2, unknown).contains("--known-root"));
        let stranger = format!("{unknown} --known-root sha256:{}", "00".repeat(32));
        assert!(self.holder("bob").run(15, &stranger).contains("sign nothing"));
        for name in ["bob", "cy", "dee"] {
            self.signs(name, "--known-root known.json");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_holders_make_a_root_and_a_signature_verifies_under_it() {
    // An instance, whose services the trust root will speak for.
    let ceremony = Ceremony::enrolled();
    let coordinator = &ceremony.coordinator;
    let binary = Path::new(BINARY);
    let services = ServerProcess::start(binary, &coordinator.path("data"), free_port().unwrap()).await.unwrap();

    ceremony.first_root();

    // A server serves it and signs its timestamp; a client pins the root that the holders made.
    let port = free_port().unwrap();
    let config = format!(
        "listen = \"127.0.0.1:{port}\"\n[tuf]\ndirectory = \"stick/repository\"\nonline_key = \"online.pem\"\n"
    );
    coordinator.write("touchmark.toml", &config);
    let server = ServerProcess::serve(binary, &coordinator.path("touchmark.toml"), port).await.unwrap();
    let mirror = server.url().join("tuf").unwrap();
    let client = Machine::new();
    coordinator.carry("stick/repository/1.root.json", &client, "root.json");
    client.run(0, &format!("trust verify {mirror} --root root.json"));
    client.run(0, &format!("initialize --mirror {mirror} --root root.json"));
    client.write("a.txt", "the artifact");
    let token = coordinator.run(0, &format!("token --data-dir data --email {ALICE}"));
    client.run_with(0, "sign-blob --yes a.txt --bundle a.sigstore.json", &[("SIGSTORE_ID_TOKEN", token.trim())]);
    let config = std::fs::read(coordinator.path("data/client/signing_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    let issuer = config["oidcUrls"][0]["url"].as_str().unwrap();
    let verify = format!("verify-blob a.txt --bundle a.sigstore.json --certificate-oidc-issuer {issuer}");
    client.run(0, &format!("{verify} --certificate-identity {ALICE}"));
    client.write("a.txt", "the artefact");
    client.run(14, &format!("{verify} --certificate-identity {ALICE}"));

    ceremony.exchanges_anns_key();
    ceremony.publish();
    client.run(0, &format!("trust verify {mirror} --root root.json"));
    client.run(0, &format!("initialize --mirror {mirror} --root root.json"));
    client.write("a.txt", "the artifact");
    client.run(0, &format!("{verify} --certificate-identity {ALICE}"));
    // A newer root of the line and an older one lead to the same instance, in either order, and the hash of either finds it.
    for machine in [&client, &Machine::new()] {
        coordinator.carry("stick/repository/2.root.json", machine, "newer.json");
        coordinator.carry("stick/repository/1.root.json", machine, "root.json");
        for root in ["newer.json", "root.json"] {
            machine.run(0, &format!("initialize --mirror {mirror} --root {root}"));
        }
        assert_eq!(machine.run(0, "trust list").lines().count(), 1);
        let hash = hex::encode(touchmark_keys::sha256(&std::fs::read(machine.path("newer.json")).unwrap()));
        machine.run(0, &format!("trust add lab {mirror} --root sha256:{hash}"));
    }
    assert!(server.stop().await.unwrap().success());
    assert!(services.stop().await.unwrap().success());
}

#[test]
fn what_cannot_be_meant_is_refused_and_says_what_to_do() {
    let machine = Machine::new();
    let init = "trust init --dir stick --name example";
    assert!(machine.run(2, &format!("{init} --holders ann,bob")).contains("--solo"));
    assert!(machine.run(2, &format!("{init} --holders ann,bob,cy --threshold 1")).contains("--solo"));
    assert!(machine.run(2, &format!("{init} --holders ann,bob,cy --threshold 4")).contains("cannot be met by 3"));
    assert!(machine.run(2, &format!("{init} --holders ann,bob,ann")).contains("ann stands twice among the holders"));
    assert!(machine.run(2, &format!("{init} --holders ann,bob,online")).contains("no holder is called online"));
    assert!(machine.run(2, "trust doctor --dir stick").contains("touchmark trust init"));
    machine.run(0, &format!("{init} --holders ann,bob,cy"));
    machine.run(2, &format!("{init} --holders ann,bob,cy"));
    assert!(machine.run(2, "trust event new --dir stick").contains("ann has not enrolled a key"));
    assert!(machine.run(2, "trust event status --dir stick").contains("trust event new"));
    let enrol = "trust key enrol --ceremony example --holder ann --new-key ann.pem";
    assert!(machine.run(2, &format!("{enrol} --out ann.json")).contains("--unencrypted-key"));
    machine.run(0, &format!("{enrol} --unencrypted-key --out ann.json"));
    let text = std::fs::read_to_string(machine.path("ann.json")).unwrap();
    machine.write("bob.json", &text.replace("\"holder\": \"ann\"", "\"holder\": \"bob\""));
    machine.run(2, "trust key accept --dir stick bob.json");
    machine.run(0, "trust key accept --dir stick ann.json");
    // The same once more does no harm; another one is told from it, and of several all are taken or none.
    machine.run(0, "trust key accept --dir stick ann.json");
    let enrol = "trust key enrol --ceremony example --unencrypted-key --new-key";
    machine.run(0, &format!("{enrol} other.pem --holder ann --out ann.json"));
    machine.run(0, &format!("{enrol} cy.pem --holder cy --out cy.json"));
    let said = machine.run(2, "trust key accept --dir stick cy.json ann.json");
    assert!(said.contains("ann.json: ann has enrolled another key already") && said.contains("remove"), "{said}");
    assert!(machine.run(16, "trust doctor --dir stick").contains("no key was accepted of bob, cy, online"));
    assert!(machine.run(2, "trust doctor --dir stick --without dee").contains("dee is no holder"));
}

#[test]
fn one_alone_may_if_he_says_so_and_is_told_what_that_means() {
    let machine = Machine::new();
    machine.run(0, "trust init --dir stick --name example --holders ann --solo");
    for holder in ["ann", "online"] {
        let enrol = "trust key enrol --ceremony example --unencrypted-key";
        machine.run(0, &format!("{enrol} --holder {holder} --new-key {holder}.pem --out {holder}.json"));
        machine.run(0, &format!("trust key accept --dir stick {holder}.json"));
    }
    machine.write("target.txt", "content");
    machine.run(0, "trust event new --dir stick --target target.txt=target.txt");
    machine.run(0, "trust sign stick/event/event.json --holder ann --key ann.pem --yes");
    let wrong = "trust sign stick/event/event.json --holder ann --key online.pem --yes";
    assert!(machine.run(12, wrong).contains("is another token in the slot"));
    machine.run(0, "trust publish --dir stick --key online.pem");
    assert!(machine.run(0, "trust online --dir stick --key online.pem").contains("nothing is due"));
    assert!(machine.run(16, "trust doctor --dir stick").contains("one stolen key is enough"));
    // What a client sees in a year, and what it sees when nobody signed for a week.
    let verify = "trust verify stick/repository --root stick/repository/1.root.json --at";
    let year = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(24 * 366)).unwrap();
    assert!(machine.run(16, &format!("{verify} {year}")).contains("root expired"));
    let week = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(24 * 8)).unwrap();
    assert!(machine.run(16, &format!("{verify} {week}")).contains("timestamp expired"));
    assert!(machine.run(16, &format!("trust doctor --dir stick --at {week}")).contains("touchmark trust online"));
    // A line of the log that was changed.
    let log = std::fs::read_to_string(machine.path("stick/log.jsonl")).unwrap();
    machine.write("stick/log.jsonl", &log.replace("\"enrol\"", "\"enrolled\""));
    assert!(machine.run(14, "trust doctor --dir stick").contains("ceremony log"));
}
