// SPDX-License-Identifier: Apache-2.0
//! Serving the repository, as any static file server could.
//!
//! In scope: names that a repository of ours has, their media types and cache headers. Out of scope: directories, ranges.
//! Invariant: no name that reaches the file system holds a separator or begins with a dot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use axum::routing::get;

use crate::http::{ApiError, bytes_response};

/// `/<metadata>` and `/targets/<sha256>.<name>`, relative to where the repository is mounted.
pub(crate) fn router(directory: PathBuf) -> Router {
    Router::new().route("/{file}", get(metadata)).route("/targets/{file}", get(target)).with_state(Arc::new(directory))
}

async fn metadata(State(directory): State<Arc<PathBuf>>, UrlPath(file): UrlPath<String>) -> Result<Response, ApiError> {
    let caching = caching_of_metadata(&file).ok_or_else(ApiError::not_found)?;
    reply(&directory.join(&file), "application/json", caching).await
}

async fn target(State(directory): State<Arc<PathBuf>>, UrlPath(file): UrlPath<String>) -> Result<Response, ApiError> {
    if !is_target_name(&file) {
        return Err(ApiError::not_found());
    }
    let content_type = if file.ends_with(".json") { "application/json" } else { "application/octet-stream" };
    reply(&directory.join("targets").join(&file), content_type, Caching::Forever).await
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

/// How to cache the metadata file of that name; `None` if no metadata is called so.
fn caching_of_metadata(file: &str) -> Option<Caching> {
    if file == "timestamp.json" {
        return Some(Caching::Never);
    }
    let (version, role) = file.strip_suffix(".json")?.split_once('.')?;
    let is_version = !version.is_empty() && version.len() <= 20 && version.bytes().all(|byte| byte.is_ascii_digit());
    (is_version && matches!(role, "root" | "targets" | "snapshot")).then_some(Caching::Forever)
}

fn is_target_name(file: &str) -> bool {
    let Some((digest, name)) = file.split_once('.') else { return false };
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    is_digest && is_plain && !name.is_empty() && !name.starts_with('.')
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
        ] {
            assert_eq!(caching_of_metadata(name), expect, "{name}");
        }
        let digest = "ab".repeat(32);
        assert!(is_target_name(&format!("{digest}.signing_config.v0.2.json")));
        for name in
            [digest.clone(), format!("{digest}."), format!("{digest}./x"), format!("{digest}..x"), "x.y".to_owned()]
        {
            assert!(!is_target_name(&name), "{name}");
        }
    }
}
