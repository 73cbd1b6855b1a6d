// SPDX-License-Identifier: Apache-2.0
//! `touchmark ca renew`: the next certificate of an intermediate, while the present one is still good.

use std::path::PathBuf;

use jiff::Timestamp;
use touchmark_server::ceremony::{self, INTERMEDIATE_DAYS, KeyChoice, RenewOptions, RenewedKey};

use super::report::{days_left, print_ceremony};
use super::{NameArgs, NewKeyType, ProtectionArgs, RootArgs, failure, signer_reference};
use crate::commands::version::Output;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The chain that issues now (PEM)
    chain: PathBuf,
    #[command(flatten)]
    root: RootArgs,
    /// Directory to write the new `chain.pem` to, and the `intermediate.key.pem` of a new key; nothing is overwritten
    #[arg(long, value_name = "DIR")]
    out_dir: PathBuf,
    /// Make a new key, instead of certifying the present one again
    #[arg(long)]
    new_key: bool,
    /// Certify this key: a file, `pkcs11:…`, `awskms://…` or `<plugin>://…`
    #[arg(long, value_name = "KEY", conflicts_with = "new_key")]
    key: Option<String>,
    /// Kind of a new key
    #[arg(long, value_enum, default_value_t = NewKeyType::P384)]
    key_type: NewKeyType,
    /// Lifetime in days; never longer than the root's
    #[arg(long, value_name = "DAYS", default_value_t = INTERMEDIATE_DAYS)]
    days: u32,
    #[command(flatten)]
    name: NameArgs,
    #[command(flatten)]
    protection: ProtectionArgs,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let (key, passphrase) = match &args.key {
        Some(text) => {
            let key = KeyChoice::Existing(Box::new(signer_reference(text)?));
            (RenewedKey::Other(key), args.protection.for_existing_key()?)
        }
        None if args.new_key => {
            (RenewedKey::Other(KeyChoice::New(args.key_type.into())), args.protection.for_new_key()?)
        }
        None => (RenewedKey::Same, None),
    };
    let options = RenewOptions {
        root: args.root.place()?,
        chain: args.chain.clone(),
        directory: args.out_dir.clone(),
        key,
        name: args.name.name(),
        days: args.days,
        passphrase,
    };
    let now = Timestamp::now();
    let renewed = crate::commands::block_on(async { Ok(ceremony::renew(&options, now).await) })?;
    let (made, present) = renewed.map_err(|error| failure(&error))?;
    print_ceremony(&made, now, args.output, printer);
    match days_left(&present, now) {
        ..0 => printer.warning("the present certificate has ended: there is no overlap, start with the new one at once"),
        days => printer.note(format_args!("the present certificate is valid for another {days} days: publish the new chain, then sign with it (docs/ca.md)")),
    }
    Ok(())
}
