// SPDX-License-Identifier: Apache-2.0
//! The client side of Sigstore: identity flows, the clients of the four services, the trust root, and signing.
//!
//! In scope: everything that a signer asks of the network, each reply verified before it is used ([`sign`] is the
//! place to start reading), and the TUF walk that brings a verifier its trust root ([`trust`]).
//! Out of scope: verification itself, which is pure and lives in `touchmark_sigstore::verify`; arguments, output and
//! exit codes, which are the command line's.
//!
//! Invariants: an ephemeral private key never leaves memory; no reply of a service is believed; a bundle that does not
//! verify is never returned; a token is never printed, logged or put into an error.

pub mod artifact;
pub mod attestation;
mod csr;
pub mod ct_inclusion;
pub mod fulcio;
pub mod identity;
pub mod rekor;
pub mod service;
pub mod sign;
pub mod trust;
pub mod tsa;
