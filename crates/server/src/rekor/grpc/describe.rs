// SPDX-License-Identifier: Apache-2.0
//! What the service says of itself to tools that ask (server reflection): files, messages and methods under the names of the public schemas.
//!
//! In scope: what this log takes and gives. Out of scope: fields that it neither reads nor writes (a DSSE request, the promise of an entry, the extensions of
//! `HttpBody`), which are left out; comments and options.
//! Invariant: the numbers and types are those of [`super::messages`] (tests).

use touchmark_sigstore::rekor::KEY_DETAILS;

use crate::http::grpc::describe::File;
use crate::http::grpc::describe::Kind::{Bytes, Enum, Int64, Message, OneOf, Repeated, Text, Uint32};

/// A file of messages alone.
const MESSAGES: File = File { name: "", package: "", imports: &[], messages: &[], enums: &[], services: &[] };

/// Each after what it imports.
pub(super) const FILES: [File; 8] = [
    File { name: "google/protobuf/empty.proto", package: "google.protobuf", messages: &[("Empty", &[])], ..MESSAGES },
    File {
        name: "google/api/httpbody.proto",
        package: "google.api",
        messages: &[("HttpBody", &[("content_type", 1, Text), ("data", 2, Bytes)])],
        ..MESSAGES
    },
    File {
        name: "sigstore_common.proto",
        package: "dev.sigstore.common.v1",
        messages: &[("LogId", &[("key_id", 1, Bytes)]), ("X509Certificate", &[("raw_bytes", 1, Bytes)])],
        enums: &[("PublicKeyDetails", &KEY_DETAILS)],
        ..MESSAGES
    },
    File {
        name: "sigstore_rekor.proto",
        package: "dev.sigstore.rekor.v1",
        imports: &["sigstore_common.proto"],
        messages: &[
            ("KindVersion", &[("kind", 1, Text), ("version", 2, Text)]),
            ("Checkpoint", &[("envelope", 1, Text)]),
            (
                "InclusionProof",
                &[
                    ("log_index", 1, Int64),
                    ("root_hash", 2, Bytes),
                    ("tree_size", 3, Int64),
                    ("hashes", 4, Repeated(&Bytes)),
                    ("checkpoint", 5, Message(".dev.sigstore.rekor.v1.Checkpoint")),
                ],
            ),
            (
                "TransparencyLogEntry",
                &[
                    ("log_index", 1, Int64),
                    ("log_id", 2, Message(".dev.sigstore.common.v1.LogId")),
                    ("kind_version", 3, Message(".dev.sigstore.rekor.v1.KindVersion")),
                    ("integrated_time", 4, Int64),
                    ("inclusion_proof", 6, Message(".dev.sigstore.rekor.v1.InclusionProof")),
                    ("canonicalized_body", 7, Bytes),
                ],
            ),
        ],
        ..MESSAGES
    },
    File {
        name: "rekor/v2/verifier.proto",
        package: "dev.sigstore.rekor.v2",
        imports: &["sigstore_common.proto"],
        messages: &[
            ("PublicKey", &[("raw_bytes", 1, Bytes)]),
            (
                "Verifier",
                &[
                    ("public_key", 1, OneOf("verifier", &Message(".dev.sigstore.rekor.v2.PublicKey"))),
                    ("x509_certificate", 2, OneOf("verifier", &Message(".dev.sigstore.common.v1.X509Certificate"))),
                    ("key_details", 3, Enum(".dev.sigstore.common.v1.PublicKeyDetails")),
                ],
            ),
            ("Signature", &[("content", 1, Bytes), ("verifier", 2, Message(".dev.sigstore.rekor.v2.Verifier"))]),
        ],
        ..MESSAGES
    },
    File {
        name: "rekor/v2/hashedrekord.proto",
        package: "dev.sigstore.rekor.v2",
        imports: &["rekor/v2/verifier.proto"],
        messages: &[(
            "HashedRekordRequestV002",
            &[("digest", 1, Bytes), ("signature", 2, Message(".dev.sigstore.rekor.v2.Signature"))],
        )],
        ..MESSAGES
    },
    File {
        name: "rekor/v2/entry.proto",
        package: "dev.sigstore.rekor.v2",
        imports: &["rekor/v2/hashedrekord.proto"],
        messages: &[(
            "CreateEntryRequest",
            &[(
                "hashed_rekord_request_v002",
                1,
                OneOf("spec", &Message(".dev.sigstore.rekor.v2.HashedRekordRequestV002")),
            )],
        )],
        ..MESSAGES
    },
    File {
        name: "rekor/v2/rekor_service.proto",
        package: "dev.sigstore.rekor.v2",
        imports: &[
            "google/api/httpbody.proto",
            "google/protobuf/empty.proto",
            "sigstore_rekor.proto",
            "rekor/v2/entry.proto",
        ],
        messages: &[("TileRequest", &[("L", 1, Uint32), ("N", 2, Text)]), ("EntryBundleRequest", &[("N", 1, Text)])],
        services: &[(
            "Rekor",
            &[
                (
                    "CreateEntry",
                    ".dev.sigstore.rekor.v2.CreateEntryRequest",
                    ".dev.sigstore.rekor.v1.TransparencyLogEntry",
                ),
                ("GetTile", ".dev.sigstore.rekor.v2.TileRequest", ".google.api.HttpBody"),
                ("GetEntryBundle", ".dev.sigstore.rekor.v2.EntryBundleRequest", ".google.api.HttpBody"),
                ("GetCheckpoint", ".google.protobuf.Empty", ".google.api.HttpBody"),
            ],
        )],
        ..MESSAGES
    },
];

#[cfg(test)]
mod tests;
