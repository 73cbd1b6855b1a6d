// SPDX-License-Identifier: Apache-2.0
//! `touchmark ca init`: a root for a drawer, and an intermediate for a server.

use std::path::PathBuf;

use jiff::Timestamp;
use touchmark_server::ceremony::{self, INTERMEDIATE_DAYS, InitOptions, KeyChoice, ROOT_DAYS};
use touchmark_sigstore::issue::authority::AuthorityName;

use super::report::print_ceremony;
use super::{NewKeyType, ProtectionArgs, failure, signer_reference};
use crate::commands::up::read_passphrase;
use crate::commands::version::Output;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory to write `root.key.pem`, `root.pem`, `intermediate.key.pem` and `chain.pem` to; nothing is overwritten
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Organisation in the certificates' names
    #[arg(long, value_name = "NAME")]
    organization: String,
    /// Common name of the root [default: the organisation and `root`]
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,
    /// Common name of the intermediate [default: the organisation and `intermediate`]
    #[arg(long, value_name = "NAME")]
    intermediate_common_name: Option<String>,
    /// Kind of the new keys
    #[arg(long, value_enum, default_value_t = NewKeyType::P384)]
    key_type: NewKeyType,
    /// Lifetime of the root, in days
    #[arg(long, value_name = "DAYS", default_value_t = ROOT_DAYS)]
    root_days: u32,
    /// Lifetime of the intermediate, in days
    #[arg(long, value_name = "DAYS", default_value_t = INTERMEDIATE_DAYS)]
    intermediate_days: u32,
    /// Use this key for the intermediate instead of making one: a file, `pkcs11:…`, `awskms://…` or `<plugin>://…`
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    protection: ProtectionArgs,
    /// File, for its owner alone, whose one line is the passphrase of the root's key file [default: --passphrase-file]
    #[arg(long, value_name = "FILE", conflicts_with = "unencrypted_keys")]
    root_passphrase_file: Option<PathBuf>,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let key_type = args.key_type.into();
    let issuing_key = match &args.key {
        Some(text) => KeyChoice::Existing(Box::new(signer_reference(text)?)),
        None => KeyChoice::New(key_type),
    };
    let root_passphrase = match (&args.root_passphrase_file, &issuing_key) {
        (Some(path), _) => read_passphrase(Some(path))?,
        (None, _) => args.protection.for_new_key()?,
    };
    let passphrase = match issuing_key {
        KeyChoice::New(_) => args.protection.for_new_key()?,
        KeyChoice::Existing(_) => args.protection.for_existing_key()?,
    };
    let name = |common_name: &Option<String>, default: &str| AuthorityName {
        organization: args.organization.clone(),
        common_name: common_name.clone().unwrap_or_else(|| format!("{} {default}", args.organization)),
    };
    let options = InitOptions {
        directory: args.dir.clone(),
        root_key: key_type,
        issuing_key,
        root_name: name(&args.common_name, "root"),
        intermediate_name: name(&args.intermediate_common_name, "intermediate"),
        root_days: args.root_days,
        intermediate_days: args.intermediate_days,
        root_passphrase,
        passphrase,
    };
    let now = Timestamp::now();
    let made = crate::commands::block_on(async { Ok(ceremony::init(&options, now).await) })?;
    print_ceremony(&made.map_err(|error| failure(&error))?, now, args.output, printer);
    printer.note("take root.key.pem away from this machine: it is needed to renew, and never to issue (docs/ca.md)");
    Ok(())
}
