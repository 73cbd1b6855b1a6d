// SPDX-License-Identifier: Apache-2.0
//! What is compared: each contender verifies one bundle per run, with everything prepared that one trusted root allows.

use anyhow::{Context, Result};
use sigstore_verify::trust_root::TrustedRoot as TheirRoot;
use sigstore_verify::{IdentityMatcher as TheirMatcher, VerificationPolicy, Verifier};
use touchmark_bench::case::{Case, IDENTITY, ISSUER};
use touchmark_sigstore::bundle::Bundle;
use touchmark_sigstore::policy::{IdentityMatcher, Matcher, Policy};
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_sigstore::verify::{Artifact, verify};

use crate::ceiling::Ceiling;

/// As of this day the vectors were taken.
const NOW: &str = "2026-08-26T00:00:00Z";

/// Who may be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Contender {
    /// The bare public key operations.
    Ceiling,
    /// Parsing and verifying with this project.
    Ours,
    /// Parsing alone, with this project.
    Parse,
    /// Parsing and verifying with the crate sigstore-verify.
    Theirs,
}

impl Contender {
    pub(crate) const ALL: [Self; 4] = [Self::Ceiling, Self::Ours, Self::Parse, Self::Theirs];
}

/// One verification of the case per call.
pub(crate) type Run = Box<dyn Fn() -> Result<()>>;

/// Makes the contender ready and lets it verify once: what does not verify is not measured.
pub(crate) fn prepare(contender: Contender, case: &Case) -> Result<Run> {
    let run = match contender {
        Contender::Ceiling => ceiling(case),
        Contender::Ours => ours(case),
        Contender::Parse => parse(case),
        Contender::Theirs => theirs(case),
    }?;
    run()?;
    Ok(run)
}

fn ceiling(case: &Case) -> Result<Run> {
    let ceiling = Ceiling::of(case)?;
    Ok(Box::new(move || ceiling.run()))
}

fn ours(case: &Case) -> Result<Run> {
    let root = TrustedRoot::from_json(&case.root).context("our trusted root")?.prepared();
    let policy = Policy::keyless(IdentityMatcher::exact(IDENTITY)?, Matcher::exact(ISSUER)?);
    let now = NOW.parse().expect("a time");
    let (artifact, text) = (case.artifact.clone(), case.bundle.clone());
    Ok(Box::new(move || {
        let bundle = Bundle::parse(&text).context("our parser")?;
        let artifact = Artifact::of_bytes(&artifact);
        std::hint::black_box(verify(&artifact, &bundle, &root, &policy, now).context("our verifier")?);
        Ok(())
    }))
}

fn parse(case: &Case) -> Result<Run> {
    let text = case.bundle.clone();
    Ok(Box::new(move || {
        std::hint::black_box(Bundle::parse(&text).context("our parser")?);
        Ok(())
    }))
}

fn theirs(case: &Case) -> Result<Run> {
    let text = String::from_utf8(case.bundle.clone())?;
    let root = TheirRoot::from_json(std::str::from_utf8(&case.root)?).context("their trusted root")?;
    let verifier = Verifier::new(&root).context("their verifier")?;
    let policy = VerificationPolicy::new(TheirMatcher::Uri(IDENTITY.to_owned()), ISSUER);
    let artifact = case.artifact.clone();
    Ok(Box::new(move || {
        let bundle = sigstore_verify::types::Bundle::from_json(&text).context("their parser")?;
        std::hint::black_box(verifier.verify(&artifact, &bundle, &policy).context("their verifier")?);
        Ok(())
    }))
}
