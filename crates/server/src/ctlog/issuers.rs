// SPDX-License-Identifier: Apache-2.0
//! The chains above the leaves that came lately, each verified once.
//!
//! RFC 6962 §3.1. A log has a handful of issuers, which send the same chain with every leaf; and it judges no times (`sigstore::ct::accept_chain`), so
//! what stood above one leaf is as good above the next.
//!
//! In scope: the accepted roots, which chains are remembered, and what of them goes into every entry. Out of scope: the verdict, which is
//! `sigstore::ct`'s; when other roots are accepted (`crate::instance`).
//! Invariants: a chain that is remembered led to a root of the same value, so that other roots begin without memory; the leaf's own signature is
//! verified every time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use touchmark_sequencer::Blob;
use touchmark_sigstore::ct::{self, AcceptedChain, AcceptedIssuers};
use touchmark_sigstore::x509::Certificate;

use super::CtStartError;
use super::append::issuer_name;

/// Chains that are remembered, the newest: a log has a handful of issuers, and one chain has half a mebibyte at most.
const CHAINS_MAX: usize = 16;

/// The roots that a log accepts, and the chains that were found to lead to them.
pub(crate) struct AcceptedRoots {
    roots: Vec<Certificate>,
    known: Mutex<VecDeque<Arc<Issuers>>>,
}

/// What stands above a leaf, and what the log keeps of it.
pub(super) struct Issuers {
    accepted: Arc<AcceptedIssuers>,
    /// SHA-256 of each certificate, the issuer first.
    pub(super) fingerprints: Vec<[u8; 32]>,
    /// Each certificate under the name by which readers find it.
    pub(super) blobs: Arc<[Blob]>,
}

impl AcceptedRoots {
    pub(crate) fn new(roots: Vec<Certificate>) -> Result<Self, CtStartError> {
        if roots.is_empty() {
            return Err(CtStartError::NoRoot);
        }
        Ok(Self { roots, known: Mutex::default() })
    }

    pub(super) fn certificates(&self) -> &[Certificate] {
        &self.roots
    }

    /// Whether the leaves of an authority with this chain, its root last, would lead to an accepted root.
    pub(crate) fn expect_authority(&self, chain: &[Certificate]) -> Result<(), ct::SubmissionError> {
        match chain {
            [] => Err(ct::SubmissionError::UnknownRoot),
            [root] if self.roots.contains(root) => Ok(()),
            [issuing, above @ ..] => ct::accept_chain(issuing, above, &self.roots).map(|_| ()),
        }
    }

    /// As `ct::accept_chain`, verdict and error.
    pub(super) fn accept(
        &self,
        leaf: &Certificate,
        above: &[Certificate],
    ) -> Result<(AcceptedChain, Arc<Issuers>), ct::SubmissionError> {
        if let Some(known) = self.of(above)
            && let Some(outcome) = known.accepted.accept(leaf, above)
        {
            return Ok((outcome?, known));
        }
        let chain = ct::accept_chain(leaf, above, &self.roots)?;
        let issuers = Arc::new(Issuers::of(&chain));
        if !above.is_empty() {
            self.remember(Arc::clone(&issuers));
        }
        Ok((chain, issuers))
    }

    fn of(&self, above: &[Certificate]) -> Option<Arc<Issuers>> {
        // Nothing panics while the lock is held.
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|issuers| issuers.accepted.submitted() == above).cloned()
    }

    /// Two who submit the same new chain at the same time may both bring it; the second stands unused until it is the oldest.
    fn remember(&self, issuers: Arc<Issuers>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CHAINS_MAX {
            known.pop_front();
        }
        known.push_back(issuers);
    }
}

impl Issuers {
    fn of(chain: &AcceptedChain) -> Self {
        let fingerprints: Vec<[u8; 32]> =
            chain.issuers().iter().map(|issuer| touchmark_keys::sha256(issuer.der())).collect();
        let blob = |(issuer, fingerprint): (&Certificate, &[u8; 32])| Blob {
            name: issuer_name(fingerprint),
            bytes: issuer.der().to_vec(),
        };
        let blobs = chain.issuers().iter().zip(&fingerprints).map(blob).collect();
        Self { accepted: Arc::clone(chain.accepted_issuers()), fingerprints, blobs }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use touchmark_sigstore::ct::SubmissionError;

    use super::*;
    use crate::fulcio::tests::harness::TestCa;

    #[tokio::test]
    async fn the_newest_chains_are_remembered_and_forgotten_ones_accepted_again() {
        let mut authorities = Vec::new();
        for number in 0..=CHAINS_MAX {
            authorities.push(TestCa::named(&number.to_string(), SignedDuration::from_hours(24)).await);
        }
        let known = AcceptedRoots::new(authorities.iter().map(TestCa::root).collect()).unwrap();
        // Here an intermediate is the leaf.
        let accept = |ca: &TestCa| known.accept(&ca.chain[0], &ca.chain[1..]).map(|(_, issuers)| issuers);
        let first = accept(&authorities[0]).unwrap();
        assert!(Arc::ptr_eq(&first, &accept(&authorities[0]).unwrap()));
        assert_eq!(first.blobs.len(), 1);
        for ca in &authorities[1..] {
            accept(ca).unwrap();
        }
        assert!(known.known.lock().unwrap().len() <= CHAINS_MAX);
        assert!(!Arc::ptr_eq(&first, &accept(&authorities[0]).unwrap()));
    }

    #[tokio::test]
    async fn what_is_refused_is_not_remembered_and_a_known_chain_vouches_for_no_stranger() {
        let (ca, stranger) = (TestCa::new().await, TestCa::new().await);
        let (leaf, above) = (&ca.chain[0], &ca.chain[1..]);
        let [of_stranger, of_ca] = [&stranger, &ca].map(|ca| AcceptedRoots::new(vec![ca.root()]).unwrap());
        let accept = |known: &AcceptedRoots, leaf| known.accept(leaf, above).map(|_| ()).err();
        assert_eq!(accept(&of_stranger, leaf), Some(SubmissionError::UnknownRoot));
        assert_eq!(of_stranger.known.lock().unwrap().len(), 0);
        assert_eq!(accept(&of_ca, leaf), None);
        // The same name, another key.
        let refused = accept(&of_ca, &stranger.chain[0]);
        assert!(matches!(refused, Some(SubmissionError::Broken { position: 0, .. })));
    }

    #[tokio::test]
    async fn an_authority_fits_whose_chain_leads_to_an_accepted_root() {
        let (ca, stranger) = (TestCa::new().await, TestCa::new().await);
        assert!(matches!(AcceptedRoots::new(Vec::new()), Err(CtStartError::NoRoot)));
        let roots = AcceptedRoots::new(vec![ca.root()]).unwrap();
        let mixed = [ca.chain[0].clone(), stranger.root()];
        for (chain, fits) in [
            (ca.chain.as_slice(), true),
            // The root may be left out, and may itself be the authority.
            (&ca.chain[..1], true),
            (&ca.chain[1..], true),
            (&stranger.chain, false),
            (&stranger.chain[1..], false),
            (&mixed, false),
            (&[], false),
        ] {
            assert_eq!(roots.expect_authority(chain).is_ok(), fits, "{chain:?}");
        }
    }
}
