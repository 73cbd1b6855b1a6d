// SPDX-License-Identifier: Apache-2.0
//! The description against the messages.

use std::collections::BTreeMap;

use prost::Message as _;

use super::super::messages::{
    Checkpoint, CreateEntryRequest, Empty, EntryBundleRequest, HashedRekordRequest, HttpBody, InclusionProof,
    KindVersion, RawBytes, Signature, TileRequest, TransparencyLogEntry, Verifier,
};
use super::*;
use crate::http::grpc::describe::tests::{BYTES, ENUM, INT64, TEXT, UINT32, check_described};

fn raw_bytes() -> RawBytes {
    RawBytes { raw_bytes: BYTES.to_vec() }
}

fn request() -> CreateEntryRequest {
    let verifier = Verifier { public_key: Some(raw_bytes()), x509_certificate: Some(raw_bytes()), key_details: ENUM };
    let signature = Signature { content: BYTES.to_vec(), verifier: Some(verifier) };
    CreateEntryRequest {
        hashed_rekord_request_v002: Some(HashedRekordRequest { digest: BYTES.to_vec(), signature: Some(signature) }),
        dsse_request_v002: None,
    }
}

fn entry() -> TransparencyLogEntry {
    TransparencyLogEntry {
        log_index: INT64,
        log_id: Some(raw_bytes()),
        kind_version: Some(KindVersion { kind: TEXT.to_owned(), version: TEXT.to_owned() }),
        integrated_time: INT64,
        inclusion_proof: Some(InclusionProof {
            log_index: INT64,
            root_hash: BYTES.to_vec(),
            tree_size: INT64,
            hashes: vec![BYTES.to_vec(), BYTES.to_vec()],
            checkpoint: Some(Checkpoint { envelope: TEXT.to_owned() }),
        }),
        canonicalized_body: BYTES.to_vec(),
    }
}

/// Every message of a method, with all its fields.
fn messages() -> BTreeMap<&'static str, Vec<u8>> {
    BTreeMap::from([
        (".dev.sigstore.rekor.v2.CreateEntryRequest", request().encode_to_vec()),
        (".dev.sigstore.rekor.v1.TransparencyLogEntry", entry().encode_to_vec()),
        (".dev.sigstore.rekor.v2.TileRequest", TileRequest { level: UINT32, index: TEXT.to_owned() }.encode_to_vec()),
        (".dev.sigstore.rekor.v2.EntryBundleRequest", EntryBundleRequest { index: TEXT.to_owned() }.encode_to_vec()),
        (".google.api.HttpBody", HttpBody { content_type: TEXT.to_owned(), data: BYTES.to_vec() }.encode_to_vec()),
        (".google.protobuf.Empty", Empty {}.encode_to_vec()),
    ])
}

#[test]
fn the_description_is_that_of_the_messages() {
    check_described(&FILES, &messages());
}
