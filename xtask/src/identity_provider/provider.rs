// SPDX-License-Identifier: Apache-2.0
//! The identity providers that are not ours, each in a process of its own on loopback: oidc-provider and Keycloak.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Scripts;
use crate::interop::{answers, free_port};
use crate::process::{Background, exists, quiet, run, workspace};
use crate::tools::{apt_install, cache_dir};

const KEYCLOAK: &str = "26.7.3";
/// Of the distribution's archive.
const KEYCLOAK_SHA256: &str = "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47";
/// What fetches it: a dependency like any other.
const MAVEN_DEPENDENCY_PLUGIN: &str = "3.8.1";

/// How long oidc-provider may take to answer.
const NODE_WITHIN: Duration = Duration::from_secs(30);
/// Keycloak builds itself at its first start.
const KEYCLOAK_WITHIN: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    OidcProvider,
    Keycloak,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OidcProvider => "oidc-provider",
            Self::Keycloak => "keycloak",
        }
    }

    /// The `sub` of alice.
    pub(super) fn alice(self) -> &'static str {
        match self {
            Self::OidcProvider => "alice",
            Self::Keycloak => "a11ce000-0000-4000-8000-000000000001",
        }
    }
}

/// A provider's process.
pub(super) struct Provider {
    /// Its issuer URL.
    pub(super) issuer: String,
    /// What the address of a login begins with.
    pub(super) login: String,
    _process: Background,
}

impl Provider {
    pub(super) fn start(kind: Kind, scripts: &Scripts, home: &Path) -> Result<Self> {
        let port = free_port()?;
        let log = home.join("provider.log");
        let (process, path, login) = match kind {
            Kind::OidcProvider => (oidc_provider(scripts, port, &log)?, "", "/auth?"),
            Kind::Keycloak => (keycloak(port, home, &log)?, "/realms/touchmark", "/protocol/openid-connect/auth?"),
        };
        let begun = Instant::now();
        while !answers(port, &format!("{path}/.well-known/openid-configuration")) {
            if begun.elapsed() > NODE_WITHIN {
                bail!("{} does not answer: {}", kind.name(), process.said()?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("interop: {} answers", kind.name());
        let issuer = format!("http://localhost:{port}{path}");
        Ok(Self { login: format!("{issuer}{login}"), issuer, _process: process })
    }
}

fn oidc_provider(scripts: &Scripts, port: u16, log: &Path) -> Result<Background> {
    let mut process = Background::start(scripts.node("provider.mjs").arg(port.to_string()), log)?;
    process.await_until(NODE_WITHIN, |said| said.contains("listening on").then_some(()))?;
    Ok(process)
}

/// With one realm, read from our file. What it builds and stores stays in its copy under `home`.
fn keycloak(port: u16, home: &Path, log: &Path) -> Result<Background> {
    let directory = home.join(format!("keycloak-{KEYCLOAK}"));
    run(Command::new("tar").arg("-xzf").arg(keycloak_archive()?).arg("-C").arg(home))?;
    let import = directory.join("data/import");
    std::fs::create_dir_all(&import).context("cannot create a directory")?;
    std::fs::copy(
        workspace().join("interop/identity-provider/keycloak-realm.json"),
        import.join("touchmark-realm.json"),
    )
    .context("cannot copy the realm")?;
    let mut command = Command::new(directory.join("bin/kc.sh"));
    command.args(["start-dev", "--import-realm", "--http-host", "127.0.0.1", "--http-port", &port.to_string()]);
    command.env("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx512m");
    let mut process = Background::start(&mut command, log)?;
    process.await_until(KEYCLOAK_WITHIN, |said| said.contains("Listening on").then_some(()))?;
    Ok(process)
}

/// The archive of the distribution, fetched once.
fn keycloak_archive() -> Result<PathBuf> {
    if !exists("java") || !exists("mvn") {
        apt_install(&["default-jre-headless", "maven"])?;
    }
    let directory = cache_dir()?.join(format!("keycloak-{KEYCLOAK}"));
    let archive = directory.join(format!("keycloak-quarkus-dist-{KEYCLOAK}.tar.gz"));
    if !archive.exists() {
        let copy = format!("org.apache.maven.plugins:maven-dependency-plugin:{MAVEN_DEPENDENCY_PLUGIN}:copy");
        let artifact = format!("-Dartifact=org.keycloak:keycloak-quarkus-dist:{KEYCLOAK}:tar.gz");
        let output = format!("-DoutputDirectory={}", directory.display());
        run(Command::new("mvn").args(["-q", "-B", &copy, &artifact, &output]).current_dir(cache_dir()?))?;
    }
    let found = quiet(Command::new("sha256sum").arg(&archive))?;
    ensure!(
        found.starts_with(KEYCLOAK_SHA256),
        "{} is not the archive that is expected (SHA-256 {KEYCLOAK_SHA256}); delete it to fetch it again",
        archive.display()
    );
    Ok(archive)
}
