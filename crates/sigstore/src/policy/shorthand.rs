// SPDX-License-Identifier: Apache-2.0
//! Short forms of the identities that CI systems have: a repository on GitHub, a project on GitLab.
//!
//! Fulcio certifies a job of GitHub Actions under the workflow that holds its steps (`job_workflow_ref`: the subject alternative name
//! and .9, the build signer). That may be a reusable workflow of another repository, so what is built is said by .12 (the source
//! repository) and .14 (its ref), and the workflow that was started by .18 (build config). GitLab's certificates have the same
//! extensions; there the configuration is always the project's own.
//!
//! In scope: from a short form to an [`IdentityRule`]. Out of scope: other CI systems, whose rules are written out.
//! Invariants: the source repository is always demanded, as a whole text and never as a prefix; the build signer is of the same
//! repository unless the short form names a reusable workflow.

use super::extension::FulcioExtension;
use super::identity::{IdentityMatcher, IdentityRule, SanType};
use super::matcher::{Matcher, MatcherError};

/// Who issues the tokens of GitHub Actions.
pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";
const GITHUB_SERVER: &str = "https://github.com";
/// Who issues the tokens of gitlab.com, and where its projects are.
const GITLAB_SERVER: &str = "https://gitlab.com";
/// Where workflows lie in a repository on GitHub.
const WORKFLOWS: &str = ".github/workflows";

/// A job of GitHub Actions that builds a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Github {
    /// `owner/repo`, or `owner/*` for every repository of an owner.
    pub repository: String,
    /// The file in `.github/workflows` that was started.
    pub workflow: Option<String>,
    /// What was built: `refs/heads/main`; a glob may stand here.
    pub git_ref: Option<String>,
    /// The deployment environment.
    pub environment: Option<String>,
    /// The event, as `push` or `release`.
    pub trigger: Option<String>,
    /// The workflow that holds the steps, if it is one that the other calls: `owner/repo/.github/workflows/file.yml@refs/tags/v1`.
    pub reusable_workflow: Option<String>,
    /// The address of GitHub, if it is another than `https://github.com`.
    pub server: Option<String>,
    /// Who issues its tokens, if it is another than GitHub's own.
    pub issuer: Option<String>,
}

/// A job of GitLab CI that builds a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gitlab {
    /// `group/project`, `group/*` for every project of a group, `group/**` for those of its groups too.
    pub project: String,
    /// The file with the pipeline.
    pub config: Option<String>,
    /// What was built: `refs/heads/main`; a glob may stand here.
    pub git_ref: Option<String>,
    /// The deployment environment.
    pub environment: Option<String>,
    /// The source of the pipeline, as `push` or `web`.
    pub trigger: Option<String>,
    /// The address of GitLab, if it is another than `https://gitlab.com`.
    pub server: Option<String>,
    /// Who issues its tokens, if it is another than the server.
    pub issuer: Option<String>,
}

/// Why a short form means nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ShorthandError {
    #[error("{found:?} is not a repository: expected owner/repo or owner/*, without address and without .git")]
    Repository { found: String },
    #[error(
        "{found:?} is not a project: expected group/project, group/* or group/**, without address and without .git"
    )]
    Project { found: String },
    #[error("{found:?} is not the name of a workflow file, as release.yml")]
    Workflow { found: String },
    #[error("{found:?} is not a reusable workflow: expected owner/repo/{WORKFLOWS}/file.yml, and @ref after it")]
    ReusableWorkflow { found: String },
    #[error("{found:?} is not the path of a pipeline file, as .gitlab-ci.yml")]
    Config { found: String },
    #[error("{found:?} is not a full ref, as refs/heads/main or refs/tags/v1")]
    Ref { found: String },
    #[error("{found:?} is not the address of a server, as https://git.example.com")]
    Server { found: String },
    #[error(transparent)]
    Matcher(#[from] MatcherError),
}

impl Github {
    /// Every job that builds this repository with a workflow of its own.
    #[must_use]
    pub fn of(repository: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            workflow: None,
            git_ref: None,
            environment: None,
            trigger: None,
            reusable_workflow: None,
            server: None,
            issuer: None,
        }
    }

    /// The rule that is meant.
    ///
    /// # Errors
    /// The part that is not what it must be.
    pub fn rule(&self) -> Result<IdentityRule, ShorthandError> {
        let bad_repository = || ShorthandError::Repository { found: self.repository.clone() };
        let (owner, repository) = self.repository.split_once('/').ok_or_else(bad_repository)?;
        if !is_owner(owner) || !(repository == "*" || is_repository(repository)) {
            return Err(bad_repository());
        }
        let server = server(self.server.as_deref(), GITHUB_SERVER)?;
        let source = format!("{server}/{owner}/{repository}");
        let workflow = workflow_file(self.workflow.as_deref())?;
        let git_ref = self.git_ref.as_deref().map(full_ref).transpose()?;
        let started = format!("{source}/{WORKFLOWS}/{workflow}@{}", ref_in_uri(git_ref));
        let signer = match &self.reusable_workflow {
            None => started.clone(),
            Some(reusable) => format!("{server}/{}", reusable_workflow(reusable)?),
        };
        let issuer = Matcher::exact(self.issuer.as_deref().unwrap_or(GITHUB_ISSUER))?;
        let mut rule = IdentityRule::new(IdentityMatcher::of_type(SanType::Uri, text_or_glob(&signer)?), issuer)
            .with(FulcioExtension::SourceRepositoryUri, text_or_glob(&source)?);
        if self.reusable_workflow.is_some() && self.workflow.is_some() {
            rule = rule.with(FulcioExtension::BuildConfigUri, text_or_glob(&started)?);
        }
        with_circumstances(rule, git_ref, self.environment.as_deref(), self.trigger.as_deref())
    }
}

impl Gitlab {
    /// Every job that builds this project.
    #[must_use]
    pub fn of(project: &str) -> Self {
        Self {
            project: project.to_owned(),
            config: None,
            git_ref: None,
            environment: None,
            trigger: None,
            server: None,
            issuer: None,
        }
    }

    /// The rule that is meant.
    ///
    /// # Errors
    /// The part that is not what it must be.
    pub fn rule(&self) -> Result<IdentityRule, ShorthandError> {
        let bad_project = || ShorthandError::Project { found: self.project.clone() };
        let (groups, project) = self.project.rsplit_once('/').ok_or_else(bad_project)?;
        if !groups.split('/').all(is_repository) || !(matches!(project, "*" | "**") || is_repository(project)) {
            return Err(bad_project());
        }
        let config = self.config.as_deref().unwrap_or("**");
        if config.is_empty() || config.starts_with('/') || config.contains(|c: char| c == '@' || !c.is_ascii_graphic())
        {
            return Err(ShorthandError::Config { found: config.to_owned() });
        }
        let server = server(self.server.as_deref(), GITLAB_SERVER)?;
        let source = format!("{server}/{}", self.project);
        let git_ref = self.git_ref.as_deref().map(full_ref).transpose()?;
        let signer = format!("{source}//{config}@{}", ref_in_uri(git_ref));
        let issuer = Matcher::exact(self.issuer.as_deref().unwrap_or(server))?;
        let rule = IdentityRule::new(IdentityMatcher::of_type(SanType::Uri, text_or_glob(&signer)?), issuer)
            .with(FulcioExtension::SourceRepositoryUri, text_or_glob(&source)?);
        with_circumstances(rule, git_ref, self.environment.as_deref(), self.trigger.as_deref())
    }
}

/// What was built, for which environment, and why.
fn with_circumstances(
    mut rule: IdentityRule,
    git_ref: Option<&str>,
    environment: Option<&str>,
    trigger: Option<&str>,
) -> Result<IdentityRule, ShorthandError> {
    if let Some(git_ref) = git_ref {
        rule = rule.with(FulcioExtension::SourceRepositoryRef, text_or_glob(git_ref)?);
    }
    if let Some(environment) = environment {
        rule = rule.with(FulcioExtension::DeploymentEnvironment, Matcher::exact(environment)?);
    }
    if let Some(trigger) = trigger {
        rule = rule.with(FulcioExtension::BuildTrigger, Matcher::exact(trigger)?);
    }
    Ok(rule)
}

/// A glob where there is a star, which no repository, ref or workflow has in its name.
fn text_or_glob(text: &str) -> Result<Matcher, MatcherError> {
    if text.contains('*') { Matcher::glob(text) } else { Matcher::exact(text) }
}

fn is_owner(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn is_repository(name: &str) -> bool {
    let characters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    !name.is_empty() && characters && name != "." && name != ".." && !name.ends_with(".git")
}

fn server<'a>(given: Option<&'a str>, default: &'a str) -> Result<&'a str, ShorthandError> {
    let server = given.unwrap_or(default);
    let bad_server = || ShorthandError::Server { found: server.to_owned() };
    let host = server.strip_prefix("https://").ok_or_else(bad_server)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:/_".contains(&byte);
    if host.is_empty() || host.starts_with('/') || host.ends_with('/') || !host.bytes().all(allowed) {
        return Err(bad_server());
    }
    Ok(server)
}

/// The name of the file alone, or any.
fn workflow_file(given: Option<&str>) -> Result<&str, ShorthandError> {
    let Some(given) = given else { return Ok("*") };
    let file = given.strip_prefix(WORKFLOWS).and_then(|rest| rest.strip_prefix('/')).unwrap_or(given);
    let forbidden = |c: char| !c.is_ascii_graphic() || "/@%?#".contains(c);
    if file.is_empty() || file.contains(forbidden) || file.contains("**") {
        return Err(ShorthandError::Workflow { found: given.to_owned() });
    }
    Ok(file)
}

fn reusable_workflow(given: &str) -> Result<String, ShorthandError> {
    let bad = || ShorthandError::ReusableWorkflow { found: given.to_owned() };
    let (path, git_ref) = match given.split_once('@') {
        Some((path, git_ref)) => (path, git_ref),
        None => (given, "**"),
    };
    let parts: Vec<&str> = path.splitn(3, '/').collect();
    let [owner, repository, file] = parts.as_slice() else { return Err(bad()) };
    let file = file.strip_prefix(WORKFLOWS).and_then(|rest| rest.strip_prefix('/')).ok_or_else(bad)?;
    let whole = is_owner(owner) && is_repository(repository) && workflow_file(Some(file)).is_ok();
    // A ref, or the digest of a commit, which GitHub writes as it was called.
    let characters = |c: char| c.is_ascii_alphanumeric() || "._/*+-@".contains(c);
    if !whole || git_ref.is_empty() || !git_ref.chars().all(characters) {
        return Err(bad());
    }
    Ok(format!("{owner}/{repository}/{WORKFLOWS}/{file}@{git_ref}"))
}

fn full_ref(git_ref: &str) -> Result<&str, ShorthandError> {
    let name = git_ref.strip_prefix("refs/").filter(|name| !name.is_empty());
    if name.is_none() || git_ref.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(ShorthandError::Ref { found: git_ref.to_owned() });
    }
    Ok(git_ref)
}

/// The ref as the subject alternative name ends in it. There some characters are percent-encoded: then the extension with the ref,
/// which is demanded too, decides alone.
fn ref_in_uri(git_ref: Option<&str>) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/*-".contains(c);
    git_ref.filter(|git_ref| git_ref.chars().all(plain)).unwrap_or("**")
}

#[cfg(test)]
mod tests;
