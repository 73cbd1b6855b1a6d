// SPDX-License-Identifier: Apache-2.0
//! Entry point of libFuzzer; the claims are in `src/ceremony_file.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| touchmark_fuzz::ceremony_file::check(data));
