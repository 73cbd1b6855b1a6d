// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust key …`: enrolments, made where the key is and accepted where the ceremony is.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::json;
use touchmark_sigstore::x509::{Certificate, chain_from_pem};
use touchmark_trust::ceremony::{Attested, EnrolledKey, Enrolment, ONLINE, new_key, read_file, write_file};

use super::{DirArgs, KeyArgs, failure};
use crate::commands::up::read_passphrase;
use crate::commands::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the small file that enrols a key: its public half, and a signature that proves the private one
    Enrol(EnrolArgs),
    /// Take an enrolment into the ceremony
    Accept(AcceptArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct EnrolArgs {
    /// Name of the ceremony
    #[arg(long, value_name = "NAME")]
    ceremony: String,
    /// The holder; `online` for the key of snapshot and timestamp
    #[arg(long, value_name = "NAME")]
    holder: String,
    /// The key: a file, `pkcs11:…`, `awskms://…` or `<plugin>://…`; one that was made in its device is best
    #[arg(long, value_name = "KEY", required_unless_present = "new_key")]
    key: Option<String>,
    /// Make an ECDSA P-256 key in this file
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    new_key: Option<PathBuf>,
    /// File whose first line is the passphrase of the key file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Leave a new key file unencrypted: whoever can read it can sign
    #[arg(long, conflicts_with = "passphrase_file")]
    unencrypted_key: bool,
    /// What the device says of the key: a PEM file with the key's certificate, then the device's (Yubico's PIV attestation and its like)
    #[arg(long, value_name = "FILE")]
    attestation: Option<PathBuf>,
    /// File to write the enrolment to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct AcceptArgs {
    #[command(flatten)]
    place: DirArgs,
    /// Enrolments
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Accept only keys that a device of this vendor attests: a PEM file with the vendor's root certificates
    #[arg(long, value_name = "FILE")]
    attestation_roots: Option<PathBuf>,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(command: &Command, printer: Printer) -> Result<(), Failure> {
    match command {
        Command::Enrol(args) => enrol(args, printer),
        Command::Accept(args) => accept(args, printer),
    }
}

fn enrol(args: &EnrolArgs, printer: Printer) -> Result<(), Failure> {
    let enrolment = crate::commands::block_on(async {
        let signer = match (&args.key, &args.new_key) {
            (Some(key), _) => {
                KeyArgs { key: key.clone(), passphrase_file: args.passphrase_file.clone() }.open().await?
            }
            (None, path) => {
                if args.passphrase_file.is_none() && !args.unencrypted_key {
                    return Err(Failure::new(ExitStatus::Usage, "a new key file needs a passphrase")
                        .hint("name a file that holds one with --passphrase-file, or say --unencrypted-key"));
                }
                let passphrase = read_passphrase(args.passphrase_file.as_deref())?;
                new_key(&path.clone().unwrap_or_default(), passphrase).await.map_err(failure)?
            }
        };
        Enrolment::make(&args.ceremony, &args.holder, signer.as_ref()).await.map_err(failure)
    })?;
    let enrolment = match &args.attestation {
        Some(path) => enrolment.with_attestation(text(path)?),
        None => enrolment,
    };
    let key = enrolment.verified(&args.ceremony).map_err(failure)?;
    write_file(&args.out, &enrolment.to_json()).map_err(failure)?;
    print(&key, args.output, printer);
    printer
        .note(format_args!("wrote {}: send it, and read the sha256 aloud to whoever accepts it", args.out.display()));
    Ok(())
}

fn accept(args: &AcceptArgs, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = (args.place.open()?, Timestamp::now());
    let roots = args.attestation_roots.as_deref().map(roots).transpose()?;
    // All of them, or none.
    let mut enrolments = Vec::new();
    for file in &args.files {
        let named = |failure: Failure| failure.about(&file.display().to_string());
        let enrolment = Enrolment::from_json(&read_file(file).map_err(failure)?).map_err(failure).map_err(named)?;
        let key = ceremony.expect_enrollable(&enrolment).map_err(failure).map_err(named)?;
        let attested = roots.as_ref().map(|roots| enrolment.attested(roots, now)).transpose();
        enrolments.push((enrolment, key, attested.map_err(failure).map_err(named)?));
    }
    for (enrolment, key, attested) in &enrolments {
        ceremony.enrol(enrolment, now).map_err(failure)?;
        print(key, args.output, printer);
        attested.iter().for_each(|attested| print_attested(attested, printer));
        let is_named = key.holder() == ONLINE || ceremony.policy().holders().iter().any(|name| name == key.holder());
        if !is_named {
            printer.note(format_args!(
                "{0} is none of the first holders: `touchmark trust event new --add-holder {0}` makes one of the root's, `touchmark trust delegate add --holder {0}` one of a role's",
                key.holder()
            ));
        }
    }
    printer.note("compare each sha256 with what its holder reads aloud");
    Ok(())
}

fn text(path: &Path) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&read_file(path).map_err(failure)?).into_owned())
}

fn roots(path: &Path) -> Result<Vec<Certificate>, Failure> {
    chain_from_pem(&text(path)?)
        .map_err(|error| Failure::new(ExitStatus::Unreadable, format!("{}: {error}", path.display())))
}

fn print_attested(attested: &Attested, printer: Printer) {
    let serial = attested.device_serial.as_deref().unwrap_or("not said");
    let (pin, touch) = (attested.pin.unwrap_or("not said"), attested.touch.unwrap_or("not said"));
    printer.note(format_args!("attested as {}: device serial {serial}, PIN {pin}, touch {touch}", attested.subject));
}

fn print(key: &EnrolledKey, output: Output, printer: Printer) {
    match output {
        Output::Text => {
            printer.result(format_args!("{}: {}, sha256 {}", key.holder(), key.key().kind(), key.fingerprint()));
        }
        Output::Json => printer.result(json!({
            "version": 1,
            "holder": key.holder(),
            "keyType": key.key().kind(),
            "keySha256": key.fingerprint().to_string().replace(' ', ""),
        })),
    }
}
