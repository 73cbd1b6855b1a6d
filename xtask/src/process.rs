// SPDX-License-Identifier: Apache-2.0
//! Running programs: every command line is printed, every failure names the program and its exit status.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

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

/// A program beside us; everything that it prints goes to a file. It does not outlive this value.
pub(crate) struct Background {
    line: String,
    process: Child,
    /// Held open, because a program may run for as long as it is.
    _stdin: Option<ChildStdin>,
    log: PathBuf,
}

impl Background {
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let line = line_of(command);
        command.stdin(Stdio::piped()).stdout(file.try_clone().context("a log file")?).stderr(file);
        let mut process = command.spawn().with_context(|| format!("cannot start {}", program_of(command)))?;
        let stdin = process.stdin.take();
        Ok(Self { line, process, _stdin: stdin, log: log.to_owned() })
    }

    /// Everything that it has printed so far.
    pub(crate) fn said(&self) -> Result<String> {
        let bytes = std::fs::read(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until `look`, which is shown everything that it has said, finds what it looks for.
    pub(crate) fn await_until<T>(&mut self, within: Duration, look: impl Fn(&str) -> Option<T>) -> Result<T> {
        self.poll(within, |program| {
            let ended = program.process.try_wait().context("cannot ask for a program's state")?;
            let said = program.said()?;
            match (look(&said), ended) {
                (Some(found), _) => Ok(Some(found)),
                (None, Some(status)) => bail!("{} ended too early: {status}\n{said}", program.line),
                (None, None) => Ok(None),
            }
        })
    }

    /// Waits until it ends by itself.
    pub(crate) fn await_end(&mut self, within: Duration) -> Result<ExitStatus> {
        self.poll(within, |program| program.process.try_wait().context("cannot ask for a program's state"))
    }

    fn poll<T>(&mut self, within: Duration, mut ask: impl FnMut(&mut Self) -> Result<Option<T>>) -> Result<T> {
        let begun = Instant::now();
        while begun.elapsed() < within {
            if let Some(answer) = ask(self)? {
                return Ok(answer);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} took longer than {within:?}; it said:\n{}", self.line, self.said()?)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // One that ended already is a usual case; another must not be left behind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
