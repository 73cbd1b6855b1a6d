// SPDX-License-Identifier: Apache-2.0
//! The services of touchmark: certificate authority, CT log, transparency log, timestamp authority, TUF repository and the
//! try-out OIDC issuer, and how they are started together.
//!
//! In scope: one private module for each service behind a `router`, the HTTP plumbing, the configuration file, and the data
//! directory of `touchmark up`.
//! Out of scope: the formats themselves (`touchmark_sigstore`), the log engine (`touchmark_sequencer`), keys at rest
//! (`touchmark_signers`), and anything that prints (the command line).
//! Invariants: a module reads the time and reaches out only through [`Deps`]; no certificate leaves without an SCT; the offline
//! keys of the trust root are not in memory while a server answers.

mod audit;
pub mod ceremony;
mod config;
mod ctlog;
mod deps;
mod durable;
mod evidence;
mod fulcio;
mod http;
mod instance;
mod metrics;
mod oidc;
mod rate;
mod rekor;
mod tsa;
mod tuf;
mod witness;

pub use audit::AuditKind;
pub use audit::verify::{AuditChain, AuditProblem, verify_audit_log};
pub use config::{Config, ConfigError};
pub use deps::{Deps, WaysOut};
pub use fulcio::{ExplainError, Explanation, IdentityConfig, IssuerReport};
pub use instance::{
    Demand, FrozenLog, Held, Inventory, LogFiles, LogKind, LogOptions, LogState, ReloadError, Reloaded, Rotation,
    Running, Start, StartError, UpOptions, log_create, log_freeze, log_rotate, serve, serve_with, try_out_token, up,
    up_with,
};
pub use witness::WitnessMode;
