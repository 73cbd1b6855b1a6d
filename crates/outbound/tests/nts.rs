// SPDX-License-Identifier: Apache-2.0
//! Time servers with NTS on this machine, honest and of every other kind (RFC 8915).

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use touchmark_outbound::{ClockSample, KeyExchangeError, NtpServer, TimeError, TimeRoots, TimeSource};
use touchmark_testing::nts::{Answering, CA_PEM, Exchange, NtsServer};

const PATIENCE: Duration = Duration::from_secs(20);
/// For what never comes.
const SHORT: Duration = Duration::from_millis(150);

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn client(server: &NtsServer) -> TimeSource {
    TimeSource::new(NtpServer::parse(&server.name()).unwrap(), &TimeRoots::of_pem(CA_PEM).unwrap())
}

async fn ask(client: &mut TimeSource, patience: Duration) -> Result<ClockSample, TimeError> {
    client.ask(&now_ms, patience).await
}

#[tokio::test]
async fn a_server_is_asked_with_the_same_keys_and_never_twice_with_a_cookie() {
    let server = NtsServer::start().await.unwrap();
    server.off_by(5000);
    let mut client = client(&server);
    for _ in 0..20 {
        let sample = ask(&mut client, PATIENCE).await.unwrap();
        assert_eq!(sample.server, server.time_address());
        assert!((sample.offset_us - 5_000_000).unsigned_abs() <= sample.error_us + 1000, "{sample:?}");
    }
    let seen = server.seen();
    assert_eq!((seen.exchanges, seen.questions, seen.unopened, seen.cookies_reused), (1, 20, 0, 0));
    assert!(seen.answer_bytes <= seen.question_bytes && seen.question_bytes <= 1232, "{seen:?}");
}

#[tokio::test]
async fn no_answer_counts_that_is_not_the_servers_to_this_question() {
    let server = NtsServer::start().await.unwrap();
    let mut client = client(&server);
    assert!(ask(&mut client, PATIENCE).await.is_ok());
    for answering in [
        Answering::Plain,
        Answering::WithoutAuthenticator,
        Answering::OtherIdentifier,
        Answering::TimeChanged,
        Answering::SealChanged,
        Answering::OtherKey,
        Answering::KeyOfQuestions,
        Answering::Old,
        Answering::Long,
        Answering::KissForged(*b"DENY"),
    ] {
        server.answer(answering);
        assert_eq!(ask(&mut client, SHORT).await, Err(TimeError::NotAuthenticated), "{answering:?}");
        server.answer(Answering::Honest);
        assert!(ask(&mut client, PATIENCE).await.is_ok(), "after {answering:?}");
    }
    server.answer(Answering::Silent);
    assert_eq!(ask(&mut client, SHORT).await, Err(TimeError::Timeout { after: SHORT }));
    for answering in [Answering::ForgedFirst, Answering::NakFirst] {
        server.answer(answering);
        assert!(ask(&mut client, PATIENCE).await.is_ok(), "{answering:?} ends nothing");
    }
    server.answer(Answering::Kiss(*b"RATE"));
    assert_eq!(ask(&mut client, PATIENCE).await, Err(TimeError::KissOfDeath { code: *b"RATE" }));
    let seen = server.seen();
    assert_eq!((seen.exchanges, seen.unopened, seen.cookies_reused), (1, 0, 0), "all of it with the same keys");
}

#[tokio::test]
async fn cookies_that_are_not_new_or_not_sealed_are_not_taken() {
    let server = NtsServer::start().await.unwrap();
    let mut client = client(&server);
    assert!(ask(&mut client, PATIENCE).await.is_ok());
    server.answer(Answering::CookieOfQuestion);
    assert_eq!(ask(&mut client, PATIENCE).await, Err(TimeError::CookieRepeated));
    // The keys are gone with it, and new ones are not asked for at once.
    assert_eq!(ask(&mut client, PATIENCE).await, Err(TimeError::CookieRepeated));

    let mut client = self::client(&server);
    server.answer(Answering::CookieBehind);
    for _ in 0..8 {
        assert!(ask(&mut client, PATIENCE).await.is_ok());
    }
    assert_eq!(server.seen().exchanges, 2);
    assert!(ask(&mut client, PATIENCE).await.is_err(), "eight cookies, eight questions");
    assert_eq!(server.seen().cookies_reused, 0);
}

#[tokio::test]
async fn a_server_that_forgot_the_keys_is_asked_for_new_ones_and_never_without() {
    let server = NtsServer::start().await.unwrap();
    let mut client = client(&server);
    assert!(ask(&mut client, PATIENCE).await.is_ok());
    server.forget();
    assert_eq!(ask(&mut client, SHORT).await, Err(TimeError::KeysForgotten));
    // An exchange was made a moment ago.
    assert_eq!(ask(&mut client, SHORT).await, Err(TimeError::KeysForgotten));
    let seen = server.seen();
    assert_eq!((seen.exchanges, seen.questions, seen.unopened), (1, 1, 1));
    let mut another = self::client(&server);
    server.answer(Answering::Nak);
    assert_eq!(ask(&mut another, SHORT).await, Err(TimeError::KeysForgotten));
}

#[tokio::test]
async fn silence_uses_cookies_up_and_then_nothing_is_asked() {
    let server = NtsServer::start().await.unwrap();
    let mut client = client(&server);
    server.answer(Answering::Silent);
    for _ in 0..10 {
        assert_eq!(ask(&mut client, SHORT).await, Err(TimeError::Timeout { after: SHORT }));
    }
    let seen = server.seen();
    assert_eq!((seen.exchanges, seen.questions, seen.cookies_reused), (1, 8, 0));
}

#[tokio::test]
async fn without_the_right_keys_nothing_is_asked() {
    let roots = TimeRoots::of_pem(CA_PEM).unwrap();
    for exchange in [
        Exchange::NoAlpn,
        Exchange::OldTls,
        Exchange::Endless,
        Exchange::Says(Vec::new()),
        Exchange::Says(vec![0x80, 0x02, 0, 2, 0, 1, 0x80, 0, 0, 0]),
        Exchange::Says(vec![0x80, 0x01, 0, 2, 0, 0, 0x80, 0x04, 0, 2, 0, 15, 0x80, 0, 0, 0]),
    ] {
        let server = NtsServer::start().await.unwrap();
        server.exchange(exchange.clone());
        let mut client = client(&server);
        for _ in 0..2 {
            let error = ask(&mut client, PATIENCE).await.unwrap_err();
            let TimeError::KeyExchange(error) = error else { panic!("{exchange:?}: {error}") };
            match (&exchange, &error) {
                (Exchange::NoAlpn, KeyExchangeError::Alpn)
                | (Exchange::OldTls, KeyExchangeError::Tls(_))
                | (Exchange::Endless | Exchange::Says(_), KeyExchangeError::Records(_)) => {}
                (exchange, error) => panic!("{exchange:?}: {error}"),
            }
        }
        let seen = server.seen();
        assert_eq!((seen.exchanges, seen.questions + seen.unopened), (1, 0), "{exchange:?}: asked again too soon");
    }
    // Of another name, or by nobody's certificate.
    let server = NtsServer::start().await.unwrap();
    let by_address = server.name().replace("localhost", "127.0.0.1");
    for (name, roots) in [(by_address, roots.clone()), (server.name(), TimeRoots::none())] {
        let mut client = TimeSource::new(NtpServer::parse(&name).unwrap(), &roots);
        let refused = ask(&mut client, PATIENCE).await;
        assert!(matches!(refused, Err(TimeError::KeyExchange(KeyExchangeError::Tls(_)))), "{refused:?}");
    }
    // That nobody listens is told apart.
    let name = server.name();
    drop(server);
    let mut client = TimeSource::new(NtpServer::parse(&name).unwrap(), &roots);
    let refused = ask(&mut client, PATIENCE).await;
    assert!(matches!(refused, Err(TimeError::KeyExchange(_))), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = NtsServer::start().await.unwrap();
    server.exchange(Exchange::Silent);
    let given_up = ask(&mut client(&server), PATIENCE).await;
    assert!(matches!(given_up, Err(TimeError::KeyExchange(KeyExchangeError::Timeout { .. }))), "{given_up:?}");
}

#[tokio::test]
async fn the_time_is_asked_where_the_exchange_says() {
    let (keys, time) = (NtsServer::start().await.unwrap(), NtsServer::start().await.unwrap());
    keys.exchange(Exchange::Elsewhere(time.time_address()));
    let mut client = client(&keys);
    // The other server does not know the keys of this one.
    assert_eq!(ask(&mut client, SHORT).await, Err(TimeError::KeysForgotten));
    assert_eq!((time.seen().unopened, keys.seen().questions), (1, 0));
}

#[test]
fn roots_that_are_none_are_refused() {
    assert!(TimeRoots::of_pem(b"").is_err());
    assert!(TimeRoots::of_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    assert!(TimeRoots::of_pem(CA_PEM).is_ok());
}
