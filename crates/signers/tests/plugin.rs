// SPDX-License-Identifier: Apache-2.0
//! Plugins as real programs: one that does its work, and those that do it wrong.
//!
//! The program is the example `sigstore-kms-keyfile` of this crate, which `cargo test` builds.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use touchmark_keys::{KeyError, KeyType, digest};
use touchmark_signers::{FileSigner, PluginError, PluginProblem, PluginSigner, PluginUri, Signer, SignerError};

/// Long enough for a process to start on a busy machine.
const PATIENT: Duration = Duration::from_secs(8);
/// Short, for programs that never end.
const IMPATIENT: Duration = Duration::from_millis(1500);

/// A directory with the program in it, and keys beside it.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        symlink(program(), directory.path().join("sigstore-kms-keyfile")).unwrap();
        Self { directory }
    }

    fn key(&self, key_type: KeyType) -> PathBuf {
        let path = self.directory.path().join("key.pem");
        FileSigner::create(&path, key_type, None).unwrap();
        FileSigner::create(&path.with_extension("pem.other"), key_type, None).unwrap();
        path
    }

    fn search_path(&self) -> OsString {
        self.directory.path().as_os_str().to_owned()
    }

    async fn open(&self, manner: &str, key: &Path, deadline: Duration) -> Result<PluginSigner, SignerError> {
        let uri = PluginUri::parse(&format!("keyfile://{manner}:{}", key.display())).unwrap();
        PluginSigner::open_within(uri, &self.search_path(), deadline).await
    }
}

fn program() -> PathBuf {
    // target/<profile>/deps/<this test>
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples/sigstore-kms-keyfile");
    assert!(program.exists(), "{} is missing: run `cargo build -p touchmark-signers --examples`", program.display());
    program
}

fn problem(problem: PluginProblem) -> SignerError {
    SignerError::Plugin(PluginError { program: "sigstore-kms-keyfile".to_owned(), problem })
}

#[tokio::test]
async fn every_key_type_signs_messages_and_digests() {
    for key_type in KeyType::ALL {
        let place = Place::new();
        let key = place.key(key_type);
        let signer = place.open("faithful", &key, PATIENT).await.unwrap();
        let file = FileSigner::open(&key, None).unwrap();
        assert_eq!((signer.public_key(), signer.scheme()), (file.public_key(), file.scheme()));
        for message in [b"".as_slice(), b"message", &[7; 300_000]] {
            let signature = signer.sign(message).await.unwrap();
            signer.public_key().verify(signer.scheme(), message, &signature).unwrap();
        }
        let Some(hash) = signer.scheme().hash() else {
            let error = SignerError::Key(KeyError::NeedsMessage { scheme: signer.scheme() });
            let digest = digest(touchmark_keys::HashAlgorithm::Sha512, b"message");
            assert_eq!(signer.sign_digest(&digest).await, Err(error));
            continue;
        };
        let signature = signer.sign_digest(&digest(hash, b"message")).await.unwrap();
        signer.public_key().verify(signer.scheme(), b"message", &signature).unwrap();
    }
}

#[tokio::test]
async fn what_a_plugin_does_wrong_is_an_error_that_names_it() {
    use PluginProblem::{Answer, AnswerTooLong, Killed, Refused, WrongSignature};
    let place = Place::new();
    let key = place.key(KeyType::EcdsaP256);
    for (manner, expect) in [
        ("another-key", WrongSignature),
        ("another-message", WrongSignature),
        ("truncating", WrongSignature),
        ("failing", Refused { said: "the service is away".to_owned() }),
        ("garbage", Answer),
        ("silent", Answer),
        ("dying", Killed),
        ("endless", AnswerTooLong),
    ] {
        let signer = place.open(manner, &key, PATIENT).await.unwrap();
        assert_eq!(signer.sign(b"message").await, Err(problem(expect.clone())), "{manner}");
        let digest = digest(touchmark_keys::HashAlgorithm::Sha256, b"message");
        assert_eq!(signer.sign_digest(&digest).await, Err(problem(expect)), "{manner}");
    }
}

#[tokio::test]
async fn a_slow_or_talkative_plugin_is_waited_for() {
    let place = Place::new();
    let key = place.key(KeyType::EcdsaP256);
    for manner in ["slow", "talkative"] {
        let signer = place.open(manner, &key, PATIENT).await.unwrap();
        let signature = signer.sign(b"message").await.unwrap();
        signer.public_key().verify(signer.scheme(), b"message", &signature).unwrap();
    }
}

#[tokio::test]
async fn a_plugin_that_does_not_end_is_killed() {
    let place = Place::new();
    let key = place.key(KeyType::EcdsaP256);
    for manner in ["hanging", "endless-diagnostics"] {
        let signer = place.open(manner, &key, IMPATIENT).await.unwrap();
        let begun = Instant::now();
        assert_eq!(signer.sign(b"message").await, Err(problem(PluginProblem::Deadline)), "{manner}");
        assert!(begun.elapsed() < PATIENT, "{manner}");
        assert_eq!(running(&key), 0, "{manner}");
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_program_behind() {
    let place = Place::new();
    let key = place.key(KeyType::EcdsaP256);
    let signer = place.open("hanging", &key, PATIENT).await.unwrap();
    let signed = touchmark_signers::sign_within(&signer, b"message", IMPATIENT).await;
    assert_eq!(signed, Err(SignerError::Deadline { deadline: IMPATIENT }));
    let begun = Instant::now();
    while running(&key) > 0 && begun.elapsed() < PATIENT {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(running(&key), 0);
}

#[tokio::test]
async fn only_so_many_programs_run_at_once_and_all_callers_are_served() {
    let place = Place::new();
    let key = place.key(KeyType::EcdsaP256);
    let signer = place.open("slow", &key, PATIENT).await.unwrap();
    let signer = std::sync::Arc::new(signer);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let signer = std::sync::Arc::clone(&signer);
        callers.spawn(async move { signer.sign(b"message").await.map(drop) });
    }
    let mut most = 0;
    while !callers.is_empty() {
        most = most.max(running(&key));
        while let Some(done) = callers.try_join_next() {
            done.unwrap().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!((2..=8).contains(&most), "{most} at once");
}

/// How many processes have the path of the key in their arguments and have not ended.
fn running(key: &Path) -> usize {
    let key = key.to_str().unwrap().as_bytes();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let with_key = |arguments: Vec<u8>| arguments.windows(key.len()).any(|part| part == key);
    processes.filter(|process| std::fs::read(process.path().join("cmdline")).is_ok_and(with_key)).count()
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_when_the_signer_is_opened() {
    let place = Place::new();
    let key = place.key(KeyType::EcdsaP256);
    let opened = place.open("keyless", &key, PATIENT).await;
    assert_eq!(opened.err(), Some(problem(PluginProblem::PublicKey(KeyError::Pem))));
    let opened = place.open("faithful", Path::new("/no/such/key.pem"), PATIENT).await;
    let said = "file /no/such/key.pem: there is no such file or directory".to_owned();
    assert_eq!(opened.err(), Some(problem(PluginProblem::Refused { said })));
}

#[tokio::test]
async fn programs_are_found_by_their_exact_name_in_absolute_directories() {
    let place = Place::new();
    let key = place.key(KeyType::EcdsaP256);
    let open = async |scheme: &str, search_path: OsString| {
        let uri = PluginUri::parse(&format!("{scheme}://faithful:{}", key.display())).unwrap();
        PluginSigner::open_within(uri, &search_path, PATIENT).await.err()
    };
    let missing = |scheme: &str| {
        let program = format!("sigstore-kms-{scheme}");
        Some(SignerError::Plugin(PluginError { program, problem: PluginProblem::NotFound }))
    };
    let directory = place.directory.path();
    assert_eq!(open("keyfile", place.search_path()).await, None);
    assert_eq!(open("keyfil", place.search_path()).await, missing("keyfil"));
    for search_path in ["", ".", "/nowhere", "relative:/nowhere"] {
        assert_eq!(open("keyfile", search_path.into()).await, missing("keyfile"), "{search_path}");
    }
    // A directory and a file that nobody may run are no programs; a later one of the name is.
    let first = directory.join("first");
    std::fs::create_dir_all(first.join("sigstore-kms-keyfile")).unwrap();
    let text = directory.join("sigstore-kms-text");
    std::fs::write(&text, "#!/bin/sh\n").unwrap();
    let both = std::env::join_paths([&first, directory]).unwrap();
    assert_eq!(open("keyfile", both).await, None);
    assert_eq!(open("text", place.search_path()).await, missing("text"));
    // What may be run and cannot be is told apart.
    std::fs::write(&text, "no program").unwrap();
    std::fs::set_permissions(&text, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = open("text", place.search_path()).await.unwrap();
    assert!(matches!(refused, SignerError::Plugin(PluginError { problem: PluginProblem::NotStarted { .. }, .. })));
}
