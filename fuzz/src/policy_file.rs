// SPDX-License-Identifier: Apache-2.0
//! Policy files and the C2SP policies of logs: a refusal points into the text, and what is read can be checked and explained.

use touchmark_sigstore::policy::WitnessPolicy;
use touchmark_sigstore::policy::file::PolicyFile;

/// What a file that a policy names may hold.
const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match PolicyFile::from_toml(text) {
        Ok(file) => used(file),
        Err(error) => {
            assert!((1..=text.split('\n').count()).contains(&error.line), "{error}");
            assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{error}");
        }
    }
    if let Ok(policy) = WitnessPolicy::from_tlog_policy(text) {
        assert!(!policy.describe().is_empty());
    }
}

fn used(file: PolicyFile) {
    let unread: Vec<String> = file.unread_files().into_iter().map(str::to_owned).collect();
    // One contents fits all of them or is refused; either way it ends.
    let mut read = file;
    for path in &unread {
        let Ok(more) = read.clone().with_file(path, KEY) else { return };
        read = more;
    }
    let (Ok(policies), Ok(findings), Ok(lines)) = (read.policies(), read.lint(), read.explain()) else { return };
    assert!(!policies.is_empty() && !lines.is_empty());
    let _ = (findings.len(), read.policy(), read.key_names());
}

/// A file of each form.
pub fn seeds() -> Vec<Vec<u8>> {
    let key = KEY.replace('\n', "\\n");
    let identities = r#"version = 1

[[identity]]
name = "release"
github = "example/project"
workflow = "release.yml"
tag = "v1.0.0"
trigger = "push"

[[identity]]
subject = { email-domain = "example.com" }
issuer = ["https://accounts.example.com", { pattern = "https://.*\\.example\\.org" }]

[[identity]]
subject = { glob = "https://*.example.com/*" }
type = "uri"
issuer = "https://issuer.example.com"
extensions = { "source-repository-uri" = "https://example.com/x", "1.3.6.1.4.1.57264.1.20" = { glob = "push*" } }

[[identity]]
gitlab = "group/project"
ref = "refs/heads/main"
config = "ci.yml"

[demand]
log-entries = 2
log-operators = 1
scts = 1
timestamps = 1
times = 2
predicate-type = "https://slsa.dev/provenance/v1"

[weaken]
legacy-entries-without-proof = true
"#;
    let keys = format!(
        "version = 1\n[[key]]\nname = \"a\"\npem = \"{key}\"\nvalid-from = 2024-01-01T00:00:00Z\nvalid-until = 2030-01-01T00:00:00Z\n\
         [[key]]\nfile = \"key.pub\"\n[demand]\nwitnesses = {{ policy-file = \"w\" }}\n[weaken]\nsignatures-without-log = false\n"
    );
    let vkey = "witness.example/w1+4e7bc838+BLpuG6Jx5V9WGeys9DpCTZHuzlLDg3gROn4oaxo/MsIq";
    let log = "witness.example/w1+8da69b9f+AbpuG6Jx5V9WGeys9DpCTZHuzlLDg3gROn4oaxo/MsIq";
    let tlog = format!("# a policy\nlog {log}\nwitness a {vkey} https://w.example\ngroup g 1 a\nquorum g\n");
    let witnesses = format!(
        "version = 1\n[[identity]]\nsubject = \"a@example.com\"\nissuer = \"https://x\"\n[demand]\nwitnesses = {{ keys = [\"{vkey}\"], threshold = 1 }}\n"
    );
    let inline = format!(
        "version = 1\n[[identity]]\nsubject = \"a@example.com\"\nissuer = \"https://x\"\n[demand]\nwitnesses = {{ policy = \"\"\"\n{tlog}\"\"\" }}\n"
    );
    [identities.to_owned(), keys, tlog, witnesses, inline].map(String::into_bytes).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read() {
        let read = seeds().into_iter().map(|seed| {
            let text = String::from_utf8(seed).unwrap();
            WitnessPolicy::from_tlog_policy(&text).is_ok()
                || PolicyFile::from_toml(&text).map(used).map_err(|e| println!("{e}")).is_ok()
        });
        assert_eq!(read.collect::<Vec<_>>(), [true; 5]);
    }
}
