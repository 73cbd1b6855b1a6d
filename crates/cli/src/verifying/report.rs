// SPDX-License-Identifier: Apache-2.0
//! A verdict for people and for programs: one line when it is good; when it is bad the check, what was expected, what was found and
//! what to do next; or one JSON document on one line.
//!
//! The JSON form is an interface (docs/verify.md: `"version": 1`; members are added, never renamed).
//!
//! Invariant: what files, bundles and services say goes to a terminal through [`printable`] alone.

use serde_json::{Map, Value, json};
use touchmark_keys::{Digest, PublicKey};
use touchmark_sigstore::ct::inclusion::CtIncluded;
use touchmark_sigstore::intoto::Subject as StatementSubject;
use touchmark_sigstore::policy;
use touchmark_sigstore::verify::{Check, LoggedEntry, TimeSource, Verified, VerifiedSigner, VerifiedTime};

use super::verdict::{Accepted, BUNDLE, CT_INCLUSION, Outcome, Refusal, Subject, Verdict};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::{Printer, printable};

/// What is told of a good verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    OneLine,
    EveryCheck,
}

/// A verdict, ready to be printed.
pub(super) enum Report {
    Json { line: String, status: Option<ExitStatus> },
    Text { checks: Vec<CheckLine>, outcome: Result<String, Failure> },
}

/// A check and how it went.
pub(super) enum CheckLine {
    Passed(&'static str, String),
    Failed(&'static str),
}

impl Report {
    pub(super) fn json(verdict: &Verdict) -> Self {
        Self::Json { line: verdict.to_json().to_string(), status: verdict.failure().map(Failure::status) }
    }

    pub(super) fn text(verdict: &Verdict, detail: Detail) -> Self {
        let checks = if detail == Detail::EveryCheck { verdict.check_lines() } else { Vec::new() };
        Self::Text { checks, outcome: verdict.sentence() }
    }

    /// None if the verdict is good.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        match self {
            Self::Json { status, .. } => *status,
            Self::Text { outcome, .. } => outcome.as_ref().err().map(Failure::status),
        }
    }

    pub(super) fn print(&self, printer: Printer) {
        let (checks, outcome) = match self {
            Self::Json { line, .. } => return printer.result(line),
            Self::Text { checks, outcome } => (checks, outcome),
        };
        for check in checks {
            match check {
                CheckLine::Passed(name, proved) => printer.passed(name, proved),
                CheckLine::Failed(name) => printer.refused(name),
            }
        }
        match outcome {
            Ok(sentence) => printer.result(sentence),
            Err(failure) => printer.failure(failure),
        }
    }
}

impl Verdict {
    fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Outcome::Verified(_) => None,
            Outcome::Refused(refusal) => Some(&refusal.failure),
            Outcome::NotReached(failure) => Some(failure),
        }
    }

    fn check_lines(&self) -> Vec<CheckLine> {
        match &self.outcome {
            Outcome::Verified(accepted) => {
                let passed = accepted.proved(&self.subject).into_iter();
                passed.map(|(name, proved)| CheckLine::Passed(name, proved)).collect()
            }
            Outcome::Refused(refusal) => {
                let passed = refusal.passed.iter().map(|name| CheckLine::Passed(name, String::new()));
                passed.chain([CheckLine::Failed(refusal.check)]).collect()
            }
            Outcome::NotReached(_) => Vec::new(),
        }
    }

    fn sentence(&self) -> Result<String, Failure> {
        match &self.outcome {
            Outcome::Verified(accepted) => Ok(self.good_news(accepted)),
            Outcome::Refused(refusal) => {
                let name = self.subject.name();
                let failure = refusal.failure.clone().about(&format!("{name} is not verified"));
                Err(match self.subject.candidate {
                    Some((position, count)) if count > 1 => {
                        failure.detail("bundle", format!("none of {count} verifies; number {position} came nearest"))
                    }
                    _ => failure,
                })
            }
            Outcome::NotReached(failure) => Err(failure.clone()),
        }
    }

    fn good_news(&self, accepted: &Accepted) -> String {
        let signed = match accepted.verified.statement() {
            None => "signed".to_owned(),
            Some(statement) => format!("attested as {}", statement.predicate_type()),
        };
        let time = accepted.verified.times().iter().map(VerifiedTime::time).min();
        let time = time.map_or_else(|| "at an unknown time".to_owned(), |time| format!("at {time}"));
        let by = signer_text(accepted.verified.signer());
        let which = match self.subject.candidate {
            Some((position, count)) if count > 1 => format!(" (bundle {position} of {count})"),
            _ => String::new(),
        };
        let name = printable(self.subject.name());
        format!("Verified OK: {name}  {}", printable(format_args!("{signed} by {by} {time}{which}")))
    }

    pub(super) fn to_json(&self) -> Value {
        let subject = &self.subject;
        let digests: Vec<String> = subject.digests.iter().map(ToString::to_string).collect();
        let mut verdict = json!({
            "version": 1,
            "verified": matches!(self.outcome, Outcome::Verified(_)),
            "artifact": {
                "file": subject.file.as_ref().map(|path| path.to_string_lossy()),
                "digest": digests.first(),
                "digests": digests,
            },
            "bundle": subject.bundle.as_ref().map(|path| path.to_string_lossy()),
            "checks": self.checks_json(),
        });
        if let Some((position, count)) = subject.candidate.filter(|(_, count)| *count > 1) {
            verdict["bundleNumber"] = json!(position);
            verdict["bundleCount"] = json!(count);
        }
        match &self.outcome {
            Outcome::Verified(accepted) => {
                let proved = proved_json(accepted, subject);
                verdict.as_object_mut().expect("a verdict is an object").extend(proved);
            }
            Outcome::Refused(refusal) => verdict["failure"] = refusal_json(refusal),
            Outcome::NotReached(failure) => verdict["failure"] = failure.to_json(),
        }
        verdict
    }

    fn checks_json(&self) -> Vec<Value> {
        match &self.outcome {
            Outcome::Verified(accepted) => {
                let passed = accepted.proved(&self.subject).into_iter();
                passed.map(|(name, proved)| json!({ "check": name, "result": "passed", "proved": proved })).collect()
            }
            Outcome::Refused(refusal) => {
                let result =
                    |result: &'static str| move |name: &&'static str| json!({ "check": name, "result": result });
                let mut checks: Vec<Value> = refusal.passed.iter().map(result("passed")).collect();
                checks.push(json!({
                    "check": refusal.check, "result": "failed", "code": refusal.code,
                    "expected": refusal.expected, "found": refusal.found,
                }));
                checks.extend(refusal.not_reached.iter().map(result("not-reached")));
                checks
            }
            Outcome::NotReached(_) => vec![json!({ "check": BUNDLE, "result": "not-reached" })],
        }
    }
}

impl Subject {
    /// What the verdict is about, for people.
    fn name(&self) -> String {
        let path = self.file.as_ref().or(self.bundle.as_ref());
        match path {
            Some(path) if path.as_os_str() == "-" => "stdin".to_owned(),
            Some(path) => path.display().to_string(),
            None => "nothing".to_owned(),
        }
    }
}

impl Accepted {
    /// Every check that was made, and what it proved.
    fn proved(&self, subject: &Subject) -> Vec<(&'static str, String)> {
        let which = match subject.candidate {
            Some((position, count)) if count > 1 => format!("number {position} of {count}"),
            _ => "can be read".to_owned(),
        };
        let ct = self.ct_included.iter().map(|included| {
            let logs: Vec<String> =
                included.iter().map(|proof| format!("entry {} of {}", proof.index(), proof.origin())).collect();
            (CT_INCLUSION, logs.join(", "))
        });
        std::iter::once((BUNDLE, which)).chain(details(&self.verified, &self.checks)).chain(ct).collect()
    }
}

/// What each check proved, for people.
pub(crate) fn details(verified: &Verified, checks: &[Check]) -> Vec<(&'static str, String)> {
    checks.iter().map(|check| (check.name(), proved_by(*check, verified))).collect()
}

fn proved_by(check: Check, verified: &Verified) -> String {
    let join = |texts: Vec<String>| texts.join(", ");
    let certified = verified.certified();
    match check {
        Check::Time if verified.times().is_empty() => "none is demanded".to_owned(),
        Check::Time => {
            let times = verified.times().iter();
            join(times.map(|at| format!("signed at {} ({})", at.time(), at.authority())).collect())
        }
        Check::Chain => certified.map_or_else(String::new, |certified| {
            let leaf = certified.chain().leaf();
            let (from, to) = (leaf.not_before(), leaf.not_after());
            format!("valid from {from} to {to}, certified by {}", leaf.issuer_text())
        }),
        Check::Sct => certified.map_or_else(String::new, |certified| {
            format!("promised by {} CT log(s) of the trust root", certified.sct().promises().len())
        }),
        Check::Identity | Check::Key => signer_text(verified.signer()),
        Check::Artifact => "is not another than the bundle names".to_owned(),
        Check::Log if verified.entries().is_empty() => "none is demanded".to_owned(),
        Check::Log => join(verified.entries().iter().map(entry_text).collect()),
        Check::Signature => {
            let scheme = verified.signature().scheme().key_details();
            match verified.signature().digest() {
                Some(digest) => format!("{scheme} of {digest}"),
                None => format!("{scheme} of the whole"),
            }
        }
        Check::Statement => {
            verified.statement().map_or_else(String::new, |statement| statement.predicate_type().to_owned())
        }
    }
}

fn entry_text(entry: &LoggedEntry) -> String {
    let proof = if entry.inclusion().is_some() { "" } else { " (promised, not proved)" };
    format!("entry {} of {}{proof}", entry.index(), entry.origin())
}

fn signer_text(signer: &VerifiedSigner) -> String {
    match signer {
        VerifiedSigner::Certificate(certified) => {
            let identity = certified.identity();
            format!("{} ({})", identity.san(), identity.issuer())
        }
        VerifiedSigner::Key(key) => format!("the key {}", fingerprint(key.public_key())),
    }
}

/// SHA-256 of the key as it stands in certificates.
fn fingerprint(key: &PublicKey) -> String {
    format!("sha256:{}", hex::encode(key.spki_sha256()))
}

/// The members that only a good verdict has.
fn proved_json(accepted: &Accepted, subject: &Subject) -> Map<String, Value> {
    let verified = &accepted.verified;
    let mut proved = Map::new();
    proved.insert("signer".to_owned(), signer_json(verified.signer()));
    proved.insert("times".to_owned(), verified.times().iter().map(time_json).collect());
    proved.insert("log".to_owned(), verified.entries().iter().map(entry_json).collect());
    proved.insert(
        "signature".to_owned(),
        json!({
            "scheme": verified.signature().scheme().key_details(),
            "digest": verified.signature().digest().map(ToString::to_string),
        }),
    );
    if let Some(certified) = verified.certified() {
        let promises = certified.sct().promises().iter();
        let promises =
            promises.map(|sct| json!({ "logId": hex::encode(sct.log_id()), "time": ct_time(sct.timestamp_ms()) }));
        proved.insert("scts".to_owned(), promises.collect());
    }
    if let Some(statement) = verified.statement() {
        let bound = statement.bind(&subject.digests).ok().map(statement_subject_json);
        let statement = json!({ "predicateType": statement.predicate_type(), "subject": bound });
        proved.insert("statement".to_owned(), statement);
    }
    if let Some(included) = &accepted.ct_included {
        proved.insert("ctInclusion".to_owned(), included.iter().map(ct_included_json).collect());
    }
    proved
}

fn signer_json(signer: &VerifiedSigner) -> Value {
    match signer {
        VerifiedSigner::Certificate(certified) => {
            let identity = certified.identity();
            let leaf = certified.chain().leaf();
            let extensions =
                identity.extensions().iter().map(|(extension, value)| (extension.name().to_owned(), json!(value)));
            json!({
                "identity": identity.san().value(),
                "type": identity.san().kind(),
                "issuer": identity.issuer(),
                "extensions": extensions.collect::<Map<String, Value>>(),
                "rule": identity.rule(),
                "ruleNumber": identity.rule_index() + 1,
                "certificate": {
                    "notBefore": leaf.not_before().to_string(),
                    "notAfter": leaf.not_after().to_string(),
                    "authority": certified.chain().authority(),
                },
            })
        }
        VerifiedSigner::Key(key) => {
            let key = key.public_key();
            json!({ "key": { "fingerprint": fingerprint(key), "type": key.key_type().to_string() } })
        }
    }
}

fn time_json(time: &VerifiedTime) -> Value {
    let source = match time.source() {
        TimeSource::Timestamp(_) => "timestamp-authority",
        TimeSource::Promise(_) => "log-promise",
    };
    json!({ "time": time.time().to_string(), "source": source, "authority": time.authority() })
}

fn entry_json(entry: &LoggedEntry) -> Value {
    let inclusion = entry.inclusion();
    let witnesses = inclusion.iter().flat_map(|inclusion| inclusion.cosignatures());
    let witnesses: Vec<Value> =
        witnesses.map(|witness| json!({ "name": witness.name, "time": witness.time.to_string() })).collect();
    json!({
        "origin": entry.origin(),
        "index": entry.index().0,
        "kind": entry.kind().to_string(),
        "logId": hex::encode(entry.log_id()),
        "proved": inclusion.is_some(),
        "checkpoint": inclusion.map(|inclusion| json!({
            "origin": inclusion.origin(), "treeSize": inclusion.tree_size().0, "witnesses": witnesses,
        })),
    })
}

fn statement_subject_json(subject: &StatementSubject) -> Value {
    let digests: Vec<String> = subject.digests().iter().map(Digest::to_string).collect();
    json!({ "name": subject.name(), "digests": digests })
}

fn ct_included_json(included: &CtIncluded) -> Value {
    json!({
        "origin": included.origin(), "logId": hex::encode(included.log_id()), "index": included.index().0,
        "treeSize": included.tree_size().0, "treeHeadTime": included.tree_head_time().to_string(),
    })
}

fn ct_time(timestamp_ms: u64) -> Option<String> {
    let timestamp = jiff::Timestamp::from_millisecond(i64::try_from(timestamp_ms).ok()?);
    Some(timestamp.ok()?.to_string())
}

fn refusal_json(refusal: &Refusal) -> Value {
    let mut failure = refusal.failure.to_json();
    failure["check"] = json!(refusal.check);
    failure["expected"] = json!(refusal.expected);
    failure["found"] = json!(refusal.found);
    if let Some(nearest) = &refusal.nearest {
        failure["nearest"] = nearest_json(nearest);
    }
    failure
}

fn nearest_json(nearest: &policy::Refusal) -> Value {
    let mismatches = nearest.mismatches.iter().map(
        |mismatch| json!({ "part": mismatch.part.to_string(), "expected": mismatch.expected, "found": mismatch.found }),
    );
    json!({
        "rule": nearest.rule,
        "ruleNumber": nearest.rule_index + 1,
        "rules": nearest.rules,
        "mismatches": mismatches.collect::<Vec<_>>(),
    })
}
