// SPDX-License-Identifier: Apache-2.0
//! Delegations of targets: who may state which targets.
//!
//! Spec: TUF 1.0.34 §4.5 (delegations; `paths` and `path_hash_prefixes`), §5.6.7 (search), TAP 15 (succinct roles).
//! In scope: reading them, which role is asked for a path, in which order. Out of scope: fetching delegated metadata (`walk`).
//! Invariants: a delegation has exactly one of the three ways to say what it is for; a role named like a top-level one is refused.

use serde_json::Value;
use touchmark_keys::sha256;

use crate::MetadataError;
use crate::document::RoleType;
use crate::role::{Keys, RoleKeys, keys};

/// Most delegations of one role; python-tuf visits 32 roles in one search.
const DELEGATIONS_MAX: usize = 1024;
/// Bins that are looked for in a snapshot: as many as a walk follows.
const BINS_LOOKED_AT_MAX: usize = 1024;
/// TAP 15: at most 2^32 bins.
const BIT_LENGTH_MAX: u64 = 32;

/// The delegations of one targets role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegations {
    keys: Keys,
    roles: Vec<Delegation>,
}

/// One delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Delegation {
    scope: Scope,
    role_keys: RoleKeys,
    is_terminating: bool,
}

/// For which targets a delegation is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// Shell patterns, of which one must match.
    Paths { name: String, patterns: Vec<String> },
    /// The path's SHA-256 in hexadecimal begins with one of these.
    HashPrefixes { name: String, prefixes: Vec<String> },
    /// 2^bits roles, each for its share of the hashes.
    Succinct { name_prefix: String, bits: u32 },
}

/// A role that is asked for a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegate<'a> {
    pub name: String,
    pub role_keys: &'a RoleKeys,
    /// Nobody is asked after it.
    pub is_terminating: bool,
}

impl Delegations {
    /// Reads the `delegations` of a targets role; one that delegates nothing has none.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn read(value: Option<&Value>) -> Result<Option<Self>, MetadataError> {
        let Some(value) = value else { return Ok(None) };
        let keys = keys(value.get("keys"))?;
        let roles = match (value.get("roles"), value.get("succinct_roles")) {
            (Some(Value::Array(roles)), None) => {
                if roles.len() > DELEGATIONS_MAX {
                    return Err(MetadataError::TooMany { member: "roles", max: DELEGATIONS_MAX, found: roles.len() });
                }
                roles.iter().map(Delegation::read).collect::<Result<_, _>>()?
            }
            (None, Some(succinct)) => vec![Delegation::read_succinct(succinct)?],
            _ => return Err(MetadataError::Member { member: "roles", expected: "a list, or else `succinct_roles`" }),
        };
        Ok(Some(Self { keys, roles }))
    }

    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whom to ask for a target, in order.
    #[must_use]
    pub fn for_target(&self, path: &str) -> Vec<Delegate<'_>> {
        let mut asked = Vec::new();
        for delegation in &self.roles {
            let Some(name) = delegation.scope.role_for(path) else { continue };
            let is_terminating = delegation.is_terminating;
            asked.push(Delegate { name, role_keys: &delegation.role_keys, is_terminating });
            if is_terminating {
                break;
            }
        }
        asked
    }

    /// The roles that are delegated to and that `is_there` does not know; of bins the first one.
    pub(crate) fn first_missing(&self, is_there: impl Fn(&String) -> bool) -> Vec<String> {
        let missing = |delegation: &Delegation| match &delegation.scope {
            Scope::Paths { name, .. } | Scope::HashPrefixes { name, .. } => {
                Some(name.clone()).filter(|name| !is_there(name))
            }
            Scope::Succinct { name_prefix, bits } => {
                // More bins than a walk looks at are missing somewhere.
                let mut bins = (0..1_u64 << bits).take(BINS_LOOKED_AT_MAX).map(|bin| bin_name(name_prefix, *bits, bin));
                bins.find(|name| !is_there(name))
            }
        };
        self.roles.iter().filter_map(missing).collect()
    }

    /// The delegation to a role of that name.
    #[must_use]
    pub fn to_role(&self, name: &str) -> Option<Delegate<'_>> {
        let delegation = self.roles.iter().find(|delegation| delegation.scope.has_role(name))?;
        let (role_keys, is_terminating) = (&delegation.role_keys, delegation.is_terminating);
        Some(Delegate { name: name.to_owned(), role_keys, is_terminating })
    }
}

impl Delegation {
    fn read(value: &Value) -> Result<Self, MetadataError> {
        let name = role_name(value.get("name"), "name")?;
        let role_keys = RoleKeys::read(&name, value)?;
        let texts = |member: &'static str| {
            let list = value.get(member).map(|list| {
                let texts = list.as_array().into_iter().flatten().map(|text| text.as_str().map(str::to_owned));
                texts.collect::<Option<Vec<_>>>().filter(|_| list.is_array())
            });
            list.map(|texts| texts.ok_or(MetadataError::Member { member, expected: "a list of texts" })).transpose()
        };
        let scope = match (texts("paths")?, texts("path_hash_prefixes")?) {
            (Some(patterns), None) => Scope::Paths { name, patterns },
            (None, Some(prefixes)) => Scope::HashPrefixes { name, prefixes },
            _ => {
                return Err(MetadataError::Member { member: "paths", expected: "there, or else `path_hash_prefixes`" });
            }
        };
        let is_terminating = value.get("terminating").and_then(Value::as_bool);
        let is_terminating =
            is_terminating.ok_or(MetadataError::Member { member: "terminating", expected: "true or false" })?;
        Ok(Self { scope, role_keys, is_terminating })
    }

    fn read_succinct(value: &Value) -> Result<Self, MetadataError> {
        let name_prefix = role_name(value.get("name_prefix"), "name_prefix")?;
        let bits = value.get("bit_length").and_then(Value::as_u64).filter(|bits| (1..=BIT_LENGTH_MAX).contains(bits));
        let bits = bits.and_then(|bits| u32::try_from(bits).ok());
        let bits = bits.ok_or(MetadataError::Member { member: "bit_length", expected: "a number from 1 to 32" })?;
        let role_keys = RoleKeys::read(&name_prefix, value)?;
        // TAP 15: a search that came to a bin goes no further.
        Ok(Self { scope: Scope::Succinct { name_prefix, bits }, role_keys, is_terminating: true })
    }
}

fn role_name(value: Option<&Value>, member: &'static str) -> Result<String, MetadataError> {
    let name = value.and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.filter(|name| RoleType::ALL.iter().all(|top_level| top_level.name() != *name));
    name.map(str::to_owned).ok_or(MetadataError::Member { member, expected: "the name of a delegated role" })
}

impl Scope {
    fn role_for(&self, path: &str) -> Option<String> {
        match self {
            Self::Paths { name, patterns } => {
                patterns.iter().any(|pattern| matches(pattern, path)).then(|| name.clone())
            }
            Self::HashPrefixes { name, prefixes } => {
                let hash = hex::encode(sha256(path.as_bytes()));
                prefixes.iter().any(|prefix| hash.starts_with(prefix.as_str())).then(|| name.clone())
            }
            Self::Succinct { name_prefix, bits } => {
                let hash = sha256(path.as_bytes());
                let first = u32::from_be_bytes(*hash.first_chunk().expect("SHA-256 has 32 bytes"));
                Some(bin_name(name_prefix, *bits, u64::from(first) >> (BIT_LENGTH_MAX - u64::from(*bits))))
            }
        }
    }

    fn has_role(&self, role: &str) -> bool {
        match self {
            Self::Paths { name, .. } | Self::HashPrefixes { name, .. } => name == role,
            Self::Succinct { name_prefix, bits } => {
                let bin = role.strip_prefix(name_prefix.as_str()).and_then(|rest| rest.strip_prefix('-'));
                let bin = bin.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                bin.is_some_and(|bin| bin < 1 << bits && bin_name(name_prefix, *bits, bin) == role)
            }
        }
    }
}

/// TAP 15: as many hexadecimal digits as the last bin needs.
fn bin_name(prefix: &str, bits: u32, bin: u64) -> String {
    let width = usize::try_from(bits.div_ceil(4)).expect("at most eight");
    format!("{prefix}-{bin:0width$x}")
}

/// Whether a path matches a pattern: part by part, `*` and `?` never match a slash (§4.5).
fn matches(pattern: &str, path: &str) -> bool {
    let (patterns, parts) = (pattern.split('/'), path.split('/'));
    patterns.clone().count() == parts.clone().count()
        && patterns.zip(parts).all(|(pattern, part)| matches_part(pattern.as_bytes(), part.as_bytes()))
}

/// Goes back to the last `*` alone, so that the time is the product of both lengths at most.
fn matches_part(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut done, mut star) = (0, 0, None);
    while done < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, done));
                at += 1;
            }
            Some(b'?') => (at, done) = (at + 1, done + 1),
            Some(byte) if *byte == text[done] => (at, done) = (at + 1, done + 1),
            _ => match star {
                Some((star_at, matched)) => {
                    star = Some((star_at, matched + 1));
                    (at, done) = (star_at + 1, matched + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn delegations(value: Value) -> Delegations {
        Delegations::read(Some(&value)).unwrap().unwrap()
    }

    fn names(delegations: &Delegations, path: &str) -> Vec<String> {
        delegations.for_target(path).into_iter().map(|delegate| delegate.name).collect()
    }

    fn role(name: &str, scope: (&str, Value), terminating: bool) -> Value {
        let mut role =
            json!({ "name": name, "keyids": ["k"], "threshold": 1, "terminating": terminating, "x-more": 1 });
        role[scope.0] = scope.1;
        role
    }

    #[test]
    fn patterns_match_within_a_part() {
        for (pattern, path, expect) in [
            ("*", "a", true),
            ("*", "a/b", false),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/?.json", "a/b.json", true),
            ("a/?.json", "a/.json", false),
            ("*.tgz", "x.tgz.sig", false),
            ("*a*b", "xaxaxb", true),
            ("*a*b", "xaxaxbx", false),
            ("", "", true),
            ("[ab]", "a", false),
        ] {
            assert_eq!(matches(pattern, path), expect, "{pattern} {path}");
        }
    }

    #[test]
    fn roles_are_asked_in_order_until_one_that_terminates() {
        let delegations = delegations(json!({ "keys": {}, "roles": [
            role("one", ("paths", json!(["a/*"])), false),
            role("two", ("path_hash_prefixes", json!([hex::encode(&sha256(b"a/b")[..1])])), true),
            role("three", ("paths", json!(["*", "a/*"])), false),
        ]}));
        assert_eq!(names(&delegations, "a/b"), ["one", "two"]);
        assert_eq!(names(&delegations, "c"), ["three"]);
        assert!(delegations.to_role("two").unwrap().is_terminating);
        assert!(delegations.to_role("four").is_none());
    }

    #[test]
    fn succinct_roles_share_out_the_hashes() {
        let delegations = delegations(json!({ "keys": {}, "succinct_roles": {
            "keyids": ["k"], "threshold": 1, "bit_length": 8, "name_prefix": "bin",
        }}));
        for path in ["a", "b/c", "trusted_root.json"] {
            let expected = format!("bin-{}", hex::encode(&sha256(path.as_bytes())[..1]));
            assert_eq!(names(&delegations, path), std::slice::from_ref(&expected));
            assert!(delegations.to_role(&expected).is_some());
        }
        for name in ["bin-100", "bin-1", "bin-FF", "bin", "bin-", "bin-+1"] {
            assert!(delegations.to_role(name).is_none(), "{name}");
        }
    }

    #[test]
    fn bins_are_numbered_with_as_many_digits_as_the_last_one() {
        for (bits, bin, expect) in [(1, 1, "b-1"), (4, 15, "b-f"), (5, 1, "b-01"), (32, 1, "b-00000001")] {
            assert_eq!(bin_name("b", bits, bin), expect);
        }
    }

    #[test]
    fn delegations_that_cannot_be_meant_are_refused() {
        let both = role("a", ("paths", json!([])), true);
        let mut both_ways = both.clone();
        both_ways["path_hash_prefixes"] = json!([]);
        for roles in [
            json!([both_ways]),
            json!([role("targets", ("paths", json!([])), true)]),
            json!([role("a", ("paths", json!([1])), true)]),
            json!({}),
            json!([{}]),
        ] {
            assert!(Delegations::read(Some(&json!({ "keys": {}, "roles": roles }))).is_err(), "{roles}");
        }
        for bits in [0, 33] {
            let succinct = json!({ "keyids": [], "threshold": 1, "bit_length": bits, "name_prefix": "b" });
            assert!(Delegations::read(Some(&json!({ "keys": {}, "succinct_roles": succinct }))).is_err());
        }
        assert_eq!(Delegations::read(None), Ok(None));
    }
}
