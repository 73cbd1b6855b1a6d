// SPDX-License-Identifier: Apache-2.0
//! Serving the repository, as any static file server could.
//!
//! In scope: names that a repository of ours has, their media types and cache headers. Out of scope: lists of files, ranges.
//! Invariant: no part of a path that reaches the file system holds a separator or begins with a dot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use axum::routing::get;
use touchmark_trust::walk::quoted;

use crate::http::{ApiError, bytes_response};

/// `/<metadata>` and `/targets/[<directory>/…]<sha256>.<name>`, relative to where the repository is mounted.
pub(crate) fn router(directory: PathBuf) -> Router {
    Router::new().route("/{file}", get(metadata)).route("/targets/{*path}", get(target)).with_state(Arc::new(directory))
}

async fn metadata(State(directory): State<Arc<PathBuf>>, UrlPath(file): UrlPath<String>) -> Result<Response, ApiError> {
    let (file, caching) = metadata_file(&file).ok_or_else(ApiError::not_found)?;
    reply(&directory.join(file), "application/json", caching).await
}

async fn target(State(directory): State<Arc<PathBuf>>, UrlPath(path): UrlPath<String>) -> Result<Response, ApiError> {
    if !is_target_path(&path) {
        return Err(ApiError::not_found());
    }
    let content_type = if path.ends_with(".json") { "application/json" } else { "application/octet-stream" };
    reply(&directory.join("targets").join(&path), content_type, Caching::Forever).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caching {
    Never,
    Forever,
}

async fn reply(path: &Path, content_type: &'static str, caching: Caching) -> Result<Response, ApiError> {
    let bytes = match tokio::fs::read(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(ApiError::not_found()),
        Err(error) => return Err(ApiError::internal(&error)),
    };
    let mut response = bytes_response(200, content_type, bytes);
    let value = match caching {
        Caching::Never => "no-cache",
        Caching::Forever => "public, max-age=31536000, immutable",
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(value));
    Ok(response)
}

/// Longest name of a delegated role.
const ROLE_BYTES_MAX: usize = 128;
/// Most directories that a target lies in, with its own name.
const TARGET_PARTS_MAX: usize = 16;

/// Where the metadata lies that was asked for, and how to cache it; `None` if no metadata is called so. A delegated role may be called anything: its
/// file is called as it stands in a URL.
fn metadata_file(file: &str) -> Option<(String, Caching)> {
    if file == "timestamp.json" {
        return Some((file.to_owned(), Caching::Never));
    }
    let (version, role) = file.strip_suffix(".json")?.split_once('.')?;
    let is_version = !version.is_empty() && version.len() <= 20 && version.bytes().all(|byte| byte.is_ascii_digit());
    let is_role = !role.is_empty() && role.len() <= ROLE_BYTES_MAX && role != "timestamp";
    (is_version && is_role).then(|| (format!("{version}.{}.json", quoted(role)), Caching::Forever))
}

fn is_target_path(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let Some((file, directories)) = parts.split_last() else { return false };
    let Some((digest, name)) = file.split_once('.') else { return false };
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_plain = |part: &str| {
        let all = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        all && !part.is_empty() && !part.starts_with('.')
    };
    is_digest && is_plain(name) && parts.len() <= TARGET_PARTS_MAX && directories.iter().all(|part| is_plain(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_a_repository_are_served() {
        for (name, expect) in [
            ("timestamp.json", Some(Caching::Never)),
            ("1.root.json", Some(Caching::Forever)),
            ("12.targets.json", Some(Caching::Forever)),
            ("root.json", None),
            (".root.json", None),
            ("1.timestamp.json", None),
            ("1.root.json.new", None),
            ("lock", None),
            ("../1.root.json", None),
            ("1..json", None),
            ("3.team.json", Some(Caching::Forever)),
        ] {
            assert_eq!(metadata_file(name), expect.map(|caching| (name.to_owned(), caching)), "{name}");
        }
        // What stands for a slash in a URL is one in the name of the role, and none in the name of the file.
        let (file, _) = metadata_file("1.../../etc/passwd.json").unwrap();
        assert_eq!(file, "1...%2F..%2Fetc%2Fpasswd.json");
        let digest = "ab".repeat(32);
        for path in [format!("{digest}.signing_config.v0.2.json"), format!("team/tools/{digest}.tool")] {
            assert!(is_target_path(&path), "{path}");
        }
        for path in [
            digest.clone(),
            format!("{digest}."),
            format!("{digest}./x"),
            format!("{digest}..x"),
            "x.y".to_owned(),
            format!("../{digest}.x"),
            format!("/{digest}.x"),
            format!("a//{digest}.x"),
            format!(".hidden/{digest}.x"),
            format!("{}{digest}.x", "a/".repeat(16)),
        ] {
            assert!(!is_target_path(&path), "{path}");
        }
    }
}
