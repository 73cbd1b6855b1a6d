// SPDX-License-Identifier: Apache-2.0
//! Peers that put off what they asked for, against a listener of ours.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::ServiceExt;

use super::*;
use crate::http::grpc::unary;
use crate::http::layers::{Admission, CrossOrigin, admitting};
use crate::http::listener::{Patience, Stop, Transport, bind, serve_patiently};
use crate::http::{Answers, bytes_response};

const LARGE: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_millis(300);
/// Before the message of a call and its length, in the frame and in the message.
const CALL_BYTES: usize = 9;

async fn call(request: Request) -> Result<Response, ApiError> {
    unary(request, async |_: Result<Vec<u8>, grpc::Malformed>| Ok((vec![7u8; LARGE], HeaderMap::new()))).await
}

fn router() -> (impl Answers, ReplyBudget) {
    let admission = Admission::new();
    let budget = admission.replies.clone();
    let reply = |bytes: usize| get(move || async move { bytes_response(200, "text/plain", vec![7u8; bytes]) });
    let router = Router::new()
        .route("/large", reply(LARGE))
        .route("/medium", reply(LARGE_BYTES))
        .route("/small", reply(REPLY_BYTES_UNCOUNTED_MAX))
        .route("/call", post(call));
    (admitting(router, CrossOrigin::Any, admission), budget)
}

/// A listener that waits a short time; it stops with what comes last.
async fn started() -> (SocketAddr, ReplyBudget, watch::Sender<bool>) {
    let (listener, address) = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (switch, stop) = Stop::pair();
    let (router, budget) = router();
    let patience = Patience { replies: PATIENCE, ..Patience::USUAL };
    tokio::spawn(serve_patiently(listener, Transport::Plain, router, stop, patience));
    (address, budget, switch)
}

async fn connect(address: SocketAddr) -> TcpStream {
    tokio::net::TcpSocket::new_v4().unwrap().connect(address).await.unwrap()
}

fn large() -> axum::http::Request<()> {
    Request::get("http://localhost/large").body(()).unwrap()
}

fn large_call() -> axum::http::Request<()> {
    Request::post("http://localhost/call").header(CONTENT_TYPE, "application/grpc").body(()).unwrap()
}

async fn holds(budget: &ReplyBudget, bytes: usize) {
    for _ in 0..500 {
        if budget.held() == bytes {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("expected {bytes} bytes held, found {}", budget.held());
}

#[tokio::test]
async fn a_peer_that_opens_no_window_is_cut_off_and_its_replies_are_gone() {
    let (address, budget, _switch) = started().await;
    let mut builder = h2::client::Builder::new();
    let handshake = builder.initial_window_size(0).handshake::<_, Bytes>(connect(address).await);
    let (mut client, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let mut replies = Vec::new();
    for _ in 0..4 {
        client = client.ready().await.unwrap();
        replies.push(client.send_request(large(), true).unwrap().0);
        let (reply, mut body) = client.send_request(large_call(), false).unwrap();
        body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
        replies.push(reply);
    }
    let mut bodies = Vec::new();
    for reply in replies {
        let reply = reply.await.unwrap();
        assert_eq!(reply.status(), 200);
        bodies.push(reply.into_body());
    }
    holds(&budget, 4 * LARGE + 4 * (LARGE + CALL_BYTES)).await;
    tokio::time::timeout(Duration::from_secs(10), connection).await.expect("the listener closes it").unwrap().ok();
    holds(&budget, 0).await;
    for mut body in bodies {
        assert!(body.data().await.is_none_or(|data| data.is_err()), "nothing was taken");
    }
}

#[tokio::test]
async fn a_peer_that_takes_some_now_and_then_gets_all() {
    let (address, budget, _switch) = started().await;
    let mut builder = h2::client::Builder::new();
    let handshake = builder.initial_window_size(16 << 10).handshake::<_, Bytes>(connect(address).await);
    let (mut client, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let started = std::time::Instant::now();
    for request in [large(), large_call()] {
        client = client.ready().await.unwrap();
        let is_call = request.method() == "POST";
        let (reply, mut sent) = client.send_request(request, !is_call).unwrap();
        if is_call {
            sent.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
        }
        let reply = reply.await.unwrap();
        assert_eq!(reply.headers().contains_key("content-length"), !is_call);
        let mut body = reply.into_body();
        let mut read = 0;
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            // The end may be on its way, with what the system keeps of a connection.
            assert!(read > LARGE / 2 || budget.held() >= LARGE, "held while it is taken");
            read += data.len();
            tokio::time::sleep(Duration::from_millis(15)).await;
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        assert_eq!(read, if is_call { LARGE + CALL_BYTES } else { LARGE });
        let trailers = body.trailers().await.unwrap();
        assert_eq!(trailers.map(|trailers| trailers["grpc-status"] == "0"), is_call.then_some(true));
        holds(&budget, 0).await;
    }
    assert!(started.elapsed() > 3 * PATIENCE, "long enough to be cut off");
}

#[tokio::test]
async fn a_reply_over_http1_is_held_until_it_is_taken_and_no_longer() {
    let (address, budget, _switch) = started().await;
    let mut stream = connect(address).await;
    for _ in 0..2 {
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.read_exact(&mut vec![0u8; LARGE]).await.unwrap();
        holds(&budget, 0).await;
        // Who has taken all may be idle.
        tokio::time::sleep(3 * PATIENCE).await;
    }
}

#[tokio::test]
async fn large_replies_beyond_the_budget_are_told_to_come_back_and_the_others_pass() {
    let (router, budget) = router();
    budget.try_take(LARGE_BYTES_IN_FLIGHT_MAX - LARGE + 1).unwrap();
    let send = async |request: axum::http::request::Builder| {
        let body = Body::from(vec![0u8; 5]);
        router.clone().oneshot(request.body(body).unwrap()).await.unwrap()
    };
    let refused = send(Request::get("/large")).await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    let expect = r#"{"code":14,"details":[],"message":"too many large replies at once; retry"}"#;
    assert_eq!(String::from_utf8_lossy(&body), expect);
    let refused = send(Request::post("/call").header(CONTENT_TYPE, "application/grpc")).await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["grpc-status"]), (200, &"14".parse().unwrap()));

    let medium = send(Request::get("/medium")).await;
    assert_eq!(medium.status(), 200);
    assert_eq!(budget.held(), LARGE_BYTES_IN_FLIGHT_MAX - LARGE + 1 + LARGE_BYTES);
    drop(medium);
    budget.0.store(HELD_BYTES_MAX - LARGE_BYTES + 1, Ordering::Release);
    assert_eq!(send(Request::get("/medium")).await.status(), 503);
    assert_eq!(send(Request::get("/small")).await.status(), 200);
    assert_eq!(budget.held(), HELD_BYTES_MAX - LARGE_BYTES + 1);

    budget.0.store(0, Ordering::Release);
    let reply = send(Request::get("/large")).await;
    assert_eq!((reply.status().as_u16(), budget.held()), (200, LARGE));
    // Not the body but the bytes count, wherever they are kept.
    let bytes = reply.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(budget.held(), LARGE);
    drop(bytes);
    assert_eq!(budget.held(), 0);
}
