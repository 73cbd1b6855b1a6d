// SPDX-License-Identifier: Apache-2.0
//! Rekor v2 over gRPC, asked by the client of tonic: entries, refusals as over HTTP, reads, health, reflection, rotation.
//!
//! The messages are written a second time here, from the public schemas, so that a wrong number in the server is seen.

use std::time::{Duration, Instant};

use axum::http::uri::PathAndQuery;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use touchmark_server::{Demand, LogKind, LogOptions, log_freeze, log_rotate};
use touchmark_sigstore::rekor::{HashedRekord, KEY_DETAILS, LogEntry};
use touchmark_sigstore::verify::logged;
use touchmark_sigstore::wire::{EnumName, Nullable, UnixSeconds, rekor as wire};
use touchmark_tlog::tile::decode_entry_bundle;

use crate::rekor::{append, p256_record};
use crate::stack::{Stack, json, text};

pub(crate) const SERVICE: &str = "dev.sigstore.rekor.v2.Rekor";

#[derive(Clone, PartialEq, Message)]
struct CreateEntryRequest {
    #[prost(oneof = "Spec", tags = "1, 2")]
    spec: Option<Spec>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Spec {
    #[prost(message, tag = "1")]
    HashedRekord(HashedRekordRequest),
    /// A DSSE request, of which the server reads nothing.
    #[prost(message, tag = "2")]
    Dsse(BytesInMessage),
}

#[derive(Clone, PartialEq, Message)]
struct HashedRekordRequest {
    #[prost(bytes = "vec", tag = "1")]
    digest: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    signature: Option<Signature>,
}

#[derive(Clone, PartialEq, Message)]
struct Signature {
    #[prost(bytes = "vec", tag = "1")]
    content: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    verifier: Option<Verifier>,
}

#[derive(Clone, PartialEq, Message)]
struct Verifier {
    #[prost(message, optional, tag = "1")]
    public_key: Option<BytesInMessage>,
    #[prost(message, optional, tag = "2")]
    x509_certificate: Option<BytesInMessage>,
    #[prost(int32, tag = "3")]
    key_details: i32,
}

#[derive(Clone, PartialEq, Message)]
struct BytesInMessage {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TransparencyLogEntry {
    #[prost(int64, tag = "1")]
    log_index: i64,
    #[prost(message, required, tag = "2")]
    log_id: BytesInMessage,
    #[prost(message, required, tag = "3")]
    kind_version: KindVersion,
    #[prost(int64, tag = "4")]
    integrated_time: i64,
    #[prost(message, optional, tag = "5")]
    inclusion_promise: Option<BytesInMessage>,
    #[prost(message, required, tag = "6")]
    inclusion_proof: InclusionProof,
    #[prost(bytes = "vec", tag = "7")]
    canonicalized_body: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct KindVersion {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct InclusionProof {
    #[prost(int64, tag = "1")]
    log_index: i64,
    #[prost(bytes = "vec", tag = "2")]
    root_hash: Vec<u8>,
    #[prost(int64, tag = "3")]
    tree_size: i64,
    #[prost(bytes = "vec", repeated, tag = "4")]
    hashes: Vec<Vec<u8>>,
    #[prost(message, required, tag = "5")]
    checkpoint: Text,
}

/// A message of one text: a checkpoint, or a request for an entry bundle.
#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct TileRequest {
    #[prost(uint32, tag = "1")]
    level: u32,
    #[prost(string, tag = "2")]
    index: String,
}

#[derive(Clone, PartialEq, Message)]
struct HttpBody {
    #[prost(string, tag = "1")]
    content_type: String,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

/// The entry as HTTP has it.
fn to_wire(entry: TransparencyLogEntry) -> wire::TransparencyLogEntry {
    let proof = entry.inclusion_proof;
    wire::TransparencyLogEntry {
        log_index: entry.log_index,
        log_id: Some(wire::LogId { key_id: entry.log_id.bytes }),
        kind_version: Some(wire::KindVersion { kind: entry.kind_version.kind, version: entry.kind_version.version }),
        integrated_time: UnixSeconds(entry.integrated_time),
        inclusion_promise: Nullable(None),
        inclusion_proof: Nullable(Some(wire::InclusionProof {
            log_index: proof.log_index,
            root_hash: proof.root_hash,
            tree_size: proof.tree_size,
            hashes: proof.hashes,
            checkpoint: Some(wire::Checkpoint { envelope: proof.checkpoint.text }),
        })),
        canonicalized_body: entry.canonicalized_body,
    }
}

/// A request of HTTP as one of gRPC.
fn from_wire(request: &wire::CreateEntryRequest) -> CreateEntryRequest {
    let bytes = |of: &wire::RawBytes| BytesInMessage { bytes: of.raw_bytes.clone() };
    let number = |name: &EnumName| {
        let known = KEY_DETAILS.iter().find(|(_, known)| *known == name.0);
        known.map_or_else(|| name.0.parse().unwrap_or(0), |(number, _)| i32::try_from(*number).unwrap())
    };
    let verifier = |verifier: &wire::Verifier| Verifier {
        public_key: verifier.public_key.as_ref().map(bytes),
        x509_certificate: verifier.x509_certificate.as_ref().map(bytes),
        key_details: number(&verifier.key_details),
    };
    let signature = |signature: &wire::Signature| Signature {
        content: signature.content.clone(),
        verifier: signature.verifier.as_ref().map(verifier),
    };
    let hashed_rekord = |request: &wire::HashedRekordRequest| HashedRekordRequest {
        digest: request.digest.clone(),
        signature: request.signature.as_ref().map(signature),
    };
    CreateEntryRequest { spec: request.hashed_rekord_request_v002.as_ref().map(hashed_rekord).map(Spec::HashedRekord) }
}

pub(crate) async fn channel(stack: &Stack) -> Channel {
    Endpoint::from_shared(stack.running.url()).unwrap().connect().await.unwrap()
}

/// A client that reaches the server under the name of a log.
async fn channel_of(stack: &Stack, log: &str) -> Channel {
    let endpoint = Endpoint::from_shared(stack.running.url()).unwrap();
    endpoint.origin(format!("http://{log}").parse().unwrap()).connect().await.unwrap()
}

async fn call<Q, A>(
    channel: &Channel,
    method: &str,
    request: impl tonic::IntoRequest<Q>,
) -> Result<tonic::Response<A>, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let path = PathAndQuery::try_from(if method.starts_with('/') {
        method.to_owned()
    } else {
        format!("/{SERVICE}/{method}")
    });
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    client.unary(request.into_request(), path.unwrap(), ProstCodec::default()).await
}

pub(crate) async fn create(
    channel: &Channel,
    record: &HashedRekord,
) -> Result<tonic::Response<TransparencyLogEntry>, Status> {
    call(channel, "CreateEntry", from_wire(&record.to_request())).await
}

async fn refused(channel: &Channel, request: CreateEntryRequest) -> Status {
    call::<_, TransparencyLogEntry>(channel, "CreateEntry", request).await.unwrap_err()
}

fn first_line(note: &str) -> &str {
    note.lines().next().unwrap()
}

#[tokio::test]
async fn an_entry_comes_back_with_a_proof_that_a_verifier_accepts() {
    let stack = Stack::start().await;
    let (root, channel) = (stack.trusted_root(), channel(&stack).await);
    for index in 0..3u8 {
        let record = p256_record(&[index]);
        let entry = create(&channel, &record).await.unwrap().into_inner();
        assert_eq!((entry.log_index, entry.integrated_time, &entry.inclusion_promise), (index.into(), 0, &None));
        assert_eq!(entry.canonicalized_body, record.leaf_bytes());
        logged(&LogEntry::from_wire(to_wire(entry)).unwrap(), &record, &root, &[jiff::Timestamp::now()]).unwrap();
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_same_entry_again_says_where_it_is_or_comes_back_to_who_prefers_that() {
    let stack = Stack::start().await;
    let (root, channel) = (stack.trusted_root(), channel(&stack).await);
    append(&stack, &p256_record(b"first")).await;
    let record = p256_record(b"second");
    assert_eq!(append(&stack, &record).await.status, 201);
    let again = create(&channel, &record).await.unwrap_err();
    let message = "an equivalent entry already exists in the transparency log with index 1";
    assert_eq!((again.code(), again.message()), (Code::AlreadyExists, message));
    assert_eq!(again.metadata().get("x-log-index").unwrap(), "1");

    let mut prefers = tonic::Request::new(from_wire(&record.to_request()));
    prefers.metadata_mut().insert("prefer", "return=representation".parse().unwrap());
    let original = call::<CreateEntryRequest, TransparencyLogEntry>(&channel, "CreateEntry", prefers).await.unwrap();
    assert_eq!(original.metadata().get("x-log-index").unwrap(), "1");
    assert_eq!(original.metadata().get("preference-applied").unwrap(), "return=representation");
    let entry = LogEntry::from_wire(to_wire(original.into_inner())).unwrap();
    logged(&entry, &record, &root, &[jiff::Timestamp::now()]).unwrap();
    stack.stop().await;
}

/// Requests that are refused, each good but for one thing.
fn bad_requests() -> Vec<(&'static str, wire::CreateEntryRequest)> {
    type Change = fn(&mut wire::HashedRekordRequest);
    fn signature(request: &mut wire::HashedRekordRequest) -> &mut wire::Signature {
        request.signature.as_mut().unwrap()
    }
    fn verifier(request: &mut wire::HashedRekordRequest) -> &mut wire::Verifier {
        signature(request).verifier.as_mut().unwrap()
    }
    let changes: [(&str, Change); 19] = [
        ("no signature", |request| request.signature = None),
        ("an empty signature", |request| signature(request).content.clear()),
        ("a signature that is none", |request| signature(request).content = vec![1, 2, 3]),
        ("a signature of something else", |request| *signature(request).content.last_mut().unwrap() ^= 1),
        ("a signature larger than an entry", |request| signature(request).content = vec![7; 1 << 17]),
        ("no verifier", |request| signature(request).verifier = None),
        ("neither key nor certificate", |request| verifier(request).public_key = None),
        ("key and certificate", |request| {
            verifier(request).x509_certificate = verifier(request).public_key.clone();
        }),
        ("a key as certificate", |request| {
            verifier(request).x509_certificate = verifier(request).public_key.take();
        }),
        ("an empty key", |request| verifier(request).public_key.as_mut().unwrap().raw_bytes.clear()),
        ("a key that is none", |request| verifier(request).public_key.as_mut().unwrap().raw_bytes.truncate(20)),
        ("no digest", |request| request.digest.clear()),
        ("a short digest", |request| request.digest.truncate(31)),
        ("another digest", |request| request.digest[0] ^= 1),
        ("the algorithm of another key", |request| {
            verifier(request).key_details = EnumName("PKIX_ECDSA_P384_SHA_384".to_owned());
        }),
        ("an algorithm without digest", |request| {
            verifier(request).key_details = EnumName("PKIX_ED25519".to_owned());
        }),
        ("no algorithm", |request| verifier(request).key_details = EnumName::default()),
        ("an algorithm of tomorrow", |request| verifier(request).key_details = EnumName("4711".to_owned())),
        ("nothing at all", |request| *request = wire::HashedRekordRequest::default()),
    ];
    let good = p256_record(b"x").to_request();
    let changed = changes.into_iter().map(|(what, change)| {
        let mut request = good.clone();
        change(request.hashed_rekord_request_v002.as_mut().unwrap());
        (what, request)
    });
    changed.chain([("no entry", wire::CreateEntryRequest::default())]).collect()
}

#[tokio::test]
async fn a_bad_request_is_refused_in_the_same_words_as_over_http_and_leaves_nothing_behind() {
    let stack = Stack::start().await;
    let channel = channel(&stack).await;
    for (what, request) in bad_requests() {
        let over_http = stack.post("/api/v2/log/entries", "application/json", request.to_json()).await;
        assert_eq!(over_http.status, 400, "{what}: {}", text(&over_http));
        let over_grpc = refused(&channel, from_wire(&request)).await;
        let found = serde_json::json!({
            "code": i32::from(over_grpc.code()), "message": over_grpc.message(), "details": []
        });
        assert_eq!(found, json(&over_http), "{what}");
        assert_eq!(over_grpc.code(), Code::InvalidArgument, "{what}");
    }
    let dsse = CreateEntryRequest { spec: Some(Spec::Dsse(BytesInMessage { bytes: vec![1] })) };
    assert_eq!(refused(&channel, dsse).await.message(), "invalid type, must be hashedrekord");
    let checkpoint = stack.get("/api/v2/checkpoint").await;
    assert!(text(&checkpoint).starts_with(&format!("{}\n0\n", stack.rekor_log())), "{}", text(&checkpoint));
    stack.stop().await;
}

/// A request of so many bytes.
fn of_bytes(bytes: usize) -> CreateEntryRequest {
    let with = |digest: Vec<u8>| CreateEntryRequest {
        spec: Some(Spec::HashedRekord(HashedRekordRequest { digest, signature: None })),
    };
    let around = with(vec![0; bytes]).encoded_len() - bytes;
    let request = with(vec![0; bytes - around]);
    assert_eq!(request.encoded_len(), bytes);
    request
}

#[tokio::test]
async fn a_message_over_four_mebibytes_is_refused_as_over_http_and_the_connection_goes_on() {
    let stack = Stack::start().await;
    let channel = channel(&stack).await;
    for (bytes, expect) in [
        (4 << 20, "invalid hashedrekord request"),
        ((4 << 20) + 1, "http: request body too large"),
        (9 << 20, "http: request body too large"),
    ] {
        let refused = refused(&channel, of_bytes(bytes)).await;
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, expect), "{bytes}");
    }
    create(&channel, &p256_record(b"x")).await.unwrap();
    stack.stop().await;
}

/// What is no message at all: each in frames of our own.
#[tokio::test]
async fn frames_that_hold_no_message_are_refused() {
    let stack = Stack::start().await;
    let create = format!("/{SERVICE}/CreateEntry");
    for (frame, code, message) in [
        (&b""[..], "3", "Missing request message."),
        (b"\0\0\0", "3", "Unexpected EOF decoding stream."),
        (b"\0\0\0\0\x05\x0a", "3", "Unexpected EOF decoding stream."),
        (b"\0\0\0\0\x02\xff\xff", "3", "proto: cannot parse invalid wire-format data"),
        (b"\x01\0\0\0\0", "3", "protocol error: received message with compressed-flag"),
        (b"\0\0\0\0\0", "3", "invalid type, must be hashedrekord"),
    ] {
        let reply = stack.post(&create, "application/grpc", frame).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/grpc")), "{frame:?}");
        assert_eq!(reply.header("grpc-status"), Some(code), "{frame:?}");
        let found = reply.header("grpc-message").unwrap().replace("%20", " ");
        assert!(found.starts_with(message), "{frame:?}: {found}");
    }
    // JSON is for the paths of HTTP.
    let reply = stack.post(&create, "application/json", "{}").await;
    assert_eq!((reply.status, json(&reply)["code"].as_i64()), (415, Some(3)));
    stack.stop().await;
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented_and_not_a_page_that_is_missing() {
    let stack = Stack::start().await;
    let channel = channel(&stack).await;
    let ct_log = channel_of(&stack, &stack.ct_log()).await;
    for (channel, method) in [
        (&channel, "CreateIdentityEntry"),
        (&channel, "/dev.sigstore.rekor.v2.Other/CreateEntry"),
        (&channel, "/grpc.health.v1.Health/Other"),
        (&channel, "/api/v2/checkpoint"),
        (&ct_log, "CreateEntry"),
    ] {
        let status = call::<Text, Text>(channel, method, Text::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{method}: {status}");
    }
    let reply = stack.post(&format!("/{SERVICE}/Other"), "application/grpc", &b"\0\0\0\0\0"[..]).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/grpc")));
    assert_eq!((reply.header("grpc-status"), reply.body.len()), (Some("12"), 0));
    stack.stop().await;
}

#[tokio::test]
async fn checkpoint_tiles_and_entries_are_those_of_http() {
    let stack = Stack::start().await;
    let channel = channel(&stack).await;
    let record = p256_record(b"x");
    create(&channel, &record).await.unwrap();
    let checkpoint = call::<Text, HttpBody>(&channel, "GetCheckpoint", Text::default()).await.unwrap().into_inner();
    assert_eq!(checkpoint.data, stack.get("/api/v2/checkpoint").await.body);
    assert_eq!(checkpoint.content_type, "text/plain; charset=utf-8");
    let tile = |index: &str| TileRequest { level: 0, index: index.to_owned() };
    let hashes = call::<_, HttpBody>(&channel, "GetTile", tile("000.p/1")).await.unwrap().into_inner();
    assert_eq!(hashes.data, touchmark_tlog::leaf_hash(&record.leaf_bytes()).0);
    let bundle = Text { text: "000.p/1".to_owned() };
    let entries = call::<_, HttpBody>(&channel, "GetEntryBundle", bundle).await.unwrap().into_inner();
    assert_eq!(decode_entry_bundle(&entries.data, 1).unwrap(), [record.leaf_bytes()]);
    for missing in ["000", "000.p/2", "001.p/1", "", "../0/000.p/1", "x"] {
        let status = call::<_, HttpBody>(&channel, "GetTile", tile(missing)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "Not Found"), "{missing}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_frozen_log_takes_nothing_and_says_so_as_over_http() {
    let stack = Stack::start().await;
    let channel = channel(&stack).await;
    let record = p256_record(b"before");
    create(&channel, &record).await.unwrap();
    let options = LogOptions { data_dir: stack.data(), passphrase: None };
    log_freeze(options, &stack.rekor_log(), Demand::EvenIfActive).await.unwrap();
    let over_http = append(&stack, &p256_record(b"after")).await;
    assert_eq!(over_http.status, 405);
    // A malformed request, too: nothing of it is looked at.
    for request in [from_wire(&p256_record(b"after").to_request()), CreateEntryRequest::default()] {
        let over_grpc = refused(&channel, request).await;
        assert_eq!(
            (over_grpc.code(), over_grpc.message()),
            (Code::Unimplemented, json(&over_http)["message"].as_str().unwrap())
        );
    }
    let checkpoint = call::<Text, HttpBody>(&channel, "GetCheckpoint", Text::default()).await.unwrap().into_inner();
    assert!(String::from_utf8(checkpoint.data).unwrap().contains("Log frozen"));
    stack.stop().await;
}

#[tokio::test]
async fn calls_follow_a_rotation_and_the_old_log_is_reached_by_its_name() {
    let stack = Stack::start().await;
    let (channel, old) = (channel(&stack).await, stack.rekor_log());
    let by_name = channel_of(&stack, &old).await;
    let origin = |entry: Result<tonic::Response<TransparencyLogEntry>, Status>| {
        first_line(&entry.unwrap().into_inner().inclusion_proof.checkpoint.text).to_owned()
    };
    assert_eq!(origin(create(&channel, &p256_record(b"1")).await), old);
    assert_eq!(origin(create(&by_name, &p256_record(b"2")).await), old);
    let options = LogOptions { data_dir: stack.data(), passphrase: None };
    let rotated = log_rotate(options, LogKind::Rekor, jiff::SignedDuration::from_hours(1)).await.unwrap();
    assert_ne!(rotated.active, old);
    assert_eq!(origin(create(&channel, &p256_record(b"3")).await), rotated.active);
    assert_eq!(origin(create(&by_name, &p256_record(b"4")).await), old);
    let new_by_name = channel_of(&stack, &rotated.active).await;
    assert_eq!(origin(create(&new_by_name, &p256_record(b"5")).await), rotated.active);
    stack.stop().await;
}

pub(crate) async fn health(channel: &Channel, service: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(channel.clone()).check(request).await?.into_inner().status())
}

/// The health of the service, each time that it changes.
pub(crate) async fn watch(channel: &Channel) -> tonic::Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn health_answers_for_the_server_and_the_service_and_streams_end_with_the_server() {
    let stack = Stack::start().await;
    let channel = channel(&stack).await;
    for service in ["", SERVICE] {
        assert_eq!(health(&channel, service).await.unwrap(), ServingStatus::Serving);
    }
    let status = health(&channel, "dev.sigstore.rekor.v2.Other").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);

    let other = HealthCheckRequest { service: "other".to_owned() };
    let mut unknown = HealthClient::new(channel.clone()).watch(other).await.unwrap().into_inner();
    assert_eq!(unknown.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    let mut watched = watch(&channel).await;
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    // Nor does a conversation that nobody ends.
    let silent = futures_util::stream::pending::<ServerReflectionRequest>();
    let mut answers = ServerReflectionClient::new(channel).server_reflection_info(silent).await.unwrap().into_inner();
    let begun = Instant::now();
    stack.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(watched.message().await.unwrap_err().code(), Code::Unavailable);
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test]
async fn reflection_lists_the_services_and_describes_them_with_all_that_they_need() {
    let stack = Stack::start().await;
    let channel = channel(&stack).await;
    let ask = async |question: MessageRequest| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let requests = futures_util::stream::once(async move { request });
        let mut answers =
            ServerReflectionClient::new(channel.clone()).server_reflection_info(requests).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(services) = ask(MessageRequest::ListServices(String::new())).await else {
        panic!("another answer");
    };
    let mut names: Vec<String> = services.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let fulcio = "dev.sigstore.fulcio.v2.CA";
    assert_eq!(names, [fulcio, SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]);

    // As tools do: the file of the service, then what it imports, until nothing is missing.
    let mut missing = [SERVICE, fulcio].map(|name| MessageRequest::FileContainingSymbol(name.to_owned())).to_vec();
    let mut found = Vec::new();
    while let Some(question) = missing.pop() {
        let MessageResponse::FileDescriptorResponse(answer) = ask(question).await else { panic!("no file") };
        for bytes in answer.file_descriptor_proto {
            let file = prost_types::FileDescriptorProto::decode(bytes.as_slice()).unwrap();
            missing.extend(file.dependency.iter().cloned().map(MessageRequest::FileByFilename));
            found.extend(file.message_type.iter().map(|message| format!("{}.{}", file.package(), message.name())));
        }
    }
    for name in [
        "dev.sigstore.rekor.v2.Verifier",
        "dev.sigstore.rekor.v1.InclusionProof",
        "dev.sigstore.common.v1.LogId",
        "dev.sigstore.fulcio.v2.OIDCIssuer",
    ] {
        assert!(found.iter().any(|found| found == name), "{name}: {found:?}");
    }
    stack.stop().await;
}
