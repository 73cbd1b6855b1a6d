// SPDX-License-Identifier: Apache-2.0
//! The policy file: its documentation is a file, each key counts, and each mistake is found where it is.

use proptest::prelude::*;
use touchmark_keys::KeyType;

use super::*;
use crate::policy::extension::FulcioExtension;
use crate::policy::matcher::Matcher;
use crate::workshop::Key;

const DOCUMENTATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy.md");

#[expect(clippy::disallowed_methods, reason = "tests read the documentation from a file")]
fn documentation() -> String {
    std::fs::read_to_string(DOCUMENTATION).unwrap()
}

fn example() -> String {
    let text = documentation();
    let (_, rest) = text.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// A file of one identity, with further lines.
fn alice(more: &str) -> String {
    format!("version = 1\n[[identity]]\nsubject = \"alice@example.com\"\nissuer = \"https://issuer.example\"\n{more}")
}

fn error(text: &str) -> String {
    PolicyFile::from_toml(text).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn the_documented_file_is_a_policy_file() {
    let file = PolicyFile::from_toml(&example()).unwrap();
    let policies = file.policies().unwrap();
    let [identities, key] = policies.as_slice() else { panic!("identities and a key") };
    let names: Vec<&str> = identities.rules().iter().filter_map(|rule| rule.name.as_deref()).collect();
    assert_eq!(names, ["release", "slsa", "pipeline", "alice", "staff", "cluster"]);
    assert_eq!((identities.demands().scts, key.demands().scts), (1, 0));
    assert_eq!((identities.demands().timestamps, key.demands().timestamps), (1, 1));
    assert_eq!(key.key().unwrap().key.key_type(), KeyType::Ed25519);
    assert_eq!(file.key_names(), [Some("offline")]);
    assert!(identities.demands().witnesses.is_some() && key.demands().witnesses.is_some());
    assert!(identities.accepts_predicate("https://slsa.dev/provenance/v1").unwrap().is_demanded());
    let refused = identities.accepts_predicate("https://example.com/scan-failed").unwrap_err();
    assert_eq!(refused.code(), "predicate_type_mismatch");
    assert_eq!(file.lint().unwrap(), []);
    assert_eq!(file.policy().unwrap_err().problem, PolicyFileProblem::SeveralPolicies { found: 2 });
}

#[test]
fn the_documented_file_is_explained() {
    let lines = PolicyFile::from_toml(&example()).unwrap().explain().unwrap();
    let expect = [
        "Accepted is a signature with a certificate of any of these identities:",
        "1. release: URI like https://github.com/example/app/.github/workflows/release.yml@refs/tags/v*, issued by \
         https://token.actions.githubusercontent.com, with source-repository-uri https://github.com/example/app, with \
         source-repository-ref like refs/tags/v*, with deployment-environment production, with build-trigger push.",
        "2. slsa: URI https://github.com/slsa-framework/slsa-github-generator/.github/workflows/\
         generator_generic_slsa3.yml@refs/tags/v2.1.0, issued by https://token.actions.githubusercontent.com, with \
         source-repository-uri https://github.com/example/app, with source-repository-ref refs/heads/main.",
        "3. pipeline: URI https://gitlab.com/group/sub/project//.gitlab-ci.yml@refs/heads/main, issued by \
         https://gitlab.com, with source-repository-uri https://gitlab.com/group/sub/project, with \
         source-repository-ref refs/heads/main.",
        "4. alice: email alice@example.com, issued by https://accounts.google.com.",
        "5. staff: email any address at example.com, issued by https://accounts.google.com or https://login.example.com.",
        "6. cluster: URI like https://kubernetes.io/namespaces/release/serviceaccounts/*, issued by a match of \
         ^https://oidc\\.eks\\.[a-z0-9-]+\\.amazonaws\\.com/id/0123456789ABCDEF$, with token-subject like \
         system:serviceaccount:release:*.",
        "The signature is in at least 1 log.",
        "These logs are of at least 1 operator.",
        "The certificate was promised to at least 1 certificate transparency log.",
        "The signature was timestamped by at least 1 authority.",
        "The time of the signature is vouched for by at least 1 source.",
        "The log's checkpoint is cosigned by 1 of (witness.example).",
        "If it is over a statement, its type is https://slsa.dev/provenance/v1 or https://sigstore.dev/cosign/sign/v1.",
        "Or else:",
    ];
    assert_eq!(lines[..expect.len()], expect);
    let key = &lines[expect.len()];
    assert!(key.starts_with("Accepted is a signature by the Ed25519 key with the SHA-256 digest "), "{key}");
    assert!(
        key.ends_with(", valid from 2026-01-01T00:00:00Z to 2027-12-31T23:59:59Z, without a certificate."),
        "{key}"
    );
}

/// The documentation names every key, extension and switch that the reader knows, so that neither grows alone.
#[test]
fn every_key_is_documented() {
    let text = documentation();
    let keys = [
        "version",
        "name",
        "subject",
        "type",
        "issuer",
        "extensions",
        "github",
        "workflow",
        "ref",
        "branch",
        "tag",
        "environment",
        "trigger",
        "reusable-workflow",
        "server",
        "gitlab",
        "config",
        "pem",
        "file",
        "valid-from",
        "valid-until",
        "log-entries",
        "log-operators",
        "scts",
        "timestamps",
        "times",
        "predicate-type",
        "witnesses",
        "keys",
        "threshold",
        "policy",
        "policy-file",
        "legacy-entries-without-proof",
        "signatures-without-log",
        "certificates-without-sct",
        "certificates-without-time",
    ];
    for key in keys {
        assert!(text.contains(&format!("`{key}`")), "{key}");
    }
    for extension in FulcioExtension::all() {
        let flag = extension.cosign_flag().map_or(String::new(), |flag| format!("`--{flag}` "));
        let row = format!("| `{}` | {} | {flag}|", extension.name(), extension.oid());
        assert!(text.contains(&row), "{row}");
    }
}

#[test]
fn each_kind_of_text_is_understood() {
    let rule = |subject: &str| {
        let text = format!("version = 1\n[[identity]]\nissuer = \"https://i\"\n{subject}\n");
        PolicyFile::from_toml(&text).unwrap().policy().unwrap().rules()[0].san.to_string()
    };
    for (subject, expect) in [
        ("subject = 'alice@example.com'", "email alice@example.com"),
        ("subject = 'https://example.com/a'", "URI https://example.com/a"),
        ("subject = 'alice!example.com'", "username alice!example.com"),
        ("subject = 'alice@example.com'\ntype = 'uri'", "URI alice@example.com"),
        ("subject = { glob = '*@example.com' }\ntype = 'email'", "email like *@example.com"),
        ("subject = { pattern = 'a|b' }\ntype = 'any'", "a match of a|b"),
        ("subject = ['a@b', { glob = '*@c' }]\ntype = 'email'", "email a@b or like *@c"),
        ("subject = { email-domain = 'example.com' }", "email any address at example.com"),
    ] {
        assert_eq!(rule(subject), expect, "{subject}");
    }
}

/// Whole files, and how their errors begin.
const MISTAKES: &[(&str, &str)] = &[
    ("", "line 1, column 1: \"version\" is missing"),
    ("version = 2", "line 1, column 11: this is version 2 of the format, this program reads version 1"),
    ("version = '1'", "line 1, column 11: \"version\" is string, expected a number from 0"),
    ("version = 1", "line 1, column 1: the file names nobody who may sign: there is neither [[identity]] nor [[key]]"),
    (
        "version = 1\nidentities = []",
        "line 2, column 1: unknown key \"identities\"; there may be version, identity, key, demand, weaken",
    ),
    ("version = 1\n[identity]\nsubject = 'a'", "line 2, column 1: \"identity\" is table, expected a list"),
    ("version = 1\n[[identity]]\nissuer = 'https://i'", "line 2, column 1: \"subject\" is missing"),
    (
        "version = 1\n[[identity]]\nsubjct = 'a'",
        "line 3, column 1: unknown key \"subjct\"; there may be name, subject, type, issuer, extensions",
    ),
    ("version = 1\n[[identity]]\nsubject = 'a@b'", "line 2, column 1: \"issuer\" is missing"),
    (
        "version = 1\n[[identity]]\n  subject = ''\nissuer = 'i'",
        "line 3, column 13: an empty text or pattern matches nothing that a certificate holds",
    ),
    (
        "version = 1\n[[identity]]\nsubject = {glob='a'}\nissuer = 'i'",
        "line 3, column 11: a glob, a pattern or a list needs \"type\" beside it: email, uri, username, dns or any",
    ),
    (
        "version = 1\n[[identity]]\nsubject = {glob='a', pattern='b'}\nissuer = 'i'",
        "line 3, column 30: \"glob\" and \"pattern\" cannot stand together",
    ),
    (
        "version = 1\n[[identity]]\nsubject = {regex='a'}\nissuer = 'i'",
        "line 3, column 12: unknown key \"regex\"; there may be glob, pattern",
    ),
    (
        "version = 1\n[[identity]]\nsubject = [['a']]\ntype = 'uri'\nissuer = 'i'",
        "line 3, column 12: \"subject\" is array, expected a text, { glob = … }, { pattern = … } or a list of these",
    ),
    (
        "version = 1\n[[identity]]\nsubject = 'a'\ntype = 'mail'\nissuer = 'i'",
        "line 4, column 8: \"mail\" is no type of identity; there are email, uri, username, dns and any",
    ),
    (
        "version = 1\n[[identity]]\nsubject = {email-domain='a b'}\nissuer = 'i'",
        "line 3, column 25: \"a b\" is not the domain of an e-mail address",
    ),
    (
        "version = 1\n[[identity]]\ngithub = 'a/b'\ngitlab = 'a/b'",
        "line 4, column 10: \"github\" and \"gitlab\" cannot stand together",
    ),
    (
        "version = 1\n[[identity]]\ngithub = 'a/b'\nsubject = 'a'",
        "line 3, column 10: \"subject\" and \"github\" cannot stand together",
    ),
    (
        "version = 1\n[[identity]]\ngithub = 'a/b'\nref = 'main'",
        "line 4, column 7: \"main\" is not a full ref, as refs/heads/main or refs/tags/v1",
    ),
    (
        "version = 1\n[[identity]]\ngithub = 'a/b'\ntag = 'v1'\nbranch = 'main'",
        "line 4, column 7: \"branch\" and \"tag\" cannot stand together",
    ),
    ("version = 1\n[[identity]]\ngithub = 'a/b'\nconfig = 'x'", "line 4, column 1: unknown key \"config\""),
    (
        "version = 1\n[[identity]]\nsubject = {pattern='.*'}\ntype = 'any'\nissuer = {pattern='https://.*'}",
        "line 2, column 1: identity 1 accepts everybody",
    ),
];

#[test]
fn mistakes_are_found_where_they_are() {
    for (text, expect) in MISTAKES {
        let found = error(text);
        assert!(found.starts_with(expect), "{text}\n{found}\n{expect}");
    }
}

/// What stands behind an identity of four lines, and how the errors begin.
const MISTAKES_BEHIND_AN_IDENTITY: &[(&str, &str)] = &[
    (
        "[identity.extensions]\nbuild-triger = 'push'",
        "line 6, column 16: \"build-triger\" is not an extension of Fulcio",
    ),
    (
        "[[identity]]\nname = 'a'\ngithub = 'a/b'\n[[identity]]\nname = 'a'\ngithub = 'a/c'",
        "line 8, column 1: two identities have the name \"a\"",
    ),
    ("[demand]\nscts = 33", "line 6, column 8: scts is 33, the limit is 32"),
    ("[demand]\nscts = -1", "line 6, column 8: \"scts\" is integer, expected a number from 0"),
    ("[demand]\nscts = 0", "line 6, column 8: scts is 0, which is allowed only with certificates-without-sct"),
    (
        "[demand]\nlog-entries = 0",
        "line 6, column 15: log-entries is 0, which is allowed only with signatures-without-log",
    ),
    ("[demand]\ntimes = 0", "line 6, column 9: times is 0, which is allowed only with certificates-without-time"),
    (
        "[demand]\nlog-entries = 0\nlog-operators = 2\n[weaken]\nsignatures-without-log = true",
        "line 7, column 17: log-operators cannot be met",
    ),
    ("[demand]\nscts = 'x'", "line 6, column 8: \"scts\" is string"),
    ("[demand]\nsct = 1", "line 6, column 1: unknown key \"sct\""),
    ("[weaken]\nsignatures-without-logs = true", "line 6, column 1: unknown key \"signatures-without-logs\""),
    (
        "[weaken]\nsignatures-without-log = 1",
        "line 6, column 26: \"signatures-without-log\" is integer, expected true or false",
    ),
    ("[demand.witnesses]\nthreshold = 1", "line 5, column 1: \"keys\" is missing"),
    ("[demand.witnesses]\nkeys = ['x']\nthreshold = 1", "line 6, column 8: malformed verifier key"),
    ("[demand.witnesses]\nkeys = []\nthreshold = 1", "line 6, column 8: there are no witnesses"),
    (
        "[demand.witnesses]\npolicy = 'quorum none'\nthreshold = 1",
        "line 7, column 13: \"policy\" and \"threshold\" cannot stand together",
    ),
    ("[demand.witnesses]\npolicy = 'quorum none'", "line 6, column 10: line 1 of the log policy: it names neither"),
    ("[[key]]\nname = 'k'", "line 5, column 1: \"pem\" is missing"),
    ("[[key]]\npem = 'x'", "line 6, column 7: the public key is not usable"),
    ("[[key]]\nfile = ''", "line 6, column 8: the path is empty"),
    ("\u{fc} = 1", "line 5, column 1: "),
];

#[test]
fn mistakes_behind_an_identity_are_found_where_they_are() {
    for (more, expect) in MISTAKES_BEHIND_AN_IDENTITY {
        let found = error(&alice(more));
        assert!(found.starts_with(expect), "{more}\n{found}\n{expect}");
    }
    let key = Key::new(KeyType::EcdsaP256).public().to_pem();
    for (more, expect) in [
        (
            format!("[[key]]\npem = '''{key}'''\nvalid-until = 2026-01-01T00:00:00Z"),
            "line 5, column 1: \"valid-from\" is missing",
        ),
        (
            format!("[[key]]\npem = '''{key}'''\nvalid-from = 2026-01-01"),
            "line 11, column 14: \"valid-from\" is datetime, expected a time",
        ),
    ] {
        let found = error(&alice(&more));
        assert!(found.starts_with(expect), "{more}\n{found}\n{expect}");
    }
}

#[test]
fn columns_are_characters_and_the_size_has_a_limit() {
    let found = error("version = 1\n[[identity]]\nname = '\u{e9}\u{e9}'\nsubject = { glob = '\u{e9}', other = 1 }\n");
    assert!(found.starts_with("line 4, column 25: "), "{found}");
    let found = error(&" ".repeat(POLICY_FILE_BYTES_MAX + 1));
    assert_eq!(found, "line 1, column 1: the file has 262145 bytes, the limit is 262144");
    let many = alice(&"[[identity]]\n".repeat(RULES_MAX));
    assert!(error(&many).contains("\"identity\" stands 257 times"), "{}", error(&many));
}

#[test]
fn with_its_switch_a_zero_is_accepted() {
    for (demand, switch) in [
        ("scts = 0", "certificates-without-sct"),
        ("log-entries = 0", "signatures-without-log"),
        ("times = 0", "certificates-without-time"),
    ] {
        let file = PolicyFile::from_toml(&alice(&format!("[demand]\n{demand}\n[weaken]\n{switch} = true"))).unwrap();
        let findings = file.lint().unwrap();
        assert!(findings.iter().any(|finding| finding.code == "weakened" && finding.subject == switch), "{findings:?}");
    }
}

#[test]
fn files_that_it_names_are_the_callers_to_read() {
    let pem = Key::new(KeyType::EcdsaP256).public().to_pem();
    let text = alice("[[key]]\nfile = 'keys/a.pub'\n[demand.witnesses]\npolicy-file = 'witnesses'");
    let file = PolicyFile::from_toml(&text).unwrap();
    assert_eq!(file.unread_files(), ["keys/a.pub", "witnesses"]);
    let unread = file.policies().unwrap_err();
    assert_eq!(unread.to_string(), "line 8, column 15: the file \"witnesses\" has not been read");
    let bad = file.clone().with_file("keys/a.pub", "no key").unwrap_err();
    assert!(bad.to_string().starts_with("line 6, column 8: the public key is not usable"), "{bad}");
    let bad = file.clone().with_file("witnesses", "quorum nobody").unwrap_err();
    assert!(bad.to_string().starts_with("line 8, column 15: line 1 of the log policy: "), "{bad}");
    let vkey = "witness.example+82bca4dd+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
    let file = file.with_file("keys/a.pub", &pem).unwrap();
    let file = file.with_file("witnesses", &format!("witness w {vkey}\nquorum w\n")).unwrap();
    assert_eq!(file.unread_files(), [] as [&str; 0]);
    let policies = file.policies().unwrap();
    assert_eq!(policies[1].key().unwrap().key.to_pem(), pem);
    assert_eq!(policies[1].demands().witnesses.as_ref().unwrap().describe(), "w");
    // What is wrong otherwise is said before they are read.
    let text = text.replace("alice@example.com", "");
    assert!(error(&text).starts_with("line 3, column 11: an empty text"));
}

/// An option that is accepted is enforced: keys have no SCTs to demand.
#[test]
fn a_file_of_keys_alone_cannot_demand_scts() {
    let pem = Key::new(KeyType::EcdsaP256).public().to_pem();
    let text = format!("version = 1\n[[key]]\npem = '''{pem}'''\n[demand]\nscts = 1");
    assert_eq!(error(&text), "line 9, column 8: scts is demanded, but a key has no certificate");
    let file = PolicyFile::from_toml(text.trim_end_matches("scts = 1")).unwrap();
    assert_eq!(file.policy().unwrap().demands().log_entries, 1);
}

proptest! {
    #[test]
    fn any_text_is_a_file_or_an_error(text in any::<String>()) {
        let _ = PolicyFile::from_toml(&text);
    }

    /// Lines that could stand in a file, in any order and with anything behind the equals sign.
    #[test]
    fn any_lines_are_a_file_or_an_error(lines in proptest::collection::vec(line(), 0..12)) {
        let text = format!("version = 1\n{}", lines.join("\n"));
        if let Ok(file) = PolicyFile::from_toml(&text) {
            let _ = (file.policies(), file.lint(), file.explain());
        }
    }

    #[test]
    fn an_exact_subject_accepts_that_text_alone(text in "[ -~&&[^'\\\\]]{1,20}", other in "[ -~]{0,20}") {
        let toml = format!("version = 1\n[[identity]]\nsubject = '{text}'\ntype = 'uri'\nissuer = 'https://i'");
        let policy = PolicyFile::from_toml(&toml).unwrap().policy().unwrap();
        let matcher: &Matcher = policy.rules()[0].san.matcher();
        prop_assert!(matcher.matches(&text));
        prop_assert_eq!(matcher.matches(&other), text == other);
    }
}

fn line() -> impl Strategy<Value = String> {
    let keys = [
        "subject",
        "type",
        "issuer",
        "name",
        "github",
        "gitlab",
        "tag",
        "ref",
        "workflow",
        "scts",
        "times",
        "pem",
        "file",
        "valid-from",
        "keys",
        "threshold",
        "policy",
        "build-trigger",
    ];
    let values = [
        "'a@b'",
        "'https://a'",
        "'a/b'",
        "'email'",
        "{ glob = '**' }",
        "{ pattern = '.*' }",
        "[]",
        "['a', 'b']",
        "0",
        "1",
        "true",
        "2026-01-01T00:00:00Z",
        "{ email-domain = 'a' }",
        "'refs/heads/main'",
        "{}",
    ];
    let sections =
        ["[[identity]]", "[identity.extensions]", "[[key]]", "[demand]", "[demand.witnesses]", "[weaken]", "[key]"];
    prop_oneof![
        proptest::sample::select(sections.to_vec()).prop_map(ToOwned::to_owned).boxed(),
        (proptest::sample::select(keys.to_vec()), proptest::sample::select(values.to_vec()))
            .prop_map(|(key, value)| format!("{key} = {value}"))
            .boxed(),
    ]
}
