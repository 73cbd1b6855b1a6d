// SPDX-License-Identifier: Apache-2.0
//! The ceiling: an HTTP echo that does the public key operations of a certificate for each request and makes its body durable, one fdatasync for
//! each batch.
//!
//! The same HTTP stack, the same crypto library and the same machine; it runs in a process of its own, as the authority does. No parsing, no JSON,
//! no DER, no policy, no tree, no checkpoint.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use touchmark_bench::appender::Appender;
use touchmark_keys::KeyType;

use crate::operations::Operations;

/// Serves until it is killed by the process that started it. `key_type` is that of the authority.
pub(crate) async fn serve(port: u16, path: &Path, key_type: KeyType) -> Result<()> {
    let appender = Appender::to(path)?;
    let operations = Arc::new(Operations::new(key_type)?);
    let echo = move |body: Bytes| {
        let (appender, operations) = (appender.clone(), Arc::clone(&operations));
        async move {
            operations.all().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
            appender.append(body.clone()).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
            Ok::<_, StatusCode>(body)
        }
    };
    let router = Router::new().route("/echo", post(echo));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.context("no port for the ceiling")?;
    axum::serve(listener, router).await.context("the ceiling ended")
}
