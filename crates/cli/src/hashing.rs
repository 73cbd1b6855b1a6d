// SPDX-License-Identifier: Apache-2.0
//! The artifact of a command: a file, or `-` for stdin, hashed as a stream with a bar when it is long.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use indicatif::ProgressBar;
use touchmark_client::artifact;
use touchmark_keys::{Digest, HashAlgorithm};

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::{Printer, printable};

/// Below this a bar would only flicker.
const BAR_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// An artifact as far as it was read.
#[derive(Debug)]
pub(crate) enum ReadArtifact {
    Digests(Vec<Digest>),
    Whole(Vec<u8>),
}

/// The digest of a file or of stdin.
pub(crate) fn artifact_digest(path: &Path, algorithm: HashAlgorithm, printer: Printer) -> Result<Digest, Failure> {
    let digests = artifact_digests(path, &[algorithm], Some(printer))?;
    Ok(digests.into_iter().next().expect("one algorithm makes one digest"))
}

/// The digests of a file or of stdin, under each of these algorithms. The bar is drawn where there is a printer.
pub(crate) fn artifact_digests(
    path: &Path,
    algorithms: &[HashAlgorithm],
    printer: Option<Printer>,
) -> Result<Vec<Digest>, Failure> {
    if path == Path::new("-") {
        return artifact::digests(algorithms, io::stdin(), None, |_| {}).map_err(|error| unreadable(path, error));
    }
    let (file, length) = open(path)?;
    let bar = printer
        .filter(|_| length.is_some_and(|length| length >= BAR_BYTES_MIN))
        .map(|printer| printer.byte_bar(length.unwrap_or_default(), format!("hashing {}", printable(path.display()))));
    let on_progress = |bytes| bar.iter().for_each(|bar| bar.inc(bytes));
    let digests = artifact::digests(algorithms, file, length, on_progress);
    bar.iter().for_each(ProgressBar::finish_and_clear);
    digests.map_err(|error| unreadable(path, error))
}

/// A file or stdin as a whole, or, if it is longer than `bytes_max`, its digests.
pub(crate) fn whole_artifact(
    path: &Path,
    bytes_max: u64,
    algorithms: &[HashAlgorithm],
    printer: Option<Printer>,
) -> Result<ReadArtifact, Failure> {
    let failed = |error| unreadable(path, error);
    let mut head = Vec::new();
    let mut reader: Box<dyn Read + Send> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(open(path)?.0) };
    reader.by_ref().take(bytes_max.saturating_add(1)).read_to_end(&mut head).map_err(failed)?;
    if head.len() as u64 <= bytes_max {
        return Ok(ReadArtifact::Whole(head));
    }
    if path == Path::new("-") {
        let digests = artifact::digests(algorithms, head.chain(reader), None, |_| {}).map_err(failed)?;
        return Ok(ReadArtifact::Digests(digests));
    }
    drop(head);
    artifact_digests(path, algorithms, printer).map(ReadArtifact::Digests)
}

fn open(path: &Path) -> Result<(File, Option<u64>), Failure> {
    let failed = |error| unreadable(path, error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    // Only the length of a regular file says how much there is to read.
    Ok((file, metadata.is_file().then_some(metadata.len())))
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::new(ExitStatus::Unreadable, format!("{} could not be read", path.display()))
        .code("artifact_unreadable")
        .because(error)
}
