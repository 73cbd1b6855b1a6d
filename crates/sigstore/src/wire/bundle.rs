// SPDX-License-Identifier: Apache-2.0
//! The Sigstore bundle (`dev.sigstore.bundle.v1.Bundle`): the shapes of every version.

use super::BUNDLE_BYTES_MAX;
use super::codec::{Dialect, Emit, document, message};
use super::dsse::Envelope;
use super::field::EnumName;
use super::rekor::{RawBytes, TransparencyLogEntry};

message! {
    pub struct Bundle {
        media_type: String = "mediaType",
        verification_material: Option<VerificationMaterial> = "verificationMaterial",
        message_signature: Option<MessageSignature> = "messageSignature",
        dsse_envelope: Option<Envelope> = "dsseEnvelope",
    }
}
document!(Bundle, Dialect::Bundle, BUNDLE_BYTES_MAX, Emit::Populated);

message! {
    /// `publicKey`, `x509CertificateChain` and `certificate` are a oneof.
    pub struct VerificationMaterial {
        public_key: Option<PublicKeyIdentifier> = "publicKey",
        x509_certificate_chain: Option<X509CertificateChain> = "x509CertificateChain",
        certificate: Option<RawBytes> = "certificate",
        tlog_entries: Vec<TransparencyLogEntry> = "tlogEntries",
        timestamp_verification_data: Option<TimestampVerificationData> = "timestampVerificationData",
    }
}

message! {
    pub struct PublicKeyIdentifier {
        hint: String = "hint",
    }
}

message! {
    pub struct X509CertificateChain {
        certificates: Vec<RawBytes> = "certificates",
    }
}

message! {
    pub struct TimestampVerificationData {
        rfc3161_timestamps: Vec<Rfc3161SignedTimestamp> = "rfc3161Timestamps",
    }
}

message! {
    pub struct Rfc3161SignedTimestamp {
        signed_timestamp: Vec<u8> = "signedTimestamp",
    }
}

message! {
    pub struct MessageSignature {
        message_digest: Option<HashOutput> = "messageDigest",
        signature: Vec<u8> = "signature",
    }
}

message! {
    pub struct HashOutput {
        algorithm: EnumName = "algorithm",
        digest: Vec<u8> = "digest",
    }
}
