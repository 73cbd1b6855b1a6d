// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench`: the measurements of docs/benchmarks.md, with their ceilings, in one run.

use std::process::Command;

use anyhow::Result;

use crate::process::{run as run_command, workspace};

/// Builds the product and the load driver in release mode and runs the driver. Its arguments are described by `-- --help`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let cargo = env!("CARGO");
    run_command(
        Command::new(cargo)
            .args(["build", "--release", "--locked", "-p", "touchmark-cli", "-p", "touchmark-bench"])
            .current_dir(workspace()),
    )?;
    run_command(
        Command::new(workspace().join("target/release/touchmark-bench")).args(arguments).current_dir(workspace()),
    )
}
