// SPDX-License-Identifier: Apache-2.0
//! The bundles of an input: one, or several in a file of JSON lines, of which one has to verify.
//!
//! Invariant: a file that nobody named is opened only if it is a regular one, for it may have come with the artifact, and a pipe could
//! wait for ever.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use touchmark_sigstore::bundle::{Bundle, BundleError};
use touchmark_sigstore::wire::BUNDLE_BYTES_MAX;

use super::inputs::{ArtifactAt, BundleAt, Input, bundle_beside};
use crate::exit::ExitStatus;
use crate::failure::Failure;

/// Where the bundle of an input is.
pub(super) fn bundle_path(input: &Input) -> PathBuf {
    match &input.bundle {
        BundleAt::Named(path) => path.clone(),
        BundleAt::Beside(file) => bundle_beside(file),
    }
}

/// What is in the file, each with a result of its own.
pub(super) fn candidates(input: &Input, path: &Path) -> Result<Vec<Result<Bundle, BundleError>>, Failure> {
    let bytes = match &input.bundle {
        BundleAt::Named(_) => read(path),
        BundleAt::Beside(file) => read_beside(file, path),
    };
    let bytes = bytes.map_err(|failure| match &input.artifact {
        ArtifactAt::File(file) if file.to_string_lossy().ends_with(".sigstore.json") => {
            failure.hint("FILE is what was signed, not its bundle")
        }
        _ => failure,
    })?;
    let whole = Bundle::parse(&bytes);
    if whole.is_ok() || !holds_lines(&bytes) {
        return Ok(vec![whole]);
    }
    let lines = Bundle::parse_lines(&bytes);
    Ok(lines.unwrap_or_else(|error| vec![Err(error)]))
}

/// Whether there is a document on the first line, and a second one.
fn holds_lines(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let first = lines.next().is_some_and(|line| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok());
    first && lines.next().is_some()
}

fn read_beside(file: &Path, path: &Path) -> Result<Vec<u8>, Failure> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => {
            Err(Failure::new(ExitStatus::Unreadable, format!("{} is not a regular file", path.display()))
                .code("bundle_unreadable")
                .hint("name the bundle with --bundle"))
        }
        // A name that was mistyped is no unsigned file.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            file.metadata().map_err(|error| {
                Failure::new(ExitStatus::Unreadable, format!("{} could not be read", file.display()))
                    .code("artifact_unreadable")
                    .because(error)
            })?;
            read(path)
        }
        _ => read(path),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use io::Read as _;
    let mut bytes = Vec::new();
    // One byte more than the limit: the parser says that it is too large.
    let read =
        std::fs::File::open(path).and_then(|file| file.take(BUNDLE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Failure::new(ExitStatus::NotSigned, format!("there is no bundle {}", path.display()))
                .code("bundle_missing")
                .hint("the file is not signed, or its bundle is elsewhere: name it with --bundle"))
        }
        Err(error) => Err(Failure::new(ExitStatus::Unreadable, format!("{} could not be read", path.display()))
            .code("bundle_unreadable")
            .because(error)),
    }
}
