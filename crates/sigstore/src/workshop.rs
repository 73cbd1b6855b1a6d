// SPDX-License-Identifier: Apache-2.0
//! For tests: a small private Sigstore of certificates, signed with ephemeral keys through the signers that the services use.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use der::asn1::ObjectIdentifier;
use jiff::{SignedDuration, Timestamp};
use touchmark_keys::{KeyType, PublicKey};
use touchmark_signers::{EphemeralSigner, Signer};

use crate::asn1;
use crate::issue;
use crate::issue::LeafTemplate;
use crate::issue::authority::{AuthorityName, CaProfile, CaTemplate};
use crate::principal::{Principal, SubjectAltName};
use crate::x509::Certificate;

/// A key of a test.
pub(crate) struct Key(EphemeralSigner);

impl Key {
    pub(crate) fn new(key_type: KeyType) -> Self {
        Self(EphemeralSigner::generate(key_type).unwrap())
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.0.public_key().clone()
    }

    pub(crate) fn scheme(&self) -> touchmark_keys::Scheme {
        self.0.scheme()
    }

    /// Signs; an ephemeral signer never waits.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut future = pin!(self.0.sign(message));
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(signature) => signature.unwrap(),
            Poll::Pending => unreachable!("a key in memory signs at once"),
        }
    }
}

/// A certificate with its key.
pub(crate) struct Holder {
    pub(crate) key: Key,
    pub(crate) certificate: Certificate,
}

/// The middle of every validity here.
pub(crate) fn noon() -> Timestamp {
    "2026-06-15T12:00:00Z".parse().unwrap()
}

pub(crate) fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

/// A root, valid for ten years around noon.
pub(crate) fn root(key_type: KeyType, name: &str) -> Holder {
    let key = Key::new(key_type);
    let tbs = template(&key, name, CaProfile::Root, days(1825), &key).tbs().unwrap();
    let certificate = sign(&tbs, &key);
    Holder { key, certificate }
}

/// A certificate under `issuer`, valid for two years around noon.
pub(crate) fn below<'a>(
    issuer: &'a Holder,
    key_type: KeyType,
    name: &str,
    profile: impl FnOnce(&'a Certificate) -> CaProfile<'a>,
) -> Holder {
    let key = Key::new(key_type);
    let tbs = template(&key, name, profile(&issuer.certificate), days(365), &issuer.key).tbs().unwrap();
    Holder { certificate: sign(&tbs, &issuer.key), key }
}

pub(crate) fn template<'a>(
    key: &Key,
    name: &str,
    profile: CaProfile<'a>,
    half: SignedDuration,
    signer: &Key,
) -> CaTemplate<'a> {
    CaTemplate {
        serial: serial(),
        not_before: noon() - half,
        not_after: noon() + half,
        name: AuthorityName { organization: "touchmark test".into(), common_name: name.into() },
        public_key: key.public(),
        profile,
        signature_scheme: signer.scheme(),
    }
}

pub(crate) fn sign(tbs: &[u8], signer: &Key) -> Certificate {
    let der = issue::assemble(tbs, signer.scheme(), &signer.sign(tbs)).unwrap();
    Certificate::from_der(&der).unwrap()
}

/// The same certificate with other extensions, signed again: for certificates that no template of ours makes.
pub(crate) fn with_extensions(
    certificate: &Certificate,
    signer: &Key,
    edit: impl FnOnce(&mut Vec<Vec<u8>>),
) -> Certificate {
    Certificate::from_der(&der_with_extensions(certificate, signer, edit)).unwrap()
}

pub(crate) fn der_with_extensions(
    certificate: &Certificate,
    signer: &Key,
    edit: impl FnOnce(&mut Vec<Vec<u8>>),
) -> Vec<u8> {
    let mut fields = asn1::single(certificate.tbs_der(), asn1::SEQUENCE).unwrap().reader();
    let mut head: Vec<&[u8]> = Vec::new();
    let tagged = loop {
        match fields.any().unwrap() {
            element if element.tag == asn1::context_constructed(3) => break element,
            element => head.push(element.raw),
        }
    };
    let mut list = tagged.reader().enter(asn1::SEQUENCE).unwrap();
    let mut extensions = Vec::new();
    while !list.is_empty() {
        extensions.push(list.any().unwrap().raw.to_vec());
    }
    edit(&mut extensions);
    let parts: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
    let tagged = asn1::element(asn1::context_constructed(3), &[&asn1::sequence(&parts)]);
    let tbs = asn1::sequence(&[&head.concat(), &tagged]);
    issue::assemble(&tbs, signer.scheme(), &signer.sign(&tbs)).unwrap()
}

/// An extension of any kind.
pub(crate) fn extension(oid: &str, critical: &[u8], value: &[u8]) -> Vec<u8> {
    let oid = asn1::object_identifier(ObjectIdentifier::new(oid).unwrap());
    asn1::sequence(&[&oid, critical, &asn1::octet_string(value)])
}

/// The two ways to say whether an extension is critical.
pub(crate) const CRITICAL: &[u8] = &[asn1::BOOLEAN, 1, 0xff];
pub(crate) const PLAIN: &[u8] = &[];

pub(crate) fn serial() -> [u8; 20] {
    let mut serial = [0; 20];
    touchmark_keys::random(&mut serial);
    serial
}

pub(crate) fn alice() -> Principal {
    Principal {
        issuer: "https://issuer.example".into(),
        subject: "subject-of-alice".into(),
        san: SubjectAltName::Email("alice@example.com".into()),
        proof_subject: "alice@example.com".into(),
        extensions: Vec::new(),
    }
}

/// A leaf template of ten minutes from noon.
pub(crate) fn leaf_template<'a>(issuer: &'a Holder, key: &Key, principal: &'a Principal) -> LeafTemplate<'a> {
    LeafTemplate {
        serial: serial(),
        not_before: noon(),
        not_after: noon() + SignedDuration::from_mins(10),
        public_key: key.public(),
        principal,
        issuer: &issuer.certificate,
        signature_scheme: issuer.key.scheme(),
    }
}
