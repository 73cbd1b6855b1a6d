// SPDX-License-Identifier: Apache-2.0
//! Each flag: what it accepts, what it refuses, and what it cannot stand beside.

use touchmark_keys::KeyType;
use touchmark_signers::{EphemeralSigner, Signer as _};

use super::support::{BY_BEACON, IDENTITY, ISSUER, REPOSITORY, SLSA, Shell, artifact_of, of_case};

const GOOD: &str = "happy-path-v0.3";

/// Runs each line of flags against the good case.
fn check(shell: &Shell, lines: &[(&str, i32)]) {
    for (line, exit) in lines {
        let args: Vec<&str> = line.split_whitespace().collect();
        shell.run(&[&["verify-blob", "a", "--trusted-root", "root.json"][..], &args].concat()).exits(*exit);
    }
}

#[test]
fn who_may_have_signed() {
    let shell = Shell::new();
    shell.lay("a", GOOD);
    let by = format!("--certificate-identity {IDENTITY}");
    let issuer = format!("--certificate-oidc-issuer {ISSUER}");
    let mallory = "--certificate-identity mallory@example.com --certificate-oidc-issuer https://example.com";
    check(
        &shell,
        &[
            (&format!("{by} {issuer}"), 0),
            (&format!("{by}x {issuer}"), 12),
            (&format!("{by} {issuer}x"), 12),
            (&format!("{by} --certificate-oidc-issuer-regexp ^https://.*\\.githubusercontent\\.com$"), 0),
            (&format!("{by} --certificate-oidc-issuer-regexp githubusercontent"), 12),
            (&format!("--certificate-identity-regexp ^https://github\\.com/sigstore-conformance/.*$ {issuer}"), 0),
            (&format!("--certificate-identity-regexp sigstore-conformance {issuer}"), 12),
            (&format!("--certificate-identity-glob https://github.com/sigstore-conformance/** {issuer}"), 0),
            (&format!("--certificate-identity-glob https://github.com/* {issuer}"), 12),
            (&format!("--github {REPOSITORY}"), 0),
            ("--github sigstore-conformance/*", 0),
            ("--github sigstore-conformance/other", 12),
            ("--gitlab group/project", 12),
            // Several: whoever is one of them.
            (&format!("--github sigstore-conformance/other --gitlab a/b {by} {issuer}"), 0),
            (&format!("{mallory} {by} {issuer}"), 0),
            // Pairs are not mixed.
            (
                &format!(
                    "{by} --certificate-oidc-issuer https://example.com --certificate-identity x@example.com {issuer}"
                ),
                12,
            ),
            // What makes no sense.
            ("", 2),
            (&by, 2),
            (&issuer, 2),
            (&format!("--github {REPOSITORY} {issuer}"), 2),
            ("--github https://github.com/a/b", 2),
            (&format!("--certificate-identity-regexp ( {issuer}"), 2),
            ("--certificate-identity-regexp .* --certificate-oidc-issuer-regexp .*", 2),
        ],
    );
}

#[test]
fn a_regular_expression_without_anchors_is_warned_of() {
    let shell = Shell::new();
    shell.lay("a", GOOD);
    let args = ["verify-blob", "a", "--trusted-root", "root.json", "--certificate-oidc-issuer", ISSUER];
    let with = |expression: &str| shell.run(&[&args[..], &["--certificate-identity-regexp", expression]].concat());
    with("https://github\\.com/sigstore-conformance/.*").exits(0).says("has to match the whole text");
    let quiet = with("^https://github\\.com/sigstore-conformance/.*$").exits(0);
    assert!(!quiet.stderr().contains("warning"), "{}", quiet.stderr());
}

#[test]
fn extensions_of_the_certificate() {
    let shell = Shell::new();
    shell.lay("a", GOOD);
    let sha = "c7b3dfb335f051e1c86bda4c716fac97df62ad81";
    let lines = [
        ("--certificate-github-workflow-trigger workflow_dispatch", 0),
        ("--certificate-github-workflow-trigger push", 12),
        (&format!("--certificate-github-workflow-sha {sha}"), 0),
        ("--certificate-github-workflow-sha 0", 12),
        (&format!("--certificate-github-workflow-repository {REPOSITORY}"), 0),
        ("--certificate-github-workflow-repository a/b", 12),
        ("--certificate-github-workflow-ref refs/heads/main", 0),
        ("--certificate-github-workflow-ref refs/heads/next", 12),
        ("--certificate-github-workflow-name x", 12),
        ("--certificate-extension source-repository-ref=refs/heads/main", 0),
        ("--certificate-extension 1.3.6.1.4.1.57264.1.14=refs/heads/main", 0),
        ("--certificate-extension source-repository-ref=refs/heads/next", 12),
        ("--certificate-extension deployment-environment=production", 12),
        (
            &format!(
                "--certificate-extension build-trigger=workflow_dispatch --certificate-extension build-signer-digest={sha}"
            ),
            0,
        ),
        ("--certificate-extension build-trigger=workflow_dispatch --certificate-extension build-signer-digest=0", 12),
        ("--certificate-extension no-such=1", 2),
        ("--certificate-extension build-trigger", 2),
        ("--certificate-extension build-trigger=", 2),
    ];
    let signer = format!("--certificate-identity {IDENTITY} --certificate-oidc-issuer {ISSUER}");
    let lines: Vec<(String, i32)> = lines.iter().map(|(line, exit)| (format!("{signer} {line}"), *exit)).collect();
    check(&shell, &lines.iter().map(|(line, exit)| (line.as_str(), *exit)).collect::<Vec<_>>());
    let name = ["--certificate-github-workflow-name", "Extremely dangerous OIDC beacon"];
    shell.verify(&[&["a"][..], &name].concat()).exits(0);
}

#[test]
fn thresholds_and_what_weakens_them() {
    let shell = Shell::new();
    shell.lay("a", GOOD);
    let lines = [
        ("--min-log-entries 1 --min-log-operators 1 --min-scts 1 --min-times 1", 0),
        ("--min-log-entries 2", 15),
        ("--min-log-operators 2", 15),
        ("--min-scts 2", 15),
        ("--min-times 2", 15),
        ("--min-timestamps 1", 15),
        ("--min-log-entries 33", 2),
        ("--min-log-entries -1", 2),
        ("--min-log-entries 0", 2),
        ("--min-scts 0", 2),
        ("--min-times 0", 2),
        ("--insecure-ignore-tlog", 0),
        ("--insecure-ignore-tlog=false --insecure-ignore-sct=true", 0),
        ("--insecure-ignore-tlog --min-log-operators 1", 2),
        // The certificate of 2024 is not valid now, but there is a time: what is there counts.
        ("--insecure-ignore-time", 0),
    ];
    let signer = BY_BEACON.join(" ");
    let lines: Vec<(String, i32)> = lines.iter().map(|(line, exit)| (format!("{signer} {line}"), *exit)).collect();
    check(&shell, &lines.iter().map(|(line, exit)| (line.as_str(), *exit)).collect::<Vec<_>>());
    shell.verify(&["a", "--insecure-ignore-tlog"]).exits(0).says("warning: signatures-without-log");
    shell.verify(&["a", "--min-scts", "0"]).exits(2).says("--insecure-ignore-sct");
}

#[test]
fn a_key_is_asked_for_a_signature_without_certificate() {
    let shell = Shell::new();
    shell.lay("a", "managed-key-happy-path");
    shell.lay("certified", GOOD);
    shell.write("key.pub", of_case("managed-key-happy-path", "key.pub").unwrap());
    shell.write("other.pub", EphemeralSigner::generate(KeyType::EcdsaP256).unwrap().public_key().to_pem());
    shell.write("junk.pub", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let verify = |file: &str, key: &str, more: &[&str]| {
        shell.run(&[&["verify-blob", file, "--trusted-root", "root.json", "--key", key][..], more].concat())
    };
    verify("a", "key.pub", &[]).exits(0).says("signed by the key sha256:");
    verify("a", "other.pub", &[]).exits(14);
    verify("certified", "key.pub", &[]).exits(12).says("--certificate-identity");
    verify("a", "junk.pub", &[]).exits(3).says("BEGIN PUBLIC KEY");
    verify("a", "missing.pub", &[]).exits(3);
    verify("a", "key.pub", &BY_BEACON).exits(2);
    verify("a", "key.pub", &["--github", "a/b"]).exits(2);
    verify("a", "key.pub", &["--min-scts", "1"]).exits(2);
    verify("a", "key.pub", &["--require-ct-inclusion"]).exits(2);
    shell.verify(&["a"]).exits(12).says("--key FILE");
    let verdict = verify("a", "key.pub", &["-o", "json"]).exits(0).json();
    assert!(verdict["signer"]["key"]["fingerprint"].as_str().unwrap().starts_with("sha256:"), "{verdict}");
}

#[test]
fn a_policy_file_stands_for_all_flags_that_it_covers() {
    let shell = Shell::new();
    shell.lay("a", GOOD);
    shell.lay("keyed", "managed-key-happy-path");
    shell.lay("statement", "happy-path-intoto-in-dsse-v3");
    shell.write("keys/key.pub", of_case("managed-key-happy-path", "key.pub").unwrap());
    let identity = format!("[[identity]]\nname = \"beacon\"\ngithub = \"{REPOSITORY}\"\n");
    shell.write("good.toml", format!("version = 1\n{identity}"));
    shell.write("both.toml", format!("version = 1\n{identity}\n[[key]]\nfile = \"keys/key.pub\"\n"));
    shell.write("other.toml", "version = 1\n[[identity]]\nname = \"other\"\ngithub = \"a/b\"\n");
    shell.write("bad.toml", "version = 1\n[[identity]]\nsubjet = 1\n");
    shell.write("slsa.toml", format!("version = 1\n{identity}\n[demand]\npredicate-type = \"{SLSA}\"\n"));
    shell.write("vuln.toml", format!("version = 1\n{identity}\n[demand]\npredicate-type = \"https://x.example/v\"\n"));
    let verify = |command: &str, file: &str, policy: &str, more: &[&str]| {
        shell.run(&[&[command, file, "--trusted-root", "root.json", "--policy", policy][..], more].concat())
    };
    let verdict = verify("verify-blob", "a", "good.toml", &["-o", "json"]).exits(0).json();
    assert_eq!(verdict["signer"]["rule"], "beacon");
    verify("verify-blob", "a", "both.toml", &[]).exits(0);
    verify("verify-blob", "keyed", "both.toml", &[]).exits(0);
    verify("verify-blob", "keyed", "good.toml", &[]).exits(12);
    let verdict = verify("verify-blob", "a", "other.toml", &["-o", "json"]).exits(12).json();
    assert_eq!(verdict["failure"]["nearest"]["rule"], "other");
    verify("verify-blob", "a", "bad.toml", &[]).exits(3).says("line 3");
    verify("verify-blob", "a", "missing.toml", &[]).exits(3);
    verify("verify-blob-attestation", "statement", "good.toml", &[]).exits(0).says(SLSA);
    verify("verify-blob-attestation", "statement", "slsa.toml", &[]).exits(0);
    verify("verify-blob-attestation", "statement", "vuln.toml", &[]).exits(12);
    verify("verify-blob-attestation", "statement", "slsa.toml", &["--type", "custom"]).exits(2);
    for covered in [
        &BY_BEACON[..],
        &["--github", "a/b"],
        &["--gitlab", "a/b"],
        &["--key", "keys/key.pub"],
        &["--certificate-extension", "build-trigger=push"],
        &["--certificate-github-workflow-ref", "x"],
        &["--min-log-entries", "1"],
        &["--witness-policy", "x"],
        &["--insecure-ignore-tlog"],
        &["--insecure-accept-unproven-entries"],
    ] {
        verify("verify-blob", "a", "good.toml", covered).exits(2).says("cannot be used with");
    }
}

#[test]
fn witnesses_may_be_demanded() {
    let shell = Shell::new();
    let case = "rekor2-checkpoint-cosigned";
    shell.lay("a", case);
    let root = shell.root_of(case);
    let key = "witness.example+0dd13e15+BAYWJxQyHXNRYhRXJ/rf5aoIwsx4g7LBGIeBXTbGWQHc";
    let witness = format!("witness w {key}\nquorum w\n");
    shell.write("witness.policy", witness);
    shell.write("bad.policy", "witness w\n");
    let verify = |policy: &str| {
        let args = ["verify-blob", "a", "--trusted-root", &root, "--witness-policy", policy];
        shell.run(&[&args[..], &BY_BEACON].concat())
    };
    // A key that nobody holds: its hint is wrong, or it has not signed.
    assert!([3, 15].contains(&verify("witness.policy").code()));
    verify("bad.policy").exits(3).says("line 1");
    verify("missing.policy").exits(3);
}

/// GHSA-52v5-jr5w-gjxr: what is accepted is enforced. The bundle has a promise of Rekor v1 and no timestamp.
#[test]
fn signed_timestamps_are_demanded_where_cosign_demands_them() {
    let shell = Shell::new();
    shell.lay("a", GOOD);
    let by = format!("--certificate-identity {IDENTITY} --certificate-oidc-issuer {ISSUER}");
    check(
        &shell,
        &[
            (&by, 0),
            (&format!("{by} --use-signed-timestamps=false"), 0),
            (&format!("{by} --use-signed-timestamps"), 15),
            (&format!("{by} --use-signed-timestamps=true"), 15),
        ],
    );
}

#[test]
fn attestations_are_of_the_type_that_is_asked_for() {
    let shell = Shell::new();
    shell.lay("a", "happy-path-intoto-in-dsse-v3");
    shell.verify_attestation(&["a"]).exits(12).says("--type").says(SLSA);
    for (given, exit) in [("slsaprovenance1", 0), (SLSA, 0), ("slsaprovenance", 12), ("spdx", 12), ("nonsense", 2)] {
        shell.verify_attestation(&["a", "--type", given]).exits(exit);
    }
    let slsa = ["--type", "slsaprovenance1", "--bundle", "a.sigstore.json"];
    let hex = hex::encode(touchmark_keys::sha256(&artifact_of("happy-path-intoto-in-dsse-v3")));
    let zeros = "0".repeat(64);
    for (more, exit) in [
        (&["--digest", hex.as_str()][..], 0),
        (&["--digest", &hex, "--digestAlg", "sha256"], 0),
        (&["--digest", &zeros, "--digestAlg", "sha256"], 14),
        (&["--digest", &hex, "--digestAlg", "md5"], 2),
        (&["--digest", &hex, "--digestAlg", "sha512"], 2),
        (&["--digest", "xyz"], 2),
        (&["a", "--digestAlg", "sha256"], 2),
        (&["a", "--digest", &hex], 2),
        (&["a", "--check-claims"], 0),
        (&["a", "--check-claims=true"], 0),
        (&["--check-claims=false"], 0),
        (&["--check-claims=false", "--digest", &hex], 2),
    ] {
        shell.verify_attestation(&[&slsa[..], more].concat()).exits(exit);
    }
    shell.write("b", "another file");
    shell.verify_attestation(&[&["b"][..], &slsa].concat()).exits(14);
    let unclaimed = shell.verify_attestation(&[&slsa[..], &["--check-claims=false", "-o", "json"]].concat()).exits(0);
    assert!(unclaimed.json()["artifact"]["file"].is_null());
    assert!(unclaimed.stderr().contains("warning"), "{}", unclaimed.stderr());
}

#[test]
fn detached_signatures_are_led_to_their_upgrade() {
    let shell = Shell::new();
    let told = shell.verify(&["a", "--signature", "a.sig", "--certificate", "a.pem"]).exits(2);
    told.says("touchmark bundle upgrade --signature a.sig --certificate a.pem --output-file FILE.sigstore.json");
}
