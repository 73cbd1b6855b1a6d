// SPDX-License-Identifier: Apache-2.0
//! Replies that readers and caches keep: entity tags, conditional requests, gzip.
//!
//! RFC 9110 §8.8.3 and §13.1.2 (tags), §12.5.3 (`Accept-Encoding`). In scope: the reply to a GET whose bytes are there. Out of scope: how long a reply
//! may be kept, which each service says; ranges.
//! Invariants: a tag names bytes, by their hash; the two encodings of the same bytes have two tags; a client that did not ask for gzip never gets it.

use std::io::Write as _;

use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{ApiError, bytes_response};

/// Whether a reply may be compressed: hashes are random, certificates and signatures in base64 are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    GzipIfAsked,
}

/// What a reader asks for.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    known: Vec<String>,
    takes_gzip: bool,
}

/// Bytes of tags: as many of the hash as make an accident impossible.
const TAG_BYTES: usize = 16;

impl Reader {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let list = |name| {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).map(|part| part.trim().to_owned()).collect::<Vec<_>>()
        };
        // §13.1.2: a weak comparison, so the mark of weakness says nothing.
        let known = list(IF_NONE_MATCH).iter().map(|tag| tag.trim_start_matches("W/").to_owned()).collect();
        Self { known, takes_gzip: list(ACCEPT_ENCODING).iter().any(|coding| takes_gzip(coding)) }
    }

    /// The reply: 304 without bytes if the reader has them, otherwise all of them.
    pub(crate) async fn reply(
        &self,
        content_type: &'static str,
        bytes: Vec<u8>,
        encoding: Encoding,
        caching: HeaderValue,
    ) -> Response {
        let gzip = encoding == Encoding::GzipIfAsked && self.takes_gzip;
        let hash = hex::encode(&touchmark_keys::sha256(&bytes)[..TAG_BYTES]);
        let tag = if gzip { format!("\"{hash}-gzip\"") } else { format!("\"{hash}\"") };
        let mut response = if self.known.iter().any(|known| known == "*" || *known == tag) {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else if gzip {
            match compressed(bytes).await {
                Ok(bytes) => encoded(bytes_response(200, content_type, bytes)),
                Err(error) => return ApiError::internal(&error).into_response(),
            }
        } else {
            bytes_response(200, content_type, bytes)
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, caching);
        headers.insert(ETAG, HeaderValue::try_from(tag).expect("hexadecimal digits and quotes make a header"));
        if encoding == Encoding::GzipIfAsked {
            headers.append(VARY, HeaderValue::from_static("accept-encoding"));
        }
        response
    }
}

/// A coding and its weight, of which only zero matters.
fn takes_gzip(coding: &str) -> bool {
    let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
    let refused = weight.trim().strip_prefix("q=").and_then(|q| q.parse().ok()).is_some_and(|q: f32| q <= 0.0);
    name.trim().eq_ignore_ascii_case("gzip") && !refused
}

fn encoded(mut response: Response) -> Response {
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// A bundle has up to 16 MiB, which takes longer than other requests of the same thread should wait.
async fn compressed(bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let work = move || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
        encoder.write_all(&bytes)?;
        encoder.finish()
    };
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http_body_util::BodyExt;

    use super::*;

    async fn reply(headers: &[(&'static str, &str)], encoding: Encoding) -> (StatusCode, HeaderMap, Vec<u8>) {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let reader = Reader::of(&headers);
        let response =
            reader.reply("text/plain", vec![b'x'; 4000], encoding, HeaderValue::from_static("no-cache")).await;
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    #[tokio::test]
    async fn who_has_the_bytes_gets_none() {
        let (status, headers, body) = reply(&[], Encoding::Identity).await;
        assert_eq!((status.as_u16(), body.len()), (200, 4000));
        let tag = headers["etag"].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let (status, headers, body) = reply(&[("if-none-match", &known)], Encoding::Identity).await;
            assert_eq!((status.as_u16(), body.len()), (304, 0), "{known}");
            assert_eq!(headers["etag"], *tag);
            assert_eq!(headers["cache-control"], "no-cache");
        }
        let (status, ..) = reply(&[("if-none-match", "\"other\"")], Encoding::Identity).await;
        assert_eq!(status.as_u16(), 200);
    }

    #[tokio::test]
    async fn gzip_is_for_who_asks_and_has_a_tag_of_its_own() {
        let (_, plain, _) = reply(&[("accept-encoding", "gzip;q=0, br")], Encoding::GzipIfAsked).await;
        assert!(plain.get("content-encoding").is_none());
        assert_eq!(plain["vary"], "accept-encoding");
        let (_, zipped, body) = reply(&[("accept-encoding", "br, gzip;q=0.5")], Encoding::GzipIfAsked).await;
        assert_eq!(zipped["content-encoding"], "gzip");
        assert_ne!(plain["etag"], zipped["etag"]);
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut read).unwrap();
        assert_eq!(read, vec![b'x'; 4000]);
        let tag = zipped["etag"].to_str().unwrap();
        let (status, ..) = reply(&[("accept-encoding", "gzip"), ("if-none-match", tag)], Encoding::GzipIfAsked).await;
        assert_eq!(status.as_u16(), 304);
        let (_, hashes, _) = reply(&[("accept-encoding", "gzip")], Encoding::Identity).await;
        assert!(hashes.get("content-encoding").is_none() && hashes.get("vary").is_none());
    }
}
