// SPDX-License-Identifier: Apache-2.0
//! What of a timestamp its authority signs, and what it does not: read without the code under test.

use super::der::{self, Element};
use super::ecdsa;
use crate::asn1;

/// A reply of a timestamp authority, as a tree.
pub(super) struct Token(Vec<Element>);

const CONTENT_INFO: [usize; 2] = [0, 1];
const SIGNED_DATA: [usize; 4] = [0, 1, 1, 0];
/// Places in the SignerInfo, which is the first of the last member of SignedData.
const DIGEST_ALGORITHM: usize = 2;
const SIGNATURE: usize = 5;

impl Token {
    pub(super) fn parse(token: &[u8]) -> Option<Self> {
        let token = Self(der::parse(token)?);
        (token.0.len() == 1 && token.signer()?.children().len() > SIGNATURE).then_some(token)
    }

    fn signed_data(&self) -> Option<&[Element]> {
        Some(der::at(&self.0, &SIGNED_DATA)?.children())
    }

    fn signer(&self) -> Option<&Element> {
        self.signed_data()?.last()?.children().first()
    }

    /// Everything that is signed, or that says who signed and how: not the status, the digest algorithms before the content, the
    /// parameters of the signer's, the certificates, the revocation lists and the unsigned attributes; and the signature in either of
    /// its forms.
    pub(super) fn signed(&self) -> Option<Vec<u8>> {
        let (version, rest) = self.signed_data()?.split_first()?;
        let (_, rest) = rest.split_first()?;
        let (signers, rest) = rest.split_last()?;
        let bag = [asn1::context_constructed(0), asn1::context_constructed(1)];
        let content: Vec<u8> =
            rest.iter().filter(|element| !bag.contains(&element.tag)).flat_map(Element::encode).collect();
        let [signer] = signers.children() else { return None };
        let unsigned = asn1::context_constructed(1);
        let mut fields: Vec<Vec<u8>> =
            signer.children().iter().filter(|field| field.tag != unsigned).map(Element::encode).collect();
        // An algorithm without parameters is written with NULL or without.
        fields[DIGEST_ALGORITHM] = signer.children()[DIGEST_ALGORITHM].children().first()?.encode();
        fields[SIGNATURE] = ecdsa::either_form(&signer.children()[SIGNATURE].bytes());
        let of_content_info = der::at(&self.0, &CONTENT_INFO)?.children().first()?.encode();
        Some([of_content_info, version.encode(), content, fields.concat()].concat())
    }

    pub(super) fn has_same_signature(&self, other: &Self) -> Option<bool> {
        let signature = |token: &Self| Some(token.signer()?.children()[SIGNATURE].bytes());
        Some(signature(self)? == signature(other)?)
    }

    /// The certificates in the bag.
    fn certificates(&self) -> Vec<&Element> {
        let bag = self.signed_data().and_then(|fields| fields.iter().find(|field| field.tag == 0xa0));
        bag.map(|bag| bag.children().iter().collect()).unwrap_or_default()
    }

    /// Whether every certificate in the bag is one of `original`'s, or of somebody else than the signer by name and serial.
    pub(super) fn has_no_other_signer_than(&self, original: &Self) -> bool {
        let known = original.certificates();
        let id: Vec<Vec<u8>> = self
            .signer()
            .and_then(|signer| signer.children().get(1))
            .map(|id| id.children().iter().map(Element::encode).collect())
            .unwrap_or_default();
        let named = |certificate: &Element| {
            let tbs = certificate.children().first().map(Element::children).unwrap_or_default();
            let (Some(serial), Some(issuer)) = (tbs.get(1), tbs.get(3)) else { return false };
            id == [issuer.encode(), serial.encode()]
        };
        self.certificates().into_iter().all(|certificate| known.contains(&certificate) || !named(certificate))
    }

    pub(super) fn with_other_signature_form(&self) -> Option<Vec<u8>> {
        let other = ecdsa::other_form(&self.signer()?.children()[SIGNATURE].bytes())?;
        let mut tree = self.0.clone();
        let place = [SIGNED_DATA.as_slice(), &[self.signed_data()?.len() - 1, 0, SIGNATURE]].concat();
        let element = Element { tag: asn1::OCTET_STRING, content: der::Content::Bytes(other) };
        der::set(&mut tree, &place, element);
        Some(der::encode(&tree))
    }
}
