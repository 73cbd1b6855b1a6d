// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask interop keys`: signers whose keys are elsewhere, against real counterparts.
//!
//! Tokens of SoftHSM2 and keys of moto's AWS KMS, each with a drill of crate `signers` (its examples). Then `touchmark serve` with the CA's
//! and the timestamp authority's keys in two tokens of SoftHSM2, and with both behind a plugin: certificates and timestamps are issued;
//! the keys are taken away, and both services answer 503 while everything else goes on; they are put back, and both work again in the same
//! process.
//! Out of scope: the formats of what is issued, which the client matrix looks at ([`crate::interop`]).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::clients::debug_binary;
use crate::interop::{EMAIL, Server, answers, free_port, in_fresh_home};
use crate::process::{exists, quiet, run, workspace};
use crate::tools::{apt_install, cache_dir};

const MOTO: &str = "5.2.5";
/// The calls of [`KMS_SETUP`]; moto checks signatures and permissions of every call after them.
const KMS_SETUP_CALLS: &str = "9";
const PIN: &str = "5678";
/// How long a service may take to start, to notice that a key is away, and to find it again.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn run_it() -> Result<()> {
    let build = ["build", "--locked", "-p", "touchmark-cli", "-p", "touchmark-signers", "--bins", "--examples"];
    run(Command::new(env!("CARGO")).args(build).current_dir(workspace()))?;
    in_fresh_home(|home| {
        let tokens = Tokens::install(home)?;
        run(tokens.command(&example("token-drill")).arg(module()?).arg(&tokens.directory).arg(tokens.keys()?))?;
        kms(home)?;
        served(&InTokens::new(tokens), &home.join("in-tokens"))?;
        served(&BehindPlugin, &home.join("behind-plugin"))?;
        println!("4 passed, 0 failed");
        Ok(())
    })
}

fn example(name: &str) -> PathBuf {
    debug_binary("examples").join(name)
}

/// A place of tokens, apart from any other on this machine.
struct Tokens {
    home: PathBuf,
    configuration: PathBuf,
    directory: PathBuf,
}

impl Tokens {
    fn install(home: &Path) -> Result<Self> {
        if !exists("softhsm2-util") {
            apt_install(&["softhsm2"])?;
        }
        let directory = home.join("tokens");
        std::fs::create_dir(&directory).context("cannot make the directory of tokens")?;
        let configuration = home.join("softhsm2.conf");
        let text = format!("directories.tokendir = {}\nobjectstore.backend = file\n", directory.display());
        std::fs::write(&configuration, text).context("cannot write softhsm2.conf")?;
        Ok(Self { home: home.to_owned(), configuration, directory })
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("SOFTHSM2_CONF", &self.configuration);
        command
    }

    fn keys(&self) -> Result<PathBuf> {
        let directory = self.home.join("keys");
        std::fs::create_dir(&directory).context("cannot make the directory of keys")?;
        Ok(directory)
    }

    /// Makes a token and puts a key file into it.
    fn import(&self, token: &str, key: &Path) -> Result<()> {
        let util = || self.command(Path::new("softhsm2-util"));
        quiet(util().args(["--init-token", "--free", "--label", token, "--so-pin", "1234", "--pin", PIN]))?;
        let named = ["--token", token, "--label", "key", "--id", "01", "--pin", PIN];
        quiet(util().arg("--import").arg(key).args(named))?;
        Ok(())
    }
}

/// Where Debian and others put the library.
pub(crate) fn module() -> Result<PathBuf> {
    let places = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib64/libsofthsm2.so",
    ];
    places.map(PathBuf::from).into_iter().find(|path| path.exists()).context("libsofthsm2.so is in none of its places")
}

/// The drill of AWS KMS signers.
fn kms(home: &Path) -> Result<()> {
    let moto = moto()?;
    let port = free_port()?;
    let log = std::fs::File::create(home.join("moto.log")).context("cannot make moto.log")?;
    let mut server = Command::new(moto.join("bin/moto_server"));
    server.args(["-H", "127.0.0.1", "-p", &port.to_string()]).env("INITIAL_NO_AUTH_ACTION_COUNT", KMS_SETUP_CALLS);
    server.stdin(Stdio::null()).stdout(log.try_clone().context("moto.log")?).stderr(log);
    let _running = Running(server.spawn().context("cannot start moto_server")?);
    await_true("moto listens", || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok()))?;
    let script = home.join("kms.py");
    std::fs::write(&script, KMS_SETUP).context("cannot write the script of keys")?;
    let python = moto.join("bin/python");
    let made = quiet(Command::new(python).arg(&script).arg(format!("http://127.0.0.1:{port}")))?;
    run(Command::new(example("kms-drill")).arg(format!("127.0.0.1:{port}")).args(made.split_whitespace()))
}

pub(crate) fn moto() -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!("moto-{MOTO}"));
    if !dir.join("bin/moto_server").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
        let mut pip = Command::new(dir.join("bin/pip"));
        run(pip.args(["install", "--quiet", "--disable-pip-version-check"]).arg(format!("moto[server]=={MOTO}")))?;
    }
    Ok(dir)
}

/// A user who may sign, and keys; prints the user's access key and what the keys are called.
const KMS_SETUP: &str = r#"
import boto3, json, sys
options = dict(endpoint_url=sys.argv[1], region_name="eu-west-1", aws_access_key_id="setup", aws_secret_access_key="setup")
iam, kms = boto3.client("iam", **options), boto3.client("kms", **options)
iam.create_user(UserName="ca")
key = iam.create_access_key(UserName="ca")["AccessKey"]
allowed = {"Effect": "Allow", "Action": ["kms:Sign", "kms:GetPublicKey"], "Resource": "*"}
document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
iam.put_user_policy(UserName="ca", PolicyName="sign", PolicyDocument=document)
print(key["AccessKeyId"], key["SecretAccessKey"])
for spec in ["ECC_NIST_P256", "ECC_NIST_P384", "RSA_2048"]:
    made = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    kms.create_alias(AliasName="alias/" + spec, TargetKeyId=made["KeyId"])
    print("alias/" + spec, made["Arn"])
"#;

/// Where the two authorities' keys are.
trait Elsewhere {
    fn name(&self) -> &'static str;

    /// Takes over the key files and says what the configuration calls the keys of CA and timestamp authority.
    fn take(&self, ca: &Path, tsa: &Path, home: &Path) -> Result<[String; 2]>;

    /// What is moved away to make the keys unreachable.
    fn places(&self, home: &Path) -> Result<Vec<PathBuf>>;

    /// What the server needs in its environment.
    fn environment(&self, command: &mut Command, home: &Path) -> Result<()>;
}

struct InTokens {
    tokens: Tokens,
}

impl InTokens {
    fn new(tokens: Tokens) -> Self {
        Self { tokens }
    }
}

impl Elsewhere for InTokens {
    fn name(&self) -> &'static str {
        "tokens of SoftHSM2"
    }

    fn take(&self, ca: &Path, tsa: &Path, home: &Path) -> Result<[String; 2]> {
        let pin = home.join("pin");
        std::fs::write(&pin, format!("{PIN}\n")).context("cannot write a PIN")?;
        quiet(Command::new("chmod").arg("600").arg(&pin))?;
        let module = module()?;
        for (token, key) in [("serve-ca", ca), ("serve-tsa", tsa)] {
            self.tokens.import(token, key)?;
            std::fs::remove_file(key).context("cannot remove a key file")?;
        }
        Ok(["serve-ca", "serve-tsa"].map(|token| {
            let (module, pin) = (module.display(), pin.display());
            format!("pkcs11:token={token};object=key;id=%01?module-path={module}&pin-source=file:{pin}")
        }))
    }

    fn places(&self, _: &Path) -> Result<Vec<PathBuf>> {
        let mut places = Vec::new();
        for entry in std::fs::read_dir(&self.tokens.directory).context("cannot list the tokens")? {
            places.push(entry.context("cannot list the tokens")?.path());
        }
        Ok(places)
    }

    fn environment(&self, command: &mut Command, _: &Path) -> Result<()> {
        command.env("SOFTHSM2_CONF", &self.tokens.configuration);
        Ok(())
    }
}

struct BehindPlugin;

impl Elsewhere for BehindPlugin {
    fn name(&self) -> &'static str {
        "a plugin"
    }

    fn take(&self, ca: &Path, tsa: &Path, home: &Path) -> Result<[String; 2]> {
        let mut names = Vec::new();
        for (name, key) in [("ca", ca), ("tsa", tsa)] {
            let place = home.join(format!("{name}.elsewhere.pem"));
            std::fs::rename(key, &place).context("cannot move a key file")?;
            names.push(format!("keyfile://faithful:{}", place.display()));
        }
        names.try_into().ok().context("two keys have two names")
    }

    fn places(&self, home: &Path) -> Result<Vec<PathBuf>> {
        Ok(["ca", "tsa"].map(|name| home.join(format!("{name}.elsewhere.pem"))).into())
    }

    fn environment(&self, command: &mut Command, home: &Path) -> Result<()> {
        let programs = home.join("programs");
        std::fs::create_dir(&programs).context("cannot make the directory of plugins")?;
        std::fs::copy(example("sigstore-kms-keyfile"), programs.join("sigstore-kms-keyfile"))
            .context("cannot copy the plugin")?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&path)));
        command.env("PATH", path.context("PATH")?);
        Ok(())
    }
}

const WELL: [u16; 2] = [200, 200];
const AWAY: [u16; 2] = [503, 503];

/// Serves with keys elsewhere, takes them away and puts them back.
fn served(keys: &impl Elsewhere, home: &Path) -> Result<()> {
    std::fs::create_dir(home).with_context(|| format!("cannot create {}", home.display()))?;
    let data = home.join("data");
    // `up` makes keys, chains and the try-out issuer.
    Server::spawn(touchmark(), &data, home)?.stop()?;
    let [ca, tsa] = keys.take(&data.join("keys/ca.pem"), &data.join("keys/tsa.pem"), home)?;
    let port = free_port()?;
    let text = configuration(&data, port, &ca, &tsa)?;
    let file = data.join("serve.toml");
    std::fs::write(&file, text).context("cannot write serve.toml")?;
    let log = std::fs::File::create(home.join("serve.log")).context("cannot make serve.log")?;
    let mut serve = touchmark();
    serve.args(["serve", "--config"]).arg(&file);
    serve.stdin(Stdio::null()).stdout(log.try_clone().context("serve.log")?).stderr(log);
    keys.environment(&mut serve, home)?;
    let mut running = Running(serve.spawn().context("cannot start touchmark serve")?);
    await_true("touchmark serve is ready", || running.still(|| Ok(answers(port, "/readyz"))))?;

    let asked = Asked { port, data: data.clone(), home: home.to_owned() };
    let statuses = asked.statuses()?;
    ensure!(statuses == WELL, "keys in {}: {statuses:?}", keys.name());
    for round in 1..=2 {
        let places = keys.places(home)?;
        let away = |place: &Path| place.with_extension("away");
        for place in &places {
            std::fs::rename(place, home.join(away(Path::new(place.file_name().unwrap_or_default()))))
                .context("cannot take a key away")?;
        }
        await_true("both services answer 503", || running.still(|| Ok(asked.statuses()? == AWAY)))?;
        ensure!(answers(port, "/api/v1/timestamp/certchain"), "what needs no key goes on");
        for place in &places {
            std::fs::rename(home.join(away(Path::new(place.file_name().unwrap_or_default()))), place)
                .context("cannot put a key back")?;
        }
        let begun = Instant::now();
        await_true("both services work again", || running.still(|| Ok(asked.statuses()? == WELL)))?;
        println!("interop: keys in {}: round {round}: back after {:?}", keys.name(), begun.elapsed());
    }
    quiet(Command::new("kill").args(["-TERM", &running.0.id().to_string()]))?;
    await_true("touchmark serve stops", || Ok(running.0.try_wait().context("touchmark serve")?.is_some()))
}

fn touchmark() -> Command {
    Command::new(debug_binary("touchmark"))
}

/// The CA, its log, the timestamp authority and the try-out issuer of a data directory.
fn configuration(data: &Path, port: u16, ca: &str, tsa: &str) -> Result<String> {
    let manifest = std::fs::read_to_string(data.join("instance.toml")).context("cannot read instance.toml")?;
    let manifest: toml::Table = manifest.parse().context("cannot parse instance.toml")?;
    let issuer = manifest.get("oidc_issuer").and_then(toml::Value::as_str).context("instance.toml names no issuer")?;
    let (_, issuer_address) = issuer.split_once("://").context("the issuer is no URL")?;
    let issuer_address = issuer_address.trim_end_matches("/oidc");
    let logs = std::fs::read_dir(data.join("logs")).context("cannot list the logs")?.flatten();
    let ct = logs.map(|log| log.file_name().to_string_lossy().into_owned()).find(|name| name.starts_with("ct"));
    let ct = ct.context("there is no CT log")?;
    Ok(format!(
        r#"
listen = "127.0.0.1:{port}"
[fulcio]
key = "{ca}"
chain = "ca/chain.pem"
ct_log = {{ name = "{ct}" }}
[[fulcio.issuer]]
url = "{issuer}"
transport = "loopback-http"
[[ctlog]]
name = "{ct}"
key = "keys/ct.pem"
data = "logs/{ct}"
accepted_roots = "ca/chain.pem"
[tsa]
key = "{tsa}"
chain = "tsa/chain.pem"
[oidc]
listen = "{issuer_address}"
issuer = "{issuer}"
key = "keys/oidc.pem"
gives_any_identity_to_anyone = true
"#
    ))
}

/// Who asks both authorities.
struct Asked {
    port: u16,
    data: PathBuf,
    home: PathBuf,
}

impl Asked {
    /// What the CA and the timestamp authority answer to a good request.
    fn statuses(&self) -> Result<[u16; 2]> {
        Ok([self.certificate()?, self.timestamp()?])
    }

    fn certificate(&self) -> Result<u16> {
        let token = quiet(touchmark().args(["token", "--email", EMAIL, "--data-dir"]).arg(&self.data))?;
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null"];
        let csr = quiet(Command::new("openssl").args(["req", "-new", "-subj", "/CN=nobody"]).args(key))?;
        let encoded = quiet(
            Command::new("openssl").args(["base64", "-A", "-in"]).arg(self.file("request.csr", csr.as_bytes())?),
        )?;
        let body = serde_json::json!({
            "credentials": { "oidcIdentityToken": token.trim() },
            "certificateSigningRequest": encoded.trim(),
        });
        let headers = [("Content-Type", "application/json")];
        let (status, answer) = post(self.port, "/api/v2/signingCert", &headers, body.to_string().as_bytes())?;
        let holds = String::from_utf8_lossy(&answer).contains("BEGIN CERTIFICATE");
        ensure!(holds == (status == 200), "status {status}: {}", String::from_utf8_lossy(&answer));
        expect_discreet(status, &answer)?;
        Ok(status)
    }

    fn timestamp(&self) -> Result<u16> {
        let query = self.home.join("query.tsq");
        let data = self.file("stamped.txt", b"stamp me\n")?;
        let asked = ["ts", "-query", "-cert", "-sha256", "-data"];
        quiet(Command::new("openssl").args(asked).arg(&data).arg("-out").arg(&query))?;
        let query = std::fs::read(&query).context("cannot read the query")?;
        let headers = [("Content-Type", "application/timestamp-query")];
        let (status, answer) = post(self.port, "/api/v1/timestamp", &headers, &query)?;
        expect_discreet(status, &answer)?;
        Ok(status)
    }

    fn file(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.home.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// An error says nothing of tokens, programs and their paths.
fn expect_discreet(status: u16, answer: &[u8]) -> Result<()> {
    // The type of the reason's message, the same in every refusal, is a URL.
    let text = String::from_utf8_lossy(answer).to_lowercase().replace("type.googleapis.com/google.rpc.errorinfo", "");
    let told = ["pkcs11", "token", "plugin", "keyfile", "pin", "/"].into_iter().find(|word| text.contains(word));
    match told {
        Some(word) if status >= 500 => bail!("the answer says {word:?}: {text}"),
        _ => Ok(()),
    }
}

/// One POST over a plain socket: status and body.
pub(crate) fn post(port: u16, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("cannot connect")?;
    stream.set_read_timeout(Some(WITHIN)).context("cannot set a time limit")?;
    let length = body.len();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).context("cannot ask")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("no answer")?;
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").context("the answer is no HTTP")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer has no status")?;
    Ok((status, answer.split_off(end + 4)))
}

/// A process of ours, which must not outlive the run.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Looks at something while the process runs.
    fn still(&mut self, look: impl FnOnce() -> Result<bool>) -> Result<bool> {
        if let Some(status) = self.0.try_wait().context("cannot ask for a process's state")? {
            bail!("touchmark serve ended: {status}");
        }
        look()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is the usual case here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn await_true(what: &str, mut is_true: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < WITHIN {
        if is_true()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("after {WITHIN:?} it is not so: {what}")
}
