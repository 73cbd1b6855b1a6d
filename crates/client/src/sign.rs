// SPDX-License-Identifier: Apache-2.0
//! Signing a file or a statement about files, keyless: the whole way from a token to a bundle that verifies. One of the four files
//! to read first.
//!
//! ```text
//! IdentityToken ──┐
//! EphemeralSigner ┴─ fulcio::issue ──▶ IssuedChain      path to a trusted CA, SCT, our key, the token's identity
//! Credential + Subject ──────────────▶ CertifiedSignature   over the digest of a file, or of an encoded envelope
//!   ├─ tsa::stamp, each authority ───▶ Stamped          imprint, nonce, path to a trusted authority, time
//!   └─ rekor::append, each log ──────▶ Logged           our entry, inclusion proof, signed checkpoint
//! CertifiedSignature + Evidence ─────▶ Bundle ─ verify, as any verifier would ─▶ SignedBundle
//! ```
//!
//! Each step takes only what the steps before it returned, and those types have no other constructor: leaving a step out
//! does not compile. What a service sends is checked against the trusted root with the verifier's own functions before it is
//! used, and the finished bundle is verified whole before it is returned.
//!
//! In scope: the order of the steps and what each may use. Out of scope: which services (the signing config's rule, in
//! `touchmark_sigstore::trust`), how each is spoken to ([`crate::fulcio`], [`crate::tsa`], [`crate::rekor`]), files.
//!
//! Invariants: the private key lives in memory only, and no longer than its [`Credential`]; a bundle that is returned verifies.

use futures_util::future::{try_join, try_join_all};
use jiff::{SignedDuration, Timestamp};
use touchmark_keys::{Digest, HashAlgorithm, KeyType, Scheme};
use touchmark_outbound::Outbound;
use touchmark_signers::{EphemeralSigner, Signer as _, SignerError};
use touchmark_sigstore::bundle::{Bundle, BundleError, Content, KeyMaterial};
use touchmark_sigstore::dsse::{Envelope, IN_TOTO_PAYLOAD_TYPE};
use touchmark_sigstore::policy::{IdentityMatcher, Matcher, MatcherError, Policy};
use touchmark_sigstore::rekor::{EntryError, HashedRekord, LogEntryError, Verifier};
use touchmark_sigstore::trust::{SelectError, Services, TrustedRoot};
use touchmark_sigstore::tsp::TimestampError;
use touchmark_sigstore::verify::{Artifact, Verified, VerifyError, verify};
use url::Url;

use crate::attestation::Attestation;
use crate::fulcio::{self, IssuedChain};
use crate::identity::{IdentityError, IdentityToken};
use crate::rekor::{self, Logged};
use crate::service::{ServiceError, ServiceKind};
use crate::tsa::{self, Stamped};

/// Time that must be left of a certificate for a signature to be begun: the timestamps come some network calls later.
const CERTIFICATE_TIME_MIN: SignedDuration = SignedDuration::from_secs(60);

/// Why there is no bundle. Nothing was written anywhere but, perhaps, to the logs.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Services(#[from] SelectError),
    #[error("the signing config names no timestamp authority, and nothing else says when a file was signed")]
    NoTimestampAuthority,
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("the ephemeral key failed")]
    Signer(#[from] SignerError),
    #[error("the reply of the {service} at {url} was refused")]
    Reply { service: ServiceKind, url: Url, source: ReplyError },
    #[error("the finished bundle does not verify")]
    OwnBundle(#[from] OwnBundleError),
}

/// What is wrong with a reply that was understood. Each variant says which check failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    #[error("check {0}")]
    Verify(VerifyError),
    #[error("check key: expected a certificate for our key, found one for another")]
    ForeignKey,
    #[error("check identity: expected {expected}, found {found}")]
    ForeignIdentity { expected: String, found: String },
    #[error("check timestamp: expected an answer to our request, found: {0}")]
    Timestamp(TimestampError),
    #[error("check log: our signature makes no entry: {0}")]
    OwnEntry(EntryError),
    #[error("check log: expected an entry of ours, found: {0}")]
    Entry(LogEntryError),
}

impl<E: Into<VerifyError>> From<E> for ReplyError {
    fn from(error: E) -> Self {
        Self::Verify(error.into())
    }
}

/// Why our own bundle is not good enough for us.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OwnBundleError {
    #[error("its parts do not make a bundle: {0}")]
    Assemble(BundleError),
    #[error("the certificate's identity makes no policy: {0}")]
    Policy(MatcherError),
    #[error("check {0}")]
    Verify(VerifyError),
}

/// What a signature is made with: the chosen services, and the trust that their replies are held against.
#[derive(Clone, Copy)]
pub struct Signing<'a> {
    pub outbound: &'a Outbound,
    pub trusted_root: &'a TrustedRoot,
    pub services: &'a Services,
}

/// What is signed.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    /// A file, which the key signs by its digest.
    Artifact(&'a Digest),
    /// A statement about files, which the key signs in a DSSE envelope.
    Attestation(&'a Attestation),
}

impl Subject<'_> {
    /// What the key signs.
    fn signed_digest(self, algorithm: HashAlgorithm) -> Digest {
        match self {
            Self::Artifact(digest) => digest.clone(),
            Self::Attestation(attestation) => attestation.signed_digest(algorithm),
        }
    }

    /// What a verifier compares with the file in his hands.
    fn artifact(self) -> Artifact<'static> {
        match self {
            Self::Artifact(digest) => Artifact::from(digest.clone()),
            Self::Attestation(attestation) => Artifact::of_digests(attestation.subject_digests().to_vec()),
        }
    }
}

/// An ephemeral key and the certificate that says whose it is. Good for any number of signatures, for some minutes.
pub struct Credential {
    key: EphemeralSigner,
    issued: IssuedChain,
}

/// Step 1 and 2: a fresh key, and a certificate for it that was checked.
pub async fn certify(signing: &Signing<'_>, token: &IdentityToken) -> Result<Credential, SignError> {
    token.check_time(Timestamp::now())?;
    let key = EphemeralSigner::generate(KeyType::EcdsaP256)?;
    let issued = fulcio::issue(signing, token, &key).await?;
    Ok(Credential { key, issued })
}

impl Credential {
    #[must_use]
    pub fn issued(&self) -> &IssuedChain {
        &self.issued
    }

    /// Whether enough is left of the certificate for one more signature.
    #[must_use]
    pub fn is_usable_at(&self, now: Timestamp) -> bool {
        self.issued.leaf().not_after().duration_since(now) >= CERTIFICATE_TIME_MIN
    }

    /// Step 3.
    async fn sign<'a>(&'a self, subject: Subject<'a>) -> Result<CertifiedSignature<'a>, SignError> {
        let scheme = self.key.scheme();
        let digest = subject.signed_digest(scheme.hash().expect("an ephemeral key signs digests"));
        let bytes = self.key.sign_digest(&digest).await?;
        Ok(CertifiedSignature { subject, digest, bytes, scheme, issued: &self.issued })
    }
}

/// A signature, what it covers, and the certificate of its key.
pub struct CertifiedSignature<'a> {
    subject: Subject<'a>,
    digest: Digest,
    bytes: Vec<u8>,
    scheme: Scheme,
    issued: &'a IssuedChain,
}

impl CertifiedSignature<'_> {
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The signature and what it covers, as a bundle carries them.
    fn to_content(&self) -> Content {
        match self.subject {
            Subject::Artifact(digest) => {
                Content::Message { digest: Some(digest.clone()), signature: self.bytes.clone() }
            }
            Subject::Attestation(attestation) => Content::Envelope(Envelope {
                payload_type: IN_TOTO_PAYLOAD_TYPE.to_owned(),
                payload: attestation.statement_json().to_vec(),
                signature: self.bytes.clone(),
                keyid: String::new(),
            }),
        }
    }

    /// The entry that a log is asked to hold: of an envelope it holds the digest of what was signed, not what it says.
    pub fn to_entry(&self) -> Result<HashedRekord, EntryError> {
        let verifier = Verifier::Certificate { der: self.issued.leaf().der().to_vec() };
        HashedRekord::new(self.digest.clone(), self.bytes.clone(), verifier, self.scheme)
    }
}

/// What others say about a signature: when it was there, and that it is public.
struct Evidence {
    stamps: Vec<Stamped>,
    entries: Vec<Logged>,
}

impl Evidence {
    /// Step 4: every authority and log that the signing config asks for, all at once: none depends on another.
    async fn gather(signing: &Signing<'_>, signature: &CertifiedSignature<'_>) -> Result<Self, SignError> {
        if signing.services.tsa.is_empty() {
            return Err(SignError::NoTimestampAuthority);
        }
        let stamps = signing.services.tsa.iter().map(|service| tsa::stamp(signing, service, signature));
        let entries = signing.services.rekor.iter().map(|service| rekor::append(signing, service, signature));
        let (stamps, entries) = try_join(try_join_all(stamps), try_join_all(entries)).await?;
        Ok(Self { stamps, entries })
    }
}

/// A bundle that was verified as any verifier would, and what that proved.
pub struct SignedBundle {
    bundle: Bundle,
    verified: Verified,
}

impl SignedBundle {
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }
}

/// Signs a file, given by its digest, or a statement. See the module's head for the steps.
pub async fn sign(
    signing: &Signing<'_>,
    credential: &Credential,
    subject: Subject<'_>,
) -> Result<SignedBundle, SignError> {
    let signature = credential.sign(subject).await?;
    let evidence = Evidence::gather(signing, &signature).await?;
    let bundle = assemble(&signature, evidence)?;
    let verified = verify_own(&bundle, &signature, signing.trusted_root)?;
    Ok(SignedBundle { bundle, verified })
}

/// Step 5.
fn assemble(signature: &CertifiedSignature<'_>, evidence: Evidence) -> Result<Bundle, OwnBundleError> {
    let entries: Vec<_> = evidence.entries.into_iter().map(Logged::into_entry).collect();
    Bundle::new(
        KeyMaterial::Certificate(signature.issued.leaf().clone()),
        signature.to_content(),
        evidence.stamps.into_iter().map(Stamped::into_token).collect(),
        entries,
    )
    .map_err(OwnBundleError::Assemble)
}

/// Step 6: the bundle as it will be read, by the verifier's rules, for exactly the identity that was certified.
fn verify_own(
    bundle: &Bundle,
    signature: &CertifiedSignature<'_>,
    trusted_root: &TrustedRoot,
) -> Result<Verified, OwnBundleError> {
    let read_back = Bundle::parse(&bundle.to_json()).map_err(OwnBundleError::Assemble)?;
    let identity = signature.issued.identity();
    let policy = Policy::keyless(
        IdentityMatcher::exact(identity.san.value()).map_err(OwnBundleError::Policy)?,
        Matcher::exact(&identity.issuer).map_err(OwnBundleError::Policy)?,
    );
    verify(&signature.subject.artifact(), &read_back, trusted_root, &policy, Timestamp::now())
        .map_err(OwnBundleError::Verify)
}
