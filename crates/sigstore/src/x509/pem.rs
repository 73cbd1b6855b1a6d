// SPDX-License-Identifier: Apache-2.0
//! PEM (RFC 7468) blocks of certificates and certification requests.
//!
//! In scope: any number of blocks of any label, LF or CRLF, any line width, spaces around lines. Out of scope: what a block holds,
//! headers inside a block (RFC 1421). Text outside the blocks is passed over, as every Sigstore client does.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use der::pem::LineEnding;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PemError {
    Malformed,
    TooMany,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) der: Vec<u8>,
}

pub(crate) fn encode(label: &'static str, der: &[u8]) -> String {
    der::pem::encode_string(label, LineEnding::LF, der)
        .expect("the label is valid and the length fits an address space")
}

/// The blocks of a text, at most `blocks_max`.
pub(crate) fn decode_all(text: &str, blocks_max: usize) -> Result<Vec<Block>, PemError> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines().map(str::trim) {
        open = match (open, boundary(line, "BEGIN"), boundary(line, "END")) {
            (None, Some(_), _) if blocks.len() == blocks_max => return Err(PemError::TooMany),
            (None, Some(label), _) => Some((label.to_owned(), String::new())),
            (None, None, None) => None,
            (Some((label, body)), None, Some(end)) if label == end => {
                let der = ENGINE.decode(body.as_bytes()).map_err(|_| PemError::Malformed)?;
                blocks.push(Block { label, der });
                None
            }
            (Some((label, mut body)), None, None) => {
                body.push_str(line);
                Some((label, body))
            }
            _ => return Err(PemError::Malformed),
        };
    }
    if open.is_some() { Err(PemError::Malformed) } else { Ok(blocks) }
}

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

fn boundary<'a>(line: &'a str, kind: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?.strip_suffix("-----")?.strip_prefix(kind)?.strip_prefix(' ')
}
