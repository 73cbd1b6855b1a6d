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
use super::ct::{CtError, CtSubmit, CtTarget};
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
pub(super) async fn issue(
    fulcio: &Fulcio,
    body: &[u8],
    authorization: Option<&str>,
) -> Result<IssuedChain, IssueError> {
    let now_ms = fulcio.clock.now_ms();
    let request = SigningRequest::parse(body, authorization)?;
    let caller = fulcio.issuers.authenticate(&request.token, now_ms).await?;
    let key = prove_possession(&request.key, &caller.principal)?;
    let permit = authorize(&caller, &fulcio.config.algorithms, key)?;
    caller.use_token_up(now_ms)?;

    // Asking an issuer for its keys can take seconds: the certificate begins when it is made, not when it was asked for.
    let now = timestamp(fulcio.clock.as_ref());
    let template = template(&fulcio.ca, &permit, now)?;
    let precertificate = fulcio.ca.sign(&template.precertificate_tbs()?).await?;
    let (logged, ct) = log_precertificate(fulcio, &precertificate).await?;
    let certificate = fulcio.ca.sign(&template.certificate_tbs(std::slice::from_ref(&logged.sct))?).await?;
    Ok(check_before_release(certificate, &permit, &fulcio.ca, ct.public_key(), &logged, now)?)
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

/// A precertificate that a log has promised to show, with the promise and the proof that it is one.
pub(super) struct LoggedPrecertificate {
    sct: Sct,
    _verified: SctVerified,
}

impl LoggedPrecertificate {
    pub(super) fn sct(&self) -> &Sct {
        &self.sct
    }
}

/// Submits within the deadline and believes the log only after verifying what it signed. Also gives the log that it was.
async fn log_precertificate(
    fulcio: &Fulcio,
    precertificate: &Certificate,
) -> Result<(LoggedPrecertificate, Arc<dyn CtSubmit>), IssueError> {
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
    Ok((LoggedPrecertificate { sct, _verified: verified }, ct))
}
