// SPDX-License-Identifier: Apache-2.0
//! A working directory with files and bundles of the conformance suite, and the process under test.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors");

/// Who signed most cases.
pub(crate) const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
pub(crate) const ISSUER: &str = "https://token.actions.githubusercontent.com";
pub(crate) const REPOSITORY: &str = "sigstore-conformance/extremely-dangerous-public-oidc-beacon";
pub(crate) const SLSA: &str = "https://slsa.dev/provenance/v1";

/// The flags for most cases.
pub(crate) const BY_BEACON: [&str; 4] = ["--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER];

pub(crate) fn vector(path: &str) -> Vec<u8> {
    let path = Path::new(VECTORS).join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of a conformance case, if it is there.
pub(crate) fn of_case(case: &str, file: &str) -> Option<Vec<u8>> {
    std::fs::read(Path::new(VECTORS).join("sigstore-conformance/bundle-verify").join(case).join(file)).ok()
}

/// The names of all conformance cases.
pub(crate) fn cases() -> Vec<String> {
    let directory = std::fs::read_dir(Path::new(VECTORS).join("sigstore-conformance/bundle-verify")).unwrap();
    let directories = directory.map(Result::unwrap).filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The artifact of a case.
pub(crate) fn artifact_of(case: &str) -> Vec<u8> {
    of_case(case, "artifact").unwrap_or_else(|| vector("sigstore-conformance/bundle-verify/a.txt"))
}

/// A directory that is home and working directory. `root.json` in it is the public-good trusted root.
pub(crate) struct Shell {
    home: TempDir,
}

impl Shell {
    pub(crate) fn new() -> Self {
        let shell = Self { home: tempfile::tempdir().unwrap() };
        shell.write("root.json", vector("sigstore-tuf-repository/targets/trusted_root.json"));
        shell
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Lays the artifact of a case under `name`, and its bundle beside it.
    pub(crate) fn lay(&self, name: &str, case: &str) {
        self.write(name, artifact_of(case));
        self.write(&format!("{name}.sigstore.json"), of_case(case, "bundle.sigstore.json").unwrap());
    }

    /// The trusted root of a case, as an argument.
    pub(crate) fn root_of(&self, case: &str) -> String {
        match of_case(case, "trusted_root.json") {
            None => "root.json".to_owned(),
            Some(root) => {
                let name = format!("{case}.root.json");
                self.write(&name, root);
                name
            }
        }
    }

    /// The binary, with an environment that holds nothing of ours.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.home.path()).env_clear().env("HOME", self.home.path()).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        let mut command = self.command(BINARY);
        command.args(args);
        Finished { called: args.join(" "), output: command.output().unwrap() }
    }

    pub(crate) fn run_with_stdin(&self, args: &[&str], stdin: &[u8]) -> Finished {
        let mut command = self.command(BINARY);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        Finished { called: args.join(" "), output: child.wait_with_output().unwrap() }
    }

    /// `verify-blob` under the public-good root, signed by the conformance suite's workflow.
    pub(crate) fn verify(&self, args: &[&str]) -> Finished {
        self.run(&[&["verify-blob", "--trusted-root", "root.json"][..], &BY_BEACON, args].concat())
    }

    /// The same for an attestation of provenance.
    pub(crate) fn verify_attestation(&self, args: &[&str]) -> Finished {
        let command = ["verify-blob-attestation", "--trusted-root", "root.json"];
        self.run(&[&command[..], &BY_BEACON, args].concat())
    }
}

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_touchmark");

/// A process that ended.
pub(crate) struct Finished {
    pub(crate) called: String,
    pub(crate) output: Output,
}

impl Finished {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap_or_else(|| panic!("{}: killed", self.called))
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        let (stdout, stderr) = (self.stdout(), self.stderr());
        assert_eq!(self.code(), code, "{}\nstdout: {stdout}\nstderr: {stderr}", self.called);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        let all = self.stdout() + &self.stderr();
        assert!(all.contains(text), "{}\nno {text:?} in: {all}", self.called);
        self
    }

    /// The documents of the output, one a line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout().lines().map(parse).collect()
    }

    /// The only document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let mut lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{}", self.stdout());
        lines.remove(0)
    }
}
