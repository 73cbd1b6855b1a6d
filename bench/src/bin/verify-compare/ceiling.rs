// SPDX-License-Identifier: Apache-2.0
//! The ceiling: the bare public key operations that a bundle needs, and nothing else.
//!
//! Digests are made and the keys of the trusted root are parsed before the clock starts; the key of the signer, which comes with
//! the bundle, is parsed in the operation. What each operation is over is found here without the verifier that is measured
//! (but for the bytes under an SCT), and an operation that does not succeed cannot be part of a ceiling.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use touchmark_bench::case::Case;
use touchmark_keys::{KeyType, PublicKey};
use touchmark_sigstore::ct;
use touchmark_sigstore::x509::Certificate;

use crate::der;

/// How often an operation is timed alone.
const SAMPLES: usize = 201;

/// All operations of one bundle.
pub(crate) struct Ceiling {
    operations: Vec<Operation>,
}

struct Operation {
    what: String,
    key: Key,
    message: Message,
    signature: Vec<u8>,
}

enum Key {
    OfTheRoot(ParsedPublicKey),
    OfTheBundle { algorithm: &'static dyn VerificationAlgorithm, raw: Vec<u8> },
}

enum Message {
    /// Pure Ed25519 takes the message.
    Whole(Vec<u8>),
    Digest(Digest),
}

/// Whose key it is says whether it could be parsed before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Root,
    Bundle,
}

impl Ceiling {
    pub(crate) fn of(case: &Case) -> Result<Self> {
        let bundle: Value = serde_json::from_slice(&case.bundle)?;
        let root: Value = serde_json::from_slice(&case.root)?;
        let leaf = Certificate::from_der(&bytes(&bundle, "/verificationMaterial/certificate/rawBytes")?)?;
        let mut operations = Vec::new();
        let authorities = certificates(&root, "certificateAuthorities")?;
        let issuers = keys_of(&authorities);
        let signature = der::certificate_signature(leaf.der())?;
        operations.push(Operation::find("certificate", Whose::Root, &issuers, leaf.tbs_der(), &signature)?);
        operations.push(promise(&leaf, &authorities, &root)?);
        let (message, signature) = signed(case, &bundle)?;
        for token in list(&bundle, "/verificationMaterial/timestampVerificationData/rfc3161Timestamps") {
            let (attributes, signature) = der::timestamp_parts(&bytes(token, "/signedTimestamp")?)?;
            let authorities = keys_of(&certificates(&root, "timestampAuthorities")?);
            operations.push(Operation::find("timestamp", Whose::Root, &authorities, &attributes, &signature)?);
        }
        for entry in list(&bundle, "/verificationMaterial/tlogEntries") {
            operations.extend(log_entry(entry, &root)?);
        }
        operations.push(Operation::find("artifact", Whose::Bundle, &[leaf.public_key()?], &message, &signature)?);
        let ceiling = Self { operations };
        ceiling.run()?;
        Ok(ceiling)
    }

    /// One verification's worth of operations.
    pub(crate) fn run(&self) -> Result<()> {
        self.operations.iter().try_for_each(Operation::run)
    }

    /// The operations, for people, each with its median time.
    pub(crate) fn describe(&self) -> Result<String> {
        let described = self.operations.iter().map(|operation| {
            let mut times = Vec::with_capacity(SAMPLES);
            for _ in 0..SAMPLES {
                let begun = Instant::now();
                operation.run()?;
                times.push(begun.elapsed());
            }
            times.sort();
            Ok(format!("{} {} µs", operation.what, times[SAMPLES / 2].as_micros()))
        });
        Ok(described.collect::<Result<Vec<_>>>()?.join(", "))
    }
}

impl Operation {
    fn run(&self) -> Result<()> {
        match (&self.key, &self.message) {
            (Key::OfTheRoot(key), Message::Digest(digest)) => key.verify_digest_sig(digest, &self.signature),
            (Key::OfTheRoot(key), Message::Whole(message)) => key.verify_sig(message, &self.signature),
            (Key::OfTheBundle { algorithm, raw }, Message::Digest(digest)) => {
                UnparsedPublicKey::new(*algorithm, raw).verify_digest(digest, &self.signature)
            }
            (Key::OfTheBundle { algorithm, raw }, Message::Whole(message)) => {
                UnparsedPublicKey::new(*algorithm, raw).verify(message, &self.signature)
            }
        }
        .with_context(|| format!("the {} of the ceiling does not verify", self.what))
    }

    /// The operation with the first key and hash with which the signature is right.
    fn find(what: &str, whose: Whose, keys: &[PublicKey], message: &[u8], signature: &[u8]) -> Result<Self> {
        for key in keys {
            for (algorithm, hash, name) in algorithms(key.key_type()) {
                let message = hash.map_or_else(
                    || Message::Whole(message.to_vec()),
                    |hash| Message::Digest(digest::digest(hash, message)),
                );
                let what = format!("{what} ({name})");
                let key = match whose {
                    Whose::Bundle => Key::OfTheBundle { algorithm, raw: key.raw().to_vec() },
                    Whose::Root => Key::OfTheRoot(ParsedPublicKey::new(algorithm, key.raw())?),
                };
                let operation = Self { what, key, message, signature: signature.to_vec() };
                if operation.run().is_ok() {
                    return Ok(operation);
                }
            }
        }
        bail!("no key of the trusted root made the signature of the {what}")
    }
}

type Way = (&'static dyn VerificationAlgorithm, Option<&'static digest::Algorithm>, &'static str);

fn algorithms(key_type: KeyType) -> Vec<Way> {
    match key_type {
        KeyType::EcdsaP256 => vec![(&signature::ECDSA_P256_SHA256_ASN1, Some(&digest::SHA256), "P-256")],
        KeyType::EcdsaP384 => vec![
            (&signature::ECDSA_P384_SHA384_ASN1, Some(&digest::SHA384), "P-384"),
            (&signature::ECDSA_P384_SHA256_ASN1, Some(&digest::SHA256), "P-384"),
            (&signature::ECDSA_P384_SHA512_ASN1, Some(&digest::SHA512), "P-384"),
        ],
        KeyType::EcdsaP521 => vec![(&signature::ECDSA_P521_SHA512_ASN1, Some(&digest::SHA512), "P-521")],
        KeyType::Ed25519 => vec![(&signature::ED25519, None, "Ed25519")],
        _ => vec![(&signature::RSA_PKCS1_2048_8192_SHA256, Some(&digest::SHA256), "RSA")],
    }
}

/// The first SCT of the leaf that a log of the root made.
fn promise(leaf: &Certificate, authorities: &[Certificate], root: &Value) -> Result<Operation> {
    let keys = log_keys(root, "ctlogs", None);
    let scts = ct::embedded_scts(leaf).context("the leaf has no SCT")?;
    for (sct, issuer) in scts.iter().flat_map(|sct| authorities.iter().map(move |issuer| (sct, issuer))) {
        let Ok(entry) = ct::LogEntry::from_certificate_with_scts(leaf, issuer) else { continue };
        let message = ct::sct_signed_bytes(&entry, sct.timestamp_ms, &sct.extensions);
        if let Ok(operation) = Operation::find("SCT", Whose::Root, &keys, &message, &sct.signature) {
            return Ok(operation);
        }
    }
    bail!("no SCT of a log of the root")
}

/// The promise (SET) of a Rekor v1 entry, and the checkpoint of any.
fn log_entry(entry: &Value, root: &Value) -> Result<Vec<Operation>> {
    let log_id = bytes(entry, "/logId/keyId")?;
    let keys = log_keys(root, "tlogs", Some(&log_id));
    let mut operations = Vec::new();
    if let Ok(promise) = bytes(entry, "/inclusionPromise/signedEntryTimestamp") {
        let message = format!(
            r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
            text(entry, "/canonicalizedBody")?,
            text(entry, "/integratedTime")?,
            log_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            text(entry, "/logIndex")?
        );
        operations.push(Operation::find("SET", Whose::Root, &keys, message.as_bytes(), &promise)?);
    }
    let note = text(entry, "/inclusionProof/checkpoint/envelope")?;
    let (body, signatures) = note.split_once("\n\n").context("no signature under the checkpoint")?;
    let body = format!("{body}\n");
    let found = signatures.lines().find_map(|line| {
        let signature = STANDARD.decode(line.rsplit(' ').next()?).ok()?;
        Operation::find("checkpoint", Whose::Root, &keys, body.as_bytes(), signature.get(4..)?).ok()
    });
    operations.push(found.context("no signature of the log under its checkpoint")?);
    Ok(operations)
}

/// What the signer signed, and the signature.
fn signed(case: &Case, bundle: &Value) -> Result<(Vec<u8>, Vec<u8>)> {
    if bundle.get("dsseEnvelope").is_none() {
        return Ok((case.artifact.clone(), bytes(bundle, "/messageSignature/signature")?));
    }
    let payload = bytes(bundle, "/dsseEnvelope/payload")?;
    let payload_type = text(bundle, "/dsseEnvelope/payloadType")?;
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend(payload);
    Ok((message, bytes(bundle, "/dsseEnvelope/signatures/0/sig")?))
}

fn certificates(root: &Value, member: &str) -> Result<Vec<Certificate>> {
    let mut found = Vec::new();
    for authority in list(root, &format!("/{member}")) {
        for certificate in list(authority, "/certChain/certificates") {
            found.push(Certificate::from_der(&bytes(certificate, "/rawBytes")?)?);
        }
    }
    ensure!(!found.is_empty(), "the trusted root has no {member}");
    Ok(found)
}

fn keys_of(certificates: &[Certificate]) -> Vec<PublicKey> {
    certificates.iter().filter_map(|certificate| certificate.public_key().ok()).collect()
}

fn log_keys(root: &Value, member: &str, log_id: Option<&[u8]>) -> Vec<PublicKey> {
    let logs = list(root, &format!("/{member}")).iter();
    let logs = logs.filter(|log| log_id.is_none_or(|id| bytes(log, "/logId/keyId").is_ok_and(|found| found == id)));
    logs.filter_map(|log| PublicKey::from_spki_der(&bytes(log, "/publicKey/rawBytes").ok()?).ok()).collect()
}

fn list<'a>(value: &'a Value, place: &str) -> &'a [Value] {
    value.pointer(place).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, place: &str) -> Result<&'a str> {
    value.pointer(place).and_then(Value::as_str).with_context(|| format!("nothing at {place}"))
}

fn bytes(value: &Value, place: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text(value, place)?).with_context(|| format!("no base64 at {place}"))
}
