// SPDX-License-Identifier: Apache-2.0
//! The passphrase of key files, from a file.
//!
//! In scope: one rule for every command and configuration that names such a file. Out of scope: what is decrypted with it ([`crate::FileSigner`]).
//! Invariants: who may read the file is who may read a key file; what is read is wiped.

use std::path::Path;

use zeroize::Zeroizing;

use crate::SignerError;
use crate::file::read_private_bytes;

/// Longest passphrase file: no passphrase that a person or a generator makes comes near, and another file that was named by mistake is longer.
const PASSPHRASE_FILE_BYTES_MAX: u64 = 4096;

/// Reads a passphrase: the one line of the file, without its line end.
///
/// # Errors
/// Group or others have any permission on the file, it is no regular file, it is longer than 4096 bytes, it holds nothing, or more than one line:
/// whoever takes the first line and whoever takes all of them would open different keys.
pub fn read_passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, SignerError> {
    let mut text = read_private_bytes(path, PASSPHRASE_FILE_BYTES_MAX)?;
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    match text.iter().filter(|byte| **byte == b'\n').count() {
        0 if text.is_empty() => Err(SignerError::PassphraseMissing { path: path.into() }),
        0 => Ok(text),
        more => Err(SignerError::PassphraseLines { path: path.into(), lines: more + 1 }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn check(content: &[u8], mode: u32, expect: impl FnOnce(PathBuf) -> Result<&'static [u8], SignerError>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let found = read_passphrase(&path).map(|passphrase| passphrase.to_vec());
        assert_eq!(found, expect(path).map(<[u8]>::to_vec), "{content:?} {mode:03o}");
    }

    #[test]
    fn a_passphrase_is_one_line_without_its_line_end() {
        check(b"correct horse\n", 0o600, |_| Ok(b"correct horse"));
        check(b"correct horse\r\n", 0o600, |_| Ok(b"correct horse"));
        check(b" correct horse ", 0o400, |_| Ok(b" correct horse "));
        check(b"\xff\0\x01", 0o600, |_| Ok(b"\xff\0\x01"));
    }

    #[test]
    fn a_file_of_several_lines_or_of_none_is_refused() {
        for (content, lines) in [("a\n\n", 2), ("a\nb", 2), ("\na", 2), ("a\nb\nc\n", 3)] {
            check(content.as_bytes(), 0o600, |path| Err(SignerError::PassphraseLines { path, lines }));
        }
        for content in ["", "\n", "\r\n"] {
            check(content.as_bytes(), 0o600, |path| Err(SignerError::PassphraseMissing { path }));
        }
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_something_else_is_refused() {
        for mode in [0o640, 0o604, 0o644, 0o620] {
            check(b"correct horse", mode, |path| Err(SignerError::LoosePermissions { path, mode }));
        }
        let bytes_max = PASSPHRASE_FILE_BYTES_MAX;
        check(&[b'a'; 4097], 0o600, |path| Err(SignerError::TooLong { path, bytes_max }));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        assert_eq!(read_passphrase(&path).map(|_| ()), Err(SignerError::NotAFile { path }));
    }
}
