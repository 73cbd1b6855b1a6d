// SPDX-License-Identifier: Apache-2.0
//! The first start of a data directory.
//!
//! In scope: everything that is made once: keys, chains, trusted root, TUF repository, client files, names. Out of scope: the
//! logs, whose directories are made here and whose contents are made when they are opened.
//! Invariants: all is built under `staging/`, its manifest last; then each entry is moved to its place, the manifest last. A
//! crash before the staged manifest leaves a `staging/` that nobody has seen: the next start discards it. A crash after it
//! leaves a `staging/` that is whole: the next start goes on moving.

use std::path::Path;

use jiff::{Timestamp, ToSpan};
use touchmark_signers::{FileSigner, Signer};
use touchmark_sigstore::x509::Certificate;

use super::Passphrase;
use super::authority::Naming;
use super::error::StartError;
use super::layout::{ENTRIES, KeyFile, Layout, MANIFEST};
use super::manifest::Manifest;
use super::open::blocking;
use super::trust::{self, Material};
use crate::durable::{self, Access, failed};
use crate::tuf::{self, OfflineKeys};

/// How far back keys and certificates are valid at their birth, so that a clock that is set back a little after the first start
/// stops nothing.
const BACKDATED_HOURS: i64 = 1;

/// Completes or discards what an interrupted first start left; gives the manifest if the directory is whole.
pub(super) fn recover(layout: &Layout) -> Result<Option<Manifest>, StartError> {
    let staging = layout.staging();
    if staging.directory().exists() {
        refuse_foreign_staging(layout)?;
        if staging.manifest().exists() {
            move_into_place(layout)?;
        } else {
            std::fs::remove_dir_all(staging.directory()).map_err(failed("cannot remove", staging.directory()))?;
        }
    }
    let manifest = Manifest::load(layout)?;
    if manifest.is_none() && ENTRIES.iter().any(|entry| layout.entry(entry).exists()) {
        return Err(StartError::NotADataDirectory { directory: layout.directory().to_owned() });
    }
    Ok(manifest)
}

/// Makes a whole instance in an empty data directory.
pub(super) async fn create(
    layout: &Layout,
    manifest: Manifest,
    service_url: &str,
    passphrase: &Passphrase,
) -> Result<Manifest, StartError> {
    refuse_foreign_directory(layout)?;
    let staging = layout.staging();
    for entry in ["offline", "keys", "ca", "tsa", "logs", "tuf", "client"] {
        durable::create_private_directory(&staging.entry(entry))?;
    }
    let keys = Keys::create(&staging, passphrase).await?;
    let created = manifest.created;
    let valid_from = created.checked_sub(BACKDATED_HOURS.hours()).unwrap_or(created);
    let naming = Naming { domain: &manifest.domain(), valid_from };
    let ca_chain = naming.ca_chain(&keys.ca_root, &keys.ca).await?;
    let tsa_chain = naming.tsa_chain(&keys.tsa_root, &keys.tsa).await?;
    write_chain(&staging.ca_chain(), &ca_chain)?;
    write_chain(&staging.tsa_chain(), &tsa_chain)?;
    let log_keys = [keys.rekor.public_key().clone(), keys.ct.public_key().clone()];
    let material = Material { manifest: &manifest, valid_from, ca_chain, tsa_chain, log_keys: &log_keys };
    publish(&staging, &keys, material, service_url).await?;
    for shard in &manifest.logs {
        durable::create_private_directory(&staging.log(&shard.name))?;
    }
    drop(keys);
    manifest.store(&staging)?;
    move_into_place(layout)?;
    Ok(manifest)
}

/// The key pairs of a new instance. Dropped, and with it the offline keys, before anything is served.
struct Keys {
    tuf_root: FileSigner,
    tuf_targets: FileSigner,
    tuf_online: FileSigner,
    ca_root: FileSigner,
    ca: FileSigner,
    tsa_root: FileSigner,
    tsa: FileSigner,
    ct: FileSigner,
    rekor: FileSigner,
}

impl Keys {
    async fn create(staging: &Layout, passphrase: &Passphrase) -> Result<Self, StartError> {
        let create = |key: KeyFile| {
            let (path, passphrase) = (staging.key(key), passphrase.clone());
            blocking(move || {
                FileSigner::create(&path, key.key_type(), passphrase.as_ref().map(|bytes| bytes.as_slice()))
            })
        };
        let (tuf_root, tuf_targets, tuf_online, ca_root, ca, tsa_root, tsa, ct, rekor, _oidc) = tokio::try_join!(
            create(KeyFile::OfflineTufRoot),
            create(KeyFile::OfflineTufTargets),
            create(KeyFile::TufOnline),
            create(KeyFile::OfflineCaRoot),
            create(KeyFile::Ca),
            create(KeyFile::OfflineTsaRoot),
            create(KeyFile::Tsa),
            create(KeyFile::Ct),
            create(KeyFile::Rekor),
            create(KeyFile::Oidc),
        )?;
        Ok(Keys { tuf_root, tuf_targets, tuf_online, ca_root, ca, tsa_root, tsa, ct, rekor })
    }
}

async fn publish(staging: &Layout, keys: &Keys, material: Material<'_>, service_url: &str) -> Result<(), StartError> {
    let now: Timestamp = material.manifest.created;
    let signing_config = trust::signing_config(material.manifest, service_url);
    let trusted_root = material.trusted_root()?.to_json().into_bytes();
    let targets = trust::targets(trusted_root.clone(), &signing_config);
    let offline = OfflineKeys { root: &keys.tuf_root, targets: &keys.tuf_targets };
    let created = tuf::create(&staging.tuf(), &offline, &keys.tuf_online, &targets, now).await;
    let root = created.and_then(|repository| repository.first_root()).map_err(StartError::role("tuf"))?;
    trust::write_client_files(staging, &root, &trusted_root, signing_config)
}

fn write_chain(path: &Path, chain: &[Certificate]) -> Result<(), StartError> {
    let pem: String = chain.iter().map(Certificate::to_pem).collect();
    Ok(durable::write(path, pem.as_bytes(), Access::Public)?)
}

/// Whatever else lies in the directory is not ours to mix with; the lock file is.
fn refuse_foreign_directory(layout: &Layout) -> Result<(), StartError> {
    if names_are(layout.directory(), |name| name == "lock")? {
        return Ok(());
    }
    Err(StartError::NotADataDirectory { directory: layout.directory().to_owned() })
}

/// `staging` is a common name: a directory that a first start did not leave is somebody's work, and nothing in it is moved or
/// removed. What a first start leaves has nothing beside it but the lock and what was moved already, and in it nothing but
/// what it builds.
fn refuse_foreign_staging(layout: &Layout) -> Result<(), StartError> {
    let staging = layout.staging();
    let staged_manifest = format!("{MANIFEST}.new");
    let is_ours = |name: &str| ENTRIES.contains(&name);
    let beside = |name: &str| name == "lock" || name == "staging" || is_ours(name);
    let inside = |name: &str| name == staged_manifest || is_ours(name);
    let alone = layout.manifest().exists() || names_are(layout.directory(), beside)?;
    if alone && names_are(staging.directory(), inside)? {
        return Ok(());
    }
    Err(StartError::NotADataDirectory { directory: layout.directory().to_owned() })
}

fn names_are(directory: &Path, expected: impl Fn(&str) -> bool) -> Result<bool, StartError> {
    for entry in std::fs::read_dir(directory).map_err(failed("cannot read directory", directory))? {
        let entry = entry.map_err(failed("cannot read directory", directory))?;
        if !entry.file_name().to_str().is_some_and(&expected) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Each move is one rename, so that an entry is in one of the two places; repeating it goes on where it stopped.
fn move_into_place(layout: &Layout) -> Result<(), StartError> {
    let staging = layout.staging();
    for entry in ENTRIES {
        let from = staging.entry(entry);
        if from.exists() {
            durable::rename(&from, &layout.entry(entry))?;
        }
    }
    std::fs::remove_dir_all(staging.directory()).map_err(failed("cannot remove", staging.directory()))?;
    Ok(())
}

#[cfg(test)]
mod tests;
