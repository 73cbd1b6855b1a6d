// SPDX-License-Identifier: Apache-2.0
//! The browser flow: OAuth 2.0 authorization code with PKCE on a loopback listener.
//!
//! RFC 6749 section 4.1, RFC 7636 (S256 only), RFC 8252 section 7.3 (loopback redirect, any port), OpenID Connect Core
//! 1.0 section 3.1, discovery 1.0. The address to open is announced, never opened by us: the caller decides.
//!
//! Invariants: `state` and `nonce` are 256 fresh random bits and are compared before anything else of a reply is used; the
//! wait has a deadline and takes at most [`BAD_CALLBACKS_MAX`] strange requests; each request is read within
//! [`REQUEST_BYTES_MAX`] and [`REQUEST_TIMEOUT`]. The ID token comes straight from the token endpoint over a connection
//! that we opened, which is why its signature need not be checked here (Core, section 3.1.3.7, step 6).
//!
//! Out of scope: the device flow, and pasting a code by hand.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use touchmark_outbound::{Limits, Outbound};
use url::Url;
use zeroize::Zeroizing;

use super::{IdentityError, IdentityToken};
use crate::service::{Endpoint, ServerText, ServiceKind, keeps_secrets};

/// How long a person may take to log in.
pub const LOGIN_WAIT_MAX: Duration = Duration::from_secs(120);
/// Requests on the listener that are not this login's reply (favicons, scanners, forgeries).
pub const BAD_CALLBACKS_MAX: u32 = 16;
/// The head of one request; what we need is in its first line.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// How long one request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The path that sigstore clients register with issuers.
const CALLBACK_PATH: &str = "/auth/callback";
/// Random bytes of state, nonce and verifier: RFC 7636 section 7.1 recommends 256 bits.
const SECRET_BYTES: usize = 32;

/// Logs in at `issuer` as OAuth client `client_id`. `announce` is told the address that the user must open.
pub async fn login(
    outbound: &Outbound,
    issuer: &str,
    client_id: &str,
    announce: impl FnOnce(&Url),
) -> Result<IdentityToken, IdentityError> {
    let provider = Provider::discover(outbound, issuer).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|source| IdentityError::Listener { source })?;
    let port = listener.local_addr().map_err(|source| IdentityError::Listener { source })?.port();
    let attempt = Attempt::new(client_id, port);
    announce(&attempt.authorization_url(&provider));
    let code = tokio::time::timeout(LOGIN_WAIT_MAX, wait_for_code(&listener, &attempt))
        .await
        .map_err(|_| IdentityError::LoginTimeout { seconds: LOGIN_WAIT_MAX.as_secs() })??;
    let token = provider.exchange(outbound, &attempt, &code).await?;
    attempt.check(&token, issuer)?;
    Ok(token)
}

/// What discovery says, as far as we need it.
struct Provider {
    authorization: Url,
    token: Endpoint,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
}

impl Provider {
    async fn discover(outbound: &Outbound, issuer: &str) -> Result<Self, IdentityError> {
        let endpoint = Endpoint::new(ServiceKind::IdentityProvider, issuer, ".well-known/openid-configuration")?;
        secure("discovery", endpoint.url().as_str())?;
        let response = endpoint.get(outbound, &Limits::SERVICE).await?;
        let discovery: Discovery = serde_json::from_slice(&response.body)
            .map_err(|_| endpoint.not_understood("an OpenID discovery document"))?;
        Self::from_discovery(discovery, issuer)
    }

    fn from_discovery(discovery: Discovery, issuer: &str) -> Result<Self, IdentityError> {
        if discovery.issuer != issuer {
            return Err(IdentityError::ProviderMismatch {
                what: "issuer",
                expected: issuer.to_owned(),
                found: discovery.issuer,
            });
        }
        if !discovery.code_challenge_methods_supported.iter().any(|method| method == "S256") {
            return Err(IdentityError::ProviderWithoutPkce);
        }
        secure("token", &discovery.token_endpoint)?;
        Ok(Self {
            authorization: secure("authorization", &discovery.authorization_endpoint)?,
            token: Endpoint::new(ServiceKind::IdentityProvider, &discovery.token_endpoint, "")?,
        })
    }

    async fn exchange(
        &self,
        outbound: &Outbound,
        attempt: &Attempt,
        code: &str,
    ) -> Result<IdentityToken, IdentityError> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &attempt.redirect_uri)
            .append_pair("client_id", &attempt.client_id)
            .append_pair("code_verifier", &attempt.verifier)
            .finish();
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
        let response = self.token.post(outbound, &headers, form.as_bytes(), &Limits::SERVICE).await?;
        let body = Zeroizing::new(response.body);
        let reply: TokenReply = serde_json::from_slice(&body)
            .map_err(|_| self.token.not_understood("a token response with an id_token"))?;
        IdentityToken::parse(&Zeroizing::new(reply.id_token))
    }
}

#[derive(Deserialize)]
struct TokenReply {
    id_token: String,
}

/// An address that carries a code or a token: TLS, or it never leaves this machine.
fn secure(what: &'static str, text: &str) -> Result<Url, IdentityError> {
    let insecure = || IdentityError::ProviderInsecure { what, url: text.to_owned() };
    let url = Url::parse(text).map_err(|_| insecure())?;
    if keeps_secrets(&url) { Ok(url) } else { Err(insecure()) }
}

/// The secrets of one login.
struct Attempt {
    client_id: String,
    redirect_uri: String,
    state: String,
    nonce: String,
    verifier: Zeroizing<String>,
}

impl Attempt {
    fn new(client_id: &str, port: u16) -> Self {
        Self {
            client_id: client_id.to_owned(),
            redirect_uri: format!("http://localhost:{port}{CALLBACK_PATH}"),
            state: random_text(),
            nonce: random_text(),
            verifier: Zeroizing::new(random_text()),
        }
    }

    fn authorization_url(&self, provider: &Provider) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(touchmark_keys::sha256(self.verifier.as_bytes()));
        let mut url = provider.authorization.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", "openid email")
            .append_pair("state", &self.state)
            .append_pair("nonce", &self.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        url
    }

    /// Core section 3.1.3.7: the token is this issuer's, for this client, and answers this login.
    fn check(&self, token: &IdentityToken, issuer: &str) -> Result<(), IdentityError> {
        let claims = token.claims();
        if claims.issuer != issuer {
            return Err(IdentityError::ProviderMismatch {
                what: "issuer claim",
                expected: issuer.to_owned(),
                found: claims.issuer.clone(),
            });
        }
        if claims.nonce.as_deref() != Some(self.nonce.as_str()) {
            return Err(IdentityError::ProviderMismatch {
                what: "nonce claim",
                expected: self.nonce.clone(),
                found: claims.nonce.clone().unwrap_or_default(),
            });
        }
        if !claims.audience.contains(&self.client_id) {
            return Err(IdentityError::WrongAudience {
                expected: self.client_id.clone(),
                found: claims.audience.clone(),
            });
        }
        token.check_time(Timestamp::now())
    }
}

fn random_text() -> String {
    let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
    touchmark_keys::random(bytes.as_mut());
    URL_SAFE_NO_PAD.encode(bytes.as_ref())
}

/// What a request on the listener turned out to be.
#[derive(Debug, PartialEq, Eq)]
enum Callback {
    Code(String),
    /// The provider's own refusal, for this login.
    Denied(String),
    /// Not this login's: another path, no or another `state`.
    Foreign,
}

/// Serves the listener until this login's reply is there.
async fn wait_for_code(listener: &TcpListener, attempt: &Attempt) -> Result<String, IdentityError> {
    let mut foreign = 0;
    while foreign < BAD_CALLBACKS_MAX {
        let (mut stream, _) = listener.accept().await.map_err(|source| IdentityError::Listener { source })?;
        let target = tokio::time::timeout(REQUEST_TIMEOUT, request_target(&mut stream)).await;
        let callback = match target {
            Ok(Some(target)) => read_callback(&target, &attempt.state),
            Ok(None) | Err(_) => Callback::Foreign,
        };
        match callback {
            Callback::Code(code) => {
                respond(&mut stream, "200 OK", "You are logged in. You can close this page.").await;
                return Ok(code);
            }
            Callback::Denied(message) => {
                respond(&mut stream, "200 OK", "The login was refused. See the terminal.").await;
                return Err(IdentityError::LoginRefused { message: ServerText::from_text(&message) });
            }
            Callback::Foreign => {
                foreign += 1;
                respond(&mut stream, "404 Not Found", "This is not the reply to a login.").await;
            }
        }
    }
    Err(IdentityError::LoginDisturbed { count: foreign })
}

/// The target of the request line, or `None` for anything that is not a small GET.
async fn request_target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::with_capacity(1024);
    let mut piece = [0_u8; 1024];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let count = stream.read(&mut piece).await.ok()?;
        if count == 0 || head.len() + count > REQUEST_BYTES_MAX {
            return None;
        }
        head.extend_from_slice(piece.get(..count)?);
    }
    let text = String::from_utf8(head).ok()?;
    let mut words = text.lines().next()?.split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("GET"), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) => Some(target.to_owned()),
        _ => None,
    }
}

/// `state` is looked at first: without it nothing else in the request means anything.
fn read_callback(target: &str, state: &str) -> Callback {
    let Ok(url) = Url::parse("http://localhost").and_then(|base| base.join(target)) else {
        return Callback::Foreign;
    };
    let one = |name: &str| {
        let mut values = url.query_pairs().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value.into_owned()),
            _ => None,
        }
    };
    if url.path() != CALLBACK_PATH || one("state").as_deref() != Some(state) {
        return Callback::Foreign;
    }
    match (one("code"), one("error")) {
        (Some(code), None) if !code.is_empty() => Callback::Code(code),
        (None, Some(error)) => Callback::Denied(one("error_description").unwrap_or(error)),
        _ => Callback::Foreign,
    }
}

/// Best effort: a browser that has gone away changes nothing.
async fn respond(stream: &mut TcpStream, status: &str, text: &str) {
    let body = format!("<!doctype html><meta charset=utf-8><title>touchmark</title><p>{text}</p>\n");
    let reply = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\ncontent-security-policy: default-src 'none'\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(reply.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests;
