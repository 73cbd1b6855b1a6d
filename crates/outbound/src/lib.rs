// SPDX-License-Identifier: Apache-2.0
//! The only way out: HTTP requests with limits on size, time, redirects and addresses; questions to time servers.
//!
//! In scope: GET and POST with a bounded answer; refusing addresses that a public name has no business to point at (server-side
//! request forgery); how far a clock is off by one time server, authenticated or not ([`TimeSource`]). Out of scope: what is asked and what the answer means (crates `server` and `client`); caching; retries.
//!
//! Invariants: an answer is never longer than the caller's limit, nor later than its deadline; no redirect is followed; no URL with
//! user information is fetched; no proxy is read from the environment; under [`Reach::PublicOnly`] no connection is opened to an
//! address that is not globally routable, whatever the name resolves to at that moment.

mod address;
mod client;
mod error;
mod nts;
mod sntp;
mod time;
mod time_server;

pub use client::{Limits, Outbound, Reach, Response};
pub use error::OutboundError;
pub use nts::{KeyExchangeError, RecordsError};
pub use time::{ClockSample, TimeError, TimeRoots, TimeSource};
pub use time_server::{NtpServer, NtpServerError, TimeProtocol};
