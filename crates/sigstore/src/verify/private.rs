// SPDX-License-Identifier: Apache-2.0
//! For tests: a private Sigstore of one CA, one TSA, one CT log and a Rekor log of each version, each of which does what a test asks; and
//! as many more of them as a test wants.

mod log;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use touchmark_keys::{Digest, HashAlgorithm, KeyType, PublicKey, digest};

use crate::bundle::{Bundle, Content, KeyMaterial};
use crate::ct::{LogEntry, Sct, SctScheme, sct_signed_bytes};
use crate::dsse::{Envelope, IN_TOTO_PAYLOAD_TYPE, pae};
use crate::intoto::statement_of;
use crate::issue::authority::CaProfile;
use crate::policy::{Demands, IdentityMatcher, KeyRule, Matcher, Policy};
use crate::principal::Principal;
use crate::rekor::v1::SignatureV1;
use crate::rekor::v1::render::{render_dsse, render_hashedrekord, render_intoto};
use crate::rekor::{EntryKind, HashedRekord, Verifier, scheme_for};
use crate::trust::{CertificateAuthority, Subject, TransparencyLog, TrustedRoot, ValidFor};
use crate::tsp::{POLICY, TokenTemplate};
use crate::wire::rekor as wire;
use crate::workshop::{Holder, Key, alice, below, leaf_template, noon, root, serial, sign};
use crate::x509::Certificate;

pub(crate) use log::Log;

pub(crate) const ARTIFACT: &[u8] = b"an artifact";
/// What statements say of the artifact.
pub(crate) const PREDICATE: &str = "https://example.com/predicate/v1";

/// The keys of the services.
pub(crate) struct Instance {
    pub(crate) ca: Authority,
    pub(crate) tsa: Authority,
    pub(crate) ct: Key,
    pub(crate) rekor: Log,
    pub(crate) rekor_v1: Log,
}

/// An authority with its own root.
pub(crate) struct Authority {
    pub(crate) root: Holder,
    pub(crate) issuing: Holder,
    uri: String,
}

impl Authority {
    pub(crate) fn ca(name: &str) -> Self {
        let root = root(KeyType::EcdsaP256, &format!("{name} root"));
        let profile = |issuer| CaProfile::CodeSigningIntermediate { issuer };
        Self { issuing: below(&root, KeyType::EcdsaP256, name, profile), root, uri: format!("https://{name}.example") }
    }

    pub(crate) fn tsa(name: &str) -> Self {
        let root = root(KeyType::EcdsaP256, &format!("{name} root"));
        let profile = |issuer| CaProfile::TimeStampingLeaf { issuer };
        Self { issuing: below(&root, KeyType::EcdsaP256, name, profile), root, uri: format!("https://{name}.example") }
    }

    pub(crate) fn trusted(&self, window: ValidFor) -> CertificateAuthority {
        let chain = vec![self.issuing.certificate.clone(), self.root.certificate.clone()];
        CertificateAuthority::new(Subject::default(), self.uri.clone(), chain, window).unwrap()
    }

    /// A timestamp over a message, at a time of the caller's choice.
    pub(crate) fn timestamp(&self, message: &[u8], gen_time: Timestamp) -> Vec<u8> {
        let imprint = digest(HashAlgorithm::Sha256, message);
        let token = TokenTemplate {
            imprint: &imprint,
            nonce: None,
            policy: POLICY,
            serial: serial(),
            gen_time,
            signer: &self.issuing.certificate,
            embedded: &[],
            scheme: self.issuing.key.scheme(),
        };
        let token = token.prepare().unwrap();
        let signature = self.issuing.key.sign(token.signed_bytes());
        token.into_response(&signature)
    }
}

/// A promise of a CT log: in its name, by a key, at a time.
pub(crate) struct Promise<'a> {
    pub(crate) log: &'a Key,
    pub(crate) signer: &'a Key,
    pub(crate) time: Timestamp,
}

impl<'a> Promise<'a> {
    pub(crate) fn of(log: &'a Key) -> Self {
        Self { log, signer: log, time: noon() }
    }

    pub(crate) fn sct(&self, entry: &LogEntry) -> Sct {
        let timestamp_ms = self.time.as_millisecond().try_into().unwrap();
        Sct {
            log_id: self.log.public().spki_sha256(),
            timestamp_ms,
            extensions: Vec::new(),
            scheme: SctScheme::EcdsaSha256,
            signature: self.signer.sign(&sct_signed_bytes(entry, timestamp_ms, &[])),
        }
    }
}

/// A signature in the making: change a part before the bundle is put together.
#[derive(Clone)]
pub(crate) struct Signing {
    pub(crate) public_key: PublicKey,
    pub(crate) material: KeyMaterial,
    pub(crate) content: Content,
    pub(crate) timestamps: Vec<Vec<u8>>,
    pub(crate) entries: Vec<wire::TransparencyLogEntry>,
}

impl Signing {
    /// A signature that somebody made of the artifact, with nothing beside it.
    pub(crate) fn of_artifact(public_key: PublicKey, material: KeyMaterial, signature: Vec<u8>) -> Self {
        let digest = scheme_for(&public_key).hash().map(|hash| digest(hash, ARTIFACT));
        let content = Content::Message { digest, signature };
        Self { public_key, material, content, timestamps: Vec::new(), entries: Vec::new() }
    }

    /// The same of an envelope around a payload.
    pub(crate) fn of_envelope(key: &Key, material: KeyMaterial, payload_type: &str, payload: &[u8]) -> Self {
        let signature = key.sign(&pae(payload_type, payload));
        let (payload_type, payload) = (payload_type.to_owned(), payload.to_vec());
        let content = Content::Envelope(Envelope { payload_type, payload, signature, keyid: String::new() });
        Self { public_key: key.public(), material, content, timestamps: Vec::new(), entries: Vec::new() }
    }

    pub(crate) fn signature(&self) -> &[u8] {
        self.content.signature()
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        match &self.material {
            KeyMaterial::Certificate(certificate) => certificate,
            KeyMaterial::PublicKey { .. } => panic!("a managed key has no certificate"),
        }
    }

    pub(crate) fn verifier(&self) -> Verifier {
        match &self.material {
            KeyMaterial::Certificate(certificate) => Verifier::Certificate { der: certificate.der().to_vec() },
            KeyMaterial::PublicKey { .. } => Verifier::PublicKey { spki_der: self.public_key.spki_der().to_vec() },
        }
    }

    /// The digest of what is signed, under the algorithm of the key.
    pub(crate) fn digest(&self) -> Digest {
        let hash = scheme_for(&self.public_key).hash().unwrap();
        match &self.content {
            Content::Message { .. } => digest(hash, ARTIFACT),
            Content::Envelope(envelope) => envelope.pae_digest(hash),
        }
    }

    pub(crate) fn record(&self) -> HashedRekord {
        let (scheme, signature) = (scheme_for(&self.public_key), self.signature().to_vec());
        HashedRekord::new(self.digest(), signature, self.verifier(), scheme).unwrap()
    }

    pub(crate) fn leaf(&self) -> Vec<u8> {
        self.record().leaf_bytes()
    }

    /// What a log of Rekor v1 stores of the signature.
    pub(crate) fn body_v1(&self, kind: EntryKind) -> Vec<u8> {
        let signature = SignatureV1 { signature: self.signature().to_vec(), verifier: self.verifier() };
        let sha256 = |bytes: &[u8]| digest(HashAlgorithm::Sha256, bytes);
        match (kind, &self.content) {
            (EntryKind::DsseV1, Content::Envelope(envelope)) => {
                render_dsse(&sha256(b"the envelope as it was sent"), &sha256(&envelope.payload), &[signature])
            }
            (EntryKind::IntotoV2, Content::Envelope(envelope)) => {
                let sent = sha256(b"the envelope as it was sent");
                render_intoto(&envelope.payload_type, &sent, &sha256(&envelope.payload), &[signature])
            }
            _ => render_hashedrekord(&self.digest(), &signature),
        }
    }

    /// Logged in Rekor v1, promised a minute after noon.
    pub(crate) fn in_v1(mut self, log: &Log, kind: EntryKind) -> Self {
        self.entries.push(log.promised(kind, self.body_v1(kind)));
        self
    }

    /// Logged in Rekor v2, as the first entry.
    pub(crate) fn in_v2(mut self, log: &Log) -> Self {
        self.entries.push(log.entry(&[self.leaf()], 0));
        self
    }

    pub(crate) fn timestamped(mut self, tsa: &Authority, time: Timestamp) -> Self {
        self.timestamps.push(tsa.timestamp(self.signature(), time));
        self
    }

    pub(crate) fn bundle(&self) -> Bundle {
        let (material, content) = (self.material.clone(), self.content.clone());
        Bundle::new(material, content, self.timestamps.clone(), self.entries.clone()).unwrap()
    }

    /// The bundle as a document, for changes that no builder makes.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bundle().to_json()).unwrap()
    }
}

/// From a day before noon on.
pub(crate) fn window() -> ValidFor {
    ValidFor::since(noon() - SignedDuration::from_hours(24))
}

pub(crate) fn minutes(count: i64) -> Timestamp {
    noon() + SignedDuration::from_mins(count)
}

/// What a verifier trusts, to be changed before it is a root.
pub(crate) struct Trust {
    pub(crate) logs: Vec<TransparencyLog>,
    pub(crate) cas: Vec<CertificateAuthority>,
    pub(crate) ct_logs: Vec<TransparencyLog>,
    pub(crate) tsas: Vec<CertificateAuthority>,
}

impl Trust {
    pub(crate) fn root(self) -> TrustedRoot {
        TrustedRoot::new(self.logs, self.cas, self.ct_logs, self.tsas)
    }
}

pub(crate) fn trusted_ct(key: &Key, window: ValidFor) -> TransparencyLog {
    let id = key.public().spki_sha256();
    TransparencyLog::new("https://ct.example".into(), id, key.public(), key.scheme(), window)
}

impl Instance {
    pub(crate) fn new() -> Self {
        Self {
            ca: Authority::ca("ca"),
            tsa: Authority::tsa("tsa"),
            ct: Key::new(KeyType::EcdsaP256),
            rekor: Log::new("rekor.example"),
            rekor_v1: Log::v1("rekor-v1.example"),
        }
    }

    /// What a verifier of this instance trusts.
    pub(crate) fn trust(&self) -> Trust {
        Trust {
            logs: vec![self.rekor.trusted(), self.rekor_v1.trusted()],
            cas: vec![self.ca.trusted(window())],
            ct_logs: vec![trusted_ct(&self.ct, window())],
            tsas: vec![self.tsa.trusted(window())],
        }
    }

    pub(crate) fn root(&self) -> TrustedRoot {
        self.trust().root()
    }

    pub(crate) fn root_with(
        &self,
        logs: Vec<TransparencyLog>,
        ca: ValidFor,
        ct: ValidFor,
        tsa: ValidFor,
    ) -> TrustedRoot {
        let (cas, ct_logs) = (vec![self.ca.trusted(ca)], vec![trusted_ct(&self.ct, ct)]);
        Trust { logs, cas, ct_logs, tsas: vec![self.tsa.trusted(tsa)] }.root()
    }

    /// A certificate with these promises, or with none.
    pub(crate) fn certificate<'a>(
        &self,
        principal: &Principal,
        key: &Key,
        promises: impl IntoIterator<Item = &'a Promise<'a>>,
    ) -> Certificate {
        let issuing = &self.ca.issuing;
        let template = leaf_template(issuing, key, principal);
        let precertificate = sign(&template.precertificate_tbs().unwrap(), &issuing.key);
        let entry = LogEntry::from_precertificate(&precertificate, &issuing.certificate).unwrap();
        let scts: Vec<Sct> = promises.into_iter().map(|promise| promise.sct(&entry)).collect();
        let tbs =
            if scts.is_empty() { template.ct_tbs() } else { template.certificate_tbs(&scts).map(|tbs| tbs.to_vec()) };
        sign(&tbs.unwrap(), &issuing.key)
    }

    /// A timestamp over a message, at a time of the caller's choice.
    pub(crate) fn timestamp(&self, message: &[u8], gen_time: Timestamp) -> Vec<u8> {
        self.tsa.timestamp(message, gen_time)
    }

    /// A certificate of alice for a key.
    pub(crate) fn of_alice(&self, key: &Key) -> KeyMaterial {
        KeyMaterial::Certificate(self.certificate(&alice(), key, &[Promise::of(&self.ct)]))
    }

    /// A signature of alice over the artifact, with everything but a log entry.
    pub(crate) fn unlogged(&self, key_type: KeyType) -> Signing {
        let key = Key::new(key_type);
        let material = self.of_alice(&key);
        self.signed(&key, material)
    }

    /// A signature over the artifact, with a timestamp.
    pub(crate) fn signed(&self, key: &Key, material: KeyMaterial) -> Signing {
        Signing::of_artifact(key.public(), material, key.sign(ARTIFACT)).timestamped(&self.tsa, minutes(1))
    }

    /// The same as the first entry of the log.
    pub(crate) fn sign(&self) -> Signing {
        self.logged(self.unlogged(KeyType::EcdsaP256))
    }

    pub(crate) fn logged(&self, mut signing: Signing) -> Signing {
        signing.entries = vec![self.rekor.entry(&[signing.leaf()], 0)];
        signing
    }

    /// A signature of alice over the artifact in Rekor v1, which says when.
    pub(crate) fn sign_v1(&self) -> Signing {
        let mut signing = self.unlogged(KeyType::EcdsaP256);
        signing.timestamps.clear();
        signing.in_v1(&self.rekor_v1, EntryKind::HashedRekordV1)
    }

    /// A statement of alice about the artifact, neither logged nor timestamped.
    pub(crate) fn attested(&self) -> Signing {
        let key = Key::new(KeyType::EcdsaP256);
        let material = self.of_alice(&key);
        Signing::of_envelope(&key, material, IN_TOTO_PAYLOAD_TYPE, &statement(ARTIFACT))
    }
}

/// A statement about a file.
pub(crate) fn statement(file: &[u8]) -> Vec<u8> {
    let digest = digest(HashAlgorithm::Sha256, file);
    statement_of("artifact", &digest, PREDICATE, r#"{"said":true}"#).unwrap()
}

pub(crate) fn policy() -> Policy {
    let issuer = Matcher::exact("https://issuer.example").unwrap();
    Policy::keyless(IdentityMatcher::exact("alice@example.com").unwrap(), issuer)
}

/// The policy with its demands changed.
pub(crate) fn demanding(policy: &Policy, edit: impl FnOnce(&mut Demands)) -> Policy {
    let mut demands = policy.demands().clone();
    edit(&mut demands);
    policy.clone().with_demands(demands).unwrap()
}

/// A signature by this key, at any time.
pub(crate) fn key_policy(key: &PublicKey) -> Policy {
    Policy::managed_key(KeyRule { key: key.clone(), valid_for: None })
}

/// The material of a key of which the verifier knows.
pub(crate) fn managed() -> KeyMaterial {
    KeyMaterial::PublicKey { hint: "a hint".into() }
}
