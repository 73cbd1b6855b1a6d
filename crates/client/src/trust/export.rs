// SPDX-License-Identifier: Apache-2.0
//! The trust of one instance in one file, to be carried to machines without a network.
//!
//! ```json
//! {"format": "touchmark-trust-export", "version": 1, "mirror": "https://…",
//!  "files": [{"name": "1.root.json", "content": "<base64>"}, …]}
//! ```
//!
//! In scope: the format; exporting, which walks the cache and keeps every file that the walk asked for, under the name that a mirror has it;
//! importing, which is the walk over a mirror with the file in the mirror's place. Out of scope: the files of other clients (`for_clients`).
//!
//! Invariants: nothing in an export is believed. Its files are verified from a root that the importer names or has pinned, against the
//! memory of the instance, as of a time that the caller states. Its `mirror` is signed by nobody: it is where a new instance will ask, and an
//! instance that is known keeps its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error as TufError, Repository};
use url::Url;

use super::cache::{FromCache, VersionedRoot};
use super::instances::{AsDefault, InstanceName, NamedRoot, Resolved};
use super::line::find_root;
use super::walk::{Source, in_cache};
use super::{TrustError, TrustStore, VerifiedRepository};

/// The largest export: every root that a chain may have, at the size that roots have, is a fraction of it.
pub const EXPORT_BYTES_MAX: u64 = 64 << 20;
/// Files in it: the roots, three roles, those that targets are delegated to, and two targets.
const FILES_MAX: usize = 1024;
/// Roles have names of people and organisations; targets have a hash before theirs.
const NAME_BYTES_MAX: usize = 1024;
const FORMAT: &str = "touchmark-trust-export";
const VERSION: u32 = 1;

/// A TUF repository as far as a Sigstore client needs it: the chain of roots, metadata, and targets.
#[derive(Debug, Clone)]
pub struct TrustExport {
    mirror: Url,
    files: Arc<BTreeMap<String, Vec<u8>>>,
}

/// Why a file is no export.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    #[error("it has {bytes} bytes, over the limit of {EXPORT_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("it is not JSON of a trust export, at line {line}, column {column}")]
    Malformed { line: usize, column: usize },
    #[error("it is {format:?} of version {version}; expected {FORMAT:?} of version {VERSION}")]
    Version { format: String, version: u32 },
    #[error("its mirror {text:?} is not an http or https address")]
    Mirror { text: String },
    #[error("it has {files} files, over the limit of {FILES_MAX}")]
    TooManyFiles { files: usize },
    #[error("the name of its file {position} is empty or longer than {NAME_BYTES_MAX} bytes")]
    Name { position: usize },
    #[error("it has the file {name:?} twice")]
    Twice { name: String },
    #[error("the content of its file {name:?} is not base64")]
    Content { name: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportFile {
    format: String,
    version: u32,
    mirror: String,
    files: Vec<CarriedFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CarriedFile {
    name: String,
    content: String,
}

impl TrustExport {
    /// Reads the format. Nothing is verified by that.
    ///
    /// # Errors
    /// If the file is over a limit, of another version, or has a name twice.
    pub fn from_json(json: &[u8]) -> Result<Self, ExportError> {
        if json.len() as u64 > EXPORT_BYTES_MAX {
            return Err(ExportError::TooLarge { bytes: json.len() });
        }
        let file: ExportFile = serde_json::from_slice(json)
            .map_err(|error| ExportError::Malformed { line: error.line(), column: error.column() })?;
        if file.format != FORMAT || file.version != VERSION {
            return Err(ExportError::Version { format: file.format, version: file.version });
        }
        let mirror = Url::parse(&file.mirror).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let mirror = mirror.ok_or(ExportError::Mirror { text: file.mirror })?;
        if file.files.len() > FILES_MAX {
            return Err(ExportError::TooManyFiles { files: file.files.len() });
        }
        let mut files = BTreeMap::new();
        for (position, CarriedFile { name, content }) in file.files.into_iter().enumerate() {
            if name.is_empty() || name.len() > NAME_BYTES_MAX {
                return Err(ExportError::Name { position });
            }
            let Ok(bytes) = STANDARD.decode(content) else { return Err(ExportError::Content { name }) };
            if files.insert(name.clone(), bytes).is_some() {
                return Err(ExportError::Twice { name });
            }
        }
        Ok(Self { mirror, files: Arc::new(files) })
    }

    /// The file to carry, with a final newline.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let carried =
            |(name, bytes): (&String, &Vec<u8>)| CarriedFile { name: name.clone(), content: STANDARD.encode(bytes) };
        let file = ExportFile {
            format: FORMAT.to_owned(),
            version: VERSION,
            mirror: self.mirror.to_string(),
            files: self.files.iter().map(carried).collect(),
        };
        let mut json = serde_json::to_vec_pretty(&file).expect("text encodes");
        json.push(b'\n');
        json
    }

    /// Where the exporter got it, as the file says.
    #[must_use]
    pub fn mirror(&self) -> &Url {
        &self.mirror
    }

    /// The names of its files, as a mirror has them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub(super) fn repository(&self) -> impl Repository + 'static {
        CarriedRepository(self.files.clone())
    }
}

impl TrustStore {
    /// The instance, verified as of `now` from its cache alone, as a file to carry.
    ///
    /// # Errors
    /// If the cache does not verify, has expired at `now`, or lacks a target that the metadata list.
    pub fn export(&self, now: Timestamp) -> Result<TrustExport, TrustError> {
        self.exported(now).now_or_never().expect("files are read without waiting")
    }

    async fn exported(&self, now: Timestamp) -> Result<TrustExport, TrustError> {
        let (name, mirror, root) = match self.resolve()? {
            Resolved::Instance(name, instance) => {
                let root = self.cache(&name).pinned()?;
                (name, instance.mirror, root)
            }
            Resolved::BuiltIn(choice) => {
                let (mirror, root) = self.built_in_line(choice)?;
                (InstanceName::of_mirror(&mirror), mirror, root)
            }
        };
        let cache = self.cache(&name);
        let _between_writes = cache.between_writes();
        let seen = Arc::<Mutex<BTreeMap<String, Vec<u8>>>>::default();
        let recorder = Recorder { cache: FromCache(cache.stage()), seen: seen.clone() };
        self.walk_targets(&name, &mirror, &root, Box::new(recorder), None, now).await.map_err(in_cache)?;
        let mut files = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        files.insert(format!("{}.root.json", VersionedRoot::parse(&root)?.version), root);
        Ok(TrustExport { mirror, files: Arc::new(files) })
    }

    /// Walks through an export as through a mirror, as of `now`, and remembers what it proves. Without `root` the instance has to be known.
    ///
    /// # Errors
    /// What a mirror's walk ends with; nothing older than the memory is accepted.
    pub async fn import(
        &self,
        export: &TrustExport,
        root: Option<&NamedRoot>,
        as_default: AsDefault,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        let name = self.name_for(export)?;
        let known = self.read_instance(&name)?;
        let mirror = known.as_ref().map_or(&export.mirror, |instance| &instance.mirror);
        let root = match root {
            Some(NamedRoot::Bytes(bytes)) => bytes.clone(),
            Some(NamedRoot::Sha256(hash)) => find_root(&export.repository(), *hash, mirror).await?,
            None if known.is_some() => self.cache(&name).pinned()?,
            None => return Err(TrustError::RootNeeded { name }),
        };
        let store = self.clone().within(name);
        store.join(mirror, &root, as_default, Source::Carried(export), now).await.map_err(|error| match error {
            TrustError::MirrorUnreachable { source, .. } => TrustError::ExportIncomplete { source },
            other => other,
        })
    }

    /// The name that was set, or that of the one instance with this mirror, or else one made of the mirror's.
    fn name_for(&self, export: &TrustExport) -> Result<InstanceName, TrustError> {
        if let Some(name) = self.chosen() {
            return Ok(name.clone());
        }
        let mut same: Vec<InstanceName> = self
            .instances()?
            .into_iter()
            .filter(|known| known.mirror == export.mirror)
            .map(|known| known.name)
            .collect();
        match same.len() {
            0 => Ok(InstanceName::of_mirror(&export.mirror)),
            1 => Ok(same.remove(0)),
            _ => Err(TrustError::NoneChosen { known: same }),
        }
    }
}

/// The files of an export, in a mirror's place.
struct CarriedRepository(Arc<BTreeMap<String, Vec<u8>>>);

impl CarriedRepository {
    fn find(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, TufError> {
        match self.0.get(name) {
            Some(bytes) if bytes.len() as u64 > bytes_max => {
                Err(TufError::transport(format!("{name} of the export has more than {bytes_max} bytes")))
            }
            found => Ok(found.cloned()),
        }
    }
}

impl Repository for CarriedRepository {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let found = self.find(name, max_length);
        Box::pin(async move { found })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        let found = self.find(&format!("targets/{path}"), max_length);
        Box::pin(async move { found })
    }
}

/// The cache, with a note of each file that was asked for and there.
struct Recorder {
    cache: FromCache,
    seen: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Recorder {
    fn note(&self, name: String, found: &Result<Option<Vec<u8>>, TufError>) {
        if let Ok(Some(bytes)) = found {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(name, bytes.clone());
        }
    }
}

impl Repository for Recorder {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move {
            let found = self.cache.fetch_metadata(name, max_length).await;
            self.note(name.to_owned(), &found);
            found
        })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move {
            let found = self.cache.fetch_target(path, max_length).await;
            self.note(format!("targets/{path}"), &found);
            found
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(files: &str) -> String {
        format!(r#"{{"format":"{FORMAT}","version":1,"mirror":"https://a.example/tuf","files":[{files}]}}"#)
    }

    #[test]
    fn what_is_no_export_says_why() {
        let check = |text: &str, expected: ExportError| {
            assert_eq!(TrustExport::from_json(text.as_bytes()).unwrap_err(), expected, "{text}");
        };
        check("", ExportError::Malformed { line: 1, column: 0 });
        check(&json(r#"{"name":"a"}"#), ExportError::Malformed { line: 1, column: 101 });
        let other = json("").replace("\"version\":1", "\"version\":2");
        check(&other, ExportError::Version { format: FORMAT.to_owned(), version: 2 });
        let other = json("").replace(FORMAT, "x");
        check(&other, ExportError::Version { format: "x".to_owned(), version: 1 });
        let other = json("").replace("https:", "file:");
        check(&other, ExportError::Mirror { text: "file://a.example/tuf".to_owned() });
        check(&json(r#"{"name":"","content":""}"#), ExportError::Name { position: 0 });
        check(&json(r#"{"name":"a","content":"?"}"#), ExportError::Content { name: "a".to_owned() });
        let twice = r#"{"name":"a","content":""},{"name":"a","content":"YQ=="}"#;
        check(&json(twice), ExportError::Twice { name: "a".to_owned() });
        let many: Vec<String> = (0..=FILES_MAX).map(|n| format!(r#"{{"name":"{n}","content":""}}"#)).collect();
        check(&json(&many.join(",")), ExportError::TooManyFiles { files: FILES_MAX + 1 });
    }

    #[test]
    fn an_export_is_read_as_it_was_written() {
        let export = TrustExport::from_json(json(r#"{"name":"a/b","content":"AAEC/w=="}"#).as_bytes()).unwrap();
        assert_eq!(export.files["a/b"], [0, 1, 2, 255]);
        let again = TrustExport::from_json(&export.to_json()).unwrap();
        assert_eq!((again.mirror, again.files), (export.mirror, export.files));
    }
}
