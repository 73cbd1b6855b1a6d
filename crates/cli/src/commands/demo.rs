// SPDX-License-Identifier: Apache-2.0
//! `touchmark demo`: the whole of Sigstore on one screen, on this machine alone.
//!
//! It starts a real instance in a temporary directory on free ports, signs a real file, verifies it from the trust root, changes one
//! byte, and shows the refusal. It is a test too: any step that does not end as told makes it fail.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use touchmark_client::artifact;
use touchmark_client::identity::IdentityToken;
use touchmark_client::sign::{Signing, Subject, certify, sign};
use touchmark_client::trust::TrustStore;
use touchmark_keys::{Digest, HashAlgorithm};
use touchmark_outbound::{Outbound, Reach};
use touchmark_server::UpOptions;
use touchmark_sigstore::bundle::Bundle;
use touchmark_sigstore::policy::{IdentityMatcher, Matcher, Policy};
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_sigstore::verify::{Artifact, Check, Verified, VerifyError, verify};
use url::Url;

use super::up::server_failure;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::hashing::artifact_digest;
use crate::printer::Printer;
use crate::verifying::report::details;

/// Who the demonstration pretends to be, and who it does not.
const ALICE: &str = "alice@example.com";
const MALLORY: &str = "mallory@example.com";
/// The checks of what is signed here.
const SHOWN: [Check; 7] =
    [Check::Time, Check::Chain, Check::Sct, Check::Identity, Check::Artifact, Check::Log, Check::Signature];
/// What is signed where no file is named.
const TEXT: &str = "Every mark was also struck on the touch plate.\n";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File to sign; without one, a short text
    file: Option<PathBuf>,
}

pub(super) fn run(args: Args, printer: Printer) -> Result<(), Failure> {
    let unusable = |error: io::Error| Failure::from_error(ExitStatus::Unreadable, &error);
    let directory = tempfile::Builder::new().prefix("touchmark-demo-").tempdir().map_err(unusable)?;
    let (name, file) = match args.file {
        Some(path) => (path.display().to_string(), path),
        None => {
            let path = directory.path().join("text");
            std::fs::write(&path, TEXT).map_err(unusable)?;
            ("a short text".to_owned(), path)
        }
    };
    let artifact = artifact_digest(&file, HashAlgorithm::Sha256, printer)?;
    let tampered = one_byte_changed(&file).map_err(unusable)?;
    super::block_on_all_cores(show(directory.path(), Files { name, artifact, tampered }, printer))
}

/// The file under demonstration, and its twin in which one byte is another.
struct Files {
    name: String,
    artifact: Digest,
    tampered: Digest,
}

/// The digest of the file with its first byte changed; an empty file gets a byte.
fn one_byte_changed(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut first = Vec::new();
    file.by_ref().take(1).read_to_end(&mut first)?;
    let changed = [first.first().map_or(0, |byte| byte ^ 1)];
    artifact::digest(HashAlgorithm::Sha256, changed.chain(file), |_| {})
}

async fn show(directory: &Path, files: Files, printer: Printer) -> Result<(), Failure> {
    let data_dir = directory.join("data");
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    printer.heading("1. A whole Sigstore starts on this machine");
    printer.note(
        "   Keys, certificate authority, two transparency logs, timestamp authority, trust root, issuer: all new, in",
    );
    printer.note("   a temporary directory, reachable from this machine alone.");
    let options = UpOptions {
        data_dir: data_dir.clone(),
        listen: any_port,
        metrics_listen: None,
        oidc_listen: Some(any_port),
        witnesses: None,
        evidence_interval: None,
        passphrase: None,
    };
    let running = touchmark_server::up(options).await.map_err(|error| server_failure(&error))?;
    let issuer = running.oidc_issuer().unwrap_or_default();
    printer.note(format_args!("   services {}   issuer {issuer}", running.url()));

    let demonstration = Demonstration { directory, data_dir: &data_dir, files, issuer: &issuer, printer };
    let outcome = sign_and_verify(&demonstration, &running.url()).await;
    running.shutdown().await;
    outcome
}

/// What the steps share.
struct Demonstration<'a> {
    directory: &'a Path,
    data_dir: &'a Path,
    files: Files,
    issuer: &'a str,
    printer: Printer,
}

async fn sign_and_verify(demo: &Demonstration<'_>, url: &str) -> Result<(), Failure> {
    let (bundle, trusted_root) = demo.sign(url).await?;
    let judge = |artifact: &Digest, identity: &str| demo.judge(artifact, identity, &bundle, &trusted_root);

    demo.printer.heading("3. Anyone verifies it, offline, from the trust root alone");
    let verified =
        judge(&demo.files.artifact, ALICE)?.map_err(|error| Failure::from_error(ExitStatus::Internal, &error))?;
    for (check, detail) in details(&verified, &SHOWN) {
        demo.printer.passed(check, detail);
    }

    demo.printer.heading("4. One byte of the file is changed");
    demo.expect_refusal(judge(&demo.files.tampered, ALICE)?, Check::Artifact)?;

    demo.printer.heading(format_args!("5. The file is as it was, but {MALLORY} is expected to have signed it"));
    demo.expect_refusal(judge(&demo.files.artifact, MALLORY)?, Check::Identity)?;

    demo.printer.heading("Signed, verified, and both forgeries refused.");
    demo.printer
        .note("Run `touchmark up` for an instance that stays; it prints how to point each Sigstore client at it.");
    Ok(())
}

impl Demonstration<'_> {
    async fn sign(&self, url: &str) -> Result<(Bundle, TrustedRoot), Failure> {
        let printer = self.printer;
        printer.heading(format_args!("2. {ALICE} signs {}", self.files.name));
        let outbound = Outbound::new(concat!("touchmark/", env!("CARGO_PKG_VERSION")), Reach::Private, None);
        let mirror =
            Url::parse(&format!("{url}/tuf")).map_err(|error| Failure::from_error(ExitStatus::Internal, &error))?;
        let root = std::fs::read(self.data_dir.join("client/root.json"))
            .map_err(|error| Failure::from_error(ExitStatus::Unreadable, &error))?;
        let store = TrustStore::at(self.directory.join("trust"));
        let mut repository = store.initialize(&mirror, &root, &outbound, Timestamp::now()).await?;
        let trusted_root = repository.trusted_root().await?;
        let services = repository
            .signing_config()
            .await?
            .select(Timestamp::now())
            .map_err(|error| Failure::from_error(ExitStatus::TrustRoot, &error))?;
        printer.note("   The trust root came through TUF, checked from the pinned root file.");

        let token = touchmark_server::try_out_token(self.data_dir, ALICE, None)
            .await
            .map_err(|error| server_failure(&error))?;
        let token = IdentityToken::parse(&token)?;
        printer.note(format_args!("   An identity token says who is there: {ALICE}, says {}.", self.issuer));
        let signing = Signing { outbound: &outbound, trusted_root: &trusted_root, services: &services };
        let credential = certify(&signing, &token).await?;
        printer.note(
            "   A key is made in memory; the authority certifies it for ten minutes and publishes the certificate in",
        );
        printer.note("   the CT log first.");
        let signed = sign(&signing, &credential, Subject::Artifact(&self.files.artifact)).await?;
        drop(credential);
        printer.note(
            "   The file's digest is signed, timestamped and logged, every reply is checked, and the key is wiped.",
        );
        let bundle = Bundle::parse(&signed.bundle().to_json())
            .map_err(|error| Failure::from_error(ExitStatus::Internal, &error))?;
        Ok((bundle, trusted_root))
    }

    fn judge(
        &self,
        artifact: &Digest,
        identity: &str,
        bundle: &Bundle,
        trusted_root: &TrustedRoot,
    ) -> Result<Result<Verified, VerifyError>, Failure> {
        let unusable = |error| Failure::from_error(ExitStatus::Internal, &error);
        let policy = Policy::keyless(
            IdentityMatcher::exact(identity).map_err(unusable)?,
            Matcher::exact(self.issuer).map_err(unusable)?,
        );
        Ok(verify(&Artifact::from(artifact.clone()), bundle, trusted_root, &policy, Timestamp::now()))
    }

    fn expect_refusal(&self, verdict: Result<Verified, VerifyError>, by: Check) -> Result<(), Failure> {
        match verdict {
            Err(error) if error.check() == by => {
                self.printer.refused(error.check());
                self.printer.note(format_args!("      expected: {}", error.expected()));
                self.printer.note(format_args!("      found:    {}", error.found()));
                Ok(())
            }
            Err(error) => {
                Err(Failure::from_error(ExitStatus::Internal, &error)
                    .hint("another check than this one was to refuse it"))
            }
            Ok(_) => Err(Failure::new(ExitStatus::Internal, "a forgery was accepted")),
        }
    }
}
