// SPDX-License-Identifier: Apache-2.0
//! Starting, stopping, starting again: elsewhere, twice, with a passphrase, with damage.

use std::path::Path;
use std::time::{Duration, Instant};

use touchmark_server::{Start, StartError, UpOptions, try_out_token, up};
use zeroize::Zeroizing;

use crate::stack::{Stack, options, refusal};
use crate::tuf::{client_file, walk};

#[tokio::test]
async fn another_port_changes_the_signing_config_and_nothing_else() {
    let stack = Stack::start().await;
    assert_eq!(stack.running.start(), Start::First);
    let (root, trusted_root, url) =
        (client_file(&stack, "root.json"), client_file(&stack, "trusted_root.json"), stack.running.url());
    let issuer = stack.running.oidc_issuer();

    let directory = stack.stop().await;
    let stack = Stack::start_in(directory).await;
    assert_eq!(stack.running.start(), Start::Later);
    assert_ne!(stack.running.url(), url, "port 0 gives another port");
    assert_eq!(stack.running.oidc_issuer(), issuer);
    assert_eq!(client_file(&stack, "trusted_root.json"), trusted_root);
    // A client that was given the root at the first start finds the new addresses.
    let (_, signing_config) = walk(&stack, &root).await;
    assert_eq!(signing_config.select(jiff::Timestamp::now()).unwrap().ca.url(), stack.running.url());
    assert_eq!(signing_config.to_json().as_bytes(), client_file(&stack, "signing_config.json"));
    assert!(stack.data().join("tuf/2.targets.json").exists());
    stack.stop().await;
}

#[tokio::test]
async fn the_second_start_is_ready_within_two_seconds_and_needs_no_offline_key() {
    let stack = Stack::start().await;
    let (data, url) = (stack.data(), stack.running.url());
    let listen = url.trim_start_matches("http://").parse().unwrap();
    let directory = stack.stop().await;
    std::fs::remove_dir_all(data.join("offline")).unwrap();
    let begun = Instant::now();
    let running = up(UpOptions { listen, ..options(&data) }).await.unwrap();
    let stack = Stack { running, directory };
    assert_eq!(stack.get("/readyz").await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    stack.stop().await;
}

#[tokio::test]
async fn a_second_process_is_refused_while_the_first_runs() {
    let stack = Stack::start().await;
    let error = refusal(up(options(&stack.data())).await);
    assert!(matches!(error, StartError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process"));
    let directory = stack.stop().await;
    Stack::start_in(directory).await.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_named_with_what_to_do() {
    let stack = Stack::start().await;
    let other = tempfile::tempdir().unwrap();
    let taken = stack.running.url().trim_start_matches("http://").parse().unwrap();
    let error = refusal(up(UpOptions { listen: taken, ..options(other.path()) }).await).to_string();
    assert!(error.contains(&taken.to_string()) && error.contains("--listen"), "{error}");
    stack.stop().await;
}

#[tokio::test]
async fn the_issuer_moves_only_when_told() {
    let stack = Stack::start().await;
    let before = stack.running.oidc_issuer().unwrap();
    let (data, directory) = (stack.data(), stack.stop().await);
    let moved = UpOptions { oidc_listen: Some("127.0.0.1:0".parse().unwrap()), ..options(&data) };
    let stack = Stack { running: up(moved).await.unwrap(), directory };
    let after = stack.running.oidc_issuer().unwrap();
    assert_ne!(before, after);
    let (_, signing_config) = walk(&stack, &client_file(&stack, "root.json")).await;
    assert_eq!(signing_config.select(jiff::Timestamp::now()).unwrap().oidc.unwrap().url(), after);
    let directory = stack.stop().await;
    let stack = Stack::start_in(directory).await;
    assert_eq!(stack.running.oidc_issuer().unwrap(), after);
    stack.stop().await;
}

fn key_files(data: &Path) -> Vec<String> {
    let files = ["offline", "keys"].iter().flat_map(|name| std::fs::read_dir(data.join(name)).unwrap());
    files.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn a_passphrase_encrypts_every_key_and_is_asked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let with = |passphrase: &str| UpOptions {
        passphrase: Some(Zeroizing::new(passphrase.as_bytes().to_vec())),
        ..options(&data)
    };
    up(with("correct horse")).await.unwrap().shutdown().await;
    let keys = key_files(&data);
    assert_eq!(keys.len(), 10);
    assert!(keys.iter().all(|key| key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----")));

    let error = refusal(up(options(&data)).await);
    assert!(matches!(error, StartError::PassphraseMissing), "{error}");
    let error = refusal(up(with("wrong")).await);
    assert!(matches!(error, StartError::Signer(_)), "{error}");
    let passphrase = Zeroizing::new(b"correct horse".to_vec());
    try_out_token(&data, "alice@example.com", Some(passphrase)).await.unwrap();
    // On another port, so that the offline keys are opened too.
    up(with("correct horse")).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_passphrase_for_plain_keys_is_refused() {
    let stack = Stack::start().await;
    let (data, directory) = (stack.data(), stack.stop().await);
    let options = UpOptions { passphrase: Some(Zeroizing::new(b"x".to_vec())), ..options(&data) };
    assert!(matches!(refusal(up(options).await), StartError::NotEncrypted));
    drop(directory);
}

#[tokio::test]
async fn a_token_can_be_made_beside_the_running_stack_and_not_without_an_instance() {
    let stack = Stack::start().await;
    let token = try_out_token(&stack.data(), "alice@example.com", None).await.unwrap();
    assert_eq!(token.split('.').count(), 3);
    let error = try_out_token(stack.directory.path(), "alice@example.com", None).await.unwrap_err();
    assert!(matches!(error, StartError::NoInstance { .. }), "{error}");
    stack.stop().await;
}

#[tokio::test]
async fn damage_is_refused_loudly() {
    let stack = Stack::start().await;
    let (data, log) = (stack.data(), stack.data().join("logs").join(stack.rekor_log()));
    let directory = stack.stop().await;

    let hidden = data.join("hidden");
    std::fs::rename(&log, &hidden).unwrap();
    let error = refusal(up(options(&data)).await).to_string();
    assert!(error.contains("is missing; restore it"), "{error}");
    std::fs::rename(&hidden, &log).unwrap();

    let root = data.join("tuf/1.root.json");
    let good = std::fs::read_to_string(&root).unwrap();
    std::fs::write(&root, good.replace("\"threshold\": 1", "\"threshold\": 2")).unwrap();
    let error = refusal(up(options(&data)).await).to_string();
    assert!(error.contains("tuf cannot start") && error.contains("1.root.json"), "{error}");
    std::fs::write(&root, good).unwrap();

    Stack::start_in(directory).await.stop().await;
}
