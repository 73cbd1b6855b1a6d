// SPDX-License-Identifier: Apache-2.0
//! Why no certificate was issued, and what is said about it.
//!
//! The public texts and codes are those of the public service, because clients and their tests match on them.
//!
//! In scope: one exhaustive match to status, code and public message, and one to the reason, which is machine-readable (`google.rpc.ErrorInfo` in
//! `details`), in the audit log and in the metrics; the public service does not have it.
//! Out of scope: the body's form (`crate::http`).
//! Invariant: what went wrong inside (a signer, a log, a self-check) is written to our log and never to the client.

use touchmark_keys::{KeyFamily, Scheme};
use touchmark_signers::SignerError;
use touchmark_sigstore::issue::IssueError as TemplateError;
use touchmark_sigstore::wire::WireError;
use touchmark_sigstore::x509::csr::CsrError;

use super::authorize::Ruling;
use super::ct::CtError;
use super::limits::{RateLimited, Scope};
use super::provider::{MappingError, RenderError};
use super::self_check::SelfCheckError;
use super::token::TokenError;
use crate::audit::AuditUnavailable;
use crate::http::grpc::Malformed;
use crate::http::{ApiError, Reason, grpc};

#[derive(Debug, thiserror::Error)]
pub(super) enum IssueError {
    // The client has to change something.
    #[error("the request is not JSON of the expected form: {0}")]
    Request(#[from] WireError),
    #[error("the request is not a message of the expected form: {0}")]
    Message(#[from] Malformed),
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
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
    #[error(transparent)]
    Audit(#[from] AuditUnavailable),
}

/// The texts of the public service.
const TEXT_TOKEN: &str = "There was an error processing the identity token";
const TEXT_KEY_UNREADABLE: &str = "The public key supplied in the request could not be parsed";
const TEXT_KEY_INSECURE: &str = "The public key supplied in the request is insecure";
const TEXT_POSSESSION: &str = "The signature supplied in the request could not be verified";
const TEXT_CSR_UNREADABLE: &str = "The certificate signing request could not be parsed";
const TEXT_CT: &str = "Error entering certificate in CTL";
const TEXT_CA: &str = "error communicating with CA backend";

/// The public service has no such limits.
const TEXT_RATE_LIMITED: &str = "too many requests for certificates; retry later";
/// Nor such a log; for a client its failure is one of the authority.
const TEXT_AUDIT: &str = TEXT_CA;

/// The `domain` of our reasons.
const REASON_DOMAIN: &str = "fulcio.touchmark";

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        let reason = Reason { reason: error.reason(), domain: REASON_DOMAIN };
        public(error).with_reason(reason)
    }
}

fn public(error: IssueError) -> ApiError {
    match error {
        IssueError::Request(error) => ApiError::invalid(error.to_string()),
        IssueError::Message(error) => error.into(),
        // Not the client's fault, and worth another try.
        IssueError::Token(TokenError::IssuerUnreachable | TokenError::MemoryFull) => unavailable(TEXT_TOKEN),
        IssueError::Token(TokenError::Mapping(error)) => ApiError::invalid(mapping_text(&error)),
        IssueError::Token(_) | IssueError::SubjectNotAllowed(_) => ApiError::invalid(TEXT_TOKEN),
        IssueError::KeyUnreadable => ApiError::invalid(TEXT_KEY_UNREADABLE),
        IssueError::KeyInsecure => ApiError::invalid(TEXT_KEY_INSECURE),
        IssueError::CsrUnreadable => ApiError::invalid(TEXT_CSR_UNREADABLE),
        IssueError::CsrAlgorithm(error) => ApiError::invalid(error.to_string()),
        IssueError::Possession => ApiError::invalid(TEXT_POSSESSION),
        IssueError::AlgorithmNotAllowed(scheme) => ApiError::invalid(not_permitted(scheme)),
        IssueError::RateLimited(RateLimited { retry_after_s, .. }) => {
            let error = ApiError::new(429, grpc::RESOURCE_EXHAUSTED, TEXT_RATE_LIMITED);
            error.with_header("retry-after", retry_after_s.to_string())
        }
        IssueError::AuthorityNotValid | IssueError::Template(_) | IssueError::SelfCheck(_) => {
            ApiError::new(500, grpc::INTERNAL, TEXT_CA)
        }
        IssueError::Signer(_) => unavailable(TEXT_CA),
        IssueError::Ct(CtError::Unavailable | CtError::Deadline) => unavailable(TEXT_CT),
        IssueError::Ct(_) => ApiError::new(500, grpc::INTERNAL, TEXT_CT),
        IssueError::Audit(AuditUnavailable) => unavailable(TEXT_AUDIT),
    }
}

impl IssueError {
    /// A stable code for machines. It says what to repair and nothing about the inside of this service.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Request(_) | Self::Message(_) => "REQUEST_MALFORMED",
            Self::RateLimited(RateLimited { scope, .. }) => match scope {
                Scope::Address => "RATE_LIMITED_ADDRESS",
                Scope::Issuer => "RATE_LIMITED_ISSUER",
                Scope::Subject => "RATE_LIMITED_SUBJECT",
            },
            Self::Token(token) => token.reason(),
            Self::KeyUnreadable => "KEY_UNREADABLE",
            Self::KeyInsecure => "KEY_INSECURE",
            Self::CsrUnreadable => "CSR_UNREADABLE",
            Self::CsrAlgorithm(CsrError::NotPermitted { .. }) | Self::AlgorithmNotAllowed(_) => "ALGORITHM_NOT_ALLOWED",
            Self::CsrAlgorithm(_) => "CSR_ALGORITHM_REFUSED",
            Self::Possession => "POSSESSION_NOT_PROVEN",
            Self::SubjectNotAllowed(_) => "SUBJECT_NOT_ALLOWED",
            Self::AuthorityNotValid => "CA_NOT_VALID",
            Self::Template(_) | Self::SelfCheck(_) => "CA_FAILED",
            Self::Signer(_) => "CA_UNAVAILABLE",
            Self::Ct(CtError::Unavailable | CtError::Deadline) => "CT_LOG_UNAVAILABLE",
            Self::Ct(_) => "CT_LOG_FAILED",
            Self::Audit(_) => "AUDIT_LOG_UNAVAILABLE",
        }
    }

    /// Our own failures are errors in the log, a client's are not.
    pub(super) fn log(&self, request_id: &str) {
        match self {
            Self::AuthorityNotValid
            | Self::Template(_)
            | Self::Signer(_)
            | Self::Ct(_)
            | Self::SelfCheck(_)
            | Self::Audit(_) => {
                tracing::error!(request_id, error = %self, "no certificate was issued");
            }
            Self::Token(TokenError::IssuerUnreachable | TokenError::IssuerMisconfigured | TokenError::MemoryFull) => {
                tracing::warn!(request_id, error = %self, "no certificate was issued");
            }
            _ => tracing::info!(request_id, error = %self, "no certificate was issued"),
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
