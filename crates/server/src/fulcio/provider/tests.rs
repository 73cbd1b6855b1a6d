// SPDX-License-Identifier: Apache-2.0
//! Each provider that is known by name, claim by claim: what a token of its kind becomes.

use serde_json::{Value, json};

use super::*;

fn provider(name: &str, issuer: &str) -> CiProvider {
    CiProvider::new(name, builtin(name, issuer).unwrap()).unwrap()
}

fn claims(value: &Value) -> Claims {
    Claims::new(value.as_object().unwrap().clone())
}

/// `(issuer, claims, name, extensions by arc)` of a provider.
struct Case {
    name: &'static str,
    issuer: &'static str,
    claims: Value,
    san: &'static str,
    extensions: &'static [(u32, &'static str)],
    /// Claims without which there is no certificate.
    required: &'static [&'static str],
}

fn github() -> Case {
    Case {
        name: "github-workflow",
        issuer: "https://token.actions.githubusercontent.com",
        claims: json!({
            "sub": "repo:acme/app:ref:refs/heads/main",
            "job_workflow_ref": "acme/workflows/.github/workflows/release.yml@refs/tags/v1",
            "job_workflow_sha": "aaaa", "workflow_ref": "acme/app/.github/workflows/ci.yml@refs/heads/main",
            "workflow_sha": "bbbb", "sha": "cccc", "event_name": "push", "repository": "acme/app",
            "repository_id": "123456789", "repository_owner": "acme", "repository_owner_id": "42",
            "repository_visibility": "private", "workflow": "CI & <release>", "ref": "refs/heads/main",
            "runner_environment": "github-hosted", "run_id": "9876543210", "run_attempt": "2",
            "environment": "production",
            // Not what decides where the repository is.
            "url": "https://evil.example",
        }),
        san: "https://github.com/acme/workflows/.github/workflows/release.yml@refs/tags/v1",
        extensions: &[
            (2, "push"),
            (3, "cccc"),
            (4, "CI & <release>"),
            (5, "acme/app"),
            (6, "refs/heads/main"),
            (9, "https://github.com/acme/workflows/.github/workflows/release.yml@refs/tags/v1"),
            (10, "aaaa"),
            (11, "github-hosted"),
            (12, "https://github.com/acme/app"),
            (13, "cccc"),
            (14, "refs/heads/main"),
            (15, "123456789"),
            (16, "https://github.com/acme"),
            (17, "42"),
            (18, "https://github.com/acme/app/.github/workflows/ci.yml@refs/heads/main"),
            (19, "bbbb"),
            (20, "push"),
            (21, "https://github.com/acme/app/actions/runs/9876543210/attempts/2"),
            (22, "private"),
            (23, "production"),
        ],
        required: &[
            "event_name",
            "job_workflow_ref",
            "job_workflow_sha",
            "ref",
            "repository",
            "repository_id",
            "repository_owner",
            "repository_owner_id",
            "repository_visibility",
            "run_attempt",
            "run_id",
            "runner_environment",
            "sha",
            "workflow",
            "workflow_ref",
            "workflow_sha",
        ],
    }
}

fn gitlab() -> Case {
    Case {
        name: "gitlab-pipeline",
        issuer: "https://gitlab.example.com",
        claims: json!({
            "ci_config_ref_uri": "gitlab.example.com/group/app//.gitlab-ci.yml@refs/heads/main", "ci_config_sha": "aaaa",
            "runner_environment": "self-hosted", "project_path": "group/app", "sha": "bbbb", "ref_type": "tag", "ref": "v1.0",
            "project_id": "77", "namespace_path": "group", "namespace_id": "7", "pipeline_source": "web", "job_id": "1001",
            "project_visibility": "public",
        }),
        san: "https://gitlab.example.com/group/app//.gitlab-ci.yml@refs/heads/main",
        extensions: &[
            (9, "https://gitlab.example.com/group/app//.gitlab-ci.yml@refs/heads/main"),
            (10, "aaaa"),
            (11, "self-hosted"),
            (12, "https://gitlab.example.com/group/app"),
            (13, "bbbb"),
            (14, "refs/tags/v1.0"),
            (15, "77"),
            (16, "https://gitlab.example.com/group"),
            (17, "7"),
            (18, "https://gitlab.example.com/group/app//.gitlab-ci.yml@refs/heads/main"),
            (19, "aaaa"),
            (20, "web"),
            (21, "https://gitlab.example.com/group/app/-/jobs/1001"),
            (22, "public"),
            (23, ""),
        ],
        required: &[
            "ci_config_ref_uri",
            "ci_config_sha",
            "job_id",
            "namespace_id",
            "namespace_path",
            "pipeline_source",
            "project_id",
            "project_path",
            "project_visibility",
            "ref",
            "ref_type",
            "runner_environment",
            "sha",
        ],
    }
}

fn buildkite() -> Case {
    Case {
        name: "buildkite-job",
        issuer: "https://agent.buildkite.com",
        claims: json!({
            "organization_slug": "acme", "pipeline_slug": "app", "build_number": 17, "job_id": "0184990a-477b",
            "runner_environment": "self-hosted", "build_commit": "cccc", "build_source": "webhook",
        }),
        san: "https://buildkite.com/acme/app",
        extensions: &[
            (11, "self-hosted"),
            (13, "cccc"),
            (20, "webhook"),
            (21, "https://buildkite.com/acme/app/builds/17#0184990a-477b"),
        ],
        required: &[
            "build_commit",
            "build_number",
            "build_source",
            "job_id",
            "organization_slug",
            "pipeline_slug",
            "runner_environment",
        ],
    }
}

fn codefresh() -> Case {
    Case {
        name: "codefresh-workflow",
        issuer: "https://oidc.codefresh.io",
        claims: json!({
            "account_id": "628a80b693a15c0f9c13ab75", "account_name": "acme", "pipeline_id": "650", "pipeline_name": "proj/build",
            "workflow_id": "64f", "platform_url": "https://codefresh.acme.example", "scm_repo_url": "https://github.com/acme/app",
            "scm_ref": "main",
        }),
        san: "https://codefresh.acme.example/acme/proj/build:628a80b693a15c0f9c13ab75/650",
        extensions: &[
            (9, "https://codefresh.acme.example/build/64f"),
            (11, ""),
            (12, "https://github.com/acme/app"),
            (14, "main"),
            (18, "https://codefresh.acme.example/api/pipelines/650"),
            (21, "https://codefresh.acme.example/build/64f"),
        ],
        required: &["account_id", "account_name", "pipeline_id", "pipeline_name", "workflow_id"],
    }
}

fn circleci() -> Case {
    Case {
        name: "circleci-job",
        issuer: "https://oidc.circleci.com",
        claims: json!({
            "oidc.circleci.com/project-id": "p-1", "oidc.circleci.com/pipeline-definition-id": "d-2",
            "oidc.circleci.com/pipeline-id": "r-3", "oidc.circleci.com/workflow-id": "w-4", "oidc.circleci.com/job-id": "j-5",
            "oidc.circleci.com/ssh-rerun": false, "oidc.circleci.com/vcs-ref": "refs/heads/main",
            "oidc.circleci.com/vcs-origin": "github.com/acme/app",
        }),
        san: "https://circleci.com/api/v2/projects/p-1/pipeline-definitions/d-2",
        extensions: &[
            (9, "https://circleci.com/api/v2/projects/p-1/pipeline-definitions/d-2"),
            (11, "\"\""),
            (12, "github.com/acme/app"),
            (14, "refs/heads/main"),
            (18, "https://circleci.com/api/v2/pipeline/r-3/config"),
            (21, "https://app.circleci.com//workflow/w-4/job/j-5"),
        ],
        required: &[
            "oidc.circleci.com/job-id",
            "oidc.circleci.com/pipeline-definition-id",
            "oidc.circleci.com/pipeline-id",
            "oidc.circleci.com/project-id",
            "oidc.circleci.com/workflow-id",
        ],
    }
}

fn buddy() -> Case {
    Case {
        name: "buddy-pipeline",
        issuer: "https://eu-oidc.buddyusercontent.com",
        claims: json!({
            "base_url": "https://app.eu.buddy.works", "workspace_domain": "acme", "project_name": "app", "pipeline_id": 12_345_678,
            "triggered_on": "CLICK", "runner_environment": "platform-hosted", "execution_id": "e-9", "revision": "cccc",
        }),
        san: "https://app.eu.buddy.works/acme/app/pipelines/pipeline/12345678",
        extensions: &[
            (9, "https://app.eu.buddy.works/acme/app/pipelines/pipeline/12345678"),
            (11, "platform-hosted"),
            (12, "https://app.eu.buddy.works/acme/app"),
            (13, "cccc"),
            (14, ""),
            (16, "https://app.eu.buddy.works/acme"),
            (20, "CLICK"),
            (21, "https://app.eu.buddy.works/acme/app/pipelines/pipeline/12345678/execution/e-9"),
        ],
        required: &[
            "execution_id",
            "pipeline_id",
            "project_name",
            "runner_environment",
            "triggered_on",
            "workspace_domain",
        ],
    }
}

fn cases() -> Vec<Case> {
    vec![github(), gitlab(), buildkite(), codefresh(), circleci(), buddy()]
}

#[test]
fn every_known_provider_makes_its_name_and_each_of_its_extensions() {
    assert_eq!(cases().iter().map(|case| case.name).collect::<Vec<_>>(), BUILTIN_PROVIDERS);
    for case in cases() {
        let mapped = provider(case.name, case.issuer).map(&claims(&case.claims)).unwrap();
        assert_eq!(mapped.san, SubjectAltName::Uri(case.san.to_owned()), "{}", case.name);
        let extensions: Vec<_> = mapped.extensions.iter().map(|(arc, text)| (*arc, text.as_str())).collect();
        assert_eq!(extensions, case.extensions, "{}", case.name);
    }
}

#[test]
fn a_token_without_a_required_claim_makes_nothing() {
    for case in cases() {
        let provider = provider(case.name, case.issuer);
        assert_eq!(provider.claims().0, case.required, "{}", case.name);
        for missing in case.required {
            let mut fewer = case.claims.clone();
            fewer.as_object_mut().unwrap().remove(*missing);
            let error = provider.map(&claims(&fewer)).unwrap_err();
            let is_it = matches!(&error, MappingError::Render { error: RenderError::Missing { claim }, .. } if claim == missing);
            assert!(is_it, "{} without {missing}: {error}", case.name);
        }
    }
}

#[test]
fn claims_that_are_no_text_make_nothing() {
    for value in
        [json!(null), json!(["acme/app"]), json!({ "a": 1 }), json!(1.5), json!("acme\napp"), json!("acme/app\0")]
    {
        let mut hostile = github().claims;
        hostile["repository"] = value.clone();
        let error = provider("github-workflow", "").map(&claims(&hostile)).unwrap_err();
        let is_it = matches!(&error, MappingError::Render { error: RenderError::Unusable { claim }, .. } if claim == "repository");
        assert!(is_it, "{value}: {error}");
    }
}

#[test]
fn hostile_texts_land_as_they_are_in_extensions_and_as_a_url_in_the_name() {
    let with = |workflow_ref: &str| {
        let mut hostile = github().claims;
        hostile["job_workflow_ref"] = json!(workflow_ref);
        provider("github-workflow", "").map(&claims(&hostile))
    };
    for (workflow_ref, name, signer) in [
        ("o/r@refs/heads/a b", "https://github.com/o/r@refs/heads/a%20b", "https://github.com/o/r@refs/heads/a b"),
        (
            "o/r@refs/heads/&<>\"'",
            "https://github.com/o/r@refs/heads/&%3C%3E%22%27",
            "https://github.com/o/r@refs/heads/&<>\"'",
        ),
        (
            "o/r@refs/heads/\u{fc}",
            "https://github.com/o/r@refs/heads/%C3%BC",
            "https://github.com/o/r@refs/heads/\u{fc}",
        ),
    ] {
        let mapped = with(workflow_ref).unwrap();
        assert_eq!(mapped.san, SubjectAltName::Uri(name.to_owned()));
        assert!(mapped.extensions.contains(&(9, signer.to_owned())), "{workflow_ref}");
    }
    for (workflow_ref, expect) in [
        ("o/r/../../evil@x", SanUrlError::DotSegment),
        ("o/r@100%", SanUrlError::Percent),
        ("o/r/%2e%2e/x", SanUrlError::DotSegment),
    ] {
        assert_eq!(with(workflow_ref).unwrap_err(), MappingError::Name(expect), "{workflow_ref}");
    }
}

#[test]
fn a_constant_wins_over_a_claim_and_a_claim_over_a_default() {
    let text = ProviderText {
        subject_alternative_name: "https://{{.fixed}}/{{.given}}/{{.fallen_back}}".to_owned(),
        constants: BTreeMap::from([("fixed".to_owned(), "ci.example.com".to_owned())]),
        defaults: [("given", "default"), ("fallen_back", "default")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        extensions: BTreeMap::new(),
    };
    let provider = CiProvider::new("mine", text).unwrap();
    let mapped = provider.map(&claims(&json!({ "fixed": "evil.example", "given": "claim" }))).unwrap();
    assert_eq!(mapped.san, SubjectAltName::Uri("https://ci.example.com/claim/default".to_owned()));
    assert_eq!(provider.claims(), (vec![], vec!["fallen_back", "given"]));
}

#[test]
fn circleci_says_so_when_somebody_logged_in_to_the_job() {
    let mut rerun = circleci().claims;
    rerun["oidc.circleci.com/ssh-rerun"] = json!(true);
    // Pipelines without a repository have neither of these: their extensions are empty and left out.
    for claim in ["oidc.circleci.com/vcs-ref", "oidc.circleci.com/vcs-origin"] {
        rerun.as_object_mut().unwrap().remove(claim);
    }
    let mapped = provider("circleci-job", "").map(&claims(&rerun)).unwrap();
    for expect in [(11, "ssh-rerun"), (12, ""), (14, "")] {
        assert!(mapped.extensions.contains(&(expect.0, expect.1.to_owned())), "{expect:?}");
    }
}

#[test]
fn a_provider_that_is_not_understood_names_the_place() {
    let text = |san: &str, extension: &str, template: &str| ProviderText {
        subject_alternative_name: san.to_owned(),
        extensions: BTreeMap::from([(extension.to_owned(), template.to_owned())]),
        ..ProviderText::default()
    };
    for (text, expect) in [
        (text("", "build-trigger", "x"), "ci provider mine: the template of subject-alternative-name: it is empty"),
        (text("https://x/{{.a}}", "build-trigger", "{{.a"), "the template of build-trigger: at byte 0"),
        (text("https://x/{{.a}}", "issuer", "x"), "there is no extension \"issuer\""),
        (text("https://x/{{.a}}", "BuildTrigger", "x"), "there is no extension \"BuildTrigger\""),
    ] {
        let error = CiProvider::new("mine", text).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    // A blank template is one that is not there.
    assert!(CiProvider::new("mine", text("https://x/{{.a}}", "build-trigger", " ")).unwrap().extensions.is_empty());
}
