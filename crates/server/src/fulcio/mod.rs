// SPDX-License-Identifier: Apache-2.0
//! Fulcio: a certificate authority that binds a key to an OpenID Connect identity for ten minutes, in public.
//!
//! Fulcio's API v2 (`fulcio.proto`) through its HTTP gateway and as gRPC, and v1, with the public service's texts and codes.
//!
//! In scope: what a request for a certificate goes through; what an operator sees of it (audit log, metrics, health). Read `issue` first, then `decide`.
//! Out of scope: the CT log (`crate::ctlog`); where keys and chain come from (`crate::instance`).
//! Invariants: those of `issue` and `decide`; every reply that is not a success has the gateway's error body, or the same in the words of gRPC.

mod api;
mod audit;
mod authenticate;
mod authorize;
mod ca;
mod claims;
mod config;
mod ct;
mod decide;
mod error;
mod explain;
mod grpc;
mod health;
mod identity;
mod issue;
mod issuer_keys;
mod issuers;
mod limits;
mod pattern;
mod possession;
mod provider;
mod replay;
mod request;
mod self_check;
mod serving;
mod token;

use axum::Router;

pub(crate) use audit::AuditLog;
pub(crate) use authorize::RuleMode;
pub(crate) use ca::{CertificateAuthority, LEAF_LIFETIME};
pub(crate) use config::{
    ClaimPatterns, DEFAULT_ALGORITHMS, Effect, EmailVerification, FulcioConfig, FulcioConfigPlace, FulcioStartError,
    Identities, IdentityType, IssuerPlace, IssuerText, IssuerTransport, Reuse, RuleText,
};
#[cfg(test)]
use config::{IssuerConfig, IssuerKind, IssuerUrl};
pub(crate) use ct::{
    CtError, CtLogs, CtMember, CtSubmit, CtTarget, DEADLINE_DEFAULT as CT_DEADLINE_DEFAULT, HttpCtLog, Need,
};
pub use explain::{ExplainError, Explanation, IdentityConfig, IssuerReport};
pub(crate) use health::{Condition, Health};
pub(crate) use identity::EmailAddress;
pub(crate) use limits::RateLimitConfig;
pub(crate) use provider::ProviderText;
pub(crate) use serving::{Serving, Successor};

use crate::deps::Deps;
use crate::http::grpc::about::About;
use crate::metrics::FulcioMetrics;
#[cfg(test)]
use {issue::Fulcio, issuers::Issuers, limits::RateLimits, std::sync::Arc, touchmark_sigstore::x509::Certificate};

/// How an operator watches and bounds the authority.
pub(crate) struct Operations {
    pub(crate) audit: Option<AuditLog>,
    pub(crate) rate_limit: RateLimitConfig,
    pub(crate) metrics: FulcioMetrics,
}

/// The authority, ready to be put behind its addresses. Unknown paths are the caller's.
pub(crate) struct Service {
    pub(crate) router: Router,
    pub(crate) about: About,
    pub(crate) health: Health,
    /// By which another takes its place.
    pub(crate) serving: Serving,
}

impl Service {
    pub(crate) fn new(
        config: FulcioConfig,
        ca: CertificateAuthority,
        ct: CtLogs,
        operations: Operations,
        deps: &Deps,
    ) -> Result<Self, FulcioStartError> {
        Ok(Self::of(Serving::new(config, ca, ct, operations, deps)?))
    }

    fn of(serving: Serving) -> Self {
        let health = Health(serving.clone());
        let router = api::router(serving.clone()).merge(grpc::router(serving.clone()));
        Self { router, about: grpc::about(health.clone()), health, serving }
    }
}

#[cfg(test)]
pub(crate) mod tests;
