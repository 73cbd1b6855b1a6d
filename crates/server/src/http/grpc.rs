// SPDX-License-Identifier: Apache-2.0
//! gRPC beside HTTP on the same port (grpc/grpc, `PROTOCOL-HTTP2.md`).
//!
//! In scope: the status codes, unary calls, the form of a refusal; what a listener says of its services ([`about`]) and of their messages ([`describe`]). Out of scope: what a call means, which each service says; compression of messages, which
//! no client uses unless the server offers it; the deadline of a caller (`grpc-timeout`), who hangs up by himself, while [`super::layers`] has ours.
//! Invariants: a call passes the same layers, budget and limits as a request of HTTP; whatever refuses it, a layer or a service, says so as an
//! [`ApiError`], and the outermost of them puts that into the words of gRPC ([`refusal_as_status`]).

pub(crate) mod about;
pub(crate) mod describe;

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::Full;
use prost::{DecodeError, Message};
use prost_types::Any;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic::metadata::MetadataMap;
use tonic::server::Grpc;
use tonic::{Code, Extensions, Status};
use tonic_prost::{ProstCodec, ProstEncoder};
use touchmark_sigstore::wire::REQUEST_BYTES_MAX;

use super::replies::Replies;
use super::{ApiError, Reason, read_body};

// Codes in use, as the gateway writes them.
pub(crate) const UNKNOWN: u32 = 2;
pub(crate) const INVALID_ARGUMENT: u32 = 3;
pub(crate) const DEADLINE_EXCEEDED: u32 = 4;
pub(crate) const NOT_FOUND: u32 = 5;
pub(crate) const ALREADY_EXISTS: u32 = 6;
pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
pub(crate) const UNIMPLEMENTED: u32 = 12;
pub(crate) const INTERNAL: u32 = 13;
pub(crate) const UNAVAILABLE: u32 = 14;

const MEDIA_TYPE: &str = "application/grpc";
/// Before each message: a flag, which says whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Whether a request is a call, in the form that is spoken here: messages are protocol buffers, frames those of HTTP/2.
///
/// A GET is none, whatever it says of a body that it has not: the reply to a call is a 200, which shared caches keep of a GET.
pub(super) fn is_call(method: &Method, headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let speaks = |form: &str| media_type.eq_ignore_ascii_case(form);
    *method == Method::POST && (speaks(MEDIA_TYPE) || speaks("application/grpc+proto"))
}

/// A layer around methods: what is no call does not get to them.
pub(crate) async fn calls_only(request: Request, next: Next) -> Response {
    if is_call(request.method(), request.headers()) {
        return next.run(request).await;
    }
    let message = "expected a POST with content-type application/grpc or application/grpc+proto";
    ApiError::new(415, INVALID_ARGUMENT, message).into_response()
}

/// The reply to a call: one that was refused gets the status of gRPC, with the headers of the refusal as metadata.
pub(super) fn refusal_as_status(response: Response) -> Response {
    match response.extensions().get::<ApiError>() {
        Some(error) => status(error).into_http(),
        None => response,
    }
}

fn status(error: &ApiError) -> Status {
    let code = Code::from(i32::try_from(error.grpc_code).unwrap_or_default());
    let metadata = MetadataMap::from_headers(error.metadata());
    if error.details.is_empty() {
        return Status::with_metadata(code, &error.message, metadata);
    }
    let details = RpcStatus {
        code: i32::from(code),
        message: error.message.clone(),
        details: error.details.iter().copied().map(Reason::to_any).collect(),
    };
    Status::with_details_and_metadata(code, &error.message, details.encode_to_vec().into(), metadata)
}

/// `google.rpc.Status`, which is what `grpc-status-details-bin` holds.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.rpc.ErrorInfo`, without its metadata (number 3).
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
}

impl Reason {
    fn to_any(self) -> Any {
        let info = ErrorInfo { reason: self.reason.to_owned(), domain: self.domain.to_owned() };
        Any { type_url: Reason::TYPE_URL.to_owned(), value: info.encode_to_vec() }
    }
}

impl ApiError {
    /// Its headers without those that are about a connection, which HTTP/2 has none of.
    fn metadata(&self) -> HeaderMap {
        let headers = self.headers.iter().filter(|(name, _)| *name != CONNECTION.as_str());
        let header = |(name, value): &(&'static str, String)| {
            Some((HeaderName::try_from(*name).ok()?, HeaderValue::try_from(value).ok()?))
        };
        headers.filter_map(header).collect()
    }
}

/// What a caller sent that is no message of the kind that the method takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("proto: cannot parse invalid wire-format data")]
pub(crate) struct Malformed;

impl From<Malformed> for ApiError {
    fn from(error: Malformed) -> Self {
        ApiError::invalid(error.to_string())
    }
}

/// A reply and its metadata.
pub(crate) type Replied<A> = Result<(A, HeaderMap), ApiError>;

/// Answers a call of one message with one message.
///
/// # Errors
/// What `answer` says, or what the call lacks.
pub(crate) async fn unary<Q, A, F>(
    mut request: Request,
    answer: impl FnOnce(Result<Q, Malformed>) -> F,
) -> Result<Response, ApiError>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: Future<Output = Replied<A>>,
{
    let replies = request.extensions_mut().remove::<Replies>();
    let headers = request.headers().clone();
    // Read here and not by tonic, which reserves what a prefix announces: the listener's budget is for these bodies, too.
    let body = read_body(request, REQUEST_BYTES_MAX + PREFIX_BYTES).await?;
    let mut call = axum::http::Request::new(Full::new(Bytes::from(body)));
    *call.headers_mut() = headers;
    let mut answer = Some(answer);
    let service = tower::service_fn(|request: tonic::Request<Result<Q, Malformed>>| {
        let answer = answer.take();
        async move {
            let answer = answer.ok_or_else(|| Status::internal("a unary call has one request"))?;
            let (reply, metadata) = answer(request.into_inner()).await.map_err(refused)?;
            Ok(tonic::Response::from_parts(MetadataMap::from_headers(metadata), reply, Extensions::default()))
        }
    });
    let codec = Wire(PhantomData::<(A, Q)>);
    let response = Grpc::new(codec).max_decoding_message_size(REQUEST_BYTES_MAX).unary(service, call).await;
    match response.extensions().get::<Status>() {
        Some(status) => Err(refusal(status)),
        None => whole(response, replies).await,
    }
}

/// A reply that is counted, where the listener says how: tonic makes the bytes when they are asked for.
async fn whole(
    response: axum::http::Response<tonic::body::Body>,
    replies: Option<Replies>,
) -> Result<Response, ApiError> {
    let Some(replies) = replies else { return Ok(response.map(Body::new)) };
    let (parts, body) = response.into_parts();
    Ok(Response::from_parts(parts, replies.count_call(body).await?))
}

/// Through tonic, which knows no other errors than its own.
fn refused(error: ApiError) -> Status {
    let mut status = status(&error);
    status.set_source(Arc::new(error));
    status
}

/// The error of ours, or one of tonic's: then the frames were not those of one message.
fn refusal(status: &Status) -> ApiError {
    let source = std::error::Error::source(status).and_then(|source| source.downcast_ref::<ApiError>());
    match (source, status.code()) {
        (Some(error), _) => error.clone(),
        // A coding of messages that the server did not offer.
        (None, Code::Unimplemented) => ApiError::new(501, UNIMPLEMENTED, status.message()),
        (None, _) => ApiError::invalid(status.message()),
    }
}

/// Messages of prost; one that cannot be read is for the service to refuse.
struct Wire<A, Q>(PhantomData<(A, Q)>);

impl<A: Message + 'static, Q: Message + Default + 'static> Codec for Wire<A, Q> {
    type Encode = A;
    type Decode = Result<Q, Malformed>;
    type Encoder = ProstEncoder<A>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<A, Q>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Wire(PhantomData)
    }
}

impl<A: Message + 'static, Q: Message + Default + 'static> Decoder for Wire<A, Q> {
    type Item = Result<Q, Malformed>;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        Ok(Some(Q::decode(bytes).map_err(|_: DecodeError| Malformed)))
    }
}
