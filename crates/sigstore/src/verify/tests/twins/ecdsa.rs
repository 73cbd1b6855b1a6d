// SPDX-License-Identifier: Apache-2.0
//! The other form of an ECDSA signature: with (r, s), (r, n − s) is valid too, and everybody can compute it.

use super::der::{self, Content};
use crate::asn1;

/// The orders of the two curves that logs and authorities sign with.
const P256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const P384: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";

/// The signature with the other s, if it is one of ECDSA.
pub(super) fn other_form(signature: &[u8]) -> Option<Vec<u8>> {
    let tree = der::parse(signature)?;
    let [sequence] = tree.as_slice() else { return None };
    let [r, s] = sequence.children() else { return None };
    let (Content::Bytes(r), Content::Bytes(s)) = (&r.content, &s.content) else { return None };
    let order = hex::decode(if r.len() <= 33 && s.len() <= 33 { P256 } else { P384 }).expect("hexadecimal");
    Some(asn1::sequence(&[&asn1::unsigned(r), &asn1::unsigned(&difference(&order, s))]))
}

/// The same for both forms.
pub(super) fn either_form(signature: &[u8]) -> Vec<u8> {
    match other_form(signature) {
        Some(other) => signature.to_vec().min(other),
        None => signature.to_vec(),
    }
}

/// `larger − smaller` of two numbers in big-endian bytes.
fn difference(larger: &[u8], smaller: &[u8]) -> Vec<u8> {
    let mut smaller = smaller.iter().rev().copied();
    let mut borrow = 0;
    let mut digits: Vec<u8> = larger
        .iter()
        .rev()
        .map(|digit| {
            let sum = i16::from(*digit) - i16::from(smaller.next().unwrap_or(0)) - borrow;
            borrow = i16::from(sum < 0);
            u8::try_from(sum.rem_euclid(256)).expect("a remainder of 256")
        })
        .collect();
    digits.reverse();
    digits
}
