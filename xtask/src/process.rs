// SPDX-License-Identifier: Apache-2.0
//! Running programs: every command line is printed, every failure names the program and its exit status.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace root").to_owned()
}

/// Runs `command` with the terminal's own streams and demands success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", line_of(command));
    let status = command.status().with_context(|| format!("cannot start {}", program_of(command)))?;
    if !status.success() {
        bail!("{} failed: {status}\n  {}", program_of(command), line_of(command));
    }
    Ok(())
}

/// Runs `command` silently and returns what it printed, whether it succeeded or not.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", program_of(command)))
}

/// Runs `command` silently; demands success and shows what it printed otherwise.
pub(crate) fn quiet(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!(
            "{} failed: {}\n  {}\n{}{}",
            program_of(command),
            output.status,
            line_of(command),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `program` can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn program_of(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// The command line for people; tokens are shortened, because logs are kept.
fn line_of(command: &Command) -> String {
    let mut line = program_of(command);
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        line.push(' ');
        if argument.starts_with("ey") && argument.len() > 80 {
            line.push_str("<token>");
        } else {
            line.push_str(&argument);
        }
    }
    line
}
