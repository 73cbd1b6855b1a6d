// SPDX-License-Identifier: Apache-2.0
//! Files and directories that are there, whole, after a power cut.
//!
//! In scope: replacing a file in one step, making private directories, one process for a directory or a file.
//! Out of scope: private keys (`touchmark_signers` writes them) and log data (`touchmark_sequencer`).
//! Invariant: a reader of a path written here sees the old bytes or the new ones, never a part.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everyone: what clients are given anyway.
    Public,
    /// The owner alone.
    Owner,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Access::Public => 0o644,
            Access::Owner => 0o600,
        }
    }
}

/// An operation on a path that failed.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}: {source}", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Makes an error of `action` on `path`.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { action, path, source }
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(failed("cannot read", path))
}

/// Replaces `path` by `bytes` in one step.
///
/// A crash before the rename leaves a `.new` file beside the old one, which the next write of the same path overwrites.
pub(crate) fn write(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    let mut staged = path.as_os_str().to_owned();
    staged.push(".new");
    let staged = PathBuf::from(staged);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(access.mode());
    let mut file = options.open(&staged).map_err(failed("cannot create", &staged))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("cannot write", &staged))?;
    rename(&staged, path)
}

/// Renames within one directory or between two, and makes the new name durable.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    std::fs::rename(from, to).map_err(failed("cannot put in place", to))?;
    match to.parent() {
        Some(directory) => sync_directory(directory),
        None => Ok(()),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), FileError> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory).and_then(|file| file.sync_all()).map_err(failed("cannot sync", directory))
}

/// Makes a directory, with its parents, that only the owner can enter. One that exists is left as it is.
pub(crate) fn create_private_directory(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("cannot create directory", path))
}

/// Holds a directory for this process until dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: HeldFile,
}

/// Holds a file that is replaced as a whole for this process until dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: HeldFile,
}

/// The kernel releases the lock with the file, also when the process is killed.
#[derive(Debug)]
struct HeldFile(#[expect(dead_code, reason = "it is there to be dropped")] File);

/// Why a directory is not ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("another process holds {}", .0.display())]
    Held(PathBuf),
    #[error(transparent)]
    File(#[from] FileError),
}

impl DirectoryLock {
    /// Takes `<directory>/lock`, without waiting.
    pub(crate) fn acquire(directory: &Path) -> Result<Self, LockError> {
        Ok(DirectoryLock { _file: hold(&directory.join("lock"), directory)? })
    }
}

impl FileLock {
    /// Takes `<path>.lock`, without waiting: the file itself is another one after each [`write`].
    pub(crate) fn beside(path: &Path) -> Result<Self, LockError> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        Ok(FileLock { _file: hold(Path::new(&lock), path)? })
    }
}

fn hold(lock: &Path, held: &Path) -> Result<HeldFile, LockError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(Access::Owner.mode());
    let file = options.open(lock).map_err(failed("cannot open", lock))?;
    match file.try_lock() {
        Ok(()) => Ok(HeldFile(file)),
        Err(TryLockError::WouldBlock) => Err(LockError::Held(held.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed("cannot lock", lock)(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_private_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, b"one, which is longer", Access::Owner).unwrap();
        write(&path, b"two", Access::Owner).unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_held_directory_is_refused_until_it_is_released() {
        let directory = tempfile::tempdir().unwrap();
        let held = DirectoryLock::acquire(directory.path()).unwrap();
        assert!(matches!(DirectoryLock::acquire(directory.path()), Err(LockError::Held(_))));
        drop(held);
        DirectoryLock::acquire(directory.path()).unwrap();
    }

    #[test]
    fn an_error_names_the_path() {
        let error = read(Path::new("/nowhere/file")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read /nowhere/file: "), "{error}");
    }
}
