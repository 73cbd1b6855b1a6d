// SPDX-License-Identifier: Apache-2.0
//! What the measuring programs share: the bundles that are verified, the chains of authorities, the load, what a process costs, and the statistics.

pub mod appender;
pub mod authority;
pub mod case;
pub mod disk;
pub mod loader;
pub mod processes;
pub mod statistics;
