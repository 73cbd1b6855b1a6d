// SPDX-License-Identifier: Apache-2.0
//! The client against a whole Sigstore in this process: honest, lying, served over TUF, and gone.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod attacks;
mod ct_inclusion;
mod hostile;
mod instances;
mod login;
mod lying_services;
mod public_repository;
mod support;
mod trust;
mod trust_export;
mod trust_fresh;
mod trust_targets;
