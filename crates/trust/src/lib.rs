// SPDX-License-Identifier: Apache-2.0
//! The trust root: TUF metadata as it is written, signed by several, and published; and the ceremony in which that is done.
//!
//! Spec: TUF 1.0.34; TAP 15 (succinct roles); docs/ceremony.md.
//! In scope: metadata over raw JSON ([`document`], [`role`], [`key`], [`delegation`], [`stated`]), the walk of a client through a
//! repository ([`walk`]), what is wrong with one ([`lint`]), what a change means ([`diff`]), and the ceremony ([`ceremony`]).
//! Out of scope: the client's cache and transport (crate `client`), serving (crate `server`), arguments and printing (crate `cli`).
//!
//! Invariants: all but [`ceremony`] is pure: bytes and the time in, values out. What was read is kept byte for byte, and no member is dropped
//! by editing. Keys are counted by what they are.

mod canonical;
pub mod ceremony;
pub mod content;
pub mod delegation;
pub mod diff;
pub mod document;
mod error;
mod json;
pub mod key;
pub mod lint;
pub mod role;
pub mod stated;
pub mod walk;

pub use canonical::canonical;
pub use error::MetadataError;
pub use walk::WalkError;
