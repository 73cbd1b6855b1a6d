// SPDX-License-Identifier: Apache-2.0
//! `touchmark conformance`: the command line that the public conformance suite drives clients with (sigstore/sigstore-conformance,
//! `docs/cli_protocol.md`); `tests/conformance-client` is the program that the suite is given.
//!
//! In scope: the two verbs of the protocol, on the library. Out of scope: comfort; for people there are `sign-blob` and `verify-blob`.
//! Invariants: without --trusted-root and --signing-config it is the public-good instance or, with --staging, the staging instance, as
//! the program carries them; verifying reads files and nothing else; exit code 0 means signed, or verified.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Subcommand};
use jiff::Timestamp;
use touchmark_client::attestation::{Attestation, STATEMENT_BYTES_MAX};
use touchmark_client::identity::IdentityToken;
use touchmark_client::sign::Subject;
use touchmark_client::trust::{PublicInstance, read_signing_config, read_trusted_root};
use touchmark_keys::{Digest, HashAlgorithm, PublicKey};
use touchmark_outbound::{Outbound, Reach};
use touchmark_sigstore::bundle::Bundle;
use touchmark_sigstore::policy::{IdentityMatcher, KeyRule, Matcher, Policy};
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_sigstore::verify::{Artifact, FailureClass, VerifyError, digest_algorithms, verify};
use touchmark_sigstore::wire::BUNDLE_BYTES_MAX;

use crate::bundle_file::BundleFile;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::hashing::artifact_digest;
use crate::paths;
use crate::printer::Printer;
use crate::signing::{Session, select};

/// The largest artifact whose signature covers it as a whole (pure Ed25519, ML-DSA).
const WHOLE_BYTES_MAX: u64 = 128 << 20;
/// The largest file with a public key; the longest key, of ML-DSA-87, has 4 KiB in PEM.
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Sign a file, or an in-toto statement
    SignBundle(SignArgs),
    /// Verify a file, or a subject of an in-toto statement
    VerifyBundle(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct SignArgs {
    #[command(flatten)]
    instance: InstanceArgs,
    /// FILE is an in-toto statement
    #[arg(long)]
    in_toto: bool,
    /// The identity token
    #[arg(long, value_name = "TOKEN")]
    identity_token: String,
    /// Where to write the bundle
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// Where to sign
    #[arg(long, value_name = "FILE")]
    signing_config: Option<PathBuf>,
    /// What to sign
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("signer").required(true).args(["certificate_identity", "key"]))]
struct VerifyArgs {
    #[command(flatten)]
    instance: InstanceArgs,
    /// The bundle
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// Who must have signed
    #[arg(long, value_name = "IDENTITY", requires = "certificate_oidc_issuer")]
    certificate_identity: Option<String>,
    /// The issuer that must have vouched for them
    #[arg(long, value_name = "URL", conflicts_with = "key")]
    certificate_oidc_issuer: Option<String>,
    /// The public key that must have signed
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The file, or sha256:HEX
    file_or_digest: PathBuf,
}

#[derive(Debug, clap::Args)]
struct InstanceArgs {
    /// The staging instance instead of the public-good one
    #[arg(long)]
    staging: bool,
    /// The trusted root, of whichever instance
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    match &args.verb {
        Verb::SignBundle(args) => sign_bundle(args, printer),
        Verb::VerifyBundle(args) => verify_bundle(args, printer),
    }
}

fn sign_bundle(args: &SignArgs, printer: Printer) -> Result<(), Failure> {
    let signing_config = match &args.signing_config {
        Some(path) => read_signing_config(path)?,
        None => args.instance.public().signing_config(),
    };
    let bundle = BundleFile::named(&args.bundle).expect_free(&args.file)?;
    let outbound = Outbound::new(concat!("touchmark/", env!("CARGO_PKG_VERSION")), Reach::Private, None);
    let token = IdentityToken::from_argument(&args.identity_token)?;
    let mut session = Session::new(outbound, args.instance.trusted_root()?, select(&signing_config)?, token);
    let signed = if args.in_toto {
        let json = read(&args.file, STATEMENT_BYTES_MAX as u64)?;
        let attestation = Attestation::of_statement(json).map_err(|error| unusable(&args.file, &error))?;
        super::block_on(session.sign(Subject::Attestation(&attestation)))?
    } else {
        let digest = artifact_digest(&args.file, HashAlgorithm::Sha256, printer)?;
        super::block_on(session.sign(Subject::Artifact(&digest)))?
    };
    bundle.write(&signed.bundle.bundle().to_json())
}

fn verify_bundle(args: &VerifyArgs, printer: Printer) -> Result<(), Failure> {
    let policy = args.policy()?;
    let json = read(&args.bundle, BUNDLE_BYTES_MAX as u64)?;
    let bundle = Bundle::parse(&json).map_err(|error| unusable(&args.bundle, &error))?;
    let trusted_root = args.instance.trusted_root()?;
    let algorithms = digest_algorithms(&bundle, &policy);
    let whole;
    let artifact = match digest_argument(&args.file_or_digest) {
        Some(digest) => Artifact::from(digest),
        None if algorithms.is_empty() => {
            whole = read(&args.file_or_digest, WHOLE_BYTES_MAX)?;
            Artifact::of_bytes(&whole)
        }
        None => {
            let digest = |algorithm| artifact_digest(&args.file_or_digest, algorithm, printer);
            Artifact::of_digests(algorithms.into_iter().map(digest).collect::<Result<_, _>>()?)
        }
    };
    verify(&artifact, &bundle, &trusted_root, &policy, Timestamp::now()).map_err(|error| refusal(&error))?;
    printer.note("Verified OK");
    Ok(())
}

impl InstanceArgs {
    fn public(&self) -> PublicInstance {
        if self.staging { PublicInstance::Staging } else { PublicInstance::PublicGood }
    }

    fn trusted_root(&self) -> Result<TrustedRoot, Failure> {
        match &self.trusted_root {
            Some(path) => Ok(read_trusted_root(path)?),
            None => Ok(self.public().trusted_root()),
        }
    }
}

impl VerifyArgs {
    fn policy(&self) -> Result<Policy, Failure> {
        if let Some(path) = &self.key {
            let pem = String::from_utf8(read(path, KEY_FILE_BYTES_MAX)?).map_err(|error| unusable(path, &error))?;
            let key = PublicKey::from_pem(&pem).map_err(|error| unusable(path, &error))?;
            return Ok(Policy::managed_key(KeyRule { key, valid_for: None }));
        }
        let usage = |error| Failure::from_error(ExitStatus::Usage, &error);
        // Clap has made sure that both are there; an empty text is refused by the policy.
        let identity = IdentityMatcher::exact(self.certificate_identity.as_deref().unwrap_or_default());
        let issuer = Matcher::exact(self.certificate_oidc_issuer.as_deref().unwrap_or_default());
        Ok(Policy::keyless(identity.map_err(usage)?, issuer.map_err(usage)?))
    }
}

/// A digest, unless there is a file of that name: the protocol asks for SHA-256 and nothing else.
fn digest_argument(argument: &Path) -> Option<Digest> {
    let digest: Digest = argument.to_str()?.parse().ok()?;
    (digest.algorithm() == HashAlgorithm::Sha256 && argument.symlink_metadata().is_err()).then_some(digest)
}

fn refusal(error: &VerifyError) -> Failure {
    let status = match error.class() {
        FailureClass::WrongSigner => ExitStatus::WrongSigner,
        FailureClass::Tampered => ExitStatus::Tampered,
        FailureClass::Untrusted => ExitStatus::Untrusted,
        FailureClass::Incomplete => ExitStatus::Usage,
    };
    Failure::new(status, format!("not verified: check {} failed", error.check()))
        .detail("expected", error.expected())
        .detail("found", error.found())
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    paths::read_limited(path, bytes_max).map_err(|error| {
        Failure::new(ExitStatus::Unreadable, format!("{} could not be read", path.display())).because(error)
    })
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(ExitStatus::Unreadable, format!("{} cannot be used", path.display())).because(error)
}
