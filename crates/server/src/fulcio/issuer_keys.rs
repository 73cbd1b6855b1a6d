// SPDX-License-Identifier: Apache-2.0
//! The public keys of one OpenID Connect issuer: discovered, fetched, kept for a while, and asked for a signature.
//!
//! OpenID Connect Discovery 1.0 §4 (the document), RFC 7517 (key sets), RFC 7515 §5.2 (verification).
//!
//! In scope: when to fetch, what may be fetched, which key fits a token.
//! Out of scope: the token's shape and claims (`token`); limits on addresses and redirects (`touchmark_outbound`).
//! Invariants: only URLs of the issuer's own configuration and of its own discovery document are fetched, never one of a token;
//! at most one fetch per issuer runs at a time and none begins within [`REFETCH_MS`] of the one before, whatever tokens arrive; a key of one
//! issuer is never tried on a token of another; a fetch that was begun is finished, also when the client that caused it has gone;
//! a withdrawn key is trusted no longer than the issuer says and [`KEYS_FRESH_MS`] while it answers, and [`KEYS_STALE_MS`] while it does not,
//! whichever way the clock is set.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use touchmark_outbound::{Limits, Outbound};
use touchmark_sequencer::Clock;
use url::Url;
use zeroize::Zeroizing;

use super::config::{IssuerConfig, IssuerTransport, KeySource};
use super::token::{ALGORITHMS, Token, TokenError, algorithm_by_name};

/// How long fetched keys are used without asking again, unless the issuer says less.
pub(super) const KEYS_FRESH_MS: u64 = 5 * 60 * 1000;
/// The least that an issuer may say (RFC 9111 §5.2.2): one that forbids to keep its keys is not asked for every token.
pub(super) const KEYS_FRESH_MIN_MS: u64 = 30 * 1000;
/// How long they are used when the issuer does not answer.
pub(super) const KEYS_STALE_MS: u64 = 60 * 60 * 1000;
/// How long a token waits for newer keys while there are some that may still be used.
const STALE_PATIENCE: Duration = Duration::from_secs(2);
/// The least time between the end of one fetch and the beginning of the next.
pub(super) const REFETCH_MS: u64 = 10 * 1000;
/// How long a key id that the issuer did not have is not asked for again, and how many such are remembered.
const UNKNOWN_KEY_MS: u64 = 60 * 1000;
const UNKNOWN_KEYS_MAX: usize = 256;
/// Keys of one issuer that are kept; public issuers have two to six.
const KEYS_MAX: usize = 64;
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// The longest bearer token that is read from a file; a projected Kubernetes token has one or two KiB.
const BEARER_BYTES_MAX: usize = 16 * 1024;

pub(super) struct IssuerKeys {
    asked: Asked,
    clock: Arc<dyn Clock>,
    /// What is known now. Held for a look or a replacement, never across an await.
    known: Arc<Mutex<Known>>,
    /// Held while fetching: whoever finds it taken waits and then looks again.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

/// Whom to ask, and how.
#[derive(Clone)]
struct Asked {
    /// The issuer's own URL, also where a pattern is configured.
    url: String,
    transport: IssuerTransport,
    outbound: Outbound,
    bearer_token: Option<PathBuf>,
}

#[derive(Default)]
struct Known {
    keys: Option<(Arc<KeySet>, u64)>,
    /// Put there by the operator, and never asked for.
    pinned: Option<Arc<KeySet>>,
    last_attempt_ms: Option<u64>,
    last_failure: Option<TokenError>,
    unknown_key_ids: HashMap<String, u64>,
}

/// One answer of the issuer.
pub(super) struct KeySet {
    algorithms: Vec<Algorithm>,
    keys: Vec<Key>,
    /// How long the issuer lets them be used, within our limits.
    fresh_ms: u64,
}

struct Key {
    id: Option<String>,
    /// The one algorithm that the key set allows for this key, if it names one.
    algorithm: Option<Algorithm>,
    family: Family,
    decoding: DecodingKey,
}

/// Key type and curve: an algorithm belongs to exactly one, so a key can never be used as another kind of key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Proof that the issuer's key signed the token.
pub(super) struct IssuerSignature(());

impl IssuerKeys {
    /// The keys of the issuer at this URL, which the entry of the configuration is about. `outbound` has the reach of its transport.
    pub(super) fn new(url: &str, config: &IssuerConfig, outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        let (pinned, bearer_token) = match &config.keys {
            KeySource::Pinned(bytes) => (KeySet::pinned(bytes).map(Arc::new), None),
            KeySource::Issuer { bearer_token, .. } => (None, bearer_token.clone()),
        };
        let asked = Asked { url: url.to_owned(), transport: config.transport, outbound, bearer_token };
        let known = Arc::new(Mutex::new(Known { pinned, ..Known::default() }));
        Self { asked, clock, known, fetching: Arc::default() }
    }

    /// Whether the issuer has ever shown keys.
    pub(super) fn has_answered(&self) -> bool {
        let known = self.known();
        known.keys.is_some() || known.pinned.is_some()
    }

    /// Verifies the token's signature with the issuer's keys, fetching them when they are missing, old, or lack the token's key.
    pub(super) async fn verify(&self, token: &Token<'_>) -> Result<IssuerSignature, TokenError> {
        let keys = self.keys(Want::Fresh).await?;
        match keys.verify(token) {
            Err(TokenError::KeyUnknown) if self.worth_asking_for(token) => {
                let newer = self.keys(Want::NewerThan(&keys)).await?;
                let outcome = newer.verify(token);
                // Only what the issuer was really asked about is known to be unknown.
                if !Arc::ptr_eq(&keys, &newer) && outcome.as_ref().err() == Some(&TokenError::KeyUnknown) {
                    self.remember_unknown(token);
                }
                outcome
            }
            outcome => outcome,
        }
    }

    /// The keys as wanted, or the best that the limits on fetching allow.
    async fn keys(&self, want: Want<'_>) -> Result<Arc<KeySet>, TokenError> {
        if let Some(keys) = self.known_keys(&want) {
            return Ok(keys);
        }
        let meanwhile = match want {
            Want::Fresh => self.known().stale_but_usable(self.clock.now_ms()),
            Want::NewerThan(_) => None,
        };
        match meanwhile {
            None => self.fetched(want).await,
            // An issuer that hangs is no reason to keep everybody waiting: the fetch goes on behind.
            Some(stale) => tokio::time::timeout(STALE_PATIENCE, self.fetched(want)).await.unwrap_or(Ok(stale)),
        }
    }

    /// What a fetch brings, this one or another that ends meanwhile.
    async fn fetched(&self, want: Want<'_>) -> Result<Arc<KeySet>, TokenError> {
        let single_flight = Arc::clone(&self.fetching).lock_owned().await;
        // Another caller may have fetched while this one waited.
        if let Some(keys) = self.known_keys(&want) {
            return Ok(keys);
        }
        if let Some(answer) = self.answer_if_too_soon() {
            return answer;
        }
        self.known().last_attempt_ms = Some(self.clock.now_ms());
        // A task of its own: a client that hangs up would else take the fetch with it, and for REFETCH_MS nobody got keys.
        let asked = self.asked.clone();
        let (clock, known) = (Arc::clone(&self.clock), Arc::clone(&self.known));
        let fetching = tokio::spawn(async move {
            let _until_the_end = single_flight;
            let fetched = fetch(&asked).await;
            lock(&known).remember(fetched, clock.now_ms(), &asked.url)
        });
        fetching.await.unwrap_or(Err(TokenError::IssuerUnreachable))
    }

    fn known_keys(&self, want: &Want<'_>) -> Option<Arc<KeySet>> {
        let now_ms = self.clock.now_ms();
        let known = self.known();
        if let Some(pinned) = &known.pinned {
            return Some(Arc::clone(pinned));
        }
        let (keys, fetched_ms) = known.keys.as_ref()?;
        let satisfied = match want {
            Want::Fresh => now_ms.abs_diff(*fetched_ms) < keys.fresh_ms,
            Want::NewerThan(seen) => !Arc::ptr_eq(keys, seen),
        };
        satisfied.then(|| Arc::clone(keys))
    }

    /// Within [`REFETCH_MS`] of the end of the last fetch: what it brought, or why it brought nothing. Asked only under `fetching`, so that
    /// nobody takes a fetch that is still under way for one that failed.
    fn answer_if_too_soon(&self) -> Option<Result<Arc<KeySet>, TokenError>> {
        let now_ms = self.clock.now_ms();
        let known = self.known();
        let attempted_ms = known.last_attempt_ms?;
        if now_ms.abs_diff(attempted_ms) >= REFETCH_MS {
            return None;
        }
        let failure = known.last_failure.clone().unwrap_or(TokenError::IssuerUnreachable);
        Some(known.stale_but_usable(now_ms).ok_or(failure))
    }

    fn worth_asking_for(&self, token: &Token<'_>) -> bool {
        let now_ms = self.clock.now_ms();
        let Some(key_id) = &token.key_id else { return true };
        self.known().unknown_key_ids.get(key_id).is_none_or(|seen_ms| now_ms.abs_diff(*seen_ms) >= UNKNOWN_KEY_MS)
    }

    fn remember_unknown(&self, token: &Token<'_>) {
        let Some(key_id) = &token.key_id else { return };
        let now_ms = self.clock.now_ms();
        let mut known = self.known();
        known.unknown_key_ids.retain(|_, seen_ms| now_ms.abs_diff(*seen_ms) < UNKNOWN_KEY_MS);
        if known.unknown_key_ids.len() < UNKNOWN_KEYS_MAX {
            known.unknown_key_ids.insert(key_id.clone(), now_ms);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    // Nothing panics while the lock is held, and every state of `Known` is a valid one.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    /// Keeps what a fetch brought, or why it brought nothing; gives what there is to go on with.
    fn remember(
        &mut self,
        fetched: Result<KeySet, TokenError>,
        now_ms: u64,
        issuer: &str,
    ) -> Result<Arc<KeySet>, TokenError> {
        // Those who waited for it have their answer, too: none of them begins another.
        self.last_attempt_ms = Some(now_ms);
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                self.keys = Some((Arc::clone(&keys), now_ms));
                self.last_failure = None;
                Ok(keys)
            }
            Err(failure) => {
                tracing::warn!(issuer, %failure, "keys of an issuer could not be fetched");
                self.last_failure = Some(failure.clone());
                self.stale_but_usable(now_ms).ok_or(failure)
            }
        }
    }

    fn stale_but_usable(&self, now_ms: u64) -> Option<Arc<KeySet>> {
        let (keys, fetched_ms) = self.keys.as_ref()?;
        (now_ms.abs_diff(*fetched_ms) < KEYS_STALE_MS).then(|| Arc::clone(keys))
    }
}

enum Want<'k> {
    Fresh,
    NewerThan(&'k Arc<KeySet>),
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct KeySetJson {
    keys: Vec<serde_json::Value>,
}

/// Discovery document, then key set; both only from where the issuer's transport permits.
async fn fetch(asked: &Asked) -> Result<KeySet, TokenError> {
    let discovery_url = format!("{}{DISCOVERY_PATH}", asked.url.strip_suffix('/').unwrap_or(&asked.url));
    let (discovery, _): (Discovery, _) = fetch_json(asked, &discovery_url).await?;
    if discovery.issuer != asked.url {
        return Err(TokenError::IssuerMisconfigured);
    }
    let (set, fresh_ms): (KeySetJson, _) = fetch_json(asked, &discovery.jwks_uri).await?;
    let algorithms = advertised(discovery.id_token_signing_alg_values_supported);
    Ok(KeySet { algorithms, keys: set.usable(), fresh_ms })
}

/// OpenID Connect Core §2: RS256 where the document says nothing.
fn advertised(names: Option<Vec<String>>) -> Vec<Algorithm> {
    match names {
        Some(names) => names.iter().filter_map(|name| algorithm_by_name(name)).collect(),
        None => vec![Algorithm::RS256],
    }
}

/// What is there, and how long it may be used.
async fn fetch_json<T: serde::de::DeserializeOwned>(asked: &Asked, url: &str) -> Result<(T, u64), TokenError> {
    let url = Url::parse(url).map_err(|_| TokenError::IssuerMisconfigured)?;
    if !asked.transport.permits(&url) {
        return Err(TokenError::IssuerMisconfigured);
    }
    let bearer = asked.bearer_for(&url).await?;
    let headers: Vec<_> = bearer.iter().map(|value| ("authorization", value.as_str())).collect();
    let response = asked.outbound.get_with(&url, &headers, &Limits::DISCOVERY).await.map_err(|failure| {
        tracing::warn!(issuer = %asked.url, %url, %failure, "request to an issuer failed");
        TokenError::IssuerUnreachable
    })?;
    if response.status != 200 {
        tracing::warn!(issuer = %asked.url, %url, status = response.status, "an issuer refused a request");
        return Err(TokenError::IssuerUnreachable);
    }
    let fresh_ms = fresh_ms(response.header("cache-control").unwrap_or_default());
    let value = serde_json::from_slice(&response.body).map_err(|_| TokenError::IssuerMisconfigured)?;
    Ok((value, fresh_ms))
}

/// What `Cache-Control` says, between our limits.
fn fresh_ms(cache_control: &str) -> u64 {
    let directives = cache_control.split(',').map(str::trim);
    let said = directives.filter_map(|directive| match directive.split_once('=') {
        Some((name, seconds)) if name.eq_ignore_ascii_case("max-age") => {
            seconds.trim_matches('"').parse::<u64>().ok().map(|seconds| seconds.saturating_mul(1000))
        }
        None if ["no-store", "no-cache"].iter().any(|name| directive.eq_ignore_ascii_case(name)) => Some(0),
        _ => None,
    });
    said.min().unwrap_or(KEYS_FRESH_MS).clamp(KEYS_FRESH_MIN_MS, KEYS_FRESH_MS)
}

impl Asked {
    /// The header that shows who asks. It is read anew each time, because such tokens are rotated, and it goes to the issuer's own origin
    /// or nowhere (GHSA-f5mr-q85p-6hh6).
    async fn bearer_for(&self, url: &Url) -> Result<Option<Zeroizing<String>>, TokenError> {
        let Some(path) = &self.bearer_token else { return Ok(None) };
        let issuer = Url::parse(&self.url).map_err(|_| TokenError::IssuerMisconfigured)?;
        if issuer.origin() != url.origin() {
            tracing::warn!(issuer = %self.url, %url, "the issuer's keys are at another origin, to which its bearer token is not sent");
            return Err(TokenError::IssuerMisconfigured);
        }
        let unreadable = |kind| {
            tracing::warn!(issuer = %self.url, path = %path.display(), %kind, "the bearer token for an issuer cannot be read");
            TokenError::IssuerUnreachable
        };
        let token = Zeroizing::new(tokio::fs::read_to_string(path).await.map_err(|error| unreadable(error.kind()))?);
        if token.len() > BEARER_BYTES_MAX {
            return Err(unreadable(std::io::ErrorKind::FileTooLarge));
        }
        Ok(Some(Zeroizing::new(format!("Bearer {}", token.trim()))))
    }
}

impl KeySetJson {
    fn usable(self) -> Vec<Key> {
        self.keys.into_iter().filter_map(Key::from_json).take(KEYS_MAX).collect()
    }
}

impl KeySet {
    /// A key set from a file. Each key is for the algorithms of its kind; `None` if there is no key in it.
    pub(super) fn pinned(bytes: &[u8]) -> Option<Self> {
        let keys = serde_json::from_slice::<KeySetJson>(bytes).ok()?.usable();
        (!keys.is_empty()).then(|| Self { algorithms: ALGORITHMS.to_vec(), keys, fresh_ms: u64::MAX })
    }

    /// RFC 7515 §5.2, with the choice of the key first: id, then kind, then the signature.
    fn verify(&self, token: &Token<'_>) -> Result<IssuerSignature, TokenError> {
        if !self.algorithms.contains(&token.algorithm) {
            return Err(TokenError::AlgorithmRefused);
        }
        let mut outcome = TokenError::KeyUnknown;
        for key in self.keys.iter().filter(|key| key.fits(token)) {
            outcome = TokenError::SignatureInvalid;
            let message = token.signing_input.as_bytes();
            let verified = jsonwebtoken::crypto::verify(token.signature, message, &key.decoding, token.algorithm);
            if verified.is_ok_and(|good| good) {
                return Ok(IssuerSignature(()));
            }
        }
        Err(outcome)
    }
}

impl Key {
    /// `None` for keys that are not for signatures or not of a kind that is used here: other keys of the set still count.
    fn from_json(value: serde_json::Value) -> Option<Self> {
        let named_algorithm = value.get("alg").cloned();
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        // RFC 7517 §4.3.
        if jwk.common.key_operations.as_ref().is_some_and(|operations| !operations.contains(&KeyOperations::Verify)) {
            return None;
        }
        let family = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Family::Rsa,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Family::P256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Family::P384,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Family::Ed25519,
            _ => return None,
        };
        let algorithm = match named_algorithm {
            None => None,
            Some(name) => Some(algorithm_by_name(name.as_str()?)?),
        };
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id: jwk.common.key_id, algorithm, family, decoding })
    }

    fn fits(&self, token: &Token<'_>) -> bool {
        let id_fits = token.key_id.is_none() || self.id == token.key_id;
        let algorithm_fits = self.algorithm.is_none_or(|algorithm| algorithm == token.algorithm);
        id_fits && algorithm_fits && family(token.algorithm) == Some(self.family)
    }
}

fn family(algorithm: Algorithm) -> Option<Family> {
    match algorithm {
        Algorithm::RS256
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512 => Some(Family::Rsa),
        Algorithm::ES256 => Some(Family::P256),
        Algorithm::ES384 => Some(Family::P384),
        Algorithm::EdDSA => Some(Family::Ed25519),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_may_shorten_the_use_of_its_keys_and_not_lengthen_it() {
        for (cache_control, expect) in [
            ("", KEYS_FRESH_MS),
            ("public, max-age=60", 60_000),
            ("Max-Age=\"90\", must-revalidate", 90_000),
            ("max-age=3600, max-age=45", 45_000),
            ("max-age=86400", KEYS_FRESH_MS),
            ("max-age=99999999999999999999", KEYS_FRESH_MS),
            ("max-age=18446744073709551615", KEYS_FRESH_MS),
            ("max-age=0", KEYS_FRESH_MIN_MS),
            ("no-store", KEYS_FRESH_MIN_MS),
            ("max-age=3600, No-Cache", KEYS_FRESH_MIN_MS),
            ("max-age=soon", KEYS_FRESH_MS),
            ("s-maxage=1", KEYS_FRESH_MS),
        ] {
            assert_eq!(fresh_ms(cache_control), expect, "{cache_control:?}");
        }
    }
}
