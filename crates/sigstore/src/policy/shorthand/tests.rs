// SPDX-License-Identifier: Apache-2.0
//! What the short forms mean: identities as Fulcio certifies them, and those beside them.

use super::*;
use crate::policy::identity::Claimed;
use crate::policy::refusal::Part;
use crate::principal::SubjectAltName;

/// A certificate of a job: build signer, source repository, its ref, workflow that was started, trigger, environment.
struct Job<'a> {
    issuer: &'a str,
    signer: &'a str,
    source: &'a str,
    git_ref: &'a str,
    started: &'a str,
    trigger: &'a str,
    environment: Option<&'a str>,
}

const RELEASE: Job<'_> = Job {
    issuer: GITHUB_ISSUER,
    signer: "https://github.com/owner/repo/.github/workflows/release.yml@refs/tags/v1.2",
    source: "https://github.com/owner/repo",
    git_ref: "refs/tags/v1.2",
    started: "https://github.com/owner/repo/.github/workflows/release.yml@refs/tags/v1.2",
    trigger: "push",
    environment: None,
};

impl Job<'_> {
    fn claimed(&self) -> Claimed {
        let mut extensions = vec![
            (FulcioExtension::BuildSignerUri, self.signer.to_owned()),
            (FulcioExtension::SourceRepositoryUri, self.source.to_owned()),
            (FulcioExtension::SourceRepositoryRef, self.git_ref.to_owned()),
            (FulcioExtension::BuildConfigUri, self.started.to_owned()),
            (FulcioExtension::BuildTrigger, self.trigger.to_owned()),
        ];
        extensions.extend(self.environment.map(|name| (FulcioExtension::DeploymentEnvironment, name.to_owned())));
        Claimed { san: SubjectAltName::Uri(self.signer.to_owned()), issuer: self.issuer.to_owned(), extensions }
    }
}

/// The parts that do not match; none if the job is accepted.
fn mismatches(rule: &IdentityRule, job: &Job<'_>) -> Vec<Part> {
    rule.mismatches(&job.claimed()).into_iter().map(|mismatch| mismatch.part).collect()
}

const SOURCE: Part = Part::Extension(FulcioExtension::SourceRepositoryUri);
const REF: Part = Part::Extension(FulcioExtension::SourceRepositoryRef);

#[test]
fn a_repository_is_itself_and_no_text_that_begins_like_it() {
    let rule = Github::of("owner/repo").rule().unwrap();
    assert_eq!(mismatches(&rule, &RELEASE), []);
    for repository in
        ["owner/repo-evil", "owner/repo.git", "owner/rep", "owner/repo/x", "evil/owner/repo", "Owner/repo"]
    {
        let source = format!("https://github.com/{repository}");
        let signer = format!("{source}/.github/workflows/release.yml@refs/tags/v1.2");
        let job = Job { source: &source, signer: &signer, ..RELEASE };
        assert_eq!(mismatches(&rule, &job), [Part::Identity, SOURCE], "{repository}");
    }
    let elsewhere = Job { issuer: "https://issuer.example", ..RELEASE };
    assert_eq!(mismatches(&rule, &elsewhere), [Part::Issuer]);
}

/// The trap of reusable workflows: the certificate's name is the repository that holds the steps, whoever calls them.
#[test]
fn a_stranger_who_calls_our_workflow_is_refused() {
    let rule = Github::of("owner/repo").rule().unwrap();
    let stranger = Job { source: "https://github.com/evil/repo", ..RELEASE };
    assert_eq!(mismatches(&rule, &stranger), [SOURCE]);
}

#[test]
fn our_repository_with_steps_of_a_stranger_is_refused_unless_they_are_named() {
    let signer = "https://github.com/slsa/generator/.github/workflows/generic.yml@refs/tags/v2.1.0";
    let job = Job { signer, ..RELEASE };
    assert_eq!(mismatches(&Github::of("owner/repo").rule().unwrap(), &job), [Part::Identity]);
    let named = |reusable: &str| {
        let github = Github { reusable_workflow: Some(reusable.to_owned()), ..Github::of("owner/repo") };
        mismatches(&github.rule().unwrap(), &job)
    };
    assert_eq!(named("slsa/generator/.github/workflows/generic.yml@refs/tags/v2.1.0"), []);
    assert_eq!(named("slsa/generator/.github/workflows/generic.yml@refs/tags/v2.*"), []);
    assert_eq!(named("slsa/generator/.github/workflows/generic.yml"), []);
    assert_eq!(named("slsa/generator/.github/workflows/generic.yml@refs/tags/v3.0.0"), [Part::Identity]);
    assert_eq!(named("slsa/generator/.github/workflows/go.yml"), [Part::Identity]);
}

#[test]
fn with_a_reusable_workflow_the_started_one_is_that_of_the_build_config() {
    let github = Github {
        reusable_workflow: Some("slsa/generator/.github/workflows/generic.yml@refs/tags/v2.1.0".into()),
        workflow: Some("release.yml".into()),
        ..Github::of("owner/repo")
    };
    let rule = github.rule().unwrap();
    let signer = "https://github.com/slsa/generator/.github/workflows/generic.yml@refs/tags/v2.1.0";
    assert_eq!(mismatches(&rule, &Job { signer, ..RELEASE }), []);
    let started = "https://github.com/owner/repo/.github/workflows/test.yml@refs/tags/v1.2";
    let expect = [Part::Extension(FulcioExtension::BuildConfigUri)];
    assert_eq!(mismatches(&rule, &Job { signer, started, ..RELEASE }), expect);
}

#[test]
fn every_option_is_enforced() {
    let of = || Github::of("owner/repo");
    let some = |text: &str| Some(text.to_owned());
    let cases: [(Github, &[Part]); 12] = [
        (Github { workflow: some("release.yml"), ..of() }, &[]),
        (Github { workflow: some(".github/workflows/release.yml"), ..of() }, &[]),
        (Github { workflow: some("release.yaml"), ..of() }, &[Part::Identity]),
        (Github { git_ref: some("refs/tags/v1.2"), ..of() }, &[]),
        (Github { git_ref: some("refs/tags/v*"), ..of() }, &[]),
        (Github { git_ref: some("refs/heads/main"), ..of() }, &[Part::Identity, REF]),
        (Github { trigger: some("push"), ..of() }, &[]),
        (Github { trigger: some("pull_request"), ..of() }, &[Part::Extension(FulcioExtension::BuildTrigger)]),
        (
            Github { environment: some("production"), ..of() },
            &[Part::Extension(FulcioExtension::DeploymentEnvironment)],
        ),
        (Github { server: some("https://git.example.com"), ..of() }, &[Part::Identity, SOURCE]),
        (Github { issuer: some("https://issuer.example"), ..of() }, &[Part::Issuer]),
        (Github::of("owner/*"), &[]),
    ];
    for (github, expect) in cases {
        assert_eq!(mismatches(&github.rule().unwrap(), &RELEASE), expect, "{github:?}");
    }
    let production = Github { environment: some("production"), ..of() }.rule().unwrap();
    assert_eq!(mismatches(&production, &Job { environment: Some("production"), ..RELEASE }), []);
    assert_eq!(
        mismatches(&production, &Job { environment: Some("staging"), ..RELEASE }),
        [Part::Extension(FulcioExtension::DeploymentEnvironment)]
    );
}

#[test]
fn every_repository_of_an_owner_is_not_every_repository_of_another() {
    let rule = Github::of("owner/*").rule().unwrap();
    for source in ["https://github.com/owner-evil/repo", "https://github.com/evil/owner/repo"] {
        let signer = format!("{source}/.github/workflows/release.yml@refs/tags/v1.2");
        assert_eq!(mismatches(&rule, &Job { source, signer: &signer, ..RELEASE }), [Part::Identity, SOURCE]);
    }
}

#[test]
fn a_branch_whose_name_ends_like_another_is_another() {
    let github = Github { git_ref: Some("refs/heads/main".into()), ..Github::of("owner/repo") };
    let evil = "refs/heads/x@refs/heads/main";
    let signer = format!("https://github.com/owner/repo/.github/workflows/release.yml@{evil}");
    let job = Job { git_ref: evil, signer: &signer, ..RELEASE };
    assert_eq!(mismatches(&github.rule().unwrap(), &job), [Part::Identity, REF]);
}

/// In the subject alternative name a URL escapes some characters; the extension has the ref as it is.
#[test]
fn a_ref_that_urls_escape_is_told_by_the_extension() {
    let github = Github { git_ref: Some("refs/heads/f\u{fc}r#1".into()), ..Github::of("owner/repo") };
    let signer = "https://github.com/owner/repo/.github/workflows/release.yml@refs/heads/f%C3%BCr#1";
    let rule = github.rule().unwrap();
    assert_eq!(mismatches(&rule, &Job { git_ref: "refs/heads/f\u{fc}r#1", signer, ..RELEASE }), []);
    assert_eq!(mismatches(&rule, &Job { git_ref: "refs/heads/f\u{fc}r#2", signer, ..RELEASE }), [REF]);
}

const PIPELINE: Job<'_> = Job {
    issuer: "https://gitlab.com",
    signer: "https://gitlab.com/group/sub/project//.gitlab-ci.yml@refs/heads/main",
    source: "https://gitlab.com/group/sub/project",
    git_ref: "refs/heads/main",
    started: "https://gitlab.com/group/sub/project//.gitlab-ci.yml@refs/heads/main",
    trigger: "push",
    environment: Some("production"),
};

#[test]
fn gitlab() {
    let of = || Gitlab::of("group/sub/project");
    let some = |text: &str| Some(text.to_owned());
    let cases: [(Gitlab, &[Part]); 13] = [
        (of(), &[]),
        (Gitlab::of("group/sub/*"), &[]),
        (Gitlab::of("group/**"), &[]),
        (Gitlab::of("group/*"), &[Part::Identity, SOURCE]),
        (Gitlab::of("group/sub/project-evil"), &[Part::Identity, SOURCE]),
        (Gitlab::of("group/sub"), &[Part::Identity, SOURCE]),
        (Gitlab { config: some(".gitlab-ci.yml"), ..of() }, &[]),
        (Gitlab { config: some("ci/other.yml"), ..of() }, &[Part::Identity]),
        (Gitlab { git_ref: some("refs/heads/main"), ..of() }, &[]),
        (Gitlab { git_ref: some("refs/tags/*"), ..of() }, &[Part::Identity, REF]),
        (Gitlab { environment: some("staging"), ..of() }, &[Part::Extension(FulcioExtension::DeploymentEnvironment)]),
        (Gitlab { trigger: some("web"), ..of() }, &[Part::Extension(FulcioExtension::BuildTrigger)]),
        (Gitlab { server: some("https://git.example.com"), ..of() }, &[Part::Identity, Part::Issuer, SOURCE]),
    ];
    for (gitlab, expect) in cases {
        assert_eq!(mismatches(&gitlab.rule().unwrap(), &PIPELINE), expect, "{gitlab:?}");
    }
}

#[test]
fn what_is_no_repository_is_refused() {
    for found in [
        "",
        "repo",
        "owner/",
        "/repo",
        "owner/repo.git",
        "https://github.com/owner/repo",
        "o/..",
        "*/repo",
        "o/r*",
        "owner/repo/x",
        "owner/**",
        "ow ner/repo",
    ] {
        let expect = ShorthandError::Repository { found: found.into() };
        assert_eq!(Github::of(found).rule().unwrap_err(), expect);
    }
    for found in ["", "project", "group/", "group/project.git", "https://gitlab.com/group/project", "a//b", "*/b", "**"]
    {
        assert_eq!(Gitlab::of(found).rule().unwrap_err(), ShorthandError::Project { found: found.into() });
    }
}

#[test]
fn malformed_options_are_refused_by_name() {
    let github = |change: fn(&mut Github)| {
        let mut github = Github::of("owner/repo");
        change(&mut github);
        github.rule().unwrap_err().to_string()
    };
    for (text, part) in [
        (github(|github| github.workflow = Some("a/b.yml".into())), "is not the name of a workflow file"),
        (github(|github| github.git_ref = Some("main".into())), "is not a full ref"),
        (github(|github| github.git_ref = Some("refs/heads/a b".into())), "is not a full ref"),
        (github(|github| github.server = Some("http://git.example.com".into())), "is not the address of a server"),
        (github(|github| github.server = Some("https://git.example.com/".into())), "is not the address of a server"),
        (github(|github| github.reusable_workflow = Some("a/b/c.yml".into())), "is not a reusable workflow"),
        (github(|github| github.reusable_workflow = Some("a/b/.github/workflows/c.yml@".into())), "is not a reusable"),
        (github(|github| github.environment = Some(String::new())), "an empty text"),
        (github(|github| github.issuer = Some(String::new())), "an empty text"),
    ] {
        assert!(text.contains(part), "{text}");
    }
}
