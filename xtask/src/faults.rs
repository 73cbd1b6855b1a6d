// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask faults`: the log's own store on a disk that fails by a seed, for longer than `cargo test` does, or one seed with its trace.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{run as run_command, workspace};

const SECONDS: u64 = 240;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut seconds, mut seed, mut first) = (SECONDS, None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{argument} needs a number"))?;
        let value: u64 = value.parse().with_context(|| format!("{argument} {value}: not a number"))?;
        match argument.as_str() {
            "--seconds" => seconds = value,
            "--seed" => seed = Some(value),
            "--first" => first = Some(value),
            other => bail!("unknown argument {other:?}; faults takes --seconds N, --first SEED, --seed SEED"),
        }
    }
    let test = "tests::disk::nothing_acknowledged_is_lost_on_a_disk_that_fails";
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--locked", "-p", "touchmark-sequencer", "--lib", "--", "--exact", "--nocapture", test]);
    command.env("TOUCHMARK_FAULTS_SECONDS", seconds.to_string());
    // Another part of the seeds each time, unless one is asked for.
    let first = first.unwrap_or_else(|| u64::from(std::process::id()) << 20);
    match seed {
        Some(seed) => command.env("TOUCHMARK_FAULTS_SEED", seed.to_string()),
        None => command.env("TOUCHMARK_FAULTS_FIRST", first.to_string()),
    };
    println!("the first seed is {}", seed.unwrap_or(first));
    run_command(command.current_dir(workspace()))
}
