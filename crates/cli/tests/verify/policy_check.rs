// SPDX-License-Identifier: Apache-2.0
//! `policy check`: what a policy file accepts, and what in it is probably not meant, with the line.

use super::support::Shell;

const SUSPICIOUS: &str = "\
version = 1

[[identity]]
name = \"release\"
github = \"example/app\"

[[identity]]
name = \"anybody\"
subject = { pattern = '.*@example.com' }
type = \"email\"
issuer = \"http://issuer.example\"

[weaken]
certificates-without-sct = true
";

#[test]
fn a_policy_is_explained_and_its_findings_have_lines() {
    let shell = Shell::new();
    shell.write("policy.toml", SUSPICIOUS);
    let told = shell.run(&["policy", "check", "policy.toml"]).exits(0);
    insta::assert_snapshot!("policy_check", told.stdout() + &told.stderr());
    let found = shell.run(&["policy", "check", "policy.toml", "-o", "json"]).exits(0).json();
    assert_eq!(found["valid"], true);
    assert!(
        found["findings"].as_array().unwrap().iter().all(|finding| finding["line"].as_u64().unwrap() >= 1),
        "{found}"
    );
    shell.run(&["policy", "check", "policy.toml", "--fail-on", "danger"]).exits(0);
    shell.run(&["policy", "check", "policy.toml", "--fail-on", "warning"]).exits(3);
}

#[test]
fn a_policy_that_is_none_is_refused_with_its_line() {
    let shell = Shell::new();
    shell.write("policy.toml", "version = 1\n\n[[identity]]\ngithub = \"example\"\n");
    shell.run(&["policy", "check", "policy.toml"]).exits(3).says("line 4");
    let refused = shell.run(&["policy", "check", "policy.toml", "-o", "json"]).exits(3).json();
    assert_eq!(refused["valid"], false);
    shell.run(&["policy", "check", "missing.toml"]).exits(3);
}

#[test]
fn thresholds_are_compared_with_a_trusted_root() {
    let shell = Shell::new();
    shell.write("policy.toml", "version = 1\n[[identity]]\ngithub = \"a/b\"\n[demand]\nlog-entries = 30\n");
    let args = ["policy", "check", "policy.toml", "--trusted-root", "root.json", "--fail-on", "danger"];
    shell.run(&args).exits(3).says("unreachable_threshold");
    shell.run(&args[..3]).exits(0);
}
