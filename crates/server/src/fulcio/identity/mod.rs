// SPDX-License-Identifier: Apache-2.0
//! The claims of a verified token to the principal that a certificate names.
//!
//! Fulcio's identity types (docs/oidc.md and docs/oid-info.md of the public project); the subject alternative names of RFC 5280
//! §4.2.1.6.
//!
//! In scope: each type of issuer, and the characters that may stand in a name. Out of scope: signatures, audiences, times (`token`,
//! `claims`, `issuer_keys`); templates of CI providers (`provider`); rendering of extensions (`sigstore::issue`).
//! Invariants: a name in a certificate is printable ASCII; what the proof of possession signs is the e-mail address for e-mail
//! issuers and `sub` for all others (for Chainguard: the verified address, if there is one).

mod email;
mod workload;

use touchmark_sigstore::principal::{Principal, SubjectAltName};
use url::Url;

pub(crate) use email::EmailAddress;
pub(super) use workload::is_trust_domain;

use super::claims::Claims;
use super::config::{EmailVerification, IssuerConfig, IssuerKind};
use super::provider::san_url;
use super::token::TokenError;

/// Names the subject as the issuer's type says. `issuer_url` is the token's `iss`.
pub(super) fn principal(config: &IssuerConfig, issuer_url: &str, claims: &Claims) -> Result<Principal, TokenError> {
    let subject = claims.text("sub")?;
    if subject.chars().any(char::is_control) {
        return Err(TokenError::SubjectRefused);
    }
    let mut principal = Principal {
        issuer: issuer_url.to_owned(),
        subject: subject.to_owned(),
        san: SubjectAltName::Uri(String::new()),
        proof_subject: subject.to_owned(),
        // Issuer and subject have extensions of their own; most kinds of issuers say no more than that.
        extensions: Vec::new(),
    };
    principal.san = match &config.kind {
        IssuerKind::Email { issuer_claim, verification } => {
            if *verification == EmailVerification::Demanded {
                claims.email_is_verified()?;
            }
            let address = email_address(claims)?;
            if let Some(path) = issuer_claim {
                principal.issuer = connector(claims.text_at(path)?)?.to_owned();
            }
            principal.proof_subject = address.as_str().to_owned();
            SubjectAltName::Email(address.as_str().to_owned())
        }
        IssuerKind::Uri { subject_domain } => SubjectAltName::Uri(uri_under(subject, subject_domain)?),
        IssuerKind::Username { subject_domain } => SubjectAltName::Username(username_at(subject, subject_domain)?),
        IssuerKind::Spiffe { trust_domain } => SubjectAltName::Uri(workload::spiffe_id(subject, trust_domain)?),
        IssuerKind::Kubernetes => SubjectAltName::Uri(workload::service_account(claims, subject)?),
        IssuerKind::Chainguard => {
            if claims.email_is_verified().is_ok() {
                principal.proof_subject = email_address(claims)?.as_str().to_owned();
            }
            SubjectAltName::Uri(san_url(&format!("{issuer_url}/{subject}")).map_err(|_| TokenError::SubjectRefused)?)
        }
        IssuerKind::CiProvider(provider) => {
            let mapped = provider.map(claims)?;
            principal.extensions = mapped.extensions;
            mapped.san
        }
    };
    Ok(principal)
}

fn email_address(claims: &Claims) -> Result<EmailAddress, TokenError> {
    EmailAddress::parse(claims.text("email")?).ok_or(TokenError::SubjectRefused)
}

/// Who knows the person, where the issuer only passes him on: verifiers see this issuer and no other.
fn connector(text: &str) -> Result<&str, TokenError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if plain { Ok(text) } else { Err(TokenError::SubjectRefused) }
}

/// The subject, if it is a URI whose scheme and host are the configured ones letter for letter.
///
/// The comparison is made on the text and again on the parsed URL: the first knows no normalisation that the second could be
/// fooled by, the second no `user@` trick that the first could miss.
fn uri_under(subject: &str, subject_domain: &str) -> Result<String, TokenError> {
    let rest = subject.strip_prefix(subject_domain).ok_or(TokenError::SubjectRefused)?;
    if !(rest.is_empty() || rest.starts_with(['/', '?', '#'])) || !is_uri_text(subject) {
        return Err(TokenError::SubjectRefused);
    }
    let url = Url::parse(subject).map_err(|_| TokenError::SubjectRefused)?;
    let domain = Url::parse(subject_domain).map_err(|_| TokenError::SubjectRefused)?;
    let plain = url.username().is_empty() && url.password().is_none() && url.port().is_none();
    if !plain || url.scheme() != domain.scheme() || url.host() != domain.host() {
        return Err(TokenError::SubjectRefused);
    }
    // The parser of URLs resolves dot segments, and some readers of certificates do not.
    if subject
        .split(['/', '?', '#'])
        .any(|segment| matches!(&*segment.replace("%2e", ".").replace("%2E", "."), "." | ".."))
    {
        return Err(TokenError::SubjectRefused);
    }
    Ok(subject.to_owned())
}

/// RFC 3986 §2: reserved, unreserved, and `%` before two hexadecimal digits.
fn is_uri_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(position, byte)| match byte {
        b'%' => bytes.get(position + 1..position + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        _ => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(byte),
    })
}

/// `sub!domain`; a `!` or an `@` in the subject would let it speak for another domain or look like an address.
fn username_at(subject: &str, subject_domain: &str) -> Result<String, TokenError> {
    let printable = subject.bytes().all(|byte| byte.is_ascii_graphic());
    if !printable || subject.contains(['!', '@']) {
        return Err(TokenError::SubjectRefused);
    }
    Ok(format!("{subject}!{subject_domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_lie_under_the_configured_scheme_and_host() {
        for subject in ["https://ci.example.com", "https://ci.example.com/a/b?c#d", "https://ci.example.com/%41"] {
            assert_eq!(uri_under(subject, "https://ci.example.com"), Ok(subject.to_owned()));
        }
        for subject in [
            "http://ci.example.com/a",
            "https://ci.example.com.evil.org/a",
            "https://ci.example.com@evil.org/a",
            "https://ci.example.com:443/a",
            "https://evil.org/https://ci.example.com",
            "https://CI.example.com/a",
            "https://ci.example.com\\@evil.org",
            "https://ci.example.com/a b",
            "https://ci.example.com/%zz",
            "https://ci.example.com/100%",
            "https://ci.example.com/\n",
            "https://ci.example.com/\u{e9}",
            "https://sub.ci.example.com/a",
            "alice@ci.example.com",
            "https://ci.example.com/\0",
            "https://ci.example.com/a/../b",
            "https://ci.example.com/a/%2e%2E/b",
            "https://ci.example.com/.",
        ] {
            assert_eq!(uri_under(subject, "https://ci.example.com"), Err(TokenError::SubjectRefused), "{subject:?}");
        }
    }

    #[test]
    fn usernames_cannot_bring_their_own_domain() {
        assert_eq!(username_at("alice", "example.com"), Ok("alice!example.com".to_owned()));
        for subject in ["alice!evil.org", "alice@evil.org", "al ice", "alice\0", "al\u{ed}ce"] {
            assert_eq!(username_at(subject, "example.com"), Err(TokenError::SubjectRefused), "{subject:?}");
        }
    }
}
