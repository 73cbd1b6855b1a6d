// SPDX-License-Identifier: Apache-2.0
//! The kinds of attestations: cosign's short names, and the URIs that they stand for.

use touchmark_sigstore::policy::Matcher;

use crate::exit::ExitStatus;
use crate::failure::Failure;

/// Short names (cosign, `pkg/cosign/attestation`; in-toto `predicates`).
const SHORT_NAMES: [(&str, &str); 10] = [
    ("custom", "https://cosign.sigstore.dev/attestation/v1"),
    ("link", "https://in-toto.io/Link/v1"),
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("openvex", "https://openvex.dev/ns"),
];

/// The type of predicate that a value of `--type` stands for.
pub(crate) fn predicate_type(given: &str) -> Result<&str, Failure> {
    let short = SHORT_NAMES.into_iter().find(|(name, _)| *name == given);
    match short {
        Some((_, uri)) => Ok(uri),
        // OpenVEX and others have types with a version behind; a URI is taken as it is.
        None if given.contains(':') && !given.contains(char::is_whitespace) => Ok(given),
        None => {
            let names: Vec<&str> = SHORT_NAMES.into_iter().map(|(name, _)| name).collect();
            Err(Failure::new(ExitStatus::Usage, format!("{given:?} is no type of attestation"))
                .hint(format!("--type takes a URI, or one of {}", names.join(", "))))
        }
    }
}

/// The same, as what a policy demands.
pub(crate) fn demanded(given: &str) -> Result<Matcher, Failure> {
    Matcher::exact(predicate_type(given)?).map_err(|error| Failure::from_error(ExitStatus::Usage, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_and_uris_are_types() {
        assert_eq!(predicate_type("slsaprovenance1").unwrap(), "https://slsa.dev/provenance/v1");
        assert_eq!(predicate_type("https://example.com/x").unwrap(), "https://example.com/x");
        for wrong in ["", "slsa", "SPDX", "a b:c"] {
            assert_eq!(predicate_type(wrong).unwrap_err().status(), ExitStatus::Usage, "{wrong}");
        }
    }
}
