// SPDX-License-Identifier: Apache-2.0
//! What is said of certificates, to people and to programs.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_server::ceremony::Ceremony;
use touchmark_sigstore::x509::Certificate;

use crate::commands::version::Output;
use crate::printer::{Printer, printable};

/// Whole days from now to the end; negative once it is over.
pub(super) fn days_left(certificate: &Certificate, now: Timestamp) -> i64 {
    certificate.not_after().duration_since(now).as_secs().div_euclid(24 * 60 * 60)
}

pub(super) fn print_certificate(certificate: &Certificate, now: Timestamp, printer: Printer) {
    let line = |label: &str, text: String| printer.result(format_args!("  {label:<10} {}", printable(text)));
    printer.result(printable(certificate.subject_text()));
    line("issuer", certificate.issuer_text());
    line("valid", format!("{} to {}", certificate.not_before(), certificate.not_after()));
    line("days left", days_left(certificate, now).to_string());
    line("key", key_type(certificate));
    line("serial", hex::encode(certificate.serial()));
    line("sha256", fingerprint(certificate));
}

pub(super) fn certificate_json(certificate: &Certificate, now: Timestamp) -> Value {
    json!({
        "subject": certificate.subject_text(),
        "issuer": certificate.issuer_text(),
        "notBefore": certificate.not_before().to_string(),
        "notAfter": certificate.not_after().to_string(),
        "daysLeft": days_left(certificate, now),
        "keyType": key_type(certificate),
        "serial": hex::encode(certificate.serial()),
        "sha256": fingerprint(certificate),
        "isAuthority": certificate.is_ca(),
    })
}

/// Said where a root ends before the lifetime that was asked for.
pub(super) fn warn_of_cut(root: &Certificate, printer: Printer) {
    let end = root.not_after();
    printer.warning(format_args!(
        "the lifetime is cut short: the root ends then ({end}); make another root in time (docs/ca.md)"
    ));
}

/// What a ceremony made.
pub(super) fn print_ceremony(ceremony: &Ceremony, now: Timestamp, output: Output, printer: Printer) {
    if let (true, Some(root)) = (ceremony.is_cut_short, ceremony.chain.last()) {
        warn_of_cut(root, printer);
    }
    match output {
        Output::Text => {
            ceremony.chain.iter().for_each(|certificate| print_certificate(certificate, now, printer));
            print_files(&ceremony.files, printer);
        }
        Output::Json => {
            let chain: Vec<Value> = ceremony.chain.iter().map(|one| certificate_json(one, now)).collect();
            printer.result(json!({ "version": 1, "chain": chain, "files": ceremony.files }));
        }
    }
}

pub(super) fn print_files(files: &[PathBuf], printer: Printer) {
    for file in files {
        printer.note(format_args!("wrote {}", file.display()));
    }
}

fn key_type(certificate: &Certificate) -> String {
    certificate.public_key().map_or_else(|_| "of an unknown kind".to_owned(), |key| key.key_type().to_string())
}

fn fingerprint(certificate: &Certificate) -> String {
    hex::encode(touchmark_keys::sha256(certificate.der()))
}
