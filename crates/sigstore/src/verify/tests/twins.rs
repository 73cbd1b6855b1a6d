// SPDX-License-Identifier: Apache-2.0
//! Tampered twins: every accepted bundle of the public suite with one thing changed, in its JSON and inside of what it nests. None may be
//! accepted but those of a short list (`harmless`), and those prove exactly what the original proves.
//!
//! A few bits of every text are flipped, other ones in every case. `TOUCHMARK_TWINS=all` flips a bit of every byte and puts every
//! stranger's value in every place, which takes some minutes: `TOUCHMARK_TWINS=all cargo test -p touchmark-sigstore --lib twins`.

mod der;
mod document;
mod ecdsa;
mod harmless;
mod nested;
mod sample;
mod token;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use self::sample::Sample;
use super::conformance::now;
use crate::bundle::Bundle;
use crate::policy::{Demands, Policy};
use crate::rekor::EntryKind;
use crate::trust::TrustedRoot;
use crate::verify::vectors::{case, cases};
use crate::verify::{Artifact, Verified, VerifiedInclusion, VerifiedTime, verify};

/// One thing changed, and how.
pub(super) struct Change<T> {
    pub(super) name: String,
    pub(super) value: T,
}

/// A bundle that is accepted, and valid strangers of which parts are put into it.
pub(super) struct Original<'a> {
    pub(super) name: &'a str,
    pub(super) bundle: Value,
    pub(super) strangers: Vec<Value>,
    pub(super) root: TrustedRoot,
    pub(super) policy: Policy,
    pub(super) artifact: Artifact<'a>,
    pub(super) now: Timestamp,
}

/// How many twins were made, and how many of them were accepted for which reason.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) made: usize,
    pub(super) accepted: BTreeMap<&'static str, usize>,
}

impl Original<'_> {
    /// No twin is accepted but the harmless ones, and those prove what the original proves.
    pub(super) fn check_twins(&self) -> Tally {
        let verdict = |twin: &Value, root: &TrustedRoot, policy: &Policy| {
            let bundle = Bundle::parse(twin.to_string().as_bytes()).ok()?;
            verify(&self.artifact, &bundle, root, policy, self.now).ok()
        };
        let proved = verdict(&self.bundle, &self.root, &self.policy).expect("the original is accepted");
        // A prepared root gives the same verdicts sooner.
        let prepared = self.root.clone().prepared();
        let demanding = self.demanding(|policy| verdict(&self.bundle, &prepared, policy).is_some());
        let (mut harmful, mut tally) = (Vec::new(), Tally::default());
        let sample = Sample::of(self.name);
        let twins = document::twins(&self.bundle, &self.strangers, sample).into_iter();
        for (number, twin) in twins.chain(nested::twins(&self.bundle, &self.strangers, sample)).enumerate() {
            tally.made += 1;
            let root = if number % 8 == 0 { &self.root } else { &prepared };
            let Some(verified) = verdict(&twin.value, root, &self.policy) else { continue };
            match harmless::reasons(&self.bundle, &twin.value, root) {
                Ok(reasons) if proves_the_same(&verified, &proved, &reasons) => {
                    // Two pieces of evidence of one source count once: a policy cannot ask for both.
                    if sources(&verified) < sources(&proved) && verdict(&twin.value, root, &demanding).is_some() {
                        harmful.push((twin.name.clone(), "nobody misses the evidence".to_owned()));
                    }
                    reasons.into_iter().for_each(|reason| *tally.accepted.entry(reason).or_default() += 1);
                }
                Ok(_) => harmful.push((twin.name, "proves something else".to_owned())),
                Err(difference) => harmful.push((twin.name, format!("{difference:?}"))),
            }
        }
        assert!(tally.made > 500, "only {} twins of {} were made", tally.made, self.name);
        assert!(harmful.is_empty(), "{}: of {} twins {harmful:#?}", self.name, tally.made);
        tally
    }

    /// The policy with the highest thresholds that the bundle meets.
    fn demanding(&self, accepts: impl Fn(&Policy) -> bool) -> Policy {
        let raise = |policy: Policy, edit: fn(&mut Demands, usize)| {
            let raised = |count: usize| {
                let mut demands = policy.demands().clone();
                edit(&mut demands, count);
                policy.clone().with_demands(demands).ok().filter(&accepts)
            };
            (1..=4).rev().find_map(raised).unwrap_or(policy.clone())
        };
        let policy = raise(self.policy.clone(), |demands, count| demands.timestamps = count);
        raise(policy, |demands, count| demands.times = count)
    }
}

fn sources(verified: &Verified) -> usize {
    verified.times().iter().map(VerifiedTime::authority).collect::<BTreeSet<_>>().len()
}

/// Everything is the same; where evidence was left out there are fewer times, and no others.
fn proves_the_same(verified: &Verified, proved: &Verified, reasons: &BTreeSet<&str>) -> bool {
    if !reasons.contains(harmless::EVIDENCE) {
        return verified == proved;
    }
    let certified = |of: &Verified| {
        let certified = of.certified()?;
        let chain = certified.chain();
        Some((
            chain.certificates().to_vec(),
            chain.authority().to_owned(),
            certified.sct().clone(),
            certified.identity().clone(),
        ))
    };
    verified.times().iter().all(|time| proved.times().contains(time))
        && verified.times().len() < proved.times().len()
        && certified(verified) == certified(proved)
        && verified.signer().public_key() == proved.signer().public_key()
        && entries(verified) == entries(proved)
        && verified.signature() == proved.signature()
        && verified.statement() == proved.statement()
}

/// The entries but for their index: without its promise an entry of Rekor v1 is known by its place in the tree alone.
fn entries(of: &Verified) -> Vec<(EntryKind, [u8; 32], Option<VerifiedInclusion>)> {
    of.entries().iter().map(|entry| (entry.kind(), *entry.log_id(), entry.inclusion().cloned())).collect()
}

fn check_case(name: &str) {
    let bundle_of = |name: &str| serde_json::from_slice::<Value>(&case(name).bundle).unwrap();
    let (case, bundle) = (case(name), bundle_of(name));
    let strangers = ACCEPTED.iter().filter(|other| **other != name).map(|other| bundle_of(other)).collect();
    let (root, policy, artifact) = (case.root(), case.policy(), case.artifact());
    let tally = Original { name, bundle, strangers, root, policy, artifact, now: now() }.check_twins();
    println!("{name}: {} twins, accepted {:#?}", tally.made, tally.accepted);
}

/// One test for each accepted case of the suite, so that they run beside each other.
macro_rules! twins_of {
    ($($test:ident: $case:literal,)*) => {
        const ACCEPTED: &[&str] = &[$($case),*];
        $(
            #[test]
            fn $test() {
                check_case($case);
            }
        )*
    };
}

twins_of! {
    no_twin_of_an_sct_with_extensions: "bundle-with-sct-with-extensions",
    no_twin_of_an_attestation_in_rekor_v1: "happy-path-intoto-in-dsse-v3",
    no_twin_of_version_0_1: "happy-path-v0.1",
    no_twin_of_version_0_2: "happy-path-v0.2",
    no_twin_of_version_0_3: "happy-path-v0.3",
    no_twin_of_version_0_3_in_its_newer_spelling: "happy-path-v0.3-new-mediaType",
    no_twin_of_an_intoto_entry: "intoto-with-custom-trust-root",
    no_twin_of_a_managed_key_with_its_own_root: "managed-key-and-trusted-root",
    no_twin_of_a_managed_key: "managed-key-happy-path",
    no_twin_of_a_cosigned_checkpoint: "rekor2-checkpoint-cosigned",
    no_twin_of_a_checkpoint_with_many_cosignatures: "rekor2-checkpoint-multiple-cosigs",
    no_twin_of_a_checkpoint_whose_log_signed_last: "rekor2-checkpoint-origin-not-first",
    no_twin_of_a_checkpoint_signed_twice_and_cosigned: "rekor2-checkpoint-two-sigs-cosigned",
    no_twin_of_a_checkpoint_signed_twice: "rekor2-checkpoint-two-sigs-from-origin",
    no_twin_of_an_attestation_in_rekor_v2: "rekor2-dsse-happy-path",
    no_twin_of_a_file_in_rekor_v2: "rekor2-happy-path",
    no_twin_of_a_timestamp_with_certificate: "rekor2-timestamp-with-embedded-cert",
    no_twin_of_a_timestamp_of_an_expired_chain: "rekor2-timestamp-with-expired-cert-chain",
    no_twin_of_a_timestamp_without_certificate: "rekor2-timestamp-without-embedded-cert",
    no_twin_at_the_end_of_a_log: "trust-root-tlog-validity-end-inclusive",
    no_twin_at_the_end_of_a_timestamp_authority: "trust-root-tsa-validity-end-inclusive",
}

#[test]
fn every_accepted_case_has_its_twins() {
    let accepted: Vec<String> = cases().into_iter().filter(|case| !case.must_fail()).map(|case| case.name).collect();
    assert_eq!(accepted, ACCEPTED);
}

/// Two readers would read two bundles.
#[test]
fn a_member_that_stands_twice_is_refused_wherever_it_stands() {
    // A name that stands nowhere; it becomes the other's in the text.
    const NAME: &str = "@";
    for name in ACCEPTED {
        let original: Value = serde_json::from_slice(&case(name).bundle).unwrap();
        for place in [vec![String::new()], document::places(&original)].concat() {
            let Some(Value::Object(members)) = original.pointer(&place) else { continue };
            for (member, value) in members {
                for other in [value.clone(), Value::Null] {
                    let mut twin = original.clone();
                    twin.pointer_mut(&place).unwrap()[NAME] = other;
                    let text = twin.to_string().replace(&format!("\"{NAME}\":"), &format!("\"{member}\":"));
                    let refused = Bundle::parse(text.as_bytes()).map(|_| ()).map_err(|error| error.code());
                    assert_eq!(refused, Err("bundle_malformed"), "{name}: {place}/{member}");
                }
            }
        }
    }
}

/// Twins of any document.
pub(super) fn of_document(original: &Value, strangers: &[Value], name: &str) -> Vec<Change<Value>> {
    document::twins(original, strangers, Sample::of(name))
}

/// Where two documents differ in more than in the spelling of a value.
pub(super) fn differing_places(original: &Value, twin: &Value) -> Vec<String> {
    harmless::differing_places(original, twin)
}
