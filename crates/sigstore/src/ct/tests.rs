// SPDX-License-Identifier: Apache-2.0
//! Tests of certificate transparency, against the SCTs of public logs and against bytes written out by hand.

use std::sync::Arc;

use jiff::SignedDuration;
use proptest::prelude::*;
use touchmark_keys::KeyType;
use touchmark_tlog::LeafIndex;

use super::*;
use crate::issue::authority::CaProfile;
use crate::vectors::{self, Case};
use crate::workshop::{self, Holder, Key, alice, below, leaf_template, root};
use crate::x509::CertificateError;
use crate::x509::path::{ExtendedKeyUsage, PathError, VerifiedPath, verify_path};

fn path_of(case: &Case) -> Option<VerifiedPath> {
    let leaf = Certificate::from_der(case.leaf.as_deref()?).ok()?;
    let at = leaf.not_before() + SignedDuration::from_secs(1);
    let verify = |chain: &Vec<Certificate>| verify_path(&leaf, chain, ExtendedKeyUsage::CodeSigning, at).ok();
    case.root.certificate_authorities.iter().find_map(verify)
}

fn verify_with_any(sct: &Sct, entry: &LogEntry, keys: &[PublicKey]) -> Result<SctVerified, Vec<SctError>> {
    let mut errors = Vec::new();
    for key in keys {
        match verify_sct(sct, entry, key) {
            Ok(verified) => return Ok(verified),
            Err(error) => errors.push(error),
        }
    }
    Err(errors)
}

#[test]
fn verifies_the_scts_of_every_accepted_bundle() {
    let mut verified = 0;
    for case in vectors::cases().into_iter().filter(|case| !case.must_fail()) {
        let Some(path) = path_of(&case) else { continue };
        let entry = LogEntry::from_certificate_with_scts(path.leaf(), path.issuer()).unwrap();
        for sct in embedded_scts(path.leaf()).unwrap() {
            let proven = verify_with_any(&sct, &entry, &case.root.ct_keys)
                .unwrap_or_else(|errors| panic!("{}: {errors:?}", case.name));
            assert_eq!((proven.log_id(), proven.timestamp_ms()), (&sct.log_id, sct.timestamp_ms));
            assert_eq!(Sct::from_tls(&sct.to_tls()), Ok(sct));
            verified += 1;
        }
    }
    assert!(verified >= 15, "only {verified} SCTs were verified");
}

#[test]
fn refuses_an_sct_of_a_log_that_the_root_does_not_name() {
    let case = vectors::case("invalid-ct-key_fail").unwrap();
    let path = path_of(&case).unwrap();
    let entry = LogEntry::from_certificate_with_scts(path.leaf(), path.issuer()).unwrap();
    for sct in embedded_scts(path.leaf()).unwrap() {
        let errors = verify_with_any(&sct, &entry, &case.root.ct_keys).unwrap_err();
        assert!(
            errors.iter().all(|error| matches!(error, SctError::LogId { .. } | SctError::Signature(_))),
            "{errors:?}"
        );
    }
}

#[test]
fn every_part_of_an_sct_is_signed() {
    let case = vectors::case("bundle-with-sct-with-extensions").unwrap();
    let path = path_of(&case).unwrap();
    let entry = LogEntry::from_certificate_with_scts(path.leaf(), path.issuer()).unwrap();
    let scts = embedded_scts(path.leaf()).unwrap();
    let [sct] = scts.as_slice() else { panic!("one SCT") };
    assert!(parse_leaf_index_extension(&sct.extensions).is_ok(), "the log is a static one");
    let key = case.root.ct_keys.iter().find(|key| key.spki_sha256() == sct.log_id).unwrap();
    verify_sct(sct, &entry, key).unwrap();

    let refuse = |change: &dyn Fn(&mut Sct)| {
        let mut changed = sct.clone();
        change(&mut changed);
        verify_sct(&changed, &entry, key).unwrap_err()
    };
    assert!(matches!(refuse(&|sct| sct.timestamp_ms += 1), SctError::Signature(_)));
    assert!(matches!(refuse(&|sct| sct.extensions.clear()), SctError::Signature(_)));
    assert!(matches!(refuse(&|sct| *sct.extensions.last_mut().unwrap() ^= 1), SctError::Signature(_)));
    assert!(matches!(refuse(&|sct| *sct.signature.last_mut().unwrap() ^= 1), SctError::Signature(_)));
    assert!(matches!(refuse(&|sct| sct.log_id[0] ^= 1), SctError::LogId { .. }));
    assert_eq!(refuse(&|sct| sct.extensions = vec![0; 0x1_0000]), SctError::TooLong);
    assert_eq!(refuse(&|sct| sct.signature = vec![0; 0x1_0000]), SctError::TooLong);
    assert!(matches!(refuse(&|sct| sct.scheme = SctScheme::RsaPkcs1Sha256), SctError::Scheme { .. }));

    let other = vectors::case("rekor2-happy-path").and_then(|case| path_of(&case)).unwrap();
    let other = LogEntry::from_certificate_with_scts(other.leaf(), other.issuer()).unwrap();
    assert!(matches!(verify_sct(sct, &other, key), Err(SctError::Signature(_))));
    let (LogEntry::Precert { tbs, .. }, LogEntry::Precert { issuer_key_hash, .. }) = (&entry, &other) else { panic!() };
    let other_issuer = LogEntry::Precert { issuer_key_hash: *issuer_key_hash, tbs: tbs.clone() };
    assert!(matches!(verify_sct(sct, &other_issuer, key), Err(SctError::Signature(_))));
}

fn authority() -> (Holder, Holder) {
    let root = root(KeyType::EcdsaP256, "root");
    let issuer =
        below(&root, KeyType::EcdsaP256, "intermediate", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    (root, issuer)
}

#[test]
fn an_sct_over_the_precertificate_holds_for_the_certificate() {
    let (_, issuer) = authority();
    for log in [Key::new(KeyType::EcdsaP256), Key::new(KeyType::Rsa2048)] {
        let (key, principal) = (Key::new(KeyType::EcdsaP256), alice());
        let template = leaf_template(&issuer, &key, &principal);
        let precertificate = workshop::sign(&template.precertificate_tbs().unwrap(), &issuer.key);
        let entry = LogEntry::from_precertificate(&precertificate, &issuer.certificate).unwrap();
        let extensions = leaf_index_extension(LeafIndex(1 << 33)).unwrap();
        let sct = Sct {
            log_id: log.public().spki_sha256(),
            timestamp_ms: 1_781_524_800_123,
            signature: log.sign(&sct_signed_bytes(&entry, 1_781_524_800_123, &extensions)),
            extensions,
            scheme: SctScheme::of_key(&log.public()).unwrap(),
        };
        let leaf = workshop::sign(&template.certificate_tbs(std::slice::from_ref(&sct)).unwrap(), &issuer.key);
        let found = embedded_scts(&leaf).unwrap();
        assert_eq!(found, [sct]);
        let entry = LogEntry::from_certificate_with_scts(&leaf, &issuer.certificate).unwrap();
        verify_sct(&found[0], &entry, &log.public()).unwrap();
    }
}

#[test]
fn entries_are_made_of_the_right_certificates_only() {
    let (root, issuer) = authority();
    let (key, principal) = (Key::new(KeyType::EcdsaP256), alice());
    let template = leaf_template(&issuer, &key, &principal);
    let precertificate = workshop::sign(&template.precertificate_tbs().unwrap(), &issuer.key);
    let plain = workshop::sign(&template.ct_tbs().unwrap(), &issuer.key);
    assert_eq!(LogEntry::from_precertificate(&plain, &issuer.certificate), Err(CtError::NoPoison));
    assert_eq!(LogEntry::from_precertificate(&precertificate, &root.certificate), Err(CtError::WrongIssuer));
    assert_eq!(LogEntry::from_certificate(&precertificate), Err(CtError::Poisoned));
    assert_eq!(LogEntry::from_certificate_with_scts(&precertificate, &issuer.certificate), Err(CtError::Poisoned));
    assert_eq!(LogEntry::from_certificate_with_scts(&plain, &issuer.certificate), Err(CtError::NoSct));
    assert_eq!(embedded_scts(&plain), Err(CtError::NoSct));
    assert!(LogEntry::from_certificate(&plain).is_ok());
    // The identity of an entry leaves out time and place, and tells the two kinds apart.
    let first = LogEntry::from_precertificate(&precertificate, &issuer.certificate).unwrap();
    assert_eq!(first.identity(), first.clone().identity());
    assert_ne!(first.identity(), LogEntry::from_certificate(&plain).unwrap().identity());
}

const AUTHORITY_KEY_ID: &str = "2.5.29.35";

/// An intermediate of `root` that may sign precertificates and nothing else, below `issuer`, which stands in the chain for the certificate.
fn precertificate_signer(issuer: &Holder) -> Holder {
    // 1.3.6.1.4.1.11129.2.4.4 and id-ce-extKeyUsage.
    let purposes = hex::decode("300c060a2b06010401d679020404").unwrap();
    let eku = workshop::extension("2.5.29.37", workshop::CRITICAL, &purposes);
    let plain =
        below(issuer, KeyType::EcdsaP256, "precertificates", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    let certificate = workshop::with_extensions(&plain.certificate, &issuer.key, |extensions| extensions[1] = eku);
    Holder { key: plain.key, certificate }
}

/// RFC 6962 §3.2: what is logged is what the final certificate will say, whoever signed the precertificate.
#[test]
fn a_precertificate_signing_certificate_stands_for_the_authority_above_it() {
    let root = root(KeyType::EcdsaP256, "root");
    let issuer = below(&root, KeyType::EcdsaP256, "issuer", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    let signer = precertificate_signer(&issuer);
    let (key, principal) = (Key::new(KeyType::EcdsaP256), alice());
    let mut template = leaf_template(&issuer, &key, &principal);
    let direct = workshop::sign(&template.precertificate_tbs().unwrap(), &issuer.key);
    template.issuer = &signer.certificate;
    let precertificate = workshop::sign(&template.precertificate_tbs().unwrap(), &signer.key);
    assert_ne!(precertificate.issuer_der(), issuer.certificate.subject_der());
    let roots = [root.certificate.clone()];
    let entry = |precertificate: &Certificate, chain: &[&Holder]| {
        let chain: Vec<Certificate> = chain.iter().map(|holder| holder.certificate.clone()).collect();
        LogEntry::from_submitted_precertificate(&accept_chain(precertificate, &chain, &roots).unwrap())
    };
    let expect = LogEntry::from_precertificate(&direct, &issuer.certificate).unwrap();
    assert_eq!(entry(&precertificate, &[&signer, &issuer]), Ok(expect.clone()));
    assert_eq!(entry(&direct, &[&issuer, &root]), Ok(expect.clone()));

    // The SCT holds for the certificate that the authority issues.
    let log = Key::new(KeyType::EcdsaP256);
    let sct = Sct {
        log_id: log.public().spki_sha256(),
        timestamp_ms: 7,
        extensions: Vec::new(),
        scheme: SctScheme::EcdsaSha256,
        signature: log.sign(&sct_signed_bytes(&expect, 7, &[])),
    };
    template.issuer = &issuer.certificate;
    let leaf = workshop::sign(&template.certificate_tbs(std::slice::from_ref(&sct)).unwrap(), &issuer.key);
    let entry_of_leaf = LogEntry::from_certificate_with_scts(&leaf, &issuer.certificate).unwrap();
    verify_sct(&sct, &entry_of_leaf, &log.public()).unwrap();

    // Without a key identifier in the precertificate there is none to replace; without one in the signer's certificate it cannot be replaced.
    let key_id = asn1::object_identifier(AUTHORITY_KEY_ID.parse().unwrap());
    let strip = |of: &Certificate, with: &Holder| {
        workshop::with_extensions(of, &with.key, |all| {
            all.retain(|one| !one.windows(key_id.len()).any(|w| w == key_id))
        })
    };
    let (bare, bare_direct) = (strip(&precertificate, &signer), strip(&direct, &issuer));
    assert_eq!(entry(&bare, &[&signer, &issuer]), LogEntry::from_precertificate(&bare_direct, &issuer.certificate));
    let nameless = Holder { certificate: strip(&signer.certificate, &issuer), key: Key::new(KeyType::EcdsaP256) };
    assert_eq!(entry(&precertificate, &[&nameless, &issuer]), Err(CtError::NoAuthorityKeyId));

    // A signer that is itself the accepted root, or below another signer, stands for nobody.
    let roots = [signer.certificate.clone()];
    let alone = accept_chain(&precertificate, &[], &roots).unwrap();
    assert_eq!(LogEntry::from_submitted_precertificate(&alone), Err(CtError::NoFinalIssuer));
    let second = precertificate_signer(&signer);
    template.issuer = &second.certificate;
    let twice = workshop::sign(&template.precertificate_tbs().unwrap(), &second.key);
    assert_eq!(entry(&twice, &[&second, &signer, &issuer]), Err(CtError::NoFinalIssuer));
    let direct = LogEntry::from_precertificate(&precertificate, &signer.certificate);
    assert_eq!(direct, Err(CtError::PrecertificateSigningCertificate));
}

#[test]
fn a_precertificate_has_one_poison_which_is_critical_and_null() {
    let (root, issuer) = authority();
    let (key, principal) = (Key::new(KeyType::EcdsaP256), alice());
    let template = leaf_template(&issuer, &key, &principal);
    let plain = workshop::sign(&template.ct_tbs().unwrap(), &issuer.key);
    let poison = |critical: &[u8], value: &[u8]| workshop::extension("1.3.6.1.4.1.11129.2.4.3", critical, value);
    let (critical, null) = (workshop::CRITICAL, asn1::null());
    let with = |added: Vec<Vec<u8>>| workshop::der_with_extensions(&plain, &issuer.key, |all| all.extend(added));
    let entry = |der: &[u8]| {
        let precertificate = Certificate::from_der(der).unwrap();
        let chain = accept_chain(
            &precertificate,
            std::slice::from_ref(&issuer.certificate),
            std::slice::from_ref(&root.certificate),
        )
        .unwrap();
        LogEntry::from_submitted_precertificate(&chain)
    };
    assert!(entry(&with(vec![poison(critical, &null)])).is_ok());
    for wrong in [poison(workshop::PLAIN, &null), poison(critical, &[]), poison(critical, &[4, 0])] {
        let der = with(vec![wrong]);
        assert_eq!(entry(&der), Err(CtError::NoPoison));
        // Nor is it a certificate: whoever reads it as one does not know what it is.
        let certificate = Certificate::from_der(&der).unwrap();
        assert_eq!(LogEntry::from_certificate(&certificate), Err(CtError::Poisoned));
    }
    let twice = with(vec![poison(critical, &null), poison(critical, &null)]);
    assert!(matches!(Certificate::from_der(&twice), Err(CertificateError::DuplicateExtension { .. })));
}

#[test]
fn every_issuer_of_a_submission_is_an_authority_that_may_sign() {
    let root = root(KeyType::EcdsaP256, "root");
    let issuer = below(&root, KeyType::EcdsaP256, "issuer", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    let (key, principal) = (Key::new(KeyType::EcdsaP256), alice());
    let precertificate =
        workshop::sign(&leaf_template(&issuer, &key, &principal).precertificate_tbs().unwrap(), &issuer.key);
    let accept = |issuer: &Certificate, root: &Certificate| {
        accept_chain(&precertificate, &[issuer.clone(), root.clone()], std::slice::from_ref(root))
    };
    let edited = |holder: &Holder, signer: &Holder, place: usize, extension: Vec<u8>| {
        workshop::with_extensions(&holder.certificate, &signer.key, |extensions| extensions[place] = extension)
    };
    // Key usage of CRLs alone; basic constraints of no authority: of the intermediate, and of the root.
    let crl_only = || workshop::extension("2.5.29.15", workshop::CRITICAL, &[3, 2, 1, 2]);
    let no_ca = || workshop::extension("2.5.29.19", workshop::CRITICAL, &[0x30, 0]);
    assert!(accept(&issuer.certificate, &root.certificate).is_ok());
    let refused = |issuer: &Certificate, root: &Certificate| match accept(issuer, root) {
        Err(SubmissionError::Broken { position, error }) => (position, error),
        other => panic!("{other:?}"),
    };
    let (usage, authority) = (PathError::AuthorityKeyUsage { position: 1 }, PathError::NotAnAuthority { position: 1 });
    assert_eq!(refused(&edited(&issuer, &root, 0, crl_only()), &root.certificate), (0, usage.clone()));
    assert_eq!(refused(&edited(&issuer, &root, 2, no_ca()), &root.certificate), (0, authority.clone()));
    assert_eq!(refused(&issuer.certificate, &edited(&root, &root, 0, crl_only())), (1, usage));
    assert_eq!(refused(&issuer.certificate, &edited(&root, &root, 1, no_ca())), (1, authority));
}

/// Whoever was accepted before: the verdict and the error about a leaf are those of `accept_chain`.
#[test]
fn known_issuers_change_no_verdict() {
    let (root, issuer) = authority();
    let (_, stranger) = authority();
    let (key, principal) = (Key::new(KeyType::EcdsaP256), alice());
    let leaf =
        |holder: &Holder| workshop::sign(&leaf_template(holder, &key, &principal).ct_tbs().unwrap(), &holder.key);
    let of = |holder: &Holder| holder.certificate.clone();
    let roots = [of(&root)];
    let (first, second) = (leaf(&issuer), leaf(&issuer));
    // The name of the issuer, signed by somebody else; and the name of somebody else.
    let forged = workshop::sign(&leaf_template(&issuer, &key, &principal).ct_tbs().unwrap(), &stranger.key);
    let above_root = leaf(&root);
    for chain in [vec![of(&issuer)], vec![of(&issuer), of(&root)]] {
        let known = Arc::clone(accept_chain(&first, &chain, &roots).unwrap().accepted_issuers());
        assert_eq!(known.submitted(), chain);
        for leaf in [&first, &second, &forged, &above_root, &of(&root)] {
            assert_eq!(known.accept(leaf, &chain).unwrap(), accept_chain(leaf, &chain, &roots));
        }
        assert!(known.accept(&forged, &chain).unwrap().is_err());
        for other in [vec![], vec![of(&root)], vec![of(&stranger)], vec![of(&issuer), of(&stranger)]] {
            assert_eq!(known.accept(&second, &other), None);
        }
    }
    // A leaf that came alone says nothing of the next, whose root may be another.
    let alone = accept_chain(&above_root, &[], &roots).unwrap();
    assert_eq!(alone.accepted_issuers().accept(&above_root, &[]), None);
}

#[test]
fn structures_have_the_bytes_of_the_specifications() {
    let entry = LogEntry::Precert { issuer_key_hash: [0xaa; 32], tbs: vec![1, 2, 3] };
    let index = leaf_index_extension(LeafIndex(0x01_0203_0405)).unwrap();
    assert_eq!(hex::encode(&index), "0000050102030405");
    let body = format!("0102030405060708{}{}{}{}", "0001", "aa".repeat(32), "000003010203", "00080000050102030405");
    assert_eq!(hex::encode(merkle_tree_leaf(&entry, 0x0102_0304_0506_0708, &index)), format!("0000{body}"));
    assert_eq!(hex::encode(sct_signed_bytes(&entry, 0x0102_0304_0506_0708, &index)), format!("0000{body}"));
    let tile = DataTileEntry {
        timestamp_ms: 0x0102_0304_0506_0708,
        entry,
        extensions: index,
        pre_certificate: vec![9, 9],
        fingerprints: vec![[0xbb; 32], [0xcc; 32]],
    };
    let expected = format!("{body}0000020909{}{}{}", "0040", "bb".repeat(32), "cc".repeat(32));
    assert_eq!(hex::encode(tile.encode()), expected);
    assert_eq!(tile.merkle_tree_leaf(), hex::decode(format!("0000{body}")).unwrap());

    let entry = LogEntry::X509 { cert_der: vec![5] };
    assert_eq!(hex::encode(merkle_tree_leaf(&entry, 1, &[])), "0000000000000000000100000000010500 00".replace(' ', ""));
    let tile =
        DataTileEntry { timestamp_ms: 1, entry, extensions: vec![], pre_certificate: vec![], fingerprints: vec![] };
    assert_eq!(hex::encode(tile.encode()), "00000000000000010000000001050000 0000".replace(' ', ""));

    assert_eq!(hex::encode(extra_data_x509(&[&[1], &[2, 3]])), "00000900000101 0000020203".replace(' ', ""));
    assert_eq!(hex::encode(extra_data_precert(&[7], &[&[1]])), "00000107 00000400000101".replace(' ', ""));
    assert_eq!(hex::encode(digitally_signed(SctScheme::EcdsaSha256, &[0xee])), "04030001ee");
    assert_eq!(hex::encode(digitally_signed(SctScheme::RsaPkcs1Sha256, &[0xee])), "04010001ee");
}

#[test]
fn leaf_index_extension_has_forty_bits() {
    let last = LeafIndex((1 << 40) - 1);
    assert_eq!(parse_leaf_index_extension(&leaf_index_extension(last).unwrap()), Ok(last));
    assert_eq!(leaf_index_extension(LeafIndex(1 << 40)), Err(CtError::LeafIndexTooLarge));
    let unknown_first = hex::decode("010001ff0000050000000007").unwrap();
    assert_eq!(parse_leaf_index_extension(&unknown_first), Ok(LeafIndex(7)));
    for bad in ["", "0000040000000a", "00000500000000", "00000500000000010000050000000001", "000006000000000001"] {
        assert!(parse_leaf_index_extension(&hex::decode(bad).unwrap()).is_err(), "{bad}");
    }
}

#[test]
fn malformed_scts_are_refused_by_name() {
    let sct = Sct {
        log_id: [1; 32],
        timestamp_ms: 2,
        extensions: vec![],
        scheme: SctScheme::EcdsaSha256,
        signature: vec![3; 70],
    };
    let good = sct.to_tls();
    let mut version = good.clone();
    version[0] = 1;
    assert_eq!(Sct::from_tls(&version), Err(CtError::Version { found: 1 }));
    let mut algorithm = good.clone();
    algorithm[43] = 6;
    assert_eq!(Sct::from_tls(&algorithm), Err(CtError::Algorithm { hash: 6, signature: 3 }));
    assert_eq!(Sct::from_tls(&[good.clone(), vec![0]].concat()), Err(CtError::Trailing));
    for length in 0..good.len() {
        assert_eq!(Sct::from_tls(&good[..length]), Err(CtError::Truncated), "{length}");
    }
    assert_eq!(parse_sct_list(&[0, 0]), Err(CtError::NoSct));
    assert_eq!(parse_sct_list(&encode_sct_list(&vec![sct.clone(); SCTS_MAX])), Ok(vec![sct.clone(); SCTS_MAX]));
    assert_eq!(parse_sct_list(&encode_sct_list(&vec![sct; SCTS_MAX + 1])), Err(CtError::TooManyScts));
}

#[test]
fn submissions_must_lead_to_an_accepted_root() {
    let (root, issuer) = authority();
    let (key, principal) = (Key::new(KeyType::EcdsaP256), alice());
    let precertificate =
        workshop::sign(&leaf_template(&issuer, &key, &principal).precertificate_tbs().unwrap(), &issuer.key);
    let (stranger, _) = authority();
    let roots = [stranger.certificate.clone(), root.certificate.clone()];
    let [ca, anchor] = [&issuer.certificate, &root.certificate].map(Certificate::clone);
    for chain in [vec![ca.clone(), anchor.clone()], vec![ca.clone()]] {
        let accepted = accept_chain(&precertificate, &chain, &roots).unwrap();
        assert_eq!(accepted.leaf(), &precertificate);
        assert_eq!(accepted.issuer(), &ca);
        assert_eq!(accepted.issuers(), [ca.clone(), anchor.clone()]);
    }
    assert_eq!(accept_chain(&precertificate, &[], &roots), Err(SubmissionError::UnknownRoot));
    assert_eq!(
        accept_chain(&precertificate, std::slice::from_ref(&ca), &roots[..1]),
        Err(SubmissionError::UnknownRoot)
    );
    assert!(matches!(
        accept_chain(&precertificate, &[anchor.clone(), ca.clone()], &roots),
        Err(SubmissionError::Broken { position: 0, error: PathError::IssuerName })
    ));
    assert!(matches!(
        accept_chain(&precertificate, &[ca.clone(), stranger.certificate.clone()], &roots),
        Err(SubmissionError::Broken { position: 1, .. })
    ));
    assert_eq!(accept_chain(&precertificate, &vec![ca.clone(); 16], &roots), Err(SubmissionError::TooLong));
    // A leaf that the root issued itself needs no chain; the root alone is no submission.
    let direct = workshop::sign(&leaf_template(&root, &key, &principal).ct_tbs().unwrap(), &root.key);
    assert_eq!(accept_chain(&direct, &[], &roots).unwrap().issuers(), std::slice::from_ref(&anchor));
    assert_eq!(accept_chain(&anchor, &[], &roots), Err(SubmissionError::UnknownRoot));
}

fn any_entry() -> impl Strategy<Value = LogEntry> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        bytes().prop_map(|cert_der| LogEntry::X509 { cert_der }),
        (any::<[u8; 32]>(), bytes()).prop_map(|(issuer_key_hash, tbs)| LogEntry::Precert { issuer_key_hash, tbs }),
    ]
}

proptest! {
    #[test]
    fn leaves_and_tiles_read_back_as_they_were_written(
        entries in proptest::collection::vec((any::<u64>(), any_entry(), proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
        fingerprints in proptest::collection::vec(any::<[u8; 32]>(), 0..4),
    ) {
        let mut tile = Vec::new();
        let mut expected = Vec::new();
        for (timestamp_ms, entry, extensions) in entries {
            let leaf = merkle_tree_leaf(&entry, timestamp_ms, &extensions);
            let parsed = MerkleTreeLeaf { timestamp_ms, entry: entry.clone(), extensions: extensions.clone() };
            prop_assert_eq!(parse_merkle_tree_leaf(&leaf), Ok(parsed));
            let pre_certificate = if matches!(entry, LogEntry::Precert { .. }) { extensions.clone() } else { Vec::new() };
            let one = DataTileEntry { timestamp_ms, entry, extensions, pre_certificate, fingerprints: fingerprints.clone() };
            prop_assert_eq!(one.merkle_tree_leaf(), leaf);
            prop_assert_eq!(DataTileEntry::parse(&one.encode()), Ok(one.clone()));
            tile.extend(one.encode());
            expected.push(one);
        }
        prop_assert_eq!(parse_data_tile(&tile), Ok(expected));
    }

    #[test]
    fn parsing_any_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (Sct::from_tls(&bytes), parse_sct_list(&bytes), parse_digitally_signed(&bytes));
        let _ = (parse_leaf_index_extension(&bytes), parse_data_tile(&bytes));
        if let Ok(leaf) = parse_merkle_tree_leaf(&bytes) {
            prop_assert_eq!(merkle_tree_leaf(&leaf.entry, leaf.timestamp_ms, &leaf.extensions), bytes);
        }
    }
}
