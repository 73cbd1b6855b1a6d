// SPDX-License-Identifier: Apache-2.0
//! `touchmark ca timestamping`: the key and the chain of a timestamp authority, with a new root or under one that is there.

use std::path::PathBuf;

use jiff::Timestamp;
use touchmark_server::ceremony::{
    self, INTERMEDIATE_DAYS, KeyChoice, ROOT_DAYS, RootPlace, TimestampingOptions, TimestampingRoot,
};
use touchmark_signers::SignerReference;
use touchmark_sigstore::issue::authority::AuthorityName;

use super::report::print_ceremony;
use super::{NewKeyType, ProtectionArgs, failure, signer_reference};
use crate::commands::up::read_passphrase;
use crate::commands::version::Output;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory to write `tsa.key.pem` and `chain.pem` to, and `root.key.pem` and `root.pem` of a new root; nothing is overwritten
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Directory of a root that is there, with `root.key.pem` and `root.pem`: for the next key, or under the root of another authority
    #[arg(long, value_name = "DIR")]
    root_dir: Option<PathBuf>,
    /// That root's key, if it is not in its directory: a file, `pkcs11:…`, `awskms://…` or `<plugin>://…`
    #[arg(long, value_name = "KEY", requires = "root_dir")]
    root_key: Option<String>,
    /// Organisation in the certificates' names
    #[arg(long, value_name = "NAME")]
    organization: String,
    /// Common name of the timestamp authority [default: the organisation and `timestamping`]
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,
    /// Common name of a new root [default: the organisation and `timestamping root`]
    #[arg(long, value_name = "NAME", conflicts_with = "root_dir")]
    root_common_name: Option<String>,
    /// Kind of the new keys
    #[arg(long, value_enum, default_value_t = NewKeyType::P384)]
    key_type: NewKeyType,
    /// Lifetime of the certificate, in days; never longer than the root's
    #[arg(long, value_name = "DAYS", default_value_t = INTERMEDIATE_DAYS)]
    days: u32,
    /// Lifetime of a new root, in days
    #[arg(long, value_name = "DAYS", default_value_t = ROOT_DAYS, conflicts_with = "root_dir")]
    root_days: u32,
    /// Certify this key instead of making one: a file, `pkcs11:…`, `awskms://…` or `<plugin>://…`
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    protection: ProtectionArgs,
    /// File, for its owner alone, whose one line is the passphrase of the root's key file [default: --passphrase-file]
    #[arg(long, value_name = "FILE")]
    root_passphrase_file: Option<PathBuf>,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let key = match &args.key {
        Some(text) => KeyChoice::Existing(Box::new(signer_reference(text)?)),
        None => KeyChoice::New(args.key_type.into()),
    };
    let passphrase = match key {
        KeyChoice::New(_) => args.protection.for_new_key()?,
        KeyChoice::Existing(_) => args.protection.for_existing_key()?,
    };
    let name = |common_name: &Option<String>, default: &str| AuthorityName {
        organization: args.organization.clone(),
        common_name: common_name.clone().unwrap_or_else(|| format!("{} {default}", args.organization)),
    };
    let root = root(args, || name(&args.root_common_name, "timestamping root"))?;
    let is_new_root = matches!(root, TimestampingRoot::New { .. });
    let options = TimestampingOptions {
        directory: args.dir.clone(),
        root,
        key,
        name: name(&args.common_name, "timestamping"),
        days: args.days,
        passphrase,
    };
    let now = Timestamp::now();
    let made = crate::commands::block_on(async { Ok(ceremony::timestamping(&options, now).await) })?;
    print_ceremony(&made.map_err(|error| failure(&error))?, now, args.output, printer);
    if is_new_root {
        printer.note(
            "take root.key.pem away from this machine: it is needed for the next key, and never to stamp (docs/tsa.md)",
        );
    }
    Ok(())
}

fn root(args: &Args, name: impl FnOnce() -> AuthorityName) -> Result<TimestampingRoot, Failure> {
    let passphrase = match (&args.root_passphrase_file, &args.root_dir) {
        (Some(path), _) => read_passphrase(Some(path))?,
        (None, Some(_)) => args.protection.for_existing_key()?,
        (None, None) => args.protection.for_new_key()?,
    };
    let Some(directory) = &args.root_dir else {
        let (key_type, days) = (args.key_type.into(), args.root_days);
        return Ok(TimestampingRoot::New { key_type, name: name(), days, passphrase });
    };
    let key = match &args.root_key {
        Some(text) => signer_reference(text)?,
        None => SignerReference::File(directory.join(ceremony::ROOT_KEY)),
    };
    Ok(TimestampingRoot::Existing(RootPlace { key, certificate: directory.join(ceremony::ROOT), passphrase }))
}
