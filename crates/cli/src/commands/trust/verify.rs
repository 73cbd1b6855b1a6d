// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust verify`: the walk of a client through a repository, from a root that is known, at any time; and what else is wrong.

use std::path::Path;

use jiff::Timestamp;
use serde_json::json;
use touchmark_outbound::{Limits, Outbound};
use touchmark_trust::ceremony::{CeremonyError, Repository, read_file};
use touchmark_trust::lint::{Severity, lint};
use touchmark_trust::role::Root;
use touchmark_trust::walk::{Memory, Walk, Walked, Wanted};
use url::Url;

use super::failure;
use super::report::{print_findings, print_walked, walked_json};
use crate::commands::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::{Printer, printable};
use crate::trust::{NetworkArgs, mirror_url};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory or address of the repository
    repository: String,
    /// Root file that you know
    #[arg(long, value_name = "FILE")]
    root: String,
    /// Walk as at this time, such as 2027-01-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    #[command(flatten)]
    network: NetworkArgs,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let now = args.at.unwrap_or_else(Timestamp::now);
    let walked = match (walk(args, now), args.output) {
        (Ok(walked), _) => walked,
        (Err(failure), Output::Text) => return Err(failure),
        (Err(failure), Output::Json) => {
            printer.result(json!({ "version": 1, "failure": failure.to_json() }));
            return Err(failure.reported());
        }
    };
    say(args, &walked, now, printer)
}

fn walk(args: &Args, now: Timestamp) -> Result<Walked, Failure> {
    let root = Root::pinned(read_file(Path::new(&args.root)).map_err(failure)?)
        .map_err(|error| Failure::new(ExitStatus::TrustRoot, format!("{}: {error}", args.root)))?;
    if args.repository.contains("://") {
        let outbound = args.network.outbound()?;
        return crate::commands::block_on(walk_url(
            &args.repository,
            Walk::start(root, Memory::default(), now),
            &outbound,
        ));
    }
    if !Path::new(&args.repository).is_dir() {
        return Err(Failure::new(ExitStatus::Unreadable, format!("there is no directory {}", args.repository))
            .hint("name the directory that has 1.root.json and timestamp.json in it, or the repository's address with http:// or https://"));
    }
    Repository::at(&args.repository).walk(root, Memory::default(), now).map_err(failure)
}

fn say(args: &Args, walked: &Walked, now: Timestamp, printer: Printer) -> Result<(), Failure> {
    let findings = lint(walked, now);
    match args.output {
        Output::Text => {
            print_walked(walked, now, printer);
            walked.unsound.iter().for_each(|error| printer.result(printable(format!("unsound: {error}"))));
            print_findings(&findings, printer);
        }
        Output::Json => printer.result(walked_json(walked, &findings, now)),
    }
    let is_unsound =
        !walked.unsound.is_empty() || findings.iter().any(|finding| finding.severity() == Severity::Danger);
    match is_unsound {
        true => Err(Failure::new(ExitStatus::TrustRoot, "the repository is unsound").reported()),
        false => Ok(()),
    }
}

pub(super) async fn walk_url(base: &str, mut walk: Walk, outbound: &Outbound) -> Result<Walked, Failure> {
    mirror_url(base).map_err(|problem| Failure::new(ExitStatus::Usage, format!("the address {base}: {problem}")))?;
    while let Some(wanted) = walk.wanted() {
        let bytes = fetch(base, &wanted, outbound).await?;
        walk.supply(bytes).map_err(|error| failure(CeremonyError::Walk(error)))?;
    }
    Ok(walk.finish().expect("a walk that wants nothing has found everything"))
}

/// A file that is not there ends the root chain; any other failure is a failure, or a mirror could hide a root behind one.
async fn fetch(base: &str, wanted: &Wanted, outbound: &Outbound) -> Result<Option<Vec<u8>>, Failure> {
    let text = format!("{}/{}", base.trim_end_matches('/'), wanted.name);
    let unreachable =
        |cause: String| Failure::new(ExitStatus::Network, format!("{text} could not be fetched")).because(cause);
    let url = Url::parse(&text).map_err(|error| unreachable(error.to_string()))?;
    let limits = Limits { response_bytes_max: wanted.bytes_max, ..Limits::SERVICE };
    let response = outbound.get(&url, &limits).await.map_err(|error| unreachable(error.to_string()))?;
    match response.status {
        200 => Ok(Some(response.body)),
        // Object stores answer 403 for a name that does not exist.
        403 | 404 => Ok(None),
        status => Err(unreachable(format!("status {status}"))),
    }
}
