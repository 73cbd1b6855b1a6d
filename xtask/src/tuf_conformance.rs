// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask interop tuf-conformance --suite DIR`: the public TUF conformance suite against our client.
//!
//! The suite (theupdateframework/tuf-conformance) is in no registry: DIR is a checkout of it, and without one there is nothing to run, so it
//! is no part of `interop` as a whole. The client is `tests/tuf-conformance-client`, which walks as `touchmark initialize` does.
//! Invariants: every test passes. No test is expected to fail, none is skipped, and the suite is not changed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{exists, output, run, workspace};
use crate::tools::{apt_install, cache_dir};

/// How many tests the suite had when the client was written (2.4.0): fewer are not the suite.
const TESTS_MIN: usize = 113;

pub(crate) fn run_it(suite: &Path) -> Result<()> {
    let suite = &suite.canonicalize().with_context(|| format!("there is no directory {}", suite.display()))?;
    let tests = suite.join("tuf_conformance");
    ensure!(tests.is_dir(), "{} is no checkout of theupdateframework/tuf-conformance", suite.display());
    let client = workspace().join("tests/tuf-conformance-client");
    let expected_failures = client.with_extension("xfails");
    ensure!(!expected_failures.exists(), "{}: our client is expected to fail nothing", expected_failures.display());
    if !exists("faketime") {
        apt_install(&["faketime"])?;
    }
    let build = ["build", "--locked", "-p", "touchmark-client", "--example", "tuf_conformance"];
    run(Command::new(env!("CARGO")).args(build).current_dir(workspace()))?;
    let python = cache_dir()?.join("tuf-conformance");
    run(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    let install = ["install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(python.join("bin/pip")).args(install).arg(suite))?;
    let mut pytest = Command::new(python.join("bin/pytest"));
    // Nothing is written to the checkout.
    pytest.args(["-p", "no:cacheprovider", "-v", "--entrypoint"]).arg(&client).arg(&tests);
    pytest.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(suite);
    let output = output(&mut pytest)?;
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    ensure!(output.status.success(), "the suite refuses our client: {}", output.status);
    let passed = all_passed(&said)?;
    ensure!(passed >= TESTS_MIN, "{passed} tests were run, expected {TESTS_MIN} or more");
    println!("{passed} passed, 0 failed");
    Ok(())
}

/// How many tests passed, from pytest's last line, such as `113 passed, 2 warnings in 19.02s`; it names whatever did not pass.
fn all_passed(said: &str) -> Result<usize> {
    let last = said.lines().rev().find(|line| line.contains(" passed")).context("pytest counted nothing")?;
    let (counts, _) = last.trim_matches(['=', ' ']).split_once(" in ").context("pytest's last line has no time")?;
    let mut passed = 0;
    for count in counts.split(", ") {
        match count.split_once(' ') {
            Some((number, "passed")) => passed = number.parse().context("pytest's count")?,
            Some((_, "warning" | "warnings")) => {}
            _ => bail!("not every test passed: {last}"),
        }
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_counts_only_if_all_of_it_passed() {
        assert_eq!(all_passed("a test PASSED\n===== 113 passed in 19.02s =====\n").unwrap(), 113);
        assert_eq!(all_passed("===== 113 passed, 2 warnings in 1s =====\n").unwrap(), 113);
        assert_eq!(all_passed("===== 113 passed in 63.02s (0:01:03) =====\n\n").unwrap(), 113);
        for other in ["112 passed, 1 xfailed in 1s", "112 passed, 1 skipped in 1s", "1 failed, 112 passed in 1s", ""] {
            all_passed(&format!("==== {other} ====")).unwrap_err();
        }
    }
}
