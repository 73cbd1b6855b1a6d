// SPDX-License-Identifier: Apache-2.0
//! The whole stack of `touchmark up`, started in a temporary directory on free ports and asked over HTTP.
//!
//! In scope: each endpoint as a client sees it, starting and stopping. Out of scope: signing flows end to end (crate `cli`).

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod fulcio;
mod grpc;
mod instance;
mod metrics;
mod plumbing;
mod rekor;
mod serve;
mod stack;
mod tls;
mod tsa;
mod tuf;
mod witness;
