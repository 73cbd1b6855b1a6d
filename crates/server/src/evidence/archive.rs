// SPDX-License-Identifier: Apache-2.0
//! Pieces of evidence on disk: `<log directory>/evidence/<number>`, numbered from 1 in the order in which they were kept.
//!
//! What is kept is bounded in two ways. Of one tree the first and the last piece are kept: between them nothing happened. And when there are
//! [`PIECES_MAX`], every second one of the older half goes, so that the density falls with age and the whole life of the log stays covered.
//!
//! Invariants: a piece is durable before an older one is removed; a number is never used again while a later one exists.

use std::path::{Path, PathBuf};

use touchmark_sigstore::evidence::Evidence;

use crate::durable::{self, Access, FileError, failed};

/// At an hour's interval half a year; at about 6 KiB each with two authorities 25 MB.
const PIECES_MAX: usize = 4096;

pub(super) struct Archive {
    directory: PathBuf,
    numbers: Vec<u64>,
    /// The texts of the checkpoints of the last two pieces.
    last_texts: [Option<String>; 2],
}

/// Where the evidence of a log lies.
pub(super) fn directory(log_directory: &Path) -> PathBuf {
    log_directory.join("evidence")
}

/// What is kept, oldest first. Other files are passed over.
pub(super) fn numbers(directory: &Path) -> Result<Vec<u64>, FileError> {
    let mut numbers = Vec::new();
    if !directory.exists() {
        return Ok(numbers);
    }
    for entry in std::fs::read_dir(directory).map_err(failed("cannot read", directory))? {
        let name = entry.map_err(failed("cannot read", directory))?.file_name();
        numbers.extend(name.to_str().and_then(parse_number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A number in its one spelling.
pub(super) fn parse_number(name: &str) -> Option<u64> {
    let number: u64 = name.parse().ok()?;
    (number > 0 && number.to_string() == name).then_some(number)
}

/// The bytes of a piece, `None` if there is none.
pub(super) fn read(directory: &Path, number: u64) -> Result<Option<Vec<u8>>, FileError> {
    let path = directory.join(number.to_string());
    if path.exists() { durable::read(&path).map(Some) } else { Ok(None) }
}

impl Archive {
    /// Effect: the directory. A crash after it leaves it empty.
    pub(super) fn open(log_directory: &Path) -> Result<Self, FileError> {
        let directory = directory(log_directory);
        durable::create_private_directory(&directory)?;
        durable::sync_directory(log_directory)?;
        let numbers = numbers(&directory)?;
        let text = |number: Option<&u64>| -> Result<Option<String>, FileError> {
            let Some(number) = number else { return Ok(None) };
            let bytes = read(&directory, *number)?.unwrap_or_default();
            Ok(Evidence::parse(&bytes).ok().map(|evidence| evidence.note().text().to_owned()))
        };
        let before = text(numbers.len().checked_sub(2).and_then(|position| numbers.get(position)))?;
        let last_texts = [before, text(numbers.last())?];
        Ok(Self { directory, numbers, last_texts })
    }

    /// Keeps a piece under the next number, which is given back.
    ///
    /// Effects: a file, durable; then files removed. A crash in between leaves more pieces than needed, which harms nobody and is thinned out later.
    pub(super) async fn keep(&mut self, evidence: &Evidence) -> Result<u64, FileError> {
        let number = self.numbers.last().map_or(1, |last| last + 1);
        let text = evidence.note().text().to_owned();
        let superfluous = self.superfluous(&text);
        let (path, bytes) = (self.directory.join(number.to_string()), evidence.to_text().into_bytes());
        let removed: Vec<PathBuf> = superfluous.iter().map(|number| self.directory.join(number.to_string())).collect();
        let work = move || -> Result<(), FileError> {
            durable::write(&path, &bytes, Access::Public)?;
            for path in &removed {
                match std::fs::remove_file(path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        tracing::warn!(path = %path.display(), %error, "evidence that is not needed was not removed");
                    }
                    _ => {}
                }
            }
            Ok(())
        };
        tokio::task::spawn_blocking(work).await.expect("writing a file does not panic and is never aborted")?;
        self.numbers.retain(|number| !superfluous.contains(number));
        self.numbers.push(number);
        let [_, last] = std::mem::take(&mut self.last_texts);
        self.last_texts = [last, Some(text)];
        Ok(number)
    }

    /// What need not be kept once a piece of this text is.
    fn superfluous(&self, text: &str) -> Vec<u64> {
        if self.last_texts.iter().all(|last| last.as_deref() == Some(text)) {
            return self.numbers.last().copied().into_iter().collect();
        }
        if self.numbers.len() < PIECES_MAX {
            return Vec::new();
        }
        self.numbers[..PIECES_MAX / 2].iter().skip(1).step_by(2).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchmark_sigstore::evidence::Stamp;
    use touchmark_tlog::note::SignedNote;

    fn evidence(size: usize) -> Evidence {
        let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let note = format!("log.example\n{size}\n{root}\n\n\u{2014} log.example AAAAAAAA\n");
        let stamp = Stamp { authority: "own".to_owned(), reply: vec![1] };
        Evidence::new(SignedNote::parse(note.as_bytes()).unwrap(), vec![stamp]).unwrap()
    }

    #[tokio::test]
    async fn of_one_tree_the_first_and_the_last_piece_are_kept_also_over_a_restart() {
        let log = tempfile::tempdir().unwrap();
        for size in [1, 1, 1, 1, 2, 1, 1, 1] {
            let mut archive = Archive::open(log.path()).unwrap();
            archive.keep(&evidence(size)).await.unwrap();
            assert_eq!(archive.numbers, numbers(&directory(log.path())).unwrap());
        }
        assert_eq!(numbers(&directory(log.path())).unwrap(), [1, 4, 5, 6, 8]);
        assert_eq!(read(&directory(log.path()), 5).unwrap().unwrap(), evidence(2).to_text().into_bytes());
        assert_eq!(read(&directory(log.path()), 7).unwrap(), None);
    }

    #[tokio::test]
    async fn a_piece_that_was_taken_away_does_not_hold_up_the_next() {
        let log = tempfile::tempdir().unwrap();
        let mut archive = Archive::open(log.path()).unwrap();
        for _ in 0..2 {
            archive.keep(&evidence(1)).await.unwrap();
        }
        std::fs::remove_file(archive.directory.join("2")).unwrap();
        assert_eq!(archive.keep(&evidence(1)).await.unwrap(), 3);
        assert_eq!(archive.keep(&evidence(2)).await.unwrap(), 4);
        assert_eq!(numbers(&directory(log.path())).unwrap(), [1, 3, 4]);
    }

    #[tokio::test]
    async fn a_full_archive_thins_out_its_older_half() {
        let log = tempfile::tempdir().unwrap();
        let mut archive = Archive::open(log.path()).unwrap();
        for number in 1..=PIECES_MAX {
            std::fs::write(archive.directory.join(number.to_string()), b"x").unwrap();
        }
        archive.numbers = numbers(&archive.directory).unwrap();
        archive.keep(&evidence(1)).await.unwrap();
        let kept = numbers(&archive.directory).unwrap();
        assert_eq!(kept.len(), PIECES_MAX - PIECES_MAX / 4 + 1);
        assert_eq!(kept[..3], [1, 3, 5]);
        assert_eq!(kept[PIECES_MAX / 4..][..2], [2049, 2050]);
    }

    #[test]
    fn a_number_has_one_spelling() {
        for name in ["0", "01", "+1", "1.new", "..", "", "99999999999999999999"] {
            assert_eq!(parse_number(name), None, "{name}");
        }
    }
}
