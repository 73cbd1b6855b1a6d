// SPDX-License-Identifier: Apache-2.0
//! `touchmark up`: the whole stack on this machine, from one data directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use touchmark_server::{Running, Start, StartError, UpOptions, WitnessMode};
use zeroize::Zeroizing;

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::lines::Instance;
use crate::paths;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where everything is kept; made at the first start [default: $XDG_DATA_HOME/touchmark]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Loopback address of the services
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7700", value_parser = listen_address)]
    listen: SocketAddr,
    /// Loopback address of the try-out issuer [default: the next port at the first start, then the same again]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    oidc_listen: Option<SocketAddr>,
    /// Loopback address of the metrics, in the text format of Prometheus at /metrics [default: no metrics]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    metrics_listen: Option<SocketAddr>,
    /// Witnesses that are asked to cosign the logs' checkpoints, each with its URL (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    witness_policy: Option<PathBuf>,
    /// While too few witnesses answer: fail-open goes on without them, fail-closed confirms no entry
    #[arg(long, value_name = "MODE", default_value = "fail-open", requires = "witness_policy")]
    witness_mode: WitnessModeArg,
    /// Every so many seconds, have the logs' checkpoints timestamped and keep that as evidence of their time
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    evidence_interval: Option<u64>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum WitnessModeArg {
    FailOpen,
    FailClosed,
}

impl From<WitnessModeArg> for WitnessMode {
    fn from(mode: WitnessModeArg) -> Self {
        match mode {
            WitnessModeArg::FailOpen => WitnessMode::FailOpen,
            WitnessModeArg::FailClosed => WitnessMode::FailClosed,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct PassphraseArgs {
    /// File, for its owner alone, with the passphrase that the private keys are encrypted with
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    pub(super) fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        read_passphrase(self.passphrase_file.as_deref())
    }
}

/// By the one rule of passphrase files; see there what is refused.
pub(super) fn read_passphrase(path: Option<&Path>) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let read = path.map(touchmark_signers::read_passphrase).transpose();
    read.map_err(|error| Failure::new(ExitStatus::Unreadable, error.to_string()))
}

/// The parser of the standard library does not say what an address should look like.
fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "an IP address and a port are needed, such as 127.0.0.1:7700")
}

pub(super) fn run(args: Args, printer: Printer) -> Result<(), Failure> {
    let data_dir = match args.data_dir {
        Some(dir) => std::path::absolute(&dir).unwrap_or(dir),
        None => paths::server_data_dir()?,
    };
    let options = UpOptions {
        data_dir: data_dir.clone(),
        listen: args.listen,
        oidc_listen: args.oidc_listen,
        metrics_listen: args.metrics_listen,
        witnesses: args.witness_policy.map(|policy| (policy, args.witness_mode.into())),
        evidence_interval: args.evidence_interval.map(Duration::from_secs),
        passphrase: args.passphrase.read()?,
    };
    super::block_on_all_cores(serve_until_stopped(
        touchmark_server::up(options),
        |running| {
            let issuer = running.oidc_issuer().unwrap_or_default();
            announce(&Instance { url: &running.url(), issuer: &issuer, data_dir: &data_dir }, running.start(), printer);
        },
        OnHangup::End,
        printer,
    ))
}

/// What SIGHUP does.
#[derive(Clone, Copy)]
pub(super) enum OnHangup<'a> {
    /// What it does to any process.
    End,
    /// Reads this configuration file again.
    Reload(&'a Path),
}

/// Starts services, says so, and serves until a signal, or until a part that should run for good has ended; then ends in order. A signal that comes
/// while they start ends the start, which leaves what a crash there would.
pub(super) async fn serve_until_stopped(
    start: impl Future<Output = Result<Running, StartError>>,
    started: impl FnOnce(&Running),
    on_hangup: OnHangup<'_>,
    printer: Printer,
) -> Result<(), Failure> {
    // Before anything can be ready: who sees that it is may stop it at once.
    let no_signals = |error: std::io::Error| Failure::from_error(ExitStatus::Internal, &error);
    let mut stop = StopSignals::listen().map_err(no_signals)?;
    let mut hangup = Hangups::listen(on_hangup).map_err(no_signals)?;
    let mut running = tokio::select! {
        running = start => running.map_err(|error| server_failure(&error))?,
        () = stop.next() => {
            printer.note("stopped before it was ready");
            return Ok(());
        }
    };
    started(&running);
    let ended_by_itself = loop {
        let file = tokio::select! {
            () = stop.next() => break false,
            () = running.wait() => break true,
            file = hangup.next() => file,
        };
        // What came of it stands in the log. A stop does not wait for a key that is far away.
        tokio::select! {
            () = stop.next() => break false,
            _outcome = running.reload(file) => {}
        }
    };
    running.shutdown().await;
    if ended_by_itself {
        return Err(Failure::new(ExitStatus::Internal, "a service ended by itself").hint("the log above says why"));
    }
    printer.note("stopped");
    Ok(())
}

/// SIGINT and SIGTERM, which no longer end the process by themselves.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// SIGHUP, where it means something to us.
struct Hangups<'a>(Option<(Signal, &'a Path)>);

impl<'a> Hangups<'a> {
    fn listen(on_hangup: OnHangup<'a>) -> std::io::Result<Self> {
        Ok(Self(match on_hangup {
            OnHangup::End => None,
            OnHangup::Reload(file) => Some((signal(SignalKind::hangup())?, file)),
        }))
    }

    /// The file to read again.
    async fn next(&mut self) -> &'a Path {
        if let Some((signal, file)) = &mut self.0
            && signal.recv().await.is_some()
        {
            return file;
        }
        std::future::pending().await
    }
}

fn announce(instance: &Instance<'_>, start: Start, printer: Printer) {
    printer.heading(match start {
        Start::First => "A new Sigstore is running on this machine",
        Start::Later => "Your Sigstore is running again",
    });
    printer.note(format_args!("  services    {}", instance.url));
    printer.note(format_args!("  issuer      {}  (for trying out: it believes any e-mail address)", instance.issuer));
    printer.note(format_args!("  data        {}", instance.data_dir.display()));
    for client in instance.clients() {
        printer.heading(client.client);
        for line in client.lines {
            printer.command(line);
        }
    }
    printer.note("");
    printer.note("Stop with Ctrl-C; the next start goes on from here.");
}

/// The server's errors are whole sentences that say what to do; here they get their class.
pub(super) fn server_failure(error: &StartError) -> Failure {
    let class = match error {
        StartError::NotLoopback { .. } | StartError::PassphraseMissing | StartError::NotEncrypted => ExitStatus::Usage,
        StartError::Listen { .. } | StartError::AdminUnreachable { .. } => ExitStatus::Network,
        StartError::LogUnknown { .. } | StartError::LogChange { .. } => ExitStatus::Usage,
        StartError::AdminRefused { .. } => ExitStatus::Refused,
        StartError::InUse { .. }
        | StartError::NotADataDirectory { .. }
        | StartError::NoInstance { .. }
        | StartError::Manifest { .. }
        | StartError::Schema { .. }
        | StartError::LogMissing { .. }
        | StartError::Certificates { .. }
        | StartError::AuthorityKey { .. }
        | StartError::AuthorityOrder { .. }
        | StartError::AuthorityRootMissing { .. }
        | StartError::LogRefusesChain { .. }
        | StartError::PublicKey { .. }
        | StartError::Signer(_)
        | StartError::Role { .. }
        | StartError::File(_) => ExitStatus::Unreadable,
        StartError::Making { .. } => ExitStatus::Internal,
    };
    let failure = Failure::new(class, error.to_string());
    match error {
        StartError::NoInstance { .. } => failure.hint("if it is elsewhere, name it with --data-dir"),
        _ => failure,
    }
}
