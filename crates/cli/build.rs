// SPDX-License-Identifier: Apache-2.0
//! How the binary is linked on Linux with glibc: so that there is less to do at each start. Elsewhere nothing changes.
//!
//! - Relocations are packed (`DT_RELR`) where the C library of this machine reads that form: three quarters of a megabyte less to read.
//! - The functions that a process runs which verifies one bundle lie side by side (`start.order`): a tenth of the program's pages hold them all, and the
//!   kernel maps no others. `cargo xtask bench verify-process --write-link-order crates/cli/start.order` makes the list, of names without the hash that
//!   the compiler ends them with, so that it holds for any directory; names that a build does not have are passed over.
//! - The unwinder of the C compiler is linked in where it is there as an archive: one shared library less to load.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const GLIBC_WITH_RELR: (u32, u32) = (2, 36);
/// Names of functions, one a line, in the order in which they are to lie.
const ORDER: &str = "start.order";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={ORDER}");
    let is = |name: &str, wanted: &str| env::var(name).is_ok_and(|value| value == wanted);
    let native = env::var("HOST").is_ok_and(|host| is("TARGET", &host));
    if !native || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    if glibc().is_some_and(|version| version >= GLIBC_WITH_RELR) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    if is("PROFILE", "release") {
        for argument in ordering().unwrap_or_default() {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
    if let Some(dir) = unwinder_dir() {
        println!("cargo::rustc-link-search=native={dir}");
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// What `getconf` says, for example `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let text = answer(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let (major, minor) = text.strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The linker's arguments for the order, if it is a linker that knows them: nothing else tells than a program of one line that is linked so.
///
/// Functions of Rust have a section each, named like them: those a script gathers. Of others, several of which may share a section, the symbols are given.
fn ordering() -> Option<[String; 3]> {
    let path = |name: &str| env::var_os(name).map(PathBuf::from);
    let out = path("OUT_DIR")?;
    let list = std::fs::read_to_string(path("CARGO_MANIFEST_DIR")?.join(ORDER)).ok()?;
    let (rust, others): (Vec<_>, Vec<_>) =
        list.lines().partition(|name| name.starts_with("_ZN") || name.starts_with("_R"));
    let (script, symbols) = (out.join("start.ld"), out.join(ORDER));
    std::fs::write(&script, gathering(&rust)).ok()?;
    std::fs::write(&symbols, others.join("\n")).ok()?;
    let arguments = [
        format!("-Wl,-T,{}", script.to_str()?),
        format!("-Wl,--symbol-ordering-file={}", symbols.to_str()?),
        "-Wl,--no-warn-symbol-ordering".to_owned(),
    ];
    let (source, program) = (out.join("probe.rs"), out.join("probe"));
    std::fs::write(&source, "fn main() {}").ok()?;
    let mut rustc = Command::new(path("RUSTC")?);
    rustc.args(env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.args(path("RUSTC_LINKER").map(|linker| format!("-Clinker={}", linker.display())));
    rustc.args(arguments.iter().map(|argument| format!("-Clink-arg={argument}")));
    answer(rustc.arg("-o").arg(&program).arg(&source)).map(|_| arguments)
}

/// A script that puts the sections of these functions before the rest of the program, each with whatever its name ends with. What the compiler
/// takes for rarely run is in sections of another name.
fn gathering(names: &[&str]) -> String {
    let sections: String = names.iter().map(|name| format!("    *(.text.{name}* .text.unlikely.{name}*)\n")).collect();
    format!("SECTIONS {{\n  .text.start : {{\n{sections}  }}\n}}\nINSERT BEFORE .text;\n")
}

/// Where the C compiler has its unwinder; it answers with the bare name if it has none.
fn unwinder_dir() -> Option<String> {
    let path = answer(Command::new("cc").arg("-print-file-name=libgcc_eh.a"))?;
    let dir = Path::new(&path).parent().filter(|dir| dir.is_absolute())?;
    dir.to_str().map(str::to_owned)
}

fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
