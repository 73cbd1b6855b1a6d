// SPDX-License-Identifier: Apache-2.0
//! Entry point of libFuzzer; the claims are in `src/dsse_statement.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| touchmark_fuzz::dsse_statement::check(data));
