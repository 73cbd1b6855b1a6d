// SPDX-License-Identifier: Apache-2.0
//! A plugin that signs with a key file, and others that only say so.
//!
//! Spec: sigstore/sigstore, `pkg/signature/kms/cliplugin`, protocol version `v1`.
//! In scope: what a plugin must do, with a key of `FileSigner` (`keyfile://faithful:/path/of/key.pem`); and what one may do wrong, by the word
//! before the colon, for the tests of this crate. Out of scope: use with a key that matters.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a plugin answers on standard output")]

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use touchmark_keys::{Digest, HashAlgorithm};
use touchmark_signers::{FileSigner, Signer, SignerError};

/// Longer than any test waits, and an end for what a test would leave behind.
const HANG: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let answer = answer().await.unwrap_or_else(|problem| json!({ "errorMessage": problem }));
    println!("{answer}");
}

async fn answer() -> Result<Value, String> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, version, arguments] = arguments.as_slice() else { return Err("two arguments are needed".to_owned()) };
    if version != "v1" {
        return Err(format!("version {version} is unknown"));
    }
    let arguments: Value = serde_json::from_str(arguments).map_err(|error| error.to_string())?;
    let text = |pointer: &str| arguments.pointer(pointer).and_then(Value::as_str);
    let key = text("/initOptions/keyResourceID").ok_or("no key is named")?;
    let (manner, path) = key.split_once(':').ok_or("a key is a manner, a colon and a path")?;
    let signer = FileSigner::open(Path::new(path), None).map_err(|error| error.to_string())?;
    if text("/methodName") == Some("publicKey") {
        let pem = signer.public_key().to_pem();
        return match manner {
            "keyless" => Ok(json!({ "publicKey": { "publicKeyPEM": STANDARD.encode("no key") } })),
            _ => Ok(json!({ "publicKey": { "publicKeyPEM": STANDARD.encode(pem) } })),
        };
    }
    if text("/methodName") != Some("signMessage") {
        return Err("the method is unknown".to_owned());
    }
    misbehave(manner)?;
    let signature = match manner {
        "another-key" => sign(&another(path)?, &arguments, b"").await,
        "another-message" => sign(&signer, &arguments, b"and more").await,
        _ => sign(&signer, &arguments, b"").await,
    };
    let signature = signature.map_err(|error| error.to_string())?;
    let signature = if manner == "truncating" { &signature[..signature.len() - 1] } else { &signature };
    Ok(json!({ "signMessage": { "signature": STANDARD.encode(signature) } }))
}

/// What a plugin may do instead of answering. Those that answer all the same return.
fn misbehave(manner: &str) -> Result<(), String> {
    match manner {
        "slow" => std::thread::sleep(Duration::from_millis(300)),
        "hanging" => std::thread::sleep(HANG),
        "failing" => return Err("the\nservice is away".to_owned()),
        "garbage" => {
            println!("signature: yes");
            std::process::exit(0);
        }
        "silent" => std::process::exit(1),
        "dying" => std::process::abort(),
        "endless" => endless(&mut std::io::stdout()),
        "endless-diagnostics" => endless(&mut std::io::stderr()),
        "talkative" => eprintln!("{}", "what happens here\n".repeat(10_000)),
        _ => {}
    }
    Ok(())
}

fn endless(out: &mut dyn Write) {
    let chunk = [b'x'; 4096];
    // Until nobody reads any more.
    while out.write_all(&chunk).is_ok() {}
}

/// The key of the same name with `.other` at its end.
fn another(path: &str) -> Result<FileSigner, String> {
    FileSigner::open(Path::new(&format!("{path}.other")), None).map_err(|error| error.to_string())
}

async fn sign(signer: &FileSigner, arguments: &Value, addition: &[u8]) -> Result<Vec<u8>, SignerError> {
    let options = &arguments["signMessage"]["signOptions"]["messageOptions"];
    let hash = match options["hashFunc"].as_u64() {
        Some(6) => HashAlgorithm::Sha384,
        Some(7) => HashAlgorithm::Sha512,
        _ => HashAlgorithm::Sha256,
    };
    match options["digest"].as_str().and_then(|digest| STANDARD.decode(digest).ok()) {
        Some(digest) if addition.is_empty() => {
            let digest = Digest::new(hash, digest).expect("a digest has the length of its hash");
            signer.sign_digest(&digest).await
        }
        Some(_) => signer.sign_digest(&touchmark_keys::digest(hash, addition)).await,
        None => {
            let mut message = Vec::new();
            std::io::stdin().read_to_end(&mut message).expect("standard input can be read");
            message.extend_from_slice(addition);
            signer.sign(&message).await
        }
    }
}
