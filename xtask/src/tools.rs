// SPDX-License-Identifier: Apache-2.0
//! Tools that the checks need beside cargo: pinned, installed when missing, kept in the user's cache so that they are built once.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

const CARGO_DENY: &str = "0.20.2";
const CARGO_MACHETE: &str = "0.9.2";
const CARGO_FUZZ: &str = "0.13.2";

/// Where tools live between runs: `$XDG_CACHE_HOME/touchmark-interop`, else `~/.cache/touchmark-interop`.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) if !cache.is_empty() => PathBuf::from(cache),
        _ => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    let dir = base.join("touchmark-interop");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// Debian packages, for what is missing. The lists first: a fresh machine has none, or old ones.
pub(crate) fn apt_install(packages: &[&str]) -> Result<()> {
    if !process::exists("apt-get") {
        bail!("missing, and there is no apt-get to install it: {}", packages.join(", "));
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    process::run(apt().args(["update", "-q"]))?;
    process::run(apt().args(["install", "-y", "-q", "--no-install-recommends"]).args(packages))
}

pub(crate) fn cargo_deny() -> Result<PathBuf> {
    cargo_tool("cargo-deny", CARGO_DENY)
}

pub(crate) fn cargo_machete() -> Result<PathBuf> {
    cargo_tool("cargo-machete", CARGO_MACHETE)
}

pub(crate) fn cargo_fuzz() -> Result<PathBuf> {
    cargo_tool("cargo-fuzz", CARGO_FUZZ)
}

/// Builds a cargo tool once. The version is part of the path: a new pin is a new build.
fn cargo_tool(name: &str, version: &str) -> Result<PathBuf> {
    let root = cache_dir()?.join(format!("{name}-{version}"));
    let program = root.join("bin").join(name);
    if !program.exists() {
        process::run(
            Command::new(env!("CARGO"))
                .args(["install", "--locked", "--quiet", "--debug", "--version", version, "--root"])
                .arg(&root)
                .arg(name)
                // Elsewhere than the workspace: the tool must not be built with our settings.
                .current_dir(cache_dir()?)
                .env_remove("CARGO_TARGET_DIR"),
        )?;
    }
    Ok(program)
}
