// SPDX-License-Identifier: Apache-2.0
//! The configuration file of `touchmark serve` as it is written: TOML, unknown keys refused.
//!
//! In scope: names, types and what each key is for. Out of scope: whether the values make sense together ([`super`]).
//! Invariant: secrets stand in files of their own; this file names their paths.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::fulcio::{Effect, IdentityType};

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
    pub(super) tls: Option<Tls>,
    pub(super) fulcio: Option<Fulcio>,
    #[serde(default)]
    pub(super) ctlog: Vec<CtLog>,
    #[serde(default)]
    pub(super) rekor: Vec<Rekor>,
    pub(super) tsa: Option<Tsa>,
    pub(super) tuf: Option<Tuf>,
    pub(super) oidc: Option<Oidc>,
}

/// TLS of the listeners of all services. Without it they speak plain HTTP, and a proxy ends TLS.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// The server's certificate first, then its issuer, and so on (PEM).
    pub(super) chain: PathBuf,
    /// Private key of the first certificate of `chain`: a PKCS#8 PEM file.
    pub(super) key: PathBuf,
}

/// The certificate authority.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fulcio {
    pub(super) listen: Option<SocketAddr>,
    /// Private key of the first certificate of `chain`: a PKCS#8 PEM file, or the URI of a key elsewhere.
    pub(super) key: String,
    /// The issuing certificate first, the root last (PEM).
    pub(super) chain: PathBuf,
    /// Chains of earlier keys (PEM), each in a file: published still, and no longer for issuing.
    #[serde(default)]
    pub(super) previous_chains: Vec<PathBuf>,
    /// Where every certificate is logged before it is issued: one log, or a list of them.
    pub(super) ct_log: OneOrSeveral<CtLogChoice>,
    /// How many of the logs have to promise to show a certificate. Left out: all.
    pub(super) ct_scts: Option<NonZeroU32>,
    /// How long a certificate may wait for that, in seconds.
    pub(super) ct_deadline_s: Option<u64>,
    /// File to which each decision about a request is appended. Without it none is written down.
    pub(super) audit_log: Option<PathBuf>,
    /// How many requests are answered in a minute. Without it as many as come.
    #[serde(default)]
    pub(super) rate_limit: RateLimit,
    /// Whose tokens become certificates.
    #[serde(default)]
    pub(super) issuer: Vec<Issuer>,
    /// CI providers beside those that are known by name: what the claims of a workflow become.
    #[serde(default)]
    pub(super) ci_provider: BTreeMap<String, CiProvider>,
    /// Who of an issuer is served.
    #[serde(default)]
    pub(super) authorize: Vec<Authorize>,
    /// A configuration file of the public Fulcio server (YAML), whose issuers and CI providers are added to these.
    pub(super) fulcio_config: Option<PathBuf>,
    /// The transport of that file's issuers. Those of its patterns are always asked over https at public addresses.
    #[serde(default)]
    pub(super) fulcio_config_transport: Transport,
}

/// Limits on requests for certificates; what is left out is not limited. A minute's worth may come at once.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimit {
    /// From one IPv4 address or one IPv6 network (/64).
    pub(super) address_per_minute: Option<NonZeroU32>,
    /// With tokens of one issuer.
    pub(super) issuer_per_minute: Option<NonZeroU32>,
    /// With tokens for one subject of an issuer.
    pub(super) subject_per_minute: Option<NonZeroU32>,
    /// Proxies whose `X-Forwarded-For` says from which address a request comes.
    #[serde(default)]
    pub(super) trusted_proxies: Vec<IpAddr>,
}

/// A log that every certificate is put into before it is issued: `name` of a `[[ctlog]]` of this file, or `url` and
/// `public_key` of any RFC 6962 log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CtLogChoice {
    pub(super) name: Option<String>,
    pub(super) url: Option<String>,
    /// SPKI in PEM: SCTs are verified before they are embedded.
    pub(super) public_key: Option<PathBuf>,
    /// No certificate without the promise of this log, whatever `ct_scts` says.
    #[serde(default)]
    pub(super) required: bool,
}

/// A table, or an array of such tables.
#[derive(Debug)]
pub(super) struct OneOrSeveral<T>(pub(super) Vec<T>);

/// By hand, because an untagged enum would not say which key of the table is wrong.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrSeveral<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reading<T> {
            type Value = OneOrSeveral<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table or an array of tables")
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(table)).map(|one| OneOrSeveral(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, tables: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(tables)).map(OneOrSeveral)
            }
        }

        deserializer.deserialize_any(Reading(PhantomData))
    }
}

/// An OIDC issuer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    /// The `iss` of its tokens, compared byte for byte; its discovery document is read from there. With `*` for a part of a host or a path: a
    /// pattern.
    pub(super) url: String,
    /// The `aud` that a token must have.
    #[serde(default = "default_client_id")]
    pub(super) client_id: String,
    /// What of a token becomes the certificate's subject.
    #[serde(default)]
    pub(super) identity: IdentityType,
    /// For `uri`: scheme and host under which subjects lie. For `username`: the host name put after the account.
    pub(super) subject_domain: Option<String>,
    /// For `spiffe`: the trust domain of its workloads.
    pub(super) spiffe_trust_domain: Option<String>,
    /// For `ci-provider`: the name of one that is known, or of a `[fulcio.ci_provider.NAME]`.
    pub(super) ci_provider: Option<String>,
    /// For CI providers: values that no claim overrides, such as the `url` of a forge of your own.
    #[serde(default)]
    pub(super) ci_constants: BTreeMap<String, String>,
    /// For `email`: the claim that names who knows the person, such as `$.federated_claims.connector_id`; certificates name that issuer.
    pub(super) issuer_claim: Option<String>,
    /// For `email`: accepts tokens without `email_verified`, from an issuer that gives its people their addresses itself.
    #[serde(default)]
    pub(super) trusts_unverified_email: bool,
    /// For `email`: domains that addresses may have. Left out: any.
    pub(super) email_domains: Option<Vec<String>>,
    /// How its discovery document and keys are fetched.
    #[serde(default)]
    pub(super) transport: Transport,
    /// CA certificates (PEM) to trust for that besides the system's.
    pub(super) ca: Option<PathBuf>,
    /// File whose content is sent to the issuer as a bearer token, for one that shows its keys only to those it knows.
    pub(super) bearer_token_file: Option<PathBuf>,
    /// A JSON Web Key Set: the issuer is never asked.
    pub(super) jwks: Option<PathBuf>,
    /// The greatest age of a token, from its `iat`. Left out: until it expires.
    pub(super) token_age_max_s: Option<u64>,
    /// Refuses a token that was used before.
    #[serde(default)]
    pub(super) single_use_tokens: bool,
}

/// A CI provider. Templates are those of Fulcio's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CiProvider {
    /// The template of the certificate's name, a URL.
    pub(super) subject_alternative_name: String,
    /// The templates of its extensions.
    #[serde(default)]
    pub(super) extensions: BTreeMap<String, String>,
    /// Values for claims that a token lacks.
    #[serde(default)]
    pub(super) defaults: BTreeMap<String, String>,
    /// Values that no claim overrides.
    #[serde(default)]
    pub(super) constants: BTreeMap<String, String>,
}

/// Who of an issuer is served: not whom an entry of `deny` fits; whom one of `allow` fits; of the others, as `otherwise` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authorize {
    /// The `url` of the issuer's entry.
    pub(super) issuer: String,
    /// Claims that all have to fit, by name or by pointer (`/kubernetes.io/namespace`): a value or several, `*` for any run of characters.
    pub(super) allow: Option<Vec<BTreeMap<String, Values>>>,
    /// The same, for whom is refused whatever `allow` says.
    #[serde(default)]
    pub(super) deny: Vec<BTreeMap<String, Values>>,
    /// `allow` or `deny`. Left out: `deny` where there is an `allow` or anybody can have an account at the issuer.
    pub(super) otherwise: Option<Effect>,
    /// Only writes to the log what it would refuse.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// One value or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Values {
    One(String),
    Several(Vec<String>),
}

fn default_client_id() -> String {
    "sigstore".to_owned()
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
    /// Private key of the first certificate of `chain`: a PKCS#8 PEM file, or the URI of a key elsewhere.
    pub(super) key: String,
    /// The signing certificate first, the root last (PEM).
    pub(super) chain: PathBuf,
    /// Chains of earlier keys (PEM), each in a file: published still, and no longer for stamping.
    #[serde(default)]
    pub(super) previous_chains: Vec<PathBuf>,
    /// Policies that requests may ask for (object identifiers), the first for requests that ask for none. Left out: Sigstore's alone.
    pub(super) policies: Option<Vec<String>>,
    /// Puts the whole chain into tokens whose clients ask for certificates, and not the signing certificate alone.
    #[serde(default)]
    pub(super) chain_in_tokens: bool,
    /// File that remembers how late the newest token may be, so that times do not run backwards over a restart.
    pub(super) time_file: Option<PathBuf>,
    /// File to which each token is appended. Without it none is written down.
    pub(super) audit_log: Option<PathBuf>,
    /// How many requests are answered in a minute. Without it as many as come.
    #[serde(default)]
    pub(super) rate_limit: AddressRateLimit,
    /// Time servers that have to confirm the clock. Without them it is believed.
    pub(super) clock: Option<TsaClock>,
}

/// A limit on requests of one address. A minute's worth may come at once.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressRateLimit {
    /// From one IPv4 address or one IPv6 network (/64).
    pub(super) address_per_minute: Option<NonZeroU32>,
    /// Proxies whose `X-Forwarded-For` says from which address a request comes.
    #[serde(default)]
    pub(super) trusted_proxies: Vec<IpAddr>,
}

/// Time servers of the timestamp authority.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TsaClock {
    /// Host names or addresses, with a port if it is not 123; after `nts://` those whose answers are to be authenticated.
    pub(super) servers: Vec<String>,
    /// That all of them have to authenticate their answers.
    #[serde(default)]
    pub(super) nts_only: bool,
    /// CA certificates of the servers with NTS (PEM), in place of the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// How many of them have to agree with the clock: more than half, which is the default.
    pub(super) agreeing: Option<usize>,
    /// How often each is asked, in seconds.
    pub(super) poll_s: Option<u64>,
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
