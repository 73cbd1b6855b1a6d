// SPDX-License-Identifier: Apache-2.0
//! The section `[fulcio]`: its values to what the certificate authority is made of.
//!
//! In scope: paths, and what each key is called. Out of scope: what issuers, CI providers and rules mean together (`crate::fulcio`).

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{ConfigError, FulcioRole, PREVIOUS_CHAINS_MAX, Reading, address_limit, file, invalid, web_url};
use crate::fulcio::{
    CT_DEADLINE_DEFAULT, ClaimPatterns, EmailVerification, FulcioConfigPlace, Identities, IssuerPlace, IssuerText,
    IssuerTransport, Need, ProviderText, RateLimitConfig, Reuse, RuleMode, RuleText,
};

/// Each is asked for every certificate, and each SCT makes certificates about 120 bytes longer.
const CT_LOGS_MAX: usize = 8;
/// Below the time that a request may take.
const CT_DEADLINES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(25);

/// Where certificates are logged, and how many SCTs they need.
#[derive(Debug)]
pub(crate) struct CtPlace {
    pub(crate) logs: Vec<(CtLogRef, Need)>,
    pub(crate) scts_min: usize,
    pub(crate) deadline: Duration,
}

impl CtPlace {
    /// Every certificate into this log of the process.
    pub(crate) fn of(name: String) -> Self {
        Self { logs: vec![(CtLogRef::Named(name), Need::Required)], scts_min: 1, deadline: CT_DEADLINE_DEFAULT }
    }

    /// Whether a log of this process is among them.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.names_of_logs().any(|named| named == name)
    }

    pub(super) fn names_of_logs(&self) -> impl Iterator<Item = &str> {
        self.logs.iter().filter_map(|(log, _)| match log {
            CtLogRef::Named(name) => Some(name.as_str()),
            CtLogRef::Remote { .. } => None,
        })
    }
}

/// A log that certificates go to.
#[derive(Debug)]
pub(crate) enum CtLogRef {
    /// A log of this process.
    Named(String),
    /// A log behind HTTP.
    Remote { url: Url, public_key: PathBuf },
}

impl Reading<'_> {
    pub(super) fn fulcio(&self, role: file::Fulcio) -> Result<FulcioRole, ConfigError> {
        if role.previous_chains.len() > PREVIOUS_CHAINS_MAX {
            return Err(invalid("fulcio.previous_chains", "names more than 16 chains"));
        }
        if role.issuer.is_empty() && role.fulcio_config.is_none() {
            return Err(invalid("fulcio.issuer", "is missing: without an issuer no token is accepted"));
        }
        let place =
            |path| FulcioConfigPlace { path: self.path(path), transport: transport(role.fulcio_config_transport) };
        let identities = Identities {
            issuers: role.issuer.into_iter().map(|issuer| self.issuer(issuer)).collect::<Result<_, _>>()?,
            providers: role.ci_provider.into_iter().map(|(name, provider)| (name, provider_text(provider))).collect(),
            rules: role.authorize.into_iter().map(rule_text).collect::<Result<_, _>>()?,
            fulcio_config: role.fulcio_config.map(place),
        };
        identities.check().map_err(|error| ConfigError::Identity { problem: error.to_string() })?;
        Ok(FulcioRole {
            listen: self.listen("fulcio", role.listen)?,
            key: self.signer("fulcio.key", &role.key)?,
            chain: self.path(role.chain),
            previous_chains: role.previous_chains.into_iter().map(|path| self.path(path)).collect(),
            ct: self.ct_place(role.ct_log, role.ct_scts, role.ct_deadline_s)?,
            identities,
            audit_log: role.audit_log.map(|path| self.path(path)),
            rate_limit: rate_limit(role.rate_limit)?,
        })
    }

    fn issuer(&self, issuer: file::Issuer) -> Result<IssuerPlace, ConfigError> {
        web_url("fulcio.issuer.url", &issuer.url.replace('*', "x"))?;
        if issuer.token_age_max_s == Some(0) {
            return Err(invalid("fulcio.issuer.token_age_max_s", "must be at least 1"));
        }
        let text = IssuerText {
            client_id: issuer.client_id,
            subject_domain: issuer.subject_domain,
            trust_domain: issuer.spiffe_trust_domain,
            ci_provider: issuer.ci_provider,
            ci_constants: issuer.ci_constants,
            issuer_claim: issuer.issuer_claim,
            verification: if issuer.trusts_unverified_email {
                EmailVerification::TrustedWithout
            } else {
                EmailVerification::Demanded
            },
            email_domains: issuer.email_domains,
            transport: transport(issuer.transport),
            bearer_token: issuer.bearer_token_file.map(|path| self.path(path)),
            age_max: issuer.token_age_max_s.map(Duration::from_secs),
            reuse: if issuer.single_use_tokens { Reuse::Refused } else { Reuse::Allowed },
            ..IssuerText::new(issuer.url, issuer.identity)
        };
        Ok(IssuerPlace {
            text,
            ca: issuer.ca.map(|path| self.path(path)),
            jwks: issuer.jwks.map(|path| self.path(path)),
        })
    }

    fn ct_place(
        &self,
        logs: file::OneOrSeveral<file::CtLogChoice>,
        scts: Option<NonZeroU32>,
        deadline_s: Option<u64>,
    ) -> Result<CtPlace, ConfigError> {
        let count = logs.0.len();
        if count == 0 || count > CT_LOGS_MAX {
            return Err(invalid("fulcio.ct_log", "names no log, or more than 8"));
        }
        let scts_min = scts.map_or(count, |scts| scts.get().try_into().unwrap_or(usize::MAX));
        if scts_min > count {
            return Err(invalid("fulcio.ct_scts", "is more than `ct_log` names logs"));
        }
        let deadline = deadline_s.map_or(CT_DEADLINE_DEFAULT, Duration::from_secs);
        if !CT_DEADLINES.contains(&deadline) {
            return Err(invalid("fulcio.ct_deadline_s", "must be from 1 to 25 seconds"));
        }
        let logs = logs.0.into_iter().map(|log| {
            let need = if log.required { Need::Required } else { Need::Welcome };
            Ok((self.ct_log_ref(log)?, need))
        });
        Ok(CtPlace { logs: logs.collect::<Result<_, _>>()?, scts_min, deadline })
    }

    fn ct_log_ref(&self, choice: file::CtLogChoice) -> Result<CtLogRef, ConfigError> {
        match (choice.name, choice.url, choice.public_key) {
            (Some(name), None, None) => Ok(CtLogRef::Named(name)),
            (None, Some(url), Some(public_key)) => {
                Ok(CtLogRef::Remote { url: web_url("fulcio.ct_log.url", &url)?, public_key: self.path(public_key) })
            }
            _ => Err(invalid("fulcio.ct_log", "takes either `name`, or `url` together with `public_key`")),
        }
    }
}

fn transport(transport: file::Transport) -> IssuerTransport {
    match transport {
        file::Transport::Https => IssuerTransport::HttpsOnly,
        file::Transport::HttpsPrivate => IssuerTransport::HttpsPrivate,
        file::Transport::LoopbackHttp => IssuerTransport::LoopbackHttpAllowed,
    }
}

fn provider_text(provider: file::CiProvider) -> ProviderText {
    ProviderText {
        subject_alternative_name: provider.subject_alternative_name,
        constants: provider.constants,
        defaults: provider.defaults,
        extensions: provider.extensions,
    }
}

fn rule_text(rule: file::Authorize) -> Result<RuleText, ConfigError> {
    // The last entry was taken out: to serve everybody then would be the opposite of what was meant.
    if rule.allow.as_ref().is_some_and(Vec::is_empty) {
        return Err(invalid(
            "fulcio.authorize.allow",
            "is an empty list: leave it out, or serve nobody with `otherwise = \"deny\"`",
        ));
    }
    let values = |values| match values {
        file::Values::One(value) => vec![value],
        file::Values::Several(values) => values,
    };
    let patterns = |entries: Vec<BTreeMap<String, file::Values>>| -> Vec<ClaimPatterns> {
        let entry =
            |entry: BTreeMap<String, file::Values>| entry.into_iter().map(|(claim, of)| (claim, values(of))).collect();
        entries.into_iter().map(entry).collect()
    };
    Ok(RuleText {
        issuer: rule.issuer,
        deny: patterns(rule.deny),
        allow: patterns(rule.allow.unwrap_or_default()),
        otherwise: rule.otherwise,
        mode: if rule.dry_run { RuleMode::DryRun } else { RuleMode::Enforced },
    })
}

fn rate_limit(limit: file::RateLimit) -> Result<RateLimitConfig, ConfigError> {
    let proxies = "fulcio.rate_limit.trusted_proxies";
    Ok(RateLimitConfig {
        address: address_limit(proxies, limit.address_per_minute, limit.trusted_proxies)?,
        issuer_per_minute: limit.issuer_per_minute,
        subject_per_minute: limit.subject_per_minute,
    })
}
