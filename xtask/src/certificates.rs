// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask interop certificates`: what the certificate authority issues, before OpenSSL and before a linter.
//!
//! A certificate of every kind of identity under a P-256 and under a P-384 authority (`crates/testing/examples/issue_each_kind.rs`), both
//! authorities, and those that `touchmark up` makes. OpenSSL verifies each path, strictly, and must refuse it at another time and under
//! another authority; its text of a workflow's certificate has every extension. pkilint lints each (`interop/certificates/lint.py`, which lists
//! what is expected, with reasons).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::interop::{Server, in_fresh_home};
use crate::process::{self, exists, quiet, run, workspace};
use crate::tools::{apt_install, cache_dir};

const PKILINT: &str = "0.13.3";

const AUTHORITIES: [&str; 2] = ["p256", "p384"];
const LIFETIME_S: u64 = 600;

pub(crate) fn run_it() -> Result<()> {
    in_fresh_home(|home| {
        let passed = steps(home)?;
        println!("{passed} passed, 0 failed");
        Ok(())
    })
}

/// The whole part, in a directory of its own under `home`.
pub(crate) fn steps(home: &Path) -> Result<usize> {
    if !exists("openssl") {
        apt_install(&["openssl"])?;
    }
    let python = pkilint()?;
    let home = home.join("certificates");
    std::fs::create_dir_all(&home).context("cannot create a directory")?;
    let touchmark = issue(&home)?;

    let mut passed = 0;
    let mut pairs = Vec::new();
    for (authority, other) in AUTHORITIES.into_iter().zip(AUTHORITIES.into_iter().rev()) {
        let issued = Issued::read(&home.join(authority))?;
        for leaf in &issued.leaves {
            issued.verify(leaf, &home.join(other))?;
            passed += 3;
        }
        passed += issued.shows_everything(authority)?;
        pairs.extend(issued.pairs());
        println!("interop: openssl verifies {} certificates under {authority}", issued.leaves.len());
    }
    for chain in made_by_up(&touchmark, &home)? {
        pairs.extend(pairs_of(&split(&chain)?));
    }
    print!("{}", quiet(lint_command(&python).args(&pairs))?);
    // A linter that finds nothing anywhere would pass, too.
    let [issuer, subject] = [home.join("p384/intermediate.pem"), home.join("p256/leaf-email.pem")];
    expect_refused(lint_command(&python).arg(pair(&issuer, &subject)), "pkix.signature_verification_failed")?;
    Ok(passed + pairs.len() + 1)
}

/// The binary that issued them.
fn issue(home: &Path) -> Result<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--locked", "-p", "touchmark-cli", "-p", "touchmark-testing", "--bins", "--examples"]);
    run(build.current_dir(workspace()))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let touchmark = target.join("debug/touchmark");
    run(Command::new(target.join("debug/examples/issue_each_kind")).arg(&touchmark).arg(home))?;
    Ok(touchmark)
}

/// What `issue_each_kind` left of one authority.
struct Issued {
    root: PathBuf,
    intermediate: PathBuf,
    leaves: Vec<PathBuf>,
    issued_at_s: u64,
}

impl Issued {
    fn read(directory: &Path) -> Result<Self> {
        let mut leaves = Vec::new();
        for entry in std::fs::read_dir(directory).context("cannot read the certificates' directory")? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("leaf-")) {
                leaves.push(path);
            }
        }
        leaves.sort();
        ensure!(!leaves.is_empty(), "no certificates in {}", directory.display());
        let issued_at = std::fs::read_to_string(directory.join("issued_at")).context("cannot read issued_at")?;
        Ok(Self {
            root: directory.join("root.pem"),
            intermediate: directory.join("intermediate.pem"),
            leaves,
            issued_at_s: issued_at.trim().parse().context("issued_at is no number")?,
        })
    }

    /// It is good while it lasts, under its own authority, and only so.
    fn verify(&self, leaf: &Path, other: &Path) -> Result<()> {
        // Issuing them all takes a few seconds; every one is good in the middle of its time.
        let then_s = self.issued_at_s + LIFETIME_S / 2;
        quiet(&mut openssl_verify(&self.root, &self.intermediate, then_s, leaf))?;
        let late_s = self.issued_at_s + 2 * LIFETIME_S;
        expect_refused(&mut openssl_verify(&self.root, &self.intermediate, late_s, leaf), "certificate has expired")?;
        let (root, intermediate) = (other.join("root.pem"), other.join("intermediate.pem"));
        let stranger = &mut openssl_verify(&root, &intermediate, then_s, leaf);
        expect_refused(stranger, "unable to get local issuer certificate")
    }

    /// OpenSSL's text of the certificate with the most in it, and of the name that is no ordinary one.
    fn shows_everything(&self, authority: &str) -> Result<usize> {
        let text = self.text("ci-provider")?;
        let hash = if authority == "p384" { "384" } else { "256" };
        let mut expected = vec![
            format!("Signature Algorithm: ecdsa-with-SHA{hash}"),
            "\nSubject:\n".to_owned(),
            "X509v3 Key Usage: critical\nDigital Signature\n".to_owned(),
            "X509v3 Extended Key Usage:\nCode Signing\n".to_owned(),
            "X509v3 Subject Alternative Name: critical\nURI:https://github.com/acme/app/".to_owned(),
            "CT Precertificate SCTs:".to_owned(),
        ];
        expected.extend((1..=24).filter(|arc| *arc != 7).map(|arc| format!("\n1.3.6.1.4.1.57264.1.{arc}:\n")));
        for part in expected {
            ensure!(text.contains(&part), "openssl's text of a workflow's certificate lacks {part:?}:\n{text}");
        }
        let text = self.text("username")?;
        let name = "X509v3 Subject Alternative Name: critical\nothername: 1.3.6.1.4.1.57264.1.7";
        ensure!(text.contains(name), "openssl's text of a user's certificate lacks {name:?}:\n{text}");
        Ok(2)
    }

    /// Without the spaces at the ends of lines, in which versions of OpenSSL differ.
    fn text(&self, kind: &str) -> Result<String> {
        let leaf = self.leaves.iter().find(|leaf| leaf.ends_with(format!("leaf-{kind}.pem")));
        let leaf = leaf.with_context(|| format!("no certificate of kind {kind}"))?;
        let text = quiet(Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(leaf))?;
        Ok(text.lines().map(str::trim).collect::<Vec<_>>().join("\n"))
    }

    /// What the linter takes: each certificate with its issuer.
    fn pairs(&self) -> Vec<String> {
        let mut pairs = pairs_of(&[self.intermediate.clone(), self.root.clone()]);
        pairs.extend(self.leaves.iter().map(|leaf| pair(&self.intermediate, leaf)));
        pairs
    }
}

fn openssl_verify(root: &Path, intermediate: &Path, at_s: u64, leaf: &Path) -> Command {
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-purpose", "any", "-attime", &at_s.to_string(), "-no-CApath"]);
    command.arg("-CAfile").arg(root).arg("-untrusted").arg(intermediate).arg(leaf);
    command
}

fn expect_refused(command: &mut Command, reason: &str) -> Result<()> {
    let output = process::output(command)?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let program = command.get_program().to_string_lossy();
    ensure!(!output.status.success() && said.contains(reason), "{program} does not say {reason:?}: {said}");
    Ok(())
}

/// The chains of the authorities that a first start makes.
fn made_by_up(touchmark: &Path, home: &Path) -> Result<[PathBuf; 2]> {
    let data_dir = home.join("up");
    Server::spawn(Command::new(touchmark), &data_dir, home)?.stop()?;
    Ok(["ca", "tsa"].map(|kind| data_dir.join(kind).join("chain.pem")))
}

/// Each certificate of a chain in a file of its own.
fn split(chain: &Path) -> Result<Vec<PathBuf>> {
    const END: &str = "-----END CERTIFICATE-----\n";
    let text = std::fs::read_to_string(chain).with_context(|| format!("cannot read {}", chain.display()))?;
    let mut files = Vec::new();
    for (index, certificate) in text.split_inclusive(END).enumerate() {
        let file = chain.with_file_name(format!("certificate-{index}.pem"));
        std::fs::write(&file, certificate).context("cannot write a certificate")?;
        files.push(file);
    }
    Ok(files)
}

/// Of a chain, root last: each certificate with its issuer; the root's is itself.
fn pairs_of(chain: &[PathBuf]) -> Vec<String> {
    let issuers = chain.iter().skip(1).chain(chain.last());
    issuers.zip(chain).map(|(issuer, subject)| pair(issuer, subject)).collect()
}

fn pair(issuer: &Path, subject: &Path) -> String {
    format!("{}:{}", issuer.display(), subject.display())
}

fn lint_command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg(workspace().join("interop/certificates/lint.py"));
    command
}

/// The Python that has the linter.
fn pkilint() -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!("pkilint-{PKILINT}"));
    if !dir.join("bin/lint_pkix_cert").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
        run(Command::new(dir.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("pkilint=={PKILINT}")))?;
    }
    Ok(dir.join("bin/python"))
}
