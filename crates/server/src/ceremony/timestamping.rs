// SPDX-License-Identifier: Apache-2.0
//! The key and the chain of a timestamp authority: the first ones with their root, later ones under it.
//!
//! RFC 3161 §2.3 (a key for timestamps alone, extended key usage timeStamping, critical). docs/tsa.md is the manual.
//!
//! In scope: what is made, and the server's own checks before it is written. Out of scope: the certificate's encoding (`touchmark_sigstore::issue`).
//! Invariants: a chain is written only after its key has made a timestamp that verifies under it; no file is replaced.

use std::path::PathBuf;

use jiff::Timestamp;
use touchmark_keys::KeyType;
use touchmark_signers::SignerReference;
use touchmark_sigstore::issue::authority::{AuthorityName, CaProfile};

use super::{
    CHAIN, Ceremony, CeremonyError, KeyChoice, Output, Passphrase, ROOT, ROOT_KEY, RootPlace, Subject, Unsound,
};
use super::{create, read_root};
use crate::tsa::{Authority, Policies};

/// The key that stamps.
pub const TIMESTAMPING_KEY: &str = "tsa.key.pem";

/// A key that stamps, to be made or certified.
#[derive(Debug, Clone)]
pub struct TimestampingOptions {
    /// Where the files go.
    pub directory: PathBuf,
    /// Who certifies it.
    pub root: TimestampingRoot,
    /// The key.
    pub key: KeyChoice,
    /// The name in its certificate.
    pub name: AuthorityName,
    /// Its lifetime.
    pub days: u32,
    /// Encrypts or decrypts its file.
    pub passphrase: Passphrase,
}

/// The root of a timestamp authority.
#[derive(Debug, Clone)]
pub enum TimestampingRoot {
    /// One that is made, in the same directory.
    New {
        /// The kind of its key.
        key_type: KeyType,
        /// Its name.
        name: AuthorityName,
        /// Its lifetime, in days.
        days: u32,
        /// Encrypts its key file.
        passphrase: Passphrase,
    },
    /// One that is there.
    Existing(RootPlace),
}

/// Makes a chain of two: the certificate of the key that stamps, and its root.
///
/// # Errors
/// Why nothing was made.
pub async fn timestamping(options: &TimestampingOptions, now: Timestamp) -> Result<Ceremony, CeremonyError> {
    let directory = &options.directory;
    let names: &[&str] = match &options.root {
        TimestampingRoot::New { .. } => &[ROOT_KEY, ROOT, TIMESTAMPING_KEY, CHAIN],
        TimestampingRoot::Existing(_) => &[TIMESTAMPING_KEY, CHAIN],
    };
    let mut output = Output::in_directory(directory, names)?;
    // What may be away first.
    let existing = match &options.key {
        KeyChoice::Existing(reference) => {
            Some(SignerReference::clone(reference).open(options.passphrase.clone()).await?)
        }
        KeyChoice::New(_) => None,
    };
    let (root, root_key) = match &options.root {
        TimestampingRoot::Existing(place) => {
            let root = read_root(&place.certificate, now)?;
            let key = place.key_of(&root).await?;
            (root, key)
        }
        TimestampingRoot::New { key_type, name, days, passphrase } => {
            let key = create(&mut output, directory.join(ROOT_KEY), *key_type, passphrase).await?;
            let subject = Subject { name: name.clone(), key: key.public_key().clone() };
            let (root, _) = subject.certify(CaProfile::Root, key.as_ref(), *days, now).await?;
            output.chain(directory.join(ROOT), std::slice::from_ref(&root))?;
            (root, key)
        }
    };
    let key = match (existing, &options.key) {
        (Some(key), _) => key,
        (None, KeyChoice::New(key_type)) => {
            create(&mut output, directory.join(TIMESTAMPING_KEY), *key_type, &options.passphrase).await?
        }
        (None, KeyChoice::Existing(_)) => unreachable!("an existing key was opened above"),
    };
    let subject = Subject { name: options.name.clone(), key: key.public_key().clone() };
    subject.key.check_strength().map_err(CeremonyError::WeakKey)?;
    let profile = CaProfile::TimeStampingLeaf { issuer: &root };
    let (certificate, validity) = subject.certify(profile, root_key.as_ref(), options.days, now).await?;
    let chain = vec![certificate, root];
    // As the server at its start: the chain is for this key and for timestamps alone, and a timestamp of it verifies.
    let refused = |error: &dyn std::fmt::Display| CeremonyError::Unsound(Unsound::Refused(error.to_string()));
    let authority = Authority::new(key, chain.clone(), now).map_err(|error| refused(&error))?;
    let _proven = authority.prove(now, &Policies::default()).await.map_err(|error| refused(&error))?;
    output.chain(directory.join(CHAIN), &chain)?;
    Ok(Ceremony { chain, files: output.keep(), is_cut_short: validity.is_cut_short })
}
