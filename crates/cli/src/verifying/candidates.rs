// SPDX-License-Identifier: Apache-2.0
//! The bundles of an input: one, or several in a file of JSON lines or in a registry's reply (PyPI, npm, GitHub), of which one has to
//! verify.
//!
//! Invariant: a file that nobody named is opened only if it is a regular one, for it may have come with the artifact, and a pipe could
//! wait for ever.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use touchmark_sigstore::bundle::convert::{self, ConvertError, Converted, InputFormat};
use touchmark_sigstore::bundle::{Bundle, BundleError};
use touchmark_sigstore::wire::BUNDLE_BYTES_MAX;

use super::inputs::{ArtifactAt, BundleAt, Input, bundle_beside};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::paths::READ_AT_FIRST_BYTES;

/// Where the bundle of an input is.
pub(super) fn bundle_path(input: &Input) -> PathBuf {
    match &input.bundle {
        BundleAt::Named(path) => path.clone(),
        BundleAt::Beside(file) => bundle_beside(file),
    }
}

/// Why something in a bundle file is not a bundle.
pub(super) struct Unreadable {
    pub(super) code: &'static str,
    pub(super) found: String,
    pub(super) hint: &'static str,
}

const NO_BUNDLE: &str =
    "is this the right file? A bundle is JSON of media type application/vnd.dev.sigstore.bundle.v0.3+json";

/// What is in the file, each with a result of its own; at least one.
pub(super) fn candidates(input: &Input, path: &Path) -> Result<Vec<Result<Bundle, Unreadable>>, Failure> {
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
    let error = match Bundle::parse(&bytes) {
        Ok(bundle) => return Ok(vec![Ok(bundle)]),
        Err(error) => error,
    };
    if matches!(convert::detect(&bytes), InputFormat::Bundle | InputFormat::Other) {
        return Ok(vec![Err(error.into())]);
    }
    let mut bundles: Vec<Result<Bundle, Unreadable>> = match convert::bundles(&bytes) {
        Ok(converted) => converted
            .into_iter()
            .map(|converted| converted.map(Converted::into_bundle).map_err(Unreadable::from))
            .collect(),
        Err(error) => vec![Err(error.into())],
    };
    if bundles.is_empty() {
        let found = "a file without any bundle".to_owned();
        bundles.push(Err(Unreadable { code: "bundle_incomplete", found, hint: NO_BUNDLE }));
    }
    Ok(bundles)
}

impl From<BundleError> for Unreadable {
    fn from(error: BundleError) -> Self {
        Self { code: error.code(), found: error.to_string(), hint: NO_BUNDLE }
    }
}

impl From<ConvertError> for Unreadable {
    fn from(error: ConvertError) -> Self {
        match error {
            ConvertError::Bundle(error) => error.into(),
            ConvertError::Format { found } => Self {
                code: "bundle_form",
                found: found.to_string(),
                hint: "`touchmark bundle upgrade` makes a bundle of a detached signature and what belongs to it",
            },
            error => Self { code: "bundle_conversion", found: error.to_string(), hint: NO_BUNDLE },
        }
    }
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
    let mut bytes = Vec::with_capacity(READ_AT_FIRST_BYTES);
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
