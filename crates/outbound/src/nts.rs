// SPDX-License-Identifier: Apache-2.0
//! Network Time Security (RFC 8915): asking a time server so that nobody else can answer.
//!
//! In scope: keys ([`exchange`], [`records`]), questions under them ([`packet`]), cookies, and when keys are established anew. Out of scope: the AEAD (crate
//! `keys`); what an answer says of the time ([`crate::sntp`]).
//! Invariants: a cookie is sent once, and taken once; a server is never asked without keys, whatever it says; what does not authenticate ends nothing, and
//! says nothing but why there was no answer.

mod exchange;
mod packet;
mod records;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;
use tokio_rustls::rustls::ClientConfig;
use touchmark_keys::SivKey;

use crate::sntp::{STRAY_DATAGRAMS_MAX, socket_to, unreachable};
use crate::time::{ClockSample, TimeError};
use crate::time_server::NtpServer;
use exchange::establish;
use packet::{ANSWER_BYTES_MAX, Question, Reading};

pub use exchange::KeyExchangeError;
pub use records::RecordsError;

/// The name of the protocol that establishes keys (RFC 8915 §4).
pub(crate) const ALPN: &[u8] = b"ntske/1";
/// Cookies in stock: as many as RFC 8915 §4.1.6 has servers give.
const COOKIES_MAX: usize = 8;
/// The longest cookie: known servers make them of 100 to 200 bytes, and three fit into a question.
const COOKIE_BYTES_MAX: usize = 256;
/// The shortest: an extension field has 16 bytes (RFC 7822 §3), four of them its head.
const COOKIE_BYTES_MIN: usize = 12;
/// Questions with the same keys, at the longest about a day: what is remembered of cookies stays small, and the server proves again who it is.
const QUESTIONS_MAX: usize = 1024;
/// RFC 8915 §4.2: who gets no keys waits before the next try, and longer each time.
const RETRY_MIN: Duration = Duration::from_secs(10);
/// The longest wait. The RFC lets it grow to days; a server that is mended should not be missed for so long.
const RETRY_MAX: Duration = Duration::from_secs(1024);

/// What a server gives, to be sent back: it holds the keys, so that the server need not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Cookie(Vec<u8>);

impl Cookie {
    /// None if it fits into no extension field, or into no datagram beside the rest.
    fn of(bytes: &[u8]) -> Option<Self> {
        let fits = (COOKIE_BYTES_MIN..=COOKIE_BYTES_MAX).contains(&bytes.len()) && bytes.len().is_multiple_of(4);
        fits.then(|| Self(bytes.to_vec()))
    }

    fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Keys that a server and we have, and the cookies that name them to it.
struct Association {
    address: SocketAddr,
    to_server: SivKey,
    to_client: SivKey,
    /// Not sent yet.
    stock: Vec<Cookie>,
    /// Every cookie that ever was in stock.
    seen: HashSet<Cookie>,
    questions: usize,
}

impl Association {
    fn new(address: SocketAddr, to_server: SivKey, to_client: SivKey, cookies: Vec<Cookie>) -> Self {
        let seen = cookies.iter().cloned().collect();
        Self { address, to_server, to_client, stock: cookies, seen, questions: 0 }
    }

    /// A question under a cookie that is gone by it. None if there is no cookie, or enough was asked.
    fn question(&mut self) -> Option<Question> {
        if self.questions == QUESTIONS_MAX {
            return None;
        }
        let cookie = self.stock.pop()?;
        self.questions += 1;
        // The answer brings one in any case.
        let wanted = (COOKIES_MAX - 1).saturating_sub(self.stock.len());
        Some(Question::new(&self.to_server, &cookie, wanted))
    }

    /// Asks, and waits until an answer authenticates or the time is over.
    async fn asked(
        &mut self,
        question: &Question,
        patience: Duration,
        clock_ms: &(dyn Fn() -> u64 + Sync),
    ) -> Result<ClockSample, TimeError> {
        let socket = socket_to(self.address).await?;
        let (sent_ms, sent_at) = (clock_ms(), Instant::now());
        socket.send(&question.datagram).await.map_err(unreachable)?;
        let deadline = tokio::time::Instant::now() + patience;
        let mut why = TimeError::Timeout { after: patience };
        // One byte more than an answer may have shows that it has more.
        let mut datagram = vec![0; ANSWER_BYTES_MAX + 1];
        for _ in 0..STRAY_DATAGRAMS_MAX {
            let Ok(received) = timeout_at(deadline, socket.recv(&mut datagram)).await else { return Err(why) };
            let length = received.map_err(unreachable)?;
            let elapsed = sent_at.elapsed();
            match packet::read(&datagram[..length], question, &self.to_client) {
                Reading::Authentic { answer, cookies } => {
                    self.take(cookies)?;
                    return answer.sample(sent_ms, elapsed, self.address);
                }
                // Anybody can say it: the server may still answer.
                Reading::KeysForgotten => why = TimeError::KeysForgotten,
                Reading::Forged if why != TimeError::KeysForgotten => why = TimeError::NotAuthenticated,
                Reading::Forged | Reading::Stray => {}
            }
        }
        Err(TimeError::NotAuthenticated)
    }

    fn take(&mut self, cookies: Vec<Cookie>) -> Result<(), TimeError> {
        for cookie in cookies {
            if self.seen.contains(&cookie) {
                return Err(TimeError::CookieRepeated);
            }
            if self.stock.len() < COOKIES_MAX {
                self.seen.insert(cookie.clone());
                self.stock.push(cookie);
            }
        }
        Ok(())
    }
}

/// A server with NTS.
pub(crate) struct NtsClient {
    server: NtpServer,
    tls: Arc<ClientConfig>,
    association: Option<Association>,
    /// Exchanges of keys since the last answer that authenticated.
    fruitless: u32,
    /// Before this no keys are asked for.
    wait_until: Option<Instant>,
    /// Why the last question had no answer.
    last: TimeError,
}

impl NtsClient {
    pub(crate) fn new(server: NtpServer, tls: Arc<ClientConfig>) -> Self {
        let last = TimeError::KeysForgotten;
        Self { server, tls, association: None, fruitless: 0, wait_until: None, last }
    }

    /// Asks, with new keys if there are none. Who waits for the next exchange hears again why the last question had no answer.
    pub(crate) async fn ask(
        &mut self,
        clock_ms: &(dyn Fn() -> u64 + Sync),
        patience: Duration,
    ) -> Result<ClockSample, TimeError> {
        let asked = self.asked(clock_ms, patience).await;
        if let Err(error) = &asked {
            self.last = error.clone();
        }
        asked
    }

    async fn asked(
        &mut self,
        clock_ms: &(dyn Fn() -> u64 + Sync),
        patience: Duration,
    ) -> Result<ClockSample, TimeError> {
        let (mut association, question) = self.question().await?;
        let answer = association.asked(&question, patience, clock_ms).await;
        match &answer {
            Err(TimeError::KeysForgotten | TimeError::CookieRepeated) => return answer,
            // Nobody says that these keys are of use.
            Err(
                TimeError::Resolve
                | TimeError::Unreachable { .. }
                | TimeError::Timeout { .. }
                | TimeError::KeyExchange(_)
                | TimeError::NotAuthenticated,
            ) => {}
            Ok(_) | Err(TimeError::KissOfDeath { .. } | TimeError::Unsynchronised | TimeError::Implausible { .. }) => {
                self.fruitless = 0;
            }
        }
        self.association = Some(association);
        answer
    }

    /// The next question, and the keys that it was asked with.
    async fn question(&mut self) -> Result<(Association, Question), TimeError> {
        if let Some(mut association) = self.association.take()
            && let Some(question) = association.question()
        {
            return Ok((association, question));
        }
        if self.wait_until.is_some_and(|until| Instant::now() < until) {
            return Err(self.last.clone());
        }
        let established = establish(&self.server, &self.tls).await;
        self.fruitless = self.fruitless.saturating_add(1);
        self.wait_until = Some(Instant::now() + retry_after(self.fruitless));
        let mut association = established?;
        let question = association.question().expect("keys come with a cookie");
        Ok((association, question))
    }
}

/// How long after an exchange the next one may be, half as long again each time.
fn retry_after(fruitless: u32) -> Duration {
    let mut wait = RETRY_MIN;
    for _ in 1..fruitless {
        if wait >= RETRY_MAX {
            return RETRY_MAX;
        }
        wait += wait / 2;
    }
    wait.min(RETRY_MAX)
}

#[cfg(test)]
mod tests;
