// SPDX-License-Identifier: Apache-2.0
//! Ceremonies: making a root and an intermediate, requesting, signing and renewing the certificate of an intermediate;
//! a timestamp authority's ([`timestamping`]).
//!
//! Fulcio's certificate-specification.md (root and intermediate), RFC 5280 §4.1.2.2 (serial numbers), RFC 2986 (requests). docs/ca.md is the manual.
//!
//! In scope: what is made, for how long, and the look at it before it is written. Out of scope: serving (`crate::fulcio`), encoding
//! (`touchmark_sigstore::issue`), printing.
//! Invariants: a certificate is written only after it was read back and found to be an authority for code signing alone, valid now, under its
//! root; a key that will issue has signed before its certificate is written, but where only its public half is at hand; no file is replaced.

mod error;
mod output;
mod timestamping;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use touchmark_keys::{KeyType, PublicKey};
use touchmark_signers::{SIGN_DEADLINE, Signer, SignerReference, sign_within};
use touchmark_sigstore::issue::assemble;
use touchmark_sigstore::issue::authority::{AuthorityName, CaProfile, CaTemplate};
use touchmark_sigstore::issue::request::{assemble_request, request_information};
use touchmark_sigstore::x509::csr::Csr;
use touchmark_sigstore::x509::path::{ExtendedKeyUsage, verify_authorities};
use touchmark_sigstore::x509::{Certificate, chain_from_pem};
use zeroize::Zeroizing;

pub use error::{CeremonyError, Unsound};
pub use timestamping::{TIMESTAMPING_KEY, TimestampingOptions, TimestampingRoot, timestamping};

use crate::durable;
use crate::fulcio::CertificateAuthority;
use output::Output;

/// What decrypts or encrypts key files.
pub type Passphrase = Option<Zeroizing<Vec<u8>>>;

/// The files of a ceremony in its directory.
pub const ROOT_KEY: &str = "root.key.pem";
/// The root's certificate.
pub const ROOT: &str = "root.pem";
/// The key of the intermediate.
pub const INTERMEDIATE_KEY: &str = "intermediate.key.pem";
/// The intermediate's certificate, then the root's.
pub const CHAIN: &str = "chain.pem";

/// How long certificates live, in days, where nothing else is said: ten years and three, as Fulcio's specification has it.
pub const ROOT_DAYS: u32 = 3653;
/// For intermediates.
pub const INTERMEDIATE_DAYS: u32 = 1096;
/// The longest lifetime: thirty years, after which no algorithm of today should be trusted.
const DAYS_MAX: u32 = 10_958;
/// How far back a certificate is valid at its birth: for clocks that are a little behind.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);
/// RFC 5280, appendix A.1: ub-organization-name, ub-common-name.
const NAME_CHARACTERS_MAX: usize = 64;
/// id-kp-codeSigning, RFC 5280 §4.2.1.12.
const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";

/// Where the key of an intermediate comes from.
#[derive(Debug, Clone)]
pub enum KeyChoice {
    /// A new file.
    New(KeyType),
    /// One that is there already.
    Existing(Box<SignerReference>),
}

/// A root and an intermediate to be made.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Where the files go.
    pub directory: PathBuf,
    /// The kind of the root's key.
    pub root_key: KeyType,
    /// The key of the intermediate.
    pub issuing_key: KeyChoice,
    /// The root's name.
    pub root_name: AuthorityName,
    /// The intermediate's name.
    pub intermediate_name: AuthorityName,
    /// The root's lifetime.
    pub root_days: u32,
    /// The intermediate's lifetime.
    pub intermediate_days: u32,
    /// Encrypts the root's key file.
    pub root_passphrase: Passphrase,
    /// Encrypts or decrypts the key file of the intermediate.
    pub passphrase: Passphrase,
}

/// Where an offline root is.
#[derive(Debug, Clone)]
pub struct RootPlace {
    /// Its key.
    pub key: SignerReference,
    /// Its certificate.
    pub certificate: PathBuf,
    /// Decrypts its key file.
    pub passphrase: Passphrase,
}

impl RootPlace {
    async fn key_of(&self, root: &Certificate) -> Result<Arc<dyn Signer>, CeremonyError> {
        let key = self.key.clone().open(self.passphrase.clone()).await?;
        let is_its_own = root.spki_der() == key.public_key().spki_der();
        if is_its_own { Ok(key) } else { Err(CeremonyError::RootKey { path: self.certificate.clone() }) }
    }
}

/// What a ceremony made.
#[derive(Debug)]
pub struct Ceremony {
    /// The issuing certificate first, the root last.
    pub chain: Vec<Certificate>,
    /// What was written.
    pub files: Vec<PathBuf>,
    /// Whether the root ends before the lifetime that was asked for the issuing certificate.
    pub is_cut_short: bool,
}

/// Makes a root, an intermediate under it, and their keys.
///
/// # Errors
/// Why nothing was made.
pub async fn init(options: &InitOptions, now: Timestamp) -> Result<Ceremony, CeremonyError> {
    let directory = &options.directory;
    let mut output = Output::in_directory(directory, &[ROOT_KEY, ROOT, INTERMEDIATE_KEY, CHAIN])?;
    // What may be away first.
    let existing = match &options.issuing_key {
        KeyChoice::Existing(reference) => {
            Some(SignerReference::clone(reference).open(options.passphrase.clone()).await?)
        }
        KeyChoice::New(_) => None,
    };
    let root_key = create(&mut output, directory.join(ROOT_KEY), options.root_key, &options.root_passphrase).await?;
    let issuing_key = match (existing, &options.issuing_key) {
        (Some(key), _) => key,
        (None, KeyChoice::New(key_type)) => {
            create(&mut output, directory.join(INTERMEDIATE_KEY), *key_type, &options.passphrase).await?
        }
        (None, KeyChoice::Existing(_)) => unreachable!("an existing key was opened above"),
    };
    let subject = Subject { name: options.root_name.clone(), key: root_key.public_key().clone() };
    let (root, _) = subject.certify(CaProfile::Root, root_key.as_ref(), options.root_days, now).await?;
    let subject = Subject { name: options.intermediate_name.clone(), key: issuing_key.public_key().clone() };
    let profile = CaProfile::CodeSigningIntermediate { issuer: &root };
    let (intermediate, validity) = subject.certify(profile, root_key.as_ref(), options.intermediate_days, now).await?;
    let chain = sound(&[intermediate, root], &subject.key, now)?;
    would_serve(&chain, issuing_key, now).await?;
    output.chain(directory.join(ROOT), &chain[1..])?;
    output.chain(directory.join(CHAIN), &chain)?;
    Ok(Ceremony { chain, files: output.keep(), is_cut_short: validity.is_cut_short })
}

/// A request for the certificate of an intermediate, to be signed by a root somewhere else.
#[derive(Debug, Clone)]
pub struct RequestOptions {
    /// The file to write.
    pub request: PathBuf,
    /// The key, and its file if it is new.
    pub key: KeyChoice,
    /// Where a new key goes.
    pub key_file: PathBuf,
    /// The name that is asked for.
    pub name: AuthorityName,
    /// Encrypts or decrypts the key file.
    pub passphrase: Passphrase,
}

/// Writes a request, signed by its own key. Gives the public key and the files.
///
/// # Errors
/// Why nothing was made.
pub async fn request(options: &RequestOptions) -> Result<(PublicKey, Vec<PathBuf>), CeremonyError> {
    expect_name(&options.name)?;
    let mut output = Output::default();
    let key = match &options.key {
        KeyChoice::Existing(reference) => SignerReference::clone(reference).open(options.passphrase.clone()).await?,
        KeyChoice::New(key_type) => {
            create(&mut output, options.key_file.clone(), *key_type, &options.passphrase).await?
        }
    };
    let public_key = key.public_key().clone();
    public_key.check_strength().map_err(CeremonyError::WeakKey)?;
    let information = request_information(&options.name, &public_key);
    let signature = sign_within(key.as_ref(), &information, SIGN_DEADLINE).await?;
    let pem = assemble_request(&information, key.scheme(), &signature)?;
    let proof = Csr::from_pem(pem.as_bytes()).and_then(|request| request.verify());
    proof.map_err(|error| CeremonyError::Request { path: options.request.clone(), error })?;
    output.text(options.request.clone(), &pem)?;
    Ok((public_key, output.keep()))
}

/// A certificate of an intermediate that could be made: to be looked at before it is.
pub struct Proposal {
    root: Certificate,
    root_place: RootPlace,
    subject: Subject,
    days: u32,
    validity: Validity,
}

impl Proposal {
    /// Whose it will be.
    #[must_use]
    pub fn name(&self) -> &AuthorityName {
        &self.subject.name
    }

    /// The key that it will certify.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.subject.key
    }

    /// Who will sign it.
    #[must_use]
    pub fn root(&self) -> &Certificate {
        &self.root
    }

    /// Whether the root ends before the lifetime that was asked for.
    #[must_use]
    pub fn is_cut_short(&self) -> bool {
        self.validity.is_cut_short
    }

    /// From when it will be valid.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.validity.not_before
    }

    /// Until when; never longer than the root.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.validity.not_after
    }

    fn new(root_place: RootPlace, subject: Subject, days: u32, now: Timestamp) -> Result<Self, CeremonyError> {
        let root = read_root(&root_place.certificate, now)?;
        expect_name(&subject.name)?;
        subject.key.check_strength().map_err(CeremonyError::WeakKey)?;
        let validity = validity(Some(&root), days, now)?;
        Ok(Self { root, root_place, subject, days, validity })
    }

    async fn sign(&self, now: Timestamp) -> Result<Vec<Certificate>, CeremonyError> {
        let root_key = self.root_place.key_of(&self.root).await?;
        let profile = CaProfile::CodeSigningIntermediate { issuer: &self.root };
        let (made, _) = self.subject.certify(profile, root_key.as_ref(), self.days, now).await?;
        sound(&[made, self.root.clone()], &self.subject.key, now)
    }
}

/// Reads a request, and says what certificate it would become under this root. `name` goes before the one in the request.
///
/// # Errors
/// Why it would become none.
pub fn propose(
    request: &Path,
    name: Option<AuthorityName>,
    root: RootPlace,
    days: u32,
    now: Timestamp,
) -> Result<Proposal, CeremonyError> {
    let refused = |error| CeremonyError::Request { path: request.to_owned(), error };
    let csr = Csr::from_pem(&durable::read(request)?).map_err(refused)?;
    csr.verify().map_err(refused)?;
    let key = csr.public_key().map_err(refused)?;
    let named = name.or_else(|| AuthorityName::from_der(csr.subject_der()));
    let name = named.ok_or(CeremonyError::Subject { what: "the request" })?;
    Proposal::new(root, Subject { name, key }, days, now)
}

/// Signs what was proposed and writes the chain.
///
/// # Errors
/// Why nothing was made.
pub async fn sign(proposal: &Proposal, chain_file: &Path, now: Timestamp) -> Result<Ceremony, CeremonyError> {
    let chain = proposal.sign(now).await?;
    let mut output = Output::default();
    output.chain(chain_file.to_owned(), &chain)?;
    Ok(Ceremony { chain, files: output.keep(), is_cut_short: proposal.is_cut_short() })
}

/// What an intermediate's next certificate certifies.
#[derive(Debug, Clone)]
pub enum RenewedKey {
    /// The key of the present certificate.
    Same,
    /// Another.
    Other(KeyChoice),
}

/// An intermediate to be renewed.
#[derive(Debug, Clone)]
pub struct RenewOptions {
    /// The root.
    pub root: RootPlace,
    /// The chain that issues now.
    pub chain: PathBuf,
    /// Where the new files go.
    pub directory: PathBuf,
    /// The key.
    pub key: RenewedKey,
    /// The name, if it is to be another one.
    pub name: Option<AuthorityName>,
    /// The lifetime.
    pub days: u32,
    /// Encrypts or decrypts the key file of the intermediate.
    pub passphrase: Passphrase,
}

/// Makes the next certificate of an intermediate under the same root. Both are valid for a while: the rest of the present one's life. Gives the
/// present one, too.
///
/// # Errors
/// Why nothing was made.
pub async fn renew(options: &RenewOptions, now: Timestamp) -> Result<(Ceremony, Certificate), CeremonyError> {
    let current = read_chain(&options.chain)?;
    let root = read_root(&options.root.certificate, now)?;
    let (Some(present), true) = (current.first(), current.len() > 1 && current.last() == Some(&root)) else {
        let (chain, root) = (options.chain.clone(), options.root.certificate.clone());
        return Err(CeremonyError::OtherRoot { chain, root });
    };
    let named = options.name.clone().or_else(|| AuthorityName::from_der(present.subject_der()));
    let name = named.ok_or(CeremonyError::Subject { what: "the present certificate" })?;
    let mut output = Output::in_directory(&options.directory, &[CHAIN, INTERMEDIATE_KEY])?;
    let unreadable = |error| CeremonyError::Certificates { path: options.chain.clone(), error };
    let issuing_key = match &options.key {
        RenewedKey::Same => None,
        RenewedKey::Other(KeyChoice::Existing(reference)) => {
            Some(SignerReference::clone(reference).open(options.passphrase.clone()).await?)
        }
        RenewedKey::Other(KeyChoice::New(key_type)) => {
            let file = options.directory.join(INTERMEDIATE_KEY);
            Some(create(&mut output, file, *key_type, &options.passphrase).await?)
        }
    };
    let key = match &issuing_key {
        Some(signer) => signer.public_key().clone(),
        None => present.public_key().map_err(unreadable)?,
    };
    let proposal = Proposal::new(options.root.clone(), Subject { name, key }, options.days, now)?;
    if proposal.not_after() <= present.not_after() {
        return Err(CeremonyError::NoLonger { new: proposal.not_after(), present: present.not_after() });
    }
    let chain = proposal.sign(now).await?;
    if let Some(issuing_key) = issuing_key {
        would_serve(&chain, issuing_key, now).await?;
    }
    output.chain(options.directory.join(CHAIN), &chain)?;
    Ok((Ceremony { chain, files: output.keep(), is_cut_short: proposal.is_cut_short() }, present.clone()))
}

/// Reads certificates from a file.
///
/// # Errors
/// Why it holds none.
pub fn read_chain(path: &Path) -> Result<Vec<Certificate>, CeremonyError> {
    let text = String::from_utf8_lossy(&durable::read(path)?).into_owned();
    chain_from_pem(&text).map_err(|error| CeremonyError::Certificates { path: path.to_owned(), error })
}

fn read_root(path: &Path, now: Timestamp) -> Result<Certificate, CeremonyError> {
    let chain = read_chain(path)?;
    let is_sound = verify_authorities(&chain, ExtendedKeyUsage::CodeSigning).is_ok();
    match chain.as_slice() {
        [root] if is_sound && root.not_before() <= now && now < root.not_after() => Ok(root.clone()),
        _ => Err(CeremonyError::Root { path: path.to_owned(), at: now }),
    }
}

/// The kinds of Fulcio's certificate specification that are made here.
async fn create(
    output: &mut Output,
    path: PathBuf,
    key_type: KeyType,
    passphrase: &Passphrase,
) -> Result<Arc<dyn Signer>, CeremonyError> {
    if !matches!(key_type, KeyType::EcdsaP256 | KeyType::EcdsaP384) {
        return Err(CeremonyError::KeyType(key_type));
    }
    output.key(path, key_type, passphrase).await
}

/// Who is certified.
struct Subject {
    name: AuthorityName,
    key: PublicKey,
}

impl Subject {
    async fn certify(
        &self,
        profile: CaProfile<'_>,
        issuer_key: &dyn Signer,
        days: u32,
        now: Timestamp,
    ) -> Result<(Certificate, Validity), CeremonyError> {
        expect_name(&self.name)?;
        let validity = validity(profile.issuer(), days, now)?;
        let template = CaTemplate {
            serial: random_serial(),
            not_before: validity.not_before,
            not_after: validity.not_after,
            name: self.name.clone(),
            public_key: self.key.clone(),
            profile,
            signature_scheme: issuer_key.scheme(),
        };
        let tbs = template.tbs()?;
        let signature = sign_within(issuer_key, &tbs, SIGN_DEADLINE).await?;
        let der = assemble(&tbs, issuer_key.scheme(), &signature)?;
        let made = Certificate::from_der(&der);
        Ok((made.map_err(|error| CeremonyError::Unsound(Unsound::Unreadable(error)))?, validity))
    }
}

fn expect_name(name: &AuthorityName) -> Result<(), CeremonyError> {
    for (part, text) in [("organisation", &name.organization), ("common name", &name.common_name)] {
        if !(1..=NAME_CHARACTERS_MAX).contains(&text.chars().count()) || text.chars().any(char::is_control) {
            return Err(CeremonyError::Name { part });
        }
    }
    Ok(())
}

/// For how long a certificate will be valid.
#[derive(Debug, Clone, Copy)]
struct Validity {
    not_before: Timestamp,
    not_after: Timestamp,
    /// Whether the issuer ends before what was asked for.
    is_cut_short: bool,
}

/// From a little before now, in whole seconds as certificates count, for so many days, and within the issuer's.
fn validity(issuer: Option<&Certificate>, days: u32, now: Timestamp) -> Result<Validity, CeremonyError> {
    let refused = CeremonyError::Lifetime { days, max: DAYS_MAX };
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(refused);
    }
    let Ok(now) = Timestamp::from_second(now.as_second()) else { return Err(refused) };
    let (begin, end) = (now - BACKDATED, now + SignedDuration::from_hours(i64::from(days) * 24));
    Ok(match issuer {
        Some(issuer) => Validity {
            not_before: begin.max(issuer.not_before()),
            not_after: end.min(issuer.not_after()),
            is_cut_short: issuer.not_after() < end,
        },
        None => Validity { not_before: begin, not_after: end, is_cut_short: false },
    })
}

/// Twenty random bytes as a positive number of full length (RFC 5280 §4.1.2.2).
pub(crate) fn random_serial() -> [u8; 20] {
    let mut serial = [0u8; 20];
    touchmark_keys::random(&mut serial);
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// Reads a new chain back from what will be written, and looks at it as a stranger would.
fn sound(chain: &[Certificate], key: &PublicKey, now: Timestamp) -> Result<Vec<Certificate>, CeremonyError> {
    let pem: String = chain.iter().map(Certificate::to_pem).collect();
    let read = chain_from_pem(&pem).map_err(Unsound::Unreadable).and_then(|chain| {
        let _verified = verify_authorities(&chain, ExtendedKeyUsage::CodeSigning).map_err(Unsound::Path)?;
        let issuing = chain.first().ok_or(Unsound::Key)?;
        let purposes = issuing.extended_key_usages();
        let alone = purposes.is_some_and(|all| CODE_SIGNING.parse().is_ok_and(|purpose| all.is_only(purpose)));
        if issuing.spki_der() != key.spki_der() {
            return Err(Unsound::Key);
        }
        if !alone || issuing.basic_constraints().and_then(|constraints| constraints.path_length) != Some(0) {
            return Err(Unsound::Purpose);
        }
        if !chain.iter().all(|certificate| certificate.not_before() <= now && now < certificate.not_after()) {
            return Err(Unsound::Validity);
        }
        Ok(chain)
    });
    read.map_err(CeremonyError::Unsound)
}

/// What the server will check at its start, and a signature of the key.
async fn would_serve(chain: &[Certificate], key: Arc<dyn Signer>, now: Timestamp) -> Result<(), CeremonyError> {
    let refused = |error: crate::fulcio::FulcioStartError| CeremonyError::Unsound(Unsound::Refused(error.to_string()));
    let authority = CertificateAuthority::new(key, chain.to_vec()).map_err(refused)?;
    let _proven = authority.prove(now).await.map_err(refused)?;
    Ok(())
}

#[cfg(test)]
mod tests;
