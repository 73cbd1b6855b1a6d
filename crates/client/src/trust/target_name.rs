// SPDX-License-Identifier: Apache-2.0
//! Names of targets that are the name of a file below a directory and of nothing else.
//!
//! Spec: TUF 1.0.34 §4.5 (a target path is relative to the repository's base address and separates directories by `/`).
//! Invariants: a name that passes leads out of no directory, neither in an address nor on a disk of any system.

/// Longest name of a target: the limit of a path on Linux.
const NAME_BYTES_MAX: usize = 4096;

/// Why a text is no name of a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsafeName {
    #[error("the name has {found} bytes; expected 1 to {NAME_BYTES_MAX}")]
    Length { found: usize },
    #[error(
        "the name {name:?} has a part {part:?}: expected parts that are not empty, `.` or `..`, with one / between them"
    )]
    Part { name: String, part: String },
    #[error(
        "the name {name:?} has the character {character:?}, which separates directories on some systems or cannot be seen"
    )]
    Character { name: String, character: char },
}

/// A name that leads to a file below the directory that it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TargetName<'a>(&'a str);

impl<'a> TargetName<'a> {
    pub(super) fn parse(name: &'a str) -> Result<Self, UnsafeName> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(UnsafeName::Length { found: name.len() });
        }
        if let Some(part) = name.split('/').find(|part| matches!(*part, "" | "." | "..")) {
            return Err(UnsafeName::Part { name: name.to_owned(), part: part.to_owned() });
        }
        match name.chars().find(|character| *character == '\\' || character.is_control()) {
            Some(character) => Err(UnsafeName::Character { name: name.to_owned(), character }),
            None => Ok(Self(name)),
        }
    }

    pub(super) fn as_str(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "..", "../a", "a/../../b", "/a", "a//b", "a/", "./a", "a\\..\\b", "a\0", "a\nb"] {
            TargetName::parse(name).unwrap_err();
        }
        TargetName::parse(&"a".repeat(NAME_BYTES_MAX + 1)).unwrap_err();
        for name in ["trusted_root.json", "a/b c/..d", "registry.example/keys.json", "é?#%41"] {
            assert_eq!(TargetName::parse(name).unwrap().as_str(), name);
        }
    }
}
