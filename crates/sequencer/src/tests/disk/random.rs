// SPDX-License-Identifier: Apache-2.0
//! Numbers that follow from a seed (SplitMix64): the same seed, the same numbers, on every machine.

pub(super) struct Random(u64);

impl Random {
    /// A generator of its own for one part of a run, so that parts do not shift each other's numbers.
    pub(super) fn part(seed: u64, part: u64) -> Self {
        Self(mixed(mixed(seed) ^ part))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
