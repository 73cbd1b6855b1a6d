// SPDX-License-Identifier: Apache-2.0
//! Which witnesses must have cosigned the checkpoint of a log: C2SP tlog-cosignature, with the quorum of C2SP tlog-policy.
//!
//! In scope: cosignature/v1 of Ed25519 keys; k of n, and groups of groups. Out of scope: that the checkpoint is the log's (`verify`),
//! except where a policy file lists the logs; asking witnesses (the server).
//! Invariants: a key counts once, under one name; a line that claims to be of a witness of the policy and is not fails the whole.

use std::collections::HashSet;

use jiff::Timestamp;
use touchmark_tlog::note::{NoteAlgorithm, NoteError, NoteKey, SignedNote, VkeyError};

/// The most witnesses, logs and groups of a policy, each (tlog-policy recommends 32 at least).
pub const WITNESSES_MAX: usize = 64;

/// Which witnesses must have cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessPolicy {
    /// If there are any, one of them must have signed.
    pub(super) logs: Vec<NoteKey>,
    pub(super) witnesses: Vec<Witness>,
    pub(super) quorum: Quorum,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    /// Its name in the policy.
    pub(super) name: String,
    pub(super) key: NoteKey,
    /// Where a log asks it, if the policy says so.
    pub(super) url: Option<String>,
}

/// Who must have cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Quorum {
    /// Nobody: the policy is about logs.
    Nobody,
    /// The witness at this place of the list.
    Witness(usize),
    /// At least so many of these.
    Group { threshold: usize, members: Vec<Quorum> },
}

/// That a witness saw the tree that a checkpoint describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// The name of the witness in the policy.
    pub name: String,
    /// When it signed.
    pub time: Timestamp,
}

/// Why a witness policy cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WitnessPolicyError {
    #[error("there are no witnesses")]
    Empty,
    #[error("{found} witnesses, the limit is {WITNESSES_MAX}")]
    TooMany { found: usize },
    #[error("{threshold} of {witnesses} witnesses can never have cosigned")]
    Threshold { threshold: usize, witnesses: usize },
    #[error("malformed verifier key: {0}")]
    Key(VkeyError),
    #[error("the key {name} does not sign as cosignature/v1 does")]
    NotAWitnessKey { name: String },
    #[error("the name {name} stands twice")]
    DuplicateName { name: String },
    #[error("the key of {name} is the key of another witness too")]
    DuplicateKey { name: String },
}

/// Why a checkpoint is not cosigned as the policy demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// The quorum is not reached.
    #[error("expected a checkpoint cosigned by {expected}, found cosignatures of {}", names(.found))]
    Quorum { expected: String, found: Vec<String> },
    /// A line in the name of a witness is not by it.
    #[error("the cosignature of the witness {name} is wrong: {error}")]
    Wrong { name: String, error: NoteError },
    /// None of the logs of the policy has signed.
    #[error("expected a checkpoint of {expected}, found another")]
    Log { expected: String },
}

impl WitnessPolicy {
    /// At least `threshold` of these keys, which are C2SP vkeys of the type cosignature/v1.
    ///
    /// # Errors
    /// If a key is malformed, of another type or there twice, or if the threshold is zero or more than there are keys.
    pub fn from_vkeys<'a>(
        vkeys: impl IntoIterator<Item = &'a str>,
        threshold: usize,
    ) -> Result<Self, WitnessPolicyError> {
        let keys: Vec<NoteKey> =
            vkeys.into_iter().map(NoteKey::parse_vkey).collect::<Result<_, _>>().map_err(WitnessPolicyError::Key)?;
        Self::new(keys, threshold)
    }

    /// At least `threshold` of these keys.
    ///
    /// # Errors
    /// If a key is of another type than cosignature/v1 or there twice, or if the threshold is zero or more than there are keys.
    pub fn new(keys: Vec<NoteKey>, threshold: usize) -> Result<Self, WitnessPolicyError> {
        if keys.is_empty() {
            return Err(WitnessPolicyError::Empty);
        }
        if threshold == 0 || threshold > keys.len() {
            return Err(WitnessPolicyError::Threshold { threshold, witnesses: keys.len() });
        }
        let witnesses: Vec<Witness> =
            keys.into_iter().map(|key| Witness { name: key.name().to_owned(), key, url: None }).collect();
        let members = (0..witnesses.len()).map(Quorum::Witness).collect();
        Self { logs: Vec::new(), witnesses, quorum: Quorum::Group { threshold, members } }.checked()
    }

    fn checked(self) -> Result<Self, WitnessPolicyError> {
        if self.witnesses.len() > WITNESSES_MAX {
            return Err(WitnessPolicyError::TooMany { found: self.witnesses.len() });
        }
        let (mut names, mut keys) = (HashSet::new(), HashSet::new());
        for Witness { name, key, .. } in &self.witnesses {
            if key.algorithm() != NoteAlgorithm::CosignatureV1 {
                return Err(WitnessPolicyError::NotAWitnessKey { name: name.clone() });
            }
            if !names.insert(name) {
                return Err(WitnessPolicyError::DuplicateName { name: name.clone() });
            }
            if !keys.insert(key.public_key().spki_der()) {
                return Err(WitnessPolicyError::DuplicateKey { name: name.clone() });
            }
        }
        Ok(self)
    }

    /// Every witness: its name in the policy, its key, and the URL of its line, which a log needs and a verifier does not.
    pub fn witnesses(&self) -> impl Iterator<Item = (&str, &NoteKey, Option<&str>)> {
        self.witnesses.iter().map(|witness| (witness.name.as_str(), &witness.key, witness.url.as_deref()))
    }

    /// The keys of the logs that the policy lists; none if it is for any log.
    #[must_use]
    pub fn logs(&self) -> &[NoteKey] {
        &self.logs
    }

    /// Who must have cosigned, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        self.quorum.describe(&self.witnesses)
    }

    /// Whether no witness has to cosign: the policy is about logs alone.
    #[must_use]
    pub fn is_without_witnesses(&self) -> bool {
        self.quorum == Quorum::Nobody
    }

    /// Proves that the quorum cosigned the checkpoint. Lines of strangers are passed over.
    ///
    /// # Errors
    /// If a line in the name of a witness is not by it, or the quorum is not reached.
    pub fn cosigned(&self, note: &SignedNote) -> Result<Vec<Cosignature>, WitnessError> {
        // The name of a log's key is the origin of its checkpoints.
        let origin = note.text().split('\n').next();
        let is_by = |log: &NoteKey| Some(log.name()) == origin && log.verify(note).is_ok();
        let by_log = self.logs.is_empty() || self.logs.iter().any(is_by);
        if !by_log {
            let logs: Vec<String> = self.logs.iter().map(|log| log.name().to_owned()).collect();
            return Err(WitnessError::Log { expected: logs.join(" or ") });
        }
        let cosignatures: Vec<Option<Cosignature>> =
            self.witnesses.iter().map(|witness| witness.cosignature(note)).collect::<Result<_, _>>()?;
        let reached = self.quorum.reached(&cosignatures);
        let found: Vec<Cosignature> = cosignatures.into_iter().flatten().collect();
        if reached {
            return Ok(found);
        }
        let found = found.into_iter().map(|cosignature| cosignature.name).collect();
        Err(WitnessError::Quorum { expected: self.quorum.describe(&self.witnesses), found })
    }
}

impl Witness {
    fn cosignature(&self, note: &SignedNote) -> Result<Option<Cosignature>, WitnessError> {
        let wrong = |error| WitnessError::Wrong { name: self.name.clone(), error };
        let verified = match self.key.verify(note) {
            Ok(verified) => verified,
            Err(NoteError::NotSignedBy { .. }) => return Ok(None),
            Err(error) => return Err(wrong(error)),
        };
        let malformed = || wrong(NoteError::SignatureMalformed { name: self.key.name().to_owned() });
        let time_ms = verified.timestamp_ms().and_then(|time| i64::try_from(time).ok()).ok_or_else(malformed)?;
        let time = Timestamp::from_millisecond(time_ms).map_err(|_| malformed())?;
        Ok(Some(Cosignature { name: self.name.clone(), time }))
    }
}

impl Quorum {
    fn reached(&self, cosignatures: &[Option<Cosignature>]) -> bool {
        match self {
            Self::Nobody => true,
            Self::Witness(index) => cosignatures.get(*index).is_some_and(Option::is_some),
            Self::Group { threshold, members } => {
                members.iter().filter(|member| member.reached(cosignatures)).count() >= *threshold
            }
        }
    }

    fn describe(&self, witnesses: &[Witness]) -> String {
        match self {
            Self::Nobody => "nobody".to_owned(),
            Self::Witness(index) => witnesses.get(*index).map(|witness| witness.name.clone()).unwrap_or_default(),
            Self::Group { threshold, members } => {
                let members: Vec<String> = members.iter().map(|member| member.describe(witnesses)).collect();
                format!("{threshold} of ({})", members.join(", "))
            }
        }
    }
}

fn names(found: &[String]) -> String {
    if found.is_empty() { "none".to_owned() } else { found.join(", ") }
}

#[cfg(test)]
mod tests;
