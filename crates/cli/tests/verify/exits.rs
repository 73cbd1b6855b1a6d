// SPDX-License-Identifier: Apache-2.0
//! The exit code of every class, and the code of what failed.

use super::support::{BY_BEACON, IDENTITY, ISSUER, Shell, of_case};

/// A case under its own trusted root, and what has to come of it.
fn check(shell: &Shell, case: &str, more: &[&str], exit: i32, code: &str) {
    shell.lay("a", case);
    let root = shell.root_of(case);
    let args = [&["verify-blob", "a", "--trusted-root", &root, "-o", "json"][..], more].concat();
    let finished = shell.run(&args).exits(exit);
    let verdict = finished.json();
    assert_eq!(verdict["failure"]["code"], code, "{case}: {verdict}");
    assert_eq!(verdict["failure"]["exitCode"], exit, "{case}");
    assert_eq!(verdict["verified"], false);
}

#[test]
fn each_class_has_its_exit_code() {
    let shell = Shell::new();
    let other = ["--certificate-identity", "mallory@example.com", "--certificate-oidc-issuer", ISSUER];
    let other_issuer = ["--certificate-identity", IDENTITY, "--certificate-oidc-issuer", "https://example.com"];
    check(&shell, "happy-path-v0.3", &other, 12, "identity_mismatch");
    check(&shell, "happy-path-v0.3", &other_issuer, 12, "issuer_mismatch");
    check(&shell, "signature-mismatch_fail", &BY_BEACON, 14, "log_entry_mismatch");
    check(&shell, "message-digest-mismatch_fail", &BY_BEACON, 14, "artifact_mismatch");
    check(&shell, "wrong-hashedrekord-entry_fail", &BY_BEACON, 14, "log_entry_mismatch");
    check(&shell, "invalid-ct-key_fail", &BY_BEACON, 15, "sct_log_unknown");
    check(&shell, "rekor2-no-timestamp_fail", &BY_BEACON, 15, "time_missing");
    check(&shell, "bundle-unknown-version_fail", &BY_BEACON, 3, "bundle_media_type");
    check(&shell, "bundle-malformed-json_fail", &BY_BEACON, 3, "bundle_malformed");
    check(&shell, "happy-path-intoto-in-dsse-v3", &BY_BEACON, 10, "bundle_content");
}

#[test]
fn what_is_missing_or_cannot_be_read_has_its_code() {
    let shell = Shell::new();
    shell.lay("a", "happy-path-v0.3");
    shell.write("b", "no bundle beside");
    let check = |args: &[&str], exit: i32, code: &str| {
        let verdict = shell.verify(&[args, &["-o", "json"]].concat()).exits(exit).json();
        assert_eq!(verdict["failure"]["code"], code, "{verdict}");
    };
    check(&["b"], 10, "bundle_missing");
    check(&["a", "--bundle", "nothing"], 10, "bundle_missing");
    check(&["a", "--bundle", "/"], 3, "bundle_unreadable");
    check(&["nothing"], 3, "artifact_unreadable");
    shell.write("nothing.sigstore.json", of_case("happy-path-v0.3", "bundle.sigstore.json").unwrap());
    check(&["nothing"], 3, "artifact_unreadable");
    shell.write("bad-root.json", "{}");
    let args = [&["verify-blob", "a", "--trusted-root", "bad-root.json", "-o", "json"][..], &BY_BEACON].concat();
    assert_eq!(shell.run(&args).exits(16).json()["failure"]["class"], "trust-root");
    let args = [&["verify-blob", "a", "--trusted-root", "missing.json", "-o", "json"][..], &BY_BEACON].concat();
    assert_eq!(shell.run(&args).exits(3).json()["failure"]["class"], "unreadable");
}

#[test]
fn each_command_refuses_what_belongs_to_the_other() {
    let shell = Shell::new();
    shell.lay("file", "happy-path-v0.3");
    shell.lay("statement", "happy-path-intoto-in-dsse-v3");
    shell.verify(&["file"]).exits(0);
    shell.verify_attestation(&["file", "--type", "slsaprovenance1"]).exits(10).says("touchmark verify-blob`");
    shell.verify(&["statement"]).exits(10).says("touchmark verify-blob-attestation`");
    shell.verify_attestation(&["statement", "--type", "slsaprovenance1"]).exits(0).says("Verified OK");
}
