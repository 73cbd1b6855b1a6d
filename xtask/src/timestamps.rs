// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask interop timestamps`: what the timestamp authority issues, before OpenSSL and before rfc3161-client.
//!
//! `touchmark serve` with a P-256 and with a P-384 key, each under a chain of three that OpenSSL made: one with its signing certificate alone in
//! timestamps, one with the whole chain. Both checkers verify timestamps over SHA-256, SHA-384 and SHA-512, and must refuse each over other data;
//! OpenSSL must also refuse it under the other authority, and shows a rejection with its reason.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::clients::debug_binary;
use crate::interop::{Server, free_port, in_fresh_home};
use crate::keys_elsewhere::post;
use crate::process::{self, exists, quiet, run, workspace};
use crate::tools::{apt_install, cache_dir};

const RFC3161_CLIENT: &str = "1.0.9";
const HASHES: [&str; 3] = ["sha256", "sha384", "sha512"];
/// The first one is that of requests that name none.
const POLICIES: [&str; 2] = ["1.3.6.1.4.1.57264.2", "1.3.6.1.4.1.99999.1"];
const QUERY: &str = "application/timestamp-query";

pub(crate) fn run_it() -> Result<()> {
    in_fresh_home(|home| {
        let passed = steps(home)?;
        println!("{passed} passed, 0 failed");
        Ok(())
    })
}

/// The whole part, in a directory of its own under `home`.
pub(crate) fn steps(home: &Path) -> Result<usize> {
    if !exists("openssl") {
        apt_install(&["openssl"])?;
    }
    let python = rfc3161_client()?;
    run(Command::new(env!("CARGO")).args(["build", "--locked", "-p", "touchmark-cli"]).current_dir(workspace()))?;
    let home = home.join("timestamps");
    std::fs::create_dir_all(&home).context("cannot create a directory")?;
    let script = home.join("verify.py");
    std::fs::write(&script, PYTHON).context("cannot write a script")?;
    let authorities = [("p256", "P-256", "false"), ("p384", "P-384", "true")];
    let authorities =
        authorities.map(|(name, curve, chain_in_tokens)| Authority::make(&home.join(name), curve, chain_in_tokens));
    let [p256, p384] = authorities;
    let authorities = [p256?, p384?];
    let mut passed = 0;
    for (authority, other) in authorities.iter().zip(authorities.iter().rev()) {
        let mut server = authority.serve(&home)?;
        for (number, hash) in HASHES.into_iter().enumerate() {
            passed += authority.stamp(hash, POLICIES[number % POLICIES.len()], other)?;
        }
        passed += authority.reject()?;
        let url = format!("http://127.0.0.1:{}", authority.port);
        quiet(Command::new(&python).arg(&script).arg(&url).arg(&authority.dir))?;
        passed += HASHES.len() * 2;
        server.stop()?;
        println!("interop: openssl and rfc3161-client verify timestamps of a {} key", authority.curve);
    }
    Ok(passed)
}

/// A key under a chain of three, and how it is served.
struct Authority {
    dir: PathBuf,
    curve: &'static str,
    chain_in_tokens: &'static str,
    port: u16,
}

impl Authority {
    fn make(dir: &Path, curve: &'static str, chain_in_tokens: &'static str) -> Result<Self> {
        std::fs::create_dir_all(dir).context("cannot create a directory")?;
        let authority = Self { dir: dir.to_owned(), curve, chain_in_tokens, port: free_port()? };
        authority.write("openssl.cnf", EXTENSIONS)?;
        for name in ["root", "intermediate", "leaf"] {
            let curve = format!("ec_paramgen_curve:{curve}");
            quiet(
                authority
                    .openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", &curve, "-out"])
                    .arg(authority.key(name)),
            )?;
        }
        authority.certify("root", "root")?;
        authority.certify("intermediate", "root")?;
        authority.certify("leaf", "intermediate")?;
        let mut chain = String::new();
        for name in ["leaf", "intermediate", "root"] {
            chain += &std::fs::read_to_string(authority.certificate(name)).context("cannot read a certificate")?;
        }
        authority.write("chain.pem", &chain)?;
        Ok(authority)
    }

    /// A certificate that OpenSSL makes, self-signed or by another of its keys.
    fn certify(&self, name: &str, issuer: &str) -> Result<()> {
        let request = self.file(&format!("{name}.csr"));
        let subject = format!("/O=interop {}/CN={name}", self.curve);
        quiet(self.openssl(&["req", "-new", "-subj", &subject, "-key"]).arg(self.key(name)).arg("-out").arg(&request))?;
        let mut x509 = self.openssl(&["x509", "-req", "-days", "2", "-sha384", "-extensions", name, "-extfile"]);
        x509.arg(self.file("openssl.cnf")).arg("-in").arg(&request).arg("-out").arg(self.certificate(name));
        if name == issuer {
            x509.arg("-signkey").arg(self.key(name));
        } else {
            x509.args(["-CAcreateserial", "-CA"]).arg(self.certificate(issuer)).arg("-CAkey").arg(self.key(issuer));
        }
        quiet(&mut x509).map(drop)
    }

    fn serve(&self, home: &Path) -> Result<Server> {
        let config = self.write(
            "touchmark.toml",
            &format!(
                "[tsa]\nlisten = \"127.0.0.1:{}\"\nkey = \"leaf.key\"\nchain = \"chain.pem\"\npolicies = {POLICIES:?}\nchain_in_tokens = {}\naudit_log = \"audit.jsonl\"\n",
                self.port, self.chain_in_tokens
            ),
        )?;
        Server::serve(Command::new(debug_binary("touchmark")), &config, self.port, &self.dir, home)
    }

    /// One timestamp, verified by its query and by its data; refused over other data and under another authority.
    fn stamp(&self, hash: &str, policy: &str, other: &Self) -> Result<usize> {
        let data = self.write("stamped.txt", &format!("stamp me with {hash}\n"))?;
        let changed = self.write("changed.txt", "something else\n")?;
        let (query, reply) = (self.file("query.tsq"), self.file("reply.tsr"));
        self.query(&query, &data, &[&format!("-{hash}"), "-tspolicy", policy, "-cert"])?;
        let body = std::fs::read(&query).context("cannot read the query")?;
        let (status, answer) = post(self.port, "/api/v1/timestamp", &[("Content-Type", QUERY)], &body)?;
        ensure!(status == 200, "status {status}: {}", String::from_utf8_lossy(&answer));
        std::fs::write(&reply, answer).context("cannot write the reply")?;

        quiet(self.verify(&reply).arg("-queryfile").arg(&query))?;
        quiet(self.verify(&reply).arg("-data").arg(&data))?;
        let text = self.text(&reply)?;
        for part in ["Status: Granted.".to_owned(), format!("Hash Algorithm: {hash}"), format!("Policy OID: {policy}")]
        {
            ensure!(text.contains(&part), "openssl's text of a timestamp lacks {part:?}:\n{text}");
        }
        expect_refused(self.verify(&reply).arg("-data").arg(&changed), "message imprint mismatch")?;
        let stranger = &mut other.verify(&reply);
        expect_refused(stranger.arg("-data").arg(&data), "certificate verify error")?;
        Ok(5)
    }

    /// A policy that is not served, as RFC 3161 says it.
    fn reject(&self) -> Result<usize> {
        let (query, reply) = (self.file("query.tsq"), self.file("reply.tsr"));
        self.query(&query, &self.file("stamped.txt"), &["-sha256", "-tspolicy", "1.2.3.4"])?;
        let body = std::fs::read(&query).context("cannot read the query")?;
        let headers =
            [("Content-Type", QUERY), ("Accept", "application/timestamp-reply,application/timestamp-response")];
        let (status, answer) = post(self.port, "/api/v1/timestamp", &headers, &body)?;
        ensure!(status == 200, "status {status}: {}", String::from_utf8_lossy(&answer));
        std::fs::write(&reply, answer).context("cannot write the reply")?;
        let text = self.text(&reply)?;
        for part in ["Status: Rejected.", "requested TSA policy is not supported"] {
            ensure!(text.contains(part), "openssl's text of a rejection lacks {part:?}:\n{text}");
        }
        expect_refused(self.verify(&reply).arg("-queryfile").arg(&query), "no time stamp token")?;
        Ok(2)
    }

    fn query(&self, query: &Path, data: &Path, options: &[&str]) -> Result<()> {
        let mut command = self.openssl(&["ts", "-query"]);
        quiet(command.args(options).arg("-data").arg(data).arg("-out").arg(query)).map(drop)
    }

    /// The intermediate comes with the timestamp, or from here.
    fn verify(&self, reply: &Path) -> Command {
        let mut command = self.openssl(&["ts", "-verify", "-in"]);
        command.arg(reply).arg("-CAfile").arg(self.certificate("root"));
        if self.chain_in_tokens == "false" {
            command.arg("-untrusted").arg(self.certificate("intermediate"));
        }
        command
    }

    fn text(&self, reply: &Path) -> Result<String> {
        quiet(self.openssl(&["ts", "-reply", "-text", "-in"]).arg(reply))
    }

    fn openssl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(&self.dir);
        command
    }

    fn key(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.key"))
    }

    fn certificate(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.pem"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// What each certificate of the chain may do.
const EXTENSIONS: &str = "\
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[intermediate]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
extendedKeyUsage = timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[leaf]
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
";

fn expect_refused(command: &mut Command, reason: &str) -> Result<()> {
    let output = process::output(command)?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains(reason), "openssl does not say {reason:?}: {said}");
    Ok(())
}

/// Stamps with each hash and verifies, with and without the certificates in the timestamp; over other data it must be refused. The checker makes no
/// requests for SHA-384: that one is in JSON.
const PYTHON: &str = r#"
import base64, hashlib, json, sys, urllib.request, pathlib
from cryptography import x509
from rfc3161_client import TimestampRequestBuilder, HashAlgorithm, VerifierBuilder, decode_timestamp_response, VerificationError

url, home = sys.argv[1:3]
leaf, intermediate, root = x509.load_pem_x509_certificates(pathlib.Path(home, "chain.pem").read_bytes())

def der(algorithm, embed):
    builder = TimestampRequestBuilder().data(b"stamp me").hash_algorithm(algorithm)
    request = builder.nonce(nonce=True).cert_request(cert_request=embed).build()
    return "application/timestamp-query", request.as_bytes(), request.nonce

def in_json(embed):
    digest = base64.b64encode(hashlib.sha384(b"stamp me").digest()).decode()
    request = {"artifactHash": digest, "hashAlgorithm": "sha384", "nonce": 2**63 + 1, "certificates": embed}
    return "application/json", json.dumps(request).encode(), 2**63 + 1

for embed in (True, False):
    for media_type, body, nonce in der(HashAlgorithm.SHA256, embed), der(HashAlgorithm.SHA512, embed), in_json(embed):
        request = urllib.request.Request(url + "/api/v1/timestamp", data=body, headers={"Content-Type": media_type})
        with urllib.request.urlopen(request, timeout=10) as reply:
            response = decode_timestamp_response(reply.read())
        verifier = VerifierBuilder().nonce(nonce).add_root_certificate(root).add_intermediate_certificate(intermediate)
        verifier = verifier.tsa_certificate(leaf).build()
        assert verifier.verify_message(response, b"stamp me")
        try:
            verifier.verify_message(response, b"other")
        except VerificationError:
            continue
        raise SystemExit("a timestamp over other data was accepted")
"#;

/// The Python that has the checker.
fn rfc3161_client() -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!("rfc3161-client-{RFC3161_CLIENT}"));
    // Written last: an installation that was cut off is done again.
    let done = dir.join("installed");
    if !done.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
        let mut pip = Command::new(dir.join("bin/pip"));
        run(pip
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("rfc3161-client=={RFC3161_CLIENT}")))?;
        std::fs::write(&done, "").context("cannot mark an installation")?;
    }
    Ok(dir.join("bin/python"))
}
