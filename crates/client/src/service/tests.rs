// SPDX-License-Identifier: Apache-2.0
//! Retries and errors, against a real listener on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use touchmark_outbound::Reach;

use super::*;

/// Answers with `statuses` in turn (the last for ever) and counts the calls.
async fn server(statuses: &'static [u16]) -> (String, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = calls.clone();
    let router = axum::Router::new().fallback(move || {
        let call = counter.fetch_add(1, Ordering::SeqCst) as usize;
        let status = statuses[call.min(statuses.len() - 1)];
        async move {
            (StatusCode::from_u16(status).unwrap(), [("retry-after", "0")], r#"{"code":3,"message":"no\u0007pe"}"#)
                .into_response()
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (base, calls)
}

async fn post(base: &str) -> Result<Response, ServiceError> {
    let outbound = Outbound::new("touchmark-test", Reach::Private, None);
    Endpoint::new(ServiceKind::CertificateAuthority, base, "api/v2/signingCert")
        .unwrap()
        .post(&outbound, &[], b"{}", &Limits::SERVICE)
        .await
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let (base, calls) = server(&[503, 429, 200]).await;
    assert_eq!(post(&base).await.unwrap().status, 200);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn retries_end() {
    let (base, calls) = server(&[500]).await;
    assert!(matches!(post(&base).await, Err(ServiceError::Refused { status: 500, .. })));
    assert_eq!(calls.load(Ordering::SeqCst), ATTEMPTS_MAX);
}

#[tokio::test]
async fn a_refusal_is_final_and_its_text_is_printable() {
    for status in [&[400_u16][..], &[401], &[404], &[501]] {
        let (base, calls) = server(Box::leak(status.to_vec().into_boxed_slice())).await;
        let Err(ServiceError::Refused { message, .. }) = post(&base).await else {
            panic!("{status:?} was not a refusal");
        };
        assert_eq!(message.to_string(), "no pe");
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn a_base_url_joins_with_and_without_slash() {
    for base in ["http://127.0.0.1:7700", "http://127.0.0.1:7700/"] {
        let endpoint = Endpoint::new(ServiceKind::TransparencyLog, base, "api/v2/log/entries").unwrap();
        assert_eq!(endpoint.url().as_str(), "http://127.0.0.1:7700/api/v2/log/entries");
    }
    let whole = "https://tsa.example/api/v1/timestamp";
    assert_eq!(Endpoint::new(ServiceKind::TimestampAuthority, whole, "").unwrap().url().as_str(), whole);
    for bad in ["", "rekor.example", "file:///etc/passwd", "http://"] {
        assert!(Endpoint::new(ServiceKind::TransparencyLog, bad, "x").is_err(), "{bad}");
    }
}

#[test]
fn server_text_is_cut_and_without_control_characters() {
    let long = ServerText::from_body("é\u{1b}[31m".repeat(500).as_bytes()).to_string();
    assert!(long.chars().count() <= SERVER_TEXT_CHARS_MAX);
    assert!(!long.contains('\u{1b}'));
    assert_eq!(ServerText::from_body(b"").to_string(), "(no text)");
}

#[test]
fn a_reason_is_shown_beside_the_text_and_only_as_what_it_may_be() {
    let body =
        |reason: &str| format!(r#"{{"code":3,"message":"no","details":[{{"@type":"x"}},{{"reason":{reason}}}]}}"#);
    let text = ServerText::from_body(body("\"SUBJECT_NOT_ALLOWED\"").as_bytes());
    assert_eq!((text.reason(), text.to_string().as_str()), (Some("SUBJECT_NOT_ALLOWED"), "no (SUBJECT_NOT_ALLOWED)"));
    let long = format!("\"{}\"", "A".repeat(REASON_BYTES_MAX + 1));
    for reason in ["\"\"", "1", "\"a word\"", "\"\\u001b[31m\"", long.as_str()] {
        let text = ServerText::from_body(body(reason).as_bytes());
        assert_eq!((text.reason(), text.to_string().as_str()), (None, "no"), "{reason}");
    }
}

#[test]
fn a_token_is_sent_over_tls_or_within_this_machine() {
    let endpoint = |base: &str| Endpoint::new(ServiceKind::CertificateAuthority, base, "api/v2/signingCert");
    for base in ["https://fulcio.example", "http://127.0.0.1:7700", "http://localhost:1", "http://[::1]:7700"] {
        assert!(endpoint(base).is_ok(), "{base}");
    }
    for base in ["http://fulcio.example", "http://10.0.0.1", "http://localhost.example", "http://127.0.0.1.example"] {
        assert!(matches!(endpoint(base), Err(ServiceError::Insecure { .. })), "{base}");
    }
    // A timestamp request and a log entry hold nothing secret.
    assert!(Endpoint::new(ServiceKind::TimestampAuthority, "http://tsa.example", "").is_ok());
}

#[test]
fn an_echoed_token_is_not_shown() {
    let token = format!("eyJ{}.eyJ{}.{}", "a".repeat(40), "b".repeat(40), "c".repeat(40));
    for text in [format!("bad token {token} here"), format!("{{\"token\":\"{token}\"}}"), token] {
        assert!(!ServerText::from_text(&text).to_string().contains("aaaa"), "{text}");
    }
    assert_eq!(ServerText::from_text("see https://a.example. Or not.").to_string(), "see https://a.example. Or not.");
}
