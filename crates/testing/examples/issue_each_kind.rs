// SPDX-License-Identifier: Apache-2.0
//! Certificates of every kind of identity, under a P-256 and under a P-384 authority, for `cargo xtask interop certificates`.
//!
//! A real `touchmark serve` for each authority; its issuers' keys are pinned in its configuration, so nobody is asked; the tokens are signed here.
//! `issue_each_kind TOUCHMARK DIRECTORY` leaves, in `p256/` and `p384/`: `root.pem`, `intermediate.pem`, `issued_at` (Unix seconds) and the
//! certificates as `leaf-<kind>.pem`. In scope: issuing. Out of scope: judging what was issued, which openssl and a linter do.
#![expect(clippy::print_stdout, reason = "a developer's tool talks on the terminal")]

use std::error::Error;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use touchmark_keys::KeyType;
use touchmark_outbound::{Limits, Outbound, Reach};
use touchmark_signers::{EphemeralSigner, FileSigner, Signer};
use touchmark_sigstore::issue::assemble;
use touchmark_sigstore::issue::authority::{AuthorityName, CaProfile, CaTemplate};
use touchmark_sigstore::x509::Certificate;
use touchmark_testing::process::{ServerProcess, free_port};
use url::Url;

type Outcome<T> = Result<T, Box<dyn Error>>;

const CT_LOG: &str = "ct2026-1.certificates.touchmark.localhost";
/// As the authorities that `touchmark up` makes.
const AUTHORITY_LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [touchmark, directory] = arguments.as_slice() else {
        return Err("usage: issue_each_kind TOUCHMARK DIRECTORY".into());
    };
    for (name, key_type) in [("p256", KeyType::EcdsaP256), ("p384", KeyType::EcdsaP384)] {
        let directory = Path::new(directory).join(name);
        let count = issue_under(key_type, Path::new(touchmark), &directory).await?;
        println!("{count} certificates under an authority with {name}");
    }
    Ok(())
}

/// One authority with keys of this type, and a certificate of each kind from it.
async fn issue_under(key_type: KeyType, touchmark: &Path, directory: &Path) -> Outcome<usize> {
    for part in ["keys", "logs/ct"] {
        std::fs::create_dir_all(directory.join(part))?;
    }
    make_authority(key_type, directory).await?;
    FileSigner::create(&directory.join("keys/ct.pem"), KeyType::EcdsaP256, None)?;
    let token_key = EphemeralSigner::generate(KeyType::Ed25519)?;
    std::fs::write(directory.join("issuers.jwks"), jwks(&token_key).to_string())?;
    let kinds = kinds();
    let port = free_port()?;
    let config = directory.join("touchmark.toml");
    std::fs::write(&config, configuration(port, &kinds))?;

    let server = ServerProcess::serve(touchmark, &config, port).await?;
    std::fs::write(directory.join("issued_at"), Timestamp::now().as_second().to_string())?;
    for kind in &kinds {
        let token = token(&token_key, kind).await?;
        let leaf = certificate(&server, kind, &token).await?;
        std::fs::write(directory.join(format!("leaf-{}.pem", kind.name)), leaf.to_pem())?;
    }
    let status = server.stop().await?;
    if !status.success() {
        return Err(format!("touchmark serve ended with {status}").into());
    }
    Ok(kinds.len())
}

/// Root and intermediate as `touchmark up` makes them, with keys of another type.
async fn make_authority(key_type: KeyType, directory: &Path) -> Outcome<()> {
    let root_key = EphemeralSigner::generate(key_type)?;
    let issuing_key = FileSigner::create(&directory.join("keys/ca.pem"), key_type, None)?;
    // Certificates count whole seconds, and none outlives its issuer.
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    let root = authority("root", CaProfile::Root, &root_key, &root_key, now).await?;
    let profile = CaProfile::CodeSigningIntermediate { issuer: &root };
    let intermediate = authority("intermediate", profile, &issuing_key, &root_key, now).await?;
    std::fs::write(directory.join("root.pem"), root.to_pem())?;
    std::fs::write(directory.join("intermediate.pem"), intermediate.to_pem())?;
    std::fs::write(directory.join("chain.pem"), intermediate.to_pem() + &root.to_pem())?;
    Ok(())
}

async fn authority(
    name: &str,
    profile: CaProfile<'_>,
    key: &dyn Signer,
    issuer_key: &dyn Signer,
    now: Timestamp,
) -> Outcome<Certificate> {
    let mut serial = [0; 20];
    touchmark_keys::random(&mut serial);
    let tbs = CaTemplate {
        serial,
        not_before: now,
        not_after: now + AUTHORITY_LIFETIME,
        name: AuthorityName {
            organization: "touchmark.localhost".to_owned(),
            common_name: format!("certificates {name}"),
        },
        public_key: key.public_key().clone(),
        profile,
        signature_scheme: issuer_key.scheme(),
    }
    .tbs()?;
    let signature = issuer_key.sign(&tbs).await?;
    Ok(Certificate::from_der(&assemble(&tbs, issuer_key.scheme(), &signature)?)?)
}

/// One identity: an issuer's entry, what its token says, and the key that the certificate is for.
struct Kind {
    name: &'static str,
    /// Of the issuer's entry, beside its address and keys.
    entry: &'static str,
    /// Beside those of every token.
    claims: Value,
    /// What the proof of possession is over, as the public clients choose it.
    proof: &'static str,
    key_type: KeyType,
}

fn kinds() -> Vec<Kind> {
    let kind = |name, entry, claims, proof, key_type| Kind { name, entry, claims, proof, key_type };
    let service_account = "system:serviceaccount:prod:builder";
    let pod = json!({ "namespace": "prod", "serviceaccount": { "name": "builder", "uid": "1" } });
    vec![
        kind(
            "email",
            "identity = \"email\"",
            json!({ "sub": "110", "email": "alice+sigstore@mail.example.com", "email_verified": true }),
            "alice+sigstore@mail.example.com",
            KeyType::EcdsaP256,
        ),
        kind(
            "uri",
            "identity = \"uri\"\nsubject_domain = \"https://uri.example.com\"",
            json!({ "sub": "https://uri.example.com/team/a%20b/job?id=1" }),
            "https://uri.example.com/team/a%20b/job?id=1",
            KeyType::EcdsaP384,
        ),
        kind(
            "username",
            "identity = \"username\"\nsubject_domain = \"username.example.com\"",
            json!({ "sub": "zoe/42" }),
            "zoe/42",
            KeyType::Ed25519,
        ),
        kind(
            "spiffe",
            "identity = \"spiffe\"\nspiffe_trust_domain = \"example.org\"",
            json!({ "sub": "spiffe://example.org/ns/prod/sa/web" }),
            "spiffe://example.org/ns/prod/sa/web",
            KeyType::EcdsaP521,
        ),
        kind(
            "kubernetes",
            "identity = \"kubernetes\"",
            json!({ "sub": service_account, "kubernetes.io": pod }),
            service_account,
            KeyType::Rsa2048,
        ),
        kind(
            "chainguard",
            "identity = \"chainguard-identity\"",
            json!({ "sub": "d0a1b2/c3d4" }),
            "d0a1b2/c3d4",
            KeyType::EcdsaP256,
        ),
        kind(
            "ci-provider",
            "identity = \"ci-provider\"\nci_provider = \"github-workflow\"",
            workflow(),
            WORKFLOW_SUBJECT,
            KeyType::EcdsaP256,
        ),
    ]
}

const WORKFLOW_SUBJECT: &str = "repo:acme/app:environment:production";

/// Every claim that becomes an extension, some long and some beyond ASCII.
fn workflow() -> Value {
    let branch = format!("refs/heads/{}", "long-".repeat(60));
    json!({
        "sub": WORKFLOW_SUBJECT, "event_name": "push", "sha": "c".repeat(40), "ref": branch, "workflow": "Zoë's <build> & \"test\"",
        "job_workflow_ref": format!("acme/app/.github/workflows/release.yml@{branch}"), "job_workflow_sha": "a".repeat(40),
        "workflow_ref": format!("acme/app/.github/workflows/ci.yml@{branch}"), "workflow_sha": "b".repeat(40),
        "repository": "acme/app", "repository_id": 123_456_789_012_u64, "repository_owner": "acme", "repository_owner_id": "42",
        "repository_visibility": "public", "runner_environment": "github-hosted", "run_id": "9", "run_attempt": "1",
        "environment": "production",
    })
}

fn issuer_of(kind: &Kind) -> String {
    format!("https://{}.example.com", kind.name)
}

fn configuration(port: u16, kinds: &[Kind]) -> String {
    let services = format!(
        r#"
listen = "127.0.0.1:{port}"
[fulcio]
key = "keys/ca.pem"
chain = "chain.pem"
ct_log = {{ name = "{CT_LOG}" }}
[[ctlog]]
name = "{CT_LOG}"
key = "keys/ct.pem"
data = "logs/ct"
accepted_roots = "chain.pem"
"#
    );
    let entry = |kind: &Kind| {
        format!("[[fulcio.issuer]]\nurl = \"{}\"\njwks = \"issuers.jwks\"\n{}\n", issuer_of(kind), kind.entry)
    };
    services + &kinds.iter().map(entry).collect::<String>()
}

/// RFC 8037: an Ed25519 key as a JSON Web Key.
fn jwks(key: &EphemeralSigner) -> Value {
    let x = URL_SAFE_NO_PAD.encode(key.public_key().raw());
    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "one", "alg": "EdDSA", "use": "sig", "x": x }] })
}

async fn token(key: &EphemeralSigner, kind: &Kind) -> Outcome<String> {
    let now_s = Timestamp::now().as_second();
    let mut claims = json!({ "iss": issuer_of(kind), "aud": "sigstore", "iat": now_s, "exp": now_s + 60 });
    if let (Some(all), Some(own)) = (claims.as_object_mut(), kind.claims.as_object()) {
        all.extend(own.clone());
    }
    let header = json!({ "alg": "EdDSA", "kid": "one", "typ": "JWT" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = key.sign(signed.as_bytes()).await?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Asks as sigstore-js does.
async fn certificate(server: &ServerProcess, kind: &Kind, token: &str) -> Outcome<Certificate> {
    let key = EphemeralSigner::generate(kind.key_type)?;
    let proof = key.sign(kind.proof.as_bytes()).await?;
    let body = json!({
        "credentials": { "oidcIdentityToken": token },
        "publicKeyRequest": {
            "publicKey": { "content": key.public_key().to_pem() },
            "proofOfPossession": STANDARD.encode(proof),
        },
    });
    let url: Url = server.url().join("/api/v2/signingCert")?;
    let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
    let headers = [("content-type", "application/json")];
    let reply = outbound.post(&url, &headers, body.to_string().into_bytes(), &Limits::SERVICE).await?;
    let json: Value = serde_json::from_slice(&reply.body)?;
    let leaf = json.pointer("/signedCertificateEmbeddedSct/chain/certificates/0").and_then(Value::as_str);
    let leaf = leaf.ok_or_else(|| format!("no certificate for {}: {} {json}", kind.name, reply.status))?;
    Ok(Certificate::from_pem(leaf)?)
}
