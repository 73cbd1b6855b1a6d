// SPDX-License-Identifier: Apache-2.0
//! The authorization endpoint: a page that asks for an e-mail address and believes the answer.
//!
//! OpenID Connect Core 1.0 §3.1.2, RFC 7636 §4.3, RFC 8252 §7.3 and §8.3.
//!
//! In scope: checking the request, the page, the redirect with a code. Out of scope: codes (`codes`).
//! Invariants: nobody is redirected anywhere but to plain http on a loopback address; every value from outside is escaped in the
//! page; the page runs no script, loads nothing, cannot be framed, and its form goes nowhere else.

use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use serde::Deserialize;
use url::{Host, Url};

use super::codes::Grant;
use super::{CLIENT_ID, NOTICE, OidcIssuer};
use crate::fulcio::EmailAddress;
use crate::http::bytes_response;
use crate::http::page::{escape, html_page, protect};

/// Longer state and nonce values are not carried through the page.
const PARAMETER_BYTES_MAX: usize = 2048;
const STYLE: &str = "body{font:16px system-ui,sans-serif;max-width:34em;margin:4em auto;padding:0 1em}\
.notice{border:3px solid #b00;color:#b00;padding:1em;font-weight:bold}input{font:inherit;padding:.4em}label{display:block;margin:1em 0 .3em}";

/// The request, as query of the page and again as hidden fields of its form.
#[derive(Deserialize)]
pub(super) struct Parameters {
    response_type: Option<String>,
    client_id: Option<String>,
    redirect_uri: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    /// Only in the form.
    email: Option<String>,
}

/// A request that may be answered.
struct Login {
    redirect_uri: Url,
    /// As it came: the token endpoint compares text.
    redirect_text: String,
    scope: String,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: String,
}

/// Where an error is told.
enum Refusal {
    /// On a page: the redirect itself cannot be trusted.
    Page(&'static str),
    /// To the client (RFC 6749 §4.1.2.1).
    Redirect { to: Box<Url>, state: Option<String>, error: &'static str },
}

pub(super) async fn page(query: Result<Query<Parameters>, QueryRejection>) -> Response {
    match query.map_err(|_| Refusal::Page("The request could not be read.")).and_then(|Query(it)| Login::check(it)) {
        Ok((login, _)) => form(&login, ""),
        Err(refusal) => refused(refusal),
    }
}

pub(super) async fn submit(
    State(issuer): State<OidcIssuer>,
    headers: HeaderMap,
    form_fields: Result<Form<Parameters>, FormRejection>,
) -> Response {
    if !from_our_own_page(&headers) {
        return refused(Refusal::Page("This form was sent by another site."));
    }
    let checked = form_fields.map_err(|_| Refusal::Page("The form could not be read."));
    let (login, email) = match checked.and_then(|Form(fields)| Login::check(fields)) {
        Ok(checked) => checked,
        Err(refusal) => return refused(refusal),
    };
    let Some(email) = email.as_deref().map(str::trim).and_then(EmailAddress::parse) else {
        return form(&login, "That is not an e-mail address of the form name@host.domain.");
    };
    let grant = Grant {
        email: email.as_str().to_owned(),
        nonce: login.nonce,
        redirect_uri: login.redirect_text,
        code_challenge: login.code_challenge,
    };
    match issuer.0.codes.issue(grant, issuer.0.clock.now_ms()) {
        Some(code) => redirect(login.redirect_uri, &[("code", &code)], login.state.as_deref()),
        None => refused(Refusal::Redirect {
            to: Box::new(login.redirect_uri),
            state: login.state,
            error: "temporarily_unavailable",
        }),
    }
}

/// Browsers say where a form came from; other programs send no such header and have no user to be tricked.
fn from_our_own_page(headers: &HeaderMap) -> bool {
    let site = headers.get(HeaderName::from_static("sec-fetch-site")).and_then(|value| value.to_str().ok());
    matches!(site, None | Some("same-origin" | "none"))
}

impl Login {
    /// Client and redirect URI first: until they are good, nobody is redirected.
    fn check(parameters: Parameters) -> Result<(Self, Option<String>), Refusal> {
        if parameters.client_id.as_deref() != Some(CLIENT_ID) {
            return Err(Refusal::Page("The client is unknown: only “sigstore” is served."));
        }
        let redirect_text = parameters.redirect_uri.unwrap_or_default();
        let redirect_uri = loopback_redirect(&redirect_text)
            .ok_or(Refusal::Page("The redirect URI is not plain http to a loopback address."))?;
        let fits = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= PARAMETER_BYTES_MAX);
        let state = parameters.state.filter(|state| state.len() <= PARAMETER_BYTES_MAX);
        let refuse = |error| Refusal::Redirect { to: Box::new(redirect_uri.clone()), state: state.clone(), error };
        if parameters.response_type.as_deref() != Some("code") {
            return Err(refuse("unsupported_response_type"));
        }
        let scope = parameters.scope.filter(|scope| scope.split(' ').any(|one| one == "openid"));
        let scope = scope.filter(|scope| scope.len() <= PARAMETER_BYTES_MAX).ok_or_else(|| refuse("invalid_scope"))?;
        // RFC 7636 §4.4.1: a challenge is required, and only as a hash.
        let method_is_s256 = parameters.code_challenge_method.as_deref() == Some("S256");
        let challenge = parameters.code_challenge.filter(|challenge| method_is_s256 && is_challenge(challenge));
        let code_challenge = challenge.ok_or_else(|| refuse("invalid_request"))?;
        if !fits(&parameters.nonce) {
            return Err(refuse("invalid_request"));
        }
        let nonce = parameters.nonce;
        Ok((Self { redirect_uri, redirect_text, scope, state, nonce, code_challenge }, parameters.email))
    }
}

/// base64url of 32 bytes.
fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn loopback_redirect(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= PARAMETER_BYTES_MAX)?;
    let loopback = match url.host()? {
        Host::Ipv4(address) => address.octets() == [127, 0, 0, 1],
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => name == "localhost",
    };
    let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
    (loopback && plain && url.fragment().is_none()).then_some(url)
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Page(text) => html(400, &format!("<h1>Refused</h1><p>{}</p>", escape(text)), "'none'"),
        Refusal::Redirect { to, state, error } => redirect(*to, &[("error", error)], state.as_deref()),
    }
}

/// 303: the form's POST becomes a GET at the client.
fn redirect(mut to: Url, parameters: &[(&str, &str)], state: Option<&str>) -> Response {
    to.query_pairs_mut().extend_pairs(parameters).extend_pairs(state.map(|state| ("state", state)));
    let mut response = bytes_response(303, "text/plain; charset=utf-8", Vec::new());
    // A parsed URL is printable ASCII, so it always makes a header value.
    if let Ok(location) = HeaderValue::from_str(to.as_str()) {
        response.headers_mut().insert(LOCATION, location);
    }
    protect(&mut response, "", "'none'");
    response
}

fn form(login: &Login, problem: &str) -> Response {
    let hidden = |name: &str, value: &str| format!("<input type=hidden name={name} value=\"{}\">", escape(value));
    let mut fields = hidden("response_type", "code");
    fields += &hidden("client_id", CLIENT_ID);
    fields += &hidden("redirect_uri", &login.redirect_text);
    fields += &hidden("scope", &login.scope);
    fields += &hidden("code_challenge", &login.code_challenge);
    fields += &hidden("code_challenge_method", "S256");
    for (name, value) in [("state", &login.state), ("nonce", &login.nonce)] {
        fields += &value.as_deref().map(|value| hidden(name, value)).unwrap_or_default();
    }
    let body = format!(
        "<h1>Who do you want to be?</h1><form method=post>{fields}\
         <label for=email>E-mail address</label><input id=email name=email type=email required autofocus size=32>\
         <button>Log in</button></form><p>{}</p>",
        escape(problem)
    );
    // Chromium applies `form-action` to the redirect that follows the form, too.
    let form_action = format!("'self' {}", login.redirect_uri.origin().ascii_serialization());
    html(if problem.is_empty() { 200 } else { 400 }, &body, &form_action)
}

fn html(status: u16, body: &str, form_action: &str) -> Response {
    let body = format!("<p class=notice>{}</p>{body}", escape(NOTICE));
    html_page(status, "touchmark try-out issuer", STYLE, &body, form_action)
}
