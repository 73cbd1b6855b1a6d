// SPDX-License-Identifier: Apache-2.0
//! Pages for people.
//!
//! In scope: what is around every page, and what its browser is forbidden. Out of scope: what is on it.
//! Invariants: a page runs no script, loads nothing, cannot be framed, and is not kept; what is not a text of ours went through [`escape`].

use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use touchmark_keys::sha256;

use super::bytes_response;

/// A page; title, style and body are HTML. `form_action` is where its forms may go, in the words of the policy.
pub(crate) fn html_page(status: u16, title: &str, style: &str, body: &str, form_action: &str) -> Response {
    let document = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{style}</style>{body}</html>\n"
    );
    let mut response = bytes_response(status, "text/html; charset=utf-8", document.into_bytes());
    protect(&mut response, style, form_action);
    response
}

/// Forbids whatever a browser would do beyond showing it. Where there is no style, none is allowed.
pub(crate) fn protect(response: &mut Response, style: &str, form_action: &str) {
    let style = STANDARD.encode(sha256(style.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action {form_action}; frame-ancestors 'none'; base-uri 'none'"
    );
    let headers = response.headers_mut();
    // The origin in it was serialised by the URL parser, if it is not a word of ours: ASCII without spaces.
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'")),
    );
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// For element content and for attribute values in double quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
