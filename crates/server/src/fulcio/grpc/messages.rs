// SPDX-License-Identifier: Apache-2.0
//! The messages of the service as protocol buffers (sigstore/fulcio `fulcio.proto`).
//!
//! In scope: numbers and types of fields, conversion from and to the types that HTTP has (`touchmark_sigstore::wire`). Out of scope: what a request may
//! hold; names, which are not sent ([`super::describe`] has them, and its tests compare the two).
//! Invariant: every message that can be read converts; the one function that decides about requests decides about it.

use prost::{Message, Oneof};
use touchmark_sigstore::wire::EnumName;
use touchmark_sigstore::wire::fulcio as wire;

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateSigningCertificateRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) credentials: Option<Credentials>,
    #[prost(oneof = "KeyRequest", tags = "2, 3")]
    pub(super) key: Option<KeyRequest>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Credentials {
    /// The only member of a `oneof`, which is the same on the wire.
    #[prost(string, tag = "1")]
    pub(super) oidc_identity_token: String,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum KeyRequest {
    #[prost(message, tag = "2")]
    Challenge(PublicKeyRequest),
    #[prost(bytes = "vec", tag = "3")]
    Csr(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PublicKeyRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) public_key: Option<PublicKey>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) proof_of_possession: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PublicKey {
    /// Ignored, as in JSON.
    #[prost(int32, tag = "1")]
    pub(super) algorithm: i32,
    #[prost(string, tag = "2")]
    pub(super) content: String,
}

impl CreateSigningCertificateRequest {
    pub(super) fn into_wire(self) -> wire::CreateSigningCertificateRequest {
        let (public_key_request, csr) = match self.key {
            None => (None, Vec::new()),
            Some(KeyRequest::Challenge(request)) => (Some(request.into_wire()), Vec::new()),
            Some(KeyRequest::Csr(csr)) => (None, csr),
        };
        let credentials = |Credentials { oidc_identity_token }| wire::Credentials { oidc_identity_token };
        wire::CreateSigningCertificateRequest {
            credentials: self.credentials.map(credentials),
            public_key_request,
            certificate_signing_request: csr,
        }
    }
}

impl PublicKeyRequest {
    fn into_wire(self) -> wire::PublicKeyRequest {
        let public_key = |PublicKey { algorithm, content }| wire::PublicKey {
            // As JSON may write an enum, too.
            algorithm: EnumName(algorithm.to_string()),
            content,
        };
        wire::PublicKeyRequest {
            public_key: self.public_key.map(public_key),
            proof_of_possession: self.proof_of_possession,
        }
    }
}

/// A `oneof`, whose other member, the certificate with a detached SCT (number 1), is never given here.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SigningCertificate {
    #[prost(message, optional, tag = "2")]
    pub(super) signed_certificate_embedded_sct: Option<EmbeddedSct>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EmbeddedSct {
    #[prost(message, optional, tag = "1")]
    pub(super) chain: Option<CertificateChain>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CertificateChain {
    #[prost(string, repeated, tag = "1")]
    pub(super) certificates: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrustBundle {
    #[prost(message, repeated, tag = "1")]
    pub(super) chains: Vec<CertificateChain>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Configuration {
    #[prost(message, repeated, tag = "1")]
    pub(super) issuers: Vec<OidcIssuer>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OidcIssuer {
    #[prost(oneof = "IssuerUrl", tags = "1, 2")]
    pub(super) issuer: Option<IssuerUrl>,
    #[prost(string, tag = "3")]
    pub(super) audience: String,
    #[prost(string, tag = "4")]
    pub(super) challenge_claim: String,
    #[prost(string, tag = "5")]
    pub(super) spiffe_trust_domain: String,
    #[prost(string, tag = "6")]
    pub(super) issuer_type: String,
    #[prost(string, tag = "7")]
    pub(super) subject_domain: String,
    #[prost(bool, tag = "8")]
    pub(super) skip_email_verification: bool,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum IssuerUrl {
    #[prost(string, tag = "1")]
    Exact(String),
    #[prost(string, tag = "2")]
    Wildcard(String),
}

/// `GetTrustBundleRequest` and `GetConfigurationRequest`, which are alike on the wire.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Empty {}

impl CertificateChain {
    fn from_wire(wire::CertificateChain { certificates }: wire::CertificateChain) -> Self {
        Self { certificates }
    }
}

impl SigningCertificate {
    pub(super) fn from_wire(certificate: wire::SigningCertificate) -> Self {
        let embedded = |embedded: wire::SigningCertificateEmbeddedSct| EmbeddedSct {
            chain: embedded.chain.map(CertificateChain::from_wire),
        };
        Self { signed_certificate_embedded_sct: certificate.signed_certificate_embedded_sct.map(embedded) }
    }
}

impl TrustBundle {
    pub(super) fn from_wire(bundle: wire::TrustBundle) -> Self {
        Self { chains: bundle.chains.into_iter().map(CertificateChain::from_wire).collect() }
    }
}

impl Configuration {
    pub(super) fn from_wire(configuration: wire::Configuration) -> Self {
        Self { issuers: configuration.issuers.into_iter().map(OidcIssuer::from_wire).collect() }
    }
}

impl OidcIssuer {
    fn from_wire(issuer: wire::OidcIssuer) -> Self {
        let exact = issuer.issuer_url.map(IssuerUrl::Exact);
        Self {
            issuer: exact.or_else(|| issuer.wildcard_issuer_url.map(IssuerUrl::Wildcard)),
            audience: issuer.audience,
            challenge_claim: issuer.challenge_claim,
            spiffe_trust_domain: issuer.spiffe_trust_domain,
            issuer_type: issuer.issuer_type,
            subject_domain: issuer.subject_domain,
            skip_email_verification: issuer.skip_email_verification,
        }
    }
}
