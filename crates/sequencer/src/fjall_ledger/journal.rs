// SPDX-License-Identifier: Apache-2.0
//! The journals of the store, looked at before fjall opens it: is their end a write that a power cut tore, or has something been damaged?
//!
//! fjall drops what it cannot read at the end of a journal, whatever comes after, and refuses to open a store whose last record is there in parts.
//! The first could lose acknowledged entries without a word, the second keeps a log from starting after a mere power cut. So:
//!
//! - The journal ends after its last whole record, with nothing or zeros behind it: good.
//! - What is behind it is the rest of one record of which sectors are missing (see [`torn`]): its write was never completed, so nobody was told of
//!   it. It is cut off, whole.
//! - Anything else (a whole record behind the damage, a record with other bytes than were written, a damaged journal that is not the last): refused. It
//!   was acknowledged, and what became of the disk is for an operator to find out.
//!
//! The last whole record is then written again, as it is, and synced. Its sync may have failed in the life before; Linux then counts its pages
//! as clean, and it would stand in memory alone until the next power cut, though it has been read and built upon.
//!
//! fjall also takes a read that fails for the end of a journal, and cuts off, for good, what is behind it. [`Settled`] knows what was there: after
//! fjall has opened the store, a journal that became shorter is made whole again and the store refused. What is left is a read that fails
//! where the same bytes were read a moment before, and a crash within the moment until they are back; if a checkpoint over them was published or
//! anchored, opening the log refuses then.
//!
//! The format is that of fjall 3: records of a start (1, count u32, number u64), items (2, type u8, compression u8, keyspace u64, lengths of key u16, of
//! value u32, of the stored value u32, key, stored value) or clearings (4, keyspace u64), and an end (3, XXH3 of the items u64, "FJL\x03"); numbers
//! little-endian. A new journal file is zeros to a length of 64 MiB.
//!
//! In scope: one pass over the journals. Out of scope: what the records mean (fjall). A journal file has no limit of ours: fjall begins another after 64 MB.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::fs_objects::durable;
use crate::ledger::LedgerError;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// How much of a journal is looked at in one piece when its end is sought.
const CHUNK_BYTES: usize = 256 << 10;
const END_MAGIC: &[u8] = b"FJL\x03";

/// What is behind the last whole record.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    Torn,
    Damaged,
}

/// The journals of a store as they have to be replayed. In memory, until fjall has done that.
pub(super) struct Settled(Vec<Journal>);

struct Journal {
    path: PathBuf,
    /// Tells the length even where the name is gone: fjall removes a journal whose records have all become tables.
    file: File,
    records: Vec<u8>,
}

/// Looks at all journals of a store and mends the end of the last. Effects: that journal, cut or with its last record written again, durable. A crash
/// in between leaves the same to be done at the next start.
pub(super) fn settle(store: &Path) -> Result<Settled, LedgerError> {
    let io_failed = |error: io::Error| super::io_failed(&error);
    let paths = journals(store).map_err(io_failed)?;
    let count = paths.len();
    let mut journals = Vec::with_capacity(count);
    for (position, (_, path)) in paths.into_iter().enumerate() {
        let file = File::options().read(true).write(true).open(&path).map_err(io_failed)?;
        let mut records = written(&file).map_err(io_failed)?;
        let (whole, last_record) = whole_records(&records);
        let is_last = position + 1 == count;
        match rest(&records, whole) {
            Rest::Nothing => {}
            Rest::Torn if is_last => {
                tracing::warn!(journal = %path.display(), at = whole, "a record that was never completed is dropped");
                cut(&file, whole).map_err(io_failed)?;
            }
            Rest::Torn | Rest::Damaged => return Err(damaged(&path, whole)),
        }
        records.truncate(whole);
        if is_last {
            write_again(&file, &records, last_record).map_err(io_failed)?;
            durable::sync_parent(&path).map_err(io_failed)?;
        }
        journals.push(Journal { path, file, records });
    }
    Ok(Settled(journals))
}

impl Settled {
    /// Whether fjall, which has opened the store, has replayed everything.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        for journal in &self.0 {
            if journal.has_lost()?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes back what fjall, which has closed the store again, has cut off. Effects: the journals are durable as they were.
    pub(super) fn give_back(&self) -> io::Result<()> {
        for journal in &self.0 {
            let Some(lost) = journal.has_lost()? else { continue };
            tracing::error!(
                journal = %journal.path.display(), at = lost.start,
                "the journal could not be read again to its end, and was cut there; what is missing is written back. Check the disk"
            );
            let file = File::options().create(true).truncate(false).write(true).open(&journal.path)?;
            file.write_all_at(&journal.records, 0)?;
            file.sync_all()?;
            durable::sync_parent(&journal.path)?;
        }
        Ok(())
    }
}

impl Journal {
    /// The part of the records that the file no longer has.
    fn has_lost(&self) -> io::Result<Option<Range<usize>>> {
        let length = usize::try_from(self.file.metadata()?.len()).map_err(io::Error::other)?;
        Ok((length < self.records.len()).then_some(length..self.records.len()))
    }
}

/// The journals of a store, the oldest first.
fn journals(store: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".jnl"));
        if let Some(number) = name.and_then(|name| name.parse().ok()) {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals)
}

/// A journal without the zeros at its end (but for less than a chunk of them), most of which were never written and take no time to pass over.
fn written(file: &File) -> io::Result<Vec<u8>> {
    let mut end = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let (mut chunk, zeros) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    while let Some(last) = end.checked_sub(1) {
        let start = last - last % CHUNK_BYTES;
        let part = &mut chunk[..end - start];
        file.read_exact_at(part, start as u64)?;
        if *part != zeros[..end - start] {
            break;
        }
        end = start;
    }
    let mut bytes = vec![0; end];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn damaged(journal: &Path, at: usize) -> LedgerError {
    tracing::error!(
        journal = %journal.display(), at,
        "the journal is damaged where it had been synced: acknowledged entries may be lost; check the disk and restore the log from a backup"
    );
    LedgerError::Damaged { what: "journal" }
}

fn cut(journal: &File, length: usize) -> io::Result<()> {
    journal.set_len(length as u64)?;
    journal.sync_all()
}

fn write_again(journal: &File, bytes: &[u8], record: Range<usize>) -> io::Result<()> {
    journal.write_all_at(&bytes[record.clone()], record.start as u64)?;
    journal.sync_all()
}

/// Where the whole records at the beginning end, and the last of them.
fn whole_records(bytes: &[u8]) -> (usize, Range<usize>) {
    let mut last = 0..0;
    while let Ok(end) = record_at(bytes, last.end) {
        last = last.end..end;
    }
    (last.end, last)
}

fn rest(bytes: &[u8], whole: usize) -> Rest {
    let Some(length) = bytes[whole..].iter().rposition(|byte| *byte != 0) else { return Rest::Nothing };
    let written = &bytes[..=whole + length];
    let goes_on = (whole + 1..written.len()).any(|at| record_at(written, at).is_ok());
    if !goes_on && torn(written, whole) { Rest::Torn } else { Rest::Damaged }
}

/// Whether the record that begins at `start` lacks parts that were never written. `written` ends with the last byte that is not zero. Sectors that
/// were never written are zeros, and a write ends where an entry of the record ends:
/// - the record has no end, or
/// - a whole sector of it is zeros, which nothing that is logged has (JSON, DER), or
/// - zeros stand where an entry should begin, up to the end of a sector.
///
/// Damage of another kind would have to look like this, in the last record, to be taken for it; if a checkpoint over that record was published or
/// anchored, opening the log refuses still.
fn torn(written: &[u8], start: usize) -> bool {
    let is_zeros = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let lacks_its_place = match record_at(written, start) {
        Ok(_) => return false,
        Err(Stop::End) => !written.ends_with(END_MAGIC),
        Err(Stop::At(stop)) => {
            let sector_end = (stop + 1).next_multiple_of(SECTOR_BYTES).min(written.len());
            is_zeros(&written[stop.min(sector_end)..sector_end])
        }
    };
    let first_sector = start.next_multiple_of(SECTOR_BYTES).min(written.len());
    lacks_its_place || written[first_sector..].chunks_exact(SECTOR_BYTES).any(is_zeros)
}

/// Why there is no whole record.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// The bytes end within it.
    End,
    /// What begins here is nothing that can stand here, or, at the end, the checksum is another.
    At(usize),
}

/// The end of the whole record that begins here.
fn record_at(bytes: &[u8], start: usize) -> Result<usize, Stop> {
    let mut at = start;
    let [1, ..] = field::<1>(bytes, &mut at)? else { return Err(Stop::At(start)) };
    let count = u32::from_le_bytes(field(bytes, &mut at)?);
    let _number = field::<8>(bytes, &mut at)?;
    let items = at;
    for _ in 0..count {
        let entry = at;
        match field(bytes, &mut at)? {
            [2] => {
                let _type_and_keyspace = field::<10>(bytes, &mut at)?;
                let key = u16::from_le_bytes(field(bytes, &mut at)?);
                let _value = field::<4>(bytes, &mut at)?;
                let value = u32::from_le_bytes(field(bytes, &mut at)?);
                let length = usize::from(key) + usize::try_from(value).map_err(|_| Stop::At(entry))?;
                at = at.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(Stop::End)?;
            }
            [4] => drop(field::<8>(bytes, &mut at)?),
            _ => return Err(Stop::At(entry)),
        }
    }
    let end = at;
    let [3] = field(bytes, &mut at)? else { return Err(Stop::At(end)) };
    let checksum = u64::from_le_bytes(field(bytes, &mut at)?);
    let magic: [u8; 4] = field(bytes, &mut at)?;
    if magic != END_MAGIC || checksum != xxh3_64(&bytes[items..end]) {
        return Err(Stop::At(end));
    }
    Ok(at)
}

fn field<const N: usize>(bytes: &[u8], at: &mut usize) -> Result<[u8; N], Stop> {
    let field = bytes.get(*at..).and_then(|rest| rest.first_chunk::<N>()).ok_or(Stop::End)?;
    *at += N;
    Ok(*field)
}

#[cfg(test)]
mod tests;
