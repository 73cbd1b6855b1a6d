// SPDX-License-Identifier: Apache-2.0
//! Paths of tiles (C2SP tlog-tiles "Merkle Tree", "Partial Tiles", "Log entries"; C2SP static-ct-api "Log entries").
//!
//! In scope: `tile/<L>/<N>[.p/<W>]`, `tile/entries/<N>[.p/<W>]`, `tile/data/<N>[.p/<W>]`, written and parsed.
//! Out of scope: the prefix before `tile/`, URL decoding.
//! Invariants: parsing accepts exactly what writing gives, so that one resource has one path.

use super::{TILE_LEVEL_MAX, TILE_WIDTH, Tile, TileError};
use crate::hash::TreeSize;

/// Longest path that is looked at: the longest that exists, of entries, has 52 bytes.
const PATH_BYTES_MAX: usize = 64;

/// What a path under `tile/` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TilePath {
    /// Hashes of the tree.
    Hashes(Tile),
    /// A bundle of entries (tlog-tiles).
    Entries {
        /// Position, in bundles of 256 entries.
        index: u64,
        /// Number of entries, 1 to [`TILE_WIDTH`].
        width: u16,
    },
    /// A tile of CT entries (static-ct-api).
    Data {
        /// Position, in tiles of 256 entries.
        index: u64,
        /// Number of entries, 1 to [`TILE_WIDTH`].
        width: u16,
    },
}

impl TilePath {
    /// Whether a tree of this size has the whole resource.
    pub fn is_in(&self, size: TreeSize) -> bool {
        self.tile().is_in(size)
    }

    /// Whether it is less than a full tile, and so not there for good.
    pub fn is_partial(&self) -> bool {
        self.tile().is_partial()
    }

    /// The tile of hashes over the same leaves.
    fn tile(&self) -> Tile {
        match *self {
            TilePath::Hashes(tile) => tile,
            TilePath::Entries { index, width } | TilePath::Data { index, width } => Tile { level: 0, index, width },
        }
    }

    /// The path.
    pub fn path(&self) -> String {
        match *self {
            TilePath::Hashes(tile) => tile.path(),
            TilePath::Entries { index, width } => entry_bundle_path(index, width),
            TilePath::Data { index, width } => data_path(index, width),
        }
    }
}

/// Where a bundle of entries is served: `tile/entries/<index>[.p/<width>]`.
pub fn entry_bundle_path(index: u64, width: u16) -> String {
    format!("tile/entries/{}", index_and_width(index, width))
}

/// Where a CT data tile is served: `tile/data/<index>[.p/<width>]`.
pub fn data_path(index: u64, width: u16) -> String {
    format!("tile/data/{}", index_and_width(index, width))
}

pub(super) fn of_tile(tile: &Tile) -> String {
    format!("tile/{}/{}", tile.level, index_and_width(tile.index, tile.width))
}

/// Reads any path under `tile/`.
pub fn parse_tile_path(path: &str) -> Result<TilePath, TileError> {
    parse(path).ok_or(TileError::Path)
}

fn parse(path: &str) -> Option<TilePath> {
    if path.len() > PATH_BYTES_MAX {
        return None;
    }
    let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, parse_width(width)?),
        None => (rest, TILE_WIDTH),
    };
    let index = parse_index(index)?;
    Some(match kind {
        "entries" => TilePath::Entries { index, width },
        "data" => TilePath::Data { index, width },
        level => TilePath::Hashes(Tile { level: parse_level(level)?, index, width }),
    })
}

fn parse_level(text: &str) -> Option<u8> {
    decimal(text)?.try_into().ok().filter(|level| *level <= TILE_LEVEL_MAX)
}

/// The width of a partial tile: 1 to 255.
fn parse_width(text: &str) -> Option<u16> {
    decimal(text)?.try_into().ok().filter(|width| (1..TILE_WIDTH).contains(width))
}

/// Groups of three digits, all but the last with an `x` before them, and none that could be left out.
fn parse_index(text: &str) -> Option<u64> {
    let (leading, last) = match text.rsplit_once('/') {
        Some((leading, last)) => (Some(leading), last),
        None => (None, text),
    };
    let mut index = 0_u64;
    for group in leading.into_iter().flat_map(|leading| leading.split('/')) {
        let group = three_digits(group.strip_prefix('x')?)?;
        if index == 0 && group == 0 {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(group)?;
    }
    index.checked_mul(1000)?.checked_add(three_digits(last)?)
}

fn three_digits(text: &str) -> Option<u64> {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A decimal number without leading zeroes or sign.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if canonical && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// `x001/x234/067`, and `.p/<width>` after it for a partial tile.
fn index_and_width(index: u64, width: u16) -> String {
    let mut text = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH {
        text.push_str(&format!(".p/{width}"));
    }
    text
}
