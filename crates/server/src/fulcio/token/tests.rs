// SPDX-License-Identifier: Apache-2.0
//! Tests of token shapes and claims. Signatures are tested through the whole service.

use serde_json::json;

use super::*;

const NOW_S: f64 = 1_800_000_000.0;

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn token(header: &str, payload: &str) -> String {
    format!("{}.{}.AAAA", encode(header), encode(payload))
}

fn shape(text: &str) -> Result<(), TokenError> {
    Token::parse(text).map(|_| ())
}

fn claims(changes: &[(&str, Value)]) -> Claims {
    let mut members = Map::new();
    let plain = [("aud", json!("sigstore")), ("iat", json!(NOW_S)), ("exp", json!(NOW_S + 60.0))];
    for (name, value) in plain.iter().chain(changes) {
        if value.is_null() {
            members.remove(*name)
        } else {
            members.insert((*name).to_owned(), value.clone())
        };
    }
    Claims::new(members)
}

fn check(changes: &[(&str, Value)]) -> Result<(), TokenError> {
    claims(changes).check_audience_and_time("sigstore", NOW_S)
}

#[test]
fn a_token_has_exactly_two_dots_and_json_objects_inside() {
    let good = token(r#"{"alg":"RS256"}"#, "{}");
    assert_eq!(shape(&good), Ok(()));
    assert_eq!(shape(""), Err(TokenError::Missing));
    let bad = [
        "a".to_owned(),
        "a.b".to_owned(),
        "..".to_owned(),
        format!("{good}.AAAA"),
        format!(".{good}"),
        good.trim_end_matches("AAAA").to_owned(),
        format!("{good} ").replace("AAAA", "").replace(' ', ""),
        format!(" {good}"),
        token("[]", "{}"),
        token(r#"{"alg":"RS256"}"#, "[]"),
        token(r#"{"alg":"RS256"}"#, "{"),
        token(r#"{"alg":5}"#, "{}"),
        token("{}", "{}"),
        format!("{}=.{}.AAAA", encode(r#"{"alg":"RS256"}"#), encode("{}")),
    ];
    for text in bad {
        assert_eq!(shape(&text), Err(TokenError::Malformed), "{text}");
    }
}

#[test]
fn millions_of_dots_are_refused_by_their_length() {
    assert_eq!(shape(&".".repeat(4 << 20)), Err(TokenError::TooLong));
    assert_eq!(shape(&".".repeat(TOKEN_BYTES_MAX)), Err(TokenError::Malformed));
    assert_eq!(shape(&"A".repeat(TOKEN_BYTES_MAX + 1)), Err(TokenError::TooLong));
}

#[test]
fn no_token_can_choose_none_or_hmac_or_what_is_not_supported() {
    for algorithm in
        ["none", "None", "NONE", "", "HS256", "HS384", "HS512", "ES512", "ES256K", "RS1", "dir", "RSA-OAEP"]
    {
        let header = json!({ "alg": algorithm }).to_string();
        assert_eq!(shape(&token(&header, "{}")), Err(TokenError::AlgorithmRefused), "{algorithm}");
    }
    for header in [
        r#"{"alg":"RS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"RS256","crit":[]}"#,
        r#"{"alg":"RS256","enc":"A256GCM"}"#,
        r#"{"alg":"RS256","cty":"JWT"}"#,
        r#"{"alg":"RS256","cty":"jwt"}"#,
        r#"{"alg":"RS256","cty":null}"#,
    ] {
        assert_eq!(shape(&token(header, "{}")), Err(TokenError::HeaderRefused), "{header}");
    }
    for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
        assert_eq!(shape(&token(&json!({ "alg": name }).to_string(), "{}")), Ok(()), "{name}");
    }
}

#[test]
fn repeated_members_are_refused_in_header_and_claims() {
    for (header, payload) in [
        (r#"{"alg":"RS256","alg":"RS256"}"#, "{}"),
        (r#"{"alg":"RS256","kid":"a","kid":"b"}"#, "{}"),
        (r#"{"alg":"RS256"}"#, r#"{"iss":"https://a.example","iss":"https://b.example"}"#),
        (r#"{"alg":"RS256"}"#, r#"{"email":"a@b.c","\u0065mail":"eve@b.c"}"#),
        (r#"{"alg":"RS256"}"#, r#"{"x":{"y":1,"y":2}}"#),
    ] {
        assert_eq!(shape(&token(header, payload)), Err(TokenError::Malformed), "{header} {payload}");
    }
}

#[test]
fn the_audience_is_equal_to_one_value_and_never_a_part_of_one() {
    for audience in [json!("sigstore"), json!(["sigstore"]), json!(["other", "sigstore"])] {
        assert_eq!(check(&[("aud", audience)]), Ok(()));
    }
    for audience in [
        json!("sigstore2"),
        json!("xsigstore"),
        json!("Sigstore"),
        json!("sigstore "),
        json!([]),
        json!(["a"]),
        json!("a sigstore b"),
    ] {
        assert_eq!(check(&[("aud", audience.clone())]), Err(TokenError::AudienceMismatch), "{audience}");
    }
    for audience in [Value::Null, json!(5), json!({"sigstore": true}), json!(["sigstore", 5]), json!([["sigstore"]])] {
        assert_eq!(check(&[("aud", audience.clone())]), Err(TokenError::ClaimMissing), "{audience}");
    }
}

#[test]
fn expiry_has_no_leeway_and_not_before_has_five_minutes() {
    assert_eq!(check(&[("exp", json!(NOW_S + 1.0))]), Ok(()));
    assert_eq!(check(&[("exp", json!(NOW_S))]), Err(TokenError::Expired));
    assert_eq!(check(&[("exp", json!(NOW_S - 1.0))]), Err(TokenError::Expired));
    assert_eq!(check(&[("nbf", json!(NOW_S + 300.0))]), Ok(()));
    assert_eq!(check(&[("nbf", json!(NOW_S + 301.0))]), Err(TokenError::NotYetValid));
    assert_eq!(check(&[("iat", json!(NOW_S + 301.0))]), Err(TokenError::NotYetValid));
}

#[test]
fn times_are_numbers_that_count_seconds() {
    for value in [Value::Null, json!("1800000060"), json!(-1), json!(1e300), json!(u64::MAX), json!([1]), json!(true)] {
        assert_eq!(check(&[("exp", value.clone())]), Err(TokenError::ClaimMissing), "{value}");
        assert_eq!(check(&[("iat", value.clone())]), Err(TokenError::ClaimMissing), "{value}");
    }
    assert_eq!(check(&[("nbf", json!("soon"))]), Err(TokenError::ClaimMissing));
    assert_eq!(check(&[("exp", json!(NOW_S + 0.5))]), Ok(()));
}

#[test]
fn an_address_counts_as_verified_only_when_the_issuer_says_so() {
    for value in [json!(true), json!("true"), json!("True")] {
        assert_eq!(claims(&[("email_verified", value)]).email_is_verified(), Ok(()));
    }
    for value in [Value::Null, json!(false), json!("false"), json!("TRUE "), json!(1), json!([true])] {
        assert_eq!(claims(&[("email_verified", value)]).email_is_verified(), Err(TokenError::EmailUnverified));
    }
}

#[test]
fn claims_that_are_read_are_strings_of_bounded_length() {
    assert_eq!(claims(&[("sub", json!("a"))]).text("sub"), Ok("a"));
    for value in [Value::Null, json!(""), json!(5), json!(["a"]), json!("a".repeat(CLAIM_BYTES_MAX + 1))] {
        assert_eq!(claims(&[("sub", value)]).text("sub"), Err(TokenError::ClaimMissing));
    }
}

#[test]
fn tokens_that_say_they_are_of_another_kind_are_refused() {
    for (typ, expect) in [
        ("\"JWT\"", Ok(())),
        ("\"jwt\"", Ok(())),
        ("\"JOSE\"", Ok(())),
        ("\"at+jwt\"", Err(TokenError::HeaderRefused)),
        ("\"logout+jwt\"", Err(TokenError::HeaderRefused)),
        ("\"dpop+jwt\"", Err(TokenError::HeaderRefused)),
        ("\"\"", Err(TokenError::HeaderRefused)),
        ("null", Err(TokenError::HeaderRefused)),
        ("1", Err(TokenError::HeaderRefused)),
    ] {
        assert_eq!(shape(&token(&format!(r#"{{"alg":"RS256","typ":{typ}}}"#), "{}")), expect, "{typ}");
    }
}
