// SPDX-License-Identifier: Apache-2.0
//! A key that stamps, with its chain.
//!
//! In scope: the checks when it is loaded; one token; that its key signs; the chains of earlier keys, which are still published. Out of scope: the
//! time of a token ([`super::times`]), making chains (`crate::instance`).
//! Invariants: the key is that of the first certificate of the chain, and the chain verifies as clients verify it; no token is signed while a
//! certificate of the chain is not valid.

use std::sync::Arc;

use jiff::Timestamp;
use touchmark_keys::{HashAlgorithm, Scheme, digest, random};
use touchmark_signers::{SIGN_DEADLINE, Signer, SignerError, sign_within};
use touchmark_sigstore::tsp::{TimestampError, TimestampRequest, TokenTemplate, verify_reply};
use touchmark_sigstore::x509::Certificate;
use touchmark_sigstore::x509::chain::TrustedChain;
use touchmark_sigstore::x509::path::{ExtendedKeyUsage, PathError, verify_path};

use super::error::TsaError;
use super::policies::Policies;

/// Which certificates a token carries whose client asked for them (`certReq`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Embedded {
    /// The signing certificate, as RFC 3161 demands.
    Leaf,
    /// The whole chain.
    Chain,
}

/// A key with its chain.
pub(crate) struct Authority {
    signer: Arc<dyn Signer>,
    /// The signing certificate first, the root last. Prepared for what stamps.
    chain: TrustedChain,
    chain_pem: String,
    /// In hexadecimal: by this the audit log says which key signed.
    leaf_sha256: String,
    /// Of earlier keys.
    previous: Vec<Vec<Certificate>>,
}

/// A token that was signed.
pub(super) struct Token {
    pub(super) reply: Vec<u8>,
    pub(super) serial: [u8; 20],
}

/// The key stamped, and what it stamped verifies.
pub(crate) struct Proven(());

/// Why an authority cannot stamp.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthorityError {
    /// A chain needs at least the signing certificate and a root.
    #[error("the chain of the timestamp authority must hold its signing certificate and a root")]
    ChainTooShort,
    /// Key and certificate do not belong together.
    #[error("the first certificate of the timestamp authority's chain does not hold the key")]
    ForeignKey,
    #[error("keys of the scheme {0:?} do not sign timestamps")]
    Scheme(Scheme),
    /// Verifiers would refuse the chain.
    #[error("the chain of the timestamp authority does not verify: {0}")]
    Path(PathError),
    #[error("`previous_chains`, number {number}: it is no chain of a timestamp authority: {problem}")]
    PreviousChain { number: usize, problem: PathError },
    #[error("`previous_chains`, number {number}: it must hold a signing certificate and a root")]
    PreviousChainTooShort { number: usize },
    /// The key is there and does not sign.
    #[error("the key of the timestamp authority made no signature on trial: {0}")]
    Trial(SignerError),
    #[error("a timestamp on trial could not be made: {0}")]
    TrialTemplate(String),
    /// What it signs is of no use.
    #[error("a timestamp on trial does not verify: {0}")]
    TrialToken(TimestampError),
}

impl Authority {
    /// The signing certificate first, the root last.
    pub(crate) fn new(
        signer: Arc<dyn Signer>,
        chain: Vec<Certificate>,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let [leaf, authorities @ ..] = chain.as_slice() else { return Err(AuthorityError::ChainTooShort) };
        if authorities.is_empty() {
            return Err(AuthorityError::ChainTooShort);
        }
        if leaf.public_key().ok().as_ref() != Some(signer.public_key()) {
            return Err(AuthorityError::ForeignKey);
        }
        if signer.scheme() == Scheme::Ed25519ph {
            return Err(AuthorityError::Scheme(signer.scheme()));
        }
        verify_path(leaf, authorities, ExtendedKeyUsage::TimeStamping, now).map_err(AuthorityError::Path)?;
        let leaf_sha256 = hex::encode(touchmark_keys::sha256(leaf.der()));
        let chain_pem = chain.iter().map(Certificate::to_pem).collect();
        let chain = TrustedChain::new(chain).prepared(ExtendedKeyUsage::TimeStamping);
        Ok(Self { signer, chain, chain_pem, leaf_sha256, previous: Vec::new() })
    }

    /// Publishes the chains of earlier keys too; one that is the current one is published once.
    pub(crate) fn with_previous(mut self, chains: Vec<Vec<Certificate>>) -> Result<Self, AuthorityError> {
        for (number, chain) in chains.into_iter().enumerate() {
            let (Some(leaf), Some(authorities @ [_, ..])) = (chain.first(), chain.get(1..)) else {
                return Err(AuthorityError::PreviousChainTooShort { number });
            };
            // When the last of its certificates began they were all valid, if they ever were.
            let then = chain.iter().map(Certificate::not_before).fold(leaf.not_before(), Timestamp::max);
            verify_path(leaf, authorities, ExtendedKeyUsage::TimeStamping, then)
                .map_err(|problem| AuthorityError::PreviousChain { number, problem })?;
            if chain != self.chain() && !self.previous.contains(&chain) {
                self.previous.push(chain);
            }
        }
        Ok(self)
    }

    pub(crate) fn chain(&self) -> &[Certificate] {
        self.chain.certificates()
    }

    /// The chains of earlier keys, ended or not.
    pub(crate) fn previous(&self) -> impl Iterator<Item = &[Certificate]> {
        self.previous.iter().map(Vec::as_slice)
    }

    /// The current chain, and the previous ones of which no certificate has ended.
    pub(super) fn published(&self, now: Timestamp) -> impl Iterator<Item = &[Certificate]> {
        let lasts = move |chain: &&[Certificate]| chain.iter().all(|certificate| now <= certificate.not_after());
        std::iter::once(self.chain()).chain(self.previous().filter(lasts))
    }

    pub(super) fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The SHA-256 of the signing certificate, in hexadecimal.
    pub(super) fn leaf_sha256(&self) -> &str {
        &self.leaf_sha256
    }

    /// The token of a request at this time. Its policy has been chosen.
    pub(super) async fn token(
        &self,
        request: &TimestampRequest,
        policy: &str,
        gen_time: Timestamp,
        embedded: Embedded,
    ) -> Result<Token, TsaError> {
        let valid =
            |certificate: &Certificate| certificate.not_before() <= gen_time && gen_time <= certificate.not_after();
        if !self.chain().iter().all(valid) {
            return Err(TsaError::ChainNotValid);
        }
        let leaf = self.chain().first().expect("the constructor refuses an empty chain");
        let serial = random_serial();
        let unsigned = TokenTemplate {
            imprint: &request.imprint,
            nonce: request.nonce.as_deref(),
            policy,
            serial,
            gen_time,
            signer: leaf,
            embedded: match (request.cert_req, embedded) {
                (false, _) => &[],
                (true, Embedded::Leaf) => std::slice::from_ref(leaf),
                (true, Embedded::Chain) => self.chain(),
            },
            scheme: self.signer.scheme(),
        };
        let unsigned = unsigned.prepare().map_err(|error| TsaError::internal(&error))?;
        let signature = sign_within(self.signer.as_ref(), unsigned.signed_bytes(), SIGN_DEADLINE).await?;
        Ok(Token { reply: unsigned.into_response(&signature), serial })
    }

    /// Stamps something for nobody, and verifies it as a client would. Nothing of it is kept.
    pub(crate) async fn prove(&self, now: Timestamp, policies: &Policies) -> Result<Proven, AuthorityError> {
        let (message, request) = trial();
        let policy = policies.default_policy();
        let second = Timestamp::from_second(now.as_second()).expect("a timestamp without its fraction is one");
        let token = self.token(&request, policy, second, Embedded::Leaf).await.map_err(|error| match error {
            TsaError::Signer(error) => AuthorityError::Trial(error),
            other => AuthorityError::TrialTemplate(other.reason().to_owned()),
        })?;
        self.verified(&token, &request, &message).map_err(AuthorityError::TrialToken)
    }

    /// Whether a token is what a client accepts for its request.
    pub(super) fn verified(
        &self,
        token: &Token,
        request: &TimestampRequest,
        message: &[u8],
    ) -> Result<Proven, TimestampError> {
        verify_reply(&token.reply, request, message, &self.chain).map(|_| Proven(()))
    }
}

/// A message that nobody has, and a request for a timestamp over it.
pub(super) fn trial() -> (Vec<u8>, TimestampRequest) {
    let (mut message, mut nonce) = ([0; 32], [0; 8]);
    random(&mut message);
    random(&mut nonce);
    let imprint = digest(HashAlgorithm::Sha256, &message);
    let request = TimestampRequest { imprint, nonce: Some(nonce.to_vec()), cert_req: true, policy: None };
    (message.to_vec(), request)
}

/// Twenty random bytes as a positive number of full length.
fn random_serial() -> [u8; 20] {
    let mut serial = [0u8; 20];
    random(&mut serial);
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_positive_and_of_full_length() {
        for _ in 0..32 {
            assert!((0x40..0x80).contains(&random_serial()[0]));
        }
    }
}
