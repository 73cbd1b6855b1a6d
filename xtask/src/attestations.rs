// SPDX-License-Identifier: Apache-2.0
//! Attestations in the client matrix: every client that can makes one, every client verifies each, and refuses what it is not about.
//!
//! A log of Rekor v2 takes them as hashedrekord over what was signed; sigstore-js asks for an entry of kind `dsse`, which the public Rekor v2
//! refuses as ours does, so it verifies only. sigstore-python reads no statements of v0.1, and cosign makes no others.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::clients::{Client, Clients, Instance, Signer, Verdict};
use crate::process::quiet;

/// What is stated. sigstore-python takes SLSA's types of predicates alone, and checks their members.
const PREDICATE: &str = r#"{
  "buildDefinition": {"buildType": "https://example.com/build/v1", "externalParameters": {"source": "main"}},
  "runDetails": {"builder": {"id": "https://example.com/builder"}}
}
"#;
const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

const ATTESTERS: [Client; 4] = [Client::Touchmark, Client::Cosign, Client::Python, Client::Rust];
/// sigstore-python reads the same of a trust config, so one of its two is enough here.
const VERIFIERS: [Client; 5] = [Client::Touchmark, Client::Cosign, Client::Python, Client::Js, Client::Rust];

/// An attestation that a client made.
pub(crate) struct Attested {
    by: Client,
    file: PathBuf,
    bundle: PathBuf,
}

/// Every client that can attests a file of its own.
pub(crate) fn attest_all(clients: &Clients, instance: &Instance, token: &str, home: &Path) -> Result<Vec<Attested>> {
    let predicate = home.join("predicate.json");
    std::fs::write(&predicate, PREDICATE).context("cannot write the predicate")?;
    let mut attested = Vec::new();
    for by in ATTESTERS {
        let file = home.join(format!("{by:?}.attested.txt"));
        std::fs::write(&file, format!("attested by {}\n", by.name())).context("cannot write an artifact")?;
        let bundle = home.join(format!("{by:?}.attestation.json"));
        quiet(&mut attest(clients, by, instance, token, &predicate, &file, &bundle))
            .with_context(|| format!("{} cannot attest", by.name()))?;
        println!("interop: {} attests: ok", by.name());
        attested.push(Attested { by, file, bundle });
    }
    Ok(attested)
}

fn attest(
    clients: &Clients,
    by: Client,
    instance: &Instance,
    token: &str,
    predicate: &Path,
    file: &Path,
    bundle: &Path,
) -> Command {
    let mut command = match by {
        Client::Touchmark | Client::Cosign | Client::Js => {
            let mut command = if by == Client::Cosign { clients.cosign() } else { clients.touchmark() };
            command.args(["attest-blob", "-y", "--type", "slsaprovenance1", "--predicate"]).arg(predicate);
            command.args(["--identity-token", token, "--bundle"]).arg(bundle);
            command
        }
        Client::Python | Client::PythonTrustConfig => {
            let mut command = clients.python_sigstore(by, instance);
            command.args(["attest", "--predicate-type", PREDICATE_TYPE, "--predicate"]).arg(predicate);
            command.args(["--identity-token", token, "--overwrite", "--bundle"]).arg(bundle);
            command
        }
        Client::Rust => {
            let mut command = clients.rust("attest", instance);
            command.args([token, PREDICATE_TYPE]).arg(predicate).arg(bundle);
            command
        }
    };
    command.arg(file);
    command
}

/// Every verifier reads each attestation that it can.
pub(crate) fn verify_all(
    clients: &Clients,
    instance: &Instance,
    signer: &Signer<'_>,
    attested: &[Attested],
) -> Result<usize> {
    let mut passed = 0;
    for made in attested {
        for verifier in VERIFIERS.into_iter().filter(|verifier| reads(*verifier, made.by)) {
            let verdict = verify(clients, verifier, instance, signer, &made.file, &made.bundle)?;
            ensure!(
                verdict.accepted,
                "{} refuses the attestation of {}:\n{}",
                verifier.name(),
                made.by.name(),
                verdict.said
            );
            passed += 1;
        }
        println!("interop: the attestation of {} was read", made.by.name());
    }
    Ok(passed)
}

/// Each verifier must refuse another file and another signer.
pub(crate) fn refuse_all(
    clients: &Clients,
    instance: &Instance,
    signer: &Signer<'_>,
    attested: &[Attested],
    home: &Path,
) -> Result<usize> {
    let other = home.join("not-attested.txt");
    std::fs::write(&other, "nobody said anything about this\n").context("cannot write an artifact")?;
    let stranger = Signer { email: "mallory@example.com", issuer: signer.issuer };
    let mut passed = 0;
    for made in attested {
        for verifier in VERIFIERS.into_iter().filter(|verifier| reads(*verifier, made.by)) {
            let verdict = verify(clients, verifier, instance, &stranger, &made.file, &made.bundle)?;
            ensure!(!verdict.accepted, "{} accepts a foreign identity for {}", verifier.name(), made.by.name());
            passed += 1;
            // sigstore-js verifies the envelope and leaves what it says to the caller.
            if verifier != Client::Js {
                let verdict = verify(clients, verifier, instance, signer, &other, &made.bundle)?;
                ensure!(!verdict.accepted, "{} accepts another file than {}'s", verifier.name(), made.by.name());
                passed += 1;
            }
        }
    }
    println!("interop: other files and foreign identities are refused by every verifier of attestations");
    Ok(passed)
}

fn reads(verifier: Client, by: Client) -> bool {
    !(by == Client::Cosign && matches!(verifier, Client::Python | Client::PythonTrustConfig))
}

fn verify(
    clients: &Clients,
    verifier: Client,
    instance: &Instance,
    signer: &Signer<'_>,
    file: &Path,
    bundle: &Path,
) -> Result<Verdict> {
    match verifier {
        Client::Touchmark | Client::Cosign => {
            let mut command = if verifier == Client::Cosign { clients.cosign() } else { clients.touchmark() };
            command.args(["verify-blob-attestation", "--type", "slsaprovenance1", "--bundle"]).arg(bundle);
            command.args(["--certificate-identity", signer.email, "--certificate-oidc-issuer", signer.issuer]);
            Verdict::of(command.arg(file))
        }
        // These take a bundle of either kind.
        Client::Python | Client::PythonTrustConfig | Client::Js | Client::Rust => {
            clients.verify(verifier, instance, signer, file, bundle)
        }
    }
}
