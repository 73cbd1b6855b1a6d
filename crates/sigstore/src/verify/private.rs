// SPDX-License-Identifier: Apache-2.0
//! For tests: a private Sigstore of one CA, one TSA, one CT log and one Rekor v2 log, each of which does what a test asks.

use jiff::{SignedDuration, Timestamp};
use touchmark_keys::{Digest, HashAlgorithm, KeyType, digest};
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteAlgorithm, NoteKey, SignedNote};
use touchmark_tlog::{Hash, TreeSize, leaf_hash, node_hash};

use crate::bundle::{Bundle, Content, KeyMaterial};
use crate::ct::{LogEntry, Sct, SctScheme, sct_signed_bytes};
use crate::issue::authority::CaProfile;
use crate::policy::{IdentityMatcher, Matcher, Policy};
use crate::principal::Principal;
use crate::rekor::{HashedRekord, Verifier, scheme_for};
use crate::trust::{CertificateAuthority, Subject, TransparencyLog, TrustedRoot, ValidFor};
use crate::tsp::{POLICY, TokenTemplate};
use crate::wire::rekor as wire;
use crate::wire::{Nullable, UnixSeconds};
use crate::workshop::{Holder, Key, alice, below, leaf_template, noon, root, serial, sign};
use crate::x509::Certificate;

pub(crate) const ARTIFACT: &[u8] = b"an artifact";

/// The keys of the services.
pub(crate) struct Instance {
    ca_root: Holder,
    ca: Holder,
    tsa_root: Holder,
    tsa: Holder,
    pub(crate) ct: Key,
    pub(crate) rekor: Log,
}

/// A Rekor log: a name and a key.
pub(crate) struct Log {
    pub(crate) name: String,
    key: Key,
}

impl Log {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), key: Key::new(KeyType::Ed25519) }
    }

    pub(crate) fn note_key(&self) -> NoteKey {
        NoteKey::new(&self.name, NoteAlgorithm::Ed25519, self.key.public()).unwrap()
    }

    pub(crate) fn trusted(&self) -> TransparencyLog {
        let base_url = format!("https://{}", self.name);
        TransparencyLog::new(base_url, self.note_key().id(), self.key.public(), self.key.scheme(), window())
    }

    /// The checkpoint of a tree, with the name that it has inside.
    pub(crate) fn checkpoint(&self, origin: &str, leaves: &[Hash]) -> String {
        let size = TreeSize(leaves.len().try_into().unwrap());
        let text =
            Checkpoint { origin: origin.into(), size, root: tree_root(leaves), extensions: Vec::new() }.to_text();
        let key = self.note_key();
        let signature = self.key.sign(&key.signed_message(&text, None).unwrap());
        let note = SignedNote::new(text, vec![key.wrap(signature, None).unwrap()]).unwrap();
        String::from_utf8(note.to_bytes()).unwrap()
    }

    /// The entry of one leaf among the leaves of a tree.
    pub(crate) fn entry(&self, leaves: &[Vec<u8>], index: usize) -> wire::TransparencyLogEntry {
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let log_index = index.try_into().unwrap();
        wire::TransparencyLogEntry {
            log_index,
            log_id: Some(wire::LogId { key_id: self.note_key().id().to_vec() }),
            kind_version: Some(wire::KindVersion { kind: "hashedrekord".into(), version: "0.0.2".into() }),
            integrated_time: UnixSeconds(0),
            inclusion_promise: Nullable(None),
            inclusion_proof: Nullable(Some(wire::InclusionProof {
                log_index,
                root_hash: tree_root(&hashes).0.to_vec(),
                tree_size: hashes.len().try_into().unwrap(),
                hashes: tree_path(&hashes, index).iter().map(|hash| hash.0.to_vec()).collect(),
                checkpoint: Some(wire::Checkpoint { envelope: self.checkpoint(&self.name, &hashes) }),
            })),
            canonicalized_body: leaves[index].clone(),
        }
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
}

/// A signature in the making: change a part before the bundle is put together.
pub(crate) struct Signing {
    pub(crate) key: Key,
    pub(crate) certificate: Certificate,
    pub(crate) digest: Digest,
    pub(crate) signature: Vec<u8>,
    pub(crate) timestamps: Vec<Vec<u8>>,
    pub(crate) entries: Vec<wire::TransparencyLogEntry>,
}

impl Signing {
    pub(crate) fn record(&self) -> HashedRekord {
        let verifier = Verifier::Certificate { der: self.certificate.der().to_vec() };
        HashedRekord::new(self.digest.clone(), self.signature.clone(), verifier, scheme_for(&self.key.public()))
            .unwrap()
    }

    pub(crate) fn leaf(&self) -> Vec<u8> {
        self.record().leaf_bytes()
    }

    pub(crate) fn bundle(&self) -> Bundle {
        let content = Content::Message { digest: Some(self.digest.clone()), signature: self.signature.clone() };
        let material = KeyMaterial::Certificate(self.certificate.clone());
        Bundle::new(material, content, self.timestamps.clone(), self.entries.clone()).unwrap()
    }
}

/// From a day before noon on.
pub(crate) fn window() -> ValidFor {
    ValidFor::since(noon() - SignedDuration::from_hours(24))
}

pub(crate) fn minutes(count: i64) -> Timestamp {
    noon() + SignedDuration::from_mins(count)
}

impl Instance {
    pub(crate) fn new() -> Self {
        let ca_root = root(KeyType::EcdsaP256, "ca root");
        let tsa_root = root(KeyType::EcdsaP256, "tsa root");
        Self {
            ca: below(&ca_root, KeyType::EcdsaP256, "ca", |issuer| CaProfile::CodeSigningIntermediate { issuer }),
            tsa: below(&tsa_root, KeyType::EcdsaP256, "tsa", |issuer| CaProfile::TimeStampingLeaf { issuer }),
            ca_root,
            tsa_root,
            ct: Key::new(KeyType::EcdsaP256),
            rekor: Log::new("rekor.example"),
        }
    }

    /// What a verifier of this instance trusts.
    pub(crate) fn root(&self) -> TrustedRoot {
        self.root_with(vec![self.rekor.trusted()], window(), window(), window())
    }

    pub(crate) fn root_with(
        &self,
        tlogs: Vec<TransparencyLog>,
        ca: ValidFor,
        ct: ValidFor,
        tsa: ValidFor,
    ) -> TrustedRoot {
        let authority = |below: &Holder, root: &Holder, window| {
            let chain = vec![below.certificate.clone(), root.certificate.clone()];
            CertificateAuthority::new(Subject::default(), "https://authority.example".into(), chain, window).unwrap()
        };
        let ct_id = self.ct.public().spki_sha256();
        let ct = TransparencyLog::new("https://ct.example".into(), ct_id, self.ct.public(), self.ct.scheme(), ct);
        let ca = authority(&self.ca, &self.ca_root, ca);
        TrustedRoot::new(tlogs, vec![ca], vec![ct], vec![authority(&self.tsa, &self.tsa_root, tsa)])
    }

    /// A certificate with a promise, or with none.
    pub(crate) fn certificate(&self, principal: &Principal, key: &Key, promise: Option<&Promise<'_>>) -> Certificate {
        let template = leaf_template(&self.ca, key, principal);
        let Some(promise) = promise else { return sign(&template.ct_tbs().unwrap(), &self.ca.key) };
        let precertificate = sign(&template.precertificate_tbs().unwrap(), &self.ca.key);
        let entry = LogEntry::from_precertificate(&precertificate, &self.ca.certificate).unwrap();
        let timestamp_ms = promise.time.as_millisecond().try_into().unwrap();
        let sct = Sct {
            log_id: promise.log.public().spki_sha256(),
            timestamp_ms,
            extensions: Vec::new(),
            scheme: SctScheme::EcdsaSha256,
            signature: promise.signer.sign(&sct_signed_bytes(&entry, timestamp_ms, &[])),
        };
        sign(&template.certificate_tbs(&[sct]).unwrap(), &self.ca.key)
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
            signer: &self.tsa.certificate,
            embedded: &[],
            scheme: self.tsa.key.scheme(),
        };
        let token = token.prepare().unwrap();
        let signature = self.tsa.key.sign(token.signed_bytes());
        token.into_response(&signature)
    }

    /// A signature of alice over the artifact, with everything but a log entry.
    pub(crate) fn unlogged(&self, key_type: KeyType) -> Signing {
        let key = Key::new(key_type);
        let certificate = self.certificate(&alice(), &key, Some(&Promise::of(&self.ct)));
        self.signed(key, certificate)
    }

    pub(crate) fn signed(&self, key: Key, certificate: Certificate) -> Signing {
        let hash = scheme_for(&key.public()).hash().unwrap();
        let signature = key.sign(ARTIFACT);
        let timestamps = vec![self.timestamp(&signature, minutes(1))];
        Signing { certificate, digest: digest(hash, ARTIFACT), signature, timestamps, entries: Vec::new(), key }
    }

    /// The same as the first entry of the log.
    pub(crate) fn sign(&self) -> Signing {
        self.logged(self.unlogged(KeyType::EcdsaP256))
    }

    pub(crate) fn logged(&self, mut signing: Signing) -> Signing {
        signing.entries = vec![self.rekor.entry(&[signing.leaf()], 0)];
        signing
    }
}

pub(crate) fn policy() -> Policy {
    let issuer = Matcher::exact("https://issuer.example").unwrap();
    Policy::keyless(IdentityMatcher::exact("alice@example.com").unwrap(), issuer)
}

/// RFC 6962 §2.1, word for word.
fn tree_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => touchmark_tlog::empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&tree_root(left), &tree_root(right))
        }
    }
}

/// RFC 6962 §2.1.1.
fn tree_path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, other) = match index.checked_sub(left.len()) {
        None => (tree_path(left, index), right),
        Some(index) => (tree_path(right, index), left),
    };
    path.push(tree_root(other));
    path
}

/// The largest power of two that is less than `length`.
fn split(length: usize) -> usize {
    length.next_power_of_two() / 2
}
