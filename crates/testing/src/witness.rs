// SPDX-License-Identifier: Apache-2.0
//! A small witness (C2SP tlog-witness) behind real HTTP with a key of its own: honest, or wrong in one named way.
//!
//! In scope: the checks that protect a log's readers (size, consistency, root). Out of scope: durable state, the log's signature: it takes any
//! checkpoint of any origin, as a witness that was told of every key would.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use touchmark_keys::KeyType;
use touchmark_signers::{EphemeralSigner, Signer};
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};
use touchmark_tlog::proof::verify_consistency;
use touchmark_tlog::witness::{AddCheckpoint, SIZE_MEDIA_TYPE, parse_size};
use touchmark_tlog::{Hash, TreeSize, empty_root};

/// How a witness behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    Honest,
    /// Honest, after this time.
    Slow(Duration),
    /// Signs with another key than the one that it names.
    WrongKey,
    /// Signs another text than the checkpoint.
    OtherText,
    /// Answers with this status and nothing else.
    Status(u16),
    /// Says that it has cosigned a tree of this size.
    Claims(u64),
}

/// A running witness; it ends with the run time.
pub struct TestWitness {
    name: String,
    prefix: String,
    shared: Arc<Shared>,
}

struct Shared {
    key: NoteKey,
    signer: EphemeralSigner,
    stranger: EphemeralSigner,
    state: Mutex<Witnessed>,
}

struct Witnessed {
    behaviour: Behaviour,
    /// What was cosigned last, by origin.
    trees: HashMap<String, (TreeSize, Hash)>,
    requests: usize,
}

impl TestWitness {
    /// Starts a witness on a free port.
    ///
    /// # Panics
    /// If the system gives no key or port.
    pub async fn start(name: &str) -> Self {
        let signer = EphemeralSigner::generate(KeyType::Ed25519).expect("a key");
        let stranger = EphemeralSigner::generate(KeyType::Ed25519).expect("a key");
        let key = NoteKey::new(name, NoteAlgorithm::CosignatureV1, signer.public_key().clone()).expect("a note key");
        let state = Witnessed { behaviour: Behaviour::Honest, trees: HashMap::new(), requests: 0 };
        let shared = Arc::new(Shared { key, signer, stranger, state: Mutex::new(state) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/w/add-checkpoint", post(add_checkpoint)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { name: name.to_owned(), prefix: format!("http://{address}/w"), shared }
    }

    /// The line of a policy that asks this witness.
    ///
    /// # Panics
    /// Never: the key has a text.
    pub fn policy_line(&self) -> String {
        let vkey = self.shared.key.to_vkey().expect("a cosigner's key has a vkey");
        format!("witness {} {vkey} {}\n", self.name, self.prefix)
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }

    /// The size of the tree that was cosigned last.
    pub fn witnessed(&self, origin: &str) -> Option<u64> {
        self.state().trees.get(origin).map(|(size, _)| size.0)
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    fn state(&self) -> MutexGuard<'_, Witnessed> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Witnessed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn add_checkpoint(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let behaviour = {
        let mut state = shared.state();
        state.requests += 1;
        state.behaviour.clone()
    };
    if let Behaviour::Slow(time) = behaviour {
        tokio::time::sleep(time).await;
    }
    answer(&shared, &behaviour, &body).await
}

async fn answer(shared: &Shared, behaviour: &Behaviour, body: &[u8]) -> Response {
    match behaviour {
        Behaviour::Status(status) => return StatusCode::from_u16(*status).expect("a status").into_response(),
        Behaviour::Claims(size) => return conflict(TreeSize(*size)),
        Behaviour::Honest | Behaviour::Slow(_) | Behaviour::WrongKey | Behaviour::OtherText => {}
    }
    let Ok(request) = AddCheckpoint::parse(body) else { return StatusCode::BAD_REQUEST.into_response() };
    let Ok(checkpoint) = Checkpoint::parse(request.note.text()) else { return StatusCode::BAD_REQUEST.into_response() };
    match accept(shared, &request, &checkpoint) {
        Ok(()) => {}
        Err(Refusal::Status(status)) => return status.into_response(),
        Err(Refusal::Has(size)) => return conflict(size),
    }
    let text = match behaviour {
        Behaviour::OtherText => format!("{}other\n", request.note.text()),
        _ => request.note.text().to_owned(),
    };
    let signer = if *behaviour == Behaviour::WrongKey { &shared.stranger } else { &shared.signer };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let time_ms = Some(u64::try_from(now.as_millis()).expect("before the year 500 million"));
    let message = shared.key.signed_message(&text, time_ms).expect("a time is given");
    let signature = signer.sign(&message).await.expect("a key in memory signs");
    let line = shared.key.wrap(signature, time_ms).expect("a time is given");
    format!("{line}\n").into_response()
}

/// Why a checkpoint is not cosigned.
enum Refusal {
    Status(StatusCode),
    /// Something else was cosigned last.
    Has(TreeSize),
}

/// The checks of the specification, and the new state, in one step.
fn accept(shared: &Shared, request: &AddCheckpoint, checkpoint: &Checkpoint) -> Result<(), Refusal> {
    let mut state = shared.state();
    let known = state.trees.get(&checkpoint.origin).copied();
    let (size, root) = known.unwrap_or((TreeSize(0), empty_root()));
    if request.old > checkpoint.size {
        return Err(Refusal::Status(StatusCode::BAD_REQUEST));
    }
    if request.old != size {
        return Err(Refusal::Has(size));
    }
    if known.is_some() && size == checkpoint.size && root != checkpoint.root {
        return Err(Refusal::Has(size));
    }
    verify_consistency(size, &root, checkpoint.size, &checkpoint.root, &request.proof)
        .map_err(|_| Refusal::Status(StatusCode::UNPROCESSABLE_ENTITY))?;
    state.trees.insert(checkpoint.origin.clone(), (checkpoint.size, checkpoint.root));
    Ok(())
}

fn conflict(size: TreeSize) -> Response {
    let body = format!("{size}\n");
    debug_assert_eq!(parse_size(body.as_bytes()), Some(size));
    (StatusCode::CONFLICT, [(CONTENT_TYPE, SIZE_MEDIA_TYPE)], body).into_response()
}
