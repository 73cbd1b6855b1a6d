// SPDX-License-Identifier: Apache-2.0
//! The ceiling: an HTTP echo that checks one P-256 signature for each request and makes its body durable, one fdatasync for each batch.
//!
//! It is what no log of signatures can do without. The same HTTP stack, the same crypto library and the same machine; it runs in a
//! process of its own, as the log does. No parsing, no tree, no index, no signed checkpoint, no proof.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::sync::oneshot;
use touchmark_keys::Scheme;
use touchmark_testing::load;

/// What waits for the next batch.
type Waiting = (Bytes, oneshot::Sender<()>);

/// Serves until it is killed by the process that started it.
pub(crate) async fn serve(port: u16, path: &Path) -> Result<()> {
    let file = File::create(path).context("cannot create the file to append to")?;
    let (append, appended) = mpsc::channel();
    std::thread::spawn(move || batches(file, &appended));
    let signed = Arc::new(load::signed_digest(b"ceiling"));
    let echo = move |body: Bytes| {
        let (append, signed) = (append.clone(), Arc::clone(&signed));
        async move {
            let (key, digest, signature) = &*signed;
            if key.verify_digest(Scheme::EcdsaP256Sha256, digest, signature).is_err() {
                return Err(StatusCode::INTERNAL_SERVER_ERROR);
            }
            let (durable, is_durable) = oneshot::channel();
            append.send((body.clone(), durable)).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
            is_durable.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
            Ok(body)
        }
    };
    let router = Router::new().route("/echo", post(echo));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.context("no port for the ceiling")?;
    axum::serve(listener, router).await.context("the ceiling ended")
}

/// Makes durable whatever has come since the last time, then answers.
fn batches(mut file: File, appended: &mpsc::Receiver<Waiting>) {
    while let Ok(first) = appended.recv() {
        let batch: Vec<Waiting> = std::iter::once(first).chain(appended.try_iter()).collect();
        let bytes: Vec<u8> = batch.iter().flat_map(|(body, _)| body.iter().copied()).collect();
        if file.write_all(&bytes).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        for (_, durable) in batch {
            let _ = durable.send(());
        }
    }
}
