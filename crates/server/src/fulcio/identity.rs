// SPDX-License-Identifier: Apache-2.0
//! The claims of a verified token to the principal that a certificate names.
//!
//! Fulcio's identity types (docs/oidc.md and docs/oid-info.md of the public project); the subject alternative names of RFC 5280
//! §4.2.1.6.
//!
//! In scope: e-mail, URI and username issuers; the characters that may stand in a name.
//! Out of scope: signatures, audiences, times (`token`, `issuer_keys`); rendering of extensions (`sigstore::issue`).
//! Invariants: a name in a certificate is printable ASCII; what the proof of possession signs is the e-mail address for e-mail
//! issuers and `sub` for all others.

use touchmark_sigstore::principal::{Principal, SubjectAltName};
use url::Url;

use super::config::{IssuerConfig, IssuerKind};
use super::token::{Claims, TokenError};

/// RFC 5321 §4.5.3.1: octets of a local part, of a domain, and (erratum 1690 of RFC 3696) of a whole address.
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 253;
const ADDRESS_BYTES_MAX: usize = 254;
/// RFC 1035 §2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// Names the subject as the issuer's type says.
pub(super) fn principal(issuer: &IssuerConfig, claims: &Claims) -> Result<Principal, TokenError> {
    let subject = claims.text("sub")?;
    if subject.chars().any(char::is_control) {
        return Err(TokenError::SubjectRefused);
    }
    let (san, proof_subject) = match &issuer.kind {
        IssuerKind::Email => {
            claims.email_is_verified()?;
            let address = EmailAddress::parse(claims.text("email")?).ok_or(TokenError::SubjectRefused)?;
            (SubjectAltName::Email(address.0.clone()), address.0)
        }
        IssuerKind::Uri { subject_domain } => {
            (SubjectAltName::Uri(uri_under(subject, subject_domain)?), subject.to_owned())
        }
        IssuerKind::Username { subject_domain } => {
            (SubjectAltName::Username(username_at(subject, subject_domain)?), subject.to_owned())
        }
    };
    Ok(Principal {
        issuer: issuer.url.clone(),
        subject: subject.to_owned(),
        san,
        proof_subject,
        // Issuer and subject have extensions of their own; these kinds of issuers say no more than that.
        extensions: Vec::new(),
    })
}

/// An e-mail address in the plain form `dot-atom@host.name`, in the case in which it came.
///
/// Stricter than RFC 5321: no quoted local parts, no address literals, no comments. Such forms let two readers see two
/// mailboxes, and none of the known issuers vouches for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EmailAddress(String);

impl EmailAddress {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.split_once('@')?;
        let local_fits = (1..=LOCAL_BYTES_MAX).contains(&local.len()) && local.split('.').all(is_atom);
        let domain_fits = domain.len() <= DOMAIN_BYTES_MAX && domain.contains('.') && domain.split('.').all(is_label);
        (text.len() <= ADDRESS_BYTES_MAX && local_fits && domain_fits).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 5322 §3.2.3 `atext`, at least one.
fn is_atom(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
}

fn is_label(text: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
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
    fn plain_addresses_are_accepted_as_they_came() {
        for address in
            ["alice@example.com", "Alice.B+tag@Sub.Example.co", "a@b.c", "untrusted-sa@x.iam.gserviceaccount.com"]
        {
            assert_eq!(EmailAddress::parse(address).map(|parsed| parsed.0), Some(address.to_owned()));
        }
    }

    #[test]
    fn addresses_that_two_readers_could_read_differently_are_refused() {
        for address in [
            "",
            "@",
            "alice",
            "alice@",
            "@example.com",
            "alice@localhost",
            "alice@example.com.",
            "alice@.example.com",
            "alice@example..com",
            ".alice@example.com",
            "alice.@example.com",
            "a..b@example.com",
            "a b@example.com",
            "\"alice\"@example.com",
            "alice@example.com\r\nbcc: eve@example.com",
            "alice\0@example.com",
            "alice@example.com\0",
            "alice@eve.org@example.com",
            "alice@[127.0.0.1]",
            "al\u{ed}ce@example.com",
            "alice@ex\u{e1}mple.com",
            "<a@b.c>",
            "alice@-example.com",
            "alice@example.com,eve@example.com",
            "a@b.c\u{202e}",
        ] {
            assert_eq!(EmailAddress::parse(address), None, "{address:?}");
        }
        assert_eq!(EmailAddress::parse(&format!("{}@example.com", "a".repeat(65))), None);
        assert_eq!(EmailAddress::parse(&format!("a@{}.com", "b".repeat(64))), None);
    }

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
