// SPDX-License-Identifier: Apache-2.0
//! Issuers by a pattern: one line for all clusters of a cloud, all organisations of an enterprise.
//!
//! Fulcio's meta-issuers: `*` stands for one or more of `-`, `_`, letters and digits, so that it never crosses a dot or a slash; the
//! whole URL has to fit.
//!
//! In scope: reading a pattern, what fits it, whether two patterns share a URL. Out of scope: what the issuer is then asked (`issuer_keys`).
//! Invariants: only `https` URLs fit; the last two labels of the host are the pattern's own, so nobody brings his own host; there is neither
//! user, query nor fragment in a URL that fits (GHSA-59jp-pj84-45mr).

use std::fmt;

use url::Url;

/// A pattern is configured by hand; this bounds the work of comparing.
const PATTERN_BYTES_MAX: usize = 512;
/// How many labels at the end of a host must be literal: `example.com`.
const LITERAL_LABELS: usize = 2;

/// A pattern of issuer URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerPattern(String);

impl IssuerPattern {
    /// `None` if the text is no pattern that may be used.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://")?;
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.split(':').next().unwrap_or_default();
        let literal = host.rsplit('.').take(LITERAL_LABELS).filter(|label| !label.contains('*')).count();
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['?', '#', '@', '%', '\\']);
        let is_url = Url::parse(&text.replace('*', "x")).is_ok_and(|url| url.has_host());
        // An issuer that is one URL is written as one; `**` would mean what `*` means.
        let fits = text.len() <= PATTERN_BYTES_MAX && text.contains('*') && !text.contains("**");
        (literal == LITERAL_LABELS && plain && is_url && fits && !authority.contains(":*"))
            .then(|| Self(text.to_owned()))
    }

    /// Whether a URL fits, whole and letter for letter.
    pub(super) fn fits(&self, url: &str) -> bool {
        // The places in the pattern that the bytes so far can have led to.
        let pattern = self.0.as_bytes();
        let mut places = vec![false; pattern.len() + 1];
        places[0] = true;
        for byte in url.bytes() {
            let mut next = vec![false; pattern.len() + 1];
            for (place, own) in pattern.iter().enumerate().filter(|(place, _)| places[*place]) {
                let is_star = *own == b'*';
                if (is_star && is_wild(byte)) || (!is_star && *own == byte) {
                    next[place + 1] = true;
                    // A star can take one more.
                    next[place] |= is_star;
                }
            }
            places = next;
        }
        places[pattern.len()]
    }

    /// Whether some URL fits both: which of the two spoke for it would be a matter of luck.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), other.0.as_bytes());
        // Pairs of places that one text can lead to, in the order in which they are found.
        let mut seen = vec![false; (ours.len() + 1) * (theirs.len() + 1)];
        let mut open = vec![(0, 0)];
        while let Some((a, b)) = open.pop() {
            let known = &mut seen[a * (theirs.len() + 1) + b];
            if std::mem::replace(known, true) {
                continue;
            }
            match (ours.get(a), theirs.get(b)) {
                (None, None) => return true,
                (Some(b'*'), Some(b'*')) => open.extend([(a, b + 1), (a + 1, b), (a + 1, b + 1)]),
                (Some(b'*'), Some(byte)) if is_wild(*byte) => open.extend([(a, b + 1), (a + 1, b + 1)]),
                (Some(byte), Some(b'*')) if is_wild(*byte) => open.extend([(a + 1, b), (a + 1, b + 1)]),
                (Some(one), Some(two)) if one == two => open.push((a + 1, b + 1)),
                _ => {}
            }
        }
        false
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IssuerPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_wild(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> IssuerPattern {
        IssuerPattern::parse(text).unwrap_or_else(|| panic!("{text} is a pattern"))
    }

    #[test]
    fn a_star_is_one_part_of_a_host_or_a_path() {
        let eks = pattern("https://oidc.eks.*.amazonaws.com/id/*");
        for url in [
            "https://oidc.eks.us-west-2.amazonaws.com/id/B02C93B6A2D30341AD01E1B6D48164CB",
            "https://oidc.eks.x.amazonaws.com/id/a_b-c",
        ] {
            assert!(eks.fits(url), "{url}");
        }
        for url in [
            "https://oidc.eks..amazonaws.com/id/A",
            "https://oidc.eks.us-west-2.amazonaws.com/id/",
            "https://oidc.eks.us-west-2.amazonaws.com/id/A/",
            "https://oidc.eks.us-west-2.amazonaws.com/id/A/B",
            "https://oidc.eks.us.west.amazonaws.com/id/A",
            "https://oidc.eks.us-west-2.amazonaws.com.evil.org/id/A",
            "http://oidc.eks.us-west-2.amazonaws.com/id/A",
            "https://oidc.eks.us-west-2.amazonaws.com/id/A%2e",
            "https://oidc.eks.*.amazonaws.com/id/*",
            "",
        ] {
            assert!(!eks.fits(url), "{url}");
        }
        assert!(pattern("https://x.example.com/a*b*c").fits("https://x.example.com/abbbcbc"));
        assert!(!pattern("https://x.example.com/a*b*c").fits("https://x.example.com/abc"));
    }

    #[test]
    fn patterns_that_would_let_anybody_name_a_host_are_refused() {
        for text in [
            "https://issuer.example.com",
            "http://*.example.com/x",
            "https://*",
            "https://*.com",
            "https://example.*",
            "https://*.example.*",
            "https://ex*mple.com",
            "https://*.example.com:*/x",
            "https://*@a.example.com/x",
            "https://a.example.com/*?x",
            "https://a.example.com/*#x",
            "https://a.example.com/**",
            "https://a.example.com/ *",
            "https://",
            "*",
            "",
        ] {
            assert_eq!(IssuerPattern::parse(text), None, "{text:?}");
        }
        for text in ["https://*.example.com", "https://a.example.com/*", "https://*.oic.prod-aks.azure.com/*/*/"] {
            assert!(IssuerPattern::parse(text).is_some(), "{text}");
        }
    }

    #[test]
    fn two_patterns_overlap_if_one_url_fits_both() {
        for (one, two, expect) in [
            ("https://a.example.com/*", "https://a.example.com/*", true),
            ("https://a.example.com/*/x", "https://a.example.com/y/*", true),
            ("https://a.example.com/*", "https://a.example.com/*/*", false),
            ("https://a.example.com/*", "https://a.example.com/*/", false),
            ("https://*.example.com/x", "https://a.example.com/*", true),
            ("https://*.example.com/x", "https://a.b.example.com/*", false),
            ("https://a.example.com/a*", "https://a.example.com/*b", true),
            ("https://a.example.com/a*", "https://a.example.com/b*", false),
        ] {
            assert_eq!(pattern(one).overlaps(&pattern(two)), expect, "{one} {two}");
            assert_eq!(pattern(two).overlaps(&pattern(one)), expect, "{two} {one}");
        }
    }

    proptest! {
        #[test]
        fn overlapping_is_what_fitting_says(one in "[ab*]{1,4}", two in "[ab*]{1,4}", text in "[ab]{1,6}") {
            let of = |tail: &str| IssuerPattern::parse(&format!("https://x.example.com/{tail}"));
            if let (Some(one), Some(two)) = (of(&one), of(&two)) {
                let url = format!("https://x.example.com/{text}");
                if one.fits(&url) && two.fits(&url) {
                    prop_assert!(one.overlaps(&two));
                }
            }
        }
    }
}
