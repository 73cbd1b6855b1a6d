// SPDX-License-Identifier: Apache-2.0
//! Trusted root, signing config and client trust config (`dev.sigstore.trustroot.v1`): shapes.
//!
//! Out of scope: validity windows, keys and the choice of services, which are in the module `trust`.

use super::TRUST_BYTES_MAX;
use super::codec::{Dialect, Emit, document, message};
use super::field::{EnumName, Tolerated};
use super::rekor::{LogId, RawBytes};

message! {
    pub struct TrustedRoot {
        media_type: String = "mediaType",
        tlogs: Vec<Tolerated<TransparencyLogInstance>> = "tlogs",
        certificate_authorities: Vec<Tolerated<CertificateAuthority>> = "certificateAuthorities",
        ctlogs: Vec<Tolerated<TransparencyLogInstance>> = "ctlogs",
        timestamp_authorities: Vec<Tolerated<CertificateAuthority>> = "timestampAuthorities",
    }
}
document!(TrustedRoot, Dialect::Trust, TRUST_BYTES_MAX, Emit::Populated);

message! {
    pub struct TransparencyLogInstance {
        base_url: String = "baseUrl",
        hash_algorithm: EnumName = "hashAlgorithm",
        public_key: Option<PublicKey> = "publicKey",
        log_id: Option<LogId> = "logId",
        checkpoint_key_id: Option<LogId> = "checkpointKeyId",
        operator: String = "operator",
    }
}

message! {
    pub struct PublicKey {
        raw_bytes: Vec<u8> = "rawBytes",
        key_details: EnumName = "keyDetails",
        valid_for: Option<TimeRange> = "validFor",
    }
}

message! {
    /// RFC 3339 times, both inclusive.
    pub struct TimeRange {
        start: Option<String> = "start",
        end: Option<String> = "end",
    }
}

message! {
    pub struct CertificateAuthority {
        subject: Option<DistinguishedName> = "subject",
        uri: String = "uri",
        cert_chain: Option<X509CertificateChain> = "certChain",
        valid_for: Option<TimeRange> = "validFor",
        operator: String = "operator",
    }
}

message! {
    pub struct DistinguishedName {
        organization: String = "organization",
        common_name: String = "commonName",
    }
}

message! {
    pub struct X509CertificateChain {
        certificates: Vec<RawBytes> = "certificates",
    }
}

message! {
    pub struct SigningConfig {
        media_type: String = "mediaType",
        ca_urls: Vec<Tolerated<Service>> = "caUrls",
        oidc_urls: Vec<Tolerated<Service>> = "oidcUrls",
        rekor_tlog_urls: Vec<Tolerated<Service>> = "rekorTlogUrls",
        rekor_tlog_config: Option<ServiceConfiguration> = "rekorTlogConfig",
        tsa_urls: Vec<Tolerated<Service>> = "tsaUrls",
        tsa_config: Option<ServiceConfiguration> = "tsaConfig",
    }
}
document!(SigningConfig, Dialect::Trust, TRUST_BYTES_MAX, Emit::Populated);

message! {
    pub struct Service {
        url: String = "url",
        major_api_version: u32 = "majorApiVersion",
        valid_for: Option<TimeRange> = "validFor",
        operator: String = "operator",
    }
}

message! {
    pub struct ServiceConfiguration {
        selector: EnumName = "selector",
        count: u32 = "count",
    }
}

message! {
    pub struct ClientTrustConfig {
        media_type: String = "mediaType",
        trusted_root: Option<TrustedRoot> = "trustedRoot",
        signing_config: Option<SigningConfig> = "signingConfig",
    }
}
document!(ClientTrustConfig, Dialect::Trust, TRUST_BYTES_MAX, Emit::Populated);
