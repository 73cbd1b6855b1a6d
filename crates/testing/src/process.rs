// SPDX-License-Identifier: Apache-2.0
//! A `touchmark up` or `touchmark serve` of a real process: started on a free port, awaited, stopped politely or killed.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use touchmark_outbound::{Limits, Outbound, Reach};
use url::Url;

/// How long a start may take before the test fails.
pub const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a stop after SIGTERM may take before the test fails.
pub const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A server process that dies with this value.
pub struct ServerProcess {
    process: Child,
    url: Url,
    /// From spawning the process to the first good answer of `/readyz`.
    ready_after: Duration,
}

/// Why a server process could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The operating system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server ended by itself.
    #[error("the server ended before it was ready: {status}; it said:\n{log}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// What it had printed.
        log: String,
    },
    /// The server did not become ready or did not stop in time.
    #[error("{what} took longer than {limit:?}")]
    TooSlow {
        /// What was awaited.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> ProcessError {
    move |source| ProcessError::System { what, source }
}

impl ServerProcess {
    /// Starts `binary up` on `port` with this data directory and waits until it is ready. What it prints is appended to `<data_dir>.log`.
    pub async fn start(binary: &Path, data_dir: &Path, port: u16) -> Result<Self, ProcessError> {
        Self::start_with(binary, data_dir, port, &[]).await
    }

    /// The same with further arguments.
    pub async fn start_with(
        binary: &Path,
        data_dir: &Path,
        port: u16,
        arguments: &[&OsStr],
    ) -> Result<Self, ProcessError> {
        let mut command = Command::new(binary);
        command.args(["up", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"]).arg(data_dir).args(arguments);
        Self::launch(command, &log_path(data_dir), port).await
    }

    /// Starts `binary serve` with this configuration file, which names `port` of the loopback address, and waits until it is ready. What it prints is
    /// appended to `<config>.log`.
    pub async fn serve(binary: &Path, config: &Path, port: u16) -> Result<Self, ProcessError> {
        let mut command = Command::new(binary);
        command.args(["serve", "--config"]).arg(config);
        Self::launch(command, &log_path(config), port).await
    }

    async fn launch(mut command: Command, log_path: &Path, port: u16) -> Result<Self, ProcessError> {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(log_path).map_err(system("open the log"))?;
        let begun = Instant::now();
        let process = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(system("open the log"))?)
            .stderr(log)
            .spawn()
            .map_err(system("start the server"))?;
        let url = Url::parse(&format!("http://127.0.0.1:{port}")).expect("a loopback address and a port make a URL");
        let mut server = Self { process, url, ready_after: Duration::ZERO };
        let readyz = server.url.join("/readyz").expect("a constant path joins");
        let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
        while begun.elapsed() < READY_WITHIN {
            if let Some(status) = server.process.try_wait().map_err(system("ask for the server's state"))? {
                let log = std::fs::read_to_string(log_path).unwrap_or_default();
                return Err(ProcessError::Ended { status, log });
            }
            if outbound.get(&readyz, &Limits::SERVICE).await.is_ok_and(|reply| reply.status == 200) {
                server.ready_after = begun.elapsed();
                return Ok(server);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(ProcessError::TooSlow { what: "the start", limit: READY_WITHIN })
    }

    /// The base URL of the services.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How long it took from spawning the process to a ready service.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// The operating system's id of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL: no destructor, no flush, nothing runs any more.
    pub fn kill(mut self) -> Result<(), ProcessError> {
        self.process.kill().map_err(system("kill the server"))?;
        self.process.wait().map_err(system("wait for the server"))?;
        Ok(())
    }

    /// SIGHUP: a `serve` reads its configuration again. What came of it stands in its log.
    pub fn hang_up(&self) -> Result<(), ProcessError> {
        let id = self.process.id().to_string();
        Command::new("kill").args(["-HUP", &id]).status().map_err(system("send SIGHUP")).map(|_| ())
    }

    /// SIGTERM, then waits for the end.
    pub async fn stop(mut self) -> Result<ExitStatus, ProcessError> {
        let id = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().map_err(system("send SIGTERM"))?;
        let begun = Instant::now();
        while begun.elapsed() < STOP_WITHIN {
            if let Some(status) = self.process.try_wait().map_err(system("wait for the server"))? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(ProcessError::TooSlow { what: "the stop", limit: STOP_WITHIN })
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // A failing test must not leave a server behind; one that ended already is the usual case.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where a server's output goes.
pub fn log_path(data_dir: &Path) -> PathBuf {
    data_dir.with_extension("log")
}

/// Ports below the range from which systems take the near end of outgoing connections (32768 and up on Linux): a client that
/// knocks at a server that is down can take a port of that range itself, even the server's own.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How many ports are tried.
const PORT_TRIES: u16 = 500;

/// A port of the loopback address that nobody listens on now, and that no outgoing connection will take. So is the next one, where the try-out
/// issuer of `up` goes: no other call gets it, for the issuer wants it again after a restart.
pub fn free_port() -> Result<u16, ProcessError> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = PORTS.end - PORTS.start;
    // Processes that run at the same time begin at different places.
    let begin = u16::try_from(std::process::id() % u32::from(span)).expect("a remainder is below its divisor");
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let step = NEXT.fetch_add(2, Ordering::Relaxed) % span;
        let offset = (u32::from(begin) * 16 + u32::from(step)) % u32::from(span);
        let port = PORTS.start + u16::try_from(offset).expect("a remainder is below its divisor");
        let both = TcpListener::bind(("127.0.0.1", port)).and_then(|_| TcpListener::bind(("127.0.0.1", port + 1)));
        match both {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    Err(system("find a free port")(last.expect("at least one port was tried")))
}
