// SPDX-License-Identifier: Apache-2.0
//! Reading tokens.

use super::*;

fn token(claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(claims), part("signature"))
}

const ALICE: &str = r#"{"iss":"https://issuer.example","sub":"alice-1","aud":"sigstore","exp":2000000000,
    "email":"alice@example.com","email_verified":true,"nonce":"n"}"#;

#[test]
fn claims_are_read() {
    let parsed = IdentityToken::parse(&format!(" {}\n", token(ALICE))).unwrap();
    let claims = parsed.claims();
    assert_eq!(claims.issuer, "https://issuer.example");
    assert_eq!(claims.subject, "alice-1");
    assert_eq!(claims.display_name(), "alice@example.com");
    assert_eq!(claims.audience, ["sigstore"]);
    assert_eq!(claims.nonce.as_deref(), Some("n"));
    parsed.check_time(Timestamp::from_second(1_999_999_999).unwrap()).unwrap();
    let late = Timestamp::from_second(2_000_000_000).unwrap();
    assert!(matches!(parsed.check_time(late), Err(IdentityError::Expired { .. })));
}

#[test]
fn an_email_counts_only_when_verified() {
    let with = |verified: &str| {
        let claims =
            format!(r#"{{"iss":"i","sub":"s","exp":2000000000.5,"aud":["a","b"],"email":"e@x.org"{verified}}}"#);
        IdentityToken::parse(&token(&claims)).unwrap().claims().display_name().to_owned()
    };
    assert_eq!(with(""), "s");
    assert_eq!(with(r#","email_verified":false"#), "s");
    assert_eq!(with(r#","email_verified":"false""#), "s");
    assert_eq!(with(r#","email_verified":"true""#), "e@x.org");
    assert_eq!(with(r#","email_verified":true"#), "e@x.org");
}

#[test]
fn nonsense_is_refused() {
    let check = |raw: &str, expected: &str| {
        let found = IdentityToken::parse(raw).expect_err(raw).to_string();
        assert!(found.contains(expected), "{found}");
    };
    check("", "three parts");
    check("a.b", "three parts");
    check("a.b.c.d", "three parts");
    check("..", "three parts");
    check(&".".repeat(1000), "three parts");
    check(&"a".repeat(TOKEN_BYTES_MAX + 1), "longer than");
    check("a.!.c", "base64url");
    check(&token("[]"), "base64url");
    check(&token(r#"{"sub":"s","exp":1}"#), "\"iss\"");
    check(&token(r#"{"iss":"i","sub":"","exp":1}"#), "\"sub\"");
    check(&token(r#"{"iss":"i","sub":"s"}"#), "\"exp\"");
    check(&token(r#"{"iss":"i","sub":"s","exp":-1}"#), "\"exp\"");
    check(&token(r#"{"iss":"i","sub":"s","exp":1e300}"#), "\"exp\"");
}

#[test]
fn an_argument_is_a_token_or_a_file_with_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token.jwt");
    std::fs::write(&path, format!("{}\n", token(ALICE))).unwrap();
    for argument in [path.to_str().unwrap(), &token(ALICE)] {
        assert_eq!(IdentityToken::from_argument(argument).unwrap().claims().subject, "alice-1");
    }
    let missing = IdentityToken::from_argument("no-such-file").unwrap_err();
    assert!(matches!(missing, IdentityError::NeitherTokenNorFile { .. }));
}

#[test]
fn a_token_is_never_shown() {
    let raw = token(ALICE);
    let shown = format!("{:?}", IdentityToken::parse(&raw).unwrap());
    assert!(!shown.contains(&raw) && !shown.contains("alice"), "{shown}");
    let broken = raw.replace('.', "-");
    let error = format!("{:?}", IdentityToken::from_argument(&broken).unwrap_err());
    assert!(!error.contains(&broken[..20]), "{error}");
}
