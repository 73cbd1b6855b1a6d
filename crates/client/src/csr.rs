// SPDX-License-Identifier: Apache-2.0
//! A PKCS #10 certificate signing request (RFC 2986) for an ephemeral key.
//!
//! Fulcio takes nothing from it but the key and the proof that its owner signed: the subject is empty, as
//! sigstore-python's is, because the certificate authority alone decides the identity. So, unlike a signed challenge, it
//! cannot disagree with the authority about which claim of the token is "the subject".

use der::asn1::{BitString, ObjectIdentifier, SetOfVec};
use der::{Decode as _, Encode as _, EncodePem as _, pem::LineEnding};
use touchmark_signers::{Signer, SignerError};
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// ecdsa-with-SHA256, RFC 5758 section 3.2.
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// PEM, label `CERTIFICATE REQUEST`, signed by `signer`, whose scheme is ECDSA P-256 with SHA-256.
pub(crate) async fn request_pem(signer: &dyn Signer) -> Result<String, SignerError> {
    let public_key = SubjectPublicKeyInfoOwned::from_der(signer.public_key().spki_der())
        .expect("a public key of ours is a SubjectPublicKeyInfo");
    let info =
        CertReqInfo { version: Version::V1, subject: Default::default(), public_key, attributes: SetOfVec::new() };
    let signature = signer.sign(&info.to_der().expect("a request of ours encodes")).await?;
    let request = CertReq {
        info,
        algorithm: AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None },
        signature: BitString::from_bytes(&signature).expect("a signature is short"),
    };
    Ok(request.to_pem(LineEnding::LF).expect("a request of ours encodes"))
}

#[cfg(test)]
mod tests {
    use touchmark_keys::KeyType;
    use touchmark_signers::EphemeralSigner;
    use touchmark_sigstore::x509::csr::Csr;

    use super::*;

    #[tokio::test]
    async fn the_authority_accepts_the_proof_of_possession() {
        let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let pem = request_pem(&signer).await.unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"));
        let csr = Csr::from_pem(pem.as_bytes()).unwrap();
        csr.verify().unwrap();
        assert_eq!(csr.public_key().unwrap().spki_der(), signer.public_key().spki_der());
    }
}
