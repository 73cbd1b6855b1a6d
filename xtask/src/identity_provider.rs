// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask interop identity-provider`: a person logs in at an identity provider that is not ours, in a real browser, and signs.
//!
//! The providers are the npm package oidc-provider, certified by the OpenID Foundation, and Keycloak, on loopback; `touchmark serve` has one of
//! them as its only issuer; headless Chromium does what the person does. The clients are touchmark and cosign, each with its own authorization code flow and
//! PKCE. sigstore-python is no client here: it sends the access token, which is an ID token at Dex alone.
//! Also what must not become a certificate: an address that the provider has not verified, no address, a login that was cancelled.

mod provider;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::clients::{Client, Clients, Instance, NODE, Signer};
use crate::interop::{EMAIL, Server, in_fresh_home};
use crate::process::{Background, quiet, run, workspace};
use crate::tools::{apt_install, cache_dir};
use provider::{Kind, Provider};

const OIDC_PROVIDER: &str = "9.13.3";
const PUPPETEER: &str = "25.16.0";

/// How long a client may take to show the address of the login.
const ADDRESS_WITHIN: Duration = Duration::from_secs(30);
/// How long a client may take to sign once the login is over. More than `browser.mjs` gives itself, so that the browser has ended before.
const SIGNED_WITHIN: Duration = Duration::from_secs(90);

pub(crate) fn run_it() -> Result<()> {
    in_fresh_home(|home| {
        let passed = steps(home)?;
        println!("{passed} passed, 0 failed");
        Ok(())
    })
}

/// The whole part, each provider in a directory of its own under `home`; the clients trust what it starts and nothing else.
pub(crate) fn steps(home: &Path) -> Result<usize> {
    let mut passed = 0;
    for kind in [Kind::OidcProvider, Kind::Keycloak] {
        passed += steps_at(kind, &home.join(kind.name()))?;
    }
    Ok(passed)
}

fn steps_at(kind: Kind, home: &Path) -> Result<usize> {
    std::fs::create_dir_all(home).context("cannot create a directory")?;
    let clients = &Clients::install(home)?;
    let scripts = Scripts::install(home)?;
    let provider = &Provider::start(kind, &scripts, home)?;
    let mut server = serve(clients, &provider.issuer, home)?;
    let signing_config = signing_config(&server.instance, &provider.issuer, home)?;
    let desk = Desk { clients, scripts: &scripts, server: &server, kind, provider, signing_config, home };

    for client in [Client::Touchmark, Client::Cosign, Client::Python] {
        clients.initialize(client, &server.instance)?;
    }
    let mut passed = desk.signs_with_touchmark()?;
    passed += desk.signs_with_cosign()?;
    for refusal in REFUSALS.iter().filter(|refusal| refusal.at.contains(&kind)) {
        passed += desk.is_refused(refusal)?;
    }
    server.stop()?;
    Ok(passed)
}

/// Who gets no certificate, and who says why.
struct Refusal {
    at: &'static [Kind],
    person: &'static str,
    client: &'static str,
    /// The certificate authority tells its reason to its log alone.
    authority: Option<&'static str>,
}

const REFUSALS: [Refusal; 3] = [
    Refusal {
        at: &[Kind::OidcProvider, Kind::Keycloak],
        person: "mallory",
        client: "answered 400: There was an error processing the identity token",
        authority: Some("the e-mail address is not verified by the issuer"),
    },
    Refusal {
        // Keycloak asks for an address at the login.
        at: &[Kind::OidcProvider],
        person: "nobody",
        client: "answered 400: There was an error processing the identity token",
        authority: Some("the e-mail address is not verified by the issuer"),
    },
    Refusal {
        at: &[Kind::OidcProvider, Kind::Keycloak],
        person: "cancel",
        client: "the identity provider refused the login",
        authority: None,
    },
];

/// What a person has in front of them.
struct Desk<'a> {
    clients: &'a Clients,
    scripts: &'a Scripts,
    server: &'a Server,
    kind: Kind,
    provider: &'a Provider,
    signing_config: PathBuf,
    home: &'a Path,
}

impl Desk<'_> {
    fn signs_with_touchmark(&self) -> Result<usize> {
        let (file, bundle) = self.artifact("touchmark")?;
        let (mut client, address) = self.touchmark_shows_address("touchmark", &file, &bundle)?;
        let page = quiet(self.scripts.browser(&self.home.join("touchmark-browser"), "alice").arg(&address))?;
        ensure!(page.contains("You are logged in"), "touchmark's last page is: {page}");
        let status = client.await_end(SIGNED_WITHIN)?;
        ensure!(status.success(), "touchmark cannot sign: {status}\n{}", client.said()?);
        self.is_accepted(Client::Touchmark, &file, &bundle)
    }

    /// touchmark opens no browser; it shows an address to whoever sits at a terminal, so it gets one.
    fn touchmark_shows_address(&self, name: &str, file: &Path, bundle: &Path) -> Result<(Background, String)> {
        let script = self.home.join("terminal.py");
        std::fs::write(&script, TERMINAL).context("cannot write the terminal's script")?;
        let touchmark = self.clients.touchmark();
        let mut command = self.clients.python_program("python");
        command.env_remove("CI").env_remove("SIGSTORE_ID_TOKEN").env("NO_COLOR", "1");
        command.envs(touchmark.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        command.arg(&script).arg(touchmark.get_program()).args(["sign-blob", "-y", "--signing-config"]);
        command.arg(&self.signing_config).arg("--bundle").arg(bundle).arg(file);
        let mut client = Background::start(&mut command, &self.home.join(format!("{name}.log")))?;
        let address = client.await_until(ADDRESS_WITHIN, |said| {
            // The line is there as a whole once it has its end.
            let (address, _) = said[said.find(&self.provider.login)?..].split_once(['\r', '\n'])?;
            Some(address.trim().to_owned())
        })?;
        Ok((client, address))
    }

    /// cosign opens the desktop's browser: `xdg-open`, which here leaves the address to the person.
    fn signs_with_cosign(&self) -> Result<usize> {
        let (file, bundle) = self.artifact("cosign")?;
        let desktop = Desktop::make(self.home)?;
        let mut command = self.clients.cosign();
        command.env("PATH", desktop.path()?).env_remove("CI");
        command.args(["sign-blob", "-y", "--fulcio-auth-flow", "normal", "--signing-config"]).arg(&self.signing_config);
        command.arg("--bundle").arg(&bundle).arg(&file);
        let mut client = Background::start(&mut command, &self.home.join("cosign.log"))?;
        let address = client.await_until(ADDRESS_WITHIN, |_| std::fs::read_to_string(&desktop.opened).ok())?;
        let page = quiet(self.scripts.browser(&self.home.join("cosign-browser"), "alice").arg(&address))?;
        ensure!(page.contains("authentication successful"), "cosign's last page is: {page}");
        let status = client.await_end(SIGNED_WITHIN)?;
        ensure!(status.success(), "cosign cannot sign: {status}\n{}", client.said()?);
        self.is_accepted(Client::Cosign, &file, &bundle)
    }

    /// Every verifier names the person and the provider; an independent parser reads the certificate.
    fn is_accepted(&self, by: Client, file: &Path, bundle: &Path) -> Result<usize> {
        let issuer = self.provider.issuer.as_str();
        let signer = Signer { email: EMAIL, issuer };
        let stranger = Signer { email: "mallory@example.com", issuer };
        let elsewhere = Signer { email: EMAIL, issuer: "https://accounts.example.com" };
        for verifier in [Client::Touchmark, Client::Cosign, Client::Python] {
            let verdict = self.clients.verify(verifier, &self.server.instance, &signer, file, bundle)?;
            ensure!(verdict.accepted, "{} refuses the bundle of {}:\n{}", verifier.name(), by.name(), verdict.said);
            for other in [&stranger, &elsewhere] {
                let verdict = self.clients.verify(verifier, &self.server.instance, other, file, bundle)?;
                ensure!(!verdict.accepted, "{} accepts {} of {}", verifier.name(), other.email, other.issuer);
            }
        }
        let script = self.home.join("certificate.py");
        std::fs::write(&script, READ_CERTIFICATE).context("cannot write the certificate's script")?;
        let mut read = self.clients.python_program("python");
        quiet(read.arg(&script).arg(bundle).args([EMAIL, issuer, self.kind.alice()]))?;
        println!("interop: {} signs as the person who logged in at {}: ok", by.name(), self.kind.name());
        Ok(1)
    }

    /// The client ends without a bundle and says why.
    fn is_refused(&self, refusal: &Refusal) -> Result<usize> {
        let person = refusal.person;
        let (file, bundle) = self.artifact(person)?;
        let log = self.home.join("server.log");
        let before = std::fs::read_to_string(&log).context("cannot read server.log")?.len();
        let (mut client, address) = self.touchmark_shows_address(person, &file, &bundle)?;
        quiet(self.scripts.browser(&self.home.join(format!("{person}-browser")), person).arg(&address))?;
        let status = client.await_end(SIGNED_WITHIN)?;
        let said = client.said()?;
        ensure!(!status.success() && !bundle.exists(), "{person} got a signature:\n{said}");
        ensure!(said.contains(refusal.client), "{person} was refused, but not for {:?}:\n{said}", refusal.client);
        let logged = std::fs::read_to_string(&log).context("cannot read server.log")?.split_off(before);
        match refusal.authority {
            Some(reason) => ensure!(logged.contains(reason), "{person} was refused, but not for {reason:?}:\n{logged}"),
            None => ensure!(logged.is_empty(), "nothing should have been asked of the services:\n{logged}"),
        }
        let why = refusal.authority.unwrap_or(refusal.client);
        println!("interop: no certificate for {person} at {}: {why}", self.kind.name());
        Ok(1)
    }

    fn artifact(&self, name: &str) -> Result<(PathBuf, PathBuf)> {
        let file = self.home.join(format!("{name}.txt"));
        std::fs::write(&file, format!("signed as {name}\n")).context("cannot write an artifact")?;
        Ok((file, self.home.join(format!("{name}.sigstore.json"))))
    }
}

/// Runs a program on a terminal of its own, and ends as it does.
const TERMINAL: &str = "\
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
";

/// Arguments: bundle, e-mail address, issuer, subject.
const READ_CERTIFICATE: &str = r#"
import base64, json, sys
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier

bundle, email, issuer, subject = sys.argv[1:]
der = json.load(open(bundle))["verificationMaterial"]["certificate"]["rawBytes"]
leaf = x509.load_der_x509_certificate(base64.b64decode(der))
assert len(leaf.subject) == 0, leaf.subject

def utf8(text):
    text = text.encode()
    assert len(text) < 128
    return b"\x0c" + bytes([len(text)]) + text

arc = "1.3.6.1.4.1.57264.1."
expected = {arc + "1": issuer.encode(), arc + "8": utf8(issuer), arc + "24": utf8(subject)}
found = {e.oid.dotted_string: e.value.value for e in leaf.extensions if e.oid.dotted_string.startswith(arc)}
assert found == expected, found
assert not any(e.critical for e in leaf.extensions if e.oid.dotted_string in expected)

name = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
assert name.critical and list(name.value) == [x509.RFC822Name(email)], name
assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CODE_SIGNING]
assert len(leaf.extensions.get_extension_for_oid(ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS).value) == 1
assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() == 600
"#;

/// A data directory made by `up`, served by `serve` with the provider as its only issuer.
fn serve(clients: &Clients, provider: &str, home: &Path) -> Result<Server> {
    let data_dir = home.join("data");
    let mut made = Server::start(clients, &data_dir, home)?;
    made.stop()?;
    // At the same address, which the published signing config names.
    let url = made.instance.url.clone();
    let port: u16 = url.rsplit(':').next().and_then(|port| port.parse().ok()).context("an address has a port")?;
    let log = |kind: &str| -> Result<String> {
        let names = std::fs::read_dir(data_dir.join("logs")).context("cannot read the logs' directory")?;
        let mut names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.find(|name| name.starts_with(kind)).with_context(|| format!("no log of kind {kind}"))
    };
    let (ct, rekor) = (log("ct")?, log("rekor")?);
    let config = format!(
        r#"
listen = "127.0.0.1:{port}"
[fulcio]
key = "keys/ca.pem"
chain = "ca/chain.pem"
ct_log = {{ name = "{ct}" }}
[[fulcio.issuer]]
url = "{provider}"
transport = "loopback-http"
single_use_tokens = true
[[ctlog]]
name = "{ct}"
key = "keys/ct.pem"
data = "logs/{ct}"
accepted_roots = "ca/chain.pem"
[[rekor]]
name = "{rekor}"
key = "keys/rekor.pem"
data = "logs/{rekor}"
[tsa]
key = "keys/tsa.pem"
chain = "tsa/chain.pem"
[tuf]
directory = "tuf"
online_key = "keys/tuf-online.pem"
"#
    );
    let file = data_dir.join("touchmark.toml");
    std::fs::write(&file, config).context("cannot write the configuration")?;
    Server::serve(clients.touchmark(), &file, port, &data_dir, home)
}

/// The instance's signing config, with the provider as the place to log in at.
fn signing_config(instance: &Instance, provider: &str, home: &Path) -> Result<PathBuf> {
    let text = std::fs::read_to_string(instance.client_file("signing_config.json"))?;
    let mut config: Value = serde_json::from_str(&text).context("cannot parse signing_config.json")?;
    let url = config.pointer_mut("/oidcUrls/0/url").context("signing_config.json names no issuer")?;
    *url = json!(provider);
    let file = home.join("signing_config.json");
    std::fs::write(&file, config.to_string()).context("cannot write the signing config")?;
    Ok(file)
}

/// The scripts of `interop/identity-provider`, beside the packages that they need.
struct Scripts {
    directory: PathBuf,
    chromium: PathBuf,
}

impl Scripts {
    fn install(home: &Path) -> Result<Self> {
        let modules = node_modules()?;
        let chromium = chromium()?;
        let directory = home.join("scripts");
        std::fs::create_dir_all(&directory).context("cannot create a directory")?;
        for name in ["provider.mjs", "browser.mjs"] {
            std::fs::copy(workspace().join("interop/identity-provider").join(name), directory.join(name))
                .with_context(|| format!("cannot copy {name}"))?;
        }
        std::os::unix::fs::symlink(modules, directory.join("node_modules")).context("cannot link the packages")?;
        Ok(Self { directory, chromium })
    }

    fn node(&self, script: &str) -> Command {
        let mut command = Command::new(self.directory.join("node_modules/.bin/node"));
        command.arg(self.directory.join(script)).env("NO_COLOR", "1");
        command
    }

    /// The person, with a browser that has its own profile and so knows no earlier login. The address is to follow.
    fn browser(&self, profile: &Path, person: &str) -> Command {
        let mut command = self.node("browser.mjs");
        command.arg(&self.chromium).arg(profile).arg(person);
        command
    }
}

/// A desktop whose browser is opened by writing the address to a file.
struct Desktop {
    directory: PathBuf,
    opened: PathBuf,
}

impl Desktop {
    fn make(home: &Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let directory = home.join("desktop");
        std::fs::create_dir_all(&directory).context("cannot create a directory")?;
        let (program, opened) = (directory.join("xdg-open"), home.join("opened"));
        // Written under another name first: whoever sees the file sees all of it.
        let script = "#!/bin/sh\ncd \"$(dirname \"$0\")/..\" && printf %s \"$1\" >opening && mv opening opened\n";
        std::fs::write(&program, script).context("cannot write xdg-open")?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).context("cannot make it run")?;
        Ok(Self { directory, opened })
    }

    fn path(&self) -> Result<std::ffi::OsString> {
        let mut path = std::ffi::OsString::from(&self.directory);
        path.push(":");
        path.push(std::env::var_os("PATH").context("PATH is not set")?);
        Ok(path)
    }
}

fn chromium() -> Result<PathBuf> {
    let found =
        || ["/usr/bin/chromium", "/usr/bin/chromium-browser"].map(PathBuf::from).into_iter().find(|p| p.exists());
    if let Some(program) = found() {
        return Ok(program);
    }
    apt_install(&["chromium", "fonts-liberation"])?;
    found().context("the package chromium has brought no /usr/bin/chromium")
}

fn node_modules() -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!("oidc-provider-{OIDC_PROVIDER}-{PUPPETEER}-{NODE}"));
    let modules = dir.join("node_modules");
    // The last that npm writes: an installation that was cut off is done again.
    if !modules.join(".package-lock.json").exists() {
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        std::fs::write(dir.join("package.json"), "{\"private\":true}\n").context("cannot write package.json")?;
        run(Command::new("npm")
            .args(["install", "--no-fund", "--no-audit", "--loglevel=error"])
            .args([
                format!("node@{NODE}"),
                format!("oidc-provider@{OIDC_PROVIDER}"),
                format!("puppeteer-core@{PUPPETEER}"),
            ])
            .current_dir(&dir))?;
    }
    Ok(modules)
}
