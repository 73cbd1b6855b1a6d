// SPDX-License-Identifier: Apache-2.0
//! What the measuring programs share: the bundles that are verified, and the statistics.

pub mod case;
pub mod statistics;
