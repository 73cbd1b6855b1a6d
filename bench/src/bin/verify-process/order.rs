// SPDX-License-Identifier: Apache-2.0
//! Which functions a process runs that verifies one bundle: the list by which the linker lays them side by side (`crates/cli/build.rs`).
//!
//! In scope: running commands under valgrind, and the names of the binary's own functions among those that ran. Out of scope: how often they run.
//!
//! A name is listed without what differs from build to build: the compiler's hash at its end depends on the directory and on the versions of all crates.
//! So a name stands for each instance of a generic function; one of so many that most of them do not run is left out ([`INSTANCES_MAX`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Most instances of a function that are laid side by side because one of them runs: with more the list grows by much that does not.
const INSTANCES_MAX: usize = 64;
/// Digits of the hash that ends a function's name, after `17h` and before `E`.
const HASH_DIGITS: usize = 16;

/// Writes the list, those of the first command first: each is a start.
pub(crate) fn write(file: &Path, binary: &Path, commands: Vec<Command>) -> Result<()> {
    let own = own_functions(binary)?;
    let (mut listed, mut lines) = (BTreeSet::new(), String::new());
    for command in &commands {
        for name in functions_run(command)? {
            let stem = stem(&name);
            let is_of_few = own.get(stem).is_some_and(|instances| *instances <= INSTANCES_MAX);
            if is_of_few && listed.insert(stem.to_owned()) {
                lines.push_str(stem);
                lines.push('\n');
            }
        }
    }
    ensure!(!listed.is_empty(), "none of the functions that ran is one of {}: is it stripped?", binary.display());
    fs::write(file, lines).with_context(|| format!("cannot write {}", file.display()))
}

/// A name without what differs from build to build: `_ZN4core3fmt5write17h` of `_ZN4core3fmt5write17h0123456789abcdefE.llvm.1234`.
fn stem(name: &str) -> &str {
    let name = name.split_once(".llvm.").map_or(name, |(name, _)| name);
    let Some((before, hash)) = name.rsplit_once("17h") else { return name };
    let digits = hash.split('E').next().unwrap_or_default();
    let is_hash = digits.len() == HASH_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_hash { &name[..before.len() + "17h".len()] } else { name }
}

/// How many functions of the binary have each stem.
fn own_functions(binary: &Path) -> Result<BTreeMap<String, usize>> {
    let output = Command::new("nm").arg("--defined-only").arg(binary).output().context("cannot start nm")?;
    ensure!(output.status.success(), "nm failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let function = |line: &str| match line.split(' ').collect::<Vec<_>>().as_slice() {
        [_, "t" | "T" | "w" | "W", name] => Some(stem(name).to_owned()),
        _ => None,
    };
    let mut instances = BTreeMap::new();
    for stem in text.lines().filter_map(function) {
        *instances.entry(stem).or_default() += 1;
    }
    Ok(instances)
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
