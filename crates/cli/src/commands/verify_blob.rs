// SPDX-License-Identifier: Apache-2.0
//! `touchmark verify-blob`: is this file signed, by whom we expect, as the trust root demands?
//!
//! With `--trusted-root` nothing but files is read: no run time is started and no HTTP client made. The verdict names each check,
//! as text on stderr or as JSON on stdout (module [`crate::verdict`]).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::ArgGroup;
use jiff::Timestamp;
use touchmark_keys::{Digest, HashAlgorithm};
use touchmark_sigstore::bundle::Bundle;
use touchmark_sigstore::policy::{IdentityMatcher, Matcher, MatcherError, Policy};
use touchmark_sigstore::verify::{Artifact, digest_algorithms, verify};
use touchmark_sigstore::wire::BUNDLE_BYTES_MAX;

use super::AlwaysOn;
use super::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::hashing::artifact_digest;
use crate::paths;
use crate::printer::Printer;
use crate::trust::TrustArgs;
use crate::verdict::{Subject, Verdict};

#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("identity").required(true).args(["certificate_identity", "certificate_identity_regexp"]),
    group = ArgGroup::new("issuer").required(true).args(["certificate_oidc_issuer", "certificate_oidc_issuer_regexp"]),
)]
pub(super) struct Args {
    /// File to verify, `-` for stdin, or sha256:HEX (sha384, sha512) for a digest alone
    file: PathBuf,
    /// The bundle [default: FILE.sigstore.json]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Who must have signed: an e-mail address or URI, exactly as in the certificate
    #[arg(long, value_name = "IDENTITY")]
    certificate_identity: Option<String>,
    /// Who must have signed, as a regular expression over the whole identity
    #[arg(long, value_name = "REGEXP")]
    certificate_identity_regexp: Option<String>,
    /// The issuer that must have vouched for them
    #[arg(long, value_name = "URL")]
    certificate_oidc_issuer: Option<String>,
    /// The issuer, as a regular expression over the whole URL
    #[arg(long, value_name = "REGEXP")]
    certificate_oidc_issuer_regexp: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
    /// How to print the verdict
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    _cosign_defaults: CosignDefaults,
}

#[derive(Debug, clap::Args)]
struct CosignDefaults {
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    new_bundle_format: Option<AlwaysOn>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    use_signed_timestamps: Option<AlwaysOn>,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let mut subject = Subject::new(&args.file);
    let verdict = match judge(args, &mut subject, printer) {
        Ok(verdict) => verdict,
        Err(failure) => Verdict::not_reached(failure),
    };
    match args.output {
        Output::Text => verdict.print_text(&subject, printer),
        Output::Json => printer.result(verdict.to_json(&subject)),
    }
    match (verdict.into_failure(), args.output) {
        (None, _) => Ok(()),
        (Some(failure), Output::Text) => Err(failure),
        (Some(failure), Output::Json) => Err(failure.reported()),
    }
}

/// Reads everything, then verifies: the first part can fail for reasons that are no verdict.
fn judge(args: &Args, subject: &mut Subject, printer: Printer) -> Result<Verdict, Failure> {
    let policy = policy(args)?;
    let bundle_path = bundle_path(args)?;
    subject.bundle = Some(bundle_path.clone());
    let bytes =
        if args.bundle.is_some() { read_bundle(&bundle_path) } else { read_bundle_beside(&args.file, &bundle_path) }?;
    // The key of the signer decides how the file is hashed.
    let bundle = match Bundle::parse(&bytes) {
        Ok(bundle) => bundle,
        Err(error) => return Ok(Verdict::unreadable_bundle(&bundle_path, &error)),
    };
    let algorithm = digest_algorithms(&bundle, &policy).first().copied().unwrap_or(HashAlgorithm::Sha256);
    let digest = digest(&args.file, algorithm, printer)?;
    subject.digest = Some(digest.clone());
    let trusted_root = args.trust.for_verifying(printer)?;
    let verified = verify(&Artifact::from(digest), &bundle, &trusted_root, &policy, Timestamp::now());
    Ok(Verdict::from(verified))
}

fn policy(args: &Args) -> Result<Policy, Failure> {
    let invalid = |error: MatcherError| Failure::from_error(ExitStatus::Usage, &error);
    let identity = match (&args.certificate_identity, &args.certificate_identity_regexp) {
        (Some(text), _) => IdentityMatcher::exact(text).map_err(invalid)?,
        (None, regexp) => IdentityMatcher::of_any_type(pattern(regexp.as_deref())?),
    };
    let issuer = match (&args.certificate_oidc_issuer, &args.certificate_oidc_issuer_regexp) {
        (Some(text), _) => Matcher::exact(text).map_err(invalid)?,
        (None, regexp) => pattern(regexp.as_deref())?,
    };
    Ok(Policy::keyless(identity, issuer))
}

/// Clap has made sure that one of each pair is there; an empty expression is refused by the policy.
fn pattern(regexp: Option<&str>) -> Result<Matcher, Failure> {
    Matcher::pattern(regexp.unwrap_or_default()).map_err(|error| {
        Failure::from_error(ExitStatus::Usage, &error)
            .hint("the expression has to match the whole text: `.*@example\\.com`, not `@example\\.com`")
    })
}

fn bundle_path(args: &Args) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.bundle {
        return Ok(path.clone());
    }
    if args.file == Path::new("-") || digest_argument(&args.file).is_some() {
        return Err(Failure::new(ExitStatus::Usage, "which bundle? stdin and digests need --bundle FILE"));
    }
    Ok(paths::default_bundle(&args.file))
}

/// Nobody named this file, so it may have come with the artifact: nothing but a regular file is opened, for a pipe could wait for ever.
fn read_bundle_beside(file: &Path, path: &Path) -> Result<Vec<u8>, Failure> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => {
            Err(Failure::new(ExitStatus::Unreadable, format!("{} is not a regular file", path.display()))
                .hint("name the bundle with --bundle"))
        }
        // A name that was mistyped is no unsigned file.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::metadata(file).map_err(|error| unreadable(file, error))?;
            let failure = read_bundle(path);
            if file.to_string_lossy().ends_with(".sigstore.json") {
                return failure.map_err(|failure| failure.hint("FILE is what was signed, not its bundle"));
            }
            failure
        }
        _ => read_bundle(path),
    }
}

fn read_bundle(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(BUNDLE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Failure::new(ExitStatus::NotSigned, format!("there is no bundle {}", path.display()))
                .hint("the file is not signed, or its bundle is elsewhere: name it with --bundle"))
        }
        Err(error) => Err(unreadable(path, error)),
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(ExitStatus::Unreadable, format!("{} could not be read", path.display())).because(error)
}

fn digest(file: &Path, algorithm: HashAlgorithm, printer: Printer) -> Result<Digest, Failure> {
    match digest_argument(file) {
        Some(digest) if digest.algorithm() == algorithm => Ok(digest),
        Some(_) => Err(Failure::new(ExitStatus::Usage, "the signature covers a digest of another kind")
            .hint(format!("name the file, or {}:HEX", algorithm.prefix()))),
        None => artifact_digest(file, algorithm, printer),
    }
}

/// `sha256:HEX`, as in cosign, and so on. A file of that name would have to be called `./sha256:…`.
fn digest_argument(file: &Path) -> Option<Digest> {
    file.to_str()?.parse().ok()
}
