// SPDX-License-Identifier: Apache-2.0
//! The configuration file of `touchmark serve` as it is written: TOML, unknown keys refused.
//!
//! In scope: names, types and what each key is for. Out of scope: whether the values make sense together ([`super`]).
//! Invariant: secrets stand in files of their own; this file names their paths.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The whole file. A role is started if its section is there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Address of the roles that have none of their own.
    pub(super) listen: Option<SocketAddr>,
    /// The address as clients write it, apart from `listen` because a proxy may stand between. Printed at start, and compared
    /// with the signing config that the `tuf` role hands out.
    pub(super) external_url: Option<String>,
    /// File whose content, without a final line end, decrypts every key file. Without it the key files are plain.
    pub(super) passphrase_file: Option<PathBuf>,
    /// Address of the metrics, apart from every service. Without it there are none.
    pub(super) metrics_listen: Option<SocketAddr>,
    pub(super) fulcio: Option<Fulcio>,
    #[serde(default)]
    pub(super) ctlog: Vec<CtLog>,
    #[serde(default)]
    pub(super) rekor: Vec<Rekor>,
    pub(super) tsa: Option<Tsa>,
    pub(super) tuf: Option<Tuf>,
    pub(super) oidc: Option<Oidc>,
}

/// The certificate authority.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fulcio {
    pub(super) listen: Option<SocketAddr>,
    /// Private key (PKCS#8 PEM) of the first certificate of `chain`.
    pub(super) key: PathBuf,
    /// The issuing certificate first, the root last (PEM).
    pub(super) chain: PathBuf,
    pub(super) ct_log: CtLogChoice,
    /// Whose tokens become certificates.
    #[serde(default)]
    pub(super) issuer: Vec<Issuer>,
}

/// The log that every certificate is put into before it is issued: `name` of a `[[ctlog]]` of this file, or `url` and
/// `public_key` of any RFC 6962 log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CtLogChoice {
    pub(super) name: Option<String>,
    pub(super) url: Option<String>,
    /// SPKI in PEM: SCTs are verified before they are embedded.
    pub(super) public_key: Option<PathBuf>,
}

/// An OIDC issuer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    /// The `iss` of its tokens, compared byte for byte; its discovery document is read from there.
    pub(super) url: String,
    /// The `aud` that a token must have.
    #[serde(default = "default_client_id")]
    pub(super) client_id: String,
    /// What of a token becomes the certificate's subject.
    #[serde(default)]
    pub(super) identity: Identity,
    /// For `uri`: scheme and host under which subjects lie. For `username`: the host name put after the account.
    pub(super) subject_domain: Option<String>,
    /// For `email`: domains that addresses may have. Left out: any.
    pub(super) email_domains: Option<Vec<String>>,
    /// How its discovery document and keys are fetched.
    #[serde(default)]
    pub(super) transport: Transport,
}

fn default_client_id() -> String {
    "sigstore".to_owned()
}

/// What of a token becomes the certificate's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Identity {
    #[default]
    Email,
    Uri,
    Username,
}

/// How an issuer is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Transport {
    #[default]
    Https,
    /// HTTPS to private networks and this machine too: for an issuer inside an organisation.
    HttpsPrivate,
    /// Plain HTTP to this machine too: for the try-out issuer.
    LoopbackHttp,
}

/// A timestamp authority elsewhere (RFC 3161).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EvidenceTsa {
    /// Where requests are posted.
    pub(super) url: String,
    /// Its certificates (PEM), the root last: a token that does not lead there is not kept.
    pub(super) chain: PathBuf,
}

/// What happens while too few witnesses answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WitnessMode {
    /// The log goes on as if it had none.
    FailOpen,
    /// No checkpoint is shown and no entry confirmed before the quorum has cosigned.
    FailClosed,
}

/// A CT log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CtLog {
    pub(super) listen: Option<SocketAddr>,
    /// The origin of its checkpoints. It is part of the log's identity and never changes.
    pub(super) name: String,
    /// P-256 key.
    pub(super) key: PathBuf,
    /// Directory of its entries; must exist, empty for a new log.
    pub(super) data: PathBuf,
    /// Certificates (PEM) in which a submitted chain must end.
    pub(super) accepted_roots: PathBuf,
    /// Takes certificates alone whose validity ends at this time or later; required together with `not_after_limit`.
    pub(super) not_after_start: Option<String>,
    /// And before this time.
    pub(super) not_after_limit: Option<String>,
    /// Refuses certificates whose validity has ended.
    #[serde(default)]
    pub(super) reject_expired: bool,
    /// Refuses certificates whose validity has not ended.
    #[serde(default)]
    pub(super) reject_unexpired: bool,
    /// File on another disk that remembers the last checkpoint, so that a restored old copy of `data` is noticed.
    pub(super) anchor: Option<PathBuf>,
    /// C2SP tlog-policy: the witnesses that are asked for cosignatures, each with its URL, and their quorum.
    pub(super) witness_policy: Option<PathBuf>,
    /// What happens while the quorum does not answer; required together with `witness_policy`.
    pub(super) witness_mode: Option<WitnessMode>,
    /// How often its checkpoint is stamped and kept as evidence of its time, in seconds.
    pub(super) evidence_interval_s: Option<u64>,
    /// Authorities that stamp beside the one of this process.
    #[serde(default)]
    pub(super) evidence_tsa: Vec<EvidenceTsa>,
}

/// A Rekor v2 log. The first one in the file is the active shard, which answers at bare `/api/v2/log/entries`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rekor {
    pub(super) listen: Option<SocketAddr>,
    /// The origin of its checkpoints. It is part of the log's identity and never changes.
    pub(super) name: String,
    /// Ed25519 key (or P-256).
    pub(super) key: PathBuf,
    /// Directory of its entries; must exist, empty for a new log.
    pub(super) data: PathBuf,
    /// File on another disk that remembers the last checkpoint, so that a restored old copy of `data` is noticed.
    pub(super) anchor: Option<PathBuf>,
    /// C2SP tlog-policy: the witnesses that are asked for cosignatures, each with its URL, and their quorum.
    pub(super) witness_policy: Option<PathBuf>,
    /// What happens while the quorum does not answer; required together with `witness_policy`.
    pub(super) witness_mode: Option<WitnessMode>,
    /// How often its checkpoint is stamped and kept as evidence of its time, in seconds.
    pub(super) evidence_interval_s: Option<u64>,
    /// Authorities that stamp beside the one of this process.
    #[serde(default)]
    pub(super) evidence_tsa: Vec<EvidenceTsa>,
}

/// The timestamp authority.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tsa {
    pub(super) listen: Option<SocketAddr>,
    /// Private key of the first certificate of `chain`.
    pub(super) key: PathBuf,
    /// The signing certificate first, the root last (PEM).
    pub(super) chain: PathBuf,
}

/// The TUF repository.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tuf {
    pub(super) listen: Option<SocketAddr>,
    /// The repository: `1.root.json`, …, `targets/`.
    pub(super) directory: PathBuf,
    /// Key of the snapshot and timestamp roles. The keys of root and targets are never named here.
    pub(super) online_key: PathBuf,
}

/// The try-out OIDC issuer, which gives anyone who reaches it a token for any e-mail address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Oidc {
    /// Its own address: a login page shares no web origin with anything else. Loopback only.
    pub(super) listen: SocketAddr,
    /// Its issuer URL; the path must be `/oidc`.
    pub(super) issuer: String,
    /// RSA key that signs tokens.
    pub(super) key: PathBuf,
    /// The second statement that such an issuer is wanted.
    #[serde(default)]
    pub(super) gives_any_identity_to_anyone: bool,
}
