// SPDX-License-Identifier: Apache-2.0
//! The section `[tsa]`: its values to what the timestamp authority is made of.
//!
//! In scope: paths, and the rules between its keys. Out of scope: what policies and time servers are for (`crate::tsa`).

use std::path::PathBuf;
use std::time::Duration;

use touchmark_outbound::{NtpServer, TimeProtocol};

use super::{ConfigError, PREVIOUS_CHAINS_MAX, Reading, TsaRole, address_limit, file, invalid};
use crate::tsa::{ClockPlace, Embedded, POLL_DEFAULT, POLL_MAX, POLL_MIN, Policies, SERVERS_MAX};

/// Where times are kept if the file does not say it.
const TIME_FILE: &str = "tsa-last-time";

impl Reading<'_> {
    pub(super) fn tsa(&self, role: file::Tsa) -> Result<TsaRole, ConfigError> {
        if role.previous_chains.len() > PREVIOUS_CHAINS_MAX {
            return Err(invalid("tsa.previous_chains", "names more than 16 chains"));
        }
        let policies =
            role.policies.map(|policies| Policies::new(policies).map_err(|problem| invalid("tsa.policies", problem)));
        Ok(TsaRole {
            listen: self.listen("tsa", role.listen)?,
            key: self.signer("tsa.key", &role.key)?,
            chain: self.path(role.chain),
            previous_chains: role.previous_chains.into_iter().map(|path| self.path(path)).collect(),
            policies: policies.transpose()?.unwrap_or_default(),
            embedded: if role.chain_in_tokens { Embedded::Chain } else { Embedded::Leaf },
            time_file: self.path(role.time_file.unwrap_or_else(|| PathBuf::from(TIME_FILE))),
            audit_log: role.audit_log.map(|path| self.path(path)),
            rate_limit: address_limit(
                "tsa.rate_limit.trusted_proxies",
                role.rate_limit.address_per_minute,
                role.rate_limit.trusted_proxies,
            )?,
            clock: role.clock.map(|clock| self.clock(clock)).transpose()?,
        })
    }

    fn clock(&self, clock: file::TsaClock) -> Result<ClockPlace, ConfigError> {
        let servers = time_servers(&clock.servers)?;
        let (count, nts) =
            (servers.len(), servers.iter().filter(|server| server.protocol() == TimeProtocol::Nts).count());
        if clock.nts_only && nts < count {
            return Err(invalid("tsa.clock.servers", "must all begin with `nts://`, because `nts_only` is set"));
        }
        if clock.ca_file.is_some() && nts == 0 {
            return Err(invalid("tsa.clock.ca_file", "is for servers that begin with `nts://`, and there is none"));
        }
        let agreeing = clock.agreeing.unwrap_or(count / 2 + 1);
        if agreeing > count || agreeing * 2 <= count {
            return Err(invalid("tsa.clock.agreeing", "must be more than half of `servers`, and not more than all"));
        }
        let poll = clock.poll_s.map_or(POLL_DEFAULT, Duration::from_secs);
        if !(POLL_MIN..=POLL_MAX).contains(&poll) {
            return Err(invalid("tsa.clock.poll_s", "must be 16 to 1024"));
        }
        Ok(ClockPlace { servers, agreeing, poll, ca_file: clock.ca_file.map(|path| self.path(path)) })
    }
}

fn time_servers(texts: &[String]) -> Result<Vec<NtpServer>, ConfigError> {
    if texts.is_empty() || texts.len() > SERVERS_MAX {
        return Err(invalid("tsa.clock.servers", "must name 1 to 16 time servers"));
    }
    let mut servers: Vec<NtpServer> = Vec::with_capacity(texts.len());
    for text in texts {
        let problem = "must be host names or addresses, with a port if it is not 123, such as `time.example.com` or `[2001:db8::1]:123`, or the same after `nts://`, with a port if it is not 4460";
        let server = NtpServer::parse(text).map_err(|_| invalid("tsa.clock.servers", problem))?;
        if servers.iter().any(|other| other.is_one_with(&server)) {
            return Err(invalid("tsa.clock.servers", "names a server twice: it would have two votes"));
        }
        servers.push(server);
    }
    Ok(servers)
}
