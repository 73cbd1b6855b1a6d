// SPDX-License-Identifier: Apache-2.0
//! Witnesses of a running stack: honest ones, slow ones, wrong ones, and one that has seen more than the log has.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tonic_health::pb::health_check_response::ServingStatus;
use touchmark_outbound::{Limits, Response};
use touchmark_server::{UpOptions, WitnessMode, up};
use touchmark_sigstore::policy::WitnessPolicy;
use touchmark_sigstore::rekor::LogEntry;
use touchmark_sigstore::verify::logged;
use touchmark_sigstore::wire::rekor::TransparencyLogEntry;
use touchmark_testing::witness::{Behaviour, TestWitness};
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::SignedNote;

use crate::rekor::p256_record;
use crate::stack::{Stack, json, options, outbound, refusal, text};

const ENTRIES: &str = "/api/v2/log/entries";
const WITHIN: Duration = Duration::from_secs(20);

/// A quorum of both.
async fn two() -> ([TestWitness; 2], String) {
    let witnesses = [TestWitness::start("w1.example").await, TestWitness::start("w2.example").await];
    let [one, two] = &witnesses;
    let policy =
        format!("{}{}group both all w1.example w2.example\nquorum both\n", one.policy_line(), two.policy_line());
    (witnesses, policy)
}

fn witnessed(directory: &Path, policy: &str, mode: WitnessMode) -> UpOptions {
    let path = directory.join("witnesses.policy");
    std::fs::write(&path, policy).unwrap();
    UpOptions { witnesses: Some((path, mode)), ..options(&directory.join("data")) }
}

async fn start_in(directory: TempDir, policy: &str, mode: WitnessMode) -> Stack {
    let running = up(witnessed(directory.path(), policy, mode)).await.unwrap();
    Stack { running, directory }
}

async fn start(policy: &str, mode: WitnessMode) -> Stack {
    start_in(tempfile::tempdir().unwrap(), policy, mode).await
}

async fn append(stack: &Stack, message: &[u8], prefer: &str) -> Response {
    let body = p256_record(message).to_request().to_json();
    let headers = [("content-type", "application/json"), ("prefer", prefer)];
    outbound().post(&stack.url(ENTRIES), &headers, body, &Limits::SERVICE).await.unwrap()
}

async fn checkpoint(stack: &Stack, path: &str, prefer: &str) -> Response {
    outbound().get_with(&stack.url(path), &[("prefer", prefer)], &Limits::SERVICE).await.unwrap()
}

fn size(note: &str) -> u64 {
    Checkpoint::parse(SignedNote::parse(note.as_bytes()).unwrap().text()).unwrap().size.0
}

fn is_cosigned(note: &str, policy: &str) -> bool {
    let policy = WitnessPolicy::from_tlog_policy(policy).unwrap();
    policy.cosigned(&SignedNote::parse(note.as_bytes()).unwrap()).is_ok()
}

/// The note of a reply to an entry.
fn note_of(reply: &Response) -> String {
    assert_eq!(reply.status, 201, "{}", text(reply));
    json(reply)["inclusionProof"]["checkpoint"]["envelope"].as_str().unwrap().to_owned()
}

/// Waits until the newest checkpoint that is shown is cosigned and of this size.
async fn until_shown(stack: &Stack, path: &str, expect: u64) -> String {
    let begun = Instant::now();
    while begun.elapsed() < WITHIN {
        let reply = checkpoint(stack, path, "cosigned").await;
        if reply.status == 200 && size(text(&reply)) == expect {
            return text(&reply).to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no cosigned checkpoint of size {expect} at {path}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_gets_a_cosigned_checkpoint_and_who_does_not_waits_for_nobody() {
    let ([one, two], policy) = two().await;
    let stack = start(&policy, WitnessMode::FailOpen).await;
    let root = stack.trusted_root();
    let cosigned = append(&stack, b"first", "cosigned, wait=20").await;
    let note = note_of(&cosigned);
    assert!(is_cosigned(&note, &policy), "{note}");
    assert_eq!(cosigned.header("preference-applied"), Some("cosigned"));
    let entry = LogEntry::from_wire(TransparencyLogEntry::from_json(&cosigned.body).unwrap()).unwrap();
    let demanded = WitnessPolicy::from_tlog_policy(&policy).unwrap();
    assert_eq!(
        demanded
            .cosigned(&SignedNote::parse(entry.inclusion().unwrap().checkpoint().as_bytes()).unwrap())
            .unwrap()
            .len(),
        2
    );
    let record = p256_record(b"second");
    let reply = stack.post(ENTRIES, "application/json", record.to_request().to_json()).await;
    assert!(!is_cosigned(&note_of(&reply), &policy));
    assert_eq!(reply.header("preference-applied"), None);
    let entry = LogEntry::from_wire(TransparencyLogEntry::from_json(&reply.body).unwrap()).unwrap();
    logged(&entry, &record, &root, &[jiff::Timestamp::now()]).unwrap();

    // Everybody is shown the cosignatures as soon as they are there, without asking for them.
    let path = format!("/log/{}/checkpoint", stack.rekor_log());
    until_shown(&stack, &path, 2).await;
    let plain = checkpoint(&stack, &path, "").await;
    assert!(is_cosigned(text(&plain), &policy) && plain.header("vary") == Some("prefer"), "{}", text(&plain));
    let ct = until_shown(&stack, &format!("/log/{}/checkpoint", stack.ct_log()), 0).await;
    assert!(is_cosigned(&ct, &policy), "{ct}");
    for witness in [&one, &two] {
        assert_eq!(witness.witnessed(&stack.rekor_log()), Some(2));
    }

    // A restart shows what was cosigned at once, and asks no witness about its past: the store knows it.
    let directory = stack.stop().await;
    one.behave(Behaviour::Status(500));
    let stack = start_in(directory, &policy, WitnessMode::FailOpen).await;
    assert_eq!(size(text(&checkpoint(&stack, &path, "cosigned").await)), 2);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_fails_open_goes_on_and_one_that_fails_closed_says_nothing_that_was_not_cosigned() {
    for mode in [WitnessMode::FailOpen, WitnessMode::FailClosed] {
        let ([one, _two], policy) = two().await;
        let stack = start(&policy, mode).await;
        let path = format!("/log/{}/checkpoint", stack.rekor_log());
        until_shown(&stack, &path, 0).await;
        for (number, wrong) in [
            Behaviour::WrongKey,
            Behaviour::OtherText,
            Behaviour::Status(403),
            Behaviour::Status(404),
            Behaviour::Status(200),
            Behaviour::Slow(Duration::from_secs(60)),
        ]
        .into_iter()
        .enumerate()
        {
            one.behave(wrong.clone());
            let reply = append(&stack, format!("{number}").as_bytes(), "cosigned, wait=1").await;
            let shown = checkpoint(&stack, &path, "").await;
            match mode {
                WitnessMode::FailOpen => {
                    assert!(!is_cosigned(&note_of(&reply), &policy), "{wrong:?}");
                    assert_eq!(size(text(&shown)), 1 + number as u64, "{wrong:?}");
                }
                WitnessMode::FailClosed => {
                    assert_eq!(reply.status, 503, "{wrong:?} {}", text(&reply));
                    assert_eq!(reply.header("x-log-index"), Some(number.to_string().as_str()));
                    assert_eq!(size(text(&shown)), 0, "{wrong:?}");
                    assert!(is_cosigned(text(&shown), &policy));
                }
            }
            assert_eq!(size(text(&checkpoint(&stack, &path, "cosigned").await)), 0, "{wrong:?}");
        }
        one.behave(Behaviour::Honest);
        until_shown(&stack, &path, 6).await;
        if mode == WitnessMode::FailClosed {
            let reply = append(&stack, b"last", "").await;
            assert!(is_cosigned(&note_of(&reply), &policy));
        }
        stack.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_witness_beyond_the_quorum_holds_nobody_up() {
    let (slow, fast) = (TestWitness::start("slow").await, TestWitness::start("fast").await);
    let policy = format!("{}{}group g any slow fast\nquorum g\n", slow.policy_line(), fast.policy_line());
    let stack = start(&policy, WitnessMode::FailClosed).await;
    slow.behave(Behaviour::Slow(Duration::from_secs(4)));
    for number in 0..3u8 {
        let begun = Instant::now();
        assert!(is_cosigned(&note_of(&append(&stack, &[number], "").await), &policy));
        assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    }
    assert!(fast.requests() < 12, "about one question a second and log, found {}", fast.requests());
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_has_seen_more_than_the_log_has_stops_it() {
    let ([one, _two], policy) = two().await;
    let stack = start(&policy, WitnessMode::FailOpen).await;
    let channel = crate::grpc::channel(&stack).await;
    assert!(is_cosigned(&note_of(&append(&stack, b"first", "cosigned").await), &policy));
    let mut watched = crate::grpc::watch(&channel).await;
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    one.behave(Behaviour::Claims(1000));
    assert_eq!(append(&stack, b"second", "").await.status, 201);
    let begun = Instant::now();
    while append(&stack, format!("{:?}", begun.elapsed()).as_bytes(), "").await.status == 201 {
        assert!(begun.elapsed() < WITHIN, "the log goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ready = stack.get("/readyz").await;
    assert!(ready.status == 503 && text(&ready).contains("stopped"), "{}", text(&ready));
    // So do those hear it who ask, or have asked, over gRPC.
    for service in ["", crate::grpc::SERVICE] {
        assert_eq!(crate::grpc::health(&channel, service).await.unwrap(), ServingStatus::NotServing);
    }
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    stack.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The whole data directory is put back: only a witness can know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_rolled_back_as_a_whole_is_refused_by_its_witnesses() {
    let (_witnesses, policy) = two().await;
    let stack = start(&policy, WitnessMode::FailOpen).await;
    note_of(&append(&stack, b"first", "cosigned").await);
    let directory = stack.stop().await;
    let (data, old) = (directory.path().join("data"), directory.path().join("old"));
    copy(&data, &old);
    let stack = start_in(directory, &policy, WitnessMode::FailOpen).await;
    assert!(is_cosigned(&note_of(&append(&stack, b"second", "cosigned").await), &policy));
    let directory = stack.stop().await;

    std::fs::remove_dir_all(&data).unwrap();
    copy(&old, &data);
    let error = refusal(up(witnessed(directory.path(), &policy, WitnessMode::FailOpen)).await).to_string();
    for part in ["has cosigned a tree of 2 entries", "the log holds 1", "rolled back", "open a new shard"] {
        assert!(error.contains(part), "{error}");
    }

    // Written to since: without its witnesses the log forks, with them it is caught.
    let unwitnessed = up(options(&data)).await.unwrap();
    let stack = Stack { running: unwitnessed, directory };
    for number in 0..2u8 {
        assert_eq!(append(&stack, &[number], "").await.status, 201);
    }
    let directory = stack.stop().await;
    let error = refusal(up(witnessed(directory.path(), &policy, WitnessMode::FailOpen)).await).to_string();
    for part in ["has cosigned another tree of 2 entries", "rolled back and written to since"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn policies_that_cannot_be_asked_are_refused_with_what_was_expected() {
    let witness = TestWitness::start("w").await;
    let line = witness.policy_line();
    let without_url = line.rsplit_once(' ').unwrap().0;
    for (policy, expect) in [
        ("quorum none\n".to_owned(), "it names neither a log nor a witness"),
        (format!("{line}quorum none\nlog {}", "log.example+x"), "line 3 of the log policy: malformed verifier key"),
        (format!("{without_url}\nquorum w\n"), "expected the submission prefix of the witness w"),
        (format!("{without_url} ftp://w.example\nquorum w\n"), "expected an http or https URL"),
        (
            format!("{line}quorums w\n"),
            "line 2 of the log policy: \"quorums\" is neither log, witness, group nor quorum",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let error = refusal(up(witnessed(directory.path(), &policy, WitnessMode::FailOpen)).await).to_string();
        assert!(error.contains(expect), "{policy}\n{error}");
    }
}
