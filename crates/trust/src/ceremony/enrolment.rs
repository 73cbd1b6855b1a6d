// SPDX-License-Identifier: Apache-2.0
//! Enrolment: a holder's public key, with the proof that he has the private one.
//!
//! In scope: the small file that a holder sends. Out of scope: whether the person is who he says; that is heard when the fingerprint is read
//! aloud.
//! Invariants: the proof covers ceremony, holder and key, under a `_type` that no metadata has, so that it never passes for a signature of
//! metadata; a key is of a kind that every public client knows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use touchmark_signers::{Signer, sign_within};
use touchmark_sigstore::x509::Certificate;

use super::attestation::{self, Attested};
use super::{CeremonyError, HOLDER_DEADLINE, expect_name};
use crate::canonical;
use crate::key::{Fingerprint, Key};

/// The name under which the key of snapshot and timestamp is enrolled.
pub const ONLINE: &str = "online";
const VERSION: u32 = 1;

/// An enrolment file; nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enrolment {
    version: u32,
    ceremony: String,
    holder: String,
    key: Value,
    proof: String,
    /// What the device says of the key: its certificate and the device's, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attestation: Option<String>,
}

/// A key of which the holder has shown that he has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolledKey {
    holder: String,
    key: Key,
    fingerprint: Fingerprint,
}

impl EnrolledKey {
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl Enrolment {
    /// Enrols the key of a signer.
    ///
    /// # Errors
    /// If the name is no name, the key of another kind, or the signer does not sign.
    pub async fn make(ceremony: &str, holder: &str, signer: &dyn Signer) -> Result<Self, CeremonyError> {
        expect_name("the ceremony", ceremony)?;
        expect_name("the holder", holder)?;
        let public_key = signer.public_key();
        let key = Key::of_owner(public_key, holder).ok_or_else(|| CeremonyError::KeyKind {
            holder: holder.to_owned(),
            kind: public_key.key_type().to_string(),
        })?;
        let message = message(ceremony, holder, key.object())?;
        let proof = hex::encode(sign_within(signer, &message, HOLDER_DEADLINE).await?);
        let (ceremony, holder) = (ceremony.to_owned(), holder.to_owned());
        Ok(Self { version: VERSION, ceremony, holder, key: key.object().clone(), proof, attestation: None })
    }

    /// The same with what the device says of the key.
    #[must_use]
    pub fn with_attestation(self, pem: String) -> Self {
        Self { attestation: Some(pem), ..self }
    }

    /// The device that attests the key, under one of these roots.
    ///
    /// # Errors
    /// If there is no attestation, or it does not hold.
    pub fn attested(&self, roots: &[Certificate], now: Timestamp) -> Result<Attested, CeremonyError> {
        let refused =
            |problem: &str| CeremonyError::Attestation { holder: self.holder.clone(), problem: problem.to_owned() };
        let pem = self.attestation.as_deref().ok_or_else(|| refused("there is none"))?;
        let key = Key::from_object(self.key.clone()).map_err(CeremonyError::metadata("the enrolment"))?;
        let key = key.public_key().ok_or_else(|| refused("its key cannot be read"))?;
        attestation::verify(&self.holder, pem, key, roots, now)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If it is no enrolment.
    pub fn from_json(bytes: &[u8]) -> Result<Self, CeremonyError> {
        super::from_json("the enrolment", bytes)
    }

    /// The file for people and other machines.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        super::to_json(self)
    }

    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The key, if its holder has it and it is for this ceremony.
    ///
    /// # Errors
    /// Which of that is not so.
    pub fn verified(&self, ceremony: &str) -> Result<EnrolledKey, CeremonyError> {
        let holder = self.holder.clone();
        if self.version != VERSION {
            return Err(CeremonyError::Version { what: "the enrolment", expected: VERSION, found: self.version });
        }
        if self.ceremony != ceremony {
            let (expected, found) = (ceremony.to_owned(), self.ceremony.clone());
            return Err(CeremonyError::OtherCeremony { what: format!("the enrolment of {holder}"), expected, found });
        }
        expect_name("the holder", &holder)?;
        let key = Key::from_object(self.key.clone()).map_err(CeremonyError::metadata("the enrolment"))?;
        // Only what would be made here: no key of another kind, no further member that nobody looked at.
        let made = key.public_key().and_then(|public_key| Key::of_owner(public_key, &holder));
        if made.as_ref() != Some(&key) {
            return Err(CeremonyError::KeyKind { holder, kind: key.kind() });
        }
        let message = message(ceremony, &holder, key.object())?;
        let proof = hex::decode(&self.proof).unwrap_or_default();
        match key.signed(&message, &proof) {
            Some(fingerprint) => Ok(EnrolledKey { holder, key, fingerprint }),
            None => Err(CeremonyError::Proof { holder }),
        }
    }
}

fn message(ceremony: &str, holder: &str, key: &Value) -> Result<Vec<u8>, CeremonyError> {
    let message = json!({ "_type": "touchmark-trust-enrolment", "ceremony": ceremony, "holder": holder, "key": key });
    canonical(&message).map_err(CeremonyError::metadata("the enrolment"))
}

#[cfg(test)]
mod tests {
    use touchmark_keys::KeyType;
    use touchmark_signers::EphemeralSigner;

    use super::*;

    #[tokio::test]
    async fn an_enrolment_is_for_one_ceremony_one_holder_and_one_key() {
        let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let made = Enrolment::make("example", "ann", &signer).await.unwrap();
        assert_eq!(Enrolment::from_json(&made.to_json()).unwrap(), made);
        assert_eq!(made.verified("example").unwrap().fingerprint(), Fingerprint::of(signer.public_key()));
        assert!(matches!(made.verified("other"), Err(CeremonyError::OtherCeremony { .. })));
        let stranger = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let twins = [
            Enrolment { holder: "bob".to_owned(), ..made.clone() },
            Enrolment { key: Key::of_owner(stranger.public_key(), "ann").unwrap().object().clone(), ..made.clone() },
            Enrolment { proof: String::new(), ..made.clone() },
            Enrolment { proof: Enrolment::make("example", "ann", &stranger).await.unwrap().proof, ..made.clone() },
        ];
        for twin in twins {
            assert!(matches!(
                twin.verified("example"),
                Err(CeremonyError::Proof { .. } | CeremonyError::KeyKind { .. })
            ));
        }
        let mut more = made.clone();
        more.key["x-more"] = json!(1);
        assert!(matches!(more.verified("example"), Err(CeremonyError::KeyKind { .. })));
    }

    #[tokio::test]
    async fn a_key_that_not_every_client_knows_is_refused() {
        let signer = EphemeralSigner::generate(KeyType::EcdsaP384).unwrap();
        let refused = Enrolment::make("example", "ann", &signer).await;
        assert!(matches!(refused, Err(CeremonyError::KeyKind { .. })));
    }
}
