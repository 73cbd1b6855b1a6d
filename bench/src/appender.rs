// SPDX-License-Identifier: Apache-2.0
//! The durable half of every ceiling: bytes that are appended to one file, one fdatasync for each batch.
//!
//! In scope: the thread that writes. Out of scope: what the ceilings do beside it.
//! Invariant: an append is answered when its bytes are durable.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, Result};
use axum::body::Bytes;
use tokio::sync::oneshot;

/// What waits for the next batch.
type Waiting = (Bytes, oneshot::Sender<()>);

/// Appends to one file. Cheap to clone.
#[derive(Clone)]
pub struct Appender(mpsc::Sender<Waiting>);

impl Appender {
    /// # Errors
    /// The file cannot be created.
    pub fn to(path: &Path) -> Result<Self> {
        let file = File::create(path).context("cannot create the file to append to")?;
        let (append, appended) = mpsc::channel();
        std::thread::spawn(move || batches(file, &appended));
        Ok(Self(append))
    }

    /// Waits until the bytes are durable.
    ///
    /// # Errors
    /// The disk has failed.
    pub async fn append(&self, bytes: Bytes) -> Result<()> {
        let (durable, is_durable) = oneshot::channel();
        self.0.send((bytes, durable)).ok().context("the disk has failed")?;
        is_durable.await.context("the disk has failed")
    }
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
