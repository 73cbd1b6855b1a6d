// SPDX-License-Identifier: Apache-2.0
//! Cookies and waits; whole servers are in `tests/nts.rs`.

use std::net::Ipv4Addr;

use touchmark_keys::SIV_KEY_BYTES;
use zeroize::Zeroizing;

use super::*;

fn key(byte: u8) -> SivKey {
    SivKey::new(Zeroizing::new([byte; SIV_KEY_BYTES]))
}

fn cookie(number: usize) -> Cookie {
    let mut bytes = [0xc0; 100];
    bytes[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
    Cookie::of(&bytes).unwrap()
}

fn association(cookies: usize) -> Association {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 123));
    Association::new(address, key(1), key(2), (0..cookies).map(cookie).collect())
}

#[test]
fn a_cookie_is_gone_once_it_is_asked_with() {
    let mut association = association(8);
    let mut sent = HashSet::new();
    for _ in 0..8 {
        let question = association.question().unwrap();
        let found =
            (0..8).find(|number| question.datagram.windows(100).any(|window| window == cookie(*number).as_bytes()));
        assert!(sent.insert(found.unwrap()));
    }
    assert!(association.question().is_none());
}

#[test]
fn keys_are_for_so_many_questions() {
    let mut association = association(1);
    for number in 0..QUESTIONS_MAX {
        assert!(association.question().is_some(), "{number}");
        association.take(vec![cookie(number + 1)]).unwrap();
    }
    assert!(association.question().is_none());
}

#[test]
fn a_cookie_is_taken_once_and_the_stock_is_limited() {
    let mut association = association(2);
    assert_eq!(association.take(vec![cookie(1)]), Err(TimeError::CookieRepeated));
    assert_eq!(association.take(vec![cookie(7), cookie(7)]), Err(TimeError::CookieRepeated));
    association.take((10..30).map(cookie).collect()).unwrap();
    assert_eq!(association.stock.len(), COOKIES_MAX);
    let _spent = association.question().unwrap();
    assert_eq!(association.take(vec![cookie(12)]), Err(TimeError::CookieRepeated));
}

#[test]
fn cookies_have_whole_words_and_fit_into_a_field() {
    for (length, fits) in [(0, false), (8, false), (12, true), (13, false), (100, true), (256, true), (260, false)] {
        assert_eq!(Cookie::of(&vec![0; length]).is_some(), fits, "{length}");
    }
}

#[test]
fn waits_grow_by_half_up_to_their_limit() {
    let waits: Vec<u128> = (1..=4).map(|fruitless| retry_after(fruitless).as_millis()).collect();
    assert_eq!(waits, [10_000, 15_000, 22_500, 33_750]);
    assert_eq!((retry_after(13), retry_after(u32::MAX)), (RETRY_MAX, RETRY_MAX));
}
