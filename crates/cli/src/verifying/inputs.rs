// SPDX-License-Identifier: Apache-2.0
//! What is to be verified: the arguments, with globs expanded, and where the bundle of each lies.
//!
//! In scope: files, `-` for stdin, `sha256:HEX` for a digest alone, quoted globs (`'dist/**/*.whl'`), and the names under which clients lay a
//! bundle beside a file. Out of scope: reading any of them.
//! Invariants: every argument leads to at least one input or to an error, so that nothing asked for is passed over; the order is that of
//! the arguments, and inside a glob that of the names.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use touchmark_keys::Digest;

use crate::exit::ExitStatus;
use crate::failure::Failure;

/// The most files that one glob may name.
const GLOB_FILES_MAX: usize = 1_000_000;

/// The names of a bundle beside its file, in the order in which they are looked for (client specification 4.1.1).
const BUNDLE_SUFFIXES: [&str; 3] = [".sigstore.json", ".sigstore", ".sigstore.jsonl"];

/// What was signed, or attested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArtifactAt {
    File(PathBuf),
    Stdin,
    Digest(Digest),
    /// The caller does not care what an attestation is about (`--check-claims=false`).
    Anything,
}

/// Where the bundle is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BundleAt {
    /// The user named it.
    Named(PathBuf),
    /// Under one of the usual names beside the artifact.
    Beside(PathBuf),
}

/// One thing to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    /// The argument, or the file that a glob found.
    pub(crate) name: PathBuf,
    pub(crate) artifact: ArtifactAt,
    pub(crate) bundle: BundleAt,
}

/// Every input that the arguments name.
pub(crate) fn inputs(files: &[PathBuf], bundle: Option<&Path>) -> Result<Vec<Input>, Failure> {
    if files.is_empty() {
        return Err(Failure::new(ExitStatus::Usage, "nothing to verify")
            .hint("name one or more files, - for stdin, or sha256:HEX for a digest alone"));
    }
    if files.iter().filter(|file| file.as_path() == Path::new("-")).count() > 1 {
        return Err(Failure::new(ExitStatus::Usage, "stdin can be read once only"));
    }
    let mut inputs = Vec::with_capacity(files.len());
    for file in files {
        match glob_of(file)? {
            Some(pattern) => {
                for found in expand(file, &pattern, bundle)? {
                    inputs.push(input(&found, ArtifactAt::File(found.clone()), bundle)?);
                }
            }
            None => inputs.push(input(file, artifact(file), bundle)?),
        }
    }
    Ok(inputs)
}

/// An input that is no argument.
pub(crate) fn of_digest(digest: Digest, bundle: Option<&Path>) -> Result<Input, Failure> {
    let name = PathBuf::from(digest.to_string());
    input(&name, ArtifactAt::Digest(digest), bundle)
}

/// An attestation about whatever it says.
pub(crate) fn of_anything(bundle: Option<&Path>) -> Result<Input, Failure> {
    let name = bundle.unwrap_or(Path::new("")).to_owned();
    input(&name, ArtifactAt::Anything, bundle)
}

fn input(name: &Path, artifact: ArtifactAt, bundle: Option<&Path>) -> Result<Input, Failure> {
    let bundle = match (bundle, &artifact) {
        (Some(named), _) => BundleAt::Named(named.to_owned()),
        (None, ArtifactAt::File(file)) => BundleAt::Beside(file.clone()),
        (None, _) => {
            return Err(Failure::new(ExitStatus::Usage, "which bundle? stdin and digests need --bundle FILE"));
        }
    };
    Ok(Input { name: name.to_owned(), artifact, bundle })
}

fn artifact(argument: &Path) -> ArtifactAt {
    if argument == Path::new("-") {
        return ArtifactAt::Stdin;
    }
    // As in cosign. A file of that name would have to be called `./sha256:…`.
    match argument.to_str().and_then(|text| text.parse().ok()) {
        Some(digest) => ArtifactAt::Digest(digest),
        None => ArtifactAt::File(argument.to_owned()),
    }
}

/// The pattern that an argument is, unless there is a file of that very name.
fn glob_of(argument: &Path) -> Result<Option<Pattern>, Failure> {
    let Some(text) = argument.to_str().filter(|text| text.contains(['*', '?', '['])) else { return Ok(None) };
    if argument.symlink_metadata().is_ok() {
        return Ok(None);
    }
    let pattern = Pattern::new(text).map_err(|error| {
        Failure::new(ExitStatus::Usage, format!("{text:?} is neither a file nor a pattern of files")).because(error)
    })?;
    Ok(Some(pattern))
}

/// The files of a glob. The bundle that is read for another of them is no file to verify: `'dist/*'` is everything in `dist`, with its
/// bundle each. What only looks like a bundle is verified like everything else.
fn expand(argument: &Path, pattern: &Pattern, bundle: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    // Hidden files are named aloud or not at all, as in a shell.
    let options =
        MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let unreadable = |error: &dyn std::error::Error| {
        Failure::new(ExitStatus::Unreadable, format!("{} could not be expanded", argument.display())).because(error)
    };
    let paths = glob::glob_with(pattern.as_str(), options).map_err(|error| unreadable(&error))?;
    let mut files = Vec::new();
    for path in paths {
        // A directory that cannot be read may hold files that were meant.
        let path = path.map_err(|error| unreadable(&error))?;
        if path.metadata().map_err(|error| unreadable(&error))?.is_file() {
            files.push(path);
        }
        if files.len() > GLOB_FILES_MAX {
            return Err(Failure::new(
                ExitStatus::Usage,
                format!("{} names more than {GLOB_FILES_MAX} files", argument.display()),
            ));
        }
    }
    files.sort();
    let is_bundle = |file: &PathBuf| match bundle {
        Some(bundle) => file == bundle,
        None => {
            let text = file.to_string_lossy();
            let mut artifacts =
                BUNDLE_SUFFIXES.iter().filter_map(|suffix| text.strip_suffix(suffix).map(PathBuf::from));
            artifacts.any(|artifact| files.binary_search(&artifact).is_ok() && bundle_beside(&artifact) == *file)
        }
    };
    let artifacts: Vec<PathBuf> = files.iter().filter(|file| !is_bundle(file)).cloned().collect();
    if artifacts.is_empty() {
        return Err(Failure::new(ExitStatus::Unreadable, format!("{} names no file", argument.display())));
    }
    Ok(artifacts)
}

/// The bundle beside a file: the first of the usual names that is there, or the first name of all.
pub(crate) fn bundle_beside(file: &Path) -> PathBuf {
    let candidates = BUNDLE_SUFFIXES.map(|suffix| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    });
    let is_there =
        |path: &&PathBuf| !matches!(path.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound);
    let found = candidates.iter().find(is_there).or(candidates.first());
    found.cloned().expect("there are names")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(inputs: &[Input], below: &Path) -> Vec<String> {
        inputs.iter().map(|input| input.name.strip_prefix(below).unwrap().display().to_string()).collect()
    }

    #[test]
    fn a_glob_is_every_file_but_the_bundles_of_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(at("d/e")).unwrap();
        for name in ["b", "a", "a.sigstore.json", "b.sigstore", "lone.sigstore.json", "d/c.whl", "d/e/c.whl", ".hidden"]
        {
            std::fs::write(at(name), name).unwrap();
        }
        let check = |glob: &str, expected: &[&str]| {
            assert_eq!(names(&inputs(&[at(glob)], None).unwrap(), directory.path()), expected, "{glob}");
        };
        check("*", &["a", "b", "lone.sigstore.json"]);
        check("**/*.whl", &["d/c.whl", "d/e/c.whl"]);
        check("[ab]", &["a", "b"]);
        assert_eq!(inputs(&[at("*.none")], None).unwrap_err().status(), ExitStatus::Unreadable);
        assert_eq!(inputs(&[at("[a")], None).unwrap_err().status(), ExitStatus::Usage);
        std::fs::write(at("[a]"), "a file of that very name").unwrap();
        check("[a]", &["[a]"]);
    }

    #[test]
    fn stdin_and_digests_need_a_bundle_by_name() {
        let sha256 = format!("sha256:{}", "ab".repeat(32));
        for argument in ["-", sha256.as_str()] {
            let files = [PathBuf::from(argument)];
            assert_eq!(inputs(&files, None).unwrap_err().status(), ExitStatus::Usage);
            let input = &inputs(&files, Some(Path::new("b"))).unwrap()[0];
            assert_eq!(input.bundle, BundleAt::Named(PathBuf::from("b")));
            assert!(!matches!(input.artifact, ArtifactAt::File(_)));
        }
        assert_eq!(inputs(&[], None).unwrap_err().status(), ExitStatus::Usage);
        let twice = [PathBuf::from("-"), PathBuf::from("-")];
        assert_eq!(inputs(&twice, Some(Path::new("b"))).unwrap_err().status(), ExitStatus::Usage);
    }

    #[test]
    fn the_bundle_is_under_the_first_usual_name_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(name(&bundle_beside(&file)), "a.sigstore.json");
        for suffix in ["sigstore.jsonl", "sigstore", "sigstore.json"] {
            std::fs::write(directory.path().join(format!("a.{suffix}")), "").unwrap();
            assert_eq!(name(&bundle_beside(&file)), format!("a.{suffix}"));
        }
    }
}
