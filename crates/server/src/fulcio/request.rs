// SPDX-License-Identifier: Apache-2.0
//! What a client asks for, from each form in which it may ask, as one typed request.
//!
//! Fulcio's `CreateSigningCertificateRequest` of v2 (`POST /api/v2/signingCert`, or a message of gRPC) and of v1 (`POST /api/v1/signingCert`); which
//! member wins where two say the same.
//!
//! In scope: the choice between body and header for the token, and between CSR and signed challenge for the key.
//! Out of scope: JSON (`sigstore::wire`), protocol buffers (`grpc`), whether token and key are any good.
//! Invariant: the `algorithm` member decides nothing; clients send names outside the enum in it.

use touchmark_sigstore::wire::WireError;
use touchmark_sigstore::wire::fulcio::{
    CreateSigningCertificateRequest, CreateSigningCertificateRequestV1, PublicKeyRequest,
};

use super::error::IssueError;

pub(super) struct SigningRequest {
    /// Empty if neither body nor header brought one.
    pub(super) token: String,
    pub(super) key: KeyRequest,
}

/// The two ways in which a client shows its key, and the third of showing none.
pub(super) enum KeyRequest {
    /// PEM of a PKCS#10 request, signed with the key itself.
    Csr(Vec<u8>),
    /// A public key, and a signature over the subject of the token.
    Challenge {
        public_key: ClientKey,
        proof: Vec<u8>,
    },
    Absent,
}

/// A public key as its API has it.
pub(super) enum ClientKey {
    Pem(String),
    /// v1: an SPKI in DER, or the PEM text of one.
    DerOrPem(Vec<u8>),
}

impl SigningRequest {
    /// `beside` is the token of the header; it counts only if the body brings none.
    pub(super) fn parse(body: &[u8], beside: String) -> Result<Self, IssueError> {
        Ok(Self::from_message(message(body, CreateSigningCertificateRequest::from_json)?, beside))
    }

    /// `beside` is the token of the metadata or of the header; it counts only if the message brings none.
    pub(super) fn from_message(message: CreateSigningCertificateRequest, beside: String) -> Self {
        let in_body = message.credentials.map(|credentials| credentials.oidc_identity_token).unwrap_or_default();
        let token = if in_body.is_empty() { beside } else { in_body };
        let challenge = |PublicKeyRequest { public_key, proof_of_possession: proof }| KeyRequest::Challenge {
            public_key: ClientKey::Pem(public_key.map(|key| key.content).unwrap_or_default()),
            proof,
        };
        let key = if message.certificate_signing_request.is_empty() {
            message.public_key_request.map_or(KeyRequest::Absent, challenge)
        } else {
            KeyRequest::Csr(message.certificate_signing_request)
        };
        Self { token, key }
    }

    /// A request of v1, whose token comes in the header alone. Without any key it is refused before the token is looked at.
    pub(super) fn parse_v1(body: &[u8], token: String) -> Result<Self, IssueError> {
        let message = message(body, CreateSigningCertificateRequestV1::from_json)?;
        let key = if message.certificate_signing_request.is_empty() {
            KeyRequest::Challenge {
                public_key: ClientKey::DerOrPem(message.public_key.ok_or(IssueError::KeyUnreadable)?.content),
                proof: message.signed_email_address,
            }
        } else {
            KeyRequest::Csr(message.certificate_signing_request)
        };
        Ok(Self { token, key })
    }
}

/// The public gateway reads an absent body as an empty message.
fn message<M: Default>(body: &[u8], from_json: fn(&[u8]) -> Result<M, WireError>) -> Result<M, IssueError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(M::default());
    }
    Ok(from_json(body)?)
}

/// The token of an `Authorization` header. `Bearer ` is removed once and may be missing, as the public service has it.
pub(super) fn bearer(authorization: Option<&str>) -> String {
    let value = authorization.unwrap_or_default();
    value.strip_prefix("Bearer ").unwrap_or(value).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(body: &str, authorization: Option<&str>) -> String {
        SigningRequest::parse(body.as_bytes(), bearer(authorization)).unwrap().token
    }

    #[test]
    fn the_body_token_wins_over_the_header() {
        let body = r#"{"credentials":{"oidcIdentityToken":"from-body"}}"#;
        assert_eq!(token_of(body, Some("Bearer from-header")), "from-body");
        assert_eq!(token_of(r#"{"credentials":{"oidc_identity_token":"snake"}}"#, None), "snake");
        assert_eq!(token_of(r#"{"credentials":{"oidcIdentityToken":""}}"#, Some("Bearer from-header")), "from-header");
        assert_eq!(token_of("{}", Some("bare")), "bare");
        assert_eq!(token_of("{}", Some("Bearer Bearer x")), "Bearer x");
    }

    #[test]
    fn empty_bodies_and_null_members_are_empty_messages() {
        for body in
            ["", " \n", "{}", r#"{"credentials":null,"publicKeyRequest":null,"certificateSigningRequest":null}"#]
        {
            let request = SigningRequest::parse(body.as_bytes(), String::new()).unwrap();
            assert_eq!(request.token, "");
            assert!(matches!(request.key, KeyRequest::Absent));
        }
    }

    #[test]
    fn unknown_members_and_algorithm_names_are_dropped() {
        for algorithm in ["RSA", "", "ECDSA", "rsa_pss", "NONSENSE"] {
            let body = format!(
                r#"{{"x":{{"y":[1]}},"publicKeyRequest":{{"publicKey":{{"algorithm":"{algorithm}","content":"PEM","z":0}},"proofOfPossession":"AQI="}}}}"#
            );
            let request = SigningRequest::parse(body.as_bytes(), String::new()).unwrap();
            assert!(
                matches!(request.key, KeyRequest::Challenge { public_key: ClientKey::Pem(pem), proof } if pem == "PEM" && proof == [1, 2])
            );
        }
    }

    #[test]
    fn a_csr_wins_over_a_challenge() {
        let body = r#"{"certificateSigningRequest":"Y3Ny","publicKeyRequest":{"publicKey":{"content":"PEM"}}}"#;
        let request = SigningRequest::parse(body.as_bytes(), String::new()).unwrap();
        assert!(matches!(request.key, KeyRequest::Csr(pem) if pem == b"csr"));
    }

    #[test]
    fn what_is_not_json_of_the_form_is_refused_in_words() {
        for body in ["{", "[]", "null x", "\u{0}", r#"{"certificateSigningRequest":"*"}"#, r#"{"credentials":"x"}"#] {
            assert!(
                matches!(SigningRequest::parse(body.as_bytes(), String::new()), Err(IssueError::Request(_))),
                "{body}"
            );
        }
    }
    #[test]
    fn v1_without_any_key_is_refused_before_the_token_and_an_empty_key_after_it() {
        for body in
            ["", "{}", r#"{"publicKey":null,"certificateSigningRequest":""}"#, r#"{"signedEmailAddress":"AQI="}"#]
        {
            let refused = SigningRequest::parse_v1(body.as_bytes(), "token".to_owned());
            assert!(matches!(refused, Err(IssueError::KeyUnreadable)), "{body}");
        }
        let request = SigningRequest::parse_v1(br#"{"publicKey":{}}"#, "token".to_owned()).unwrap();
        assert!(
            matches!(request.key, KeyRequest::Challenge { public_key: ClientKey::DerOrPem(key), .. } if key.is_empty())
        );
        let body = r#"{"publicKey":{"content":"AQ==","algorithm":"ecdsa"},"certificateSigningRequest":"Y3Ny"}"#;
        let request = SigningRequest::parse_v1(body.as_bytes(), String::new()).unwrap();
        assert!(matches!(request.key, KeyRequest::Csr(pem) if pem == b"csr"));
    }

    #[test]
    fn bytes_are_read_in_both_alphabets_with_and_without_padding() {
        for text in ["-_8=", "-_8", "+/8=", "+/8"] {
            let body = format!(r#"{{"certificateSigningRequest":"{text}"}}"#);
            let request = SigningRequest::parse(body.as_bytes(), String::new()).unwrap();
            assert!(matches!(request.key, KeyRequest::Csr(pem) if pem == [0xfb, 0xff]), "{text}");
        }
    }
}
