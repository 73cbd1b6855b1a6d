// SPDX-License-Identifier: Apache-2.0
//! Input that was tampered with, through the command line: a verdict or an error for each, never a panic, never a good verdict.

use super::support::{BY_BEACON, Shell, artifact_of, of_case};

/// A generator that gives the same numbers on each run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }

    /// The bytes with one of them changed, a stretch cut out, or the end cut off.
    fn tampered(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let at = self.next(bytes.len());
        match self.next(3) {
            0 => bytes[at] ^= 1 << self.next(7),
            1 => drop(bytes.drain(at..(at + 1 + self.next(200)).min(bytes.len()))),
            _ => bytes.truncate(at),
        }
        bytes
    }
}

const MUTATIONS: usize = 150;

fn never_panics(finished: &super::support::Finished) {
    assert!([0, 2, 3, 10, 12, 14, 15, 16].contains(&finished.code()), "{}: {}", finished.called, finished.stderr());
    assert!(!finished.stderr().contains("panicked"), "{}", finished.stderr());
}

#[test]
fn tampered_bundles_are_refused() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for case in ["happy-path-v0.3", "happy-path-v0.1", "rekor2-happy-path", "rekor2-dsse-happy-path"] {
        let shell = Shell::new();
        let bundle = of_case(case, "bundle.sigstore.json").unwrap();
        for number in 0..MUTATIONS {
            shell.write(&format!("f{number}"), artifact_of(case));
            shell.write(&format!("f{number}.sigstore.json"), numbers.tampered(&bundle));
        }
        let root = shell.root_of(case);
        let command = if case.contains("dsse") { "verify-blob-attestation" } else { "verify-blob" };
        let mut args = [&[command, "f*", "--trusted-root", &root, "-o", "json"][..], &BY_BEACON].concat();
        args.extend(case.contains("dsse").then_some(["--type", "slsaprovenance1"]).into_iter().flatten());
        let finished = shell.run(&args);
        never_panics(&finished);
        let verdicts = finished.json_lines();
        assert_eq!(verdicts.len(), MUTATIONS);
        let good = verdicts.iter().filter(|verdict| verdict["verified"] == true).count();
        // What nothing signs and nothing uses may change: white space, members that count for nothing (docs/security-model.md).
        assert!(good <= MUTATIONS / 10, "{case}: {good} of {MUTATIONS} verified");
    }
}

#[test]
fn tampered_policies_keys_and_roots_are_answered() {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let shell = Shell::new();
    shell.lay("a", "happy-path-v0.3");
    shell.lay("keyed", "managed-key-happy-path");
    let policy = "version = 1\n[[identity]]\ngithub = \"a/b\"\nbranch = \"main\"\n[demand]\ntimes = 1\n";
    let key = of_case("managed-key-happy-path", "key.pub").unwrap();
    let root = std::fs::read(shell.path("root.json")).unwrap();
    for _ in 0..MUTATIONS / 5 {
        shell.write("policy.toml", numbers.tampered(policy.as_bytes()));
        never_panics(&shell.run(&["verify-blob", "a", "--trusted-root", "root.json", "--policy", "policy.toml"]));
        never_panics(&shell.run(&["policy", "check", "policy.toml"]));
        shell.write("key.pub", numbers.tampered(&key));
        never_panics(&shell.run(&["verify-blob", "keyed", "--trusted-root", "root.json", "--key", "key.pub"]));
        shell.write("bad-root.json", numbers.tampered(&root));
        never_panics(&shell.run(&[&["verify-blob", "a", "--trusted-root", "bad-root.json"][..], &BY_BEACON].concat()));
        shell.write("old", numbers.tampered(&of_case("happy-path-v0.2", "bundle.sigstore.json").unwrap()));
        never_panics(&shell.run(&["bundle", "upgrade", "old"]));
    }
}

#[test]
fn arguments_that_are_no_text_are_answered() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let shell = Shell::new();
    let mut command = shell.command(super::support::BINARY);
    command.args(["verify-blob", "--trusted-root", "root.json"]).args(BY_BEACON);
    command.arg(OsStr::from_bytes(b"\xff*\xfe")).arg(OsStr::from_bytes(b"a\xff"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
}
