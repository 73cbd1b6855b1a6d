// SPDX-License-Identifier: Apache-2.0
//! Claims about the ends of journals.

use super::*;

/// A record as fjall writes it, with values of these lengths.
fn record(number: u64, values: &[usize]) -> Vec<u8> {
    let mut items = Vec::new();
    for (position, length) in values.iter().enumerate() {
        let (key, value) = ([7_u8; 32], vec![b'a' + u8::try_from(position).unwrap(); *length]);
        items.extend([2, 0, 0]);
        items.extend(3_u64.to_le_bytes());
        items.extend(32_u16.to_le_bytes());
        items.extend(u32::try_from(*length).unwrap().to_le_bytes());
        items.extend(u32::try_from(*length).unwrap().to_le_bytes());
        items.extend(key);
        items.extend(value);
    }
    let count = u32::try_from(values.len()).unwrap();
    let checksum = xxh3_64(&items).to_le_bytes();
    [&[1][..], &count.to_le_bytes(), &number.to_le_bytes(), &items, &[3], &checksum, END_MAGIC].concat()
}

fn check(bytes: &[u8], expect: (usize, Rest)) {
    let (whole, _) = whole_records(bytes);
    assert_eq!((whole, rest(bytes, whole)), expect);
}

/// Two whole records, and where they end.
fn two() -> (Vec<u8>, usize) {
    let bytes = [record(1, &[100, 3_000]), record(2, &[9, 700, 5])].concat();
    let end = bytes.len();
    (bytes, end)
}

#[test]
fn a_journal_ends_after_its_last_whole_record() {
    check(&[], (0, Rest::Nothing));
    check(&[0; 4_096], (0, Rest::Nothing));
    let (mut bytes, end) = two();
    check(&bytes, (end, Rest::Nothing));
    bytes.extend([0; 10_000]);
    check(&bytes, (end, Rest::Nothing));
    assert_eq!(whole_records(&bytes).1, record(1, &[100, 3_000]).len()..end);
}

#[test]
fn a_record_that_was_cut_off_was_never_completed() {
    let (bytes, whole) = two();
    let next = record(3, &[2_000, 0, 40]);
    for cut in 1..next.len() {
        for zeros in [0, 5_000] {
            check(&[&bytes, &next[..cut], &vec![0; zeros]].concat(), (whole, Rest::Torn));
        }
    }
}

#[test]
fn a_record_without_some_of_its_sectors_was_never_completed() {
    let (bytes, whole) = two();
    let bytes = [bytes, record(3, &[2_000, 300, 3_000, 40])].concat();
    let sectors = whole / SECTOR_BYTES..bytes.len().div_ceil(SECTOR_BYTES);
    for lost in 1_u32..1 << sectors.len() {
        let mut torn = bytes.clone();
        for (bit, sector) in sectors.clone().enumerate() {
            if lost & 1 << bit != 0 {
                let end = ((sector + 1) * SECTOR_BYTES).min(torn.len());
                torn[(sector * SECTOR_BYTES).max(whole)..end].fill(0);
            }
        }
        let all_lost = lost.count_ones() as usize == sectors.len();
        check(&torn, (whole, if all_lost { Rest::Nothing } else { Rest::Torn }));
    }
}

#[test]
fn a_last_record_with_another_byte_was_damaged() {
    let (bytes, whole) = two();
    let next = record(3, &[50, 0, 40]);
    for at in 0..next.len() {
        let mut damaged = next.clone();
        damaged[at] ^= 0x55;
        let damaged = [&bytes[..], &damaged].concat();
        // Its number is not under the checksum.
        if !(5..13).contains(&at) {
            check(&damaged, (whole, Rest::Damaged));
        }
    }
}

#[test]
fn damage_before_a_whole_record_is_never_dropped() {
    let (bytes, whole) = two();
    let later = [bytes.clone(), record(3, &[50])].concat();
    // The number of a record is not under its checksum.
    let second = record(1, &[100, 3_000]).len();
    for at in (0..whole).filter(|at| !(5..13).contains(at) && !(second + 5..second + 13).contains(at)) {
        let sector = at - at % SECTOR_BYTES..(at - at % SECTOR_BYTES + SECTOR_BYTES).min(whole);
        for (range, and, xor) in [(at..at + 1, 0xff, 0x55), (sector.clone(), 0xff, 0x55), (sector, 0, 0)] {
            let mut damaged = later.clone();
            damaged[range.clone()].iter_mut().for_each(|byte| *byte = *byte & and ^ xor);
            let (found, _) = whole_records(&damaged);
            assert!(found < whole && rest(&damaged, found) == Rest::Damaged, "{range:?}, {and}, {xor}");
        }
    }
}
