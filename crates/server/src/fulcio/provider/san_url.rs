// SPDX-License-Identifier: Apache-2.0
//! A rendered template to the URL that a certificate names.
//!
//! The public service puts the text through Go's `url.Parse` and `URL.String`, so that spaces and letters beyond ASCII come out
//! percent-encoded; what verifiers compare with is that text (RFC 3986 §2.1, RFC 5280 §4.2.1.6).
//!
//! In scope: that spelling for `http` and `https` URLs. Out of scope: rendering (`template`).
//! Invariants: the result is ASCII and holds only characters of RFC 3986; its host is plain; no path segment is `.` or `..`, however it is
//! written, because two readers would see two places in it.

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SanUrlError {
    #[error("it is not an http or https URL with a host")]
    NotWeb,
    #[error("its host is not plain: letters, digits, dots, hyphens, and perhaps a port")]
    Host,
    #[error("it has a control character")]
    Control,
    #[error("a percent sign in it is not followed by two hexadecimal digits")]
    Percent,
    #[error("a segment of its path is . or ..")]
    DotSegment,
    #[error("its query or fragment has a character that no URL has")]
    Character,
}

/// What may stand unescaped beside letters, digits and `-._~`.
#[derive(Clone, Copy)]
enum Part {
    Path,
    Fragment,
}

/// The text as Go writes the URL that it reads from it.
pub(in crate::fulcio) fn san_url(text: &str) -> Result<String, SanUrlError> {
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err(SanUrlError::Control);
    }
    let (rest, fragment) = match text.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (text, None),
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (scheme, rest) = rest.split_once("://").ok_or(SanUrlError::NotWeb)?;
    if !matches!(scheme, "http" | "https") {
        return Err(SanUrlError::NotWeb);
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    expect_plain(authority)?;
    expect_no_dot_segment(path)?;
    let mut url = format!("{scheme}://{authority}{}", spelled(path, Part::Path)?);
    if let Some(query) = query {
        if !query.bytes().all(|byte| is_plain(byte) || b"%!$&'()*+,;=:@/?[]".contains(&byte)) {
            return Err(SanUrlError::Character);
        }
        unescape(query)?;
        url.push('?');
        url.push_str(query);
    }
    if let Some(fragment) = fragment.filter(|fragment| !fragment.is_empty()) {
        url.push('#');
        url.push_str(&spelled(fragment, Part::Fragment)?);
    }
    Ok(url)
}

/// A user before an `@`, brackets and percent signs are left to those who need them.
fn expect_plain(authority: &str) -> Result<(), SanUrlError> {
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        !label.is_empty() && plain
    };
    let port_is_plain =
        port.is_none_or(|port| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()));
    if host.split('.').all(is_label) && port_is_plain { Ok(()) } else { Err(SanUrlError::Host) }
}

fn expect_no_dot_segment(path: &str) -> Result<(), SanUrlError> {
    let decoded = unescape(path)?;
    let is_dots = |segment: &[u8]| segment == b"." || segment == b"..";
    // A backslash is a slash to some readers.
    if decoded.split(|byte| *byte == b'/' || *byte == b'\\').any(is_dots) {
        return Err(SanUrlError::DotSegment);
    }
    Ok(())
}

/// As it came, if every character may stand there; else decoded and encoded again, all of it.
fn spelled(text: &str, part: Part) -> Result<String, SanUrlError> {
    let decoded = unescape(text)?;
    if text.bytes().all(|byte| stands_unescaped(byte, part) || b"!'()*[]%".contains(&byte)) {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    for byte in decoded {
        if stands_unescaped(byte, part) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(out)
}

/// Go's `shouldEscape`, turned around.
fn stands_unescaped(byte: u8, part: Part) -> bool {
    is_plain(byte)
        || b"$&+,/:;=@".contains(&byte)
        || match part {
            Part::Path => false,
            Part::Fragment => b"?!()*".contains(&byte),
        }
}

/// RFC 3986 §2.3: unreserved.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

fn unescape(text: &str) -> Result<Vec<u8>, SanUrlError> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or(SanUrlError::Percent);
        let value = digit()? * 16 + digit()?;
        out.push(u8::try_from(value).expect("two hexadecimal digits are a byte"));
    }
    // A control character is one however it is written.
    if out.iter().any(|byte| *byte < 0x20 || *byte == 0x7f) {
        return Err(SanUrlError::Control);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_are_spelled_as_go_spells_them() {
        // Each pair is what Go 1.26's url.Parse and String make of the text.
        for (text, expect) in [
            ("https://github.com/o/r/.github/workflows/w.yml@refs/heads/main", None),
            ("https://gitlab.com/g/p//.gitlab-ci.yml@refs/heads/main", None),
            ("https://github.com/o/r@refs/heads/a b", Some("https://github.com/o/r@refs/heads/a%20b")),
            ("https://github.com/o/r@refs/heads/\u{fc}", Some("https://github.com/o/r@refs/heads/%C3%BC")),
            ("https://github.com/o/a!b", None),
            ("https://github.com/o/a!b c", Some("https://github.com/o/a%21b%20c")),
            ("https://github.com/o/a%2Fb", None),
            ("https://github.com/o/a%2Fb c", Some("https://github.com/o/a/b%20c")),
            ("https://github.com/o/&<>\"", Some("https://github.com/o/&%3C%3E%22")),
            ("https://github.com/o/a?b=c&d", None),
            ("https://buildkite.com/o/p/builds/1#018b-x", None),
            ("https://buildkite.com/o#a b", Some("https://buildkite.com/o#a%20b")),
            ("https://buildkite.com/o#", Some("https://buildkite.com/o")),
            ("https://g.codefresh.io/acc/proj/pipe:1234/5678", None),
            ("https://ci.example.com:8443/x", None),
            ("https://ci.example.com", None),
            ("https://app.circleci.com//workflow/x", None),
            ("https://e.com/a^b", Some("https://e.com/a%5Eb")),
            ("https://e.com/a|b'c", Some("https://e.com/a%7Cb%27c")),
            ("https://e.com/a;b c", Some("https://e.com/a;b%20c")),
            ("https://e.com/~x;y,z*", None),
            ("https://e.com/a?", None),
            ("https://e.com/a#b'c[d]", None),
            ("https://e.com/a#b'c d!", Some("https://e.com/a#b%27c%20d!")),
            ("https://e.com/[x]", None),
            ("https://e.com/{x}", Some("https://e.com/%7Bx%7D")),
        ] {
            assert_eq!(san_url(text).as_deref(), Ok(expect.unwrap_or(text)), "{text}");
        }
    }

    #[test]
    fn texts_that_two_readers_could_read_differently_are_refused() {
        use SanUrlError::*;
        for (text, expect) in [
            ("", NotWeb),
            ("github.com/o", NotWeb),
            ("repo:o/r", NotWeb),
            ("ftp://github.com/o", NotWeb),
            ("HTTPS://github.com/o", NotWeb),
            ("https:///o", Host),
            ("https://user@github.com/o", Host),
            ("https://github.com:443@evil.org/o", Host),
            ("https://github.com:x/o", Host),
            ("https://github.com:/o", Host),
            ("https://git hub.com/o", Host),
            ("https://github.com\\@evil.org", Host),
            ("https://g\u{131}thub.com/o", Host),
            ("https://[::1]/o", Host),
            ("https://github..com/o", Host),
            ("https://github.com/o\n", Control),
            ("https://github.com/\0", Control),
            ("https://github.com/%00", Control),
            ("https://github.com/%0a", Control),
            ("https://github.com/100%", Percent),
            ("https://github.com/%zz", Percent),
            ("https://github.com/a?%zz", Percent),
            ("https://github.com/a/../b", DotSegment),
            ("https://github.com/a/%2e%2E/b", DotSegment),
            ("https://github.com/a/.", DotSegment),
            ("https://github.com/a\\..\\b", DotSegment),
            ("https://github.com/a?b c", Character),
            ("https://github.com/a?\u{fc}", Character),
        ] {
            assert_eq!(san_url(text), Err(expect), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_ascii_and_names_itself(text in "https://[a-z]{1,8}/\\PC{0,40}") {
            if let Ok(url) = san_url(&text) {
                prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(san_url(&url), Ok(url));
            }
        }
    }
}
