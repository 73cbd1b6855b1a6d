// SPDX-License-Identifier: Apache-2.0
//! The project's own commands: `cargo xtask <command>`.
//!
//! `ci` is everything that needs only Rust and a C compiler; `interop` drives real clients against a running instance and installs
//! what it needs; `bench` measures. Each step prints its command line, so that a developer can run it alone.
#![expect(clippy::print_stdout, reason = "a developer's tool talks on the terminal")]

mod attestations;
mod bench;
mod bucket;
mod ceremony;
mod certificates;
mod ci;
mod clients;
mod exported;
mod faults;
mod fuzz;
mod identity_provider;
mod interop;
mod keys_elsewhere;
mod process;
mod static_ct;
mod tidy;
mod timestamps;
mod tools;
mod tuf_conformance;

use std::path::Path;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask <command>

  ci                 fmt, clippy, tests, tidy, deny, unused dependencies
  tidy               the project's own rules alone: directions, headers, banned names, sizes
  interop            sign and verify with cosign, sigstore-python, sigstore-js and sigstore-rust
  interop attestations  the steps of it that are about attestations, alone
  interop keys       keys in tokens (SoftHSM2), in AWS KMS (moto) and behind a plugin; taken away and put back while serving
  interop static-ct  a generic client of static CT logs reads and verifies the certificate log of a running instance
  interop identity-provider  a person logs in at oidc-provider with a real browser; touchmark and cosign sign with what it says
  interop certificates  openssl and the linter pkilint read certificates of every kind of identity
  interop timestamps  openssl and rfc3161-client read timestamps of every hash, under P-256 and P-384 keys
  interop exports    cosign, sigstore-python and sigstore-js verify with the files that `trust export` writes for them, and no network
  interop trust      docs/ceremony.md as it stands, with tokens (SoftHSM2); python-tuf and tuf-js walk what comes of it
  interop tuf-conformance --suite DIR  the public TUF conformance suite, of which DIR is a checkout, against our client; not in `interop`
  fuzz [--seconds N] [--seed] [TARGET...]  every parser and the verifier on arbitrary bytes; needs a nightly compiler
  faults [--seconds N] [--first SEED] [--seed SEED]  the log on a simulated disk that fails; --seed replays one with its trace
  bench [ARGS...]    the measurements of docs/benchmarks.md: the services
  bench log          the log of signatures under load beside its ceiling, or with --growth its growth
  bench ca           the certificate authority under load beside its ceiling
  bench tsa          the timestamp authority under load beside its ceiling
  bench verify       the verifier beside the bare public key operations and the crate sigstore-verify
  bench verify-process  one process that verifies one bundle: wall time, memory, speed over a large file
";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    match command.as_str() {
        "ci" => ci::run(),
        "tidy" => tidy::run(),
        "interop" => match rest.as_slice() {
            [] => interop::run_all(),
            [part] if part == "attestations" => interop::run_attestations(),
            [part] if part == "keys" => keys_elsewhere::run_it(),
            [part] if part == "static-ct" => static_ct::run_it(),
            [part] if part == "identity-provider" => identity_provider::run_it(),
            [part] if part == "certificates" => certificates::run_it(),
            [part] if part == "timestamps" => timestamps::run_it(),
            [part] if part == "exports" => exported::run_it(),
            [part] if part == "trust" => ceremony::run_it(),
            [part, flag, suite] if part == "tuf-conformance" && flag == "--suite" => {
                tuf_conformance::run_it(Path::new(suite))
            }
            _ => bail!("interop takes no argument, or one of its parts: see `cargo xtask help`"),
        },
        "bench" => bench::run(&rest),
        "faults" => faults::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "" | "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("unknown command {other:?}\n\n{USAGE}"),
    }
}
