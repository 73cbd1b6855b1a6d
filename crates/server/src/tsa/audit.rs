// SPDX-License-Identifier: Apache-2.0
//! What the audit log says of a timestamp that was issued.
//!
//! The members of a line: docs/tsa.md.
//!
//! In scope: the line. Out of scope: when it is written ([`super`]); the file (`crate::audit`).
//! Invariant: every token that left has a line by which it is known: its serial number, and what it is over.

use jiff::Timestamp;
use serde::Serialize;
use touchmark_keys::Digest;

use crate::audit::{self, AuditKind, Entry};

/// The file of the timestamp authority.
pub(crate) type AuditLog = audit::AuditLog<Issued>;

/// A timestamp.
pub(crate) struct Issued {
    /// When it was issued, by the clock.
    pub(super) time: Timestamp,
    /// What it says.
    pub(super) gen_time: Timestamp,
    pub(super) serial: [u8; 20],
    pub(super) imprint: Digest,
    pub(super) policy: String,
    /// Of the certificate whose key signed.
    pub(super) certificate_sha256: String,
}

/// In the order in which it is written.
#[derive(Serialize)]
struct Members<'i> {
    outcome: &'static str,
    serial: String,
    gen_time: Timestamp,
    hash_algorithm: &'static str,
    message_digest: String,
    policy: &'i str,
    certificate_sha256: &'i str,
}

impl Entry for Issued {
    const WITHOUT: &'static str = "no timestamp is issued";
    const KIND: AuditKind = AuditKind::Timestamps;

    fn time(&self) -> Timestamp {
        self.time
    }

    fn members(&self) -> impl Serialize {
        Members {
            outcome: "issued",
            serial: hex::encode(self.serial),
            gen_time: self.gen_time,
            hash_algorithm: self.imprint.algorithm().prefix(),
            message_digest: hex::encode(self.imprint.as_bytes()),
            policy: &self.policy,
            certificate_sha256: &self.certificate_sha256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::line::{FIRST_PREVIOUS, of_entry};
    use touchmark_keys::{HashAlgorithm, digest};

    #[test]
    fn a_line_says_what_was_stamped_when_and_by_which_key() {
        let issued = Issued {
            time: "2027-01-15T08:00:00.25Z".parse().unwrap(),
            gen_time: "2027-01-15T08:00:00Z".parse().unwrap(),
            serial: [0x4f; 20],
            imprint: digest(HashAlgorithm::Sha384, b"message"),
            policy: "1.2.3".to_owned(),
            certificate_sha256: "ab".repeat(32),
        };
        let line = String::from_utf8(of_entry(0, &FIRST_PREVIOUS, &issued)).unwrap();
        let expect = format!(
            r#"{{"sequence":0,"previous":"{}","time":"2027-01-15T08:00:00.25Z","outcome":"issued","serial":"{}","gen_time":"2027-01-15T08:00:00Z","hash_algorithm":"sha384","message_digest":"{}","policy":"1.2.3","certificate_sha256":"{}"}}"#,
            "00".repeat(32),
            "4f".repeat(20),
            hex::encode(issued.imprint.as_bytes()),
            "ab".repeat(32)
        );
        assert_eq!(line, expect);
    }
}
