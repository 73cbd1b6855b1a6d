// SPDX-License-Identifier: Apache-2.0
//! Several files in one call, globs, several bundles for one file, stdin and digests.

use super::support::{Shell, artifact_of, of_case};

const GOOD: &str = "happy-path-v0.3";

#[test]
fn several_files_are_told_of_in_their_order() {
    let shell = Shell::new();
    let names: Vec<String> = (0..40).map(|number| format!("f{:02}", (number * 7) % 40)).collect();
    names.iter().for_each(|name| shell.lay(name, GOOD));
    let arguments: Vec<&str> = names.iter().map(String::as_str).collect();
    let finished = shell.verify(&arguments).exits(0);
    let stdout = finished.stdout();
    let told: Vec<&str> = stdout.lines().map(|line| line.split_whitespace().nth(2).unwrap()).collect();
    assert_eq!(told, arguments);
    let verdicts = shell.verify(&[&arguments[..], &["-o", "json"]].concat()).exits(0).json_lines();
    let told: Vec<&str> = verdicts.iter().map(|verdict| verdict["artifact"]["file"].as_str().unwrap()).collect();
    assert_eq!(told, arguments);
}

#[test]
fn one_bad_file_of_many_fails_the_call_and_the_worst_decides() {
    let shell = Shell::new();
    for name in ["a", "b", "tampered", "unsigned", "other"] {
        shell.lay(name, GOOD);
    }
    shell.write("tampered", "something else");
    std::fs::remove_file(shell.path("unsigned.sigstore.json")).unwrap();
    shell.write("other.sigstore.json", "{}");
    let check = |files: &[&str], exit: i32, good: usize| {
        let finished = shell.verify(&[files, &["-o", "json"]].concat()).exits(exit);
        let verdicts = finished.json_lines();
        assert_eq!(verdicts.len(), files.len());
        assert_eq!(verdicts.iter().filter(|verdict| verdict["verified"] == true).count(), good);
    };
    check(&["a", "b"], 0, 2);
    check(&["a", "other", "b"], 3, 2);
    check(&["other", "unsigned", "a"], 10, 1);
    check(&["a", "unsigned", "tampered", "other", "b"], 14, 2);
    shell.verify(&["a", "tampered"]).exits(14).says("Verified OK: a").says("tampered is not verified").says("1 of 2");
}

#[test]
fn quoted_patterns_name_files() {
    let shell = Shell::new();
    for name in ["dist/a.whl", "dist/deep/b.whl", "dist/c.txt"] {
        shell.lay(name, GOOD);
    }
    let files = |finished: super::support::Finished| -> Vec<String> {
        let verdicts = finished.exits(0).json_lines();
        verdicts.iter().map(|verdict| verdict["artifact"]["file"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(files(shell.verify(&["dist/**/*.whl", "-o", "json"])), ["dist/a.whl", "dist/deep/b.whl"]);
    assert_eq!(files(shell.verify(&["dist/*", "-o", "json"])), ["dist/a.whl", "dist/c.txt"]);
    shell.verify(&["dist/*.zip"]).exits(3).says("names no file");
    shell.write("dist/unsigned.whl", "unsigned");
    shell.verify(&["dist/*.whl"]).exits(10);
    // What only looks like the bundle of a file, and is read for none, is a file like every other.
    shell.write("dist/c.txt.sigstore", "whatever somebody put there");
    shell.verify(&["dist/*.txt*"]).exits(10);
}

#[test]
fn one_bundle_of_several_is_enough() {
    let shell = Shell::new();
    let bundle = |case: &str| {
        let document: serde_json::Value =
            serde_json::from_slice(&of_case(case, "bundle.sigstore.json").unwrap()).unwrap();
        document.to_string()
    };
    shell.write("a", artifact_of(GOOD));
    let (good, bad) = (bundle(GOOD), bundle("signature-mismatch_fail"));
    let statement = bundle("happy-path-intoto-in-dsse-v3");
    shell.write("a.sigstore.jsonl", [bad.as_str(), "{}", "", &statement, &good].join("\n"));
    shell.verify(&["a"]).exits(0).says("bundle 4 of 4");
    let verdict = shell.verify(&["a", "-o", "json"]).exits(0).json();
    assert_eq!((&verdict["bundleNumber"], &verdict["bundleCount"]), (&4.into(), &4.into()));
    shell.verify_attestation(&["a", "--type", "slsaprovenance1"]).exits(0).says("bundle 3 of 4");
    shell.write("a.sigstore.jsonl", [bad.as_str(), "{}", &statement].join("\n"));
    let failed = shell.verify(&["a"]).exits(14);
    failed.says("none of 3 verifies; number 1 came nearest");
}

#[test]
fn stdin_and_digests_are_artifacts() {
    let shell = Shell::new();
    shell.lay("a", GOOD);
    let bundle = ["--bundle", "a.sigstore.json"];
    let args = [&["verify-blob", "-", "--trusted-root", "root.json"][..], &bundle, &super::support::BY_BEACON].concat();
    shell.run_with_stdin(&args, &artifact_of(GOOD)).exits(0).says("Verified OK: stdin");
    shell.run_with_stdin(&args, b"something else").exits(14);
    let digest = format!("sha256:{}", hex::encode(touchmark_keys::sha256(&artifact_of(GOOD))));
    shell.verify(&[&[digest.as_str()][..], &bundle].concat()).exits(0).says(&digest);
    shell.verify(&[&[format!("sha256:{}", "0".repeat(64)).as_str()][..], &bundle].concat()).exits(14);
    shell.verify(&[&[format!("sha512:{}", "0".repeat(128)).as_str()][..], &bundle].concat()).exits(2);
    shell.verify(&["-"]).exits(2).says("--bundle");
    shell.verify(&[&digest]).exits(2).says("--bundle");
    shell.verify(&[]).exits(2).says("name one or more files");
}

#[test]
fn one_bundle_may_go_for_several_files() {
    let shell = Shell::new();
    shell.lay("a", GOOD);
    shell.write("b", artifact_of(GOOD));
    shell.write("c", "another file");
    let bundle = ["--bundle", "a.sigstore.json"];
    shell.verify(&[&["a", "b"][..], &bundle].concat()).exits(0);
    shell.verify(&[&["a", "c"][..], &bundle].concat()).exits(14);
}
