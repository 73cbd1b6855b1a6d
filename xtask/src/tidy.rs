// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask tidy`: the rules of the house that no compiler knows.
//!
//! Dependency directions, module headers, banned names and paths, file sizes, reasons beside dependencies and lint exceptions. Each
//! rule names the invariant of ARCHITECTURE.md that it holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::workspace;

/// Longest source file, tests apart (STYLE.md, files and functions).
const FILE_LINES_MAX: usize = 500;
/// Longest of the four files that a newcomer reads first.
const FIRST_FILE_LINES_MAX: usize = 400;
const FIRST_FILES: [&str; 4] = [
    "crates/sigstore/src/verify/mod.rs",
    "crates/sequencer/src/plan.rs",
    "crates/server/src/fulcio/issue.rs",
    "crates/client/src/sign.rs",
];

/// Which of our crates each crate may import (ARCHITECTURE.md, map). Dev-dependencies are free.
const DIRECTIONS: [(&str, &[&str]); 10] = [
    ("keys", &[]),
    ("tlog", &["keys"]),
    ("sigstore", &["keys", "tlog"]),
    ("signers", &["keys", "outbound"]),
    ("outbound", &["keys"]),
    ("sequencer", &["keys", "tlog", "signers"]),
    ("trust", &["keys", "signers", "sigstore"]),
    ("server", &["sigstore", "sequencer", "trust", "signers", "outbound", "tlog", "keys"]),
    ("client", &["sigstore", "signers", "outbound", "tlog", "keys"]),
    ("cli", &["keys", "tlog", "sigstore", "signers", "outbound", "sequencer", "trust", "server", "client"]),
];

/// Crates that must build without a run time, a clock, a file or a socket (invariant 1).
const PURE: [&str; 3] = ["keys", "tlog", "sigstore"];
const NEVER_IN_PURE: [&str; 6] = ["tokio", "async-trait", "reqwest", "axum", "fjall", "tracing"];

/// A text that may stand in some directories alone.
struct Fence {
    text: &'static str,
    allowed: &'static [&'static str],
    why: &'static str,
}

const FENCES: [Fence; 11] = [
    Fence {
        text: "aws_lc_rs",
        allowed: &["crates/keys/", "bench/"],
        why: "keys is the only crate that names a crypto library; measurements name it for their ceilings",
    },
    Fence {
        text: "touchmark_keys::secret",
        allowed: &["crates/signers/", "crates/testing/", "crates/keys/"],
        why: "a private key is reachable only through signers (invariant 3)",
    },
    Fence {
        text: "secret::SecretKey",
        allowed: &["crates/signers/", "crates/testing/", "crates/keys/"],
        why: "a private key is reachable only through signers (invariant 3)",
    },
    Fence {
        text: "reqwest",
        allowed: &["crates/outbound/", "interop/"],
        why: "every outgoing request goes through outbound (invariant 7)",
    },
    Fence {
        text: "TcpStream::connect",
        allowed: &["crates/outbound/", "xtask/", "bench/"],
        why: "every outgoing request goes through outbound (invariant 7)",
    },
    Fence {
        text: "UdpSocket",
        allowed: &[
            "crates/outbound/",
            "crates/server/tests/",
            "crates/server/src/tsa/clock/tests.rs",
            "crates/testing/src/nts.rs",
        ],
        why: "every outgoing request goes through outbound (invariant 7); tests are time servers",
    },
    Fence {
        text: "\"hashedRekordV002\"",
        allowed: &["crates/sigstore/src/rekor", "crates/sigstore/src/wire"],
        why: "one function renders each kind of leaf (invariant 2)",
    },
    Fence { text: "impl Default for Policy", allowed: &[], why: "no policy has a default that accepts (invariant 6)" },
    Fence { text: "todo!(", allowed: &[], why: "a stub called done is a defect" },
    Fence { text: "#[ignore", allowed: &[], why: "a test that does not run tests nothing" },
    Fence { text: "dbg!(", allowed: &[], why: "a leftover" },
];

/// Texts that may stand anywhere but in some places; tests apart.
struct Ban {
    within: &'static [&'static str],
    texts: &'static [&'static str],
    why: &'static str,
}

const BANS: [Ban; 3] = [
    Ban {
        within: &["crates/keys/src/", "crates/tlog/src/", "crates/sigstore/src/"],
        texts: &[
            "async ",
            ".await",
            "static mut ",
            "Mutex<",
            "RwLock<",
            "OnceLock",
            "OnceCell",
            "LazyLock",
            "LazyCell",
            "thread_local!",
        ],
        why: "a pure crate has no global state and nothing async (invariant 1)",
    },
    Ban {
        within: &["crates/signers/src/ephemeral.rs"],
        texts: &["std::fs", "std::io", "std::path", "tokio::fs", "pkcs8_der", "to_pem", "from_pem"],
        why: "an ephemeral key never leaves memory (invariant 3)",
    },
    Ban {
        within: &["crates/client/src/", "crates/cli/src/"],
        texts: &["FileSigner"],
        why: "keyless signing makes and reads no key file (invariant 3)",
    },
];

/// What only a power cut shows to be missing, so that the tests find it by chance (`disk`): file, text that must stand in it, why.
const DEMANDS: [(&str, &str, &str); 3] = [
    (
        "crates/sequencer/src/fjall_ledger.rs",
        ".durability(Some(PersistMode::SyncData))",
        "an acknowledged entry is durable (invariant 4)",
    ),
    (
        "crates/sequencer/src/fs_objects.rs",
        "written.file.sync_all()",
        "an object is durable before the ledger forgets that it is to be published (invariant 4)",
    ),
    ("crates/sequencer/src/fs_objects/durable.rs", "file.sync_all()", "a checkpoint and an anchor are durable"),
];

const BANNED_FILE_NAMES: [&str; 5] = ["util", "utils", "helpers", "common", "misc"];

pub(crate) fn run() -> Result<()> {
    let root = workspace();
    let mut findings = Vec::new();
    directions(&root, &mut findings)?;
    dependency_reasons(&root, &mut findings)?;
    for path in sources(&root)? {
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        source(&name, &text, &mut findings);
    }
    if findings.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    for finding in &findings {
        println!("tidy: {finding}");
    }
    bail!("tidy: {} findings", findings.len())
}

fn directions(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let allowed: BTreeMap<&str, &[&str]> = DIRECTIONS.into_iter().collect();
    for (name, may_import) in allowed {
        let path = root.join("crates").join(name).join("Cargo.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest: toml::Table = text.parse().with_context(|| format!("cannot parse {}", path.display()))?;
        let Some(dependencies) = manifest.get("dependencies").and_then(toml::Value::as_table) else { continue };
        for dependency in dependencies.keys() {
            if let Some(ours) = dependency.strip_prefix("touchmark-")
                && !may_import.contains(&ours)
            {
                findings
                    .push(format!("crates/{name}/Cargo.toml: {name} must not import {ours} (ARCHITECTURE.md, map)"));
            }
            if PURE.contains(&name) && NEVER_IN_PURE.contains(&dependency.as_str()) {
                findings.push(format!(
                    "crates/{name}/Cargo.toml: a pure crate must not depend on {dependency} (invariant 1)"
                ));
            }
        }
        if PURE.contains(&name) && !root.join("crates").join(name).join("clippy.toml").exists() {
            findings.push(format!("crates/{name}: a pure crate needs its clippy.toml (invariant 1)"));
        }
    }
    Ok(())
}

fn dependency_reasons(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(root.join("Cargo.toml")).context("cannot read Cargo.toml")?;
    let dependencies = text.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    for line in dependencies.lines() {
        let ours = line.starts_with("touchmark-");
        if !ours && line.contains(" = ") && !line.starts_with('#') && !line.contains("# ") {
            findings.push(format!("Cargo.toml: no reason beside the dependency: {line}"));
        }
    }
    Ok(())
}

/// All Rust files of ours.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let folders = ["crates", "xtask", "interop", "bench", "fuzz/src", "fuzz/fuzz_targets", "fuzz/examples"];
    let mut left: Vec<PathBuf> = folders.iter().map(|dir| root.join(dir)).collect();
    while let Some(dir) = left.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry.with_context(|| format!("cannot list {}", dir.display()))?.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn source(name: &str, text: &str, findings: &mut Vec<String>) {
    let mut lines = text.lines();
    if lines.next() != Some("// SPDX-License-Identifier: Apache-2.0") {
        findings.push(format!("{name}: the first line must be the SPDX line"));
    }
    if !lines.next().is_some_and(|line| line.starts_with("//!")) {
        findings.push(format!("{name}: the second line must begin the module header (//!)"));
    }
    let stem = Path::new(name).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    if BANNED_FILE_NAMES.contains(&stem.as_str()) {
        findings.push(format!("{name}: a file named {stem} has no subject"));
    }
    sizes(name, text, findings);
    if name == "xtask/src/tidy.rs" {
        return; // It must name what it bans.
    }
    for fence in &FENCES {
        if fence.allowed.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains(fence.text) {
                findings.push(format!("{name}:{}: {:?} does not belong here: {}", number + 1, fence.text, fence.why));
            }
        }
    }
    bans(name, text, findings);
    for (file, demanded, why) in DEMANDS {
        if name == file && !text.contains(demanded) {
            findings.push(format!("{name}: {demanded:?} must stand here: {why}"));
        }
    }
    verify_returns_facts(name, text, findings);
    lint_reasons(name, text, findings);
}

fn bans(name: &str, text: &str, findings: &mut Vec<String>) {
    for ban in BANS.iter().filter(|ban| ban.within.iter().any(|prefix| name.starts_with(prefix)) && !is_test(name)) {
        for (number, line) in without_tests(text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for banned in ban.texts.iter().filter(|banned| code.contains(**banned)) {
                findings.push(format!("{name}:{}: {banned:?} does not belong here: {}", number + 1, ban.why));
            }
        }
    }
}

fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("/tests.rs") || name.contains("/benches/") || name.contains("/tests_")
}

/// A file up to the tests at its end.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

fn sizes(name: &str, text: &str, findings: &mut Vec<String>) {
    if is_test(name) {
        return;
    }
    let code = without_tests(text).lines().count();
    let limit = if FIRST_FILES.contains(&name) { FIRST_FILE_LINES_MAX } else { FILE_LINES_MAX };
    if code > limit {
        findings.push(format!("{name}: {code} lines without tests; the limit is {limit}"));
    }
}

/// A check returns what it proved (invariant 6): under `verify/` nothing answers with a bool or with nothing.
fn verify_returns_facts(name: &str, text: &str, findings: &mut Vec<String>) {
    // Modules that are there for tests alone.
    let for_tests = is_test(name) || name.ends_with("/vectors.rs") || name.ends_with("/private.rs");
    if !name.starts_with("crates/sigstore/src/verify/") || for_tests {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        let is_verdict = line.contains("pub") && line.contains("fn ") && line.contains("-> bool");
        if is_verdict || line.contains("Result<bool") || line.contains("Result<()") {
            findings.push(format!("{name}:{}: a check returns what it proved (invariant 6)", number + 1));
        }
    }
}

fn lint_reasons(name: &str, text: &str, findings: &mut Vec<String>) {
    for (position, _) in text.match_indices("#[allow(").chain(text.match_indices("#[expect(")) {
        let attribute = text[position..].split(']').next().unwrap_or_default();
        if !attribute.contains("reason =") {
            let number = text[..position].lines().count() + 1;
            findings.push(format!("{name}:{number}: a lint exception needs its reason"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings_of(name: &str, body: &str) -> Vec<String> {
        let mut findings = Vec::new();
        source(name, &format!("// SPDX-License-Identifier: Apache-2.0\n//! A module.\n{body}"), &mut findings);
        findings
    }

    #[test]
    fn accepts_a_plain_module() {
        assert_eq!(findings_of("crates/tlog/src/hash.rs", "pub fn f() {}\n"), Vec::<String>::new());
    }

    #[test]
    fn refuses_what_does_not_belong() {
        for (name, body) in [
            ("crates/server/src/tsa/mod.rs", "use aws_lc_rs::digest;"),
            ("crates/client/src/sign.rs", "use touchmark_keys::secret::SecretKey;"),
            ("crates/server/src/fulcio/token.rs", "let c = reqwest::Client::new();"),
            ("crates/server/src/tsa/clock.rs", "let socket = tokio::net::UdpSocket::bind(address);"),
            ("crates/server/src/rekor/mod.rs", "let kind = \"hashedRekordV002\";"),
            ("crates/sigstore/src/verify/sct.rs", "fn sct() -> Result<bool, Error> {}"),
            ("crates/sigstore/src/verify/sct.rs", "pub fn is_public(chain: &VerifiedChain) -> bool {}"),
            ("crates/sigstore/src/policy.rs", "impl Default for Policy {}"),
            ("crates/sigstore/src/trust/root.rs", "static ROOT: OnceLock<TrustedRoot> = OnceLock::new();"),
            ("crates/tlog/src/proof/mod.rs", "pub async fn verify() {}"),
            ("crates/signers/src/ephemeral.rs", "std::fs::write(path, key.pkcs8_der());"),
            ("crates/client/src/sign.rs", "let key = FileSigner::create(path, key_type, None)?;"),
            ("crates/sequencer/src/fjall_ledger.rs", "let mut writes = database.batch();"),
            ("crates/tlog/src/util.rs", ""),
            ("crates/tlog/src/x.rs", "#[allow(dead_code)]\nfn f() {}"),
        ] {
            assert_eq!(findings_of(name, body).iter().filter(|f| f.contains(name)).count().min(1), 1, "{name}: {body}");
        }
    }

    #[test]
    fn refuses_a_first_file_that_grew() {
        let body = "fn f() {}\n".repeat(FIRST_FILE_LINES_MAX);
        assert_eq!(findings_of(FIRST_FILES[0], &body).len(), 1);
        assert_eq!(findings_of("crates/tlog/src/hash.rs", &body).len(), 0);
    }
}
