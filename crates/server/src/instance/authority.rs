// SPDX-License-Identifier: Apache-2.0
//! The certificates of a new instance: a root and an intermediate that issues, a root and a leaf that stamps.
//!
//! In scope: names, serials and validity. Out of scope: encoding (`touchmark_sigstore::issue`), leaves for signers (`crate::fulcio`).

use jiff::{Timestamp, ToSpan};
use touchmark_signers::{SIGN_DEADLINE, Signer, sign_within};
use touchmark_sigstore::issue::assemble;
use touchmark_sigstore::issue::authority::{AuthorityName, CaProfile, CaTemplate};
use touchmark_sigstore::x509::Certificate;

use super::error::StartError;
use crate::ceremony::random_serial;

/// Ten years, as the public instance's authorities.
const VALID_HOURS: i64 = 10 * 365 * 24;

/// When and for whom certificates are made.
pub(super) struct Naming<'a> {
    pub(super) domain: &'a str,
    pub(super) valid_from: Timestamp,
}

impl Naming<'_> {
    /// The chain of the certificate authority: intermediate, root.
    pub(super) async fn ca_chain(
        &self,
        root_key: &dyn Signer,
        issuing_key: &dyn Signer,
    ) -> Result<Vec<Certificate>, StartError> {
        let root = self.issue("root", CaProfile::Root, root_key, root_key).await?;
        let profile = CaProfile::CodeSigningIntermediate { issuer: &root };
        let intermediate = self.issue("intermediate", profile, issuing_key, root_key).await?;
        Ok(vec![intermediate, root])
    }

    /// The chain of the timestamp authority: signing certificate, root.
    pub(super) async fn tsa_chain(
        &self,
        root_key: &dyn Signer,
        stamping_key: &dyn Signer,
    ) -> Result<Vec<Certificate>, StartError> {
        let root = self.issue("timestamping root", CaProfile::Root, root_key, root_key).await?;
        let profile = CaProfile::TimeStampingLeaf { issuer: &root };
        let leaf = self.issue("timestamping", profile, stamping_key, root_key).await?;
        Ok(vec![leaf, root])
    }

    pub(super) fn name(&self, common_name: &str) -> AuthorityName {
        AuthorityName { organization: self.domain.to_owned(), common_name: format!("touchmark {common_name}") }
    }

    async fn issue(
        &self,
        common_name: &str,
        profile: CaProfile<'_>,
        subject_key: &dyn Signer,
        issuer_key: &dyn Signer,
    ) -> Result<Certificate, StartError> {
        let valid_until = self.valid_from.checked_add(VALID_HOURS.hours()).map_err(StartError::making)?;
        let tbs = CaTemplate {
            serial: random_serial(),
            not_before: self.valid_from,
            not_after: valid_until,
            name: self.name(common_name),
            public_key: subject_key.public_key().clone(),
            profile,
            signature_scheme: issuer_key.scheme(),
        }
        .tbs()
        .map_err(StartError::making)?;
        let signature = sign_within(issuer_key, &tbs, SIGN_DEADLINE).await?;
        let der = assemble(&tbs, issuer_key.scheme(), &signature).map_err(StartError::making)?;
        Certificate::from_der(&der).map_err(StartError::making)
    }
}
