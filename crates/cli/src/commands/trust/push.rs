// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust push`: hands a published repository on, to a directory or a bucket, from where clients are served.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use touchmark_trust::ceremony::{Ceremony, Clock, Repository};
use url::Url;

use super::bucket::Bucket;
use super::failure;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::trust::StoreArgs;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The published repository: `repository` of the ceremony
    repository: PathBuf,
    /// A directory, or s3://BUCKET/PREFIX with the credentials and the region of AWS's environment variables
    #[arg(long, value_name = "PLACE")]
    to: String,
    /// Address of a store that speaks the protocol of S3 [default: AWS's, of the region]
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<Url>,
    #[command(flatten)]
    store: StoreArgs,
}

/// The ceremony that the repository belongs to, held until it is pushed: nothing is handed on that its log does not know, nor while it changes.
fn ceremony_of(repository: &Path) -> Result<Option<Ceremony>, Failure> {
    let Ok(repository) = repository.canonicalize() else { return Ok(None) };
    let directory = repository.parent().filter(|directory| directory.join("ceremony.json").exists());
    let Some(directory) = directory.filter(|_| repository.ends_with("repository")) else { return Ok(None) };
    let ceremony = Ceremony::open(directory, Clock::Machine).map_err(failure)?;
    ceremony.expect_no_publication().map_err(failure)?;
    ceremony.published_as_recorded().map_err(failure)?;
    Ok(Some(ceremony))
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let repository = Repository::at(&args.repository);
    if !args.repository.join("timestamp.json").exists() {
        let message = format!("there is no published repository in {}", args.repository.display());
        return Err(Failure::new(ExitStatus::Unreadable, message)
            .hint("name the directory with 1.root.json and timestamp.json in it: `repository` of the ceremony"));
    }
    let _ceremony = ceremony_of(&args.repository)?;
    let now = Timestamp::now();
    let place = args.to.strip_prefix("file://").unwrap_or(&args.to);
    if place.is_empty() || (!args.to.starts_with("s3://") && place.contains("://")) {
        return Err(Failure::new(ExitStatus::Usage, format!("{:?} is no place to push to", args.to))
            .hint("name a directory, file://DIRECTORY or s3://BUCKET/PREFIX"));
    }
    let written = crate::commands::block_on(async {
        let pushed = if args.to.starts_with("s3://") {
            let bucket = Bucket::open(&args.to, args.s3_endpoint.as_ref(), args.store.outbound()?).map_err(failure)?;
            repository.push(&bucket, now).await
        } else {
            repository.push(&Repository::at(place), now).await
        };
        pushed.map_err(failure)
    })?;
    written.iter().for_each(|name| printer.result(name));
    printer.note(match written.len() {
        0 => format!("{} has everything already", args.to),
        files => format!("{files} files are new in {}", args.to),
    });
    Ok(())
}
