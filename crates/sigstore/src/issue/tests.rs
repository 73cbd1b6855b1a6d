// SPDX-License-Identifier: Apache-2.0
//! Tests of issuing: the profile field by field, the pair of precertificate and certificate, and a real Fulcio leaf rebuilt.

use der::Encode as _;
use der::asn1::ObjectIdentifier;
use jiff::SignedDuration;
use touchmark_keys::KeyType;

use super::authority::{AuthorityName, CaProfile, CaTemplate};
use super::request::{assemble_request, request_information};
use super::*;
use crate::ct::{LogEntry, SctScheme};
use crate::vectors;
use crate::workshop::{self, Holder, Key, alice, below, leaf_template, noon, root};
use crate::x509::csr::Csr;
use crate::x509::path::{ExtendedKeyUsage, PathError, verify_authorities};

fn intermediate() -> Holder {
    let root = root(KeyType::EcdsaP384, "root");
    below(&root, KeyType::EcdsaP256, "intermediate", |issuer| CaProfile::CodeSigningIntermediate { issuer })
}

fn sct(extensions: &[u8]) -> Sct {
    Sct {
        log_id: [7; 32],
        timestamp_ms: 1_781_524_800_123,
        extensions: extensions.to_vec(),
        scheme: SctScheme::EcdsaSha256,
        signature: vec![0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01],
    }
}

#[test]
fn precertificate_without_poison_is_certificate_without_scts() {
    let issuer = intermediate();
    let key = Key::new(KeyType::EcdsaP256);
    let mut principal = alice();
    for length in [0_usize, 1, 90, 100, 127, 128, 200, 255, 256, 300, 60_000] {
        // Lengths around the steps of DER length octets, where re-wrapping would go wrong first.
        principal.extensions = vec![(12, "x".repeat(length))];
        let template = leaf_template(&issuer, &key, &principal);
        let expected = template.ct_tbs().unwrap();
        let precertificate = workshop::sign(&template.precertificate_tbs().unwrap(), &issuer.key);
        let entry = LogEntry::from_precertificate(&precertificate, &issuer.certificate).unwrap();
        for scts in [vec![sct(b"")], vec![sct(b""), sct(&[0, 0, 5, 0, 0, 0, 0, 9])]] {
            let tbs = template.certificate_tbs(&scts).unwrap();
            let certificate = workshop::sign(&tbs, &issuer.key);
            assert_eq!(certificate.tbs_der(), &*tbs);
            assert_eq!(LogEntry::from_certificate_with_scts(&certificate, &issuer.certificate).unwrap(), entry);
            assert_eq!(ct::embedded_scts(&certificate).unwrap(), scts);
        }
        let LogEntry::Precert { issuer_key_hash, tbs } = entry else { panic!("a precertificate's entry") };
        assert_eq!(tbs, expected);
        assert_eq!(issuer_key_hash, touchmark_keys::sha256(issuer.certificate.spki_der()));
    }
}

#[test]
fn leaf_has_the_profile_of_fulcio() {
    use der::Decode as _;
    let issuer = intermediate();
    let key = Key::new(KeyType::EcdsaP384);
    let mut principal = alice();
    principal.extensions =
        vec![(22, "public".into()), (9, "https://build.example".into()), (2, "push".into()), (21, String::new())];
    let mut template = leaf_template(&issuer, &key, &principal);
    template.serial = [0xff; 20];
    let leaf = workshop::sign(&template.certificate_tbs(&[sct(b"")]).unwrap(), &issuer.key);

    let oracle = x509_cert::Certificate::from_der(leaf.der()).unwrap();
    let tbs = oracle.tbs_certificate();
    assert_eq!(tbs.version(), x509_cert::Version::V3);
    assert_eq!(leaf.serial(), [&[0x7f][..], &[0xff; 19]].concat(), "positive, 20 bytes");
    assert_eq!(leaf.subject_der(), [0x30, 0x00]);
    assert_eq!(leaf.issuer_der(), issuer.certificate.subject_der());
    assert_eq!((leaf.not_before(), leaf.not_after()), (noon(), noon() + SignedDuration::from_mins(10)));
    assert_eq!(leaf.public_key().unwrap(), key.public());

    let extensions: Vec<(String, bool)> =
        tbs.extensions().unwrap().iter().map(|extension| (extension.extn_id.to_string(), extension.critical)).collect();
    let fulcio = |arc: u32| (format!("1.3.6.1.4.1.57264.1.{arc}"), false);
    let expected = [
        ("2.5.29.15".to_owned(), true),
        ("2.5.29.37".to_owned(), false),
        ("2.5.29.14".to_owned(), false),
        ("2.5.29.35".to_owned(), false),
        ("2.5.29.17".to_owned(), true),
        fulcio(1),
        fulcio(2),
        fulcio(8),
        fulcio(9),
        fulcio(22),
        fulcio(24),
        ("1.3.6.1.4.1.11129.2.4.2".to_owned(), false),
    ];
    assert_eq!(extensions, expected);
    let value = |oid: &str| hex::encode(leaf.extension(oid).unwrap());
    assert_eq!(value("2.5.29.15"), "03020780");
    assert_eq!(value("2.5.29.37"), "300a06082b06010505070303");
    assert_eq!(value("2.5.29.14"), format!("0414{}", &hex::encode(touchmark_keys::sha256(key.public().raw()))[..40]));
    assert_eq!(value("2.5.29.35"), format!("30168014{}", hex::encode(issuer.certificate.subject_key_id().unwrap())));
    assert_eq!(value("1.3.6.1.4.1.57264.1.1"), hex::encode("https://issuer.example"));
    assert_eq!(value("1.3.6.1.4.1.57264.1.2"), hex::encode("push"));
    assert_eq!(value("1.3.6.1.4.1.57264.1.8"), format!("0c16{}", hex::encode("https://issuer.example")));
    assert_eq!(value("1.3.6.1.4.1.57264.1.24"), format!("0c10{}", hex::encode("subject-of-alice")));
    assert_eq!(leaf.san(), Ok(principal.san.clone()));
    assert_eq!(leaf.issuer_claim().as_deref(), Ok("https://issuer.example"));
}

#[test]
fn every_kind_of_identity_reads_back() {
    let issuer = intermediate();
    let key = Key::new(KeyType::EcdsaP256);
    let kinds = [
        SubjectAltName::Email("alice@example.com".into()),
        SubjectAltName::Uri("https://example.com/workflow@refs/heads/main".into()),
        SubjectAltName::Username("alicé!example.com".into()),
        SubjectAltName::Dns("example.com".into()),
    ];
    for san in kinds {
        let principal = Principal { san, ..alice() };
        let leaf = workshop::sign(&leaf_template(&issuer, &key, &principal).ct_tbs().unwrap(), &issuer.key);
        assert_eq!(leaf.san(), Ok(principal.san));
    }
}

#[test]
fn rebuilds_real_fulcio_leaves_byte_for_byte() {
    let mut rebuilt = 0;
    for case in vectors::cases().into_iter().filter(|case| !case.must_fail()) {
        let Some(leaf) = case.leaf.as_deref().map(|der| Certificate::from_der(der).unwrap()) else { continue };
        let chains = &case.root.certificate_authorities;
        let issuer = chains.iter().flatten().find(|ca| leaf.verify_issued_by(ca).is_ok()).unwrap();
        let Some(theirs) = rebuild(&leaf, issuer) else { continue };
        assert_eq!(hex::encode(theirs), hex::encode(leaf.tbs_der()), "{}", case.name);
        rebuilt += 1;
    }
    assert!(rebuilt >= 15, "only {rebuilt} leaves were rebuilt");
}

/// The signed part of a real leaf made by our encoder from what the leaf says; its key identifier, for which Fulcio took SHA-1, is put
/// in the place of ours. None if the leaf carries what our profile never writes.
fn rebuild(leaf: &Certificate, issuer: &Certificate) -> Option<Vec<u8>> {
    let arcs: Vec<(u32, String)> =
        leaf.fulcio_extensions().into_iter().map(|(oid, text)| (oid.arc(oid.len() - 1).unwrap(), text)).collect();
    let value = |wanted: u32| arcs.iter().find(|(arc, _)| *arc == wanted).map(|(_, text)| text.clone());
    let reserved = [1, 8, 24];
    let principal = Principal {
        issuer: leaf.issuer_claim().unwrap(),
        subject: value(24).unwrap_or_default(),
        san: leaf.san().unwrap(),
        proof_subject: String::new(),
        extensions: arcs.iter().filter(|(arc, _)| !reserved.contains(arc)).cloned().collect(),
    };
    if leaf.issuer_text().contains("sigstore.mock") {
        return None; // A JavaScript imitation, with an order of its own.
    }
    value(8)?; // Leaves of 2022 lack the second issuer extension, which our profile always has.
    let mut serial = [0; 20];
    let bytes = leaf.serial();
    serial[20 - bytes.len()..].copy_from_slice(bytes);
    let key = leaf.public_key().unwrap();
    let (algorithm, _) = leaf.signature().unwrap();
    let scheme = [Scheme::EcdsaP256Sha256, Scheme::EcdsaP384Sha384]
        .into_iter()
        .find(|scheme| SignatureAlgorithm::of_scheme(*scheme) == Some(algorithm))?;
    let template = LeafTemplate {
        serial,
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        public_key: key.clone(),
        principal: &principal,
        issuer,
        signature_scheme: scheme,
    };
    let mut tbs = template.certificate_tbs(&ct::embedded_scts(leaf).unwrap()).unwrap().to_vec();
    let ours = touchmark_keys::sha256(key.raw());
    let place = tbs.windows(20).position(|window| window == &ours[..20]).unwrap();
    tbs[place..place + 20].copy_from_slice(leaf.subject_key_id()?);
    Some(tbs)
}

#[test]
fn refuses_templates_that_break_the_profile() {
    let issuer = intermediate();
    let key = Key::new(KeyType::EcdsaP256);
    let principal = alice();
    let good = leaf_template(&issuer, &key, &principal);
    let check = |template: LeafTemplate<'_>, expected: IssueError| assert_eq!(template.ct_tbs(), Err(expected));

    let (start, end) = (issuer.certificate.not_before(), issuer.certificate.not_after());
    let late = end + SignedDuration::from_secs(1);
    check(
        LeafTemplate { not_after: late, ..good.clone() },
        IssueError::OutlivesIssuer { not_after: late, issuer: end },
    );
    let early = start - SignedDuration::from_secs(1);
    check(
        LeafTemplate { not_before: early, ..good.clone() },
        IssueError::PrecedesIssuer { not_before: early, issuer: start },
    );
    check(
        LeafTemplate { not_after: noon(), ..good.clone() },
        IssueError::Validity { not_before: noon(), not_after: noon() },
    );
    let mut zero = [0; 20];
    zero[0] = 0x80;
    check(LeafTemplate { serial: zero, ..good.clone() }, IssueError::ZeroSerial);
    check(LeafTemplate { signature_scheme: Scheme::Ed25519ph, ..good.clone() }, IssueError::Scheme(Scheme::Ed25519ph));
    assert_eq!(good.certificate_tbs(&[]), Err(IssueError::NoSct));
    assert_eq!(good.certificate_tbs(&[sct(&[0; 0x1_0000])]), Err(IssueError::SctsTooLong));
    assert_eq!(good.certificate_tbs(&[sct(&[0; 0x8000]), sct(&[0; 0x8000])]), Err(IssueError::SctsTooLong));
    assert!(good.certificate_tbs(&[sct(&[0; 0x8000])]).is_ok());

    let leaf = workshop::sign(&good.ct_tbs().unwrap(), &issuer.key);
    check(LeafTemplate { issuer: &leaf, ..good.clone() }, IssueError::IssuerIsNoAuthority);

    let with = |change: &dyn Fn(&mut Principal), expected: IssueError| {
        let mut principal = alice();
        change(&mut principal);
        check(LeafTemplate { principal: &principal, ..good.clone() }, expected);
    };
    with(&|p| p.san = SubjectAltName::Email(String::new()), IssueError::EmptySubjectAltName { kind: "email" });
    with(&|p| p.san = SubjectAltName::Uri("https://é.example".into()), IssueError::NotIa5 { kind: "URI" });
    for text in ["alice\0@example.com", "alice@example.com\n", "\u{7f}"] {
        with(&|p| p.san = SubjectAltName::Email(text.into()), IssueError::ControlCharacter { kind: "email" });
    }
    for arc in [0, 1, 7, 8, 24] {
        with(&|p| p.extensions = vec![(arc, "x".into())], IssueError::ExtensionArc { arc });
    }
    with(&|p| p.extensions = vec![(9, "x".into()), (9, "y".into())], IssueError::ExtensionArc { arc: 9 });
}

#[test]
fn authorities_have_their_profiles() {
    let root = root(KeyType::EcdsaP384, "Röot");
    let (root_name, ca) = (root.certificate.subject_text(), &root.certificate);
    assert_eq!(root_name, "CN=Röot,O=touchmark test");
    let code = below(&root, KeyType::EcdsaP256, "code", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    let stamping =
        below(&root, KeyType::EcdsaP256, "stamping", |issuer| CaProfile::TimeStampingIntermediate { issuer });
    let stamp = below(&stamping, KeyType::EcdsaP256, "stamp", |issuer| CaProfile::TimeStampingLeaf { issuer });

    let shape = |certificate: &Certificate| {
        let hex = |oid: &str| certificate.extension(oid).map(hex::encode);
        (hex("2.5.29.15"), hex("2.5.29.37"), hex("2.5.29.19"), hex("2.5.29.14").is_some(), hex("2.5.29.35").is_some())
    };
    let some = |text: &str| Some(text.to_owned());
    let authority = some("03020106");
    assert_eq!(shape(ca), (authority.clone(), None, some("30030101ff"), true, false));
    assert_eq!(
        shape(&code.certificate),
        (authority.clone(), some("300a06082b06010505070303"), some("30060101ff020100"), true, true)
    );
    assert_eq!(
        shape(&stamping.certificate),
        (authority, some("300a06082b06010505070308"), some("30060101ff020100"), true, true)
    );
    assert_eq!(shape(&stamp.certificate), (some("03020780"), some("300a06082b06010505070308"), None, true, true));
    assert!(
        stamp.certificate.is_critical(oid::EXTENDED_KEY_USAGE)
            && !code.certificate.is_critical(oid::EXTENDED_KEY_USAGE)
    );
    for certificate in [ca, &code.certificate, &stamping.certificate] {
        assert!(
            certificate.is_ca()
                && certificate.is_critical(oid::KEY_USAGE)
                && certificate.is_critical(oid::BASIC_CONSTRAINTS)
        );
    }
    ca.verify_issued_by(ca).unwrap();
    code.certificate.verify_issued_by(ca).unwrap();
    stamp.certificate.verify_issued_by(&stamping.certificate).unwrap();
}

#[test]
fn certificates_are_signed_with_every_scheme_that_x509_knows() {
    for key_type in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::EcdsaP521, KeyType::Rsa2048] {
        let root = root(key_type, "root");
        root.certificate.verify_issued_by(&root.certificate).unwrap();
    }
    // The default scheme of an Ed25519 signer may be Ed25519ph, which X.509 lacks: the template names pure Ed25519.
    let key = Key::new(KeyType::Ed25519);
    let template = CaTemplate {
        serial: workshop::serial(),
        not_before: noon(),
        not_after: noon() + workshop::days(1),
        name: AuthorityName { organization: "o".into(), common_name: "c".into() },
        public_key: key.public(),
        profile: CaProfile::Root,
        signature_scheme: Scheme::Ed25519,
    };
    let tbs = template.tbs().unwrap();
    assert!(assemble(&tbs, Scheme::Ed25519, &[0; 64]).is_ok());
    assert_eq!(assemble(&tbs, Scheme::Ed25519ph, &[0; 64]), Err(IssueError::Scheme(Scheme::Ed25519ph)));
}

#[test]
fn names_are_as_an_independent_encoder_writes_them() {
    use std::str::FromStr as _;
    let root = root(KeyType::EcdsaP256, "root");
    let theirs = x509_cert::name::RdnSequence::from_str("CN=root,O=touchmark test").unwrap();
    let read = |der: &[u8]| {
        use der::Decode as _;
        x509_cert::name::RdnSequence::from_der(der).unwrap().to_string()
    };
    assert_eq!(read(root.certificate.subject_der()), read(&theirs.to_der().unwrap()));
    let _: ObjectIdentifier = oid::FULCIO;
}

#[test]
fn a_name_of_organization_and_common_name_reads_back_and_no_other_does() {
    for (organization, common_name) in [("Example", "touchmark root"), ("Bäckerei", "ü"), ("a", "")] {
        let name = AuthorityName { organization: organization.to_owned(), common_name: common_name.to_owned() };
        let der = name.to_der();
        assert_eq!(AuthorityName::from_der(&der), Some(name));
        for length in 0..der.len() {
            assert_eq!(AuthorityName::from_der(&der[..length]), None);
        }
    }
    let attribute = |oid: &str, tag: u8, text: &str| {
        let oid = asn1::object_identifier(ObjectIdentifier::new_unwrap(oid));
        asn1::set_of(vec![asn1::sequence(&[&oid, &asn1::element(tag, &[text.as_bytes()])])])
    };
    let [o, cn, c] = ["2.5.4.10", "2.5.4.3", "2.5.4.6"].map(|oid| attribute(oid, asn1::UTF8_STRING, "x"));
    let both = attribute("2.5.4.10", asn1::OCTET_STRING, "x");
    let name = |parts: &[&[u8]]| AuthorityName::from_der(&asn1::sequence(parts));
    assert!(name(&[&cn, &o]).is_some());
    for parts in [&[o.as_slice()][..], &[&cn], &[&o, &cn, &c], &[&o, &cn, &cn], &[&both, &cn], &[]] {
        assert_eq!(name(parts), None);
    }
}

#[test]
fn a_request_for_an_intermediate_proves_its_key_and_names_its_subject() {
    let name = AuthorityName { organization: "Example".to_owned(), common_name: "Example intermediate".to_owned() };
    for key_type in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Ed25519, KeyType::Rsa2048] {
        let key = Key::new(key_type);
        let information = request_information(&name, &key.public());
        let scheme = key.public().default_scheme();
        let pem = assemble_request(&information, scheme, &key.sign(&information)).unwrap();
        let csr = Csr::from_pem(pem.as_bytes()).unwrap();
        csr.verify().unwrap();
        assert_eq!(csr.public_key().unwrap().spki_der(), key.public().spki_der());
        assert_eq!(AuthorityName::from_der(csr.subject_der()), Some(name.clone()));
        let other =
            request_information(&AuthorityName { common_name: "other".to_owned(), ..name.clone() }, &key.public());
        let forged = assemble_request(&other, scheme, &key.sign(&information)).unwrap();
        Csr::from_pem(forged.as_bytes()).unwrap().verify().unwrap_err();
    }
}

#[test]
fn a_chain_of_authorities_is_one_for_its_purpose_alone() {
    let root = root(KeyType::EcdsaP384, "root");
    let code = below(&root, KeyType::EcdsaP256, "code", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    let time = below(&root, KeyType::EcdsaP256, "time", |issuer| CaProfile::TimeStampingIntermediate { issuer });
    let below_code = below(&code, KeyType::EcdsaP256, "below", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    let chain = |holders: &[&Holder]| holders.iter().map(|holder| holder.certificate.clone()).collect::<Vec<_>>();
    let check = |holders: &[&Holder]| verify_authorities(&chain(holders), ExtendedKeyUsage::CodeSigning).map(|_| ());
    assert_eq!(check(&[&code, &root]), Ok(()));
    assert_eq!(check(&[&root]), Ok(()));
    assert_eq!(check(&[]), Err(PathError::EmptyChain));
    let required = ExtendedKeyUsage::CodeSigning;
    assert_eq!(check(&[&time, &root]), Err(PathError::AuthorityExtendedKeyUsage { position: 1, required }));
    let too_long = PathError::PathLength { position: 2, intermediates: 1, allowed: 0 };
    assert_eq!(check(&[&below_code, &code, &root]), Err(too_long));
    assert_eq!(check(&[&root, &code]), Err(PathError::IssuerName));
    assert_eq!(check(&[&code]), Err(PathError::IssuerName));
    let ends = code.certificate.not_after().min(root.certificate.not_after());
    let both = chain(&[&code, &root]);
    assert_eq!(verify_authorities(&both, required).unwrap().not_after(), ends);
}
