// SPDX-License-Identifier: Apache-2.0
//! Signers of every algorithm: our own keys, and signatures that others made in ways in which we do not sign.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use touchmark_keys::{Digest, HashAlgorithm, KeyType, PublicKey, Scheme, digest};

use super::{code, judge};
use crate::bundle::Content;
use crate::dsse::IN_TOTO_PAYLOAD_TYPE;
use crate::policy::Policy;
use crate::rekor::v1::SignatureV1;
use crate::rekor::v1::render::render_hashedrekord;
use crate::rekor::{EntryKind, Verifier};
use crate::verify::private::{ARTIFACT, Instance, Signing, demanding, key_policy, managed, minutes, policy, statement};
use crate::verify::{Artifact, digest_algorithms, verify};
use crate::workshop::Key;

fn secret(policy: &Policy) -> Policy {
    demanding(policy, |demands| {
        demands.log_entries = 0;
        demands.signatures_without_log = true;
    })
}

/// Keys whose signatures Rekor logs: by digest.
const OF_DIGESTS: [KeyType; 4] = [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::EcdsaP521, KeyType::Rsa2048];
/// Keys that sign whole messages.
const OF_MESSAGES: [KeyType; 4] = [KeyType::Ed25519, KeyType::MlDsa44, KeyType::MlDsa65, KeyType::MlDsa87];

#[test]
fn keys_that_sign_digests_are_logged_in_both_versions() {
    let instance = Instance::new();
    for key_type in OF_DIGESTS {
        let key = Key::new(key_type);
        let of_alice = instance.signed(&key, instance.of_alice(&key));
        let bare = Signing::of_artifact(key.public(), managed(), key.sign(ARTIFACT));
        for (signing, policy) in [(of_alice, policy()), (bare, key_policy(&key.public()))] {
            for logged in
                [signing.clone().in_v2(&instance.rekor), signing.in_v1(&instance.rekor_v1, EntryKind::HashedRekordV1)]
            {
                let verified = judge(&logged, &instance.root(), &policy).unwrap();
                assert_eq!(verified.signature().scheme(), key.scheme(), "{key_type}");
                assert_eq!(verified.signature().digest(), Some(&logged.digest()));
            }
        }
    }
}

#[test]
fn keys_that_sign_messages_need_the_artifact_itself() {
    let instance = Instance::new();
    for key_type in OF_MESSAGES {
        let key = Key::new(key_type);
        let certified = instance.signed(&key, instance.of_alice(&key));
        let bare = Signing::of_artifact(key.public(), managed(), key.sign(ARTIFACT));
        for (signing, policy) in [(certified, secret(&policy())), (bare, secret(&key_policy(&key.public())))] {
            let content = Content::Message { digest: None, signature: signing.signature().to_vec() };
            let signing = Signing { content, ..signing };
            let verified = judge(&signing, &instance.root(), &policy).unwrap();
            assert_eq!(
                (verified.signature().scheme(), verified.signature().digest()),
                (key.scheme(), None),
                "{key_type}"
            );
            let bundle = signing.bundle();
            assert_eq!(digest_algorithms(&bundle, &policy), []);
            for hash in HashAlgorithm::ALL {
                let artifact = Artifact::from(digest(hash, ARTIFACT));
                let error = verify(&artifact, &bundle, &instance.root(), &policy, minutes(60)).unwrap_err();
                let expect = if hash == HashAlgorithm::Sha512 && key_type == KeyType::Ed25519 {
                    // The other scheme of the key signs this digest; this signature is none of it.
                    "signature_invalid"
                } else {
                    "signature_needs_artifact"
                };
                assert_eq!(error.code(), expect, "{key_type} {hash:?}");
            }
            let other = Artifact::of_bytes(b"another artifact");
            let error = verify(&other, &bundle, &instance.root(), &policy, minutes(60)).unwrap_err();
            assert_eq!(error.code(), "signature_invalid");
        }
        let attested = Signing::of_envelope(&key, instance.of_alice(&key), IN_TOTO_PAYLOAD_TYPE, &statement(ARTIFACT));
        let attested = attested.timestamped(&instance.tsa, minutes(1));
        assert_eq!(code(&attested, &instance.root(), &secret(&policy())), Ok(()), "{key_type}");
    }
}

/// A signature over the artifact that another program made.
struct Foreign {
    scheme: Scheme,
    public_key: &'static str,
    signature: &'static str,
    artifact: &'static [u8],
}

/// OpenSSL's, and the example of RFC 8032 §7.3 for Ed25519ph.
const FOREIGN: [Foreign; 4] = [
    Foreign {
        scheme: Scheme::EcdsaP384Sha256,
        public_key: concat!(
            "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEn/hHoNcgL8/XuV/JQaibnqClJ+jwDEo269k2qKBaQQegx3FhBX2w/66EZUKo/SxYe4/68sDL21icF+",
            "PikOR8V6LZ6hAC4iVgqH5RqM2/lCFRzdfUWg/RtlG1NiRUUgWC",
        ),
        signature: concat!(
            "306402307be2abece33f54721616c268cb816fe1c1fa4d4ead253e73758c99a1527eecf67e34c887300c77c253c22756d84cbd32023023",
            "181dd868bfed5b3660b8a7392d37389d696c9d84938d84df38263c6a9721c4943529c20bbbb17c18057cab1b375020",
        ),
        artifact: ARTIFACT,
    },
    Foreign {
        scheme: Scheme::EcdsaP521Sha256,
        public_key: concat!(
            "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAZtd1C+N15UhPMZObZevQeSaPrb2tOMptA/MyV9g84v7CjK08NQ0zO6w8OlK5TbIRy15DQWbqEI",
            "cwEv8Fpxwjtk8BWLKu2Cfpw8eKrfHPDkKj7b7IdMB/UweHCqHimvPYq1XbN8hp9BlEOMDaJmJLVbMUQZbzQRvSlaAZXBoWwGWkpM8=",
        ),
        signature: concat!(
            "30818802420085a8aba5a184c5802626ae768bdd6a7ddc690b31bf444e1edd0be5e581d94c6d52872bde0612b8af94eab27d26a6da2134",
            "35f13754e0ffa50accd595f0b7add5e20242019b3654514355a612484d324fb6fd0510a976863396b6f50b6e98f5877fb45bc8f4956d2b",
            "c06ac9e625188f84b0a8eb8000ccf84724603d5f6d44015f26d6bf63ae",
        ),
        artifact: ARTIFACT,
    },
    Foreign {
        scheme: Scheme::RsaPssSha256_2048,
        public_key: concat!(
            "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2RDna9Sdx9qw7JXGM/YHXQ/Gcdg0tBwDagTJY/vwl/FT8sh+2URXihZRrlFBWNliH2",
            "yJawpb6PIvAX67/m33iS3zuwmlCJ+O1aZfD5bObnYl1Jd9ijKEoqb+gCVO41HEyT3kUnDt237fczNtpWQfQym8W9ahYZgr0iJRAbO6DpQDZWlA",
            "zo7FooE11JD4mJJQIfL0GqxxXmW2psGsgc2y6rwCHrZWElyGEnmfHsL+/RI7Xn0fZVuY8amiE/30vlhuqq1BYMOSLC8rXIsNmySAnqj/GEnHme",
            "IX+PLkkmUq53jNpsu79seOYGNkG1ZJtqUcvL03Enbz52wvrt90ICXW3wIDAQAB",
        ),
        signature: concat!(
            "5664c9ff9557ed5b183d035fa8ceb2cdc20d2ade5d4b06faf1888c9cfee79dfbde3b77bcc395643fa8592ea2ac0ce4d8e9a97b61bf847e",
            "c39a7d650ca5e6e140c2eacda493b45ce97e0bbb5e998fefbdd0887fbd9b94320cc9d6281533e7aafb2ac2339358907e4b2c93d64ac980",
            "4f4bdce23f719ad154a9e32acd0b202c0269718fa0c3cad2a3fa49a3754f81348441b4ce6eb1a076e68129f98b3c7aaee1e6d4118666bb",
            "692c6640ca5d24634722a41d4986d932f533f28791db4d7f0cd7afd00ad3ea28b8874fb30e82d8e429689387717402c2ad3fd602a43823",
            "ea597dfd7daf77dda337cfbc22d8050d8ff1f273c57db6297637a76138c2dd8bbcfc8405",
        ),
        artifact: ARTIFACT,
    },
    Foreign {
        scheme: Scheme::Ed25519ph,
        public_key: "MCowBQYDK2VwAyEA7Bcrk61eVjv0kyxw4SRQNMNUZ+8u/U1k6/gZaDRn4r8=",
        signature: concat!(
            "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41",
            "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
        ),
        artifact: b"abc",
    },
];

#[test]
fn signatures_of_other_programs_are_verified_in_the_way_in_which_they_were_made() {
    let instance = Instance::new();
    for Foreign { scheme, public_key, signature, artifact } in FOREIGN {
        let key = PublicKey::from_spki_der(&STANDARD.decode(public_key).unwrap()).unwrap();
        let hash = scheme.hash().unwrap();
        let signature = hex::decode(signature).unwrap();
        let content = |digest: Option<Digest>| Content::Message { digest, signature: signature.clone() };
        let signing = Signing {
            public_key: key.clone(),
            material: managed(),
            content: content(Some(digest(hash, artifact))),
            timestamps: Vec::new(),
            entries: Vec::new(),
        };
        let with = |signing: &Signing, artifact: &Artifact<'_>| {
            let policy = secret(&key_policy(&key));
            verify(artifact, &signing.bundle(), &instance.root(), &policy, minutes(60))
        };
        assert_eq!(digest_algorithms(&signing.bundle(), &key_policy(&key)), [hash], "{scheme}");
        for given in [Artifact::of_bytes(artifact), Artifact::from(digest(hash, artifact))] {
            assert_eq!(with(&signing, &given).unwrap().signature().scheme(), scheme);
        }
        let other = Signing { content: content(None), ..signing.clone() };
        assert_eq!(with(&other, &Artifact::of_bytes(b"x")).unwrap_err().code(), "signature_invalid", "{scheme}");
        // Logged by its digest.
        let verifier = Verifier::PublicKey { spki_der: key.spki_der().to_vec() };
        let recorded = SignatureV1 { signature: signature.clone(), verifier };
        let entry = |hash| {
            instance
                .rekor_v1
                .promised(EntryKind::HashedRekordV1, render_hashedrekord(&digest(hash, artifact), &recorded))
        };
        let logged = Signing { entries: vec![entry(hash)], ..signing.clone() };
        assert_eq!(with(&logged, &Artifact::of_bytes(artifact)).unwrap().signature().scheme(), scheme);
        // By another digest of the same file, the log says that it was signed otherwise.
        for other in HashAlgorithm::ALL.into_iter().filter(|other| *other != hash) {
            let confused = Signing { entries: vec![entry(other)], ..signing.clone() };
            let error = with(&confused, &Artifact::of_bytes(artifact)).unwrap_err();
            assert!(["signature_invalid", "signature_scheme_ambiguous"].contains(&error.code()), "{scheme}: {error}");
        }
    }
}

#[test]
fn a_digest_is_of_the_algorithm_that_it_says() {
    let instance = Instance::new();
    let signing = instance.logged(instance.unlogged(KeyType::EcdsaP256));
    // The digest of another algorithm is compared too, where it can be made.
    let named = |hash, file: &[u8]| {
        let digest = Some(digest(hash, file));
        let content = Content::Message { digest, signature: signing.signature().to_vec() };
        code(&Signing { content, ..signing.clone() }, &instance.root(), &policy())
    };
    for hash in HashAlgorithm::ALL {
        assert_eq!(named(hash, ARTIFACT), Ok(()));
        assert_eq!(named(hash, b"another artifact"), Err("artifact_mismatch"));
    }
    // Bytes of one algorithm under the name of another are no digest at all.
    let mut bundle = signing.json();
    bundle["messageSignature"]["messageDigest"]["algorithm"] = "SHA2_512".into();
    assert_eq!(super::code_of(&bundle, &instance.root(), &policy()), Err("bundle_digest"));
}
