// SPDX-License-Identifier: Apache-2.0
//! The configuration of `touchmark serve`: read once, checked as a whole, turned into what will be started.
//!
//! In scope: the rules between keys, relative paths (they start at the file's directory), errors that name file, place and key.
//! The manual is `docs/configuration.md`; its example and its list of keys are tested here.
//! Out of scope: the keys themselves ([`file`]), opening what the paths name (`crate::instance`).
//! Invariants: unknown keys are refused; the try-out issuer needs a second statement, an address of its own, and loopback.

mod file;
mod fixed;
mod fulcio;
mod tsa;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use touchmark_signers::{InWords, ReferenceError, SignerReference};
use url::Url;

use crate::ctlog::{Expired, Interval, Validity};
use crate::evidence::{EvidencePlace, FOREIGN_MAX, ForeignPlace, INTERVAL_MIN};
use crate::fulcio::{Identities, RateLimitConfig};
use crate::rate::AddressLimitConfig;
use crate::tsa::{ClockPlace, Embedded, Policies};
use crate::witness::{OtherLogs, WitnessMode, WitnessPlace};
pub(crate) use fixed::FixedSettings;
pub(crate) use fulcio::{CtLogRef, CtPlace};

/// A key of three years and one of ten, each renewed yearly, have fewer that have not ended; clients read all of them.
const PREVIOUS_CHAINS_MAX: usize = 16;

/// What `touchmark serve` starts.
#[derive(Debug)]
pub struct Config {
    /// The address that roles share which have none of their own.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) external_url: Option<Url>,
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Where the metrics are, apart from every service.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// What the listeners of services speak below HTTP. Without it nothing.
    pub(crate) tls: Option<TlsPlace>,
    pub(crate) fulcio: Option<FulcioRole>,
    pub(crate) ctlogs: Vec<CtLogRole>,
    pub(crate) rekors: Vec<RekorRole>,
    pub(crate) tsa: Option<TsaRole>,
    pub(crate) tuf: Option<TufRole>,
    pub(crate) oidc: Option<OidcRole>,
    pub(crate) fixed: FixedSettings,
}

/// Where the key and the certificates of the listeners lie.
#[derive(Debug)]
pub(crate) struct TlsPlace {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Debug)]
pub(crate) struct FulcioRole {
    pub(crate) listen: SocketAddr,
    pub(crate) key: SignerReference,
    pub(crate) chain: PathBuf,
    pub(crate) previous_chains: Vec<PathBuf>,
    pub(crate) ct: CtPlace,
    pub(crate) identities: Identities,
    pub(crate) audit_log: Option<PathBuf>,
    pub(crate) rate_limit: RateLimitConfig,
}

#[derive(Debug)]
pub(crate) struct CtLogRole {
    pub(crate) listen: SocketAddr,
    pub(crate) log: LogPlace,
    pub(crate) accepted_roots: PathBuf,
    pub(crate) validity: Validity,
}

#[derive(Debug)]
pub(crate) struct RekorRole {
    pub(crate) listen: SocketAddr,
    pub(crate) log: LogPlace,
}

/// A log's name and where its parts lie.
#[derive(Debug, Clone)]
pub(crate) struct LogPlace {
    pub(crate) name: String,
    pub(crate) key: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) anchor: Option<PathBuf>,
    pub(crate) witnesses: Option<WitnessPlace>,
    pub(crate) evidence: Option<EvidencePlace>,
}

impl LogPlace {
    fn witnessed(self, witnesses: Option<WitnessPlace>) -> Self {
        LogPlace { witnesses, ..self }
    }

    fn stamped(self, evidence: Option<EvidencePlace>) -> Self {
        LogPlace { evidence, ..self }
    }
}

#[derive(Debug)]
pub(crate) struct TsaRole {
    pub(crate) listen: SocketAddr,
    pub(crate) key: SignerReference,
    pub(crate) chain: PathBuf,
    pub(crate) previous_chains: Vec<PathBuf>,
    pub(crate) policies: Policies,
    pub(crate) embedded: Embedded,
    pub(crate) time_file: PathBuf,
    pub(crate) audit_log: Option<PathBuf>,
    pub(crate) rate_limit: AddressLimitConfig,
    pub(crate) clock: Option<ClockPlace>,
}

#[derive(Debug)]
pub(crate) struct TufRole {
    pub(crate) listen: SocketAddr,
    pub(crate) directory: PathBuf,
    pub(crate) online_key: PathBuf,
}

#[derive(Debug)]
pub(crate) struct OidcRole {
    pub(crate) listen: SocketAddr,
    pub(crate) issuer: Url,
    pub(crate) key: PathBuf,
}

/// Why a configuration file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {}", path.display(), InWords(*kind))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// It is not TOML, a key is unknown or a value has the wrong type; the text names line and column.
    #[error("{problem}")]
    Syntax {
        /// The place and what is wrong there.
        problem: String,
    },
    /// The value of a key cannot be used.
    #[error("`{key}`: {problem}")]
    Value {
        /// The key with its section.
        key: String,
        /// What is wrong with it and what it should be.
        problem: &'static str,
    },
    /// An issuer, a CI provider or a rule of `[fulcio]` cannot be used; the text names it and its setting.
    #[error("`fulcio`: {problem}")]
    Identity {
        /// What is wrong with which, and what it should be.
        problem: String,
    },
    /// The value of a key names no signer.
    #[error("`{key}`: {problem}")]
    Signer {
        /// The key with its section.
        key: &'static str,
        /// What is wrong with it and what it should be.
        problem: ReferenceError,
    },
    /// Certificates are to go to a log of this process that there is not.
    #[error("`fulcio.ct_log.name`: {name} is the name of no [[ctlog]] in this file; {}", listed(known))]
    CtLogUnknown {
        /// What was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The file starts nothing.
    #[error("no role is configured: add at least one of [fulcio], [[ctlog]], [[rekor]], [tsa], [tuf], [oidc]")]
    NoRole,
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error: std::io::Error| ConfigError::Unreadable { path: path.to_owned(), kind: error.kind() };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Config::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads a configuration whose relative paths start at `directory`.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, ConfigError> {
        let file: file::File = toml::from_str(text)
            .map_err(|error| ConfigError::Syntax { problem: error.to_string().trim_end().to_owned() })?;
        let mut config = Reading { directory, listen: file.listen }.config(file)?;
        config.fixed = FixedSettings::of(text);
        Ok(config)
    }
}

/// What the sections share while they are read.
struct Reading<'a> {
    directory: &'a Path,
    listen: Option<SocketAddr>,
}

impl Reading<'_> {
    fn config(&self, file: file::File) -> Result<Config, ConfigError> {
        let external_url = file.external_url.as_deref().map(|url| web_url("external_url", url)).transpose()?;
        let config = Config {
            listen: file.listen,
            external_url,
            passphrase_file: file.passphrase_file.map(|path| self.path(path)),
            metrics_listen: file.metrics_listen,
            tls: file.tls.map(|tls| TlsPlace { chain: self.path(tls.chain), key: self.path(tls.key) }),
            fulcio: file.fulcio.map(|role| self.fulcio(role)).transpose()?,
            ctlogs: file.ctlog.into_iter().map(|role| self.ctlog(role)).collect::<Result<_, _>>()?,
            rekors: file.rekor.into_iter().map(|role| self.rekor(role)).collect::<Result<_, _>>()?,
            tsa: file.tsa.map(|role| self.tsa(role)).transpose()?,
            tuf: file.tuf.map(|role| self.tuf(role)).transpose()?,
            oidc: file.oidc.map(|role| self.oidc(role)).transpose()?,
            fixed: FixedSettings::default(),
        };
        check_together(&config)?;
        Ok(config)
    }

    fn path(&self, path: PathBuf) -> PathBuf {
        self.directory.join(path)
    }

    fn signer(&self, key: &'static str, text: &str) -> Result<SignerReference, ConfigError> {
        SignerReference::parse(text, self.directory).map_err(|problem| ConfigError::Signer { key, problem })
    }

    fn listen(&self, section: &str, own: Option<SocketAddr>) -> Result<SocketAddr, ConfigError> {
        let missing = "is missing, and there is no `listen` at the top of the file either";
        own.or(self.listen).ok_or_else(|| invalid(format!("{section}.listen"), missing))
    }

    fn ctlog(&self, role: file::CtLog) -> Result<CtLogRole, ConfigError> {
        let expired = match (role.reject_expired, role.reject_unexpired) {
            (false, false) => Expired::Taken,
            (true, false) => Expired::Refused,
            (false, true) => Expired::Demanded,
            (true, true) => {
                return Err(invalid(
                    "ctlog.reject_unexpired",
                    "together with `reject_expired` refuses every certificate",
                ));
            }
        };
        let interval = interval(role.not_after_start.as_deref(), role.not_after_limit.as_deref())?;
        Ok(CtLogRole {
            listen: self.listen("ctlog", role.listen)?,
            log: self
                .log("ctlog.name", role.name, role.key, role.data, role.anchor)?
                .witnessed(self.witnesses("ctlog", role.witness_policy, role.witness_mode)?)
                .stamped(self.evidence("ctlog", role.evidence_interval_s, role.evidence_tsa)?),
            accepted_roots: self.path(role.accepted_roots),
            validity: Validity { interval, expired },
        })
    }

    fn rekor(&self, role: file::Rekor) -> Result<RekorRole, ConfigError> {
        Ok(RekorRole {
            listen: self.listen("rekor", role.listen)?,
            log: self
                .log("rekor.name", role.name, role.key, role.data, role.anchor)?
                .witnessed(self.witnesses("rekor", role.witness_policy, role.witness_mode)?)
                .stamped(self.evidence("rekor", role.evidence_interval_s, role.evidence_tsa)?),
        })
    }

    fn log(
        &self,
        key_of_name: &str,
        name: String,
        key: PathBuf,
        data: PathBuf,
        anchor: Option<PathBuf>,
    ) -> Result<LogPlace, ConfigError> {
        if !is_host_name(&name) {
            return Err(invalid(key_of_name, "must be a host name in lower case: clients compare it with one"));
        }
        Ok(LogPlace {
            name,
            key: self.path(key),
            data: self.path(data),
            anchor: anchor.map(|path| self.path(path)),
            witnesses: None,
            evidence: None,
        })
    }

    fn evidence(
        &self,
        section: &str,
        interval_s: Option<u64>,
        authorities: Vec<file::EvidenceTsa>,
    ) -> Result<Option<EvidencePlace>, ConfigError> {
        let Some(interval_s) = interval_s else {
            return match authorities.first() {
                None => Ok(None),
                Some(_) => Err(invalid(
                    format!("{section}.evidence_interval_s"),
                    "is missing, and `evidence_tsa` is there: say how often checkpoints are stamped",
                )),
            };
        };
        let interval = Duration::from_secs(interval_s);
        if interval < INTERVAL_MIN {
            return Err(invalid(format!("{section}.evidence_interval_s"), "must be at least 1"));
        }
        if authorities.len() > FOREIGN_MAX {
            return Err(invalid(format!("{section}.evidence_tsa"), "names more than 7 authorities"));
        }
        let foreign = authorities.into_iter().map(|authority| {
            let url = web_url(&format!("{section}.evidence_tsa.url"), &authority.url)?;
            Ok(ForeignPlace { url, chain: self.path(authority.chain) })
        });
        Ok(Some(EvidencePlace { interval, foreign: foreign.collect::<Result<_, _>>()? }))
    }

    fn witnesses(
        &self,
        section: &str,
        policy: Option<PathBuf>,
        mode: Option<file::WitnessMode>,
    ) -> Result<Option<WitnessPlace>, ConfigError> {
        let mode = mode.map(|mode| match mode {
            file::WitnessMode::FailOpen => WitnessMode::FailOpen,
            file::WitnessMode::FailClosed => WitnessMode::FailClosed,
        });
        match (policy, mode) {
            (None, None) => Ok(None),
            (Some(policy), Some(mode)) => {
                Ok(Some(WitnessPlace { policy: self.path(policy), mode, others: OtherLogs::Refused }))
            }
            (Some(_), None) => Err(invalid(
                format!("{section}.witness_mode"),
                "is missing: say `fail-open` (the log goes on without its witnesses) or `fail-closed` (it waits for them)",
            )),
            (None, Some(_)) => {
                Err(invalid(format!("{section}.witness_policy"), "is missing, and `witness_mode` is there"))
            }
        }
    }

    fn tuf(&self, role: file::Tuf) -> Result<TufRole, ConfigError> {
        let listen = self.listen("tuf", role.listen)?;
        Ok(TufRole { listen, directory: self.path(role.directory), online_key: self.path(role.online_key) })
    }

    fn oidc(&self, role: file::Oidc) -> Result<OidcRole, ConfigError> {
        let issuer = web_url("oidc.issuer", &role.issuer)?;
        if issuer.path() != "/oidc" {
            return Err(invalid("oidc.issuer", "must end in the path /oidc"));
        }
        if !role.gives_any_identity_to_anyone {
            return Err(invalid(
                "oidc.gives_any_identity_to_anyone",
                "must be true: this issuer is for trying out and gives a token for any e-mail address to anyone",
            ));
        }
        if !role.listen.ip().is_loopback() {
            return Err(invalid("oidc.listen", "must be a loopback address"));
        }
        Ok(OidcRole { listen: role.listen, issuer, key: self.path(role.key) })
    }
}

/// The rules between sections.
fn check_together(config: &Config) -> Result<(), ConfigError> {
    let no_role = config.fulcio.is_none()
        && config.ctlogs.is_empty()
        && config.rekors.is_empty()
        && config.tsa.is_none()
        && config.tuf.is_none()
        && config.oidc.is_none();
    if no_role {
        return Err(ConfigError::NoRole);
    }
    let mut names = BTreeSet::new();
    let logs = config.ctlogs.iter().map(|role| &role.log).chain(config.rekors.iter().map(|role| &role.log));
    for log in logs {
        if !names.insert(log.name.as_str()) {
            return Err(invalid("name", "of two logs is the same"));
        }
    }
    for name in config.fulcio.iter().flat_map(|fulcio| fulcio.ct.names_of_logs()) {
        if !config.ctlogs.iter().any(|role| role.log.name == name) {
            let known = config.ctlogs.iter().map(|role| role.log.name.clone()).collect();
            return Err(ConfigError::CtLogUnknown { name: name.to_owned(), known });
        }
    }
    if config.tls.is_some() && config.external_url.as_ref().is_some_and(|url| url.scheme() != "https") {
        return Err(invalid(
            "external_url",
            "must begin with `https:`: with [tls] the listeners of services speak TLS and nothing else",
        ));
    }
    if let Some(oidc) = &config.oidc
        && config.service_addresses().contains(&oidc.listen)
    {
        return Err(invalid(
            "oidc.listen",
            "is the address of another role; the login page needs an origin of its own",
        ));
    }
    Ok(())
}

impl Config {
    /// Every address that a role other than the try-out issuer listens on.
    pub(crate) fn service_addresses(&self) -> BTreeSet<SocketAddr> {
        let mut addresses: BTreeSet<_> = self.ctlogs.iter().map(|role| role.listen).collect();
        addresses.extend(self.rekors.iter().map(|role| role.listen));
        addresses.extend(self.fulcio.iter().map(|role| role.listen));
        addresses.extend(self.tsa.iter().map(|role| role.listen));
        addresses.extend(self.tuf.iter().map(|role| role.listen));
        addresses
    }
}

/// The `notAfter` times of a CT log's certificates, of which a log list names both ends or none.
fn interval(start: Option<&str>, limit: Option<&str>) -> Result<Option<Interval>, ConfigError> {
    let time = |key: &str, text: &str| {
        text.parse::<Timestamp>().map_err(|_| invalid(key, "must be a time such as \"2027-01-01T00:00:00Z\""))
    };
    match (start, limit) {
        (None, None) => Ok(None),
        (Some(start), Some(limit)) => {
            let (start, limit) = (time("ctlog.not_after_start", start)?, time("ctlog.not_after_limit", limit)?);
            let interval = Interval::new(start, limit);
            interval.map(Some).ok_or_else(|| invalid("ctlog.not_after_limit", "must be later than `not_after_start`"))
        }
        (Some(_), None) => Err(invalid("ctlog.not_after_limit", "is missing, and `not_after_start` is there")),
        (None, Some(_)) => Err(invalid("ctlog.not_after_start", "is missing, and `not_after_limit` is there")),
    }
}

fn web_url(key: &str, text: &str) -> Result<Url, ConfigError> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Ok(url),
        _ => Err(invalid(key, "must be an http or https URL")),
    }
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let plain = label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "there is none".to_owned(),
        names => format!("there are {}", names.join(", ")),
    }
}

/// `proxies_key` is where the proxies stand.
fn address_limit(
    proxies_key: &str,
    per_minute: Option<NonZeroU32>,
    trusted_proxies: Vec<IpAddr>,
) -> Result<AddressLimitConfig, ConfigError> {
    if per_minute.is_none() && !trusted_proxies.is_empty() {
        return Err(invalid(proxies_key, "has a meaning with `address_per_minute` only"));
    }
    Ok(AddressLimitConfig { per_minute, trusted_proxies })
}

fn invalid(key: impl Into<String>, problem: &'static str) -> ConfigError {
    ConfigError::Value { key: key.into(), problem }
}

#[cfg(test)]
mod tests;
