// SPDX-License-Identifier: Apache-2.0
//! The public server's own configuration file, read as it is: YAML, or JSON with its names.
//!
//! Fulcio's `config/identity/config.yaml` and `pkg/config`.
//!
//! In scope: names and types. Out of scope: whether the values fit together (`text`).
//! Invariants: an unknown key is refused, where the public server drops it in silence (`define`, which only holds anchors, is the one
//! exception); no key stands twice; an issuer is the one of its key.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};

use super::text::{IdentityType, IssuerText};
use super::{EmailVerification, IssuerTransport};
use crate::fulcio::provider::ProviderText;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    /// Anchors; what is of use was resolved by the parser.
    #[serde(rename = "define")]
    _define: Option<IgnoredAny>,
    #[serde(default, alias = "OIDCIssuers")]
    oidc_issuers: Distinct<Issuer>,
    #[serde(default, alias = "MetaIssuers")]
    meta_issuers: Distinct<Issuer>,
    #[serde(default, alias = "CIIssuerMetadata")]
    ci_issuer_metadata: Distinct<Provider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Issuer {
    #[serde(alias = "IssuerURL")]
    issuer_url: Option<String>,
    #[serde(alias = "ClientID")]
    client_id: String,
    #[serde(rename = "type", alias = "Type")]
    identity: IdentityType,
    #[serde(alias = "CIProvider")]
    ci_provider: Option<String>,
    #[serde(alias = "IssuerClaim")]
    issuer_claim: Option<String>,
    #[serde(alias = "SubjectDomain")]
    subject_domain: Option<String>,
    #[serde(rename = "spiffe-trust-domain", alias = "SPIFFETrustDomain")]
    trust_domain: Option<String>,
    #[serde(alias = "ChallengeClaim")]
    challenge_claim: Option<String>,
    #[serde(rename = "description", alias = "Description")]
    _description: Option<String>,
    #[serde(rename = "contact", alias = "Contact")]
    _contact: Option<String>,
    /// The public server reads it and does nothing with it.
    #[serde(rename = "environment", alias = "Environment")]
    _environment: Option<String>,
    #[serde(alias = "CACert")]
    ca_cert: Option<String>,
    #[serde(default, alias = "SkipEmailVerification")]
    skip_email_verification: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Provider {
    #[serde(default, alias = "DefaultTemplateValues")]
    default_template_values: Distinct<String>,
    #[serde(default, alias = "ExtensionTemplates")]
    extension_templates: Distinct<String>,
    #[serde(default, alias = "SubjectAlternativeNameTemplate")]
    subject_alternative_name_template: String,
}

/// Issuers and providers of such a file. The transport is that of the issuers that are no pattern.
pub(super) fn read(
    text: &str,
    transport: IssuerTransport,
) -> Result<(Vec<IssuerText>, BTreeMap<String, ProviderText>), serde_norway::Error> {
    // A file that is something else, a key for example, is not to be seen in the error.
    if serde_norway::from_str::<serde_norway::Value>(text).is_ok_and(|value| !value.is_mapping()) {
        return Err(serde_norway::Error::custom(
            "it is no configuration: `oidc-issuers` and the like are expected at its top",
        ));
    }
    let file: File = serde_norway::from_str(text)?;
    let mut issuers = Vec::new();
    for (key, issuer) in file.oidc_issuers.0 {
        if issuer.issuer_url.as_ref().is_some_and(|url| *url != key) {
            return Err(serde_norway::Error::custom(format!("the issuer at {key} has another issuer-url")));
        }
        if key.contains('*') {
            return Err(serde_norway::Error::custom(format!("{key} is a pattern and belongs under meta-issuers")));
        }
        issuers.push(IssuerText { transport, ..issuer_text(key, issuer) });
    }
    for (key, issuer) in file.meta_issuers.0 {
        if !key.contains('*') {
            return Err(serde_norway::Error::custom(format!("{key} is no pattern and belongs under oidc-issuers")));
        }
        issuers.push(issuer_text(key, issuer));
    }
    let providers = file.ci_issuer_metadata.0.into_iter().map(|(name, provider)| {
        let text = ProviderText {
            subject_alternative_name: provider.subject_alternative_name_template,
            constants: BTreeMap::new(),
            defaults: provider.default_template_values.0.into_iter().collect(),
            extensions: provider.extension_templates.0.into_iter().collect(),
        };
        (name, text)
    });
    Ok((issuers, providers.collect()))
}

fn issuer_text(url: String, issuer: Issuer) -> IssuerText {
    let given = |value: Option<String>| value.filter(|text| !text.is_empty());
    let verification = match issuer.skip_email_verification {
        false => EmailVerification::Demanded,
        true => EmailVerification::TrustedWithout,
    };
    IssuerText {
        client_id: issuer.client_id,
        subject_domain: given(issuer.subject_domain),
        trust_domain: given(issuer.trust_domain),
        ci_provider: given(issuer.ci_provider),
        issuer_claim: given(issuer.issuer_claim),
        challenge_claim: given(issuer.challenge_claim),
        verification,
        ca_pem: given(issuer.ca_cert).map(String::into_bytes),
        ..IssuerText::new(url, issuer.identity)
    }
}

/// A mapping in the order in which it is written, without a key twice.
struct Distinct<T>(Vec<(String, T)>);

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Distinct<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = Distinct<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Distinct<T>, A::Error> {
        let mut entries: Vec<(String, T)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom(format_args!("{key} stands twice")));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(Distinct(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
define:
  - &ci "my-ci"
oidc-issuers:
  https://accounts.example.com:
    issuer-url: https://accounts.example.com
    client-id: sigstore
    type: email
    issuer-claim: $.federated_claims.connector_id
    contact: ops@example.com
    description: "people"
    environment: production
  https://spire.example.com:
    client-id: sigstore
    type: spiffe
    spiffe-trust-domain: example.com
  https://ci.example.com:
    client-id: other
    type: ci-provider
    ci-provider: *ci
    ca-cert: |
      -----BEGIN CERTIFICATE-----
  https://old.example.com:
    client-id: sigstore
    type: email
    skip-email-verification: true
meta-issuers:
  https://oidc.eks.*.example.com/id/*:
    client-id: sigstore
    type: kubernetes
ci-issuer-metadata:
  *ci:
    default-template-values:
      url: "https://ci.example.com"
    extension-templates:
      build-trigger: event
      source-repository-ref: refs/{{if eq .type "branch"}}heads/{{ else }}tags/{{end}}{{ .ref }}
    subject-alternative-name-template: "{{ .url }}/{{ .job }}"
"#;

    #[test]
    fn the_public_servers_form_is_read_as_it_is() {
        let (issuers, providers) = read(FILE, IssuerTransport::HttpsPrivate).unwrap();
        let urls: Vec<_> = issuers.iter().map(|issuer| (&*issuer.url, issuer.identity, issuer.transport)).collect();
        use IssuerTransport::{HttpsOnly, HttpsPrivate};
        assert_eq!(
            urls,
            [
                ("https://accounts.example.com", IdentityType::Email, HttpsPrivate),
                ("https://spire.example.com", IdentityType::Spiffe, HttpsPrivate),
                ("https://ci.example.com", IdentityType::CiProvider, HttpsPrivate),
                ("https://old.example.com", IdentityType::Email, HttpsPrivate),
                ("https://oidc.eks.*.example.com/id/*", IdentityType::Kubernetes, HttpsOnly),
            ]
        );
        assert_eq!(issuers[0].issuer_claim.as_deref(), Some("$.federated_claims.connector_id"));
        assert_eq!(issuers[1].trust_domain.as_deref(), Some("example.com"));
        assert_eq!((issuers[2].ci_provider.as_deref(), &*issuers[2].client_id), (Some("my-ci"), "other"));
        assert!(issuers[2].ca_pem.as_ref().is_some_and(|pem| pem.starts_with(b"-----BEGIN")));
        assert_eq!(issuers[3].verification, EmailVerification::TrustedWithout);
        let provider = &providers["my-ci"];
        assert_eq!(provider.defaults["url"], "https://ci.example.com");
        assert_eq!(
            provider.extensions["source-repository-ref"],
            "refs/{{if eq .type \"branch\"}}heads/{{ else }}tags/{{end}}{{ .ref }}"
        );
        assert_eq!(provider.subject_alternative_name, "{{ .url }}/{{ .job }}");
    }

    #[test]
    fn its_json_names_are_known_too() {
        let json = r#"{"OIDCIssuers":{"https://a.example":{"IssuerURL":"https://a.example","ClientID":"sigstore","Type":"username","SubjectDomain":"a.example"}},
            "MetaIssuers":{"https://*.b.example":{"ClientID":"sigstore","Type":"kubernetes"}}}"#;
        let (issuers, _) = read(json, IssuerTransport::HttpsOnly).unwrap();
        assert_eq!(issuers[0].subject_domain.as_deref(), Some("a.example"));
        assert_eq!(issuers[1].url, "https://*.b.example");
    }

    #[test]
    fn what_the_public_server_would_drop_in_silence_is_refused() {
        let issuer = "oidc-issuers:\n  https://a.example:\n    client-id: sigstore\n    type: email\n";
        assert!(read(issuer, IssuerTransport::HttpsOnly).is_ok());
        let other_url = format!("{issuer}    issuer-url: https://b.example\n");
        let twice = format!("{issuer}  https://a.example:\n    client-id: x\n    type: email\n");
        for (text, expect) in [
            (format!("{issuer}    cilent-id: x\n"), "unknown field `cilent-id`"),
            (format!("{issuer}    client-id: x\n"), "duplicate field `client-id`"),
            (format!("{issuer}issuers: {{}}\n"), "unknown field `issuers`"),
            (other_url, "has another issuer-url"),
            (twice, "https://a.example stands twice"),
            (issuer.replace("email", "e-mail"), "unknown variant `e-mail`"),
            (issuer.replace("a.example", "*.a.example"), "belongs under meta-issuers"),
            (issuer.replace("oidc-issuers", "meta-issuers"), "belongs under oidc-issuers"),
            ("oidc-issuers: [1]".to_owned(), "expected a mapping"),
            ("\"".to_owned(), ""),
        ] {
            let error = read(&text, IssuerTransport::HttpsOnly).err().unwrap_or_else(|| panic!("{text}")).to_string();
            assert!(error.contains(expect), "{text}\n{error}");
        }
    }
}
