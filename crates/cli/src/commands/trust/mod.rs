// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust …`: a trust root that several people hold together (docs/ceremony.md), and the instances that a client trusts (docs/trust.md).
//!
//! One file for each step of a ceremony; what they share stands here and in [`report`]. Everything that is decided there is in `touchmark_trust`. The
//! client's part is in [`instances`], [`export`] and [`import`]; what they decide is in `touchmark_client::trust`.

mod bucket;
mod delegate;
mod doctor;
mod event;
mod export;
mod import;
mod init;
mod instances;
mod key;
mod publish;
mod push;
mod record;
mod report;
mod review;
mod rotate;
mod sign;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use jiff::Timestamp;
use touchmark_keys::sha256;
use touchmark_signers::{Signer, SignerReference};
use touchmark_trust::ceremony::{
    Ceremony, CeremonyError, Clock, Event, KnownEvent, KnownRoot, KnownTargets, read_file,
};
use touchmark_trust::document::{Document, RoleType};

use super::up::read_passphrase;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trust an instance under a name, beside others
    Add(instances::AddArgs),
    /// List the instances that are trusted
    List(instances::ListArgs),
    /// Choose the instance that is used where none is named
    Use(instances::UseArgs),
    /// Remove an instance; what is known of it stays, against rollback
    Remove(instances::RemoveArgs),
    /// Ask an instance's mirror for what is new
    Refresh(instances::RefreshArgs),
    /// Write the trust of an instance into one file to carry, or into the files of another client
    Export(export::Args),
    /// Take up the trust that `export` wrote, verified as from a mirror
    Import(import::Args),
    /// Begin a ceremony: who holds keys, how many of them must sign
    Init(init::Args),
    /// Enrol the keys of holders, and the online key
    #[command(subcommand)]
    Key(key::Command),
    /// Work on the pending change: make, look at, put away
    #[command(subcommand)]
    Event(event::Command),
    /// Sign an event with a holder's key, after showing what it changes; needs no network and no ceremony directory
    Sign(sign::Args),
    /// Check an event without signing: make it again from its inputs and compare
    Review(review::Args),
    /// Publish the pending event, once enough have signed
    Publish(publish::PublishArgs),
    /// Sign snapshot and timestamp anew where they are due
    Online(publish::OnlineArgs),
    /// Hand a published repository on, to a directory or a bucket from where clients are served
    Push(push::Args),
    /// Exchange keys and addresses of services: an event that edits trusted root and signing config together
    #[command(visible_alias = "shard")]
    Rotate(rotate::RotateArgs),
    /// End the trust in a key of a service: an event that closes its window
    Revoke(rotate::RevokeArgs),
    /// Delegate targets to roles of their own, and publish what these state
    #[command(subcommand)]
    Delegate(delegate::Command),
    /// Walk a repository as a client does, and say what is wrong with it
    Verify(verify::Args),
    /// Say how a ceremony stands: what ends when, who is missing, what to do
    Doctor(doctor::Args),
    /// Write into the ceremony log what is published, after the log was lost
    Record(record::Args),
}

pub(super) use instances::expect_no_bare_hash;

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    match &args.command {
        Command::Add(args) => instances::add(args, printer),
        Command::List(args) => instances::list(args, printer),
        Command::Use(args) => instances::choose(args, printer),
        Command::Remove(args) => instances::remove(args, printer),
        Command::Refresh(args) => instances::refresh(args, printer),
        Command::Export(args) => export::run(args, printer),
        Command::Import(args) => import::run(args, printer),
        Command::Init(args) => init::run(args, printer),
        Command::Key(command) => key::run(command, printer),
        Command::Event(command) => event::run(command, printer),
        Command::Sign(args) => sign::run(args, printer),
        Command::Review(args) => review::run(args, printer),
        Command::Publish(args) => publish::publish(args, printer),
        Command::Online(args) => publish::online(args, printer),
        Command::Push(args) => push::run(args, printer),
        Command::Rotate(args) => rotate::rotate(args, printer),
        Command::Revoke(args) => rotate::revoke(args, printer),
        Command::Delegate(command) => delegate::run(command, printer),
        Command::Verify(args) => verify::run(args, printer),
        Command::Doctor(args) => doctor::run(args, printer),
        Command::Record(args) => record::run(args, printer),
    }
}

/// Where the ceremony is.
#[derive(Debug, clap::Args)]
struct DirArgs {
    /// Directory of the ceremony
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl DirArgs {
    fn open(&self) -> Result<Ceremony, Failure> {
        Ceremony::open(&self.dir, Clock::Machine).map_err(failure)
    }
}

/// Where the ceremony is that a step is done on, and when.
#[derive(Debug, clap::Args)]
struct StepArgs {
    #[command(flatten)]
    place: DirArgs,
    #[command(flatten)]
    clock: ClockArgs,
}

impl StepArgs {
    fn open(&self, printer: Printer) -> Result<(Ceremony, Timestamp), Failure> {
        let (clock, now) = self.clock.now(printer);
        Ok((Ceremony::open(&self.place.dir, clock).map_err(failure)?, now))
    }
}

/// The time of a step.
#[derive(Debug, clap::Args)]
struct ClockArgs {
    /// Take this as the present time, such as 2027-01-01T00:00:00Z, on a machine without a clock; nothing checks it, and metadata that is made
    /// at a wrong time ends too early or is believed too long
    #[arg(long, value_name = "TIME")]
    unchecked_time: Option<Timestamp>,
}

impl ClockArgs {
    fn now(&self, printer: Printer) -> (Clock, Timestamp) {
        let Some(time) = self.unchecked_time else { return (Clock::Machine, Timestamp::now()) };
        printer.warning(format_args!("{time} is taken as the present time, and nothing checks it"));
        (Clock::Stated, time)
    }
}

/// A key that signs.
#[derive(Debug, clap::Args)]
struct KeyArgs {
    /// The key: a file, `pkcs11:…`, `awskms://…` or `<plugin>://…`
    #[arg(long, value_name = "KEY")]
    key: String,
    /// File whose first line is the passphrase of the key file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl KeyArgs {
    async fn open(&self) -> Result<Arc<dyn Signer>, Failure> {
        let passphrase = read_passphrase(self.passphrase_file.as_deref())?;
        let reference = SignerReference::parse(&self.key, Path::new(""))
            .map_err(|error| Failure::new(ExitStatus::Usage, format!("the key {}: {error}", self.key)))?;
        reference.open(passphrase).await.map_err(|error| failure(CeremonyError::Signer(error)))
    }
}

/// An event, and what ties it to what its reader knows.
#[derive(Debug, clap::Args)]
struct EventArgs {
    /// The event: `event/event.json` of the ceremony, wherever it was carried
    event: PathBuf,
    /// A root that you know from before: its file, or sha256:HEX; not for the first event of a ceremony
    #[arg(long, value_name = "ROOT")]
    known_root: Option<String>,
    /// Targets that you know from before: their file, and the event must be made on these or later ones; or sha256:HEX, and it must be these
    #[arg(long, value_name = "TARGETS")]
    known_targets: Option<String>,
}

impl EventArgs {
    fn read(&self) -> Result<Event, Failure> {
        Event::from_json(&read_file(&self.event).map_err(failure)?).map_err(failure)
    }

    /// The event, tied to what its reader knows.
    fn tied<'e>(&self, event: &'e Event, printer: Printer) -> Result<KnownEvent<'e>, Failure> {
        let known = event.known_to(self.known_root()?).map_err(failure)?;
        match (&self.known_targets, event.base()) {
            (Some(text), _) => event.continues(&known_targets(text)?).map_err(failure)?,
            (None, Some(base)) => printer.warning(format_args!(
                "nothing says which targets you know: compare targets {} with those of the last event, or name them with --known-targets",
                base.targets.version()
            )),
            (None, None) => {}
        }
        Ok(known)
    }

    fn known_root(&self) -> Result<Option<KnownRoot>, Failure> {
        self.known_root.as_deref().map(known_root).transpose()
    }
}

fn known_root(text: &str) -> Result<KnownRoot, Failure> {
    match stated_hash(text)? {
        Some(hash) => Ok(KnownRoot(hash)),
        None => Ok(KnownRoot(sha256(&read_file(Path::new(text)).map_err(failure)?))),
    }
}

fn known_targets(text: &str) -> Result<KnownTargets, Failure> {
    if let Some(hash) = stated_hash(text)? {
        return Ok(KnownTargets::Exactly(hash));
    }
    let bytes = read_file(Path::new(text)).map_err(failure)?;
    Document::parse(RoleType::Targets, bytes)
        .map(KnownTargets::From)
        .map_err(|error| Failure::new(ExitStatus::Unreadable, format!("{text}: {error}")))
}

/// The hash of `sha256:HEX`; `None` of the name of a file.
fn stated_hash(text: &str) -> Result<Option<[u8; 32]>, Failure> {
    let Some(digits) = text.strip_prefix("sha256:") else {
        expect_no_bare_hash(text, &format!("say sha256:{text}"))?;
        return Ok(None);
    };
    let hash: Option<[u8; 32]> = hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
    hash.map(Some).ok_or_else(|| Failure::new(ExitStatus::Usage, format!("{text} is not sha256: and 64 hex digits")))
}

/// The errors are whole sentences; here they get their class and advice.
fn failure(error: CeremonyError) -> Failure {
    let failure = Failure::new(class(&error), error.to_string());
    match error {
        CeremonyError::ThresholdOne => failure.hint("say --solo if this is meant, or take more holders"),
        CeremonyError::NoCeremony { .. } => failure.hint("begin one with `touchmark trust init`"),
        CeremonyError::NotEnrolled { holder, .. } => {
            failure.hint(format!("`touchmark trust key enrol --holder {holder}` on the holder's machine, then `touchmark trust key accept`"))
        }
        CeremonyError::EventPending { .. } => {
            failure.hint("`touchmark trust event status` shows it, `touchmark trust event abort` puts it away with its signatures")
        }
        CeremonyError::NoEvent => failure.hint("begin one with `touchmark trust event new`"),
        CeremonyError::NotReproduced { .. } => {
            failure.hint("sign nothing: get the event again from who made it, by another way")
        }
        CeremonyError::UnknownBase { .. } => {
            failure.hint("sign nothing: this event continues another ceremony's trust root than the one that you know")
        }
        CeremonyError::NoKnownRoot => {
            failure.hint("--known-root with a root.json that you kept, or with the sha256 of one that you wrote down")
        }
        CeremonyError::UnknownTargets { .. } => {
            failure.hint("sign nothing: it would take back what was published since; the event must be made anew on what is published")
        }
        CeremonyError::AnotherEvent { .. } => {
            failure.hint("nothing was signed: this is not what was looked at; look at it anew, without --yes")
        }
        CeremonyError::Enrolled { path, .. } => {
            failure.hint(format!("to exchange the key remove {}, and accept the new enrolment again", path.display()))
        }
        CeremonyError::Lost { .. } | CeremonyError::NotAsRecorded { .. } | CeremonyError::RolledBack { .. } => failure.hint(
            "put the repository back from what clients are served; to go on without would give numbers a second time, and clients that saw the first refuse the second",
        ),
        CeremonyError::Unrecorded { .. } => failure.hint(
            "was the ceremony log lost, or put back from an older copy? Put the newest back; if there is none, look at the repository with `touchmark trust verify`, and `touchmark trust record --yes`",
        ),
        CeremonyError::WrongKey { .. } => failure.hint("is another token in the slot, or another key meant with --key?"),
        CeremonyError::Overtaken { .. } => {
            failure.hint("`touchmark trust event abort`, then make the event again; signatures of the old one do not count")
        }
        CeremonyError::BelowThreshold(_) => failure.hint("`touchmark trust event status` says who is missing"),
        CeremonyError::NoDelegation { .. } => failure.hint("`touchmark trust delegate add` makes the event that delegates to it"),
        CeremonyError::NoSay { .. } => failure.hint("is another token in the slot, or another key meant with --key?"),
        CeremonyError::DelegatedBelowThreshold(_) => failure.hint("carry the file to another holder of the role: `touchmark trust delegate sign`"),
        CeremonyError::DelegatedOvertaken { .. } => failure.hint("`touchmark trust delegate make` from what is published now, and sign it again"),
        CeremonyError::DelegatedEndsSoon { .. } => failure.hint("`touchmark trust delegate make --days NUMBER`"),
        CeremonyError::Unwalkable { .. } | CeremonyError::Unsound { .. } => failure.hint("nothing was published"),
        CeremonyError::Ended { .. } => failure
            .hint("only the holders can renew it: `touchmark trust event new --renew`; clients refuse everything until then"),
        CeremonyError::SignsTooEarly { .. } => failure.hint(
            "`touchmark trust event abort`, and make it anew with a later --sign-after; --sign-before-verifiers-know is for emergencies",
        ),
        CeremonyError::StillNamed { urls } => failure
            .hint(format!("--url {} takes it out; --keep-url leaves it there, where it gets another key at once", urls.join(" --url "))),
        CeremonyError::NothingPublished => failure.hint("`touchmark trust event new` makes the first event"),
        CeremonyError::OtherContent { .. } => {
            failure.hint("nothing was overwritten; was the repository rolled back, or is this the place of another one?")
        }
        CeremonyError::LogBroken { .. } | CeremonyError::LogRewritten => failure.hint("compare the file with the copies that others have"),
        _ => failure,
    }
}

fn class(error: &CeremonyError) -> ExitStatus {
    match error {
        CeremonyError::File { .. }
        | CeremonyError::SignedMeanwhile
        | CeremonyError::TooLong { .. }
        | CeremonyError::Busy { .. }
        | CeremonyError::Unreadable { .. }
        | CeremonyError::Version { .. }
        | CeremonyError::UnusableTarget { .. }
        | CeremonyError::OtherCeremony { .. }
        | CeremonyError::Store { .. }
        | CeremonyError::Signer(_) => ExitStatus::Unreadable,
        CeremonyError::Proof { .. }
        | CeremonyError::Attestation { .. }
        | CeremonyError::TargetFile { .. }
        | CeremonyError::NotAccepted { .. }
        | CeremonyError::NotReproduced { .. }
        | CeremonyError::AnotherEvent { .. }
        | CeremonyError::NotAsRecorded { .. }
        | CeremonyError::LogBroken { .. }
        | CeremonyError::LogRewritten => ExitStatus::Tampered,
        CeremonyError::WrongKey { .. } | CeremonyError::WrongOnlineKey { .. } | CeremonyError::NoSay { .. } => {
            ExitStatus::WrongSigner
        }
        CeremonyError::BelowThreshold(_) | CeremonyError::DelegatedBelowThreshold(_) => ExitStatus::NotSigned,
        CeremonyError::UnknownBase { .. } | CeremonyError::UnknownTargets { .. } => ExitStatus::Untrusted,
        CeremonyError::Overtaken { .. }
        | CeremonyError::DelegatedOvertaken { .. }
        | CeremonyError::Lost { .. }
        | CeremonyError::RolledBack { .. }
        | CeremonyError::Unrecorded { .. }
        | CeremonyError::OtherContent { .. }
        | CeremonyError::NewerThere { .. }
        | CeremonyError::Unwalkable { .. }
        | CeremonyError::Unsound { .. }
        | CeremonyError::Ended { .. }
        | CeremonyError::Walk(_)
        | CeremonyError::Metadata { .. } => ExitStatus::TrustRoot,
        // What was asked for cannot be done so.
        _ => ExitStatus::Usage,
    }
}
