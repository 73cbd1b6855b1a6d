// SPDX-License-Identifier: Apache-2.0
//! Signatures that look almost right, put together number by number here and not by the library that verifies them.
//!
//! Spec: RFC 3279 §2.2.3 with X.690 §10 and SEC 1 §4.1.4 (ECDSA), RFC 8017 §9 (RSA), RFC 8032 §5.1 (Ed25519), FIPS 204 (ML-DSA).

use num_bigint::BigUint;

use super::*;
use crate::sha256;

fn number(hex: &str) -> BigUint {
    BigUint::parse_bytes(hex.as_bytes(), 16).unwrap()
}

fn verdicts(key: &PublicKey, scheme: Scheme, signature: &[u8]) -> bool {
    check(key, scheme, MESSAGE, signature).is_ok()
}

// ECDSA

/// The orders of the curves (SEC 2 §2.4.2, §2.5.1, §2.6.1).
fn order(key_type: KeyType) -> BigUint {
    number(match key_type {
        KeyType::EcdsaP256 => "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        KeyType::EcdsaP384 => {
            "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973"
        }
        KeyType::EcdsaP521 => {
            "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa\
             51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409"
        }
        other => unreachable!("{other} is no curve"),
    })
}

fn der_length(length: usize) -> Vec<u8> {
    match u8::try_from(length).unwrap() {
        short @ ..0x80 => vec![short],
        long => vec![0x81, long],
    }
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag][..], &der_length(content.len()), content].concat()
}

/// The content of an INTEGER: minimal, positive.
fn integer(value: &BigUint) -> Vec<u8> {
    let bytes = value.to_bytes_be();
    if bytes[0] & 0x80 == 0 { bytes } else { [&[0][..], &bytes].concat() }
}

fn ecdsa_der(r: &BigUint, s: &BigUint) -> Vec<u8> {
    der(0x30, &[der(2, &integer(r)), der(2, &integer(s))].concat())
}

/// r and s of a signature that the library made.
fn ecdsa_numbers(signature: &[u8]) -> (BigUint, BigUint) {
    #[derive(der::Sequence)]
    struct Numbers<'a> {
        r: UintRef<'a>,
        s: UintRef<'a>,
    }
    let numbers = Numbers::from_der(signature).unwrap();
    (BigUint::from_bytes_be(numbers.r.as_bytes()), BigUint::from_bytes_be(numbers.s.as_bytes()))
}

const CURVES: [KeyType; 3] = [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::EcdsaP521];

#[test]
fn ecdsa_accepts_low_and_high_s_and_refuses_numbers_out_of_range() {
    for key_type in CURVES {
        let (secret, scheme, n) = (generate(key_type), key_type.default_scheme(), order(key_type));
        let key = secret.public_key();
        let (r, s) = ecdsa_numbers(&secret.sign(scheme, MESSAGE).unwrap());
        let (zero, one) = (BigUint::ZERO, BigUint::from(1u32));
        let other = &n - &s;
        assert!(verdicts(key, scheme, &ecdsa_der(&r, &s)), "{key_type}");
        assert!(verdicts(key, scheme, &ecdsa_der(&r, &other)), "{key_type}: the other s");
        for (what, r, s) in [
            ("r = 0", &zero, &s),
            ("s = 0", &r, &zero),
            ("both 0", &zero, &zero),
            ("r = n", &n, &s),
            ("s = n", &r, &n),
            ("r + n", &(&r + &n), &s),
            ("s + n", &r, &(&s + &n)),
            ("n - r", &(&n - &r), &s),
            ("exchanged", &s, &r),
            ("1, 1", &one, &one),
        ] {
            assert!(!verdicts(key, scheme, &ecdsa_der(r, s)), "{key_type}: {what}");
        }
    }
}

#[test]
fn ecdsa_signatures_in_any_other_form_than_their_der_are_refused() {
    for key_type in CURVES {
        let (secret, scheme) = (generate(key_type), key_type.default_scheme());
        let key = secret.public_key();
        // Numbers with the top bit set and clear, so that a sign octet is both needed and not.
        let (r, s) = (0..64)
            .map(|_| ecdsa_numbers(&secret.sign(scheme, MESSAGE).unwrap()))
            .find(|(r, s)| key_type == KeyType::EcdsaP521 || (r.bits() % 8 == 0) != (s.bits() % 8 == 0))
            .unwrap();
        let [r_der, s_der] = [&r, &s].map(|value| der(2, &integer(value)));
        let content = [r_der.as_slice(), &s_der].concat();
        let good = der(0x30, &content);
        assert!(verdicts(key, scheme, &good), "{key_type}");
        let padded = |value: &BigUint| der(2, &[&[0][..], &integer(value)].concat());
        let unsigned = |value: &BigUint| der(2, &value.to_bytes_be());
        let fixed_bytes = order(key_type).to_bytes_be().len();
        let fixed = |value: &BigUint| {
            let bytes = value.to_bytes_be();
            [vec![0; fixed_bytes - bytes.len()], bytes].concat()
        };
        let long_length = [&[0x30, 0x82, 0][..], &[u8::try_from(content.len()).unwrap()], &content].concat();
        for (what, bytes) in [
            ("empty", Vec::new()),
            ("an empty SEQUENCE", der(0x30, &[])),
            ("bytes behind", [good.as_slice(), &[0]].concat()),
            ("bytes inside", der(0x30, &[content.as_slice(), &[0]].concat())),
            ("NULL inside", der(0x30, &[content.as_slice(), &[5, 0]].concat())),
            ("a third number", der(0x30, &[content.as_slice(), &der(2, &[1])].concat())),
            ("one number", der(0x30, &r_der)),
            ("a SET", der(0x31, &content)),
            ("an OCTET STRING around", der(4, &good)),
            ("a SEQUENCE around", der(0x30, &good)),
            ("r padded", der(0x30, &[padded(&r), s_der.clone()].concat())),
            ("s padded", der(0x30, &[r_der.clone(), padded(&s)].concat())),
            ("a length in more bytes than it needs", long_length),
            ("an indefinite length", [&[0x30, 0x80][..], &content, &[0, 0]].concat()),
            ("the numbers in fixed width", [fixed(&r), fixed(&s)].concat()),
            ("hexadecimal", hex::encode(&good).into_bytes()),
        ] {
            assert!(!verdicts(key, scheme, &bytes), "{key_type}: {what}");
        }
        for (what, bytes) in [
            ("r without sign octet", der(0x30, &[unsigned(&r), s_der.clone()].concat())),
            ("s without sign octet", der(0x30, &[r_der.clone(), unsigned(&s)].concat())),
        ] {
            // The same bytes where no sign octet is needed.
            assert_eq!(verdicts(key, scheme, &bytes), bytes == good, "{key_type}: {what}");
        }
    }
}

// RSA

/// PKCS#1 `RSAPrivateKey` (RFC 8017 §A.1.2).
#[derive(der::Sequence)]
struct RsaPrivateKey<'a> {
    version: u8,
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
    private_exponent: UintRef<'a>,
    prime_1: UintRef<'a>,
    prime_2: UintRef<'a>,
    exponent_1: UintRef<'a>,
    exponent_2: UintRef<'a>,
    coefficient: UintRef<'a>,
}

/// A key of 2048 bits by its numbers.
struct Rsa {
    key: PublicKey,
    modulus: BigUint,
    private_exponent: BigUint,
}

const RSA_BYTES: usize = 256;

impl Rsa {
    fn new() -> Self {
        let (_, pkcs8) = pem::decode(include_str!("../../../testdata/secret/rsa-2048.pem")).unwrap();
        let info = pkcs8::PrivateKeyInfoRef::from_der(&pkcs8).unwrap();
        let private = RsaPrivateKey::from_der(info.private_key.as_bytes()).unwrap();
        Self {
            key: PublicKey::from_pem(include_str!("../../../testdata/signed/rsa-2048.pub.pem")).unwrap(),
            modulus: BigUint::from_bytes_be(private.modulus.as_bytes()),
            private_exponent: BigUint::from_bytes_be(private.private_exponent.as_bytes()),
        }
    }

    /// Signs an encoded message as it is (RFC 8017 §5.2.1).
    fn sign(&self, encoded: &[u8]) -> Vec<u8> {
        let power = BigUint::from_bytes_be(encoded).modpow(&self.private_exponent, &self.modulus).to_bytes_be();
        [vec![0; RSA_BYTES - power.len()], power].concat()
    }
}

/// DigestInfo of SHA-256 before the digest (RFC 8017 §9.2, note 1).
const DIGEST_INFO_SHA256: &str = "3031300d060960864801650304020105000420";

/// `00 01 FF… 00` and what follows it, in as many bytes as the modulus has.
fn pkcs1_block(kind: u8, filler: u8, padding_bytes: usize, rest: &[u8]) -> Vec<u8> {
    [&[0, kind][..], &vec![filler; padding_bytes], &[0], rest].concat()
}

#[test]
fn rsa_pkcs1_refuses_every_block_but_the_one_of_the_message() {
    let rsa = Rsa::new();
    let scheme = Scheme::RsaPkcs1v15Sha256_2048;
    let info = |prefix: &str, digest: &[u8]| [&hex::decode(prefix).unwrap()[..], digest].concat();
    let digest_info = info(DIGEST_INFO_SHA256, &sha256(MESSAGE));
    let full = RSA_BYTES - 3 - digest_info.len();
    let good = rsa.sign(&pkcs1_block(1, 0xff, full, &digest_info));
    assert!(verdicts(&rsa.key, scheme, &good));
    // Bleichenbacher's forgery (2006) needs a verifier that lets bytes follow the digest.
    let behind = [digest_info.as_slice(), &vec![0; full - 8]].concat();
    let without_null = info("302f300b0609608648016503040201", &[&[4, 32][..], &sha256(MESSAGE)].concat());
    let of_sha512 = info("3031300d060960864801650304020305000420", &sha256(MESSAGE));
    for (what, block) in [
        ("bytes behind the digest", pkcs1_block(1, 0xff, 8, &behind)),
        ("block type 2", pkcs1_block(2, 0xff, full, &digest_info)),
        ("block type 0", pkcs1_block(0, 0, full, &digest_info)),
        ("padding of another byte", pkcs1_block(1, 0xfe, full, &digest_info)),
        ("a short block", pkcs1_block(1, 0xff, full - 1, &digest_info)),
        ("no DigestInfo", pkcs1_block(1, 0xff, RSA_BYTES - 3 - 32, &sha256(MESSAGE))),
        ("DigestInfo without NULL", pkcs1_block(1, 0xff, RSA_BYTES - 3 - without_null.len(), &without_null)),
        ("DigestInfo of another hash", pkcs1_block(1, 0xff, full, &of_sha512)),
        ("another digest", pkcs1_block(1, 0xff, full, &info(DIGEST_INFO_SHA256, &sha256(b"another")))),
    ] {
        assert!(!verdicts(&rsa.key, scheme, &rsa.sign(&block)), "{what}");
    }
    refuses_other_numbers_for(&rsa, scheme, &good);
}

/// The same number in another form, and numbers that say nothing.
fn refuses_other_numbers_for(rsa: &Rsa, scheme: Scheme, good: &[u8]) {
    let plus_modulus = (BigUint::from_bytes_be(good) + &rsa.modulus).to_bytes_be();
    for (what, signature) in [
        ("a zero before", [&[0][..], good].concat()),
        ("a zero behind", [good, &[0]].concat()),
        ("the modulus added", plus_modulus),
        ("the modulus", rsa.modulus.to_bytes_be()),
        ("0", vec![0; RSA_BYTES]),
        ("1", [vec![0; RSA_BYTES - 1], vec![1]].concat()),
        ("nothing", Vec::new()),
    ] {
        assert!(!verdicts(&rsa.key, scheme, &signature), "{scheme}: {what}");
    }
}

/// How an EMSA-PSS block (RFC 8017 §9.1.1) is made.
#[derive(Clone, Copy)]
struct Pss {
    hash: HashAlgorithm,
    mask_hash: HashAlgorithm,
    salt_bytes: usize,
    padding: u8,
    trailer: u8,
    top_bit: u8,
}

const PSS: Pss = Pss {
    hash: HashAlgorithm::Sha256,
    mask_hash: HashAlgorithm::Sha256,
    salt_bytes: 32,
    padding: 0,
    trailer: 0xbc,
    top_bit: 0,
};

impl Pss {
    fn block(self, message: &[u8]) -> Vec<u8> {
        let salt = vec![0xa5; self.salt_bytes];
        let inner = [&[0; 8][..], digest(self.hash, message).as_bytes(), &salt].concat();
        let hash = digest(self.hash, &inner);
        let mut data = vec![self.padding; RSA_BYTES - self.salt_bytes - hash.as_bytes().len() - 2];
        data.push(1);
        data.extend_from_slice(&salt);
        let mask = mgf1(self.mask_hash, hash.as_bytes(), data.len());
        let mut block: Vec<u8> = data.iter().zip(mask).map(|(data, mask)| data ^ mask).collect();
        block[0] = block[0] & 0x7f | self.top_bit;
        [&block, hash.as_bytes(), &[self.trailer]].concat()
    }
}

/// RFC 8017 §B.2.1.
fn mgf1(hash: HashAlgorithm, seed: &[u8], bytes: usize) -> Vec<u8> {
    let blocks =
        (0u32..).flat_map(|counter| digest(hash, &[seed, &counter.to_be_bytes()].concat()).as_bytes().to_vec());
    blocks.take(bytes).collect()
}

#[test]
fn rsa_pss_wants_the_salt_the_mask_and_the_trailer_of_the_registry() {
    let rsa = Rsa::new();
    let scheme = Scheme::RsaPssSha256_2048;
    let good = rsa.sign(&PSS.block(MESSAGE));
    assert!(verdicts(&rsa.key, scheme, &good));
    for (what, pss) in [
        ("no salt", Pss { salt_bytes: 0, ..PSS }),
        ("the salt length of SHA-1", Pss { salt_bytes: 20, ..PSS }),
        ("a salt one shorter", Pss { salt_bytes: 31, ..PSS }),
        ("a salt one longer", Pss { salt_bytes: 33, ..PSS }),
        ("the longest salt", Pss { salt_bytes: RSA_BYTES - 32 - 2, ..PSS }),
        ("a mask of another hash", Pss { mask_hash: HashAlgorithm::Sha512, ..PSS }),
        ("another hash", Pss { hash: HashAlgorithm::Sha512, mask_hash: HashAlgorithm::Sha512, ..PSS }),
        ("another hash of the message alone", Pss { hash: HashAlgorithm::Sha384, salt_bytes: 48, ..PSS }),
        ("padding that is not zero", Pss { padding: 2, ..PSS }),
        ("the trailer of IEEE 1363", Pss { trailer: 0xcc, ..PSS }),
        ("the top bit", Pss { top_bit: 0x80, ..PSS }),
    ] {
        let block = pss.block(MESSAGE);
        // Above the modulus there is no such signature at all.
        if BigUint::from_bytes_be(&block) < rsa.modulus {
            assert!(!verdicts(&rsa.key, scheme, &rsa.sign(&block)), "{what}");
        }
    }
    for (hash, salt_bytes) in [(HashAlgorithm::Sha384, 48), (HashAlgorithm::Sha512, 64)] {
        let signature = rsa.sign(&Pss { hash, mask_hash: hash, salt_bytes, ..PSS }.block(MESSAGE));
        rsa.key.verify_rsa_pss(hash, MESSAGE, &signature).unwrap();
        assert!(!verdicts(&rsa.key, scheme, &signature));
    }
    refuses_other_numbers_for(&rsa, scheme, &good);
}

#[test]
fn the_two_paddings_of_rsa_are_not_exchangeable() {
    let key = generate(KeyType::Rsa2048);
    let [pkcs1, pss] = [Scheme::RsaPkcs1v15Sha256_2048, Scheme::RsaPssSha256_2048];
    for (made, tried) in [(pkcs1, pss), (pss, pkcs1)] {
        let signature = key.sign(made, MESSAGE).unwrap();
        assert!(verdicts(key.public_key(), made, &signature));
        assert!(!verdicts(key.public_key(), tried, &signature));
    }
}

// Ed25519

/// The order of the group that the base point generates (RFC 8032 §5.1).
fn ed25519_order() -> BigUint {
    (BigUint::from(1u32) << 252u32) + number("14def9dea2f79cd65812631a5cf5d3ed")
}

fn ed25519_key(raw: &[u8]) -> Result<PublicKey, KeyError> {
    PublicKey::from_spki_der(&[&hex::decode("302a300506032b6570032100").unwrap()[..], raw].concat())
}

fn little_endian(value: &BigUint) -> [u8; 32] {
    let mut bytes = value.to_bytes_le();
    bytes.resize(32, 0);
    bytes.try_into().unwrap()
}

#[test]
fn rfc_8032_vectors_of_ed25519_are_made_and_verified() {
    // RFC 8032 §7.1: TEST 1, 2, 3 and SHA(abc), as seed, key, message, signature.
    for (seed, raw, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
             5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589\
             09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        ),
    ] {
        let [seed, raw, message, signature] = [seed, raw, message, signature].map(|hex| hex::decode(hex).unwrap());
        let key = ed25519_key(&raw).unwrap();
        check(&key, Scheme::Ed25519, &message, &signature).unwrap();
        let pkcs8 = [&hex::decode("302e020100300506032b657004220420").unwrap()[..], &seed].concat();
        let secret = SecretKey::from_pem(&pem::encode("PRIVATE KEY", &pkcs8), None).unwrap();
        assert_eq!(secret.public_key(), &key);
        assert_eq!(secret.sign(Scheme::Ed25519, &message).unwrap(), signature);
    }
}

/// Signs with any nonce point whose number is known, as RFC 8032 §5.1.6 does with its own.
fn ed25519_sign(scheme: Scheme, secret: &SecretKey, nonce: &BigUint, nonce_point: &[u8; 32]) -> Vec<u8> {
    let pkcs8 = secret.pkcs8_der();
    let seed = pkcs8.last_chunk::<32>().unwrap();
    let mut scalar = digest(HashAlgorithm::Sha512, seed).as_bytes()[..32].to_vec();
    scalar[0] &= 0xf8;
    scalar[31] = scalar[31] & 0x7f | 0x40;
    let message = match scheme {
        Scheme::Ed25519 => MESSAGE.to_vec(),
        // dom2 with the flag of prehashing and the empty context (§2).
        _ => digest(HashAlgorithm::Sha512, MESSAGE).as_bytes().to_vec(),
    };
    let domain: &[u8] = if scheme == Scheme::Ed25519 { b"" } else { b"SigEd25519 no Ed25519 collisions\x01\x00" };
    let hashed = [domain, nonce_point, secret.public_key().raw(), &message].concat();
    let challenge = BigUint::from_bytes_le(digest(HashAlgorithm::Sha512, &hashed).as_bytes());
    let s = (nonce + challenge * BigUint::from_bytes_le(&scalar)) % ed25519_order();
    [&nonce_point[..], &little_endian(&s)].concat()
}

/// The base point (RFC 8032 §5.1), whose number is 1.
const BASE_POINT: &str = "5866666666666666666666666666666666666666666666666666666666666666";
const IDENTITY: &str = "0100000000000000000000000000000000000000000000000000000000000000";

#[test]
fn ed25519_refuses_unreduced_scalars_and_nonces_of_small_order_in_both_variants() {
    let secret = generate(KeyType::Ed25519);
    let key = secret.public_key();
    let point = |hex: &str| -> [u8; 32] { hex::decode(hex).unwrap().try_into().unwrap() };
    let [zero, one] = [0u32, 1].map(BigUint::from);
    for scheme in [Scheme::Ed25519, Scheme::Ed25519ph] {
        let good = ed25519_sign(scheme, &secret, &one, &point(BASE_POINT));
        assert!(verdicts(key, scheme, &good), "{scheme}");
        let (nonce, s) = good.split_at(32);
        let mut unreduced = BigUint::from_bytes_le(s) + ed25519_order();
        while unreduced.bits() <= 256 {
            let signature = [nonce, &little_endian(&unreduced)].concat();
            assert!(!verdicts(key, scheme, &signature), "{scheme}: {unreduced:x}");
            unreduced += ed25519_order();
        }
        // The identity has the number 0, so the equation holds.
        let of_identity = ed25519_sign(scheme, &secret, &zero, &point(IDENTITY));
        assert!(!verdicts(key, scheme, &of_identity), "{scheme}: the identity as nonce");
        // The identity once more, as p + 1.
        let not_canonical = point("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        let of_identity = ed25519_sign(scheme, &secret, &zero, &not_canonical);
        assert!(!verdicts(key, scheme, &of_identity), "{scheme}: the identity in another form");
        assert!(!verdicts(key, scheme, &[0; 64]), "{scheme}: zeros");
        assert!(!verdicts(key, scheme, &[good.as_slice(), &[0]].concat()), "{scheme}: a byte behind");
    }
}

#[test]
fn ed25519_keys_of_small_order_or_in_another_form_are_refused_when_they_are_read() {
    let p = (BigUint::from(1u32) << 255u32) - 19u32;
    let of_order_8 = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    let small = [BigUint::from(0u32), BigUint::from(1u32), &p - 1u32, p.clone(), &p + 1u32].map(|y| little_endian(&y));
    let small = small.into_iter().chain(of_order_8.map(|hex| hex::decode(hex).unwrap().try_into().unwrap()));
    let with_sign = |mut y: [u8; 32]| {
        y[31] |= 0x80;
        y
    };
    for y in small.flat_map(|y| [y, with_sign(y)]) {
        assert_eq!(ed25519_key(&y).err(), Some(KeyError::Weak(Weakness::Ed25519SmallOrder)), "{}", hex::encode(y));
    }
    // Of these p + 3 is a point of full order in another form than its own.
    for above in 2u32..19 {
        let y = little_endian(&(&p + above));
        for raw in [y, with_sign(y)] {
            assert_eq!(ed25519_key(&raw).err(), Some(KeyError::Malformed), "p + {above}");
        }
    }
    assert!(ed25519_key(&hex::decode(BASE_POINT).unwrap()).is_ok());
    assert!(ed25519_key(&little_endian(&(&p - 2u32))).is_ok());
}

// ML-DSA

const ML_DSA: [KeyType; 3] = [KeyType::MlDsa44, KeyType::MlDsa65, KeyType::MlDsa87];

/// PKCS#8 with the seed alone (RFC 9881 §6).
fn ml_dsa_from_seed(key_type: KeyType, seed: &[u8; 32]) -> SecretKey {
    let arc = match key_type {
        KeyType::MlDsa44 => 0x11,
        KeyType::MlDsa65 => 0x12,
        _ => 0x13,
    };
    let oid = der(6, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, arc]);
    let pkcs8 = der(0x30, &[der(2, &[0]), der(0x30, &oid), der(4, &der(0x80, seed))].concat());
    SecretKey::from_pem(&pem::encode("PRIVATE KEY", &pkcs8), None).unwrap()
}

#[test]
fn the_ml_dsa_keys_of_rfc_9881_are_made_of_their_seed() {
    // RFC 9881 §C: the seed is 00, 01, … 1f; the first bytes of each public key, and its length.
    for (key_type, begin, bytes) in [
        (KeyType::MlDsa44, "d7b2b47254aae0db45e7930d4a98d2c97d8f1397d1789dafa17024b316e9bec94fc9946d42f19b79", 1312),
        (KeyType::MlDsa65, "48683d91978e31eb3dddb8b0473482d2b88a5f625949fd8f58a561e696bd4c27d05b38dbb2edf01e", 1952),
        (KeyType::MlDsa87, "9792bcec2f2430686a82fccf3c2f5ff665e771d7ab41b90258cfa7e90ec97124a73b323b9ba21ab6", 2592),
    ] {
        let secret = ml_dsa_from_seed(key_type, &seed_of_rfc_9881());
        let raw = secret.public_key().raw();
        assert_eq!(secret.public_key().key_type(), key_type);
        assert!(hex::encode(raw).starts_with(begin), "{key_type}: {}", hex::encode(&raw[..40]));
        assert_eq!(raw.len(), bytes);
    }
}

fn seed_of_rfc_9881() -> [u8; 32] {
    std::array::from_fn(|at| u8::try_from(at).unwrap())
}

#[test]
fn ml_dsa_signatures_of_openssl_verify_and_those_with_a_context_do_not() {
    macro_rules! signature {
        ($name:literal) => {
            pem::decode(include_str!(concat!("../../../testdata/signed/", $name, ".sig.pem"))).unwrap().1
        };
    }
    for (key_type, signature, expected) in [
        (KeyType::MlDsa44, signature!("ml-dsa-44"), true),
        (KeyType::MlDsa65, signature!("ml-dsa-65"), true),
        (KeyType::MlDsa87, signature!("ml-dsa-87"), true),
        (KeyType::MlDsa44, signature!("ml-dsa-44.with-context"), false),
    ] {
        let secret = ml_dsa_from_seed(key_type, &seed_of_rfc_9881());
        assert_eq!(verdicts(secret.public_key(), key_type.default_scheme(), &signature), expected, "{key_type}");
    }
}

#[test]
fn ml_dsa_binds_message_key_parameter_set_and_length() {
    for key_type in ML_DSA {
        let (secret, scheme) = (generate(key_type), key_type.default_scheme());
        let key = secret.public_key();
        let good = secret.sign(scheme, MESSAGE).unwrap();
        assert!(verdicts(key, scheme, &good));
        for position in (0..good.len()).step_by(97).chain([good.len() - 1]) {
            let mut tampered = good.clone();
            tampered[position] ^= 1;
            assert!(!verdicts(key, scheme, &tampered), "{scheme}, byte {position}");
        }
        for signature in [&good[1..], &[&good[..], &[0]].concat(), &vec![0; good.len()], &[]] {
            assert!(!verdicts(key, scheme, signature), "{scheme}, {} bytes", signature.len());
        }
        assert!(!verdicts(generate(key_type).public_key(), scheme, &good), "{scheme}");
        // HashML-DSA would sign the digest under another domain, an external mu no message at all.
        let digest = digest(HashAlgorithm::Sha512, MESSAGE);
        assert!(key.verify(scheme, digest.as_bytes(), &good).is_err());
        let needs_message = Err(SignatureError::NeedsMessage { scheme });
        assert_eq!(key.verify_digest(scheme, &digest, &good), needs_message);
        for other in ML_DSA.into_iter().filter(|other| *other != key_type) {
            let wrong = Err(SignatureError::WrongScheme { key: key_type, scheme: other.default_scheme() });
            assert_eq!(key.verify(other.default_scheme(), MESSAGE, &good), wrong);
        }
    }
}

#[test]
fn ml_dsa_keys_of_another_length_or_with_parameters_are_refused() {
    let spki = |algorithm: &[u8], raw_bytes: usize| {
        let bits = [&[3, 0x82][..], &u16::try_from(raw_bytes + 1).unwrap().to_be_bytes(), &[0], &vec![7; raw_bytes]];
        let content = [&der(0x30, algorithm)[..], &bits.concat()].concat();
        [&[0x30, 0x82][..], &u16::try_from(content.len()).unwrap().to_be_bytes(), &content].concat()
    };
    let oid = der(6, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x12]);
    let with_null = [oid.as_slice(), &[5, 0]].concat();
    assert_eq!(PublicKey::from_spki_der(&spki(&oid, 1952)).unwrap().key_type(), KeyType::MlDsa65);
    for (what, der) in [
        ("a byte less", spki(&oid, 1951)),
        ("a byte more", spki(&oid, 1953)),
        ("the length of ML-DSA-44", spki(&oid, 1312)),
        ("the length of ML-DSA-87", spki(&oid, 2592)),
        ("NULL parameters", spki(&with_null, 1952)),
    ] {
        assert_eq!(PublicKey::from_spki_der(&der).err(), Some(KeyError::Malformed), "{what}");
    }
}
