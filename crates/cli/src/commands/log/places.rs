// SPDX-License-Identifier: Apache-2.0
//! Which logs a command is about, where their files lie, which keys sign them.

use std::path::PathBuf;

use touchmark_client::trust::read_trusted_root;
use touchmark_server::{Config, Inventory, LogFiles};
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_tlog::note::NoteKey;

use super::super::up::server_failure;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::paths;

#[derive(Debug, clap::Args)]
pub(super) struct PlaceArgs {
    /// Data directory of `touchmark up` [default: $XDG_DATA_HOME/touchmark]
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(super) data_dir: Option<PathBuf>,
    /// Configuration file of `touchmark serve`, in place of a data directory
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl PlaceArgs {
    pub(super) fn inventory(&self) -> Result<Inventory, Failure> {
        if let Some(path) = &self.config {
            let config = Config::load(path).map_err(|error| Failure::from_error(ExitStatus::Unreadable, &error))?;
            return Ok(Inventory::of_config(&config));
        }
        let directory = match &self.data_dir {
            Some(directory) => directory.clone(),
            None => paths::server_data_dir()?,
        };
        Inventory::of_instance(&directory).map_err(|error| server_failure(&error))
    }
}

/// The logs that were named, or all.
pub(super) fn chosen<'a>(inventory: &'a Inventory, names: &[String]) -> Result<Vec<&'a LogFiles>, Failure> {
    let logs = inventory.logs();
    if let Some(unknown) = names.iter().find(|name| logs.iter().all(|log| log.name != **name)) {
        let known: Vec<&str> = logs.iter().map(|log| log.name.as_str()).collect();
        return Err(Failure::new(ExitStatus::Usage, format!("there is no log {unknown} here"))
            .hint(format!("the logs are: {}", known.join(", "))));
    }
    Ok(logs.iter().filter(|log| names.is_empty() || names.contains(&log.name)).collect())
}

/// The trusted root that says which keys sign: the file that was named, or the one that the data directory hands out.
pub(super) fn trusted_root(inventory: &Inventory, named: Option<&PathBuf>) -> Result<TrustedRoot, Failure> {
    let path = named.cloned().or_else(|| inventory.trusted_root()).ok_or_else(|| {
        Failure::new(ExitStatus::Usage, "a configuration file does not say which keys sign the logs")
            .hint("name the instance's trusted root with --trusted-root FILE")
    })?;
    Ok(read_trusted_root(&path)?)
}

/// The keys of one log; there is at least one.
pub(super) fn note_keys(log: &LogFiles, root: &TrustedRoot) -> Result<Vec<NoteKey>, Failure> {
    let keys = log.kind.note_keys(&log.name, root);
    if keys.is_empty() {
        return Err(Failure::new(
            ExitStatus::TrustRoot,
            format!("the trusted root has no key of the log {}", log.name),
        )
        .hint("name the trusted root of this instance with --trusted-root FILE"));
    }
    Ok(keys)
}
