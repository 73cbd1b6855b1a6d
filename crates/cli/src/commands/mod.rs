// SPDX-License-Identifier: Apache-2.0
//! The commands: names and flags are cosign's where cosign has them, because users' scripts already say them.
//!
//! One file for each: its arguments, and a function that reads as the steps of the command.

mod attest_blob;
mod audit;
mod bundle;
mod ca;
mod completion;
mod conformance;
mod deferred;
mod demo;
mod fulcio;
mod initialize;
mod log;
mod policy;
mod serve;
mod sign_blob;
mod token;
mod trust;
mod tsa;
mod up;
mod verify_blob;
mod verify_blob_attestation;
mod version;

use std::future::Future;
use std::io::IsTerminal as _;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use self::deferred::Deferred;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::{env_vars, exit};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// A whole Sigstore in one binary: services, client and library
#[derive(Debug, Parser)]
#[command(name = "touchmark", version, styles = STYLES, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print results, warnings and errors only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// What to log on stderr, for example `debug` or `touchmark_server=debug`
    #[arg(long, global = true, value_name = "FILTER", env = env_vars::TOUCHMARK_LOG)]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole Sigstore on this machine
    Up(Deferred<up::Args>),
    /// Run the services that a configuration file names
    Serve(Deferred<serve::Args>),
    /// See everything work: start, sign, verify, tamper, refuse
    Demo(Deferred<demo::Args>),
    /// Sign files, keyless
    SignBlob(Deferred<sign_blob::Args>),
    /// State something about a file, keyless: provenance, a bill of materials and others
    AttestBlob(Deferred<attest_blob::Args>),
    /// Verify the signatures of files
    VerifyBlob(Deferred<verify_blob::Args>),
    /// Verify what somebody states about files: provenance, bills of materials and others
    VerifyBlobAttestation(Deferred<verify_blob_attestation::Args>),
    /// Look after transparency logs: list, check, rotate, freeze, back up, restore, receipts, evidence of time
    Log(Deferred<log::Args>),
    /// Make and renew the keys and certificates of a certificate authority or a timestamp authority
    Ca(Deferred<ca::Args>),
    /// Look after a certificate authority: check its configuration, verify its audit log
    Fulcio(Deferred<fulcio::Args>),
    /// Look after a timestamp authority: verify its audit log
    Tsa(Deferred<tsa::Args>),
    /// Work on bundles
    Bundle(Deferred<bundle::Args>),
    /// Work on policy files
    Policy(Deferred<policy::Args>),
    /// Trust a Sigstore instance: pin its TUF root and fetch its trust root
    Initialize(Deferred<initialize::Args>),
    /// Trust several instances, carry trust across an air gap; hold a trust root together: keys of several people, events, publication
    Trust(Deferred<trust::Args>),
    /// Print an identity token of the try-out issuer of `up`
    Token(Deferred<token::Args>),
    /// Print a shell completion script
    Completion(Deferred<completion::CompletionArgs>),
    /// Write man pages to a directory
    #[command(hide = true)]
    Man(Deferred<completion::ManArgs>),
    /// The command line of the public conformance suite
    #[command(hide = true)]
    Conformance(Deferred<conformance::Args>),
    /// Print the version
    Version(Deferred<version::Args>),
}

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli, printer: &Printer) -> Result<(), Failure> {
    let serves = matches!(cli.command, Command::Up(_) | Command::Serve(_));
    start_log(cli.log.as_deref(), serves);
    let printer = *printer;
    match cli.command {
        Command::Up(Deferred(args)) => apart(|| up::run(*args, printer)),
        Command::Serve(Deferred(args)) => apart(|| serve::run(&args, printer)),
        Command::Demo(Deferred(args)) => apart(|| demo::run(*args, printer)),
        Command::SignBlob(Deferred(args)) => apart(|| sign_blob::run(&args, printer)),
        Command::AttestBlob(Deferred(args)) => apart(|| attest_blob::run(&args, printer)),
        Command::VerifyBlob(Deferred(args)) => apart(|| verify_blob::run(&args, printer)),
        Command::VerifyBlobAttestation(Deferred(args)) => apart(|| verify_blob_attestation::run(&args, printer)),
        Command::Log(Deferred(args)) => apart(|| log::run(&args, printer)),
        Command::Ca(Deferred(args)) => apart(|| ca::run(&args, printer)),
        Command::Fulcio(Deferred(args)) => apart(|| fulcio::run(&args, printer)),
        Command::Tsa(Deferred(args)) => apart(|| tsa::run(&args, printer)),
        Command::Bundle(Deferred(args)) => apart(|| bundle::run(&args, printer)),
        Command::Policy(Deferred(args)) => apart(|| policy::run(&args, printer)),
        Command::Initialize(Deferred(args)) => apart(|| initialize::run(&args, printer)),
        Command::Trust(Deferred(args)) => apart(|| trust::run(&args, printer)),
        Command::Token(Deferred(args)) => apart(|| token::run(&args, printer)),
        Command::Completion(Deferred(args)) => apart(|| completion::run(&args, printer)),
        Command::Man(Deferred(args)) => apart(|| completion::run_man(&args, printer)),
        Command::Conformance(Deferred(args)) => apart(|| conformance::run(&args, printer)),
        Command::Version(Deferred(args)) => apart(|| version::run(*args, printer)),
    }
}

/// Does work in a frame of its own. Inlined, the largest of all commands would have every start pay for its stack, page by page.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Runs a client command. One thread is enough, and starts fastest.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(exit::ExitStatus::Internal, &error))?
        .block_on(work)
}

/// Runs a server command on all cores.
fn block_on_all_cores<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(exit::ExitStatus::Internal, &error))?
        .block_on(work)
}

/// A client says little, and is not to pay for a filter that nobody asked for.
fn start_log(filter: Option<&str>, serves: bool) {
    let colour = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_ansi(colour).with_writer(std::io::stderr);
    let filter = match (filter, serves) {
        (Some(filter), _) => filter,
        // What the libraries below us do is theirs; an operator wants to see what the services do.
        (None, true) => "warn,touchmark=info",
        (None, false) => return log.with_max_level(LevelFilter::WARN).init(),
    };
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = log.with_env_filter(filter).try_init();
}
