// SPDX-License-Identifier: Apache-2.0
//! Which texts a matcher matches.

use proptest::prelude::*;

use super::*;
use crate::policy::identity::IdentityMatcher;

#[test]
fn alternatives_and_flags_do_not_escape_the_anchors() {
    let pattern = Matcher::pattern("a|b").unwrap();
    assert!(pattern.matches("a") && pattern.matches("b"));
    assert!(!pattern.matches("ax") && !pattern.matches("xb"));
    let lines = Matcher::pattern("(?m)^a$").unwrap();
    assert!(lines.matches("a") && !lines.matches("b\na"));
    for bad in ["a)|(b", "a)|(?:b", "(", "(?x) a #"] {
        assert!(matches!(Matcher::pattern(bad), Err(MatcherError::Malformed(_))), "{bad}");
    }
}

#[test]
fn empty_and_oversized_matchers_are_refused() {
    assert_eq!(Matcher::exact("").unwrap_err(), MatcherError::Empty);
    assert_eq!(Matcher::pattern("").unwrap_err(), MatcherError::Empty);
    assert_eq!(IdentityMatcher::exact("").unwrap_err(), MatcherError::Empty);
    let long = "a".repeat(PATTERN_BYTES_MAX + 1);
    assert_eq!(Matcher::pattern(&long).unwrap_err(), MatcherError::TooLong { bytes: long.len() });
    assert!(matches!(Matcher::pattern("((a{1000}){1000}){1000}"), Err(MatcherError::Malformed(_))));
}

#[test]
fn anchors_that_are_written_change_nothing() {
    for pattern in ["^https://a/[0-9]+$", "https://a/[0-9]+", r"\Ahttps://a/[0-9]+\z"] {
        let matcher = Matcher::pattern(pattern).unwrap();
        assert!(matcher.matches("https://a/12"), "{pattern}");
        for other in ["https://a/12\n", "xhttps://a/12", "https://a/12/", "https://a/"] {
            assert!(!matcher.matches(other), "{pattern} {other:?}");
        }
    }
}

#[test]
fn globs() {
    for (glob, text, expect) in [
        ("a/*", "a/b", true),
        ("a/*", "a/", true),
        ("a/*", "a/b/c", false),
        ("a/**", "a/b/c", true),
        ("a/**", "a", false),
        ("*@example.com", "alice@example.com", true),
        ("*@example.com", "alice@example.com.evil", false),
        ("*@example.com", "x/alice@example.com", false),
        ("https://*/x", "https://host/x", true),
        ("https://*/x", "https://host/evil/x", false),
        ("a.b", "axb", false),
        ("a?b", "acb", false),
        ("a?b", "a?b", true),
        ("[ab]", "a", false),
        ("a**c", "a\nb/c", true),
        ("*", "", true),
        ("*", "a\nb", true),
        ("a", "a", true),
    ] {
        assert_eq!(Matcher::glob(glob).unwrap().matches(text), expect, "{glob} {text:?}");
    }
    for (glob, error) in [("", MatcherError::Empty), ("a***", MatcherError::Stars), ("****", MatcherError::Stars)] {
        assert_eq!(Matcher::glob(glob).unwrap_err(), error, "{glob}");
    }
}

#[test]
fn an_email_domain_is_the_whole_of_what_follows_the_only_at_sign() {
    let matcher = Matcher::email_domain("example.com").unwrap();
    for (text, expect) in [
        ("alice@example.com", true),
        ("a.b+c@example.com", true),
        ("@example.com", false),
        ("alice@sub.example.com", false),
        ("alice@evil-example.com", false),
        ("alice@example.com.evil", false),
        ("alice@evil@example.com", false),
        ("alice@Example.com", false),
        ("example.com", false),
    ] {
        assert_eq!(matcher.matches(text), expect, "{text}");
    }
    for domain in ["@example.com", "*.example.com", ".example.com", "a b", "a/b"] {
        assert_eq!(Matcher::email_domain(domain).unwrap_err(), MatcherError::Domain(domain.into()));
    }
    assert_eq!(Matcher::email_domain("").unwrap_err(), MatcherError::Empty);
}

#[test]
fn one_of_several_is_enough_and_none_is_no_matcher() {
    let (a, b) = (Matcher::exact("a").unwrap(), Matcher::glob("b*").unwrap());
    let either = Matcher::any_of(vec![a.clone(), b]).unwrap();
    assert!(either.matches("a") && either.matches("bc") && !either.matches("c"));
    assert_eq!(either.to_string(), "a or like b*");
    assert_eq!(Matcher::any_of(vec![a.clone()]).unwrap().as_exact(), Some("a"));
    assert_eq!(Matcher::any_of(Vec::new()).unwrap_err(), MatcherError::Empty);
    let found = ALTERNATIVES_MAX + 1;
    assert_eq!(Matcher::any_of(vec![a; found]).unwrap_err(), MatcherError::TooManyAlternatives { found });
}

/// What a glob means, without a regular expression.
fn glob_matches(glob: &[char], text: &[char]) -> bool {
    match glob {
        [] => text.is_empty(),
        ['*', '*', rest @ ..] => (0..=text.len()).any(|skipped| glob_matches(rest, &text[skipped..])),
        ['*', rest @ ..] => (0..=text.len())
            .take_while(|skipped| !text[..*skipped].contains(&'/'))
            .any(|skipped| glob_matches(rest, &text[skipped..])),
        [literal, rest @ ..] => text.first() == Some(literal) && glob_matches(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn an_exact_matcher_matches_that_text_alone(text in ".{1,20}", other in ".{0,20}") {
        let matcher = Matcher::exact(&text).unwrap();
        prop_assert!(matcher.matches(&text));
        prop_assert_eq!(matcher.matches(&other), text == other);
        prop_assert_eq!(Matcher::glob(&text.replace('*', "-")).unwrap().matches(&text), !text.contains('*'));
    }

    #[test]
    fn a_glob_matches_what_its_definition_says(glob in "[ab/.*]{1,8}", text in "[ab/.]{0,8}") {
        let Ok(matcher) = Matcher::glob(&glob) else {
            prop_assert!(glob.contains("***"));
            return Ok(());
        };
        let (glob, text_chars): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
        prop_assert_eq!(matcher.matches(&text), glob_matches(&glob, &text_chars));
    }

    #[test]
    fn any_pattern_or_glob_is_a_matcher_or_an_error(text in any::<String>(), found in any::<String>()) {
        for matcher in [Matcher::pattern(&text), Matcher::glob(&text), Matcher::email_domain(&text)].into_iter().flatten() {
            let _ = matcher.matches(&found);
            matcher.closeness(&found);
        }
    }
}
