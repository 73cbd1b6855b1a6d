// SPDX-License-Identifier: Apache-2.0
//! What the measurements of both authorities start from: kinds of keys, and the certificates of a chain.
//!
//! In scope: these. Out of scope: files, configurations and servers, which the programs make themselves.

use anyhow::{Context, Result};
use clap::ValueEnum;
use jiff::{Timestamp, ToSpan as _};
use touchmark_keys::KeyType;
use touchmark_signers::{FileSigner, Signer as _};
use touchmark_sigstore::issue::assemble;
use touchmark_sigstore::issue::authority::{AuthorityName, CaProfile, CaTemplate};
use touchmark_sigstore::x509::Certificate;

const VALID_HOURS: i64 = 365 * 24;

/// The keys of an authority that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Curve {
    #[value(name = "p256")]
    P256,
    #[value(name = "p384")]
    P384,
}

impl Curve {
    #[must_use]
    pub fn key_type(self) -> KeyType {
        match self {
            Self::P256 => KeyType::EcdsaP256,
            Self::P384 => KeyType::EcdsaP384,
        }
    }

    #[must_use]
    pub fn argument(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }
}

/// A certificate that is valid since an hour ago.
///
/// # Errors
/// If the key does not sign.
pub async fn certificate(
    common_name: &str,
    profile: CaProfile<'_>,
    subject_key: &FileSigner,
    issuer_key: &FileSigner,
) -> Result<Certificate> {
    let mut serial = [0; 20];
    touchmark_keys::random(&mut serial);
    let now = Timestamp::now();
    let not_before = now.checked_sub(1.hour())?;
    let tbs = CaTemplate {
        serial,
        not_before: Timestamp::from_second(not_before.as_second())?,
        not_after: Timestamp::from_second(now.checked_add(VALID_HOURS.hours())?.as_second())?,
        name: AuthorityName { organization: "bench".to_owned(), common_name: common_name.to_owned() },
        public_key: subject_key.public_key().clone(),
        profile,
        signature_scheme: issuer_key.scheme(),
    }
    .tbs()
    .context("a certificate of the authority")?;
    let signature = issuer_key.sign(&tbs).await.context("no signature")?;
    let der = assemble(&tbs, issuer_key.scheme(), &signature).context("a certificate of the authority")?;
    Certificate::from_der(&der).context("a certificate of the authority")
}
