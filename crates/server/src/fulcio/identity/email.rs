// SPDX-License-Identifier: Apache-2.0
//! E-mail addresses as certificates name people.
//!
//! RFC 5321 §4.1.2 and RFC 5322 §3.2.3, and less than they allow.
//!
//! In scope: the form. Out of scope: whether the issuer verified it (`claims`).
//! Invariant: an [`EmailAddress`] is printable ASCII with one `@`.

/// RFC 5321 §4.5.3.1: octets of a local part, of a domain, and (erratum 1690 of RFC 3696) of a whole address.
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 253;
const ADDRESS_BYTES_MAX: usize = 254;
/// RFC 1035 §2.3.4.
const LABEL_BYTES_MAX: usize = 63;

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
}
