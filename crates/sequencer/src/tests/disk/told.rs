// SPDX-License-Identifier: Apache-2.0
//! What a life of the log told its callers, line by line in a file: each line is written at once, so that a kill loses none that was said.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use touchmark_tlog::{Hash, LeafIndex, TreeSize};

use crate::{Added, Logged, Sequenced, SignedCheckpoint};

use super::super::audit::Told;

/// The file, written by the life.
pub(super) struct Teller(Mutex<File>);

/// What a life said beside its answers.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) told: Told,
    /// Why entries were not added, why the log was not opened, why it stopped.
    pub(super) remarks: Vec<String>,
    /// The life came to its end by itself.
    pub(super) ended: bool,
}

impl Teller {
    pub(super) fn new(path: &Path) -> Self {
        Self(Mutex::new(File::options().create(true).append(true).open(path).unwrap()))
    }

    pub(super) fn added(&self, id: u64, added: &Added) {
        self.line(&match added {
            Added::Sequenced(place) => format!("sequenced {id} {} {}", place.index, place.time_ms),
            Added::Duplicate { index, time_ms } => format!("duplicate {id} {index} {time_ms}"),
            Added::Checkpointed(logged) => {
                let proof: Vec<String> = logged.proof.iter().map(|hash| hex(&hash.0)).collect();
                let (leaf, place) = (hex(&logged.leaf_input), format!("{} {}", logged.index, logged.time_ms));
                format!("logged {id} {place} {leaf} [{}] {}", proof.join(","), checkpoint(&logged.checkpoint))
            }
        });
    }

    pub(super) fn checkpoint(&self, seen: &SignedCheckpoint) {
        self.line(&format!("checkpoint {}", checkpoint(seen)));
    }

    pub(super) fn remark(&self, what: &str) {
        self.line(&format!("remark {}", what.replace('\n', " ")));
    }

    pub(super) fn end(&self) {
        self.line("end");
    }

    fn line(&self, line: &str) {
        self.0.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Everything that the lives so far have said. A last line that was cut off was not said.
pub(super) fn hear(path: &Path) -> Heard {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut heard = Heard::default();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        let number = |position: usize| words[position].parse::<u64>().unwrap();
        let place = || (LeafIndex(number(1)), number(2));
        let (id, added) = match what {
            "remark" => {
                heard.remarks.push(rest.to_owned());
                continue;
            }
            "end" => {
                heard.ended = true;
                continue;
            }
            "checkpoint" => {
                heard.told.checkpoints.push(read_checkpoint(&words));
                continue;
            }
            "sequenced" => (number(0), Added::Sequenced(Sequenced { index: place().0, time_ms: place().1 })),
            "duplicate" => (number(0), Added::Duplicate { index: place().0, time_ms: place().1 }),
            "logged" => {
                let (index, time_ms) = place();
                let proof = words[4].trim_matches(['[', ']']).split(',').filter(|hash| !hash.is_empty());
                let proof = proof.map(|hash| Hash::from_slice(&unhex(hash)).unwrap()).collect();
                let checkpoint = read_checkpoint(&words[5..]);
                (
                    number(0),
                    Added::Checkpointed(Logged {
                        index,
                        time_ms,
                        leaf_input: unhex(words[3]).into(),
                        proof,
                        checkpoint,
                    }),
                )
            }
            other => panic!("a line that begins with {other}"),
        };
        heard.told.added.push((id, added));
    }
    heard
}

fn checkpoint(seen: &SignedCheckpoint) -> String {
    format!("{} {} {}", seen.size, hex(&seen.root.0), hex(seen.note.as_bytes()))
}

fn read_checkpoint(words: &[&str]) -> SignedCheckpoint {
    let note = String::from_utf8(unhex(words[2])).unwrap();
    let root = Hash::from_slice(&unhex(words[1])).unwrap();
    SignedCheckpoint { note: Arc::from(note), size: TreeSize(words[0].parse().unwrap()), root }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
