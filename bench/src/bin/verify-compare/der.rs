// SPDX-License-Identifier: Apache-2.0
//! Cutting signatures and signed bytes out of certificates and timestamps, without the code that is measured.
//!
//! Out of scope: whether they are well-formed. What is cut wrongly does not verify, and the ceiling then refuses to be measured.

use anyhow::{Context, Result, ensure};

/// One element of DER: its tag, its content, and all its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

impl<'a> Element<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self> {
        Ok(first(bytes)?.0)
    }

    /// The elements inside.
    pub(crate) fn children(&self) -> Result<Vec<Self>> {
        let mut left = self.content;
        let mut found = Vec::new();
        while !left.is_empty() {
            let (element, rest) = first(left)?;
            found.push(element);
            left = rest;
        }
        Ok(found)
    }

    pub(crate) fn child(&self, index: usize) -> Result<Self> {
        self.children()?.get(index).copied().with_context(|| format!("no element {index}"))
    }
}

fn first(bytes: &[u8]) -> Result<(Element<'_>, &[u8])> {
    let (&tag, rest) = bytes.split_first().context("no tag")?;
    let (&length, rest) = rest.split_first().context("no length")?;
    let more = if length < 0x80 { 0 } else { usize::from(length & 0x7f) };
    ensure!(more <= 3 && rest.len() >= more, "a length that no bundle has");
    let (long, rest) = rest.split_at(more);
    let long = long.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
    let length = if more == 0 { usize::from(length) } else { long };
    let content = rest.get(..length).context("truncated")?;
    let whole = &bytes[..bytes.len() - rest.len() + length];
    Ok((Element { tag, content, whole }, &rest[length..]))
}

/// The signature of a certificate.
pub(crate) fn certificate_signature(certificate: &[u8]) -> Result<Vec<u8>> {
    let bits = Element::of(certificate)?.child(2)?;
    Ok(bits.content.get(1..).context("no signature")?.to_vec())
}

/// What the authority signed in a timestamp reply, and its signature (RFC 3161 §2.4.2, RFC 5652 §5.4).
pub(crate) fn timestamp_parts(reply: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    const SIGNED_ATTRIBUTES: u8 = 0xa0;
    const SET: u8 = 0x31;
    let token = Element::of(reply)?.child(1)?;
    let signed_data = token.child(1)?.child(0)?;
    let signer_infos = *signed_data.children()?.last().context("no signer")?;
    let fields = signer_infos.child(0)?.children()?;
    let place = fields.iter().position(|field| field.tag == SIGNED_ATTRIBUTES).context("no signed attributes")?;
    let mut signed = fields[place].whole.to_vec();
    signed[0] = SET;
    let signature = fields.get(place + 2).context("no signature")?.content.to_vec();
    Ok((signed, signature))
}
