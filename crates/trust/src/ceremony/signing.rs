// SPDX-License-Identifier: Apache-2.0
//! Signatures of holders: made on their machines, carried as small files, counted where the event is.
//!
//! In scope: one file for one holder and one event; who has signed and who is missing, by the old root and by the new one. Out of scope:
//! showing the holder what he signs (`diff`).
//! Invariants: a signature counts only for the content that it was made over, whatever its file says; a key counts once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use touchmark_signers::{Signer, sign_within};

use super::change::holder_name;
use super::event::{Event, KnownEvent};
use super::{CeremonyError, HOLDER_DEADLINE};
use crate::document::{Document, RoleType, SignatureEntry};
use crate::key::{Fingerprint, Key, KeyId};
use crate::role::RootView;

const VERSION: u32 = 1;

/// What a holder sends back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignatureFile {
    version: u32,
    ceremony: String,
    event: String,
    holder: String,
    signatures: Vec<RoleSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoleSignature {
    role: String,
    key_id: KeyId,
    signature: String,
}

impl SignatureFile {
    /// # Errors
    /// If it is no such file.
    pub fn from_json(bytes: &[u8]) -> Result<Self, CeremonyError> {
        super::from_json("the signature file", bytes)
    }

    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        super::to_json(self)
    }

    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// What to call the file: a holder who exchanges his key may sign one event with both.
    #[must_use]
    pub fn file_name(&self) -> String {
        let key = self.signatures.first().map_or("", |signature| signature.key_id.short());
        format!("{}-{}-{key}.json", self.holder, self.event)
    }
}

/// Which roots have a say in a document: a root is signed by the one before and by itself, targets by the root after the event.
fn deciding<'e>(event: &'e Event, document: &Document) -> Vec<&'e RootView> {
    let before = event.base().map(|base| base.root().view());
    match document.role_type() {
        RoleType::Root => before.into_iter().chain([event.root_after()]).collect(),
        _ => vec![event.root_after()],
    }
}

/// Every key that may sign a document, by its id.
fn eligible<'e>(event: &'e Event, document: &Document) -> BTreeMap<&'e KeyId, &'e Key> {
    deciding(event, document).into_iter().flat_map(|root| root.keys_of(document.role_type())).collect()
}

/// Signs what the event asks of the holder.
///
/// # Errors
/// If the key at hand is not the holder's, or does not sign.
pub async fn sign(known: KnownEvent<'_>, holder: &str, signer: &dyn Signer) -> Result<SignatureFile, CeremonyError> {
    let event = known.event();
    let found = Fingerprint::of(signer.public_key());
    let mut signatures = Vec::new();
    let mut expected = None;
    for document in event.documents() {
        for (key_id, key) in eligible(event, document) {
            if holder_name(key_id, key) != holder && key_id.as_str() != holder {
                continue;
            }
            // An event that exchanges a holder's key lists two of his.
            if key.fingerprint() != Some(found) {
                expected = expected.or(key.fingerprint());
                continue;
            }
            let signature = sign_within(signer, document.canonical(), HOLDER_DEADLINE).await?;
            let role = document.role_type().name().to_owned();
            signatures.push(RoleSignature { role, key_id: key_id.clone(), signature: hex::encode(signature) });
        }
    }
    match (signatures.is_empty(), expected) {
        (true, Some(expected)) => Err(CeremonyError::WrongKey { holder: holder.to_owned(), expected, found }),
        (true, None) => Err(CeremonyError::NotAHolder { holder: holder.to_owned() }),
        (false, _) => {
            let (ceremony, event) = (event.ceremony().to_owned(), event.id());
            Ok(SignatureFile { version: VERSION, ceremony, event, holder: holder.to_owned(), signatures })
        }
    }
}

/// The signatures that have come.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    entries: BTreeMap<RoleType, Vec<SignatureEntry>>,
    /// Names of files that do not count, and why.
    pub refused: Vec<(String, String)>,
}

/// Sorts out the signature files that have come, with their names.
#[must_use]
pub fn collect(event: &Event, files: &[(String, Vec<u8>)]) -> Collected {
    let mut collected = Collected::default();
    for (name, bytes) in files {
        if let Err(reason) = collected.take(event, bytes) {
            collected.refused.push((name.clone(), reason));
        }
    }
    collected
}

impl Collected {
    fn take(&mut self, event: &Event, bytes: &[u8]) -> Result<(), String> {
        let file = SignatureFile::from_json(bytes).map_err(|error| error.to_string())?;
        if file.version != VERSION || file.ceremony != event.ceremony() {
            return Err(format!("it is for the ceremony {:?}, version {}", file.ceremony, file.version));
        }
        let mut counted = Vec::new();
        for signature in &file.signatures {
            let document = event.documents().find(|document| document.role_type().name() == signature.role);
            let Some(document) = document else {
                return Err(format!("it signs {}, which the event does not change", signature.role));
            };
            let Some(key) = eligible(event, document).get(&signature.key_id).copied() else {
                return Err(format!("key {} has no say in {}", signature.key_id.short(), signature.role));
            };
            let made = hex::decode(&signature.signature).unwrap_or_default();
            if key.signed(document.canonical(), &made).is_none() {
                return Err(format!(
                    "it signs another {} than the event has: it was made for event {}, this is {}; ask {} to sign again",
                    signature.role,
                    file.event,
                    event.id(),
                    file.holder
                ));
            }
            let entry = SignatureEntry { key_id: signature.key_id.clone(), signature: made };
            counted.push((document.role_type(), entry));
        }
        for (role_type, entry) in counted {
            let entries = self.entries.entry(role_type).or_default();
            if entries.iter().all(|other| other.key_id != entry.key_id) {
                entries.push(entry);
            }
        }
        Ok(())
    }

    /// A document with the signatures that have come for it.
    ///
    /// # Errors
    /// If they are too many.
    pub fn signed(&self, document: &Document) -> Result<Document, CeremonyError> {
        let entries = self.entries.get(&document.role_type()).map_or(&[][..], Vec::as_slice);
        document.with_signatures(entries).map_err(CeremonyError::metadata(document.role_type().name()))
    }

    /// Who has signed and who is missing, for each document and each root that has a say in it.
    ///
    /// # Errors
    /// If signatures are too many.
    pub fn standing(&self, event: &Event) -> Result<Vec<Standing>, CeremonyError> {
        let mut standings = Vec::new();
        for document in event.documents() {
            let signed = self.signed(document)?;
            for root in deciding(event, document) {
                let role = root.role(document.role_type());
                let signers = role.signers(root.keys(), &signed);
                let names = |have_signed: bool| {
                    let keys = root.keys_of(document.role_type());
                    let keys = keys.filter(|(id, _)| signers.key_ids().contains(id) == have_signed);
                    keys.map(|(id, key)| holder_name(id, key)).collect()
                };
                standings.push(Standing {
                    role: document.role_type().name(),
                    by_root: root.document().version(),
                    needed: role.threshold(),
                    signed: names(true),
                    missing: names(false),
                });
            }
        }
        Ok(standings)
    }

    /// Root and targets with signatures, if enough have signed each.
    ///
    /// # Errors
    /// Which threshold is not met.
    pub(crate) fn complete(&self, event: &Event) -> Result<(Option<Document>, Option<Document>), CeremonyError> {
        let complete = |document: Option<&Document>| {
            let Some(document) = document else { return Ok(None) };
            let signed = self.signed(document)?;
            for root in deciding(event, document) {
                root.verify(&signed).map_err(CeremonyError::BelowThreshold)?;
            }
            Ok::<_, CeremonyError>(Some(signed))
        };
        Ok((complete(event.root().map(RootView::document))?, complete(event.targets())?))
    }
}

/// How far one threshold is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub role: &'static str,
    /// The version of the root whose keys are counted.
    pub by_root: u64,
    pub needed: u32,
    pub signed: Vec<String>,
    pub missing: Vec<String>,
}

impl Standing {
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.signed.len() >= usize::try_from(self.needed).unwrap_or(usize::MAX)
    }
}
