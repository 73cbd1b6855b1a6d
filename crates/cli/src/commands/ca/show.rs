// SPDX-License-Identifier: Apache-2.0
//! `touchmark ca show`: whose certificates are these, and how long do they last?

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_server::ceremony;
use touchmark_sigstore::x509::Certificate;

use super::failure;
use super::report::{certificate_json, days_left, print_certificate};
use crate::commands::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files with certificates (PEM)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Fail if a certificate ends within so many days, or has ended
    #[arg(long, value_name = "DAYS")]
    fail_within: Option<u32>,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let now = Timestamp::now();
    let mut files = Vec::new();
    for path in &args.files {
        files.push((path, ceremony::read_chain(path).map_err(|error| failure(&error))?));
    }
    match args.output {
        Output::Text => {
            for (path, certificates) in &files {
                for (position, certificate) in certificates.iter().enumerate() {
                    print_certificate(certificate, now, printer);
                    printer.result(format_args!("  {:<10} {}", "file", path.display()));
                    printer.result(format_args!("  {:<10} {}", "place", place(certificates, position)));
                }
            }
        }
        Output::Json => {
            let of = |(path, certificates): &(&PathBuf, Vec<Certificate>)| {
                let shown = certificates.iter().enumerate().map(|(position, certificate)| {
                    let mut shown = certificate_json(certificate, now);
                    shown["place"] = place(certificates, position).into();
                    shown
                });
                json!({ "file": path, "certificates": shown.collect::<Vec<Value>>() })
            };
            printer.result(json!({ "version": 1, "files": files.iter().map(of).collect::<Vec<Value>>() }));
        }
    }
    let Some(limit) = args.fail_within else { return Ok(()) };
    let ending = |certificate: &&Certificate| days_left(certificate, now) < i64::from(limit);
    match files.iter().flat_map(|(_, certificates)| certificates).filter(ending).count() {
        0 => Ok(()),
        count => Err(Failure::new(
            ExitStatus::TrustRoot,
            format!("{count} certificates end within {limit} days or have ended"),
        )
        .hint("touchmark ca renew")),
    }
}

/// How a certificate stands to the next one of its file.
fn place(certificates: &[Certificate], position: usize) -> &'static str {
    let certificate = &certificates[position];
    if certificate.verify_issued_by(certificate).is_ok() {
        "root"
    } else if certificates.get(position + 1).is_some_and(|next| certificate.verify_issued_by(next).is_ok()) {
        "issued by the next"
    } else {
        "not issued by the next"
    }
}
