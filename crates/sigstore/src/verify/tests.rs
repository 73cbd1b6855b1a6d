// SPDX-License-Identifier: Apache-2.0
//! Verification as a whole: the public conformance suite, tampered twins of an accepted bundle, and a private instance.

mod conformance;
mod instance;
mod twins;
