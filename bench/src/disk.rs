// SPDX-License-Identifier: Apache-2.0
//! What one durable append costs on this disk, and how large a directory is on it.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::statistics::quantile;

const APPENDS: usize = 1000;
const APPEND_BYTES: usize = 4096;
/// How `stat` counts what a file takes on disk.
const STAT_BLOCK_BYTES: u64 = 512;

/// What one durable append takes.
pub struct Sync {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Appends and fdatasyncs, one after the other.
///
/// # Errors
/// The disk refuses.
pub fn sync(dir: &Path) -> Result<Sync> {
    let mut file = File::create(dir.join("append")).context("cannot create the file to append to")?;
    let mut times = Vec::with_capacity(APPENDS);
    for _ in 0..APPENDS {
        let begun = Instant::now();
        file.write_all(&[0x61; APPEND_BYTES]).context("cannot append")?;
        file.sync_data().context("cannot sync")?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Sync { p50_ms: quantile(&times, 0.5), p99_ms: quantile(&times, 0.99) })
}

/// What all files under a directory take on disk.
///
/// # Errors
/// A directory cannot be read.
pub fn used_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { used_bytes(&entry.path())? } else { metadata.blocks() * STAT_BLOCK_BYTES };
    }
    Ok(bytes)
}
