// SPDX-License-Identifier: Apache-2.0
//! A first start that is interrupted anywhere is completed or begun anew by the next.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

fn manifest() -> Manifest {
    let issuer = "http://127.0.0.1:7701/oidc".parse().unwrap();
    Manifest::new("2026-11-22T10:00:00Z".parse().unwrap(), issuer, false)
}

async fn created(directory: &Path) -> (Layout, Manifest) {
    let layout = Layout::new(directory);
    let manifest = create(&layout, manifest(), "http://127.0.0.1:7700", &None).await.unwrap();
    (layout, manifest)
}

fn files_under(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_under(&path, found) } else { found.push(path) }
    }
}

#[tokio::test]
async fn a_first_start_makes_a_whole_directory_that_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let (layout, manifest) = created(directory.path()).await;
    assert!(!layout.staging().directory().exists());
    assert_eq!(recover(&layout).unwrap(), Some(manifest.clone()));
    assert!(layout.log(&manifest.logs[0].name).is_dir());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for entry in ENTRIES.iter().filter(|entry| !entry.contains('.')) {
        assert_eq!(mode(&layout.entry(entry)), 0o700, "{entry}");
    }
    let mut files = Vec::new();
    files_under(directory.path(), &mut files);
    let keys: Vec<_> =
        files.iter().filter(|path| std::fs::read_to_string(path).unwrap().contains("PRIVATE KEY")).collect();
    assert_eq!(keys.len(), 10);
    for key in keys {
        assert_eq!(mode(key), 0o600, "{}", key.display());
    }
}

#[tokio::test]
async fn an_interrupted_move_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (layout, manifest) = created(directory.path()).await;
    // As if the process had been killed after each number of moves.
    for moved in 0..ENTRIES.len() {
        std::fs::create_dir(layout.staging().directory()).unwrap();
        for entry in &ENTRIES[moved..] {
            std::fs::rename(layout.entry(entry), layout.staging().entry(entry)).unwrap();
        }
        assert_eq!(recover(&layout).unwrap(), Some(manifest.clone()), "after {moved} moves");
        assert!(ENTRIES.iter().all(|entry| layout.entry(entry).exists()));
        assert!(!layout.staging().directory().exists());
    }
}

#[tokio::test]
async fn an_unfinished_build_is_discarded() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::new(directory.path());
    std::fs::create_dir_all(layout.staging().entry("keys")).unwrap();
    std::fs::write(layout.staging().entry("keys/ca.pem"), "half a key").unwrap();
    assert_eq!(recover(&layout).unwrap(), None);
    created(directory.path()).await;
}

#[tokio::test]
async fn a_directory_with_other_things_in_it_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::new(directory.path());
    std::fs::write(directory.path().join("thesis.txt"), "mine").unwrap();
    let refused = create(&layout, manifest(), "http://127.0.0.1:7700", &None).await;
    assert!(matches!(refused, Err(StartError::NotADataDirectory { .. })));

    let directory = tempfile::tempdir().unwrap();
    let (layout, _) = created(directory.path()).await;
    std::fs::remove_file(layout.manifest()).unwrap();
    assert!(matches!(recover(&layout), Err(StartError::NotADataDirectory { .. })));
}

#[tokio::test]
async fn a_staging_directory_of_somebody_else_is_left_alone() {
    let check = |beside: Option<&str>, inside: &str| {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path());
        std::fs::create_dir(layout.staging().directory()).unwrap();
        std::fs::write(layout.staging().entry(inside), "mine").unwrap();
        if let Some(beside) = beside {
            std::fs::write(layout.entry(beside), "mine").unwrap();
        }
        let refused = recover(&layout);
        assert!(matches!(refused, Err(StartError::NotADataDirectory { .. })), "{beside:?} {inside}");
        assert_eq!(std::fs::read_to_string(layout.staging().entry(inside)).unwrap(), "mine");
    };
    check(None, "index.html");
    check(Some("thesis.txt"), "keys");
    check(Some("thesis.txt"), "instance.toml");
}
