// SPDX-License-Identifier: Apache-2.0
//! What is said to a plugin and what it answers.
//!
//! Spec: sigstore/sigstore, `pkg/signature/kms/cliplugin/README.md` and `common/interface.go`, protocol version `v1`: the first argument is the
//! version, the second is JSON with the options and the method; the message is on standard input, the answer is JSON on standard output.
//! In scope: the methods that a signer needs, `publicKey` and `signMessage`. Out of scope: `createKey` (a service makes no keys),
//! `verifySignature` (what a plugin says of a signature proves nothing), `supportedAlgorithms` and `defaultAlgorithm` (they are about
//! making keys; what a key can do, its public key says).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use touchmark_keys::{Digest, HashAlgorithm};

/// The only version that there is.
pub(super) const VERSION: &str = "v1";

/// What a plugin is asked.
#[derive(Clone, Copy)]
pub(super) enum Method<'a> {
    PublicKey,
    /// The message is on standard input.
    SignMessage(HashAlgorithm),
    /// Standard input is empty.
    SignDigest(&'a Digest),
}

impl Method<'_> {
    /// The second argument.
    ///
    /// Plugins made with the public helper library read the objects of options without looking whether they are there, so all are.
    pub(super) fn arguments(self, key: &str, deadline: Timestamp) -> String {
        let rpc = json!({ "ctxDeadline": deadline.to_string() });
        // The hash of the public service; for signing, the scheme's own.
        let hash = match self {
            Self::PublicKey => HashAlgorithm::Sha256,
            Self::SignMessage(hash) => hash,
            Self::SignDigest(digest) => digest.algorithm(),
        };
        let mut arguments = json!({
            "initOptions": {
                "ctxDeadline": deadline.to_string(),
                "protocolVersion": VERSION,
                "keyResourceID": key,
                "hashFunc": hash_number(hash),
                "rpcOptions": rpc,
            },
        });
        let (name, method) = match self {
            Self::PublicKey => ("publicKey", json!({ "publicKeyOptions": { "rpcOptions": rpc } })),
            Self::SignMessage(hash) => ("signMessage", sign_options(&rpc, json!({ "hashFunc": hash_number(hash) }))),
            Self::SignDigest(digest) => {
                let message = json!({
                    "digest": STANDARD.encode(digest.as_bytes()),
                    "hashFunc": hash_number(digest.algorithm()),
                });
                ("signMessage", sign_options(&rpc, message))
            }
        };
        arguments["methodName"] = name.into();
        arguments[name] = method;
        arguments.to_string()
    }
}

fn sign_options(rpc: &Value, message: Value) -> Value {
    json!({ "signOptions": { "rpcOptions": rpc, "messageOptions": message } })
}

/// The numbers of Go's `crypto.Hash`.
fn hash_number(hash: HashAlgorithm) -> u8 {
    match hash {
        HashAlgorithm::Sha256 => 5,
        HashAlgorithm::Sha384 => 6,
        HashAlgorithm::Sha512 => 7,
    }
}

/// An answer. Members that no method of ours has are passed over: later versions of the protocol may add some.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) error_message: String,
    public_key: Option<PublicKeyAnswer>,
    sign_message: Option<SignMessageAnswer>,
}

#[derive(Deserialize)]
struct PublicKeyAnswer {
    #[serde(rename = "publicKeyPEM")]
    public_key_pem: String,
}

#[derive(Deserialize)]
struct SignMessageAnswer {
    signature: String,
}

impl Answer {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The text of the public key.
    pub(super) fn public_key_pem(self) -> Option<String> {
        String::from_utf8(STANDARD.decode(self.public_key?.public_key_pem).ok()?).ok()
    }

    pub(super) fn signature(self) -> Option<Vec<u8>> {
        STANDARD.decode(self.sign_message?.signature).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline() -> Timestamp {
        "2025-04-01T02:47:00Z".parse().unwrap()
    }

    fn check(method: Method<'_>, expect: Value) {
        let arguments: Value = serde_json::from_str(&method.arguments("testkey", deadline())).unwrap();
        assert_eq!(arguments, expect);
    }

    fn init(hash: u8) -> Value {
        json!({
            "ctxDeadline": "2025-04-01T02:47:00Z",
            "protocolVersion": "v1",
            "keyResourceID": "testkey",
            "hashFunc": hash,
            "rpcOptions": { "ctxDeadline": "2025-04-01T02:47:00Z" },
        })
    }

    #[test]
    fn arguments_have_the_form_of_the_protocol() {
        let rpc = json!({ "ctxDeadline": "2025-04-01T02:47:00Z" });
        check(
            Method::PublicKey,
            json!({
                "initOptions": init(5),
                "methodName": "publicKey",
                "publicKey": { "publicKeyOptions": { "rpcOptions": rpc } },
            }),
        );
        check(
            Method::SignMessage(HashAlgorithm::Sha384),
            json!({
                "initOptions": init(6),
                "methodName": "signMessage",
                "signMessage": { "signOptions": { "rpcOptions": rpc, "messageOptions": { "hashFunc": 6 } } },
            }),
        );
        let digest = touchmark_keys::digest(HashAlgorithm::Sha256, b"");
        check(
            Method::SignDigest(&digest),
            json!({
                "initOptions": init(5),
                "methodName": "signMessage",
                "signMessage": { "signOptions": { "rpcOptions": rpc, "messageOptions": {
                    "digest": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
                    "hashFunc": 5,
                } } },
            }),
        );
    }

    #[test]
    fn answers_are_read_and_others_are_not() {
        let signature = |text: &str| Answer::parse(text.as_bytes()).and_then(Answer::signature);
        assert_eq!(signature(r#"{"signMessage":{"signature":"AQI="}}"#), Some(vec![1, 2]));
        assert_eq!(signature(r#"{"signMessage":{"signature":"AQI=","later":1},"later":{}}"#), Some(vec![1, 2]));
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"signMessage":{}}"#,
            r#"{"signMessage":{"signature":"?"}}"#,
            r#"{"signMessage":{"signature":1}}"#,
            r#"{"publicKey":{"publicKeyPEM":"AQI="}}"#,
            r#"{"signMessage":{"signature":"AQI="}} {}"#,
            r#"{"signMessage":{"signature":"AQI="}"#,
        ] {
            assert_eq!(signature(text), None, "{text}");
        }
        let pem = |text: &str| Answer::parse(text.as_bytes()).and_then(Answer::public_key_pem);
        assert_eq!(pem(r#"{"publicKey":{"publicKeyPEM":"bXlwZW0="}}"#).as_deref(), Some("mypem"));
        assert_eq!(pem(r#"{"publicKey":{"publicKeyPEM":"/w=="}}"#), None);
        let refused = Answer::parse(br#"{"errorMessage":"no"}"#).unwrap();
        assert_eq!(refused.error_message, "no");
        assert_eq!(refused.signature(), None);
    }
}
