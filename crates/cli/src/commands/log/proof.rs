// SPDX-License-Identifier: Apache-2.0
//! `touchmark log proof …`: receipts (C2SP tlog-proof), made of a bundle's entry or read out of a log, and verified offline.
//!
//! A receipt of ours carries the leaf as its extra data, so that it can be verified alone. Nobody signs extra data; the leaf is believed because
//! its hash is proved to be in the tree.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use touchmark_outbound::{Limits, Outbound};
use touchmark_sequencer::Tiles as _;
use touchmark_server::LogKind;
use touchmark_sigstore::bundle::Bundle;
use touchmark_sigstore::policy::{Cosignature, WitnessPolicy};
use touchmark_sigstore::rekor::LogEntry;
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteKey, SignedNote};
use touchmark_tlog::proof::{inclusion_plan, verify_inclusion};
use touchmark_tlog::receipt::{ProvenLeaf, RECEIPT_BYTES_MAX, Receipt, ReceiptFailure};
use touchmark_tlog::tile::{TILE_WIDTH, Tile, decode_entry_bundle, entry_bundle_path};
use touchmark_tlog::{Hash, LeafIndex, TreeSize, leaf_hash};
use url::Url;

use super::super::block_on;
use super::super::version::Output;
use super::fsck::unreachable;
use super::tiles::Prefix;
use crate::bundle_file::BundleFile;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::paths;
use crate::printer::Printer;
use crate::trust::{NetworkArgs, TrustArgs};

/// The largest bundle and the largest leaf that are read.
const INPUT_BYTES_MAX: u64 = 32 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a receipt of a bundle's log entry, or of what a log serves
    Create(Box<CreateArgs>),
    /// Verify a receipt, offline: the log's signature, the place in the tree, the witnesses
    Verify(Box<VerifyArgs>),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// The bundle whose log entry the receipt is for
    #[arg(long, value_name = "FILE", required_unless_present = "url")]
    bundle: Option<PathBuf>,
    /// Ask the log behind this monitoring prefix, such as http://127.0.0.1:7700/log/NAME, for its newest checkpoint, cosigned if it has witnesses
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// The entry at this index of the log behind --url
    #[arg(long, value_name = "N", requires = "url", conflicts_with = "bundle", required_unless_present = "bundle")]
    index: Option<u64>,
    /// Where to write the receipt [default: standard output]
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// The receipt (.tlog-proof)
    file: PathBuf,
    /// It must be of the log entry of this bundle
    #[arg(long, value_name = "FILE", conflicts_with = "leaf")]
    bundle: Option<PathBuf>,
    /// It must be of the leaf in this file [default: the leaf that the receipt carries]
    #[arg(long, value_name = "FILE")]
    leaf: Option<PathBuf>,
    /// Verifier key of the log (C2SP signed-note), in place of a trusted root
    #[arg(long, value_name = "VKEY", conflicts_with = "trusted_root")]
    vkey: Option<String>,
    /// Demand the cosignatures of this policy (C2SP tlog-policy); its log lines say which logs are trusted
    #[arg(long, value_name = "FILE")]
    witness_policy: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    match &args.command {
        Command::Create(args) => create(args, printer),
        Command::Verify(args) => verify(args, printer),
    }
}

fn create(args: &CreateArgs, printer: Printer) -> Result<(), Failure> {
    let entry = args.bundle.as_deref().map(entry_of).transpose()?;
    let receipt = match (&args.url, &entry) {
        (None, Some(entry)) => converted(entry)?,
        (Some(url), entry) => block_on(fetched(url, args.network.outbound()?, entry.as_ref(), args.index))?,
        (None, None) => return Err(Failure::new(ExitStatus::Usage, "name --bundle FILE, --url URL or both")),
    };
    match &args.receipt {
        None => printer.raw(receipt.to_text().as_bytes()),
        Some(path) => {
            BundleFile::named(path).write(receipt.to_text().as_bytes())?;
            printer.note(format_args!("Receipt of entry {} written to {}", receipt.index, path.display()));
        }
    }
    Ok(())
}

/// The first entry of a bundle that has a proof.
fn entry_of(path: &Path) -> Result<LogEntry, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::new(ExitStatus::Unreadable, format!("{} cannot be used", path.display())).because(error)
    };
    let bundle = Bundle::parse(&read(path)?).map_err(|error| unusable(&error))?;
    let proved = bundle.entries().iter().find(|entry| entry.inclusion().is_some());
    proved.cloned().ok_or_else(|| unusable(&"expected a log entry with an inclusion proof, found none"))
}

/// A bundle holds everything that a receipt says.
fn converted(entry: &LogEntry) -> Result<Receipt, Failure> {
    let inclusion = entry.inclusion().ok_or_else(|| malformed("the entry has no inclusion proof"))?;
    let note = SignedNote::parse(inclusion.checkpoint().as_bytes()).map_err(|error| malformed(error.to_string()))?;
    let receipt = Receipt {
        extra: Some(entry.body().to_vec()),
        index: entry.index_in_tree(inclusion),
        proof: inclusion.hashes().to_vec(),
        note,
    };
    consistent(receipt, entry.body())
}

/// What a receipt says must at least agree with itself: whose it is, is for the verifier to say.
fn consistent(receipt: Receipt, leaf: &[u8]) -> Result<Receipt, Failure> {
    let checkpoint = Checkpoint::parse(receipt.note.text()).map_err(|error| malformed(error.to_string()))?;
    verify_inclusion(&leaf_hash(leaf), receipt.index, checkpoint.size, &receipt.proof, &checkpoint.root).map_err(
        |error| Failure::new(ExitStatus::Tampered, "the entry is not in the tree of the checkpoint").because(error),
    )?;
    Ok(receipt)
}

/// Reads the newest checkpoint and the tiles of the proof (C2SP tlog-tiles).
async fn fetched(
    url: &Url,
    outbound: Outbound,
    entry: Option<&LogEntry>,
    index: Option<u64>,
) -> Result<Receipt, Failure> {
    let prefix = Prefix::new(outbound.clone(), url);
    let note = newest_checkpoint(url, &outbound).await?;
    let size = Checkpoint::parse(note.text()).map_err(|error| malformed(error.to_string()))?.size;
    let in_tree = |entry: &LogEntry| entry.inclusion().map_or(entry.index(), |proof| entry.index_in_tree(proof));
    let index = entry.map(in_tree).or(index.map(LeafIndex)).ok_or_else(|| malformed("neither index nor entry"))?;
    let leaf = match entry {
        Some(entry) => entry.body().to_vec(),
        None => leaf_at(&prefix, index, size).await?,
    };
    let proof = proof_at(&prefix, index, size).await?;
    consistent(Receipt { extra: Some(leaf.clone()), index, proof, note }, &leaf)
}

/// The newest cosigned checkpoint where the log has one, else the newest.
async fn newest_checkpoint(url: &Url, outbound: &Outbound) -> Result<SignedNote, Failure> {
    let address = format!("{}/checkpoint", url.as_str().trim_end_matches('/'));
    let address = Url::parse(&address).map_err(|error| malformed(error.to_string()))?;
    let mut answer = outbound.get_with(&address, &[("prefer", "cosigned")], &Limits::SERVICE).await;
    if answer.as_ref().is_ok_and(|answer| answer.status != 200) {
        answer = outbound.get(&address, &Limits::SERVICE).await;
    }
    let answer = answer.map_err(|error| unreachable(&error))?;
    if answer.status != 200 {
        return Err(Failure::new(ExitStatus::Network, format!("{address} answered with status {}", answer.status))
            .hint("name the monitoring prefix of a log, such as http://127.0.0.1:7700/log/NAME"));
    }
    SignedNote::parse(&answer.body).map_err(|error| malformed(error.to_string()))
}

async fn proof_at(prefix: &Prefix, index: LeafIndex, size: TreeSize) -> Result<Vec<Hash>, Failure> {
    let plan = inclusion_plan(index, size).map_err(|error| {
        Failure::from_error(ExitStatus::Usage, &error).hint("the log has not published the entry yet, or never had it")
    })?;
    let mut hashes = Vec::with_capacity(plan.nodes().len());
    for node in plan.nodes() {
        let mut tile = Tile::covering(*node, size).map_err(|error| malformed(error.to_string()))?;
        let mut bytes = read_tile(prefix, &tile.path()).await?;
        if bytes.is_none() && tile.is_partial() {
            // A partial tile that is gone has become a full one.
            tile.width = TILE_WIDTH;
            bytes = read_tile(prefix, &tile.path()).await?;
        }
        let bytes = bytes.ok_or_else(|| missing(&tile.path()))?;
        hashes.push(tile.node(&bytes, *node).map_err(|error| malformed(error.to_string()))?);
    }
    Ok(plan.assemble(&hashes))
}

async fn leaf_at(prefix: &Prefix, index: LeafIndex, size: TreeSize) -> Result<Vec<u8>, Failure> {
    let width = u64::from(TILE_WIDTH);
    let (bundle, place) = (index.0 / width, index.0 % width);
    let held = size.0.saturating_sub(bundle * width).min(width);
    let mut held = u16::try_from(held).expect("a minimum with 256");
    let mut bytes = read_tile(prefix, &entry_bundle_path(bundle, held)).await?;
    if bytes.is_none() && held != TILE_WIDTH {
        held = TILE_WIDTH;
        bytes = read_tile(prefix, &entry_bundle_path(bundle, held)).await?;
    }
    let bytes = bytes.ok_or_else(|| {
        missing(&entry_bundle_path(bundle, held))
            .hint("a log of another kind has no entry bundles: name the entry with --bundle")
    })?;
    let entries = decode_entry_bundle(&bytes, held).map_err(|error| malformed(error.to_string()))?;
    let place = usize::try_from(place).expect("a remainder of 256");
    entries
        .get(place)
        .map(|leaf| leaf.to_vec())
        .ok_or_else(|| Failure::new(ExitStatus::Usage, format!("index {index} is not in the tree of {size} entries")))
}

async fn read_tile(prefix: &Prefix, path: &str) -> Result<Option<Vec<u8>>, Failure> {
    prefix.read(path).await.map_err(|error| unreachable(&error))
}

fn verify(args: &VerifyArgs, printer: Printer) -> Result<(), Failure> {
    let bytes = read_limited(&args.file, RECEIPT_BYTES_MAX as u64)?;
    let receipt = Receipt::parse(&bytes).map_err(|error| {
        Failure::new(ExitStatus::Unreadable, format!("{} is no receipt", args.file.display())).because(error)
    })?;
    let leaf = leaf_of(args, &receipt)?;
    let policy = args.witness_policy.as_deref().map(read_policy).transpose()?;
    let keys = log_keys(args, &receipt, policy.as_ref(), printer)?;
    let proven = proven(&receipt, &leaf_hash(&leaf), &keys)?;
    let cosigned = policy.as_ref().map(|policy| policy.cosigned(&receipt.note)).transpose();
    let cosigned = cosigned.map_err(|error| {
        Failure::new(ExitStatus::Untrusted, "the receipt is not cosigned as demanded").because(error)
    })?;
    report(args, &receipt, &proven, &cosigned.unwrap_or_default(), printer);
    Ok(())
}

fn leaf_of(args: &VerifyArgs, receipt: &Receipt) -> Result<Vec<u8>, Failure> {
    if let Some(path) = &args.bundle {
        return Ok(entry_of(path)?.body().to_vec());
    }
    if let Some(path) = &args.leaf {
        return read(path);
    }
    receipt.extra.clone().ok_or_else(|| {
        Failure::new(ExitStatus::Usage, "the receipt carries no leaf").hint("name it with --leaf FILE or --bundle FILE")
    })
}

/// Who may have signed the checkpoint: the key that was named, the logs of the policy, or else the trusted root's log of that name.
fn log_keys(
    args: &VerifyArgs,
    receipt: &Receipt,
    policy: Option<&WitnessPolicy>,
    printer: Printer,
) -> Result<Vec<NoteKey>, Failure> {
    if let Some(vkey) = &args.vkey {
        return by_vkey(vkey);
    }
    if let Some(policy) = policy.filter(|policy| !policy.logs().is_empty()) {
        return Ok(policy.logs().to_vec());
    }
    by_name(&receipt.note, &args.trust.for_verifying(printer)?)
}

/// The one key that the user names.
pub(super) fn by_vkey(vkey: &str) -> Result<Vec<NoteKey>, Failure> {
    let key = NoteKey::parse_vkey(vkey);
    Ok(vec![key.map_err(|error| Failure::from_error(ExitStatus::Usage, &error).about("--vkey"))?])
}

/// The keys of the trusted root's log that a checkpoint says it is of.
pub(super) fn by_name(note: &SignedNote, root: &TrustedRoot) -> Result<Vec<NoteKey>, Failure> {
    let origin = note.text().split('\n').next().unwrap_or_default();
    let keys: Vec<NoteKey> =
        [LogKind::Rekor, LogKind::Ct].into_iter().flat_map(|kind| kind.note_keys(origin, root)).collect();
    if keys.is_empty() {
        return Err(Failure::new(ExitStatus::Untrusted, format!("the trusted root has no log {origin}"))
            .hint("name another one with --trusted-root FILE, or the log's key with --vkey"));
    }
    Ok(keys)
}

/// The proof under one of the keys; otherwise the failure that says most.
fn proven(receipt: &Receipt, leaf: &Hash, keys: &[NoteKey]) -> Result<ProvenLeaf, Failure> {
    let mut failure = None;
    for key in keys {
        match receipt.verify(leaf, key) {
            Ok(proven) => return Ok(proven),
            Err(found @ (ReceiptFailure::Inclusion(_) | ReceiptFailure::Checkpoint(_))) => failure = Some(found),
            Err(found @ (ReceiptFailure::Note(_) | ReceiptFailure::Origin { .. })) => {
                failure.get_or_insert(found);
            }
        }
    }
    let Some(failure) = failure else { return Err(malformed("no key of a log")) };
    let status = match failure {
        ReceiptFailure::Inclusion(_) => ExitStatus::Tampered,
        ReceiptFailure::Note(_) | ReceiptFailure::Origin { .. } | ReceiptFailure::Checkpoint(_) => {
            ExitStatus::Untrusted
        }
    };
    Err(Failure::new(status, "the receipt proves nothing").because(failure))
}

fn report(args: &VerifyArgs, receipt: &Receipt, proven: &ProvenLeaf, cosigned: &[Cosignature], printer: Printer) {
    let included = proven.included();
    match args.output {
        Output::Text => {
            let (index, origin, size) = (included.index(), proven.origin(), included.size());
            printer.passed(args.file.display(), format_args!("entry {index} is in the tree of {size} entries of {origin}"));
            for Cosignature { name, time } in cosigned {
                printer.note(format_args!("  cosigned by {name} at {time}"));
            }
        }
        Output::Json => printer.result(json!({
            "version": 1,
            "origin": proven.origin(),
            "index": included.index().0,
            "treeSize": included.size().0,
            "rootHash": hex::encode(included.root().0),
            "carriesLeaf": receipt.extra.is_some(),
            "witnesses": cosigned.iter().map(|one| json!({ "name": one.name, "time": one.time.to_string() })).collect::<Vec<_>>(),
        })),
    }
}

fn read_policy(path: &Path) -> Result<WitnessPolicy, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::new(ExitStatus::Unreadable, format!("{} cannot be used", path.display())).because(error)
    };
    let text = String::from_utf8(read_limited(path, TLOG_POLICY_BYTES_MAX)?).map_err(|error| unusable(&error))?;
    WitnessPolicy::from_tlog_policy(&text).map_err(|error| unusable(&error))
}

/// The library refuses longer ones by itself; this one keeps a file without end from being read.
const TLOG_POLICY_BYTES_MAX: u64 = 1 << 20;

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_limited(path, INPUT_BYTES_MAX)
}

fn read_limited(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    paths::read_limited(path, bytes_max).map_err(|error| {
        Failure::new(ExitStatus::Unreadable, format!("{} could not be read", path.display())).because(error)
    })
}

fn missing(path: &str) -> Failure {
    Failure::new(ExitStatus::Network, format!("the log does not serve {path}, which its checkpoint covers"))
}

fn malformed(problem: impl std::fmt::Display) -> Failure {
    Failure::new(ExitStatus::Unreadable, "what the log or the bundle says is malformed").because(problem)
}
