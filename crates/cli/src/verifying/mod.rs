// SPDX-License-Identifier: Apache-2.0
//! What `verify-blob` and `verify-blob-attestation` have in common: flags, inputs, policy, trust, verdicts. Start reading at [`run`].
//!
//! Out of scope: every check, all of which are in `touchmark_sigstore::verify`.
//! Invariants: the exit code is 0 only if every input was verified; verdicts come in the order of the inputs; whatever goes wrong with
//! one input keeps no other from its verdict.

mod advice;
mod candidates;
#[cfg(test)]
mod codes;
pub(crate) mod inputs;
mod judge;
mod parallel;
pub(crate) mod policy;
pub(crate) mod predicate;
pub(crate) mod report;
mod signers;
pub(crate) mod verdict;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use touchmark_client::ct_inclusion::{CtLogAddressError, CtLogAddresses};
use touchmark_sigstore::policy::Matcher;

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::trust::TrustArgs;
use inputs::Input;
use judge::{Judge, Scale};
use policy::PolicyArgs;
use report::{Detail, Report};
use verdict::{Outcome, SignedAs, Subject, Verdict};

/// From this many inputs on a counter is drawn.
const COUNTER_INPUTS_MIN: usize = 16;

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Files to verify, patterns of files, `-` for stdin, or sha256:HEX (sha384, sha512) for a digest alone
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The bundle, or several as JSON lines [default: FILE.sigstore.json, FILE.sigstore or FILE.sigstore.jsonl]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// How to print the verdicts: lines of text, or one JSON document a line
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Say of every check what it proved
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten, next_help_heading = "Trust")]
    trust: TrustArgs,
    /// Ask the CT logs whether they hold the certificate: an SCT is only a promise
    #[arg(long, conflicts_with_all = ["offline", "key"], help_heading = "Online")]
    require_ct_inclusion: bool,
    /// Where the CT logs are, if not where the trusted root says: URL for all, or ORIGIN=URL for one; repeatable
    #[arg(long, value_name = "URL", requires = "require_ct_inclusion", help_heading = "Online")]
    ct_log_url: Vec<String>,
    #[command(flatten)]
    of_cosign: CosignArgs,
}

/// How verdicts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Flags of cosign that its scripts say: defaults said aloud, and files that have a better place.
#[derive(Debug, clap::Args)]
struct CosignArgs {
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    new_bundle_format: Option<AlwaysOn>,
    #[arg(long, hide = true, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[arg(long, hide = true, value_name = "FILE", alias = "cert")]
    certificate: Option<PathBuf>,
    #[arg(long, hide = true, value_name = "FILE")]
    rfc3161_timestamp: Option<PathBuf>,
}

/// A switch of cosign whose only value that we know is its default. Scripts that say it aloud go on to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlwaysOn {
    True,
}

/// What a command asks for, beside the flags that both have.
pub(crate) struct Asked {
    pub(crate) signed_as: SignedAs,
    /// The type that a statement must have, unless a policy file says so.
    pub(crate) predicate_type: Option<Matcher>,
    pub(crate) about: About,
}

/// What signatures have to be about.
pub(crate) enum About {
    /// The arguments.
    Files,
    /// An input that is no argument.
    Only(Input),
}

/// Verifies everything that was asked for, and says so.
pub(crate) fn run(args: &VerifyArgs, asked: Asked, printer: Printer) -> Result<(), Failure> {
    let (inputs, judge) = match prepare(args, asked, printer) {
        Ok(prepared) => prepared,
        Err(failure) if args.output == Output::Json => {
            let verdict = Verdict { subject: Subject::none(), outcome: Outcome::NotReached(failure.clone()) };
            printer.result(verdict.to_json());
            return Err(failure.reported());
        }
        Err(failure) => return Err(failure),
    };
    let counter = (inputs.len() >= COUNTER_INPUTS_MIN).then(|| printer.counter(inputs.len(), "verifying"));
    let (mut refused, mut worst) = (0_usize, None);
    let report = |verdict: &Verdict| match (args.output, args.verbose) {
        (Output::Json, _) => Report::json(verdict),
        (Output::Text, false) => Report::text(verdict, Detail::OneLine),
        (Output::Text, true) => Report::text(verdict, Detail::EveryCheck),
    };
    parallel::for_each(
        &inputs,
        |input| report(&judge.judge(input)),
        |report| {
            match &counter {
                Some(counter) => {
                    counter.suspend(|| report.print(printer));
                    counter.inc(1);
                }
                None => report.print(printer),
            }
            if let Some(status) = report.status() {
                refused += 1;
                worst = Some(worst.map_or(status, |worst: ExitStatus| worst.or_worse(status)));
            }
        },
    );
    counter.iter().for_each(indicatif::ProgressBar::finish_and_clear);
    let Some(worst) = worst else { return Ok(()) };
    if inputs.len() > 1 && args.output == Output::Text {
        printer.note(format_args!("{refused} of {} not verified", inputs.len()));
    }
    Err(Failure::new(worst, "not verified").reported())
}

/// Everything that is wrong with the call itself is found here, before anything is verified.
fn prepare(args: &VerifyArgs, asked: Asked, printer: Printer) -> Result<(Vec<Input>, Judge<'_>), Failure> {
    expect_bundles(&args.of_cosign)?;
    let inputs = match asked.about {
        About::Only(input) if args.files.is_empty() => vec![input],
        About::Only(_) => {
            return Err(Failure::new(
                ExitStatus::Usage,
                "--digest and --check-claims=false stand for the file: leave it out",
            ));
        }
        About::Files => inputs::inputs(&args.files, args.bundle.as_deref())?,
    };
    let policies = args.policy.policies(asked.predicate_type, printer)?;
    let ct_logs = args.require_ct_inclusion.then(|| CtLogAddresses::parse(&args.ct_log_url)).transpose();
    let ct_logs = ct_logs.map_err(|error: CtLogAddressError| Failure::from_error(ExitStatus::Usage, &error))?;
    let scale = if inputs.len() == 1 { Scale::One } else { Scale::Many };
    Ok((inputs, Judge::new(asked.signed_as, policies, &args.trust, ct_logs, scale, printer)))
}

/// A detached signature is made into a bundle first, so that there is one form to verify.
fn expect_bundles(flags: &CosignArgs) -> Result<(), Failure> {
    let files = [
        ("--signature", &flags.signature),
        ("--certificate", &flags.certificate),
        ("--rfc3161-timestamp", &flags.rfc3161_timestamp),
    ];
    let given: Vec<String> = files
        .iter()
        .filter_map(|(flag, file)| {
            Some(format!("{flag} {}", crate::paths::shell_word(&file.as_ref()?.to_string_lossy())))
        })
        .collect();
    if given.is_empty() {
        return Ok(());
    }
    Err(Failure::new(ExitStatus::Usage, "signatures are verified in bundles").hint(format!(
        "make one, offline: touchmark bundle upgrade {} --output-file FILE.sigstore.json",
        given.join(" ")
    )))
}

impl VerifyArgs {
    pub(crate) fn bundle(&self) -> Option<&Path> {
        self.bundle.as_deref()
    }

    pub(crate) fn has_policy_file(&self) -> bool {
        self.policy.is_of_file()
    }
}
