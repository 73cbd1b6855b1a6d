// SPDX-License-Identifier: Apache-2.0
//! Signature Version 4: how a request to AWS says who sends it.
//!
//! Spec: AWS IAM User Guide, "Create a signed AWS API request", steps 1 to 5; its published test suite is the test of this module.
//! In scope: requests without a query, whose path is written in its canonical form, as that of a POST to `/` is. Out of scope: queries, signed
//! URLs, chunked bodies.
//! Invariant: the secret key and what is derived from it are wiped, and leave this module only within the signature.

use jiff::Timestamp;
use touchmark_keys::{hmac_sha256, sha256};
use url::Url;
use zeroize::Zeroizing;

use super::credentials::Credentials;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// For which service the signature counts.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// What is signed of a request; names of headers in lower case.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a Url,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// The headers of a request, signed: those given, the time, the session token and the authorization.
pub(super) fn signed_headers(
    request: &Request<'_>,
    scope: Scope<'_>,
    credentials: &Credentials,
    now: Timestamp,
) -> Vec<(String, String)> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = now.strftime("%Y%m%d").to_string();
    let mut sent: Vec<(String, String)> =
        request.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    sent.push(("x-amz-date".to_owned(), time.clone()));
    if let Some(token) = &credentials.session_token {
        sent.push(("x-amz-security-token".to_owned(), token.as_str().to_owned()));
    }
    let mut signed = sent.clone();
    // The HTTP client writes this one by itself.
    signed.push(("host".to_owned(), host(request.url)));
    signed.sort();
    let names = signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");

    // 1 and 2: the canonical request and its hash.
    let hash = hex::encode(sha256(canonical_request(request, &signed, &names).as_bytes()));
    // 3: the string to sign.
    let place = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!("{ALGORITHM}\n{time}\n{place}\n{hash}");
    // 4: the signature.
    let key = signing_key(&credentials.secret_access_key, &date, scope);
    let signature = hex::encode(hmac_sha256(key.as_slice(), to_sign.as_bytes()));
    // 5: the header that says it.
    let id = &credentials.access_key_id;
    let authorization = format!("{ALGORITHM} Credential={id}/{place}, SignedHeaders={names}, Signature={signature}");
    sent.push(("authorization".to_owned(), authorization));
    sent
}

/// Host and, unless it is the usual one, port.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn canonical_request(request: &Request<'_>, headers: &[(String, String)], names: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let (method, path) = (request.method, request.url.path());
    format!("{method}\n{path}\n\n{headers}\n{names}\n{}", hex::encode(sha256(request.body)))
}

fn signing_key(secret_access_key: &str, date: &str, scope: Scope<'_>) -> Zeroizing<[u8; 32]> {
    let secret = Zeroizing::new(format!("AWS4{secret_access_key}"));
    let mut key = Zeroizing::new(hmac_sha256(secret.as_bytes(), date.as_bytes()));
    for part in [scope.region, scope.service, "aws4_request"] {
        key = Zeroizing::new(hmac_sha256(key.as_slice(), part.as_bytes()));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of AWS's own examples; it opens nothing.
    const EXAMPLE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "service" };
    const SESSION_TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn signed(headers: &[(&str, &str)], body: &[u8], session_token: Option<&str>) -> Vec<(String, String)> {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Zeroizing::new(EXAMPLE_SECRET.to_owned()),
            session_token: session_token.map(|token| Zeroizing::new(token.to_owned())),
        };
        let url = Url::parse("https://example.amazonaws.com/").unwrap();
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        signed_headers(&Request { method: "POST", url: &url, headers, body }, SCOPE, &credentials, now)
    }

    /// Cases of AWS's "Signature Version 4 test suite", each under its name there.
    #[test]
    fn the_published_requests_have_the_published_signatures() {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let form_utf8 = [("content-type", "application/x-www-form-urlencoded; charset=utf8")];
        for (name, headers, body, token, names, signature) in [
            (
                "post-vanilla",
                [].as_slice(),
                "",
                None,
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-header-value-case",
                &[("my-header1", "VALUE1")],
                "",
                None,
                "host;my-header1;x-amz-date",
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "post-x-www-form-urlencoded",
                &form,
                "Param1=value1",
                None,
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-x-www-form-urlencoded-parameters",
                &form_utf8,
                "Param1=value1",
                None,
                "content-type;host;x-amz-date",
                "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
            ),
            (
                "post-sts-header-before",
                &[],
                "",
                Some(SESSION_TOKEN),
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let sent = signed(headers, body.as_bytes(), token);
            let expect = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(sent.last(), Some(&("authorization".to_owned(), expect)), "{name}");
            assert!(sent.contains(&("x-amz-date".to_owned(), "20150830T123600Z".to_owned())), "{name}");
        }
    }

    /// `post-x-www-form-urlencoded`, step by step.
    #[test]
    fn the_published_request_has_the_published_canonical_form() {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let url = Url::parse("https://example.amazonaws.com/").unwrap();
        let request = Request { method: "POST", url: &url, headers: &[], body: b"Param1=value1" };
        let canonical = canonical_request(&request, &headers, "content-type;host;x-amz-date");
        assert_eq!(
            canonical,
            "POST\n/\n\ncontent-type:application/x-www-form-urlencoded\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\n9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
        );
        assert_eq!(
            hex::encode(sha256(canonical.as_bytes())),
            "42a5e5bb34198acb3e84da4f085bb7927f2bc277ca766e6d19c73c2154021281"
        );
    }

    /// "Deriving the signing key" of the guide, with its example values.
    #[test]
    fn the_published_signing_key_is_derived() {
        let scope = Scope { region: "us-east-1", service: "iam" };
        assert_eq!(
            hex::encode(signing_key(EXAMPLE_SECRET, "20150830", scope)),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }

    #[test]
    fn a_port_that_is_not_the_usual_one_belongs_to_the_host() {
        for (url, expect) in [
            ("https://kms.example.com/", "kms.example.com"),
            ("https://kms.example.com:443/", "kms.example.com"),
            ("http://127.0.0.1:4566/", "127.0.0.1:4566"),
            ("http://[::1]:4566/", "[::1]:4566"),
        ] {
            assert_eq!(host(&Url::parse(url).unwrap()), expect);
        }
    }
}
