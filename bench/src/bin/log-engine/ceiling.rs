// SPDX-License-Identifier: Apache-2.0
//! The ceiling: an HTTP echo that checks one P-256 signature for each request and makes its body durable, one fdatasync for each batch.
//!
//! It is what no log of signatures can do without. The same HTTP stack, the same crypto library and the same machine; it runs in a
//! process of its own, as the log does. No parsing, no tree, no index, no signed checkpoint, no proof.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use touchmark_bench::appender::Appender;
use touchmark_keys::Scheme;
use touchmark_testing::load;

/// Serves until it is killed by the process that started it.
pub(crate) async fn serve(port: u16, path: &Path) -> Result<()> {
    let appender = Appender::to(path)?;
    let signed = Arc::new(load::signed_digest(b"ceiling"));
    let echo = move |body: Bytes| {
        let (appender, signed) = (appender.clone(), Arc::clone(&signed));
        async move {
            let (key, digest, signature) = &*signed;
            if key.verify_digest(Scheme::EcdsaP256Sha256, digest, signature).is_err() {
                return Err(StatusCode::INTERNAL_SERVER_ERROR);
            }
            appender.append(body.clone()).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
            Ok(body)
        }
    };
    let router = Router::new().route("/echo", post(echo));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.context("no port for the ceiling")?;
    axum::serve(listener, router).await.context("the ceiling ended")
}
