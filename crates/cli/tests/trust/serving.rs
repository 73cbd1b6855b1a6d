// SPDX-License-Identifier: Apache-2.0
//! `touchmark serve` over a published repository: of one holder, with a wrong key.

use touchmark_outbound::{Limits, Outbound, Reach};
use touchmark_testing::process::{ServerProcess, free_port};

use crate::machines::{BINARY, Machine, Team, says};

const THREE: [&str; 3] = ["ann", "bob", "cy"];

fn configure(coordinator: &Machine, online_key: &str) -> u16 {
    let port = free_port().unwrap();
    let config = format!(
        "listen = \"127.0.0.1:{port}\"\n[tuf]\ndirectory = \"stick/repository\"\nonline_key = \"{online_key}\"\n"
    );
    coordinator.write("touchmark.toml", &config);
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_holder_holds_alone_is_served_and_followed() {
    let team = Team::published_now(&["ann"], 1);
    let port = configure(&team.coordinator, "online.pem");
    let config = team.coordinator.path("touchmark.toml");
    let server = ServerProcess::serve(BINARY.as_ref(), &config, port).await.unwrap();
    let mirror = server.url().join("tuf").unwrap();
    let client = Machine::new();
    team.coordinator.carry("stick/repository/1.root.json", &client, "root.json");
    client.run(0, &format!("trust verify {mirror} --root root.json"));
    // People see who signs and until when, programs too.
    let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
    let page = outbound.get_with(server.url(), &[("accept", "text/html")], &Limits::SERVICE).await.unwrap();
    let shown = String::from_utf8(page.body.clone()).unwrap();
    says(&shown, &["<td>root<td>1<td>", "ann <code>", "online <code>"]);
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let read = outbound.get_with(server.url(), &[("accept", "application/json")], &Limits::SERVICE).await.unwrap();
    let read: serde_json::Value = serde_json::from_slice(&read.body).unwrap();
    assert_eq!(
        (read["roles"][0]["role"].as_str(), read["roles"][0]["standing"].as_str()),
        (Some("root"), Some("good"))
    );
    // A later root is taken up while the server runs.
    team.step(0, "event new --renew");
    team.signs("ann");
    team.publishes();
    says(&client.run(0, &format!("trust verify {mirror} --root root.json")), &["2"]);
    assert!(server.stop().await.unwrap().success());
}

#[test]
fn a_key_that_the_root_does_not_name_is_refused_at_the_start_with_both_ids() {
    let team = Team::published_now(&THREE, 2);
    team.holder("ann").carry("key.pem", &team.coordinator, "ann.pem");
    let before = team.coordinator.read("stick/repository/timestamp.json");
    let root: serde_json::Value = serde_json::from_str(&team.coordinator.read("stick/repository/1.root.json")).unwrap();
    let online = root["signed"]["roles"]["timestamp"]["keyids"][0].as_str().unwrap();
    let keys = root["signed"]["keys"].as_object().unwrap();
    let ann = keys.iter().find(|(_, key)| key["x-tuf-on-ci-keyowner"].as_str() == Some("ann"));
    configure(&team.coordinator, "ann.pem");
    let said = team.coordinator.run(3, "serve --config touchmark.toml");
    says(&said, &["`online_key` is not the key", "snapshot", online, ann.unwrap().0]);
    assert_eq!(team.coordinator.read("stick/repository/timestamp.json"), before, "nothing was signed");
}
