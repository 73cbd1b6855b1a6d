// SPDX-License-Identifier: Apache-2.0
//! Which bits of a text are flipped: a few, other ones in each case of the suite; or, with `TOUCHMARK_TWINS=all`, one of every byte.

use std::sync::LazyLock;

/// How many places of a long text, and of a short part of a structure.
const PLACES: usize = 10;
const PLACES_INSIDE: usize = 1;

/// Places, by the case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    seed: usize,
}

/// Whether every byte is to be flipped, and every stranger asked. It takes some minutes.
pub(super) fn whole() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a test that runs longer where its reader asks for it")]
    static WHOLE: LazyLock<bool> =
        LazyLock::new(|| std::env::var_os("TOUCHMARK_TWINS").is_some_and(|all| all == "all"));
    *WHOLE
}

impl Sample {
    pub(super) fn of(case: &str) -> Self {
        Self { seed: case.bytes().fold(7, |sum, byte| (sum * 31 + usize::from(byte)) % 9973) }
    }

    /// Places with a bit each, both ends included.
    pub(super) fn places(self, length: usize) -> impl Iterator<Item = (usize, usize)> {
        self.some(length, PLACES)
    }

    /// The same for a part of a structure.
    pub(super) fn inside(self, length: usize) -> impl Iterator<Item = (usize, usize)> {
        self.some(length, PLACES_INSIDE)
    }

    fn some(self, length: usize, count: usize) -> impl Iterator<Item = (usize, usize)> {
        let step = if whole() { 1 } else { (length / count).max(1) };
        let start = self.seed % step;
        let ends = [0, length.saturating_sub(1)].into_iter().filter(move |_| length > 0);
        let places = (start..length).step_by(step).chain(ends);
        places.map(move |place| (place, (place + self.seed) % 8))
    }
}
