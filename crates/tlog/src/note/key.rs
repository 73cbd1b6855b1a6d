// SPDX-License-Identifier: Apache-2.0
//! Keys that sign notes: their ids, what exactly they sign, and how the signature is wrapped.
//!
//! C2SP signed-note "Signature types", C2SP tlog-cosignature (type 04), C2SP static-ct-api (type 05), and the variants of Rekor v1
//! and v2 for ECDSA and RSA.
//! In scope: verification; the bytes to sign and the line to write for a signer elsewhere.
//! Out of scope: signing (crate `signers`); ML-DSA (no key type of ours yet).
//! Invariants: a signature counts only when name, hint and key agree; if any signature with that name and hint is wrong, the
//! whole note is refused.

use std::borrow::Cow;

use touchmark_keys::{HashAlgorithm, KeyFamily, KeyType, PublicKey, SignatureError, SignatureValid, sha256_parts};

use super::{KEY_HINT_BYTES, NoteError, NoteSignature, SignedNote, is_key_name};
use crate::checkpoint::{Checkpoint, tree_head_signed_bytes};
use crate::hash::{Hash, TreeSize};

/// What a Rekor v2 RSA key writes into its id after the type byte ff.
pub(super) const RSA_KEY_FORMAT: &[u8] = b"PKIX-RSA-PKCS#1v1.5";

/// How a key signs notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoteAlgorithm {
    /// Type 01: Ed25519 over the text.
    Ed25519,
    /// Type 02: ECDSA over the text with the hash of its curve, as Rekor v1 and v2 sign. The id is the hash of the key alone.
    EcdsaRekor,
    /// Type ff: RSA PKCS #1 v1.5 with SHA-256 over the text, as Rekor v2 signs.
    RsaRekor,
    /// Any key over the text, as Rekor v1 signs: the id is the hash of the key alone, ECDSA is always with SHA-256.
    RekorV1,
    /// Type 04: Ed25519 over a line with the time and the text.
    CosignatureV1,
    /// Type 05: the signature of an RFC 6962 tree head with a time, P-256 or RSA.
    Rfc6962,
}

impl NoteAlgorithm {
    /// Whether a key of this type can sign so.
    fn takes(self, key_type: KeyType) -> bool {
        let family = key_type.family();
        match self {
            NoteAlgorithm::Ed25519 | NoteAlgorithm::CosignatureV1 => family == KeyFamily::Ed25519,
            NoteAlgorithm::EcdsaRekor => family == KeyFamily::Ecdsa,
            NoteAlgorithm::RsaRekor => family == KeyFamily::Rsa,
            NoteAlgorithm::RekorV1 => family != KeyFamily::MlDsa,
            // RFC 6962 §2.1.4.
            NoteAlgorithm::Rfc6962 => key_type == KeyType::EcdsaP256 || family == KeyFamily::Rsa,
        }
    }

    fn statement(self) -> Statement {
        match self {
            NoteAlgorithm::Ed25519 | NoteAlgorithm::EcdsaRekor | NoteAlgorithm::RsaRekor | NoteAlgorithm::RekorV1 => {
                Statement::Text
            }
            NoteAlgorithm::CosignatureV1 => Statement::TimedText,
            NoteAlgorithm::Rfc6962 => Statement::TreeHead,
        }
    }
}

/// What a signature is over, and so what stands beside it in the signature line.
enum Statement {
    /// The text of the note; only the signature stands in the line.
    Text,
    /// A time in seconds and the text; the time stands before the signature.
    TimedText,
    /// A time in milliseconds, size and root; the time and TLS's `DigitallySigned` structure stand around the signature.
    TreeHead,
}

/// A text as the lines under it sign it: read once for all of them. Only a time makes bytes of their own necessary.
#[derive(Clone, Copy)]
enum Signed<'text> {
    Text(&'text str),
    TimedText(&'text str),
    TreeHead { size: TreeSize, root: Hash },
}

impl<'text> Signed<'text> {
    fn at(self, time_ms: Option<u64>) -> Result<Cow<'text, [u8]>, NoteError> {
        match self {
            Signed::Text(text) => Ok(Cow::Borrowed(text.as_bytes())),
            Signed::TimedText(text) => {
                let time_s = time_ms.ok_or(NoteError::TimeMissing)? / 1000;
                Ok(Cow::Owned(format!("cosignature/v1\ntime {time_s}\n{text}").into_bytes()))
            }
            Signed::TreeHead { size, root } => {
                let time_ms = time_ms.ok_or(NoteError::TimeMissing)?;
                Ok(Cow::Owned(tree_head_signed_bytes(time_ms, size, &root)))
            }
        }
    }
}

/// A public key under the name with which it signs notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    algorithm: NoteAlgorithm,
    public_key: PublicKey,
    id: [u8; 32],
}

/// Why a key cannot sign notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteKeyError {
    /// The name is empty or has a space, a plus or a control character.
    #[error("a note key's name must not be empty nor hold spaces, plus signs or control characters")]
    Name,
    /// The algorithm is not for this type of key.
    #[error("{key_type:?} keys cannot sign notes as {algorithm:?}")]
    KeyType {
        /// The algorithm.
        algorithm: NoteAlgorithm,
        /// The type of the key.
        key_type: KeyType,
    },
    /// In no algorithm does the key have the id of the log.
    #[error("the key does not have the id of the log under this name")]
    LogId,
}

/// Proof that a key signed a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoteVerified {
    timestamp_ms: Option<u64>,
}

impl NoteVerified {
    /// The time that was signed with the text, if the algorithm signs one: milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> Option<u64> {
        self.timestamp_ms
    }
}

impl NoteKey {
    /// A key with its name and the way in which it signs.
    pub fn new(name: &str, algorithm: NoteAlgorithm, public_key: PublicKey) -> Result<NoteKey, NoteKeyError> {
        if !is_key_name(name) {
            return Err(NoteKeyError::Name);
        }
        let key_type = public_key.key_type();
        if !algorithm.takes(key_type) {
            return Err(NoteKeyError::KeyType { algorithm, key_type });
        }
        let id = key_id(name, algorithm, &public_key);
        Ok(NoteKey { name: name.to_owned(), algorithm, public_key, id })
    }

    /// The key of a Rekor log out of the trust root: the algorithm is the one in which the key's id is the log's id.
    pub fn of_log(name: &str, public_key: &PublicKey, log_id: &[u8]) -> Result<NoteKey, NoteKeyError> {
        if !is_key_name(name) {
            return Err(NoteKeyError::Name);
        }
        // The ids of the two ways of ECDSA coincide, and on P-256, which is what Rekor v1 has, so do the signatures.
        let algorithms =
            [NoteAlgorithm::Ed25519, NoteAlgorithm::EcdsaRekor, NoteAlgorithm::RsaRekor, NoteAlgorithm::RekorV1];
        algorithms
            .into_iter()
            .filter_map(|algorithm| NoteKey::new(name, algorithm, public_key.clone()).ok())
            .find(|key| key.id == log_id)
            .ok_or(NoteKeyError::LogId)
    }

    /// The name in the signature line.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the key signs.
    pub fn algorithm(&self) -> NoteAlgorithm {
        self.algorithm
    }

    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The whole digest that the hint is the beginning of; Rekor v2 calls it the log's id.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    /// The first bytes of the id, as they stand in signature lines.
    pub fn hint(&self) -> [u8; KEY_HINT_BYTES] {
        let [a, b, c, d, ..] = self.id;
        [a, b, c, d]
    }

    /// Proves that this key signed the note. Signatures of other names or hints are passed over; each one of this name and hint
    /// must be valid, and there must be one. Of several times the latest counts. A line that is repeated is verified once.
    pub fn verify(&self, note: &SignedNote) -> Result<NoteVerified, NoteError> {
        let (hint, lines) = (self.hint(), note.signatures());
        let is_ours = |line: &NoteSignature| line.key_hint == hint && line.name == self.name;
        let mut latest = None;
        let mut prepared = None;
        for (position, line) in lines.iter().enumerate().filter(|(_, line)| is_ours(line)) {
            if lines[..position].contains(line) {
                continue;
            }
            let signed = match prepared {
                Some(signed) => signed,
                None => *prepared.insert(self.signed(note.text())?),
            };
            latest = latest.max(Some(self.verify_line(signed, line)?));
        }
        let timestamp_ms = latest.ok_or_else(|| NoteError::NotSignedBy { name: self.name.clone(), hint })?;
        Ok(NoteVerified { timestamp_ms })
    }

    /// The bytes that the private key signs. `time_ms` is needed by the algorithms that sign a time and ignored by the others;
    /// cosignature/v1 rounds it down to a second.
    pub fn signed_message(&self, text: &str, time_ms: Option<u64>) -> Result<Vec<u8>, NoteError> {
        Ok(self.signed(text)?.at(time_ms)?.into_owned())
    }

    /// The signature line for what the private key made of [`NoteKey::signed_message`], with the same time.
    pub fn wrap(&self, signature: Vec<u8>, time_ms: Option<u64>) -> Result<NoteSignature, NoteError> {
        if signature.is_empty() {
            return Err(self.malformed());
        }
        let signature = match self.algorithm.statement() {
            Statement::Text => signature,
            Statement::TimedText => {
                let time_s = time_ms.ok_or(NoteError::TimeMissing)? / 1000;
                [time_s.to_be_bytes().as_slice(), &signature].concat()
            }
            Statement::TreeHead => {
                let time_ms = time_ms.ok_or(NoteError::TimeMissing)?;
                let length = u16::try_from(signature.len()).map_err(|_| self.malformed())?;
                [time_ms.to_be_bytes().as_slice(), &self.tls_algorithm(), &length.to_be_bytes(), &signature].concat()
            }
        };
        Ok(NoteSignature { name: self.name.clone(), key_hint: self.hint(), signature })
    }

    /// What the key signs of this text, whatever the time.
    fn signed<'text>(&self, text: &'text str) -> Result<Signed<'text>, NoteError> {
        match self.algorithm.statement() {
            Statement::Text => Ok(Signed::Text(text)),
            Statement::TimedText => Ok(Signed::TimedText(text)),
            Statement::TreeHead => {
                let checkpoint = Checkpoint::parse(text).map_err(|_| NoteError::NotATreeHead)?;
                if !checkpoint.extensions.is_empty() {
                    return Err(NoteError::NotATreeHead);
                }
                Ok(Signed::TreeHead { size: checkpoint.size, root: checkpoint.root })
            }
        }
    }

    /// Verifies one signature line and gives the time in it.
    fn verify_line(&self, signed: Signed<'_>, line: &NoteSignature) -> Result<Option<u64>, NoteError> {
        let (time_ms, signature) = self.unwrap(&line.signature).ok_or_else(|| self.malformed())?;
        let message = signed.at(time_ms)?;
        self.verify_message(&message, signature)
            .map_err(|_| NoteError::SignatureInvalid { name: self.name.clone() })?;
        Ok(time_ms)
    }

    /// Time and signature out of what stands in a signature line: the reverse of [`NoteKey::wrap`].
    fn unwrap<'blob>(&self, blob: &'blob [u8]) -> Option<(Option<u64>, &'blob [u8])> {
        match self.algorithm.statement() {
            Statement::Text => Some((None, blob)),
            Statement::TimedText => {
                let (time_s, signature) = blob.split_first_chunk()?;
                // A time that fits into milliseconds is also below 2^63 seconds, which is what the specification demands.
                let time_ms = u64::from_be_bytes(*time_s).checked_mul(1000)?;
                Some((Some(time_ms), signature))
            }
            Statement::TreeHead => {
                let (time_ms, digitally_signed) = blob.split_first_chunk()?;
                let (algorithm, rest) = digitally_signed.split_first_chunk()?;
                let (length, signature) = rest.split_first_chunk()?;
                let exact = usize::from(u16::from_be_bytes(*length)) == signature.len();
                let ours = *algorithm == self.tls_algorithm();
                (exact && ours).then_some((Some(u64::from_be_bytes(*time_ms)), signature))
            }
        }
    }

    fn verify_message(&self, message: &[u8], signature: &[u8]) -> Result<SignatureValid, SignatureError> {
        let key = &self.public_key;
        match (self.algorithm, key.key_type().family()) {
            (NoteAlgorithm::RekorV1, KeyFamily::Ecdsa) => key.verify_ecdsa(HashAlgorithm::Sha256, message, signature),
            _ => key.verify(key.default_scheme(), message, signature),
        }
    }

    /// RFC 5246 §7.4.1.4.1: SHA-256 (4) with RSA (1) or ECDSA (3).
    fn tls_algorithm(&self) -> [u8; 2] {
        match self.public_key.key_type().family() {
            KeyFamily::Rsa => [4, 1],
            // The constructor lets no other than ECDSA come here.
            KeyFamily::Ecdsa | KeyFamily::Ed25519 | KeyFamily::MlDsa => [4, 3],
        }
    }

    fn malformed(&self) -> NoteError {
        NoteError::SignatureMalformed { name: self.name.clone() }
    }
}

/// SHA-256(name ‖ 0A ‖ type ‖ key), with the exceptions that each algorithm makes.
fn key_id(name: &str, algorithm: NoteAlgorithm, key: &PublicKey) -> [u8; 32] {
    let typed = |kind: u8, key: &[u8]| sha256_parts(&[name.as_bytes(), &[b'\n', kind], key]);
    match algorithm {
        NoteAlgorithm::Ed25519 => typed(0x01, key.raw()),
        NoteAlgorithm::EcdsaRekor | NoteAlgorithm::RekorV1 => key.spki_sha256(),
        NoteAlgorithm::RsaRekor => typed(0xff, &[RSA_KEY_FORMAT, key.spki_der()].concat()),
        NoteAlgorithm::CosignatureV1 => typed(0x04, key.raw()),
        NoteAlgorithm::Rfc6962 => typed(0x05, &key.spki_sha256()),
    }
}
