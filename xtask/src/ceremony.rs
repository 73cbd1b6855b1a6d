// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask interop trust`: docs/ceremony.md as it stands, and foreign clients in what comes of it.
//!
//! The shell blocks of the page are one script: five holders with tokens of SoftHSM2 make a root with threshold 3, a signature is made and verified
//! under it, a key is exchanged and the threshold changed, and a team states targets that were delegated to it. Then python-tuf, tuf-js and sigstore-tuf walk the repository from each root, and refuse a
//! tampered one; then it is handed on to a bucket (`bucket`).
//! Out of scope: our own client, which the page drives.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::bucket;
use crate::clients::{debug_binary, node_modules, python};
use crate::interop::{free_port, in_fresh_home};
use crate::keys_elsewhere::module;
use crate::process::{exists, output, quiet, run, workspace};
use crate::tools::apt_install;

/// The ports of the page, which are exchanged by others in a row: other things may run on this machine. The try-out issuer is one above its
/// instance.
const PORTS: [&str; 3] = ["7700", "7701", "7790"];

pub(crate) fn run_it() -> Result<()> {
    run(Command::new(env!("CARGO"))
        .args(["build", "--locked", "-p", "touchmark-cli", "-p", "touchmark-interop"])
        .current_dir(workspace()))?;
    in_fresh_home(|home| {
        let passed = steps(home)?;
        println!("{passed} passed, 0 failed");
        Ok(())
    })
}

pub(crate) fn steps(home: &Path) -> Result<usize> {
    if !exists("softhsm2-util") || !exists("pkcs11-tool") {
        apt_install(&["softhsm2", "opensc"])?;
    }
    let place = home.join("ceremony");
    std::fs::create_dir_all(place.join("tokens")).context("cannot make the place of the ceremony")?;
    let page = workspace().join("docs/ceremony.md");
    let page = std::fs::read_to_string(&page).context("cannot read docs/ceremony.md")?;
    let script = with_free_ports(&script_of(&page))?;
    std::fs::write(place.join("runbook.sh"), script).context("cannot write the script")?;
    let configuration = place.join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\n", place.join("tokens").display());
    std::fs::write(&configuration, text).context("cannot write softhsm2.conf")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let binary = debug_binary("touchmark");
    let directory = binary.parent().context("the binary has a directory")?;
    // Not `sh`: in some of them a trap does not see the background.
    run(Command::new("bash")
        .arg("runbook.sh")
        .current_dir(&place)
        .stdin(Stdio::null())
        .env("PATH", format!("{}:{path}", directory.display()))
        .env("HOME", &place)
        .env("XDG_DATA_HOME", place.join("data"))
        .env("SOFTHSM2_CONF", &configuration)
        .env("MODULE", module()?))?;
    println!("interop: docs/ceremony.md runs as it stands");
    let tried = wrong_tokens(&place)?;
    let repository = place.join("ceremony/repository");
    Ok(1 + tried + walks(&repository, home)? + bucket::steps(&repository, home)?)
}

/// What a holder is told whose slot has another token, or none, or who mistypes his PIN; and that the PIN was tried once. SoftHSM2 counts, but never
/// locks.
fn wrong_tokens(place: &Path) -> Result<usize> {
    let module = module()?;
    let touchmark = |arguments: &[&str]| {
        let mut command = Command::new(debug_binary("touchmark"));
        command.args(arguments).current_dir(place).env("SOFTHSM2_CONF", place.join("softhsm2.conf"));
        output(&mut command)
    };
    let made = touchmark(&["trust", "event", "new", "--dir", "ceremony", "--renew"])?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let wrong_pin = place.join("ann/wrong-pin");
    std::fs::write(&wrong_pin, "8765\n").context("cannot write a PIN")?;
    std::fs::set_permissions(&wrong_pin, std::fs::Permissions::from_mode(0o600)).context("cannot protect a PIN")?;
    let sign = |token: &str, pin: &str| {
        let key = format!("pkcs11:token={token};object=root?module-path={}&pin-source=file:{pin}", module.display());
        touchmark(&[
            "trust",
            "sign",
            "ceremony/event/event.json",
            "--holder",
            "ann",
            "--known-root",
            "ceremony/repository/1.root.json",
            "--yes",
            "--out",
            "wrong",
            "--key",
            &key,
        ])
    };
    let cases: [(&str, &str, i32, &[&str]); 5] = [
        ("cy", "cy/pin", 12, &["ann signs with", "is another token in the slot"]),
        ("nobody", "ann/pin", 3, &["token"]),
        ("ann", "ann/wrong-pin", 3, &["the token refused the PIN", "the token says that few are left"]),
        ("ann", "ann/wrong-pin", 3, &["the token refused the PIN"]),
        ("ann", "ann/pin", 0, &["wrote wrong/ann-"]),
    ];
    for (token, pin, code, texts) in cases {
        let signed = sign(token, pin)?;
        let said = String::from_utf8_lossy(&signed.stderr).into_owned();
        ensure!(signed.status.code() == Some(code), "token {token}, {pin}: {}\n{said}", signed.status);
        ensure!(texts.iter().all(|text| said.contains(text)), "token {token}, {pin}: {texts:?} is not in\n{said}");
        ensure!(code == 0 || !place.join("wrong").exists(), "something was signed");
    }
    println!("interop: another token, none and a wrong PIN are told apart, and sign nothing");
    Ok(cases.len())
}

/// The blocks of the page; what they started in the background ends with them.
fn script_of(page: &str) -> String {
    let blocks = page.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let mut script = String::from("set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n");
    for block in blocks {
        script.push_str(block);
        script.push('\n');
    }
    script
}

fn with_free_ports(script: &str) -> Result<String> {
    let free = free_port()?;
    let exchange = |script: String, (from, to): (&str, u16)| {
        script.replace(&format!("127.0.0.1:{from}"), &format!("127.0.0.1:{to}"))
    };
    Ok(PORTS.into_iter().zip(free..).fold(script.to_owned(), exchange))
}

/// Foreign clients, from each root, and with one byte of targets changed.
fn walks(repository: &Path, home: &Path) -> Result<usize> {
    let mut passed = 0;
    let twins = ["targets", "targets/tools"].map(|directory| tampered(repository, directory, home));
    let twins = twins.into_iter().collect::<Result<Vec<_>>>()?;
    for (name, mut client) in
        [("python-tuf", python_client(home)?), ("tuf-js", js_client(home)?), ("sigstore-tuf", rust_client())]
    {
        for version in 1.. {
            let root = repository.join(format!("{version}.root.json"));
            if !root.exists() {
                ensure!(version == 3, "the ceremony makes two roots, found {}", version - 1);
                break;
            }
            let said = quiet(&mut client.command(repository, &root, home))?;
            let has_all = ["trusted_root.json", "tools/hello.txt"].iter().all(|target| said.contains(target));
            ensure!(has_all, "{name} from root {version} said {said}");
            passed += 1;
        }
        for twin in &twins {
            let refused = client.command(twin, &repository.join("1.root.json"), home).output();
            let refused = refused.with_context(|| format!("cannot start {name}"))?;
            ensure!(!refused.status.success(), "{name} accepts a tampered target of {}", twin.display());
            passed += 1;
        }
        println!(
            "interop: {name} walks the repository of the ceremony from every root, to a delegated target, too, and refuses tampered ones"
        );
    }
    Ok(passed)
}

/// A copy with one byte of each target in a directory changed.
fn tampered(repository: &Path, directory: &str, home: &Path) -> Result<PathBuf> {
    let twin = home.join(format!("tampered-{}", directory.replace('/', "-")));
    copy(repository, &twin)?;
    let tampered = files(&twin.join(directory))?;
    ensure!(!tampered.is_empty(), "there is no target in {directory}");
    for file in tampered {
        let mut bytes = std::fs::read(&file).context("cannot read a target")?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).context("cannot write a target")?;
    }
    Ok(twin)
}

/// A foreign client: a program, and its script or command, which takes repository, root and a directory of its own.
struct ForeignClient {
    program: PathBuf,
    script: PathBuf,
    modules: Option<PathBuf>,
    calls: usize,
}

impl ForeignClient {
    fn command(&mut self, repository: &Path, root: &Path, home: &Path) -> Command {
        self.calls += 1;
        let cache =
            home.join(format!("{}-{}", self.script.file_name().unwrap_or_default().to_string_lossy(), self.calls));
        let mut command = Command::new(&self.program);
        command.arg(&self.script).arg(repository).arg(root).arg(cache);
        if let Some(modules) = &self.modules {
            command.env("NODE_PATH", modules);
        }
        command
    }
}

fn python_client(home: &Path) -> Result<ForeignClient> {
    let script = home.join("walk.py");
    std::fs::write(&script, PYTHON_WALK).context("cannot write walk.py")?;
    Ok(ForeignClient { program: python()?.join("bin/python"), script, modules: None, calls: 0 })
}

fn rust_client() -> ForeignClient {
    ForeignClient { program: debug_binary("touchmark-interop"), script: "walk".into(), modules: None, calls: 0 }
}

fn js_client(home: &Path) -> Result<ForeignClient> {
    let script = home.join("walk.cjs");
    std::fs::write(&script, JS_WALK).context("cannot write walk.cjs")?;
    let modules = node_modules()?;
    Ok(ForeignClient { program: modules.join("node/bin/node"), script, modules: Some(modules), calls: 0 })
}

/// Serves the directory on loopback to itself: both libraries speak HTTP alone.
const PYTHON_WALK: &str = r#"
import functools, http.server, os, sys, threading
from tuf.ngclient import Updater
repository, root, cache = sys.argv[1:]
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=repository))
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
os.makedirs(cache)
updater = Updater(cache, url, cache, f"{url}/targets", bootstrap=open(root, "rb").read())
updater.refresh()
for name in ["trusted_root.json", "signing_config.v0.2.json", "tools/hello.txt"]:
    updater.download_target(updater.get_targetinfo(name))
    print(name)
"#;

const JS_WALK: &str = r#"
const fs = require('fs'), http = require('http'), path = require('path');
const { Updater } = require('tuf-js');
const [repository, root, cache] = process.argv.slice(2);
const server = http.createServer((request, reply) => {
  const file = path.join(repository, decodeURIComponent(request.url));
  if (!fs.existsSync(file)) { reply.writeHead(404).end(); return; }
  reply.writeHead(200).end(fs.readFileSync(file));
});
server.listen(0, '127.0.0.1', async () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  fs.mkdirSync(cache);
  fs.copyFileSync(root, path.join(cache, 'root.json'));
  const options = { metadataDir: cache, metadataBaseUrl: url, targetDir: cache, targetBaseUrl: `${url}/targets` };
  try {
    const updater = new Updater({ ...options, config: { fetchRetry: 0 } });
    await updater.refresh();
    for (const name of ['trusted_root.json', 'signing_config.v0.2.json', 'tools/hello.txt']) {
      await updater.downloadTarget(await updater.getTargetInfo(name));
      console.log(name);
    }
    process.exit(0);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
});
"#;

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.join("targets/tools")).context("cannot make a copy of the repository")?;
    for directory in ["", "targets", "targets/tools"] {
        for file in files(&from.join(directory))? {
            let name = file.file_name().context("a file has a name")?;
            std::fs::copy(&file, to.join(directory).join(name)).context("cannot copy the repository")?;
        }
    }
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.context("cannot list a directory")?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_a_script() {
        let page = std::fs::read_to_string(workspace().join("docs/ceremony.md")).unwrap();
        let script = script_of(&page);
        for step in ["trust init", "trust key accept", "trust sign", "trust publish", "verify-blob", "trust doctor"] {
            assert!(script.contains(&format!("touchmark {step}")), "{step}");
        }
        assert!(!script.contains("```"));
    }
}
