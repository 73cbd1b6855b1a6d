// SPDX-License-Identifier: Apache-2.0
//! Files of a ceremony: read with a limit, written whole.
//!
//! In scope: files and directories on disks and sticks, one process at a time. Out of scope: private keys (crate `signers`).
//! Invariant: a reader of a path written here sees the old bytes or the new ones, never a part, also after a power cut.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::CeremonyError;

/// Longest file of a ceremony: an event carries every root and every target.
pub(crate) const FILE_BYTES_MAX: usize = 256 << 20;
/// Ends the name under which a file is written before it is put in place.
const STAGED_SUFFIX: &str = ".new";
/// Longest name of a file that can be written: file systems have 255 bytes, and while it is written it has a dot before and a suffix after it.
pub(crate) const NAME_BYTES_MAX: usize = 255 - 1 - STAGED_SUFFIX.len();

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CeremonyError {
    let path = path.to_owned();
    move |source| CeremonyError::File { action, path, source }
}

/// Reads a file of at most `max` bytes.
pub(crate) fn read(path: &Path, max: usize) -> Result<Vec<u8>, CeremonyError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed("read", path))?;
    if bytes.len() > max { Err(CeremonyError::TooLong { path: path.to_owned(), max }) } else { Ok(bytes) }
}

/// The same; `None` if there is no such file.
pub(crate) fn read_if_there(path: &Path, max: usize) -> Result<Option<Vec<u8>>, CeremonyError> {
    match read(path, max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(CeremonyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file in one step, and makes its directory.
///
/// A crash before the rename leaves a hidden file, which the next write of the same path overwrites. Nothing of a ceremony or a repository has a
/// hidden name, so it is never another file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), CeremonyError> {
    let directory = path.parent().unwrap_or(Path::new(""));
    make_directory(directory)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let staged = directory.join(format!(".{name}{STAGED_SUFFIX}"));
    let mut file = File::create(&staged).map_err(failed("create", &staged))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", &staged))?;
    rename(&staged, path)
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), CeremonyError> {
    std::fs::rename(from, to).map_err(failed("put in place", to))?;
    sync(to.parent().unwrap_or(Path::new("")))
}

pub(crate) fn make_directory(directory: &Path) -> Result<(), CeremonyError> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(directory).map_err(failed("make directory", directory))
}

pub(crate) fn sync(directory: &Path) -> Result<(), CeremonyError> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory).and_then(|file| file.sync_all()).map_err(failed("sync", directory))
}

/// Adds a line at `end`, durably; what a crash left behind that goes.
pub(crate) fn append(path: &Path, end: usize, line: &str) -> Result<(), CeremonyError> {
    let end = u64::try_from(end).unwrap_or(u64::MAX);
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).open(path).map_err(failed("open", path))?;
    if file.metadata().map_err(failed("open", path))?.len() > end {
        file.set_len(end).map_err(failed("write", path))?;
    }
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

/// The files in a directory by name, without those that are still being written; none if there is no directory.
pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>, CeremonyError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", directory)(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("list", directory))?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Holds a directory for this process until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    // The kernel releases the lock with the file, also when the process is killed.
    _file: File,
}

impl Lock {
    pub(crate) fn take(directory: &Path) -> Result<Self, CeremonyError> {
        let path = directory.join("lock");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(&path).map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(CeremonyError::Busy { path: directory.to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        }
    }
}
