// SPDX-License-Identifier: Apache-2.0
//! `touchmark serve`: the roles that a configuration file names.
//!
//! In scope: binding, the passphrase file. Out of scope: making keys, chains or a TUF repository; publishing targets, for which
//! the offline keys are needed.

use touchmark_sequencer::SystemClock;

use super::Passphrase;
use super::compose::{Listeners, compose};
use super::error::StartError;
use super::running::Running;
use crate::config::Config;
use crate::deps::{Deps, WaysOut};
use crate::http::listener;

use std::sync::Arc;

/// What outgoing requests say they come from.
pub(super) const USER_AGENT: &str = concat!("touchmark/", env!("CARGO_PKG_VERSION"));

/// Starts the configured roles with the system's clock.
///
/// # Errors
/// What is wrong, and what to do.
pub async fn serve(config: Config) -> Result<Running, StartError> {
    serve_with(config, Deps { clock: Arc::new(SystemClock), ways_out: WaysOut::new(USER_AGENT) }).await
}

/// Starts the configured roles.
///
/// # Errors
/// What is wrong, and what to do.
pub async fn serve_with(config: Config, deps: Deps) -> Result<Running, StartError> {
    let passphrase = read_passphrase(&config)?;
    let mut listeners = Listeners::new();
    let addresses = config.service_addresses().into_iter().chain(config.oidc.iter().map(|role| role.listen));
    for address in addresses {
        let hint = "choose another `listen` in the configuration file";
        let (listener, _) =
            listener::bind(address).await.map_err(|source| StartError::Listen { address, source, hint })?;
        listeners.insert(address, listener);
    }
    compose(&config, listeners, &passphrase, deps).await
}

/// What decrypts the key files.
pub(super) fn read_passphrase(config: &Config) -> Result<Passphrase, StartError> {
    Ok(config.passphrase_file.as_deref().map(touchmark_signers::read_passphrase).transpose()?)
}
