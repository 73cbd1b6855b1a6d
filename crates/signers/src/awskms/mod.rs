// SPDX-License-Identifier: Apache-2.0
//! A signer whose key is in AWS KMS.
//!
//! Spec: AWS KMS API reference, `GetPublicKey` and `Sign` (`TrentService`, JSON 1.1 over HTTPS), requests authenticated with Signature Version 4.
//! In scope: ECDSA on P-256, P-384 and P-521, RSA of 2048, 3072 and 4096 bits with PKCS#1 v1.5 and SHA-256. Out of scope: making keys.
//! Invariants: the public key is read once; a signature that is returned was verified with it, so an alias that is pointed at another key
//! signs nothing; every request goes through `outbound`, to public addresses unless the reference says otherwise.

mod access;
mod credentials;
mod sigv4;
mod uri;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;
use touchmark_keys::{Digest, KeyError, KeyType, PublicKey, Scheme, digest};
use touchmark_outbound::{Limits, Outbound, OutboundError, Reach};
use url::Url;

use self::credentials::CredentialSource;
use crate::{Signer, SignerError, proof};

pub use access::AwsAccess;
pub use uri::{AwsKmsTransport, AwsKmsUri, AwsKmsUriError};

/// What a request may cost. The answers are some hundred bytes; the time is less than [`crate::SIGN_DEADLINE`], so that the reason is named.
const LIMITS: Limits = Limits { response_bytes_max: 64 * 1024, timeout: Duration::from_secs(8) };

/// Longest message that `Sign` takes as it is (API reference, `Sign`, `Message`); of longer ones it takes the digest.
const RAW_MESSAGE_BYTES_MAX: usize = 4096;

/// Longest text of the service that is repeated in an error.
const SAID_CHARS_MAX: usize = 300;

const USER_AGENT: &str = concat!("touchmark/", env!("CARGO_PKG_VERSION"));

/// A key in AWS KMS.
pub struct AwsKmsSigner {
    service: Service,
    public: PublicKey,
    algorithm: &'static str,
}

/// Why AWS KMS did not sign.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AwsKmsProblem {
    #[error("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE")]
    NoCredentials,
    #[error(
        "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set; set both, or none to use the credentials file"
    )]
    HalfCredentials,
    #[error("the credentials: {0}")]
    CredentialsFile(Box<SignerError>),
    #[error(
        "{} has no profile {profile} with aws_access_key_id and aws_secret_access_key; other kinds of profiles are not supported",
        path.display()
    )]
    NoProfile { path: PathBuf, profile: String },
    #[error("no region: name the key by its ARN, or set AWS_REGION")]
    NoRegion,
    #[error("cannot be asked: {0}")]
    Outbound(OutboundError),
    #[error("answers {status} {code}: {said}")]
    Refused { status: u16, code: String, said: String },
    #[error("answers something else than what was asked for")]
    Answer,
    #[error("its public key: {0}")]
    PublicKey(KeyError),
    #[error("the key is not for signing with {algorithm}; make one with KeyUsage SIGN_VERIFY")]
    Usage { algorithm: &'static str },
    #[error("a key of type {key_type} is not supported: use ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521 or RSA")]
    KeyKind { key_type: KeyType },
    #[error(
        "returned a signature that the key's own public key does not verify; it was not used. Does an alias name another key now?"
    )]
    WrongSignature,
}

/// The service and who asks it.
struct Service {
    uri: AwsKmsUri,
    url: Url,
    region: String,
    credentials: CredentialSource,
    outbound: Outbound,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublicKeyAnswer {
    public_key: String,
    key_usage: String,
    signing_algorithms: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SignAnswer {
    signature: String,
}

/// Some services write the message's name small.
#[derive(Deserialize)]
struct ErrorAnswer {
    #[serde(rename = "__type", default)]
    code: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl AwsKmsSigner {
    /// Reads credentials and region from the environment, given as a function from names to values, and asks for the public key.
    pub async fn open(uri: AwsKmsUri, environment: impl Fn(&str) -> Option<String>) -> Result<Self, SignerError> {
        let key = uri.to_string();
        let problem = |problem| SignerError::AwsKms { key: key.clone(), problem };
        let service = Service::new(uri, environment).map_err(problem)?;
        let (public, algorithm) = service.public_key().await.map_err(problem)?;
        Ok(Self { service, public, algorithm })
    }

    async fn signature(&self, body: &Value, input: proof::Input<'_>) -> Result<Vec<u8>, SignerError> {
        let signed = self.service.sign(body, input, &self.public).await;
        signed.map_err(|problem| SignerError::AwsKms { key: self.service.uri.to_string(), problem })
    }

    fn request(&self, message: &[u8], message_type: &str) -> Value {
        json!({
            "KeyId": self.service.uri.key,
            "Message": STANDARD.encode(message),
            "MessageType": message_type,
            "SigningAlgorithm": self.algorithm,
        })
    }
}

impl Service {
    fn new(uri: AwsKmsUri, environment: impl Fn(&str) -> Option<String>) -> Result<Self, AwsKmsProblem> {
        let region = match uri.region() {
            Some(region) => region.to_owned(),
            None => credentials::region(&environment)?,
        };
        let url = uri.url(&region).ok_or(AwsKmsProblem::NoRegion)?;
        let reach = match uri.transport {
            AwsKmsTransport::Https => Reach::PublicOnly,
            AwsKmsTransport::HttpsPrivate | AwsKmsTransport::LoopbackHttp => Reach::Private,
        };
        let credentials = CredentialSource::choose(environment)?;
        Ok(Self { uri, url, region, credentials, outbound: Outbound::new(USER_AGENT, reach, None) })
    }

    async fn public_key(&self) -> Result<(PublicKey, &'static str), AwsKmsProblem> {
        let answer: PublicKeyAnswer = self.ask("GetPublicKey", &json!({ "KeyId": self.uri.key })).await?;
        let der = STANDARD.decode(answer.public_key).map_err(|_| AwsKmsProblem::Answer)?;
        let public = PublicKey::from_spki_der(&der).map_err(AwsKmsProblem::PublicKey)?;
        let algorithm = algorithm(public.key_type())?;
        if answer.key_usage != "SIGN_VERIFY" || !answer.signing_algorithms.iter().any(|known| known == algorithm) {
            return Err(AwsKmsProblem::Usage { algorithm });
        }
        Ok((public, algorithm))
    }

    async fn sign(&self, body: &Value, input: proof::Input<'_>, public: &PublicKey) -> Result<Vec<u8>, AwsKmsProblem> {
        let answer: SignAnswer = self.ask("Sign", body).await?;
        let signature = STANDARD.decode(answer.signature).map_err(|_| AwsKmsProblem::Answer)?;
        let verified = proof::verified(public, public.default_scheme(), input, signature);
        verified.map_err(|_| AwsKmsProblem::WrongSignature)
    }

    async fn ask<T: DeserializeOwned>(&self, action: &str, body: &Value) -> Result<T, AwsKmsProblem> {
        let credentials = self.credentials.read().await?;
        let body = body.to_string().into_bytes();
        let scope = sigv4::Scope { region: &self.region, service: "kms" };
        let target = format!("TrentService.{action}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let request = sigv4::Request { method: "POST", url: &self.url, headers: &headers, body: &body };
        let headers = sigv4::signed_headers(&request, scope, &credentials, Timestamp::now());
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answered = self.outbound.post(&self.url, &headers, body, &LIMITS).await.map_err(AwsKmsProblem::Outbound)?;
        if answered.status != 200 {
            return Err(refused(answered.status, &answered.body));
        }
        serde_json::from_slice(&answered.body).map_err(|_| AwsKmsProblem::Answer)
    }
}

fn algorithm(key_type: KeyType) -> Result<&'static str, AwsKmsProblem> {
    match key_type {
        KeyType::EcdsaP256 => Ok("ECDSA_SHA_256"),
        KeyType::EcdsaP384 => Ok("ECDSA_SHA_384"),
        KeyType::EcdsaP521 => Ok("ECDSA_SHA_512"),
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => Ok("RSASSA_PKCS1_V1_5_SHA_256"),
        KeyType::Ed25519 | KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => {
            Err(AwsKmsProblem::KeyKind { key_type })
        }
    }
}

fn refused(status: u16, body: &[u8]) -> AwsKmsProblem {
    // What stands between may answer in a form of its own.
    let other =
        || ErrorAnswer { code: "without a code".to_owned(), message: String::from_utf8_lossy(body).into_owned() };
    let error: ErrorAnswer = serde_json::from_slice(body).unwrap_or_else(|_| other());
    AwsKmsProblem::Refused { status, code: printable(&error.code), said: printable(&error.message) }
}

/// Text from outside, for one line of a log.
fn printable(said: &str) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    said.chars().take(SAID_CHARS_MAX).map(plain).collect()
}

#[async_trait]
impl Signer for AwsKmsSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn scheme(&self) -> Scheme {
        self.public.default_scheme()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        if message.len() > RAW_MESSAGE_BYTES_MAX {
            let hash = proof::hash_of(self.scheme())?;
            return self.sign_digest(&digest(hash, message)).await;
        }
        self.signature(&self.request(message, "RAW"), proof::Input::Message(message)).await
    }

    async fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignerError> {
        proof::expect_digest(self.scheme(), digest)?;
        self.signature(&self.request(digest.as_bytes(), "DIGEST"), proof::Input::Digest(digest)).await
    }
}

#[cfg(test)]
mod tests;
