// SPDX-License-Identifier: Apache-2.0
//! Keys and signatures in the encodings of PKCS#11, where they differ from everybody else's.
//!
//! Spec: PKCS#11 3.1 §6.3 (elliptic curves: `CKA_EC_PARAMS`, `CKA_EC_POINT`, signatures as r and s side by side) and §6.1 (RSA:
//! `CKA_MODULUS`, `CKA_PUBLIC_EXPONENT`, `CKM_RSA_PKCS` over a `DigestInfo`); RFC 8017 §9.2; RFC 3279 §2.2.3.
//! In scope: conversions to and from what the rest of this crate reads. Out of scope: talking to a token (crate `signers`).
//! Invariant: a public key that is made here has passed every check of [`PublicKey::from_spki_der`].

use der::asn1::{AnyRef, BitStringRef, OctetStringRef, UintRef};
use der::{Decode, Encode, Sequence};
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::public::{OID_EC, RsaPublicKey, rsa_spki};
use crate::{Digest, HashAlgorithm, KeyError, KeyType, PublicKey};

/// A public key of `CKA_EC_PARAMS` and `CKA_EC_POINT`. The standard wraps the point into an octet string; some tokens leave the
/// wrapping out, and both are read.
pub fn public_key_of_point(ec_params: &[u8], ec_point: &[u8]) -> Result<PublicKey, KeyError> {
    let parameters = AnyRef::from_der(ec_params).map_err(|_| KeyError::Malformed)?;
    let read = |point| {
        let spki = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef { oid: OID_EC, parameters: Some(parameters) },
            subject_public_key: BitStringRef::from_bytes(point).map_err(|_| KeyError::Malformed)?,
        };
        PublicKey::from_spki_der(&spki.to_der().map_err(|_| KeyError::Malformed)?)
    };
    // An uncompressed point begins with 4, which is also the tag of an octet string, and its next byte may be the right length of
    // one. The length of the point tells: only one of both readings can have it.
    match <&OctetStringRef>::from_der(ec_point).map(|wrapped| read(wrapped.as_bytes())) {
        Ok(Err(KeyError::Malformed)) | Err(_) => read(ec_point),
        Ok(unwrapped) => unwrapped,
    }
}

/// A public key of `CKA_MODULUS` and `CKA_PUBLIC_EXPONENT`, big-endian numbers with or without leading zeros.
pub fn public_key_of_modulus(modulus: &[u8], public_exponent: &[u8]) -> Result<PublicKey, KeyError> {
    let number = |bytes| UintRef::new(bytes).map_err(|_| KeyError::Malformed);
    let key = RsaPublicKey { modulus: number(modulus)?, exponent: number(public_exponent)? };
    PublicKey::from_spki_der(&rsa_spki(&key.to_der().map_err(|_| KeyError::Malformed)?)?)
}

/// `Ecdsa-Sig-Value` in DER of r and s side by side, each as long as the curve's order.
pub fn ecdsa_signature_der(key_type: KeyType, raw: &[u8]) -> Result<Vec<u8>, KeyError> {
    let order_bytes = match key_type {
        KeyType::EcdsaP256 => 32,
        KeyType::EcdsaP384 => 48,
        KeyType::EcdsaP521 => 66,
        _ => return Err(KeyError::Malformed),
    };
    if raw.len() != 2 * order_bytes {
        return Err(KeyError::Malformed);
    }
    let (r, s) = raw.split_at(order_bytes);
    let number = |bytes| UintRef::new(bytes).map_err(|_| KeyError::Malformed);
    EcdsaSigValue { r: number(r)?, s: number(s)? }.to_der().map_err(|_| KeyError::Malformed)
}

#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// `DigestInfo` in DER, what `CKM_RSA_PKCS` pads and signs.
#[must_use]
pub fn digest_info(digest: &Digest) -> Vec<u8> {
    // RFC 8017 §9.2, note 1: everything up to the digest's own bytes.
    let prefix: [u8; 19] = match digest.algorithm() {
        HashAlgorithm::Sha256 => *b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        HashAlgorithm::Sha384 => *b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        HashAlgorithm::Sha512 => *b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
    };
    [prefix.as_slice(), digest.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::SecretKey;

    const P256_PARAMS: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    const P384_PARAMS: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";

    #[test]
    fn points_are_read_with_and_without_their_octet_string() {
        for (key_type, params) in [(KeyType::EcdsaP256, P256_PARAMS), (KeyType::EcdsaP384, P384_PARAMS)] {
            let key = SecretKey::generate(key_type).unwrap().public_key().clone();
            let wrapped = OctetStringRef::new(key.raw()).unwrap().to_der().unwrap();
            for point in [key.raw(), &wrapped] {
                assert_eq!(public_key_of_point(params, point), Ok(key.clone()));
            }
            let other = if params == P256_PARAMS { P384_PARAMS } else { P256_PARAMS };
            assert_eq!(public_key_of_point(other, key.raw()), Err(KeyError::Malformed));
            assert_eq!(public_key_of_point(params, &key.raw()[1..]), Err(KeyError::Malformed));
            assert_eq!(public_key_of_point(b"", key.raw()), Err(KeyError::Malformed));
            let mut off_curve = key.raw().to_vec();
            *off_curve.last_mut().unwrap() ^= 1;
            assert_eq!(public_key_of_point(params, &off_curve), Err(KeyError::NotOnCurve));
        }
    }

    #[test]
    fn a_bare_point_that_looks_like_an_octet_string_is_read() {
        let looks_wrapped = |key: &PublicKey| key.raw()[1] == 63;
        let mut keys = (0..20_000).map(|_| SecretKey::generate(KeyType::EcdsaP256).unwrap().public_key().clone());
        let key = keys.find(looks_wrapped).unwrap();
        assert_eq!(public_key_of_point(P256_PARAMS, key.raw()), Ok(key.clone()));
    }

    #[test]
    fn moduli_are_read_with_and_without_a_leading_zero() {
        let key = SecretKey::generate(KeyType::Rsa2048).unwrap().public_key().clone();
        let parsed = RsaPublicKey::parse(key.raw()).unwrap();
        let modulus = parsed.modulus.as_bytes();
        let padded = [&[0], modulus].concat();
        for modulus in [modulus, &padded] {
            assert_eq!(public_key_of_modulus(modulus, &[1, 0, 1]), Ok(key.clone()));
            assert_eq!(public_key_of_modulus(modulus, &[0, 1, 0, 1]), Ok(key.clone()));
        }
        assert!(public_key_of_modulus(&modulus[1..], &[1, 0, 1]).is_err());
        assert!(public_key_of_modulus(&[], &[1, 0, 1]).is_err());
    }

    #[test]
    fn raw_signatures_become_der() {
        let check = |raw: &[u8], expect: Result<&[u8], KeyError>| {
            assert_eq!(ecdsa_signature_der(KeyType::EcdsaP256, raw), expect.map(<[u8]>::to_vec), "{raw:02x?}");
        };
        let numbers = |r: &[u8], s: &[u8]| {
            let mut raw = [0; 64];
            raw[32 - r.len()..32].copy_from_slice(r);
            raw[64 - s.len()..].copy_from_slice(s);
            raw
        };
        check(&numbers(&[1], &[2]), Ok(b"\x30\x06\x02\x01\x01\x02\x01\x02"));
        check(&numbers(&[0x80], &[0x7f]), Ok(b"\x30\x07\x02\x02\x00\x80\x02\x01\x7f"));
        check(&numbers(&[], &[]), Ok(b"\x30\x06\x02\x01\x00\x02\x01\x00"));
        for length in [0, 1, 63, 65, 96] {
            check(&vec![1; length], Err(KeyError::Malformed));
        }
        assert_eq!(ecdsa_signature_der(KeyType::Rsa2048, &[1; 64]), Err(KeyError::Malformed));
    }

    #[test]
    fn digest_info_is_its_der() {
        for (algorithm, last) in [(HashAlgorithm::Sha256, 1), (HashAlgorithm::Sha384, 2), (HashAlgorithm::Sha512, 3)] {
            let digest = crate::digest(algorithm, b"message");
            let info = digest_info(&digest);
            let oid = [b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02".as_slice(), &[last], b"\x05\x00"].concat();
            let any = AnyRef::from_der(&info).unwrap();
            let inner = [
                AnyRef::new(der::Tag::Sequence, &oid).unwrap().to_der().unwrap(),
                OctetStringRef::new(digest.as_bytes()).unwrap().to_der().unwrap(),
            ]
            .concat();
            assert_eq!(any.value(), inner);
        }
    }

    proptest! {
        #[test]
        fn der_holds_the_two_numbers(raw in proptest::collection::vec(any::<u8>(), 96)) {
            let der = ecdsa_signature_der(KeyType::EcdsaP384, &raw).unwrap();
            let read = EcdsaSigValue::from_der(&der).unwrap();
            let mut again = [0; 96];
            for (number, end) in [(read.r, 48), (read.s, 96)] {
                let bytes = number.as_bytes();
                again[end - bytes.len()..end].copy_from_slice(bytes);
            }
            prop_assert_eq!(again.as_slice(), raw.as_slice());
        }
    }
}
