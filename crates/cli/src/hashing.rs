// SPDX-License-Identifier: Apache-2.0
//! The artifact of a command: a file, or `-` for stdin, hashed as a stream with a bar when it is long.

use std::fs::File;
use std::io;
use std::path::Path;

use touchmark_client::artifact;
use touchmark_keys::{Digest, HashAlgorithm};

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;

/// Below this a bar would only flicker.
const BAR_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// The digest of a file or of stdin.
pub(crate) fn artifact_digest(path: &Path, algorithm: HashAlgorithm, printer: Printer) -> Result<Digest, Failure> {
    let unreadable = |error: io::Error| {
        Failure::new(ExitStatus::Unreadable, format!("{} could not be read", path.display())).because(error)
    };
    if path == Path::new("-") {
        return artifact::digest(algorithm, io::stdin().lock(), |_| {}).map_err(unreadable);
    }
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    if length < BAR_BYTES_MIN {
        return artifact::digest(algorithm, file, |_| {}).map_err(unreadable);
    }
    let bar = printer.byte_bar(length, format!("hashing {}", path.display()));
    let digest = artifact::digest(algorithm, file, |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    digest.map_err(unreadable)
}
