// SPDX-License-Identifier: Apache-2.0
//! `touchmark fulcio audit verify`, `touchmark tsa audit verify`: is an audit log one chain, and does it go on from what somebody saw before?

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use touchmark_server::{AuditChain, AuditKind, AuditProblem, verify_audit_log};

use super::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prove that no line of an audit log was changed, removed or put between others, also while a server writes it
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// The audit log: `audit_log` in the section of the authority in a configuration file, or `fulcio-audit.jsonl` in a data directory of `up`
    file: PathBuf,
    /// A hash that an earlier verification printed: the file must still hold that line, and so all before it
    #[arg(long, value_name = "SHA256", value_parser = hash)]
    holds: Option<[u8; 32]>,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

fn hash(text: &str) -> Result<[u8; 32], &'static str> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or("expected 64 hexadecimal digits")
}

/// `if_changed` is what to do about a file that is not what was written.
pub(super) fn run(args: &Args, kind: AuditKind, if_changed: &'static str, printer: Printer) -> Result<(), Failure> {
    let Command::Verify(args) = &args.command;
    match verify_audit_log(&args.file, kind, args.holds) {
        Ok(chain) => {
            report(args, &chain, printer);
            Ok(())
        }
        Err(problem) => {
            let failure = failure(args, if_changed, &problem);
            if args.output == Output::Text {
                return Err(failure);
            }
            printer.result(json!({ "version": 1, "valid": false, "problem": problem.to_string() }));
            Err(failure.reported())
        }
    }
}

fn report(args: &VerifyArgs, chain: &AuditChain, printer: Printer) {
    let (lines, last) = (chain.lines(), hex::encode(chain.last_hash()));
    if args.output == Output::Json {
        let span = chain.span().map(|(first, last)| json!({ "first": first.to_string(), "last": last.to_string() }));
        printer.result(json!({ "version": 1, "valid": true, "lines": lines, "last_sha256": last, "span": span }));
        return;
    }
    let span = chain.span().map(|(first, last)| format!(", {first} to {last}")).unwrap_or_default();
    printer.result(format_args!("{}: one chain, {lines} lines{span}", args.file.display()));
    printer.result(format_args!("last line: {last}"));
}

fn failure(args: &VerifyArgs, if_changed: &'static str, problem: &AuditProblem) -> Failure {
    let file = args.file.display();
    match problem {
        AuditProblem::Unreadable { .. } => {
            Failure::new(ExitStatus::Unreadable, format!("{file} could not be read")).because(problem)
        }
        AuditProblem::Torn { .. } => {
            Failure::new(ExitStatus::Unreadable, format!("{file} does not end with a whole line"))
                .because(problem)
                .hint("if a server writes it now, try again; else its next start cuts this off, and a line will say so")
        }
        AuditProblem::OtherAuthority { found, .. } => {
            Failure::new(ExitStatus::Unreadable, format!("{file} is the audit log of a {found}"))
                .because(problem)
                .hint(format!("verify it with `{}`", found.verified_by()))
        }
        AuditProblem::NoLine { .. }
        | AuditProblem::Link { .. }
        | AuditProblem::Sequence { .. }
        | AuditProblem::Missing { .. } => Failure::new(ExitStatus::Tampered, format!("{file} is not what was written"))
            .because(problem)
            .hint(if_changed),
    }
}
