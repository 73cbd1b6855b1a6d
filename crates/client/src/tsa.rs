// SPDX-License-Identifier: Apache-2.0
//! The client of the timestamp authority: a signature in, a checked timestamp out.
//!
//! RFC 3161 over HTTP (section 3.4). The request carries a fresh nonce and asks for the certificates.
//!
//! Invariant: a [`Stamped`] covers our signature, answers our request, and was signed by an authority of the trusted root
//! within that authority's time.

use jiff::Timestamp;
use touchmark_keys::{HashAlgorithm, digest};
use touchmark_outbound::Limits;
use touchmark_sigstore::trust::{Service, TrustedRoot};
use touchmark_sigstore::tsp::{self, TimestampError, TimestampRequest};
use touchmark_sigstore::verify::{self, VerifiedTimestamp};

use crate::service::{Endpoint, ServiceKind};
use crate::sign::{CertifiedSignature, ReplyError, SignError, Signing};

/// 64 bits, as every client sends: enough that no old response answers a new request.
const NONCE_BYTES: usize = 8;

/// A timestamp that was checked.
pub struct Stamped {
    token: Vec<u8>,
    at: VerifiedTimestamp,
}

impl Stamped {
    /// The response, as a bundle carries it.
    #[must_use]
    pub fn into_token(self) -> Vec<u8> {
        self.token
    }

    #[must_use]
    pub fn at(&self) -> &VerifiedTimestamp {
        &self.at
    }
}

/// Has `signature` timestamped, and checks what comes back.
pub async fn stamp(
    signing: &Signing<'_>,
    service: &Service,
    signature: &CertifiedSignature<'_>,
) -> Result<Stamped, SignError> {
    let endpoint = Endpoint::new(ServiceKind::TimestampAuthority, service.url(), "")?;
    let request = TimestampRequest {
        imprint: digest(HashAlgorithm::Sha256, signature.bytes()),
        nonce: Some(fresh_nonce().to_vec()),
        cert_req: true,
        policy: None,
    };
    let headers = [("content-type", "application/timestamp-query"), ("accept", "application/timestamp-reply")];
    let body = request.to_der().expect("a request of ours encodes");
    let response = endpoint.post(signing.outbound, &headers, &body, &Limits::SERVICE).await?;
    let refused = |source: ReplyError| SignError::Reply {
        service: ServiceKind::TimestampAuthority,
        url: endpoint.url().clone(),
        source,
    };
    let at = verify::signed_at(&response.body, signature.bytes(), signing.trusted_root, Timestamp::now())
        .map_err(|error| refused(error.into()))?;
    answers(&response.body, &request, signature.bytes(), signing.trusted_root)
        .map_err(|error| refused(ReplyError::Timestamp(error)))?;
    Ok(Stamped { token: response.body, at })
}

/// The reply answers this very request: it carries the nonce. The signature is checked a second time on the way, against whichever
/// authority made it; that is cheaper than a second way to read a reply.
fn answers(
    reply: &[u8],
    request: &TimestampRequest,
    signature: &[u8],
    trusted_root: &TrustedRoot,
) -> Result<(), TimestampError> {
    let mut verdict = Err(TimestampError::Nonce);
    for authority in trusted_root.timestamp_authorities() {
        match tsp::verify_reply(reply, request, signature, authority.chain()) {
            Ok(_) => return Ok(()),
            Err(TimestampError::Nonce) => return Err(TimestampError::Nonce),
            Err(other) => verdict = Err(other),
        }
    }
    verdict
}

/// A positive integer without leading zeros, so that its DER is exactly these bytes.
fn fresh_nonce() -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    touchmark_keys::random(&mut nonce);
    nonce[0] = (nonce[0] & 0x7f) | 0x40;
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_positive_and_fresh() {
        let (first, second) = (fresh_nonce(), fresh_nonce());
        assert!((0x40..0x80).contains(&first[0]) && first != second);
    }
}
