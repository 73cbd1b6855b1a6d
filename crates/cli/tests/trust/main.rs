// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust …` as people use it: each in a directory of his own, with nothing in common but the files that are carried between them.
//!
//! `ceremony` is one from nothing to a verified signature; `failures` and `time` are what goes wrong, one case a test, as docs/ceremony.md
//! says it ("When something goes wrong"); `interrupted` stops a publication at each of its steps; `mirrors` lie to a client; `serving` is a server over what was published;
//! `buckets` take what is published.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod buckets;
mod ceremony;
mod delegations;
mod failures;
mod interrupted;
mod machines;
mod mirrors;
mod services;
mod serving;
mod time;
