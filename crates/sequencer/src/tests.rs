// SPDX-License-Identifier: Apache-2.0
//! Claims of the whole engine, over drivers that live in memory and fail on command, and over the embedded ones.

mod audit;
#[cfg(target_os = "linux")]
mod disk;
pub(crate) mod drivers;
mod embedded;
mod faults;
mod frozen;
mod fsck;
mod never_fork;
mod running;
