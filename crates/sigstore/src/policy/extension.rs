// SPDX-License-Identifier: Apache-2.0
//! Fulcio's certificate extensions (1.3.6.1.4.1.57264.1, fulcio docs/oid-info.md) and their names: one table.
//!
//! In scope: which there are, how a policy and cosign's flags name them, their values in a certificate. Out of scope: how a value is
//! encoded (`x509`: raw for .1 to .6, a DER UTF8String for the others; what is malformed is no value).
//! Invariants: a name that is not in the table is an error (GHSA-52v5-jr5w-gjxr: an option that is accepted is enforced); .7 is no
//! extension, but the type of a subject alternative name.

use std::fmt;
use std::str::FromStr;

use crate::x509::Certificate;
use crate::x509::extension::fulcio_arc;

/// The arc under which Fulcio's extensions stand.
const BASE: &str = "1.3.6.1.4.1.57264.1";

/// One of Fulcio's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FulcioExtension {
    IssuerV1,
    GithubWorkflowTrigger,
    GithubWorkflowSha,
    GithubWorkflowName,
    GithubWorkflowRepository,
    GithubWorkflowRef,
    IssuerV2,
    BuildSignerUri,
    BuildSignerDigest,
    RunnerEnvironment,
    SourceRepositoryUri,
    SourceRepositoryDigest,
    SourceRepositoryRef,
    SourceRepositoryIdentifier,
    SourceRepositoryOwnerUri,
    SourceRepositoryOwnerIdentifier,
    BuildConfigUri,
    BuildConfigDigest,
    BuildTrigger,
    RunInvocationUri,
    SourceRepositoryVisibilityAtSigning,
    DeploymentEnvironment,
    TokenSubject,
}

use FulcioExtension as E;

/// Each extension, its arc and its name.
const TABLE: [(FulcioExtension, u32, &str); 23] = [
    (E::IssuerV1, 1, "issuer-v1"),
    (E::GithubWorkflowTrigger, 2, "github-workflow-trigger"),
    (E::GithubWorkflowSha, 3, "github-workflow-sha"),
    (E::GithubWorkflowName, 4, "github-workflow-name"),
    (E::GithubWorkflowRepository, 5, "github-workflow-repository"),
    (E::GithubWorkflowRef, 6, "github-workflow-ref"),
    (E::IssuerV2, 8, "issuer-v2"),
    (E::BuildSignerUri, 9, "build-signer-uri"),
    (E::BuildSignerDigest, 10, "build-signer-digest"),
    (E::RunnerEnvironment, 11, "runner-environment"),
    (E::SourceRepositoryUri, 12, "source-repository-uri"),
    (E::SourceRepositoryDigest, 13, "source-repository-digest"),
    (E::SourceRepositoryRef, 14, "source-repository-ref"),
    (E::SourceRepositoryIdentifier, 15, "source-repository-identifier"),
    (E::SourceRepositoryOwnerUri, 16, "source-repository-owner-uri"),
    (E::SourceRepositoryOwnerIdentifier, 17, "source-repository-owner-identifier"),
    (E::BuildConfigUri, 18, "build-config-uri"),
    (E::BuildConfigDigest, 19, "build-config-digest"),
    (E::BuildTrigger, 20, "build-trigger"),
    (E::RunInvocationUri, 21, "run-invocation-uri"),
    (E::SourceRepositoryVisibilityAtSigning, 22, "source-repository-visibility-at-signing"),
    (E::DeploymentEnvironment, 23, "deployment-environment"),
    (E::TokenSubject, 24, "token-subject"),
];

/// A name that no extension has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not an extension of Fulcio; they are called {}", names())]
pub struct UnknownExtension {
    pub name: String,
}

impl FulcioExtension {
    /// Every extension, by arc.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.into_iter().map(|(extension, ..)| extension)
    }

    /// The last number of its object identifier.
    #[must_use]
    pub fn arc(self) -> u32 {
        self.row().1
    }

    /// Its object identifier, dotted.
    #[must_use]
    pub fn oid(self) -> String {
        format!("{BASE}.{}", self.arc())
    }

    /// Its name in a policy file.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// The flag of cosign (without its dashes) that asks for an exact value, where there is one.
    #[must_use]
    pub fn cosign_flag(self) -> Option<&'static str> {
        match self {
            Self::GithubWorkflowTrigger => Some("certificate-github-workflow-trigger"),
            Self::GithubWorkflowSha => Some("certificate-github-workflow-sha"),
            Self::GithubWorkflowName => Some("certificate-github-workflow-name"),
            Self::GithubWorkflowRepository => Some("certificate-github-workflow-repository"),
            Self::GithubWorkflowRef => Some("certificate-github-workflow-ref"),
            _ => None,
        }
    }

    #[must_use]
    pub fn from_arc(arc: u32) -> Option<Self> {
        TABLE.into_iter().find(|(_, found, _)| *found == arc).map(|(extension, ..)| extension)
    }

    /// Every extension of the certificate that has a value, with the value. What is malformed has none, and so matches nothing.
    #[must_use]
    pub fn values_in(certificate: &Certificate) -> Vec<(Self, String)> {
        let known = |(oid, value)| Some((Self::from_arc(fulcio_arc(oid)?)?, value));
        certificate.fulcio_extensions().into_iter().filter_map(known).collect()
    }

    fn row(self) -> (Self, u32, &'static str) {
        TABLE.into_iter().find(|(extension, ..)| *extension == self).expect("every extension is in the table")
    }
}

impl FromStr for FulcioExtension {
    type Err = UnknownExtension;

    /// By its name or by its dotted object identifier.
    fn from_str(text: &str) -> Result<Self, UnknownExtension> {
        let by_name = || TABLE.into_iter().find(|(.., name)| *name == text).map(|(extension, ..)| extension);
        let by_oid = || Self::all().find(|extension| extension.oid() == text);
        by_name().or_else(by_oid).ok_or_else(|| UnknownExtension { name: text.to_owned() })
    }
}

impl fmt::Display for FulcioExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn names() -> String {
    TABLE.map(|(.., name)| name).join(", ")
}

#[cfg(test)]
mod tests;
