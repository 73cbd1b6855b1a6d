// SPDX-License-Identifier: Apache-2.0
//! A time server with NTS (RFC 8915) on this machine, honest or not: real TLS, real AEAD.
//!
//! In scope: establishing keys, answering under them, and every way of doing either wrong that a client has to see. Out of scope: the client
//! (`touchmark_outbound`), of which nothing is used here; knowing the time better than the system.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::server::TlsStream;
use touchmark_keys::SivKey;
use zeroize::Zeroizing;

/// The CA of the server's certificate, which is for `localhost`.
pub const CA_PEM: &[u8] = include_bytes!("../../outbound/testdata/ca.pem");
const CHAIN_PEM: &[u8] = include_bytes!("../../outbound/testdata/server.pem");
const KEY_PEM: &[u8] = include_bytes!("../../outbound/testdata/server-key.pem");

const HEADER_BYTES: usize = 48;
const UNIQUE_IDENTIFIER: u16 = 0x0104;
const COOKIE: u16 = 0x0204;
const PLACEHOLDER: u16 = 0x0304;
const AUTHENTICATOR: u16 = 0x0404;
const COOKIES: usize = 8;
const COOKIE_BYTES: usize = 100;

/// What the server does when it is asked for keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    Honest,
    /// Speaks TLS 1.3, and names no protocol.
    NoAlpn,
    /// Speaks TLS 1.2 alone.
    OldTls,
    /// Says these bytes in place of its records.
    Says(Vec<u8>),
    /// Says records without an end.
    Endless,
    /// Hears, and never answers.
    Silent,
    /// Names another place for the time.
    Elsewhere(SocketAddr),
}

/// What it does when it is asked for the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    Honest,
    Silent,
    /// Without a field: as a server that speaks no NTS, or somebody who only saw the question.
    Plain,
    /// With the unique identifier, and no authenticator.
    WithoutAuthenticator,
    /// Sealed, over another unique identifier.
    OtherIdentifier,
    /// Sealed, and the time changed after that.
    TimeChanged,
    /// Sealed, and a byte of the ciphertext changed after that.
    SealChanged,
    /// Sealed with a key of its own.
    OtherKey,
    /// Sealed with the key of the other direction.
    KeyOfQuestions,
    /// The answer to the question before.
    Old,
    /// Sealed, and so long that nobody has to read it.
    Long,
    /// Sealed, with the cookie that came.
    CookieOfQuestion,
    /// Sealed, with no cookie inside, and one behind.
    CookieBehind,
    /// Says that it knows no keys.
    Nak,
    /// The same, and then answers all the same.
    NakFirst,
    /// Forged answers, and then the true one.
    ForgedFirst,
    /// A kiss code, sealed.
    Kiss([u8; 4]),
    /// A kiss code, not sealed.
    KissForged([u8; 4]),
}

/// The server.
pub struct NtsServer {
    exchange: SocketAddr,
    time: SocketAddr,
    state: Arc<State>,
    tasks: [JoinHandle<()>; 2],
}

struct State {
    behaviour: Mutex<(Exchange, Answering, i64)>,
    keys: Mutex<HashMap<Vec<u8>, Arc<Keys>>>,
    seen: Mutex<Seen>,
    time: SocketAddr,
}

struct Keys {
    to_server: SivKey,
    to_client: SivKey,
}

/// What the server saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub exchanges: usize,
    /// Questions that were sealed by the client and opened.
    pub questions: usize,
    /// Questions that were not.
    pub unopened: usize,
    /// Questions with a cookie that had come before.
    pub cookies_reused: usize,
    /// The longest of both.
    pub question_bytes: usize,
    pub answer_bytes: usize,
    cookies: HashSet<Vec<u8>>,
    before: Option<Vec<u8>>,
}

impl Drop for NtsServer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl NtsServer {
    /// Starts an honest one.
    ///
    /// # Errors
    /// This machine gives it no port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (exchange, time) = (listener.local_addr()?, socket.local_addr()?);
        let behaviour = Mutex::new((Exchange::Honest, Answering::Honest, 0));
        let state = Arc::new(State { behaviour, keys: Mutex::default(), seen: Mutex::default(), time });
        let tasks = [
            tokio::spawn(Arc::clone(&state).establish(listener)),
            tokio::spawn(Arc::clone(&state).say_the_time(socket)),
        ];
        Ok(Self { exchange, time, state, tasks })
    }

    /// As a configuration names it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("nts://localhost:{}", self.exchange.port())
    }

    /// Where it says the time.
    #[must_use]
    pub fn time_address(&self) -> SocketAddr {
        self.time
    }

    /// From now on.
    pub fn exchange(&self, exchange: Exchange) {
        lock(&self.state.behaviour).0 = exchange;
    }

    /// From now on.
    pub fn answer(&self, answering: Answering) {
        lock(&self.state.behaviour).1 = answering;
    }

    /// How far its time is off, in milliseconds, from now on.
    pub fn off_by(&self, off_ms: i64) {
        lock(&self.state.behaviour).2 = off_ms;
    }

    /// Forgets all keys, as a server that was started anew.
    pub fn forget(&self) {
        lock(&self.state.keys).clear();
    }

    #[must_use]
    pub fn seen(&self) -> Seen {
        lock(&self.state.seen).clone()
    }
}

impl State {
    async fn establish(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let state = Arc::clone(&self);
            tokio::spawn(async move { state.exchanged(stream).await });
        }
    }

    /// A client that hangs up is one of those that tests are about.
    async fn exchanged(&self, stream: TcpStream) -> Option<()> {
        lock(&self.seen).exchanges += 1;
        let (exchange, ..) = lock(&self.behaviour).clone();
        let mut stream = TlsAcceptor::from(tls(&exchange)?).accept(stream).await.ok()?;
        let mut request = [0; 256];
        let _ = stream.read(&mut request).await.ok()?;
        let answer = match exchange {
            Exchange::Honest | Exchange::NoAlpn | Exchange::OldTls => self.records(&stream, self.time)?,
            Exchange::Elsewhere(time) => self.records(&stream, time)?,
            Exchange::Says(bytes) => bytes,
            Exchange::Silent => {
                std::future::pending::<()>().await;
                Vec::new()
            }
            Exchange::Endless => {
                while stream.write_all(&record(0x4000, &[0; 1000])).await.is_ok() {}
                Vec::new()
            }
        };
        stream.write_all(&answer).await.ok()?;
        stream.shutdown().await.ok()
    }

    fn records(&self, stream: &TlsStream<TcpStream>, time: SocketAddr) -> Option<Vec<u8>> {
        let key = |direction| {
            let mut key = Zeroizing::new([0; 32]);
            let context = [0, 0, 0, 15, direction];
            let (_, connection) = stream.get_ref();
            let label = b"EXPORTER-network-time-security";
            connection.export_keying_material(key.as_mut_slice(), label, Some(&context)).ok()?;
            Some(SivKey::new(key))
        };
        let keys = Arc::new(Keys { to_server: key(0)?, to_client: key(1)? });
        let mut records = vec![record(0x8001, &[0, 0]), record(0x8004, &[0, 15])];
        records.extend((0..COOKIES).map(|_| record(5, &self.cookie(&keys))));
        records.push(record(6, time.ip().to_string().as_bytes()));
        records.push(record(7, &time.port().to_be_bytes()));
        records.push(record(0x8000, &[]));
        Some(records.concat())
    }

    /// A new cookie. The table of the server is what a real one encrypts into it.
    fn cookie(&self, keys: &Arc<Keys>) -> Vec<u8> {
        let cookie = random::<COOKIE_BYTES>().to_vec();
        lock(&self.keys).insert(cookie.clone(), Arc::clone(keys));
        cookie
    }

    async fn say_the_time(self: Arc<Self>, socket: UdpSocket) {
        let mut datagram = vec![0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            for answer in self.answers(&datagram[..length]) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    }

    fn answers(&self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let (_, answering, off_ms) = *lock(&self.behaviour);
        let Some(question) = Question::of(datagram) else { return Vec::new() };
        let keys = lock(&self.keys).get(question.cookie).map(Arc::clone);
        let opened = keys.filter(|keys| question.is_sealed_by(&keys.to_server));
        self.note(&question, opened.is_some());
        let Some(keys) = opened else { return vec![question.kiss(*b"NTSN")] };
        let honest = || {
            let cookies = (0..=question.placeholders).map(|_| self.cookie(&keys)).collect();
            Answer { question: &question, off_ms, stratum: 1, reference: [0; 4], cookies }
        };
        let sealed = honest().sealed(&keys.to_client);
        let answers = wrong(answering, &question, &keys, &honest, &sealed, self.before(&sealed));
        let longest = answers.iter().map(Vec::len).max().unwrap_or(0);
        let mut seen = lock(&self.seen);
        seen.answer_bytes = seen.answer_bytes.max(longest);
        answers
    }

    fn before(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        lock(&self.seen).before.replace(sealed.to_vec())
    }

    fn note(&self, question: &Question<'_>, opened: bool) {
        let mut seen = lock(&self.seen);
        let new = seen.cookies.insert(question.cookie.to_vec());
        seen.cookies_reused += usize::from(!new);
        seen.questions += usize::from(opened);
        seen.unopened += usize::from(!opened);
        seen.question_bytes = seen.question_bytes.max(question.datagram.len());
    }
}

/// The answers of a server that behaves so.
fn wrong<'q>(
    answering: Answering,
    question: &Question<'q>,
    keys: &Keys,
    honest: &dyn Fn() -> Answer<'q, 'q>,
    sealed: &[u8],
    before: Option<Vec<u8>>,
) -> Vec<Vec<u8>> {
    let changed = |at: usize| {
        let mut changed = sealed.to_vec();
        changed[at] ^= 1;
        changed
    };
    let plain = || honest().header();
    let identified = |identifier: &[u8]| [plain(), field(UNIQUE_IDENTIFIER, identifier)].concat();
    vec![match answering {
        Answering::Honest => sealed.to_vec(),
        Answering::Silent => return Vec::new(),
        Answering::Plain => plain(),
        Answering::WithoutAuthenticator => identified(question.identifier),
        Answering::OtherIdentifier => seal(identified(&random::<32>()), &[], &keys.to_client),
        Answering::TimeChanged => changed(43),
        Answering::SealChanged => changed(sealed.len() - 1),
        Answering::OtherKey => honest().sealed(&SivKey::new(Zeroizing::new(random()))),
        Answering::KeyOfQuestions => honest().sealed(&keys.to_server),
        Answering::Old => match before {
            // With what a client looks at first, so that the seal alone says what it is.
            Some(mut old) => {
                old[24..32].copy_from_slice(&question.datagram[40..48]);
                old
            }
            None => return Vec::new(),
        },
        Answering::Long => {
            let padding = (0..4).map(|_| field(0x7f00, &[0; 1024]));
            let long = identified(question.identifier).into_iter().chain(padding.flatten()).collect();
            seal(long, &[], &keys.to_client)
        }
        Answering::CookieOfQuestion => {
            Answer { cookies: vec![question.cookie.to_vec()], ..honest() }.sealed(&keys.to_client)
        }
        Answering::CookieBehind => {
            let cookies = honest().cookies;
            let without = Answer { cookies: Vec::new(), ..honest() }.sealed(&keys.to_client);
            [without, field(COOKIE, &cookies[0])].concat()
        }
        Answering::Nak => question.kiss(*b"NTSN"),
        Answering::NakFirst => return vec![question.kiss(*b"NTSN"), sealed.to_vec()],
        Answering::ForgedFirst => return vec![plain(), changed(43), question.kiss(*b"DENY"), sealed.to_vec()],
        Answering::Kiss(code) => Answer { stratum: 0, reference: code, ..honest() }.sealed(&keys.to_client),
        Answering::KissForged(code) => question.kiss(code),
    }]
}

struct Question<'d> {
    datagram: &'d [u8],
    identifier: &'d [u8],
    cookie: &'d [u8],
    placeholders: usize,
    /// Where the authenticator begins, and what is in it.
    authenticator: (usize, &'d [u8]),
}

impl<'d> Question<'d> {
    fn of(datagram: &'d [u8]) -> Option<Self> {
        let mut question = Self { datagram, identifier: &[], cookie: &[], placeholders: 0, authenticator: (0, &[]) };
        let mut at = HEADER_BYTES;
        while let Some(head) = datagram.get(at..at + 4) {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let body = datagram.get(at + 4..at + length)?;
            match u16::from_be_bytes([head[0], head[1]]) {
                UNIQUE_IDENTIFIER => question.identifier = body,
                COOKIE => question.cookie = body,
                PLACEHOLDER if body.len() == question.cookie.len() => question.placeholders += 1,
                AUTHENTICATOR => question.authenticator = (at, body),
                _ => return None,
            }
            at += length;
        }
        (question.authenticator.0 > 0).then_some(question)
    }

    fn is_sealed_by(&self, key: &SivKey) -> bool {
        let (at, body) = self.authenticator;
        let length = |at: usize| usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
        let (nonce, sealed) = body[4..].split_at(length(0));
        key.open(&[&self.datagram[..at], nonce], &sealed[..length(2)]).is_ok()
    }

    /// What is not sealed, because there are no keys, or somebody else says it.
    fn kiss(&self, code: [u8; 4]) -> Vec<u8> {
        let answer = Answer { question: self, off_ms: 0, stratum: 0, reference: code, cookies: Vec::new() };
        [answer.header(), field(UNIQUE_IDENTIFIER, self.identifier)].concat()
    }
}

struct Answer<'q, 'd> {
    question: &'q Question<'d>,
    off_ms: i64,
    stratum: u8,
    reference: [u8; 4],
    cookies: Vec<Vec<u8>>,
}

impl Answer<'_, '_> {
    fn header(&self) -> Vec<u8> {
        let mut header = vec![0; HEADER_BYTES];
        header[..2].copy_from_slice(&[4 << 3 | 4, self.stratum]);
        header[12..16].copy_from_slice(&self.reference);
        header[24..32].copy_from_slice(&self.question.datagram[40..48]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let says_ms = i64::try_from(now.as_millis()).unwrap_or(0) + self.off_ms;
        let seconds = says_ms.div_euclid(1000) + 2_208_988_800;
        let fraction = (says_ms.rem_euclid(1000) << 32) / 1000;
        let stamp = ((seconds << 32) | fraction).to_be_bytes();
        header[32..40].copy_from_slice(&stamp);
        header[40..48].copy_from_slice(&stamp);
        header
    }

    fn sealed(&self, key: &SivKey) -> Vec<u8> {
        let head = [self.header(), field(UNIQUE_IDENTIFIER, self.question.identifier)].concat();
        seal(head, &self.cookies.iter().map(|cookie| field(COOKIE, cookie)).collect::<Vec<_>>().concat(), key)
    }
}

fn seal(head: Vec<u8>, plaintext: &[u8], key: &SivKey) -> Vec<u8> {
    let nonce: [u8; 16] = random();
    let sealed = key.seal(&[&head, &nonce], plaintext).unwrap_or_default();
    let lengths = [two_bytes(nonce.len()), two_bytes(sealed.len())].concat();
    [head, field(AUTHENTICATOR, &[&lengths[..], &nonce, &sealed].concat())].concat()
}

fn field(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut padded = body.to_vec();
    padded.resize(body.len().next_multiple_of(4), 0);
    [&kind.to_be_bytes()[..], &two_bytes(4 + padded.len()), &padded].concat()
}

fn record(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &two_bytes(body.len()), body].concat()
}

fn two_bytes(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    touchmark_keys::random(&mut bytes);
    bytes
}

fn tls(exchange: &Exchange) -> Option<Arc<ServerConfig>> {
    let versions = if *exchange == Exchange::OldTls { &[&TLS12] } else { &[&TLS13] };
    let chain = CertificateDer::pem_slice_iter(CHAIN_PEM).collect::<Result<Vec<_>, _>>().ok()?;
    let key = PrivateKeyDer::from_pem_slice(KEY_PEM).ok()?;
    let config = ServerConfig::builder_with_protocol_versions(versions).with_no_client_auth();
    let mut config = config.with_single_cert(chain, key).ok()?;
    if *exchange != Exchange::NoAlpn {
        config.alpn_protocols = vec![b"ntske/1".to_vec()];
    }
    Some(Arc::new(config))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
