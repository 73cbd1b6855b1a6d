// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust export`: the trust of an instance in one file, for `trust import`, or in the files that other clients take.
//!
//! Nothing is asked of the network, and what is written was verified from the pinned root on just before.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use jiff::Timestamp;
use touchmark_client::trust::{ClientFiles, Freshness, InstanceName, TrustStore, VerifiedRepository};

use crate::bundle_file::BundleFile;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::paths::shell_word;
use crate::printer::Printer;
use crate::trust::StoreArgs;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File to write; with --for the directory to write to
    #[arg(long, value_name = "FILE|DIR")]
    out: PathBuf,
    /// Write the files that this client takes
    #[arg(long = "for", value_name = "CLIENT", value_enum)]
    client: Option<Client>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Who takes the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Client {
    Cosign,
    SigstorePython,
    SigstoreJs,
    /// Every file, for any client
    Files,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let (store, now) = (args.store.store()?, Timestamp::now());
    let Some(client) = args.client else {
        let export = store.export(now)?;
        BundleFile::named(&args.out).write(&export.to_json())?;
        let (files, out) = (export.names().count(), args.out.display());
        printer.note(format_args!("{files} files of {} written to {out}", export.mirror()));
        printer.note("On the other machine, with a root that got there another way:");
        printer.command(format_args!(
            "touchmark trust import {}{} --root FILE|sha256:HEX",
            shell_word(&args.out.to_string_lossy()),
            named(&store)?.map(|name| format!(" --as {name}")).unwrap_or_default(),
        ));
        return Ok(());
    };
    crate::commands::block_on(async {
        let mut repository = store.open(Freshness::Offline, now).await?;
        let files = repository.client_files().await?;
        write(client, &files, &args.out)?;
        say(client, &repository, &args.out, printer);
        Ok(())
    })
}

/// The name that the instance has here; the built-in one can have none.
fn named(store: &TrustStore) -> Result<Option<InstanceName>, Failure> {
    let mut known = store.instances()?.into_iter();
    let found = match store.chosen() {
        Some(chosen) => known.find(|known| known.name == *chosen),
        None => known.find(|known| known.is_default),
    };
    Ok(found.map(|known| known.name))
}

fn write(client: Client, files: &ClientFiles, directory: &Path) -> Result<(), Failure> {
    let signing = match (&files.signing, client) {
        (None, Client::SigstorePython) => {
            return Err(Failure::new(
                ExitStatus::TrustRoot,
                "the instance publishes no signing config, without which sigstore-python takes no file",
            )
            .hint("--for files writes what there is"));
        }
        (signing, _) => signing.as_ref(),
    };
    let root = Some(("root.json", files.root.as_slice()));
    let trusted_root = Some(("trusted_root.json", files.trusted_root.as_slice()));
    let signing_config = signing.map(|signing| ("signing_config.json", signing.signing_config.as_slice()));
    let both = signing.map(|signing| ("client_trust_config.json", signing.client_trust_config.as_slice()));
    let wanted = match client {
        Client::Cosign => vec![root, trusted_root, signing_config],
        Client::SigstorePython => vec![root, both],
        Client::SigstoreJs => vec![root, trusted_root],
        Client::Files => vec![root, trusted_root, signing_config, both],
    };
    std::fs::create_dir_all(directory).map_err(|error| {
        Failure::new(ExitStatus::Unreadable, format!("{} could not be made", directory.display())).because(error)
    })?;
    wanted.into_iter().flatten().try_for_each(|(name, bytes)| BundleFile::named(&directory.join(name)).write(bytes))
}

/// With which flags the client takes them.
fn say(client: Client, repository: &VerifiedRepository, directory: &Path, printer: Printer) {
    let file = |name: &str| shell_word(&directory.join(name).to_string_lossy()).into_owned();
    let (mirror, root) = (shell_word(repository.mirror().as_str()).into_owned(), file("root.json"));
    printer.note(format_args!(
        "Written to {}; the trust in them ends at {}",
        directory.display(),
        repository.expires()
    ));
    if matches!(client, Client::Cosign | Client::Files) {
        printer.heading("cosign: without a network, or through TUF");
        printer.command(format_args!("cosign verify-blob --trusted-root {} …", file("trusted_root.json")));
        let signing = format!("--signing-config {}", file("signing_config.json"));
        printer.command(format_args!("cosign sign-blob {signing} --trusted-root {} …", file("trusted_root.json")));
        printer.command(format_args!("cosign initialize --mirror {mirror} --root {root}"));
    }
    if matches!(client, Client::SigstorePython | Client::Files) {
        printer.heading("sigstore-python: without TUF, or through it");
        let config = file("client_trust_config.json");
        printer.command(format_args!("sigstore --trust-config {config} verify identity …"));
        printer.command(format_args!("sigstore --instance {mirror} trust-instance {root}"));
    }
    if matches!(client, Client::SigstoreJs | Client::Files) {
        printer.heading("sigstore-js: its command line through TUF, its library (TrustedRoot of @sigstore/protobuf-specs) without a network");
        printer.command(format_args!("sigstore verify --tuf-mirror-url {mirror} --tuf-root-path {root} …"));
        let trusted_root = file("trusted_root.json");
        printer
            .command(format_args!("toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(readFileSync('{trusted_root}'))))"));
    }
}
