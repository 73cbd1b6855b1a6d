// SPDX-License-Identifier: Apache-2.0
//! Starting and stopping: the data directory of `touchmark up`, and the composition of roles for `up` and `serve`.
//!
//! In scope: the directory's layout ([`layout`]) and manifest ([`manifest`]), the first start ([`create`], [`authority`],
//! [`trust`]), opening what the roles need ([`open`]), putting routers on listeners ([`compose`]), the two ways in ([`up()`],
//! [`serve()`]), taking up other keys, chains and identities ([`reload`]), announcing the end of authorities ([`expiry`]), and changing the logs of an instance ([`shards`]), running or not ([`admin`]).
//! Out of scope: what the services do; printing; command line arguments.
//! Invariants: a data directory is either absent, whole, or completed by the next start; one process holds it; the offline keys
//! are opened only by [`up()`], and dropped before the first request is answered.

mod admin;
mod authority;
mod compose;
mod control;
mod create;
mod error;
mod expiry;
mod inventory;
mod layout;
mod manifest;
mod open;
mod reload;
mod running;
mod serve;
mod shards;
mod token;
mod trust;
mod up;

pub use error::StartError;
pub use inventory::{Held, Inventory, LogFiles, LogState};
pub use open::LogKind;
pub use reload::{ReloadError, Reloaded};
pub use running::{Running, Start};
pub use serve::{serve, serve_with};
pub use shards::{Demand, FrozenLog, LogOptions, Rotation, log_create, log_freeze, log_rotate};
pub use token::try_out_token;
pub use up::{UpOptions, up, up_with};

use zeroize::Zeroizing;

/// What decrypts every key file of an instance.
type Passphrase = Option<Zeroizing<Vec<u8>>>;
