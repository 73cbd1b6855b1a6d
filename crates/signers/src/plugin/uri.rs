// SPDX-License-Identifier: Apache-2.0
//! Names of keys behind plugins: `<scheme>://<key>`.
//!
//! Spec: `getPluginExecutableAndKeyResourceID` of sigstore/sigstore, `pkg/signature/kms/cliplugin`: the program's name is made of what stands
//! before the first `://`, the key's name is all that follows.
//! Invariant: a scheme has letters, digits and hyphens alone, so that the program's name is a file name and nothing more.

use std::fmt;

use thiserror::Error;

/// How programs are called, before the scheme.
const PROGRAM_PREFIX: &str = "sigstore-kms-";
/// Longest scheme: with the prefix it stays far below the 255 bytes of a file name.
const SCHEME_BYTES_MAX: usize = 64;
/// Longest name of a key: it travels on a command line, of which Linux takes 128 KiB in one argument.
const KEY_BYTES_MAX: usize = 4096;

/// A key and the program that knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginUri {
    scheme: String,
    pub(super) key: String,
}

/// Why a text names no key behind a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PluginUriError {
    #[error("has the form of no key: write `<scheme>://<key>`")]
    NoScheme,
    #[error(
        "the scheme must be 1 to {SCHEME_BYTES_MAX} lower-case letters, digits and hyphens, and begin with a letter"
    )]
    Scheme,
    #[error("the key's name after `://` must be 1 to {KEY_BYTES_MAX} bytes without control characters")]
    Key,
}

impl PluginUri {
    pub fn parse(text: &str) -> Result<Self, PluginUriError> {
        let (scheme, key) = text.split_once("://").ok_or(PluginUriError::NoScheme)?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if scheme.len() > SCHEME_BYTES_MAX
            || !scheme.starts_with(|first: char| first.is_ascii_lowercase())
            || !scheme.bytes().all(plain)
        {
            return Err(PluginUriError::Scheme);
        }
        if key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control) {
            return Err(PluginUriError::Key);
        }
        Ok(Self { scheme: scheme.to_owned(), key: key.to_owned() })
    }

    /// The file name of the program.
    #[must_use]
    pub fn program(&self) -> String {
        format!("{PROGRAM_PREFIX}{}", self.scheme)
    }
}

impl fmt::Display for PluginUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_named_by_the_scheme_and_the_key_by_the_rest() {
        for (text, program, key) in [
            ("my-hsm://key", "sigstore-kms-my-hsm", "key"),
            ("k2://a/b?c#d", "sigstore-kms-k2", "a/b?c#d"),
            ("a://b://c", "sigstore-kms-a", "b://c"),
        ] {
            let uri = PluginUri::parse(text).unwrap();
            assert_eq!((uri.program().as_str(), uri.key.as_str(), uri.to_string().as_str()), (program, key, text));
        }
    }

    #[test]
    fn other_schemes_and_keys_are_refused() {
        use PluginUriError::{Key, NoScheme, Scheme};
        for (text, expect) in [
            ("key.pem", NoScheme),
            ("hsm:/key", NoScheme),
            ("://key", Scheme),
            ("-a://key", Scheme),
            ("1a://key", Scheme),
            ("Hsm://key", Scheme),
            ("../bin/sh://key", Scheme),
            ("a b://key", Scheme),
            ("a\0://key", Scheme),
            ("é://key", Scheme),
            (&format!("{}://key", "a".repeat(65)), Scheme),
            ("hsm://", Key),
            ("hsm://a\nb", Key),
            ("hsm://a\0b", Key),
            (&format!("hsm://{}", "a".repeat(4097)), Key),
        ] {
            assert_eq!(PluginUri::parse(text), Err(expect), "{text:?}");
        }
    }
}
