// SPDX-License-Identifier: Apache-2.0
//! The key and the certificates that a listener shows, and whether they fit each other.
//!
//! In scope: the checks at the start and at each exchange, and the signatures of handshakes (RFC 8446 §4.4.3). Out of scope: files (`crate::instance`).
//! Invariants: the key stays with its signer, rustls gets signatures alone; what was made is fit to be shown at the time that it was made for.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::ServerConfig;
use tokio_rustls::rustls::sign::{CertifiedKey, Signer as HandshakeSigner, SigningKey, SingleCertAndKey};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error as TlsError, SignatureAlgorithm, SignatureScheme};
use touchmark_keys::{KeyType, Scheme};
use touchmark_signers::{FileSigner, Signer as _, SignerError};
use touchmark_sigstore::x509::Certificate;
use touchmark_sigstore::x509::path::PathError;

/// Why a listener does not show a key with its certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("`chain` holds no certificate")]
    Empty,
    #[error(
        "`key` is not the key of the first certificate of `chain` ({subject}): the server's own certificate comes first, and `key` is the one that it was made for"
    )]
    KeyMismatch { subject: String },
    #[error(
        "the first certificate of `chain` ({subject}) is valid from {not_before} to {not_after}, and now it is {now}: renew it"
    )]
    NotValid { subject: String, not_before: Timestamp, not_after: Timestamp, now: Timestamp },
    #[error(
        "the first certificate of `chain` ({subject}) is for other uses than servers: its extended key usage must hold serverAuth"
    )]
    Purpose { subject: String },
    #[error(
        "certificate {position} of `chain` was not issued by the one after it: {problem}; the order is the server's certificate, then its issuer, and so on"
    )]
    Link { position: usize, problem: PathError },
    #[error("`key` is {found}; TLS clients know ECDSA (P-256, P-384, P-521), Ed25519 and RSA")]
    KeyType { found: KeyType },
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// A key, the certificates that go with it, and what handshakes are done with.
pub(crate) struct Credentials {
    chain: Vec<Certificate>,
    config: Arc<ServerConfig>,
}

impl Credentials {
    /// Checks that the key is that of the first certificate, that this one is for servers and valid `now`, and that each certificate was issued by the next.
    pub(crate) fn new(key: FileSigner, chain: Vec<Certificate>, now: Timestamp) -> Result<Self, CredentialsError> {
        let leaf = chain.first().ok_or(CredentialsError::Empty)?;
        let subject = || leaf.subject_text();
        if leaf.public_key().ok().as_ref() != Some(key.public_key()) {
            return Err(CredentialsError::KeyMismatch { subject: subject() });
        }
        if now < leaf.not_before() || now > leaf.not_after() {
            let (not_before, not_after) = (leaf.not_before(), leaf.not_after());
            return Err(CredentialsError::NotValid { subject: subject(), not_before, not_after, now });
        }
        if !leaf.is_for_servers() {
            return Err(CredentialsError::Purpose { subject: subject() });
        }
        for (position, (certificate, issuer)) in chain.iter().zip(chain.iter().skip(1)).enumerate() {
            let issued = certificate.verify_issued_by(issuer);
            let _issued = issued.map_err(|problem| CredentialsError::Link { position: position + 1, problem })?;
        }
        let key = HandshakeKey::new(key)?;
        let config = Arc::new(server_config(key, &chain));
        Ok(Self { chain, config })
    }

    /// The server's certificate first.
    pub(crate) fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

/// The provider is the only one in the build, that of the crate `keys`; another is banned (deny.toml). Sessions are resumed by what the server remembers of
/// the last 256, so that there is no key of tickets to keep and to turn over.
fn server_config(key: HandshakeKey, chain: &[Certificate]) -> ServerConfig {
    let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
    let shown = SingleCertAndKey::from(CertifiedKey::new(chain, Arc::new(key)));
    let mut config = ServerConfig::builder_with_protocol_versions(&[&TLS13, &TLS12])
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = [super::ALPN_HTTP2, super::ALPN_HTTP1].map(<[u8]>::to_vec).to_vec();
    config
}

/// A key with its one scheme in the words of TLS.
#[derive(Clone)]
struct HandshakeKey {
    signer: Arc<FileSigner>,
    scheme: SignatureScheme,
    algorithm: SignatureAlgorithm,
}

impl HandshakeKey {
    fn new(signer: FileSigner) -> Result<Self, CredentialsError> {
        let key_type = signer.public_key().key_type();
        let (ours, scheme, algorithm) = scheme_of(key_type).ok_or(CredentialsError::KeyType { found: key_type })?;
        Ok(Self { signer: Arc::new(signer.under(ours)?), scheme, algorithm })
    }
}

/// The scheme of a type of key that both versions of TLS know: for RSA it is PSS (RFC 8446 §4.2.3), which clients of TLS 1.2 offer, too.
pub(super) fn scheme_of(key_type: KeyType) -> Option<(Scheme, SignatureScheme, SignatureAlgorithm)> {
    use SignatureAlgorithm as Algorithm;
    let rsa = |scheme| (scheme, SignatureScheme::RSA_PSS_SHA256, Algorithm::RSA);
    Some(match key_type {
        KeyType::EcdsaP256 => (Scheme::EcdsaP256Sha256, SignatureScheme::ECDSA_NISTP256_SHA256, Algorithm::ECDSA),
        KeyType::EcdsaP384 => (Scheme::EcdsaP384Sha384, SignatureScheme::ECDSA_NISTP384_SHA384, Algorithm::ECDSA),
        KeyType::EcdsaP521 => (Scheme::EcdsaP521Sha512, SignatureScheme::ECDSA_NISTP521_SHA512, Algorithm::ECDSA),
        KeyType::Ed25519 => (Scheme::Ed25519, SignatureScheme::ED25519, Algorithm::ED25519),
        KeyType::Rsa2048 => rsa(Scheme::RsaPssSha256_2048),
        KeyType::Rsa3072 => rsa(Scheme::RsaPssSha256_3072),
        KeyType::Rsa4096 => rsa(Scheme::RsaPssSha256_4096),
        KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => return None,
    })
}

/// Without the signer, of which nothing is printed.
impl fmt::Debug for HandshakeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeKey").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn HandshakeSigner>> {
        offered.contains(&self.scheme).then(|| Box::new(self.clone()) as Box<dyn HandshakeSigner>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

impl HandshakeSigner for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TlsError> {
        self.signer.sign_at_once(message).map_err(|error| {
            tracing::error!(%error, "the key of the listeners does not sign");
            TlsError::General("no signature".to_owned())
        })
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
