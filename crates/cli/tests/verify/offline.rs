// SPDX-License-Identifier: Apache-2.0
//! `--offline` and `--trusted-root` open no socket.
//!
//! Three proofs, each with its counter-proof: a listener that nobody calls, in every environment; a trace of the system calls,
//! where tracing is allowed; and a namespace without any network, where one can be made.

use std::net::TcpListener;
use std::process::Command;

use super::support::{BINARY, BY_BEACON, Shell, vector};

const GOOD: &str = "happy-path-v0.3";

/// The calls that verify without network: from the embedded root, and from a file.
fn offline_calls() -> [Vec<&'static str>; 3] {
    let call = |more: &[&'static str]| [&["verify-blob", "a"][..], &BY_BEACON, more].concat();
    [
        call(&["--offline"]),
        call(&["--trusted-root", "root.json"]),
        call(&["--offline", "--trusted-root", "root.json", "-o", "json"]),
    ]
}

fn shell() -> Shell {
    let shell = Shell::new();
    shell.lay("a", GOOD);
    shell.write("tuf-root.json", vector("sigstore-tuf-repository/metadata/root.json"));
    shell
}

/// An instance whose mirror is ours: who goes online for its trust calls us.
fn initialised_at(shell: &Shell, mirror: &str) {
    let hash = hex::encode(&touchmark_keys::sha256(mirror.as_bytes())[..8]);
    let store = ".local/share/touchmark-trust";
    let instance = serde_json::json!({ "version": 1, "mirror": mirror, "refreshedAt": "2026-01-01T00:00:00Z" });
    shell.write(&format!("{store}/instance.json"), instance.to_string());
    let root = vector("sigstore-tuf-repository/metadata/root.json");
    shell.write(&format!("{store}/127.0.0.1-{hash}/pinned.root.json"), root);
}

#[test]
fn offline_calls_nobody() {
    let shell = shell();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let called = || listener.accept().is_ok();
    initialised_at(&shell, &format!("http://{}/tuf", listener.local_addr().unwrap()));
    let call = [&["verify-blob", "a"][..], &BY_BEACON].concat();
    // Nothing was ever fetched: offline there is no trust root, and nobody is asked for one.
    shell.run(&[&call[..], &["--offline"]].concat()).exits(16);
    assert!(!called());
    shell.run(&[&call[..], &["--trusted-root", "root.json"]].concat()).exits(0);
    assert!(!called());
    // The same without --offline: the listener hears of it, so it would have heard of it before.
    let online = std::thread::scope(|scope| {
        let child = scope.spawn(|| shell.run(&call).code());
        // Whoever calls is answered with silence and a closed connection.
        let mut heard = false;
        while !child.is_finished() {
            heard |= called();
            std::thread::yield_now();
        }
        (child.join().unwrap(), heard | called())
    });
    assert_ne!(online.0, 0);
    assert!(online.1, "the mirror was not called without --offline");
}

#[test]
fn the_system_calls_of_an_offline_verification_hold_no_socket() {
    let shell = shell();
    if !is_possible(Command::new("strace").args(["-f", "-e", "trace=network", "true"])) {
        return;
    }
    let trace = |args: &[&str]| -> (i32, String) {
        let mut command = shell.command("strace");
        command.args(["-f", "-e", "trace=network", "-o", "trace"]).arg(BINARY).args(args);
        let status = command.output().unwrap().status.code().unwrap();
        (status, std::fs::read_to_string(shell.path("trace")).unwrap())
    };
    for call in offline_calls() {
        let (status, calls) = trace(&call);
        assert_eq!(status, 0, "{call:?}");
        assert!(!calls.contains("socket") && !calls.contains("connect"), "{call:?}: {calls}");
    }
    // The trace would show one.
    let (_, calls) = trace(&["initialize", "--mirror", "http://127.0.0.1:9/tuf", "--root", "tuf-root.json"]);
    assert!(calls.contains("socket("), "{calls}");
}

#[test]
fn an_offline_verification_needs_no_network_to_be_there() {
    let shell = shell();
    if !is_possible(Command::new("unshare").args(["-rn", "true"])) {
        return;
    }
    for call in offline_calls() {
        let mut command = shell.command("unshare");
        let finished = command.arg("-rn").arg(BINARY).args(&call).output().unwrap();
        assert_eq!(finished.status.code(), Some(0), "{call:?}: {}", String::from_utf8_lossy(&finished.stderr));
    }
    let mut command = shell.command("unshare");
    command.arg("-rn").arg(BINARY).args([
        "initialize",
        "--mirror",
        "http://127.0.0.1:9/tuf",
        "--root",
        "tuf-root.json",
    ]);
    assert_eq!(command.output().unwrap().status.code(), Some(4));
}

fn is_possible(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
