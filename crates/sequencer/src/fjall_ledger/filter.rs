// SPDX-License-Identifier: Apache-2.0
//! A filter in memory over the dedup keys of a ledger: nearly every new entry is seen to be new without a look into the store, where that look would
//! grow with the log: one in the memtable, one in each table that waits to be merged, one in each level.
//!
//! It is a split block Bloom filter, as Apache Parquet has it: a key sets one bit in each of the eight words of one block of 32 bytes, so an answer
//! costs one miss of the processor's cache. Keys are hashed under a secret of this process; nobody can choose entries that crowd one block.
//! Of a hundred keys that are not there, fewer than one is taken to be there, and then the store is asked.
//!
//! The filter is not stored. With its first commit a ledger begins to read its keys, on a thread of its own, and until that is done it asks its store.
//!
//! In scope: the bits, and reading them together. Out of scope: what follows from an answer (`fjall_ledger`).
//!
//! Invariants: of a key that was added, no answer ever says that it is absent; while keys that the store has may be missing, every key may be there.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use fjall::{Iter, Keyspace};

use super::failed;
use crate::entry::DedupKey;
use crate::ledger::LedgerError;

/// With fewer keys the store is as fast.
pub(super) const KEYS_MIN: u64 = 1 << 17;
/// With more keys the filter would take more than 200 MB, and the store is asked again.
const KEYS_MAX: u64 = 1 << 27;
/// Keys that a part of a filter is made for, at least.
const PART_KEYS_MIN: u64 = 1 << 20;
const BITS_PER_KEY: u64 = 12;
const WORDS: usize = 8;
const BLOCK_BITS: u64 = 8 * 32;
/// Odd numbers, from the description of the filter in the Parquet format.
const SALTS: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];
/// Keys that are read before others may ask or add again.
const READ_AT_ONCE: usize = 1024;
/// How long the reader rests, in terms of what they took: it is in no hurry, and others may be.
const RESTS: u32 = 3;

/// The filter of a ledger, from when it is worth one.
pub(super) struct KeyFilter {
    keys_min: u64,
    state: Arc<Mutex<State>>,
    reading: OnceLock<Reading>,
}

struct Reading {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

enum State {
    /// So far the store has so few keys that there is none.
    NotYet,
    /// New keys are added, older ones are being read: it does not answer yet.
    Reading(Bits),
    Complete(Bits),
    /// There are too many keys, or they could not be read.
    GivenUp,
}

impl KeyFilter {
    /// One that is made when a store has `keys_min` keys.
    pub(super) fn from(keys_min: u64) -> Self {
        Self { keys_min, state: Arc::new(Mutex::new(State::NotYet)), reading: OnceLock::new() }
    }

    /// Begins to read the keys of a store, of which it has as many as it has entries, if they have come to be enough. To be called by whoever adds keys to
    /// the store, and not while it does.
    pub(super) fn begin(&self, dedup: &Keyspace, keys: u64) {
        let mut state = lock(&self.state);
        if !matches!(*state, State::NotYet) || keys < self.keys_min {
            return;
        }
        if keys > KEYS_MAX {
            *state = State::GivenUp;
            return;
        }
        *state = State::Reading(Bits::for_keys(keys));
        drop(state);
        let stop = Arc::new(AtomicBool::new(false));
        let read = {
            let (state, stop, stored) = (Arc::clone(&self.state), Arc::clone(&stop), dedup.iter());
            move || settle(&state, read_all(stored, keys, &state, &stop))
        };
        match std::thread::Builder::new().name("dedup keys".to_owned()).spawn(read) {
            Ok(thread) => drop(self.reading.set(Reading { thread, stop })),
            Err(error) => settle(&self.state, Err(LedgerError::Io(error.kind()))),
        }
    }

    /// Takes keys, before they are in the store.
    pub(super) fn add<'a>(&self, keys: impl IntoIterator<Item = &'a DedupKey>) {
        let mut state = lock(&self.state);
        let (State::Reading(bits) | State::Complete(bits)) = &mut *state else { return };
        keys.into_iter().for_each(|key| bits.add(key));
        if bits.keys > KEYS_MAX {
            *state = State::GivenUp;
        }
    }

    /// For each key whether the store may have it.
    pub(super) fn may_have(&self, keys: &[DedupKey]) -> Vec<bool> {
        match &*lock(&self.state) {
            State::Complete(bits) => keys.iter().map(|key| bits.may_have(key)).collect(),
            State::NotYet | State::Reading(_) | State::GivenUp => vec![true; keys.len()],
        }
    }
}

/// The store is not closed before its last reader has gone.
impl Drop for KeyFilter {
    fn drop(&mut self) {
        if let Some(Reading { thread, stop }) = self.reading.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
    }
}

/// Adds the keys of the store, which are to be so many. Whether it came to the end.
fn read_all(mut stored: Iter, keys: u64, state: &Mutex<State>, stop: &AtomicBool) -> Result<bool, LedgerError> {
    let mut unread = keys;
    loop {
        let begun = Instant::now();
        let mut keys: Vec<DedupKey> = Vec::with_capacity(READ_AT_ONCE);
        for guard in stored.by_ref().take(READ_AT_ONCE) {
            let key = guard.key().map_err(failed)?;
            keys.push(key.as_ref().try_into().map_err(|_| LedgerError::Damaged { what: "dedup" })?);
        }
        unread = unread.checked_sub(keys.len() as u64).ok_or(LedgerError::Damaged { what: "dedup" })?;
        let mut state = lock(state);
        let State::Reading(bits) = &mut *state else { return Ok(false) };
        keys.iter().for_each(|key| bits.add(key));
        drop(state);
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if keys.len() < READ_AT_ONCE {
            return if unread == 0 { Ok(true) } else { Err(LedgerError::Damaged { what: "dedup" }) };
        }
        std::thread::sleep(begun.elapsed() * RESTS);
    }
}

fn settle(state: &Mutex<State>, read: Result<bool, LedgerError>) {
    let mut state = lock(state);
    *state = match (std::mem::replace(&mut *state, State::GivenUp), read) {
        (State::Reading(bits), Ok(true)) => {
            tracing::debug!(keys = bits.keys, "the dedup keys of the ledger are read");
            State::Complete(bits)
        }
        (_, Err(error)) => {
            tracing::warn!(%error, "the dedup keys of the ledger cannot be read ahead: each is looked for in its store");
            State::GivenUp
        }
        _ => State::GivenUp,
    };
}

/// Nothing panics between taking a key and having all its bits; and a reader that panics leaves a filter that never answers.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bits, in parts: each new one is made for as many keys as there are.
struct Bits {
    secret: RandomState,
    parts: Vec<Part>,
    keys: u64,
}

struct Part {
    blocks: Vec<[u32; WORDS]>,
    /// Keys that it still takes.
    room: u64,
}

impl Bits {
    fn for_keys(keys: u64) -> Self {
        Self { secret: RandomState::new(), parts: vec![Part::for_keys(keys.max(PART_KEYS_MIN))], keys: 0 }
    }

    fn add(&mut self, key: &DedupKey) {
        let hash = self.secret.hash_one(key);
        if self.parts.last().is_none_or(|part| part.room == 0) {
            let keys = self.keys.min(KEYS_MAX.saturating_sub(self.keys));
            self.parts.push(Part::for_keys(keys.max(PART_KEYS_MIN)));
        }
        self.keys += 1;
        if let Some(part) = self.parts.last_mut() {
            part.add(hash);
        }
    }

    fn may_have(&self, key: &DedupKey) -> bool {
        let hash = self.secret.hash_one(key);
        self.parts.iter().any(|part| part.may_have(hash))
    }
}

impl Part {
    fn for_keys(keys: u64) -> Self {
        let blocks = (keys * BITS_PER_KEY).div_ceil(BLOCK_BITS);
        let blocks = usize::try_from(blocks).expect("KEYS_MAX keys have so many that memory can count them");
        Self { blocks: vec![[0; WORDS]; blocks], room: keys }
    }

    fn add(&mut self, hash: u64) {
        let block = self.block_of(hash);
        for (word, mask) in self.blocks[block].iter_mut().zip(masks(hash)) {
            *word |= mask;
        }
        self.room = self.room.saturating_sub(1);
    }

    fn may_have(&self, hash: u64) -> bool {
        let block = &self.blocks[self.block_of(hash)];
        block.iter().zip(masks(hash)).all(|(word, mask)| word & mask != 0)
    }

    /// The upper half of the hash, scaled to the number of blocks.
    fn block_of(&self, hash: u64) -> usize {
        let scaled = (hash >> 32).wrapping_mul(self.blocks.len() as u64) >> 32;
        usize::try_from(scaled).expect("below the number of blocks")
    }
}

/// The bit of each word, from the lower half of the hash.
fn masks(hash: u64) -> [u32; WORDS] {
    let [a, b, c, d, ..] = hash.to_le_bytes();
    let low = u32::from_le_bytes([a, b, c, d]);
    SALTS.map(|salt| 1 << (low.wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests;
