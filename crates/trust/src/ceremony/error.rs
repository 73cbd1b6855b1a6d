// SPDX-License-Identifier: Apache-2.0
//! Why a step of a ceremony was not done.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use touchmark_signers::SignerError;

use crate::key::Fingerprint;
use crate::{MetadataError, WalkError};

/// Why a step of a ceremony was not done. Nothing was written then, unless the error says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} has more than {max} bytes", path.display())]
    TooLong { path: PathBuf, max: usize },
    #[error("another process works in {}", path.display())]
    Busy { path: PathBuf },
    #[error("{what} cannot be read: {problem}")]
    Unreadable { what: String, problem: String },
    #[error("{what} is of version {found}; this program knows version {expected}")]
    Version { what: &'static str, expected: u32, found: u32 },
    #[error("{what} belongs to the ceremony {found:?}, not to {expected:?}")]
    OtherCeremony { what: String, expected: String, found: String },
    #[error(
        "{what} {name:?} is not made of 1 to 64 lower-case letters, digits, dots, hyphens and underscores that begin with a letter or digit"
    )]
    Name { what: &'static str, name: String },
    #[error("there is a ceremony in {} already", path.display())]
    Exists { path: PathBuf },
    #[error("{holder} has enrolled another key already: {}", path.display())]
    Enrolled { holder: String, path: PathBuf },
    #[error("there is no ceremony in {}", path.display())]
    NoCeremony { path: PathBuf },

    #[error("no holder is called online: that is the name under which the key of snapshot and timestamp is enrolled")]
    OnlineName,
    #[error("{holder} stands twice among the holders: each has a name and a key of his own")]
    HolderTwice { holder: String },
    #[error("a threshold of {threshold} cannot be met by {holders} holders")]
    Threshold { threshold: u32, holders: usize },
    #[error("with a threshold of 1 a single lost or stolen key is the whole trust root")]
    ThresholdOne,
    #[error("{holder} holds a key of kind {kind}; public clients all know ECDSA P-256 and Ed25519 alone")]
    KeyKind { holder: String, kind: String },
    #[error("the enrolment of {holder} was not signed by the key that it names")]
    Proof { holder: String },
    #[error("the attestation of the key of {holder} does not hold: {problem}")]
    Attestation { holder: String, problem: String },
    #[error("{one} and {other} hold the same key, {fingerprint}")]
    SameKey { one: String, other: String, fingerprint: Fingerprint },
    #[error("the enrolment in {} is not the one of {holder} that was accepted last: accept it with `touchmark trust key accept`", path.display())]
    NotAccepted { holder: String, path: PathBuf },
    #[error(
        "the enrolment of {holder} holds the key that the root names already: nothing would be exchanged; accept the new enrolment first"
    )]
    NotExchanged { holder: String },
    #[error("{holder} is no holder")]
    NotAHolder { holder: String },
    #[error("{holder} is a holder already; remove the old key in the same event to exchange it")]
    AlreadyAHolder { holder: String },
    #[error("{holder} has not enrolled a key: {} is missing", path.display())]
    NotEnrolled { holder: String, path: PathBuf },

    #[error("an event is pending since {since}: publish or abort it first")]
    EventPending { since: Timestamp },
    #[error("no event is pending")]
    NoEvent,
    #[error("the event changes nothing")]
    NothingChanges,
    #[error("there is no target {name:?} to remove")]
    NoTarget { name: String },
    #[error("clients verify by the target {name:?}: it can be replaced, and not removed")]
    Needed { name: String },
    #[error("the file for the target {name:?} is none: {problem}; clients would lose what they verify or sign by")]
    UnusableTarget { name: String, problem: String },
    #[error("nobody delegates to a role {role:?}")]
    NoDelegation { role: String },
    #[error("{role} cannot stand beside bins: targets delegate to roles or to bins")]
    BinsAlone { role: String },
    #[error(
        "the delegation to {role} is not to 1 to 256 patterns of at most 256 bytes, as many prefixes of a SHA-256 in lower-case hex, or bins of 1 to 10 bits, for 1 to 3653 days"
    )]
    Scope { role: String },
    #[error("{path:?} is not delegated to {role}: no client would look for it there")]
    OutOfScope { role: String, path: String },
    #[error("{path:?} is no path of at most 16 names of letters, digits, dots, hyphens and underscores, and 512 bytes")]
    TargetPath { path: String },
    #[error("the key at hand is {found}, which has no say in the role {role}")]
    NoSay { role: String, found: Fingerprint },
    #[error("not enough holders of the role have signed: {0}")]
    DelegatedBelowThreshold(MetadataError),
    #[error("these are targets {found} of {role}, and the next ones are {expected}: make them anew")]
    DelegatedOvertaken { role: String, expected: u64, found: u64 },
    #[error("the targets of {role} end at {expires}, and the timestamp over them only at {end}")]
    DelegatedEndsSoon { role: String, expires: Timestamp, end: Timestamp },
    #[error("nothing that is published is {what}")]
    NothingTrusted { what: String },
    #[error("the signing config still sends clients to {}, whose key would no longer be trusted", urls.join(", "))]
    StillNamed { urls: Vec<String> },
    #[error("{url} would be signed with from {starts} on, but not every verifier knows its key before {earliest}")]
    SignsTooEarly { url: String, starts: Timestamp, earliest: Timestamp },
    #[error("the event does not hold the file of target {name:?} that its metadata states")]
    TargetFile { name: String },
    #[error("the {role} metadata of the event is not what its inputs give: it was changed after the event was made")]
    NotReproduced { role: &'static str },
    #[error("the event does not begin with a root that you know: {} is none of its {roots} roots", hex::encode(known))]
    UnknownBase { known: [u8; 32], roots: usize },
    #[error("the event continues a published root, and nothing says which root you know")]
    NoKnownRoot,
    #[error("the event is made on targets {found}, which are not those that you know, nor later ones")]
    UnknownTargets { found: u64 },
    #[error("what lies there to be signed has sha256 {}, not {}", hex::encode(found), hex::encode(expected))]
    AnotherEvent { expected: [u8; 32], found: [u8; 32] },
    #[error("the key at hand is {found}; {holder} signs with {expected}")]
    WrongKey { holder: String, expected: Fingerprint, found: Fingerprint },
    #[error("the event was made on root {} and targets {}, but root {} and targets {} are published: make it anew", base.0, base.1, published.0, published.1)]
    Overtaken { base: (u64, u64), published: (u64, u64) },
    #[error("not enough holders have signed: {0}")]
    BelowThreshold(MetadataError),
    #[error("the online key at hand is {found}; the root names {expected}")]
    WrongOnlineKey { expected: Fingerprint, found: Fingerprint },
    #[error("a publication was interrupted: run `touchmark trust publish` again before anything else")]
    PublicationPending,
    #[error("the online roles were signed while the publication was planned: nothing was written, publish again")]
    SignedMeanwhile,
    #[error("nothing is published yet")]
    NothingPublished,

    #[error("{client} would refuse what is to be published: {problem}")]
    Unwalkable { client: String, problem: WalkError },
    #[error("what is to be published is unsound: {finding}")]
    Unsound { finding: String },
    #[error("the {role} metadata ended at {expires}: no timestamp is signed over it")]
    Ended { role: &'static str, expires: Timestamp },
    #[error("line {line} of the ceremony log does not follow the line before: it was changed")]
    LogBroken { line: usize },
    #[error("the ceremony log says that {name} was published, and it is not in the repository")]
    Lost { name: String },
    #[error("the ceremony log says that {name} was published with another content")]
    NotAsRecorded { name: String },
    #[error("the ceremony log says that {role} {recorded} was published, and what is published now is {role} {found}")]
    RolledBack { role: &'static str, recorded: u64, found: u64 },
    #[error("{name} is published, and no line of the ceremony log says so")]
    Unrecorded { name: String },
    #[error("the ceremony log does not begin with the earlier copy: it was written anew")]
    LogRewritten,

    #[error(
        "{name} cannot be written: a part of it is longer than {} bytes, or a file stands where it needs a directory, or a directory where it is to be",
        super::files::NAME_BYTES_MAX
    )]
    Unwritable { name: String },
    #[error("{path:?} is for the holders of targets to state, not for {role}: clients would verify or sign by it")]
    Reserved { role: String, path: String },
    #[error("the targets of {role} delegate further, which is for the holders of targets alone")]
    DelegatesFurther { role: String },
    #[error("{role} has two files of targets beside the event")]
    DelegatedTwice { role: String },
    #[error("{name} is published already with another content")]
    OtherContent { name: String },
    #[error("the timestamp there has version {found}, this one {own}: clients are not led back")]
    NewerThere { own: u64, found: u64 },
    #[error("{place}: {problem}")]
    Store { place: String, problem: String },

    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error("{what}: {problem}")]
    Metadata { what: String, problem: MetadataError },
    #[error("the key did not sign: {0}")]
    Signer(#[from] SignerError),
}

impl CeremonyError {
    pub(crate) fn metadata(what: impl Into<String>) -> impl FnOnce(MetadataError) -> Self {
        let what = what.into();
        move |problem| Self::Metadata { what, problem }
    }
}
