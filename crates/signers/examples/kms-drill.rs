// SPDX-License-Identifier: Apache-2.0
//! AWS KMS signers against moto's server: `cargo xtask interop keys` runs this.
//!
//! In scope: keys of several kinds by alias and by ARN, requests whose signature moto computes again with botocore's code, refusals. Out of
//! scope: starting the server and making its keys (the caller's).
//! Arguments: host and port of the server, an access key ID, its secret, and the aliases and ARNs of keys.
#![expect(
    clippy::print_stdout,
    clippy::panic,
    reason = "a drill tells what it found, and ends where something is wrong"
)]

use touchmark_keys::digest;
use touchmark_signers::{AwsKmsProblem, AwsKmsSigner, AwsKmsUri, Signer, SignerError};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, id, secret, keys @ ..] = arguments.as_slice() else { panic!("three arguments and keys are needed") };
    assert!(!keys.is_empty(), "no key is named");
    let drill = Drill { server, id, secret };
    for key in keys {
        drill.a_key_signs(key).await;
    }
    drill.what_is_not_allowed_is_refused(&keys[0]).await;
    println!("{} passed, 0 failed", keys.len() + 1);
}

struct Drill<'a> {
    server: &'a str,
    id: &'a str,
    secret: &'a str,
}

impl Drill<'_> {
    async fn open(&self, key: &str, secret: &str) -> Result<AwsKmsSigner, SignerError> {
        let uri = AwsKmsUri::parse(&format!("awskms://{}/{key}?transport=loopback-http", self.server));
        let environment = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some(self.id.to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some(secret.to_owned()),
            "AWS_REGION" => Some("eu-west-1".to_owned()),
            _ => None,
        };
        AwsKmsSigner::open(uri.expect("the URI is right"), environment).await
    }

    async fn a_key_signs(&self, key: &str) {
        let signer = self.open(key, self.secret).await.expect("the key is there");
        for message in [b"message".as_slice(), &[7; 4096]] {
            let signature = signer.sign(message).await.expect("a signature");
            signer.public_key().verify(signer.scheme(), message, &signature).expect("it verifies");
        }
        // moto 5.2 hashes a digest again (real KMS does not). Such a signature must not come out here.
        let digest = digest(signer.scheme().hash().expect("the scheme signs digests"), b"message");
        match signer.sign_digest(&digest).await {
            Ok(signature) => {
                signer.public_key().verify_digest(signer.scheme(), &digest, &signature).expect("it verifies");
            }
            Err(error) => assert_eq!(problem(error), AwsKmsProblem::WrongSignature),
        }
        println!("ok: {key}: {}", signer.scheme());
    }

    async fn what_is_not_allowed_is_refused(&self, key: &str) {
        for (key, secret) in [(key, "wrong"), ("alias/nobody", self.secret)] {
            let refused = self.open(key, secret).await.err().expect("this is refused");
            let refused = problem(refused);
            assert!(matches!(refused, AwsKmsProblem::Refused { status: 400..=403, .. }), "{refused:?}");
            println!("ok: {refused}");
        }
    }
}

fn problem(error: SignerError) -> AwsKmsProblem {
    match error {
        SignerError::AwsKms { problem, .. } => problem,
        other => panic!("{other}"),
    }
}
