// SPDX-License-Identifier: Apache-2.0
//! The whole service over its router, with an issuer on loopback and a real log in a temporary directory.

mod advisories;
mod forms;
pub(crate) mod harness;
mod identities;
mod issuer;
mod issuing;
mod keys_of_issuers;
mod manual;
mod operations;
mod refusals;
mod reloading;
mod several_logs;
