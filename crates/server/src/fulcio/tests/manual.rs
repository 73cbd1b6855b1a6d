// SPDX-License-Identifier: Apache-2.0
//! What the manual promises to list, it lists.

use std::collections::BTreeSet;

const MANUAL: &str = include_str!("../../../../../docs/fulcio-operations.md");
/// Where the words are made: each arm of a `match` that ends in one.
const SOURCES: [&str; 2] = [include_str!("../error.rs"), include_str!("../token.rs")];

fn reasons() -> BTreeSet<&'static str> {
    let is_word = |text: &&str| text.len() > 3 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    SOURCES
        .iter()
        .flat_map(|source| source.split("=> \""))
        .filter_map(|rest| rest.split('"').next())
        .filter(is_word)
        .collect()
}

#[test]
fn every_reason_of_a_refusal_is_in_the_table_of_the_manual() {
    let reasons = reasons();
    assert!(reasons.len() > 30 && reasons.contains("TOKEN_MISSING") && reasons.contains("CA_FAILED"), "{reasons:?}");
    let table = MANUAL.split("### Refusals").nth(1).unwrap().split("\n## ").next().unwrap();
    let missing: Vec<_> = reasons.iter().filter(|reason| !table.contains(&format!("`{reason}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_metric_of_submissions_has_the_same_name_in_both_manuals() {
    let name = "`touchmark_fulcio_ct_submissions_total`";
    assert!(MANUAL.contains(name));
    assert!(include_str!("../../../../../docs/configuration.md").contains(name));
}
