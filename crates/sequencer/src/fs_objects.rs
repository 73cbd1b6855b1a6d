// SPDX-License-Identifier: Apache-2.0
//! The embedded driver of [`Objects`]: files below one directory.
//!
//! ```text
//! DIR/tree/…   the objects; safe to serve as static files
//! DIR/tmp/…    files that are being written; emptied at every start
//! ```
//!
//! In scope: names, atomic and durable writes. Out of scope: one process per directory (the ledger's lock holds that).
//!
//! Invariants: below `tree` there is never a partly written file; an immutable file is never written twice; no name leads out of `tree`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::entry::Blob;
use crate::objects::{ObjectError, Objects};

pub(crate) mod durable;

/// Longest object name. The longest tile path has 47 bytes, an issuer's name 71.
const NAME_BYTES_MAX: usize = 255;
/// Names that one call of [`FsObjects::names_below`] gives at most.
const UNEXPECTED_MAX: usize = 1000;

/// Objects in the file system.
#[derive(Debug)]
pub struct FsObjects {
    directory: Arc<Directory>,
}

#[derive(Debug)]
struct Directory {
    tree: PathBuf,
    tmp: PathBuf,
    /// Numbers the temporary files of this process.
    next: AtomicU64,
    /// Held from the look at a name until the rename onto it.
    naming: Mutex<()>,
}

impl FsObjects {
    /// Opens the directory, or makes it.
    ///
    /// Effects: directories made durable, left-over temporary files removed. A crash in between leaves what the next start completes.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, ObjectError> {
        let (tree, tmp) = (dir.as_ref().join("tree"), dir.as_ref().join("tmp"));
        let open = || -> io::Result<()> {
            durable::create_dirs(&tree)?;
            durable::create_dirs(&tmp)?;
            durable::sync_names(&tree)?;
            for file in std::fs::read_dir(&tmp)? {
                std::fs::remove_file(file?.path())?;
            }
            Ok(())
        };
        open().map_err(|error| io_error(&dir.as_ref().to_string_lossy(), &error))?;
        let directory = Directory { tree, tmp, next: AtomicU64::new(0), naming: Mutex::new(()) };
        Ok(Self { directory: Arc::new(directory) })
    }

    /// The names below `prefix` that `expected` does not know, at most [`UNEXPECTED_MAX`].
    pub(crate) async fn names_below(
        &self,
        prefix: &str,
        expected: &(impl Fn(&str) -> bool + Clone + Send + 'static),
    ) -> Result<Vec<String>, ObjectError> {
        let (name, expected) = (prefix.to_owned(), expected.clone());
        self.run(prefix, move |_, path| {
            let mut unexpected = Vec::new();
            collect(path, &name, &expected, &mut unexpected)?;
            Ok(unexpected)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Directory, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ObjectError> {
        demand_name(name)?;
        let directory = Arc::clone(&self.directory);
        let path = directory.tree.join(name);
        let done = tokio::task::spawn_blocking(move || work(&directory, &path)).await;
        done.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into())).map_err(|error| io_error(name, &error))
    }
}

/// An object whose file is written, but has not its name yet.
struct Unnamed<'a> {
    object: &'a Blob,
    path: PathBuf,
    temporary: PathBuf,
    file: File,
}

#[async_trait]
impl Objects for FsObjects {
    async fn create(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        self.create_all(&[Arc::new(Blob { name: name.to_owned(), bytes: bytes.to_vec() })]).await
    }

    async fn create_all(&self, objects: &[Arc<Blob>]) -> Result<(), ObjectError> {
        for object in objects {
            demand_name(&object.name)?;
        }
        let Some(first) = objects.first() else { return Ok(()) };
        let (directory, objects) = (Arc::clone(&self.directory), objects.to_vec());
        let done = tokio::task::spawn_blocking(move || directory.create_all(&objects)).await;
        done.unwrap_or_else(|_| Err(io_error(&first.name, &io::ErrorKind::Interrupted.into())))
    }

    async fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let bytes = bytes.to_vec();
        self.run(name, move |directory, path| {
            if let Some(parent) = path.parent() {
                durable::create_dirs(parent)?;
            }
            durable::replace(&directory.temporary(), path, &bytes)
        })
        .await
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        self.run(name, |_, path| read_if_exists(path)).await
    }
}

impl Directory {
    /// Effect: files of these names. A crash before a rename leaves a temporary file, which the next start removes; a crash after it may
    /// leave a name that is not durable yet, which is why an existing file is synced again before it counts.
    fn create_all(&self, objects: &[Arc<Blob>]) -> Result<(), ObjectError> {
        let mut unnamed = Vec::with_capacity(objects.len());
        for object in objects {
            unnamed.extend(self.write(object)?);
        }
        // After all are written: what the first sync makes durable, those after it find done.
        for written in &unnamed {
            written.file.sync_all().map_err(|error| io_error(&written.object.name, &error))?;
        }
        let _naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last_in_directory = BTreeMap::new();
        for written in &unnamed {
            written.name()?;
            last_in_directory.insert(written.path.parent(), written);
        }
        for written in last_in_directory.into_values() {
            durable::sync_parent(&written.path).map_err(|error| io_error(&written.object.name, &error))?;
        }
        Ok(())
    }

    /// `None` if the object exists, durable.
    fn write<'a>(&self, object: &'a Blob) -> Result<Option<Unnamed<'a>>, ObjectError> {
        let path = self.tree.join(&object.name);
        if exists(&path, object)? {
            return Ok(None);
        }
        let temporary = self.temporary();
        let write = || {
            if let Some(parent) = path.parent() {
                durable::create_dirs(parent)?;
            }
            let mut file = File::create(&temporary)?;
            file.write_all(&object.bytes)?;
            Ok(file)
        };
        let file = write().map_err(|error| io_error(&object.name, &error))?;
        Ok(Some(Unnamed { object, path, temporary, file }))
    }

    fn temporary(&self) -> PathBuf {
        self.tmp.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Unnamed<'_> {
    /// Gives the file its name, if another has not created the same object meanwhile.
    fn name(&self) -> Result<(), ObjectError> {
        let named = if exists(&self.path, self.object)? {
            std::fs::remove_file(&self.temporary)
        } else {
            std::fs::rename(&self.temporary, &self.path)
        };
        named.map_err(|error| io_error(&self.object.name, &error))
    }
}

/// Whether the object is there, durable.
fn exists(path: &Path, object: &Blob) -> Result<bool, ObjectError> {
    let io_error = |error| io_error(&object.name, &error);
    let Some(found) = read_if_exists(path).map_err(io_error)? else { return Ok(false) };
    if found != object.bytes {
        return Err(ObjectError::Differs { name: object.name.clone() });
    }
    durable::sync(path).map_err(io_error)?;
    Ok(true)
}

fn demand_name(name: &str) -> Result<(), ObjectError> {
    if is_object_name(name) { Ok(()) } else { Err(ObjectError::Name { name: name.to_owned() }) }
}

/// Goes through a directory; no level of it has more than some thousand names, for tile paths are cut into groups of three digits.
fn collect(
    directory: &Path,
    prefix: &str,
    expected: &impl Fn(&str) -> bool,
    unexpected: &mut Vec<String>,
) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &name, expected, unexpected)?;
        } else if !expected(&name) && unexpected.len() < UNEXPECTED_MAX {
            unexpected.push(name);
        }
    }
    Ok(())
}

fn read_if_exists(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Segments of letters, digits, dots, hyphens and underscores; none of them empty or beginning with a dot.
fn is_object_name(name: &str) -> bool {
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    name.len() <= NAME_BYTES_MAX && name.split('/').all(is_segment)
}

fn io_error(name: &str, error: &io::Error) -> ObjectError {
    tracing::warn!(name, %error, "an object could not be read or written");
    ObjectError::Io { name: name.to_owned(), kind: error.kind() }
}

#[cfg(test)]
mod tests;
