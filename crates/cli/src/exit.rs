// SPDX-License-Identifier: Apache-2.0
//! The exit codes: a script can tell "unsigned" from "wrong signer" from "network".
//!
//! They are an interface: stable, documented in `touchmark help` and docs, and pinned by a test. Where cosign has a code
//! for the same class (10 no signature, 12 no matching signature), ours is the same.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitStatus {
    /// Something that should not happen: please report it.
    Internal = 1,
    /// The command line cannot mean anything; nothing was done.
    Usage = 2,
    /// A file could not be read, written or understood.
    Unreadable = 3,
    /// A service could not be reached, or not now.
    Network = 4,
    /// A service or the identity provider said no.
    Refused = 5,
    /// There is no signature.
    NotSigned = 10,
    /// A good signature, by someone else.
    WrongSigner = 12,
    /// The artifact or the signature was changed.
    Tampered = 14,
    /// A certificate, log entry or timestamp does not come from the trust root.
    Untrusted = 15,
    /// The trust root is missing, expired, or does not verify.
    TrustRoot = 16,
}

impl ExitStatus {
    /// Every failure, in the order of the codes.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 10] = [
        Self::Internal,
        Self::Usage,
        Self::Unreadable,
        Self::Network,
        Self::Refused,
        Self::NotSigned,
        Self::WrongSigner,
        Self::Tampered,
        Self::Untrusted,
        Self::TrustRoot,
    ];

    /// Of several failures of one call the first in this order decides: what may be an attack before what keeps us from telling.
    const BY_SEVERITY: [Self; 10] = [
        Self::Tampered,
        Self::WrongSigner,
        Self::Untrusted,
        Self::NotSigned,
        Self::TrustRoot,
        Self::Unreadable,
        Self::Network,
        Self::Refused,
        Self::Usage,
        Self::Internal,
    ];

    /// The more severe of the two.
    pub(crate) fn or_worse(self, other: Self) -> Self {
        let first = Self::BY_SEVERITY.into_iter().find(|status| *status == self || *status == other);
        first.unwrap_or(self)
    }

    /// The word for it in `--output json`: as stable as the number.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Unreadable => "unreadable",
            Self::Network => "network",
            Self::Refused => "refused",
            Self::NotSigned => "not-signed",
            Self::WrongSigner => "wrong-signer",
            Self::Tampered => "tampered",
            Self::Untrusted => "untrusted",
            Self::TrustRoot => "trust-root",
        }
    }

    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.number())
    }
}

/// The table for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
   0  done; for verify-blob and its like: every check passed for every file
   1  internal error
   2  the command line is wrong
   3  a file could not be read, written or understood
   4  a service could not be reached
   5  a service refused
  10  not signed
  12  signed by someone else
  14  the artifact, the signature or the audit log was changed; log fsck has findings
  15  not from the trust root
  16  the trust root is missing, expired or invalid
Where several files fail in different ways, the first of 14 12 15 10 16 3 4 5 2 1.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable() {
        let table: Vec<_> = ExitStatus::ALL.iter().map(|status| (status.number(), status.code())).collect();
        assert_eq!(
            table,
            [
                (1, "internal"),
                (2, "usage"),
                (3, "unreadable"),
                (4, "network"),
                (5, "refused"),
                (10, "not-signed"),
                (12, "wrong-signer"),
                (14, "tampered"),
                (15, "untrusted"),
                (16, "trust-root"),
            ]
        );
    }

    #[test]
    fn the_worst_failure_decides() {
        let worst = ExitStatus::ALL.into_iter().reduce(ExitStatus::or_worse);
        assert_eq!(worst, Some(ExitStatus::Tampered));
        assert_eq!(ExitStatus::NotSigned.or_worse(ExitStatus::WrongSigner), ExitStatus::WrongSigner);
        let order: Vec<String> = ExitStatus::BY_SEVERITY.iter().map(|status| status.number().to_string()).collect();
        assert!(HELP.contains(&order.join(" ")));
        for status in ExitStatus::ALL {
            assert!(ExitStatus::BY_SEVERITY.contains(&status), "{status:?}");
            assert_eq!(status.or_worse(status), status);
        }
    }

    #[test]
    fn every_code_is_in_the_help() {
        for status in ExitStatus::ALL {
            assert!(HELP.contains(&format!("\n  {:>2}  ", status.number())), "{status:?}");
        }
    }
}
