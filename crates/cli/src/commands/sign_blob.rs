// SPDX-License-Identifier: Apache-2.0
//! `touchmark sign-blob`: sign files, keyless, and write a bundle for each.
//!
//! The flags are cosign's. What is different: several files share one login and one certificate, `--bundle` has a default
//! (`FILE.sigstore.json`, never overwritten unasked), and nothing is written that does not verify.

use std::path::{Path, PathBuf};

use touchmark_client::sign::Subject;
use touchmark_keys::{Digest, HashAlgorithm};

use crate::bundle_file::{BundleFile, Existing};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::hashing::artifact_digest;
use crate::paths;
use crate::printer::Printer;
use crate::signing::{Signed, SigningArgs};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files to sign; `-` is stdin and needs --bundle
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to write the bundle, replacing what is there [default: FILE.sigstore.json]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Replace existing bundles at the default place
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    signing: SigningArgs,
}

/// One file and where its bundle goes.
struct Job {
    file: PathBuf,
    digest: Digest,
    bundle: BundleFile,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let jobs = jobs(args, printer)?;
    super::block_on(async {
        let mut session = args.signing.log_in(printer).await?;
        for job in &jobs {
            let spinner = printer.spinner(format!("signing {}", job.file.display()));
            let signed = session.sign(Subject::Artifact(&job.digest)).await;
            spinner.finish_and_clear();
            finish(job, &signed?, &args.signing, printer)?;
        }
        Ok(())
    })
}

/// Everything that can be wrong with files is found before anyone logs in.
fn jobs(args: &Args, printer: Printer) -> Result<Vec<Job>, Failure> {
    let usage = |message: &str| Failure::new(ExitStatus::Usage, message);
    if args.bundle.is_some() && args.files.len() > 1 {
        return Err(usage("--bundle names one file, and there are several to sign")
            .hint("without --bundle each file gets its own FILE.sigstore.json"));
    }
    args.signing.expect_online()?;
    let mut jobs = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let bundle = match &args.bundle {
            Some(bundle) => BundleFile::named(bundle),
            None if file == Path::new("-") => return Err(usage("signing stdin needs --bundle FILE")),
            None if args.overwrite => BundleFile::beside(file, Existing::Replace),
            None => BundleFile::beside(file, Existing::Keep),
        };
        let bundle = bundle.expect_free(file)?;
        if jobs.iter().any(|job: &Job| paths::is_same(&job.file, file)) {
            return Err(usage(&format!("{} is named twice", file.display())));
        }
        let digest = signable_digest(file, printer)?;
        jobs.push(Job { file: file.clone(), digest, bundle });
    }
    Ok(jobs)
}

/// The digest of a file that a signature may be over. The encoding of an envelope is none: in a log of digests its signature is an
/// attestation, which whoever handed in the file could claim of us.
fn signable_digest(file: &Path, printer: Printer) -> Result<Digest, Failure> {
    // A file that cannot be read is told below.
    let head = paths::head(file, ENVELOPE_START.len() as u64).unwrap_or_default();
    if head == ENVELOPE_START {
        return Err(Failure::new(
            ExitStatus::Refused,
            format!("{} is the encoding of a DSSE envelope", file.display()),
        )
        .hint("its signature would pass for an attestation of yours: `touchmark attest-blob` makes attestations"));
    }
    artifact_digest(file, HashAlgorithm::Sha256, printer)
}

/// How the bytes begin that an envelope's signature is over (DSSE protocol, "PAE").
const ENVELOPE_START: &[u8] = b"DSSEv1 ";

fn finish(job: &Job, signed: &Signed, signing: &SigningArgs, printer: Printer) -> Result<(), Failure> {
    job.bundle.write(&signed.bundle.bundle().to_json())?;
    let identity = &signed.identity;
    printer.note(format_args!("Signed {} as {}", job.file.display(), identity.san));
    printer.note(format_args!("Wrote bundle to {}", job.bundle.path().display()));
    printer.note(format_args!(
        "Verify with: touchmark verify-blob {} --bundle {} --certificate-identity {} --certificate-oidc-issuer {}{}",
        paths::shell_word(&job.file.to_string_lossy()),
        paths::shell_word(&job.bundle.path().to_string_lossy()),
        paths::shell_word(identity.san.value()),
        paths::shell_word(&identity.issuer),
        signing.flags_to_verify(),
    ));
    Ok(())
}
