// SPDX-License-Identifier: Apache-2.0
//! Real server processes, load on their services, and an independent audit of their logs. For tests and measurements.
//!
//! In scope: starting, killing and stopping the `touchmark` binary; requests as public clients make them; a reader of a whole log that trusts nothing but
//! the log's public key; a small witness and a time server with NTS, honest or not. Out of scope: the services and the client themselves. Nothing here is linked into the product.

pub mod audit;
pub mod keys;
pub mod load;
pub mod nts;
pub mod process;
pub mod witness;
