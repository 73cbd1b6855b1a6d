// SPDX-License-Identifier: Apache-2.0
//! What every service shares: health, readiness, unknown paths, wrong methods, CORS, logs by name.

use touchmark_outbound::Limits;

use crate::stack::{Stack, json, outbound, text};

#[tokio::test]
async fn health_readiness_and_errors_are_as_documented() {
    let stack = Stack::start().await;
    let health = stack.get("/healthz").await;
    assert_eq!((health.status, text(&health)), (200, r#"{"status":"SERVING"}"#));
    let ready = stack.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", text(&ready));
    let roles = json(&ready)["roles"].clone();
    for role in ["fulcio", "ctlog", "rekor", "tsa", "tuf", "oidc"] {
        assert_eq!(roles[role], "up", "{role}");
    }
    assert_eq!(roles[format!("rekor {}", stack.rekor_log())], "up");

    let unknown = stack.get("/no/such/path").await;
    assert_eq!(
        (unknown.status, json(&unknown)),
        (404, serde_json::json!({"code": 5, "message": "Not Found", "details": []}))
    );
    let wrong = stack.get("/api/v2/log/entries").await;
    let expect = serde_json::json!({"code": 12, "message": "Method Not Allowed", "details": []});
    assert_eq!((wrong.status, json(&wrong)), (501, expect));
    stack.stop().await;
}

#[tokio::test]
async fn a_log_is_reached_by_name_in_path_and_in_host() {
    let stack = Stack::start().await;
    for name in [stack.rekor_log(), stack.ct_log()] {
        let by_path = stack.get(&format!("/log/{name}/checkpoint")).await;
        assert_eq!(by_path.status, 200);
        assert!(text(&by_path).starts_with(&format!("{name}\n0\n")), "{}", text(&by_path));
        let by_host =
            outbound().get_with(&stack.url("/checkpoint"), &[("host", &name)], &Limits::SERVICE).await.unwrap();
        assert_eq!(by_host.body, by_path.body);
    }
    assert_eq!(stack.get("/checkpoint").await.status, 404);
    let active = stack.get("/api/v2/checkpoint").await;
    assert!(text(&active).starts_with(&stack.rekor_log()));
    stack.stop().await;
}

#[tokio::test]
async fn foreign_origins_may_use_the_services_but_not_the_login_page() {
    let stack = Stack::start().await;
    let origin = [("origin", "https://example.com")];
    let service = outbound().get_with(&stack.url("/api/v2/checkpoint"), &origin, &Limits::SERVICE).await.unwrap();
    assert_eq!(service.header("access-control-allow-origin"), Some("*"));
    let issuer = stack.running.oidc_issuer().unwrap();
    let login = format!("{issuer}/auth").parse().unwrap();
    let page = outbound().get_with(&login, &origin, &Limits::SERVICE).await.unwrap();
    assert_eq!(page.header("access-control-allow-origin"), None);
    // And the services are not on the issuer's origin, nor the issuer on theirs.
    let elsewhere = format!("{}/api/v2/checkpoint", issuer.trim_end_matches("/oidc")).parse().unwrap();
    assert_eq!(outbound().get(&elsewhere, &Limits::SERVICE).await.unwrap().status, 404);
    assert_eq!(stack.get("/oidc/.well-known/openid-configuration").await.status, 404);
    stack.stop().await;
}
