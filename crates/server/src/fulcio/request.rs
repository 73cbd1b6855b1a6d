// SPDX-License-Identifier: Apache-2.0
//! The body of `POST /api/v2/signingCert` to a typed request.
//!
//! Fulcio's `CreateSigningCertificateRequest`; which member wins where two say the same.
//!
//! In scope: the choice between body and header for the token, and between CSR and signed challenge for the key.
//! Out of scope: JSON (`sigstore::wire`), whether token and key are any good.
//! Invariant: the `algorithm` member decides nothing; clients send names outside the enum in it.

use touchmark_sigstore::wire::fulcio::CreateSigningCertificateRequest;

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
    /// PEM of a public key, and a signature over the subject of the token.
    Challenge {
        public_key: String,
        proof: Vec<u8>,
    },
    Absent,
}

impl SigningRequest {
    /// `authorization` is the header's value; it counts only if the body brings no token.
    pub(super) fn parse(body: &[u8], authorization: Option<&str>) -> Result<Self, IssueError> {
        let message = if body.iter().all(u8::is_ascii_whitespace) {
            // The public gateway reads an absent body as an empty message.
            CreateSigningCertificateRequest::default()
        } else {
            CreateSigningCertificateRequest::from_json(body)?
        };
        let in_body = message.credentials.map(|credentials| credentials.oidc_identity_token).unwrap_or_default();
        let token = if in_body.is_empty() { bearer(authorization) } else { in_body };
        let key = if !message.certificate_signing_request.is_empty() {
            KeyRequest::Csr(message.certificate_signing_request)
        } else {
            match message.public_key_request {
                Some(request) => KeyRequest::Challenge {
                    public_key: request.public_key.map(|key| key.content).unwrap_or_default(),
                    proof: request.proof_of_possession,
                },
                None => KeyRequest::Absent,
            }
        };
        Ok(Self { token, key })
    }
}

/// `Bearer ` is removed once and may be missing, as the public service has it.
fn bearer(authorization: Option<&str>) -> String {
    let value = authorization.unwrap_or_default();
    value.strip_prefix("Bearer ").unwrap_or(value).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(body: &str, authorization: Option<&str>) -> String {
        SigningRequest::parse(body.as_bytes(), authorization).unwrap().token
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
            let request = SigningRequest::parse(body.as_bytes(), None).unwrap();
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
            let request = SigningRequest::parse(body.as_bytes(), None).unwrap();
            assert!(
                matches!(request.key, KeyRequest::Challenge { public_key, proof } if public_key == "PEM" && proof == [1, 2])
            );
        }
    }

    #[test]
    fn a_csr_wins_over_a_challenge() {
        let body = r#"{"certificateSigningRequest":"Y3Ny","publicKeyRequest":{"publicKey":{"content":"PEM"}}}"#;
        let request = SigningRequest::parse(body.as_bytes(), None).unwrap();
        assert!(matches!(request.key, KeyRequest::Csr(pem) if pem == b"csr"));
    }

    #[test]
    fn what_is_not_json_of_the_form_is_refused_in_words() {
        for body in ["{", "[]", "null x", "\u{0}", r#"{"certificateSigningRequest":"*"}"#, r#"{"credentials":"x"}"#] {
            assert!(matches!(SigningRequest::parse(body.as_bytes(), None), Err(IssueError::Request(_))), "{body}");
        }
    }
}
