// SPDX-License-Identifier: Apache-2.0
//! Where things are by default (XDG base directory specification 0.8), and how paths are shown.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::env_vars;
use crate::exit::ExitStatus;
use crate::failure::Failure;

/// The data directory of `up`: `$XDG_DATA_HOME/touchmark`.
pub(crate) fn server_data_dir() -> Result<PathBuf, Failure> {
    Ok(data_home()?.join("touchmark"))
}

/// The trust of the client: `$XDG_DATA_HOME/touchmark-trust`. Data, not cache: it holds the pinned root.
pub(crate) fn trust_dir() -> Result<PathBuf, Failure> {
    Ok(data_home()?.join("touchmark-trust"))
}

fn data_home() -> Result<PathBuf, Failure> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(env_vars::XDG_DATA_HOME)
        .or_else(|| absolute(env_vars::HOME).map(|home| home.join(".local/share")))
        .ok_or_else(|| {
            Failure::new(ExitStatus::Usage, "there is no home directory to keep data in")
                .hint(format!("set {} or name the directory on the command line", env_vars::XDG_DATA_HOME))
        })
}

/// Room for most trusted roots and bundles: they are read in one call.
pub(crate) const READ_AT_FIRST_BYTES: usize = 16 * 1024;

/// A file of at most `bytes_max` bytes, whatever it claims to be: `/dev/zero` has no end.
pub(crate) fn read_limited(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(READ_AT_FIRST_BYTES);
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let message = format!("the file has more than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// What a regular file begins with; nothing of a pipe is read away.
pub(crate) fn head(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    if path.metadata()?.is_file() {
        File::open(path)?.take(bytes).read_to_end(&mut head)?;
    }
    Ok(head)
}

/// The bundle beside a file (client specification 4.1.1).
pub(crate) fn default_bundle(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sigstore.json");
    PathBuf::from(name)
}

/// Whether both paths lead to one file.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// A word that a shell reads back as this text.
pub(crate) fn shell_word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        let check = |text: &str, expected: &str| assert_eq!(shell_word(text), expected);
        check("http://127.0.0.1:7700/tuf", "http://127.0.0.1:7700/tuf");
        check("a b", "'a b'");
        check("it's", r"'it'\''s'");
        check("$(rm)", "'$(rm)'");
        check("", "''");
    }

    #[test]
    fn a_file_without_end_is_too_large() {
        assert_eq!(read_limited(Path::new("/dev/zero"), 10).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789").unwrap();
        assert_eq!(read_limited(file.path(), 10).unwrap(), b"0123456789");
        assert!(read_limited(file.path(), 9).is_err());
    }

    #[test]
    fn a_bundle_is_beside_its_file() {
        assert_eq!(default_bundle(Path::new("a/README.md")), Path::new("a/README.md.sigstore.json"));
    }
}
