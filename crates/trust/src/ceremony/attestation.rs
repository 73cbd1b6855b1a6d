// SPDX-License-Identifier: Apache-2.0
//! Attestations: a device says that it made a key itself and never gives it away.
//!
//! Spec: Yubico's PIV attestation: a certificate of the key, issued by one of the device, issued by one of the vendor; what the device says
//! stands in extensions under 1.3.6.1.4.1.41482.3.
//! In scope: chains from a key to a vendor's root that the caller names, of any vendor that attests with certificates. Out of scope: which
//! vendor is good.
//! Invariant: an [`Attested`] names the very key that was enrolled, under authorities alone: a key that was attested itself attests nothing.

use jiff::Timestamp;
use touchmark_keys::PublicKey;
use touchmark_sigstore::x509::{Certificate, chain_from_pem};

use super::CeremonyError;

/// Serial number of the device, an INTEGER.
const SERIAL: &str = "1.3.6.1.4.1.41482.3.7";
/// When the device asks for a PIN and for a touch: a byte each.
const POLICIES: &str = "1.3.6.1.4.1.41482.3.8";

/// A device has attested a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The subject of the key's certificate.
    pub subject: String,
    /// In hexadecimal, where the device says it.
    pub device_serial: Option<String>,
    /// When the device asks for the PIN, where it says it.
    pub pin: Option<&'static str>,
    /// When the device asks to be touched, where it says it.
    pub touch: Option<&'static str>,
}

/// Checks a chain: the key's certificate first, then the device's, without the vendor's root.
pub(crate) fn verify(
    holder: &str,
    pem: &str,
    key: &PublicKey,
    roots: &[Certificate],
    now: Timestamp,
) -> Result<Attested, CeremonyError> {
    let refused = |problem: String| CeremonyError::Attestation { holder: holder.to_owned(), problem };
    let chain = chain_from_pem(pem).map_err(|error| refused(error.to_string()))?;
    let leaf = chain.first().ok_or_else(|| refused("it holds no certificate".to_owned()))?;
    if leaf.spki_der() != key.spki_der() {
        return Err(refused("it is about another key".to_owned()));
    }
    for certificate in &chain {
        if now < certificate.not_before() || now >= certificate.not_after() {
            return Err(refused(format!("the certificate of {} is not valid now", certificate.subject_text())));
        }
    }
    for pair in chain.windows(2) {
        pair[0].verify_issued_by(&pair[1]).map_err(|error| refused(error.to_string()))?;
    }
    let last = chain.last().unwrap_or(leaf);
    if !roots.iter().any(|root| last.verify_issued_by(root).is_ok()) {
        return Err(refused(format!("no root that you named has issued the certificate of {}", last.subject_text())));
    }
    let policies = leaf.extension(POLICIES).unwrap_or_default();
    Ok(Attested {
        subject: leaf.subject_text(),
        // Tag and length of a short INTEGER, then its bytes.
        device_serial: leaf.extension(SERIAL).and_then(|der| der.get(2..)).map(hex::encode),
        pin: policies
            .first()
            .and_then(|byte| ["never", "once", "always"].get(usize::from(*byte).checked_sub(1)?))
            .copied(),
        touch: policies
            .get(1)
            .and_then(|byte| ["never", "always", "cached"].get(usize::from(*byte).checked_sub(1)?))
            .copied(),
    })
}

#[cfg(test)]
mod tests {
    use touchmark_keys::KeyType;
    use touchmark_signers::{EphemeralSigner, Signer as _};
    use touchmark_sigstore::issue::assemble;
    use touchmark_sigstore::issue::authority::{AuthorityName, CaProfile, CaTemplate};

    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T10:00:00Z".parse().unwrap()
    }

    async fn certificate(
        name: &str,
        key: &EphemeralSigner,
        profile: CaProfile<'_>,
        issuer: &EphemeralSigner,
    ) -> Certificate {
        let template = CaTemplate {
            serial: [1; 20],
            not_before: "2020-01-01T00:00:00Z".parse().unwrap(),
            not_after: "2030-01-01T00:00:00Z".parse().unwrap(),
            name: AuthorityName { organization: "Vendor".to_owned(), common_name: name.to_owned() },
            public_key: key.public_key().clone(),
            profile,
            signature_scheme: issuer.scheme(),
        };
        let tbs = template.tbs().unwrap();
        let signature = issuer.sign(&tbs).await.unwrap();
        Certificate::from_der(&assemble(&tbs, issuer.scheme(), &signature).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_key_is_attested_by_a_device_of_a_named_vendor_and_by_nothing_else() {
        let make = || EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let (vendor, device, slot, stranger) = (make(), make(), make(), make());
        let root = certificate("root", &vendor, CaProfile::Root, &vendor).await;
        let of_device =
            certificate("device", &device, CaProfile::TimeStampingIntermediate { issuer: &root }, &vendor).await;
        let of_slot = certificate("slot 9c", &slot, CaProfile::TimeStampingLeaf { issuer: &of_device }, &device).await;
        let pem = |chain: &[&Certificate]| chain.iter().map(|certificate| certificate.to_pem()).collect::<String>();
        let chain = pem(&[&of_slot, &of_device]);
        let check = |pem: &str, key: &EphemeralSigner, roots: &[Certificate], now: Timestamp| {
            verify("ann", pem, key.public_key(), roots, now).map_err(|error| error.to_string())
        };
        let roots = std::slice::from_ref(&root);
        assert_eq!(check(&chain, &slot, roots, now()).unwrap().subject, "CN=slot 9c,O=Vendor");
        let refused = |result: Result<Attested, String>, why: &str| {
            let error = result.unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused(check(&chain, &stranger, roots, now()), "another key");
        refused(check(&chain, &slot, &[], now()), "no root that you named");
        refused(check(&pem(&[&of_slot]), &slot, roots, now()), "no root that you named");
        refused(check(&chain, &slot, roots, "2031-01-01T00:00:00Z".parse().unwrap()), "not valid now");
        refused(check("", &slot, roots, now()), "ann");
        let other_vendor = certificate("root", &stranger, CaProfile::Root, &stranger).await;
        refused(check(&chain, &slot, &[other_vendor], now()), "no root that you named");
        // A key that was attested makes a certificate for one that was not, as if it were an authority.
        let posing = certificate("slot 9c", &slot, CaProfile::Root, &slot).await;
        let forged =
            certificate("slot 9d", &stranger, CaProfile::TimeStampingIntermediate { issuer: &posing }, &slot).await;
        let forged = pem(&[&forged, &of_slot, &of_device]);
        refused(check(&forged, &stranger, roots, now()), "authority");
    }
}
