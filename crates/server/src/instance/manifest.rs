// SPDX-License-Identifier: Apache-2.0
//! `instance.toml`: what was decided at the first start and holds for good, and the issuer's address.
//!
//! In scope: reading and writing it. Out of scope: acting on it.
//! Invariant: it is there only when everything else of the directory is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::StartError;
use super::layout::Layout;
use crate::durable::{self, Access};

/// The schema of this version.
const SCHEMA: u32 = 1;

const HEADER: &str = "# Made by `touchmark up`. The names of the logs are part of their identity: do not edit.\n";

/// The manifest of a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    schema: u32,
    /// Eight hex digits that make the names of this instance its own.
    pub(super) instance: String,
    pub(super) created: Timestamp,
    /// Whether the key files are encrypted with a passphrase.
    pub(super) encrypted: bool,
    pub(super) rekor_log: String,
    pub(super) ct_log: String,
    /// The issuer that certificates name. It keeps its port whatever the services listen on.
    pub(super) oidc_issuer: Url,
}

impl Manifest {
    /// A new instance with a name of its own.
    pub(super) fn new(created: Timestamp, oidc_issuer: Url, encrypted: bool) -> Self {
        let mut random = [0u8; 4];
        touchmark_keys::random(&mut random);
        let instance = hex::encode(random);
        let year = created.to_zoned(jiff::tz::TimeZone::UTC).year();
        let name = |kind: &str| format!("{kind}{year}-1.{}", domain(&instance));
        let (rekor_log, ct_log) = (name("rekor"), name("ct"));
        Manifest { schema: SCHEMA, instance, created, encrypted, rekor_log, ct_log, oidc_issuer }
    }

    /// The name that this instance has in its trust root: the operator of its services.
    pub(super) fn domain(&self) -> String {
        domain(&self.instance)
    }

    /// Reads the manifest; `None` if there is none.
    pub(super) fn load(layout: &Layout) -> Result<Option<Self>, StartError> {
        let path = layout.manifest();
        if !path.exists() {
            return Ok(None);
        }
        let bytes = durable::read(&path)?;
        let text = String::from_utf8_lossy(&bytes);
        let schema: Schema = toml::from_str(&text).map_err(|error| malformed(layout, &error))?;
        if schema.schema != SCHEMA {
            return Err(StartError::Schema { path, found: schema.schema, known: SCHEMA });
        }
        toml::from_str(&text).map(Some).map_err(|error| malformed(layout, &error))
    }

    pub(super) fn store(&self, layout: &Layout) -> Result<(), StartError> {
        let text = toml::to_string(self).expect("a manifest of plain values is always TOML");
        Ok(durable::write(&layout.manifest(), format!("{HEADER}{text}").as_bytes(), Access::Owner)?)
    }
}

/// The one key that every schema has.
#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

fn domain(instance: &str) -> String {
    format!("{instance}.touchmark.localhost")
}

fn malformed(layout: &Layout, error: &toml::de::Error) -> StartError {
    StartError::Manifest { path: layout.manifest(), problem: error.to_string().trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let issuer = "http://127.0.0.1:7701/oidc".parse().unwrap();
        Manifest::new("2026-11-22T10:00:00Z".parse().unwrap(), issuer, false)
    }

    #[test]
    fn names_carry_year_and_instance() {
        let manifest = manifest();
        assert_eq!(manifest.instance.len(), 8);
        assert_eq!(manifest.rekor_log, format!("rekor2026-1.{}.touchmark.localhost", manifest.instance));
        assert_eq!(manifest.ct_log, format!("ct2026-1.{}", manifest.domain()));
    }

    #[test]
    fn what_is_stored_is_loaded_and_another_schema_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path());
        assert!(Manifest::load(&layout).unwrap().is_none());
        manifest().store(&layout).unwrap();
        let stored = std::fs::read_to_string(layout.manifest()).unwrap();
        assert!(stored.contains("oidc_issuer = \"http://127.0.0.1:7701/oidc\""), "{stored}");
        Manifest::load(&layout).unwrap().unwrap();
        std::fs::write(layout.manifest(), stored.replace("schema = 1", "schema = 2\nnews = true")).unwrap();
        assert!(matches!(Manifest::load(&layout), Err(StartError::Schema { found: 2, .. })));
        std::fs::write(layout.manifest(), stored + "news = true\n").unwrap();
        assert!(matches!(Manifest::load(&layout), Err(StartError::Manifest { .. })));
    }
}
