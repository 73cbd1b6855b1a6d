// SPDX-License-Identifier: Apache-2.0
//! Entry point of libFuzzer; the claims are in `src/metadata.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| touchmark_fuzz::metadata::check(data));
