// SPDX-License-Identifier: Apache-2.0
//! The first bytes of a connection that nobody can look at before they are read, as under TLS: read, and handed on with the rest.
//!
//! In scope: waiting for the whole preface of HTTP/2, or the first byte of HTTP/1.1. Out of scope: for how long (the caller); what comes after them,
//! which has its own limits ([`super::listener`]).
//! Invariant: whoever reads the connection reads every byte of it once, in order.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::listener::Protocol;

/// RFC 9113, section 3.4; no HTTP/1.1 method begins so.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose peer has begun.
pub(super) struct Begun<S> {
    first: [u8; PREFACE.len()],
    /// What of `first` was read from the peer, and how much of that was handed on.
    filled: usize,
    taken: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> Begun<S> {
    /// Waits for the peer. None if it leaves before, or does not begin as the protocol does.
    pub(super) async fn of(mut stream: S, protocol: Protocol) -> Option<Self> {
        let bytes_min = match protocol {
            Protocol::Http1 => 1,
            Protocol::Http2 => PREFACE.len(),
        };
        let mut first = [0; PREFACE.len()];
        let mut filled = 0;
        while filled < bytes_min {
            let read = stream.read(&mut first[filled..]).await.ok().filter(|read| *read > 0)?;
            filled += read;
        }
        if protocol == Protocol::Http2 && first != *PREFACE {
            return None;
        }
        Some(Self { first, filled, taken: 0, stream })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = &self.first[self.taken..self.filled];
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let now = left.len().min(buf.remaining());
        buf.put_slice(&left[..now]);
        self.taken += now;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
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
    use tokio::io::AsyncWriteExt;

    async fn read_back(sent: &[&[u8]], protocol: Protocol) -> Option<Vec<u8>> {
        // A byte at a time, so that nothing comes in one piece.
        let (near, mut far) = tokio::io::duplex(1);
        let sent = sent.concat();
        let sending = tokio::spawn(async move { far.write_all(&sent).await });
        let mut begun = Begun::of(near, protocol).await?;
        let mut read = Vec::new();
        begun.read_to_end(&mut read).await.unwrap();
        sending.await.unwrap().unwrap();
        Some(read)
    }

    #[tokio::test]
    async fn every_byte_is_read_once_and_only_the_whole_preface_begins_http2() {
        let (http1, http2) = (Protocol::Http1, Protocol::Http2);
        assert_eq!(read_back(&[b"GET /"], http1).await.as_deref(), Some(&b"GET /"[..]));
        assert_eq!(read_back(&[b"G"], http1).await.as_deref(), Some(&b"G"[..]));
        assert_eq!(read_back(&[PREFACE, b"\0\0\0"], http2).await, Some([&PREFACE[..], b"\0\0\0"].concat()));
        assert_eq!(read_back(&[], http1).await, None);
        assert_eq!(read_back(&[&PREFACE[..23]], http2).await, None);
        assert_eq!(read_back(&[&PREFACE[..23], b"\r"], http2).await, None);
        assert_eq!(read_back(&[b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"], http2).await, None);
    }
}
