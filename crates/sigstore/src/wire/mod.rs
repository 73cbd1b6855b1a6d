// SPDX-License-Identifier: Apache-2.0
//! The JSON of every service and document, as types; servers and clients meet here.
//!
//! Shapes: sigstore/protobuf-specs (bundle, trust root, Rekor), the Fulcio and Rekor v2 OpenAPI documents, RFC 6962 §4 and
//! the timestamp authority's JSON request. In scope: names, presence, encodings, limits (`codec`, `json`). Out of scope:
//! meaning; the modules `bundle`, `trust` and `rekor` convert from these types once, into types that cannot hold nonsense.

pub mod bundle;
mod codec;
pub mod cosign;
pub mod ct;
pub mod dsse;
mod field;
pub mod fulcio;
pub mod intoto;
mod json;
pub mod rekor;
pub mod rekor_v1;
pub mod trust;
pub mod tsa;

pub use codec::{Dialect, Emit, Kind, WireError};
pub use field::{EnumName, Nullable, Presence, Tolerated, UnixSeconds};
pub(crate) use json::outline;
pub use json::{Position, parse_value};

/// The largest request body that the services read: 4 MiB, the limit of the public ones.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;

/// The largest reply of a service that a client reads.
pub const REPLY_BYTES_MAX: usize = 4 << 20;

/// The largest bundle that is read. Real ones are below 64 KiB; the payload of an attestation can be some megabytes.
pub const BUNDLE_BYTES_MAX: usize = 16 << 20;

/// The largest trusted root, signing config or client trust config that is read; the public ones are below 64 KiB.
pub const TRUST_BYTES_MAX: usize = 4 << 20;
