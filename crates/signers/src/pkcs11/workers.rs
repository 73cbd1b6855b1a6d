// SPDX-License-Identifier: Apache-2.0
//! Threads for calls that block, apart from those of the run time.
//!
//! In scope: a fixed number of threads, one job each. Out of scope: deadlines, which the caller sets around the wait.
//! Invariants: there are never more jobs than threads, also while a library hangs in all of them; a thread that hangs keeps neither the
//! run time nor the process from ending, as one of the run time's own would.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tokio::sync::{Semaphore, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// The threads end when this is dropped and their jobs are done.
pub(super) struct Workers {
    jobs: mpsc::Sender<Job>,
    free: Arc<Semaphore>,
}

impl Workers {
    pub(super) fn start(count: usize) -> std::io::Result<Self> {
        let (jobs, received) = mpsc::channel::<Job>();
        let received = Arc::new(Mutex::new(received));
        for _ in 0..count {
            let received = Arc::clone(&received);
            std::thread::Builder::new().name("pkcs11".to_owned()).spawn(move || work_off(&received))?;
        }
        Ok(Self { jobs, free: Arc::new(Semaphore::new(count)) })
    }

    /// Waits for a thread and runs `work` on it; none if it panicked. A caller that gives up waiting leaves the work to be done.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let place = Arc::clone(&self.free).acquire_owned().await.ok()?;
        let (tell, done) = oneshot::channel();
        let job = move || {
            let result = work();
            drop(place);
            // The caller may have given up.
            let _ = tell.send(result);
        };
        self.jobs.send(Box::new(job)).ok()?;
        done.await.ok()
    }
}

fn work_off(received: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let next = received.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A panic is told to the caller by the answer that never comes; the thread goes on.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_is_done_and_a_panic_harms_nobody_else() {
        let workers = Workers::start(1).unwrap();
        assert_eq!(workers.run(|| 1).await, Some(1));
        let panicked: Option<()> = workers.run(|| panic!("as a broken library may")).await;
        assert_eq!(panicked, None);
        assert_eq!(workers.run(|| 2).await, Some(2));
    }

    #[tokio::test]
    async fn jobs_that_hang_keep_their_places_and_others_wait() {
        let workers = Workers::start(2).unwrap();
        let (release, hang) = mpsc::channel::<()>();
        let hang = Arc::new(Mutex::new(hang));
        let wait = Duration::from_millis(20);
        for _ in 0..2 {
            let hang = Arc::clone(&hang);
            let hanging = workers.run(move || hang.lock().unwrap().recv().is_err());
            assert!(tokio::time::timeout(wait, hanging).await.is_err());
        }
        assert_eq!(workers.free.available_permits(), 0);
        assert!(tokio::time::timeout(wait, workers.run(|| ())).await.is_err());
        drop(release);
        assert_eq!(workers.run(|| 3).await, Some(3));
    }
}
