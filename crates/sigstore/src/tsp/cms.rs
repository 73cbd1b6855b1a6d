// SPDX-License-Identifier: Apache-2.0
//! The part of CMS (RFC 5652) that timestamp tokens use: SignedData with one SignerInfo and signed attributes.
//!
//! In scope: parsing, and the object identifiers that the writer shares. Out of scope: BER, unsigned attributes, CRLs, several signers.
//! Invariants: `signed_bytes` are the attributes as received with the tag of a SET (RFC 5652 §5.4), in the order received; an attribute
//! that counts stands once and has one value.

use der::asn1::ObjectIdentifier;
use touchmark_keys::HashAlgorithm;

use super::verify::{Attribute, TimestampError};
use crate::asn1::{self, Element, Reader};
use crate::x509::algorithm::{self, SignatureAlgorithm};
use crate::x509::{CHAIN_LENGTH_MAX, Certificate};

pub(super) const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
pub(super) const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
pub(super) const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
pub(super) const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
pub(super) const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
/// The older attribute, whose certificate hash is SHA-1 (RFC 2634 §5.4).
pub(super) const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
pub(super) const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// Most signed attributes of a token.
const ATTRIBUTES_MAX: usize = 32;

/// A parsed token.
pub(super) struct SignedData<'a> {
    /// The TSTInfo.
    pub(super) content: &'a [u8],
    /// The certificates that the token carries, in order.
    pub(super) certificates: Vec<Certificate>,
    pub(super) signer: SignerInfo<'a>,
}

/// How a SignerInfo names its signer.
pub(super) enum SignerId<'a> {
    IssuerAndSerial { issuer: &'a [u8], serial: &'a [u8] },
    SubjectKeyId(&'a [u8]),
}

impl SignerId<'_> {
    pub(super) fn names(&self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerial { issuer, serial } => {
                certificate.issuer_der() == *issuer && certificate.serial() == *serial
            }
            Self::SubjectKeyId(identifier) => certificate.subject_key_id() == Some(*identifier),
        }
    }
}

pub(super) struct SignerInfo<'a> {
    pub(super) id: SignerId<'a>,
    pub(super) digest: HashAlgorithm,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) signature: &'a [u8],
    /// The signed attributes, as received but for the tag.
    pub(super) signed_bytes: Vec<u8>,
    pub(super) content_type: ObjectIdentifier,
    pub(super) message_digest: &'a [u8],
    /// Which certificate the signed attributes say is the signer's.
    pub(super) certificate_id: CertificateId<'a>,
}

/// The first certificate identifier of the signed attributes, which is the signer's (RFC 5035 §3).
pub(super) enum CertificateId<'a> {
    /// ESSCertIDv2 (RFC 5035 §4).
    Strong { hash: HashAlgorithm, certificate_hash: &'a [u8], issuer_serial: Option<IssuerSerial<'a>> },
    /// ESSCertID (RFC 2634 §5.4.1), where no ESSCertIDv2 stands. Its hash is SHA-1, which proves nothing and is not computed.
    Sha1 { issuer_serial: Option<IssuerSerial<'a>> },
}

/// The GeneralNames and the serial of a certificate's issuer.
pub(super) struct IssuerSerial<'a> {
    names: &'a [u8],
    serial: &'a [u8],
}

impl<'a> SignedData<'a> {
    pub(super) fn from_der(der: &'a [u8]) -> Result<Self, TimestampError> {
        let mut outer = asn1::single(der, asn1::SEQUENCE)?.reader();
        if outer.object_identifier()? != SIGNED_DATA {
            return Err(TimestampError::ContentType);
        }
        let mut explicit = outer.enter(asn1::context_constructed(0))?;
        outer.finish()?;
        let mut fields = explicit.enter(asn1::SEQUENCE)?;
        explicit.finish()?;

        let version = fields.small()?;
        if version != 3 {
            return Err(TimestampError::Version { version });
        }
        fields.expect(asn1::SET)?; // Digest algorithms: the signer names its own.
        let content = content(fields.enter(asn1::SEQUENCE)?)?;
        let certificates = match fields.optional(asn1::context_constructed(0))? {
            Some(list) => certificates(list.reader())?,
            None => Vec::new(),
        };
        fields.optional(asn1::context_constructed(1))?; // Revocation lists.
        let mut signers = fields.enter(asn1::SET)?;
        fields.finish()?;
        let signer = SignerInfo::read(signers.enter(asn1::SEQUENCE)?)?;
        if !signers.is_empty() {
            return Err(TimestampError::SeveralSigners);
        }
        Ok(Self { content, certificates, signer })
    }
}

fn content(mut fields: Reader<'_>) -> Result<&[u8], TimestampError> {
    if fields.object_identifier()? != TST_INFO {
        return Err(TimestampError::ContentType);
    }
    let mut explicit = fields.enter(asn1::context_constructed(0))?;
    fields.finish()?;
    let content = explicit.expect(asn1::OCTET_STRING)?.value;
    explicit.finish()?;
    Ok(content)
}

fn certificates(mut list: Reader<'_>) -> Result<Vec<Certificate>, TimestampError> {
    let mut certificates = Vec::new();
    while !list.is_empty() {
        if certificates.len() == CHAIN_LENGTH_MAX {
            return Err(TimestampError::TooManyCertificates);
        }
        let der = list.expect(asn1::SEQUENCE)?.raw;
        certificates.push(Certificate::from_der(der).map_err(TimestampError::Certificate)?);
    }
    Ok(certificates)
}

impl<'a> SignerInfo<'a> {
    fn read(mut fields: Reader<'a>) -> Result<Self, TimestampError> {
        let version = fields.small()?;
        let id = match version {
            1 => {
                let mut pair = fields.enter(asn1::SEQUENCE)?;
                let issuer = pair.expect(asn1::SEQUENCE)?.raw;
                let serial = pair.integer()?;
                pair.finish()?;
                SignerId::IssuerAndSerial { issuer, serial }
            }
            3 => SignerId::SubjectKeyId(fields.expect(asn1::context(0))?.value),
            _ => return Err(TimestampError::Version { version }),
        };
        let digest =
            algorithm::digest_algorithm(fields.expect(asn1::SEQUENCE)?.raw).ok_or(TimestampError::DigestAlgorithm)?;
        let attributes = fields.expect(asn1::context_constructed(0))?;
        let algorithm = SignatureAlgorithm::from_cms(fields.expect(asn1::SEQUENCE)?.raw, digest)
            .ok_or(TimestampError::SignatureAlgorithm)?;
        let signature = fields.expect(asn1::OCTET_STRING)?.value;
        fields.optional(asn1::context_constructed(1))?; // Unsigned attributes prove nothing.
        fields.finish()?;

        let found = Attributes::read(attributes)?;
        let content_type = asn1::Reader::new(found.one(CONTENT_TYPE, Attribute::ContentType)?).object_identifier()?;
        let message_digest =
            asn1::single(found.one(MESSAGE_DIGEST, Attribute::MessageDigest)?, asn1::OCTET_STRING)?.value;
        let certificate_id = found.certificate_id()?;
        let signed_bytes = asn1::element(asn1::SET, &[attributes.value]);
        Ok(Self { id, digest, algorithm, signature, signed_bytes, content_type, message_digest, certificate_id })
    }
}

/// The signed attributes: object identifier and the content of the set of values.
struct Attributes<'a>(Vec<(ObjectIdentifier, &'a [u8])>);

impl<'a> Attributes<'a> {
    fn read(set: Element<'a>) -> Result<Self, TimestampError> {
        let mut list = set.reader();
        let mut attributes = Vec::new();
        while !list.is_empty() {
            if attributes.len() == ATTRIBUTES_MAX {
                return Err(TimestampError::TooManyAttributes);
            }
            let mut fields = list.enter(asn1::SEQUENCE)?;
            let oid = fields.object_identifier()?;
            let values = fields.expect(asn1::SET)?.value;
            fields.finish()?;
            attributes.push((oid, values));
        }
        Ok(Self(attributes))
    }

    /// The newer attribute where it stands; without it the older one.
    fn certificate_id(&self) -> Result<CertificateId<'a>, TimestampError> {
        let stands = |oid| self.0.iter().any(|(candidate, _)| *candidate == oid);
        let attribute = Attribute::SigningCertificateV2;
        if !stands(SIGNING_CERTIFICATE_V2) && stands(SIGNING_CERTIFICATE) {
            return CertificateId::read_sha1(self.one(SIGNING_CERTIFICATE, attribute)?);
        }
        CertificateId::read_strong(self.one(SIGNING_CERTIFICATE_V2, attribute)?)
    }

    /// The one value of an attribute that must stand once.
    fn one(&self, oid: ObjectIdentifier, attribute: Attribute) -> Result<&'a [u8], TimestampError> {
        let mut found = self.0.iter().filter(|(candidate, _)| *candidate == oid);
        let (Some((_, values)), None) = (found.next(), found.next()) else {
            return Err(TimestampError::Attribute { attribute });
        };
        let mut reader = Reader::new(values);
        let value = reader.any()?.raw;
        if reader.is_empty() { Ok(value) } else { Err(TimestampError::Attribute { attribute }) }
    }
}

impl<'a> CertificateId<'a> {
    fn read_strong(value: &'a [u8]) -> Result<Self, TimestampError> {
        let mut fields = first_identifier(value)?;
        let hash = match fields.optional(asn1::SEQUENCE)? {
            Some(identifier) => algorithm::digest_algorithm(identifier.raw).ok_or(TimestampError::DigestAlgorithm)?,
            None => HashAlgorithm::Sha256,
        };
        let certificate_hash = fields.expect(asn1::OCTET_STRING)?.value;
        let issuer_serial = IssuerSerial::read(&mut fields)?;
        fields.finish()?;
        Ok(Self::Strong { hash, certificate_hash, issuer_serial })
    }

    fn read_sha1(value: &'a [u8]) -> Result<Self, TimestampError> {
        let mut fields = first_identifier(value)?;
        fields.expect(asn1::OCTET_STRING)?;
        let issuer_serial = IssuerSerial::read(&mut fields)?;
        fields.finish()?;
        Ok(Self::Sha1 { issuer_serial })
    }

    /// Whether this identifies the certificate. By hash, and by issuer and serial where they are given; without a hash that counts, by
    /// issuer and serial, and only if it is `trusted_leaf`, which the trusted root names byte by byte.
    pub(super) fn names(&self, certificate: &Certificate, trusted_leaf: Option<&Certificate>) -> bool {
        match self {
            Self::Strong { hash, certificate_hash, issuer_serial } => {
                touchmark_keys::digest(*hash, certificate.der()).as_bytes() == *certificate_hash
                    && issuer_serial.as_ref().is_none_or(|issuer_serial| issuer_serial.names(certificate))
            }
            Self::Sha1 { issuer_serial } => {
                trusted_leaf == Some(certificate)
                    && issuer_serial.as_ref().is_some_and(|issuer_serial| issuer_serial.names(certificate))
            }
        }
    }
}

/// The fields of the first identifier of a SigningCertificate, old or new.
fn first_identifier(value: &[u8]) -> Result<Reader<'_>, TimestampError> {
    let mut outer = asn1::single(value, asn1::SEQUENCE)?.reader();
    let mut list = outer.enter(asn1::SEQUENCE)?;
    outer.optional(asn1::SEQUENCE)?; // Policies.
    outer.finish()?;
    Ok(list.enter(asn1::SEQUENCE)?)
}

impl<'a> IssuerSerial<'a> {
    fn read(fields: &mut Reader<'a>) -> Result<Option<Self>, TimestampError> {
        let Some(pair) = fields.optional(asn1::SEQUENCE)? else { return Ok(None) };
        let mut pair = pair.reader();
        let names = pair.expect(asn1::SEQUENCE)?.value;
        let serial = pair.integer()?;
        pair.finish()?;
        Ok(Some(Self { names, serial }))
    }

    fn names(&self, certificate: &Certificate) -> bool {
        let issuer = asn1::element(asn1::context_constructed(4), &[certificate.issuer_der()]);
        self.names == issuer && self.serial == certificate.serial()
    }
}
