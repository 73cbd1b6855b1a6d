// SPDX-License-Identifier: Apache-2.0
//! The policy file of transparency logs (C2SP tlog-policy): lines that begin with `log`, `witness`, `group` and `quorum`.
//!
//! In scope: reading it to the letter, as UTF-8. Out of scope: what a URL means, which no verification needs; the quorum (`witness`).
//! Invariants: nothing is passed over but comments and empty lines; a name is defined before it is used, stands once, and is a member
//! of one group at most; a policy that demands nothing is refused.

use std::collections::HashMap;

use touchmark_tlog::note::{NoteAlgorithm, NoteKey, VkeyError};

use super::witness::{Quorum, WITNESSES_MAX, Witness, WitnessPolicy};

/// The longest file.
pub const TLOG_POLICY_BYTES_MAX: usize = 256 * 1024;
/// The name that is defined without a line: no witness.
const NONE: &str = "none";

/// Why a text is not a policy of transparency logs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("line {line} of the log policy: {problem}")]
pub struct TlogPolicyError {
    /// Counted from 1.
    pub line: usize,
    pub problem: TlogPolicyProblem,
}

/// What is wrong in a line.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TlogPolicyProblem {
    #[error("the file has {bytes} bytes, the limit is {TLOG_POLICY_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("a control character")]
    ControlCharacter,
    #[error("{word:?} is neither log, witness, group nor quorum")]
    Keyword { word: String },
    #[error("expected {form}")]
    Form { form: &'static str },
    #[error("malformed verifier key: {0}")]
    Key(VkeyError),
    #[error("this type of key signs no checkpoints of a {0}")]
    KeyType(&'static str),
    #[error("this key stands in another {0} line too")]
    DuplicateKey(&'static str),
    #[error("the name {0:?} is defined already")]
    DuplicateName(String),
    #[error("the name {0:?} is not defined above")]
    UndefinedName(String),
    #[error("{0:?} is a member of a group already")]
    MemberTwice(String),
    #[error("{found:?} of {members} members: expected all, any or a number from 1 to {members}")]
    Threshold { found: String, members: usize },
    #[error("a second quorum line")]
    SecondQuorum,
    #[error("there is no quorum line")]
    NoQuorum,
    #[error("more than {WITNESSES_MAX} {0} lines")]
    TooMany(&'static str),
    #[error("it names neither a log nor a witness that must have signed")]
    DemandsNothing,
}

use TlogPolicyProblem as Problem;

impl WitnessPolicy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// The first line that is not as the specification demands.
    pub fn from_tlog_policy(text: &str) -> Result<Self, TlogPolicyError> {
        if text.len() > TLOG_POLICY_BYTES_MAX {
            return Err(TlogPolicyError { line: 1, problem: Problem::TooLarge { bytes: text.len() } });
        }
        let mut reading = Reading::default();
        let mut line_count = 0;
        for (position, line) in text.split('\n').enumerate() {
            line_count = position + 1;
            reading.line(line).map_err(|problem| TlogPolicyError { line: line_count, problem })?;
        }
        reading.finish().map_err(|problem| TlogPolicyError { line: line_count, problem })
    }
}

/// What the lines so far have defined.
#[derive(Default)]
struct Reading {
    logs: Vec<NoteKey>,
    witnesses: Vec<Witness>,
    groups: usize,
    defined: HashMap<String, Defined>,
    quorum: Option<Quorum>,
}

/// What a name stands for, and whether a group has it as a member.
struct Defined {
    meaning: Quorum,
    is_member: bool,
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), Problem> {
        if line.bytes().any(|byte| byte == 0x7f || (byte < b' ' && byte != b'\t')) {
            return Err(Problem::ControlCharacter);
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [comment, ..] if comment.starts_with('#') => Ok(()),
            ["log", vkey] | ["log", vkey, _] => self.log(vkey),
            ["log", ..] => Err(Problem::Form { form: "log <vkey> [<url>]" }),
            ["witness", name, vkey] => self.witness(name, vkey, None),
            ["witness", name, vkey, url] => self.witness(name, vkey, Some(url)),
            ["witness", ..] => Err(Problem::Form { form: "witness <name> <vkey> [<url>]" }),
            ["group", name, threshold, members @ ..] if !members.is_empty() => self.group(name, threshold, members),
            ["group", ..] => Err(Problem::Form { form: "group <name> all|any|<k> <name>..." }),
            ["quorum", name] => self.quorum(name),
            ["quorum", ..] => Err(Problem::Form { form: "quorum <name>|none" }),
            [word, ..] => Err(Problem::Keyword { word: (*word).to_owned() }),
        }
    }

    fn log(&mut self, vkey: &str) -> Result<(), Problem> {
        let key = NoteKey::parse_vkey(vkey).map_err(Problem::Key)?;
        if key.algorithm() == NoteAlgorithm::CosignatureV1 {
            return Err(Problem::KeyType("log"));
        }
        if self.logs.iter().any(|log| log.public_key() == key.public_key()) {
            return Err(Problem::DuplicateKey("log"));
        }
        if self.logs.len() == WITNESSES_MAX {
            return Err(Problem::TooMany("log"));
        }
        self.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, name: &str, vkey: &str, url: Option<&str>) -> Result<(), Problem> {
        let key = NoteKey::parse_vkey(vkey).map_err(Problem::Key)?;
        if key.algorithm() != NoteAlgorithm::CosignatureV1 {
            return Err(Problem::KeyType("witness"));
        }
        if self.witnesses.iter().any(|witness| witness.key.public_key() == key.public_key()) {
            return Err(Problem::DuplicateKey("witness"));
        }
        if self.witnesses.len() == WITNESSES_MAX {
            return Err(Problem::TooMany("witness"));
        }
        self.define(name, Quorum::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness { name: name.to_owned(), key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), Problem> {
        if self.groups == WITNESSES_MAX {
            return Err(Problem::TooMany("group"));
        }
        self.groups += 1;
        let members: Vec<Quorum> = members.iter().map(|member| self.member(member)).collect::<Result<_, _>>()?;
        let threshold = match threshold {
            "all" => members.len(),
            "any" => 1,
            digits => number(digits)
                .filter(|number| (1..=members.len()).contains(number))
                .ok_or_else(|| Problem::Threshold { found: digits.to_owned(), members: members.len() })?,
        };
        self.define(name, Quorum::Group { threshold, members })
    }

    fn member(&mut self, name: &str) -> Result<Quorum, Problem> {
        let defined = self.defined.get_mut(name).ok_or_else(|| Problem::UndefinedName(name.to_owned()))?;
        if std::mem::replace(&mut defined.is_member, true) {
            return Err(Problem::MemberTwice(name.to_owned()));
        }
        Ok(defined.meaning.clone())
    }

    fn define(&mut self, name: &str, meaning: Quorum) -> Result<(), Problem> {
        if name == NONE || self.defined.contains_key(name) {
            return Err(Problem::DuplicateName(name.to_owned()));
        }
        self.defined.insert(name.to_owned(), Defined { meaning, is_member: false });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), Problem> {
        if self.quorum.is_some() {
            return Err(Problem::SecondQuorum);
        }
        let defined = || self.defined.get(name).map(|defined| defined.meaning.clone());
        let quorum = if name == NONE { Some(Quorum::Nobody) } else { defined() };
        self.quorum = Some(quorum.ok_or_else(|| Problem::UndefinedName(name.to_owned()))?);
        Ok(())
    }

    fn finish(self) -> Result<WitnessPolicy, Problem> {
        let quorum = self.quorum.ok_or(Problem::NoQuorum)?;
        if quorum == Quorum::Nobody && self.logs.is_empty() {
            return Err(Problem::DemandsNothing);
        }
        Ok(WitnessPolicy { logs: self.logs, witnesses: self.witnesses, quorum })
    }
}

/// A number in decimal digits alone.
fn number(digits: &str) -> Option<usize> {
    if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse().ok() } else { None }
}
