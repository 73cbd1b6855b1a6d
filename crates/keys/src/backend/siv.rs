// SPDX-License-Identifier: Apache-2.0
//! AES-SIV with the crate of the RustCrypto project, because aws-lc-rs has it not.
//!
//! Spec: RFC 5297. Out of scope: what is associated with what (`crate::siv`).

use aes_siv::KeyInit;
use aes_siv::siv::Aes128Siv;

use crate::backend::Failed;

pub(crate) fn seal(key: &[u8; 32], associated: &[&[u8]], plaintext: &[u8]) -> Result<Vec<u8>, Failed> {
    Aes128Siv::new(key.into()).encrypt(associated, plaintext).map_err(|_| Failed)
}

pub(crate) fn open(key: &[u8; 32], associated: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, Failed> {
    Aes128Siv::new(key.into()).decrypt(associated, sealed).map_err(|_| Failed)
}
