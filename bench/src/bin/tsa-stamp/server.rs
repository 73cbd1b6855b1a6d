// SPDX-License-Identifier: Apache-2.0
//! The process that is measured: `touchmark serve` with a timestamp authority alone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use touchmark_bench::loader::{self, Load};
use touchmark_bench::processes::{Cost, Watched};
use touchmark_sigstore::tsp::verify_token;
use touchmark_sigstore::x509::Certificate;
use touchmark_testing::process::ServerProcess;

use crate::authority::Authority;
use crate::requests;

const TIMESTAMP: &str = "/api/v1/timestamp";

/// A server that is loaded, and whose timestamps are looked at.
pub(crate) struct Measured {
    process: ServerProcess,
    port: u16,
    chain: Vec<Certificate>,
}

impl Measured {
    pub(crate) async fn start(binary: &Path, authority: &Authority) -> Result<Self> {
        let process = ServerProcess::serve(binary, &authority.config, authority.port).await?;
        Ok(Self { process, port: authority.port, chain: authority.chain.clone() })
    }

    pub(crate) async fn closed(&self, clients: usize, span: Duration) -> Result<Cost> {
        let requests = requests::prepared(self.port, TIMESTAMP)?;
        let before = self.watched().cpu()?;
        let load = loader::closed(self.port, 200, clients, span, &requests).await?;
        self.cost(load, before)
    }

    pub(crate) async fn open(&self, per_second: u32, span: Duration) -> Result<Cost> {
        let requests = requests::prepared(self.port, TIMESTAMP)?;
        let before = self.watched().cpu()?;
        let load = loader::open(self.port, 200, per_second, span, &requests).await?;
        self.cost(load, before)
    }

    fn watched(&self) -> Watched {
        Watched::process(self.process.id())
    }

    /// Some of the replies are verified as a client verifies them.
    fn cost(&self, load: Load, before: Duration) -> Result<Cost> {
        let cost = self.watched().cost(load, before)?;
        for reply in &cost.load.samples {
            let number = requests::number_in(reply).context("a reply without the nonce of a request")?;
            verify_token(reply, &requests::message(number), &self.chain).context("a timestamp that is not good")?;
        }
        ensure!(!cost.load.samples.is_empty(), "no reply was looked at");
        Ok(cost)
    }

    pub(crate) async fn stop(self) -> Result<()> {
        ensure!(self.process.stop().await?.success(), "the server did not stop cleanly");
        Ok(())
    }
}
