// SPDX-License-Identifier: Apache-2.0
//! The CI providers that are known by name, so that a configuration needs no templates for them.
//!
//! What each claim means stands in the provider's own documentation of its tokens and in Fulcio's oid-info.md; the certificates are those
//! of the public instance.
//!
//! In scope: GitHub, GitLab, Buildkite, Codefresh, CircleCI, Buddy. Out of scope: other providers, which a configuration describes itself.
//! Invariant: the address of a forge is a constant or the issuer's own, never a claim, except where the issuer has one address per region
//! or customer and says which (Codefresh, CircleCI, Buddy).

use std::collections::BTreeMap;

use super::ProviderText;

/// The names of the providers.
pub(crate) const BUILTIN_PROVIDERS: [&str; 6] =
    ["github-workflow", "gitlab-pipeline", "buildkite-job", "codefresh-workflow", "circleci-job", "buddy-pipeline"];

type Pairs = &'static [(&'static str, &'static str)];

struct Builtin {
    san: &'static str,
    constants: Pairs,
    defaults: Pairs,
    extensions: Pairs,
}

const GITHUB: Builtin = Builtin {
    san: "{{.url}}/{{.job_workflow_ref}}",
    constants: &[("url", "https://github.com")],
    // A job that deploys nowhere has no such claim.
    defaults: &[("environment", "")],
    extensions: &[
        ("github-workflow-trigger", "event_name"),
        ("github-workflow-sha", "sha"),
        ("github-workflow-name", "workflow"),
        ("github-workflow-repository", "repository"),
        ("github-workflow-ref", "ref"),
        ("build-signer-uri", "{{.url}}/{{.job_workflow_ref}}"),
        ("build-signer-digest", "job_workflow_sha"),
        ("runner-environment", "runner_environment"),
        ("source-repository-uri", "{{.url}}/{{.repository}}"),
        ("source-repository-digest", "sha"),
        ("source-repository-ref", "ref"),
        ("source-repository-identifier", "repository_id"),
        ("source-repository-owner-uri", "{{.url}}/{{.repository_owner}}"),
        ("source-repository-owner-identifier", "repository_owner_id"),
        ("build-config-uri", "{{.url}}/{{.workflow_ref}}"),
        ("build-config-digest", "workflow_sha"),
        ("build-trigger", "event_name"),
        ("run-invocation-uri", "{{.url}}/{{.repository}}/actions/runs/{{.run_id}}/attempts/{{.run_attempt}}"),
        ("source-repository-visibility-at-signing", "repository_visibility"),
        ("deployment-environment", "environment"),
    ],
};

const GITLAB: Builtin = Builtin {
    // Host and path of the top-level pipeline definition.
    san: "https://{{.ci_config_ref_uri}}",
    // The issuer of a GitLab is its address: `builtin` puts it in.
    constants: &[],
    defaults: &[("environment", "")],
    extensions: &[
        ("build-signer-uri", "https://{{.ci_config_ref_uri}}"),
        ("build-signer-digest", "ci_config_sha"),
        ("runner-environment", "runner_environment"),
        ("source-repository-uri", "{{.url}}/{{.project_path}}"),
        ("source-repository-digest", "sha"),
        ("source-repository-ref", "refs/{{if eq .ref_type \"branch\"}}heads/{{else}}tags/{{end}}{{.ref}}"),
        ("source-repository-identifier", "project_id"),
        ("source-repository-owner-uri", "{{.url}}/{{.namespace_path}}"),
        ("source-repository-owner-identifier", "namespace_id"),
        ("build-config-uri", "https://{{.ci_config_ref_uri}}"),
        ("build-config-digest", "ci_config_sha"),
        ("build-trigger", "pipeline_source"),
        ("run-invocation-uri", "{{.url}}/{{.project_path}}/-/jobs/{{.job_id}}"),
        ("source-repository-visibility-at-signing", "project_visibility"),
        ("deployment-environment", "environment"),
    ],
};

const BUILDKITE: Builtin = Builtin {
    san: "{{.url}}/{{.organization_slug}}/{{.pipeline_slug}}",
    constants: &[("url", "https://buildkite.com")],
    defaults: &[],
    extensions: &[
        ("runner-environment", "runner_environment"),
        ("source-repository-digest", "build_commit"),
        ("build-trigger", "build_source"),
        (
            "run-invocation-uri",
            "{{.url}}/{{.organization_slug}}/{{.pipeline_slug}}/builds/{{.build_number}}#{{.job_id}}",
        ),
    ],
};

const CODEFRESH: Builtin = Builtin {
    san: "{{.platform_url}}/{{.account_name}}/{{.pipeline_name}}:{{.account_id}}/{{.pipeline_id}}",
    constants: &[],
    defaults: &[
        ("platform_url", "https://g.codefresh.io"),
        // Only builds that a push, a pull request or a person started from a repository have these.
        ("scm_repo_url", ""),
        ("scm_ref", ""),
        ("runner_environment", ""),
    ],
    extensions: &[
        ("build-signer-uri", "{{.platform_url}}/build/{{.workflow_id}}"),
        ("runner-environment", "runner_environment"),
        ("source-repository-uri", "scm_repo_url"),
        ("source-repository-ref", "scm_ref"),
        ("build-config-uri", "{{.platform_url}}/api/pipelines/{{.pipeline_id}}"),
        ("run-invocation-uri", "{{.platform_url}}/build/{{.workflow_id}}"),
    ],
};

const CIRCLECI: Builtin = Builtin {
    san: "{{.api_url}}/projects/{{index . \"oidc.circleci.com/project-id\"}}/pipeline-definitions/{{index . \"oidc.circleci.com/pipeline-definition-id\"}}",
    constants: &[],
    defaults: &[("api_url", "https://circleci.com/api/v2"), ("platform_url", "https://app.circleci.com/")],
    extensions: &[
        (
            "build-signer-uri",
            "{{.api_url}}/projects/{{index . \"oidc.circleci.com/project-id\"}}/pipeline-definitions/{{index . \"oidc.circleci.com/pipeline-definition-id\"}}",
        ),
        // The two quotes are what the public instance's certificates say of a job that nobody logged in to.
        (
            "runner-environment",
            "{{if eq (index . \"oidc.circleci.com/ssh-rerun\") \"true\"}}ssh-rerun{{else}}\"\"{{end}}",
        ),
        ("source-repository-uri", "{{index . \"oidc.circleci.com/vcs-origin\"}}"),
        ("source-repository-ref", "{{index . \"oidc.circleci.com/vcs-ref\"}}"),
        ("build-config-uri", "{{.api_url}}/pipeline/{{index . \"oidc.circleci.com/pipeline-id\"}}/config"),
        (
            "run-invocation-uri",
            "{{.platform_url}}/workflow/{{index . \"oidc.circleci.com/workflow-id\"}}/job/{{index . \"oidc.circleci.com/job-id\"}}",
        ),
    ],
};

const BUDDY: Builtin = Builtin {
    san: "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}/pipelines/pipeline/{{.pipeline_id}}",
    constants: &[],
    // Each region says its own address; runs that were not started by a commit have neither revision nor ref.
    defaults: &[("base_url", "https://app.buddy.works"), ("revision", ""), ("ref", "")],
    extensions: &[
        (
            "build-signer-uri",
            "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}/pipelines/pipeline/{{.pipeline_id}}",
        ),
        ("runner-environment", "runner_environment"),
        ("source-repository-uri", "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}"),
        ("source-repository-digest", "revision"),
        ("source-repository-ref", "ref"),
        ("source-repository-owner-uri", "{{.base_url}}/{{.workspace_domain}}"),
        ("build-trigger", "triggered_on"),
        (
            "run-invocation-uri",
            "{{.base_url}}/{{.workspace_domain}}/{{.project_name}}/pipelines/pipeline/{{.pipeline_id}}/execution/{{.execution_id}}",
        ),
    ],
};

/// The provider of this name, for tokens of this issuer.
pub(crate) fn builtin(name: &str, issuer_url: &str) -> Option<ProviderText> {
    let found = match name {
        "github-workflow" => &GITHUB,
        "gitlab-pipeline" => &GITLAB,
        "buildkite-job" => &BUILDKITE,
        "codefresh-workflow" => &CODEFRESH,
        "circleci-job" => &CIRCLECI,
        "buddy-pipeline" => &BUDDY,
        _ => return None,
    };
    let owned = |pairs: Pairs| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let mut constants = owned(found.constants);
    if name == "gitlab-pipeline" {
        constants.insert("url".to_owned(), issuer_url.trim_end_matches('/').to_owned());
    }
    Some(ProviderText {
        subject_alternative_name: found.san.to_owned(),
        constants,
        defaults: owned(found.defaults),
        extensions: owned(found.extensions),
    })
}
