// SPDX-License-Identifier: Apache-2.0
//! Files as a server writes them, and what crashes and hands make of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use touchmark_keys::sha256;

use super::line::{FIRST_PREVIOUS, LINE_BYTES_MAX};
use super::verify::{AuditProblem, verify_audit_log};
use super::*;
use crate::fulcio::tests::harness::TestClock;

struct Done(u64);

#[derive(Serialize)]
struct Members {
    outcome: &'static str,
    request_id: &'static str,
    reason: &'static str,
    subject: String,
}

impl Entry for Done {
    const WITHOUT: &'static str = "nothing is done";
    const KIND: AuditKind = AuditKind::Certificates;

    fn time(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn members(&self) -> impl Serialize {
        Members {
            outcome: "refused",
            request_id: "7",
            reason: "POSSESSION_NOT_PROVEN",
            subject: format!("subject-{}", self.0),
        }
    }
}

struct Site(TempDir);

impl Site {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("audit.jsonl")
    }

    fn open(&self) -> Result<AuditLog<Done>, AuditStartError> {
        AuditLog::open(&self.path(), TestClock::new().as_ref())
    }

    /// A file with lines of this many decisions.
    async fn with_lines(lines: u64) -> Self {
        let place = Self::new();
        place.add(lines).await;
        place
    }

    async fn add(&self, lines: u64) {
        let log = self.open().unwrap();
        for number in 0..lines {
            log.record(Done(number)).await.unwrap();
        }
        log.close().await;
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.bytes()).unwrap().lines().map(str::to_owned).collect()
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.path(), bytes).unwrap();
        self.set_mode(0o600);
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(self.path(), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn verify(&self) -> Result<u64, AuditProblem> {
        verify_audit_log(&self.path(), AuditKind::Certificates, None).map(|chain| chain.lines())
    }
}

fn text_of(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

#[tokio::test]
async fn a_chain_goes_on_over_restarts_and_each_line_holds_the_hash_of_the_one_before() {
    let place = Site::with_lines(3).await;
    place.add(2).await;
    let lines = place.lines();
    let mut previous = FIRST_PREVIOUS;
    for (sequence, line) in lines.iter().enumerate() {
        let read: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(read["sequence"], sequence);
        assert_eq!(read["previous"], hex::encode(previous));
        previous = sha256(line.as_bytes());
    }
    let chain = verify_audit_log(&place.path(), AuditKind::Certificates, None).unwrap();
    assert_eq!((chain.lines(), chain.last_hash()), (5, previous));
    assert_eq!(chain.span().unwrap().1, Timestamp::from_second(1_800_000_000).unwrap());
}

#[tokio::test]
async fn what_was_recorded_is_in_the_file_and_many_share_a_sync() {
    let place = Site::new();
    let log = place.open().unwrap();
    let together = (0..200).map(|number| log.record(Done(number)));
    for outcome in futures_util::future::join_all(together).await {
        outcome.unwrap();
    }
    assert_eq!(place.lines().len(), 200);
    log.note(Done(200)).await.unwrap();
    log.close().await;
    assert_eq!(place.verify(), Ok(201));
}

#[tokio::test]
async fn a_change_anywhere_breaks_the_chain_there() {
    let place = Site::with_lines(4).await;
    let good = place.lines();
    type Change = fn(&mut Vec<String>);
    let cases: [(&str, Change, AuditProblem); 8] = [
        (
            "another subject",
            |lines| lines[1] = lines[1].replace("subject-1", "subject-7"),
            AuditProblem::Link { line: 3 },
        ),
        ("another outcome", |lines| lines[2] = lines[2].replace("POSS", "poss"), AuditProblem::Link { line: 4 }),
        ("a space", |lines| lines[0].insert(1, ' '), AuditProblem::Link { line: 2 }),
        ("a line less", |lines| drop(lines.remove(1)), AuditProblem::Sequence { line: 2, expected: 1, found: 2 }),
        (
            "the first one less",
            |lines| drop(lines.remove(0)),
            AuditProblem::Sequence { line: 1, expected: 0, found: 1 },
        ),
        (
            "a line twice",
            |lines| lines.insert(1, lines[0].clone()),
            AuditProblem::Sequence { line: 2, expected: 1, found: 0 },
        ),
        ("two in another order", |lines| lines.swap(1, 2), AuditProblem::Sequence { line: 2, expected: 1, found: 2 }),
        ("something else", |lines| lines[3] = "{}".to_owned(), AuditProblem::NoLine { line: 4 }),
    ];
    for (what, change, expect) in cases {
        let mut lines = good.clone();
        change(&mut lines);
        place.write(&text_of(&lines));
        assert_eq!(place.verify(), Err(expect), "{what}");
    }
    place.write(&text_of(&good[..3]));
    assert_eq!(place.verify(), Ok(3), "what is missing at the end cannot be seen");
    let last = sha256(good[3].as_bytes());
    assert_eq!(
        verify_audit_log(&place.path(), AuditKind::Certificates, Some(last)),
        Err(AuditProblem::Missing { hash: last })
    );
    assert!(verify_audit_log(&place.path(), AuditKind::Certificates, Some(sha256(good[1].as_bytes()))).is_ok());
    place.write(&vec![b'x'; 1 << 20]);
    assert_eq!(place.verify(), Err(AuditProblem::NoLine { line: 1 }));
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_wherever_it_is_torn_and_a_line_says_so() {
    let whole = Site::with_lines(3).await.bytes();
    let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
    for length in [1, ends[0] - 1, ends[0] + 1, ends[1] + 20, ends[2] - 1] {
        let place = Site::new();
        place.write(&whole[..length]);
        let kept = ends.iter().filter(|end| **end <= length).count();
        let torn = length - ends.iter().copied().filter(|end| *end <= length).max().unwrap_or(0);
        assert_eq!(place.verify(), Err(AuditProblem::Torn { line: kept as u64 + 1, bytes: torn as u64 }), "{length}");
        place.add(1).await;
        assert_eq!(place.verify(), Ok(kept as u64 + 2), "{length}");
        let read: serde_json::Value = serde_json::from_str(&place.lines()[kept]).unwrap();
        assert_eq!((read["outcome"].as_str(), read["torn_bytes"].as_u64()), (Some("recovered"), Some(torn as u64)));
    }
    // As a file system leaves it that made the file longer and did not write the blocks.
    let place = Site::new();
    place.write(&[&whole[..ends[1]], &[0; 4096]].concat());
    place.add(1).await;
    assert_eq!(place.verify(), Ok(4));
}

#[tokio::test]
async fn a_broken_chain_is_refused_at_the_start_and_left_as_it_is() {
    let good = Site::with_lines(4).await.lines();
    let changed = good[2].replace("subject-2", "subject-9");
    for (lines, problem) in [
        ([&good[0], &good[1], &changed, &good[3]], AuditProblem::Link { line: 4 }),
        ([&good[0], &good[2], &good[2], &good[3]], AuditProblem::Sequence { line: 2, expected: 1, found: 2 }),
        ([&good[1], &good[1], &good[2], &good[3]], AuditProblem::Sequence { line: 1, expected: 0, found: 1 }),
        ([&good[0], &"zeros".to_owned(), &good[2], &good[3]], AuditProblem::NoLine { line: 2 }),
    ] {
        let place = Site::new();
        place.write(&text_of(&lines.map(String::to_owned)));
        let before = place.bytes();
        match place.open().err() {
            Some(AuditStartError::Broken { problem: found, .. }) => assert_eq!(found, problem),
            other => panic!("{other:?}"),
        }
        assert_eq!(place.bytes(), before);
    }
}

#[tokio::test]
async fn a_file_that_is_something_else_is_refused_and_left_as_it_is() {
    let line = "{\"sequence\":0,\"previous\":\"";
    let cases: [(&str, Vec<u8>); 10] = [
        ("a chain", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_vec()),
        ("a key without its last line end", b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----".to_vec()),
        ("a passphrase", b"correct horse".to_vec()),
        ("one line feed", b"\n".to_vec()),
        ("a log of something else", b"{\"level\":\"info\"}\n{\"level\":\"warn\"}\n".to_vec()),
        ("an object that begins otherwise", b"{\"time\":\"2027".to_vec()),
        ("a first line that names a line before", format!("{line}{}", "1".repeat(64)).into_bytes()),
        ("bytes that begin as zeros", [&[0; 512][..], &[7; 512]].concat()),
        (
            "a first line that goes on for too long",
            [line::first_beginning(), vec![b'1'; line::LINE_BYTES_MAX]].concat(),
        ),
        ("a long file without a line end", vec![0; 2 * GROUP_BYTES_MAX]),
    ];
    for (what, bytes) in cases {
        let place = Site::new();
        place.write(&bytes);
        match place.open().err() {
            Some(AuditStartError::NoAuditLog { bytes: found, .. }) => assert_eq!(found, bytes.len() as u64, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(place.bytes(), bytes, "{what}");
    }
}

#[tokio::test]
async fn a_whole_line_that_cannot_be_read_is_refused_and_left_as_it_is() {
    let good = Site::with_lines(4).await.lines();
    let zeros = "\0".repeat(good[3].len());
    for (lines, torn, line) in [
        ([good[0].clone(), good[1].clone(), good[2].clone(), "garbled".to_owned()], "", 4),
        ([good[0].clone(), good[1].clone(), "garbled".to_owned(), "garbled".to_owned()], "", 3),
        ([good[0].clone(), good[1].clone(), "garbled".to_owned(), "garbled".to_owned()], &good[3][..40], 3),
        // Zeros in the place of blocks that a power cut lost, before others that it did not.
        ([good[0].clone(), good[1].clone(), good[2].clone(), zeros], "", 4),
        ([good[0].clone(), good[1].clone(), good[2].replace("subject", "\0\0\0\0\0\0\0"), good[3].clone()], "", 3),
    ] {
        let place = Site::new();
        place.write(&[text_of(&lines), torn.as_bytes().to_vec()].concat());
        let before = place.bytes();
        match place.open().err() {
            Some(AuditStartError::Broken { problem, .. }) => assert_eq!(problem, AuditProblem::NoLine { line }),
            other => panic!("{line}: {other:?}"),
        }
        assert_eq!(place.bytes(), before);
    }
}

#[tokio::test]
async fn zeros_up_to_the_end_are_what_a_power_cut_leaves_and_are_cut_off() {
    let whole = Site::with_lines(2).await.bytes();
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for (kept, torn) in [
        (0, vec![0; 4096]),
        (0, [&whole[..10], &[0; 4096]].concat()),
        (0, [&whole[..first - 1], &[0; 4096]].concat()),
        (1, [&whole[first..first + 30], &[0; 4096]].concat()),
        (1, [&[0; 4096], &whole[first..whole.len() - 1]].concat()),
        (2, vec![0; GROUP_BYTES_MAX]),
    ] {
        let place = Site::new();
        place.write(&[&whole[..[0, first, whole.len()][kept]], &torn].concat());
        place.add(1).await;
        assert_eq!(place.verify(), Ok(kept as u64 + 2));
        let read: serde_json::Value = serde_json::from_str(&place.lines()[kept]).unwrap();
        assert_eq!(read["torn_bytes"].as_u64(), Some(torn.len() as u64));
    }
}

#[tokio::test]
async fn a_long_file_is_checked_at_its_end_alone() {
    let place = Site::with_lines(1).await;
    let mut end = tail::read(&mut File::open(place.path()).unwrap(), AuditKind::Certificates).unwrap().unwrap();
    let mut bytes = place.bytes();
    while bytes.len() < 3 * GROUP_BYTES_MAX {
        end.add(&Done(1), &mut bytes);
    }
    // Far before the end: for `verify` to find.
    bytes[20] ^= 1;
    place.write(&bytes);
    place.add(1).await;
    assert!(place.verify().is_err());
    let read: serde_json::Value = serde_json::from_str(place.lines().last().unwrap()).unwrap();
    assert_eq!(read["sequence"], end.sequence);
    assert_eq!(read["previous"], hex::encode(end.previous));
    // Near the end: refused.
    let mut bytes = place.bytes();
    let near = bytes.len() - GROUP_BYTES_MAX / 2;
    bytes[near] ^= 1;
    place.write(&bytes);
    assert!(matches!(place.open(), Err(AuditStartError::Broken { .. })));
}

#[tokio::test]
async fn no_byte_can_change_and_leave_the_end_as_it_was() {
    let whole = Site::with_lines(3).await.bytes();
    let good = tail::of_bytes(0, &whole, AuditKind::Certificates).unwrap();
    assert_eq!((good.whole_bytes, good.torn_bytes, good.sequence), (whole.len() as u64, 0, 3));
    for at in 0..whole.len() {
        for bit in [1, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= bit;
            if let Ok(end) = tail::of_bytes(0, &changed, AuditKind::Certificates) {
                assert_ne!(end.previous, good.previous, "{at}");
                assert!(end.whole_bytes + end.torn_bytes == whole.len() as u64, "{at}");
            }
        }
    }
    for at in 0..whole.len() {
        let end = tail::of_bytes(0, &whole[..at], AuditKind::Certificates).unwrap();
        assert_eq!(end.whole_bytes + end.torn_bytes, at as u64);
    }
    // From somewhere in the middle, as in a long file.
    let first_line = whole.iter().position(|byte| *byte == b'\n').unwrap();
    assert_eq!(tail::of_bytes(7, &whole[7..], AuditKind::Certificates), Ok(good));
    assert!(tail::of_bytes(7, &whole[7..first_line], AuditKind::Certificates).is_err());
}

#[tokio::test]
async fn one_process_writes_a_file_and_it_is_the_owners_alone() {
    let place = Site::new();
    let _open = place.open().unwrap();
    assert!(matches!(place.open(), Err(AuditStartError::InUse(_))));
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_others_may_read_or_that_is_none_is_refused() {
    let place = Site::with_lines(1).await;
    for mode in [0o640, 0o604, 0o620, 0o601] {
        place.set_mode(mode);
        match place.open().err() {
            Some(AuditStartError::LoosePermissions { mode: found, .. }) => assert_eq!(found, mode),
            other => panic!("{other:?}"),
        }
    }
    place.set_mode(0o600);
    place.add(1).await;
    let null = AuditLog::<Done>::open(Path::new("/dev/null"), TestClock::new().as_ref());
    assert!(matches!(null, Err(AuditStartError::NotAFile(_))));
}

#[tokio::test]
async fn a_file_that_was_moved_deleted_or_exchanged_under_a_server_takes_no_more_lines() {
    type Displace = fn(&Path, &Path);
    let cases: [(&str, Displace); 3] = [
        ("moved", |path, elsewhere| fs::rename(path, elsewhere).unwrap()),
        ("deleted", |path, elsewhere| {
            fs::hard_link(path, elsewhere).unwrap();
            fs::remove_file(path).unwrap();
        }),
        ("exchanged", |path, elsewhere| {
            fs::rename(path, elsewhere).unwrap();
            fs::copy(elsewhere, path).unwrap();
        }),
    ];
    for (what, displace) in cases {
        let site = Site::new();
        let elsewhere = site.0.path().join("elsewhere");
        let log = site.open().unwrap();
        log.record(Done(0)).await.unwrap();
        displace(&site.path(), &elsewhere);
        assert_eq!(log.record(Done(1)).await, Err(AuditUnavailable), "{what}");
        while log.works() {
            tokio::task::yield_now().await;
        }
        assert_eq!(log.note(Done(2)).await, Err(AuditUnavailable), "{what}");
        assert_eq!(fs::read_to_string(&elsewhere).unwrap().lines().count(), 1, "{what}");
        // Put back, it goes on.
        fs::rename(&elsewhere, site.path()).unwrap();
        site.add(1).await;
        assert_eq!(site.verify(), Ok(2), "{what}");
    }
    assert!(WriteError::Displaced.to_string().contains("was moved or deleted"));
}

/// A log on a file that takes nothing.
pub(crate) fn broken_log<E: Entry>(directory: &Path) -> AuditLog<E> {
    let path = directory.join("read-only.jsonl");
    fs::write(&path, "").unwrap();
    let end = Tail { previous: FIRST_PREVIOUS, sequence: 0, whole_bytes: 0, torn_bytes: 0 };
    let file = File::open(&path).unwrap();
    let place = Place::of(&file.metadata().unwrap());
    Writer { file, path, place, end }.start().unwrap()
}

#[tokio::test]
async fn nothing_is_recorded_in_a_file_that_cannot_be_written_and_everybody_hears_it() {
    let directory = tempfile::tempdir().unwrap();
    let log: AuditLog<Done> = broken_log(directory.path());
    assert!(log.works());
    let together = (0..20).map(|number| log.record(Done(number)));
    for outcome in futures_util::future::join_all(together).await {
        assert_eq!(outcome, Err(AuditUnavailable));
    }
    while log.works() {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.record(Done(0)).await, Err(AuditUnavailable));
    assert_eq!(log.note(Done(0)).await, Err(AuditUnavailable));
}

/// An entry of the other authority.
struct Stamped;

#[derive(Serialize)]
struct Stamp {
    outcome: &'static str,
    gen_time: Timestamp,
}

impl Entry for Stamped {
    const WITHOUT: &'static str = "nothing is done";
    const KIND: AuditKind = AuditKind::Timestamps;

    fn time(&self) -> Timestamp {
        "2027-01-15T08:00:00Z".parse().unwrap()
    }

    fn members(&self) -> impl Serialize {
        Stamp { outcome: "issued", gen_time: self.time() }
    }
}

#[tokio::test]
async fn the_log_of_another_authority_is_refused_by_start_and_verification_and_left_as_it_is() {
    let place = Site::new();
    let log = AuditLog::<Stamped>::open(&place.path(), TestClock::new().as_ref()).unwrap();
    log.record(Stamped).await.unwrap();
    log.close().await;
    let before = place.bytes();
    assert_eq!(verify_audit_log(&place.path(), AuditKind::Timestamps, None).unwrap().lines(), 1);
    let other = AuditProblem::OtherAuthority { line: 1, found: AuditKind::Timestamps };
    assert_eq!(place.verify(), Err(other.clone()));
    assert!(other.to_string().contains("touchmark tsa audit verify"), "{other}");
    let refused = place.open().err().unwrap();
    assert!(matches!(refused, AuditStartError::OtherAuthority { found: AuditKind::Timestamps, .. }), "{refused}");
    assert_eq!(place.bytes(), before);
}

#[tokio::test]
async fn what_a_power_cut_leaves_is_counted_as_the_next_start_counts_it_however_long_it_is() {
    for (zeros, begun) in [(LINE_BYTES_MAX - 9, 0), (LINE_BYTES_MAX, 0), (200_000, 0), (300_000, 40)] {
        let place = Site::with_lines(2).await;
        let whole = place.bytes();
        let torn = [&whole[..begun], &vec![0; zeros]].concat();
        place.write(&[&whole[..], &torn].concat());
        let bytes = torn.len() as u64;
        assert_eq!(place.verify(), Err(AuditProblem::Torn { line: 3, bytes }), "{zeros} {begun}");
        place.open().unwrap().close().await;
        assert!(place.lines()[2].contains(&format!("\"torn_bytes\":{bytes}}}")), "{:?}", place.lines()[2]);
        // A byte after the zeros is something else than a power cut.
        place.write(&[&whole[..], &torn, b"x"].concat());
        let read = place.verify();
        let is_long = torn.len() >= LINE_BYTES_MAX;
        let expect =
            if is_long { AuditProblem::NoLine { line: 3 } } else { AuditProblem::Torn { line: 3, bytes: bytes + 1 } };
        assert_eq!(read, Err(expect), "{zeros} {begun}");
    }
}
