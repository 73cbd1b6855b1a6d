// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask interop`: real clients against a running instance.
//!
//! A real `touchmark up` on loopback; every client of the matrix signs a file, every client verifies each bundle, through TUF; every verifier must
//! refuse a tampered artifact and a foreign identity. The same of attestations (`attestations`). Then the instance restarts on another port, and everything signed before must still verify.
//! Independent checkers of timestamps (openssl, rfc3161-client) read what our authority issues. Then a person logs in at a provider that is not
//! ours (`identity_provider`), openssl and a linter read certificates of every kind (`certificates`), both checkers timestamps of every kind
//! (`timestamps`), clients verify with exported trust alone (`exported`), and five holders make a trust root (`ceremony`).

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::ceremony;
use crate::certificates;
use crate::clients::{Client, Clients, Instance, Signer};
use crate::exported;
use crate::identity_provider;
use crate::process::{exists, quiet};
use crate::tools::apt_install;
use crate::{attestations, keys_elsewhere, timestamps};

pub(crate) const EMAIL: &str = "alice@example.com";
/// How long the instance may take to answer `/readyz`.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to stop after SIGTERM.
const STOP_WITHIN: Duration = Duration::from_secs(20);

pub(crate) fn run_all() -> Result<()> {
    keys_elsewhere::run_it()?;
    in_fresh_home(|home| {
        let mut passed = matrix(home)?;
        passed += identity_provider::steps(home)?;
        passed += certificates::steps(home)?;
        passed += timestamps::steps(home)?;
        passed += exported::steps(home)?;
        passed += ceremony::steps(home)?;
        println!("{passed} passed, 0 failed");
        Ok(())
    })
}

/// The steps of the matrix that are about attestations, alone.
pub(crate) fn run_attestations() -> Result<()> {
    in_fresh_home(|home| {
        let clients = Clients::install(home)?;
        let data_dir = home.join("data");
        let mut server = Server::start(&clients, &data_dir, home)?;
        let issuer = issuer_of(&server.instance)?;
        let signer = Signer { email: EMAIL, issuer: &issuer };
        for client in Client::ALL {
            clients.initialize(client, &server.instance)?;
        }
        let attested = attestations::attest_all(&clients, &server.instance, &token(&clients, &data_dir)?, home)?;
        let mut passed = attested.len();
        passed += attestations::verify_all(&clients, &server.instance, &signer, &attested)?;
        passed += attestations::refuse_all(&clients, &server.instance, &signer, &attested, home)?;
        server.stop()?;
        println!("{passed} passed, 0 failed");
        Ok(())
    })
}

pub(crate) fn in_fresh_home(steps: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let home = std::env::temp_dir().join(format!("touchmark-interop-{}", std::process::id()));
    std::fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    let result = steps(&home);
    if result.is_ok() {
        std::fs::remove_dir_all(&home).with_context(|| format!("cannot remove {}", home.display()))?;
    } else {
        println!("interop: what was left behind is in {}", home.display());
    }
    result
}

fn matrix(home: &Path) -> Result<usize> {
    let clients = Clients::install(home)?;
    let data_dir = home.join("data");
    let mut server = Server::start(&clients, &data_dir, home)?;
    let issuer = issuer_of(&server.instance)?;
    let signer = Signer { email: EMAIL, issuer: &issuer };
    let mut passed = 0;

    let mut signed = Vec::new();
    for client in Client::ALL {
        clients
            .initialize(client, &server.instance)
            .with_context(|| format!("{} cannot establish trust", client.name()))?;
        let file = home.join(format!("{client:?}.txt"));
        std::fs::write(&file, format!("signed by {}\n", client.name())).context("cannot write an artifact")?;
        let bundle = home.join(format!("{client:?}.sigstore.json"));
        clients.sign(client, &server.instance, &token(&clients, &data_dir)?, &file, &bundle)?;
        println!("interop: {} signs: ok", client.name());
        passed += 1;
        signed.push((client, file, bundle));
    }
    passed += verify_all(&clients, &server.instance, &signer, &signed)?;
    passed += refuse_all(&clients, &server.instance, &signer, &signed, home)?;
    let attested = attestations::attest_all(&clients, &server.instance, &token(&clients, &data_dir)?, home)?;
    passed += attested.len();
    passed += attestations::verify_all(&clients, &server.instance, &signer, &attested)?;
    passed += attestations::refuse_all(&clients, &server.instance, &signer, &attested, home)?;
    passed += timestamps_of_up(&clients, &server.instance, home)?;

    server.stop()?;
    let mut server = Server::start(&clients, &data_dir, home)?;
    println!("interop: restarted on another port: {}", server.instance.url);
    for client in Client::ALL {
        clients
            .initialize(client, &server.instance)
            .with_context(|| format!("{} cannot establish trust again", client.name()))?;
    }
    passed += verify_all(&clients, &server.instance, &signer, &signed)?;
    passed += attestations::verify_all(&clients, &server.instance, &signer, &attested)?;
    server.stop()?;
    Ok(passed)
}

fn verify_all(
    clients: &Clients,
    instance: &Instance,
    signer: &Signer<'_>,
    signed: &[(Client, PathBuf, PathBuf)],
) -> Result<usize> {
    let mut passed = 0;
    let mut refused = Vec::new();
    for (by, file, bundle) in signed {
        for verifier in Client::ALL {
            let verdict = clients.verify(verifier, instance, signer, file, bundle)?;
            if verdict.accepted {
                passed += 1;
            } else {
                refused.push(format!("{} refuses the bundle of {}:\n{}", verifier.name(), by.name(), verdict.said));
            }
        }
        println!("interop: the bundle of {} was read by {} verifiers", by.name(), Client::ALL.len());
    }
    ensure!(refused.is_empty(), "{} of the matrix failed\n{}", refused.len(), refused.join("\n"));
    Ok(passed)
}

/// A verifier that accepts everything would pass the matrix: each must refuse another artifact and another signer.
fn refuse_all(
    clients: &Clients,
    instance: &Instance,
    signer: &Signer<'_>,
    signed: &[(Client, PathBuf, PathBuf)],
    home: &Path,
) -> Result<usize> {
    let tampered = home.join("tampered.txt");
    std::fs::write(&tampered, "not what was signed\n").context("cannot write an artifact")?;
    let stranger = Signer { email: "mallory@example.com", issuer: signer.issuer };
    let mut passed = 0;
    for (by, file, bundle) in signed {
        for verifier in [Client::Touchmark, Client::Cosign, Client::Python, Client::Js, Client::Rust] {
            let verdict = clients.verify(verifier, instance, signer, &tampered, bundle)?;
            ensure!(!verdict.accepted, "{} accepts a tampered artifact of {}", verifier.name(), by.name());
            let verdict = clients.verify(verifier, instance, &stranger, file, bundle)?;
            ensure!(!verdict.accepted, "{} accepts a foreign identity for {}", verifier.name(), by.name());
            passed += 2;
        }
    }
    println!("interop: tampered artifacts and foreign identities are refused by every verifier");
    Ok(passed)
}

/// Tokens of our timestamp authority, read by OpenSSL and by rfc3161-client.
fn timestamps_of_up(clients: &Clients, instance: &Instance, home: &Path) -> Result<usize> {
    if !exists("openssl") {
        apt_install(&["openssl"])?;
    }
    let data = home.join("stamped.txt");
    std::fs::write(&data, "stamp me\n").context("cannot write an artifact")?;
    let script = home.join("stamp.py");
    std::fs::write(&script, PYTHON_STAMP).context("cannot write the timestamp script")?;
    for hash in ["sha256", "sha384", "sha512"] {
        let (query, reply) = (home.join("stamp.tsq"), home.join("stamp.tsr"));
        quiet(
            Command::new("openssl")
                .args(["ts", "-query", "-cert", &format!("-{hash}"), "-data"])
                .arg(&data)
                .arg("-out")
                .arg(&query),
        )?;
        quiet(
            clients
                .python_program("python")
                .arg(&script)
                .arg("fetch")
                .arg(&instance.url)
                .arg(&query)
                .arg(&reply)
                .arg(home),
        )?;
        quiet(
            Command::new("openssl")
                .args(["ts", "-verify", "-queryfile"])
                .arg(&query)
                .arg("-in")
                .arg(&reply)
                .arg("-CAfile")
                .arg(home.join("tsa-root.pem"))
                .arg("-untrusted")
                .arg(home.join("tsa-chain.pem")),
        )?;
        quiet(
            Command::new("openssl")
                .args(["ts", "-verify", "-data"])
                .arg(&data)
                .arg("-in")
                .arg(&reply)
                .arg("-CAfile")
                .arg(home.join("tsa-root.pem"))
                .arg("-untrusted")
                .arg(home.join("tsa-chain.pem")),
        )?;
    }
    quiet(clients.python_program("python").arg(&script).arg("verify").arg(&instance.url).arg(&data).arg(home))?;
    println!("interop: timestamps accepted by openssl ts and rfc3161-client");
    Ok(7)
}

const PYTHON_STAMP: &str = r#"
import sys, urllib.request, pathlib
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rfc3161_client import TimestampRequestBuilder, HashAlgorithm, VerifierBuilder, decode_timestamp_response, VerificationError

def post(url, body):
    request = urllib.request.Request(url + "/api/v1/timestamp", data=body, headers={"Content-Type": "application/timestamp-query"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert reply.headers["Content-Type"] == "application/timestamp-reply", reply.headers
        return reply.read()

def chain(url):
    with urllib.request.urlopen(url + "/api/v1/timestamp/certchain", timeout=10) as reply:
        return x509.load_pem_x509_certificates(reply.read())

verb, url = sys.argv[1:3]
certificates = chain(url)
if verb == "fetch":
    query, reply, home = sys.argv[3:6]
    pathlib.Path(reply).write_bytes(post(url, pathlib.Path(query).read_bytes()))
    pem = lambda certs: b"".join(c.public_bytes(Encoding.PEM) for c in certs)
    pathlib.Path(home, "tsa-root.pem").write_bytes(pem(certificates[-1:]))
    pathlib.Path(home, "tsa-chain.pem").write_bytes(pem(certificates[:-1]))
else:
    data = pathlib.Path(sys.argv[3]).read_bytes()
    for embed in (True, False):
        request = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True).cert_request(cert_request=embed).build()
        response = decode_timestamp_response(post(url, request.as_bytes()))
        builder = VerifierBuilder().nonce(request.nonce).add_root_certificate(certificates[-1]).tsa_certificate(certificates[0])
        verifier = builder.build()
        assert verifier.verify_message(response, data)
        try:
            verifier.verify_message(response, b"other")
        except VerificationError:
            continue
        raise SystemExit("a timestamp over other data was accepted")
"#;

/// The try-out issuer's URL, from the signing config that clients get.
pub(crate) fn issuer_of(instance: &Instance) -> Result<String> {
    let text = std::fs::read_to_string(instance.client_file("signing_config.json"))
        .context("cannot read signing_config.json")?;
    let config: serde_json::Value = serde_json::from_str(&text).context("cannot parse signing_config.json")?;
    let url = config.pointer("/oidcUrls/0/url").and_then(serde_json::Value::as_str);
    Ok(url.context("signing_config.json names no issuer")?.to_owned())
}

pub(crate) fn token(clients: &Clients, data_dir: &Path) -> Result<String> {
    let printed = quiet(clients.touchmark().args(["token", "--email", EMAIL, "--data-dir"]).arg(data_dir))?;
    Ok(printed.trim().to_owned())
}

/// A real server process.
pub(crate) struct Server {
    process: Child,
    pub(crate) instance: Instance,
}

impl Server {
    pub(crate) fn start(clients: &Clients, data_dir: &Path, home: &Path) -> Result<Self> {
        Self::spawn(clients.touchmark(), data_dir, home)
    }

    /// Starts it with the binary, and in the environment, of `command`.
    pub(crate) fn spawn(mut command: Command, data_dir: &Path, home: &Path) -> Result<Self> {
        let port = free_port()?;
        command.args(["up", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"]).arg(data_dir);
        Self::launch(command, port, data_dir, home)
    }

    /// Starts `serve` with a configuration file that names `port` as its address. It serves the files of `data_dir`.
    pub(crate) fn serve(mut command: Command, config: &Path, port: u16, data_dir: &Path, home: &Path) -> Result<Self> {
        command.args(["serve", "--config"]).arg(config);
        Self::launch(command, port, data_dir, home)
    }

    fn launch(mut command: Command, port: u16, data_dir: &Path, home: &Path) -> Result<Self> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(home.join("server.log"))
            .context("cannot open server.log")?;
        command.stdin(Stdio::null()).stdout(log.try_clone().context("server.log")?).stderr(log);
        let process = command.spawn().context("cannot start touchmark")?;
        let instance = Instance { url: format!("http://127.0.0.1:{port}"), data_dir: data_dir.to_owned() };
        let mut server = Self { process, instance };
        server.await_ready(port)?;
        Ok(server)
    }

    fn await_ready(&mut self, port: u16) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < READY_WITHIN {
            if let Some(status) = self.process.try_wait().context("cannot ask for the server's state")? {
                bail!("touchmark ended: {status}; what it said is in server.log");
            }
            if answers(port, "/readyz") {
                println!("interop: touchmark answers /readyz after {:?}", begun.elapsed());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("touchmark is not ready after {READY_WITHIN:?}")
    }

    /// Asks it to stop and waits.
    pub(crate) fn stop(&mut self) -> Result<()> {
        quiet(Command::new("kill").args(["-TERM", &self.process.id().to_string()]))?;
        let begun = Instant::now();
        while begun.elapsed() < STOP_WITHIN {
            if let Some(status) = self.process.try_wait().context("cannot ask for the server's state")? {
                ensure!(status.success(), "touchmark ended with {status} after SIGTERM");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("touchmark still runs {STOP_WITHIN:?} after SIGTERM")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is the usual case here; a server left behind by a failure must not outlive the run.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One GET over a plain socket: xtask needs no HTTP client for more than this.
pub(crate) fn answers(port: u16, path: &str) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let mut reply = String::new();
    let asked =
        stream.set_read_timeout(Some(Duration::from_secs(2))).and_then(|()| stream.write_all(request.as_bytes()));
    asked.and_then(|()| stream.read_to_string(&mut reply)).is_ok() && reply.starts_with("HTTP/1.1 200")
}

/// A port below the range of outgoing connections: a client that knocks at a server that is down must not take it.
pub(crate) fn free_port() -> Result<u16> {
    let begin = 20_000 + u16::try_from(std::process::id() % 10_000).context("a remainder")?;
    let free = (begin..begin + 1_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.context("no free port")
}
