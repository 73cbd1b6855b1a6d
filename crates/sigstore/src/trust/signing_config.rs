// SPDX-License-Identifier: Apache-2.0
//! The signing config v0.2: where to sign, and the rule by which services are chosen.
//!
//! The rule: a service is usable if its major API version is known here and `now` lies in its window. Of certificate
//! authorities and OIDC providers one is taken, the highest version first, then the newest start. Of logs and timestamp
//! authorities only the highest version counts, and of each operator the newest; then the selector takes all of them, any
//! one, or an exact number.

use std::num::NonZeroU32;

use jiff::Timestamp;

use super::{
    SIGNING_CONFIG_MEDIA_TYPE, Section, TrustError, Unusable, UnusableReason, ValidFor, expect_media_type,
    sort_entries, without_places,
};
use crate::wire::EnumName;
use crate::wire::trust as wire;

/// One address of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    url: String,
    major_api_version: u32,
    valid_for: ValidFor,
    operator: String,
}

impl Service {
    /// The URL is a base, except that of a timestamp authority, which is the whole endpoint.
    #[must_use]
    pub fn new(url: String, major_api_version: u32, valid_for: ValidFor, operator: String) -> Self {
        Self { url, major_api_version, valid_for, operator }
    }

    fn from_wire(service: wire::Service) -> Result<Self, UnusableReason> {
        if service.url.is_empty() {
            return Err(UnusableReason::NoUrl);
        }
        let valid_for = ValidFor::from_wire(service.valid_for)?;
        Ok(Self::new(service.url, service.major_api_version, valid_for, service.operator))
    }

    fn to_wire(&self) -> wire::Service {
        wire::Service {
            url: self.url.clone(),
            major_api_version: self.major_api_version,
            valid_for: Some(self.valid_for.to_wire()),
            operator: self.operator.clone(),
        }
    }

    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    #[must_use]
    pub fn major_api_version(&self) -> u32 {
        self.major_api_version
    }

    #[must_use]
    pub fn valid_for(&self) -> ValidFor {
        self.valid_for
    }

    #[must_use]
    pub fn operator(&self) -> &str {
        &self.operator
    }
}

/// How many of the usable services are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    Any,
    All,
    Exact(NonZeroU32),
}

impl Selector {
    /// `None` stands for every selector that is missing, unknown or asks for none: it cannot be followed.
    fn from_wire(configuration: Option<&wire::ServiceConfiguration>) -> Option<Self> {
        let configuration = configuration?;
        match configuration.selector.0.as_str() {
            "ALL" | "1" => Some(Self::All),
            "ANY" | "2" => Some(Self::Any),
            "EXACT" | "3" => NonZeroU32::new(configuration.count).map(Self::Exact),
            _ => None,
        }
    }

    fn to_wire(self) -> wire::ServiceConfiguration {
        let (name, count) = match self {
            Self::Any => ("ANY", 0),
            Self::All => ("ALL", 0),
            Self::Exact(count) => ("EXACT", count.get()),
        };
        wire::ServiceConfiguration { selector: EnumName(name.to_owned()), count }
    }
}

/// The lists of a signing config.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceLists {
    pub ca: Vec<Service>,
    pub oidc: Vec<Service>,
    pub rekor: Vec<Service>,
    pub rekor_selector: Option<Selector>,
    pub tsa: Vec<Service>,
    pub tsa_selector: Option<Selector>,
}

/// Where to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningConfig {
    lists: ServiceLists,
    unusable: Vec<Unusable>,
}

/// The services that one signature uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    pub ca: Service,
    /// Needed only when the caller has no identity token yet.
    pub oidc: Option<Service>,
    /// Empty if the config names no log.
    pub rekor: Vec<Service>,
    /// Empty if the config names no timestamp authority.
    pub tsa: Vec<Service>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceKind {
    CertificateAuthority,
    Oidc,
    Rekor,
    TimestampAuthority,
}

impl ServiceKind {
    /// The major API versions that this version speaks. One stands for `/api/v2` of Fulcio; that is how clients read it.
    #[must_use]
    pub fn versions(self) -> &'static [u32] {
        match self {
            Self::CertificateAuthority | Self::Oidc | Self::TimestampAuthority => &[1],
            Self::Rekor => &[2],
        }
    }
}

impl std::fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CertificateAuthority => "certificate authority",
            Self::Oidc => "OIDC provider",
            Self::Rekor => "transparency log",
            Self::TimestampAuthority => "timestamp authority",
        })
    }
}

/// Why no choice of services follows the config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    #[error("the signing config has no {kind} of version {:?} that is valid at {now}", kind.versions())]
    NoneUsable { kind: ServiceKind, now: Timestamp },
    #[error("the signing config does not say how many of its services of kind {kind} to use")]
    NoSelector { kind: ServiceKind },
    #[error(
        "the signing config asks for {expected} services of kind {kind} of different operators, {found} are usable"
    )]
    TooFew { kind: ServiceKind, expected: u32, found: usize },
}

impl SigningConfig {
    #[must_use]
    pub fn new(lists: ServiceLists) -> Self {
        Self { lists, unusable: Vec::new() }
    }

    /// Reads the document.
    ///
    /// # Errors
    /// If it is not JSON of this shape, or of another media type. Single entries never fail the whole.
    pub fn from_json(text: &[u8]) -> Result<Self, TrustError> {
        Self::from_wire(wire::SigningConfig::from_json(text)?)
    }

    pub(super) fn from_wire(config: wire::SigningConfig) -> Result<Self, TrustError> {
        expect_media_type(&config.media_type, SIGNING_CONFIG_MEDIA_TYPE, &[SIGNING_CONFIG_MEDIA_TYPE])?;
        let mut unusable = Vec::new();
        let mut list =
            |services, section| sort_entries(services, section, &mut unusable, Service::from_wire).map(without_places);
        let lists = ServiceLists {
            ca: list(config.ca_urls, Section::CaUrls)?,
            oidc: list(config.oidc_urls, Section::OidcUrls)?,
            rekor: list(config.rekor_tlog_urls, Section::RekorUrls)?,
            rekor_selector: Selector::from_wire(config.rekor_tlog_config.as_ref()),
            tsa: list(config.tsa_urls, Section::TsaUrls)?,
            tsa_selector: Selector::from_wire(config.tsa_config.as_ref()),
        };
        Ok(Self { lists, unusable })
    }

    /// The document for people and clients, with a final newline. Entries that were set aside are not in it.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_wire().to_json_pretty()
    }

    pub(super) fn to_wire(&self) -> wire::SigningConfig {
        let list = |services: &[Service]| services.iter().map(|service| service.to_wire().into()).collect();
        wire::SigningConfig {
            media_type: SIGNING_CONFIG_MEDIA_TYPE.to_owned(),
            ca_urls: list(&self.lists.ca),
            oidc_urls: list(&self.lists.oidc),
            rekor_tlog_urls: list(&self.lists.rekor),
            rekor_tlog_config: self.lists.rekor_selector.map(Selector::to_wire),
            tsa_urls: list(&self.lists.tsa),
            tsa_config: self.lists.tsa_selector.map(Selector::to_wire),
        }
    }

    #[must_use]
    pub fn lists(&self) -> &ServiceLists {
        &self.lists
    }

    /// What was set aside while reading.
    #[must_use]
    pub fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// Chooses the services for a signature that is made `now`.
    ///
    /// # Errors
    /// If no certificate authority is usable, or a list that is not empty cannot fill its selector.
    pub fn select(&self, now: Timestamp) -> Result<Services, SelectError> {
        use ServiceKind::{CertificateAuthority, Oidc, Rekor, TimestampAuthority};
        let lists = &self.lists;
        let ca = best_first(&lists.ca, CertificateAuthority, now).into_iter().next();
        Ok(Services {
            ca: ca.ok_or(SelectError::NoneUsable { kind: CertificateAuthority, now })?.clone(),
            oidc: best_first(&lists.oidc, Oidc, now).into_iter().next().cloned(),
            rekor: select_several(&lists.rekor, lists.rekor_selector, Rekor, now)?,
            tsa: select_several(&lists.tsa, lists.tsa_selector, TimestampAuthority, now)?,
        })
    }
}

/// The usable services, the highest version first and then the newest start.
fn best_first(services: &[Service], kind: ServiceKind, now: Timestamp) -> Vec<&Service> {
    let usable =
        |service: &&Service| kind.versions().contains(&service.major_api_version) && service.valid_for.contains(now);
    let mut usable: Vec<_> = services.iter().filter(usable).collect();
    usable.sort_by_key(|service| std::cmp::Reverse((service.major_api_version, service.valid_for.start())));
    usable
}

fn select_several(
    services: &[Service],
    selector: Option<Selector>,
    kind: ServiceKind,
    now: Timestamp,
) -> Result<Vec<Service>, SelectError> {
    if services.is_empty() {
        return Ok(Vec::new());
    }
    let selector = selector.ok_or(SelectError::NoSelector { kind })?;
    let mut chosen: Vec<&Service> = Vec::new();
    for service in best_first(services, kind, now) {
        let highest = chosen.first().is_none_or(|first| first.major_api_version == service.major_api_version);
        let new_operator = chosen.iter().all(|other| other.operator != service.operator);
        if highest && new_operator {
            chosen.push(service);
        }
    }
    if chosen.is_empty() {
        return Err(SelectError::NoneUsable { kind, now });
    }
    match selector {
        Selector::All => {}
        Selector::Any => chosen.truncate(1),
        Selector::Exact(count) => {
            let wanted = usize::try_from(count.get()).unwrap_or(usize::MAX);
            if chosen.len() < wanted {
                return Err(SelectError::TooFew { kind, expected: count.get(), found: chosen.len() });
            }
            chosen.truncate(wanted);
        }
    }
    Ok(chosen.into_iter().cloned().collect())
}
