// SPDX-License-Identifier: Apache-2.0
//! What is printed: the JSON verdict as a whole, and the lines for people.

use super::support::{Finished, IDENTITY, ISSUER, SLSA, Shell};

#[test]
fn the_json_of_a_good_verdict() {
    let shell = Shell::new();
    shell.lay("a.txt", "happy-path-v0.3");
    insta::assert_json_snapshot!("good", shell.verify(&["a.txt", "-o", "json"]).exits(0).json());
}

#[test]
fn the_json_of_a_good_attestation() {
    let shell = Shell::new();
    let case = "rekor2-dsse-happy-path";
    shell.lay("a.txt", case);
    let root = shell.root_of(case);
    let args = ["verify-blob-attestation", "a.txt", "--trusted-root", &root, "--type", SLSA, "-o", "json"];
    let verdict = shell.run(&[&args[..], &super::support::BY_BEACON].concat()).exits(0).json();
    insta::assert_json_snapshot!("attestation", verdict);
}

#[test]
fn the_json_of_a_refusal_names_the_nearest_rule() {
    let shell = Shell::new();
    shell.lay("a.txt", "happy-path-v0.3");
    let args = ["verify-blob", "a.txt", "--trusted-root", "root.json", "-o", "json", "--gitlab", "group/project"];
    let nearer = ["--certificate-identity", IDENTITY, "--certificate-oidc-issuer", "https://example.com"];
    insta::assert_json_snapshot!("refusal", shell.run(&[&args[..], &nearer].concat()).exits(12).json());
}

#[test]
fn the_json_of_what_never_came_to_a_check() {
    let shell = Shell::new();
    shell.write("a.txt", "unsigned");
    insta::assert_json_snapshot!("unsigned", shell.verify(&["a.txt", "-o", "json"]).exits(10).json());
    let usage = shell.run(&["verify-blob", "a.txt", "-o", "json"]).exits(2);
    insta::assert_json_snapshot!("usage", usage.json());
    assert_eq!(usage.stderr(), "");
}

/// No check is said to be passed that was not made.
#[test]
fn a_check_that_was_not_reached_is_not_passed() {
    let shell = Shell::new();
    let results = |finished: Finished| -> Vec<(String, String)> {
        let verdict = finished.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let checks = verdict["checks"].as_array().unwrap();
        checks.iter().map(|check| (text(&check["check"]), text(&check["result"]))).collect()
    };
    let expect = |finished: Finished, passed: &[&str], failed: &str, not_reached: &[&str]| {
        let found = results(finished);
        let expected = passed.iter().map(|name| (*name, "passed")).chain([(failed, "failed")]);
        let expected = expected.chain(not_reached.iter().map(|name| (*name, "not-reached")));
        let expected: Vec<(String, String)> =
            expected.map(|(name, result)| (name.to_owned(), result.to_owned())).collect();
        assert_eq!(found, expected);
    };
    shell.lay("a", "managed-key-happy-path");
    let all = ["time", "chain", "sct", "identity", "artifact", "log", "signature"];
    let without_identity: Vec<&str> = all.into_iter().filter(|name| *name != "identity").collect();
    // A bare key is refused before anything is looked at.
    expect(shell.verify(&["a", "-o", "json"]), &["bundle"], "identity", &without_identity);
    shell.lay("a", "happy-path-v0.3");
    shell.write("a", "something else");
    let passed = ["bundle", "time", "chain", "sct", "identity"];
    expect(shell.verify(&["a", "-o", "json"]), &passed, "artifact", &["log", "signature"]);
    shell.write("a.sigstore.json", "{}");
    expect(shell.verify(&["a", "-o", "json"]), &[], "bundle", &[]);
}

#[test]
fn a_good_verdict_is_one_line_and_a_bad_one_says_what_to_do() {
    let shell = Shell::new();
    shell.lay("a.txt", "happy-path-v0.3");
    let good = shell.verify(&["a.txt"]).exits(0);
    let line = format!("Verified OK: a.txt  signed by {IDENTITY} ({ISSUER}) at 2024-03-19T17:26:26Z\n");
    assert_eq!((good.stdout(), good.stderr()), (line, String::new()));
    let verbose = shell.verify(&["a.txt", "-v"]).exits(0);
    for check in ["bundle", "time", "chain", "sct", "identity", "artifact", "log", "signature"] {
        assert!(verbose.stderr().contains(&format!("✓ {check}")), "{}", verbose.stderr());
    }
    let bad = shell.run(&["verify-blob", "a.txt", "--trusted-root", "root.json", "--github", "a/b"]).exits(12);
    assert_eq!(bad.stdout(), "");
    insta::assert_snapshot!("refusal_text", bad.stderr());
}
