// SPDX-License-Identifier: Apache-2.0
//! The public key operations that a certificate cannot do without, over messages as long as the real ones.
//!
//! They are the request's own (its token, its proof of possession), the three signatures, the check of the SCT that goes into the certificate, and the
//! check of the certificate before it leaves. Not among them: what the service does beyond, such as the log's own check of the precertificate's
//! signature, and parsing the client's key.
//!
//! In scope: doing them, for the ceiling, and timing each alone. Out of scope: HTTP, the disk (`ceiling`).

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use touchmark_keys::{KeyType, Scheme};
use touchmark_signers::{EphemeralSigner, Signer};

/// As long as the signed part of a token and of a certificate are.
const TOKEN_BYTES: usize = 420;
const TBS_BYTES: usize = 620;
const EMAIL: &[u8] = b"load-1000000@example.com";

/// One public key operation of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    VerifyToken,
    VerifyProof,
    SignPrecertificate,
    SignSct,
    VerifySct,
    SignCertificate,
    VerifyCertificate,
}

/// In the order in which a certificate comes about.
const OPERATIONS: [Operation; 7] = [
    Operation::VerifyToken,
    Operation::VerifyProof,
    Operation::SignPrecertificate,
    Operation::SignSct,
    Operation::VerifySct,
    Operation::SignCertificate,
    Operation::VerifyCertificate,
];

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::VerifyToken => "token: verify RS256 (RSA 2048)",
            Self::VerifyProof => "proof of possession: verify P-256",
            Self::SignPrecertificate => "precertificate: sign",
            Self::SignSct => "SCT: sign P-256",
            Self::VerifySct => "SCT: verify P-256",
            Self::SignCertificate => "certificate: sign",
            Self::VerifyCertificate => "certificate: verify before it leaves",
        }
    }
}

/// A key, and something that it signed.
struct Signed {
    signer: EphemeralSigner,
    message: Vec<u8>,
    signature: Vec<u8>,
}

/// The keys and messages of all operations.
pub(crate) struct Operations {
    token: Signed,
    proof: Signed,
    sct: Signed,
    certificate: Signed,
}

impl Signed {
    fn new(key_type: KeyType, message: Vec<u8>) -> Result<Self> {
        let signer = EphemeralSigner::generate(key_type).context("no key")?;
        let signature = futures_util::FutureExt::now_or_never(signer.sign(&message)).context("a signer that waits")?;
        Ok(Self { signature: signature.context("no signature")?, signer, message })
    }

    fn verify(&self) -> Result<()> {
        let scheme: Scheme = self.signer.scheme();
        let verified = self.signer.public_key().verify(scheme, &self.message, &self.signature);
        verified.map(drop).context("the ceiling's own signature")
    }

    async fn sign(&self) -> Result<()> {
        self.signer.sign(&self.message).await.map(drop).context("no signature")
    }
}

impl Operations {
    /// `key_type` is that of the authority.
    pub(crate) fn new(key_type: KeyType) -> Result<Self> {
        let tbs = vec![0x30; TBS_BYTES];
        Ok(Self {
            token: Signed::new(KeyType::Rsa2048, vec![b'e'; TOKEN_BYTES])?,
            proof: Signed::new(KeyType::EcdsaP256, EMAIL.to_vec())?,
            sct: Signed::new(KeyType::EcdsaP256, tbs.clone())?,
            certificate: Signed::new(key_type, tbs)?,
        })
    }

    /// All of them, once.
    pub(crate) async fn all(&self) -> Result<()> {
        for operation in OPERATIONS {
            self.one(operation).await?;
        }
        Ok(())
    }

    async fn one(&self, operation: Operation) -> Result<()> {
        match operation {
            Operation::VerifyToken => self.token.verify(),
            Operation::VerifyProof => self.proof.verify(),
            Operation::SignPrecertificate | Operation::SignCertificate => self.certificate.sign().await,
            Operation::SignSct => self.sct.sign().await,
            Operation::VerifySct => self.sct.verify(),
            Operation::VerifyCertificate => self.certificate.verify(),
        }
    }

    /// What each takes on one core.
    pub(crate) async fn print_costs(&self) -> Result<()> {
        const SPAN: Duration = Duration::from_millis(500);
        println!("| operation | one core |\n| --- | --- |");
        let mut sum = 0.0;
        for operation in OPERATIONS {
            let (begun, mut count) = (Instant::now(), 0_u32);
            while begun.elapsed() < SPAN {
                self.one(operation).await?;
                count += 1;
            }
            let micros = begun.elapsed().as_secs_f64() * 1e6 / f64::from(count);
            sum += micros;
            println!("| {} | {micros:.0} µs |", operation.name());
        }
        println!("| all | {sum:.0} µs |\n");
        Ok(())
    }
}
