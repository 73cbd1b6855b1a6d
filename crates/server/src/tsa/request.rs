// SPDX-License-Identifier: Apache-2.0
//! A timestamp request out of an HTTP request: DER (RFC 3161, section 2.4.1) or the JSON of sigstore/timestamp-authority.
//!
//! In scope: media types, limits, the policies that are served. Out of scope: DER itself (`touchmark_sigstore::tsp`), the words of refusals
//! ([`super::error`]).
//! Invariant: no request that passed here asks for a policy, hash or extension that the authority does not serve.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use touchmark_keys::{Digest, HashAlgorithm};
use touchmark_sigstore::tsp::TimestampRequest;
use touchmark_sigstore::wire;

use super::error::TsaError;
use super::policies::Policies;
use crate::http::read_body;

/// As the public authority's default.
const BODY_BYTES_MAX: usize = 1 << 20;
/// A real JSON request is some 200 bytes; the public authority bounds it because of the decimal nonce.
const JSON_BYTES_MAX: usize = 1024;
/// Components of a policy OID in JSON.
const OID_COMPONENTS_MAX: usize = 128;

/// Reads and checks the request. Its policy is the one that the token will state.
pub(super) async fn read(request: Request, policies: &Policies) -> Result<TimestampRequest, TsaError> {
    let format = format_of(request.headers());
    let body = read_body(request, BODY_BYTES_MAX).await?;
    let request = match format? {
        Format::Der => TimestampRequest::from_der(&body)?,
        Format::Json => from_json(&body)?,
    };
    let policy = policies.serve(request.policy.as_deref())?.to_owned();
    Ok(TimestampRequest { policy: Some(policy), ..request })
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
        Some(_) => Err(TsaError::MediaType),
        None => Err(TsaError::NoApplication),
    }
}

fn from_json(body: &[u8]) -> Result<TimestampRequest, TsaError> {
    if body.len() > JSON_BYTES_MAX {
        return Err(TsaError::JsonTooLarge);
    }
    let request = wire::tsa::TimestampRequest::from_json(body).map_err(|_| TsaError::Malformed)?;
    let algorithm = match request.hash_algorithm.to_ascii_lowercase().as_str() {
        "sha256" => HashAlgorithm::Sha256,
        "sha384" => HashAlgorithm::Sha384,
        "sha512" => HashAlgorithm::Sha512,
        "sha1" => return Err(TsaError::WeakHash),
        _ => return Err(TsaError::Malformed),
    };
    if request.tsa_policy_oid.split('.').count() > OID_COMPONENTS_MAX {
        return Err(TsaError::LongPolicy);
    }
    Ok(TimestampRequest {
        imprint: Digest::new(algorithm, request.artifact_hash).map_err(|_| TsaError::DigestLength)?,
        nonce: request.nonce.map(|nonce| nonce.to_be_bytes().to_vec()),
        cert_req: request.certificates,
        policy: Some(request.tsa_policy_oid).filter(|policy| !policy.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use touchmark_sigstore::tsp::POLICY;

    const OTHER_POLICY: &str = "1.3.6.1.4.1.99999.1";

    fn policies() -> Policies {
        Policies::new(vec![POLICY.to_owned(), OTHER_POLICY.to_owned()]).unwrap()
    }

    async fn ask(content_type: &str, body: impl Into<Body>) -> Result<TimestampRequest, TsaError> {
        let request = Request::builder().header(CONTENT_TYPE, content_type).body(body.into()).unwrap();
        read(request, &policies()).await
    }

    const HASH: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[tokio::test]
    async fn what_is_no_request_is_refused_with_its_reason() {
        let json = "application/json";
        let policy =
            |oid: &str| format!(r#"{{"artifactHash":"{HASH}","hashAlgorithm":"sha256","tsaPolicyOID":"{oid}"}}"#);
        let hash = |name: &str| format!(r#"{{"artifactHash":"{HASH}","hashAlgorithm":"{name}"}}"#);
        for (content_type, body, expect) in [
            ("text/plain", String::new(), TsaError::NoApplication),
            ("multipart/form-data; boundary=application/json", String::new(), TsaError::NoApplication),
            ("application/xml", String::new(), TsaError::MediaType),
            (json, "{".to_owned(), TsaError::Malformed),
            (json, r#"{"artifactHash":"AA==","hashAlgorithm":"sha256"}"#.to_owned(), TsaError::DigestLength),
            (json, hash("sha1"), TsaError::WeakHash),
            (json, hash("md5"), TsaError::Malformed),
            (json, hash("sha512"), TsaError::DigestLength),
            (json, policy("1.2.3"), TsaError::UnacceptedPolicy),
            (json, policy(&format!("1{}", ".1".repeat(127))), TsaError::UnacceptedPolicy),
            (json, policy(&format!("1{}", ".1".repeat(128))), TsaError::LongPolicy),
            (json, " ".repeat(1025), TsaError::JsonTooLarge),
            ("application/timestamp-query", "garbage".to_owned(), TsaError::Malformed),
        ] {
            assert_eq!(ask(content_type, body.clone()).await, Err(expect), "{content_type} {body}");
        }
    }

    #[tokio::test]
    async fn media_type_parameters_and_case_do_not_matter() {
        let body = format!(r#"{{"artifactHash":"{HASH}","hashAlgorithm":"SHA256","nonce":128,"certificates":true}}"#);
        let request = ask("Application/JSON; charset=utf-8", body).await.unwrap();
        assert!(request.cert_req);
        assert_eq!(request.nonce, Some(vec![0, 0, 0, 0, 0, 0, 0, 128]));
        assert_eq!(request.imprint.algorithm(), HashAlgorithm::Sha256);
    }

    #[tokio::test]
    async fn a_request_without_a_policy_gets_the_first_one_and_others_of_the_list_are_served() {
        for (asked, expect) in [(None, POLICY), (Some(POLICY), POLICY), (Some(OTHER_POLICY), OTHER_POLICY)] {
            let imprint = touchmark_keys::digest(HashAlgorithm::Sha384, b"");
            let der = TimestampRequest { imprint, nonce: None, cert_req: false, policy: asked.map(str::to_owned) };
            let request = ask("application/timestamp-query", der.to_der().unwrap()).await.unwrap();
            assert_eq!(request.policy.as_deref(), Some(expect));
            let oid = asked.unwrap_or_default();
            let json = format!(r#"{{"artifactHash":"{HASH}","hashAlgorithm":"sha256","tsaPolicyOID":"{oid}"}}"#);
            assert_eq!(ask("application/json", json).await.unwrap().policy.as_deref(), Some(expect));
        }
    }
}
