// SPDX-License-Identifier: Apache-2.0
//! `touchmark fulcio check-config`: what would this configuration of a certificate authority do, and to this token?

use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_server::{Explanation, IdentityConfig, IssuerReport};

use super::super::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::{Printer, printable};

/// The longest text in which a token is looked for; the service reads less.
const TOKEN_FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A configuration of `touchmark serve` (.toml), or one of the public Fulcio server (YAML, JSON)
    file: PathBuf,
    /// Explain the token in this file (`-`: stdin): its entry, the rules, and the certificate that it would get. Its signature is not looked at
    #[arg(long, value_name = "TOKEN_FILE")]
    explain: Option<PathBuf>,
    /// Explain as of this time, such as 2026-11-23T12:00:00Z, instead of now
    #[arg(long, value_name = "TIME", requires = "explain")]
    at: Option<Timestamp>,
    /// Fail if the configuration has warnings
    #[arg(long)]
    fail_on_warnings: bool,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let unusable = || format!("{} cannot be used", args.file.display());
    let config = IdentityConfig::load(&args.file)
        .map_err(|error| Failure::new(ExitStatus::Unreadable, unusable()).because(error))?;
    match &args.explain {
        Some(token) => explain(args, &config, token, printer),
        None => check(args, &config, printer),
    }
}

fn check(args: &Args, config: &IdentityConfig, printer: Printer) -> Result<(), Failure> {
    let report = config.report();
    match args.output {
        Output::Text => report.iter().for_each(|issuer| print_issuer(issuer, printer)),
        Output::Json => {
            let issuers: Vec<Value> = report.iter().map(issuer_json).collect();
            printer.result(json!({ "version": 1, "issuers": issuers }));
        }
    }
    let warnings: usize = report.iter().map(|issuer| issuer.warnings.len()).sum();
    if args.fail_on_warnings && warnings > 0 {
        let failure = Failure::new(ExitStatus::Unreadable, format!("{} has {warnings} warnings", args.file.display()));
        return Err(if args.output == Output::Json { failure.reported() } else { failure });
    }
    Ok(())
}

fn print_issuer(issuer: &IssuerReport, printer: Printer) {
    let provider = issuer.ci_provider.as_ref().map(|provider| format!(" {provider}")).unwrap_or_default();
    printer.result(printable(format!(
        "{}: {}{provider}, for the audience {}",
        issuer.issuer, issuer.identity, issuer.audience
    )));
    printer.result(printable(format!("  serves {}", issuer.serves)));
    for (what, claims) in [("needs", &issuer.required_claims), ("may have", &issuer.optional_claims)] {
        if !claims.is_empty() {
            printer.result(printable(format!("  a token {what} {}", claims.join(", "))));
        }
    }
    for warning in &issuer.warnings {
        printer.warning(format_args!("{}: {warning}", printable(&issuer.issuer)));
    }
}

fn issuer_json(issuer: &IssuerReport) -> Value {
    json!({
        "issuer": issuer.issuer,
        "identity": issuer.identity,
        "ciProvider": issuer.ci_provider,
        "audience": issuer.audience,
        "requiredClaims": issuer.required_claims,
        "optionalClaims": issuer.optional_claims,
        "serves": issuer.serves,
        "warnings": issuer.warnings,
    })
}

fn explain(args: &Args, config: &IdentityConfig, token: &Path, printer: Printer) -> Result<(), Failure> {
    let token = read_token(token)?;
    let now = args.at.unwrap_or_else(Timestamp::now);
    let explained = config
        .explain(&token, now)
        .map_err(|error| Failure::new(ExitStatus::Refused, "no certificate would be issued").because(error))?;
    match args.output {
        Output::Text => print_explanation(&explained, printer),
        Output::Json => printer.result(explanation_json(&explained)),
    }
    if explained.issued {
        return Ok(());
    }
    let reasons = if explained.problems.is_empty() { explained.ruling } else { explained.problems.join("; ") };
    let failure = Failure::new(ExitStatus::Refused, format!("no certificate would be issued: {reasons}"));
    Err(if args.output == Output::Json { failure.reported() } else { failure })
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(ExitStatus::Unreadable, format!("cannot read the token from {}: {error}", path.display()))
    };
    let mut token = String::new();
    let mut source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(path).map_err(unreadable)?),
    };
    source.by_ref().take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut token).map_err(unreadable)?;
    Ok(token)
}

fn print_explanation(explained: &Explanation, printer: Printer) {
    let line = |text: String| printer.result(printable(text));
    line(format!("issuer: {} ({})", explained.issuer, explained.identity));
    line(format!("rules: {}", explained.ruling));
    for problem in &explained.problems {
        line(format!("token: {problem}"));
    }
    let (kind, name) = &explained.subject_alternative_name;
    line(format!("subject alternative name, {kind}: {name}"));
    for (oid, name, text) in &explained.extensions {
        line(format!("{oid} {name}: {text}"));
    }
    line(format!("a proof of possession by challenge signs: {}", explained.proof_over));
    printer.note(format_args!("the signature of the token was not looked at"));
}

fn explanation_json(explained: &Explanation) -> Value {
    let (kind, name) = &explained.subject_alternative_name;
    let extensions: Vec<Value> = explained
        .extensions
        .iter()
        .map(|(oid, name, text)| json!({ "oid": oid, "name": name, "value": text }))
        .collect();
    json!({
        "version": 1,
        "issued": explained.issued,
        "signatureChecked": false,
        "issuer": explained.issuer,
        "identity": explained.identity,
        "problems": explained.problems,
        "ruling": explained.ruling,
        "subjectAlternativeName": { "kind": kind, "value": name },
        "extensions": extensions,
        "proofOver": explained.proof_over,
    })
}
