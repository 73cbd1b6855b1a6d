// SPDX-License-Identifier: Apache-2.0
//! Requests for timestamps in DER, as signers send them: a digest and a nonce each, with the certificate in the reply.
//!
//! In scope: making them before the load begins. Out of scope: sending (`touchmark_bench::loader`). The authority tells no two apart, so they are sent
//! in turns.

use std::sync::Arc;

use anyhow::{Context, Result};
use touchmark_bench::loader::{Requests, Supply};
use touchmark_keys::{HashAlgorithm, digest};
use touchmark_sigstore::tsp::TimestampRequest;

/// Requests that are sent in turns.
const REQUESTS: u32 = 2_000;

pub(crate) fn prepared(port: u16, path: &str) -> Result<Arc<Requests>> {
    let prepared = (0..REQUESTS).map(|number| one(port, path, number)).collect::<Result<_>>()?;
    Ok(Arc::new(Requests::new(prepared, Supply::Again)))
}

fn one(port: u16, path: &str, number: u32) -> Result<Vec<u8>> {
    let body = request(number).to_der().context("a request")?;
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/timestamp-query\r\ncontent-length: {length}\r\n\r\n"
    );
    Ok([head.as_bytes(), &body].concat())
}

/// What the request of this number stamps.
pub(crate) fn message(number: u32) -> Vec<u8> {
    format!("signature {number}").into_bytes()
}

fn request(number: u32) -> TimestampRequest {
    let imprint = digest(HashAlgorithm::Sha256, &message(number));
    TimestampRequest { imprint, nonce: Some(nonce(number)), cert_req: true, policy: None }
}

/// As long as those of real clients; the number of the request is in it.
fn nonce(number: u32) -> Vec<u8> {
    [[0x7f; 4], number.to_be_bytes()].concat()
}

/// Which request a reply is to: its nonce stands in it as it was.
pub(crate) fn number_in(reply: &[u8]) -> Option<u32> {
    let at = reply.windows(6).position(|window| window == [2, 8, 0x7f, 0x7f, 0x7f, 0x7f])?;
    let number = reply.get(at + 6..at + 10)?.try_into().ok()?;
    Some(u32::from_be_bytes(number))
}
