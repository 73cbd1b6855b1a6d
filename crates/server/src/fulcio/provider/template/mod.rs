// SPDX-License-Identifier: Apache-2.0
//! The template language of Fulcio's `ci-issuer-metadata`: how the claims of a token become a name and extensions.
//!
//! A subset of Go's `text/template` with `missingkey=error`: text, `{{ .claim }}`, `{{ index . "a/claim" }}`, string literals, and
//! `{{ if }} … {{ else if }} … {{ else }} … {{ end }}` over `eq`, `ne`, `not`, `and`, `or`; `{{-` and `-}}`; comments. A template without
//! `{{` is the name of a claim.
//!
//! In scope: parsing, rendering, and which claims a template asks for. Out of scope: where values come from ([`Values`]), what a rendered
//! text may hold (`super`).
//! Invariants: what is not in the subset is refused when it is parsed, with its place, and never rendered in some other way; rendering is
//! linear in the template and ends at [`RENDERED_BYTES_MAX`]; a value is put in as it is, nothing is escaped.

mod parse;

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The longest template; those of the public instance have less than 200 bytes.
pub(super) const TEMPLATE_BYTES_MAX: usize = 4096;
/// The longest text that a template may become. The longest path that the known forges allow is half of it.
pub(super) const RENDERED_BYTES_MAX: usize = 2048;
/// How deep `if` and parentheses may nest.
const DEPTH_MAX: usize = 16;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Node>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Text(String),
    Value(Operand),
    If { condition: Condition, then: Vec<Node>, otherwise: Vec<Node> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    /// `.name`: an error if there is no such value.
    Field(String),
    /// `index . "name"`: in Go an empty text if there is no such value.
    Index(String),
    Literal(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// Not empty.
    Given(Operand),
    /// The first is equal to one of the others.
    Equal(Operand, Vec<Operand>),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// Why a template was not understood. `at` counts bytes from the beginning of the template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {TEMPLATE_BYTES_MAX} bytes")]
    TooLong,
    #[error("at byte {at}: {{{{ is not closed by }}}}")]
    Unclosed { at: usize },
    #[error("at byte {at}: {{{{ {action} }}}} without an if before it")]
    WithoutIf { at: usize, action: &'static str },
    #[error("the if at byte {at} has no {{{{ end }}}}")]
    WithoutEnd { at: usize },
    #[error("at byte {at}: a text in quotes that does not end, or an escape in it other than \\\" and \\\\")]
    Literal { at: usize },
    #[error(
        "at byte {at}: this is not understood; there are .claim, index . \"claim\", \"text\", and if with eq, ne, not, and, or"
    )]
    NotUnderstood { at: usize },
    #[error("at byte {at}: nested deeper than {DEPTH_MAX}")]
    TooDeep { at: usize },
}

/// Why a template has no text for a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("the claim {claim} is missing, and there is no default for it")]
    Missing { claim: String },
    #[error(
        "the claim {claim} is neither a text, a whole number nor true or false, or is too long or has control characters"
    )]
    Unusable { claim: String },
    #[error("the claim {claim} is empty: a name with a hole in it would be another one's")]
    Empty { claim: String },
    #[error("the text would be longer than {RENDERED_BYTES_MAX} bytes")]
    TooLong,
}

/// What a name in a template stands for.
pub(super) trait Values {
    /// `None` if there is no such value.
    fn value(&self, name: &str) -> Result<Option<Cow<'_, str>>, RenderError>;
}

/// What a rendered text will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Whom a certificate names. A name with a hole in it is another name: a value that is missing or empty is an error.
    Name,
    /// `index` of a missing value is empty, as in Go, in a condition or where it is the whole template; inside a longer text it is an error here too.
    Extension,
}

/// Whether a token has to have a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    Optional,
    /// Only on some ways through the template.
    Sometimes,
    Always,
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.trim().is_empty() {
            return Err(TemplateError::Empty);
        }
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong);
        }
        if !text.contains("{{") {
            return Ok(Self(vec![Node::Value(Operand::Field(text.to_owned()))]));
        }
        Ok(Self(parse::nodes(text)?))
    }

    pub(super) fn render(&self, values: &dyn Values, purpose: Purpose) -> Result<String, RenderError> {
        if let ([Node::Value(Operand::Index(name))], Purpose::Extension) = (self.0.as_slice(), purpose) {
            return Ok(values.value(name)?.unwrap_or_default().into_owned());
        }
        let mut out = String::new();
        render(&self.0, values, purpose, &mut out)?;
        Ok(out)
    }

    /// The names that the template asks for, and how much it needs each.
    pub(super) fn names(&self) -> BTreeMap<&str, Need> {
        let mut names = BTreeMap::new();
        let alone = matches!(self.0.as_slice(), [Node::Value(Operand::Index(_))]);
        collect(&self.0, if alone { Need::Optional } else { Need::Always }, &mut names);
        names
    }
}

fn render(nodes: &[Node], values: &dyn Values, purpose: Purpose, out: &mut String) -> Result<(), RenderError> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Value(operand) => out.push_str(&operand.in_text(values, purpose)?),
            Node::If { condition, then, otherwise } => {
                let branch = if condition.holds(values, purpose)? { then } else { otherwise };
                render(branch, values, purpose, out)?;
            }
        }
        if out.len() > RENDERED_BYTES_MAX {
            return Err(RenderError::TooLong);
        }
    }
    Ok(())
}

impl Operand {
    fn in_text<'v>(&'v self, values: &'v dyn Values, purpose: Purpose) -> Result<Cow<'v, str>, RenderError> {
        match self {
            Self::Literal(text) => Ok(Cow::Borrowed(text)),
            Self::Field(claim) | Self::Index(claim) => match present(claim, values)? {
                value if value.is_empty() && purpose == Purpose::Name => {
                    Err(RenderError::Empty { claim: claim.clone() })
                }
                value => Ok(value),
            },
        }
    }

    fn in_condition<'v>(&'v self, values: &'v dyn Values, purpose: Purpose) -> Result<Cow<'v, str>, RenderError> {
        match (self, purpose) {
            (Self::Literal(text), _) => Ok(Cow::Borrowed(text)),
            (Self::Field(claim), _) | (Self::Index(claim), Purpose::Name) => present(claim, values),
            (Self::Index(claim), Purpose::Extension) => Ok(values.value(claim)?.unwrap_or_default()),
        }
    }
}

fn present<'v>(claim: &str, values: &'v dyn Values) -> Result<Cow<'v, str>, RenderError> {
    values.value(claim)?.ok_or_else(|| RenderError::Missing { claim: claim.to_owned() })
}

impl Condition {
    fn holds(&self, values: &dyn Values, purpose: Purpose) -> Result<bool, RenderError> {
        match self {
            Self::Given(operand) => Ok(!operand.in_condition(values, purpose)?.is_empty()),
            Self::Equal(one, others) => {
                let one = one.in_condition(values, purpose)?;
                for other in others {
                    if one == other.in_condition(values, purpose)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(condition) => Ok(!condition.holds(values, purpose)?),
            Self::All(conditions) => {
                for condition in conditions {
                    if !condition.holds(values, purpose)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(conditions) => {
                for condition in conditions {
                    if condition.holds(values, purpose)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    fn operands<'c>(&'c self, out: &mut Vec<&'c Operand>) {
        match self {
            Self::Given(operand) => out.push(operand),
            Self::Equal(one, others) => {
                out.push(one);
                out.extend(others);
            }
            Self::Not(condition) => condition.operands(out),
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().for_each(|condition| condition.operands(out));
            }
        }
    }
}

fn collect<'t>(nodes: &'t [Node], need: Need, names: &mut BTreeMap<&'t str, Need>) {
    let mut note = |operand: &'t Operand, need: Need| {
        let (Operand::Field(name) | Operand::Index(name)) = operand else { return };
        let known = names.entry(name).or_insert(need);
        *known = need.max(*known);
    };
    for node in nodes {
        match node {
            Node::Text(_) => {}
            Node::Value(operand) => note(operand, need),
            Node::If { condition, .. } => {
                let mut operands = Vec::new();
                condition.operands(&mut operands);
                for operand in operands {
                    let index = matches!(operand, Operand::Index(_));
                    note(operand, if index { Need::Optional } else { need });
                }
            }
        }
    }
    for node in nodes {
        if let Node::If { then, otherwise, .. } = node {
            collect(then, need.min(Need::Sometimes), names);
            collect(otherwise, need.min(Need::Sometimes), names);
        }
    }
}

#[cfg(test)]
mod tests;
