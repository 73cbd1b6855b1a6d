// SPDX-License-Identifier: Apache-2.0
//! `verify-blob`, `verify-blob-attestation`, `bundle upgrade` and `policy check` as real processes, over the bundles of the public
//! conformance suite: flags, exit codes, many files, output, offline, and input that was tampered with.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod conformance;
mod exits;
mod flags;
mod hostile;
mod many;
mod offline;
mod output;
mod policy_check;
mod support;
mod upgrade;
