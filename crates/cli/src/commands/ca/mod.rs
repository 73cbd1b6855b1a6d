// SPDX-License-Identifier: Apache-2.0
//! `touchmark ca …`: the keys and certificates of a certificate authority, and of a timestamp authority, over their life (docs/ca.md, docs/tsa.md).
//!
//! One file for each subcommand; what they share stands here and in [`report`].

mod csr;
mod init;
mod renew;
mod report;
mod show;
mod sign;
mod timestamping;

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use touchmark_keys::{KeyError, KeyType};
use touchmark_server::ceremony::{self, CeremonyError, Passphrase, RootPlace};
use touchmark_signers::{SignerError, SignerReference};
use touchmark_sigstore::issue::authority::AuthorityName;

use super::up::read_passphrase;
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
    /// Make an offline root, an intermediate under it, and their keys
    Init(init::Args),
    /// Request the certificate of an intermediate, for a root that is somewhere else
    Csr(csr::Args),
    /// Sign such a request with an offline root, after showing what it will sign
    Sign(sign::Args),
    /// Make the next certificate of an intermediate under the same root, for the same key or another
    Renew(renew::Args),
    /// Make the key and the chain of a timestamp authority, with an offline root or under one that is there
    Timestamping(timestamping::Args),
    /// Show certificates: whose, until when, how many days are left
    Show(show::Args),
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    match &args.command {
        Command::Init(args) => init::run(args, printer),
        Command::Csr(args) => csr::run(args, printer),
        Command::Sign(args) => sign::run(args, printer),
        Command::Renew(args) => renew::run(args, printer),
        Command::Timestamping(args) => timestamping::run(args, printer),
        Command::Show(args) => show::run(args, printer),
    }
}

/// The kinds of keys that are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NewKeyType {
    P256,
    P384,
}

impl From<NewKeyType> for KeyType {
    fn from(key_type: NewKeyType) -> Self {
        match key_type {
            NewKeyType::P256 => Self::EcdsaP256,
            NewKeyType::P384 => Self::EcdsaP384,
        }
    }
}

/// How new key files are protected.
#[derive(Debug, clap::Args)]
struct ProtectionArgs {
    /// File, for its owner alone, whose one line is the passphrase of the key file for the server: the intermediate's, or a timestamp authority's
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Leave new key files unencrypted: whoever can read one can issue certificates
    #[arg(long, conflicts_with = "passphrase_file")]
    unencrypted_keys: bool,
}

impl ProtectionArgs {
    /// For a key file that will be made.
    fn for_new_key(&self) -> Result<Passphrase, Failure> {
        if self.passphrase_file.is_none() && !self.unencrypted_keys {
            return Err(Failure::new(ExitStatus::Usage, "a new key file needs a passphrase")
                .hint("name a file that holds one with --passphrase-file, or say --unencrypted-keys"));
        }
        self.for_existing_key()
    }

    fn for_existing_key(&self) -> Result<Passphrase, Failure> {
        read_passphrase(self.passphrase_file.as_deref())
    }
}

/// Where an offline root is.
#[derive(Debug, clap::Args)]
struct RootArgs {
    /// Directory of the root, with `root.key.pem` and `root.pem`, such as a mounted USB stick
    #[arg(long, value_name = "DIR")]
    root_dir: PathBuf,
    /// The root's key, if it is not in that directory: a file, `pkcs11:…`, `awskms://…` or `<plugin>://…`
    #[arg(long, value_name = "KEY")]
    root_key: Option<String>,
    /// File, for its owner alone, whose one line is the passphrase of the root's key file
    #[arg(long, value_name = "FILE")]
    root_passphrase_file: Option<PathBuf>,
}

impl RootArgs {
    fn place(&self) -> Result<RootPlace, Failure> {
        let key = match &self.root_key {
            Some(text) => signer_reference(text)?,
            None => SignerReference::File(self.root_dir.join(ceremony::ROOT_KEY)),
        };
        let passphrase = read_passphrase(self.root_passphrase_file.as_deref())?;
        Ok(RootPlace { key, certificate: self.root_dir.join(ceremony::ROOT), passphrase })
    }
}

/// Another name than the one that is there.
#[derive(Debug, clap::Args)]
struct NameArgs {
    /// Organisation in the certificate's name, instead of the one that is there
    #[arg(long, value_name = "NAME", requires = "common_name")]
    organization: Option<String>,
    /// Common name of the certificate, instead of the one that is there
    #[arg(long, value_name = "NAME", requires = "organization")]
    common_name: Option<String>,
}

impl NameArgs {
    fn name(&self) -> Option<AuthorityName> {
        let (organization, common_name) = (self.organization.clone()?, self.common_name.clone()?);
        Some(AuthorityName { organization, common_name })
    }
}

fn signer_reference(text: &str) -> Result<SignerReference, Failure> {
    SignerReference::parse(text, Path::new(""))
        .map_err(|error| Failure::new(ExitStatus::Usage, format!("the key {text}: {error}")))
}

/// The errors are whole sentences; here they get their class and advice.
fn failure(error: &CeremonyError) -> Failure {
    let class = match error {
        CeremonyError::Exists { .. }
        | CeremonyError::Subject { .. }
        | CeremonyError::Name { .. }
        | CeremonyError::Lifetime { .. }
        | CeremonyError::NoLonger { .. }
        | CeremonyError::KeyType(_) => ExitStatus::Usage,
        CeremonyError::File(_)
        | CeremonyError::Signer(_)
        | CeremonyError::Certificates { .. }
        | CeremonyError::Request { .. }
        | CeremonyError::Root { .. }
        | CeremonyError::RootKey { .. }
        | CeremonyError::OtherRoot { .. }
        | CeremonyError::WeakKey(_) => ExitStatus::Unreadable,
        CeremonyError::Issue(_) | CeremonyError::Unsound(_) => ExitStatus::Internal,
    };
    let failure = Failure::new(class, error.to_string());
    match error {
        CeremonyError::Signer(SignerError::KeyFile { error: KeyError::PassphraseRequired, .. }) => {
            failure.hint("give it with --root-passphrase-file (the root) or --passphrase-file (the intermediate)")
        }
        CeremonyError::Subject { .. } => failure.hint("--organization and --common-name"),
        CeremonyError::Unsound(_) => failure.hint("nothing was written"),
        _ => failure,
    }
}
