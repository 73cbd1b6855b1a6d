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
//!
//! ```no_run
//! use touchmark_sigstore::policy::{IdentityMatcher, Matcher, Policy};
//! use touchmark_sigstore::{bundle::Bundle, trust::TrustedRoot, verify};
//!
//! let signer = IdentityMatcher::exact("release@example.com")?;
//! let policy = Policy::keyless(signer, Matcher::exact("https://accounts.example.com")?);
//! let root = TrustedRoot::from_json(&std::fs::read("trusted_root.json")?)?;
//! let bundle = Bundle::parse(&std::fs::read("release.tar.gz.sigstore.json")?)?;
//! let file = std::fs::read("release.tar.gz")?;
//! let artifact = verify::Artifact::of_bytes(&file);
//! let verified = verify::verify(&artifact, &bundle, &root, &policy, jiff::Timestamp::now())?;
//! println!("signed at {}", verified.times()[0].time());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(test)]
mod vectors;
#[cfg(test)]
mod workshop;

mod asn1;
pub mod bundle;
pub mod ct;
pub mod dsse;
pub mod evidence;
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
