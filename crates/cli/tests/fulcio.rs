// SPDX-License-Identifier: Apache-2.0
//! `fulcio check-config`: what a configuration of a certificate authority does, and to one token.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const YAML: &str = "\
define:
  - &github \"github-workflow\"
oidc-issuers:
  https://token.actions.githubusercontent.com:
    issuer-url: https://token.actions.githubusercontent.com
    client-id: sigstore
    type: ci-provider
    ci-provider: *github
  https://idp.example.com:
    client-id: sigstore
    type: email
ci-issuer-metadata:
  *github:
    subject-alternative-name-template: \"https://github.com/{{ .job_workflow_ref }}\"
    extension-templates:
      build-trigger: event_name
";

fn run(home: &Path, args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_touchmark"))
        .args(["fulcio", "check-config"])
        .args(args)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn token(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln\n", part(&json!({ "alg": "RS256" })), part(claims))
}

#[track_caller]
fn expect(output: &Output, code: i32, texts: &[&str]) {
    let all = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{all}");
    for text in texts {
        assert!(all.contains(text), "no {text:?} in: {all}");
    }
}

#[test]
fn a_configuration_is_checked_and_a_token_explained() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("fulcio.yaml"), YAML).unwrap();
    let checked = run(home.path(), &["fulcio.yaml"], "");
    expect(
        &checked,
        0,
        &["ci-provider github-workflow", "serves nobody", "needs event_name, job_workflow_ref", "warning: "],
    );
    expect(&run(home.path(), &["fulcio.yaml", "--fail-on-warnings"], ""), 3, &["has 1 warnings"]);
    let report: Value = serde_json::from_slice(&run(home.path(), &["fulcio.yaml", "-o", "json"], "").stdout).unwrap();
    assert_eq!(report["issuers"][1]["requiredClaims"], json!(["email", "email_verified"]));

    let claims = json!({
        "iss": "https://idp.example.com", "sub": "7", "aud": "sigstore", "iat": 1_800_000_000, "exp": 1_800_000_600,
        "email": "alice@example.com", "email_verified": true,
    });
    let explain = ["fulcio.yaml", "--explain", "-", "--at", "2027-01-15T08:05:00Z"];
    let explained = run(home.path(), &explain, &token(&claims));
    expect(
        &explained,
        0,
        &["subject alternative name, email: alice@example.com", "1.3.6.1.4.1.57264.1.24 token-subject: 7"],
    );
    // Later the same token has expired, and the verdict says so for people and for programs.
    let late = ["fulcio.yaml", "--explain", "-", "--at", "2027-01-15T09:00:00Z", "-o", "json"];
    let late = run(home.path(), &late, &token(&claims));
    expect(&late, 5, &["TOKEN_EXPIRED"]);
    let verdict: Value = serde_json::from_slice(&late.stdout).unwrap();
    assert_eq!((&verdict["issued"], &verdict["signatureChecked"]), (&json!(false), &json!(false)));
    expect(&run(home.path(), &explain, "no token"), 5, &["no certificate would be issued", "TOKEN_MALFORMED"]);
}

#[test]
fn what_is_wrong_with_a_configuration_is_named_with_its_place() {
    let home = tempfile::tempdir().unwrap();
    for (text, expected) in [
        (
            YAML.replace("{{ .job_workflow_ref }}", "{{ .job_workflow_ref | html }}"),
            "the template of subject-alternative-name: at byte 19",
        ),
        (YAML.replace("client-id", "client_id"), "unknown field `client_id`"),
        (YAML.replace("ci-provider: *github", "ci-provider: gitbuh"), "there is no CI provider \"gitbuh\""),
    ] {
        std::fs::write(home.path().join("fulcio.yaml"), text).unwrap();
        expect(&run(home.path(), &["fulcio.yaml"], ""), 3, &["fulcio.yaml", expected]);
    }
    expect(&run(home.path(), &["missing.yaml"], ""), 3, &["missing.yaml"]);
}
