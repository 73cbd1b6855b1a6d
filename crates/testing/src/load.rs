// SPDX-License-Identifier: Apache-2.0
//! Requests as public clients make them, prepared ahead so that a load driver spends its time sending.
//!
//! Log entries are `hashedrekord` requests under a managed P-256 key; certificate requests are signed challenges under a fresh key each; timestamp
//! requests are the JSON form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use touchmark_keys::secret::SecretKey;
use touchmark_keys::{Digest, HashAlgorithm, KeyType, PublicKey, Scheme, digest};
use touchmark_outbound::{Limits, Outbound, OutboundError, Response};
use url::Url;

/// A log entry, ready to be posted.
#[derive(Clone)]
pub struct EntryRequest {
    /// The JSON body of `POST /api/v2/log/entries`.
    pub body: Vec<u8>,
}

/// A managed P-256 key under which a load driver signs its entries.
pub struct LoadKey(SecretKey);

impl LoadKey {
    /// A fresh key.
    pub fn generate() -> Self {
        Self(SecretKey::generate(KeyType::EcdsaP256).expect("a P-256 key can be made"))
    }

    /// The key that verifies what this one signs.
    pub fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }
}

/// Signs the digest of `artifact` and makes the request that logs the signature.
pub fn entry_request(key: &LoadKey, artifact: &[u8]) -> EntryRequest {
    let digest = digest(HashAlgorithm::Sha256, artifact);
    let signature = key.0.sign_digest(Scheme::EcdsaP256Sha256, &digest).expect("a P-256 key signs a SHA-256 digest");
    let body = json!({ "hashedRekordRequestV002": {
        "digest": STANDARD.encode(digest.as_bytes()),
        "signature": {
            "content": STANDARD.encode(signature),
            "verifier": {
                "publicKey": { "rawBytes": STANDARD.encode(key.public_key().spki_der()) },
                "keyDetails": Scheme::EcdsaP256Sha256.key_details(),
            },
        },
    }});
    EntryRequest { body: body.to_string().into_bytes() }
}

/// A digest, its signature and the key that verifies it: what the cost of one verification is measured with.
pub fn signed_digest(message: &[u8]) -> (PublicKey, Digest, Vec<u8>) {
    let key = LoadKey::generate();
    let digest = digest(HashAlgorithm::Sha256, message);
    let signature = key.0.sign_digest(Scheme::EcdsaP256Sha256, &digest).expect("a P-256 key signs a SHA-256 digest");
    (key.public_key().clone(), digest, signature)
}

/// The JSON body of `POST /api/v2/signingCert`: a fresh key and its signed challenge over the e-mail address.
pub fn certificate_request(token: &str, email: &str) -> Vec<u8> {
    let key = SecretKey::generate(KeyType::EcdsaP256).expect("a P-256 key can be made");
    let proof = key.sign(Scheme::EcdsaP256Sha256, email.as_bytes()).expect("a P-256 key signs");
    let body = json!({
        "credentials": { "oidcIdentityToken": token },
        "publicKeyRequest": {
            "publicKey": { "algorithm": "ECDSA", "content": key.public_key().to_pem() },
            "proofOfPossession": STANDARD.encode(proof),
        },
    });
    body.to_string().into_bytes()
}

/// The JSON body of `POST /api/v1/timestamp` over the SHA-256 of `message`.
pub fn timestamp_request(message: &[u8]) -> Vec<u8> {
    let digest = digest(HashAlgorithm::Sha256, message);
    json!({ "artifactHash": STANDARD.encode(digest.as_bytes()), "hashAlgorithm": "sha256", "certificates": true })
        .to_string()
        .into_bytes()
}

/// Posts a JSON body.
pub async fn post_json(outbound: &Outbound, url: &Url, body: Vec<u8>) -> Result<Response, OutboundError> {
    outbound.post(url, &[("content-type", "application/json")], body, &Limits::SERVICE).await
}

/// Reads a reply as JSON.
pub fn json_of(reply: &Response) -> Option<Value> {
    serde_json::from_slice(&reply.body).ok()
}
