// SPDX-License-Identifier: Apache-2.0
//! Where the bundle of a signing command goes.
//!
//! Invariants: a bundle is written whole or not at all, but to what is no regular file; what is there is replaced only where the
//! user said so; the file that was signed is never replaced.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::paths;

/// A place for one bundle.
#[derive(Debug, Clone)]
pub(crate) struct BundleFile {
    path: PathBuf,
    existing: Existing,
}

/// What to do with a bundle that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    /// The file itself or a link in its place, never what a link leads to.
    Replace,
    /// Named by the user: what is no regular file (`/dev/stdout`, a link, a pipe) is written to as it is.
    WriteTo,
}

impl BundleFile {
    /// The place that the user names.
    pub(crate) fn named(path: &Path) -> Self {
        Self { path: path.to_owned(), existing: Existing::WriteTo }
    }

    /// The place beside `file`.
    pub(crate) fn beside(file: &Path, existing: Existing) -> Self {
        Self { path: paths::default_bundle(file), existing }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the bundle could be written, as far as that is known before anyone logs in.
    pub(crate) fn expect_free(self, file: &Path) -> Result<Self, Failure> {
        if self.existing == Existing::Keep && self.path.exists() {
            let message = format!("{} is already there", self.path.display());
            return Err(Failure::new(ExitStatus::Usage, message)
                .hint("--overwrite replaces it; --bundle FILE writes another one"));
        }
        if paths::is_same(&self.path, file) {
            let message = format!("the bundle would replace {} itself", file.display());
            return Err(Failure::new(ExitStatus::Usage, message));
        }
        Ok(self)
    }

    pub(crate) fn write(&self, json: &[u8]) -> Result<(), Failure> {
        self.try_write(json).map_err(|error| {
            let message = format!("{} could not be written", self.path.display());
            Failure::new(ExitStatus::Unreadable, message).because(error)
        })
    }

    fn try_write(&self, json: &[u8]) -> io::Result<()> {
        let is_special = || self.path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file());
        if self.existing == Existing::WriteTo && is_special() {
            return std::fs::write(&self.path, json);
        }
        let directory = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(directory)?;
        file.write_all(json)?;
        match self.existing {
            Existing::Replace | Existing::WriteTo => file.persist(&self.path).map(drop).map_err(|error| error.error),
            Existing::Keep => file.persist_noclobber(&self.path).map(drop).map_err(|error| error.error),
        }
    }
}
