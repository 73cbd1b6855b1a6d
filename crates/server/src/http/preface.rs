// SPDX-License-Identifier: Apache-2.0
//! A connection that ends when its peer does not begin.
//!
//! In scope: the time until a peer of HTTP/2 has sent its whole preface, where nobody can look at the bytes before they are read, as under TLS.
//! Out of scope: whether they are a preface (the HTTP library); what comes after it, which has its own limits ([`super::listener`]).
//! Invariant: until the last byte of the preface has come, a read fails once the time is over.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// RFC 9113, section 3.4; no HTTP/1.1 method begins so.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) struct Prefaced<S> {
    stream: S,
    /// Until the preface is there.
    awaited: Option<Awaited>,
}

struct Awaited {
    bytes_left: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Prefaced<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, awaited: Some(Awaited { bytes_left: PREFACE.len(), deadline: Box::pin(sleep(patience)) }) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefaced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(awaited) = &mut self.awaited else { return read };
        if read.is_pending() {
            ready!(awaited.deadline.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        awaited.bytes_left = awaited.bytes_left.saturating_sub(buf.filled().len() - before);
        if awaited.bytes_left == 0 {
            self.awaited = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefaced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn a_part_of_the_preface_does_not_hold_a_connection_and_the_whole_of_it_does() {
        let patience = Duration::from_millis(20);
        let (near, mut far) = duplex(64);
        let mut near = Prefaced::new(near, patience);
        let (all_but_one, last) = PREFACE.split_at(PREFACE.len() - 1);
        far.write_all(all_but_one).await.unwrap();
        near.read_exact(&mut [0u8; PREFACE.len() - 1]).await.unwrap();
        assert_eq!(near.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);

        let (near, mut far) = duplex(64);
        let mut near = Prefaced::new(near, patience);
        far.write_all(all_but_one).await.unwrap();
        far.write_all(last).await.unwrap();
        near.read_exact(&mut [0u8; PREFACE.len()]).await.unwrap();
        assert!(tokio::time::timeout(patience * 3, near.read_u8()).await.is_err(), "it waits for more");
    }
}
