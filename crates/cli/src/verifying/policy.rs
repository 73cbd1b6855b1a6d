// SPDX-License-Identifier: Apache-2.0
//! What a signature must prove: the flags, or a policy file, as policies of the library.
//!
//! In scope: flags to `Policy`; reading a policy file and the files that it names. Out of scope: what a policy means.
//! Invariants: whatever makes a verdict weaker is a flag whose name says so, and is warned of; a flag that a policy file covers cannot
//! stand beside it; there is no default signer.

use std::path::{Path, PathBuf};

use touchmark_keys::{KeyError, PublicKey};
use touchmark_sigstore::policy::file::{POLICY_FILE_BYTES_MAX, PolicyFile, PolicyFileError};
use touchmark_sigstore::policy::{
    Demands, DemandsError, Finding, FulcioExtension, IdentityRule, KeyRule, Matcher, Policy, Severity,
    TLOG_POLICY_BYTES_MAX, WitnessPolicy,
};

use super::signers::{self, SignerArgs};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::paths;
use crate::printer::Printer;

/// The largest file with a public key; the longest key, of ML-DSA-87, has 4 KiB in PEM.
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;

const DEMANDS: &str = "What it must prove";
const WEAKENING: &str = "What it need not prove";

/// The flags that a policy file covers.
const COVERED: [&str; 21] = [
    "key",
    "certificate_extension",
    "certificate_github_workflow_trigger",
    "certificate_github_workflow_sha",
    "certificate_github_workflow_name",
    "certificate_github_workflow_repository",
    "certificate_github_workflow_ref",
    "min_log_entries",
    "min_log_operators",
    "min_scts",
    "min_timestamps",
    "use_signed_timestamps",
    "min_times",
    "witness_policy",
    "insecure_ignore_tlog",
    "insecure_ignore_sct",
    "insecure_ignore_time",
    "insecure_accept_unproven_entries",
    signers::NAMES[0],
    signers::NAMES[1],
    signers::NAMES[2],
];

/// The flags that are about certificates.
const OF_CERTIFICATES: [&str; 14] = [
    "certificate_extension",
    "certificate_github_workflow_trigger",
    "certificate_github_workflow_sha",
    "certificate_github_workflow_name",
    "certificate_github_workflow_repository",
    "certificate_github_workflow_ref",
    "min_scts",
    signers::NAMES[0],
    signers::NAMES[1],
    signers::NAMES[2],
    signers::NAMES[3],
    signers::NAMES[4],
    signers::NAMES[5],
    signers::NAMES[6],
];

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    signers: SignerArgs,
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// An extension of the certificate that must have this value, by name or by object identifier; repeatable
    #[arg(long, value_name = "NAME=VALUE", help_heading = signers::HEADING)]
    certificate_extension: Vec<String>,
    /// A public key in PEM that must have signed, instead of an identity
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_CERTIFICATES, help_heading = signers::HEADING)]
    key: Option<PathBuf>,
    /// A policy file (TOML), instead of all flags that say who and what; see `touchmark policy check`
    #[arg(long, value_name = "FILE", conflicts_with_all = COVERED, conflicts_with_all = &signers::NAMES[3..], help_heading = signers::HEADING)]
    policy: Option<PathBuf>,
    #[command(flatten)]
    demands: DemandArgs,
    #[command(flatten)]
    weakened: WeakenedArgs,
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = signers::HEADING)]
struct WorkflowArgs {
    /// The event that started the GitHub workflow, as `push`
    #[arg(long, value_name = "EVENT")]
    certificate_github_workflow_trigger: Option<String>,
    /// The commit that the GitHub workflow built
    #[arg(long, value_name = "SHA")]
    certificate_github_workflow_sha: Option<String>,
    /// The name of the GitHub workflow
    #[arg(long, value_name = "NAME")]
    certificate_github_workflow_name: Option<String>,
    /// The repository of the GitHub workflow, as `owner/repo`
    #[arg(long, value_name = "OWNER/REPO")]
    certificate_github_workflow_repository: Option<String>,
    /// The ref that the GitHub workflow built, as `refs/heads/main`
    #[arg(long, value_name = "REF")]
    certificate_github_workflow_ref: Option<String>,
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = DEMANDS)]
struct DemandArgs {
    /// Entries in so many different logs [default: 1]
    #[arg(long, value_name = "N")]
    min_log_entries: Option<usize>,
    /// These logs are of so many different operators
    #[arg(long, value_name = "N")]
    min_log_operators: Option<usize>,
    /// The certificate was promised to so many different CT logs [default: 1]
    #[arg(long, value_name = "N")]
    min_scts: Option<usize>,
    /// RFC 3161 timestamps of so many different authorities
    #[arg(long, value_name = "N")]
    min_timestamps: Option<usize>,
    /// As in cosign: there is an RFC 3161 timestamp
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    use_signed_timestamps: Option<bool>,
    /// Verified times of so many different sources [default: 1; with --key 0]
    #[arg(long, value_name = "N")]
    min_times: Option<usize>,
    /// Witnesses that must have cosigned the log's checkpoint (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    witness_policy: Option<PathBuf>,
}

/// Switches of cosign take `=true` and `=false` too.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = WEAKENING)]
struct WeakenedArgs {
    /// Accept a signature that is in no log: misuse of an identity stays hidden
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    insecure_ignore_tlog: Option<bool>,
    /// Accept a certificate that no CT log was promised
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    insecure_ignore_sct: Option<bool>,
    /// Accept a signature without verified time, if its certificate is valid now
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    insecure_ignore_time: Option<bool>,
    /// Accept log entries with a promise and no proof, as bundles of version 0.1 may have them
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    insecure_accept_unproven_entries: Option<bool>,
}

impl PolicyArgs {
    /// The policies, of which one must accept a signature. `predicate_type` is demanded unless a policy file decides.
    pub(crate) fn policies(&self, predicate_type: Option<Matcher>, printer: Printer) -> Result<Vec<Policy>, Failure> {
        if let Some(path) = &self.policy {
            let policies = read_policy_file(path)?.policies().map_err(|error| unusable(path, &error))?;
            warn(&policies, printer, |finding| finding.severity == Severity::Danger);
            return Ok(policies);
        }
        let (policy, demands) = match &self.key {
            Some(path) => {
                let key = read_public_key(path)?;
                (Policy::managed_key(KeyRule { key, valid_for: None }), Demands::managed_key())
            }
            None => (Policy::any_of(self.rules()?).map_err(usage)?, Demands::keyless()),
        };
        let demands = Demands { predicate_type, ..self.demands(demands)? };
        let policies = vec![policy.with_demands(demands).map_err(bad_demands)?];
        // That an issuer has no https address is known to whoever tries an instance out on one machine.
        warn(&policies, printer, |finding| {
            finding.code == "unanchored_pattern"
                || (finding.severity >= Severity::Warning && finding.code != "issuer_not_https")
        });
        Ok(policies)
    }

    /// Whether a policy file says what may be attested.
    pub(crate) fn is_of_file(&self) -> bool {
        self.policy.is_some()
    }

    fn rules(&self) -> Result<Vec<IdentityRule>, Failure> {
        if self.signers.is_empty() {
            return Err(Failure::new(ExitStatus::Usage, "who may have signed?").hint(
                "say --certificate-identity and --certificate-oidc-issuer, --github, --gitlab, --key or --policy",
            ));
        }
        let extensions = self.extensions()?;
        let rules = self.signers.rules()?;
        let with_extensions = |rule: IdentityRule| {
            extensions.iter().fold(rule, |rule, (extension, value)| rule.with(*extension, value.clone()))
        };
        Ok(rules.into_iter().map(with_extensions).collect())
    }

    /// The extensions that each certificate must have, whichever rule it meets.
    fn extensions(&self) -> Result<Vec<(FulcioExtension, Matcher)>, Failure> {
        let workflow = &self.workflow;
        let flags = [
            (FulcioExtension::GithubWorkflowTrigger, &workflow.certificate_github_workflow_trigger),
            (FulcioExtension::GithubWorkflowSha, &workflow.certificate_github_workflow_sha),
            (FulcioExtension::GithubWorkflowName, &workflow.certificate_github_workflow_name),
            (FulcioExtension::GithubWorkflowRepository, &workflow.certificate_github_workflow_repository),
            (FulcioExtension::GithubWorkflowRef, &workflow.certificate_github_workflow_ref),
        ];
        let mut extensions = Vec::new();
        for (extension, value) in flags {
            if let Some(value) = value {
                extensions.push((extension, Matcher::exact(value).map_err(usage)?));
            }
        }
        for pair in &self.certificate_extension {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                Failure::new(ExitStatus::Usage, format!("{pair:?} is not NAME=VALUE"))
                    .hint("for example --certificate-extension source-repository-ref=refs/heads/main")
            })?;
            let extension: FulcioExtension = name.parse().map_err(usage)?;
            extensions.push((extension, Matcher::exact(value).map_err(usage)?));
        }
        Ok(extensions)
    }

    fn demands(&self, mut demands: Demands) -> Result<Demands, Failure> {
        let given = &self.demands;
        // A flag that says "ignore" takes the figure with it; one that says both is refused by the library.
        for (on, figure, switch) in [
            (self.weakened.insecure_ignore_tlog, &mut demands.log_entries, &mut demands.signatures_without_log),
            (self.weakened.insecure_ignore_sct, &mut demands.scts, &mut demands.certificates_without_sct),
            (self.weakened.insecure_ignore_time, &mut demands.times, &mut demands.certificates_without_time),
        ] {
            if on == Some(true) {
                (*figure, *switch) = (0, true);
            }
        }
        demands.legacy_entries_without_proof = self.weakened.insecure_accept_unproven_entries == Some(true);
        for (figure, given) in [
            (&mut demands.log_entries, given.min_log_entries),
            (&mut demands.log_operators, given.min_log_operators),
            (&mut demands.scts, given.min_scts),
            (&mut demands.timestamps, given.min_timestamps),
            (&mut demands.times, given.min_times),
        ] {
            *figure = given.unwrap_or(*figure);
        }
        if given.use_signed_timestamps == Some(true) {
            demands.timestamps = demands.timestamps.max(1);
        }
        if let Some(path) = &given.witness_policy {
            let text = read_text(path, TLOG_POLICY_BYTES_MAX as u64)?;
            let witnesses = WitnessPolicy::from_tlog_policy(&text).map_err(|error| unusable(path, &error))?;
            demands.witnesses = Some(witnesses);
        }
        Ok(demands)
    }
}

/// Says what in a policy is probably not meant.
fn warn(policies: &[Policy], printer: Printer, is_told: impl Fn(&Finding) -> bool) {
    let mut told: Vec<Finding> = Vec::new();
    for finding in policies.iter().flat_map(Policy::lint).filter(is_told) {
        if !told.contains(&finding) {
            printer.warning(format_args!("{}: {}", finding.subject, finding.text));
            told.push(finding);
        }
    }
}

/// A policy file and the files that it names, which lie beside it.
pub(crate) fn read_policy_file(path: &Path) -> Result<PolicyFile, Failure> {
    let text = read_text(path, POLICY_FILE_BYTES_MAX as u64)?;
    let mut file = PolicyFile::from_toml(&text).map_err(|error| unusable(path, &error))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let named: Vec<String> = file.unread_files().into_iter().map(ToOwned::to_owned).collect();
    for name in named {
        let contents = read_text(&directory.join(&name), TLOG_POLICY_BYTES_MAX as u64)?;
        let filled = file.with_file(&name, &contents);
        file = filled.map_err(|error: PolicyFileError| unusable(path, &error))?;
    }
    Ok(file)
}

fn read_public_key(path: &Path) -> Result<PublicKey, Failure> {
    let text = read_text(path, KEY_FILE_BYTES_MAX)?;
    PublicKey::from_pem(&text).map_err(|error| {
        let failure = unusable(path, &error);
        match error {
            KeyError::PemLabel => failure.hint("--key takes a public key: PEM that begins with BEGIN PUBLIC KEY"),
            _ => failure,
        }
    })
}

fn read_text(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let bytes = paths::read_limited(path, bytes_max).map_err(|error| {
        Failure::new(ExitStatus::Unreadable, format!("{} could not be read", path.display())).because(error)
    })?;
    String::from_utf8(bytes).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(ExitStatus::Unreadable, format!("{} cannot be used", path.display())).because(error)
}

fn usage(error: impl std::error::Error) -> Failure {
    Failure::from_error(ExitStatus::Usage, &error)
}

/// The library speaks of its switches; the flags have cosign's names.
fn bad_demands(error: DemandsError) -> Failure {
    let flag = match &error {
        DemandsError::Weakened { switch, .. } => match *switch {
            "signatures-without-log" => Some("--insecure-ignore-tlog"),
            "certificates-without-sct" => Some("--insecure-ignore-sct"),
            _ => Some("--insecure-ignore-time"),
        },
        _ => None,
    };
    let failure = Failure::from_error(ExitStatus::Usage, &error);
    match flag {
        Some(flag) => failure.hint(format!("on the command line this is {flag}")),
        None => failure,
    }
}
