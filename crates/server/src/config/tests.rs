// SPDX-License-Identifier: Apache-2.0
//! The configuration file: the example holds, and each refusal names its key.

use super::*;
use crate::fulcio::{IssuerTransport, Need};
use crate::tsa::{Embedded, Policies};

const MANUAL: &str = include_str!("../../../../docs/configuration.md");

/// The whole file of the manual.
fn example() -> &'static str {
    let (_, rest) = MANUAL.split_once("```toml\n").expect("the manual shows a whole file");
    rest.split_once("```").expect("the block ends").0
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/touchmark"))
}

fn check_refused(text: &str, expect: &str) {
    let error = parse(text).expect_err(text).to_string();
    assert!(error.contains(expect), "{text}\n{error}");
}

#[test]
fn the_example_is_a_configuration() {
    let config = parse(example()).unwrap();
    assert_eq!(config.service_addresses().len(), 2);
    let fulcio = config.fulcio.unwrap();
    assert_eq!(fulcio.key, SignerReference::File("/etc/touchmark/keys/ca.pem".into()));
    assert_eq!(fulcio.identities.issuers.len(), 2);
    assert_eq!(config.rekors[0].log.name, "rekor2026-1.example.com");
    assert!(config.oidc.is_none());
}

#[test]
fn the_commented_keys_of_the_example_are_keys() {
    let uncommented: String = example()
        .lines()
        .filter(|line| !line.starts_with("# ct_log"))
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.contains(" = ") || key.starts_with('[') => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = parse(&uncommented).unwrap();
    assert!(config.oidc.is_some());
    assert!(config.passphrase_file.is_some());
    assert!(config.metrics_listen.is_some());
    let tls = config.tls.unwrap();
    assert_eq!(tls.chain, Path::new("/etc/touchmark/tls/chain.pem"));
    assert_eq!(tls.key, Path::new("/etc/touchmark/tls/key.pem"));
    let fulcio = config.fulcio.unwrap();
    assert_eq!(fulcio.audit_log.as_deref(), Some(Path::new("/etc/touchmark/fulcio-audit.jsonl")));
    assert_eq!(fulcio.rate_limit.subject_per_minute.map(u32::from), Some(30));
    assert_eq!(fulcio.rate_limit.address.trusted_proxies.len(), 1);
    assert!(config.ctlogs[0].log.anchor.is_some());
    let Validity { interval: Some(_), expired: Expired::Refused } = config.ctlogs[0].validity else { panic!() };
    assert!(config.ctlogs[0].log.witnesses.is_some());
    assert_eq!(config.ctlogs[0].log.evidence.as_ref().unwrap().foreign.len(), 1);
    let tsa = config.tsa.unwrap();
    assert_eq!(tsa.time_file, Path::new("/etc/touchmark/tsa/last-time"));
    assert_eq!(tsa.audit_log.as_deref(), Some(Path::new("/etc/touchmark/tsa-audit.jsonl")));
    assert_eq!((tsa.previous_chains.len(), tsa.embedded), (1, Embedded::Chain));
    let clock = tsa.clock.unwrap();
    assert_eq!((clock.servers.len(), clock.agreeing, clock.poll), (3, 2, Duration::from_secs(64)));
}

#[test]
fn the_timestamp_authority_has_defaults_that_weaken_nothing_and_limits() {
    let alone = |more: &str| format!("listen = \"127.0.0.1:1\"\n[tsa]\nkey = \"k\"\nchain = \"c\"\n{more}\n");
    let tsa = parse(&alone("")).unwrap().tsa.unwrap();
    assert_eq!(tsa.policies, Policies::default());
    assert_eq!(tsa.time_file, Path::new("/etc/touchmark/tsa-last-time"));
    assert_eq!((tsa.embedded, tsa.clock), (Embedded::Leaf, None));
    let clock =
        |text: &str| parse(&alone(&format!("[tsa.clock]\n{text}"))).map(|config| config.tsa.unwrap().clock.unwrap());
    for (servers, agreeing) in
        [("[\"a\"]", 1), ("[\"a\", \"b\"]", 2), ("[\"a\", \"b\", \"c\"]", 2), ("[\"a\", \"b\", \"c\", \"d\"]", 3)]
    {
        assert_eq!(clock(&format!("servers = {servers}")).unwrap().agreeing, agreeing);
    }
    let list = |count: usize| (0..count).map(|number| format!("\"t{number}\"")).collect::<Vec<_>>().join(", ");
    assert_eq!(clock(&format!("servers = [{}]", list(16))).unwrap().servers.len(), 16);
    for (text, expect) in [
        (format!("servers = [{}]", list(17)), "`tsa.clock.servers`: must name 1 to 16"),
        ("servers = []".to_owned(), "`tsa.clock.servers`: must name 1 to 16"),
        ("servers = [\"http://a\"]".to_owned(), "`tsa.clock.servers`: must be host names or addresses"),
        ("servers = [\"a\", \"a:123\"]".to_owned(), "`tsa.clock.servers`: names a server twice"),
        ("servers = [\"a\", \"b\"]\nagreeing = 1".to_owned(), "`tsa.clock.agreeing`: must be more than half"),
        ("servers = [\"a\"]\nagreeing = 2".to_owned(), "`tsa.clock.agreeing`: must be more than half"),
        ("servers = [\"a\"]\npoll_s = 15".to_owned(), "`tsa.clock.poll_s`: must be 16 to 1024"),
        ("servers = [\"a\"]\npoll_s = 1025".to_owned(), "`tsa.clock.poll_s`: must be 16 to 1024"),
        ("servers = [\"a\"]\npoll = 16".to_owned(), "unknown field `poll`"),
        ("servers = [\"nts://a\", \"a\"]".to_owned(), "`tsa.clock.servers`: names a server twice"),
        ("servers = [\"nts://a\", \"NTS://A.:4460\"]".to_owned(), "`tsa.clock.servers`: names a server twice"),
        ("servers = [\"nts://a\", \"b\"]\nnts_only = true".to_owned(), "`tsa.clock.servers`: must all begin with"),
        ("servers = [\"a\"]\nca_file = \"c\"".to_owned(), "`tsa.clock.ca_file`: is for servers that begin with"),
    ] {
        let error = clock(&text).unwrap_err().to_string();
        assert!(error.contains(expect), "{text}\n{error}");
    }
    let authenticated =
        clock("servers = [\"nts://a\", \"nts://b\"]\nnts_only = true\nca_file = \"time-ca.pem\"").unwrap();
    assert_eq!(authenticated.ca_file.as_deref(), Some(Path::new("/etc/touchmark/time-ca.pem")));
    let limited = |text: &str| alone(&format!("[tsa.rate_limit]\n{text}"));
    assert_eq!(tsa.rate_limit, AddressLimitConfig::default());
    let both = limited("address_per_minute = 60\ntrusted_proxies = [\"10.0.0.1\"]");
    assert_eq!(parse(&both).unwrap().tsa.unwrap().rate_limit.per_minute.map(u32::from), Some(60));
    check_refused(&limited("trusted_proxies = [\"10.0.0.1\"]"), "`tsa.rate_limit.trusted_proxies`");
    check_refused(&limited("issuer_per_minute = 1"), "unknown field `issuer_per_minute`");
    let many = |what: &str, count: usize| format!("{what} = [{}]", vec!["\"1.2.3\""; count].join(", "));
    assert!(parse(&alone(&many("policies", 16))).is_ok());
    check_refused(&alone(&many("policies", 17)), "`tsa.policies`: names more than 16");
    check_refused(&alone("policies = []"), "`tsa.policies`: names no policy");
    check_refused(&alone("policies = [\"sigstore\"]"), "`tsa.policies`: must be object identifiers");
    check_refused(&alone(&many("previous_chains", 17)), "`tsa.previous_chains`: names more than 16");
}

#[test]
fn refusals_name_the_key_and_what_is_wrong() {
    check_refused("", "no role is configured");
    let alone = |key: &str| example().replace("accepted_roots =", &format!("{key}\naccepted_roots ="));
    check_refused(&alone("witness_policy = \"x\""), "`ctlog.witness_mode`: is missing: say `fail-open`");
    check_refused(
        &alone("evidence_tsa = [{ url = \"https://x\", chain = \"x\" }]"),
        "`ctlog.evidence_interval_s`: is missing",
    );
    check_refused(&alone("evidence_interval_s = 0"), "`ctlog.evidence_interval_s`: must be at least 1");
    check_refused(&alone("witness_mode = \"fail-open\""), "`ctlog.witness_policy`: is missing");
    check_refused(&alone("witness_mode = \"open\""), "unknown variant `open`, expected `fail-open` or `fail-closed`");
    check_refused(&alone("reject_expired = true\nreject_unexpired = true"), "refuses every certificate");
    let interval = |start: &str, limit: &str| alone(&format!("{start}\n{limit}"));
    let (start, limit) = ("not_after_start = \"2027-01-01T00:00:00Z\"", "not_after_limit = \"2027-07-01T00:00:00Z\"");
    assert!(parse(&interval(start, limit)).unwrap().ctlogs[0].validity.interval.is_some());
    check_refused(&alone(start), "`ctlog.not_after_limit`: is missing");
    check_refused(&alone(limit), "`ctlog.not_after_start`: is missing");
    check_refused(&interval(start, "not_after_limit = \"2027-01-01T00:00:00Z\""), "must be later than");
    check_refused(&interval(start, "not_after_limit = \"July\""), "must be a time such as");
    let limited = |value: &str| {
        example().replace(
            "[[fulcio.issuer]]\nurl = \"https://ci",
            &format!("[fulcio.rate_limit]\n{value}\n[[fulcio.issuer]]\nurl = \"https://ci"),
        )
    };
    assert!(parse(&limited("address_per_minute = 1")).unwrap().fulcio.unwrap().rate_limit.address.per_minute.is_some());
    check_refused(&limited("address_per_minute = 0"), "nonzero");
    check_refused(&limited("trusted_proxies = [\"127.0.0.1\"]"), "`fulcio.rate_limit.trusted_proxies`");
    check_refused(&limited("per_minute = 1"), "unknown field `per_minute`");
    let chains = |count: usize| {
        let chains = vec!["\"x\""; count].join(", ");
        example()
            .replace("chain = \"ca/chain.pem\"", &format!("previous_chains = [{chains}]\nchain = \"ca/chain.pem\""))
    };
    assert_eq!(parse(&chains(16)).unwrap().fulcio.unwrap().previous_chains.len(), 16);
    check_refused(&chains(17), "`fulcio.previous_chains`: names more than 16 chains");
    let rule =
        |keys: &str| format!("{}[[fulcio.authorize]]\nissuer = \"https://accounts.example.com\"\n{keys}\n", example());
    assert!(parse(&rule("allow = [{ sub = \"a\" }]")).is_ok());
    check_refused(&rule("allow = []"), "`fulcio.authorize.allow`: is an empty list");
    check_refused("nonsense", "line 1");
    check_refused("listen = \"127.0.0.1:1\"\nlisten_on = 1\n", "unknown field `listen_on`");
    check_refused("[tsa]\nkey = \"k\"\nchain = \"c\"\npolicy = \"x\"\n", "unknown field `policy`");
    check_refused("[tsa]\nkey = \"k\"\nchain = \"c\"\n", "`tsa.listen`: is missing");
    check_refused("listen = \"localhost\"\n", "line 1");
    check_refused(&example().replace("https://sigstore", "ftp://sigstore"), "`external_url`");
    check_refused(
        &example().replace("{ name = \"ct2026-1.example.com\" }", "{ name = \"other\" }"),
        "`fulcio.ct_log.name`: other is the name of no [[ctlog]] in this file; there are ct2026-1.example.com",
    );
    check_refused(
        "listen = \"127.0.0.1:1\"\n[fulcio]\nkey = \"k\"\nchain = \"c\"\nct_log = { name = \"ct\" }\n[[fulcio.issuer]]\nurl = \"https://a.example\"\n",
        "ct is the name of no [[ctlog]] in this file; there is none",
    );
    check_refused(&example().replace("{ name = \"ct2026-1.example.com\" }", "{ }"), "`fulcio.ct_log`: takes either");
    check_refused(
        &example().replace("{ name = \"ct2026-1.example.com\" }", "{ name = \"x\", public = 1 }"),
        "unknown field `public`",
    );
    check_refused(&example().replace("rekor2026-1.example.com\"\nkey", "ct2026-1.example.com\"\nkey"), "two logs");
    check_refused(&example().replace("rekor2026-1.example.com\"\nkey", "Rekor/1\"\nkey"), "`rekor.name`");
    check_refused(
        &example().replace("subject_domain = \"https://ci.example.com\"", ""),
        "`fulcio`: issuer https://ci.example.com: `subject_domain` is missing",
    );
}

#[test]
fn tls_has_a_chain_and_a_key_and_an_address_that_says_so() {
    let tls = |keys: &str| example().replace("# The certificate authority.", &format!("[tls]\n{keys}"));
    let both = "chain = \"c\"\nkey = \"k\"\n";
    assert!(parse(&tls(both)).unwrap().tls.is_some());
    check_refused(&tls("chain = \"c\"\n"), "missing field `key`");
    check_refused(&tls(&format!("{both}min = \"1.0\"\n")), "unknown field `min`");
    check_refused(
        &tls(both).replace("https://sigstore", "http://sigstore"),
        "`external_url`: must begin with `https:`: with [tls]",
    );
}

#[test]
fn a_transport_is_the_issuers_own_and_spelled_out() {
    let with =
        |transport: &str| example().replacen("[[fulcio.issuer]]\n", &format!("[[fulcio.issuer]]\n{transport}\n"), 1);
    for (transport, expect) in [
        ("", IssuerTransport::HttpsOnly),
        ("transport = \"https\"", IssuerTransport::HttpsOnly),
        ("transport = \"https-private\"", IssuerTransport::HttpsPrivate),
        ("transport = \"loopback-http\"", IssuerTransport::LoopbackHttpAllowed),
    ] {
        let issuers = parse(&with(transport)).unwrap().fulcio.unwrap().identities.issuers;
        assert_eq!(issuers[0].text.transport, expect, "{transport}");
        assert_eq!(issuers[1].text.transport, IssuerTransport::HttpsOnly, "{transport}");
    }
    check_refused(&with("transport = \"private\""), "unknown variant `private`");
}

#[test]
fn keys_of_authorities_may_be_elsewhere() {
    let token = "pkcs11:token=t;object=ca?module-path=/usr/lib/p11.so&pin-source=file:pin";
    let with = |file: &str, uri: &str| example().replace(&format!("key = \"{file}\""), &format!("key = \"{uri}\""));
    for uri in [token, "my-hsm://ca"] {
        let expect = SignerReference::parse(uri, Path::new("/etc/touchmark")).unwrap();
        let fulcio = parse(&with("keys/ca.pem", uri)).unwrap().fulcio.unwrap();
        assert_eq!(fulcio.key, expect);
        let tsa = parse(&with("keys/tsa.pem", uri)).unwrap().tsa.unwrap();
        assert_eq!(tsa.key, expect);
    }
    for (uri, expect) in [
        ("pkcs11:token=t;object=ca?module-path=/m&pin-value=1", "`pkcs11:` URI: `pin-value` would put the PIN into"),
        ("pkcs11:object=ca?module-path=/m", "`pkcs11:` URI: names no token"),
        ("My://ca", "the scheme must be"),
        ("file:///ca.pem", "the path of a key file is written without `file:`"),
        ("", "is empty"),
    ] {
        check_refused(&with("keys/ca.pem", uri), &format!("`fulcio.key`: {expect}"));
        check_refused(&with("keys/tsa.pem", uri), &format!("`tsa.key`: {expect}"));
    }
}

#[test]
fn the_try_out_issuer_needs_a_second_statement_loopback_and_its_own_address() {
    let example = example();
    let oidc = |listen: &str, issuer: &str, statement: &str| {
        format!("{example}\n[oidc]\nlisten = \"{listen}\"\nissuer = \"{issuer}\"\nkey = \"k\"\n{statement}")
    };
    let statement = "gives_any_identity_to_anyone = true\n";
    let issuer = "http://127.0.0.1:7701/oidc";
    parse(&oidc("127.0.0.1:7701", issuer, statement)).unwrap();
    check_refused(&oidc("127.0.0.1:7701", issuer, ""), "`oidc.gives_any_identity_to_anyone`");
    check_refused(&oidc("0.0.0.0:7701", issuer, statement), "`oidc.listen`: must be a loopback");
    check_refused(&oidc("127.0.0.1:7700", issuer, statement), "origin of its own");
    check_refused(&oidc("127.0.0.1:7701", "http://127.0.0.1:7701/", statement), "`oidc.issuer`");
}

/// The values of `identity`, which have a table of their own.
const IDENTITIES: [&str; 7] =
    ["email", "uri", "username", "spiffe", "kubernetes", "chainguard-identity", "ci-provider"];

#[test]
fn the_manual_names_every_key_and_no_other() {
    let declared: BTreeSet<&str> = include_str!("file.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("    pub(super) ")?.split_once(':'))
        .map(|(key, _)| key)
        .filter(|key| !["tls", "fulcio", "ctlog", "rekor", "tsa", "tuf", "oidc"].contains(key))
        .collect();
    let in_tables = MANUAL.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let documented: BTreeSet<&str> =
        in_tables.map(|(key, _)| key.trim_matches(['[', ']']).trim_start_matches("fulcio.")).collect();
    // Parts of a value, which the text of their key explains.
    let parts: BTreeSet<&str> = BTreeSet::from(["public_key", "issuer"]);
    for key in declared.difference(&parts) {
        assert!(documented.contains(key) || MANUAL.contains(&format!("`{key}`")), "{key} is not in the manual");
    }
    for key in &documented {
        assert!(declared.contains(key) || IDENTITIES.contains(key), "{key} is no key");
    }
}

#[test]
fn certificates_may_go_to_several_logs() {
    let own = "{ name = \"ct2026-1.example.com\" }";
    let remote = "{ url = \"https://ct.example.com/2026\", public_key = \"ct.pub.pem\", required = true }";
    let with =
        |logs: &str, more: &str| example().replace(&format!("ct_log = {own}"), &format!("ct_log = {logs}\n{more}"));
    let place = |logs: &str, more: &str| parse(&with(logs, more)).unwrap().fulcio.unwrap().ct;
    let several = format!("[{own}, {remote}]");
    let alone = place(own, "");
    assert_eq!((alone.logs.len(), alone.scts_min, alone.deadline), (1, 1, Duration::from_secs(20)));
    let all = place(&several, "");
    assert_eq!((all.logs.len(), all.scts_min), (2, 2), "all of them, unless it is said how many");
    let needs: Vec<Need> = all.logs.iter().map(|(_, need)| *need).collect();
    assert_eq!(needs, [Need::Welcome, Need::Required]);
    let one = place(&several, "ct_scts = 1\nct_deadline_s = 5");
    assert_eq!((one.scts_min, one.deadline), (1, Duration::from_secs(5)));

    check_refused(&with("[]", ""), "`fulcio.ct_log`: names no log");
    check_refused(&with(&format!("[{}]", [remote; 9].join(", ")), ""), "or more than 8");
    check_refused(&with(&several, "ct_scts = 3"), "`fulcio.ct_scts`: is more than");
    check_refused(&with(&several, "ct_scts = 0"), "nonzero");
    check_refused(&with(&several, "ct_deadline_s = 0"), "`fulcio.ct_deadline_s`: must be");
    check_refused(&with(&several, "ct_deadline_s = 26"), "`fulcio.ct_deadline_s`: must be");
    check_refused(&with(&format!("[{own}, {{ name = \"other\" }}]"), ""), "`fulcio.ct_log.name`");
    check_refused(&with(&format!("[{own}, {{ nam = \"other\" }}]"), ""), "unknown field `nam`");
    check_refused(&with("\"ct\"", ""), "a table or an array of tables");
}
