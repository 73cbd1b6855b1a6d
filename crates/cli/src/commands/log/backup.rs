// SPDX-License-Identifier: Apache-2.0
//! `touchmark log backup`: a copy of a log that verifies, taken while the log runs or when it does not.
//!
//! The checkpoint is read first, and the copy is of its tree: entries that come later belong to the next backup. While a server holds the
//! directory, entries come from its monitoring prefix, else from the ledger. A copy counts only after all of it was read back from where it was
//! written, and the tree derived from it has the root that the log signed; the checkpoint is written last, and so is `backup.json`, without
//! which `restore` takes nothing.
//!
//! A directory that holds an older backup of the same log is brought up to date: full entry tiles that are there are not asked for again. The
//! new tree must extend that of the older backup, so a log that was put back or forked is found here, and the older backup stays.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_client::trust::read_signing_config;
use touchmark_outbound::{Outbound, Reach};
use touchmark_sequencer::{
    Blob, FjallLedger, FsObjects, HashTiles, Hears, Ledger as _, Served, ServedError, ServedReport, StoredTiles, Tiles,
    TilesError, check_served,
};
use touchmark_server::{Inventory, LogFiles, StartError};
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteKey, SignedNote};
use touchmark_tlog::tile::{TilePath, parse_tile_path};
use url::Url;

use super::fsck::{advance, unreachable};
use super::places::{self, PlaceArgs};
use super::tiles::{Directory, Prefix};
use crate::commands::block_on;
use crate::commands::up::server_failure;
use crate::commands::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::{Printer, printable};

/// What says that a backup is whole.
pub(super) const SEAL: &str = "backup.json";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Back up this log alone; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    log: Vec<String>,
    /// Where to: each log gets a directory of its name there; an older backup is brought up to date
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Address of the running server [default: the one that the data directory hands out]
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// Trusted root with the keys of the logs [default: the one that the data directory hands out]
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let inventory = args.place.inventory()?;
    let logs = places::chosen(&inventory, &args.log)?;
    let root = places::trusted_root(&inventory, args.trusted_root.as_ref())?;
    let held = match inventory.hold(&logs) {
        Ok(held) => Some(held),
        Err(StartError::InUse { .. }) => None,
        Err(error) => return Err(server_failure(&error)),
    };
    let mut done = Vec::new();
    for log in logs {
        let keys = places::note_keys(log, &root)?;
        let copy = Copy { log, keys: &keys, to: args.to.join(&log.name), printer };
        refuse_place_of_a_log(&copy.to, &inventory)?;
        if held.is_some() && is_yet_to_start(log) {
            printer.warning(format_args!(
                "{}: nothing was ever in it; it is made at the next start of its server",
                log.name
            ));
            continue;
        }
        let report = match held {
            Some(_) => copy.stopped()?,
            None => copy.running(&server(args, &inventory)?)?,
        };
        let line =
            format!("{}: {} entries, root {}: verified, in {}", log.name, report.size, report.root, copy.to.display());
        if args.output == Output::Text {
            printer.result(printable(line));
        }
        done.push(json!({
            "name": log.name,
            "size": report.size.0,
            "root": report.root.to_string(),
            "directory": copy.to,
            "source": if held.is_some() { "ledger" } else { "monitoring-prefix" },
        }));
    }
    if args.output == Output::Json {
        printer.result(json!({ "version": 1, "logs": done }));
    }
    Ok(())
}

/// A log that `create` or `rotate` has announced and no server has opened.
fn is_yet_to_start(log: &LogFiles) -> bool {
    ["ledger", "objects"].iter().all(|part| !log.directory.join(part).exists())
}

/// A backup is of no use where the log itself is, and would stand among its files.
fn refuse_place_of_a_log(to: &Path, inventory: &Inventory) -> Result<(), Failure> {
    let to = resolved(to);
    let Some(log) = inventory.logs().iter().find(|log| to.starts_with(resolved(&log.directory))) else { return Ok(()) };
    Err(Failure::new(ExitStatus::Usage, format!("{} is the place of the log {} itself", to.display(), log.name))
        .hint("choose a directory on another disk with --to"))
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = path.ancestors().find_map(|part| Some((part, fs::canonicalize(part).ok()?)));
    let rest = |part: &Path| path.strip_prefix(part).map(Path::to_owned).unwrap_or_default();
    known.map_or_else(|| path.clone(), |(part, known)| known.join(rest(part)))
}

/// The server that holds the directory.
fn server(args: &Args, inventory: &Inventory) -> Result<Url, Failure> {
    if let Some(url) = &args.url {
        return Ok(url.clone());
    }
    let unknown = || {
        Failure::new(ExitStatus::Usage, "a server runs on these logs, and its address is not known")
            .hint("name it with --url, such as --url http://127.0.0.1:7700")
    };
    let config = read_signing_config(&inventory.signing_config().ok_or_else(unknown)?)?;
    let service = config.lists().ca.first().ok_or_else(unknown)?;
    Url::parse(service.url()).map_err(|_| unknown())
}

/// A log and where its copy goes.
struct Copy<'a> {
    log: &'a LogFiles,
    keys: &'a [NoteKey],
    to: PathBuf,
    printer: Printer,
}

impl Copy<'_> {
    /// From the ledger, which is the truth. What a kill left unpublished is finished by a start first.
    fn stopped(&self) -> Result<ServedReport, Failure> {
        let failed =
            |error: &dyn std::error::Error| Failure::from_error(ExitStatus::Unreadable, error).about(&self.log.name);
        let ledger = self.log.directory.join("ledger");
        if !ledger.join("store").is_dir() {
            return Err(Failure::new(ExitStatus::Unreadable, format!("{} holds no ledger", ledger.display())));
        }
        let ledger = FjallLedger::open(ledger).map_err(|error| failed(&error))?;
        let objects = FsObjects::open(self.log.directory.join("objects")).map_err(|error| failed(&error))?;
        let size = block_on(async { ledger.state().await.map_err(|error| failed(&error)) })?.head.size;
        let tiles = StoredTiles { ledger: &ledger, objects: &objects, format: self.log.kind.entry_format() };
        let report = self.make(&tiles)?;
        if report.size < size {
            let missing = size.0 - report.size.0;
            self.printer.warning(format_args!(
                "{}: {missing} entries are younger than the published checkpoint, because the server was killed; they are in no backup \
                 before it was started again",
                self.log.name
            ));
        }
        Ok(report)
    }

    /// From the server that runs.
    fn running(&self, server: &Url) -> Result<ServedReport, Failure> {
        let outbound = Outbound::new(concat!("touchmark/", env!("CARGO_PKG_VERSION")), Reach::Private, None);
        let mut url = server.clone();
        url.set_path(&format!("{}/log/{}/", server.path().trim_end_matches('/'), self.log.name));
        self.make(&Prefix::new(outbound, &url))
    }

    fn make<T: Tiles>(&self, source: &T) -> Result<ServedReport, Failure> {
        let before = self.before()?;
        let tiles = Resumed { to: Directory(self.to.clone()), source };
        let earlier = before.as_ref().filter(|before| before.size.0 > 0);
        let served = Served { earlier, ..self.served(&tiles, HashTiles::Rendered) };
        let mut take = |object: &Blob| keep(&self.to, &object.name, &object.bytes).map_err(|error| error.to_string());
        let report = self.check(served, &mut take, "copying entries")?;
        refuse_findings(&report, "the log", self.log)?;
        if let Some(before) = before
            && before.size > report.size
        {
            return Err(Failure::new(
                ExitStatus::Tampered,
                format!("the backup holds {} entries, and the log has signed {} now", before.size, report.size),
            )
            .hint("the log was rolled back: keep the backup, and do not let the log take entries"));
        }
        self.seal(&report)
    }

    /// Puts the checkpoint in place, reads everything back, and says so.
    fn seal(&self, report: &ServedReport) -> Result<ServedReport, Failure> {
        let unwritten = |error: io::Error| {
            Failure::new(ExitStatus::Unreadable, format!("{} could not be written", self.to.display())).because(error)
        };
        match fs::remove_file(self.to.join(SEAL)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritten(error)),
            _ => {}
        }
        put(&self.to, "checkpoint", &report.checkpoint).map_err(unwritten)?;
        let copy = Directory(self.to.clone());
        let verified = self.check(self.served(&copy, HashTiles::Compared), &mut |_| Ok(()), "verifying the copy")?;
        refuse_findings(&verified, "the copy", self.log)?;
        let seal = json!({
            "version": 1,
            "name": self.log.name,
            "kind": self.log.kind.name(),
            "size": verified.size.0,
            "root": verified.root.to_string(),
            "taken": Timestamp::now().to_string(),
        });
        put(&self.to, SEAL, format!("{seal:#}\n").as_bytes()).map_err(unwritten)?;
        Ok(verified)
    }

    fn served<'a, T>(&'a self, tiles: &'a T, hash_tiles: HashTiles) -> Served<'a, T> {
        let (origin, keys) = (self.log.name.as_str(), self.keys);
        Served { origin, keys, format: self.log.kind.entry_format(), tiles, hash_tiles, earlier: None }
    }

    fn check<T: Tiles>(
        &self,
        served: Served<'_, T>,
        take: &mut (dyn FnMut(&Blob) -> Result<(), String> + Send),
        what: &'static str,
    ) -> Result<ServedReport, Failure> {
        let bar = self.printer.counter(0, what);
        let hears = Hears { take, progress: &mut |done, of| advance(&bar, done, of) };
        let report = block_on(async { check_served(served, hears).await.map_err(|error| unfinished(&error)) });
        bar.finish_and_clear();
        report
    }

    /// The checkpoint of the backup that is there.
    fn before(&self) -> Result<Option<Checkpoint>, Failure> {
        let path = self.to.join("checkpoint");
        let note = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            note => note.map_err(|error| Failure::from_error(ExitStatus::Unreadable, &error))?,
        };
        let checkpoint = SignedNote::parse(&note).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
        let checkpoint = checkpoint.filter(|checkpoint| checkpoint.origin == self.log.name);
        let foreign = || {
            Failure::new(ExitStatus::Unreadable, format!("{} is not a backup of {}", self.to.display(), self.log.name))
                .hint("choose another directory with --to")
        };
        checkpoint.map(Some).ok_or_else(foreign)
    }
}

fn unfinished(error: &ServedError) -> Failure {
    match error {
        ServedError::Tiles(_) => unreachable(error),
        ServedError::Take { .. } => Failure::from_error(ExitStatus::Unreadable, error)
            .hint("check the older backup in this directory with `touchmark log fsck --copy`, or choose another one with --to"),
    }
}

fn refuse_findings(report: &ServedReport, what: &str, log: &LogFiles) -> Result<(), Failure> {
    let Some(first) = report.findings.list().first() else { return Ok(()) };
    let count = report.findings.count();
    let message = format!("{}: {what} has {count} findings; there is no good backup", log.name);
    Err(Failure::new(ExitStatus::Tampered, message)
        .detail("first", first)
        .hint(first.kind.advice())
        .hint("was an older backup in this directory damaged? Then choose another one with --to"))
}

/// The source, but for full entry tiles that an earlier backup has. The root of the checkpoint tells whether they are the log's.
struct Resumed<'a, T> {
    to: Directory,
    source: &'a T,
}

impl<T: Tiles> Tiles for Resumed<'_, T> {
    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, TilesError> {
        let is_full_entries = parse_tile_path(name)
            .is_ok_and(|path| matches!(path, TilePath::Entries { .. } | TilePath::Data { .. }) && !path.is_partial());
        if is_full_entries && let Some(bytes) = self.to.read(name).await? {
            return Ok(Some(bytes));
        }
        self.source.read(name).await
    }
}

/// Writes an immutable object, or finds it written.
fn keep(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    match fs::read(directory.join(name)) {
        Ok(found) if found == bytes => Ok(()),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it is there already with other bytes: is this another log's backup?",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => put(directory, name, bytes),
        Err(error) => Err(error),
    }
}

/// A whole, durable file, in the place of an older one.
fn put(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = directory.join(name);
    let parent = path.parent().unwrap_or(directory);
    fs::create_dir_all(parent)?;
    let mut temporary = path.clone().into_os_string();
    temporary.push(".new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    File::open(parent)?.sync_all()
}

/// Whether a directory says that it is a whole backup of a log.
pub(super) fn sealed(directory: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(directory.join(SEAL)).ok()?).ok()
}
