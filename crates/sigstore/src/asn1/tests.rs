// SPDX-License-Identifier: Apache-2.0
//! Tests of the DER reader and writer.

use proptest::prelude::*;

use super::*;

fn read(input: &[u8]) -> Result<Vec<u8>, DerError> {
    let mut reader = Reader::new(input);
    let element = reader.any()?;
    reader.finish()?;
    Ok(element.value.to_vec())
}

#[test]
fn refuses_what_is_not_strict_der() {
    let long = [vec![0x04, 0x82, 0x00, 0x80], vec![0; 128]].concat();
    let cases: [(&[u8], DerError); 8] = [
        (&[], DerError::Truncated),
        (&[0x04], DerError::Truncated),
        (&[0x04, 0x02, 0x00], DerError::Truncated),
        (&[0x30, 0x80, 0x00, 0x00], DerError::Length),
        (&[0x04, 0x81, 0x01, 0x00], DerError::Length),
        (&[0x04, 0x85, 0x00, 0x00, 0x00, 0x00, 0x00], DerError::Length),
        (&[0x1f, 0x01, 0x00], DerError::HighTag),
        (&long, DerError::Length),
    ];
    for (input, expected) in cases {
        assert_eq!(read(input), Err(expected), "{}", hex::encode(input));
    }
    assert_eq!(read(&[0x04, 0x00, 0x00]), Err(DerError::Trailing));
}

#[test]
fn integers_must_be_minimal_and_where_asked_unsigned() {
    let unsigned = |input: &[u8]| Reader::new(input).unsigned().map(<[u8]>::to_vec);
    assert_eq!(unsigned(&[0x02, 0x01, 0x00]), Ok(vec![0]));
    assert_eq!(unsigned(&[0x02, 0x02, 0x00, 0x80]), Ok(vec![0x80]));
    for bad in [&[0x02, 0x00][..], &[0x02, 0x02, 0x00, 0x7f], &[0x02, 0x02, 0xff, 0x80], &[0x02, 0x01, 0x80]] {
        assert!(unsigned(bad).is_err(), "{}", hex::encode(bad));
    }
    assert_eq!(super::unsigned(&[0, 0, 0x80]), [0x02, 0x02, 0x00, 0x80]);
    assert_eq!(super::unsigned(&[]), [0x02, 0x01, 0x00]);
}

#[test]
fn times_are_read_and_written_as_rfc_5280_says() {
    let check = |text: &str, tag: u8, expected: &str| {
        let time: Timestamp = expected.parse().unwrap();
        let encoded = element(tag, &[text.as_bytes()]);
        let mut reader = Reader::new(&encoded);
        assert_eq!(certificate_time(&reader.any().unwrap()), Ok(time));
        assert_eq!(encode_certificate_time(time), encoded);
    };
    check("500101000000Z", UTC_TIME, "1950-01-01T00:00:00Z");
    check("491231235959Z", UTC_TIME, "2049-12-31T23:59:59Z");
    check("20500101000000Z", GENERALIZED_TIME, "2050-01-01T00:00:00Z");
    assert_eq!(generalized_time(b"99991231235959Z"), Ok(Timestamp::MAX));
}

#[test]
fn generalized_times_may_carry_fractions_where_timestamps_do() {
    let time = |text: &str| generalized_time(text.as_bytes());
    assert_eq!(time("20260615120026.5Z"), Ok("2026-06-15T12:00:26.5Z".parse().unwrap()));
    assert_eq!(time("20260615120026.123456789Z"), Ok("2026-06-15T12:00:26.123456789Z".parse().unwrap()));
    let bad = [
        "20260615120026",
        "20260615120026.Z",
        "20260615120026,5Z",
        "20260615120026.1234567890Z",
        "2026061512002xZ",
        "20261315120026Z",
        "20260615120060Z",
        "20260615120026+0000",
        "",
    ];
    for text in bad {
        assert!(time(text).is_err(), "{text}");
    }
    let fraction = element(GENERALIZED_TIME, &[b"20260615120026.5Z"]);
    assert!(certificate_time(&Reader::new(&fraction).any().unwrap()).is_err(), "certificates have whole seconds");
}

proptest! {
    #[test]
    fn every_length_is_read_as_it_was_written(length in 0..70_000_usize, tag in 0_u8..0x1f) {
        let content = vec![0x5a; length];
        let encoded = element(tag, &[&content]);
        prop_assert_eq!(read(&encoded), Ok(content));
    }

    #[test]
    fn reading_any_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut reader = Reader::new(&bytes);
        while let Ok(element) = reader.any() {
            prop_assert_eq!(&bytes[element.raw_range()], element.raw);
            prop_assert_eq!(&bytes[element.value_range()], element.value);
            // What was accepted is written again byte for byte.
            prop_assert_eq!(super::element(element.tag, &[element.value]), element.raw);
            let _ = certificate_time(&element);
        }
        let _ = generalized_time(&bytes);
        let _ = (Reader::new(&bytes).unsigned(), Reader::new(&bytes).bit_string(), Reader::new(&bytes).object_identifier());
    }
}
