// SPDX-License-Identifier: Apache-2.0
//! What the service says of itself to tools that ask (server reflection): messages and methods under the names of the public schema.
//!
//! In scope: what this authority takes and gives. Out of scope: the certificate with a detached SCT, which it never gives; comments and options.
//! Invariant: the numbers and types are those of [`super::messages`] (tests).

use crate::http::grpc::describe::Kind::{Bool, Bytes, Enum, Message, OneOf, Repeated, Text};
use crate::http::grpc::describe::{Field, File};

pub(super) const FILES: [File; 1] = [File {
    name: "fulcio.proto",
    package: "dev.sigstore.fulcio.v2",
    imports: &[],
    messages: &[
        (
            "CreateSigningCertificateRequest",
            &[
                ("credentials", 1, Message(".dev.sigstore.fulcio.v2.Credentials")),
                ("public_key_request", 2, OneOf("key", &Message(".dev.sigstore.fulcio.v2.PublicKeyRequest"))),
                ("certificate_signing_request", 3, OneOf("key", &Bytes)),
            ],
        ),
        ("Credentials", &[("oidc_identity_token", 1, OneOf("credentials", &Text))]),
        (
            "PublicKeyRequest",
            &[("public_key", 1, Message(".dev.sigstore.fulcio.v2.PublicKey")), ("proof_of_possession", 2, Bytes)],
        ),
        ("PublicKey", &[("algorithm", 1, Enum(".dev.sigstore.fulcio.v2.PublicKeyAlgorithm")), ("content", 2, Text)]),
        (
            "SigningCertificate",
            &[(
                "signed_certificate_embedded_sct",
                2,
                OneOf("certificate", &Message(".dev.sigstore.fulcio.v2.SigningCertificateEmbeddedSCT")),
            )],
        ),
        ("SigningCertificateEmbeddedSCT", &[("chain", 1, Message(".dev.sigstore.fulcio.v2.CertificateChain"))]),
        ("GetTrustBundleRequest", &[]),
        ("TrustBundle", &[("chains", 1, Repeated(&Message(".dev.sigstore.fulcio.v2.CertificateChain")))]),
        ("CertificateChain", &[("certificates", 1, Repeated(&Text))]),
        ("GetConfigurationRequest", &[]),
        ("Configuration", &[("issuers", 1, Repeated(&Message(".dev.sigstore.fulcio.v2.OIDCIssuer")))]),
        ("OIDCIssuer", OIDC_ISSUER),
    ],
    enums: &[(
        "PublicKeyAlgorithm",
        &[(0, "PUBLIC_KEY_ALGORITHM_UNSPECIFIED"), (1, "RSA_PSS"), (2, "ECDSA"), (3, "ED25519")],
    )],
    services: &[(
        "CA",
        &[
            (
                "CreateSigningCertificate",
                ".dev.sigstore.fulcio.v2.CreateSigningCertificateRequest",
                ".dev.sigstore.fulcio.v2.SigningCertificate",
            ),
            ("GetTrustBundle", ".dev.sigstore.fulcio.v2.GetTrustBundleRequest", ".dev.sigstore.fulcio.v2.TrustBundle"),
            (
                "GetConfiguration",
                ".dev.sigstore.fulcio.v2.GetConfigurationRequest",
                ".dev.sigstore.fulcio.v2.Configuration",
            ),
        ],
    )],
}];

const OIDC_ISSUER: &[Field] = &[
    ("issuer_url", 1, OneOf("issuer", &Text)),
    ("wildcard_issuer_url", 2, OneOf("issuer", &Text)),
    ("audience", 3, Text),
    ("challenge_claim", 4, Text),
    ("spiffe_trust_domain", 5, Text),
    ("issuer_type", 6, Text),
    ("subject_domain", 7, Text),
    ("skip_email_verification", 8, Bool),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message as _;

    use super::super::messages;
    use super::*;
    use crate::http::grpc::describe::tests::{BYTES, ENUM, TEXT, check_described};

    fn text() -> String {
        TEXT.to_owned()
    }

    /// A request with each of the alternatives, one after the other, as nobody would send it.
    fn request() -> Vec<u8> {
        use messages::{CreateSigningCertificateRequest, Credentials, KeyRequest, PublicKey, PublicKeyRequest};
        let credentials = Some(Credentials { oidc_identity_token: text() });
        let public_key = Some(PublicKey { algorithm: ENUM, content: text() });
        let challenge = PublicKeyRequest { public_key, proof_of_possession: BYTES.to_vec() };
        let with = |credentials, key| CreateSigningCertificateRequest { credentials, key: Some(key) }.encode_to_vec();
        [with(credentials, KeyRequest::Challenge(challenge)), with(None, KeyRequest::Csr(BYTES.to_vec()))].concat()
    }

    fn issuer() -> Vec<u8> {
        use messages::{IssuerUrl, OidcIssuer};
        let wildcard = OidcIssuer { issuer: Some(IssuerUrl::Wildcard(text())), ..OidcIssuer::default() };
        let exact = OidcIssuer {
            issuer: Some(IssuerUrl::Exact(text())),
            audience: text(),
            challenge_claim: text(),
            spiffe_trust_domain: text(),
            issuer_type: text(),
            subject_domain: text(),
            skip_email_verification: true,
        };
        [exact.encode_to_vec(), wildcard.encode_to_vec()].concat()
    }

    #[test]
    fn the_description_is_that_of_the_messages() {
        let chain = messages::CertificateChain { certificates: vec![text(), text()] };
        let embedded = messages::EmbeddedSct { chain: Some(chain.clone()) };
        let certificate = messages::SigningCertificate { signed_certificate_embedded_sct: Some(embedded) };
        // An issuer in both forms, which no value of the type is, in its place in a configuration: number 1, of a length.
        let issuer = issuer();
        let configuration = [&[0x0a, u8::try_from(issuer.len()).unwrap()], issuer.as_slice()].concat();
        let messages = BTreeMap::from([
            (".dev.sigstore.fulcio.v2.CreateSigningCertificateRequest", request()),
            (".dev.sigstore.fulcio.v2.SigningCertificate", certificate.encode_to_vec()),
            (".dev.sigstore.fulcio.v2.GetTrustBundleRequest", messages::Empty {}.encode_to_vec()),
            (".dev.sigstore.fulcio.v2.TrustBundle", messages::TrustBundle { chains: vec![chain] }.encode_to_vec()),
            (".dev.sigstore.fulcio.v2.GetConfigurationRequest", Vec::new()),
            (".dev.sigstore.fulcio.v2.Configuration", configuration),
        ]);
        check_described(&FILES, &messages);
    }
}
