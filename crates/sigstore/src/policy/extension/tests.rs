// SPDX-License-Identifier: Apache-2.0
//! The table of extensions, and their values in certificates.

use std::collections::HashSet;

use super::*;
use crate::vectors;

fn public_leaf() -> Vec<u8> {
    vectors::case("rekor2-happy-path").unwrap().leaf.unwrap()
}

fn value(leaf: &[u8], extension: FulcioExtension) -> Option<String> {
    let values = FulcioExtension::values_in(&Certificate::from_der(leaf).unwrap());
    values.into_iter().find(|(found, _)| *found == extension).map(|(_, value)| value)
}

#[test]
fn every_arc_from_1_to_24_but_7_has_a_name_of_its_own() {
    let arcs: Vec<u32> = FulcioExtension::all().map(FulcioExtension::arc).collect();
    let expect: Vec<u32> = (1..=24).filter(|arc| *arc != 7).collect();
    assert_eq!(arcs, expect);
    let names: HashSet<&str> = FulcioExtension::all().map(FulcioExtension::name).collect();
    assert_eq!(names.len(), arcs.len());
    for extension in FulcioExtension::all() {
        assert_eq!(extension.name().parse(), Ok(extension));
        assert_eq!(extension.oid().parse(), Ok(extension));
        assert_eq!(FulcioExtension::from_arc(extension.arc()), Some(extension));
    }
    assert_eq!(FulcioExtension::from_arc(7), None);
}

#[test]
fn cosigns_flags_are_those_of_2_to_6() {
    let flags: Vec<(u32, &str)> =
        FulcioExtension::all().filter_map(|extension| Some((extension.arc(), extension.cosign_flag()?))).collect();
    let expect = [(2, "trigger"), (3, "sha"), (4, "name"), (5, "repository"), (6, "ref")];
    let expect: Vec<(u32, String)> =
        expect.map(|(arc, name)| (arc, format!("certificate-github-workflow-{name}"))).to_vec();
    assert_eq!(flags, expect.iter().map(|(arc, flag)| (*arc, flag.as_str())).collect::<Vec<_>>());
}

/// GHSA-52v5-jr5w-gjxr: an option that is accepted is enforced, and one that is not known is refused.
#[test]
fn ghsa_52v5_jr5w_gjxr_unknown_names_are_errors() {
    for name in ["source-repository", "Build-Trigger", "", "1.3.6.1.4.1.57264.1.7", "1.3.6.1.4.1.57264.1.25", "9"] {
        let error = name.parse::<FulcioExtension>().unwrap_err();
        assert_eq!(error, UnknownExtension { name: name.into() });
        assert!(error.to_string().contains("build-signer-uri, build-signer-digest"), "{error}");
    }
}

#[test]
fn values_are_read_raw_up_to_6_and_as_der_after() {
    let leaf = public_leaf();
    for (extension, expect) in [
        (FulcioExtension::GithubWorkflowTrigger, "workflow_dispatch"),
        (FulcioExtension::BuildTrigger, "workflow_dispatch"),
        (FulcioExtension::IssuerV2, "https://token.actions.githubusercontent.com"),
        (FulcioExtension::SourceRepositoryIdentifier, "632596897"),
        (FulcioExtension::SourceRepositoryVisibilityAtSigning, "public"),
    ] {
        assert_eq!(value(&leaf, extension).as_deref(), Some(expect), "{extension}");
    }
    assert_eq!(value(&leaf, FulcioExtension::TokenSubject), None);
}

#[test]
fn a_malformed_extension_has_no_value() {
    let mut leaf = public_leaf();
    // The tag of the UTF8String in .22, whose value is "public".
    let tag = leaf.windows(8).position(|window| window == b"\x0c\x06public").unwrap();
    leaf[tag] = 0x13;
    assert_eq!(value(&leaf, FulcioExtension::SourceRepositoryVisibilityAtSigning), None);
    assert!(value(&leaf, FulcioExtension::BuildTrigger).is_some());
}
