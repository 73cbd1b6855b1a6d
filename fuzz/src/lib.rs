// SPDX-License-Identifier: Apache-2.0
//! What must hold of every parser for every input: it returns, and what it accepts means one thing.
//!
//! In scope: one module for each fuzz target, with a function `check` that panics where a claim does not hold; the seeds.
//! Out of scope: libFuzzer, which calls `check` from `fuzz_targets/`; how long each target runs, which `cargo xtask fuzz`
//! says. Invariant: a check depends on its input alone, so that every crash can be reproduced.

pub mod bundle;
pub mod ceremony_file;
pub mod certificate;
pub mod checkpoint;
pub mod convert;
pub mod dsse_statement;
pub mod entry_body;
pub mod metadata;
pub mod policy_file;
pub mod public_key;
pub mod sct_list;
pub mod seeds;
pub mod timestamp_request;
pub mod timestamp_token;
pub mod trust_export;
pub mod trusted_root;
pub mod vectors;
pub mod verify_bundle;

/// A fuzz target: its name, and what it claims of any input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 16] = [
    ("bundle", bundle::check),
    ("trusted_root", trusted_root::check),
    ("checkpoint", checkpoint::check),
    ("certificate", certificate::check),
    ("sct_list", sct_list::check),
    ("timestamp_token", timestamp_token::check),
    ("entry_body", entry_body::check),
    ("dsse_statement", dsse_statement::check),
    ("policy_file", policy_file::check),
    ("convert", convert::check),
    ("public_key", public_key::check),
    ("verify_bundle", verify_bundle::check),
    ("metadata", metadata::check),
    ("ceremony_file", ceremony_file::check),
    ("trust_export", trust_export::check),
    ("timestamp_request", timestamp_request::check),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_claim_holds_for_its_seeds() {
        for (name, check) in TARGETS {
            let seeds = seeds::of(name);
            assert!(seeds.len() >= 2, "{name} has {} seeds", seeds.len());
            seeds.iter().for_each(|seed| check(seed));
        }
    }

    #[test]
    fn every_claim_holds_for_seeds_that_end_early() {
        for (name, check) in TARGETS {
            for seed in seeds::of(name).iter().take(3) {
                let step = (seed.len() / 200).max(1);
                (0..seed.len()).step_by(step).for_each(|length| check(&seed[..length]));
            }
        }
    }
}
