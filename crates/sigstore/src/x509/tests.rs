// SPDX-License-Identifier: Apache-2.0
//! Tests of certificates, against the public ones of the conformance suite and against our own authority.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use touchmark_keys::KeyType;

use super::chain::TrustedChain;
use super::csr::{Csr, CsrError};
use super::path::{ExtendedKeyUsage, PathError, verify_path};
use super::*;
use crate::issue::authority::CaProfile;
use crate::workshop::{self, CRITICAL, Holder, Key, PLAIN, alice, below, days, leaf_template, noon, root};
use crate::{ct, vectors};

const BEACON: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn public_leaf() -> Certificate {
    Certificate::from_der(&vectors::case("rekor2-happy-path").unwrap().leaf.unwrap()).unwrap()
}

#[test]
fn reads_every_leaf_of_the_public_instance() {
    let mut seen = 0;
    for case in vectors::cases() {
        let Some(leaf) = case.leaf.as_deref().and_then(|der| Certificate::from_der(der).ok()) else { continue };
        let Ok(san) = leaf.san() else { continue };
        if leaf.issuer_claim().as_deref() != Ok(GITHUB) || leaf.issuer_text().contains("sigstore.mock") {
            continue;
        }
        seen += 1;
        assert!(matches!(san, SubjectAltName::Uri(_)), "{}", case.name);
        assert!(leaf.fulcio_extensions().len() >= 6, "{}", case.name);
        assert!(leaf.subject_text().is_empty() && !leaf.is_ca());
        assert_eq!(leaf.public_key().unwrap().key_type(), KeyType::EcdsaP256);
        assert_eq!(leaf.not_after() - leaf.not_before(), jiff::Span::new().seconds(600).fieldwise(), "{}", case.name);
        assert_eq!(Certificate::from_pem(&leaf.to_pem()).unwrap(), leaf);
    }
    assert!(seen >= 40, "only {seen} leaves were read");
}

#[test]
fn reads_identity_and_extensions_of_a_public_leaf() {
    let leaf = public_leaf();
    assert_eq!(leaf.san(), Ok(SubjectAltName::Uri(BEACON.into())));
    assert_eq!(leaf.issuer_claim().as_deref(), Ok(GITHUB));
    assert_eq!(leaf.issuer_text(), "CN=sigstore-intermediate,O=sigstore.dev");
    let extensions = leaf.fulcio_extensions();
    let value = |arc: &str| {
        let oid = ObjectIdentifier::new(&format!("1.3.6.1.4.1.57264.1.{arc}")).unwrap();
        extensions.iter().find(|(found, _)| *found == oid).map(|(_, text)| text.as_str())
    };
    assert_eq!(value("1"), Some(GITHUB));
    assert_eq!(value("2"), Some("workflow_dispatch"));
    assert_eq!(value("11"), Some("github-hosted"));
    assert_eq!(value("15"), Some("632596897"));
    assert_eq!(value("22"), Some("public"));
    assert_eq!(value("24"), None);
}

#[test]
fn agrees_with_an_independent_parser() {
    use der::{Decode as _, Encode as _};
    for case in vectors::cases() {
        let mut certificates: Vec<Certificate> = case
            .root
            .certificate_authorities
            .concat()
            .into_iter()
            .chain(case.root.timestamp_authorities.concat())
            .collect();
        certificates.extend(case.leaf.as_deref().and_then(|der| Certificate::from_der(der).ok()));
        for ours in certificates {
            let theirs = x509_cert::Certificate::from_der(ours.der()).unwrap();
            let tbs = theirs.tbs_certificate();
            assert_eq!(ours.tbs_der(), tbs.to_der().unwrap());
            assert_eq!(ours.serial(), tbs.serial_number().as_bytes());
            assert_eq!(ours.subject_der(), tbs.subject().to_der().unwrap());
            assert_eq!(ours.issuer_der(), tbs.issuer().to_der().unwrap());
            assert_eq!(ours.spki_der(), tbs.subject_public_key_info().to_der().unwrap());
            let seconds = |time: Timestamp| u64::try_from(time.as_second()).unwrap();
            assert_eq!(seconds(ours.not_before()), tbs.validity().not_before.to_unix_duration().as_secs());
            assert_eq!(seconds(ours.not_after()), tbs.validity().not_after.to_unix_duration().as_secs());
            for extension in tbs.extensions().unwrap() {
                let oid = extension.extn_id.to_string();
                assert_eq!(ours.extension(&oid), Some(extension.extn_value.as_bytes()), "{oid}");
            }
        }
    }
}

#[test]
fn accepts_public_leaves_under_their_authority_while_valid() {
    let mut accepted = 0;
    for case in vectors::cases().into_iter().filter(|case| !case.must_fail()) {
        let Some(leaf) = case.leaf.as_deref().map(|der| Certificate::from_der(der).unwrap()) else { continue };
        let at = leaf.not_before() + SignedDuration::from_secs(1);
        let verify = |chain: &Vec<Certificate>| verify_path(&leaf, chain, ExtendedKeyUsage::CodeSigning, at);
        let path = case.root.certificate_authorities.iter().find_map(|chain| verify(chain).ok());
        let path = path.unwrap_or_else(|| panic!("{} finds no path", case.name));
        assert_eq!(path.leaf(), &leaf);
        assert_eq!(path.issuer().subject_der(), leaf.issuer_der());
        leaf.verify_issued_by(path.issuer()).unwrap();
        let late = leaf.not_after() + SignedDuration::from_secs(1);
        let chain = case.root.certificate_authorities.iter().find(|chain| verify(chain).is_ok()).unwrap();
        assert!(matches!(
            verify_path(&leaf, chain, ExtendedKeyUsage::CodeSigning, late),
            Err(PathError::Expired { position: 0, .. })
        ));
        accepted += 1;
    }
    assert!(accepted >= 15, "only {accepted} leaves were accepted");
}

struct Tree {
    root: Holder,
    intermediate: Holder,
}

fn tree() -> Tree {
    let root = root(KeyType::EcdsaP256, "root");
    let intermediate =
        below(&root, KeyType::EcdsaP256, "intermediate", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    Tree { root, intermediate }
}

impl Tree {
    fn leaf(&self) -> Certificate {
        let principal = alice();
        let key = Key::new(KeyType::EcdsaP256);
        workshop::sign(&leaf_template(&self.intermediate, &key, &principal).ct_tbs().unwrap(), &self.intermediate.key)
    }

    fn chain(&self) -> [Certificate; 2] {
        [self.intermediate.certificate.clone(), self.root.certificate.clone()]
    }
}

fn verify_leaf(leaf: &Certificate, chain: &[Certificate], at: Timestamp) -> Result<path::VerifiedPath, PathError> {
    let verdict = verify_path(leaf, chain, ExtendedKeyUsage::CodeSigning, at);
    let prepared = TrustedChain::new(chain.to_vec()).prepared(ExtendedKeyUsage::CodeSigning);
    assert_eq!(verify_path(leaf, &prepared, ExtendedKeyUsage::CodeSigning, at), verdict);
    verdict
}

#[test]
fn accepts_a_path_at_both_ends_of_its_validity() {
    let tree = tree();
    let leaf = tree.leaf();
    for at in [leaf.not_before(), leaf.not_after()] {
        let path = verify_leaf(&leaf, &tree.chain(), at).unwrap();
        assert_eq!(path.certificates().len(), 3);
        assert_eq!((path.anchor(), path.times()), (&tree.root.certificate, &[at][..]));
    }
    // The anchor may be the intermediate itself.
    assert!(verify_leaf(&leaf, &tree.chain()[..1], noon()).is_ok());
}

#[test]
fn refuses_a_leaf_outside_its_validity_to_the_nanosecond() {
    let tree = tree();
    let leaf = tree.leaf();
    let early = leaf.not_before() - SignedDuration::from_nanos(1);
    let late = leaf.not_after() + SignedDuration::from_nanos(1);
    assert!(matches!(verify_leaf(&leaf, &tree.chain(), early), Err(PathError::NotYetValid { position: 0, .. })));
    assert!(matches!(verify_leaf(&leaf, &tree.chain(), late), Err(PathError::Expired { position: 0, .. })));
}

#[test]
fn refuses_an_anchor_that_is_not_valid() {
    let tree = tree();
    // A root with the same name and key, but of another time: webpki itself would accept it.
    let holder = &tree.root;
    let mut template = workshop::template(&holder.key, "root", CaProfile::Root, days(1), &holder.key);
    template.not_before = noon() - days(20);
    template.not_after = noon() - days(10);
    let stale = workshop::sign(&template.tbs().unwrap(), &holder.key);
    let chain = [tree.intermediate.certificate.clone(), stale];
    assert!(matches!(verify_leaf(&tree.leaf(), &chain, noon()), Err(PathError::Expired { position: 2, .. })));
}

#[test]
fn refuses_a_stranger_s_chain() {
    let (tree, stranger) = (tree(), tree());
    let leaf = tree.leaf();
    assert!(matches!(
        verify_leaf(&leaf, &stranger.chain(), noon()),
        Err(PathError::Unverified(webpki::Error::InvalidSignatureForPublicKey))
    ));
    assert_eq!(verify_leaf(&leaf, &[], noon()), Err(PathError::EmptyChain));
    assert_eq!(verify_leaf(&leaf, std::slice::from_ref(&leaf), noon()), Err(PathError::LeafIsAnchor));
    assert!(matches!(leaf.verify_issued_by(&stranger.intermediate.certificate), Err(PathError::Signature(_))));
    assert_eq!(leaf.verify_issued_by(&tree.root.certificate), Err(PathError::IssuerName));
}

#[test]
fn refuses_an_authority_as_leaf() {
    let tree = tree();
    let result = verify_leaf(&tree.intermediate.certificate, std::slice::from_ref(&tree.root.certificate), noon());
    assert_eq!(result, Err(PathError::LeafIsCa));
}

#[test]
fn refuses_a_leaf_for_another_purpose() {
    let root = root(KeyType::EcdsaP256, "root");
    let stamp = below(&root, KeyType::EcdsaP256, "stamp", |issuer| CaProfile::TimeStampingLeaf { issuer });
    let chain = [root.certificate.clone()];
    assert_eq!(
        verify_leaf(&stamp.certificate, &chain, noon()),
        Err(PathError::LeafExtendedKeyUsage { required: ExtendedKeyUsage::CodeSigning })
    );
    assert!(verify_path(&stamp.certificate, &chain, ExtendedKeyUsage::TimeStamping, noon()).is_ok());
    let tree = tree();
    assert_eq!(
        verify_path(&tree.leaf(), &tree.chain(), ExtendedKeyUsage::TimeStamping, noon()),
        Err(PathError::LeafExtendedKeyUsage { required: ExtendedKeyUsage::TimeStamping })
    );
}

#[test]
fn refuses_a_time_stamping_intermediate_for_code_signing() {
    let root = root(KeyType::EcdsaP256, "root");
    let stamping = below(&root, KeyType::EcdsaP256, "tsa", |issuer| CaProfile::TimeStampingIntermediate { issuer });
    let leaf = Tree { root, intermediate: stamping };
    assert!(matches!(
        verify_leaf(&leaf.leaf(), &leaf.chain(), noon()),
        Err(PathError::Unverified(webpki::Error::RequiredEkuNotFoundContext(_)))
    ));
    // As the anchor too, where webpki does not look.
    assert_eq!(
        verify_leaf(&leaf.leaf(), &leaf.chain()[..1], noon()),
        Err(PathError::AuthorityExtendedKeyUsage { position: 1, required: ExtendedKeyUsage::CodeSigning })
    );
}

#[test]
fn refuses_more_authorities_than_the_path_length_allows() {
    let root = root(KeyType::EcdsaP256, "root");
    let first = below(&root, KeyType::EcdsaP256, "first", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    let second = below(&first, KeyType::EcdsaP256, "second", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    let tree = Tree { root, intermediate: second };
    let leaf = tree.leaf();
    let [second, root] = tree.chain();
    assert!(matches!(
        verify_leaf(&leaf, &[second.clone(), first.certificate.clone(), root], noon()),
        Err(PathError::Unverified(webpki::Error::PathLenConstraintViolated))
    ));
    // With the limited authority as the anchor, where webpki does not look.
    assert_eq!(
        verify_leaf(&leaf, &[second, first.certificate.clone()], noon()),
        Err(PathError::PathLength { position: 2, intermediates: 1, allowed: 0 })
    );
}

#[test]
fn refuses_a_precertificate_in_a_path() {
    let tree = tree();
    let principal = alice();
    let key = Key::new(KeyType::EcdsaP256);
    let tbs = leaf_template(&tree.intermediate, &key, &principal).precertificate_tbs().unwrap();
    let precertificate = workshop::sign(&tbs, &tree.intermediate.key);
    assert!(matches!(
        verify_leaf(&precertificate, &tree.chain(), noon()),
        Err(PathError::Unverified(webpki::Error::UnsupportedCriticalExtension))
    ));
    precertificate.verify_issued_by(&tree.intermediate.certificate).unwrap();
}

#[test]
fn accepts_username_identities_in_a_path() {
    let tree = tree();
    let mut principal = alice();
    principal.san = SubjectAltName::Username("alice!example.com".into());
    let key = Key::new(KeyType::EcdsaP256);
    let tbs = leaf_template(&tree.intermediate, &key, &principal).ct_tbs().unwrap();
    let leaf = workshop::sign(&tbs, &tree.intermediate.key);
    let path = verify_leaf(&leaf, &tree.chain(), noon()).unwrap();
    assert_eq!(path.leaf().san(), Ok(principal.san));
}

#[test]
fn every_flipped_byte_of_a_leaf_is_refused() {
    let tree = tree();
    let leaf = tree.leaf();
    let chain = tree.chain();
    for position in 0..leaf.der().len() {
        let mut der = leaf.der().to_vec();
        der[position] ^= 0x01;
        let Ok(tampered) = Certificate::from_der(&der) else { continue };
        // A change in the signature may give another valid encoding of none; no change may verify.
        assert!(verify_leaf(&tampered, &chain, noon()).is_err(), "byte {position}");
    }
}

/// Puts an extension in the place of the one with the same object identifier, or at the end.
fn put(extensions: &mut Vec<Vec<u8>>, oid: &str, critical: &[u8], value: &str) {
    let new = workshop::extension(oid, critical, &hex::decode(value).unwrap());
    let name = asn1::object_identifier(ObjectIdentifier::new(oid).unwrap());
    match extensions.iter_mut().find(|extension| extension.windows(name.len()).any(|window| window == name)) {
        Some(old) => *old = new,
        None => extensions.push(new),
    }
}

#[test]
fn refuses_leaves_whose_extensions_allow_too_little_or_too_much() {
    const KEY_USAGE: &str = "2.5.29.15";
    const EXTENDED: &str = "2.5.29.37";
    let tree = tree();
    let leaf = tree.leaf();
    let check = |oid: &str, critical: &[u8], value: &str| {
        let edited = workshop::with_extensions(&leaf, &tree.intermediate.key, |list| put(list, oid, critical, value));
        verify_leaf(&edited, &tree.chain(), noon()).map(drop)
    };
    let purpose = Err(PathError::LeafExtendedKeyUsage { required: ExtendedKeyUsage::CodeSigning });
    assert_eq!(check(KEY_USAGE, CRITICAL, "03020780"), Ok(()));
    assert_eq!(check(KEY_USAGE, CRITICAL, "030206c0"), Ok(()), "digitalSignature and another");
    assert_eq!(check(KEY_USAGE, CRITICAL, "03020520"), Err(PathError::LeafKeyUsage), "keyEncipherment alone");
    assert_eq!(check(EXTENDED, PLAIN, "30060604551d2500"), purpose, "anyExtendedKeyUsage is not codeSigning");
    assert_eq!(check(EXTENDED, PLAIN, "300a06082b06010505070308"), purpose, "timeStamping");
    assert_eq!(check("2.5.29.19", CRITICAL, "30030101ff"), Err(PathError::LeafIsCa));
    let unknown = check("1.2.3.4", CRITICAL, "0500");
    assert_eq!(unknown, Err(PathError::Unverified(webpki::Error::UnsupportedCriticalExtension)));
    assert_eq!(check("1.2.3.4", PLAIN, "0500"), Ok(()));

    let without = |position: usize| {
        let edited = workshop::with_extensions(&leaf, &tree.intermediate.key, |list| drop(list.remove(position)));
        verify_leaf(&edited, &tree.chain(), noon()).map(drop)
    };
    assert_eq!(without(0), Err(PathError::LeafKeyUsage));
    assert_eq!(without(1), purpose);
}

#[test]
fn refuses_timestamp_leaves_whose_purpose_is_not_sole_and_critical() {
    const EXTENDED: &str = "2.5.29.37";
    let root = root(KeyType::EcdsaP256, "root");
    let stamp = below(&root, KeyType::EcdsaP256, "stamp", |issuer| CaProfile::TimeStampingLeaf { issuer });
    let check = |critical: &[u8], value: &str| {
        let edit = |list: &mut Vec<Vec<u8>>| put(list, EXTENDED, critical, value);
        let edited = workshop::with_extensions(&stamp.certificate, &root.key, edit);
        let chain = std::slice::from_ref(&root.certificate);
        verify_path(&edited, chain, ExtendedKeyUsage::TimeStamping, noon()).map(drop)
    };
    let refused = Err(PathError::LeafExtendedKeyUsage { required: ExtendedKeyUsage::TimeStamping });
    let (sole, with_unknown) = ("300a06082b06010505070308", "300f06082b0601050507030806032a0304");
    assert_eq!(check(CRITICAL, sole), Ok(()));
    assert_eq!(check(PLAIN, sole), refused);
    assert_eq!(check(CRITICAL, with_unknown), refused);
}

#[test]
fn refuses_authorities_that_may_not_sign_certificates() {
    let tree = tree();
    let leaf = tree.leaf();
    let check = |oid: &str, critical: &[u8], value: &str| {
        let edit = |list: &mut Vec<Vec<u8>>| put(list, oid, critical, value);
        let edited = workshop::with_extensions(&tree.intermediate.certificate, &tree.root.key, edit);
        let issued = leaf.verify_issued_by(&edited).map(drop);
        let chain = [edited, tree.root.certificate.clone()];
        (verify_leaf(&leaf, &chain, noon()).map(drop), verify_leaf(&leaf, &chain[..1], noon()).map(drop), issued)
    };
    let usage = || Err(PathError::AuthorityKeyUsage { position: 1 });
    assert_eq!(check("2.5.29.15", CRITICAL, "03020780"), (usage(), usage(), usage()));
    let (path, anchor, issued) = check("2.5.29.19", CRITICAL, "3000");
    assert_eq!(path, Err(PathError::Unverified(webpki::Error::EndEntityUsedAsCa)));
    assert_eq!(
        (anchor, issued),
        (Err(PathError::NotAnAuthority { position: 1 }), Err(PathError::NotAnAuthority { position: 1 }))
    );
}

#[test]
fn there_is_exactly_one_identity() {
    let tree = tree();
    let leaf = tree.leaf();
    let san = |value: &str| {
        let edit = |list: &mut Vec<Vec<u8>>| put(list, "2.5.29.17", CRITICAL, value);
        workshop::with_extensions(&leaf, &tree.intermediate.key, edit).san()
    };
    assert_eq!(san("3003810161"), Ok(SubjectAltName::Email("a".into())));
    assert_eq!(san("3000"), Err(CertificateError::SubjectAltNameCount { found: 0 }));
    assert_eq!(san("3006810161810162"), Err(CertificateError::SubjectAltNameCount { found: 2 }));
    assert_eq!(san("3006870401020304"), Err(CertificateError::SubjectAltNameKind), "an IP address");
    assert_eq!(san("300ba00906032a0304a0020c00"), Err(CertificateError::SubjectAltNameKind), "another otherName");
    assert!(matches!(san("30038101ff"), Err(CertificateError::Extension { .. })), "not IA5");
    let without = workshop::with_extensions(&leaf, &tree.intermediate.key, |list| drop(list.remove(4)));
    assert_eq!(without.san(), Err(CertificateError::MissingExtension { oid: oid::SUBJECT_ALT_NAME }));
}

#[test]
fn refuses_certificates_with_an_extension_twice_or_too_many() {
    let tree = tree();
    let leaf = tree.leaf();
    let parse = |edit: &dyn Fn(&mut Vec<Vec<u8>>)| {
        Certificate::from_der(&workshop::der_with_extensions(&leaf, &tree.intermediate.key, |list| edit(list)))
    };
    assert_eq!(parse(&|_| ()).map(|edited| edited.tbs_der().to_vec()), Ok(leaf.tbs_der().to_vec()));
    assert_eq!(
        parse(&|list| list.push(list[0].clone())),
        Err(CertificateError::DuplicateExtension { oid: oid::KEY_USAGE })
    );
    let fill = |list: &mut Vec<Vec<u8>>, count: usize| {
        while list.len() < count {
            list.push(workshop::extension(&format!("1.2.3.{}", list.len()), PLAIN, &[]));
        }
    };
    assert!(parse(&|list| fill(list, EXTENSIONS_MAX)).is_ok());
    assert_eq!(parse(&|list| fill(list, EXTENSIONS_MAX + 1)), Err(CertificateError::TooManyExtensions));
}

#[test]
fn refuses_issuer_extensions_that_disagree() {
    let leaf = public_leaf();
    // Change the raw issuer only: same length, so the structure stays.
    let needle = GITHUB.as_bytes();
    let place = leaf.der().windows(needle.len()).position(|window| window == needle).unwrap();
    let mut der = leaf.der().to_vec();
    der[place + needle.len() - 1] = b'n';
    let tampered = Certificate::from_der(&der).unwrap();
    assert!(matches!(tampered.issuer_claim(), Err(CertificateError::IssuerDisagrees { .. })));
}

#[test]
fn refuses_malformed_certificates_by_name() {
    let leaf = public_leaf();
    let mut trailing = leaf.der().to_vec();
    trailing.push(0);
    assert_eq!(Certificate::from_der(&trailing).unwrap_err(), CertificateError::Der(DerError::Trailing));
    assert_eq!(Certificate::from_der(&leaf.der()[..100]).unwrap_err(), CertificateError::Der(DerError::Truncated));
    assert_eq!(Certificate::from_der(&[]).unwrap_err(), CertificateError::Der(DerError::Truncated));
    let large = vec![0x30; CERTIFICATE_BYTES_MAX + 1];
    assert!(matches!(Certificate::from_der(&large), Err(CertificateError::TooLarge { .. })));
    assert_eq!(Certificate::from_pem("").unwrap_err(), CertificateError::NoCertificate);
    assert_eq!(Certificate::from_pem("-----BEGIN CERTIFICATE-----\nAAAA").unwrap_err(), CertificateError::Pem);
    let wrong_label = leaf.to_pem().replace("CERTIFICATE", "PUBLIC KEY");
    assert_eq!(Certificate::from_pem(&wrong_label).unwrap_err(), CertificateError::Pem);
    let twice = format!("{}{}", leaf.to_pem(), leaf.to_pem());
    assert_eq!(Certificate::from_pem(&twice).unwrap_err(), CertificateError::TooManyCertificates);
    assert_eq!(chain_from_pem(&twice.replace('\n', "\r\n")).unwrap().len(), 2);
}

const CSR_P256: &str = include_str!("../../testdata/csr/p256-sha256.pem");
const CSR_P384_SHA256: &str = include_str!("../../testdata/csr/p384-sha256.pem");
const CSR_RSA_SHA384: &str = include_str!("../../testdata/csr/rsa2048-sha384.pem");
const CSR_RSA_SHA1: &str = include_str!("../../testdata/csr/rsa2048-sha1.pem");
const CSR_RSA_PSS: &str = include_str!("../../testdata/csr/rsa2048-pss-sha256.pem");
const CSR_ED25519: &str = include_str!("../../testdata/csr/ed25519.pem");

#[test]
fn verifies_requests_and_names_their_scheme() {
    let scheme = |pem: &str| {
        let csr = Csr::from_pem(pem.as_bytes()).unwrap();
        csr.verify().map(drop)?;
        csr.scheme()
    };
    assert_eq!(scheme(CSR_P256), Ok(touchmark_keys::Scheme::EcdsaP256Sha256));
    assert_eq!(
        scheme(&CSR_P256.replace("BEGIN CERT", "BEGIN NEW CERT").replace("END CERT", "END NEW CERT")),
        scheme(CSR_P256)
    );
    assert_eq!(scheme(CSR_ED25519), Ok(touchmark_keys::Scheme::Ed25519));
    let text = |pem| scheme(pem).unwrap_err().to_string();
    assert_eq!(text(CSR_P384_SHA256), "signing algorithm not permitted: *ecdsa.PublicKey, SHA-256");
    assert_eq!(text(CSR_RSA_SHA384), "signing algorithm not permitted: *rsa.PublicKey, SHA-384");
    assert_eq!(text(CSR_RSA_PSS), "unrecognized signature algorithm: SHA256-RSAPSS");
    assert_eq!(scheme(CSR_RSA_SHA1), Err(CsrError::Signature(None)));
}

#[test]
fn refuses_requests_that_are_tampered_or_malformed() {
    let block = pem::decode_all(CSR_P256, 1).unwrap().remove(0);
    for position in 0..block.der.len() {
        let mut der = block.der.clone();
        der[position] ^= 0x01;
        let Ok(csr) = Csr::from_der(&der) else { continue };
        assert!(csr.verify().is_err(), "byte {position}");
    }
    assert_eq!(Csr::from_pem(b"hello").unwrap_err(), CsrError::Pem);
    assert_eq!(Csr::from_pem(&[0xff]).unwrap_err(), CsrError::Pem);
    assert_eq!(Csr::from_pem(public_leaf().to_pem().as_bytes()).unwrap_err(), CsrError::Pem);
    assert_eq!(Csr::from_pem(format!("{CSR_P256}{CSR_P256}").as_bytes()).unwrap_err(), CsrError::Pem);
}

/// Everything that a hostile certificate can reach.
fn touch(certificate: &Certificate) {
    let _ =
        (certificate.san(), certificate.issuer_claim(), certificate.fulcio_extensions(), certificate.subject_text());
    let _ = (certificate.public_key(), certificate.signature(), ct::embedded_scts(certificate), certificate.to_pem());
    let _ = verify_path(certificate, std::slice::from_ref(certificate), ExtendedKeyUsage::CodeSigning, noon());
    let _ = certificate.verify_issued_by(certificate);
}

proptest! {
    #[test]
    fn parsing_any_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Certificate::from_der(&bytes);
        let _ = Csr::from_der(&bytes);
        let _ = chain_from_pem(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn mutated_certificates_do_not_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut der = public_leaf().der().to_vec();
        for (place, value) in changes {
            let place = place.index(der.len());
            der[place] = value;
        }
        if let Ok(certificate) = Certificate::from_der(&der) {
            touch(&certificate);
        }
    }
}
