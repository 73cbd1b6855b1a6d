// SPDX-License-Identifier: Apache-2.0
//! How fast bundles are verified: this project beside the bare public key operations and beside the crate `sigstore-verify`.
//!
//! One process, one thread, interleaved rounds: each round runs every contender for some milliseconds, so that whatever else
//! the machine does meets all of them. Time is the thread's own time on the processor: what others take of a shared machine is
//! not in it, and nothing here waits. Ratios are taken within a round; the median of the rounds is printed, and the quartiles
//! of the ratio to the ceiling say how steady it was. `cargo xtask bench verify` pins the process to one core.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "prints a report")]

mod ceiling;
mod contender;
mod der;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use nix::time::{ClockId, clock_gettime};
use touchmark_bench::case::{CASES, Case};
use touchmark_bench::statistics::quantile;

use ceiling::Ceiling;
use contender::{Contender, Run, prepare};

/// How long one contender runs within a round.
const TURN: Duration = Duration::from_millis(4);
const ROUNDS_MAX: usize = 100_000;

/// Verifications per second of this project, of the public key operations alone, and of the crate sigstore-verify.
#[derive(Parser)]
struct Arguments {
    /// How long each case is measured.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u64,
    /// Only this conformance case.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Only run this contender, over and over, without comparison: for a profiler.
    #[arg(long, value_name = "WHO", requires = "case")]
    only: Option<Contender>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let span = Duration::from_secs(arguments.seconds);
    if let (Some(contender), Some(name)) = (arguments.only, &arguments.case) {
        return alone(contender, &Case::read(name)?, span);
    }
    println!(
        "| bundle | per second | ceiling | to ceiling (quartiles) | sigstore-verify | to sigstore-verify | parsing |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut failed = Vec::new();
    let mut ceilings = Vec::new();
    for (name, what) in CASES {
        if arguments.case.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let case = Case::read(name)?;
        ceilings.push(format!("{what} (`{name}`): {}", Ceiling::of(&case)?.describe()?));
        match compare(&case, span) {
            Ok(rounds) => print_row(what, &rounds),
            Err(error) => failed.push(format!("{name}: {error:#}")),
        }
    }
    println!("\nThe ceilings, in public key operations:\n");
    ceilings.iter().for_each(|ceiling| println!("- {ceiling}"));
    ensure!(failed.is_empty(), "not everybody verifies every case:\n{}", failed.join("\n"));
    Ok(())
}

/// Verifications per second of each contender in one round, in the order of [`Contender::ALL`].
type Round = [f64; Contender::ALL.len()];

fn compare(case: &Case, span: Duration) -> Result<Vec<Round>> {
    let mut contenders = Vec::new();
    for contender in Contender::ALL {
        let run = prepare(contender, case)?;
        let turn = runs_per_turn(&run)?;
        contenders.push((run, turn));
    }
    let begun = Instant::now();
    let mut rounds: Vec<Round> = Vec::new();
    while begun.elapsed() < span && rounds.len() < ROUNDS_MAX {
        let mut round = Round::default();
        for step in 0..contenders.len() {
            // Each round begins with another contender.
            let place = (rounds.len() + step) % contenders.len();
            let (run, turn) = &contenders[place];
            let begun = processor_time()?;
            for _ in 0..*turn {
                run()?;
            }
            round[place] = f64::from(*turn) / (processor_time()? - begun).as_secs_f64();
        }
        rounds.push(round);
    }
    ensure!(rounds.len() >= 20, "only {} rounds: give it more seconds", rounds.len());
    Ok(rounds)
}

/// How many runs fill a turn; also warms up.
fn runs_per_turn(run: &Run) -> Result<u32> {
    let begun = processor_time()?;
    let mut runs = 0_u32;
    while processor_time()? - begun < 5 * TURN {
        run()?;
        runs += 1;
    }
    Ok((runs / 5).max(1))
}

/// What this thread has had of a processor.
fn processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("the kernel does not say")?.into())
}

fn print_row(what: &str, rounds: &[Round]) {
    let rate = |place: usize| quantile(&rounds.iter().map(|round| round[place]).collect::<Vec<_>>(), 0.5);
    let ratio =
        |other: usize, q: f64| quantile(&rounds.iter().map(|round| round[1] / round[other]).collect::<Vec<_>>(), q);
    println!(
        "| {what} | {:.0} | {:.0} | {:.3} ({:.3} to {:.3}) | {:.0} | {:.2} | {:.0} µs |",
        rate(1),
        rate(0),
        ratio(0, 0.5),
        ratio(0, 0.25),
        ratio(0, 0.75),
        rate(3),
        ratio(3, 0.5),
        1e6 / rate(2)
    );
}

fn alone(contender: Contender, case: &Case, span: Duration) -> Result<()> {
    let run = prepare(contender, case).with_context(|| case.name.clone())?;
    let (begun, begun_processor) = (Instant::now(), processor_time()?);
    let mut runs = 0_u64;
    while begun.elapsed() < span {
        for _ in 0..100 {
            run()?;
        }
        runs += 100;
    }
    let per_second = runs as f64 / (processor_time()? - begun_processor).as_secs_f64();
    eprintln!("{}: {per_second:.0} runs/s, {:.1} µs each", case.name, 1e6 / per_second);
    Ok(())
}
