// SPDX-License-Identifier: Apache-2.0
//! Asks CT logs whether they hold a certificate that they promised to hold: an SCT alone is only a promise.
//!
//! Static CT logs (C2SP static-ct-api: `checkpoint` and tiles) and RFC 6962 logs (`get-sth`, `get-proof-by-hash`). An SCT with a leaf
//! index is of a log that serves tiles, which is asked so first; a log that does not serve them is asked the other way.
//! In scope: addresses, fetching, how many logs must answer well. Out of scope: every check, all of which are in
//! `touchmark_sigstore::ct::inclusion`.
//!
//! Invariants: what a log is trusted for (its key and its name) comes from the trusted root, whatever address it is asked at; a reply is
//! bounded in size and time, and so is the number of requests; a log that cannot be reached, or has not merged yet, may be made up for
//! by another one, a log that shows something wrong never is.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{join_all, try_join_all};
use jiff::Timestamp;
use touchmark_outbound::{Limits, Outbound};
use touchmark_sigstore::ct::CtError;
use touchmark_sigstore::ct::inclusion::{
    CtIncluded, CtInclusionFailure, Due, MERGE_DELAY_MAX, PromisedLeaf, SoughtInTiles, TILE_BYTES_MAX, promised_leaves,
};
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_sigstore::verify::{VerifiedChain, VerifiedSct};
use touchmark_tlog::tile::{TILE_WIDTH, Tile};
use url::Url;

use crate::service::{Endpoint, ServiceError, ServiceKind};

/// One request to a log.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A checkpoint with the cosignatures of many witnesses.
const CHECKPOINT: Limits = Limits { response_bytes_max: 64 << 10, timeout: TIMEOUT };
const TILE: Limits = Limits { response_bytes_max: TILE_BYTES_MAX, timeout: TIMEOUT };
/// A tree head, or a proof of 64 hashes, in JSON.
const REPLY: Limits = Limits { response_bytes_max: 16 << 10, timeout: TIMEOUT };

/// How the logs are asked.
pub struct CtInclusionCheck<'a> {
    pub outbound: &'a Outbound,
    pub trusted_root: &'a TrustedRoot,
    pub addresses: &'a CtLogAddresses,
    /// How many different logs must prove that they hold the certificate.
    pub demanded: NonZeroUsize,
}

/// Demands that the certificate of a verified bundle is in the logs that promised it: one proof for each log that gave one, at least
/// as many as demanded.
///
/// It goes online, so call it only where the user asked for it (`--require-ct-inclusion`), after the verification:
///
/// ```no_run
/// # use std::num::NonZeroUsize;
/// # use jiff::Timestamp;
/// # use touchmark_client::ct_inclusion::{self, CtInclusionCheck, CtLogAddresses};
/// # use touchmark_outbound::{Outbound, Reach};
/// # use touchmark_sigstore::trust::TrustedRoot;
/// # use touchmark_sigstore::verify::CertifiedSigner;
/// # async fn check(
/// #     trusted_root: &TrustedRoot, signer: &CertifiedSigner, ct_log_url: Vec<String>, now: Timestamp,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let outbound = Outbound::new("touchmark", Reach::Private, None);
/// let addresses = CtLogAddresses::parse(&ct_log_url)?; // the values of --ct-log-url, often none
/// let check = CtInclusionCheck { outbound: &outbound, trusted_root, addresses: &addresses, demanded: NonZeroUsize::MIN };
/// for included in ct_inclusion::require(&check, signer.chain(), signer.sct(), now).await? {
///     tracing::info!(log = included.origin(), index = included.index().0, "the certificate is in the CT log");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The first wrong thing that a log shows. Where nothing is wrong and still too few logs gave a proof: why the first that did not, did
/// not. [`CtInclusionError::class`] tells the network from the rest, [`CtInclusionError::next_step`] says what may help.
pub async fn require(
    check: &CtInclusionCheck<'_>,
    chain: &VerifiedChain,
    sct: &VerifiedSct,
    now: Timestamp,
) -> Result<Vec<CtIncluded>, CtInclusionError> {
    let leaves = promised_leaves(chain.leaf(), chain.issuer(), sct.promises(), check.trusted_root)
        .map_err(CtInclusionError::Certificate)?;
    let mut included = Vec::with_capacity(leaves.len());
    let mut missing = CtInclusionError::TooFewLogs { demanded: check.demanded.get(), promised: leaves.len() };
    let answers = join_all(leaves.iter().map(|leaf| prove(check, leaf, now))).await;
    for (leaf, answer) in leaves.iter().zip(answers) {
        let source = match answer {
            Ok(proof) => {
                included.push(proof);
                continue;
            }
            Err(failure) => failure,
        };
        let wrong = source.class() == Class::Wrong;
        let failure = CtInclusionError::Log { origin: leaf.origin().to_owned(), source };
        if wrong {
            return Err(failure);
        }
        if matches!(missing, CtInclusionError::TooFewLogs { .. }) {
            missing = failure;
        }
    }
    if included.len() < check.demanded.get() { Err(missing) } else { Ok(included) }
}

async fn prove(
    check: &CtInclusionCheck<'_>,
    leaf: &PromisedLeaf<'_>,
    now: Timestamp,
) -> Result<CtIncluded, CtLogFailure> {
    let log = LogAt { base: check.addresses.of(leaf)?, outbound: check.outbound };
    if leaf.index().is_some() {
        let checkpoint = log.get("checkpoint", &[], &CHECKPOINT).await;
        if let Some(checkpoint) = unless_absent(checkpoint)? {
            let sought = leaf.under_checkpoint(&checkpoint, now)?;
            let in_tiles = sought.into_tiles().expect("a leaf with an index can be sought in tiles");
            let tiles = log.tiles(&in_tiles).await?;
            return Ok(in_tiles.proved_by(&tiles)?);
        }
    }
    let sought = leaf.under_tree_head(&log.get("ct/v1/get-sth", &[], &REPLY).await?, now)?;
    let query = [("hash", STANDARD.encode(sought.hash().0)), ("tree_size", sought.tree_size().to_string())];
    match unless_absent(log.get("ct/v1/get-proof-by-hash", &query, &REPLY).await)? {
        Some(proof) => Ok(sought.proved_by(&proof)?),
        None => Err(sought.not_merged(now).into()),
    }
}

/// A log at its address.
struct LogAt<'a> {
    base: Url,
    outbound: &'a Outbound,
}

impl LogAt<'_> {
    async fn get(&self, path: &str, query: &[(&str, String)], limits: &Limits) -> Result<Vec<u8>, ServiceError> {
        let endpoint = Endpoint::new(ServiceKind::CertificateLog, self.base.as_str(), path)?.with_query(query);
        Ok(endpoint.get(self.outbound, limits).await?.body)
    }

    /// All tiles of a proof, at once. A partial tile that is gone has become a full one.
    async fn tiles(&self, sought: &SoughtInTiles<'_>) -> Result<Vec<Vec<u8>>, ServiceError> {
        try_join_all(sought.tiles().iter().map(async |tile| {
            let found = self.get(&tile.path(), &[], &TILE).await;
            if !tile.is_partial() {
                return found;
            }
            match unless_absent(found)? {
                Some(bytes) => Ok(bytes),
                None => self.get(&Tile { width: TILE_WIDTH, ..*tile }.path(), &[], &TILE).await,
            }
        }))
        .await
    }
}

/// Tells "there is no such thing" from other failures. Object stores answer 403 for a name that does not exist.
fn unless_absent(found: Result<Vec<u8>, ServiceError>) -> Result<Option<Vec<u8>>, ServiceError> {
    match found {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ServiceError::Refused { status: 403 | 404 | 405 | 410 | 501, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the logs are asked. It changes nobody's trust: key and name of a log are those of the trusted root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CtLogAddresses {
    /// For logs that are not named.
    any: Option<Template>,
    named: BTreeMap<String, Template>,
}

/// What stands for the name of the log in an address.
const ORIGIN_PLACE: &str = "{origin}";

/// An address, with or without a place for the name of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template(String);

impl CtLogAddresses {
    /// The base URLs of the trusted root, as public instances have them.
    #[must_use]
    pub fn of_trusted_root() -> Self {
        Self::default()
    }

    /// Reads the values of `--ct-log-url`: `ORIGIN=URL` for one log, or `URL` for all that are not named. `{origin}` in a URL stands for
    /// the name of the log, so that `http://localhost:8080/log/{origin}` finds each log of a private instance.
    ///
    /// # Errors
    /// If a value is no http or https URL, or two values are for the same log.
    pub fn parse<S: AsRef<str>>(values: &[S]) -> Result<Self, CtLogAddressError> {
        let mut addresses = Self::default();
        for value in values.iter().map(AsRef::as_ref) {
            let bad = || CtLogAddressError::NoAddress { text: value.to_owned() };
            let (origin, template) = match value.split_once('=') {
                Some((origin, url)) if !origin.contains("://") => (Some(origin), Template(url.to_owned())),
                _ => (None, Template(value.to_owned())),
            };
            template.at("origin.example").ok_or_else(bad)?;
            let before = match origin {
                Some(origin) => addresses.named.insert(origin.to_owned(), template),
                None => addresses.any.replace(template),
            };
            if before.is_some() {
                return Err(CtLogAddressError::Twice { text: value.to_owned() });
            }
        }
        Ok(addresses)
    }

    fn of(&self, leaf: &PromisedLeaf<'_>) -> Result<Url, CtLogFailure> {
        let bad = || CtLogFailure::BaseUrl { text: leaf.base_url().to_owned() };
        match self.named.get(leaf.origin()).or(self.any.as_ref()) {
            Some(template) => template.at(leaf.origin()).ok_or_else(bad),
            None => base_url(leaf.base_url()).ok_or_else(bad),
        }
    }
}

impl Template {
    fn at(&self, origin: &str) -> Option<Url> {
        base_url(&self.0.replace(ORIGIN_PLACE, origin))
    }
}

fn base_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
    usable.then_some(url)
}

/// Why a value of `--ct-log-url` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CtLogAddressError {
    #[error("{text:?} is not the http or https address of a CT log, nor ORIGIN=URL")]
    NoAddress { text: String },
    #[error("{text:?} is the second address for the same CT logs: name the log, as in ORIGIN=URL")]
    Twice { text: String },
}

/// Why the certificate is not proved to be in as many logs as demanded.
#[derive(Debug, thiserror::Error)]
pub enum CtInclusionError {
    #[error("the certificate is none that an SCT can be for: {0}")]
    Certificate(CtError),
    #[error("{promised} CT logs of the trusted root promised the certificate, {demanded} are demanded")]
    TooFewLogs { demanded: usize, promised: usize },
    #[error("CT log {origin}")]
    Log { origin: String, source: CtLogFailure },
}

/// Why one log did not prove that it holds the certificate.
#[derive(Debug, thiserror::Error)]
pub enum CtLogFailure {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("{text:?}, its base URL in the trusted root, is no address")]
    BaseUrl { text: String },
    #[error(transparent)]
    Proof(#[from] CtInclusionFailure),
}

/// Who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The caller: something else must be asked for.
    Usage,
    /// The network or the log's service: the answer is not known.
    Network,
    /// Nobody yet: the log may still merge the certificate.
    NotYet,
    /// The certificate must not be believed.
    Wrong,
}

impl CtLogFailure {
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Service(_) => Class::Network,
            Self::BaseUrl { .. } => Class::Usage,
            Self::Proof(CtInclusionFailure::NotMerged { due: Due::Pending, .. }) => Class::NotYet,
            Self::Proof(_) => Class::Wrong,
        }
    }
}

impl CtInclusionError {
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Certificate(_) | Self::TooFewLogs { .. } => Class::Wrong,
            Self::Log { source, .. } => source.class(),
        }
    }

    /// A code that does not change between versions.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "sct_malformed",
            Self::TooFewLogs { .. } => "ct_too_few_logs",
            Self::Log { source: CtLogFailure::Service(_), .. } => "ct_log_unreachable",
            Self::Log { source: CtLogFailure::BaseUrl { .. }, .. } => "ct_log_without_address",
            Self::Log { source: CtLogFailure::Proof(failure), .. } => failure.code(),
        }
    }

    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Certificate(_) => "a certificate with the promise of a CT log".to_owned(),
            Self::TooFewLogs { demanded, .. } => format!("the promises of {demanded} CT logs of the trusted root"),
            Self::Log { source: CtLogFailure::Service(_), origin } => format!("an answer of the CT log {origin}"),
            Self::Log { source: CtLogFailure::BaseUrl { .. }, origin } => format!("an address of the CT log {origin}"),
            Self::Log { source: CtLogFailure::Proof(failure), .. } => failure.expected(),
        }
    }

    #[must_use]
    pub fn found(&self) -> String {
        match self {
            Self::Certificate(error) => error.to_string(),
            Self::TooFewLogs { promised, .. } => promised.to_string(),
            Self::Log { source: CtLogFailure::Service(error), .. } => error.to_string(),
            Self::Log { source: CtLogFailure::BaseUrl { text }, .. } => format!("{text:?}"),
            Self::Log { source: CtLogFailure::Proof(failure), .. } => failure.found(),
        }
    }

    /// What may help, if anything does.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Log { source: CtLogFailure::Proof(CtInclusionFailure::NotMerged { promised, due, .. }), .. } => {
                Some(match due {
                    Due::Pending => format!(
                        "Try again later: a CT log may take its maximum merge delay, on public logs up to {} hours from {promised}.",
                        MERGE_DELAY_MAX.as_hours()
                    ),
                    Due::Overdue => {
                        "The log broke its promise: tell its operator, and do not trust the certificate.".to_owned()
                    }
                })
            }
            Self::Log { source: CtLogFailure::Service(_) | CtLogFailure::BaseUrl { .. }, origin } => Some(format!(
                "If the log is elsewhere, say where: --ct-log-url {origin}=URL. Its key stays that of the trusted root."
            )),
            Self::Certificate(_) | Self::TooFewLogs { .. } | Self::Log { .. } => None,
        }
    }
}
