// SPDX-License-Identifier: Apache-2.0
//! Sigstore's formats and checks, without any input or output: what the services write and the clients verify.
//!
//! In scope: certificates and their Fulcio extensions (`x509`, `principal`, `issue`), certificate transparency (`ct`),
//! RFC 3161 timestamps (`tsp`), the entries of the signature log (`rekor`), trusted root and signing config (`trust`),
//! bundles (`bundle`), who may have signed (`policy`), the JSON of every service (`wire`), and the verification of a
//! bundle (`verify`), which is the file to read first.
//! Out of scope: Merkle trees and checkpoints (crate `tlog`), cryptography (crate `keys`), and everything that touches a
//! clock, a file or a socket: callers pass bytes and `now`.
//! Invariants: nothing here reads a clock, a file, the environment or a global; no input panics; a check returns what it
//! proved; one function renders each kind of leaf, and the writer and the verifier both call it.

#[cfg(test)]
mod vectors;
#[cfg(test)]
mod workshop;

mod asn1;
pub mod bundle;
pub mod ct;
pub mod dsse;
pub mod intoto;
pub mod issue;
pub mod policy;
pub mod principal;
pub mod rekor;
pub mod trust;
pub mod tsp;
pub mod verify;
pub mod wire;
pub mod x509;

pub use asn1::DerError;
