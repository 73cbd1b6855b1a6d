// SPDX-License-Identifier: Apache-2.0
//! How a certificate is issued, from the bytes of a request to a chain that may leave.
//!
//! Fulcio's certificate-specification.md for what a certificate holds, RFC 6962 §3.1 for precertificates. The way of the data:
//!
//! ```text
//! bytes → SigningRequest → authenticate(token, now) → Principal → prove possession → ProvenKey → authorize → Permit
//!       → precertificate → CT log submit → SCT, verified → LoggedPrecertificate → certificate → self-check → IssuedChain
//! ```
//!
//! In scope: the order, and the types that make it the only possible one: each step takes what the step before proved.
//! Out of scope: each step itself (`request`, `authenticate`, `possession`, `authorize`, `ct`, `self_check`), HTTP (`mod`).
//! Invariants: no certificate without an SCT over exactly its precertificate, verified with the log's key before it is embedded;
//! nothing leaves that the self-check has not read back; what a client did wrong and what we did are different errors.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use touchmark_keys::random;
use touchmark_sequencer::Clock;
use touchmark_sigstore::ct::{LogEntry, Sct, SctVerified, verify_sct};
use touchmark_sigstore::issue::LeafTemplate;
use touchmark_sigstore::x509::Certificate;

use super::authorize::{Permit, authorize};
use super::ca::CertificateAuthority;
use super::config::FulcioConfig;
use super::ct::{CtError, CtTarget};
use super::error::IssueError;
use super::issuers::Issuers;
use super::possession::prove_possession;
use super::request::SigningRequest;
use super::self_check::{IssuedChain, SelfCheckError, check_before_release};
use crate::deps::timestamp;

/// Everything that issuing needs; built once, shared by all requests.
pub(super) struct Fulcio {
    pub(super) config: FulcioConfig,
    pub(super) issuers: Issuers,
    pub(super) ca: CertificateAuthority,
    pub(super) ct: CtTarget,
    /// How long a certificate may wait for its SCT.
    pub(super) ct_deadline: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// One request, whole. A failure at any step leaves at most a logged precertificate behind, which is what a log is for.
pub(super) async fn issue<'ca>(
    fulcio: &'ca Fulcio,
    body: &[u8],
    authorization: Option<&str>,
) -> Result<IssuedChain<'ca>, IssueError> {
    let now_ms = fulcio.clock.now_ms();
    let request = SigningRequest::parse(body, authorization)?;
    let caller = fulcio.issuers.authenticate(&request.token, now_ms).await?;
    let key = prove_possession(&request.key, &caller.principal)?;
    let principal = caller.principal.clone();
    let permit = authorize(caller.rules(), &caller.claims, &fulcio.config.algorithms, principal, key)?;
    caller.use_token_up(now_ms)?;

    // Asking an issuer for its keys can take seconds: the certificate begins when it is made, not when it was asked for.
    let now = timestamp(fulcio.clock.as_ref());
    let template = template(&fulcio.ca, &permit, now)?;
    let precertificate = fulcio.ca.sign(&template.precertificate_tbs()?).await?;
    let logged = log_precertificate(fulcio, &precertificate).await?;
    let certificate = fulcio.ca.sign(&template.certificate_tbs(std::slice::from_ref(logged.sct()))?).await?;
    Ok(check_before_release(certificate, &permit, &fulcio.ca, &logged, now)?)
}

/// Serial number and validity are chosen once: precertificate and certificate must agree in every byte but poison and SCT.
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

/// A precertificate that a log has promised to show: what was logged, the promise and the proof that it is one, over exactly that entry.
pub(super) struct LoggedPrecertificate {
    entry: LogEntry,
    sct: Sct,
    _verified: SctVerified,
}

impl LoggedPrecertificate {
    pub(super) fn entry(&self) -> &LogEntry {
        &self.entry
    }

    pub(super) fn sct(&self) -> &Sct {
        &self.sct
    }
}

/// Submits within the deadline and believes the log only after verifying what it signed.
async fn log_precertificate(fulcio: &Fulcio, precertificate: &Certificate) -> Result<LoggedPrecertificate, IssueError> {
    let ca = &fulcio.ca;
    let entry = LogEntry::from_precertificate(precertificate, ca.issuing_certificate())
        .map_err(|_| SelfCheckError::Precertificate)?;
    let mut ct = fulcio.ct.current();
    let submit = async {
        match ct.submit(precertificate, ca.chain()).await {
            // It ended while we were on the way; its successor was there before.
            Err(CtError::Frozen) => {
                ct = fulcio.ct.current();
                ct.submit(precertificate, ca.chain()).await
            }
            outcome => outcome,
        }
    };
    let sct = tokio::time::timeout(fulcio.ct_deadline, submit).await.map_err(|_| CtError::Deadline)??;
    let verified = verify_sct(&sct, &entry, ct.public_key()).map_err(|error| {
        tracing::error!(%error, "the certificate transparency log returned an SCT that does not verify");
        CtError::SctInvalid
    })?;
    Ok(LoggedPrecertificate { entry, sct, _verified: verified })
}

#[cfg(test)]
mod tests {
    use touchmark_keys::KeyType;
    use touchmark_signers::{EphemeralSigner, Signer};
    use touchmark_sigstore::ct::{SctScheme, sct_signed_bytes};
    use touchmark_sigstore::principal::{Principal, SubjectAltName};

    use super::super::authorize::AuthorizationRules;
    use super::super::claims::Claims;
    use super::super::request::KeyRequest;
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
        let request = KeyRequest::Challenge { public_key: signer.public_key().to_pem(), proof };
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
        LoggedPrecertificate { entry, sct, _verified: verified }
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
            let tbs = one.certificate_tbs(std::slice::from_ref(with_sct_of.sct())).unwrap();
            let certificate = ca.sign(&tbs).await.unwrap();
            assert_eq!(check_before_release(certificate, &permit, &ca, logged, now).err(), expect);
        }
    }
}
