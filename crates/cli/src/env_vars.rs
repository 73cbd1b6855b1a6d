// SPDX-License-Identifier: Apache-2.0
//! Every environment variable that the program reads, in one place.
//!
//! Colour follows `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM`, which crate `anstream` reads.

/// An identity token for signing (cosign, GitLab and others set it). A secret.
pub(crate) const SIGSTORE_ID_TOKEN: &str = "SIGSTORE_ID_TOKEN";
/// The directory of the client's trust, as for cosign.
pub(crate) const TUF_ROOT: &str = "TUF_ROOT";
/// The TUF repository for `initialize`, as for cosign.
pub(crate) const TUF_MIRROR: &str = "TUF_MIRROR";
/// The instance that client commands use, where `--in` is not said.
pub(crate) const TOUCHMARK_IN: &str = "TOUCHMARK_IN";
/// Where users keep data (XDG base directory specification).
pub(crate) const XDG_DATA_HOME: &str = "XDG_DATA_HOME";
/// The home directory, for the default of the one above.
pub(crate) const HOME: &str = "HOME";
/// Set by every CI system: nobody is there to log in with a browser.
pub(crate) const CI: &str = "CI";
/// What the log on stderr shows, for example `info` or `touchmark_server=debug`.
pub(crate) const TOUCHMARK_LOG: &str = "TOUCHMARK_LOG";
