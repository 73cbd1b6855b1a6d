// SPDX-License-Identifier: Apache-2.0
//! The in-toto statement (in-toto/attestation, `spec/v1/statement.md`; v0.1 has the same members): shapes.
//!
//! Members that are unknown are ignored, as the specification demands of a consumer. Out of scope: the predicate, whose text
//! is kept, and what binds a statement to a file (`intoto`).

use super::codec::{Context, Dialect, Emit, Field, Json, Kind, Members, WireError, message};
use super::json::{self, Node, Value};

/// The largest statement that is read. It comes out of a bundle.
pub const STATEMENT_BYTES_MAX: usize = super::BUNDLE_BYTES_MAX;

/// A statement with the text of its predicate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statement {
    pub statement_type: String,
    pub subject: Vec<Subject>,
    pub predicate_type: String,
    pub predicate: Option<String>,
}

message! {
    pub struct Subject {
        name: String = "name",
        digest: DigestSet = "digest",
    }
}

/// Digests by the name of their algorithm, in hexadecimal, as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DigestSet(pub Vec<(String, String)>);

/// The members that a statement has.
const MEMBERS: [&str; 4] = ["_type", "subject", "predicateType", "predicate"];

impl Statement {
    /// Reads a statement.
    ///
    /// # Errors
    /// If it is no JSON object, a member of it or of its predicate stands twice, or a member is of another type.
    pub fn from_json(text: &[u8]) -> Result<Self, WireError> {
        let (node, predicate) = json::read_beside(text, STATEMENT_BYTES_MAX, "predicate")?;
        refuse_lookalikes(&node)?;
        let mut members = Members::open(node, Context { dialect: Dialect::Plain, member: "document" })?;
        let statement = Self {
            statement_type: members.take("_type", "_type")?,
            subject: members.take("subject", "subject")?,
            predicate_type: members.take("predicateType", "predicateType")?,
            predicate: predicate.map(str::to_owned),
        };
        members.close()?;
        Ok(statement)
    }
}

/// Some readers take a member for another that differs in case or in underscores alone, and would see another statement.
fn refuse_lookalikes(node: &Node) -> Result<(), WireError> {
    let Value::Object(members) = &node.value else { return Ok(()) };
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let lookalike = members.iter().find(|member| {
        let same = |known: &&str| plain(known) == plain(&member.name);
        MEMBERS.iter().find(|known| same(known)).is_some_and(|known| *known != member.name)
    });
    match lookalike {
        Some(member) => Err(WireError::UnknownMember { at: member.at, name: member.name.clone() }),
        None => Ok(()),
    }
}

impl Field for DigestSet {
    fn read(node: Node, context: Context) -> Result<Self, WireError> {
        let Value::Object(members) = node.value else { return Err(context.invalid(node.at, Kind::Message)) };
        let text = |member: json::Member| match member.node.value {
            Value::String(text) => Ok((member.name, text)),
            _ => Err(context.invalid(member.node.at, Kind::String)),
        };
        members.into_iter().map(text).collect::<Result<_, _>>().map(Self)
    }

    fn write(&self, _: Emit) -> Option<Json<'_>> {
        None
    }
}

/// A statement about one file, as it is written.
#[derive(serde::Serialize)]
pub(crate) struct StatementOfFile<'a> {
    #[serde(rename = "_type")]
    pub(crate) statement_type: &'static str,
    pub(crate) subject: [SubjectOfFile<'a>; 1],
    #[serde(rename = "predicateType")]
    pub(crate) predicate_type: &'a str,
}

#[derive(serde::Serialize)]
pub(crate) struct SubjectOfFile<'a> {
    pub(crate) name: &'a str,
    pub(crate) digest: std::collections::BTreeMap<&'static str, String>,
}

impl StatementOfFile<'_> {
    /// With a predicate, as it stands: `predicate` is the text of one JSON value.
    pub(crate) fn to_json(&self, predicate: &str) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).expect("strings and string keys always serialise");
        assert_eq!(json.pop(), Some(b'}'), "a struct serialises to an object");
        json.extend_from_slice(br#","predicate":"#);
        json.extend_from_slice(predicate.trim_ascii().as_bytes());
        json.push(b'}');
        json
    }
}
