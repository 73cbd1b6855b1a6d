// SPDX-License-Identifier: Apache-2.0
//! `touchmark serve` over the files of a data directory: all roles in one process, or some.

use std::net::TcpListener;
use std::path::Path;

use touchmark_outbound::Limits;
use touchmark_server::{Config, Running, StartError, serve};
use url::Url;

use crate::stack::{Stack, json, outbound, refusal, text};

/// Two ports that were free a moment ago.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

async fn get(running: &Running, path: &str) -> touchmark_outbound::Response {
    outbound().get(&Url::parse(&format!("{}{path}", running.url())).unwrap(), &Limits::SERVICE).await.unwrap()
}

fn config(data: &Path, text: &str) -> Config {
    Config::parse(text, data).unwrap()
}

#[tokio::test]
async fn the_roles_of_a_file_run_and_no_other() {
    let stack = Stack::start().await;
    let (data, rekor, ct) = (stack.data(), stack.rekor_log(), stack.ct_log());
    let _directory = stack.stop().await;
    let [services, own] = free_ports();
    let toml = format!(
        r#"
listen = "127.0.0.1:{services}"
[fulcio]
key = "keys/ca.pem"
chain = "ca/chain.pem"
ct_log = {{ name = "{ct}" }}
[[fulcio.issuer]]
url = "https://accounts.example.com"
[[ctlog]]
name = "{ct}"
key = "keys/ct.pem"
data = "logs/{ct}"
accepted_roots = "ca/chain.pem"
[[rekor]]
listen = "127.0.0.1:{own}"
name = "{rekor}"
key = "keys/rekor.pem"
data = "logs/{rekor}"
"#
    );
    let running = serve(config(&data, &toml)).await.unwrap();
    let ready = get(&running, "/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(json(&ready)["roles"]["tsa"], serde_json::Value::Null);
    assert!(running.oidc_issuer().is_none());
    assert_eq!(get(&running, "/api/v2/trustBundle").await.status, 200);
    // Rekor has a listener of its own, with its own front.
    assert_eq!(get(&running, "/api/v2/checkpoint").await.status, 404);
    let url = Url::parse(&format!("http://127.0.0.1:{own}/api/v2/checkpoint")).unwrap();
    let checkpoint = outbound().get(&url, &Limits::SERVICE).await.unwrap();
    assert!(text(&checkpoint).starts_with(&rekor));
    assert_eq!(get(&running, "/tuf/timestamp.json").await.status, 404);

    // A log that is open here is open nowhere else.
    let [other, _] = free_ports();
    let second = format!(
        "listen = \"127.0.0.1:{other}\"\n[[rekor]]\nname = \"{rekor}\"\nkey = \"keys/rekor.pem\"\ndata = \"logs/{rekor}\"\n"
    );
    let error = refusal(serve(config(&data, &second)).await);
    assert!(matches!(error, StartError::InUse { .. }), "{error}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_or_the_roots_is_refused() {
    let stack = Stack::start().await;
    let data = stack.data();
    let _directory = stack.stop().await;
    for (toml, expect) in [
        ("[tsa]\nkey = \"keys/ca.pem\"\nchain = \"tsa/chain.pem\"\n", "tsa cannot start"),
        ("[tsa]\nkey = \"keys/ca.pem\"\nchain = \"ca/chain.pem\"\n", "tsa cannot start"),
        ("[tuf]\ndirectory = \"tuf\"\nonline_key = \"keys/tsa.pem\"\n", "not the one that the root names"),
        ("[tsa]\nkey = \"keys/none.pem\"\nchain = \"tsa/chain.pem\"\n", "keys/none.pem"),
        ("[tsa]\nkey = \"keys/tsa.pem\"\nchain = \"keys/tsa.pem\"\n", "is not a chain of certificates"),
    ] {
        let [port, _] = free_ports();
        let error = refusal(serve(config(&data, &format!("listen = \"127.0.0.1:{port}\"\n{toml}"))).await).to_string();
        assert!(error.contains(expect), "{toml}: {error}");
    }
}
