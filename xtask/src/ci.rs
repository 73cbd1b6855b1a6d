// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask ci`: all that needs only Rust and a C compiler, in the order in which a failure is cheapest to learn.

use std::process::Command;

use anyhow::Result;

use crate::process::{self, workspace};
use crate::{static_ct, tidy, tools};

pub(crate) fn run_step(arguments: &[&str]) -> Result<()> {
    process::run(Command::new(env!("CARGO")).args(arguments).current_dir(workspace()))
}

pub(crate) fn run() -> Result<()> {
    run_step(&["fmt", "--all", "--check"])?;
    tidy::run()?;
    run_step(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    run_step(&["test", "--workspace", "--locked"])?;
    static_ct::run_it()?;
    process::run(
        Command::new(tools::cargo_deny()?).args(["check", "bans", "licenses", "sources"]).current_dir(workspace()),
    )?;
    process::run(Command::new(tools::cargo_machete()?).current_dir(workspace()))?;
    println!("ci: all steps passed");
    Ok(())
}
