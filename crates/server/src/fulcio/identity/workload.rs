// SPDX-License-Identifier: Apache-2.0
//! Workloads: SPIFFE IDs and Kubernetes service accounts.
//!
//! SPIFFE-ID §2 (the form of an ID, compared byte for byte), JWT-SVID §3.1 (`sub`); Kubernetes' bound service account tokens (the claim
//! `kubernetes.io`).
//!
//! In scope: their names. Out of scope: signatures and audiences.
//! Invariants: a SPIFFE ID is of exactly the configured trust domain; a service account has a namespace and a name, and the token's
//! subject says the same.

use serde_json::Value;

use crate::fulcio::claims::{ClaimPath, Claims};
use crate::fulcio::token::TokenError;

/// SPIFFE-ID §2.1: the longest name of a trust domain.
const TRUST_DOMAIN_BYTES_MAX: usize = 255;
/// Kubernetes: a namespace is a DNS label (RFC 1123), a service account a DNS subdomain.
const NAMESPACE_BYTES_MAX: usize = 63;
const ACCOUNT_BYTES_MAX: usize = 253;

/// SPIFFE-ID §2.1: lower case letters, digits, dots, hyphens, underscores.
pub(in crate::fulcio) fn is_trust_domain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    (1..=TRUST_DOMAIN_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// The ID as it came. No port, user, query, fragment, percent-encoding or empty segment can be in one (§2.2).
pub(super) fn spiffe_id(subject: &str, trust_domain: &str) -> Result<String, TokenError> {
    let path = subject.strip_prefix("spiffe://").and_then(|rest| rest.strip_prefix(trust_domain));
    let path = path.ok_or(TokenError::SubjectRefused)?;
    let is_segment = |segment: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        !matches!(segment, "" | "." | "..") && segment.bytes().all(allowed)
    };
    // The trust domain alone is the ID of its authority, not of a workload: JWT-SVID §3.1 wants the subject's own.
    let segments = path.strip_prefix('/').ok_or(TokenError::SubjectRefused)?;
    if !segments.split('/').all(is_segment) {
        return Err(TokenError::SubjectRefused);
    }
    Ok(subject.to_owned())
}

/// `https://kubernetes.io/namespaces/NAMESPACE/serviceaccounts/NAME`. It is the same in every cluster: who verifies, pins the issuer.
pub(super) fn service_account(claims: &Claims, subject: &str) -> Result<String, TokenError> {
    let text = |pointer: &str| {
        let path = ClaimPath::from_name_or_pointer(pointer).expect("the pointers below are paths");
        claims.at(&path).and_then(Value::as_str).ok_or(TokenError::ClaimMissing)
    };
    let namespace = text("/kubernetes.io/namespace")?;
    let account = text("/kubernetes.io/serviceaccount/name")?;
    let is_name = |text: &str, max: usize| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        (1..=max).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.') && !text.contains("..")
    };
    let named =
        is_name(namespace, NAMESPACE_BYTES_MAX) && !namespace.contains('.') && is_name(account, ACCOUNT_BYTES_MAX);
    // Kubernetes makes both from one account: where they differ, somebody else made the token.
    if !named || subject != format!("system:serviceaccount:{namespace}:{account}") {
        return Err(TokenError::SubjectRefused);
    }
    Ok(format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spiffe_ids_are_of_the_trust_domain_itself() {
        for subject in ["spiffe://example.org/a", "spiffe://example.org/ns/prod/sa/web-1_x.Y"] {
            assert_eq!(spiffe_id(subject, "example.org"), Ok(subject.to_owned()));
        }
        for subject in [
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://sub.example.org/a",
            "spiffe://example.org.evil.com/a",
            "spiffe://evilexample.org/a",
            "spiffe://EXAMPLE.org/a",
            "SPIFFE://example.org/a",
            "spiffe://example.org:443/a",
            "spiffe://user@example.org/a",
            "spiffe://example.org@evil.com/a",
            "spiffe://example.org/a?x=1",
            "spiffe://example.org/a#x",
            "spiffe://example.org?x/a",
            "spiffe://example.org/a//b",
            "spiffe://example.org/a/",
            "spiffe://example.org/../a",
            "spiffe://example.org/./a",
            "spiffe://example.org/%61",
            "spiffe://example.org/a b",
            "spiffe://example.org/\u{e9}",
            "https://example.org/a",
            "",
        ] {
            assert_eq!(spiffe_id(subject, "example.org"), Err(TokenError::SubjectRefused), "{subject:?}");
        }
        for domain in ["example.org", "a_b-c.d1"] {
            assert!(is_trust_domain(domain), "{domain}");
        }
        for domain in ["", "Example.org", "example.org/a", "example.org:1", "spiffe://x", "a b", &"a".repeat(256)] {
            assert!(!is_trust_domain(domain), "{domain}");
        }
    }

    fn account(kubernetes: &Value, subject: &str) -> Result<String, TokenError> {
        let Value::Object(members) = json!({ "kubernetes.io": kubernetes, "sub": subject }) else { unreachable!() };
        service_account(&Claims::new(members), subject)
    }

    #[test]
    fn a_service_account_has_a_namespace_and_a_name_and_the_subject_says_the_same() {
        let of = |namespace: &str, name: &str| json!({ "namespace": namespace, "serviceaccount": { "name": name, "uid": "u" } });
        assert_eq!(
            account(&of("prod", "web.v2"), "system:serviceaccount:prod:web.v2").as_deref(),
            Ok("https://kubernetes.io/namespaces/prod/serviceaccounts/web.v2")
        );
        for (kubernetes, subject) in [
            (of("", "web"), "system:serviceaccount::web"),
            (of("prod", ""), "system:serviceaccount:prod:"),
            (of("prod", "web"), "system:serviceaccount:prod:admin"),
            (of("prod", "web"), "alice"),
            (of("a/b", "web"), "system:serviceaccount:a/b:web"),
            (of("prod", "../x"), "system:serviceaccount:prod:../x"),
            (of("prod", "Web"), "system:serviceaccount:prod:Web"),
            (of("pr.od", "web"), "system:serviceaccount:pr.od:web"),
        ] {
            assert_eq!(account(&kubernetes, subject), Err(TokenError::SubjectRefused), "{kubernetes} {subject}");
        }
        for kubernetes in
            [json!({}), json!("x"), json!({ "namespace": "prod" }), json!({ "namespace": 1, "serviceaccount": {} })]
        {
            assert_eq!(account(&kubernetes, "x"), Err(TokenError::ClaimMissing), "{kubernetes}");
        }
    }
}
