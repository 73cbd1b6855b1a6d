// SPDX-License-Identifier: Apache-2.0
//! Rekor v1: the bodies of entries as the log stores them, the `canonicalizedBody` of a bundle; and the reply with an entry.
//!
//! In scope: shapes. A body is what the log proves, so it must have one meaning: names in camelCase alone, standard base64
//! alone, unknown members refused. Of a reply unknown members are ignored: what counts in it is signed.
//! Out of scope: what the members mean, which is in the modules `rekor::v1` and `bundle::convert`.

use super::REPLY_BYTES_MAX;
use super::codec::{Context, Dialect, Emit, Field, Json, Kind, Members, WireError, document, message};
use super::json::{self, Node, Value};

/// The largest body of an entry. Real ones are below 64 KiB; one may carry its attestation, which is not much larger.
pub const BODY_BYTES_MAX: usize = 1 << 20;

const DIALECT: Dialect = Dialect::Bundle;

/// A body whose specification is read once its kind is known, so that an entry of another kind is called by its name.
pub(crate) struct Body {
    pub(crate) kind: String,
    pub(crate) api_version: String,
    spec: Spec,
}

impl Body {
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, WireError> {
        let node = json::read(text, BODY_BYTES_MAX)?;
        let mut members = Members::open(node, Context { dialect: DIALECT, member: "document" })?;
        let body = Self {
            kind: members.take("kind", "kind")?,
            api_version: members.take("apiVersion", "api_version")?,
            spec: members.take("spec", "spec")?,
        };
        members.close()?;
        Ok(body)
    }

    /// The specification, or `None` where there is none.
    pub(crate) fn into_spec<T: Field>(self) -> Result<Option<T>, WireError> {
        let context = Context { dialect: DIALECT, member: "spec" };
        self.spec.0.map(|node| T::read(node, context)).transpose()
    }
}

/// A specification that is not read yet; never written.
#[derive(Default)]
struct Spec(Option<Node>);

impl Field for Spec {
    fn read(node: Node, _: Context) -> Result<Self, WireError> {
        Ok(Self(Some(node)))
    }

    fn write(&self, _: Emit) -> Option<Json<'_>> {
        None
    }
}

message! {
    /// A hash by the name of its algorithm, in hexadecimal.
    pub struct Hash {
        algorithm: String = "algorithm",
        value: String = "value",
    }
}

message! {
    /// `hashedrekord` 0.0.1.
    pub struct HashedRekord {
        data: Option<HashedData> = "data",
        signature: Option<HashedSignature> = "signature",
    }
}

message! {
    pub struct HashedData {
        hash: Option<Hash> = "hash",
    }
}

message! {
    pub struct HashedSignature {
        content: Vec<u8> = "content",
        public_key: Option<PublicKey> = "publicKey",
    }
}

message! {
    /// PEM.
    pub struct PublicKey {
        content: Vec<u8> = "content",
    }
}

message! {
    /// `dsse` 0.0.1.
    pub struct Dsse {
        envelope_hash: Option<Hash> = "envelopeHash",
        payload_hash: Option<Hash> = "payloadHash",
        signatures: Vec<DsseSignature> = "signatures",
    }
}

message! {
    pub struct DsseSignature {
        signature: Vec<u8> = "signature",
        /// PEM.
        verifier: Vec<u8> = "verifier",
    }
}

message! {
    /// `intoto` 0.0.2.
    pub struct Intoto {
        content: Option<IntotoContent> = "content",
    }
}

message! {
    pub struct IntotoContent {
        envelope: Option<IntotoEnvelope> = "envelope",
        /// Of the envelope as it was sent, which nobody keeps.
        hash: Option<Hash> = "hash",
        payload_hash: Option<Hash> = "payloadHash",
    }
}

message! {
    pub struct IntotoEnvelope {
        /// The base64 text of the payload, so that the JSON holds base64 of base64. The public log leaves it out.
        payload: Vec<u8> = "payload",
        payload_type: String = "payloadType",
        signatures: Vec<IntotoSignature> = "signatures",
    }
}

message! {
    pub struct IntotoSignature {
        keyid: String = "keyid",
        /// PEM.
        public_key: Vec<u8> = "publicKey",
        /// The base64 text of the signature, so that the JSON holds base64 of base64.
        sig: Vec<u8> = "sig",
    }
}

/// `GET /api/v1/log/entries/{uuid}`: entries by their identifiers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogEntries(pub Vec<LogEntry>);
document!(LogEntries, Dialect::Plain, REPLY_BYTES_MAX, Emit::All);

impl Field for LogEntries {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        let Value::Object(members) = node.value else { return Err(context.invalid(node.at, Kind::Message)) };
        members.into_iter().map(|member| LogEntry::read(member.node, context)).collect::<Result<_, _>>().map(Self)
    }

    fn write(&self, emit: Emit) -> Option<Json<'_>> {
        self.0.write(emit)
    }
}

message! {
    pub struct LogEntry {
        body: Vec<u8> = "body",
        integrated_time: i64 = "integratedTime",
        /// Hexadecimal.
        log_id: String = "logID",
        log_index: i64 = "logIndex",
        verification: Option<Verification> = "verification",
    }
}

message! {
    pub struct Verification {
        inclusion_proof: Option<InclusionProof> = "inclusionProof",
        signed_entry_timestamp: Vec<u8> = "signedEntryTimestamp",
    }
}

message! {
    pub struct InclusionProof {
        checkpoint: String = "checkpoint",
        /// Hexadecimal, like the root.
        hashes: Vec<String> = "hashes",
        log_index: i64 = "logIndex",
        root_hash: String = "rootHash",
        tree_size: i64 = "treeSize",
    }
}
