// SPDX-License-Identifier: Apache-2.0
//! Answers of every kind, from sockets of this machine and as bytes.

use proptest::prelude::*;

use super::*;

const COOKIE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
/// 2027-01-15T08:00:00Z.
const NOW_MS: u64 = 1_800_000_000_000;
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 123);
const PATIENCE: Duration = Duration::from_secs(5);

/// A good answer: stratum 2, received and sent at this time, in milliseconds since 1970.
fn answer(at_ms: u64) -> [u8; HEADER_BYTES] {
    let mut answer = [0; HEADER_BYTES];
    answer[0] = 4 << 3 | 4;
    answer[1] = 2;
    answer[24..32].copy_from_slice(&COOKIE);
    for at in [32, 40] {
        answer[at..at + 8].copy_from_slice(&ntp_time(at_ms));
    }
    answer
}

fn ntp_time(at_ms: u64) -> [u8; 8] {
    let seconds = (i64::try_from(at_ms / 1000).unwrap() + UNIX_EPOCH_S).rem_euclid(ERA_S) as u64;
    let fraction = ((at_ms % 1000) << 32).div_ceil(1000);
    (seconds << 32 | fraction).to_be_bytes()
}

fn read(answer: &[u8]) -> Result<ClockSample, TimeError> {
    Answer::of(answer, COOKIE).expect("it repeats the cookie").sample(NOW_MS, Duration::from_millis(20), SERVER)
}

#[test]
fn the_offset_is_that_of_the_middle_of_the_way() {
    for (server_ms, offset_us) in [
        (NOW_MS + 10, 0),
        (NOW_MS + 1510, 1_500_000),
        (NOW_MS - 3_600_000 + 10, -3_600_000_000),
        // Over the end of the era of 32 bits, in February 2036, and decades back.
        (NOW_MS + 400_000_000_010, 400_000_000_000_000),
        (NOW_MS - 1_500_000_000_000 + 10, -1_500_000_000_000_000),
    ] {
        let sample = read(&answer(server_ms)).unwrap();
        assert_eq!(sample, ClockSample { server: SERVER, offset_us, error_us: 11_000 }, "{server_ms}");
    }
}

#[test]
fn what_the_server_takes_is_no_part_of_the_way_and_what_it_says_of_itself_adds_to_the_error() {
    let mut slow = answer(NOW_MS + 4);
    slow[40..48].copy_from_slice(&ntp_time(NOW_MS + 16));
    assert_eq!(read(&slow).unwrap(), ClockSample { server: SERVER, offset_us: 0, error_us: 5_000 });
    // A root delay of a second, a root dispersion of half of one.
    slow[4..8].copy_from_slice(&0x0001_0000_u32.to_be_bytes());
    slow[8..12].copy_from_slice(&0x0000_8000_u32.to_be_bytes());
    assert_eq!(read(&slow).unwrap().error_us, 1_005_000);
}

#[test]
fn an_answer_that_says_nothing_about_the_time_is_refused_with_its_reason() {
    let implausible = |field| TimeError::Implausible { field };
    type Change = fn(&mut [u8; HEADER_BYTES]);
    let cases: [(Change, TimeError); 9] = [
        (|answer| answer[0] = 4 << 3 | 3, implausible("the mode is not that of a server")),
        (|answer| answer[0] = 4 << 3 | 5, implausible("the mode is not that of a server")),
        (|answer| answer[0] = 1 << 3 | 4, implausible("the version is neither 3 nor 4")),
        (|answer| answer[0] |= 0xc0, TimeError::Unsynchronised),
        (|answer| answer[1] = 16, TimeError::Unsynchronised),
        (
            |answer| {
                answer[1] = 0;
                answer[12..16].copy_from_slice(b"RATE");
            },
            TimeError::KissOfDeath { code: *b"RATE" },
        ),
        (|answer| answer[32..40].fill(0), implausible("a timestamp is missing")),
        (|answer| answer[40..48].fill(0), implausible("a timestamp is missing")),
        (|answer| answer[35] += 1, implausible("it was sent before the question came")),
    ];
    for (change, expect) in cases {
        let mut changed = answer(NOW_MS);
        change(&mut changed);
        assert_eq!(read(&changed), Err(expect));
    }
}

#[test]
fn a_datagram_without_the_cookie_is_no_answer() {
    let good = answer(NOW_MS);
    assert!(Answer::of(&good, COOKIE).is_some());
    for at in 24..32 {
        let mut other = good;
        other[at] ^= 1;
        assert!(Answer::of(&other, COOKIE).is_none(), "{at}");
    }
    for length in 0..HEADER_BYTES {
        assert!(Answer::of(&good[..length], COOKIE).is_none(), "{length}");
    }
}

async fn server() -> (UdpSocket, NtpServer) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = NtpServer::parse(&socket.local_addr().unwrap().to_string()).unwrap();
    (socket, server)
}

async fn asked(socket: &UdpSocket) -> ([u8; HEADER_BYTES], SocketAddr) {
    let mut question = [0; HEADER_BYTES];
    let (length, from) = socket.recv_from(&mut question).await.unwrap();
    assert_eq!(length, HEADER_BYTES);
    (question, from)
}

#[tokio::test]
async fn a_question_says_nothing_of_the_clock_and_is_answered() {
    let (socket, server) = server().await;
    let (sample, ()) = tokio::join!(ask_time(&server, COOKIE, &|| NOW_MS, PATIENCE), async {
        let (question, from) = asked(&socket).await;
        let mut expect = [0; HEADER_BYTES];
        expect[0] = 0x23;
        expect[40..].copy_from_slice(&COOKIE);
        assert_eq!(question, expect);
        socket.send_to(&answer(NOW_MS + 5000), from).await.unwrap();
    });
    let sample = sample.unwrap();
    assert!((sample.offset_us - 5_000_000).unsigned_abs() <= sample.error_us, "{sample:?}");
}

#[tokio::test]
async fn forged_answers_end_nothing_and_those_of_other_addresses_are_not_seen() {
    let ((socket, server), (stranger, _)) = (server().await, self::server().await);
    let (sample, ()) = tokio::join!(ask_time(&server, COOKIE, &|| NOW_MS, PATIENCE), async {
        let (_, from) = asked(&socket).await;
        stranger.send_to(&answer(NOW_MS + 99_000), from).await.unwrap();
        let mut forged = answer(NOW_MS + 99_000);
        forged[24] ^= 1;
        for _ in 0..STRAY_DATAGRAMS_MAX - 1 {
            socket.send_to(&forged, from).await.unwrap();
        }
        socket.send_to(&answer(NOW_MS), from).await.unwrap();
    });
    assert!(sample.unwrap().offset_us.abs() < 90_000_000);
    let (flooded, ()) = tokio::join!(ask_time(&server, COOKIE, &|| NOW_MS, PATIENCE), async {
        let (_, from) = asked(&socket).await;
        for _ in 0..STRAY_DATAGRAMS_MAX {
            socket.send_to(&[0; 4], from).await.unwrap();
        }
    });
    assert!(matches!(flooded, Err(TimeError::Implausible { .. })), "{flooded:?}");
}

#[tokio::test]
async fn a_silent_server_a_closed_port_and_an_unknown_name_are_told_apart() {
    let (socket, server) = server().await;
    let after = Duration::from_millis(50);
    assert_eq!(ask_time(&server, COOKIE, &|| NOW_MS, after).await, Err(TimeError::Timeout { after }));
    drop(socket);
    let refused = ask_time(&server, COOKIE, &|| NOW_MS, PATIENCE).await;
    assert_eq!(refused, Err(TimeError::Unreachable { kind: io::ErrorKind::ConnectionRefused }));
}

proptest! {
    #[test]
    fn reading_any_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..96), sent_ms: u64, elapsed_ms: u32) {
        let mut bytes = bytes;
        if let Some(place) = bytes.get_mut(24..32) {
            place.copy_from_slice(&COOKIE);
        }
        if let Some(answer) = Answer::of(&bytes, COOKIE) {
            let _ = answer.sample(sent_ms, Duration::from_millis(elapsed_ms.into()), SERVER);
        }
    }
}
