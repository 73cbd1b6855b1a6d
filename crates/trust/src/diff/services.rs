// SPDX-License-Identifier: Apache-2.0
//! What trusted root and signing config say, as facts that can be compared: logs, authorities, addresses, windows.

use touchmark_keys::sha256;
use touchmark_sigstore::trust::{
    CertificateAuthority, Selector, Service, SigningConfig, TransparencyLog, TrustedRoot, ValidFor,
};

use super::Facts;

/// The facts of a target. Of files that are neither document there are none: their hash is shown with the targets.
pub(super) fn facts(name: &str, bytes: &[u8]) -> Facts {
    if let Ok(root) = TrustedRoot::from_json(bytes) {
        return of_trusted_root(&root);
    }
    if let Ok(config) = SigningConfig::from_json(bytes) {
        return of_signing_config(&config);
    }
    match name.ends_with("trusted_root.json") || name.starts_with("signing_config") {
        true => Facts::from([("document".to_owned(), "cannot be read as what its name says".to_owned())]),
        false => Facts::new(),
    }
}

fn of_trusted_root(root: &TrustedRoot) -> Facts {
    let mut facts = Facts::new();
    for (kind, logs) in [("signature log", root.tlogs()), ("certificate log", root.ctlogs())] {
        for log in logs {
            insert(&mut facts, format!("{kind} {}", log.base_url()), of_log(log));
        }
    }
    let authorities = [
        ("certificate authority", root.certificate_authorities()),
        ("timestamp authority", root.timestamp_authorities()),
    ];
    for (kind, authorities) in authorities {
        for authority in authorities {
            insert(&mut facts, format!("{kind} {}", authority.uri()), of_authority(authority));
        }
    }
    for entry in root.unusable() {
        insert(&mut facts, format!("unreadable entry {:?} {}", entry.section, entry.index), entry.reason.to_string());
    }
    facts
}

fn of_log(log: &TransparencyLog) -> String {
    let key = hex::encode(log.public_key().spki_sha256());
    format!("{}, key sha256 {key}, id {}, {}", log.scheme(), hex::encode(log.log_id()), window(log.valid_for()))
}

fn of_authority(authority: &CertificateAuthority) -> String {
    let chain = authority
        .chain()
        .iter()
        .map(|certificate| format!("{} sha256 {}", certificate.subject_text(), hex::encode(sha256(certificate.der()))));
    format!("{}, {}", chain.collect::<Vec<_>>().join(" under "), window(authority.valid_for()))
}

fn of_signing_config(config: &SigningConfig) -> Facts {
    let mut facts = Facts::new();
    let lists = config.lists();
    let services = [
        ("certificate authority", &lists.ca),
        ("identity provider", &lists.oidc),
        ("signature log", &lists.rekor),
        ("timestamp authority", &lists.tsa),
    ];
    for (kind, services) in services {
        for service in services {
            insert(&mut facts, format!("{kind} {}", service.url()), of_service(service));
        }
    }
    for (kind, selector) in [("signature logs", lists.rekor_selector), ("timestamp authorities", lists.tsa_selector)] {
        insert(&mut facts, format!("use of {kind}"), of_selector(selector));
    }
    for entry in config.unusable() {
        insert(&mut facts, format!("unreadable entry {:?} {}", entry.section, entry.index), entry.reason.to_string());
    }
    facts
}

fn of_service(service: &Service) -> String {
    format!(
        "version {}, operator {:?}, {}",
        service.major_api_version(),
        service.operator(),
        window(service.valid_for())
    )
}

fn of_selector(selector: Option<Selector>) -> String {
    match selector {
        None => "not said".to_owned(),
        Some(Selector::Any) => "any".to_owned(),
        Some(Selector::All) => "all".to_owned(),
        Some(Selector::Exact(count)) => format!("exactly {count}"),
    }
}

fn window(window: ValidFor) -> String {
    match window.end() {
        None => format!("from {}", window.start()),
        Some(end) => format!("from {} to {end}", window.start()),
    }
}

/// Two things of one name are told apart by their order.
fn insert(facts: &mut Facts, name: String, fact: String) {
    let mut free = name.clone();
    let mut number = 2;
    while facts.contains_key(&free) {
        free = format!("{name} ({number})");
        number += 1;
    }
    facts.insert(free, fact);
}
