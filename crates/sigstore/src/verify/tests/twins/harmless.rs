// SPDX-License-Identifier: Apache-2.0
//! What may change in a bundle without harm: the list of docs/security-model.md, in its words.
//!
//! A twin is compared with its original place by place, whatever changed it; each place that differs has to stand on the list.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{document, ecdsa, nested, token::Token};
use crate::trust::TrustedRoot;

/// The first column of the table in docs/security-model.md.
pub(super) const REASONS: [&str; 14] = [
    SPELLING,
    MEDIA_TYPE,
    MESSAGE_DIGEST,
    AGAIN,
    INTEGRATED_TIME,
    KEYID,
    HINT,
    CHAIN,
    COSIGNATURES,
    SIGNATURE_FORM,
    TOKEN,
    EVIDENCE,
    STRANGER,
    EMPTY_TIMESTAMPS,
];
const SPELLING: &str = "a member at its default, written or left out; a number for the text of a number";
const MEDIA_TYPE: &str = "`mediaType`";
const MESSAGE_DIGEST: &str = "`messageSignature.messageDigest`, left out";
const AGAIN: &str = "Rekor v2: `inclusionProof.rootHash`, `treeSize`, `logIndex`";
const INTEGRATED_TIME: &str = "`integratedTime` without a promise";
const KEYID: &str = "`dsseEnvelope.signatures.keyid`";
const HINT: &str = "`publicKey.hint`";
const CHAIN: &str = "`x509CertificateChain`: certificates after the first";
const COSIGNATURES: &str = "in a checkpoint: signature lines that are not the log's";
const SIGNATURE_FORM: &str = "an ECDSA signature of a log or a timestamp authority, in its other form";
const TOKEN: &str = "in a timestamp: the status beside \"granted\", the list of digest algorithms and the parameters of the signer's, certificates that are not the signer's, revocation lists, unsigned attributes";
pub(super) const EVIDENCE: &str = "a promise or a timestamp that the policy does not need, left out";
const STRANGER: &str = "an entry of a log outside the trusted root, added";
const EMPTY_TIMESTAMPS: &str = "`timestampVerificationData` without timestamps, added";

/// The reasons why none of the differences matters, or the first place that does.
pub(super) fn reasons(
    original: &Value,
    twin: &Value,
    root: &TrustedRoot,
) -> Result<BTreeSet<&'static str>, Difference> {
    let mut differences = Vec::new();
    compare(Some(original), Some(twin), String::new(), &mut differences);
    differences.into_iter().map(|difference| reason(&difference, twin, root).ok_or(difference)).collect()
}

/// Where two documents differ in more than in the spelling of a value.
pub(super) fn differing_places(original: &Value, twin: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    compare(Some(original), Some(twin), String::new(), &mut differences);
    differences.retain(|difference| plain(difference.before.as_ref()) != plain(difference.after.as_ref()));
    differences.into_iter().map(|difference| difference.place).collect()
}

/// A place at which two documents differ, as deep in them as can be.
pub(super) struct Difference {
    place: String,
    before: Option<Value>,
    after: Option<Value>,
}

impl std::fmt::Debug for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |value: &Option<Value>| value.as_ref().map_or("nothing".into(), Value::to_string);
        write!(f, "{}: from {:.80} to {:.80}", self.place, show(&self.before), show(&self.after))
    }
}

fn compare(before: Option<&Value>, after: Option<&Value>, place: String, found: &mut Vec<Difference>) {
    match (before, after) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                compare(one.get(name), other.get(name), format!("{place}/{name}"), found);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => compare_lists(one, other, &place, found),
        (before, after) if before != after => {
            found.push(Difference { place, before: before.cloned(), after: after.cloned() });
        }
        _ => {}
    }
}

/// Item by item; where one list is longer, the other's items are found in it in their order.
fn compare_lists(one: &[Value], other: &[Value], place: &str, found: &mut Vec<Difference>) {
    let (mut place_in_one, mut place_in_other) = (0, 0);
    loop {
        let (before, after) = (one.get(place_in_one), other.get(place_in_other));
        let left = (one.len() - place_in_one, other.len() - place_in_other);
        let same = before == after;
        let (index, before, after) = match left {
            (0, 0) => return,
            (left, right) if left < right && !same => (place_in_other, None, after),
            (left, right) if left > right && !same => (place_in_one, before, None),
            _ => (place_in_other, before, after),
        };
        compare(before, after, format!("{place}/{index}"), found);
        place_in_one += usize::from(before.is_some());
        place_in_other += usize::from(after.is_some());
    }
}

fn reason(difference: &Difference, twin: &Value, root: &TrustedRoot) -> Option<&'static str> {
    let Difference { place, before, after } = difference;
    let names: Vec<&str> = place.split('/').skip(1).collect();
    let entry = match names.as_slice() {
        ["verificationMaterial", "tlogEntries", index, ..] => {
            twin.pointer(&format!("/verificationMaterial/tlogEntries/{index}"))
        }
        _ => None,
    };
    if plain(before.as_ref()) == plain(after.as_ref()) {
        return Some(SPELLING);
    }
    let left_out = plain(after.as_ref()).is_none();
    match names.as_slice() {
        ["mediaType"] => Some(MEDIA_TYPE),
        ["messageSignature", "messageDigest"] if left_out => Some(MESSAGE_DIGEST),
        ["verificationMaterial", "tlogEntries", _, "inclusionProof", "rootHash" | "treeSize" | "logIndex"]
            if entry?["kindVersion"]["version"] == "0.0.2" && entry?["kindVersion"]["kind"] == "hashedrekord" =>
        {
            Some(AGAIN)
        }
        ["verificationMaterial", "tlogEntries", _, "integratedTime"]
            if plain(entry?.get("inclusionPromise")).is_none() =>
        {
            Some(INTEGRATED_TIME)
        }
        ["dsseEnvelope", "signatures", "0", "keyid"] => Some(KEYID),
        ["verificationMaterial", "publicKey", "hint"] => Some(HINT),
        ["verificationMaterial", "x509CertificateChain", "certificates", index, ..] if *index != "0" => Some(CHAIN),
        ["verificationMaterial", "tlogEntries", _, "inclusionProof", "checkpoint", "envelope"] => {
            checkpoint(before.as_ref()?.as_str()?, after.as_ref()?.as_str()?, entry?, root)
        }
        ["verificationMaterial", "tlogEntries", _, "inclusionPromise", "signedEntryTimestamp"] => {
            let either = |value: &Option<Value>| Some(ecdsa::either_form(&nested::decode(value.as_ref()?.as_str()?)));
            (either(before)? == either(after)?).then_some(SIGNATURE_FORM)
        }
        ["verificationMaterial", "timestampVerificationData", "rfc3161Timestamps", _, "signedTimestamp"] => {
            timestamp(before.as_ref()?.as_str()?, after.as_ref()?.as_str()?)
        }
        ["verificationMaterial", "tlogEntries", _, "inclusionPromise"]
        | ["verificationMaterial", "timestampVerificationData", ..]
            if left_out =>
        {
            Some(EVIDENCE)
        }
        ["verificationMaterial", "timestampVerificationData"] if has_no_text(after.as_ref()?) => Some(EMPTY_TIMESTAMPS),
        ["verificationMaterial", "tlogEntries", _] if before.is_none() => is_unknown(entry?, root).then_some(STRANGER),
        _ => None,
    }
}

/// A value without what JSON of protobuf leaves open: none for defaults, numbers as text.
fn plain(value: Option<&Value>) -> Option<Value> {
    match value? {
        Value::Null => None,
        Value::String(text) if text.is_empty() || text == "0" => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Number(number) if number.as_i64() == Some(0) => None,
        Value::Number(number) => Some(Value::String(number.to_string())),
        other => Some(other.clone()),
    }
}

fn has_no_text(value: &Value) -> bool {
    document::places(value).iter().all(|place| value.pointer(place).is_none_or(|value| !value.is_string()))
}

fn is_unknown(entry: &Value, root: &TrustedRoot) -> bool {
    let id = entry["logId"]["keyId"].as_str().map(nested::decode).unwrap_or_default();
    root.tlogs().iter().all(|log| log.log_id().as_slice() != id)
}

/// The text of both is the same, and so are the lines that the log itself signed.
fn checkpoint(before: &str, after: &str, entry: &Value, root: &TrustedRoot) -> Option<&'static str> {
    let id = nested::decode(entry["logId"]["keyId"].as_str()?);
    let log = root.tlogs().iter().find(|log| log.log_id().as_slice() == id)?;
    let key = format!("\u{2014} {} ", log.authority()?);
    let split = |note: &str| -> Option<(String, Vec<Vec<u8>>)> {
        let (text, lines) = note.rsplit_once("\n\n")?;
        let ours = lines.lines().filter_map(|line| line.strip_prefix(&key)).map(nested::decode);
        Some((text.to_owned(), ours.filter(|blob| blob.get(..4) == id.get(..4)).collect()))
    };
    let ((text, ours), (other_text, others)) = (split(before)?, split(after)?);
    if text != other_text {
        return None;
    }
    let set = |lines: &[Vec<u8>]| lines.iter().cloned().collect::<BTreeSet<_>>();
    let forms = |lines: &[Vec<u8>]| lines.iter().map(|line| ecdsa::either_form(&line[4..])).collect::<BTreeSet<_>>();
    if set(&ours) == set(&others) {
        return Some(COSIGNATURES);
    }
    (forms(&ours) == forms(&others)).then_some(SIGNATURE_FORM)
}

/// What the authority signed is the same, and no certificate in the bag claims to be the signer's and is not.
fn timestamp(before: &str, after: &str) -> Option<&'static str> {
    let (before, after) = (Token::parse(&nested::decode(before))?, Token::parse(&nested::decode(after))?);
    let same = before.signed()? == after.signed()? && after.has_no_other_signer_than(&before);
    let signature_alone = !before.has_same_signature(&after)?;
    same.then_some(if signature_alone { SIGNATURE_FORM } else { TOKEN })
}

#[test]
fn the_security_model_says_why_each_of_these_harms_nobody() {
    let model = include_str!("../../../../../../docs/security-model.md");
    for reason in REASONS {
        assert!(model.contains(&format!("\n| {reason} |")), "{reason}");
    }
}
