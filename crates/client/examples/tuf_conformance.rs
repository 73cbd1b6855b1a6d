// SPDX-License-Identifier: Apache-2.0
//! The client that the public TUF conformance suite drives: its protocol on [`TrustStore`], so that what is measured is the walk that
//! `touchmark initialize` and every verification make.
//!
//! Protocol: theupdateframework/tuf-conformance, `CLIENT-CLI.md`. Run it by `cargo xtask interop tuf-conformance --suite DIR`.
//! In scope: `init`, `refresh`, `download`; copies of what the store holds, where the suite looks for them. Out of scope: anything that
//! the product does not do. A cache that stands in for a mirror out of reach is a failure here, since the suite asks for a refresh.
//! Invariants: the clock is the system's, which the suite moves.

#![expect(clippy::print_stderr, reason = "the suite shows what a failing client says")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use touchmark_client::trust::{Freshness, TrustStore, VerifiedRepository};
use touchmark_outbound::{Outbound, Reach};
use url::Url;

type Failure = Box<dyn Error>;

/// Ours, within the directory that the suite looks into: it counts the `.json` files beside it.
const STORE_DIR: &str = ".store";
const INITIAL_ROOT_FILE: &str = "initial.root.json";

#[derive(Default)]
struct Arguments {
    metadata_dir: Option<PathBuf>,
    metadata_url: Option<Url>,
    target_names: Vec<String>,
    target_base_url: Option<Url>,
    target_dir: Option<PathBuf>,
    words: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        message = format!("{message}: {source}");
        cause = source.source();
    }
    eprintln!("tuf-conformance: {message}");
    ExitCode::FAILURE
}

async fn run() -> Result<(), Failure> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    let metadata_dir = arguments.metadata_dir.as_deref().ok_or("--metadata-dir is missing")?;
    match arguments.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["init", root] => init(metadata_dir, Path::new(root)),
        ["refresh"] => refresh(metadata_dir, &arguments).await.map(drop),
        ["download"] => download(metadata_dir, &arguments).await,
        _ => Err("expected init ROOT, refresh or download".into()),
    }
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut read = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--metadata-dir" => read.metadata_dir = Some(value()?.into()),
                "--metadata-url" => read.metadata_url = Some(value()?.parse()?),
                "--target-name" => read.target_names.push(value()?),
                "--target-base-url" => read.target_base_url = Some(value()?.parse()?),
                "--target-dir" => read.target_dir = Some(value()?.into()),
                option if option.starts_with('-') => return Err(format!("unknown option {option}").into()),
                _ => read.words.push(word),
            }
        }
        Ok(read)
    }
}

/// The root is only put aside: it is pinned for a mirror, which the suite names later.
fn init(metadata_dir: &Path, root: &Path) -> Result<(), Failure> {
    let store_dir = metadata_dir.join(STORE_DIR);
    std::fs::create_dir_all(&store_dir)?;
    std::fs::copy(root, store_dir.join(INITIAL_ROOT_FILE))?;
    std::fs::copy(root, metadata_dir.join("root.json"))?;
    Ok(())
}

async fn refresh(metadata_dir: &Path, arguments: &Arguments) -> Result<VerifiedRepository, Failure> {
    let mirror = arguments.metadata_url.as_ref().ok_or("--metadata-url is missing")?;
    let store_dir = metadata_dir.join(STORE_DIR);
    let mut store = TrustStore::at(&store_dir);
    if let Some(targets) = &arguments.target_base_url {
        store = store.with_targets_at(targets.clone());
    }
    store = store.keeping(arguments.target_names.clone());
    let outbound = Outbound::new("touchmark-tuf-conformance", Reach::Private, None);
    let now = Timestamp::now();
    store.pin(mirror, &std::fs::read(store_dir.join(INITIAL_ROOT_FILE))?).await?;
    let opened = store.open(Freshness::Refresh(&outbound), now).await;
    // Also after a failure: what was verified before it is trusted.
    show(&store.metadata_dir(mirror), metadata_dir)?;
    show(&store.metadata_dir(mirror).join("seen"), metadata_dir)?;
    let repository = opened?;
    match repository.stale() {
        None => Ok(repository),
        Some(stale) => Err(format!("the repository was not refreshed: {:?}", stale.cause).into()),
    }
}

/// Copies the metadata to where the suite counts them. The store also keeps each snapshot under its version.
fn show(from: &Path, to: &Path) -> Result<(), Failure> {
    let entries = match std::fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let version = name.strip_suffix(".snapshot.json");
        let is_versioned = version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit()));
        if name.ends_with(".json") && !is_versioned {
            std::fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

async fn download(metadata_dir: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let target_dir = arguments.target_dir.as_ref().ok_or("--target-dir is missing")?;
    let mut repository = refresh(metadata_dir, arguments).await?;
    for name in &arguments.target_names {
        let (bytes, path) = (repository.target(name).await?, target_dir.join(hex::encode(name)));
        // A target that came from the cache is not written again: the suite goes by the times of the files.
        if std::fs::read(&path).ok().as_ref() != Some(&bytes) {
            std::fs::write(&path, bytes)?;
        }
    }
    Ok(())
}
