// SPDX-License-Identifier: Apache-2.0
//! Time servers on this machine: honest, wrong, late, silent, and of another mind.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use touchmark_testing::nts::{Answering, CA_PEM, NtsServer};

use super::*;
use crate::metrics::Metrics;

/// A clock that is off by as much as the test wants.
struct Skewed(AtomicI64);

impl Clock for Skewed {
    fn now_ms(&self) -> u64 {
        (true_ms() + self.0.load(Ordering::SeqCst)).unsigned_abs()
    }
}

fn true_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What a server does with a question.
#[derive(Clone, Copy)]
enum Manner {
    /// Says the time, off by so many milliseconds.
    Off(i64),
    /// Says the right time as of when it was asked, so late.
    Late(Duration),
    /// Says how wrong it may be, in 1/65536 s.
    Vague(u32),
    Silent,
    Kiss([u8; 4]),
    /// Repeats other bytes than it was sent.
    Forging,
}

struct Server {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    questions: Arc<AtomicI64>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(manner: Manner) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let (manner, questions) = (Arc::new(Mutex::new(manner)), Arc::new(AtomicI64::new(0)));
        let (asked, count) = (Arc::clone(&manner), Arc::clone(&questions));
        let task = tokio::spawn(async move {
            loop {
                let mut question = [0; 48];
                let (_, from) = socket.recv_from(&mut question).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let manner = *asked.lock().unwrap();
                if let Some(answer) = answer(&question, manner).await {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        Self { address, manner, questions, task }
    }

    fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn questions(&self) -> i64 {
        self.questions.load(Ordering::SeqCst)
    }
}

async fn answer(question: &[u8; 48], manner: Manner) -> Option<[u8; 48]> {
    let mut answer = [0; 48];
    answer[..2].copy_from_slice(&[4 << 3 | 4, 1]);
    answer[24..32].copy_from_slice(&question[40..]);
    let mut says_ms = true_ms();
    match manner {
        Manner::Off(off_ms) => says_ms += off_ms,
        Manner::Late(by) => tokio::time::sleep(by).await,
        Manner::Vague(dispersion) => answer[8..12].copy_from_slice(&dispersion.to_be_bytes()),
        Manner::Silent => return None,
        Manner::Kiss(code) => {
            answer[1] = 0;
            answer[12..16].copy_from_slice(&code);
        }
        Manner::Forging => answer[24] ^= 1,
    }
    let seconds = says_ms.div_euclid(1000) + 2_208_988_800;
    let fraction = (says_ms.rem_euclid(1000) << 32) / 1000;
    let stamp = ((seconds << 32) | fraction).to_be_bytes();
    answer[32..40].copy_from_slice(&stamp);
    answer[40..48].copy_from_slice(&stamp);
    Some(answer)
}

struct Watched {
    watch: Arc<ClockWatch>,
    clock: Arc<Skewed>,
    askable: Vec<Askable>,
}

impl Watched {
    fn of(servers: &[Server], agreeing: usize) -> Self {
        let names: Vec<String> = servers.iter().map(|server| server.address.to_string()).collect();
        Self::named(&names, agreeing)
    }

    fn named(names: &[String], agreeing: usize) -> Self {
        let servers = names.iter().map(|name| NtpServer::parse(name).unwrap()).collect();
        let clock = Arc::new(Skewed(AtomicI64::new(0)));
        let place = ClockPlace { servers, agreeing, poll: POLL_DEFAULT, ca_file: None };
        let servers = TimeServers { place, roots: TimeRoots::of_pem(CA_PEM).unwrap() };
        let watch = ClockWatch::new(servers, Arc::clone(&clock) as Arc<dyn Clock>, Metrics::new().tsa());
        let askable = watch.askable();
        Self { watch, clock, askable }
    }

    async fn round(&mut self) -> Result<(), Distrust> {
        self.watch.round(&mut self.askable).await;
        self.watch.check()
    }

    fn move_clock(&self, by_ms: i64) {
        self.clock.0.fetch_add(by_ms, Ordering::SeqCst);
    }
}

async fn servers<const N: usize>(manners: [Manner; N]) -> Vec<Server> {
    join_all(manners.map(Server::start)).await
}

#[tokio::test]
async fn nothing_is_believed_before_enough_servers_agree() {
    let servers = servers([Manner::Off(20), Manner::Off(-300), Manner::Off(5000)]).await;
    let mut watched = Watched::of(&servers, 2);
    assert_eq!(watched.watch.check(), Err(Distrust::Unknown));
    assert_eq!(watched.round().await, Ok(()));
    let mut strict = Watched::of(&servers, 3);
    let contradicted = Distrust::Contradicted { contradicting: 1, confirming: 2, asked: 3, needed: 3 };
    assert_eq!(strict.round().await, Err(contradicted));
}

#[tokio::test]
async fn a_clock_that_drifts_away_stops_and_goes_on_when_it_is_right_again() {
    let servers = servers([Manner::Off(0), Manner::Off(10), Manner::Off(-10)]).await;
    let mut watched = Watched::of(&servers, 2);
    assert_eq!(watched.round().await, Ok(()));
    for server in &servers {
        server.behave(Manner::Off(1200));
    }
    let wrong = Distrust::Contradicted { contradicting: 3, confirming: 0, asked: 3, needed: 2 };
    assert_eq!(watched.round().await, Err(wrong));
    assert_eq!(watched.watch.check(), Err(wrong), "it stays so until servers agree again");
    watched.move_clock(1200);
    assert_eq!(watched.watch.check(), Err(wrong));
    assert_eq!(watched.round().await, Ok(()));
}

#[tokio::test]
async fn one_lying_server_changes_nothing_and_a_lying_majority_stops() {
    let servers = servers([Manner::Off(0), Manner::Off(0), Manner::Off(3_600_000)]).await;
    let mut watched = Watched::of(&servers, 2);
    assert_eq!(watched.round().await, Ok(()));
    servers[1].behave(Manner::Off(-3_600_000));
    assert!(matches!(watched.round().await, Err(Distrust::Contradicted { contradicting: 2, confirming: 1, .. })));
}

#[tokio::test]
async fn answers_that_come_late_or_are_vague_or_forged_confirm_nothing_and_contradict_nothing() {
    let manners = [Manner::Late(Duration::from_millis(2500)), Manner::Vague(0x0002_0000), Manner::Forging];
    let servers = servers(manners).await;
    let mut watched = Watched::of(&servers, 2);
    assert_eq!(watched.round().await, Err(Distrust::Unknown));
    for server in &servers {
        server.behave(Manner::Off(0));
    }
    assert_eq!(watched.round().await, Ok(()));
    servers[0].behave(Manner::Silent);
    servers[1].behave(Manner::Vague(0x0002_0000));
    assert_eq!(watched.round().await, Ok(()), "what was known a moment ago still holds");
}

#[tokio::test]
async fn a_clock_that_is_moved_is_noticed_without_asking_anybody() {
    let servers = servers([Manner::Off(0)]).await;
    let mut watched = Watched::of(&servers, 1);
    assert_eq!(watched.round().await, Ok(()));
    for by_ms in [1500, -1500, 3_600_000, -3_600_000] {
        watched.move_clock(by_ms);
        let Err(Distrust::Moved { by_ms: found_ms }) = watched.watch.check() else { panic!("{by_ms}") };
        assert!((found_ms - by_ms).abs() < 500, "{found_ms} for {by_ms}");
        watched.move_clock(-by_ms);
        assert_eq!(watched.watch.check(), Ok(()));
    }
    assert_eq!(servers[0].questions(), 1);
}

#[tokio::test]
async fn a_moved_clock_is_asked_about_at_once_and_a_silent_world_is_asked_again() {
    let servers = servers([Manner::Off(0)]).await;
    let watched = Watched::of(&servers, 1);
    let (switch, stop) = Stop::pair();
    let running = tokio::spawn(Arc::clone(&watched.watch).run(stop));
    while watched.watch.check().is_err() {
        tokio::task::yield_now().await;
    }
    // Far from the next round: the interval is a minute.
    watched.move_clock(5000);
    assert!(matches!(watched.watch.check(), Err(Distrust::Moved { .. })));
    servers[0].behave(Manner::Off(5000));
    let begun = Instant::now();
    while watched.watch.check().is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", watched.watch.check());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(servers[0].questions() >= 2);
    switch.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_is() {
    let servers =
        servers([Manner::Kiss(*b"DENY"), Manner::Kiss(*b"RATE"), Manner::Kiss(*b"INIT"), Manner::Off(0)]).await;
    let mut watched = Watched::of(&servers, 3);
    for _ in 0..3 {
        assert_eq!(watched.round().await, Err(Distrust::Unknown));
    }
    let questions: Vec<i64> = servers.iter().map(Server::questions).collect();
    assert_eq!(questions, [1, 1, 3, 3]);
    let left = watched
        .askable
        .iter()
        .map(|askable| askable.not_before.map(|until| until.saturating_duration_since(Instant::now())));
    let left: Vec<_> = left.collect();
    assert!(
        left[0] > Some(Duration::from_secs(86_000)) && left[1] > Some(Duration::from_secs(200)) && left[2].is_none()
    );
}

fn confirmation(error_us: u64) -> (Confirmation, Instant) {
    let at = Instant::now();
    (Confirmation { at, clock_ms: 1_000_000, error_us }, at)
}

#[test]
fn what_was_agreed_grows_old() {
    let believed = POLL_DEFAULT * BELIEVED_POLLS;
    let (confirmed, at) = confirmation(10_000);
    for (later_s, trusted) in [(0, true), (255, true), (256, true), (257, false), (100_000, false)] {
        let outcome = confirmed.doubt(1_000_000 + later_s * 1000, at + Duration::from_secs(later_s), believed);
        assert_eq!(outcome.is_ok(), trusted, "{later_s}: {outcome:?}");
        if !trusted {
            assert!(matches!(outcome, Err(Distrust::Silence { .. })));
        }
    }
    // The nearer to the edge it was, the sooner it may be over it.
    let (confirmed, at) = confirmation(900_000);
    let long = POLL_MAX * BELIEVED_POLLS;
    assert_eq!(confirmed.doubt(1_199_000, at + Duration::from_secs(199), long), Ok(()));
    assert!(matches!(confirmed.doubt(1_202_000, at + Duration::from_secs(202), long), Err(Distrust::Silence { .. })));
}

fn place(servers: usize, agreeing: usize) -> ClockPlace {
    let servers = (0..servers).map(|number| NtpServer::parse(&format!("t{number}.example")).unwrap()).collect();
    ClockPlace { servers, agreeing, poll: POLL_DEFAULT, ca_file: None }
}

/// Of a server that said nothing else.
fn sample(offset_us: i64, error_us: u64) -> ClockSample {
    static NUMBER: AtomicU16 = AtomicU16::new(1);
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, NUMBER.fetch_add(1, Ordering::SeqCst)));
    ClockSample { server, offset_us, error_us }
}

#[test]
fn one_server_under_two_names_has_one_vote_to_confirm_and_that_is_the_worse_one() {
    let (one, other) = (sample(0, 1000), sample(0, 2000));
    let again = ClockSample { error_us: 5000, ..one };
    assert_eq!(Verdict::of(&[one, other], &place(3, 2)), Verdict::Agreed { error_us: 2000 });
    assert_eq!(Verdict::of(&[one, again], &place(3, 2)), Verdict::Unheard);
    assert_eq!(Verdict::of(&[one, other, again], &place(3, 2)), Verdict::Agreed { error_us: 5000 });
    let wrong = ClockSample { offset_us: 9_000_000, ..sample(0, 1000) };
    let contradicted = Verdict::of(&[wrong, wrong, one], &place(3, 2));
    assert!(matches!(contradicted, Verdict::Contradicted(_)), "to contradict, each name counts: {contradicted:?}");
}

#[tokio::test]
async fn servers_with_nts_and_without_vote_together_and_a_forged_answer_is_no_vote() {
    let nts = [NtsServer::start().await.unwrap(), NtsServer::start().await.unwrap()];
    let plain = servers([Manner::Off(0)]).await;
    let names = [nts[0].name(), nts[1].name(), plain[0].address.to_string()];
    let mut watched = Watched::named(&names, 3);
    assert_eq!(watched.round().await, Ok(()));
    nts[0].off_by(5000);
    assert!(matches!(watched.round().await, Err(Distrust::Contradicted { contradicting: 1, .. })));

    let mut watched = Watched::named(&names, 2);
    // Whoever says the right time in place of one server, and forges the other, confirms nothing.
    nts[0].off_by(0);
    for (one, other) in [
        (Answering::Plain, Answering::TimeChanged),
        (Answering::OtherKey, Answering::Long),
        (Answering::Nak, Answering::CookieOfQuestion),
    ] {
        nts[0].answer(one);
        nts[1].answer(other);
        assert_eq!(watched.round().await, Err(Distrust::Unknown), "{one:?} {other:?}");
    }
}

#[tokio::test]
async fn a_server_is_never_asked_without_the_authentication_that_its_name_demands() {
    let plain = servers([Manner::Off(0)]).await;
    let mut watched = Watched::named(&[format!("nts://{}", plain[0].address)], 1);
    assert_eq!(watched.round().await, Err(Distrust::Unknown));
    assert_eq!(plain[0].questions(), 0);
}

#[test]
fn the_edge_of_the_accuracy_is_exact() {
    for (offset_us, error_us, expect) in [
        (999_000, 1_000, Verdict::Agreed { error_us: 1_000_000 }),
        (-999_000, 1_000, Verdict::Agreed { error_us: 1_000_000 }),
        (999_000, 1_001, Verdict::Unheard),
        (1_001_000, 1_000, Verdict::Unheard),
        (
            1_001_001,
            1_000,
            Verdict::Contradicted(Distrust::Contradicted { contradicting: 1, confirming: 0, asked: 1, needed: 1 }),
        ),
    ] {
        assert_eq!(Verdict::of(&[sample(offset_us, error_us)], &place(1, 1)), expect, "{offset_us} {error_us}");
    }
}

proptest! {
    /// Whatever a minority says, the majority's answer stands.
    #[test]
    fn a_minority_decides_nothing(offsets in proptest::collection::vec(any::<(i64, u64)>(), 2)) {
        let minority: Vec<_> = offsets.iter().map(|(offset_us, error_us)| sample(*offset_us, *error_us)).collect();
        let with = |offset_us| [minority.clone(), (0..3).map(|_| sample(offset_us, 1000)).collect()].concat();
        let right = matches!(Verdict::of(&with(0), &place(5, 3)), Verdict::Agreed { .. });
        prop_assert!(right);
        let wrong = matches!(Verdict::of(&with(2_000_000), &place(5, 3)), Verdict::Contradicted(_));
        prop_assert!(wrong);
    }
}
