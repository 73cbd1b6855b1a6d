// SPDX-License-Identifier: Apache-2.0
//! How many requests an address, an issuer and a subject may make in a minute.
//!
//! In scope: what is limited. Out of scope: the buckets, and which address a request counts for (`crate::rate`); the reply (`error`).

use std::net::IpAddr;
use std::num::NonZeroU32;

use touchmark_keys::{sha256, sha256_parts};
use touchmark_sigstore::principal::Principal;

use crate::rate::{AddressLimit, AddressLimitConfig, Buckets, Empty};

/// What an operator allows; what he does not name is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RateLimitConfig {
    pub(crate) address: AddressLimitConfig,
    pub(crate) issuer_per_minute: Option<NonZeroU32>,
    pub(crate) subject_per_minute: Option<NonZeroU32>,
}

/// Whom a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Address,
    Issuer,
    Subject,
}

/// Too many requests; in so many seconds there is room for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests for certificates in a minute ({scope:?}); room for one in {retry_after_s} s")]
pub(super) struct RateLimited {
    pub(super) scope: Scope,
    pub(super) retry_after_s: u64,
}

pub(super) struct RateLimits {
    pub(super) address: AddressLimit,
    issuer: Option<Buckets>,
    subject: Option<Buckets>,
}

impl RateLimits {
    pub(super) fn new(config: &RateLimitConfig) -> Self {
        Self {
            address: AddressLimit::new(&config.address),
            issuer: config.issuer_per_minute.map(Buckets::new),
            subject: config.subject_per_minute.map(Buckets::new),
        }
    }

    /// Before anything is done for a request.
    pub(super) fn admit_address(&self, client: Option<IpAddr>, now_ms: u64) -> Result<(), RateLimited> {
        self.address.admit(client, now_ms).map_err(|empty| limited(Scope::Address, empty))
    }

    /// When it is proven who asks.
    pub(super) fn admit_principal(&self, principal: &Principal, now_ms: u64) -> Result<(), RateLimited> {
        let Principal { issuer, subject, .. } = principal;
        if let Some(buckets) = &self.subject {
            let key = sha256_parts(&[&sha256(issuer.as_bytes()), subject.as_bytes()]);
            buckets.take(key, now_ms).map_err(|empty| limited(Scope::Subject, empty))?;
        }
        match &self.issuer {
            Some(buckets) => {
                buckets.take(sha256(issuer.as_bytes()), now_ms).map_err(|empty| limited(Scope::Issuer, empty))
            }
            None => Ok(()),
        }
    }
}

fn limited(scope: Scope, Empty { retry_after_s }: Empty) -> RateLimited {
    RateLimited { scope, retry_after_s }
}
