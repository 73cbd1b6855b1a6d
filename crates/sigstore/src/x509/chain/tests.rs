// SPDX-License-Identifier: Apache-2.0
//! Prepared chains beside the same chains as they were read: over the public vectors, tampered twins, and chains of every odd shape.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use touchmark_keys::KeyType;

use super::*;
use crate::issue::authority::CaProfile;
use crate::vectors::{self, Case};
use crate::workshop::{self, CRITICAL, Holder, Key, PLAIN, alice, below, days, leaf_template, noon, root};
use crate::x509::path::{PathError, VerifiedPath, verify_path_at_all};

/// Verifies under the chain as it is and prepared for each use; all must say the same.
fn check(
    leaf: &Certificate,
    chain: &[Certificate],
    eku: ExtendedKeyUsage,
    times: &[Timestamp],
) -> Result<VerifiedPath, PathError> {
    let plain = verify_path_at_all(leaf, chain, eku, times);
    for prepared_for in [ExtendedKeyUsage::CodeSigning, ExtendedKeyUsage::TimeStamping] {
        let prepared = TrustedChain::new(chain.to_vec()).prepared(prepared_for);
        assert_eq!(verify_path_at_all(leaf, &prepared, eku, times), plain, "prepared for {prepared_for:?}");
    }
    plain
}

fn is_direct(leaf: &Certificate, chain: &[Certificate], eku: ExtendedKeyUsage) -> bool {
    let prepared = TrustedChain::new(chain.to_vec()).prepared(eku);
    Chain::from(&prepared).prepared_path(leaf, eku).is_some()
}

fn times_around(leaf: &Certificate) -> Vec<Vec<Timestamp>> {
    let (start, end, tick) = (leaf.not_before(), leaf.not_after(), SignedDuration::from_nanos(1));
    let epoch = Timestamp::UNIX_EPOCH;
    vec![
        vec![start],
        vec![end],
        vec![start, end],
        vec![start, start - tick],
        vec![start, end + tick, epoch],
        vec![end + tick],
        vec![start - tick, start],
        vec![Timestamp::MAX],
        vec![epoch - tick],
        vec![],
    ]
}

fn leaf_of(case: &Case) -> Option<Certificate> {
    Certificate::from_der(case.leaf.as_deref()?).ok()
}

#[test]
fn preparing_changes_no_verdict_on_the_public_vectors() {
    let (mut accepted, mut direct) = (0, 0);
    for case in vectors::cases() {
        let leaves =
            leaf_of(&case).into_iter().chain(case.root.timestamp_authorities.iter().map(|chain| chain[0].clone()));
        for leaf in leaves {
            for chain in case.root.certificate_authorities.iter().chain(&case.root.timestamp_authorities) {
                for eku in [ExtendedKeyUsage::CodeSigning, ExtendedKeyUsage::TimeStamping] {
                    for times in times_around(&leaf) {
                        let verdict = check(&leaf, chain, eku, &times);
                        accepted += usize::from(verdict.is_ok());
                        direct += usize::from(verdict.is_ok() && is_direct(&leaf, chain, eku));
                    }
                }
            }
        }
    }
    assert!(accepted > 200, "only {accepted} paths were accepted");
    assert_eq!(direct, accepted, "the chains of the public instances are all plain");
}

struct Tree {
    root: Holder,
    intermediate: Holder,
}

fn tree() -> Tree {
    let root = root(KeyType::EcdsaP384, "root");
    let intermediate =
        below(&root, KeyType::EcdsaP256, "intermediate", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    Tree { root, intermediate }
}

fn leaf_under(issuer: &Holder) -> Certificate {
    let (key, principal) = (Key::new(KeyType::EcdsaP256), alice());
    workshop::sign(&leaf_template(issuer, &key, &principal).ct_tbs().unwrap(), &issuer.key)
}

/// The holder's certificate with another validity, signed again by its issuer.
fn stale(holder: &Holder, name: &str, profile: CaProfile<'_>, issuer: &Key) -> Certificate {
    let mut template = workshop::template(&holder.key, name, profile, days(1), issuer);
    (template.not_before, template.not_after) = (noon() - days(20), noon() - days(10));
    workshop::sign(&template.tbs().unwrap(), issuer)
}

#[test]
fn a_leaf_under_the_first_authority_needs_its_own_signature_alone() {
    let tree = tree();
    let leaf = leaf_under(&tree.intermediate);
    let (intermediate, root) = (tree.intermediate.certificate.clone(), tree.root.certificate.clone());
    let eku = ExtendedKeyUsage::CodeSigning;
    for chain in [vec![intermediate.clone(), root.clone()], vec![intermediate.clone()]] {
        assert!(is_direct(&leaf, &chain, eku));
        assert!(!is_direct(&leaf, &chain, ExtendedKeyUsage::TimeStamping));
        let path = check(&leaf, &chain, eku, &[noon(), leaf.not_after()]).unwrap();
        assert_eq!(path.certificates(), [vec![leaf.clone()], chain].concat());
        assert_eq!(path.times(), [noon(), leaf.not_after()]);
    }
    // Directly under the root, beside an intermediate: a path, but not the one that was prepared.
    let direct = leaf_under(&tree.root);
    let chain = [intermediate, root];
    assert!(!is_direct(&direct, &chain, eku));
    assert_eq!(check(&direct, &chain, eku, &[noon()]).unwrap().certificates().len(), 2);
}

#[test]
fn an_expired_authority_is_refused_by_its_place_prepared_or_not() {
    let tree = tree();
    let leaf = leaf_under(&tree.intermediate);
    let (intermediate, root) = (tree.intermediate.certificate.clone(), tree.root.certificate.clone());
    let profile = CaProfile::CodeSigningIntermediate { issuer: &root };
    let old_intermediate = stale(&tree.intermediate, "intermediate", profile, &tree.root.key);
    let old_root = stale(&tree.root, "root", CaProfile::Root, &tree.root.key);
    for (chain, place) in [([old_intermediate, root], 1), ([intermediate, old_root], 2)] {
        assert!(is_direct(&leaf, &chain, ExtendedKeyUsage::CodeSigning));
        match check(&leaf, &chain, ExtendedKeyUsage::CodeSigning, &[noon()]) {
            Err(PathError::Expired { position, .. }) => assert_eq!(position, place),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_path_must_hold_at_every_time() {
    let tree = tree();
    let leaf = leaf_under(&tree.intermediate);
    let chain = [tree.intermediate.certificate.clone(), tree.root.certificate.clone()];
    let late = leaf.not_after() + SignedDuration::from_nanos(1);
    let verify = |times: &[Timestamp]| check(&leaf, &chain, ExtendedKeyUsage::CodeSigning, times);
    assert!(matches!(verify(&[noon(), late]), Err(PathError::Expired { position: 0, at, .. }) if at == late));
    assert!(matches!(verify(&[late, noon()]), Err(PathError::Expired { position: 0, .. })));
    assert_eq!(verify(&[]), Err(PathError::NoTime));
}

#[test]
fn chains_of_other_shapes_take_the_whole_path() {
    let tree = tree();
    let leaf = leaf_under(&tree.intermediate);
    let (intermediate, root) = (tree.intermediate.certificate.clone(), tree.root.certificate.clone());
    let edited = |certificate: &Certificate, oid: &str, critical: &[u8], value: &str| {
        let new = workshop::extension(oid, critical, &hex::decode(value).unwrap());
        workshop::with_extensions(certificate, &tree.root.key, |extensions| extensions.push(new))
    };
    // Permits e-mail addresses of example.com, which the leaf has; webpki reads no constraint of that kind.
    const NAMES: &str = "2.5.29.30";
    let com = "3011a00f300d810b6578616d706c652e636f6d";
    let second = tree_of_same_names(&tree);
    // The root by a newer key, signed with the old one.
    let (old, new) = (&tree.root, Key::new(KeyType::EcdsaP384));
    let newer = workshop::template(&new, "root", CaProfile::Root, days(365), &old.key);
    let newer = Holder { certificate: workshop::sign(&newer.tbs().unwrap(), &old.key), key: new };
    let below_newer =
        below(&newer, KeyType::EcdsaP256, "below", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    let rolled_over = [below_newer.certificate.clone(), newer.certificate, root.clone()];
    let under_newer = leaf_under(&below_newer);
    assert_eq!(check(&under_newer, &rolled_over, ExtendedKeyUsage::CodeSigning, &[noon()]).unwrap().anchor(), &root);
    assert!(!is_direct(&under_newer, &rolled_over, ExtendedKeyUsage::CodeSigning));
    let cases: [(&str, Vec<Certificate>, bool); 10] = [
        ("constraints of names", vec![edited(&intermediate, NAMES, CRITICAL, com), root.clone()], false),
        ("the same in the anchor", vec![intermediate.clone(), edited(&root, NAMES, CRITICAL, com)], false),
        ("unknown critical extension", vec![edited(&intermediate, "1.2.3.4", CRITICAL, "0500"), root.clone()], false),
        ("two of one name", vec![second.clone(), intermediate.clone(), root.clone()], true),
        ("two of one name, later", vec![intermediate.clone(), second.clone(), root.clone()], true),
        ("another key by that name", vec![second, root.clone()], false),
        ("a certificate twice", vec![intermediate.clone(), intermediate.clone(), root.clone()], true),
        ("an anchor that webpki cannot read", vec![intermediate.clone(), with_unique_id(&root, &tree.root.key)], false),
        ("the root first", vec![root.clone(), intermediate.clone()], true),
        (
            "a stranger's root",
            vec![intermediate.clone(), workshop::root(KeyType::EcdsaP256, "root").certificate],
            false,
        ),
    ];
    for (name, chain, accepted) in cases {
        let verdict = check(&leaf, &chain, ExtendedKeyUsage::CodeSigning, &[noon()]);
        assert_eq!(verdict.is_ok(), accepted, "{name}: {verdict:?}");
        assert!(!is_direct(&leaf, &chain, ExtendedKeyUsage::CodeSigning), "{name}");
    }
    let plain = [edited(&intermediate, "1.2.3.4", PLAIN, "0500"), root];
    assert!(is_direct(&leaf, &plain, ExtendedKeyUsage::CodeSigning));
}

/// The certificate with an issuerUniqueID, which RFC 5280 knows and webpki does not.
fn with_unique_id(certificate: &Certificate, signer: &Key) -> Certificate {
    let mut fields = asn1::single(certificate.tbs_der(), asn1::SEQUENCE).unwrap().reader();
    let mut parts = Vec::new();
    while !fields.is_empty() {
        parts.push(fields.any().unwrap().raw);
    }
    let unique_id = asn1::element(asn1::context(1), &[&[0, 1]]);
    parts.insert(parts.len() - 1, &unique_id);
    workshop::sign(&asn1::sequence(&parts), signer)
}

/// Another intermediate by the same name under the same root.
fn tree_of_same_names(tree: &Tree) -> Certificate {
    below(&tree.root, KeyType::EcdsaP256, "intermediate", |issuer| CaProfile::CodeSigningIntermediate { issuer })
        .certificate
}

#[test]
fn the_own_leaf_of_a_chain_and_no_other_is_known_beforehand() {
    let root = root(KeyType::EcdsaP384, "tsa root");
    let stamp = |name: &str| below(&root, KeyType::EcdsaP256, name, |issuer| CaProfile::TimeStampingLeaf { issuer });
    let (own, other) = (stamp("tsa"), stamp("tsa"));
    let chain = [own.certificate.clone(), root.certificate.clone()];
    let eku = ExtendedKeyUsage::TimeStamping;
    let prepared = TrustedChain::new(chain.to_vec()).prepared(eku);
    assert_eq!(prepared.links.as_ref().unwrap().own_leaf.as_ref().unwrap().certificate, own.certificate);
    assert_eq!(Chain::from(&prepared).key_of(&own.certificate).unwrap(), own.key.public());
    assert_eq!(Chain::from(&prepared).key_of(&other.certificate).unwrap(), other.key.public());
    for leaf in [&own.certificate, &other.certificate] {
        check(leaf, &chain, eku, &[noon()]).unwrap();
    }
    // A leaf that the root did not sign is not made good by standing in the chain.
    let forged = workshop::with_extensions(&own.certificate, &Key::new(KeyType::EcdsaP384), |_| ());
    let chain = [forged.clone(), root.certificate.clone()];
    assert!(matches!(check(&forged, &chain, eku, &[noon()]), Err(PathError::Unverified(_))));
}

proptest! {
    #[test]
    fn preparing_changes_no_verdict_on_tampered_leaves(place in 0_usize..1200, bit in 0_u32..8, which in 0_usize..64) {
        let names = ["rekor2-happy-path", "happy-path-v0.3", "rekor2-timestamp-with-embedded-cert"];
        let Some(case) = vectors::case(names[which % names.len()]) else { return Ok(()) };
        let Some(mut der) = case.leaf.clone() else { return Ok(()) };
        let at = Certificate::from_der(&der).unwrap().not_before();
        let place = place % der.len();
        der[place] ^= 1 << bit;
        let Ok(leaf) = Certificate::from_der(&der) else { return Ok(()) };
        for chain in &case.root.certificate_authorities {
            prop_assert!(check(&leaf, chain, ExtendedKeyUsage::CodeSigning, &[at]).is_err());
        }
    }

    #[test]
    fn preparing_changes_no_verdict_on_tampered_chains(place in 0_usize..800, bit in 0_u32..8, which in 0_usize..2) {
        let case = vectors::case("rekor2-happy-path").unwrap();
        let leaf = leaf_of(&case).unwrap();
        for (chain, leaf, eku) in case.root.certificate_authorities.iter().map(|chain| (chain, leaf.clone(), ExtendedKeyUsage::CodeSigning))
            .chain(case.root.timestamp_authorities.iter().map(|chain| (chain, chain[0].clone(), ExtendedKeyUsage::TimeStamping)))
        {
            let mut chain = chain.clone();
            let which = which % chain.len();
            let mut der = chain[which].der().to_vec();
            let place = place % der.len();
            der[place] ^= 1 << bit;
            let Ok(tampered) = Certificate::from_der(&der) else { continue };
            chain[which] = tampered;
            let _ = check(&leaf, &chain, eku, &[leaf.not_before()]);
            let _ = check(&chain[0].clone(), &chain, eku, &[leaf.not_before()]);
        }
    }
}
