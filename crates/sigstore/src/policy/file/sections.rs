// SPDX-License-Identifier: Apache-2.0
//! The sections of a policy file: identities, keys, demands, switches that weaken.

use touchmark_keys::PublicKey;

use super::reader::{Place, Section, Value};
use super::{FileKey, Pending, PolicyFileError, Problem};
use crate::policy::demands::Demands;
use crate::policy::extension::FulcioExtension;
use crate::policy::identity::{IdentityMatcher, IdentityRule, SanType};
use crate::policy::matcher::Matcher;
use crate::policy::shorthand::{Github, Gitlab, ShorthandError};
use crate::policy::witness::{WITNESSES_MAX, WitnessPolicy};
use crate::trust::ValidFor;

/// What says who it is: one of these, and never two.
const WHO: [&str; 3] = ["subject", "github", "gitlab"];
const PLAIN_KEYS: &[&str] = &["name", "subject", "type", "issuer", "extensions"];
const GITHUB_KEYS: &[&str] = &[
    "name",
    "github",
    "workflow",
    "ref",
    "branch",
    "tag",
    "environment",
    "trigger",
    "reusable-workflow",
    "server",
    "issuer",
    "extensions",
];
const GITLAB_KEYS: &[&str] =
    &["name", "gitlab", "config", "ref", "branch", "tag", "environment", "trigger", "server", "issuer", "extensions"];

/// `[[identity]]`.
pub(super) fn identity(section: Section<'_, '_>) -> Result<(IdentityRule, Place), PolicyFileError> {
    let mut rule = match section.one_of(&WHO)? {
        Some(value) if value.key == "github" => github(section, value)?,
        Some(value) if value.key == "gitlab" => gitlab(section, value)?,
        Some(value) => plain(section, value)?,
        None => {
            // A key that was mistyped is named rather than the one that is missing.
            section.only(PLAIN_KEYS)?;
            return Err(section.error(Problem::Missing { key: "subject" }));
        }
    };
    rule.name = section.owned_text("name")?;
    if let Some(extensions) = section.get("extensions") {
        for value in extensions.section()?.entries() {
            let extension: FulcioExtension =
                value.key.parse().map_err(|error| value.error(Problem::Extension(error)))?;
            rule = rule.with(extension, value.matcher()?);
        }
    }
    Ok((rule, section.place()))
}

fn plain(section: Section<'_, '_>, subject: Value<'_, '_>) -> Result<IdentityRule, PolicyFileError> {
    section.only(PLAIN_KEYS)?;
    let san_type = section.get("type").map(san_type).transpose()?;
    let domain = match subject.section() {
        Ok(table) => table.get("email-domain"),
        Err(_) => None,
    };
    let san = match domain {
        Some(domain) => {
            subject.section()?.only(&["email-domain"])?;
            if let Some(value) = section.get("type") {
                return Err(value.error(Problem::Conflict { first: "email-domain".into(), second: "type".into() }));
            }
            IdentityMatcher::email_domain(domain.text()?).map_err(|error| domain.error(Problem::Matcher(error)))?
        }
        None => typed(subject, subject.matcher()?, san_type)?,
    };
    Ok(IdentityRule::new(san, section.require("issuer")?.matcher()?))
}

/// What `type` says; inside, `None` is any.
fn san_type(value: Value<'_, '_>) -> Result<Option<SanType>, PolicyFileError> {
    match value.text()? {
        "email" => Ok(Some(SanType::Email)),
        "uri" => Ok(Some(SanType::Uri)),
        "username" => Ok(Some(SanType::Username)),
        "dns" => Ok(Some(SanType::Dns)),
        "any" => Ok(None),
        found => Err(value.error(Problem::SanType { found: found.to_owned() })),
    }
}

/// From a text its type can be told; from a glob or a pattern it cannot.
fn typed(
    subject: Value<'_, '_>,
    matcher: Matcher,
    san_type: Option<Option<SanType>>,
) -> Result<IdentityMatcher, PolicyFileError> {
    match (san_type, matcher.as_exact()) {
        (Some(None), _) => Ok(IdentityMatcher::of_any_type(matcher)),
        (Some(Some(san_type)), _) => Ok(IdentityMatcher::of_type(san_type, matcher)),
        (None, Some(text)) => Ok(IdentityMatcher::of_type(SanType::of_text(text), matcher)),
        (None, None) => Err(subject.error(Problem::TypeNeeded)),
    }
}

fn github(section: Section<'_, '_>, repository: Value<'_, '_>) -> Result<IdentityRule, PolicyFileError> {
    section.only(GITHUB_KEYS)?;
    let github = Github {
        workflow: section.owned_text("workflow")?,
        git_ref: git_ref(section)?,
        environment: section.owned_text("environment")?,
        trigger: section.owned_text("trigger")?,
        reusable_workflow: section.owned_text("reusable-workflow")?,
        server: section.owned_text("server")?,
        issuer: section.owned_text("issuer")?,
        ..Github::of(repository.text()?)
    };
    github.rule().map_err(|error| shorthand_error(section, repository, error))
}

fn gitlab(section: Section<'_, '_>, project: Value<'_, '_>) -> Result<IdentityRule, PolicyFileError> {
    section.only(GITLAB_KEYS)?;
    let gitlab = Gitlab {
        config: section.owned_text("config")?,
        git_ref: git_ref(section)?,
        environment: section.owned_text("environment")?,
        trigger: section.owned_text("trigger")?,
        server: section.owned_text("server")?,
        issuer: section.owned_text("issuer")?,
        ..Gitlab::of(project.text()?)
    };
    gitlab.rule().map_err(|error| shorthand_error(section, project, error))
}

fn git_ref(section: Section<'_, '_>) -> Result<Option<String>, PolicyFileError> {
    let Some(value) = section.one_of(&["ref", "branch", "tag"])? else { return Ok(None) };
    Ok(Some(match value.key {
        "branch" => format!("refs/heads/{}", value.text()?),
        "tag" => format!("refs/tags/{}", value.text()?),
        _ => value.text()?.to_owned(),
    }))
}

/// At the key that is wrong.
fn shorthand_error(section: Section<'_, '_>, who: Value<'_, '_>, error: ShorthandError) -> PolicyFileError {
    let key = match &error {
        ShorthandError::Repository { .. } | ShorthandError::Project { .. } | ShorthandError::Matcher(_) => None,
        ShorthandError::Workflow { .. } => section.get("workflow"),
        ShorthandError::ReusableWorkflow { .. } => section.get("reusable-workflow"),
        ShorthandError::Config { .. } => section.get("config"),
        ShorthandError::Ref { .. } => section.get("ref"),
        ShorthandError::Server { .. } => section.get("server"),
    };
    key.unwrap_or(who).error(Problem::Shorthand(error))
}

/// `[[key]]`.
pub(super) fn key(section: Section<'_, '_>) -> Result<FileKey, PolicyFileError> {
    section.only(&["name", "pem", "file", "valid-from", "valid-until"])?;
    let key = match section.one_of(&["pem", "file"])? {
        None => return Err(section.error(Problem::Missing { key: "pem" })),
        Some(file) if file.key == "file" => Pending::File { path: path(file)?, place: file.place() },
        Some(pem) => Pending::Read(public_key(pem.text()?, pem.place())?),
    };
    let start = section.get("valid-from").map(Value::time).transpose()?;
    let end = section.get("valid-until").map(Value::time).transpose()?;
    let valid_for = match (start, end) {
        (None, None) => None,
        (None, Some(_)) => return Err(section.error(Problem::Missing { key: "valid-from" })),
        (Some(start), end) => Some(ValidFor::new(start, end).map_err(|error| section.error(Problem::Window(error)))?),
    };
    Ok(FileKey { name: section.owned_text("name")?, key, valid_for })
}

pub(super) fn public_key(pem: &str, place: Place) -> Result<PublicKey, PolicyFileError> {
    PublicKey::from_pem(pem).map_err(|error| place.error(Problem::Key(error)))
}

fn path(value: Value<'_, '_>) -> Result<String, PolicyFileError> {
    match value.text()? {
        "" => Err(value.error(Problem::EmptyPath)),
        path => Ok(path.to_owned()),
    }
}

/// What `[demand]` and `[weaken]` say, each `None` where they say nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    log_entries: Option<usize>,
    log_operators: Option<usize>,
    scts: Option<usize>,
    timestamps: Option<usize>,
    times: Option<usize>,
    predicate_type: Option<Matcher>,
    legacy_entries_without_proof: bool,
    signatures_without_log: bool,
    certificates_without_sct: bool,
    certificates_without_time: bool,
    /// Where each stands, for what is found wrong later.
    places: Vec<(String, Place)>,
}

/// The witnesses, and where they stand.
pub(super) type Witnesses = Option<(Pending<WitnessPolicy>, Place)>;

/// `[demand]` and `[weaken]`.
pub(super) fn demands(document: Section<'_, '_>) -> Result<(Figures, Witnesses), PolicyFileError> {
    let mut figures = Figures::default();
    let mut witnesses = None;
    if let Some(value) = document.get("demand") {
        let section = value.section()?.only(&[
            "log-entries",
            "log-operators",
            "scts",
            "timestamps",
            "times",
            "predicate-type",
            "witnesses",
        ])?;
        let count = |key| section.get(key).map(Value::count).transpose();
        figures.log_entries = count("log-entries")?;
        figures.log_operators = count("log-operators")?;
        figures.scts = count("scts")?;
        figures.timestamps = count("timestamps")?;
        figures.times = count("times")?;
        figures.predicate_type = section.get("predicate-type").map(Value::matcher).transpose()?;
        witnesses = section.get("witnesses").map(|value| Ok((witness_policy(value)?, value.place()))).transpose()?;
        figures.places.extend(section.entries().map(|value| (value.key.to_owned(), value.place())));
    }
    if let Some(value) = document.get("weaken") {
        let section = value.section()?.only(&[
            "legacy-entries-without-proof",
            "signatures-without-log",
            "certificates-without-sct",
            "certificates-without-time",
        ])?;
        let switch = |key| section.get(key).map_or(Ok(false), Value::switch);
        figures.legacy_entries_without_proof = switch("legacy-entries-without-proof")?;
        figures.signatures_without_log = switch("signatures-without-log")?;
        figures.certificates_without_sct = switch("certificates-without-sct")?;
        figures.certificates_without_time = switch("certificates-without-time")?;
        figures.places.extend(section.entries().map(|value| (value.key.to_owned(), value.place())));
    }
    Ok((figures, witnesses))
}

fn witness_policy(value: Value<'_, '_>) -> Result<Pending<WitnessPolicy>, PolicyFileError> {
    let section = value.section()?.only(&["keys", "threshold", "policy", "policy-file"])?;
    match section.one_of(&["keys", "policy", "policy-file"])? {
        None => Err(section.error(Problem::Missing { key: "keys" })),
        Some(keys) if keys.key == "keys" => {
            let vkeys = keys.list(WITNESSES_MAX)?.into_iter().map(Value::text).collect::<Result<Vec<_>, _>>()?;
            let threshold = section.require("threshold")?.count()?;
            let policy = WitnessPolicy::from_vkeys(vkeys, threshold);
            policy.map(Pending::Read).map_err(|error| keys.error(Problem::Witnesses(error)))
        }
        Some(given) => {
            if let Some(threshold) = section.get("threshold") {
                let (first, second) = (given.key.to_owned(), "threshold".to_owned());
                return Err(threshold.error(Problem::Conflict { first, second }));
            }
            if given.key == "policy-file" {
                return Ok(Pending::File { path: path(given)?, place: given.place() });
            }
            tlog_policy(given.text()?, given.place()).map(Pending::Read)
        }
    }
}

pub(super) fn tlog_policy(text: &str, place: Place) -> Result<WitnessPolicy, PolicyFileError> {
    WitnessPolicy::from_tlog_policy(text).map_err(|error| place.error(Problem::TlogPolicy(error)))
}

impl Figures {
    /// What is demanded of certificates.
    pub(super) fn of_certificates(&self, witnesses: Option<WitnessPolicy>) -> Demands {
        self.over(Demands::keyless(), witnesses)
    }

    /// What is demanded of keys beside identities: they have no SCTs.
    pub(super) fn of_keys_beside_identities(&self, witnesses: Option<WitnessPolicy>) -> Demands {
        Demands { scts: 0, ..self.of_keys(witnesses) }
    }

    /// What is demanded of keys.
    pub(super) fn of_keys(&self, witnesses: Option<WitnessPolicy>) -> Demands {
        self.over(Demands::managed_key(), witnesses)
    }

    fn over(&self, default: Demands, witnesses: Option<WitnessPolicy>) -> Demands {
        Demands {
            log_entries: self.log_entries.unwrap_or(default.log_entries),
            log_operators: self.log_operators.unwrap_or(default.log_operators),
            scts: self.scts.unwrap_or(default.scts),
            timestamps: self.timestamps.unwrap_or(default.timestamps),
            times: self.times.unwrap_or(default.times),
            witnesses,
            predicate_type: self.predicate_type.clone(),
            legacy_entries_without_proof: self.legacy_entries_without_proof,
            signatures_without_log: self.signatures_without_log,
            certificates_without_sct: self.certificates_without_sct,
            certificates_without_time: self.certificates_without_time,
        }
    }

    /// Where a figure stands.
    pub(super) fn place(&self, key: &str) -> Place {
        self.places.iter().find(|(found, _)| found == key).map_or(Place::START, |(_, place)| *place)
    }
}
