// SPDX-License-Identifier: Apache-2.0
//! Which functions a process runs that verifies one bundle: the list by which the linker lays them side by side (`crates/cli/build.rs`).
//!
//! In scope: running commands under valgrind, and the names of the binary's own functions among those that ran. Out of scope: how often they run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Writes the list, those of the first command first: each is a start.
pub(crate) fn write(file: &Path, binary: &Path, commands: Vec<Command>) -> Result<()> {
    let own = own_functions(binary)?;
    let (mut listed, mut lines) = (BTreeSet::new(), String::new());
    for command in &commands {
        for name in functions_run(command)? {
            if own.contains(&name) && listed.insert(name.clone()) {
                lines.push_str(&name);
                lines.push('\n');
            }
        }
    }
    ensure!(!listed.is_empty(), "none of the functions that ran is one of {}: is it stripped?", binary.display());
    fs::write(file, lines).with_context(|| format!("cannot write {}", file.display()))
}

fn own_functions(binary: &Path) -> Result<BTreeSet<String>> {
    let output = Command::new("nm").arg("--defined-only").arg(binary).output().context("cannot start nm")?;
    ensure!(output.status.success(), "nm failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let function = |line: &str| match line.split(' ').collect::<Vec<_>>().as_slice() {
        [_, "t" | "T" | "w" | "W", name] => Some((*name).to_owned()),
        _ => None,
    };
    Ok(text.lines().filter_map(function).collect())
}

/// The names in a profile of callgrind: `fn=(ID) NAME`, and `cfn=` for one that was called; NAME stands at the first mention of its ID.
fn functions_run(command: &Command) -> Result<BTreeSet<String>> {
    let profile = tempfile::NamedTempFile::new().context("no temporary file")?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--demangle=no", "--quiet"]);
    valgrind.arg(format!("--callgrind-out-file={}", profile.path().display()));
    valgrind.arg(command.get_program()).args(command.get_args());
    let status = valgrind.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.context("cannot start valgrind (the package of the same name)")?;
    ensure!(status.success(), "{valgrind:?} failed: {status}");
    let text = fs::read(profile.path()).context("cannot read the profile")?;
    let name = |line: &str| {
        let (_, name) = line.strip_prefix("c").unwrap_or(line).strip_prefix("fn=(")?.split_once(") ")?;
        // Recursion is told apart by an apostrophe and a number.
        Some(name.split('\'').next().unwrap_or(name).to_owned())
    };
    Ok(String::from_utf8_lossy(&text).lines().filter_map(name).collect())
}
