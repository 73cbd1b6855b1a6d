// SPDX-License-Identifier: Apache-2.0
//! Fulcio: requests and replies of `/api/v2` and of the older `/api/v1`, and the error body of every JSON service.
//!
//! In scope: shapes. Out of scope: tokens, keys, certificates, and the `oneof` of the two ways to prove possession of a key,
//! which the server decides as the public one does (a request with a non-empty CSR is a CSR request).

use super::codec::{Dialect, Emit, document, message};
use super::field::EnumName;
use super::{REPLY_BYTES_MAX, REQUEST_BYTES_MAX};

message! {
    /// `POST /api/v2/signingCert`.
    pub struct CreateSigningCertificateRequest {
        credentials: Option<Credentials> = "credentials",
        public_key_request: Option<PublicKeyRequest> = "publicKeyRequest",
        /// PEM text of a PKCS#10 request.
        certificate_signing_request: Vec<u8> = "certificateSigningRequest",
    }
}
document!(CreateSigningCertificateRequest, Dialect::Fulcio, REQUEST_BYTES_MAX, Emit::Populated);

message! {
    pub struct Credentials {
        oidc_identity_token: String = "oidcIdentityToken",
    }
}

message! {
    pub struct PublicKeyRequest {
        public_key: Option<PublicKey> = "publicKey",
        proof_of_possession: Vec<u8> = "proofOfPossession",
    }
}

message! {
    pub struct PublicKey {
        /// Ignored: clients send names outside the enum, and the key says what it is.
        algorithm: EnumName = "algorithm",
        /// PEM text.
        content: String = "content",
    }
}

message! {
    /// The reply: a oneof. The public clients want the certificate with the embedded SCT.
    pub struct SigningCertificate {
        signed_certificate_detached_sct: Option<SigningCertificateDetachedSct> = "signedCertificateDetachedSct",
        signed_certificate_embedded_sct: Option<SigningCertificateEmbeddedSct> = "signedCertificateEmbeddedSct",
    }
}
document!(SigningCertificate, Dialect::Fulcio, REPLY_BYTES_MAX, Emit::All);

message! {
    pub struct SigningCertificateDetachedSct {
        chain: Option<CertificateChain> = "chain",
        signed_certificate_timestamp: Vec<u8> = "signedCertificateTimestamp",
    }
}

message! {
    pub struct SigningCertificateEmbeddedSct {
        chain: Option<CertificateChain> = "chain",
    }
}

message! {
    pub struct CertificateChain {
        /// PEM texts, the leaf first.
        certificates: Vec<String> = "certificates",
    }
}

message! {
    /// `GET /api/v2/trustBundle`.
    pub struct TrustBundle {
        chains: Vec<CertificateChain> = "chains",
    }
}
document!(TrustBundle, Dialect::Fulcio, REPLY_BYTES_MAX, Emit::All);

message! {
    /// `GET /api/v2/configuration`.
    pub struct Configuration {
        issuers: Vec<OidcIssuer> = "issuers",
    }
}
document!(Configuration, Dialect::Fulcio, REPLY_BYTES_MAX, Emit::All);

message! {
    pub struct OidcIssuer {
        issuer_url: Option<String> = "issuerUrl",
        wildcard_issuer_url: Option<String> = "wildcardIssuerUrl",
        audience: String = "audience",
        challenge_claim: String = "challengeClaim",
        spiffe_trust_domain: String = "spiffeTrustDomain",
        issuer_type: String = "issuerType",
        subject_domain: String = "subjectDomain",
        skip_email_verification: bool = "skipEmailVerification",
    }
}

message! {
    /// `POST /api/v1/signingCert`; the token comes in the `Authorization` header.
    pub struct CreateSigningCertificateRequestV1 {
        public_key: Option<PublicKeyV1> = "publicKey",
        signed_email_address: Vec<u8> = "signedEmailAddress",
        certificate_signing_request: Vec<u8> = "certificateSigningRequest",
    }
}
document!(CreateSigningCertificateRequestV1, Dialect::Fulcio, REQUEST_BYTES_MAX, Emit::Populated);

message! {
    pub struct PublicKeyV1 {
        algorithm: EnumName = "algorithm",
        /// DER, or PEM text.
        content: Vec<u8> = "content",
    }
}

message! {
    /// The error body of the services behind a gRPC gateway.
    pub struct Status {
        code: u32 = "code",
        message: String = "message",
    }
}
document!(Status, Dialect::Fulcio, REPLY_BYTES_MAX, Emit::All);
