// SPDX-License-Identifier: Apache-2.0
//! The policies under which tokens are issued (RFC 3161 §2.4.1, reqPolicy).
//!
//! In scope: which are served, which one is meant by a request that names none. Out of scope: what a policy says.
//! Invariant: there is at least one, and each is an object identifier.

use touchmark_sigstore::tsp::{POLICY, is_policy};

use super::error::TsaError;

/// More than any authority has; each request is compared with all.
const POLICIES_MAX: usize = 16;

/// Object identifiers, dotted; the first is that of requests that name none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policies(Vec<String>);

impl Policies {
    /// Else what is wrong with the list.
    pub(crate) fn new(policies: Vec<String>) -> Result<Self, &'static str> {
        match policies.len() {
            0 => Err("names no policy: leave it out, or name at least one"),
            count if count > POLICIES_MAX => Err("names more than 16 policies"),
            _ if !policies.iter().all(|policy| is_policy(policy)) => {
                Err("must be object identifiers, such as `1.3.6.1.4.1.57264.2`")
            }
            _ => Ok(Self(policies)),
        }
    }

    /// That of requests that name none.
    pub(super) fn default_policy(&self) -> &str {
        self.0.first().expect("the constructor refuses an empty list")
    }

    /// The policy of the token for a request.
    pub(super) fn serve(&self, asked: Option<&str>) -> Result<&str, TsaError> {
        let Some(asked) = asked else { return Ok(self.default_policy()) };
        let served = self.0.iter().find(|policy| policy.as_str() == asked);
        served.map(String::as_str).ok_or(TsaError::UnacceptedPolicy)
    }
}

/// Sigstore's policy alone.
impl Default for Policies {
    fn default() -> Self {
        Self(vec![POLICY.to_owned()])
    }
}
