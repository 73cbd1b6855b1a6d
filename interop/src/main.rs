// SPDX-License-Identifier: Apache-2.0
//! A thin command line over the public crates `sigstore-sign`, `sigstore-verify` and `sigstore-tuf`, so that `cargo xtask interop` can drive
//! them like any other client. Trust comes through TUF. Nothing of ours is linked in.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line for the interoperability tests")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use sigstore_sign::crypto::sha256;
use sigstore_sign::oidc::IdentityToken;
use sigstore_sign::trust_root::{SigningConfig, TrustedRoot, TufBootstrap, TufConfig};
use sigstore_sign::{Attestation, SigningContext, SigningServices};
use sigstore_tuf::Updater;
use sigstore_tuf::transport::{FetchFuture, Repository};
use sigstore_verify::types::Bundle;
use sigstore_verify::{IdentityMatcher, VerificationPolicy, Verifier};

const USAGE: &str = "\
touchmark-interop sign   MIRROR ROOT CACHE TOKEN FILE BUNDLE
touchmark-interop attest MIRROR ROOT CACHE TOKEN TYPE PREDICATE BUNDLE FILE
touchmark-interop verify MIRROR ROOT CACHE EMAIL ISSUER FILE BUNDLE
touchmark-interop walk   REPOSITORY ROOT CACHE";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["sign", mirror, root, cache, token, file, bundle] => {
            let config = SigningConfig::from_tuf(tuf(mirror, root, cache)?).await.context("signing config")?;
            let services = SigningServices::from_signing_config(&config).context("services")?;
            let token = IdentityToken::from_jwt(token).context("token")?;
            let artifact = std::fs::read(file).context("artifact")?;
            let signed = SigningContext::new(services).signer(token).sign(artifact.as_slice()).await.context("sign")?;
            std::fs::write(bundle, signed.to_json_pretty()?).context("write bundle")
        }
        ["attest", mirror, root, cache, token, predicate_type, predicate, bundle, file] => {
            let config = SigningConfig::from_tuf(tuf(mirror, root, cache)?).await.context("signing config")?;
            let services = SigningServices::from_signing_config(&config).context("services")?;
            let token = IdentityToken::from_jwt(token).context("token")?;
            let predicate = std::fs::read(predicate).context("predicate")?;
            let predicate = serde_json::from_slice(&predicate).context("predicate")?;
            let digest = sha256(&std::fs::read(file).context("artifact")?);
            let attestation = Attestation::new(*predicate_type, predicate).add_subject("artifact", digest);
            let signer = SigningContext::new(services).signer(token);
            let signed = signer.sign_attestation(attestation).await.context("attest")?;
            std::fs::write(bundle, signed.to_json_pretty()?).context("write bundle")
        }
        ["verify", mirror, root, cache, email, issuer, file, bundle] => {
            let trusted = TrustedRoot::from_tuf(tuf(mirror, root, cache)?).await.context("trusted root")?;
            let parsed = Bundle::from_json(&std::fs::read_to_string(bundle).context("bundle")?).context("bundle")?;
            let artifact = std::fs::read(file).context("artifact")?;
            let policy = VerificationPolicy::new(IdentityMatcher::Email((*email).to_owned()), *issuer);
            let result = Verifier::new(&trusted)?.verify(artifact.as_slice(), &parsed, &policy)?;
            println!("verified: {:?}", result.identity());
            Ok(())
        }
        ["walk", repository, root, cache] => walk(repository, root, cache).await,
        _ => bail!("{USAGE}"),
    }
}

fn tuf(mirror: &str, root: &str, cache: &str) -> Result<TufConfig> {
    let root = std::fs::read(root).context("TUF root")?;
    Ok(TufConfig::custom(mirror, TufBootstrap::trusted(root)).with_cache_dir(PathBuf::from(cache)))
}

/// Walks a TUF repository in a directory, as python-tuf and tuf-js do in the scripts of `cargo xtask interop trust`.
async fn walk(repository: &str, root: &str, cache: &str) -> Result<()> {
    let root = std::fs::read(root).context("TUF root")?;
    let mut updater = Updater::new(Directory(PathBuf::from(repository)), &root)?;
    updater.refresh(Timestamp::now()).await.context("refresh")?;
    std::fs::create_dir_all(cache).context("cache")?;
    for name in ["trusted_root.json", "signing_config.v0.2.json", "tools/hello.txt"] {
        let target = updater.get_target(name, Timestamp::now()).await.with_context(|| name.to_owned())?;
        std::fs::write(PathBuf::from(cache).join(name.replace('/', "-")), target).context("cache")?;
        println!("{name}");
    }
    Ok(())
}

/// A mirror on disk: a file that is not there is a file that a server does not have.
struct Directory(PathBuf);

impl Directory {
    fn file(&self, name: &str) -> FetchFuture<'_> {
        let path = self.0.join(name);
        Box::pin(async move { Ok(std::fs::read(path).ok()) })
    }
}

impl Repository for Directory {
    fn fetch_metadata<'a>(&'a self, name: &'a str, _max_length: u64) -> FetchFuture<'a> {
        self.file(name)
    }

    fn fetch_target<'a>(&'a self, path: &'a str, _max_length: u64) -> FetchFuture<'a> {
        self.file(&format!("targets/{path}"))
    }
}
