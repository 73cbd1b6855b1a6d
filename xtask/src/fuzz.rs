// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask fuzz`: every parser and the whole verifier on arbitrary bytes, with limits on time, memory and size.
//!
//! In scope: making the seeds from the vectors, building the targets of `fuzz/` (nightly compiler, cargo-fuzz), running them
//! one after the other, and reporting. Out of scope: what the targets claim (`fuzz/src`). Seeds, the inputs that were found and
//! those that crashed stay in `fuzz/corpus` and `fuzz/artifacts`, which are not in the repository; a crash that was mended
//! becomes a test beside the parser.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{self, workspace};
use crate::tools;

/// Each target and the longest input that it is given: somewhat more than the longest seed.
const TARGETS: [(&str, usize); 16] = [
    ("bundle", 24 << 10),
    ("trusted_root", 12 << 10),
    ("checkpoint", 2 << 10),
    ("certificate", 4 << 10),
    ("sct_list", 3 << 10),
    ("timestamp_token", 8 << 10),
    ("entry_body", 8 << 10),
    ("dsse_statement", 4 << 10),
    ("policy_file", 4 << 10),
    ("convert", 24 << 10),
    ("public_key", 2 << 10),
    ("verify_bundle", 96),
    ("metadata", 8 << 10),
    ("ceremony_file", 24 << 10),
    ("trust_export", 4 << 10),
    ("timestamp_request", 1 << 10),
];
/// Limit on resident memory, the address sanitizer's included.
const MEMORY_MIB: u32 = 1024;
/// Limit on one input.
const INPUT_SECONDS: u32 = 10;
const SECONDS: u32 = 60;

struct Arguments {
    seconds: u32,
    seeds_alone: bool,
    targets: Vec<(&'static str, usize)>,
}

/// What one run of a target saw, in libFuzzer's words.
#[derive(Debug, Default, PartialEq)]
struct Report {
    executions: String,
    coverage: String,
    features: String,
    memory_mib: String,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments = parse(arguments)?;
    let fuzz = workspace().join("fuzz");
    seed(&fuzz)?;
    if arguments.seeds_alone {
        return Ok(());
    }
    build(&fuzz)?;
    let mut failed = Vec::new();
    for (target, bytes_max) in &arguments.targets {
        match drive(&fuzz, target, *bytes_max, arguments.seconds) {
            Ok(report) => println!(
                "fuzz: {target}: {} executions, coverage {}, features {}, peak memory {} MiB",
                report.executions, report.coverage, report.features, report.memory_mib
            ),
            Err(error) => {
                println!("fuzz: {target}: {error:#}");
                failed.push(*target);
            }
        }
    }
    ensure!(failed.is_empty(), "fuzz: {} failed", failed.join(", "));
    println!("fuzz: nothing found");
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Arguments> {
    let mut parsed = Arguments { seconds: SECONDS, seeds_alone: false, targets: Vec::new() };
    let mut left = arguments.iter();
    while let Some(argument) = left.next() {
        match argument.as_str() {
            "--seconds" => {
                let seconds = left.next().context("--seconds needs a number")?;
                parsed.seconds = seconds.parse().with_context(|| format!("{seconds:?} is no number of seconds"))?;
            }
            "--seed" => parsed.seeds_alone = true,
            name => match TARGETS.into_iter().find(|(target, _)| *target == name) {
                Some(target) => parsed.targets.push(target),
                None => bail!("no target {name:?}; there are {}", TARGETS.map(|(target, _)| target).join(", ")),
            },
        }
    }
    // For libFuzzer no time means no end.
    ensure!(parsed.seconds > 0, "--seconds needs at least one");
    if parsed.targets.is_empty() {
        parsed.targets = TARGETS.to_vec();
    }
    Ok(parsed)
}

/// Writes the seeds with the stable compiler; what the product's build made is used again.
fn seed(fuzz: &Path) -> Result<()> {
    process::run(
        Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--locked", "--example", "seed", "--manifest-path"])
            .arg(fuzz.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(workspace().join("target"))
            .arg("--")
            .arg(fuzz.join("corpus")),
    )
}

fn build(fuzz: &Path) -> Result<()> {
    process::run(
        Command::new(tools::cargo_fuzz()?)
            .arg("build")
            .arg("--fuzz-dir")
            .arg(fuzz)
            .current_dir(fuzz)
            // Instrumentation is for the nightly compiler, and cargo-fuzz would take ours from the environment.
            .env("RUSTUP_TOOLCHAIN", "nightly")
            .env_remove("CARGO"),
    )
}

fn drive(fuzz: &Path, target: &str, bytes_max: usize, seconds: u32) -> Result<Report> {
    let program = program(fuzz, target)?;
    let artifacts = fuzz.join("artifacts").join(target);
    fs::create_dir_all(&artifacts).with_context(|| format!("cannot create {}", artifacts.display()))?;
    let log = fuzz.join("artifacts").join(format!("{target}.log"));
    let mut command = Command::new(&program);
    command.arg(fuzz.join("corpus").join(target));
    let dictionary = fuzz.join("corpus").join(format!("{target}.dict"));
    // libFuzzer refuses an empty one.
    if fs::metadata(&dictionary).is_ok_and(|metadata| metadata.len() > 0) {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    command
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={bytes_max}"))
        // Long inputs from the beginning: the seeds are whole documents.
        .arg("-len_control=0")
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg("-print_final_stats=1");
    println!("$ {} (log: {})", program.display(), log.display());
    let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let status = command.stdout(output.try_clone()?).stderr(output).status().context("cannot start it")?;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    if status.success() {
        return Ok(report(&said));
    }
    let input = said.lines().find_map(|line| line.split("Test unit written to ").nth(1)).unwrap_or("the input above");
    let last: Vec<&str> = said.lines().rev().take(30).collect();
    last.iter().rev().for_each(|line| println!("  {line}"));
    bail!("{status}; to see it again: {} {input}", program.display())
}

/// Where cargo-fuzz puts a target: under the name of the machine.
fn program(fuzz: &Path, target: &str) -> Result<PathBuf> {
    let version = process::quiet(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(fuzz.join("target").join(host).join("release").join(target))
}

fn report(said: &str) -> Report {
    let stat = |name: &str| {
        let line = said.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
        line.map_or_else(|| "?".to_owned(), |line| line.trim_start_matches(':').trim().to_owned())
    };
    let status = said.lines().rev().find(|line| line.starts_with('#') && line.contains("cov: ")).unwrap_or_default();
    let after =
        |name: &str| status.split(name).nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("?").to_owned();
    Report {
        executions: stat("number_of_executed_units"),
        coverage: after("cov: "),
        features: after("ft: "),
        memory_mib: stat("peak_rss_mb"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn arguments_name_targets_that_exist() {
        let parsed = parse(&words(&["--seconds", "5", "bundle"])).unwrap();
        assert_eq!((parsed.seconds, parsed.targets), (5, vec![("bundle", 24 << 10)]));
        assert_eq!(parse(&[]).unwrap().targets.len(), TARGETS.len());
        for refused in [&["bundel"] as &[&str], &["--seconds"], &["--seconds", "0"], &["--seconds", "x"]] {
            assert!(parse(&words(refused)).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn every_target_of_the_manifest_is_run() {
        let manifest: toml::Table = fs::read_to_string(workspace().join("fuzz/Cargo.toml")).unwrap().parse().unwrap();
        let mut named: Vec<&str> =
            manifest["bin"].as_array().unwrap().iter().map(|target| target["name"].as_str().unwrap()).collect();
        let mut run = TARGETS.map(|(target, _)| target);
        named.sort_unstable();
        run.sort_unstable();
        assert_eq!(named, run);
    }

    #[test]
    fn reads_what_libfuzzer_says() {
        let said = "#10\tINITED cov: 5 ft: 6 corp: 1/1b\n#812\tDONE   cov: 1234 ft: 4567 corp: 9/8Kb lim: 4096 exec/s: 99\n\
                    stat::number_of_executed_units: 812\nstat::peak_rss_mb:            345\n";
        let expected = Report {
            executions: "812".into(),
            coverage: "1234".into(),
            features: "4567".into(),
            memory_mib: "345".into(),
        };
        assert_eq!(report(said), expected);
        assert_eq!(report("").executions, "?");
    }
}
