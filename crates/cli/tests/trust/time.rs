// SPDX-License-Identifier: Apache-2.0
//! What time does to a trust root: roles that end, and who is told before.

use jiff::{SignedDuration, Timestamp};
use touchmark_outbound::{Limits, Outbound, Reach};
use touchmark_testing::process::{ServerProcess, free_port, log_path};
use url::Url;

use super::machines::{BINARY, Team, says, trusted_root};

const THREE: [&str; 3] = ["ann", "bob", "cy"];

#[test]
fn an_expired_timestamp_is_mended_by_the_online_machine_alone() {
    let team = Team::published(&THREE, 2);
    team.days_pass(6);
    team.client(0);
    team.days_pass(1);
    says(&team.client(16), &["timestamp.json: ", "timestamp expired at 2026-01-08T00:00:00Z"]);
    says(&team.doctor(16, ""), &["a client that knows root 1 is refused", "run `touchmark trust online` there"]);
    says(&team.step(0, "online --key online.pem"), &["timestamp.json"]);
    team.client(0);
    says(&team.doctor(0, ""), &["all is well"]);
    says(&team.step(0, "online --key online.pem"), &["nothing is due yet"]);
}

#[test]
fn root_and_targets_that_end_are_announced_and_only_the_holders_mend_them() {
    let team = Team::published(&THREE, 2);
    for day in (0..366).step_by(3) {
        if day < 365 {
            team.step(0, "online --key online.pem");
            team.client(0);
        }
        let ends = "root expires at 2027-01-01T00:00:00Z: gather the holders: `touchmark trust event new --renew`";
        match day {
            0..319 => says(&team.doctor(0, ""), &["all is well"]),
            319..365 => says(&team.doctor(16, ""), &[ends, "targets expires at 2027-01-01T00:00:00Z"]),
            _ => {}
        }
        team.days_pass(3);
    }
    // Not the timestamp, which ended with it: nobody is sent to the wrong people.
    let refused = team.client(16);
    says(&refused, &["root expired at 2027-01-01T00:00:00Z"]);
    assert!(!refused.contains("timestamp expired"), "{refused}");
    let ended = "the root metadata ended at 2027-01-01T00:00:00Z: no timestamp is signed over it";
    says(&team.step(16, "online --key online.pem"), &[ended, "only the holders can renew it"]);
    says(&team.doctor(16, ""), &["a client that knows root 1 is refused", "gather the holders"]);
    team.step(0, "event new --renew");
    team.signs("bob");
    team.signs("cy");
    team.publishes();
    team.client(0);
    says(&team.doctor(0, ""), &["all is well"]);
}

#[test]
fn a_time_that_nothing_checks_is_told_by_every_step_and_stands_in_the_log() {
    let team = Team::published(&THREE, 2);
    team.days_pass(1);
    says(
        &team.step(0, "event new --renew"),
        &["2026-01-02T00:00:00Z is taken as the present time", "nothing checks it"],
    );
    let log = team.coordinator.read("stick/log.jsonl");
    let steps =
        log.lines().filter(|line| !["init", "enrol"].iter().any(|action| line.contains(&format!("\"{action}\""))));
    assert_eq!(steps.inspect(|line| says(line, &["\"clock\":\"stated\""])).count(), 3);
    // A holder sees when the event says that it was made, and until when what he signs is good.
    let said = team.asked(0, "ann", "");
    says(&said, &["made 2026-01-02T00:00:00Z", "root: expires: 2027-01-01T00:00:00Z", "becomes 2027-01-02T00:00:00Z"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_announces_the_end_of_the_root_in_its_log_and_its_metrics() {
    for (days_ago, is_near) in [(300, false), (330, true)] {
        let team = Team::of(&THREE, 2);
        let begun = Timestamp::now() - SignedDuration::from_hours(24 * days_ago);
        team.sets_clock(begun);
        team.coordinator.write("a.txt", &trusted_root("one"));
        team.publishes_first();
        let (port, metrics) = (free_port().unwrap(), free_port().unwrap());
        team.coordinator.write(
            "touchmark.toml",
            &format!(
                "listen = \"127.0.0.1:{port}\"\nmetrics_listen = \"127.0.0.1:{metrics}\"\n\
                 [tuf]\ndirectory = \"stick/repository\"\nonline_key = \"online.pem\"\n"
            ),
        );
        let config = team.coordinator.path("touchmark.toml");
        let server = ServerProcess::serve(BINARY.as_ref(), &config, port).await.unwrap();
        let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
        let page = Url::parse(&format!("http://127.0.0.1:{metrics}/metrics")).unwrap();
        let page = outbound.get(&page, &Limits::SERVICE).await.unwrap().body;
        let seconds = seconds_of_root(&String::from_utf8(page).unwrap());
        let left = (365 - days_ago) * 24 * 60 * 60;
        assert!((left - 600..=left).contains(&seconds), "{seconds} of {left}");
        assert!(server.stop().await.unwrap().success());
        let log = std::fs::read_to_string(log_path(&config)).unwrap();
        assert_eq!(log.contains("needs its offline keys soon"), is_near, "{log}");
        team.coordinator.run(if is_near { 16 } else { 0 }, "trust doctor --dir stick");
    }
}

fn seconds_of_root(page: &str) -> i64 {
    let line = page.lines().find_map(|line| line.strip_prefix("touchmark_tuf_expires_seconds{role=\"root\"} "));
    line.unwrap().parse().unwrap()
}
