// SPDX-License-Identifier: Apache-2.0
//! What the service says of itself to tools that ask (server reflection): files, messages and methods under the names of the public schemas.
//!
//! In scope: what this log takes and gives. Out of scope: fields that it neither reads nor writes (a DSSE request, the promise of an entry, the extensions of
//! `HttpBody`), which are left out; comments and options.
//! Invariant: the numbers and types are those of [`super::messages`] (tests).

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MethodDescriptorProto, OneofDescriptorProto, ServiceDescriptorProto,
};
use touchmark_sigstore::rekor::KEY_DETAILS;

use Kind::{Bytes, Int64, Message, OneOf, RepeatedBytes, Text, Uint32};

struct File {
    name: &'static str,
    package: &'static str,
    imports: &'static [&'static str],
    messages: &'static [(&'static str, &'static [Field])],
}

/// Name, number, type.
type Field = (&'static str, i32, Kind);

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Bytes,
    RepeatedBytes,
    Int64,
    Uint32,
    Message(&'static str),
    Enum(&'static str),
    /// A message that is one of several.
    OneOf(&'static str, &'static str),
}

const SERVICE_FILE: &str = "rekor/v2/rekor_service.proto";
const COMMON_FILE: &str = "sigstore_common.proto";
const KEY_DETAILS_NAME: &str = "PublicKeyDetails";

/// Each after what it imports.
const FILES: [File; 8] = [
    File { name: "google/protobuf/empty.proto", package: "google.protobuf", imports: &[], messages: &[("Empty", &[])] },
    File {
        name: "google/api/httpbody.proto",
        package: "google.api",
        imports: &[],
        messages: &[("HttpBody", &[("content_type", 1, Text), ("data", 2, Bytes)])],
    },
    File {
        name: COMMON_FILE,
        package: "dev.sigstore.common.v1",
        imports: &[],
        messages: &[("LogId", &[("key_id", 1, Bytes)]), ("X509Certificate", &[("raw_bytes", 1, Bytes)])],
    },
    File {
        name: "sigstore_rekor.proto",
        package: "dev.sigstore.rekor.v1",
        imports: &[COMMON_FILE],
        messages: &[
            ("KindVersion", &[("kind", 1, Text), ("version", 2, Text)]),
            ("Checkpoint", &[("envelope", 1, Text)]),
            (
                "InclusionProof",
                &[
                    ("log_index", 1, Int64),
                    ("root_hash", 2, Bytes),
                    ("tree_size", 3, Int64),
                    ("hashes", 4, RepeatedBytes),
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
    },
    File {
        name: "rekor/v2/verifier.proto",
        package: "dev.sigstore.rekor.v2",
        imports: &[COMMON_FILE],
        messages: &[
            ("PublicKey", &[("raw_bytes", 1, Bytes)]),
            (
                "Verifier",
                &[
                    ("public_key", 1, OneOf("verifier", ".dev.sigstore.rekor.v2.PublicKey")),
                    ("x509_certificate", 2, OneOf("verifier", ".dev.sigstore.common.v1.X509Certificate")),
                    ("key_details", 3, Kind::Enum(".dev.sigstore.common.v1.PublicKeyDetails")),
                ],
            ),
            ("Signature", &[("content", 1, Bytes), ("verifier", 2, Message(".dev.sigstore.rekor.v2.Verifier"))]),
        ],
    },
    File {
        name: "rekor/v2/hashedrekord.proto",
        package: "dev.sigstore.rekor.v2",
        imports: &["rekor/v2/verifier.proto"],
        messages: &[(
            "HashedRekordRequestV002",
            &[("digest", 1, Bytes), ("signature", 2, Message(".dev.sigstore.rekor.v2.Signature"))],
        )],
    },
    File {
        name: "rekor/v2/entry.proto",
        package: "dev.sigstore.rekor.v2",
        imports: &["rekor/v2/hashedrekord.proto"],
        messages: &[(
            "CreateEntryRequest",
            &[("hashed_rekord_request_v002", 1, OneOf("spec", ".dev.sigstore.rekor.v2.HashedRekordRequestV002"))],
        )],
    },
    File {
        name: SERVICE_FILE,
        package: "dev.sigstore.rekor.v2",
        imports: &[
            "google/api/httpbody.proto",
            "google/protobuf/empty.proto",
            "sigstore_rekor.proto",
            "rekor/v2/entry.proto",
        ],
        messages: &[("TileRequest", &[("L", 1, Uint32), ("N", 2, Text)]), ("EntryBundleRequest", &[("N", 1, Text)])],
    },
];

/// Name, request, reply.
const METHODS: [(&str, &str, &str); 4] = [
    ("CreateEntry", ".dev.sigstore.rekor.v2.CreateEntryRequest", ".dev.sigstore.rekor.v1.TransparencyLogEntry"),
    ("GetTile", ".dev.sigstore.rekor.v2.TileRequest", ".google.api.HttpBody"),
    ("GetEntryBundle", ".dev.sigstore.rekor.v2.EntryBundleRequest", ".google.api.HttpBody"),
    ("GetCheckpoint", ".google.protobuf.Empty", ".google.api.HttpBody"),
];

/// A reflection service that knows this service and health, and adds itself.
pub(super) fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_file_descriptor_set(FileDescriptorSet { file: FILES.iter().map(file).collect() })
}

fn file(file: &File) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(file.name.to_owned()),
        package: Some(file.package.to_owned()),
        dependency: file.imports.iter().map(|name| (*name).to_owned()).collect(),
        message_type: file.messages.iter().map(|(name, fields)| message(name, fields)).collect(),
        enum_type: if file.name == COMMON_FILE { vec![key_details()] } else { Vec::new() },
        service: if file.name == SERVICE_FILE { vec![service()] } else { Vec::new() },
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

fn message(name: &str, fields: &[Field]) -> DescriptorProto {
    let one_of = fields.iter().find_map(|(_, _, kind)| if let OneOf(name, _) = kind { Some(*name) } else { None });
    DescriptorProto {
        name: Some(name.to_owned()),
        field: fields.iter().map(field).collect(),
        oneof_decl: one_of
            .map(|name| OneofDescriptorProto { name: Some(name.to_owned()), options: None })
            .into_iter()
            .collect(),
        ..DescriptorProto::default()
    }
}

fn field(&(name, number, kind): &Field) -> FieldDescriptorProto {
    let (of, type_name) = match kind {
        Text => (Type::String, None),
        Bytes | RepeatedBytes => (Type::Bytes, None),
        Int64 => (Type::Int64, None),
        Uint32 => (Type::Uint32, None),
        Message(name) | OneOf(_, name) => (Type::Message, Some(name)),
        Kind::Enum(name) => (Type::Enum, Some(name)),
    };
    let label = if matches!(kind, RepeatedBytes) { Label::Repeated } else { Label::Optional };
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        json_name: Some(json_name(name)),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(of.into()),
        type_name: type_name.map(str::to_owned),
        // A message here has one set of alternatives at most.
        oneof_index: matches!(kind, OneOf(..)).then_some(0),
        ..FieldDescriptorProto::default()
    }
}

/// The name in JSON as compilers of schemas make it: a letter after `_` is a capital.
fn json_name(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        format!("{name}{}{rest}", initial.to_uppercase())
    })
}

fn key_details() -> EnumDescriptorProto {
    let value = |(number, name): &(u32, &str)| EnumValueDescriptorProto {
        name: Some((*name).to_owned()),
        number: i32::try_from(*number).ok(),
        options: None,
    };
    EnumDescriptorProto {
        name: Some(KEY_DETAILS_NAME.to_owned()),
        value: KEY_DETAILS.iter().map(value).collect(),
        ..EnumDescriptorProto::default()
    }
}

fn service() -> ServiceDescriptorProto {
    let method = |&(name, request, reply): &(&str, &str, &str)| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(request.to_owned()),
        output_type: Some(reply.to_owned()),
        ..MethodDescriptorProto::default()
    };
    ServiceDescriptorProto {
        name: Some("Rekor".to_owned()),
        method: METHODS.iter().map(method).collect(),
        options: None,
    }
}

#[cfg(test)]
mod tests;
