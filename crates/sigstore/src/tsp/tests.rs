// SPDX-License-Identifier: Apache-2.0
//! Tests of timestamps: the tokens of public authorities, our own against our verifier, and tampered twins of both.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use touchmark_keys::{Digest, HashAlgorithm, KeyType, Scheme};

use super::*;
use crate::issue::authority::CaProfile;
use crate::vectors::{self, Case};
use crate::workshop::{self, Holder, below, days, noon, root};
use crate::x509::Certificate;
use crate::x509::chain::TrustedChain;
use crate::x509::path::{ExtendedKeyUsage, PathError};

const MESSAGE: &[u8] = b"the signature bytes";

fn verify_case(case: &Case) -> Vec<Result<SignedAt, Vec<TimestampError>>> {
    let verify = |token: &Vec<u8>| {
        let mut errors = Vec::new();
        for chain in &case.root.timestamp_authorities {
            let prepared = TrustedChain::new(chain.clone()).prepared(ExtendedKeyUsage::TimeStamping);
            let verdict = verify_token(token, &case.signature, chain);
            assert_eq!(verify_token(token, &case.signature, &prepared), verdict);
            match verdict {
                Ok(signed_at) => return Ok(signed_at),
                Err(error) => errors.push(error),
            }
        }
        Err(errors)
    };
    case.timestamps.iter().map(verify).collect()
}

#[test]
fn verifies_the_timestamps_of_every_accepted_bundle() {
    let mut verified = 0;
    for case in vectors::cases().into_iter().filter(|case| !case.must_fail()) {
        if case.root.timestamp_authorities.is_empty() {
            continue;
        }
        let leaf = case.leaf.as_deref().map(|der| Certificate::from_der(der).unwrap());
        for signed_at in verify_case(&case) {
            let signed_at = signed_at.unwrap_or_else(|errors| panic!("{}: {errors:?}", case.name));
            if let Some(leaf) = &leaf {
                assert!((leaf.not_before()..=leaf.not_after()).contains(&signed_at.time()), "{}", case.name);
            }
            assert!(!signed_at.serial().is_empty());
            verified += 1;
        }
    }
    assert!(verified >= 12, "only {verified} timestamps were verified");
}

#[test]
fn refuses_the_tampered_timestamps_of_the_conformance_suite() {
    let refuse = |name: &str, expected: &dyn Fn(&TimestampError) -> bool| {
        let case = vectors::case(name).unwrap();
        let results = verify_case(&case);
        assert!(!results.is_empty(), "{name}");
        for result in results {
            let errors = result.expect_err(name);
            assert!(errors.iter().any(expected), "{name}: {errors:?}");
        }
    };
    refuse("rekor2-timestamp-payload-mismatch_fail", &|error| matches!(error, TimestampError::Imprint { .. }));
    refuse("rekor2-timestamp-outside-tsa-cert-validity_fail", &|error| {
        matches!(error, TimestampError::Path(PathError::Expired { .. } | PathError::NotYetValid { .. }))
    });
    // The stranger's certificate is bound by SHA-1 alone, and stands for nothing that the trusted root names.
    for (name, expected) in [("with", TimestampError::SignerNotTrusted), ("without", TimestampError::SignerNotFound)] {
        let name = format!("rekor2-timestamp-untrusted-tsa-{name}-embedded-cert_fail");
        refuse(&name, &|error| *error == expected);
    }
    // These two are right as tokens; the time itself is wrong, for the trusted root's window and for the certificate.
    for name in ["rekor2-timestamp-outside-trust-root-tsa-validity_fail", "rekor2-timestamp-with-incorrect-time_fail"] {
        assert!(verify_case(&vectors::case(name).unwrap()).iter().all(Result::is_ok), "{name}");
    }
}

#[test]
fn every_flipped_byte_of_a_public_token_is_refused() {
    let case = vectors::case("rekor2-happy-path").unwrap();
    let token = &case.timestamps[0];
    let chain = &case.root.timestamp_authorities[0];
    let prepared = TrustedChain::new(chain.clone()).prepared(ExtendedKeyUsage::TimeStamping);
    let good = verify_token(token, &case.signature, chain).unwrap();
    for position in 0..token.len() {
        let mut tampered = token.clone();
        tampered[position] ^= 0x01;
        // What the signature does not cover (status, unused copies) may change; what is proven may not.
        let verdict = verify_token(&tampered, &case.signature, chain);
        assert_eq!(verify_token(&tampered, &case.signature, &prepared), verdict, "byte {position}");
        if let Ok(other) = verdict {
            assert_eq!(other, good, "byte {position}");
        }
    }
}

struct Authority {
    root: Holder,
    leaf: Holder,
}

fn authority(key_type: KeyType) -> Authority {
    let root = root(KeyType::EcdsaP384, "tsa root");
    let leaf = below(&root, key_type, "tsa", |issuer| CaProfile::TimeStampingLeaf { issuer });
    Authority { root, leaf }
}

impl Authority {
    fn chain(&self) -> [Certificate; 2] {
        [self.leaf.certificate.clone(), self.root.certificate.clone()]
    }

    fn template<'a>(&'a self, request: &'a TimestampRequest, embedded: &'a [Certificate]) -> TokenTemplate<'a> {
        TokenTemplate {
            imprint: &request.imprint,
            nonce: request.nonce.as_deref(),
            policy: POLICY,
            serial: [0xff; 20],
            gen_time: noon(),
            signer: &self.leaf.certificate,
            embedded,
            scheme: self.leaf.key.scheme(),
        }
    }

    fn sign(&self, template: &TokenTemplate<'_>) -> Vec<u8> {
        let unsigned = template.prepare().unwrap();
        let signature = self.leaf.key.sign(unsigned.signed_bytes());
        unsigned.into_response(&signature)
    }

    fn stamp(&self, request: &TimestampRequest) -> Vec<u8> {
        let embedded = [self.leaf.certificate.clone()];
        self.sign(&self.template(request, if request.cert_req { &embedded } else { &[] }))
    }
}

fn request(hash: HashAlgorithm) -> TimestampRequest {
    TimestampRequest {
        imprint: touchmark_keys::digest(hash, MESSAGE),
        nonce: Some(vec![0x80, 1, 2, 3, 4, 5, 6, 7, 8]),
        cert_req: true,
        policy: Some(POLICY.into()),
    }
}

#[test]
fn our_tokens_verify_with_every_hash_and_key() {
    for key_type in [
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::EcdsaP521,
        KeyType::Rsa2048,
        KeyType::MlDsa44,
        KeyType::MlDsa65,
    ] {
        let authority = authority(key_type);
        for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
            for cert_req in [true, false] {
                let request = TimestampRequest { cert_req, ..request(hash) };
                let parsed = TimestampRequest::from_der(&request.to_der().unwrap()).unwrap();
                assert_eq!(parsed, request);
                let response = authority.stamp(&parsed);
                let signed_at = verify_reply(&response, &request, MESSAGE, &authority.chain()).unwrap();
                assert_eq!(signed_at.time(), noon());
                assert_eq!(signed_at.policy().to_string(), POLICY);
                assert_eq!(signed_at.serial(), [&[0x7f][..], &[0xff; 19]].concat());
                assert_eq!(signed_at.path().leaf(), &authority.leaf.certificate);
            }
        }
    }
}

#[test]
fn finds_the_signer_in_the_token_when_the_chain_lacks_the_leaf() {
    let authority = authority(KeyType::EcdsaP256);
    let request = request(HashAlgorithm::Sha256);
    let root_only = [authority.root.certificate.clone()];
    assert!(verify_token(&authority.stamp(&request), MESSAGE, &root_only).is_ok());
    let without = TimestampRequest { cert_req: false, ..request };
    assert_eq!(verify_token(&authority.stamp(&without), MESSAGE, &root_only), Err(TimestampError::SignerNotFound));
}

/// A token whose signed attributes name the signer's certificate by these attributes and no others.
fn stamp_with_ids(
    authority: &Authority,
    request: &TimestampRequest,
    embedded: &[Certificate],
    ids: &[Vec<u8>],
) -> Vec<u8> {
    let mut unsigned = authority.template(request, embedded).prepare().unwrap();
    let mut list = crate::asn1::single(&unsigned.attributes, crate::asn1::SET).unwrap().reader();
    let mut attributes = Vec::new();
    while !list.is_empty() {
        let attribute = list.any().unwrap();
        if attribute.reader().object_identifier().unwrap() != cms::SIGNING_CERTIFICATE_V2 {
            attributes.push(attribute.raw.to_vec());
        }
    }
    attributes.extend_from_slice(ids);
    unsigned.attributes = crate::asn1::set_of(attributes);
    let signature = authority.leaf.key.sign(unsigned.signed_bytes());
    unsigned.into_response(&signature)
}

/// An old SigningCertificate attribute. Its hash is nobody's, for nothing computes SHA-1.
fn old_id(certificate: &Certificate, issuer_serial: bool) -> Vec<u8> {
    use crate::asn1::{INTEGER, context_constructed, element, octet_string, sequence};
    let name = element(context_constructed(4), &[certificate.issuer_der()]);
    let pair = sequence(&[&sequence(&[&name]), &element(INTEGER, &[certificate.serial()])]);
    let hash = octet_string(&[0; 20]);
    let id = if issuer_serial { sequence(&[&hash, &pair]) } else { sequence(&[&hash]) };
    token::attribute(cms::SIGNING_CERTIFICATE, &sequence(&[&sequence(&[&id])]))
}

#[test]
fn a_certificate_named_by_sha1_alone_must_be_the_one_that_the_trusted_root_names() {
    let (ours, other) = (authority(KeyType::EcdsaP256), authority(KeyType::EcdsaP256));
    let request = request(HashAlgorithm::Sha256);
    let (leaf, root_only) = (&ours.leaf.certificate, [ours.root.certificate.clone()]);
    let embedded = [leaf.clone()];
    let stamp = |embedded: &[Certificate], ids: &[Vec<u8>]| stamp_with_ids(&ours, &request, embedded, ids);
    for embedded in [&embedded[..], &[]] {
        let response = stamp(embedded, &[old_id(leaf, true)]);
        assert_eq!(verify_token(&response, MESSAGE, &ours.chain()).unwrap().path().leaf(), leaf);
    }
    // The trusted root has the authority's root alone: only a hash could say which leaf it is.
    let response = stamp(&embedded, &[old_id(leaf, true)]);
    assert_eq!(verify_token(&response, MESSAGE, &root_only), Err(TimestampError::CertificateId));
    // Without issuer and serial, or with another's, nothing that counts names it.
    for id in [old_id(leaf, false), old_id(&other.leaf.certificate, true)] {
        let response = stamp(&embedded, &[id]);
        assert_eq!(verify_token(&response, MESSAGE, &ours.chain()), Err(TimestampError::CertificateId));
    }
    // Beside the newer attribute it says nothing; twice, or none at all, is no attribute.
    let newer = |authority: &Authority| {
        let id = crate::asn1::octet_string(&touchmark_keys::sha256(authority.leaf.certificate.der()));
        let list = crate::asn1::sequence(&[&crate::asn1::sequence(&[&crate::asn1::sequence(&[&id])])]);
        token::attribute(cms::SIGNING_CERTIFICATE_V2, &list)
    };
    let missing = Err(TimestampError::Attribute { attribute: Attribute::SigningCertificateV2 });
    for (ids, expected) in [
        (vec![newer(&ours), old_id(&other.leaf.certificate, true)], Ok(())),
        (vec![newer(&other), old_id(leaf, true)], Err(TimestampError::CertificateId)),
        (vec![old_id(leaf, true), old_id(leaf, false)], missing.clone()),
        (vec![newer(&ours), newer(&other)], missing.clone()),
        (Vec::new(), missing),
    ] {
        let response = stamp(&embedded, &ids);
        assert_eq!(verify_token(&response, MESSAGE, &ours.chain()).map(drop), expected);
    }
}

/// A certificate that may not sign timestamps stands behind one that may, or before it: what counts is the one that signed.
#[test]
fn ghsa_xm5m_wgh2_rrg3_constraints_are_checked_on_the_certificate_that_signed() {
    let root = root(KeyType::EcdsaP256, "root");
    let good = below(&root, KeyType::EcdsaP256, "tsa", |issuer| CaProfile::TimeStampingLeaf { issuer });
    let (key, principal) = (workshop::Key::new(KeyType::EcdsaP256), workshop::alice());
    let tbs = workshop::leaf_template(&root, &key, &principal).ct_tbs().unwrap();
    let leaf = Holder { certificate: workshop::sign(&tbs, &root.key), key };
    let (chain, good) = ([root.certificate.clone()], good.certificate);
    let authority = Authority { root, leaf };
    let (bad, request) = (authority.leaf.certificate.clone(), request(HashAlgorithm::Sha256));
    for bag in [vec![good.clone(), bad.clone()], vec![bad.clone(), good.clone()], vec![bad]] {
        let response = authority.sign(&authority.template(&request, &bag));
        let refused = verify_token(&response, MESSAGE, &chain);
        assert!(matches!(refused, Err(TimestampError::Path(PathError::LeafExtendedKeyUsage { .. }))), "{refused:?}");
    }
    // The good certificate's name on a signature of the bad one's key.
    let forged = TokenTemplate { signer: &good, ..authority.template(&request, std::slice::from_ref(&good)) };
    let refused = verify_token(&authority.sign(&forged), MESSAGE, &chain);
    assert!(matches!(refused, Err(TimestampError::Signature(_))), "{refused:?}");
}

#[test]
fn the_signer_is_not_the_first_certificate_of_the_bag() {
    let (ours, stranger) = (authority(KeyType::EcdsaP256), authority(KeyType::EcdsaP256));
    let request = request(HashAlgorithm::Sha256);
    // Strangers in the bag neither help nor harm.
    let bag = [stranger.leaf.certificate.clone(), stranger.root.certificate.clone(), ours.leaf.certificate.clone()];
    let response = ours.sign(&ours.template(&request, &bag));
    assert_eq!(verify_token(&response, MESSAGE, &ours.chain()).unwrap().path().leaf(), &ours.leaf.certificate);
    // A stranger's token that carries our certificate is refused, with and without our leaf in the chain.
    let response = stranger.sign(&stranger.template(&request, &bag));
    assert_eq!(verify_token(&response, MESSAGE, &ours.chain()), Err(TimestampError::SignerNotTrusted));
    let root_only = [ours.root.certificate.clone()];
    assert!(matches!(
        verify_token(&response, MESSAGE, &root_only),
        Err(TimestampError::Path(PathError::Unverified(_)))
    ));
    // A token that names our certificate and is signed by the stranger.
    let forged = TokenTemplate { signer: &ours.leaf.certificate, ..stranger.template(&request, &bag) };
    assert!(matches!(verify_token(&stranger.sign(&forged), MESSAGE, &ours.chain()), Err(TimestampError::Signature(_))));
}

#[test]
fn the_signed_attributes_bind_one_certificate_of_several_with_the_same_name_and_key() {
    let authority = authority(KeyType::EcdsaP256);
    let request = request(HashAlgorithm::Sha256);
    // The same issuer, serial and key: the SignerInfo names both, the signature verifies with both.
    let twin = workshop::with_extensions(&authority.leaf.certificate, &authority.root.key, |extensions| {
        extensions.push(workshop::extension("1.2.3.4", workshop::PLAIN, &[5, 0]));
    });
    assert_eq!(twin.serial(), authority.leaf.certificate.serial());
    let chain = [twin.clone(), authority.root.certificate.clone()];
    let response = authority.sign(&authority.template(&request, &[]));
    assert!(verify_token(&response, MESSAGE, &authority.chain()).is_ok());
    assert_eq!(verify_token(&response, MESSAGE, &chain), Err(TimestampError::CertificateId));
    assert_eq!(verify_token(&authority.stamp(&request), MESSAGE, &chain), Err(TimestampError::SignerNotTrusted));
    let response = authority.sign(&TokenTemplate { signer: &twin, ..authority.template(&request, &[]) });
    assert_eq!(verify_token(&response, MESSAGE, &chain).unwrap().path().leaf(), &twin);
}

#[test]
fn a_certificate_that_is_not_for_timestamps_does_not_sign_them() {
    let root = root(KeyType::EcdsaP256, "root");
    let code = below(&root, KeyType::EcdsaP256, "ca", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    let principal = workshop::alice();
    let key = workshop::Key::new(KeyType::EcdsaP256);
    let tbs = workshop::leaf_template(&code, &key, &principal).ct_tbs().unwrap();
    let leaf = Holder { certificate: workshop::sign(&tbs, &code.key), key };
    let chain = [code.certificate.clone(), root.certificate.clone()];
    let authority = Authority { root, leaf };
    assert!(matches!(
        verify_token(&authority.stamp(&request(HashAlgorithm::Sha256)), MESSAGE, &chain),
        Err(TimestampError::Path(PathError::LeafExtendedKeyUsage { .. }))
    ));
}

#[test]
fn the_chain_is_judged_at_the_token_s_time() {
    let authority = authority(KeyType::EcdsaP256);
    let request = request(HashAlgorithm::Sha256);
    let (start, end) = (authority.leaf.certificate.not_before(), authority.leaf.certificate.not_after());
    let at = |gen_time: Timestamp| {
        let response = authority.sign(&TokenTemplate { gen_time, ..authority.template(&request, &[]) });
        verify_token(&response, MESSAGE, &authority.chain())
    };
    assert_eq!(at(start).unwrap().time(), start);
    assert_eq!(at(end).unwrap().time(), end);
    let second = SignedDuration::from_secs(1);
    assert!(matches!(at(start - second), Err(TimestampError::Path(PathError::NotYetValid { .. }))));
    assert!(matches!(at(end + second), Err(TimestampError::Path(PathError::Expired { .. }))));
    assert!(at(noon() + days(30)).is_ok());
    // Fractions of a second are not written.
    assert_eq!(at(noon() + SignedDuration::from_millis(900)).unwrap().time(), noon());
}

#[test]
fn a_reply_must_answer_its_request() {
    let authority = authority(KeyType::EcdsaP256);
    let asked = request(HashAlgorithm::Sha256);
    let response = authority.stamp(&asked);
    let check = |request: TimestampRequest| verify_reply(&response, &request, MESSAGE, &authority.chain());
    assert!(check(asked.clone()).is_ok());
    assert!(
        check(TimestampRequest { nonce: Some([&[0, 0], asked.nonce.as_deref().unwrap()].concat()), ..asked.clone() })
            .is_ok()
    );
    assert_eq!(check(TimestampRequest { nonce: Some(vec![1]), ..asked.clone() }), Err(TimestampError::Nonce));
    assert_eq!(check(TimestampRequest { nonce: None, ..asked.clone() }), Err(TimestampError::Nonce));
    assert!(matches!(
        check(TimestampRequest { policy: Some("1.2.3".into()), ..asked.clone() }),
        Err(TimestampError::Policy { .. })
    ));
    assert!(matches!(
        check(TimestampRequest { imprint: touchmark_keys::digest(HashAlgorithm::Sha512, MESSAGE), ..asked }),
        Err(TimestampError::Imprint { .. })
    ));
    assert!(matches!(verify_token(&response, b"other", &authority.chain()), Err(TimestampError::Imprint { .. })));
}

#[test]
fn every_flipped_byte_of_our_token_is_refused() {
    let authority = authority(KeyType::EcdsaP256);
    let request = TimestampRequest { cert_req: false, ..request(HashAlgorithm::Sha256) };
    let response = authority.stamp(&request);
    let good = verify_reply(&response, &request, MESSAGE, &authority.chain()).unwrap();
    for position in 0..response.len() {
        for bit in 0..8 {
            let mut tampered = response.clone();
            tampered[position] ^= 1 << bit;
            if let Ok(other) = verify_reply(&tampered, &request, MESSAGE, &authority.chain()) {
                assert_eq!(other, good, "byte {position} bit {bit}");
            }
        }
    }
}

#[test]
fn a_changed_copy_of_the_signer_s_certificate_in_the_token_is_refused() {
    let authority = authority(KeyType::EcdsaP256);
    let response = authority.stamp(&request(HashAlgorithm::Sha256));
    let copy = authority.leaf.certificate.der();
    let start = response.windows(copy.len()).position(|window| window == copy).unwrap();
    for position in start..start + copy.len() {
        let mut tampered = response.clone();
        tampered[position] ^= 0x01;
        if let Ok(signed_at) = verify_token(&tampered, MESSAGE, &authority.chain()) {
            // A copy with another issuer or serial is a stranger, as it may be in any bag; the signer is the trusted root's.
            let stranger = Certificate::from_der(&tampered[start..start + copy.len()]).unwrap();
            let ours = &authority.leaf.certificate;
            assert!(
                stranger.issuer_der() != ours.issuer_der() || stranger.serial() != ours.serial(),
                "byte {position}"
            );
            assert_eq!(signed_at.path().leaf(), ours);
        }
    }
}

#[test]
fn refusals_carry_their_reason() {
    for failure in FailureInfo::ALL {
        let response = failure_response(failure, "no");
        assert_eq!(
            TimestampResponse::from_der(&response),
            Ok(TimestampResponse::Rejected { status: 2, failure: Some(failure) })
        );
        assert_eq!(
            verify_token(&response, MESSAGE, &[]),
            Err(TimestampError::Rejected { status: 2, failure: Some(failure) })
        );
    }
    assert_eq!(hex::encode(failure_response(FailureInfo::BadRequest, "no")), "300f300d02010230040c026e6f03020520");
    // Granted without a token is no timestamp.
    assert!(TimestampResponse::from_der(&[0x30, 5, 0x30, 3, 2, 1, 0]).is_err());
}

fn request_der(version: u8, hash: &str, digest: &[u8], rest: &[u8]) -> Vec<u8> {
    let oid = asn1::object_identifier(der::asn1::ObjectIdentifier::new(hash).unwrap());
    let imprint = asn1::sequence(&[&asn1::sequence(&[&oid, &asn1::null()]), &asn1::octet_string(digest)]);
    asn1::sequence(&[&asn1::unsigned(&[version]), &imprint, rest])
}

#[test]
fn refuses_bad_requests_with_the_public_texts() {
    const SHA1: &str = "1.3.14.3.2.26";
    const SHA256: &str = "2.16.840.1.101.3.4.2.1";
    let parse = |der: &[u8]| TimestampRequest::from_der(der);
    let text = |der: &[u8]| parse(der).unwrap_err().to_string();
    assert!(parse(&request_der(1, SHA256, &[0; 32], &[])).is_ok());
    assert_eq!(text(&request_der(1, SHA1, &[0; 20], &[])), "Weak hash algorithm in timestamp request");
    assert_eq!(
        text(&request_der(1, SHA256, &[0; 20], &[])),
        "Message digest has incorrect length for specified algorithm"
    );
    assert_eq!(parse(&request_der(2, SHA256, &[0; 32], &[])), Err(RequestError::Version { version: 2 }));
    let extensions = asn1::element(asn1::context_constructed(0), &[&asn1::sequence(&[])]);
    assert_eq!(parse(&request_der(1, SHA256, &[0; 32], &extensions)), Err(RequestError::Extensions));
    let nonce = |bytes: &[u8]| parse(&request_der(1, SHA256, &[0; 32], &asn1::element(asn1::INTEGER, &[bytes])));
    assert_eq!(nonce(&[0x80]), Err(RequestError::Nonce));
    assert_eq!(nonce(&[0x7f; NONCE_BYTES_MAX + 1]), Err(RequestError::Nonce));
    assert_eq!(nonce(&[0x7f; NONCE_BYTES_MAX]).unwrap().nonce, Some(vec![0x7f; NONCE_BYTES_MAX]));
    let trailing = [request_der(1, SHA256, &[0; 32], &[]), vec![0]].concat();
    assert_eq!(parse(&trailing), Err(RequestError::Der(DerError::Trailing)));
    assert!(matches!(parse(&vec![0x30; 20_000]), Err(RequestError::TooLarge { .. })));
    assert_eq!(parse(b"junk").unwrap_err().failure_info(), FailureInfo::BadRequest);
}

#[test]
fn templates_refuse_what_x509_and_the_limits_do_not_allow() {
    let authority = authority(KeyType::EcdsaP256);
    let request = request(HashAlgorithm::Sha256);
    let template = authority.template(&request, &[]);
    let long = [1; NONCE_BYTES_MAX + 1];
    assert_eq!(TokenTemplate { nonce: Some(&long), ..template.clone() }.prepare(), Err(TemplateError::Nonce));
    assert_eq!(TokenTemplate { policy: "x", ..template.clone() }.prepare(), Err(TemplateError::Policy));
    let scheme = Scheme::Ed25519ph;
    assert_eq!(TokenTemplate { scheme, ..template }.prepare(), Err(TemplateError::Scheme(scheme)));
}

#[test]
fn fractional_times_of_foreign_authorities_are_read() {
    let imprint = Digest::new(HashAlgorithm::Sha256, vec![0; 32]).unwrap();
    let statement = |time: &[u8]| {
        asn1::sequence(&[
            &asn1::unsigned(&[1]),
            &asn1::object_identifier(der::asn1::ObjectIdentifier::new_unwrap("1.2.3")),
            &request::encode_imprint(&imprint),
            &asn1::unsigned(&[5]),
            &asn1::element(asn1::GENERALIZED_TIME, &[time]),
        ])
    };
    let info = TstInfo::from_der(&statement(b"20260615120026.5Z")).unwrap();
    assert_eq!(info.gen_time, "2026-06-15T12:00:26.5Z".parse().unwrap());
    assert_eq!(
        TstInfo::from_der(&statement(b"20260615120026.Z")),
        Err(TimestampError::Der(DerError::Value { kind: "time" }))
    );
}

proptest! {
    #[test]
    fn requests_are_written_as_they_are_read(
        nonce in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..NONCE_BYTES_MAX)),
        cert_req: bool,
        policy: bool,
    ) {
        let mut request = request(HashAlgorithm::Sha384);
        request.nonce = nonce.map(|mut nonce| { nonce[0] |= 1; nonce });
        request.cert_req = cert_req;
        request.policy = policy.then(|| POLICY.to_owned());
        let der = request.to_der().unwrap();
        let parsed = TimestampRequest::from_der(&der).unwrap();
        prop_assert_eq!(&parsed, &request);
        prop_assert_eq!(parsed.to_der().unwrap(), der);
    }

    #[test]
    fn parsing_any_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = TimestampRequest::from_der(&bytes);
        let _ = verify_token(&bytes, MESSAGE, &[]);
        let _ = TstInfo::from_der(&bytes);
    }

    #[test]
    fn mutated_tokens_do_not_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let case = vectors::case("rekor2-happy-path").unwrap();
        let mut token = case.timestamps[0].clone();
        for (place, value) in changes {
            let place = place.index(token.len());
            token[place] = value;
        }
        let _ = verify_token(&token, &case.signature, &case.root.timestamp_authorities[0]);
    }
}
