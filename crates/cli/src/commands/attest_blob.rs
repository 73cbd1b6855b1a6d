// SPDX-License-Identifier: Apache-2.0
//! `touchmark attest-blob`: state something about a file, keyless, in an in-toto statement that is signed in a DSSE envelope.
//!
//! The verb and its flags are cosign's. What is different: `--bundle` has a default (`FILE.sigstore.json`, never overwritten unasked);
//! a statement that is there (`--statement`) is signed as it stands, and where a file is named beside it, has to be about that file.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use touchmark_client::attestation::{Attestation, STATEMENT_BYTES_MAX};
use touchmark_client::sign;
use touchmark_keys::{Digest, DigestTextError, HashAlgorithm};
use touchmark_sigstore::intoto::{Statement, Subject};

use crate::bundle_file::{BundleFile, Existing};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::hashing::artifact_digest;
use crate::paths;
use crate::printer::Printer;
use crate::signing::{Signed, SigningArgs};
use crate::verifying::predicate::predicate_type;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("said").required(true).args(["predicate", "statement"]))]
pub(super) struct Args {
    /// What it is about; `-` is stdin and needs --bundle
    #[arg(value_name = "FILE", required_unless_present_any = ["hash", "statement"])]
    file: Option<PathBuf>,
    /// What to state of it: a file with JSON, `-` for stdin
    #[arg(long, value_name = "FILE")]
    predicate: Option<PathBuf>,
    /// What kind of thing that is: slsaprovenance, slsaprovenance02, slsaprovenance1, link, spdx, spdxjson, cyclonedx, vuln, openvex,
    /// custom, or the URI of a type
    #[arg(long = "type", value_name = "TYPE", default_value = "custom", conflicts_with = "statement")]
    predicate_type: String,
    /// A whole in-toto statement, signed as it stands, instead of --predicate and --type
    #[arg(long, value_name = "FILE", conflicts_with = "hash")]
    statement: Option<PathBuf>,
    /// The SHA-256 digest of what it is about, in hexadecimal, where there is no file; FILE is its name then
    #[arg(long, value_name = "HEX")]
    hash: Option<String>,
    /// Where to write the bundle, replacing what is there [default: FILE.sigstore.json]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Replace an existing bundle at the default place
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    signing: SigningArgs,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    args.signing.expect_online()?;
    let bundle = bundle_file(args)?;
    let attestation = attestation(args, printer)?;
    let signed = super::block_on(async {
        let mut session = args.signing.log_in(printer).await?;
        let spinner = printer.spinner("signing");
        let signed = session.sign(sign::Subject::Attestation(&attestation)).await;
        spinner.finish_and_clear();
        signed
    })?;
    bundle.write(&signed.bundle.bundle().to_json())?;
    report(args, &signed, &bundle, printer);
    Ok(())
}

fn bundle_file(args: &Args) -> Result<BundleFile, Failure> {
    let existing = if args.overwrite { Existing::Replace } else { Existing::Keep };
    let stdin = Path::new("-");
    // Beside the file that it is about or, where none is named, beside the statement.
    let beside = args.file.as_deref().filter(|_| args.hash.is_none()).or(args.statement.as_deref());
    let bundle = match (&args.bundle, beside) {
        (Some(bundle), _) => BundleFile::named(bundle),
        (None, Some(file)) if file != stdin => BundleFile::beside(file, existing),
        (None, _) => {
            return Err(Failure::new(ExitStatus::Usage, "where to? Stdin and digests need --bundle FILE"));
        }
    };
    let read = [&args.file, &args.predicate, &args.statement];
    if read.iter().filter(|path| path.as_deref() == Some(stdin)).count() > 1 {
        return Err(Failure::new(ExitStatus::Usage, "stdin can be read once only"));
    }
    read.into_iter().flatten().try_fold(bundle, |bundle, file| bundle.expect_free(file))
}

/// Everything that can be wrong with it is found before anyone logs in.
fn attestation(args: &Args, printer: Printer) -> Result<Attestation, Failure> {
    if let Some(path) = &args.statement {
        let statement = Attestation::of_statement(read(path)?).map_err(|error| unusable(path, &error))?;
        if let Some(file) = &args.file {
            expect_about(&statement, file, printer)?;
        }
        return Ok(statement);
    }
    let predicate_type = predicate_type(&args.predicate_type)?;
    // Clap has made sure that there is one.
    let path = args.predicate.as_deref().unwrap_or(Path::new("-"));
    let predicate = String::from_utf8(read(path)?).map_err(|error| unusable(path, &error))?;
    let name = args.file.as_deref().map(name).unwrap_or_default();
    let digest = match (&args.hash, &args.file) {
        (Some(hex), _) => sha256(hex)?,
        (None, file) => artifact_digest(file.as_deref().unwrap_or(Path::new("-")), HashAlgorithm::Sha256, printer)?,
    };
    Attestation::of_file(&name, &digest, predicate_type, &predicate).map_err(|error| unusable(path, &error))
}

/// The last part of the path, as cosign names subjects: where a file lies on this machine is nobody's business.
fn name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn sha256(hex: &str) -> Result<Digest, Failure> {
    format!("sha256:{hex}").parse().map_err(|error: DigestTextError| {
        Failure::new(ExitStatus::Usage, "--hash is not a SHA-256 digest in hexadecimal").because(error)
    })
}

/// A statement that is signed beside a file is about the file.
fn expect_about<'a>(attestation: &'a Attestation, file: &Path, printer: Printer) -> Result<&'a Subject, Failure> {
    let statement = attestation.statement();
    let named = |algorithm: &HashAlgorithm| {
        let mut digests = statement.subjects().iter().flat_map(Subject::digests);
        digests.any(|digest| digest.algorithm() == *algorithm)
    };
    let algorithms = HashAlgorithm::ALL.into_iter().filter(named);
    let digests: Vec<Digest> =
        algorithms.map(|algorithm| artifact_digest(file, algorithm, printer)).collect::<Result<_, _>>()?;
    statement.bind(&digests).map_err(|error| {
        let message = format!("the statement is not about {}", file.display());
        Failure::new(ExitStatus::Usage, message).because(error)
    })
}

fn report(args: &Args, signed: &Signed, bundle: &BundleFile, printer: Printer) {
    let identity = &signed.identity;
    let verified = signed.bundle.verified().statement();
    let predicate_type = verified.map(Statement::predicate_type).unwrap_or_default();
    let subject = verified.and_then(|statement| statement.subjects().first());
    let about = match (&args.file, subject) {
        (Some(file), _) if args.hash.is_none() => file.to_string_lossy().into_owned(),
        (_, Some(subject)) => subject.digests().first().map(Digest::to_string).unwrap_or_default(),
        (_, None) => String::new(),
    };
    printer.note(format_args!("Attested {about} as {}: {predicate_type}", identity.san));
    printer.note(format_args!("Wrote bundle to {}", bundle.path().display()));
    printer.note(format_args!(
        "Verify with: touchmark verify-blob-attestation {} --bundle {} --type {} --certificate-identity {} --certificate-oidc-issuer {}{}",
        paths::shell_word(&about),
        paths::shell_word(&bundle.path().to_string_lossy()),
        paths::shell_word(predicate_type),
        paths::shell_word(identity.san.value()),
        paths::shell_word(&identity.issuer),
        args.signing.flags_to_verify(),
    ));
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes_max = STATEMENT_BYTES_MAX as u64;
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        // A byte more than what can be signed, so that too much is refused and not cut.
        io::stdin().lock().take(bytes_max + 1).read_to_end(&mut bytes).map(|_| bytes)
    } else {
        paths::read_limited(path, bytes_max)
    };
    read.map_err(|error| {
        Failure::new(ExitStatus::Unreadable, format!("{} could not be read", path.display())).because(error)
    })
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(ExitStatus::Unreadable, format!("{} cannot be used", path.display())).because(error)
}
