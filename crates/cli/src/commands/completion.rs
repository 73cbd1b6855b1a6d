// SPDX-License-Identifier: Apache-2.0
//! `touchmark completion SHELL`, and the hidden `touchmark man DIR` that packagers call.

use std::path::PathBuf;

use clap_complete::Shell;

use crate::completions;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct CompletionArgs {
    /// The shell to complete for
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The directory to write the pages to
    dir: PathBuf,
}

pub(super) fn run(args: &CompletionArgs, printer: Printer) -> Result<(), Failure> {
    printer.raw(&completions::script(args.shell));
    Ok(())
}

pub(super) fn run_man(args: &ManArgs, printer: Printer) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::new(ExitStatus::Unreadable, args.dir.display().to_string()).because(error);
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    for (name, text) in completions::man_pages().map_err(failed)? {
        let path = args.dir.join(name);
        std::fs::write(&path, text).map_err(failed)?;
        printer.result(path.display());
    }
    Ok(())
}
