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

/// A digest as an argument and in a verdict: `sha256:HEX`.
pub(crate) fn digest_text(digest: &Digest) -> String {
    format!("{}:{}", prefix(digest.algorithm()), hex::encode(digest.as_bytes()))
}

/// The inverse of [`digest_text`].
pub(crate) fn parse_digest(text: &str) -> Option<Digest> {
    let (name, hex) = text.split_once(':')?;
    let algorithm = HashAlgorithm::ALL.into_iter().find(|algorithm| prefix(*algorithm) == name)?;
    Digest::new(algorithm, hex::decode(hex).ok()?).ok()
}

pub(crate) fn prefix(algorithm: HashAlgorithm) -> &'static str {
    match algorithm {
        HashAlgorithm::Sha256 => "sha256",
        HashAlgorithm::Sha384 => "sha384",
        HashAlgorithm::Sha512 => "sha512",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_read_back_under_each_algorithm() {
        for algorithm in HashAlgorithm::ALL {
            let digest = touchmark_keys::digest(algorithm, b"touch plate");
            assert_eq!(parse_digest(&digest_text(&digest)), Some(digest));
        }
        assert_eq!(parse_digest("sha256:00"), None);
        assert_eq!(parse_digest("md5:d41d8cd98f00b204e9800998ecf8427e"), None);
    }
}
