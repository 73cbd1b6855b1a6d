// SPDX-License-Identifier: Apache-2.0
//! The clients of the matrix: how each is installed, pointed at an instance through TUF, made to sign and to verify.
//!
//! Versions are pinned here. Everything is kept in the tools' cache, so that a machine installs it once. Each client gets a home directory of
//! its own per run: no trust is carried over from an earlier one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, exists, quiet, run, workspace};
use crate::tools::cache_dir;

const COSIGN: &str = "v3.1.3";
const SIGSTORE_PYTHON: &str = "4.5.1";
pub(crate) const NODE: &str = "22.23.3";
const SIGSTORE_JS: &str = "5.0.1";
const SIGSTORE_JS_CLI: &str = "0.10.3";
const SIGSTORE_JS_SIGN: &str = "5.1.0";

/// A running instance, as a client sees it.
pub(crate) struct Instance {
    pub(crate) url: String,
    pub(crate) data_dir: PathBuf,
}

impl Instance {
    pub(crate) fn mirror(&self) -> String {
        format!("{}/tuf", self.url)
    }

    pub(crate) fn client_file(&self, name: &str) -> PathBuf {
        self.data_dir.join("client").join(name)
    }
}

/// Whose signature a verifier is to accept.
pub(crate) struct Signer<'a> {
    pub(crate) email: &'a str,
    pub(crate) issuer: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Client {
    Touchmark,
    Cosign,
    Python,
    PythonTrustConfig,
    Js,
    Rust,
}

impl Client {
    pub(crate) const ALL: [Client; 6] =
        [Client::Touchmark, Client::Cosign, Client::Python, Client::PythonTrustConfig, Client::Js, Client::Rust];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Client::Touchmark => "touchmark",
            Client::Cosign => "cosign",
            Client::Python => "sigstore-python",
            Client::PythonTrustConfig => "sigstore-python (trust config)",
            Client::Js => "sigstore-js",
            Client::Rust => "sigstore-rust",
        }
    }
}

/// Programs of all clients, installed and ready.
pub(crate) struct Clients {
    touchmark: PathBuf,
    cosign: PathBuf,
    python: PathBuf,
    node_modules: PathBuf,
    rust: PathBuf,
    home: PathBuf,
}

impl Clients {
    /// Installs what is missing. `home` is a fresh directory for the clients' own state.
    pub(crate) fn install(home: &Path) -> Result<Self> {
        let cargo = env!("CARGO");
        run(Command::new(cargo)
            .args(["build", "--locked", "-p", "touchmark-cli", "-p", "touchmark-interop"])
            .current_dir(workspace()))?;
        Ok(Self {
            touchmark: debug_binary("touchmark"),
            cosign: cosign()?,
            python: python()?,
            node_modules: node_modules()?,
            rust: debug_binary("touchmark-interop"),
            home: home.to_owned(),
        })
    }

    pub(crate) fn touchmark(&self) -> Command {
        let mut command = Command::new(&self.touchmark);
        command
            .env("XDG_CACHE_HOME", self.home.join("touchmark-cache"))
            .env("XDG_DATA_HOME", self.home.join("touchmark-data"));
        command.env("TUF_ROOT", self.home.join("touchmark-tuf")).env_remove("SIGSTORE_ID_TOKEN");
        command
    }

    pub(crate) fn python_program(&self, name: &str) -> Command {
        let mut command = Command::new(self.python.join("bin").join(name));
        command
            .env("XDG_DATA_HOME", self.home.join("python-data"))
            .env("XDG_CACHE_HOME", self.home.join("python-cache"));
        command
    }

    pub(crate) fn cosign(&self) -> Command {
        let mut command = Command::new(&self.cosign);
        command.env("TUF_ROOT", self.home.join("cosign-tuf")).env("HOME", &self.home).env_remove("SIGSTORE_ID_TOKEN");
        command
    }

    pub(crate) fn node_modules(&self) -> &Path {
        &self.node_modules
    }

    pub(crate) fn node(&self) -> Command {
        let mut command = Command::new(self.node_modules.join(".bin").join("node"));
        command.env("XDG_DATA_HOME", self.home.join("js-data")).env("HOME", &self.home).env("NO_COLOR", "1");
        command
    }

    /// Establishes trust in the instance: once per client, from its first root alone.
    pub(crate) fn initialize(&self, client: Client, instance: &Instance) -> Result<()> {
        let root = instance.client_file("root.json");
        match client {
            Client::Touchmark => {
                quiet(self.touchmark().args(["initialize", "--mirror", &instance.mirror(), "--root"]).arg(root))?;
            }
            Client::Cosign => {
                quiet(self.cosign().args(["initialize", "--mirror", &instance.mirror(), "--root"]).arg(root))?;
            }
            Client::Python => {
                quiet(
                    self.python_program("sigstore")
                        .args(["--instance", &instance.mirror(), "trust-instance"])
                        .arg(root),
                )?;
            }
            Client::PythonTrustConfig | Client::Js | Client::Rust => {} // These take the root with every call.
        }
        Ok(())
    }

    pub(crate) fn sign(
        &self,
        client: Client,
        instance: &Instance,
        token: &str,
        file: &Path,
        bundle: &Path,
    ) -> Result<()> {
        let mut command = match client {
            Client::Touchmark => {
                let mut command = self.touchmark();
                command.args(["sign-blob", "--identity-token", token, "-y", "--bundle"]).arg(bundle).arg(file);
                command
            }
            Client::Cosign => {
                let mut command = self.cosign();
                command.args(["sign-blob", "--identity-token", token, "-y", "--bundle"]).arg(bundle).arg(file);
                command
            }
            Client::Python | Client::PythonTrustConfig => {
                let mut command = self.python_sigstore(client, instance);
                command.args(["sign", "--identity-token", token, "--overwrite", "--bundle"]).arg(bundle).arg(file);
                command
            }
            Client::Js => {
                let script = self.home.join("sign.cjs");
                std::fs::write(&script, JS_SIGN).context("cannot write the signing script")?;
                let mut command = self.node();
                command.arg(script).arg(&self.node_modules).args([&instance.url, token]).arg(file).arg(bundle);
                command
            }
            Client::Rust => {
                let mut command = self.rust("sign", instance);
                command.arg(token).arg(file).arg(bundle);
                command
            }
        };
        quiet(&mut command).with_context(|| format!("{} cannot sign", client.name()))?;
        Ok(())
    }

    /// Runs the verification; a refusal is an answer, not an error.
    pub(crate) fn verify(
        &self,
        client: Client,
        instance: &Instance,
        signer: &Signer<'_>,
        file: &Path,
        bundle: &Path,
    ) -> Result<Verdict> {
        let mut command = match client {
            Client::Touchmark | Client::Cosign => {
                let mut command = if client == Client::Cosign { self.cosign() } else { self.touchmark() };
                command.args([
                    "verify-blob",
                    "--certificate-identity",
                    signer.email,
                    "--certificate-oidc-issuer",
                    signer.issuer,
                ]);
                command.arg("--bundle").arg(bundle).arg(file);
                command
            }
            Client::Python | Client::PythonTrustConfig => {
                let mut command = self.python_sigstore(client, instance);
                command.args([
                    "verify",
                    "identity",
                    "--cert-identity",
                    signer.email,
                    "--cert-oidc-issuer",
                    signer.issuer,
                ]);
                command.arg("--bundle").arg(bundle).arg(file);
                command
            }
            Client::Js => {
                let mut command = self.node();
                command.arg(self.node_modules.join("@sigstore/cli/bin/run")).args([
                    "verify",
                    "--tuf-mirror-url",
                    &instance.mirror(),
                ]);
                command.arg("--tuf-root-path").arg(instance.client_file("root.json"));
                command.arg("--tuf-cache-path").arg(self.home.join("js-cache"));
                command.args(["--certificate-issuer", signer.issuer, "--certificate-identity-email", signer.email]);
                command.arg("--blob-file").arg(file).arg(bundle);
                command
            }
            Client::Rust => {
                let mut command = self.rust("verify", instance);
                command.args([signer.email, signer.issuer]).arg(file).arg(bundle);
                command
            }
        };
        Verdict::of(&mut command)
    }

    pub(crate) fn python_sigstore(&self, client: Client, instance: &Instance) -> Command {
        let mut command = self.python_program("sigstore");
        if client == Client::PythonTrustConfig {
            command.arg("--trust-config").arg(instance.client_file("client_trust_config.json"));
        } else {
            command.args(["--instance", &instance.mirror()]);
        }
        command
    }

    pub(crate) fn rust(&self, verb: &str, instance: &Instance) -> Command {
        let mut command = Command::new(&self.rust);
        command.args([verb, &instance.mirror()]).arg(instance.client_file("root.json")).arg(self.home.join("rust-tuf"));
        command
    }
}

/// What a verifier answered.
pub(crate) struct Verdict {
    pub(crate) accepted: bool,
    pub(crate) said: String,
}

impl Verdict {
    /// Runs a verifier; a refusal is an answer, not an error.
    pub(crate) fn of(command: &mut Command) -> Result<Self> {
        let output = process::output(command)?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok(Self { accepted: output.status.success(), said })
    }
}

/// sigstore-js has no command that signs a file: its library does.
const JS_SIGN: &str = r#"
const fs = require('node:fs');
const [modules, url, token, file, bundlePath] = process.argv.slice(2);
const { FulcioSigner, MessageSignatureBundleBuilder, RekorWitness, TSAWitness } = require(modules + '/@sigstore/sign');
const { bundleToJSON } = require(modules + '/@sigstore/bundle');
const builder = new MessageSignatureBundleBuilder({
  signer: new FulcioSigner({ fulcioBaseURL: url, identityProvider: { getToken: async () => token } }),
  witnesses: [new RekorWitness({ rekorBaseURL: url, majorApiVersion: 2 }), new TSAWitness({ tsaBaseURL: url })],
});
builder.create({ data: fs.readFileSync(file) }).then(
  (bundle) => fs.writeFileSync(bundlePath, JSON.stringify(bundleToJSON(bundle))),
  (error) => { console.error(error); process.exit(1); },
);
"#;

pub(crate) fn debug_binary(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("debug").join(name)
}

fn cosign() -> Result<PathBuf> {
    let bin = cache_dir()?.join(format!("cosign-{COSIGN}"));
    let program = bin.join("cosign");
    if !program.exists() {
        if !exists("go") {
            bail!("cosign is built from its Go module: install Go 1.25 or newer");
        }
        run(Command::new("go")
            .args(["install", "-trimpath", &format!("github.com/sigstore/cosign/v3/cmd/cosign@{COSIGN}")])
            .env("GOBIN", &bin))?;
    }
    Ok(program)
}

pub(crate) fn python() -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!("sigstore-python-{SIGSTORE_PYTHON}"));
    if !dir.join("bin/sigstore").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
        run(Command::new(dir.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("sigstore=={SIGSTORE_PYTHON}")))?;
    }
    Ok(dir)
}

pub(crate) fn node_modules() -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!("sigstore-js-{SIGSTORE_JS}-{SIGSTORE_JS_CLI}-{NODE}"));
    let modules = dir.join("node_modules");
    if !modules.join("@sigstore/cli/bin/run").exists() {
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        std::fs::write(dir.join("package.json"), "{\"private\":true}\n").context("cannot write package.json")?;
        run(Command::new("npm")
            .args(["install", "--no-fund", "--no-audit", "--loglevel=error"])
            .args([
                format!("node@{NODE}"),
                format!("sigstore@{SIGSTORE_JS}"),
                format!("@sigstore/sign@{SIGSTORE_JS_SIGN}"),
                format!("@sigstore/cli@{SIGSTORE_JS_CLI}"),
            ])
            .current_dir(&dir))?;
    }
    Ok(modules)
}
