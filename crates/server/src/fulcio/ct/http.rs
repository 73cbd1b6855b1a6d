// SPDX-License-Identifier: Apache-2.0
//! A log that is reached over HTTP.
//!
//! RFC 6962 §4.2 (`add-pre-chain`), which static CT logs have too.
//!
//! In scope: one submission, with its further tries. Out of scope: verifying the SCT ([`super::logs`]).
//! Invariant: an SCT of another log than the one with the configured key is no answer.

use std::time::Duration;

use async_trait::async_trait;
use touchmark_keys::PublicKey;
use touchmark_outbound::{Limits, Outbound, OutboundError};
use touchmark_sigstore::ct::Sct;
use touchmark_sigstore::wire::ct::{AddChainRequest, AddChainResponse};
use touchmark_sigstore::x509::Certificate;
use url::Url;

use super::{CtError, CtSubmit};

/// How often a busy or unreachable log is asked, and how long is waited before each further try.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
const REPLY_LIMITS: Limits = Limits { response_bytes_max: 64 * 1024, timeout: Duration::from_secs(10) };

/// A log at an address: `<base>/ct/v1/add-pre-chain`.
pub(crate) struct HttpCtLog {
    submit_url: Url,
    public_key: PublicKey,
    outbound: Outbound,
}

impl HttpCtLog {
    pub(crate) fn new(mut base_url: Url, public_key: PublicKey, outbound: Outbound) -> Self {
        let path = format!("{}/ct/v1/add-pre-chain", base_url.path().trim_end_matches('/'));
        base_url.set_path(&path);
        Self { submit_url: base_url, public_key, outbound }
    }

    async fn submit_once(&self, body: &[u8]) -> Result<Sct, CtError> {
        let headers = [("content-type", "application/json")];
        let response = self.outbound.post(&self.submit_url, &headers, body.to_vec(), &REPLY_LIMITS).await;
        let response = response.map_err(|failure| {
            tracing::warn!(url = %self.submit_url, %failure, "a certificate transparency log did not answer");
            match failure {
                OutboundError::Redirect { status } => CtError::Refused { status },
                OutboundError::BodyTooLarge { .. } => CtError::Unreadable,
                _ => CtError::Unavailable,
            }
        })?;
        match response.status {
            200 => parse_reply(&response.body, &self.public_key),
            408 | 429 | 502 | 503 | 504 => Err(CtError::Unavailable),
            status => Err(CtError::Refused { status }),
        }
    }
}

#[async_trait]
impl CtSubmit for HttpCtLog {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    async fn submit(&self, precertificate: &Certificate, chain: &[Certificate]) -> Result<Sct, CtError> {
        let certificates = std::iter::once(precertificate).chain(chain);
        let body = AddChainRequest { chain: certificates.map(|one| one.der().to_vec()).collect() }.to_json();
        for pause in PAUSES {
            match self.submit_once(&body).await {
                Err(CtError::Unavailable) => tokio::time::sleep(pause).await,
                outcome => return outcome,
            }
        }
        self.submit_once(&body).await
    }
}

/// RFC 6962 §4.1: the members of an SCT apart, put together as §3.2 writes it and read by the one parser of SCTs.
fn parse_reply(body: &[u8], public_key: &PublicKey) -> Result<Sct, CtError> {
    let reply = AddChainResponse::from_json(body).map_err(|_| CtError::Unreadable)?;
    let version = u8::try_from(reply.sct_version).map_err(|_| CtError::Unreadable)?;
    let extensions_bytes = u16::try_from(reply.extensions.len()).map_err(|_| CtError::Unreadable)?;
    if reply.id != public_key.spki_sha256() {
        return Err(CtError::Unreadable);
    }
    let mut tls = vec![version];
    tls.extend(&reply.id);
    tls.extend(reply.timestamp.to_be_bytes());
    tls.extend(extensions_bytes.to_be_bytes());
    tls.extend(&reply.extensions);
    tls.extend(&reply.signature);
    Sct::from_tls(&tls).map_err(|_| CtError::Unreadable)
}
