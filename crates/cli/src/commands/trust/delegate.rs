// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust delegate …`: roles that state some targets by themselves.
//!
//! `add` and `remove` make events, as `rotate` does. `make`, `sign` and `publish` are about the targets of such a role: its own holders make and
//! sign them, wherever they see the repository, and the online machine publishes them; the holders of the root are not asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use touchmark_trust::ceremony::{
    Change, DelegatedVersion, DelegationWish, Event, Repository, RoleWish, ScopeWish, Search, read_file, write_file,
};
use touchmark_trust::diff::differences_of_role;
use touchmark_trust::role::Root;
use touchmark_trust::walk::{Memory, Walk, Walked};

use super::report::{changes_json, print_changes};
use super::{KeyArgs, StepArgs, event, failure, known_root, publish, sign, verify};
use crate::commands::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::trust::NetworkArgs;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Delegate targets to a role, or exchange its keys, threshold and paths: makes an event
    Add(AddArgs),
    /// Take a delegation back: makes an event
    Remove(RemoveArgs),
    /// Make the next targets of a role, for its holders to sign
    Make(MakeArgs),
    /// Sign the next targets of a role, after showing what they change; adds the signature to the file
    Sign(SignArgs),
    /// Publish the targets of a role, once enough of its holders have signed: the online machine signs snapshot and timestamp
    Publish(PublishTargetsArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    step: StepArgs,
    /// Name of the role; of bins, what their names begin with
    #[arg(long, value_name = "ROLE")]
    role: String,
    /// Somebody whose enrolment was accepted signs for it; may be given several times
    #[arg(long, value_name = "NAME", required_unless_present = "public_key")]
    holder: Vec<String>,
    /// File with a public key in PEM that signs for it, without a proof that somebody has it; may be given several times
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
    /// How many of them must sign
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    threshold: u32,
    #[command(flatten)]
    scope: ScopeArgs,
    /// Where the role has no such target, nobody is asked after it
    #[arg(long)]
    terminating: bool,
    /// Why, for those who are asked to sign
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

/// For which targets.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct ScopeArgs {
    /// Pattern of paths, such as `tools/*`; `*` and `?` match no slash; may be given several times
    #[arg(long, value_name = "PATTERN")]
    path: Vec<String>,
    /// Paths whose SHA-256 begins with this, in hex; may be given several times
    #[arg(long, value_name = "HEX")]
    hash_prefix: Vec<String>,
    /// 2^BITS roles, each for its share of all paths; beside no other delegation
    #[arg(long, value_name = "BITS")]
    bins: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    step: StepArgs,
    /// Name of the role
    #[arg(long, value_name = "ROLE")]
    role: String,
    /// Why, for those who are asked to sign
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

/// What is published, as its reader knows it.
#[derive(Debug, clap::Args)]
struct RepositoryArgs {
    /// Directory or address of the repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: String,
    /// Root file that you know
    #[arg(long, value_name = "FILE")]
    root: String,
    /// Pending event that delegates to the role, or gives it other keys
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct MakeArgs {
    #[command(flatten)]
    published: RepositoryArgs,
    /// The role
    #[arg(long, value_name = "ROLE")]
    role: String,
    /// The target PATH has the content of FILE; may be given several times
    #[arg(long = "target", value_name = "PATH=FILE", value_parser = event::target)]
    targets: Vec<(String, PathBuf)>,
    /// This target goes; may be given several times
    #[arg(long, value_name = "PATH")]
    remove_target: Vec<String>,
    /// How many days they live [default: as many as the last ones, at first 365]
    #[arg(long, value_name = "DAYS")]
    days: Option<u32>,
    /// Take this as the present time, such as 2027-01-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct SignArgs {
    /// What `make` wrote, and others may have signed
    file: PathBuf,
    #[command(flatten)]
    published: RepositoryArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// Look as at this time, such as 2027-01-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Sign; without it, it is only said what would be signed. With a SHA256, sign these targets and no others: those that were looked at
    #[arg(long, value_name = "SHA256", num_args = 0..=1, require_equals = true, value_parser = sign::sha256_of)]
    #[expect(clippy::option_option, reason = "not given, given, given with a value")]
    yes: Option<Option<[u8; 32]>>,
    /// How to print what is signed
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct PublishTargetsArgs {
    /// The targets, signed
    file: PathBuf,
    #[command(flatten)]
    how: publish::PublishArgs,
}

pub(super) fn run(command: &Command, printer: Printer) -> Result<(), Failure> {
    match command {
        Command::Add(args) => add(args, printer),
        Command::Remove(args) => remove(args, printer),
        Command::Make(args) => make(args, printer),
        Command::Sign(args) => sign_targets(args, printer),
        Command::Publish(args) => publish_targets(args, printer),
    }
}

fn add(args: &AddArgs, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = args.step.open(printer)?;
    let enrolment = |holder: &String| ceremony.enrolment(holder).map_err(failure);
    let pem = |path: &PathBuf| {
        let bytes = read_file(path).map_err(failure)?;
        let not_text = |_| Failure::new(ExitStatus::Usage, format!("{} is not PEM", path.display()));
        String::from_utf8(bytes).map_err(not_text)
    };
    let wish = DelegationWish {
        role: args.role.clone(),
        holders: args.holder.iter().map(enrolment).collect::<Result<_, _>>()?,
        keys: args.public_key.iter().map(pem).collect::<Result<_, _>>()?,
        threshold: args.threshold,
        scope: args.scope.wish(if args.terminating { Search::Terminates } else { Search::GoesOn }),
    };
    let change = Change { set_delegations: vec![wish], ..Change::none(args.note.clone()) };
    event::begin(&ceremony, change, BTreeMap::new(), now, printer)
}

impl ScopeArgs {
    fn wish(&self, search: Search) -> ScopeWish {
        match self.bins {
            Some(bits) => ScopeWish::Bins { bits },
            None if self.path.is_empty() => ScopeWish::HashPrefixes { prefixes: self.hash_prefix.clone(), search },
            None => ScopeWish::Paths { patterns: self.path.clone(), search },
        }
    }
}

fn remove(args: &RemoveArgs, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = args.step.open(printer)?;
    let change = Change { remove_delegations: vec![args.role.clone()], ..Change::none(args.note.clone()) };
    event::begin(&ceremony, change, BTreeMap::new(), now, printer)
}

impl RepositoryArgs {
    /// Walks the repository as a client does, and takes in what of it has ended: its holders are here to renew it.
    fn read(&self, now: Timestamp) -> Result<(Walked, Option<Event>), Failure> {
        let root = Root::pinned(read_file(Path::new(&self.root)).map_err(failure)?)
            .map_err(|error| Failure::new(ExitStatus::TrustRoot, format!("{}: {error}", self.root)))?;
        let fresh = self.walk(root, Memory::default(), now)?;
        // Once more, with what has ended; nothing may be older than it was a moment ago.
        let walked = self.walk(fresh.root.clone(), fresh.memory(), Timestamp::MIN)?;
        if let Some(error) = walked.unsound.first() {
            return Err(failure(error.clone().into()));
        }
        Ok((walked, self.event.as_deref().map(|path| self.read_event(path)).transpose()?))
    }

    fn read_event(&self, path: &Path) -> Result<Event, Failure> {
        let event = Event::from_json(&read_file(path).map_err(failure)?).map_err(failure)?;
        event.known_to(Some(known_root(&self.root)?)).map_err(failure)?;
        Ok(event)
    }

    fn walk(&self, root: Root, memory: Memory, at: Timestamp) -> Result<Walked, Failure> {
        if !self.repository.contains("://") {
            return Repository::at(&self.repository).walk(root, memory, at).map_err(failure);
        }
        let outbound = self.network.outbound()?;
        let walk = Walk::start(root, memory, at);
        crate::commands::block_on(verify::walk_url(&self.repository, walk, &outbound))
    }
}

fn make(args: &MakeArgs, printer: Printer) -> Result<(), Failure> {
    let now = args.at.unwrap_or_else(Timestamp::now);
    let (walked, event) = args.published.read(now)?;
    let mut wish =
        RoleWish { remove_targets: args.remove_target.clone(), expiry_days: args.days, ..RoleWish::default() };
    for (path, file) in &args.targets {
        wish.set_targets.insert(path.clone(), read_file(file).map_err(failure)?);
    }
    let version = DelegatedVersion::make(&walked, event.as_ref(), &args.role, wish, now).map_err(failure)?;
    write_file(&args.out, &version.to_json()).map_err(failure)?;
    show(&version, &walked, Output::Text, printer);
    printer.note(format_args!("carry {} to the holders of {}:", args.out.display(), args.role));
    printer.command("touchmark trust delegate sign FILE --repository REPOSITORY --root ROOT --key KEY --yes");
    Ok(())
}

fn sign_targets(args: &SignArgs, printer: Printer) -> Result<(), Failure> {
    let now = args.at.unwrap_or_else(Timestamp::now);
    let (walked, event) = args.published.read(now)?;
    let version = DelegatedVersion::from_json(&read_file(&args.file).map_err(failure)?).map_err(failure)?;
    show(&version, &walked, args.output, printer);
    if !sign::is_wanted(args.yes, version.digest(), printer)? {
        return Ok(());
    }
    let signed = crate::commands::block_on(async {
        let signer = args.key.open().await?;
        version.sign(&walked, event.as_ref(), signer.as_ref()).await.map_err(failure)
    })?;
    write_file(&args.file, &signed.to_json()).map_err(failure)?;
    let (votes, needed) = signed.votes(&walked, event.as_ref()).map_err(failure)?;
    printer.note(format_args!("signed in {}: {votes} of {needed} needed", args.file.display()));
    Ok(())
}

fn show(version: &DelegatedVersion, walked: &Walked, output: Output, printer: Printer) {
    let before = walked.delegated.get(version.role()).map(|present| &present.document);
    let changes = differences_of_role(version.role(), before, version.document());
    match output {
        Output::Text => {
            print_changes(&changes, printer);
            printer.result(format_args!("  signed is sha256 {}", hex::encode(version.digest())));
        }
        Output::Json => printer.result(serde_json::json!({
            "version": 1,
            "role": version.role(),
            "sha256": hex::encode(version.digest()),
            "changes": changes_json(&changes),
        })),
    }
}

fn publish_targets(args: &PublishTargetsArgs, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = args.how.step.open(printer)?;
    let version = DelegatedVersion::from_json(&read_file(&args.file).map_err(failure)?).map_err(failure)?;
    let publication = crate::commands::block_on(async {
        let online = args.how.online.open().await?;
        ceremony.plan_delegated(&version, online.as_ref(), now).await.map_err(failure)
    })?;
    if args.how.dry_run {
        publish::say_planned(&publication, printer);
        return Ok(());
    }
    let published = ceremony.publish_delegated(&version, &publication, now).map_err(failure)?;
    publish::say(&ceremony, &published, printer)
}
