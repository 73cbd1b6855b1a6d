// SPDX-License-Identifier: Apache-2.0
//! Signing leaves no private key behind: every file that the command could reach is looked at afterwards.
//!
//! Home, temporary directory and working directory of the command are one empty directory, beside that of the services.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use touchmark_testing::process::{ServerProcess, free_port};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_leaves_a_bundle_and_the_trust_cache_and_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let (data_dir, home) = (dir.path().join("data"), dir.path().join("home"));
    std::fs::create_dir(&home).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_touchmark"));
    let server = ServerProcess::start(binary, &data_dir, free_port().unwrap()).await.unwrap();
    let mirror = server.url().join("tuf").unwrap();
    let token = touchmark_server::try_out_token(&data_dir, "alice@example.com", None).await.unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(binary);
        command.args(args).current_dir(&home).env_clear().stdin(Stdio::null());
        command.env("HOME", &home).env("TMPDIR", &home).env("SIGSTORE_ID_TOKEN", token.as_str());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["initialize", "--mirror", mirror.as_str(), "--root", data_dir.join("client/root.json").to_str().unwrap()]);
    let before = files_under(&home);
    std::fs::write(home.join("a"), "an artifact").unwrap();
    run(&["sign-blob", "a"]);

    let after = files_under(&home);
    let new: Vec<&PathBuf> = after.iter().filter(|file| !before.contains(file)).collect();
    assert_eq!(new, [&home.join("a"), &home.join("a.sigstore.json")], "sign-blob writes the bundle and nothing else");
    for file in after {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!holds_private_key(&bytes), "{}", file.display());
    }
    server.stop().await.unwrap();
}

/// PEM says so; the DER of a PKCS#8 key of the kind that signs here holds two algorithm identifiers, id-ecPublicKey and P-256, behind
/// a version of 0 or 1, where a public key has none.
fn holds_private_key(bytes: &[u8]) -> bool {
    const PKCS8_P256: [u8; 24] = [
        0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    has(b"PRIVATE KEY") || has(&PKCS8_P256)
}

fn files_under(directory: &Path) -> Vec<PathBuf> {
    let (mut files, mut left) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { left.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}
