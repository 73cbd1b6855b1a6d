// SPDX-License-Identifier: Apache-2.0
//! The ceiling: an HTTP echo that makes one signature for each request, over a message as long as what a token's signature is over.
//!
//! The same HTTP stack, the same crypto library and the same machine; it runs in a process of its own, as the authority does. No parsing, no DER, no
//! serial number, no clock, no disk.

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use touchmark_keys::KeyType;
use touchmark_signers::{EphemeralSigner, Signer};

/// The signed attributes of a token under a certificate like ours.
const ATTRIBUTES_BYTES: usize = 240;

/// Serves until it is killed by the process that started it. `key_type` is that of the authority.
pub(crate) async fn serve(port: u16, key_type: KeyType) -> Result<()> {
    let signer = Arc::new(EphemeralSigner::generate(key_type).context("no key")?);
    let echo = move |body: Bytes| {
        let signer = Arc::clone(&signer);
        async move {
            let signature = signer.sign(&[0x31; ATTRIBUTES_BYTES]).await;
            signature.map(|_| body).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
        }
    };
    let router = Router::new().route("/echo", post(echo));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.context("no port for the ceiling")?;
    axum::serve(listener, router).await.context("the ceiling ended")
}
