// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench`: the measurements of docs/benchmarks.md, each with its ceiling from the same run.

use std::process::Command;

use anyhow::Result;

use crate::process::{exists, run as run_command, workspace};

/// Builds what is to be measured in release mode and runs the program that measures: the services, or with a first argument
/// `log` the log engine, with `ca` the certificate authority, with `tsa` the timestamp authority, with `verify` or `verify-process` the verifier. The rest of the arguments is the program's; each describes its own with `--help`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (program, packages, rest): (&str, &[&str], &[String]) = match arguments {
        [first, rest @ ..] if first == "verify" => ("verify-compare", &["touchmark-bench"], rest),
        [first, rest @ ..] if first == "verify-process" => {
            ("verify-process", &["touchmark-cli", "touchmark-bench"], rest)
        }
        [first, rest @ ..] if first == "log" => ("log-engine", &["touchmark-cli", "touchmark-bench"], rest),
        [first, rest @ ..] if first == "tsa" => ("tsa-stamp", &["touchmark-cli", "touchmark-bench"], rest),
        [first, rest @ ..] if first == "ca" => ("ca-issue", &["touchmark-cli", "touchmark-bench"], rest),
        rest => ("touchmark-bench", &["touchmark-cli", "touchmark-bench"], rest),
    };
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--locked", "--bins"]).current_dir(workspace());
    for package in packages {
        build.args(["-p", package]);
    }
    run_command(&mut build)?;
    let path = workspace().join("target/release").join(program);
    let mut measure = if program == "verify-compare" && exists("taskset") {
        let mut pinned = Command::new("taskset");
        // The last core: the first one has the interrupts.
        let last = std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1);
        pinned.args(["-c", &last.to_string()]).arg(path);
        pinned
    } else {
        Command::new(path)
    };
    run_command(measure.args(rest).current_dir(workspace()))
}
