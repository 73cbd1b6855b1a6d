// SPDX-License-Identifier: Apache-2.0
//! The text of a checkpoint (C2SP tlog-checkpoint) and the tree head that a CT log signs (RFC 6962 §3.5).
//!
//! In scope: origin, size, root and extension lines, written and parsed.
//! Out of scope: signatures ([`crate::note`]); whether the origin is the one that is trusted (crate `sigstore`).
//! Invariants: parsing accepts exactly what writing gives. Extension lines are part of what is signed and are kept as they came.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::{HASH_BYTES, Hash, TreeSize};
use crate::note::NOTE_BYTES_MAX;

/// Most extension lines that are accepted. Rekor v1 wrote one (a time), a frozen Rekor v2 log one; static CT forbids them.
pub const EXTENSION_LINES_MAX: usize = 16;

/// What a log says about itself: under this name, the tree with so many leaves has this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log; one line that is not empty.
    pub origin: String,
    /// Number of leaves.
    pub size: TreeSize,
    /// Root of the tree.
    pub root: Hash,
    /// Further lines, opaque; each one line that is not empty.
    pub extensions: Vec<String>,
}

/// Why a text is not a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Longer than any note may be.
    #[error("the checkpoint has {found} bytes, at most {NOTE_BYTES_MAX} are accepted")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
    /// The text does not end with a newline.
    #[error("the checkpoint does not end with a newline")]
    NoFinalNewline,
    /// A control character stands in the text.
    #[error("the checkpoint has a control character")]
    ControlCharacter,
    /// The first line is missing or empty.
    #[error("the checkpoint has no origin line")]
    Origin,
    /// The second line is missing or no decimal number without leading zeroes.
    #[error("the checkpoint's second line is not a tree size")]
    Size,
    /// The third line is missing or no base64 of a hash.
    #[error("the checkpoint's third line is not the base64 of a hash of {HASH_BYTES} bytes")]
    Root,
    /// An extension line is empty.
    #[error("the checkpoint has an empty line")]
    EmptyExtension,
    /// Too many extension lines.
    #[error("the checkpoint has more than {EXTENSION_LINES_MAX} extension lines")]
    TooManyExtensions,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads the text of a note.
    pub fn parse(text: &str) -> Result<Checkpoint, CheckpointError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(CheckpointError::TooLong { found: text.len() });
        }
        let body = text.strip_suffix('\n').ok_or(CheckpointError::NoFinalNewline)?;
        if body.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(CheckpointError::ControlCharacter);
        }
        let mut lines = body.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(CheckpointError::Origin)?;
        let size = lines.next().and_then(parse_size).ok_or(CheckpointError::Size)?;
        let root = lines.next().and_then(parse_root).ok_or(CheckpointError::Root)?;
        let extensions = parse_extensions(lines)?;
        Ok(Checkpoint { origin: origin.to_owned(), size, root, extensions })
    }
}

fn parse_size(line: &str) -> Option<TreeSize> {
    let size = TreeSize(line.parse().ok()?);
    // Refuses signs and leading zeroes: a size has one spelling.
    (size.to_string() == line).then_some(size)
}

fn parse_root(line: &str) -> Option<Hash> {
    Hash::from_slice(&STANDARD.decode(line).ok()?).ok()
}

fn parse_extensions<'text>(lines: impl Iterator<Item = &'text str>) -> Result<Vec<String>, CheckpointError> {
    let mut extensions = Vec::new();
    for line in lines {
        if line.is_empty() {
            return Err(CheckpointError::EmptyExtension);
        }
        if extensions.len() == EXTENSION_LINES_MAX {
            return Err(CheckpointError::TooManyExtensions);
        }
        extensions.push(line.to_owned());
    }
    Ok(extensions)
}

/// RFC 6962 §3.5: the `TreeHeadSignature` structure, that is version 0, signature type 1, time, size and root.
pub fn tree_head_signed_bytes(timestamp_ms: u64, size: TreeSize, root: &Hash) -> Vec<u8> {
    const VERSION_V1: u8 = 0;
    const SIGNATURE_TYPE_TREE_HASH: u8 = 1;
    let mut bytes = vec![VERSION_V1, SIGNATURE_TYPE_TREE_HASH];
    bytes.extend_from_slice(&timestamp_ms.to_be_bytes());
    bytes.extend_from_slice(&size.0.to_be_bytes());
    bytes.extend_from_slice(&root.0);
    bytes
}

#[cfg(test)]
mod tests;
