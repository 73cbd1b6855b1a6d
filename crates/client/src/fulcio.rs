// SPDX-License-Identifier: Apache-2.0
//! The client of the certificate authority: a token and a key in, a checked certificate out.
//!
//! Fulcio API v2 (`POST /api/v2/signingCert`), with a certificate signing request as proof of possession. The token travels in the
//! body, where every server takes it from.
//!
//! Invariant: an [`IssuedChain`] leads to a certificate authority of the trusted root, carries a good SCT, is for our
//! key, and names the identity of the token. There is no other way to make one.

use touchmark_outbound::Limits;
use touchmark_signers::Signer;
use touchmark_sigstore::principal::SubjectAltName;
use touchmark_sigstore::verify::{self, VerifiedChain, VerifiedSct};
use touchmark_sigstore::wire::fulcio::{CreateSigningCertificateRequest, Credentials, SigningCertificate};
use touchmark_sigstore::x509::Certificate;
use zeroize::Zeroizing;

use crate::csr;
use crate::identity::{IdentityToken, TokenClaims};
use crate::service::{Endpoint, ServiceError, ServiceKind};
use crate::sign::{ReplyError, SignError, Signing};

/// The token's subject, as the certificate states it since Fulcio 1.8.6 (fulcio docs, oid-info).
const TOKEN_SUBJECT_OID: &str = "1.3.6.1.4.1.57264.1.24";

/// A certificate for our key, checked.
pub struct IssuedChain {
    chain: VerifiedChain,
    sct: VerifiedSct,
    leaf: Certificate,
    identity: CertifiedIdentity,
}

/// Whose key the certificate says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedIdentity {
    pub san: SubjectAltName,
    pub issuer: String,
}

impl IssuedChain {
    #[must_use]
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    #[must_use]
    pub fn identity(&self) -> &CertifiedIdentity {
        &self.identity
    }

    #[must_use]
    pub fn chain(&self) -> &VerifiedChain {
        &self.chain
    }

    #[must_use]
    pub fn sct(&self) -> &VerifiedSct {
        &self.sct
    }
}

/// Asks for a certificate for the key of `signer`, and checks what comes back.
pub async fn issue(
    signing: &Signing<'_>,
    token: &IdentityToken,
    signer: &dyn Signer,
) -> Result<IssuedChain, SignError> {
    let endpoint = Endpoint::new(ServiceKind::CertificateAuthority, signing.services.ca.url(), "api/v2/signingCert")?;
    let request = CreateSigningCertificateRequest {
        credentials: Some(Credentials { oidc_identity_token: token.reveal().to_owned() }),
        certificate_signing_request: csr::request_pem(signer).await?.into_bytes(),
        ..Default::default()
    };
    let body = Zeroizing::new(request.to_json());
    let headers = [("content-type", "application/json"), ("accept", "application/json")];
    let response = endpoint.post(signing.outbound, &headers, &body, &Limits::SERVICE).await?;
    let leaf = read_leaf(&endpoint, &response.body)?;
    check(signing, token.claims(), signer, leaf).map_err(|source| SignError::Reply {
        service: ServiceKind::CertificateAuthority,
        url: endpoint.url().clone(),
        source,
    })
}

/// Of the chain only the leaf is used: the others come from the trusted root.
fn read_leaf(endpoint: &Endpoint, body: &[u8]) -> Result<Certificate, ServiceError> {
    let not_understood = || endpoint.not_understood("a certificate with an embedded SCT");
    let reply = SigningCertificate::from_json(body).map_err(|_| not_understood())?;
    let chain = reply.signed_certificate_embedded_sct.and_then(|embedded| embedded.chain).ok_or_else(not_understood)?;
    let leaf = chain.certificates.first().ok_or_else(not_understood)?;
    Certificate::from_pem(leaf).map_err(|_| not_understood())
}

fn check(
    signing: &Signing<'_>,
    claims: &TokenClaims,
    signer: &dyn Signer,
    leaf: Certificate,
) -> Result<IssuedChain, ReplyError> {
    if leaf.public_key().ok().as_ref() != Some(signer.public_key()) {
        return Err(ReplyError::ForeignKey);
    }
    // The path at the authority's own time of issue, so that a clock of ours that is some seconds off changes nothing. Whether
    // the certificate was valid when the file was signed is for the timestamps to say, and is checked with them.
    let chain = verify::chain(&leaf, signing.trusted_root, &[leaf.not_before()])?;
    let sct = verify::sct(&chain, signing.trusted_root)?;
    let identity = check_identity(claims, &leaf)?;
    Ok(IssuedChain { chain, sct, leaf, identity })
}

/// The certificate names who the token names. The authority decides how a subject is written in a certificate, so what can be
/// compared depends on the type of the name.
fn check_identity(claims: &TokenClaims, leaf: &Certificate) -> Result<CertifiedIdentity, ReplyError> {
    let foreign = |expected: &str, found: &str| ReplyError::ForeignIdentity {
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    let san = leaf.san().map_err(|_| foreign(claims.display_name(), "no single name"))?;
    let issuer = leaf.issuer_claim().map_err(|_| foreign(&claims.issuer, "no issuer"))?;
    if issuer != claims.issuer && Some(&issuer) != claims.federated_issuer.as_ref() {
        return Err(foreign(&claims.issuer, &issuer));
    }
    let stated_subject = leaf
        .fulcio_extensions()
        .into_iter()
        .find_map(|(oid, text)| (oid.to_string() == TOKEN_SUBJECT_OID).then_some(text));
    if let Some(subject) = &stated_subject
        && *subject != claims.subject
    {
        return Err(foreign(&claims.subject, subject));
    }
    let fits = match &san {
        SubjectAltName::Email(email) => Some(email) == claims.email.as_ref(),
        // A URI is made from claims by the authority's template; older authorities do not state the subject beside it.
        SubjectAltName::Uri(uri) => *uri == claims.subject || stated_subject.is_some() || claims.email.is_none(),
        SubjectAltName::Username(name) => name.strip_prefix(&claims.subject).is_some_and(|rest| rest.starts_with('!')),
        SubjectAltName::Dns(_) => false,
    };
    if fits { Ok(CertifiedIdentity { san, issuer }) } else { Err(foreign(claims.display_name(), san.value())) }
}

#[cfg(test)]
mod tests;
