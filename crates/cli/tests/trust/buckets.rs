// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust push`: a published repository in another directory, and in a store that speaks the protocol of S3.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use touchmark_testing::process::free_port;

use super::machines::{Team, says};

const THREE: [&str; 3] = ["ann", "bob", "cy"];

type Objects = Arc<Mutex<BTreeMap<String, (Vec<u8>, String)>>>;

/// A store with the conditions of S3 (`If-None-Match: *`, `If-Match`). Reading needs no key; writing needs a signed request.
struct Store {
    url: String,
    /// By path: content and `Cache-Control`.
    objects: Objects,
    /// How many more writes it takes.
    left: Arc<Mutex<usize>>,
}

impl Store {
    fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", free_port().unwrap())).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (objects, left) = (Objects::default(), Arc::new(Mutex::new(usize::MAX)));
        let (shared, writes) = (Arc::clone(&objects), Arc::clone(&left));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &shared, &writes);
            }
        });
        Self { url, objects, left }
    }
}

fn answer(stream: TcpStream, objects: &Objects, left: &Mutex<usize>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
    let mut objects = objects.lock().unwrap();
    let tag = |body: &[u8]| format!("\"{}\"", hex::encode(touchmark_keys::sha256(body)));
    let present = objects.get(&path).map(|(body, _)| tag(body));
    let (status, sent) = match (method, &present) {
        ("GET", None) => ("404 Not Found", Vec::new()),
        ("GET", Some(_)) => ("200 OK", objects[&path].0.clone()),
        _ => {
            let mut left = left.lock().unwrap();
            let is_signed =
                headers.get("authorization").is_some_and(|value| value.contains("/s3/aws4_request, Signed"))
                    && headers.get("x-amz-content-sha256") == Some(&hex::encode(touchmark_keys::sha256(&body)));
            let is_met = match (headers.get("if-none-match"), headers.get("if-match")) {
                (Some(any), None) => any == "*" && present.is_none(),
                (None, Some(tag)) => Some(tag) == present.as_ref(),
                _ => false,
            };
            match (is_signed, is_met, *left) {
                (false, ..) => ("403 Forbidden", b"who are you?".to_vec()),
                (_, false, _) => ("412 Precondition Failed", Vec::new()),
                (.., 0) => ("503 Slow Down", b"later".to_vec()),
                _ => {
                    *left -= 1;
                    let caching = headers.get("cache-control").cloned().unwrap_or_default();
                    objects.insert(path.clone(), (body, caching));
                    ("200 OK", Vec::new())
                }
            }
        }
    };
    let tag = present.map_or_else(String::new, |tag| format!("etag: {tag}\r\n"));
    let mut stream = reader.into_inner();
    write!(stream, "HTTP/1.1 {status}\r\n{tag}content-length: {}\r\nconnection: close\r\n\r\n", sent.len())?;
    stream.write_all(&sent)
}

fn publish_another(team: &Team) {
    team.step(0, "event new --renew");
    team.signs("ann");
    team.signs("bob");
    team.publishes();
}

#[test]
fn a_bucket_shows_the_state_before_until_the_timestamp_is_there() {
    let team = Team::published_now(&THREE, 2);
    let store = Store::new();
    let push = format!("trust push stick/repository --to s3://bucket/tuf --s3-endpoint {}", store.url);
    let access = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "eu-north-1")];
    let verify = format!("trust verify {}/bucket/tuf --root stick/repository/1.root.json", store.url);
    let pushed = |code| team.coordinator.run_with(code, &push, &access);
    says(&team.coordinator.run(3, &push), &["no region"]);
    for (writes, versions) in
        [(5, ["root      version 1", "targets   version 1"]), (4, ["root      version 2", "targets   version 2"])]
    {
        let first = writes == 5;
        for step in 0..writes {
            if step > 0 {
                // What was there before is what clients see, but for the root, which stands for itself.
                let seen = team.coordinator.command(&verify).output().unwrap();
                let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
                assert_eq!(seen.contains("targets   version 1"), !first, "{seen}");
            }
            *store.left.lock().unwrap() = 1;
            let said = pushed(if step + 1 == writes { 0 } else { 3 });
            assert_eq!(said.contains("the store answers 503: later"), step + 1 < writes, "{said}");
        }
        says(&team.coordinator.run(0, &verify), &versions);
        says(&pushed(0), &["has everything already"]);
        if first {
            publish_another(&team);
        }
    }
    let objects = store.objects.lock().unwrap();
    for (path, (_, caching)) in objects.iter() {
        let expect = if path.ends_with("/timestamp.json") { "no-cache" } else { "public, max-age=31536000, immutable" };
        assert_eq!(caching, expect, "{path}");
    }
}

#[test]
fn nothing_in_a_bucket_is_overwritten_but_an_older_timestamp() {
    let team = Team::published_now(&THREE, 2);
    team.coordinator.carry_all("stick/repository", &team.coordinator, "old");
    let store = Store::new();
    let access = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "eu-north-1")];
    let push = |code, what: &str| {
        let line = format!("trust push {what} --to s3://bucket --s3-endpoint {}", store.url);
        team.coordinator.run_with(code, &line, &access)
    };
    push(0, "stick/repository");
    publish_another(&team);
    push(0, "stick/repository");
    says(&push(16, "old"), &["the timestamp there has version 2, this one 1: clients are not led back"]);
    let path = "/bucket/2.snapshot.json".to_owned();
    store.objects.lock().unwrap().insert(path.clone(), (b"another".to_vec(), String::new()));
    says(&push(16, "stick/repository"), &["2.snapshot.json is published already with another content"]);
    assert_eq!(store.objects.lock().unwrap()[&path].0, b"another");
    // Credentials go to this machine or over https, and a bucket has a name.
    let far = "trust push stick/repository --to s3://bucket --s3-endpoint http://192.0.2.1:9000";
    says(&team.coordinator.run_with(3, far, &access), &["is not https"]);
    says(&team.coordinator.run_with(3, "trust push stick/repository --to s3://../x", &access), &["s3://BUCKET"]);
}

#[test]
fn a_directory_is_a_place_like_any_other() {
    let team = Team::published_now(&THREE, 2);
    says(&team.coordinator.run(0, "trust push stick/repository --to served"), &["1.targets.json", "timestamp.json"]);
    says(&team.coordinator.run(0, "trust push stick/repository --to served"), &["has everything already"]);
    publish_another(&team);
    team.coordinator.write("served/2.targets.json", "another");
    says(&team.coordinator.run(16, "trust push stick/repository --to served"), &["already with another content"]);
    team.coordinator.run(0, "trust verify served --root served/1.root.json");
    std::fs::remove_file(team.coordinator.path("served/2.targets.json")).unwrap();
    team.coordinator.run(0, "trust push stick/repository --to served");
    let seen = team.coordinator.run(0, "trust verify served --root served/1.root.json");
    says(&seen, &["targets   version 2"]);
    says(&team.coordinator.run(3, "trust push nothing --to served"), &["there is no published repository in nothing"]);
}
