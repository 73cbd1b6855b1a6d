// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask interop static-ct`: a generic client of static CT logs reads and verifies the log of a running instance.
//!
//! The client is a workspace of its own (`tests/static-ct-client`), whose header says what it holds; this builds it, starts a real
//! `touchmark up` and hands it a token. The log of signatures has its generic client in `crates/cli/tests/c2sp.rs`.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::interop::{EMAIL, Server, in_fresh_home};
use crate::process::{quiet, run, workspace};

pub(crate) fn run_it() -> Result<()> {
    let source = workspace().join("tests/static-ct-client");
    let target = workspace().join("target/static-ct-client");
    run(Command::new(env!("CARGO")).args(["build", "-p", "touchmark-cli", "--locked"]).current_dir(workspace()))?;
    let mut build = Command::new(env!("CARGO"));
    run(build.args(["build", "--locked", "--target-dir"]).arg(&target).current_dir(source))?;
    in_fresh_home(|home| drive(home, &workspace().join("target/debug/touchmark"), &target))
}

fn drive(home: &Path, touchmark: &Path, target: &Path) -> Result<()> {
    let data_dir = home.join("data");
    let mut server = Server::spawn(Command::new(touchmark), &data_dir, home)?;
    let token = quiet(Command::new(touchmark).args(["token", "--email", EMAIL, "--data-dir"]).arg(&data_dir))?;
    let mut client = Command::new(target.join("debug/static-ct-client"));
    client.arg(&server.instance.url).arg(server.instance.client_file("trusted_root.json"));
    run(client.args([token.trim(), EMAIL]))?;
    server.stop()
}
