// SPDX-License-Identifier: Apache-2.0
//! The note of a publication under way: all of its files, in their order, in one file of JSON.
//!
//! In scope: the format, and which names may stand in it. Out of scope: whether what it holds leads on from what is published
//! ([`Publication::expect_to_continue`]).
//! Invariant: every name that was read is that of a file below the repository, and the last one is the timestamp's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Publication, TIMESTAMP};
use crate::ceremony::{self, CeremonyError};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PublicationFile {
    version: u32,
    files: Vec<NamedFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NamedFile {
    name: String,
    content: String,
}

impl Publication {
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let file =
            |(name, bytes): &(String, Vec<u8>)| NamedFile { name: name.clone(), content: STANDARD.encode(bytes) };
        ceremony::to_json(&PublicationFile { version: VERSION, files: self.files.iter().map(file).collect() })
    }

    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self, CeremonyError> {
        let note: PublicationFile = ceremony::from_json("the noted publication", bytes)?;
        if note.version != VERSION {
            return Err(CeremonyError::Version {
                what: "the noted publication",
                expected: VERSION,
                found: note.version,
            });
        }
        let unreadable =
            |problem: String| CeremonyError::Unreadable { what: "the noted publication".to_owned(), problem };
        let file = |file: NamedFile| {
            let bytes = STANDARD.decode(&file.content).map_err(|error| unreadable(error.to_string()))?;
            Ok((file.name, bytes))
        };
        let files: Vec<(String, Vec<u8>)> = note.files.into_iter().map(file).collect::<Result<_, CeremonyError>>()?;
        if let Some((name, _)) = files.iter().find(|(name, _)| !is_publishable(name)) {
            return Err(unreadable(format!("{name:?} is no file of a repository")));
        }
        match files.last() {
            Some((name, _)) if name == TIMESTAMP => Ok(Self { files }),
            _ => Err(unreadable(format!("its last file is not {TIMESTAMP}"))),
        }
    }
}

/// Whether a repository has files of such names, all below its directory.
fn is_publishable(name: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    match name.split_once('/') {
        Some(("targets", path)) => path.split('/').all(is_plain),
        Some(_) => false,
        None => {
            let versioned = name
                .split_once('.')
                .filter(|(version, _)| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()));
            // A delegated role stands there as in a URL.
            let is_role = |file: &str| {
                let role = file.strip_suffix(".json").filter(|role| !role.is_empty() && *role != "timestamp");
                role.is_some_and(|role| {
                    role.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte))
                })
            };
            name == TIMESTAMP || versioned.is_some_and(|(_, file)| is_role(file))
        }
    }
}
