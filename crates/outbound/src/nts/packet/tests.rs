// SPDX-License-Identifier: Apache-2.0
//! Answers as bytes: what is read of them, and that no other byte is.

use proptest::prelude::*;
use touchmark_keys::SIV_KEY_BYTES;
use zeroize::Zeroizing;

use super::*;

fn key(byte: u8) -> SivKey {
    SivKey::new(Zeroizing::new([byte; SIV_KEY_BYTES]))
}

fn cookie(byte: u8) -> Cookie {
    Cookie::of(&[byte; 100]).unwrap()
}

fn question() -> Question {
    Question::new(&key(1), &cookie(1), 7)
}

/// An answer: what stands before the seal, what is sealed, and what follows.
fn answer(question: &Question, nonce: &[u8], plaintext: &[u8], behind: &[u8]) -> Vec<u8> {
    let mut answer = vec![0; HEADER_BYTES];
    answer[..2].copy_from_slice(&[4 << 3 | 4, 1]);
    answer[24..32].copy_from_slice(&question.origin);
    push(&mut answer, UNIQUE_IDENTIFIER, &question.unique_identifier);
    let sealed = key(2).seal(&[&answer, nonce], plaintext).unwrap();
    let padded = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let lengths = [nonce.len(), sealed.len()].map(|length| u16::try_from(length).unwrap().to_be_bytes()).concat();
    push(&mut answer, AUTHENTICATOR, &[lengths, padded(nonce), padded(&sealed)].concat());
    answer.extend_from_slice(behind);
    answer
}

fn fields(cookies: &[Cookie]) -> Vec<u8> {
    let mut fields = Vec::new();
    for cookie in cookies {
        push(&mut fields, COOKIE, cookie.as_bytes());
    }
    fields
}

fn authentic(reading: Reading<'_>) -> Vec<Cookie> {
    match reading {
        Reading::Authentic { cookies, .. } => cookies,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_question_holds_its_fields_in_order_and_no_more_than_the_way_carries() {
    let question = question();
    let kinds = |datagram: &[u8]| {
        let (mut rest, mut kinds) = (&datagram[HEADER_BYTES..], Vec::new());
        while let Some((kind, body)) = field(rest) {
            kinds.push(kind);
            rest = &rest[FIELD_HEAD_BYTES + body.len()..];
        }
        assert!(rest.is_empty());
        kinds
    };
    let expect = [&[UNIQUE_IDENTIFIER, COOKIE][..], &[PLACEHOLDER; 7], &[AUTHENTICATOR]].concat();
    assert_eq!(kinds(&question.datagram), expect);
    for cookie_bytes in (12..=256).step_by(4) {
        let cookie = Cookie::of(&vec![1; cookie_bytes]).unwrap();
        let question = Question::new(&key(1), &cookie, 7);
        assert!(question.datagram.len() <= QUESTION_BYTES_MAX, "{cookie_bytes}: {}", question.datagram.len());
        assert!(kinds(&question.datagram).contains(&PLACEHOLDER), "{cookie_bytes}");
    }
    let again = self::question();
    assert_ne!((question.origin, question.unique_identifier), (again.origin, again.unique_identifier));
}

#[test]
fn nonces_and_ciphertexts_of_any_length_are_read() {
    let question = question();
    for nonce_bytes in 1..=32 {
        let cookies = [cookie(2), cookie(3)];
        let answer = answer(&question, &vec![7; nonce_bytes], &fields(&cookies), &[]);
        assert_eq!(authentic(read(&answer, &question, &key(2))), cookies);
    }
}

#[test]
fn no_byte_up_to_the_seal_can_be_changed_and_none_behind_it_counts() {
    let question = question();
    let whole = answer(&question, &[7; 16], &fields(&[cookie(2)]), &[]);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            let reading = read(&changed, &question, &key(2));
            assert!(matches!(reading, Reading::Forged | Reading::Stray), "{at}: {reading:?}");
        }
    }
    for length in 0..whole.len() {
        let reading = read(&whole[..length], &question, &key(2));
        assert!(matches!(reading, Reading::Forged | Reading::Stray), "{length}: {reading:?}");
    }
    for behind in [fields(&[cookie(9)]), vec![0xff; 7]] {
        let answer = answer(&question, &[7; 16], &fields(&[cookie(2)]), &behind);
        assert_eq!(authentic(read(&answer, &question, &key(2))), [cookie(2)]);
    }
}

#[test]
fn an_answer_that_is_too_long_is_not_looked_at_however_good_it_begins() {
    let question = question();
    let padded = |bytes: usize| {
        let good = answer(&question, &[7; 16], &[], &[]);
        let behind = vec![0; bytes - good.len()];
        [good, behind].concat()
    };
    assert!(authentic(read(&padded(ANSWER_BYTES_MAX), &question, &key(2))).is_empty());
    assert_eq!(read(&padded(ANSWER_BYTES_MAX + 1), &question, &key(2)), Reading::Forged);
}

#[test]
fn another_question_another_key_and_a_field_that_is_there_twice_make_it_forged() {
    let question = question();
    let good = answer(&question, &[7; 16], &[], &[]);
    assert!(authentic(read(&good, &question, &key(2))).is_empty());
    assert_eq!(read(&good, &question, &key(1)), Reading::Forged);
    assert_eq!(read(&good, &self::question(), &key(2)), Reading::Stray);
    let other = Question { origin: question.origin, ..self::question() };
    assert_eq!(read(&good, &other, &key(2)), Reading::Forged);
    assert_eq!(read(&answer(&question, &[], &[], &[]), &question, &key(2)), Reading::Forged);
    let twice = {
        let mut head = good[..HEADER_BYTES].to_vec();
        for _ in 0..2 {
            push(&mut head, UNIQUE_IDENTIFIER, &question.unique_identifier);
        }
        let sealed = key(2).seal(&[&head, &[7; 16]], &[]).unwrap();
        push(&mut head, AUTHENTICATOR, &[&[0, 16, 0, 16][..], &[7; 16], &sealed].concat());
        head
    };
    assert_eq!(read(&twice, &question, &key(2)), Reading::Forged);
}

#[test]
fn a_nak_is_read_only_with_the_identifier_of_the_question() {
    let question = question();
    let mut nak = vec![0; HEADER_BYTES];
    nak[0] = 4 << 3 | 4;
    nak[12..16].copy_from_slice(&NTS_NAK);
    nak[24..32].copy_from_slice(&question.origin);
    assert_eq!(read(&nak, &question, &key(2)), Reading::Forged);
    let mut foreign = nak.clone();
    push(&mut foreign, UNIQUE_IDENTIFIER, &[0; 32]);
    assert_eq!(read(&foreign, &question, &key(2)), Reading::Forged);
    push(&mut nak, UNIQUE_IDENTIFIER, &question.unique_identifier);
    assert_eq!(read(&nak, &question, &key(2)), Reading::KeysForgotten);
    nak[12..16].copy_from_slice(b"DENY");
    assert_eq!(read(&nak, &question, &key(2)), Reading::Forged, "a kiss that is not sealed is nobody's");
}

#[test]
fn cookies_beyond_the_eighth_are_left_and_fields_without_end_are_not_read() {
    let question = question();
    let many: Vec<Cookie> = (10..20).map(cookie).collect();
    let reading = answer(&question, &[7; 16], &fields(&many), &[]);
    assert_eq!(authentic(read(&reading, &question, &key(2))), many[..COOKIES_MAX]);
    let fields = [0, 0, 0, 4].repeat(FIELDS_MAX + 1);
    assert_eq!(read(&answer(&question, &[7; 16], &fields, &[]), &question, &key(2)), Reading::Forged);
}

proptest! {
    #[test]
    fn reading_any_fields_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let question = question();
        let mut datagram = vec![0; HEADER_BYTES];
        datagram[24..32].copy_from_slice(&question.origin);
        push(&mut datagram, UNIQUE_IDENTIFIER, &question.unique_identifier);
        for behind in [&bytes[..], &[&[4, 4, 0, 64][..], &bytes].concat()] {
            let reading = [&datagram[..], behind].concat();
            let reading = read(&reading, &question, &key(2));
            let authentic = matches!(reading, Reading::Authentic { .. });
            prop_assert!(!authentic);
        }
        let _ = cookies(&bytes);
    }
}
