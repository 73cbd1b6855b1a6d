// SPDX-License-Identifier: Apache-2.0
//! Validity windows of keys, authorities and services.

use jiff::Timestamp;

use crate::wire::trust::TimeRange;

/// A window of time with both ends inclusive; without an end it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidFor {
    start: Timestamp,
    end: Option<Timestamp>,
}

/// Why a window cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// A key without a start would be trusted for all the past.
    #[error("its validity window has no start")]
    NoStart,
    #[error("its validity window has a malformed time")]
    MalformedTime,
    #[error("its validity window ends at {end}, before its start at {start}")]
    EndBeforeStart { start: Timestamp, end: Timestamp },
}

impl ValidFor {
    /// A window from `start` to `end`, both inclusive.
    ///
    /// # Errors
    /// If the end lies before the start.
    pub fn new(start: Timestamp, end: Option<Timestamp>) -> Result<Self, WindowError> {
        match end {
            Some(end) if end < start => Err(WindowError::EndBeforeStart { start, end }),
            _ => Ok(Self { start, end }),
        }
    }

    /// A window that is open to the future.
    #[must_use]
    pub fn since(start: Timestamp) -> Self {
        Self { start, end: None }
    }

    #[must_use]
    pub fn start(&self) -> Timestamp {
        self.start
    }

    #[must_use]
    pub fn end(&self) -> Option<Timestamp> {
        self.end
    }

    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && self.end.is_none_or(|end| time <= end)
    }

    pub(super) fn from_wire(range: Option<TimeRange>) -> Result<Self, WindowError> {
        let range = range.unwrap_or_default();
        let parse = |text: String| text.parse::<Timestamp>().map_err(|_| WindowError::MalformedTime);
        let start = range.start.map(parse).transpose()?.ok_or(WindowError::NoStart)?;
        Self::new(start, range.end.map(parse).transpose()?)
    }

    pub(super) fn to_wire(self) -> TimeRange {
        TimeRange { start: Some(self.start.to_string()), end: self.end.map(|end| end.to_string()) }
    }
}

impl std::fmt::Display for ValidFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.end {
            Some(end) => write!(f, "{} to {end}", self.start),
            None => write!(f, "{} on", self.start),
        }
    }
}
