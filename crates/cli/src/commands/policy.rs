// SPDX-License-Identifier: Apache-2.0
//! `touchmark policy check`: what would a policy file accept, and what in it is probably not meant?

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use touchmark_client::trust::read_trusted_root;
use touchmark_sigstore::policy::file::{PolicyFile, PolicyFileError};
use touchmark_sigstore::policy::{Finding, Severity};

use super::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::verifying::policy::read_policy_file;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a policy file, and say in sentences what it would accept
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The policy file (TOML, see docs/policy.md)
    file: PathBuf,
    /// A trusted root: are there as many logs and authorities in it as the policy demands?
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// Fail on findings of this severity, and worse ones
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = Limit::Never)]
    fail_on: Limit,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// From which finding on a check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Limit {
    Note,
    Warning,
    Danger,
    Never,
}

impl Limit {
    fn is_reached_by(self, severity: Severity) -> bool {
        match self {
            Self::Note => true,
            Self::Warning => severity >= Severity::Warning,
            Self::Danger => severity >= Severity::Danger,
            Self::Never => false,
        }
    }
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let Command::Check(args) = &args.command;
    check(args, printer)
}

fn check(args: &CheckArgs, printer: Printer) -> Result<(), Failure> {
    let read = read_policy_file(&args.file);
    if let (Err(failure), Output::Json) = (&read, args.output) {
        printer.result(json!({ "version": 1, "valid": false, "error": failure_json(failure) }));
        return Err(failure.clone().reported());
    }
    let file = read?;
    let unusable = |error: PolicyFileError| {
        Failure::new(ExitStatus::Unreadable, format!("{} cannot be used", args.file.display())).because(error)
    };
    let mut findings = file.lint().map_err(unusable)?;
    if let Some(root) = &args.trusted_root {
        findings.extend(file.lint_against(&read_trusted_root(root)?).map_err(unusable)?);
    }
    findings.sort_by_key(|finding| file.line_of(finding));
    let explained = file.explain().map_err(unusable)?;
    match args.output {
        Output::Text => print(&args.file, &file, &findings, &explained, printer),
        Output::Json => {
            let findings: Vec<Value> = findings.iter().map(|finding| finding_json(&file, finding)).collect();
            printer.result(json!({ "version": 1, "valid": true, "findings": findings, "accepts": explained }));
        }
    }
    let failing = findings.iter().filter(|finding| args.fail_on.is_reached_by(finding.severity)).count();
    if failing == 0 {
        return Ok(());
    }
    let failure = Failure::new(ExitStatus::Unreadable, format!("{} has {failing} findings", args.file.display()));
    Err(if args.output == Output::Json { failure.reported() } else { failure })
}

fn print(path: &Path, file: &PolicyFile, findings: &[Finding], explained: &[String], printer: Printer) {
    for line in explained {
        printer.result(crate::printer::printable(line));
    }
    for finding in findings {
        let place = format!("{}:{}", path.display(), file.line_of(finding));
        printer.finding(
            finding.severity,
            format_args!("{place}: {}: {} [{}]", finding.subject, finding.text, finding.code),
        );
    }
}

fn finding_json(file: &PolicyFile, finding: &Finding) -> Value {
    json!({
        "severity": finding.severity.to_string(),
        "code": finding.code,
        "line": file.line_of(finding),
        "subject": finding.subject,
        "text": finding.text,
    })
}

fn failure_json(failure: &Failure) -> Value {
    json!({
        "class": failure.status().code(),
        "exitCode": failure.status().number(),
        "message": failure.message(),
        "causes": failure.details().iter().map(|(_, text)| text).collect::<Vec<_>>(),
    })
}
