// SPDX-License-Identifier: Apache-2.0
//! How a certificate is issued, from a request to a chain that may leave.
//!
//! Fulcio's certificate-specification.md for what a certificate holds, RFC 6962 §3.1 for precertificates. The way of the data:
//!
//! ```text
//! SigningRequest → authenticate(token, now) → Principal → prove possession → ProvenKey → authorize → Permit
//!       → precertificate → CT logs submit → SCTs, verified → LoggedPrecertificate → certificate → self-check → IssuedChain
//! ```
//!
//! In scope: the order, and the types that make it the only possible one: each step takes what the step before proved.
//! Out of scope: each step itself (`authenticate`, `possession`, `authorize`, `ct`, `self_check`); what stands around a request, from its limits to its
//! line in the audit log (`decide`).
//! Invariants: no certificate without as many SCTs as the configuration demands, each over exactly its precertificate and verified with its log's key;
//! nothing leaves that the self-check has not read back; what a client did wrong and what we did are different errors.

use std::sync::Arc;

use jiff::Timestamp;
use touchmark_keys::random;
use touchmark_sequencer::Clock;
use touchmark_sigstore::ct::{LogEntry, Sct, parse_leaf_index_extension};
use touchmark_sigstore::issue::LeafTemplate;
use touchmark_sigstore::x509::Certificate;

use super::audit::{AuditLog, Known};
use super::authorize::{Permit, authorize};
use super::ca::CertificateAuthority;
use super::config::FulcioConfig;
use super::ct::{CtLogs, Promise};
use super::error::IssueError;
use super::issuers::Issuers;
use super::limits::RateLimits;
use super::possession::prove_possession;
use super::request::SigningRequest;
use super::self_check::{IssuedChain, SelfCheckError, check_before_release};
use crate::deps::timestamp;
use crate::metrics::{FulcioMetrics, Step};

/// Everything that issuing needs; built once, shared by all requests.
pub(super) struct Fulcio {
    pub(super) config: FulcioConfig,
    pub(super) issuers: Issuers,
    pub(super) ca: CertificateAuthority,
    pub(super) ct: Arc<CtLogs>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Arc<RateLimits>,
    /// Without one nothing is written down.
    pub(super) audit: Option<AuditLog>,
    pub(super) metrics: FulcioMetrics,
}

/// A chain that may leave, and where its precertificate was logged.
pub(super) struct Issued {
    pub(super) chain: IssuedChain,
    pub(super) logged: Vec<LoggedAt>,
}

/// A place in a log.
pub(super) struct LoggedAt {
    pub(super) log_id: [u8; 32],
    /// Only static CT logs say it.
    pub(super) leaf_index: Option<u64>,
}

/// One request, whole. A failure at any step leaves at most a logged precertificate behind, which is what a log is for.
///
/// `known` gets what is proven on the way, also when the end is a refusal.
pub(super) async fn issue(fulcio: &Fulcio, request: &SigningRequest, known: &mut Known) -> Result<Issued, IssueError> {
    let metrics = &fulcio.metrics;
    let now_ms = fulcio.clock.now_ms();
    let authenticated = fulcio.issuers.authenticate(&request.token, now_ms);
    let caller = metrics.timed(Step::Authenticate, authenticated).await?;
    known.principal = Some(caller.principal.clone());
    known.issuer_entry = Some(caller.entry());
    fulcio.limits.admit_principal(&caller.principal, now_ms)?;
    let key = prove_possession(&request.key, &caller.principal)?;
    let principal = caller.principal.clone();
    let permit = authorize(caller.rules(), &caller.claims, &fulcio.config.algorithms, principal, key);
    known.rule = match &permit {
        Ok(permit) => Some(permit.ruling().to_string()),
        Err(IssueError::SubjectNotAllowed(ruling)) => Some(ruling.to_string()),
        Err(_) => None,
    };
    let permit = permit?;
    // Asking an issuer for its keys can take seconds: from here on it is later than when the request arrived.
    caller.use_token_up(fulcio.clock.now_ms())?;
    let issued = certify(fulcio, &permit).await;
    if issued.is_err() {
        caller.give_token_back();
    }
    issued
}

/// From a permit to the certificate.
async fn certify(fulcio: &Fulcio, permit: &Permit) -> Result<Issued, IssueError> {
    let Fulcio { ca, metrics, .. } = fulcio;
    let now = timestamp(fulcio.clock.as_ref());
    let template = template(ca, permit, now)?;
    let precertificate = metrics.timed(Step::Sign, ca.sign(&template.precertificate_tbs()?)).await?;
    let logged = metrics.timed(Step::CtSubmit, log_precertificate(fulcio, &precertificate)).await?;
    let tbs = template.certificate_tbs(&logged.scts())?;
    let certificate = metrics.timed(Step::Sign, ca.sign(&tbs)).await?;
    let chain = check_before_release(certificate, permit, ca, &logged, now)?;
    Ok(Issued { chain, logged: logged.places() })
}

/// Serial number and validity are chosen once: precertificate and certificate must agree in every byte but poison and SCTs.
fn template<'p>(
    ca: &'p CertificateAuthority,
    permit: &'p Permit,
    now: Timestamp,
) -> Result<LeafTemplate<'p>, IssueError> {
    let (not_before, not_after) = ca.leaf_validity(now)?;
    Ok(LeafTemplate {
        serial: serial_number(),
        not_before,
        not_after,
        public_key: permit.key().public_key().clone(),
        principal: permit.principal(),
        issuer: ca.issuing_certificate(),
        signature_scheme: ca.scheme(),
    })
}

/// RFC 5280 §4.1.2.2: positive, unique, at most 20 octets. 158 random bits, always of full length.
fn serial_number() -> [u8; 20] {
    let mut serial = [0; 20];
    random(&mut serial);
    serial[0] = (serial[0] & 0x7f) | 0x40;
    serial
}

/// A precertificate that enough logs have promised to show: what was logged, and the verified promises, each over exactly that entry.
pub(super) struct LoggedPrecertificate {
    entry: LogEntry,
    promises: Vec<Promise>,
}

impl LoggedPrecertificate {
    pub(super) fn entry(&self) -> &LogEntry {
        &self.entry
    }

    /// In the order in which they are embedded.
    pub(super) fn scts(&self) -> Vec<Sct> {
        self.promises.iter().map(|promise| promise.sct().clone()).collect()
    }

    fn places(&self) -> Vec<LoggedAt> {
        let place = |sct: &Sct| LoggedAt {
            log_id: sct.log_id,
            leaf_index: parse_leaf_index_extension(&sct.extensions).ok().map(|index| index.0),
        };
        self.promises.iter().map(|promise| place(promise.sct())).collect()
    }
}

async fn log_precertificate(fulcio: &Fulcio, precertificate: &Certificate) -> Result<LoggedPrecertificate, IssueError> {
    let Fulcio { ca, ct, metrics, .. } = fulcio;
    let entry = LogEntry::from_precertificate(precertificate, ca.issuing_certificate())
        .map_err(|_| SelfCheckError::Precertificate)?;
    let now_ms = fulcio.clock.now_ms();
    let promises = ct.promises(precertificate, ca.chain(), &entry, now_ms, metrics).await?;
    Ok(LoggedPrecertificate { entry, promises })
}

#[cfg(test)]
mod tests {
    use touchmark_keys::KeyType;
    use touchmark_signers::{EphemeralSigner, Signer};
    use touchmark_sigstore::ct::{SctScheme, sct_signed_bytes, verify_sct};
    use touchmark_sigstore::principal::{Principal, SubjectAltName};

    use super::super::authorize::AuthorizationRules;
    use super::super::claims::Claims;
    use super::super::request::{ClientKey, KeyRequest};
    use super::super::tests::harness::{NOW_S, TestCa};
    use super::*;

    async fn permit() -> Permit {
        let principal = Principal {
            issuer: "https://issuer.example".to_owned(),
            subject: "alice".to_owned(),
            san: SubjectAltName::Email("alice@example.com".to_owned()),
            proof_subject: "alice@example.com".to_owned(),
            extensions: Vec::new(),
        };
        let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let proof = signer.sign(principal.proof_subject.as_bytes()).await.unwrap();
        let request = KeyRequest::Challenge { public_key: ClientKey::Pem(signer.public_key().to_pem()), proof };
        let key = prove_possession(&request, &principal).unwrap();
        let nothing = Claims::new(serde_json::Map::new());
        authorize(&AuthorizationRules::everybody(), &nothing, &[key.scheme()], principal, key).unwrap()
    }

    async fn logged(
        ca: &CertificateAuthority,
        template: &LeafTemplate<'_>,
        log: &EphemeralSigner,
    ) -> LoggedPrecertificate {
        let precertificate = ca.sign(&template.precertificate_tbs().unwrap()).await.unwrap();
        let entry = LogEntry::from_precertificate(&precertificate, ca.issuing_certificate()).unwrap();
        let signature = log.sign(&sct_signed_bytes(&entry, 5, &[])).await.unwrap();
        let log_id = log.public_key().spki_sha256();
        let sct = Sct { log_id, timestamp_ms: 5, extensions: Vec::new(), scheme: SctScheme::EcdsaSha256, signature };
        let verified = verify_sct(&sct, &entry, log.public_key()).unwrap();
        LoggedPrecertificate { entry, promises: vec![Promise::of(sct, verified)] }
    }

    #[tokio::test]
    async fn only_the_certificate_of_the_logged_precertificate_is_let_out() {
        let (ca, permit) = (TestCa::new().await.authority(), permit().await);
        let now = Timestamp::from_second(i64::try_from(NOW_S).unwrap()).unwrap();
        let log = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        // Two templates differ in their serial number alone.
        let (one, other) = (template(&ca, &permit, now).unwrap(), template(&ca, &permit, now).unwrap());
        let (of_one, of_other) = (logged(&ca, &one, &log).await, logged(&ca, &other, &log).await);
        for (with_sct_of, logged, expect) in [
            (&of_one, &of_one, None),
            // The promise is that of the log, but for the other certificate.
            (&of_other, &of_other, Some(SelfCheckError::Sct)),
            (&of_one, &of_other, Some(SelfCheckError::Sct)),
            (&of_other, &of_one, Some(SelfCheckError::Sct)),
        ] {
            let tbs = one.certificate_tbs(&with_sct_of.scts()).unwrap();
            let certificate = ca.sign(&tbs).await.unwrap();
            assert_eq!(check_before_release(certificate, &permit, &ca, logged, now).err(), expect);
        }
    }
}
