// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask interop exports`: what `touchmark trust export --for CLIENT` writes, used by that client.
//!
//! Two instances of `touchmark up`; each signs a file, and its trust is exported for cosign, sigstore-python and sigstore-js. Then both are
//! stopped: what follows has the exported files and nothing else. Each client accepts the bundle of the instance whose files it was given, and
//! refuses that of the other one, and another artifact.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::clients::{Clients, Instance, Signer, Verdict};
use crate::interop::{EMAIL, Server, in_fresh_home, issuer_of, token};
use crate::process::quiet;

const NAMES: [&str; 2] = ["one", "two"];

pub(crate) fn run_it() -> Result<()> {
    in_fresh_home(|home| {
        let passed = steps(home)?;
        println!("{passed} passed, 0 failed");
        Ok(())
    })
}

/// The whole part, in a directory of its own under `home`: no client has established trust there.
pub(crate) fn steps(home: &Path) -> Result<usize> {
    let home = home.join("exported");
    std::fs::create_dir_all(&home).context("cannot create a directory")?;
    let clients = Clients::install(&home)?;
    let artifact = home.join("artifact.txt");
    std::fs::write(&artifact, "carried to a machine without a network\n").context("cannot write an artifact")?;
    let mut carried = Vec::new();
    for name in NAMES {
        let mut server = Server::start(&clients, &home.join(name), &home)?;
        carried.push(Carried::of(&clients, &server.instance, name, &artifact, &home)?);
        server.stop()?;
    }
    let tampered = home.join("tampered.txt");
    std::fs::write(&tampered, "another text\n").context("cannot write an artifact")?;

    let mut passed = 0;
    for taker in Taker::ALL {
        for (own, other) in [(&carried[0], &carried[1]), (&carried[1], &carried[0])] {
            let verdict = taker.verify(&clients, own, &own.signer(), &artifact, &own.bundle)?;
            ensure!(verdict.accepted, "{} refuses the bundle of {}:\n{}", taker.name(), own.name, verdict.said);
            let verdict = taker.verify(&clients, own, &other.signer(), &artifact, &other.bundle)?;
            ensure!(!verdict.accepted, "{} accepts the bundle of another instance", taker.name());
            let verdict = taker.verify(&clients, own, &own.signer(), &tampered, &own.bundle)?;
            ensure!(!verdict.accepted, "{} accepts another artifact", taker.name());
            passed += 3;
        }
        println!("interop: {} verifies with exported files alone, and tells the instances apart", taker.name());
    }
    Ok(passed)
}

/// What leaves the machine that reaches an instance.
struct Carried {
    name: &'static str,
    issuer: String,
    bundle: PathBuf,
    /// Under it, a directory for each client.
    files: PathBuf,
}

impl Carried {
    fn of(clients: &Clients, instance: &Instance, name: &'static str, artifact: &Path, home: &Path) -> Result<Self> {
        let (bundle, files) = (home.join(format!("{name}.sigstore.json")), home.join(format!("files-{name}")));
        let root = instance.client_file("root.json");
        quiet(clients.touchmark().args(["trust", "add", name, &instance.mirror(), "--root"]).arg(root))?;
        let token = token(clients, &instance.data_dir)?;
        let mut sign = clients.touchmark();
        sign.args(["sign-blob", "--in", name, "--identity-token", &token, "--yes", "--bundle"]).arg(&bundle);
        quiet(sign.arg(artifact))?;
        for taker in Taker::ALL {
            let mut export = clients.touchmark();
            export
                .args(["trust", "export", "--in", name, "--for", taker.name(), "--out"])
                .arg(files.join(taker.name()));
            quiet(&mut export)?;
        }
        Ok(Self { name, issuer: issuer_of(instance)?, bundle, files })
    }

    fn signer(&self) -> Signer<'_> {
        Signer { email: EMAIL, issuer: &self.issuer }
    }
}

/// A client that takes exported files.
#[derive(Clone, Copy)]
enum Taker {
    Cosign,
    SigstorePython,
    SigstoreJs,
}

impl Taker {
    const ALL: [Self; 3] = [Self::Cosign, Self::SigstorePython, Self::SigstoreJs];

    /// As `--for` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Cosign => "cosign",
            Self::SigstorePython => "sigstore-python",
            Self::SigstoreJs => "sigstore-js",
        }
    }

    /// With the flags that `trust export` names.
    fn verify(
        self,
        clients: &Clients,
        trust: &Carried,
        signer: &Signer<'_>,
        artifact: &Path,
        bundle: &Path,
    ) -> Result<Verdict> {
        let file = |name: &str| trust.files.join(self.name()).join(name);
        let mut command = match self {
            Self::Cosign => {
                let mut command = clients.cosign();
                command.args(["verify-blob", "--trusted-root"]).arg(file("trusted_root.json"));
                command.args(["--certificate-identity", signer.email, "--certificate-oidc-issuer", signer.issuer]);
                command.arg("--bundle").arg(bundle).arg(artifact);
                command
            }
            Self::SigstorePython => {
                let mut command = clients.python_program("sigstore");
                command.arg("--trust-config").arg(file("client_trust_config.json")).args(["verify", "identity"]);
                command.args(["--cert-identity", signer.email, "--cert-oidc-issuer", signer.issuer]);
                command.arg("--bundle").arg(bundle).arg(artifact);
                command
            }
            Self::SigstoreJs => js(clients, &file("trusted_root.json"), signer, artifact, bundle),
        };
        Verdict::of(&mut command)
    }
}

/// The command line of sigstore-js takes trust through TUF alone: its library takes a file.
fn js(clients: &Clients, trusted_root: &Path, signer: &Signer<'_>, artifact: &Path, bundle: &Path) -> Command {
    let mut command = clients.node();
    command.args(["-e", JS_VERIFY]).arg(clients.node_modules()).arg(trusted_root).arg(artifact).arg(bundle);
    command.args([signer.email, signer.issuer]);
    command
}

const JS_VERIFY: &str = r#"
const { readFileSync } = require('node:fs');
const [modules, trustedRoot, artifact, bundlePath, email, issuer] = process.argv.slice(1);
const { bundleFromJSON } = require(modules + '/@sigstore/bundle');
const { TrustedRoot } = require(modules + '/@sigstore/protobuf-specs');
const { Verifier, toSignedEntity, toTrustMaterial } = require(modules + '/@sigstore/verify');
const material = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(readFileSync(trustedRoot))));
const entity = toSignedEntity(bundleFromJSON(JSON.parse(readFileSync(bundlePath))), readFileSync(artifact));
const exactly = '^' + email.replace(/[.]/g, '\\.') + '$';
new Verifier(material).verify(entity, { subjectAlternativeName: exactly, extensions: { issuer } });
"#;
