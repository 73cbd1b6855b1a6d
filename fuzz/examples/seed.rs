// SPDX-License-Identifier: Apache-2.0
//! Writes the seeds of every target, and a dictionary where its format has words: `seed FOLDER`.
//!
//! Files are named by their content, so that writing again adds nothing.

use std::fmt::Write as _;
use std::path::Path;

use touchmark_fuzz::{TARGETS, seeds};

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).expect("usage: seed FOLDER");
    for (target, _) in TARGETS {
        let corpus = Path::new(&folder).join(target);
        std::fs::create_dir_all(&corpus)?;
        let seeds = seeds::of(target);
        for seed in &seeds {
            let mut name = String::from("seed-");
            touchmark_keys::sha256(seed)[..8].iter().for_each(|byte| write!(name, "{byte:02x}").expect("a string"));
            std::fs::write(corpus.join(name), seed)?;
        }
        let words: String = seeds::dictionary(&seeds).iter().map(|word| entry(word)).collect();
        std::fs::write(Path::new(&folder).join(format!("{target}.dict")), words)?;
        println!("{target}: {} seeds", seeds.len());
    }
    Ok(())
}

/// A line of libFuzzer's dictionary.
fn entry(word: &str) -> String {
    format!("\"{}\"\n", word.replace('\\', "\\\\").replace('"', "\\\""))
}
