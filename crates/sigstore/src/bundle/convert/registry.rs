// SPDX-License-Identifier: Apache-2.0
//! Attestations as registries hand them out: PyPI (PEP 740, version 1), npm, GitHub.
//!
//! The members are moved as they are; that they make a bundle is for the reader of bundles to say, which is strict.

use serde_json::{Value, json};

use super::{ConvertError, Converted, INPUT_BYTES_MAX, expect_bytes, expect_count};
use crate::bundle::{Content, MEDIA_TYPE};
use crate::dsse::IN_TOTO_PAYLOAD_TYPE;
use crate::intoto::Statement;
use crate::wire::parse_value;

/// The most attestations in one input.
pub const ATTESTATIONS_MAX: usize = 1024;

/// The bundles of an attestation of PyPI, or of a provenance object with many.
///
/// # Errors
/// If the whole is malformed, over a limit, or of a version other than 1. Each attestation has a result of its own.
pub fn from_pep740(input: &[u8]) -> Result<Vec<Result<Converted, ConvertError>>, ConvertError> {
    expect_bytes("the input", INPUT_BYTES_MAX, input.len())?;
    let input = parse_value(input, INPUT_BYTES_MAX)?;
    expect_version(&input)?;
    let Some(groups) = input.get("attestation_bundles") else {
        return Ok(vec![pep740_bundle(&input)]);
    };
    let mut attestations = Vec::new();
    for group in list(groups, "attestation_bundles")? {
        let of_group = group.get("attestations").unwrap_or(&Value::Null);
        attestations.extend(list(of_group, "attestations")?);
        expect_count("attestations", ATTESTATIONS_MAX, attestations.len())?;
    }
    Ok(attestations.into_iter().map(pep740_bundle).collect())
}

/// The bundles of a reply of npm's or GitHub's registry with the attestations of a package.
///
/// # Errors
/// If the whole is malformed or over a limit. Each attestation has a result of its own.
pub fn from_npm(input: &[u8]) -> Result<Vec<Result<Converted, ConvertError>>, ConvertError> {
    expect_bytes("the input", INPUT_BYTES_MAX, input.len())?;
    let input = parse_value(input, INPUT_BYTES_MAX)?;
    let attestations = list(input.get("attestations").unwrap_or(&Value::Null), "attestations")?;
    expect_count("attestations", ATTESTATIONS_MAX, attestations.len())?;
    Ok(attestations.iter().map(labelled_bundle).collect())
}

fn pep740_bundle(attestation: &Value) -> Result<Converted, ConvertError> {
    expect_version(attestation)?;
    let member = |pointer: &str, member: &'static str| {
        attestation.pointer(pointer).cloned().ok_or(ConvertError::Missing { member })
    };
    let bundle = json!({
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "certificate": {"rawBytes": member("/verification_material/certificate", "certificate")?},
            "tlogEntries": member("/verification_material/transparency_entries", "transparency_entries")?,
        },
        "dsseEnvelope": {
            "payload": member("/envelope/statement", "statement")?,
            "payloadType": IN_TOTO_PAYLOAD_TYPE,
            "signatures": [{"sig": member("/envelope/signature", "signature")?}],
        },
    });
    converted(&bundle)
}

/// The bundle of one attestation, which is of the type on its label.
fn labelled_bundle(attestation: &Value) -> Result<Converted, ConvertError> {
    let bundle = attestation.get("bundle").filter(|bundle| bundle.is_object());
    let converted = converted(bundle.ok_or(ConvertError::Missing { member: "bundle" })?)?;
    let label = match attestation.get("predicateType") {
        None | Some(Value::Null) => return Ok(converted),
        Some(label) => label.as_str().unwrap_or_default(),
    };
    // Whoever chooses by the label would be shown another attestation (GHSA-w6c6-c85g-mmv6).
    let statement = match converted.bundle().content() {
        Content::Envelope(envelope) => Statement::parse(&envelope.payload)?.predicate_type().to_owned(),
        Content::Message { .. } => String::new(),
    };
    if statement == label {
        Ok(converted)
    } else {
        Err(ConvertError::PredicateDisagrees { label: label.to_owned(), statement })
    }
}

fn converted(bundle: &Value) -> Result<Converted, ConvertError> {
    Converted::of_json(serde_json::to_vec(bundle).expect("a JSON value with string keys always serialises"))
}

fn expect_version(input: &Value) -> Result<(), ConvertError> {
    match input.get("version") {
        Some(version) if *version == json!(1) => Ok(()),
        Some(version) => Err(ConvertError::Version { found: version.to_string().chars().take(64).collect() }),
        None => Err(ConvertError::Missing { member: "version" }),
    }
}

fn list<'a>(value: &'a Value, member: &'static str) -> Result<&'a [Value], ConvertError> {
    value.as_array().map(Vec::as_slice).ok_or(ConvertError::Missing { member })
}
