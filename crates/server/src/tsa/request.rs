// SPDX-License-Identifier: Apache-2.0
//! A timestamp request out of an HTTP request: DER (RFC 3161, section 2.4.1) or the JSON of sigstore/timestamp-authority.
//!
//! In scope: media types, limits, the public error texts. Out of scope: DER itself (`touchmark_sigstore::tsp`).
//! Invariant: no request that passed here asks for a policy, hash or extension that the authority does not serve.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use touchmark_keys::{Digest, HashAlgorithm};
use touchmark_sigstore::tsp::{POLICY, RequestError, TimestampRequest};
use touchmark_sigstore::wire;

use super::{FAILED, TsaError};
use crate::http::read_body;

/// As the public authority's default.
const BODY_BYTES_MAX: usize = 1 << 20;
/// A real JSON request is some 200 bytes; the public authority bounds it because of the decimal nonce.
const JSON_BYTES_MAX: usize = 1024;
/// Components of a policy OID in JSON.
const OID_COMPONENTS_MAX: usize = 128;

const UNACCEPTED_EXTENSION: &str = "unaccepted extension: requested extensions are not supported by the TSA";
const WEAK_HASH: &str = "Weak hash algorithm in timestamp request";
const DIGEST_LENGTH: &str = "Message digest has incorrect length for specified algorithm";
const UNACCEPTED_POLICY: &str = "unaccepted policy: requested TSA policy is not supported by the TSA";
const LONG_OID: &str = "OID should be comprised of at most 128 components";
const TOO_LARGE: &str = "timestamp request is too large";

/// Reads and checks the request.
pub(super) async fn read(request: Request) -> Result<TimestampRequest, TsaError> {
    let format = format_of(request.headers());
    let body = read_body(request, BODY_BYTES_MAX).await?;
    let request = match format? {
        Format::Der => TimestampRequest::from_der(&body).map_err(|error| refused(&error))?,
        Format::Json => from_json(&body)?,
    };
    match request.policy.as_deref() {
        None | Some(POLICY) => Ok(request),
        Some(_) => Err(TsaError::invalid(UNACCEPTED_POLICY)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Der,
    Json,
}

fn format_of(headers: &HeaderMap) -> Result<Format, TsaError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.strip_prefix("application/") {
        Some("timestamp-query") => Ok(Format::Der),
        Some("json") => Ok(Format::Json),
        Some(_) => Err(TsaError::invalid(FAILED)),
        None => Err(TsaError { status: 415, message: FAILED.to_owned() }),
    }
}

/// The public words for what is wrong with a DER request.
fn refused(error: &RequestError) -> TsaError {
    tracing::info!(%error, "timestamp request refused");
    TsaError::invalid(match error {
        RequestError::WeakHash => WEAK_HASH,
        RequestError::DigestLength(_) => DIGEST_LENGTH,
        RequestError::Extensions => UNACCEPTED_EXTENSION,
        RequestError::TooLarge { .. }
        | RequestError::Der(_)
        | RequestError::Version { .. }
        | RequestError::Nonce
        | RequestError::Policy => FAILED,
    })
}

fn from_json(body: &[u8]) -> Result<TimestampRequest, TsaError> {
    if body.len() > JSON_BYTES_MAX {
        return Err(TsaError::invalid(TOO_LARGE));
    }
    let request = wire::tsa::TimestampRequest::from_json(body).map_err(|_| TsaError::invalid(FAILED))?;
    let algorithm = match request.hash_algorithm.to_ascii_lowercase().as_str() {
        "sha256" => HashAlgorithm::Sha256,
        "sha384" => HashAlgorithm::Sha384,
        "sha512" => HashAlgorithm::Sha512,
        "sha1" => return Err(TsaError::invalid(WEAK_HASH)),
        _ => return Err(TsaError::invalid(FAILED)),
    };
    if request.tsa_policy_oid.split('.').count() > OID_COMPONENTS_MAX {
        return Err(TsaError::invalid(LONG_OID));
    }
    Ok(TimestampRequest {
        imprint: Digest::new(algorithm, request.artifact_hash).map_err(|_| TsaError::invalid(DIGEST_LENGTH))?,
        nonce: request.nonce.map(|nonce| nonce.to_be_bytes().to_vec()),
        cert_req: request.certificates,
        policy: Some(request.tsa_policy_oid).filter(|policy| !policy.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    async fn check_refused(content_type: &str, body: &str, status: u16, message: &str) {
        let request = Request::builder().header(CONTENT_TYPE, content_type).body(Body::from(body.to_owned())).unwrap();
        let error = read(request).await.expect_err(body);
        assert_eq!((error.status, error.message.as_str()), (status, message), "{content_type} {body}");
    }

    const HASH: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[tokio::test]
    async fn json_requests_are_refused_in_the_public_words() {
        let json = "application/json";
        check_refused("text/plain", "", 415, FAILED).await;
        check_refused("multipart/form-data; boundary=application/json", "", 415, FAILED).await;
        check_refused("application/xml", "", 400, FAILED).await;
        check_refused(json, "{", 400, FAILED).await;
        check_refused(json, r#"{"artifactHash":"AA==","hashAlgorithm":"sha256"}"#, 400, DIGEST_LENGTH).await;
        check_refused(json, &format!(r#"{{"artifactHash":"{HASH}","hashAlgorithm":"sha1"}}"#), 400, WEAK_HASH).await;
        check_refused(json, &format!(r#"{{"artifactHash":"{HASH}","hashAlgorithm":"md5"}}"#), 400, FAILED).await;
        let policy = format!(r#"{{"artifactHash":"{HASH}","hashAlgorithm":"sha256","tsaPolicyOID":"1.2.3"}}"#);
        check_refused(json, &policy, 400, UNACCEPTED_POLICY).await;
        let long = format!(r#"{{"hashAlgorithm":"sha256","tsaPolicyOID":"1{}"}}"#, ".1".repeat(128));
        check_refused(json, &long, 400, LONG_OID).await;
        check_refused(json, &" ".repeat(1025), 400, TOO_LARGE).await;
        check_refused("application/timestamp-query", "garbage", 400, FAILED).await;
    }

    #[tokio::test]
    async fn media_type_parameters_and_case_do_not_matter() {
        let body = format!(r#"{{"artifactHash":"{HASH}","hashAlgorithm":"SHA256","nonce":128,"certificates":true}}"#);
        let request = Request::builder().header(CONTENT_TYPE, "Application/JSON; charset=utf-8").body(Body::from(body));
        let request = read(request.unwrap()).await.unwrap();
        assert!(request.cert_req);
        assert_eq!(request.nonce, Some(vec![0, 0, 0, 0, 0, 0, 0, 128]));
        assert_eq!(request.imprint.algorithm(), HashAlgorithm::Sha256);
    }
}
