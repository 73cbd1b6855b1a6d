// SPDX-License-Identifier: Apache-2.0
//! CI providers: how the claims of a workflow's token become a name and extensions.
//!
//! Fulcio's `ci-issuer-metadata` (its oid-info.md and the identity types of its configuration), fulcio docs/certificate-specification.md
//! for the extensions.
//!
//! In scope: a provider's templates, constants and defaults; what they make of a token. Out of scope: which issuer has which provider
//! (`config`), encoding of extensions (`sigstore::issue`).
//! Invariants: a constant wins over a claim of its name, a claim over a default; issuer and subject never come from a template; the name
//! comes from every claim that it asks for, or there is none; numbers stay exact, and null, lists and objects become no text.

mod builtin;
mod san_url;
mod template;

use std::borrow::Cow;
use std::collections::BTreeMap;

use touchmark_sigstore::principal::SubjectAltName;

use self::template::{Need, Purpose, Values};
use super::claims::{Claims, ScalarError};

pub(crate) use self::builtin::{BUILTIN_PROVIDERS, builtin};
pub(crate) use self::san_url::SanUrlError;
pub(super) use self::san_url::san_url;
pub(crate) use self::template::{RenderError, Template, TemplateError};

/// The extensions that a template may fill, by the name that Fulcio's configuration has for each and by their arc under
/// 1.3.6.1.4.1.57264.1. Issuer (.1, .8) and subject (.24) come from the token itself.
const FIELDS: [(&str, u32); 20] = [
    ("github-workflow-trigger", 2),
    ("github-workflow-sha", 3),
    ("github-workflow-name", 4),
    ("github-workflow-repository", 5),
    ("github-workflow-ref", 6),
    ("build-signer-uri", 9),
    ("build-signer-digest", 10),
    ("runner-environment", 11),
    ("source-repository-uri", 12),
    ("source-repository-digest", 13),
    ("source-repository-ref", 14),
    ("source-repository-identifier", 15),
    ("source-repository-owner-uri", 16),
    ("source-repository-owner-identifier", 17),
    ("build-config-uri", 18),
    ("build-config-digest", 19),
    ("build-trigger", 20),
    ("run-invocation-uri", 21),
    ("source-repository-visibility-at-signing", 22),
    ("deployment-environment", 23),
];
/// What Fulcio's configuration calls an extension, by its arc.
pub(super) fn extension_name(arc: u32) -> &'static str {
    match arc {
        1 => "issuer",
        8 => "issuer-v2",
        24 => "token-subject",
        _ => FIELDS.iter().find(|(_, known)| *known == arc).map_or("", |(name, _)| name),
    }
}

/// The name's place in errors and reports.
pub(crate) const SUBJECT_ALTERNATIVE_NAME: &str = "subject-alternative-name";

/// A provider as somebody writes it down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProviderText {
    pub(crate) subject_alternative_name: String,
    /// Values that no claim overrides.
    pub(crate) constants: BTreeMap<String, String>,
    /// Values for claims that a token lacks.
    pub(crate) defaults: BTreeMap<String, String>,
    /// Templates by the name of the extension.
    pub(crate) extensions: BTreeMap<String, String>,
}

/// A provider whose templates were all understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CiProvider {
    name: String,
    constants: BTreeMap<String, String>,
    defaults: BTreeMap<String, String>,
    subject_alternative_name: Template,
    /// In ascending order of the arcs.
    extensions: Vec<(&'static str, u32, Template)>,
}

/// Why a provider cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("ci provider {provider}: there is no extension {extension:?}")]
    Extension { provider: String, extension: String },
    #[error("ci provider {provider}: the template of {field}: {error}")]
    Template { provider: String, field: String, error: TemplateError },
}

/// Why a provider makes nothing of a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MappingError {
    #[error("{field}: {error}")]
    Render { field: &'static str, error: RenderError },
    #[error("{SUBJECT_ALTERNATIVE_NAME}: {0}")]
    Name(#[from] SanUrlError),
}

/// What a certificate says about a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) san: SubjectAltName,
    /// By arc, ascending; some may be empty.
    pub(super) extensions: Vec<(u32, String)>,
}

impl CiProvider {
    pub(crate) fn new(name: &str, text: ProviderText) -> Result<Self, ProviderError> {
        let parse = |field: &str, template: &str| {
            Template::parse(template).map_err(|error| ProviderError::Template {
                provider: name.to_owned(),
                field: field.to_owned(),
                error,
            })
        };
        if let Some(extension) = text.extensions.keys().find(|key| FIELDS.iter().all(|(field, _)| field != key)) {
            return Err(ProviderError::Extension { provider: name.to_owned(), extension: extension.clone() });
        }
        let written = FIELDS.iter().filter_map(|(field, arc)| Some((*field, *arc, text.extensions.get(*field)?)));
        // Fulcio leaves out what is blank.
        let written = written.filter(|(_, _, template)| !template.trim().is_empty());
        let extensions = written.map(|(field, arc, template)| Ok((field, arc, parse(field, template)?)));
        Ok(Self {
            name: name.to_owned(),
            extensions: extensions.collect::<Result<_, _>>()?,
            subject_alternative_name: parse(SUBJECT_ALTERNATIVE_NAME, &text.subject_alternative_name)?,
            constants: text.constants,
            defaults: text.defaults,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name and the extensions that the claims make.
    pub(super) fn map(&self, claims: &Claims) -> Result<Mapped, MappingError> {
        let values = Overlaid { provider: self, claims };
        let render = |field, template: &Template, purpose| {
            template.render(&values, purpose).map_err(|error| MappingError::Render { field, error })
        };
        let name = render(SUBJECT_ALTERNATIVE_NAME, &self.subject_alternative_name, Purpose::Name)?;
        let san = SubjectAltName::Uri(san_url(&name)?);
        let mut extensions = Vec::with_capacity(self.extensions.len());
        for (field, arc, template) in &self.extensions {
            extensions.push((*arc, render(field, template, Purpose::Extension)?));
        }
        Ok(Mapped { san, extensions })
    }

    /// The claims that a token must have, and those that it may have.
    pub(super) fn claims(&self) -> (Vec<&str>, Vec<&str>) {
        let mut needs: BTreeMap<&str, Need> = BTreeMap::new();
        let templates = self.extensions.iter().map(|(_, _, template)| template);
        for (name, need) in std::iter::once(&self.subject_alternative_name).chain(templates).flat_map(Template::names) {
            let known = needs.entry(name).or_insert(need);
            *known = need.max(*known);
        }
        let from_token = needs.into_iter().filter(|(name, _)| !self.constants.contains_key(*name));
        let (required, optional): (Vec<_>, Vec<_>) =
            from_token.partition(|(name, need)| *need == Need::Always && !self.defaults.contains_key(*name));
        (required.into_iter().map(|(name, _)| name).collect(), optional.into_iter().map(|(name, _)| name).collect())
    }
}

/// Constants over claims over defaults.
struct Overlaid<'a> {
    provider: &'a CiProvider,
    claims: &'a Claims,
}

impl Values for Overlaid<'_> {
    fn value(&self, name: &str) -> Result<Option<Cow<'_, str>>, RenderError> {
        if let Some(constant) = self.provider.constants.get(name) {
            return Ok(Some(Cow::Borrowed(constant)));
        }
        match self.claims.scalar(name) {
            Ok(text) => Ok(Some(text)),
            Err(ScalarError::Missing) => Ok(self.provider.defaults.get(name).map(|text| Cow::Borrowed(&**text))),
            Err(ScalarError::Unusable) => Err(RenderError::Unusable { claim: name.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests;
