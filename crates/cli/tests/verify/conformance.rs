// SPDX-License-Identifier: Apache-2.0
//! Every case of the public conformance suite through the command line, with the file and with its digest alone.

use super::support::{IDENTITY, ISSUER, Shell, artifact_of, cases, of_case};

#[test]
fn every_conformance_case_has_its_verdict() {
    let shell = Shell::new();
    let mut wrong = Vec::new();
    let cases = cases();
    for case in &cases {
        shell.lay(case, case);
        let digest = format!("sha256:{}", hex::encode(touchmark_keys::sha256(&artifact_of(case))));
        for artifact in [case.as_str(), &digest] {
            let finished = verify(&shell, case, artifact);
            if (finished.0 == 0) == case.ends_with("_fail") || ![0, 3, 10, 12, 14, 15].contains(&finished.0) {
                wrong.push(format!("{case} with {artifact}: {} {}", finished.0, finished.1));
            }
        }
    }
    assert!(cases.len() >= 70, "{}", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The exit code and what was said.
fn verify(shell: &Shell, case: &str, artifact: &str) -> (i32, String) {
    let (bundle, root) = (format!("{case}.sigstore.json"), shell.root_of(case));
    let text = |name: &str, default: &str| {
        let given = of_case(case, name).map(|bytes| String::from_utf8(bytes).unwrap().trim().to_owned());
        given.unwrap_or_else(|| default.to_owned())
    };
    let (identity, issuer) = (text("identity", IDENTITY), text("issuer", ISSUER));
    let key = of_case(case, "key.pub").map(|key| {
        shell.write("key.pub", key);
    });
    let signer = match key {
        Some(()) => vec!["--key", "key.pub"],
        None => vec!["--certificate-identity", &identity, "--certificate-oidc-issuer", &issuer],
    };
    let is_envelope = of_case(case, "bundle.sigstore.json")
        .is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains("\"dsseEnvelope\""));
    let command = match is_envelope {
        true => vec!["verify-blob-attestation", "--type", "slsaprovenance1"],
        false => vec!["verify-blob"],
    };
    let finished =
        shell.run(&[&command[..], &signer, &[artifact, "--bundle", &bundle, "--trusted-root", &root]].concat());
    (finished.code(), finished.stderr())
}
