// SPDX-License-Identifier: Apache-2.0
//! What in a policy is allowed, but probably not meant.
//!
//! In scope: what the policy alone shows, or beside a trusted root. Out of scope: what makes no policy at all, which is an error where it is made.
//! Invariant: a finding changes nothing in what the policy accepts.

use std::collections::HashSet;
use std::fmt;

use super::Policy;
use super::demands::Demands;
use super::extension::FulcioExtension;
use super::identity::{IdentityMatcher, IdentityRule, SanType};
use super::matcher::{Kind, Matcher};
use crate::trust::TrustedRoot;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// Probably not what was meant, or a check less.
    Warning,
    /// Strangers are accepted, or nobody can be.
    Danger,
}

/// Something in a policy that is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// A code that does not change between versions.
    pub code: &'static str,
    /// Where: a rule or a demand.
    pub subject: String,
    pub text: String,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Danger => "danger",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity, self.subject, self.text)
    }
}

impl Policy {
    /// What is probably not meant, in the order of the policy.
    #[must_use]
    pub fn lint(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, rule) in self.rules().iter().enumerate() {
            let subject = rule_name(index, rule);
            findings.extend(lint_rule(rule).into_iter().map(|found| found.of(&subject)));
            findings.extend(shadow(self.rules(), index).map(|found| found.of(&subject)));
        }
        findings.extend(lint_demands(self.demands(), self.key().is_none()));
        if self.key().is_some_and(|key| key.valid_for.is_some()) && self.demands().times == 0 {
            findings.push(
                Found(
                    Severity::Note,
                    "window_without_time",
                    "the key has a validity window, but no time is demanded: a signature whose time is not known is accepted while the window lasts"
                        .to_owned(),
                )
                .of("key"),
            );
        }
        findings
    }
}

impl Policy {
    /// Which thresholds no bundle can meet under this trusted root, because it names too few logs or authorities.
    #[must_use]
    pub fn lint_against(&self, root: &TrustedRoot) -> Vec<Finding> {
        let demands = self.demands();
        let logs = distinct(root.tlogs().iter().map(|log| log.log_id().as_slice()));
        // Logs of whom the root does not say who runs them may all be run by the same.
        let named = root.tlogs().iter().map(|log| log.operator().as_bytes()).filter(|operator| !operator.is_empty());
        let operators = distinct(named).max(logs.min(1));
        let ct_logs = distinct(root.ctlogs().iter().map(|log| log.log_id().as_slice()));
        let authorities = root.timestamp_authorities().len();
        let thresholds = [
            ("log-entries", demands.log_entries, logs, "transparency logs"),
            ("log-operators", demands.log_operators, operators, "operators of transparency logs"),
            ("scts", demands.scts, ct_logs, "certificate transparency logs"),
            ("timestamps", demands.timestamps, authorities, "timestamp authorities"),
            // A log may be a source of times too.
            ("times", demands.times, authorities + logs, "sources of times"),
        ];
        let unmet = |(demand, expected, found, what): (&str, usize, usize, &str)| {
            let text = format!("{expected} {what} are demanded, the trusted root has {found}: no bundle is accepted");
            (expected > found).then(|| Found(Severity::Danger, "unreachable_threshold", text).of(demand))
        };
        thresholds.into_iter().filter_map(unmet).collect()
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a [u8]>) -> usize {
    names.collect::<HashSet<&[u8]>>().len()
}

struct Found(Severity, &'static str, String);

impl Found {
    fn of(self, subject: &str) -> Finding {
        let Self(severity, code, text) = self;
        Finding { severity, code, subject: subject.to_owned(), text }
    }
}

fn rule_name(index: usize, rule: &IdentityRule) -> String {
    match &rule.name {
        Some(name) => format!("identity {} ({name})", index + 1),
        None => format!("identity {}", index + 1),
    }
}

fn lint_rule(rule: &IdentityRule) -> Vec<Found> {
    let mut found = Vec::new();
    lint_matcher("the identity", rule.san.matcher(), &mut found);
    lint_matcher("the issuer", &rule.issuer, &mut found);
    for (extension, value) in &rule.extensions {
        lint_matcher(extension.name(), value, &mut found);
    }
    if rule.issuer_is_anybody() {
        let text = format!("the issuer is {}: anybody who runs a server can vouch for the identity", rule.issuer);
        found.push(Found(Severity::Danger, "any_issuer", text));
    } else if rule.issuer.as_exact().is_some_and(|issuer| !issuer.starts_with("https://")) {
        let text = format!("the issuer {} is not an https address, as all issuers are", rule.issuer);
        found.push(Found(Severity::Warning, "issuer_not_https", text));
    }
    if rule.accepts_any_name() && !names_who(rule) {
        let text = format!("the identity is {}: everybody for whom the issuer vouches is accepted", rule.san);
        found.push(Found(Severity::Danger, "any_identity", text));
    }
    found.extend(impossible_type(&rule.san));
    found.extend(reusable_workflow(rule));
    found
}

/// Whether an extension says who it is although the name does not.
fn names_who(rule: &IdentityRule) -> bool {
    rule.extensions.iter().any(|(extension, _)| {
        matches!(
            extension,
            FulcioExtension::GithubWorkflowRepository
                | FulcioExtension::BuildSignerUri
                | FulcioExtension::SourceRepositoryUri
                | FulcioExtension::SourceRepositoryIdentifier
                | FulcioExtension::SourceRepositoryOwnerUri
                | FulcioExtension::SourceRepositoryOwnerIdentifier
                | FulcioExtension::BuildConfigUri
                | FulcioExtension::TokenSubject
        )
    })
}

fn lint_matcher(what: &str, matcher: &Matcher, found: &mut Vec<Found>) {
    match matcher.kind() {
        Kind::Exact(text) => {
            if text.trim() != text {
                let text = format!("{what} {text:?} begins or ends with white space");
                found.push(Found(Severity::Warning, "white_space", text));
            }
            if text.contains(".*") || (text.starts_with('^') && text.ends_with('$')) {
                let text = format!("{what} {text} is meant to the letter; for an expression say pattern");
                found.push(Found(Severity::Warning, "exact_looks_like_pattern", text));
            }
        }
        Kind::Pattern { text, .. } => lint_pattern(what, text, found),
        Kind::AnyOf(alternatives) => alternatives.iter().for_each(|one| lint_matcher(what, one, found)),
        Kind::Glob { .. } | Kind::EmailDomain(_) => {}
    }
}

fn lint_pattern(what: &str, pattern: &str, found: &mut Vec<Found>) {
    if !(pattern.starts_with('^') && pattern.ends_with('$')) {
        let text = format!(
            "{what} {pattern} has to match the whole text here; in other clients it matches anywhere: write ^…$"
        );
        found.push(Found(Severity::Note, "unanchored_pattern", text));
    }
    let inner = pattern.trim_start_matches('^').trim_end_matches('$');
    if inner.starts_with(".*") && inner.len() > 2 {
        let text = format!("{what} {pattern} lets anything stand at the beginning, as a stranger's address");
        found.push(Found(Severity::Warning, "open_beginning", text));
    }
    if let Some(place) = unescaped_dot(pattern) {
        let text =
            format!("{what} {pattern} has a dot that is any character (after {:?}): write \\.", &pattern[..place]);
        found.push(Found(Severity::Warning, "unescaped_dot", text));
    }
}

/// The first dot between two letters or digits, as in a host name, that is not escaped; outside of brackets, where it is a dot.
fn unescaped_dot(pattern: &str) -> Option<usize> {
    let (mut previous, mut in_class) = (' ', false);
    let mut characters = pattern.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => {
                characters.next();
                previous = ' ';
                continue;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '.' if !in_class && previous.is_alphanumeric() && next_is_alphanumeric(&mut characters) => {
                return Some(index);
            }
            _ => {}
        }
        previous = character;
    }
    None
}

fn next_is_alphanumeric(characters: &mut std::iter::Peekable<std::str::CharIndices<'_>>) -> bool {
    characters.peek().is_some_and(|(_, next)| next.is_alphanumeric())
}

/// A text that no name of the type that is asked for can be.
fn impossible_type(san: &IdentityMatcher) -> Option<Found> {
    let (san_type, text) = (san.san_type()?, san.matcher().as_exact()?);
    let possible = match san_type {
        SanType::Email => text.contains('@') && !text.contains("://"),
        SanType::Uri => text.contains(':'),
        SanType::Username => text.contains('!'),
        SanType::Dns => !text.contains(['@', '/', '!', ':', ' ']),
    };
    if possible {
        return None;
    }
    Some(Found(Severity::Danger, "impossible_type", format!("{text} cannot be a {san_type}: the rule accepts nobody")))
}

/// Who may start a reusable workflow: everybody, if the rule does not say.
fn reusable_workflow(rule: &IdentityRule) -> Option<Found> {
    let (Kind::Exact(text) | Kind::Glob { text, .. } | Kind::Pattern { text, .. }) = rule.san.matcher().kind() else {
        return None;
    };
    let of_source = |extension: &FulcioExtension| {
        matches!(
            extension,
            FulcioExtension::SourceRepositoryUri
                | FulcioExtension::SourceRepositoryIdentifier
                | FulcioExtension::GithubWorkflowRepository
                | FulcioExtension::BuildConfigUri
        )
    };
    let is_workflow = text.replace('\\', "").contains(".github/workflows");
    if !is_workflow || rule.extensions.iter().any(|(extension, _)| of_source(extension)) {
        return None;
    }
    let text = "if the workflow can be called by others (workflow_call), what they build with it is accepted: \
                demand source-repository-uri, or write github = \"owner/repo\"";
    Some(Found(Severity::Note, "source_not_demanded", text.to_owned()))
}

/// An earlier rule that accepts all that this one accepts.
fn shadow(rules: &[IdentityRule], index: usize) -> Option<Found> {
    let rule = rules.get(index)?;
    let (earlier, covering) = rules.iter().enumerate().take(index).find(|(_, earlier)| covers_rule(earlier, rule))?;
    let earlier_name = rule_name(earlier, covering);
    let found = if covers_rule(rule, covering) {
        Found(Severity::Warning, "duplicate_rule", format!("it is the same as {earlier_name}"))
    } else {
        Found(Severity::Warning, "shadowed_rule", format!("whoever it accepts is accepted by {earlier_name} already"))
    };
    Some(found)
}

fn covers_rule(wide: &IdentityRule, narrow: &IdentityRule) -> bool {
    let types = wide.san.san_type().is_none() || wide.san.san_type() == narrow.san.san_type();
    let has = |(extension, wide): &(FulcioExtension, Matcher)| {
        narrow.extensions.iter().any(|(found, narrow)| found == extension && covers(wide, narrow))
    };
    types
        && covers(wide.san.matcher(), narrow.san.matcher())
        && covers(&wide.issuer, &narrow.issuer)
        && wide.extensions.iter().all(has)
}

/// Whether all that `narrow` matches is matched by `wide`, as far as that can be told easily.
fn covers(wide: &Matcher, narrow: &Matcher) -> bool {
    match (wide.kind(), narrow.kind()) {
        (_, Kind::Exact(text)) => wide.matches(text),
        (_, Kind::AnyOf(alternatives)) => alternatives.iter().all(|narrow| covers(wide, narrow)),
        (Kind::AnyOf(alternatives), _) => alternatives.iter().any(|wide| covers(wide, narrow)),
        (Kind::Glob { text: wide, .. }, Kind::Glob { text: narrow, .. })
        | (Kind::Pattern { text: wide, .. }, Kind::Pattern { text: narrow, .. })
        | (Kind::EmailDomain(wide), Kind::EmailDomain(narrow)) => wide == narrow,
        _ => false,
    }
}

fn lint_demands(demands: &Demands, of_certificate: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |severity, code, subject: &str, text: &str| {
        findings.push(Found(severity, code, text.to_owned()).of(subject));
    };
    // A switch, whether it is on, whether the figure makes use of it, and what is lost.
    let no_times = of_certificate && demands.times == 0 && demands.timestamps == 0;
    let switches = [
        (
            "legacy-entries-without-proof",
            demands.legacy_entries_without_proof,
            true,
            "a log entry counts that a log only promised: nobody can see whether it is there",
        ),
        (
            "signatures-without-log",
            demands.signatures_without_log,
            demands.log_entries == 0,
            "a signature is accepted that nobody but the verifier has seen: misuse of an identity stays hidden",
        ),
        (
            "certificates-without-sct",
            demands.certificates_without_sct,
            of_certificate && demands.scts == 0,
            "a certificate is accepted that the authority may have issued in secret",
        ),
        (
            "certificates-without-time",
            demands.certificates_without_time,
            no_times,
            "certificates are checked at the time of verification: those of ten minutes are refused soon",
        ),
    ];
    for (switch, on, used, lost) in switches {
        match (on, used) {
            (true, true) => add(Severity::Warning, "weakened", switch, lost),
            (true, false) => add(Severity::Note, "unused_weakening", switch, "it is on, but nothing makes use of it"),
            (false, _) => {}
        }
    }
    if demands.log_operators > demands.log_entries {
        add(Severity::Note, "more_operators", "log-operators", "more operators than logs: the larger figure decides");
    }
    if demands.timestamps > demands.times && demands.times > 0 {
        add(Severity::Note, "more_timestamps", "times", "timestamps are demanded more, and each is a time");
    }
    if demands.witnesses.as_ref().is_some_and(super::WitnessPolicy::is_without_witnesses) {
        add(Severity::Warning, "no_witness", "witnesses", "its quorum is none: no cosignature is demanded");
    }
    if demands.predicate_type.is_none() {
        let text = "a statement of any type is accepted: one that says \"failed\" too";
        add(Severity::Note, "any_predicate_type", "predicate-type", text);
    }
    findings
}

#[cfg(test)]
mod tests;
