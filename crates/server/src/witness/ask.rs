// SPDX-License-Identifier: Apache-2.0
//! One question to one witness (C2SP tlog-witness, `add-checkpoint`).
//!
//! What the witness cosigned last is a guess until it says so: an answer 409 corrects the guess, and the question is asked again.
//!
//! In scope: the request, every kind of answer, and what an answer means for the log. Out of scope: when to ask (`lane`).
//! Invariants: at most three requests a question; a size that a witness claims is believed only as far as it is bad news; a cosignature that is
//! returned was verified with the witness's key over the text that was sent.

use std::time::Duration;

use touchmark_outbound::{Limits, Outbound, OutboundError, Response};
use touchmark_sequencer::{FatalCause, Log, ReadError};
use touchmark_tlog::TreeSize;
use touchmark_tlog::note::{NoteError, NoteSignature, SignedNote};
use touchmark_tlog::witness::{AddCheckpoint, SIZE_MEDIA_TYPE, parse_size};

use super::Member;

/// What an answer may cost. A line of a cosignature takes some hundred bytes; a witness may send several, also of kinds that we do not know.
const LIMITS: Limits = Limits { response_bytes_max: 1 << 16, timeout: Duration::from_secs(5) };

/// What came of a question.
#[derive(Debug)]
pub(super) enum Answer {
    /// A verified line.
    Cosigned(NoteSignature),
    /// The witness has cosigned a larger tree of the log than the question was about, but none that the log does not hold.
    Newer(TreeSize),
    /// The log must stop.
    Alarm(FatalCause),
    Failed {
        error: AskError,
        known: TreeSize,
    },
}

/// Why there is no cosignature. The witness, or who configured it, must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    #[error("{0}")]
    Outbound(#[from] OutboundError),
    #[error("it does not know this log (404): give its operator the log's verifier key and origin")]
    UnknownLog,
    #[error("it does not accept the log's signature (403): give its operator the log's present verifier key")]
    KeyRefused,
    #[error("it answered 409 without a tree size as {SIZE_MEDIA_TYPE}")]
    NoSize,
    #[error("it names a tree size of {0} and then does not accept it")]
    Contradiction(TreeSize),
    #[error("its cosignature is not good: {0}")]
    Cosignature(NoteError),
    #[error("it answered with status {0}, which add-checkpoint does not have")]
    Status(u16),
    #[error("the consistency proof cannot be made: {0}")]
    Proof(ReadError),
}

/// Why the witness's own tree does not match; `old` is what it said it had.
enum Refusal {
    Failed(AskError),
    /// 409 with the size that it has.
    Has(TreeSize),
    /// 409 although it said itself that it has this size, which is the checkpoint's.
    OtherRoot,
    /// 422: from the tree that it has, of the size that it named, no proof of ours leads on.
    OtherTree,
}

/// Asks for a cosignature on `note`, the checkpoint of a tree of `size`.
pub(super) async fn ask(
    outbound: &Outbound,
    log: &Log,
    member: &Member,
    (note, size): (SignedNote, TreeSize),
    guess: TreeSize,
) -> Answer {
    // Our own memory may be of another ledger; what the witness says about itself may not.
    let mut old = guess.min(size);
    let mut said = None;
    loop {
        let refusal = match request(outbound, log, member, &note, size, old, said.is_some()).await {
            Ok(line) => return Answer::Cosigned(line),
            Err(refusal) => refusal,
        };
        let forked = || Answer::Alarm(FatalCause::WitnessForked { witness: member.name.clone(), witnessed: old });
        match (refusal, said) {
            (Refusal::Failed(error), _) => return Answer::Failed { error, known: old },
            (Refusal::OtherRoot | Refusal::OtherTree, Some(_)) => return forked(),
            // The guess was ours; the witness says what it has when it is asked from nothing.
            (Refusal::OtherRoot | Refusal::OtherTree, None) if old.0 > 0 => old = TreeSize(0),
            (Refusal::OtherRoot | Refusal::OtherTree, None) => {
                return Answer::Failed { error: AskError::Contradiction(old), known: TreeSize(0) };
            }
            (Refusal::Has(has), _) => {
                // Asked now, for the log may have grown, and somebody else may have brought the witness its newest checkpoint.
                let signed = log.checkpoint().size;
                if has > signed {
                    let witness = member.name.clone();
                    return Answer::Alarm(FatalCause::WitnessAhead { witness, witnessed: has, signed });
                }
                if has > size {
                    return Answer::Newer(has);
                }
                if said.is_some() {
                    return Answer::Failed { error: AskError::Contradiction(has), known: has };
                }
                (old, said) = (has, Some(has));
            }
        }
    }
}

async fn request(
    outbound: &Outbound,
    log: &Log,
    member: &Member,
    note: &SignedNote,
    size: TreeSize,
    old: TreeSize,
    old_was_said: bool,
) -> Result<NoteSignature, Refusal> {
    let proof = if old.0 == 0 { Ok(Vec::new()) } else { log.consistency_proof(old, size).await };
    let proof = proof.map_err(|error| Refusal::Failed(AskError::Proof(error)))?;
    let request = AddCheckpoint { old, proof, note: note.clone() };
    let headers = [("content-type", "text/plain; charset=utf-8")];
    let answer = outbound.post(&member.add_checkpoint, &headers, request.to_bytes(), &LIMITS).await;
    let answer = answer.map_err(|error| Refusal::Failed(error.into()))?;
    match answer.status {
        200 => {
            let line = request.cosignature(&answer.body, &member.key);
            line.map_err(|error| Refusal::Failed(AskError::Cosignature(error)))
        }
        404 => Err(Refusal::Failed(AskError::UnknownLog)),
        403 => Err(Refusal::Failed(AskError::KeyRefused)),
        // The specification demands a size where the old size is wrong, and names none where the roots differ.
        409 => Err(match size_in(&answer) {
            Some(has) if has != old => Refusal::Has(has),
            _ if old == size => Refusal::OtherRoot,
            Some(has) => Refusal::Failed(AskError::Contradiction(has)),
            None => Refusal::Failed(AskError::NoSize),
        }),
        422 if old_was_said || old.0 > 0 => Err(Refusal::OtherTree),
        status => Err(Refusal::Failed(AskError::Status(status))),
    }
}

fn size_in(answer: &Response) -> Option<TreeSize> {
    let media_type = answer.header("content-type")?.split(';').next()?.trim();
    if media_type.eq_ignore_ascii_case(SIZE_MEDIA_TYPE) { parse_size(&answer.body) } else { None }
}
