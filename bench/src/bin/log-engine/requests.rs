// SPDX-License-Identifier: Apache-2.0
//! Requests of log entries, signed before the load begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use touchmark_bench::loader::{Requests, Supply, post_json};
use touchmark_testing::load;

/// All that one load may send: some 700 bytes each.
const REQUESTS_MAX: usize = 4_000_000;

/// As many entries as a load of so many seconds may need, no two alike within this process.
pub(crate) fn of_entries(port: u16, path: &str, seconds: f64, per_second: usize) -> Result<Arc<Requests>> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, checked next")]
    let count = (seconds * per_second as f64) as usize + 1000;
    ensure!(count <= REQUESTS_MAX, "{count} requests are too many to prepare: shorten the load");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let prepared = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..cores)
            .map(|core| {
                scope.spawn(move || (core..count).step_by(cores).map(|_| entry(port, path)).collect::<Vec<_>>())
            })
            .collect();
        makers.into_iter().flat_map(|maker| maker.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    Ok(Arc::new(Requests::new(prepared, Supply::Once)))
}

fn entry(port: u16, path: &str) -> Vec<u8> {
    static KEY: std::sync::LazyLock<load::LoadKey> = std::sync::LazyLock::new(load::LoadKey::generate);
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    post_json(port, path, &load::entry_request(&KEY, &SERIAL.fetch_add(1, Ordering::Relaxed).to_be_bytes()).body)
}
