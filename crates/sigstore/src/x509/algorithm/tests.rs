// SPDX-License-Identifier: Apache-2.0
//! Tests of signature algorithms in certificates, against OpenSSL and our own authority.

use jiff::Timestamp;
use touchmark_keys::KeyType;

use super::*;
use crate::issue::authority::CaProfile;
use crate::workshop::{below, noon, root};
use crate::x509::Certificate;
use crate::x509::path::{ExtendedKeyUsage, PathError, verify_path};

macro_rules! certificate {
    ($name:literal) => {
        Certificate::from_pem(include_str!(concat!("../../../testdata/algorithms/", $name, ".pem"))).unwrap()
    };
}

const HASHES: [HashAlgorithm; 3] = HashAlgorithm::ALL;

fn at() -> Timestamp {
    "2026-06-15T12:00:00Z".parse().unwrap()
}

#[test]
fn every_identifier_goes_there_and_back() {
    let mut all = vec![
        SignatureAlgorithm::Ed25519,
        SignatureAlgorithm::MlDsa44,
        SignatureAlgorithm::MlDsa65,
        SignatureAlgorithm::MlDsa87,
    ];
    for hash in HASHES {
        all.extend([
            SignatureAlgorithm::Ecdsa(hash),
            SignatureAlgorithm::RsaPkcs1(hash),
            SignatureAlgorithm::RsaPss(hash),
        ]);
    }
    for algorithm in all {
        let der = algorithm.to_der();
        assert_eq!(SignatureAlgorithm::from_der(&der), Some(algorithm));
        // webpki compares the content of the identifier with those of its list.
        let content = asn1::single(&der, asn1::SEQUENCE).unwrap().value;
        let listed = touchmark_keys::webpki_algorithms();
        assert!(listed.iter().any(|listed| listed.signature_alg_id().as_ref() == content), "{algorithm:?}");
    }
}

#[test]
fn certificates_of_openssl_signed_with_rsa_pss_verify() {
    let root = certificate!("rsa-pss.root");
    root.verify_issued_by(&root).unwrap();
    for (hash, leaf) in [
        (HashAlgorithm::Sha256, certificate!("rsa-pss-sha256.leaf")),
        (HashAlgorithm::Sha384, certificate!("rsa-pss-sha384.leaf")),
        (HashAlgorithm::Sha512, certificate!("rsa-pss-sha512.leaf")),
    ] {
        assert_eq!(leaf.signature().unwrap().0, SignatureAlgorithm::RsaPss(hash));
        assert_eq!(leaf.algorithm_der(), SignatureAlgorithm::RsaPss(hash).to_der());
        leaf.verify_issued_by(&root).unwrap();
        verify_path(&leaf, std::slice::from_ref(&root), ExtendedKeyUsage::CodeSigning, at()).unwrap();
    }
}

#[test]
fn rsa_pss_of_another_salt_mask_or_hash_is_refused() {
    let root = certificate!("rsa-pss.root");
    for leaf in [
        certificate!("refused/rsa-pss-salt-of-20-bytes"),
        certificate!("refused/rsa-pss-longest-salt"),
        certificate!("refused/rsa-pss-mask-of-another-hash"),
        certificate!("refused/rsa-pss-sha224"),
        certificate!("refused/rsa-pss-sha3-256"),
    ] {
        assert!(leaf.signature().is_err());
        assert!(leaf.verify_issued_by(&root).is_err());
        let path = verify_path(&leaf, std::slice::from_ref(&root), ExtendedKeyUsage::CodeSigning, at());
        assert!(matches!(path, Err(PathError::Unverified(_))), "{path:?}");
    }
}

#[test]
fn rsa_pss_parameters_are_read_as_rfc_4055_says() {
    let digest = digest_identifier_with_null;
    let mask = |inner: &[u8]| asn1::sequence(&[&asn1::object_identifier(MGF1), inner]);
    let small = |value: u8| asn1::unsigned(&[value]);
    let field = |number, content: &[u8]| asn1::element(asn1::context_constructed(number), &[content]);
    let (sha256, sha512) = (digest(HashAlgorithm::Sha256), digest(HashAlgorithm::Sha512));
    let (hash, mgf, salt) = (field(0, &sha256), field(1, &mask(&sha256)), field(2, &small(32)));
    let absent = digest_identifier(HashAlgorithm::Sha256);
    let read = |fields: &[&[u8]]| pss_hash(&asn1::sequence(fields));
    assert_eq!(read(&[&hash, &mgf, &salt]), Some(HashAlgorithm::Sha256));
    assert_eq!(read(&[&hash, &mgf, &salt, &field(3, &small(1))]), Some(HashAlgorithm::Sha256));
    assert_eq!(read(&[&field(0, &absent), &field(1, &mask(&absent)), &salt]), Some(HashAlgorithm::Sha256));
    let no_mask = asn1::sequence(&[&asn1::object_identifier(MGF1)]);
    let no_mgf1 = asn1::sequence(&[&asn1::object_identifier(SHA256), &sha256]);
    for (what, fields) in [
        ("nothing, which means SHA-1", vec![]),
        ("no hash", vec![&mgf, &salt]),
        ("no mask", vec![&hash, &salt]),
        ("no salt, which means 20 bytes", vec![&hash, &mgf]),
        ("a salt of 20 bytes", vec![&hash, &mgf, &field(2, &small(20))]),
        ("no salt at all", vec![&hash, &mgf, &field(2, &small(0))]),
        ("a mask of another hash", vec![&hash, &field(1, &mask(&sha512)), &salt]),
        ("a mask of an unnamed hash", vec![&hash, &field(1, &no_mask), &salt]),
        ("another mask", vec![&hash, &field(1, &no_mgf1), &salt]),
        ("the salt of another hash", vec![&hash, &mgf, &field(2, &small(64))]),
        ("another trailer", vec![&hash, &mgf, &salt, &field(3, &small(2))]),
        ("another order", vec![&mgf, &hash, &salt]),
        ("a field twice", vec![&hash, &mgf, &salt, &salt]),
        ("one more field", vec![&hash, &mgf, &salt, &field(4, &small(1))]),
    ] {
        let fields: Vec<&[u8]> = fields.into_iter().map(Vec::as_slice).collect();
        assert_eq!(read(&fields), None, "{what}");
    }
    assert_eq!(SignatureAlgorithm::from_der(&asn1::sequence(&[&asn1::object_identifier(RSASSA_PSS)])), None);
    assert_eq!(SignatureAlgorithm::from_der(&with_null(RSASSA_PSS)), None);
    assert_eq!(SignatureAlgorithm::from_der(&with_null(ML_DSA_65)), None);
}

#[test]
fn chains_of_ml_dsa_verify_and_tampered_ones_do_not() {
    for key_type in [KeyType::MlDsa44, KeyType::MlDsa65, KeyType::MlDsa87] {
        let root = root(key_type, "root");
        let issuing = below(&root, key_type, "tsa", |issuer| CaProfile::TimeStampingIntermediate { issuer });
        let stamp = |issuer| CaProfile::TimeStampingLeaf { issuer };
        let leaf = below(&issuing, KeyType::EcdsaP256, "stamp", stamp).certificate;
        let chain = [issuing.certificate.clone(), root.certificate.clone()];
        assert_eq!(leaf.signature().unwrap().1.len(), root.certificate.signature().unwrap().1.len());
        leaf.verify_issued_by(&issuing.certificate).unwrap();
        verify_path(&leaf, &chain, ExtendedKeyUsage::TimeStamping, noon()).unwrap();
        let mut der = leaf.der().to_vec();
        *der.last_mut().unwrap() ^= 1;
        let tampered = Certificate::from_der(&der).unwrap();
        assert!(tampered.verify_issued_by(&issuing.certificate).is_err());
        assert!(verify_path(&tampered, &chain, ExtendedKeyUsage::TimeStamping, noon()).is_err());
    }
}
