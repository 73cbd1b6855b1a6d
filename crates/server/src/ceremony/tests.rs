// SPDX-License-Identifier: Apache-2.0
//! What ceremonies make, refuse and leave behind.

use touchmark_signers::{FileSigner, SignerError};

use super::*;

fn now() -> Timestamp {
    "2026-11-23T12:00:00.5Z".parse().unwrap()
}

fn name(common_name: &str) -> AuthorityName {
    AuthorityName { organization: "Example".to_owned(), common_name: common_name.to_owned() }
}

fn secret(text: &str) -> Passphrase {
    Some(Zeroizing::new(text.as_bytes().to_vec()))
}

fn options(directory: &Path) -> InitOptions {
    InitOptions {
        directory: directory.to_owned(),
        root_key: KeyType::EcdsaP384,
        issuing_key: KeyChoice::New(KeyType::EcdsaP256),
        root_name: name("root"),
        intermediate_name: name("intermediate"),
        root_days: 10,
        intermediate_days: 3,
        root_passphrase: None,
        passphrase: None,
    }
}

fn root_in(directory: &Path) -> RootPlace {
    let key = SignerReference::File(directory.join(ROOT_KEY));
    RootPlace { key, certificate: directory.join(ROOT), passphrase: None }
}

fn files_in(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_root_and_an_intermediate_are_made_whole_and_nothing_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("ca");
    let options = InitOptions { root_passphrase: secret("root"), passphrase: secret("online"), ..options(&at) };
    let made = init(&options, now()).await.unwrap();
    assert_eq!(files_in(&at), [CHAIN, INTERMEDIATE_KEY, ROOT_KEY, ROOT]);
    assert_eq!(read_chain(&at.join(CHAIN)).unwrap(), made.chain);
    assert_eq!(read_chain(&at.join(ROOT)).unwrap(), made.chain[1..]);
    let [intermediate, root] = made.chain.as_slice() else { panic!() };
    assert_eq!(AuthorityName::from_der(intermediate.subject_der()), Some(name("intermediate")));
    assert_eq!(AuthorityName::from_der(root.subject_der()), Some(name("root")));
    assert_eq!(root.not_before().to_string(), "2026-11-23T11:00:00Z");
    assert_eq!(root.not_after().to_string(), "2026-12-03T12:00:00Z");
    assert_eq!(intermediate.not_after().to_string(), "2026-11-26T12:00:00Z");
    assert_eq!(root.basic_constraints().unwrap().path_length, None);
    assert!(root.extended_key_usages().is_none());
    // Each key file has its own passphrase.
    for (file, right, wrong) in [(ROOT_KEY, "root", "online"), (INTERMEDIATE_KEY, "online", "root")] {
        FileSigner::open(&at.join(file), Some(right.as_bytes())).unwrap();
        assert!(FileSigner::open(&at.join(file), Some(wrong.as_bytes())).is_err());
    }
    for file in [ROOT_KEY, ROOT, INTERMEDIATE_KEY, CHAIN] {
        let other = directory.path().join(file.replace('.', "-"));
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join(file), "somebody's").unwrap();
        let refused = init(&InitOptions { directory: other.clone(), ..options.clone() }, now()).await;
        assert!(matches!(refused, Err(CeremonyError::Exists { path }) if path == other.join(file)), "{file}");
        assert_eq!(files_in(&other), [file]);
        assert_eq!(std::fs::read_to_string(other.join(file)).unwrap(), "somebody's");
    }
}

#[tokio::test]
async fn a_ceremony_that_fails_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("ca");
    let base = options(&at);
    let missing = KeyChoice::Existing(Box::new(SignerReference::File(directory.path().join("none"))));
    let long = "x".repeat(NAME_CHARACTERS_MAX + 1);
    for (refused, expect) in [
        (InitOptions { root_days: 0, ..base.clone() }, "a lifetime of 0 days"),
        (InitOptions { intermediate_days: DAYS_MAX + 1, ..base.clone() }, "a lifetime of 10959 days"),
        (InitOptions { root_key: KeyType::Rsa2048, ..base.clone() }, "is not for certificate authorities"),
        (InitOptions { issuing_key: KeyChoice::New(KeyType::MlDsa44), ..base.clone() }, "is not for certificate"),
        (InitOptions { issuing_key: missing, ..base.clone() }, "there is no such file"),
        (InitOptions { root_name: name(""), ..base.clone() }, "the common name must have"),
        (InitOptions { intermediate_name: name(&long), ..base.clone() }, "the common name must have"),
        (InitOptions { intermediate_name: name("a\nb"), ..base.clone() }, "the common name must have"),
    ] {
        let error = init(&refused, now()).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
        assert_eq!(files_in(&at), [""; 0], "{expect}");
    }
}

#[tokio::test]
async fn a_key_that_is_there_already_is_certified_and_stays_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (at, key) = (directory.path().join("ca"), directory.path().join("issuing.pem"));
    let signer = FileSigner::create(&key, KeyType::EcdsaP256, Some(b"online")).unwrap();
    let issuing_key = KeyChoice::Existing(Box::new(SignerReference::File(key)));
    let made = init(&InitOptions { issuing_key, passphrase: secret("online"), ..options(&at) }, now()).await.unwrap();
    assert_eq!(made.chain[0].spki_der(), signer.public_key().spki_der());
    assert_eq!(files_in(&at), [CHAIN, ROOT_KEY, ROOT]);
}

#[tokio::test]
async fn a_request_becomes_the_certificate_that_was_proposed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |file: &str| directory.path().join(file);
    init(&options(&at("ca")), now()).await.unwrap();
    let wanted = RequestOptions {
        request: at("request.pem"),
        key: KeyChoice::New(KeyType::EcdsaP384),
        key_file: at("new.key.pem"),
        name: name("elsewhere"),
        passphrase: secret("online"),
    };
    let (key, files) = request(&wanted).await.unwrap();
    assert_eq!(files, [at("new.key.pem"), at("request.pem")]);
    let propose = |name, days| propose(&at("request.pem"), name, root_in(&at("ca")), days, now());
    let proposal = propose(None, 365).unwrap();
    assert!(proposal.is_cut_short());
    assert_eq!((proposal.name(), proposal.key()), (&name("elsewhere"), &key));
    let made = sign(&proposal, &at("chain.pem"), now()).await.unwrap();
    assert_eq!(made.chain[0].not_after(), proposal.not_after());
    assert_eq!(made.chain[0].spki_der(), key.spki_der());
    let signer = Arc::new(FileSigner::open(&at("new.key.pem"), Some(b"online")).unwrap());
    CertificateAuthority::new(signer, read_chain(&at("chain.pem")).unwrap()).unwrap();
    assert_eq!(propose(Some(name("other")), 1).unwrap().name(), &name("other"));
    assert!(matches!(sign(&proposal, &at("chain.pem"), now()).await, Err(CeremonyError::Exists { .. })));
    // Another root's key, and no root at all.
    init(&options(&at("other")), now()).await.unwrap();
    let mixed = RootPlace { key: root_in(&at("other")).key, ..root_in(&at("ca")) };
    let proposal = super::propose(&at("request.pem"), None, mixed, 1, now()).unwrap();
    assert!(matches!(sign(&proposal, &at("c2.pem"), now()).await, Err(CeremonyError::RootKey { .. })));
    assert!(!at("c2.pem").exists());
    let no_root = RootPlace { certificate: at("ca").join(CHAIN), ..root_in(&at("ca")) };
    let refused = super::propose(&at("request.pem"), None, no_root, 1, now());
    assert!(matches!(refused, Err(CeremonyError::Root { .. })));
    let late = super::propose(&at("request.pem"), None, root_in(&at("ca")), 1, now() + SignedDuration::from_hours(240));
    assert!(matches!(late, Err(CeremonyError::Root { .. })));
    // Somebody else signed.
    let stranger = touchmark_signers::EphemeralSigner::generate(KeyType::EcdsaP384).unwrap();
    let information = request_information(&name("elsewhere"), &key);
    let signature = stranger.sign(&information).await.unwrap();
    let forged = assemble_request(&information, stranger.scheme(), &signature).unwrap();
    std::fs::write(at("forged.pem"), forged).unwrap();
    let refused = super::propose(&at("forged.pem"), None, root_in(&at("ca")), 1, now());
    assert!(matches!(refused, Err(CeremonyError::Request { .. })));
}

#[tokio::test]
async fn an_intermediate_is_renewed_for_its_key_or_another_under_its_root() {
    let directory = tempfile::tempdir().unwrap();
    let at = |file: &str| directory.path().join(file);
    let first = init(&options(&at("ca")), now()).await.unwrap();
    let later = now() + SignedDuration::from_hours(48);
    let base = RenewOptions {
        root: root_in(&at("ca")),
        chain: at("ca").join(CHAIN),
        directory: at("same"),
        key: RenewedKey::Same,
        name: None,
        days: 3,
        passphrase: None,
    };
    let (same, present) = renew(&base, later).await.unwrap();
    assert_eq!(present, first.chain[0]);
    assert_eq!(files_in(&at("same")), [CHAIN]);
    assert_eq!(same.chain[0].spki_der(), present.spki_der());
    assert_eq!(same.chain[0].subject_der(), present.subject_der());
    assert_eq!(same.chain[0].subject_key_id(), present.subject_key_id());
    assert_ne!(same.chain[0].serial(), present.serial());
    // Both are valid for a day.
    assert!(same.chain[0].not_before() < present.not_after() && present.not_after() < same.chain[0].not_after());
    let other = RenewedKey::Other(KeyChoice::New(KeyType::EcdsaP384));
    let (other, _) = renew(&RenewOptions { directory: at("other"), key: other, ..base.clone() }, later).await.unwrap();
    assert_eq!(files_in(&at("other")), [CHAIN, INTERMEDIATE_KEY]);
    assert_ne!(other.chain[0].spki_der(), present.spki_der());
    assert_eq!(other.chain[1], first.chain[1]);
    let refused = renew(&base, later).await;
    assert!(matches!(refused, Err(CeremonyError::Exists { .. })));
    init(&options(&at("stranger")), now()).await.unwrap();
    let of_stranger = RenewOptions { root: root_in(&at("stranger")), directory: at("none"), ..base.clone() };
    assert!(matches!(renew(&of_stranger, later).await, Err(CeremonyError::OtherRoot { .. })));
    let locked = RootPlace { key: SignerReference::File(at("gone")), ..root_in(&at("ca")) };
    let key = RenewedKey::Other(KeyChoice::New(KeyType::EcdsaP256));
    let refused = renew(&RenewOptions { root: locked, key, directory: at("gone-root"), ..base }, later).await;
    assert!(matches!(refused, Err(CeremonyError::Signer(SignerError::Io { .. }))));
    assert_eq!(files_in(&at("gone-root")), [""; 0]);
}

#[tokio::test]
async fn a_lifetime_that_the_root_cuts_short_is_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    for (days, is_cut_short) in [(9, false), (10, false), (11, true)] {
        let at = directory.path().join(days.to_string());
        let made = init(&InitOptions { intermediate_days: days, ..options(&at) }, now()).await.unwrap();
        assert_eq!(made.is_cut_short, is_cut_short, "{days}");
        assert_eq!(made.chain[0].not_after() == made.chain[1].not_after(), days >= 10, "{days}");
    }
}

#[tokio::test]
async fn a_renewal_ends_later_than_the_present_certificate_or_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = |file: &str| directory.path().join(file);
    let first = init(&options(&at("ca")), now()).await.unwrap();
    let base = RenewOptions {
        root: root_in(&at("ca")),
        chain: at("ca").join(CHAIN),
        directory: at("next"),
        key: RenewedKey::Other(KeyChoice::New(KeyType::EcdsaP256)),
        name: None,
        days: 3,
        passphrase: None,
    };
    let present = first.chain[0].not_after();
    for days in [1, 3] {
        let refused = renew(&RenewOptions { days, ..base.clone() }, now()).await;
        assert!(matches!(refused, Err(CeremonyError::NoLonger { present: found, .. }) if found == present), "{days}");
        assert_eq!(files_in(&at("next")), [""; 0]);
    }
    let (renewed, _) = renew(&RenewOptions { days: 20, ..base.clone() }, now()).await.unwrap();
    assert!(renewed.is_cut_short && renewed.chain[0].not_after() == renewed.chain[1].not_after());
    // The root is at its end: there is nothing longer.
    let again = RenewOptions { chain: at("next").join(CHAIN), directory: at("again"), days: 30, ..base };
    assert!(matches!(renew(&again, now()).await, Err(CeremonyError::NoLonger { .. })));
}
