// SPDX-License-Identifier: Apache-2.0
//! Everything that a configuration says about identities, and the files that it names.
//!
//! In scope: reading those files when the authority starts or the configuration is checked. Out of scope: the configuration file itself
//! (`crate::config`).
//! Invariant: what can be said without the files is said before they are read.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::text::{IdentityError, IssuerText, RuleText, issuers};
use super::{IssuerConfig, IssuerTransport, fulcio_yaml};
use crate::fulcio::provider::ProviderText;

/// The longest such file. The public server's configuration has 14 KiB, a key set one or two.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Issuers, providers and rules, in as far as the configuration file itself holds them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identities {
    pub(crate) issuers: Vec<IssuerPlace>,
    pub(crate) providers: BTreeMap<String, ProviderText>,
    pub(crate) rules: Vec<RuleText>,
    /// The public server's configuration, which adds to these.
    pub(crate) fulcio_config: Option<FulcioConfigPlace>,
}

/// An issuer and the files that belong to it.
#[derive(Clone, Debug)]
pub(crate) struct IssuerPlace {
    pub(crate) text: IssuerText,
    /// CA certificates (PEM) to trust besides the system's.
    pub(crate) ca: Option<PathBuf>,
    /// A JSON Web Key Set.
    pub(crate) jwks: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub(crate) struct FulcioConfigPlace {
    pub(crate) path: PathBuf,
    pub(crate) transport: IssuerTransport,
}

/// Why the identities of a configuration cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityFileError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is longer than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("{}: {error}", path.display())]
    Yaml { path: PathBuf, error: serde_norway::Error },
    #[error("{0}")]
    Identity(#[from] IdentityError),
    #[error("the CI provider {name} stands in two files")]
    ProviderTwice { name: String },
}

impl Identities {
    /// What can be said before any file is read. Rules may be about issuers of such a file.
    pub(crate) fn check(&self) -> Result<(), IdentityError> {
        // That there is a file has a meaning or none; what is in it comes later.
        let named = |path: &Option<PathBuf>| path.as_ref().map(|_| Vec::new());
        let text = |place: &IssuerPlace| IssuerText {
            ca_pem: named(&place.ca),
            pinned_keys: named(&place.jwks),
            ..place.text.clone()
        };
        let texts: Vec<_> = self.issuers.iter().map(text).collect();
        let rules = if self.fulcio_config.is_some() { &[] } else { self.rules.as_slice() };
        issuers(&texts, &self.providers, rules).map(|_| ())
    }

    /// Reads the files and puts everything together.
    pub(crate) fn load(&self) -> Result<Vec<Arc<IssuerConfig>>, IdentityFileError> {
        let mut texts = Vec::new();
        for place in &self.issuers {
            let mut text = place.text.clone();
            text.ca_pem = place.ca.as_deref().map(read).transpose()?;
            text.pinned_keys = place.jwks.as_deref().map(read).transpose()?;
            texts.push(text);
        }
        let mut providers = self.providers.clone();
        if let Some(FulcioConfigPlace { path, transport }) = &self.fulcio_config {
            let yaml = String::from_utf8_lossy(&read(path)?).into_owned();
            let (more, more_providers) = fulcio_yaml::read(&yaml, *transport)
                .map_err(|error| IdentityFileError::Yaml { path: path.clone(), error })?;
            texts.extend(more);
            for (name, provider) in more_providers {
                if providers.insert(name.clone(), provider).is_some() {
                    return Err(IdentityFileError::ProviderTwice { name });
                }
            }
        }
        Ok(issuers(&texts, &providers, &self.rules)?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityFileError> {
    let unreadable = |source| IdentityFileError::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX + 1), &mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(IdentityFileError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}
