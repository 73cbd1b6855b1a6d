// SPDX-License-Identifier: Apache-2.0
//! Running a plugin once.
//!
//! In scope: finding the program, its input and output, limits on time and size. Out of scope: what is said ([`super::protocol`]).
//! Invariants: only the file with exactly the plugin's name in an absolute directory of the search path is run, without a shell; a program
//! that is over its time or its output is killed; a child never outlives the call that waits for it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::PluginProblem;

/// Longest answer: a PEM key or a signature in base64, hundredfold.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How much of what it writes to standard error is kept for our log; the rest is read and dropped.
const DIAGNOSTICS_BYTES_MAX: usize = 2048;

/// What a program left behind.
pub(super) struct Ended {
    pub(super) answer: Vec<u8>,
    pub(super) diagnostics: String,
}

/// The program of this name on the search path.
///
/// Relative directories are passed over: what they name depends on where the server was started.
pub(super) fn find(name: &str, search_path: &OsStr) -> Result<PathBuf, PluginProblem> {
    let candidates = std::env::split_paths(search_path).filter(|directory| directory.is_absolute());
    candidates.map(|directory| directory.join(name)).find(|path| is_program(path)).ok_or(PluginProblem::NotFound)
}

fn is_program(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    #[cfg(unix)]
    let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let executable = true;
    metadata.is_file() && executable
}

/// Runs the program to its end, within the deadline.
pub(super) async fn run(
    program: &Path,
    arguments: &[&str],
    input: &[u8],
    deadline: Duration,
) -> Result<Ended, PluginProblem> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // For callers that give up before the deadline.
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| PluginProblem::NotStarted { kind: error.kind() })?;
    let ended = tokio::time::timeout(deadline, talk(&mut child, input)).await.unwrap_or(Err(PluginProblem::Deadline));
    if ended.is_err() {
        // Killed and waited for; one that has ended already is no failure.
        let _ = child.kill().await;
    }
    let (status, ended) = ended?;
    // The protocol ignores what a program says by its status, but not that it never came to say it.
    if status.code().is_none() {
        return Err(PluginProblem::Killed);
    }
    Ok(ended)
}

async fn talk(child: &mut Child, input: &[u8]) -> Result<(ExitStatus, Ended), PluginProblem> {
    let stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let write = async move {
        if let Some(mut stdin) = stdin {
            // A program that is given a digest need not read its input.
            let _ = stdin.write_all(input).await;
        }
        Ok(())
    };
    let answer = async move {
        let mut answer = Vec::new();
        if let Some(stdout) = stdout {
            let mut stdout = stdout.take(ANSWER_BYTES_MAX as u64 + 1);
            stdout.read_to_end(&mut answer).await.map_err(|error| PluginProblem::Pipe { kind: error.kind() })?;
        }
        if answer.len() > ANSWER_BYTES_MAX { Err(PluginProblem::AnswerTooLong) } else { Ok(answer) }
    };
    let ((), answer, diagnostics) = tokio::try_join!(write, answer, diagnostics(stderr))?;
    let status = child.wait().await.map_err(|error| PluginProblem::Pipe { kind: error.kind() })?;
    Ok((status, Ended { answer, diagnostics }))
}

/// The beginning of what a program writes beside its answer.
async fn diagnostics(stderr: Option<impl AsyncRead + Unpin>) -> Result<String, PluginProblem> {
    let mut kept = Vec::new();
    let mut chunk = [0; 4096];
    if let Some(mut stderr) = stderr {
        while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
            let room = DIAGNOSTICS_BYTES_MAX - kept.len();
            kept.extend_from_slice(&chunk[..length.min(room)]);
        }
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}
