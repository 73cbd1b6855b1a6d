// SPDX-License-Identifier: Apache-2.0
//! Who asks AWS: credentials and region.
//!
//! Spec: the AWS SDKs and Tools Reference Guide, "environment variables" and "shared config and credentials files".
//! In scope, in this order: the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), or else a profile of the shared
//! credentials file (`AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`; `AWS_PROFILE`, else `default`) with the same three values. The
//! region of a key that is not named by an ARN: `AWS_REGION`, else `AWS_DEFAULT_REGION`.
//! Out of scope: every other source (roles to assume, single sign-on, web identities, instance metadata, `credential_process`, the
//! file `config`); a program that renews credentials writes them into the file, which is read for each request.
//! Invariants: a secret is never printed and is wiped when it is no longer needed; a credentials file is readable by its owner alone.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::AwsKmsProblem;
use super::uri::is_region;
use crate::file::read_private;

/// Longest credentials file: some hundred profiles.
const CREDENTIALS_BYTES_MAX: u64 = 64 * 1024;

/// What a request is signed with.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Zeroizing<String>,
    pub(super) session_token: Option<Zeroizing<String>>,
}

/// Where credentials come from; chosen once.
pub(super) enum CredentialSource {
    Environment(Credentials),
    File { path: PathBuf, profile: String },
}

impl CredentialSource {
    /// Looks at the environment, given as a function from names to values.
    pub(super) fn choose(environment: impl Fn(&str) -> Option<String>) -> Result<Self, AwsKmsProblem> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        match (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY")) {
            (Some(access_key_id), Some(secret_access_key)) => Ok(Self::Environment(Credentials {
                access_key_id,
                secret_access_key: Zeroizing::new(secret_access_key),
                session_token: set("AWS_SESSION_TOKEN").map(Zeroizing::new),
            })),
            (None, None) => {
                let home = || set("HOME").map(|home| Path::new(&home).join(".aws/credentials"));
                let path = set("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from).or_else(home);
                let profile = set("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
                Ok(Self::File { path: path.ok_or(AwsKmsProblem::NoCredentials)?, profile })
            }
            // Half a pair is a mistake, not a wish for the other source.
            _ => Err(AwsKmsProblem::HalfCredentials),
        }
    }

    /// The credentials of now.
    pub(super) async fn read(&self) -> Result<Credentials, AwsKmsProblem> {
        match self {
            Self::Environment(credentials) => Ok(credentials.clone()),
            Self::File { path, profile } => {
                let read_path = path.clone();
                let read = move || read_private(&read_path, CREDENTIALS_BYTES_MAX);
                let text = tokio::task::spawn_blocking(read).await.expect("reading a file does not panic");
                let text = text.map_err(|error| AwsKmsProblem::CredentialsFile(Box::new(error)))?;
                let missing = || AwsKmsProblem::NoProfile { path: path.clone(), profile: profile.clone() };
                credentials_of(&text, profile).ok_or_else(missing)
            }
        }
    }
}

/// The region of a key that names none.
pub(super) fn region(environment: impl Fn(&str) -> Option<String>) -> Result<String, AwsKmsProblem> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    let region = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"));
    region.filter(|region| is_region(region)).ok_or(AwsKmsProblem::NoRegion)
}

/// The values of a profile; of a value or profile that stands there twice, the last, as AWS's own tools take it.
fn credentials_of(text: &str, profile: &str) -> Option<Credentials> {
    let (mut inside, mut id, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim() == profile;
        } else if let (true, Some((name, value))) = (inside, line.split_once('=')) {
            match name.trim() {
                "aws_access_key_id" => id = Some(value.trim()),
                "aws_secret_access_key" => secret = Some(value.trim()),
                "aws_session_token" => token = Some(value.trim()),
                _ => {}
            }
        }
    }
    let given = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
    Some(Credentials {
        access_key_id: given(id)?,
        secret_access_key: Zeroizing::new(given(secret)?),
        session_token: given(token).map(Zeroizing::new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    fn values(credentials: &Credentials) -> (&str, &str, Option<&str>) {
        let token = credentials.session_token.as_ref().map(|token| token.as_str());
        (&credentials.access_key_id, &credentials.secret_access_key, token)
    }

    #[tokio::test]
    async fn the_environment_comes_before_the_file() {
        let both = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("HOME", "/home/ca")];
        let chosen = CredentialSource::choose(environment(&both)).unwrap();
        assert_eq!(values(&chosen.read().await.unwrap()), ("id", "secret", None));
        let with_token = [both.as_slice(), &[("AWS_SESSION_TOKEN", "token")]].concat();
        let chosen = CredentialSource::choose(environment(&with_token)).unwrap();
        assert_eq!(values(&chosen.read().await.unwrap()), ("id", "secret", Some("token")));
        for half in [&both[..1], &both[1..]] {
            assert_eq!(CredentialSource::choose(environment(half)).err(), Some(AwsKmsProblem::HalfCredentials));
        }
    }

    #[test]
    fn the_file_and_its_profile_are_found() {
        let file = |variables: &[(&str, &str)]| match CredentialSource::choose(environment(variables)) {
            Ok(CredentialSource::File { path, profile }) => Some((path.to_str().unwrap().to_owned(), profile)),
            _ => None,
        };
        let found = |path: &str, profile: &str| Some((path.to_owned(), profile.to_owned()));
        assert_eq!(file(&[("HOME", "/h")]), found("/h/.aws/credentials", "default"));
        assert_eq!(file(&[("HOME", "/h"), ("AWS_PROFILE", "ca")]), found("/h/.aws/credentials", "ca"));
        assert_eq!(file(&[("HOME", "/h"), ("AWS_SHARED_CREDENTIALS_FILE", "/f")]), found("/f", "default"));
        assert_eq!(CredentialSource::choose(environment(&[])).err(), Some(AwsKmsProblem::NoCredentials));
    }

    #[test]
    fn the_values_of_a_profile_are_its_own() {
        let text = "\
aws_access_key_id = nobody's
[default]
aws_access_key_id=one
aws_secret_access_key = a=b/c+
# aws_session_token = commented
region = us-east-1

[ ca ]
aws_access_key_id = two
aws_secret_access_key = d
aws_session_token = e
[half]
aws_access_key_id = three
";
        for (profile, expect) in [
            ("default", Some(("one", "a=b/c+", None))),
            ("ca", Some(("two", "d", Some("e")))),
            ("half", None),
            ("", None),
        ] {
            assert_eq!(credentials_of(text, profile).as_ref().map(values), expect, "{profile}");
        }
    }

    #[test]
    fn a_region_is_part_of_a_host_name_and_nothing_more() {
        for (variables, expect) in [
            ([("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "us-east-1")], Ok("eu-west-1")),
            ([("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "us-east-1")], Ok("us-east-1")),
            ([("AWS_REGION", "x.evil.example/"), ("AWS_DEFAULT_REGION", "us-east-1")], Err(AwsKmsProblem::NoRegion)),
            ([("A", ""), ("B", "")], Err(AwsKmsProblem::NoRegion)),
        ] {
            assert_eq!(region(environment(&variables)), expect.map(str::to_owned));
        }
    }
}
