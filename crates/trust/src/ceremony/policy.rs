// SPDX-License-Identifier: Apache-2.0
//! What a ceremony is to become: its name, its holders, how many must sign, how long metadata lives.

use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::enrolment::ONLINE;
use super::{CeremonyError, expect_name};
use crate::document::{Document, RoleType};

/// Holders, where nothing else is said: a small team.
pub const HOLDERS_DEFAULT: usize = 3;
/// How many of them sign.
pub const THRESHOLD_DEFAULT: u32 = 2;
/// Most holders: four times those of the largest public ceremonies.
const HOLDERS_MAX: usize = 32;
const VERSION: u32 = 1;

/// How long metadata of a role lives, and how long before its end it is to be signed anew; tuf-on-ci has the same pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Period {
    pub expiry_days: u32,
    pub signing_days: u32,
}

/// Longest life: ten years, as the public targets have.
const EXPIRY_DAYS_MAX: u32 = 3653;
/// The fields of tuf-on-ci: in the signed part of root and targets, and beside the keys of the online roles in the root.
const EXPIRY_FIELD: &str = "x-tuf-on-ci-expiry-period";
const SIGNING_FIELD: &str = "x-tuf-on-ci-signing-period";

impl Period {
    /// What new metadata gets where nothing else is said. Root and targets are announced 46 days ahead, as the public instance does; a client
    /// that sees no new timestamp for a week must stop.
    #[must_use]
    pub fn default_of(role_type: RoleType) -> Self {
        let (expiry_days, signing_days) = match role_type {
            RoleType::Root | RoleType::Targets => (365, 46),
            RoleType::Snapshot => (90, 45),
            RoleType::Timestamp => (7, 6),
        };
        Self { expiry_days, signing_days }
    }

    pub(crate) fn read(fields: &Map<String, Value>) -> Option<Self> {
        let days = |field| fields.get(field)?.as_u64().and_then(|days| u32::try_from(days).ok());
        let period = Self { expiry_days: days(EXPIRY_FIELD)?, signing_days: days(SIGNING_FIELD)? };
        (period.signing_days < period.expiry_days && period.expiry_days <= EXPIRY_DAYS_MAX).then_some(period)
    }

    /// What an offline document says of its own life, or else the default.
    pub(crate) fn of_document(document: &Document) -> Self {
        Self::read(document.signed()).unwrap_or(Self::default_of(document.role_type()))
    }

    /// What a root says of an online role, or else the default.
    pub(crate) fn of_online(root: &Document, role_type: RoleType) -> Self {
        let role = root.signed().get("roles").and_then(|roles| roles.get(role_type.name())).and_then(Value::as_object);
        role.and_then(Self::read).unwrap_or(Self::default_of(role_type))
    }

    pub(crate) fn write(self, fields: &mut Map<String, Value>) {
        fields.insert(EXPIRY_FIELD.to_owned(), self.expiry_days.into());
        fields.insert(SIGNING_FIELD.to_owned(), self.signing_days.into());
    }

    /// The end of what is signed now, in whole seconds.
    #[must_use]
    pub fn end(self, now: Timestamp) -> Timestamp {
        let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
        whole.checked_add((i64::from(self.expiry_days) * 24).hours()).unwrap_or(Timestamp::MAX)
    }

    /// Whether what ends then is to be signed anew by now.
    #[must_use]
    pub fn is_due(self, expires: Timestamp, now: Timestamp) -> bool {
        now.checked_add((i64::from(self.signing_days) * 24).hours()).is_ok_and(|due| due >= expires)
    }
}

/// `ceremony.json`: what the first event is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    version: u32,
    name: String,
    holders: Vec<String>,
    threshold: u32,
    /// One holder alone may sign; only where that was said.
    solo: bool,
}

/// Whether one holder alone may be the whole trust root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Solo {
    Refused,
    /// Said in so many words.
    Allowed,
}

impl Policy {
    /// # Errors
    /// If a name is no name or stands twice, or the threshold cannot be met or is one.
    pub fn new(name: &str, holders: &[String], threshold: u32, solo: Solo) -> Result<Self, CeremonyError> {
        expect_name("the ceremony", name)?;
        for (position, holder) in holders.iter().enumerate() {
            expect_name("the holder", holder)?;
            if holder == ONLINE {
                return Err(CeremonyError::OnlineName);
            }
            if holders[..position].contains(holder) {
                return Err(CeremonyError::HolderTwice { holder: holder.clone() });
            }
        }
        expect_threshold(threshold, holders.len(), solo)?;
        let (name, holders) = (name.to_owned(), holders.to_vec());
        Ok(Self { version: VERSION, name, holders, threshold, solo: solo == Solo::Allowed })
    }

    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self, CeremonyError> {
        let policy: Self = super::from_json("ceremony.json", bytes)?;
        if policy.version != VERSION {
            return Err(CeremonyError::Version { what: "ceremony.json", expected: VERSION, found: policy.version });
        }
        Self::new(&policy.name, &policy.holders, policy.threshold, policy.solo())
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        super::to_json(self)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn holders(&self) -> &[String] {
        &self.holders
    }

    #[must_use]
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    #[must_use]
    pub fn solo(&self) -> Solo {
        if self.solo { Solo::Allowed } else { Solo::Refused }
    }
}

pub(crate) fn expect_threshold(threshold: u32, holders: usize, solo: Solo) -> Result<(), CeremonyError> {
    let can_be_met = usize::try_from(threshold).is_ok_and(|threshold| threshold <= holders);
    if threshold == 0 || !can_be_met || holders > HOLDERS_MAX {
        return Err(CeremonyError::Threshold { threshold, holders });
    }
    if threshold == 1 && solo == Solo::Refused { Err(CeremonyError::ThresholdOne) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_cannot_be_meant_is_refused() {
        let new = |holders: &[&str], threshold, solo| {
            Policy::new("example", &holders.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), threshold, solo)
        };
        assert!(new(&["ann", "bob", "cy"], 2, Solo::Refused).is_ok());
        assert!(matches!(new(&["ann", "bob"], 3, Solo::Refused), Err(CeremonyError::Threshold { .. })));
        assert!(matches!(new(&["ann"], 0, Solo::Allowed), Err(CeremonyError::Threshold { .. })));
        assert!(matches!(new(&["ann", "bob"], 1, Solo::Refused), Err(CeremonyError::ThresholdOne)));
        assert!(new(&["ann"], 1, Solo::Allowed).is_ok());
        assert!(matches!(new(&["ann", "ann"], 2, Solo::Refused), Err(CeremonyError::HolderTwice { .. })));
        assert!(matches!(new(&["ann", "online"], 2, Solo::Refused), Err(CeremonyError::OnlineName)));
        assert!(matches!(new(&["Ann", "../bob"], 2, Solo::Refused), Err(CeremonyError::Name { .. })));
    }

    #[test]
    fn periods_are_days_before_the_end() {
        let now: Timestamp = "2026-11-22T10:00:00.7Z".parse().unwrap();
        let week = Period::default_of(RoleType::Timestamp);
        assert_eq!(week.end(now).to_string(), "2026-11-29T10:00:00Z");
        assert!(!week.is_due(week.end(now), now));
        assert!(week.is_due(week.end(now), "2026-11-23T10:00:00Z".parse().unwrap()));
    }
}
