// SPDX-License-Identifier: Apache-2.0
//! Why no certificate was issued, and what is said about it.
//!
//! The public texts and codes are those of the public service, because clients and their tests match on them.
//!
//! In scope: one exhaustive match to status, code and public message; machine-readable reasons in `details`
//! (`google.rpc.ErrorInfo`), which the public service does not have.
//! Out of scope: the body's form (`crate::http`).
//! Invariant: what went wrong inside (a signer, a log, a self-check) is written to our log and never to the client.

use serde_json::json;
use touchmark_keys::{KeyFamily, Scheme};
use touchmark_signers::SignerError;
use touchmark_sigstore::issue::IssueError as TemplateError;
use touchmark_sigstore::wire::WireError;
use touchmark_sigstore::x509::csr::CsrError;

use super::authorize::Ruling;
use super::ct::CtError;
use super::provider::{MappingError, RenderError};
use super::self_check::SelfCheckError;
use super::token::TokenError;
use crate::http::{ApiError, grpc};

#[derive(Debug, thiserror::Error)]
pub(super) enum IssueError {
    // The client has to change something.
    #[error("the request is not JSON of the expected form: {0}")]
    Request(#[from] WireError),
    #[error("token: {0}")]
    Token(#[from] TokenError),
    #[error("the public key could not be read")]
    KeyUnreadable,
    #[error("the public key is weak or of a kind that is not certified")]
    KeyInsecure,
    #[error("the certificate signing request could not be read")]
    CsrUnreadable,
    /// The request's own error has the public text.
    #[error("the certificate signing request: {0}")]
    CsrAlgorithm(CsrError),
    #[error("the proof of possession does not verify")]
    Possession,
    #[error("{0:?} is not on the list of allowed algorithms")]
    AlgorithmNotAllowed(Scheme),
    #[error("the rules of the issuer: {0}")]
    SubjectNotAllowed(Ruling),
    // We have to.
    #[error("the certificate authority's own certificate has expired or is not valid yet")]
    AuthorityNotValid,
    #[error("the certificate cannot be made: {0}")]
    Template(#[from] TemplateError),
    #[error("the certificate authority's signer: {0}")]
    Signer(#[from] SignerError),
    #[error("the certificate transparency log: {0}")]
    Ct(#[from] CtError),
    #[error("what was about to be issued is not what was asked for: {0}")]
    SelfCheck(#[from] SelfCheckError),
}

/// The texts of the public service.
const TEXT_TOKEN: &str = "There was an error processing the identity token";
const TEXT_KEY_UNREADABLE: &str = "The public key supplied in the request could not be parsed";
const TEXT_KEY_INSECURE: &str = "The public key supplied in the request is insecure";
const TEXT_POSSESSION: &str = "The signature supplied in the request could not be verified";
const TEXT_CSR_UNREADABLE: &str = "The certificate signing request could not be parsed";
const TEXT_CT: &str = "Error entering certificate in CTL";
const TEXT_CA: &str = "error communicating with CA backend";

/// The `domain` of our reasons.
const REASON_DOMAIN: &str = "fulcio.touchmark";

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Request(error) => Self::invalid(error.to_string()),
            // Not the client's fault, and worth another try.
            IssueError::Token(TokenError::IssuerUnreachable) => {
                with_reason(unavailable(TEXT_TOKEN), TokenError::IssuerUnreachable.reason())
            }
            IssueError::Token(TokenError::MemoryFull) => {
                with_reason(unavailable(TEXT_TOKEN), TokenError::MemoryFull.reason())
            }
            IssueError::Token(TokenError::Mapping(error)) => {
                let reason = TokenError::Mapping(error.clone()).reason();
                with_reason(Self::invalid(mapping_text(&error)), reason)
            }
            IssueError::Token(token) => with_reason(Self::invalid(TEXT_TOKEN), token.reason()),
            IssueError::KeyUnreadable => Self::invalid(TEXT_KEY_UNREADABLE),
            IssueError::KeyInsecure => Self::invalid(TEXT_KEY_INSECURE),
            IssueError::CsrUnreadable => Self::invalid(TEXT_CSR_UNREADABLE),
            IssueError::CsrAlgorithm(error) => Self::invalid(error.to_string()),
            IssueError::Possession => Self::invalid(TEXT_POSSESSION),
            IssueError::AlgorithmNotAllowed(scheme) => Self::invalid(not_permitted(scheme)),
            IssueError::SubjectNotAllowed(_) => with_reason(Self::invalid(TEXT_TOKEN), "SUBJECT_NOT_ALLOWED"),
            IssueError::AuthorityNotValid | IssueError::Template(_) | IssueError::SelfCheck(_) => {
                Self::new(500, grpc::INTERNAL, TEXT_CA)
            }
            IssueError::Signer(_) => unavailable(TEXT_CA),
            IssueError::Ct(CtError::Unavailable | CtError::Deadline) => unavailable(TEXT_CT),
            IssueError::Ct(_) => Self::new(500, grpc::INTERNAL, TEXT_CT),
        }
    }
}

impl IssueError {
    /// Our own failures are errors in the log, a client's are not.
    pub(super) fn log(&self) {
        match self {
            Self::AuthorityNotValid | Self::Template(_) | Self::Signer(_) | Self::Ct(_) | Self::SelfCheck(_) => {
                tracing::error!(error = %self, "no certificate was issued");
            }
            Self::Token(TokenError::IssuerUnreachable | TokenError::IssuerMisconfigured | TokenError::MemoryFull) => {
                tracing::warn!(error = %self, "no certificate was issued");
            }
            _ => tracing::info!(error = %self, "no certificate was issued"),
        }
    }
}

/// The public service says which claim of a workflow is missing.
fn mapping_text(error: &MappingError) -> String {
    match error {
        MappingError::Render { error: RenderError::Missing { claim }, field } => {
            format!("value <{claim}> not present in either claims or defaults. {{\"ExtensionName\":\"{field}\"}}")
        }
        MappingError::Render { .. } | MappingError::Name(_) => error.to_string(),
    }
}

fn unavailable(text: &str) -> ApiError {
    ApiError::new(503, grpc::UNAVAILABLE, text).with_header("retry-after", "2")
}

fn with_reason(mut error: ApiError, reason: &str) -> ApiError {
    error.details.push(json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": REASON_DOMAIN,
    }));
    error
}

/// The public service prints Go's names of the key type and of the hash.
fn not_permitted(scheme: Scheme) -> String {
    let key = match scheme.key_type().family() {
        KeyFamily::Ecdsa => "*ecdsa.PublicKey",
        KeyFamily::Rsa => "*rsa.PublicKey",
        KeyFamily::Ed25519 => "ed25519.PublicKey",
        KeyFamily::MlDsa => "*mldsa.PublicKey",
    };
    let hash = match scheme.hash() {
        Some(touchmark_keys::HashAlgorithm::Sha256) => "SHA-256",
        Some(touchmark_keys::HashAlgorithm::Sha384) => "SHA-384",
        Some(touchmark_keys::HashAlgorithm::Sha512) => "SHA-512",
        // Go's crypto.Hash(0).
        None => "unknown hash value 0",
    };
    format!("signing algorithm not permitted: {key}, {hash}")
}
