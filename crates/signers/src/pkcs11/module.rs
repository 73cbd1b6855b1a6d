// SPDX-License-Identifier: Apache-2.0
//! A PKCS#11 library in this process, its open sessions, and starting it again after a token was lost.
//!
//! Spec: PKCS#11 3.1 §5.4 (`C_Initialize`, `C_Finalize`), §6.6 of the usage guide (one application, one state of the library).
//! In scope: loading a library once, keeping idle sessions, the way back when sessions do not work any more. Out of scope: what is done in a
//! session ([`super::token`]).
//!
//! A library's state belongs to the process: every signer with the same module shares one [`Module`]. Some libraries notice that a token
//! came back, others look for tokens only when they are initialised; so a failure is answered in three steps: another session in the
//! library as it is, then the library anew (`C_Finalize`, `C_Initialize`), then an error. The next signature begins with the first step
//! again, so a token that is put back is found without a restart.
//!
//! Invariants: whoever uses the library holds [`Module::library`] for reading, whoever starts it anew holds it for writing; idle sessions lie
//! within it, so none outlives the library's state that made it. One that did would close a session of somebody else, because libraries give
//! the same handles again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use super::Pkcs11Problem;
use super::attended::Turns;
use super::token::{KeyPlace, OpenKey};

/// How long a library is left alone after it was started: hardware takes a part of a second for that, and other keys in the same library
/// cannot sign meanwhile.
const START_INTERVAL: Duration = Duration::from_secs(1);

/// A loaded library.
pub(super) struct Module {
    library: RwLock<Library>,
}

struct Library {
    context: Pkcs11,
    /// Counts the starts.
    generation: u64,
    started: Instant,
    /// Idle sessions by [`KeyPlace::number`].
    idle: Mutex<BTreeMap<u64, Vec<OpenKey>>>,
    turns: Turns,
}

impl Module {
    /// The module at this path, loaded and initialised once in a process. It stays until the process ends.
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, Pkcs11Problem> {
        static MODULES: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());
        let library = |problem: String| Pkcs11Problem::Library { path: path.to_owned(), problem };
        // Two names of one file are one library.
        let real = path.canonicalize().map_err(|error| library(error.kind().to_string()))?;
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(&real) {
            return Ok(Arc::clone(module));
        }
        let context = Pkcs11::new(&real).map_err(|error| library(error.to_string()))?;
        initialize(&context)?;
        let idle = Mutex::new(BTreeMap::new());
        let loaded = Library { context, generation: 0, started: Instant::now(), idle, turns: Turns::default() };
        let module = Arc::new(Self { library: RwLock::new(loaded) });
        modules.insert(real, Arc::clone(&module));
        Ok(module)
    }

    /// Runs `work` in a session with the key.
    pub(super) fn with_key<T>(
        &self,
        place: &KeyPlace,
        work: impl Fn(&OpenKey) -> Result<T, Pkcs11Problem>,
    ) -> Result<T, Pkcs11Problem> {
        let (generation, tried) = {
            let library = self.read();
            (library.generation, library.with_key(place, &work))
        };
        match tried {
            Err(problem) if problem.may_pass() => {
                tracing::warn!(%problem, "a PKCS#11 session was lost or cannot be opened");
                self.start_again(generation, problem)?;
                self.read().with_key(place, &work)
            }
            done => done,
        }
    }

    /// Closes the idle sessions of a key that nobody uses any more.
    pub(super) fn forget(&self, place: &KeyPlace) {
        self.read().forget(place);
    }

    fn read(&self) -> RwLockReadGuard<'_, Library> {
        self.library.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the library again, unless somebody did since `generation` or it is too early; then `problem` stays.
    fn start_again(&self, generation: u64, problem: Pkcs11Problem) -> Result<(), Pkcs11Problem> {
        let mut library = self.library.write().unwrap_or_else(PoisonError::into_inner);
        if library.generation != generation {
            return Ok(());
        }
        if library.started.elapsed() < START_INTERVAL {
            return Err(problem);
        }
        library.started = Instant::now();
        library.generation += 1;
        library.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // A library that cannot be finalised says so again when it is initialised.
        let _ = library.context.clone().finalize();
        initialize(&library.context)?;
        tracing::info!("the PKCS#11 library was started again");
        Ok(())
    }
}

impl Library {
    fn with_key<T>(
        &self,
        place: &KeyPlace,
        work: &impl Fn(&OpenKey) -> Result<T, Pkcs11Problem>,
    ) -> Result<T, Pkcs11Problem> {
        if let Some(open) = self.take_idle(place) {
            match work(&open) {
                Err(problem) if problem.may_pass() => {
                    // What one session lost, the others of this key have lost too.
                    drop(open);
                    self.forget(place);
                }
                done => return self.put_back(place, open, done),
            }
        }
        let open = place.open(&self.context, &self.turns)?;
        let done = work(&open);
        self.put_back(place, open, done)
    }

    fn take_idle(&self, place: &KeyPlace) -> Option<OpenKey> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&place.number)?.pop()
    }

    /// A session in which something failed is closed.
    fn put_back<T>(&self, place: &KeyPlace, open: OpenKey, done: Result<T, Pkcs11Problem>) -> Result<T, Pkcs11Problem> {
        if done.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).entry(place.number).or_default().push(open);
        }
        done
    }

    fn forget(&self, place: &KeyPlace) {
        let lost = self.idle.lock().unwrap_or_else(PoisonError::into_inner).remove(&place.number);
        // Closing talks to the token: not under the lock.
        drop(lost);
    }
}

fn initialize(context: &Pkcs11) -> Result<(), Pkcs11Problem> {
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
