// SPDX-License-Identifier: Apache-2.0
//! The protocol of the public conformance suite, through `tests/conformance-client` as the suite calls it: every bundle of the suite, by
//! its file and by its digest, and signing with an instance of our own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use touchmark_testing::process::{ServerProcess, free_port};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance-client");
const SUITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-conformance");
/// What the suite expects of bundles that say nothing else.
const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const ALICE: &str = "alice@example.com";

/// Calls the client as the suite does, in `directory`.
fn client(directory: &Path, args: &[&str]) -> Output {
    Command::new(CLIENT)
        .args(args)
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("TOUCHMARK", env!("CARGO_BIN_EXE_touchmark"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn exits(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
}

fn sha256_of(file: &Path) -> String {
    format!("sha256:{}", hex::encode(touchmark_keys::sha256(&std::fs::read(file).unwrap())))
}

/// The arguments before the artifact, and the artifact, as the suite's `client.py` puts them together.
fn verify_args(case: &Path) -> (Vec<String>, PathBuf) {
    let text = |name: &str, default: &str| {
        std::fs::read_to_string(case.join(name)).map_or(default.to_owned(), |text| text.trim().to_owned())
    };
    let path = |name: &str| Some(case.join(name)).filter(|path| path.exists());
    let word = |path: PathBuf| path.to_str().unwrap().to_owned();
    let mut args = vec!["verify-bundle".to_owned(), "--bundle".to_owned(), word(case.join("bundle.sigstore.json"))];
    match path("key.pub") {
        Some(key) => args.extend(["--key".to_owned(), word(key)]),
        None => args.extend([
            "--certificate-identity".to_owned(),
            text("identity", IDENTITY),
            "--certificate-oidc-issuer".to_owned(),
            text("issuer", ISSUER),
        ]),
    }
    if let Some(root) = path("trusted_root.json") {
        args.extend(["--trusted-root".to_owned(), word(root)]);
    }
    (args, path("artifact").unwrap_or_else(|| PathBuf::from("bundle-verify/a.txt")))
}

#[test]
fn every_bundle_of_the_suite_has_its_verdict_by_file_and_by_digest() {
    let suite = Path::new(SUITE).canonicalize().expect("the vectors of the suite");
    let cases = std::fs::read_dir(suite.join("bundle-verify")).unwrap().map(|entry| entry.unwrap().path());
    let (mut verdicts, mut wrong) = (0, Vec::new());
    for case in cases.filter(|path| path.is_dir()) {
        let (args, artifact) = verify_args(&case);
        let must_pass = !case.to_str().unwrap().ends_with("_fail");
        for input in [artifact.to_str().unwrap().to_owned(), sha256_of(&suite.join(&artifact))] {
            let words: Vec<&str> = args.iter().map(String::as_str).chain([input.as_str()]).collect();
            let output = client(&suite, &words);
            verdicts += 1;
            if output.status.success() != must_pass {
                wrong.push(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)));
            }
            let crashed = matches!(output.status.code(), None | Some(1 | 101));
            assert!(!crashed, "{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(verdicts, 140);
}

#[test]
fn the_protocol_is_kept_in_its_corners() {
    assert_ne!(std::fs::metadata(CLIENT).unwrap().permissions().mode() & 0o111, 0, "the suite runs the file");
    let suite = Path::new(SUITE).canonicalize().expect("the vectors of the suite");
    let case = suite.join("bundle-verify/happy-path-v0.3");
    let (args, artifact) = verify_args(&case);
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let digest = sha256_of(&suite.join(&artifact));
    let verify = |directory: &Path, more: &[&str]| client(directory, &[&words[..], more].concat());

    // A file of that name is a file; what is no SHA-256 digest is one, too.
    let directory = tempfile::tempdir().unwrap();
    exits(&verify(directory.path(), &[&digest]), 0);
    std::fs::write(directory.path().join(&digest), "something else").unwrap();
    exits(&verify(directory.path(), &[&digest]), 14);
    std::fs::write(directory.path().join("sha256:ab"), std::fs::read(suite.join(&artifact)).unwrap()).unwrap();
    exits(&verify(directory.path(), &["sha256:ab"]), 0);
    exits(&verify(directory.path(), &["sha256:cd"]), 3);

    // The staging instance has its own trusted root, and does not know the public-good one's certificates.
    let staging = [&["verify-bundle", "--staging"], &words[1..], &[digest.as_str()]].concat();
    exits(&client(&suite, &staging), 15);
    // Who must have signed has to be said, and in one way.
    let file = artifact.to_str().unwrap();
    let bundle = words[2];
    exits(&client(&suite, &["verify-bundle", "--bundle", bundle, file]), 2);
    exits(&client(&suite, &["verify-bundle", "--bundle", bundle, "--certificate-identity", IDENTITY, file]), 2);
    exits(&verify(&suite, &["--key", "key.pub", file]), 2);
    exits(&verify(&suite, &["--no-such-flag", file]), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_statements_are_signed_and_verified_as_the_suite_does() {
    let suite = Path::new(SUITE).canonicalize().expect("the vectors of the suite");
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let binary = Path::new(env!("CARGO_BIN_EXE_touchmark"));
    let server = ServerProcess::start(binary, &data_dir, free_port().unwrap()).await.unwrap();
    let token = Command::new(binary).args(["token", "--email", ALICE, "--data-dir"]).arg(&data_dir).output().unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    for name in ["a.txt", "statement.json"] {
        std::fs::copy(suite.join(name), directory.path().join(name)).unwrap();
    }
    let instance =
        ["--trusted-root", "data/client/trusted_root.json", "--signing-config", "data/client/signing_config.json"];
    let sign = |first: &[&str], bundle: &str, file: &str| {
        let args = [first, &["--identity-token", &token, "--bundle", bundle], &instance, &[file]].concat();
        let output = client(directory.path(), &args);
        exits(&output, 0);
        let said = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8(said).unwrap().contains(&token), "a token is never printed");
        let json = std::fs::read(directory.path().join(bundle)).unwrap();
        serde_json::from_slice::<Value>(&json).unwrap()
    };

    let signed = sign(&["sign-bundle"], "a.json", "a.txt");
    assert!(signed["messageSignature"].is_object() && signed["dsseEnvelope"].is_null());
    let attested = sign(&["sign-bundle", "--in-toto"], "b.json", "statement.json");
    assert!(attested["dsseEnvelope"].is_object() && attested["messageSignature"].is_null());
    assert_eq!(attested["verificationMaterial"]["tlogEntries"][0]["kindVersion"]["version"], "0.0.2");
    let refused =
        [&["sign-bundle", "--in-toto", "--identity-token", &token, "--bundle", "c.json"], &instance[..], &["a.txt"]];
    exits(&client(directory.path(), &refused.concat()), 3);
    assert!(!directory.path().join("c.json").exists());
    server.stop().await.unwrap();

    let issuer = issuer_of(&data_dir);
    let digest = sha256_of(&directory.path().join("a.txt"));
    let verify = |bundle: &str, identity: &str, artifact: &str| {
        let who = ["--certificate-identity", identity, "--certificate-oidc-issuer", &issuer];
        client(
            directory.path(),
            &[&["verify-bundle", "--bundle", bundle], &who[..], &instance[..2], &[artifact]].concat(),
        )
    };
    for bundle in ["a.json", "b.json"] {
        exits(&verify(bundle, ALICE, "a.txt"), 0);
        exits(&verify(bundle, ALICE, &digest), 0);
        exits(&verify(bundle, "mallory@example.com", "a.txt"), 12);
    }
    exits(&verify("a.json", ALICE, "statement.json"), 14);
    assert!(!verify("b.json", ALICE, "statement.json").status.success());
}

/// The try-out issuer's URL, from the signing config that clients get.
fn issuer_of(data_dir: &Path) -> String {
    let text = std::fs::read(data_dir.join("client/signing_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&text).unwrap();
    config["oidcUrls"][0]["url"].as_str().unwrap_or_else(|| panic!("no issuer in {config}")).to_owned()
}
