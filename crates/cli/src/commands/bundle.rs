// SPDX-License-Identifier: Apache-2.0
//! `touchmark bundle upgrade`: a bundle of today's form, made of what older clients and registries left. Pure and offline.
//!
//! Nothing is verified and nothing fetched: what the result still lacks is said, and whether it is good is for `verify-blob` to say.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use touchmark_keys::{Digest, HashAlgorithm};
use touchmark_sigstore::bundle::convert::{
    self, ConvertError, Converted, Detached, INPUT_BYTES_MAX, InputFormat, from_cosign_bundle, from_detached,
};
use touchmark_sigstore::bundle::{Bundle, BundleError, Content, KeyMaterial};
use touchmark_sigstore::rekor::LogEntry;

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::hashing::artifact_digest;
use crate::paths;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a bundle of a detached signature, of an older bundle, or of what a registry hands out
    Upgrade(UpgradeArgs),
}

#[derive(Debug, clap::Args)]
struct UpgradeArgs {
    /// A bundle of an older version or of cosign 1 and 2, or attestations of PyPI, npm or GitHub
    #[arg(value_name = "OLD_BUNDLE", conflicts_with_all = ["signature", "certificate", "key"])]
    old: Option<PathBuf>,
    /// The signature, raw or in base64, or a DSSE envelope
    #[arg(long, alias = "attestation", value_name = "FILE", required_unless_present = "old")]
    signature: Option<PathBuf>,
    /// The signer's certificate, with or without its chain (PEM, or base64 of it)
    #[arg(long, alias = "cert", value_name = "FILE", conflicts_with = "key")]
    certificate: Option<PathBuf>,
    /// The signer's public key (PEM); it does not become part of the bundle
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The reply of a timestamp authority, DER or as cosign wrote it; repeatable
    #[arg(long, value_name = "FILE")]
    rfc3161_timestamp: Vec<PathBuf>,
    /// The entry of the log, as its API answers: it brings the proof that older bundles lack
    #[arg(long, value_name = "FILE")]
    rekor_entry: Option<PathBuf>,
    /// The file that was signed: the bundle then names its digest
    #[arg(long, value_name = "FILE")]
    artifact: Option<PathBuf>,
    /// Where to write the bundle [default: stdout]
    #[arg(long, alias = "out", value_name = "FILE")]
    output_file: Option<PathBuf>,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let Command::Upgrade(args) = &args.command;
    upgrade(args, printer)
}

fn upgrade(args: &UpgradeArgs, printer: Printer) -> Result<(), Failure> {
    let bundles = match &args.old {
        Some(old) => of_old(args, old, printer)?,
        None => vec![of_detached(args, printer)?],
    };
    let mut lines = Vec::new();
    for upgraded in &bundles {
        lines.extend_from_slice(&upgraded.json);
        lines.push(b'\n');
        lacks(&upgraded.bundle).into_iter().for_each(|lack| printer.warning(lack));
    }
    match &args.output_file {
        None => printer.raw(&lines),
        Some(path) => std::fs::write(path, lines).map_err(|error| {
            Failure::new(ExitStatus::Unreadable, format!("{} could not be written", path.display())).because(error)
        })?,
    }
    Ok(())
}

/// A bundle, and how it is written.
struct Upgraded {
    json: Vec<u8>,
    bundle: Bundle,
}

impl From<Converted> for Upgraded {
    fn from(converted: Converted) -> Self {
        Self { json: converted.json().to_vec(), bundle: converted.into_bundle() }
    }
}

impl From<Bundle> for Upgraded {
    fn from(bundle: Bundle) -> Self {
        Self { json: bundle.to_json(), bundle }
    }
}

fn of_detached(args: &UpgradeArgs, printer: Printer) -> Result<Upgraded, Failure> {
    let signature = args.signature.as_deref().expect("clap demands a signature or an old bundle");
    let files = Files::read(args, printer)?;
    let (signature, verifier) = (read(signature)?, args.certificate.as_deref().or(args.key.as_deref()));
    let verifier = verifier.map(read).transpose()?;
    let timestamps: Vec<&[u8]> = files.timestamps.iter().map(Vec::as_slice).collect();
    let detached = Detached {
        signature: &signature,
        verifier: verifier.as_deref(),
        timestamps: &timestamps,
        entry: files.entry.as_deref(),
        digest: files.digest.as_ref(),
    };
    from_detached(&detached).map(Upgraded::from).map_err(|error| unusable(&error))
}

fn of_old(args: &UpgradeArgs, old: &Path, printer: Printer) -> Result<Vec<Upgraded>, Failure> {
    let (input, files) = (read(old)?, Files::read(args, printer)?);
    if convert::detect(&input) == InputFormat::CosignBundle {
        let converted = from_cosign_bundle(&input, files.entry.as_deref()).map_err(|error| unusable(&error))?;
        return Ok(vec![files.added_to(converted)?]);
    }
    let converted = convert::bundles(&input).map_err(|error| unusable(&error))?;
    let converted: Vec<Converted> =
        converted.into_iter().collect::<Result<_, _>>().map_err(|error| unusable(&error))?;
    if converted.len() != 1 && files.is_any() {
        return Err(Failure::new(ExitStatus::Usage, "which of several bundles do the other files belong to?"));
    }
    converted
        .into_iter()
        .map(|converted| if files.entry.is_some() { files.completed(&converted) } else { files.added_to(converted) })
        .collect()
}

/// What belongs to a signature and lies beside it.
struct Files {
    timestamps: Vec<Vec<u8>>,
    entry: Option<Vec<u8>>,
    digest: Option<Digest>,
}

impl Files {
    fn read(args: &UpgradeArgs, printer: Printer) -> Result<Self, Failure> {
        let digest = |path: &PathBuf| artifact_digest(path, HashAlgorithm::Sha256, printer);
        Ok(Self {
            timestamps: args.rfc3161_timestamp.iter().map(|path| read(path)).collect::<Result<_, _>>()?,
            entry: args.rekor_entry.as_deref().map(read).transpose()?,
            digest: args.artifact.as_ref().map(digest).transpose()?,
        })
    }

    fn is_any(&self) -> bool {
        !self.timestamps.is_empty() || self.entry.is_some() || self.digest.is_some()
    }

    /// The bundle with the log's reply in the place of its entries.
    fn completed(&self, converted: &Converted) -> Result<Upgraded, Failure> {
        let bundle = converted.bundle();
        let signature = match bundle.content() {
            Content::Message { signature, .. } => signature.clone(),
            Content::Envelope(envelope) => envelope.to_wire().to_json(),
        };
        let certificate = bundle.certificate().map(|certificate| certificate.to_pem().into_bytes());
        let own = bundle.timestamps().iter().map(Vec::as_slice);
        let timestamps: Vec<&[u8]> = own.chain(self.timestamps.iter().map(Vec::as_slice)).collect();
        let named = match bundle.content() {
            Content::Message { digest, .. } => digest.as_ref(),
            Content::Envelope(_) => None,
        };
        let detached = Detached {
            signature: &signature,
            verifier: certificate.as_deref(),
            timestamps: &timestamps,
            entry: self.entry.as_deref(),
            digest: self.digest.as_ref().or(named),
        };
        from_detached(&detached).map(Upgraded::from).map_err(|error| unusable(&error))
    }

    /// The bundle in version 0.3, with further timestamps and the digest. One whose entry has a promise alone stays what it is.
    fn added_to(&self, converted: Converted) -> Result<Upgraded, Failure> {
        let unproved = converted.bundle().entries().iter().any(|entry| entry.inclusion().is_none());
        if unproved && self.timestamps.is_empty() && self.digest.is_none() {
            return Ok(converted.into());
        }
        let bundle = converted.into_bundle();
        let content = match (bundle.content().clone(), &self.digest) {
            (Content::Message { signature, .. }, Some(digest)) => {
                Content::Message { digest: Some(digest.clone()), signature }
            }
            (content, _) => content,
        };
        let timestamps = bundle.timestamps().iter().chain(&self.timestamps).cloned().collect();
        let entries = bundle.entries().iter().map(LogEntry::to_wire).collect();
        let added = Bundle::new(bundle.key_material().clone(), content, timestamps, entries);
        added.map(Upgraded::from).map_err(|error: BundleError| {
            let failure = Failure::new(ExitStatus::Unreadable, "the parts make no bundle").because(&error);
            if unproved { failure.hint("the log's proof is missing: --rekor-entry FILE") } else { failure }
        })
    }
}

/// What a verifier will miss.
fn lacks(bundle: &Bundle) -> Vec<&'static str> {
    let mut lacks = Vec::new();
    let entries = bundle.entries();
    if entries.is_empty() {
        lacks.push(
            "the bundle has no log entry: --rekor-entry FILE adds one; without it --insecure-ignore-tlog is needed",
        );
    }
    if entries.iter().any(|entry| entry.inclusion().is_none()) {
        lacks.push(
            "the log promised the entry and did not prove it: --rekor-entry FILE brings the proof; without it \
             --insecure-accept-unproven-entries is needed",
        );
    }
    let is_certified = matches!(bundle.key_material(), KeyMaterial::Certificate(_));
    let has_time = !bundle.timestamps().is_empty() || entries.iter().any(|entry| entry.promise().is_some());
    if is_certified && !has_time {
        lacks.push("nobody says when it was signed: --rfc3161-timestamp FILE adds a timestamp");
    }
    if !is_certified {
        lacks.push("the public key is not part of the bundle: give it to the verifier with --key FILE");
    }
    lacks
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    paths::read_limited(path, INPUT_BYTES_MAX as u64).map_err(|error| {
        Failure::new(ExitStatus::Unreadable, format!("{} could not be read", path.display())).because(error)
    })
}

fn unusable(error: &ConvertError) -> Failure {
    let failure = Failure::new(ExitStatus::Unreadable, "the parts make no bundle").because(error);
    match error {
        ConvertError::Format { .. } => failure.hint("parts of a detached signature have a flag each: see --help"),
        ConvertError::Missing { member: "certificate or public key" } => failure.hint("name --certificate or --key"),
        _ => failure,
    }
}
