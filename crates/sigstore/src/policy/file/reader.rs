// SPDX-License-Identifier: Apache-2.0
//! TOML with places: every value knows where it stands, so that an error names line and column.
//!
//! In scope: what any file of ours would read. Out of scope: what the keys mean (`sections`).
//! Invariants: total; a key that nobody reads is refused by [`Section::only`].

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{PolicyFileError, Problem};
use crate::policy::matcher::{ALTERNATIVES_MAX, Matcher};

/// A place in the text of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// Of a byte; one behind the end is at the end.
    fn of(source: &str, offset: usize) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count());
        Self { line: before.bytes().filter(|byte| *byte == b'\n').count() + 1, column: column + 1 }
    }

    pub(super) fn error(self, problem: Problem) -> PolicyFileError {
        PolicyFileError { line: self.line, column: self.column, problem }
    }
}

/// Parses a document and hands it over.
pub(super) fn parse<T>(
    source: &str,
    read: impl FnOnce(Section<'_, '_>) -> Result<T, PolicyFileError>,
) -> Result<T, PolicyFileError> {
    let document = DeTable::parse(source).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        Place::of(source, offset).error(Problem::Toml(error.message().to_owned()))
    })?;
    read(Section { source, table: document.get_ref(), offset: 0 })
}

/// A table.
#[derive(Clone, Copy)]
pub(super) struct Section<'t, 'i> {
    source: &'t str,
    table: &'t DeTable<'i>,
    offset: usize,
}

/// A value under a key.
#[derive(Clone, Copy)]
pub(super) struct Value<'t, 'i> {
    source: &'t str,
    pub(super) key: &'t str,
    value: &'t Spanned<DeValue<'i>>,
}

impl<'t, 'i> Section<'t, 'i> {
    pub(super) fn place(self) -> Place {
        Place::of(self.source, self.offset)
    }

    pub(super) fn error(self, problem: Problem) -> PolicyFileError {
        self.place().error(problem)
    }

    /// That there is no other key.
    pub(super) fn only(self, allowed: &'static [&'static str]) -> Result<Self, PolicyFileError> {
        let unknown = self.table.iter().map(|(key, _)| key).find(|key| !allowed.contains(&key.get_ref().as_ref()));
        match unknown {
            None => Ok(self),
            Some(key) => {
                let problem = Problem::UnknownKey { key: key.get_ref().to_string(), allowed };
                Err(Place::of(self.source, key.span().start).error(problem))
            }
        }
    }

    pub(super) fn get(self, key: &str) -> Option<Value<'t, 'i>> {
        let (key, value) = self.table.get_key_value(key)?;
        Some(Value { source: self.source, key: key.get_ref().as_ref(), value })
    }

    /// Every key with its value, in the order of the keys.
    pub(super) fn entries(self) -> impl Iterator<Item = Value<'t, 'i>> {
        let source = self.source;
        self.table.iter().map(move |(key, value)| Value { source, key: key.get_ref().as_ref(), value })
    }

    pub(super) fn require(self, key: &'static str) -> Result<Value<'t, 'i>, PolicyFileError> {
        self.get(key).ok_or_else(|| self.error(Problem::Missing { key }))
    }

    pub(super) fn text(self, key: &str) -> Result<Option<&'t str>, PolicyFileError> {
        self.get(key).map(Value::text).transpose()
    }

    pub(super) fn owned_text(self, key: &str) -> Result<Option<String>, PolicyFileError> {
        Ok(self.text(key)?.map(ToOwned::to_owned))
    }

    /// The tables of `[[key]]`, at most `max`.
    pub(super) fn sections(self, key: &str, max: usize) -> Result<Vec<Section<'t, 'i>>, PolicyFileError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        value.list(max)?.into_iter().map(Value::section).collect()
    }

    /// That at most one of these is there.
    pub(super) fn one_of(self, keys: &[&'static str]) -> Result<Option<Value<'t, 'i>>, PolicyFileError> {
        let mut found = keys.iter().filter_map(|key| self.get(key));
        match (found.next(), found.next()) {
            (Some(first), Some(second)) => {
                Err(second.error(Problem::Conflict { first: first.key.to_owned(), second: second.key.to_owned() }))
            }
            (first, _) => Ok(first),
        }
    }
}

impl<'t, 'i> Value<'t, 'i> {
    pub(super) fn place(self) -> Place {
        Place::of(self.source, self.value.span().start)
    }

    pub(super) fn error(self, problem: Problem) -> PolicyFileError {
        self.place().error(problem)
    }

    fn expected(self, what: &'static str) -> PolicyFileError {
        self.error(Problem::Type { key: self.key.to_owned(), expected: what, found: self.value.get_ref().type_str() })
    }

    pub(super) fn text(self) -> Result<&'t str, PolicyFileError> {
        self.value.get_ref().as_str().ok_or_else(|| self.expected("a text"))
    }

    pub(super) fn count(self) -> Result<usize, PolicyFileError> {
        let number = self.value.get_ref().as_integer().filter(|number| number.radix() == 10);
        number.and_then(|number| number.as_str().parse().ok()).ok_or_else(|| self.expected("a number from 0"))
    }

    pub(super) fn switch(self) -> Result<bool, PolicyFileError> {
        self.value.get_ref().as_bool().ok_or_else(|| self.expected("true or false"))
    }

    /// A time, with or without quotation marks.
    pub(super) fn time(self) -> Result<jiff::Timestamp, PolicyFileError> {
        let text = match self.value.get_ref() {
            DeValue::Datetime(time) => time.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => String::new(),
        };
        text.parse().map_err(|_| self.expected("a time, as 2026-01-01T00:00:00Z"))
    }

    pub(super) fn section(self) -> Result<Section<'t, 'i>, PolicyFileError> {
        let table = self.value.get_ref().as_table().ok_or_else(|| self.expected("a table"))?;
        Ok(Section { source: self.source, table, offset: self.value.span().start })
    }

    /// The values of a list, at most `max`.
    pub(super) fn list(self, max: usize) -> Result<Vec<Value<'t, 'i>>, PolicyFileError> {
        let list = self.value.get_ref().as_array().ok_or_else(|| self.expected("a list"))?;
        if list.len() > max {
            return Err(self.error(Problem::TooMany { key: self.key.to_owned(), found: list.len(), max }));
        }
        Ok(list.iter().map(|value| Value { source: self.source, key: self.key, value }).collect())
    }

    /// A text, which is meant exactly, `{ glob = "…" }`, `{ pattern = "…" }`, or a list of such.
    pub(super) fn matcher(self) -> Result<Matcher, PolicyFileError> {
        let DeValue::Array(_) = self.value.get_ref() else { return self.single_matcher() };
        let alternatives = self.list(ALTERNATIVES_MAX)?.into_iter().map(Self::single_matcher);
        let alternatives: Vec<Matcher> = alternatives.collect::<Result<_, _>>()?;
        Matcher::any_of(alternatives).map_err(|error| self.error(Problem::Matcher(error)))
    }

    fn single_matcher(self) -> Result<Matcher, PolicyFileError> {
        let refused = |error| self.error(Problem::Matcher(error));
        match self.value.get_ref() {
            DeValue::String(text) => Matcher::exact(text).map_err(refused),
            DeValue::Table(_) => {
                let section = self.section()?.only(&["glob", "pattern"])?;
                let given = section.one_of(&["glob", "pattern"])?;
                let given = given.ok_or_else(|| section.error(Problem::Missing { key: "glob" }))?;
                let matcher = match given.key {
                    "glob" => Matcher::glob(given.text()?),
                    _ => Matcher::pattern(given.text()?),
                };
                matcher.map_err(|error| given.error(Problem::Matcher(error)))
            }
            _ => Err(self.expected("a text, { glob = … }, { pattern = … } or a list of these")),
        }
    }
}
