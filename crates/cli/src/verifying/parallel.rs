// SPDX-License-Identifier: Apache-2.0
//! Work on many inputs by all cores, with the results in the order of the inputs.
//!
//! Invariants: there are never more threads than cores; a result is handed on as soon as all before it were; a worker is at most
//! [`AHEAD_MAX`] inputs ahead of what was handed on, so that memory does not grow with the number of inputs.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Condvar, Mutex, PoisonError};

/// How far a worker may be ahead of the results that were handed on.
const AHEAD_MAX: usize = 256;

/// Calls `work` for each input, by all cores, and `each` for the results, in order, on the calling thread.
pub(super) fn for_each<T: Sync, R: Send>(inputs: &[T], work: impl Fn(&T) -> R + Sync, mut each: impl FnMut(R)) {
    // To ask for the number of cores takes longer than a small verification waits for its files.
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let workers = if inputs.len() <= 1 { 1 } else { cores().min(inputs.len()) };
    if workers <= 1 {
        return inputs.iter().map(work).for_each(each);
    }
    let (next, handed_on, moved) = (AtomicUsize::new(0), Mutex::new(0_usize), Condvar::new());
    let (sender, receiver) = sync_channel(workers);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let sender = sender.clone();
            let (next, handed_on, moved, work) = (&next, &handed_on, &moved, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(input) = inputs.get(index) else { return };
                    let behind = |handed_on: &mut usize| index >= *handed_on + AHEAD_MAX;
                    let guard = handed_on.lock().unwrap_or_else(PoisonError::into_inner);
                    drop(moved.wait_while(guard, behind).unwrap_or_else(PoisonError::into_inner));
                    // The receiver lives as long as this scope, unless the caller's thread panicked.
                    if sender.send((index, work(input))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut expected = 0;
        for (index, result) in receiver {
            waiting.insert(index, result);
            while let Some(result) = waiting.remove(&expected) {
                each(result);
                expected += 1;
            }
            *handed_on.lock().unwrap_or_else(PoisonError::into_inner) = expected;
            moved.notify_all();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_inputs() {
        for count in [0, 1, 2, 3000] {
            let inputs: Vec<usize> = (0..count).collect();
            let mut results = Vec::new();
            let work = |input: &usize| {
                // The first inputs take longest.
                std::hint::black_box((0..(3000 - input) * 10).sum::<usize>());
                *input
            };
            for_each(&inputs, work, |result| results.push(result));
            assert_eq!(results, inputs);
        }
    }
}
