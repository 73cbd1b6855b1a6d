// SPDX-License-Identifier: Apache-2.0
//! What a command says when it could not do what it was asked: what, why, and what to do next.
//!
//! Typed errors come up from the libraries; this is the one place where they become text, a class ([`ExitStatus`]) and advice.

use std::error::Error;
use std::fmt::Display;

use serde_json::{Value, json};
use touchmark_client::identity::IdentityError;
use touchmark_client::service::{ServiceError, ServiceKind};
use touchmark_client::sign::SignError;
use touchmark_client::trust::TrustError;

use crate::exit::ExitStatus;

/// The end of a command that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    status: ExitStatus,
    /// More precise than the status, for scripts; see docs/verify.md.
    code: Option<&'static str>,
    message: String,
    /// Lines below the message: a label and a text.
    details: Vec<(&'static str, String)>,
    hints: Vec<String>,
    reported: bool,
}

impl Failure {
    pub(crate) fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, code: None, message: message.into(), details: Vec::new(), hints: Vec::new(), reported: false }
    }

    /// The error as message, its sources as causes.
    pub(crate) fn from_error(status: ExitStatus, error: &dyn Error) -> Self {
        let mut failure = Self::new(status, error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            failure = failure.because(cause);
            source = cause.source();
        }
        failure
    }

    pub(crate) fn because(self, cause: impl Display) -> Self {
        self.detail("because", cause)
    }

    /// For a check: what it expected, what it found.
    pub(crate) fn detail(mut self, label: &'static str, text: impl Display) -> Self {
        self.details.push((label, text.to_string()));
        self
    }

    /// What to do next, as a sentence or a command.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same, with what it is about before the message.
    pub(crate) fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The command has told the user itself (a JSON verdict): only the exit code is left to give.
    pub(crate) fn reported(mut self) -> Self {
        self.reported = true;
        self
    }

    /// What it is, in a word that does not change between versions.
    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) fn stable_code(&self) -> &'static str {
        self.code.unwrap_or(self.status.code())
    }

    /// What a program is told.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "class": self.status.code(),
            "exitCode": self.status.number(),
            "code": self.stable_code(),
            "message": self.message,
            "causes": self.details.iter().map(|(label, text)| format!("{label}: {text}")).collect::<Vec<_>>(),
            "hints": self.hints,
        })
    }

    pub(crate) fn status(&self) -> ExitStatus {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn details(&self) -> &[(&'static str, String)] {
        &self.details
    }

    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.reported
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let later = "the service is busy or out of order: try again later";
        match &error {
            ServiceError::Unreachable { .. } => Self::from_error(ExitStatus::Network, &error)
                .hint("is the address right and the service running? After a restart on another port run `touchmark initialize` again"),
            ServiceError::Refused { status: 429 | 500.., .. } => {
                Self::from_error(ExitStatus::Network, &error).hint(later)
            }
            ServiceError::Refused {
                service: ServiceKind::CertificateAuthority,
                status: 400 | 401 | 403,
                message,
                ..
            } => Self::from_error(ExitStatus::Refused, &error).hint(for_refusal(message.reason())),
            ServiceError::Refused { .. } => Self::from_error(ExitStatus::Refused, &error),
            ServiceError::NotUnderstood { .. } => Self::from_error(ExitStatus::Refused, &error)
                .hint("the address may belong to something else: check the signing config"),
            ServiceError::BadUrl { .. } | ServiceError::Insecure { .. } => Self::from_error(ExitStatus::TrustRoot, &error),
        }
    }
}

/// What to do about a refusal of the certificate authority; others than ours give no reason.
fn for_refusal(reason: Option<&str>) -> &'static str {
    match reason {
        Some("TOKEN_ISSUER_UNKNOWN") => "this instance accepts no tokens of that issuer: ask its operator to add it",
        Some("TOKEN_AUDIENCE_MISMATCH") => {
            "ask the issuer for a token for audience \"sigstore\", or the one that the operator configured"
        }
        Some("TOKEN_EXPIRED" | "TOKEN_TOO_OLD" | "TOKEN_REPLAYED") => "get a fresh token for each signature",
        Some("TOKEN_NOT_YET_VALID") => "the clock of the issuer, of the authority or of this machine is wrong",
        Some("TOKEN_EMAIL_UNVERIFIED") => "have the issuer verify your e-mail address first",
        Some("SUBJECT_NOT_ALLOWED") => {
            "the issuer is accepted, and this subject of it is not: ask the operator to admit it"
        }
        _ => "is the token fresh, for audience \"sigstore\", and of an issuer that this instance accepts?",
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        let of = |status| Self::from_error(status, &error);
        match error {
            IdentityError::Service(error) => error.into(),
            IdentityError::Expired { .. } => of(ExitStatus::Usage).hint(
                "get a fresh token: they are valid for minutes (`touchmark token` prints one of the try-out issuer)",
            ),
            IdentityError::TooLong
            | IdentityError::NotThreeParts
            | IdentityError::ClaimsUnreadable
            | IdentityError::ClaimMissing { .. }
            | IdentityError::NeitherTokenNorFile { .. } => {
                of(ExitStatus::Usage).hint("--identity-token takes a JWT or the path of a file that holds one")
            }
            IdentityError::WrongAudience { .. }
            | IdentityError::ProviderMismatch { .. }
            | IdentityError::ProviderInsecure { .. }
            | IdentityError::ProviderWithoutPkce
            | IdentityError::LoginRefused { .. }
            | IdentityError::LoginTimeout { .. }
            | IdentityError::LoginDisturbed { .. } => of(ExitStatus::Refused),
            IdentityError::Listener { .. } => of(ExitStatus::Internal),
        }
    }
}

impl From<TrustError> for Failure {
    fn from(error: TrustError) -> Self {
        let of = |status| Self::from_error(status, &error);
        match &error {
            TrustError::NotInitialised { .. } => of(ExitStatus::TrustRoot)
                .hint("run `touchmark initialize --mirror URL --root FILE` once, or `touchmark trust add`; to sign and to verify, files will do: --trusted-root, --signing-config"),
            TrustError::File { .. } => of(ExitStatus::Unreadable),
            TrustError::InstanceForgotten { .. } => of(ExitStatus::TrustRoot)
                .hint("run `touchmark initialize` again, or name another directory with --cache"),
            TrustError::InstanceUnreadable { .. } => {
                of(ExitStatus::Unreadable).hint("delete this file and run `touchmark initialize` or `touchmark trust add` again: what was seen of the instance stays")
            }
            TrustError::ChecksumUnreadable { .. }
            | TrustError::MirrorUnusable { .. }
            | TrustError::InstanceNameUnusable { .. }
            | TrustError::TooManyInstances { .. } => of(ExitStatus::Usage),
            TrustError::InstanceUnknown { .. } => {
                of(ExitStatus::Usage).hint("`touchmark trust list` shows them, `touchmark trust add` adds one")
            }
            TrustError::NoneChosen { .. } => {
                of(ExitStatus::TrustRoot).hint("name one with --in NAME (--as NAME with `touchmark trust import`), or choose it for good: `touchmark trust use NAME`")
            }
            TrustError::VerifiesOnce => of(ExitStatus::TrustRoot),
            TrustError::VerifiesOnly => of(ExitStatus::Usage)
                .hint("to sign with the public-good instance, add it by name: `touchmark trust add NAME URL --root FILE`"),
            TrustError::OtherRoot { .. } => of(ExitStatus::TrustRoot)
                .hint("is it another instance? Give it a name of its own")
                .hint("was the instance set up anew, with new keys? Remove the old name for good first: `touchmark trust remove NAME --insecure-forget-rollback-memory`"),
            TrustError::LineUnknown { .. } => of(ExitStatus::TrustRoot)
                .hint("ask the instance's operator for its newest root.json and whether the mirror is complete; what was seen of the instance stays")
                .hint("is it another instance at the same address? Give it a name of its own: --in NAME with `touchmark initialize`, or `touchmark trust add NAME …`"),
            TrustError::LineForked { .. } => of(ExitStatus::TrustRoot)
                .hint("do not use this root: the instance's holders, or thieves of their keys, have signed two of one version; ask the operator"),
            TrustError::RootNotFound { .. } => of(ExitStatus::TrustRoot)
                .hint("is the hash that of a root.json of this instance, in hex? Get it again from the instance's operator"),
            TrustError::RootNeeded { .. } => of(ExitStatus::Usage)
                .hint("--root with the instance's root.json, or with sha256:HEX of it, from a source that you trust; not from the export itself"),
            TrustError::ExportIncomplete { .. } => {
                of(ExitStatus::Tampered).hint("make the export again: `touchmark trust export`")
            }
            TrustError::Busy { .. } => {
                of(ExitStatus::Unreadable).hint("try again when it has ended; a process that ends lets go by itself")
            }
            TrustError::CacheIncomplete { .. } => of(ExitStatus::TrustRoot)
                .hint("fetch it with `touchmark trust refresh`, or carry it here: `touchmark trust export`, `touchmark trust import`"),
            TrustError::ChecksumMismatch { .. } => {
                of(ExitStatus::TrustRoot).hint("do not use this root file: get it again from where the checksum came from")
            }
            TrustError::MirrorUnreachable { .. } => of(ExitStatus::Network)
                .hint("is the instance running and the address right? That of `touchmark up` ends in /tuf")
                .hint("verifying needs no network with --trusted-root FILE, nor with --offline where it was fetched before"),
            TrustError::Expired { .. } => of(ExitStatus::TrustRoot)
                .hint("`touchmark trust refresh` fetches newer metadata; if they stay expired, the instance's operator must renew them")
                .hint("without a network: carry a newer export here, `touchmark trust import`; that command, and those that verify with --offline, have --insecure-accept-expired-trust")
                .hint("check the clock of this machine"),
            TrustError::Tuf { .. } if error.is_rollback() => of(ExitStatus::TrustRoot)
                .hint("it is older than what was seen of this instance here, and nothing was changed: an older export than the last, a mirror that was set back, or an attack")
                .hint("carry a newer export here, or ask the instance's operator"),
            TrustError::Tuf { .. } => of(ExitStatus::TrustRoot)
                .hint("is the root that was pinned the root.json of this instance? If so, the repository is broken or was tampered with: ask the instance's operator"),
            TrustError::KeyTwice(_) => of(ExitStatus::TrustRoot)
                .hint("the repository's keys are not what they seem: ask the instance's operator for a root without that key"),
            TrustError::TargetUnusable { name, .. } => of(ExitStatus::TrustRoot)
                .hint(format!("tell the instance's operator that the published {name} cannot be read, and by which check; a new version of the targets mends it"))
                .hint("nothing of it was kept: what was fetched before serves until it expires, with --offline of the commands that verify"),
            TrustError::TargetMissing { name } => of(ExitStatus::TrustRoot)
                .hint(format!("a Sigstore instance publishes {name}: is this the address of one? If so, tell its operator"))
                .hint("what was fetched before, if anything was, is kept"),
            TrustError::TargetName(_) | TrustError::Unusable { .. } => of(ExitStatus::TrustRoot),
        }
    }
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        let of = |status| Self::from_error(status, &error);
        match error {
            SignError::Service(error) => error.into(),
            SignError::Identity(error) => error.into(),
            SignError::Services(_) | SignError::NoTimestampAuthority => of(ExitStatus::TrustRoot)
                .hint("the signing config does not offer what signing needs: see --signing-config"),
            SignError::Signer(_) => of(ExitStatus::Internal),
            SignError::Reply { .. } => of(ExitStatus::Untrusted)
                .hint("nothing was written: the service does not belong to the trust root, or is lying"),
            SignError::OwnBundle(_) => of(ExitStatus::Internal).hint("nothing was written"),
        }
    }
}
