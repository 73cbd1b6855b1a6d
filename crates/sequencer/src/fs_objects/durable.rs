// SPDX-License-Identifier: Apache-2.0
//! Files that are whole and durable, or not there: write, fsync, rename, fsync the directory.
//!
//! Pure standard library; every function blocks. Invariant: when a function returns `Ok`, a power loss does not undo it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// A file with these bytes, synced; its name need not be durable yet.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a synced file its final name, in the place of an older one.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_parent(to)
}

/// Puts bytes under a name, by way of a temporary file on the same file system.
pub(crate) fn replace(temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(temporary, bytes)?;
    rename(temporary, path)
}

/// Makes a file that is already there durable, and its name.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_parent(path)
}

/// Makes a directory and those above it, each with a durable name.
pub(crate) fn create_dirs(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dirs(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the names in the directory of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Makes the name of a directory that is already there durable, and that of the one it is in. A start before this one may have ended when it had given
/// them and could not sync; then they look as if they were there to stay.
pub(crate) fn sync_names(path: &Path) -> io::Result<()> {
    sync_parent(path)?;
    path.parent().map_or(Ok(()), sync_parent)
}

/// Makes a directory durable with all that is in it, but not its own name.
pub(crate) fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(path)?.sync_all()
}
