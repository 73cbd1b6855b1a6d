// SPDX-License-Identifier: Apache-2.0
//! PKCS#11 signers against SoftHSM2: `cargo xtask interop keys` runs this.
//!
//! In scope: keys of every supported kind, wrong names and PINs, a token that is pulled and put back while others sign, a key that is
//! exchanged, one that wants the PIN for each signature. SoftHSM2 keeps each token in a directory: a token is pulled by moving its directory away. Out of scope: installing SoftHSM2
//! and telling it, by `SOFTHSM2_CONF`, where tokens lie (the caller's).
//! Arguments: the module, the directory of the tokens, a directory for keys and PINs.
#![expect(
    clippy::print_stdout,
    clippy::panic,
    reason = "a drill tells what it found, and ends where something is wrong"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use touchmark_keys::{KeyType, digest};
use touchmark_signers::{FileSigner, Pkcs11Problem, Signer, SignerError, SignerReference};

const PIN: &str = "5678";
/// How long after a token is back signatures must work again.
const BACK_WITHIN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, tokens, home] = arguments.as_slice() else { panic!("three arguments are needed") };
    let drill = Drill { module: module.clone(), tokens: tokens.clone(), home: home.clone() };
    // SoftHSM2 sees those tokens that are there when it is initialised.
    for token in ["one", "two", "four"] {
        drill.make_token(token);
    }
    drill.write_pin("pin", PIN);
    drill.every_kind_of_key_signs().await;
    drill.names_that_do_not_mean_one_key_are_refused().await;
    drill.a_wrong_pin_is_refused().await;
    drill.a_token_that_is_pulled_is_found_again().await;
    drill.a_pin_that_became_wrong_waits_for_another().await;
    drill.nothing_wrong_is_signed_while_tokens_come_and_go().await;
    drill.another_key_under_the_same_name_signs_nothing().await;
    drill.a_key_that_wants_the_pin_each_time_signs().await;
    println!("8 passed, 0 failed");
}

struct Drill {
    module: PathBuf,
    tokens: PathBuf,
    home: PathBuf,
}

impl Drill {
    fn make_token(&self, label: &str) {
        softhsm(&["--init-token", "--free", "--label", label, "--so-pin", "1234", "--pin", PIN]);
    }

    fn write_pin(&self, name: &str, pin: &str) -> PathBuf {
        let path = self.home.join(name);
        std::fs::write(&path, format!("{pin}\n")).expect("a PIN file can be written");
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("it is ours");
        path
    }

    /// Makes a key and puts it into a token.
    fn import(&self, token: &str, label: &str, id: &str, key_type: KeyType) -> FileSigner {
        let path = self.home.join(format!("{token}-{label}-{id}-{}.pem", unique()));
        let key = FileSigner::create(&path, key_type, None).expect("a key file can be made");
        let path = path.to_str().expect("the path is text");
        softhsm(&["--import", path, "--token", token, "--label", label, "--id", id, "--pin", PIN]);
        key
    }

    async fn open(&self, path: &str, pin: &str) -> Result<Arc<dyn Signer>, SignerError> {
        let uri = format!("pkcs11:{path}?module-path={}&pin-source=file:{pin}", self.module.display());
        SignerReference::parse(&uri, &self.home).expect("the URI is right").open(None).await
    }

    async fn every_kind_of_key_signs(&self) {
        let kinds = [
            ("01", KeyType::EcdsaP256),
            ("02", KeyType::EcdsaP384),
            ("03", KeyType::EcdsaP521),
            ("04", KeyType::Rsa2048),
            ("05", KeyType::Rsa4096),
        ];
        for (id, key_type) in kinds {
            let label = format!("kind-{id}");
            let key = self.import("one", &label, id, key_type);
            for path in [
                format!("token=one;object={label}"),
                format!("token=one;id=%{id}"),
                format!("token=one;object={label};id=%{id};type=private"),
            ] {
                let signer = self.open(&path, "pin").await.expect("the key is there");
                assert_eq!((signer.public_key(), signer.scheme()), (key.public_key(), key.scheme()), "{path}");
                signs(signer.as_ref()).await.expect("a signature");
            }
            let signer = self.open(&format!("token=one;id=%{id}"), "pin").await.expect("the key is there");
            let mut callers = tokio::task::JoinSet::new();
            for _ in 0..32 {
                let signer = Arc::clone(&signer);
                callers.spawn(async move { signs(signer.as_ref()).await });
            }
            while let Some(done) = callers.join_next().await {
                done.expect("no panic").expect("a signature");
            }
        }
        println!("ok: every kind of key signs, also for many callers at once");
    }

    async fn names_that_do_not_mean_one_key_are_refused(&self) {
        self.import("one", "twin", "11", KeyType::EcdsaP256);
        self.import("one", "twin", "12", KeyType::EcdsaP256);
        let not_unique = |found| Pkcs11Problem::KeyNotUnique { class: "private keys", found };
        for (path, expect) in [
            ("token=one;object=twin", not_unique(2)),
            ("token=one;object=nobody", not_unique(0)),
            ("token=two;object=twin", not_unique(0)),
            ("token=three;object=twin", Pkcs11Problem::TokenMissing),
            ("token=one;serial=0;object=twin", Pkcs11Problem::TokenMissing),
        ] {
            assert_eq!(problem(self.open(path, "pin").await), expect, "{path}");
        }
        self.open("token=one;object=twin;id=%12", "pin").await.expect("label and id together mean one key");
        println!("ok: names that do not mean one key are refused");
    }

    async fn a_wrong_pin_is_refused(&self) {
        self.import("two", "locked", "21", KeyType::EcdsaP256);
        self.write_pin("wrong", "9999");
        let opened = self.open("token=two;object=locked", "wrong").await;
        assert!(matches!(problem(opened), Pkcs11Problem::PinRefused { .. }));
        let loose = self.write_pin("loose", PIN);
        #[cfg(unix)]
        std::fs::set_permissions(&loose, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("it is ours");
        let opened = self.open("token=two;object=locked", "loose").await;
        assert!(matches!(problem(opened), Pkcs11Problem::PinFile(_)), "{}", loose.display());
        self.open("token=two;object=locked", "pin").await.expect("the right PIN opens it");
        println!("ok: a wrong PIN is refused, and a PIN file that others may read");
    }

    async fn a_token_that_is_pulled_is_found_again(&self) {
        self.import("two", "steady", "22", KeyType::EcdsaP256);
        let pulled = self.open("token=one;object=kind-01", "pin").await.expect("the key is there");
        let steady = self.open("token=two;object=steady", "pin").await.expect("the key is there");
        for round in 0..3 {
            let away = self.pull("one", pulled.as_ref()).await;
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(2500) {
                let failed = signs(pulled.as_ref()).await;
                assert!(matches!(failed, Err(SignerError::Pkcs11 { .. })), "{failed:?}");
                signs(steady.as_ref()).await.expect("another token in the same module goes on");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            away.put_back();
            let begun = Instant::now();
            while let Err(error) = signs(pulled.as_ref()).await {
                assert!(begun.elapsed() < BACK_WITHIN, "{error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            println!("ok: round {round}: a pulled token was found again after {:?}", begun.elapsed());
            signs(steady.as_ref()).await.expect("another token in the same module goes on");
        }
    }

    /// A token that comes back wants its PIN again; one that is wrong by then is not tried twice, and a right one is.
    async fn a_pin_that_became_wrong_waits_for_another(&self) {
        self.write_pin("changing", PIN);
        let signer = self.open("token=two;object=steady", "changing").await.expect("the key is there");
        let away = self.pull("two", signer.as_ref()).await;
        self.write_pin("changing", "0000");
        away.put_back();
        let begun = Instant::now();
        let mut refusals = 0;
        while refusals < 5 {
            let refused = signs(signer.as_ref()).await.expect_err("the PIN is wrong");
            if matches!(refused, SignerError::Pkcs11 { problem: Pkcs11Problem::PinRefused { .. }, .. }) {
                refusals += 1;
            }
            assert!(begun.elapsed() < BACK_WITHIN, "{refused}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.write_pin("changing", PIN);
        signs(signer.as_ref()).await.expect("the right PIN is tried");
        println!("ok: a PIN that became wrong is refused until it is another");
    }

    async fn nothing_wrong_is_signed_while_tokens_come_and_go(&self) {
        let one = self.open("token=one;object=kind-01", "pin").await.expect("the key is there");
        let two = self.open("token=two;object=steady", "pin").await.expect("the key is there");
        let mut callers = tokio::task::JoinSet::new();
        let until = Instant::now() + Duration::from_secs(8);
        for caller in 0..12 {
            let signer = Arc::clone(if caller % 2 == 0 { &one } else { &two });
            callers.spawn(async move {
                let (mut signed, mut failed) = (0_u32, 0_u32);
                while Instant::now() < until {
                    // Every signature is verified there.
                    match signs(signer.as_ref()).await {
                        Ok(()) => signed += 1,
                        Err(_) => failed += 1,
                    }
                }
                (signed, failed)
            });
        }
        for _ in 0..3 {
            let away = self.pull("one", one.as_ref()).await;
            tokio::time::sleep(Duration::from_millis(900)).await;
            away.put_back();
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
        let (mut signed, mut failed) = (0, 0);
        while let Some(counted) = callers.join_next().await {
            let (more_signed, more_failed) = counted.expect("no panic");
            assert!(more_signed > 0);
            (signed, failed) = (signed + more_signed, failed + more_failed);
        }
        println!("ok: {signed} signatures and {failed} refusals while a token came and went three times");
        signs(one.as_ref()).await.expect("all is well again");
        signs(two.as_ref()).await.expect("all is well again");
    }

    async fn another_key_under_the_same_name_signs_nothing(&self) {
        self.make_token("three");
        self.import("three", "ca", "31", KeyType::EcdsaP256);
        let signer = self.open("token=three;object=ca", "pin").await.expect("the key is there");
        signs(signer.as_ref()).await.expect("a signature");
        let away = self.pull("three", signer.as_ref()).await;
        self.make_token("three");
        self.import("three", "ca", "31", KeyType::EcdsaP256);
        let begun = Instant::now();
        loop {
            let refused = signs(signer.as_ref()).await.expect_err("the key is another");
            if matches!(refused, SignerError::Pkcs11 { problem: Pkcs11Problem::KeyChanged, .. }) {
                break;
            }
            assert!(begun.elapsed() < BACK_WITHIN, "{refused}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(away);
        println!("ok: another key under the same name signs nothing");
    }

    /// SoftHSM2 signs in parts what it hashes itself: messages, with RSA keys. So a digest is refused, and ECDSA, and the message says why; PIV
    /// cards take all of them.
    async fn a_key_that_wants_the_pin_each_time_signs(&self) {
        self.write_pin("each", PIN);
        for (label, kind) in [("each", Generated::Rsa), ("each-ec", Generated::P256)] {
            self.generate_attended("four", label, kind);
        }
        let signer = self.open("token=four;object=each", "each").await.expect("the key is there");
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let signer = Arc::clone(&signer);
            callers.spawn(async move { signer.sign(b"message").await });
        }
        while let Some(done) = callers.join_next().await {
            let signature = done.expect("no panic").expect("a signature");
            signer.public_key().verify(signer.scheme(), b"message", &signature).expect("it verifies");
        }
        self.write_pin("each", "0000");
        for _ in 0..5 {
            let refused = signer.sign(b"message").await.expect_err("the PIN is wrong now");
            assert!(matches!(problem_of(&refused), Pkcs11Problem::PinRefused { .. }), "{refused}");
        }
        self.write_pin("each", PIN);
        signer.sign(b"message").await.expect("the right PIN is tried");
        // The signer's session is logged in, and shows the key to everybody in this process.
        let without = format!("pkcs11:token=four;object=each?module-path={}", self.module.display());
        let opened = SignerReference::parse(&without, &self.home).expect("the URI is right").open(None).await;
        assert_eq!(problem(opened), Pkcs11Problem::PinMissing);
        let digest = digest(signer.scheme().hash().expect("RSA hashes"), b"message");
        let refused = signer.sign_digest(&digest).await.expect_err("SoftHSM2 takes no digest in parts");
        assert!(matches!(problem_of(&refused), Pkcs11Problem::NotInParts { .. }), "{refused}");
        let ec = self.open("token=four;object=each-ec", "each").await.expect("the key is there");
        let refused = ec.sign(b"message").await.expect_err("SoftHSM2 takes no ECDSA in parts");
        assert!(matches!(problem_of(&refused), Pkcs11Problem::NotInParts { .. }), "{refused}");
        println!("ok: a key that wants the PIN for each signature gets it, a wrong one once");
    }

    /// Makes a key in a token with `CKA_ALWAYS_AUTHENTICATE`, which `softhsm2-util` cannot.
    fn generate_attended(&self, token: &str, label: &str, kind: Generated) {
        let context = Pkcs11::new(&self.module).expect("the module loads");
        // The signers of this process have initialised it.
        let slots = context.get_slots_with_token().expect("tokens");
        let has_label = |slot: &Slot| context.get_token_info(*slot).is_ok_and(|info| info.label() == token);
        let slot = slots.into_iter().find(has_label).expect("the token is there");
        let session = context.open_rw_session(slot).expect("a session");
        match session.login(UserType::User, Some(&AuthPin::new(PIN.into()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => panic!("{error}"),
        }
        let (mechanism, public) = match kind {
            Generated::Rsa => (Mechanism::RsaPkcsKeyPairGen, Attribute::ModulusBits(2048.into())),
            Generated::P256 => (Mechanism::EccKeyPairGen, Attribute::EcParams(P256_OID.to_vec())),
        };
        let named = [Attribute::Label(label.into()), Attribute::Id(label.into()), Attribute::Token(true)];
        let public: Vec<_> = named.iter().cloned().chain([public, Attribute::Verify(true)]).collect();
        let attended = [Attribute::Private(true), Attribute::Sign(true), Attribute::AlwaysAuthenticate(true)];
        let private: Vec<_> = named.into_iter().chain(attended).collect();
        session.generate_key_pair(&mechanism, &public, &private).expect("a key pair");
    }

    /// Moves the directory of a token away, and waits until the signer has noticed.
    async fn pull(&self, label: &str, signer: &dyn Signer) -> Away {
        let entries = std::fs::read_dir(&self.tokens).expect("the tokens are listed").flatten();
        let holds = |path: &Path| {
            let object = std::fs::read(path.join("token.object")).unwrap_or_default();
            let padded = format!("{label:<32}");
            object.windows(32).any(|part| part == padded.as_bytes())
        };
        let from = entries.map(|entry| entry.path()).find(|path| holds(path)).expect("the token has a directory");
        let to = self.home.join(format!("away-{}", unique()));
        std::fs::rename(&from, &to).expect("it is ours");
        let begun = Instant::now();
        while signs(signer).await.is_ok() {
            assert!(begun.elapsed() < BACK_WITHIN, "a token that is away still signs");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Away { from, to }
    }
}

#[derive(Clone, Copy)]
enum Generated {
    Rsa,
    P256,
}

/// `prime256v1` in DER.
const P256_OID: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// A token that is not there.
struct Away {
    from: PathBuf,
    to: PathBuf,
}

impl Away {
    fn put_back(self) {
        std::fs::rename(self.to, self.from).expect("it is ours");
    }
}

/// Signs a message and a digest, and verifies both.
async fn signs(signer: &dyn Signer) -> Result<(), SignerError> {
    let (key, scheme) = (signer.public_key(), signer.scheme());
    let signature = signer.sign(b"message").await?;
    key.verify(scheme, b"message", &signature).expect("what a signer returns verifies");
    let digest = digest(scheme.hash().expect("tokens sign digests"), b"another");
    let signature = signer.sign_digest(&digest).await?;
    key.verify(scheme, b"another", &signature).expect("what a signer returns verifies");
    Ok(())
}

fn problem(opened: Result<Arc<dyn Signer>, SignerError>) -> Pkcs11Problem {
    problem_of(&opened.map(drop).expect_err("it is refused")).clone()
}

fn problem_of(error: &SignerError) -> &Pkcs11Problem {
    match error {
        SignerError::Pkcs11 { problem, .. } => problem,
        other => panic!("{other:?}"),
    }
}

fn softhsm(arguments: &[&str]) {
    let ran = Command::new("softhsm2-util").args(arguments).stdin(Stdio::null()).output().expect("softhsm2-util runs");
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

fn unique() -> u64 {
    let mut random = [0; 8];
    touchmark_keys::random(&mut random);
    u64::from_be_bytes(random)
}
