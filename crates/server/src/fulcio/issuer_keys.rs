// SPDX-License-Identifier: Apache-2.0
//! The public keys of one OpenID Connect issuer: discovered, fetched, kept for a while, and asked for a signature.
//!
//! OpenID Connect Discovery 1.0 §4 (the document), RFC 7517 (key sets), RFC 7515 §5.2 (verification).
//!
//! In scope: when to fetch, what may be fetched, which key fits a token.
//! Out of scope: the token's shape and claims (`token`); limits on addresses and redirects (`touchmark_outbound`).
//! Invariants: only URLs of the issuer's own configuration and of its own discovery document are fetched, never one of a token;
//! at most one fetch per issuer runs at a time and at most one begins in [`REFETCH_MS`], whatever tokens arrive; a key of one
//! issuer is never tried on a token of another; a fetch that was begun is finished, also when the client that caused it has gone;
//! a withdrawn key is trusted no longer than [`KEYS_FRESH_MS`] while the issuer answers, and [`KEYS_STALE_MS`] while it does not,
//! whichever way the clock is set.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use touchmark_outbound::{Limits, Outbound};
use touchmark_sequencer::Clock;
use url::Url;

use super::config::IssuerConfig;
use super::token::{Token, TokenError, algorithm_by_name};

/// How long fetched keys are used without asking again.
pub(super) const KEYS_FRESH_MS: u64 = 5 * 60 * 1000;
/// How long they are used when the issuer does not answer.
pub(super) const KEYS_STALE_MS: u64 = 60 * 60 * 1000;
/// The least time between the beginnings of two fetches.
pub(super) const REFETCH_MS: u64 = 10 * 1000;
/// How long a key id that the issuer did not have is not asked for again, and how many such are remembered.
const UNKNOWN_KEY_MS: u64 = 60 * 1000;
const UNKNOWN_KEYS_MAX: usize = 256;
/// Keys of one issuer that are kept; public issuers have two to six.
const KEYS_MAX: usize = 64;
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

pub(super) struct IssuerKeys {
    config: IssuerConfig,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    /// What is known now. Held for a look or a replacement, never across an await.
    known: Arc<Mutex<Known>>,
    /// Held while fetching: whoever finds it taken waits and then looks again.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Known {
    keys: Option<(Arc<KeySet>, u64)>,
    last_attempt_ms: Option<u64>,
    last_failure: Option<TokenError>,
    unknown_key_ids: HashMap<String, u64>,
}

/// One answer of the issuer.
struct KeySet {
    algorithms: Vec<Algorithm>,
    keys: Vec<Key>,
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
    pub(super) fn new(config: IssuerConfig, outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        Self { config, outbound, clock, known: Arc::default(), fetching: Arc::default() }
    }

    pub(super) fn config(&self) -> &IssuerConfig {
        &self.config
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
        let (config, outbound) = (self.config.clone(), self.outbound.clone());
        let (clock, known) = (Arc::clone(&self.clock), Arc::clone(&self.known));
        let fetching = tokio::spawn(async move {
            let _until_the_end = single_flight;
            let fetched = fetch(&config, &outbound).await;
            lock(&known).remember(fetched, clock.now_ms(), &config.url)
        });
        fetching.await.unwrap_or(Err(TokenError::IssuerUnreachable))
    }

    fn known_keys(&self, want: &Want<'_>) -> Option<Arc<KeySet>> {
        let now_ms = self.clock.now_ms();
        let known = self.known();
        let (keys, fetched_ms) = known.keys.as_ref()?;
        let satisfied = match want {
            Want::Fresh => now_ms.abs_diff(*fetched_ms) < KEYS_FRESH_MS,
            Want::NewerThan(seen) => !Arc::ptr_eq(keys, seen),
        };
        satisfied.then(|| Arc::clone(keys))
    }

    /// Within [`REFETCH_MS`] of the last fetch: what it brought, or why it brought nothing. Asked only under `fetching`, so that
    /// nobody takes a fetch that is still under way for one that failed.
    fn answer_if_too_soon(&self) -> Option<Result<Arc<KeySet>, TokenError>> {
        let now_ms = self.clock.now_ms();
        let known = self.known();
        let attempted_ms = known.last_attempt_ms?;
        if now_ms.abs_diff(attempted_ms) >= REFETCH_MS {
            return None;
        }
        let failure = known.last_failure.unwrap_or(TokenError::IssuerUnreachable);
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
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                self.keys = Some((Arc::clone(&keys), now_ms));
                self.last_failure = None;
                Ok(keys)
            }
            Err(failure) => {
                tracing::warn!(issuer, %failure, "keys of an issuer could not be fetched");
                self.last_failure = Some(failure);
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
async fn fetch(config: &IssuerConfig, outbound: &Outbound) -> Result<KeySet, TokenError> {
    let discovery_url = format!("{}{DISCOVERY_PATH}", config.url.strip_suffix('/').unwrap_or(&config.url));
    let discovery: Discovery = fetch_json(config, outbound, &discovery_url).await?;
    if discovery.issuer != config.url {
        return Err(TokenError::IssuerMisconfigured);
    }
    let set: KeySetJson = fetch_json(config, outbound, &discovery.jwks_uri).await?;
    let keys = set.keys.into_iter().take(KEYS_MAX).filter_map(Key::from_json).collect();
    Ok(KeySet { algorithms: advertised(discovery.id_token_signing_alg_values_supported), keys })
}

/// OpenID Connect Core §2: RS256 where the document says nothing.
fn advertised(names: Option<Vec<String>>) -> Vec<Algorithm> {
    match names {
        Some(names) => names.iter().filter_map(|name| algorithm_by_name(name)).collect(),
        None => vec![Algorithm::RS256],
    }
}

async fn fetch_json<T: serde::de::DeserializeOwned>(
    config: &IssuerConfig,
    outbound: &Outbound,
    url: &str,
) -> Result<T, TokenError> {
    let url = Url::parse(url).map_err(|_| TokenError::IssuerMisconfigured)?;
    if !config.transport.permits(&url) {
        return Err(TokenError::IssuerMisconfigured);
    }
    let response = outbound.get(&url, &Limits::DISCOVERY).await.map_err(|failure| {
        tracing::warn!(issuer = %config.url, %url, %failure, "request to an issuer failed");
        TokenError::IssuerUnreachable
    })?;
    if response.status != 200 {
        tracing::warn!(issuer = %config.url, %url, status = response.status, "an issuer refused a request");
        return Err(TokenError::IssuerUnreachable);
    }
    serde_json::from_slice(&response.body).map_err(|_| TokenError::IssuerMisconfigured)
}

impl KeySet {
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
