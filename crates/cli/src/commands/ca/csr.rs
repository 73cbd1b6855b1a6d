// SPDX-License-Identifier: Apache-2.0
//! `touchmark ca csr`: a request for the certificate of an intermediate (PKCS#10, RFC 2986).

use std::path::PathBuf;

use serde_json::json;
use touchmark_server::ceremony::{self, KeyChoice, RequestOptions};
use touchmark_sigstore::issue::authority::AuthorityName;

use super::report::print_files;
use super::{NewKeyType, ProtectionArgs, failure, signer_reference};
use crate::commands::version::Output;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File to write the request to (PEM); nothing is overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The key: a file, `pkcs11:…`, `awskms://…` or `<plugin>://…`
    #[arg(long, value_name = "KEY", required_unless_present = "new_key")]
    key: Option<String>,
    /// Make a key in this file
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    new_key: Option<PathBuf>,
    /// Kind of a new key
    #[arg(long, value_enum, default_value_t = NewKeyType::P384)]
    key_type: NewKeyType,
    /// Organisation in the certificate's name
    #[arg(long, value_name = "NAME")]
    organization: String,
    /// Common name [default: the organisation and `intermediate`]
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,
    #[command(flatten)]
    protection: ProtectionArgs,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let (key, passphrase) = match &args.key {
        Some(text) => (KeyChoice::Existing(Box::new(signer_reference(text)?)), args.protection.for_existing_key()?),
        None => (KeyChoice::New(args.key_type.into()), args.protection.for_new_key()?),
    };
    let common_name = args.common_name.clone().unwrap_or_else(|| format!("{} intermediate", args.organization));
    let options = RequestOptions {
        request: args.out.clone(),
        key,
        key_file: args.new_key.clone().unwrap_or_default(),
        name: AuthorityName { organization: args.organization.clone(), common_name },
        passphrase,
    };
    let made = crate::commands::block_on(async { Ok(ceremony::request(&options).await) })?;
    let (public_key, files) = made.map_err(|error| failure(&error))?;
    let fingerprint = hex::encode(public_key.spki_sha256());
    match args.output {
        Output::Text => {
            printer.result(format_args!("key {}, sha256 {fingerprint}", public_key.key_type()));
            print_files(&files, printer);
            printer.note("whoever signs the request should hear this sha256 from you by another way");
        }
        Output::Json => {
            let key_type = public_key.key_type().to_string();
            printer.result(json!({ "version": 1, "keyType": key_type, "keySha256": fingerprint, "files": files }));
        }
    }
    Ok(())
}
