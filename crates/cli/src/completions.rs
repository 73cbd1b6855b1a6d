// SPDX-License-Identifier: Apache-2.0
//! Shell completions and man pages, generated from the arguments themselves.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::commands::Cli;

/// The completion script of a shell.
pub(crate) fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "touchmark", &mut script);
    script
}

/// One man page for the program and one for each command: file name and text.
pub(crate) fn man_pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    // Hands the global options and the whole name ("touchmark up") to each command.
    root.build();
    let mut pages = vec![("touchmark.1".to_owned(), page(root.clone())?)];
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages.push((format!("touchmark-{}.1", command.get_name()), page(command.clone())?));
    }
    Ok(pages)
}

fn page(command: clap::Command) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    Ok(text)
}
