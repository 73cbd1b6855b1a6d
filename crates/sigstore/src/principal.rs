// SPDX-License-Identifier: Apache-2.0
//! Who a certificate is for: an OIDC issuer, one subject alternative name of its type, and an ordered list of Fulcio's extensions.
//!
//! In scope: the types between a token, a certificate template and a policy. Out of scope: reading claims from a token (the server's
//! `fulcio`), encoding (`issue`), matching (`policy`).
//! Invariant: there is exactly one subject alternative name.

use std::fmt;

/// The identity of a certificate, with its kind: the same text as e-mail and as URI is not the same identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SubjectAltName {
    /// rfc822Name.
    Email(String),
    /// uniformResourceIdentifier.
    Uri(String),
    /// otherName 1.3.6.1.4.1.57264.1.7, `user!domain`.
    Username(String),
    /// dNSName. Fulcio issues none; other authorities do.
    Dns(String),
}

impl SubjectAltName {
    /// The text, without its kind.
    pub fn value(&self) -> &str {
        match self {
            Self::Email(text) | Self::Uri(text) | Self::Username(text) | Self::Dns(text) => text,
        }
    }

    /// What kind of name it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Uri(_) => "URI",
            Self::Username(_) => "username",
            Self::Dns(_) => "DNS name",
        }
    }
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.value())
    }
}

/// An authenticated identity, ready to be certified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The OIDC issuer: extensions .1.1 and .1.8.
    pub issuer: String,
    /// The raw `sub` claim: extension .1.24.
    pub subject: String,
    pub san: SubjectAltName,
    /// The text that a proof of possession signs.
    pub proof_subject: String,
    /// Further extensions by their arc under 1.3.6.1.4.1.57264.1; empty values are left out of the certificate.
    pub extensions: Vec<(u32, String)>,
}
