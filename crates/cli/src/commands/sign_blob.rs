// SPDX-License-Identifier: Apache-2.0
//! `touchmark sign-blob`: sign files, keyless, and write a bundle for each.
//!
//! The flags are cosign's. What is different: several files share one login and one certificate, `--bundle` has a default
//! (`FILE.sigstore.json`, never overwritten unasked), and nothing is written that does not verify.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use touchmark_client::identity::{IdentityToken, browser};
use touchmark_client::sign::{Credential, SignedBundle, Signing, certify, sign_blob};
use touchmark_client::trust::{Freshness, read_signing_config, read_trusted_root};
use touchmark_keys::{Digest, HashAlgorithm};
use touchmark_outbound::Outbound;
use touchmark_sigstore::trust::{Services, SigningConfig, TrustedRoot};

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::hashing::artifact_digest;
use crate::printer::Printer;
use crate::trust::{TrustArgs, open};
use crate::verifying::AlwaysOn;
use crate::{env_vars, paths};

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
    identity: IdentityArgs,
    /// Signing config file; without it that of the initialised TUF repository is used
    #[arg(long, value_name = "FILE")]
    signing_config: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// Do not ask before the signature is published
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    _cosign_defaults: CosignDefaults,
}

#[derive(Debug, clap::Args)]
struct CosignDefaults {
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    new_bundle_format: Option<AlwaysOn>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    use_signing_config: Option<AlwaysOn>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tlog_upload: Option<AlwaysOn>,
}

#[derive(Debug, clap::Args)]
struct IdentityArgs {
    /// Identity token, or a file that holds one; without it a browser login is started
    #[arg(long, value_name = "TOKEN|FILE", env = env_vars::SIGSTORE_ID_TOKEN, hide_env_values = true)]
    identity_token: Option<String>,
    /// OpenID Connect issuer to log in at [default: the signing config's]
    #[arg(long, value_name = "URL")]
    oidc_issuer: Option<String>,
    /// OAuth client id to log in with
    #[arg(long, value_name = "ID", default_value = "sigstore")]
    oidc_client_id: String,
}

/// One file and where its bundle goes.
struct Job {
    file: PathBuf,
    digest: Digest,
    bundle: PathBuf,
    existing: Existing,
}

/// What to do with a bundle that is already there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Keep,
    /// The file itself or a link in its place, never what a link leads to.
    Replace,
    /// Named by the user: what is no regular file (`/dev/stdout`, a link, a pipe) is written to as it is.
    WriteTo,
}

pub(super) fn run(args: Args, printer: Printer) -> Result<(), Failure> {
    let jobs = jobs(&args, printer)?;
    super::block_on(async {
        let outbound = args.trust.store.outbound()?;
        let (trusted_root, signing_config) = trust(&args, &outbound, printer).await?;
        let services = select(&signing_config)?;
        let token = token(&args, &services, &outbound, printer).await?;
        let signing = Signing { outbound: &outbound, trusted_root: &trusted_root, services: &services };
        let mut credential: Option<Credential> = None;
        for job in &jobs {
            let usable = credential.take().filter(|credential| credential.is_usable_at(Timestamp::now()));
            let current = match usable {
                Some(credential) => credential,
                None => certify(&signing, &token).await?,
            };
            let spinner = printer.spinner(format!("signing {}", job.file.display()));
            let signed = sign_blob(&signing, &current, &job.digest).await;
            spinner.finish_and_clear();
            finish(job, &signed?, &current, printer)?;
            credential = Some(current);
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
    if args.trust.offline {
        return Err(usage("signing needs the network: --offline is for verifying"));
    }
    let mut jobs = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let (bundle, existing) = match &args.bundle {
            Some(bundle) => (bundle.clone(), Existing::WriteTo),
            None if file == Path::new("-") => return Err(usage("signing stdin needs --bundle FILE")),
            None if args.overwrite => (paths::default_bundle(file), Existing::Replace),
            None => (paths::default_bundle(file), Existing::Keep),
        };
        if existing == Existing::Keep && bundle.exists() {
            return Err(usage(&format!("{} is already there", bundle.display()))
                .hint("--overwrite replaces it; --bundle FILE writes another one"));
        }
        if is_same(&bundle, file) {
            return Err(usage(&format!("the bundle would replace {} itself", file.display())));
        }
        if jobs.iter().any(|job: &Job| is_same(&job.file, file)) {
            return Err(usage(&format!("{} is named twice", file.display())));
        }
        let digest = artifact_digest(file, HashAlgorithm::Sha256, printer)?;
        jobs.push(Job { file: file.clone(), digest, bundle, existing });
    }
    Ok(jobs)
}

/// Whether both paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// From files where they are named, else from TUF; TUF is not touched when both are.
async fn trust(args: &Args, outbound: &Outbound, printer: Printer) -> Result<(TrustedRoot, SigningConfig), Failure> {
    if let (Some(root), Some(config)) = (&args.trust.trusted_root, &args.signing_config) {
        return Ok((read_trusted_root(root)?, read_signing_config(config)?));
    }
    let store = args.trust.store.store()?;
    let mut repository = open(&store, Freshness::Refresh(outbound), printer).await?;
    let trusted_root = match &args.trust.trusted_root {
        Some(path) => read_trusted_root(path)?,
        None => repository.trusted_root().await?,
    };
    let signing_config = match &args.signing_config {
        Some(path) => read_signing_config(path)?,
        None => repository.signing_config().await?,
    };
    Ok((trusted_root, signing_config))
}

fn select(config: &SigningConfig) -> Result<Services, Failure> {
    config.select(Timestamp::now()).map_err(|error| {
        Failure::from_error(ExitStatus::TrustRoot, &error).hint("the signing config does not offer what signing needs")
    })
}

/// The token that was given, or one from a login if somebody is there to log in.
async fn token(
    args: &Args,
    services: &Services,
    outbound: &Outbound,
    printer: Printer,
) -> Result<IdentityToken, Failure> {
    // CI systems set variables to nothing rather than not at all.
    if let Some(argument) = args.identity.identity_token.as_deref().filter(|text| !text.trim().is_empty()) {
        return Ok(IdentityToken::from_argument(argument)?);
    }
    let in_ci = std::env::var_os(env_vars::CI).is_some_and(|value| !value.is_empty() && value != "false");
    if in_ci || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::new(ExitStatus::Usage, "no identity token, and nobody at a terminal to log in")
            .hint(format!("pass --identity-token, or set {}", env_vars::SIGSTORE_ID_TOKEN))
            .hint("for the try-out issuer of `touchmark up`: --identity-token \"$(touchmark token --email alice@example.com)\""));
    }
    let issuer =
        args.identity.oidc_issuer.as_deref().or(services.oidc.as_ref().map(|service| service.url())).ok_or_else(
            || {
                Failure::new(ExitStatus::Usage, "the signing config names no issuer to log in at")
                    .hint("pass --oidc-issuer URL")
            },
        )?;
    if !args.yes && !confirm(printer) {
        return Err(Failure::new(ExitStatus::Usage, "not signed, as you asked"));
    }
    let login = browser::login(outbound, issuer, &args.identity.oidc_client_id, |url| {
        printer.heading("Open this address to log in:");
        printer.command(url);
    });
    Ok(login.await?)
}

/// A published identity cannot be taken back: ask, as cosign does.
fn confirm(printer: Printer) -> bool {
    printer.note("Your identity (such as your e-mail address) and this signature will be published in logs that keep them for ever.");
    let _ = write!(std::io::stderr(), "Go on? [y/N] ");
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    matches!(answer.trim(), "y" | "Y" | "yes")
}

fn finish(job: &Job, signed: &SignedBundle, credential: &Credential, printer: Printer) -> Result<(), Failure> {
    write_bundle(job, &signed.bundle().to_json()).map_err(|error| {
        Failure::new(ExitStatus::Unreadable, format!("{} could not be written", job.bundle.display())).because(error)
    })?;
    let identity = credential.issued().identity();
    printer.note(format_args!("Signed {} as {}", job.file.display(), identity.san));
    printer.note(format_args!("Wrote bundle to {}", job.bundle.display()));
    printer.note(format_args!(
        "Verify with: touchmark verify-blob {} --bundle {} --certificate-identity {} --certificate-oidc-issuer {}",
        paths::shell_word(&job.file.to_string_lossy()),
        paths::shell_word(&job.bundle.to_string_lossy()),
        paths::shell_word(identity.san.value()),
        paths::shell_word(&identity.issuer),
    ));
    Ok(())
}

/// Whole or not at all, but for what is no regular file.
fn write_bundle(job: &Job, json: &[u8]) -> std::io::Result<()> {
    let is_special = || job.bundle.symlink_metadata().is_ok_and(|metadata| !metadata.is_file());
    if job.existing == Existing::WriteTo && is_special() {
        return std::fs::write(&job.bundle, json);
    }
    let directory = match job.bundle.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(directory)?;
    file.write_all(json)?;
    match job.existing {
        Existing::Replace | Existing::WriteTo => file.persist(&job.bundle).map(drop).map_err(|error| error.error),
        Existing::Keep => file.persist_noclobber(&job.bundle).map(drop).map_err(|error| error.error),
    }
}
