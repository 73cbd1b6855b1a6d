// SPDX-License-Identifier: Apache-2.0
//! Requests for certificates, each with a token, an address and a key of its own, signed before the load begins: the load then only sends.
//!
//! In scope: tokens as the try-out issuer signs them (RS256), with its key; the proof of possession over a fresh P-256 key each.
//! Out of scope: sending (`touchmark_bench::loader`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use serde_json::json;
use touchmark_bench::loader::{Requests, Supply, post_json};
use touchmark_signers::{FileSigner, Signer};
use touchmark_testing::load;

use crate::authority::Authority;
use crate::server::SIGNING_CERT;

/// All that one load may send: some 1.5 KiB each. Signing a token takes half a millisecond, so it is minutes of preparation.
const REQUESTS_MAX: usize = 600_000;
/// Sent beside those that the rate makes: each client's last one, at least.
const REQUESTS_BESIDE: usize = 1_000;
/// Longer than any load and its preparation.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// What tokens are made with.
pub(crate) struct Tokens {
    issuer_url: String,
    key: PathBuf,
    next: AtomicU64,
}

/// What all tokens of one preparation share.
struct Issuer<'a> {
    url: &'a str,
    signer: FileSigner,
    header: String,
    now_s: u64,
}

impl Tokens {
    pub(crate) fn of(authority: &Authority) -> Result<Self> {
        Ok(Self {
            issuer_url: authority.issuer_url.clone(),
            key: authority.issuer_key.clone(),
            next: AtomicU64::new(1_000_000),
        })
    }

    /// As many as a load of so many seconds may need.
    pub(crate) fn requests(&self, port: u16, span: Duration, per_second: f64) -> Result<Arc<Requests>> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count, checked when they are made"
        )]
        let count = (span.as_secs_f64() * per_second) as usize + REQUESTS_BESIDE;
        self.make(port, SIGNING_CERT, count, Supply::Once)
    }

    pub(crate) fn make(&self, port: u16, path: &str, count: usize, supply: Supply) -> Result<Arc<Requests>> {
        ensure!(count <= REQUESTS_MAX, "{count} requests are too many to prepare: shorten the load");
        let issuer = Issuer::open(&self.issuer_url, &self.key)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let one = || request(&issuer, self.next.fetch_add(1, Ordering::Relaxed), port, path);
        let prepared = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..cores)
                .map(|core| {
                    scope.spawn(move || (core..count).step_by(cores).map(|_| one()).collect::<Result<Vec<_>>>())
                })
                .collect();
            let made = makers.into_iter().map(|maker| maker.join().ok().context("a thread that prepares requests")?);
            anyhow::Ok(made.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
        })?;
        Ok(Arc::new(Requests::new(prepared, supply)))
    }
}

impl<'a> Issuer<'a> {
    fn open(url: &'a str, key: &Path) -> Result<Self> {
        let signer = FileSigner::open(key, None).context("the issuer's key")?;
        let key_id = URL_SAFE_NO_PAD.encode(signer.public_key().spki_sha256());
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "RS256", "typ": "JWT", "kid": key_id }).to_string());
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
        Ok(Self { url, signer, header, now_s })
    }

    fn token(&self, subject: u64, email: &str) -> Result<String> {
        let claims = json!({
            "iss": self.url,
            "sub": format!("load-{subject}"),
            "aud": "sigstore",
            "iat": self.now_s,
            "exp": self.now_s + TOKEN_LIFETIME.as_secs(),
            "email": email,
            "email_verified": true,
        });
        let signing_input = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.signer.sign(signing_input.as_bytes()).now_or_never().context("a signer that waits")??;
        Ok(format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn request(issuer: &Issuer<'_>, subject: u64, port: u16, path: &str) -> Result<Vec<u8>> {
    let email = format!("load-{subject}@example.com");
    let token = issuer.token(subject, &email)?;
    Ok(post_json(port, path, &load::certificate_request(&token, &email)))
}
