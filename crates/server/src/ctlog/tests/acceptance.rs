// SPDX-License-Identifier: Apache-2.0
//! What the log takes and refuses, and what it says to who sends the same again.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use touchmark_sequencer::{
    AddError, Batch, Commit, DedupKey, FatalCause, LedgerError, LedgerState, Row, Sequenced, TreeHead,
};

use super::*;

const PRE_CHAIN: &str = "/ct/v1/add-pre-chain";
const CHAIN: &str = "/ct/v1/add-chain";

impl World {
    /// Status, `Retry-After` and body of the reply to a submission.
    async fn submit(&self, path: &str, chain: &[&Certificate]) -> (u16, Option<String>, String) {
        let chain: Vec<String> = chain.iter().map(|certificate| STANDARD.encode(certificate.der())).collect();
        let request = post(path, json!({ "chain": chain }).to_string());
        let response = router(self.log.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, retry, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn taken(&self, path: &str, chain: &[&Certificate]) -> String {
        let (status, _, body) = self.submit(path, chain).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn refused(&self, path: &str, chain: &[&Certificate], why: &str) {
        let (status, retry, body) = self.submit(path, chain).await;
        assert_eq!((status, retry), (400, None), "{body}");
        assert!(body.contains(why), "expected {why}\nfound    {body}");
    }
}

/// An authority's certificate that is signed by another key than it was, under that key's name.
async fn resigned(tbs: &[u8], signer: &EphemeralSigner) -> Certificate {
    let signature = signer.sign(tbs).await.unwrap();
    Certificate::from_der(&assemble(tbs, signer.scheme(), &signature).unwrap()).unwrap()
}

/// DER with one element put in the place of another wherever it stands, and the lengths around it set right.
fn replaced(der: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (header, element) in elements(der).unwrap() {
        let (tag, content) = (element[0], &element[header..]);
        let content = match tag {
            _ if element == old => {
                out.extend_from_slice(new);
                continue;
            }
            // The value of an extension that is a sequence; in other octet strings nothing is replaced.
            0x30 | 0x31 | 0xa0 | 0xa3 => replaced(content, old, new),
            0x04 if content.first() == Some(&0x30) => replaced(content, old, new),
            _ => content.to_vec(),
        };
        let length = content.len().to_be_bytes();
        let length = &length[length.iter().position(|byte| *byte != 0).unwrap_or(7)..];
        out.push(tag);
        if content.len() >= 0x80 {
            out.push(0x80 | u8::try_from(length.len()).unwrap());
        }
        out.extend_from_slice(length);
        out.extend(content);
    }
    out
}

/// The elements that follow each other, each with the length of its header; `None` if this is no DER.
fn elements(mut der: &[u8]) -> Option<Vec<(usize, &[u8])>> {
    let mut elements = Vec::new();
    while !der.is_empty() {
        let first = usize::from(*der.get(1)?);
        let more = if first < 0x80 { 0 } else { first & 0x7f };
        let long = der.get(2..2 + more)?.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        let length = if first < 0x80 { first } else { long };
        let (element, rest) = der.split_at_checked(2 + more + length)?;
        elements.push((2 + more, element));
        der = rest;
    }
    Some(elements)
}

/// RFC 6962 §3.1 and §3.2: the log names the authority that will issue the certificate, and keeps the chain as it came.
#[tokio::test]
async fn a_precertificate_signing_certificate_stands_for_the_authority_above_it() {
    let world = World::new().await;
    let [intermediate, root] = [&world.ca.chain[0], &world.ca.chain[1]];
    // A certificate of the intermediate's key for itself, with a name, a key and a purpose of its own.
    let signer = TestCa::named("precertificates", SignedDuration::from_hours(24)).await;
    let (code_signing, transparency) =
        (hex::decode("06082b06010505070303").unwrap(), hex::decode("060a2b06010401d679020404").unwrap());
    let tbs = replaced(signer.chain[0].tbs_der(), &code_signing, &transparency);
    let tbs = replaced(&tbs, signer.chain[1].subject_der(), intermediate.subject_der());
    // Its own authority key identifier, of the intermediate.
    let key_id = |certificate: &Certificate| [&[0x80, 20][..], certificate.subject_key_id().unwrap()].concat();
    let tbs = replaced(&tbs, &key_id(&signer.chain[1]), &key_id(intermediate));
    let signing = resigned(&tbs, &world.ca.signer).await;

    let direct = leaf(&world.ca, 1, Form::Precertificate).await;
    let tbs = replaced(direct.tbs_der(), intermediate.subject_der(), signing.subject_der());
    let indirect = resigned(&replaced(&tbs, &key_id(intermediate), &key_id(&signing)), &signer.signer).await;
    assert_ne!(indirect.issuer_der(), direct.issuer_der());
    let first = world.taken(PRE_CHAIN, &[&indirect, &signing, intermediate]).await;
    let sct = sct_of(&serde_json::from_str(&first).unwrap());
    let entry = LogEntry::from_precertificate(&direct, intermediate).unwrap();
    verify_sct(&sct, &entry, world.log.public_key()).unwrap();
    // The authority's own precertificate of the same certificate is the same entry.
    assert_eq!(world.taken(PRE_CHAIN, &[&direct, intermediate]).await, first);

    world.until_size(1).await;
    let (_, tile) = world.get("/tile/data/000.p/1").await;
    let [logged] = &parse_data_tile(&tile).unwrap()[..] else { panic!("one entry") };
    assert_eq!((&logged.entry, logged.pre_certificate.as_slice()), (&entry, indirect.der()));
    let chain = [&signing, intermediate, root].map(|issuer| touchmark_keys::sha256(issuer.der()));
    assert_eq!(logged.fingerprints, chain);
    world.refused(PRE_CHAIN, &[&indirect, intermediate], "was not issued by the next one").await;
    world.refused(PRE_CHAIN, &[&indirect, &signing], "does not end at an accepted root").await;
}

#[tokio::test]
async fn refusals_of_a_chain_say_what_is_wrong_with_it() {
    let world = World::new().await;
    let [intermediate, root] = [&world.ca.chain[0], &world.ca.chain[1]];
    let precertificate = leaf(&world.ca, 1, Form::Precertificate).await;
    let certificate = leaf(&world.ca, 2, Form::Certificate).await;
    world.refused(CHAIN, &[&precertificate, intermediate], "the certificate is a precertificate").await;
    world.refused(PRE_CHAIN, &[&certificate, intermediate], "its poison is missing").await;
    world.refused(PRE_CHAIN, &[&precertificate, root, intermediate], "certificate 0 of the chain was not issued").await;
    world.refused(PRE_CHAIN, &[&precertificate, intermediate, intermediate], "certificate 1 of the chain").await;
    world.refused(PRE_CHAIN, &[&precertificate, intermediate, root, root, intermediate], "certificate 3 of").await;
    world.refused(CHAIN, &[intermediate, root], "itself a certificate authority").await;
    world.refused(CHAIN, &[], "the chain is empty").await;
    let eleven = vec![root; 11];
    world.refused(CHAIN, &eleven, "more than 10 certificates").await;
    // For time stamping, by the same authority.
    let (code_signing, time_stamping) =
        (hex::decode("06082b06010505070303").unwrap(), hex::decode("06082b06010505070308").unwrap());
    let other = resigned(&replaced(certificate.tbs_der(), &code_signing, &time_stamping), &world.ca.signer).await;
    world.refused(CHAIN, &[&other, intermediate], "not for code signing").await;
    // An issuer that is no authority.
    let orphan = replaced(other.tbs_der(), intermediate.subject_der(), certificate.subject_der());
    let orphan = resigned(&orphan, &world.ca.signer).await;
    world.refused(CHAIN, &[&orphan, &certificate, intermediate], "is not a certificate authority").await;
    assert_eq!(world.log.0.log.checkpoint().size, TreeSize(0));
}

/// Lost replies are asked for again; the same promise is given, whatever it is that differs between the submissions.
#[tokio::test]
async fn who_sends_the_same_again_gets_the_first_sct_byte_for_byte() {
    let (ca, other) = (TestCa::new().await, TestCa::new().await);
    let roots = vec![ca.root(), other.root()];
    let world = World::accepting(roots, ca, Validity::ANY, |ledger| Arc::new(ledger)).await;
    let [intermediate, root] = [&world.ca.chain[0], &world.ca.chain[1]];
    // The same authority, certified by another root: name and key stay.
    let cross = replaced(intermediate.tbs_der(), root.subject_der(), other.root().subject_der());
    let cross = resigned(&cross, &other.root_signer).await;
    let precertificate = leaf(&world.ca, 1, Form::Precertificate).await;
    let certificate = leaf(&world.ca, 2, Form::Certificate).await;

    // At once from many callers, of whom one is the first.
    let chain = [&precertificate, intermediate, root];
    let replies = join_all((0..8).map(|_| world.taken(PRE_CHAIN, &chain))).await;
    let first = &replies[0];
    assert!(replies.iter().all(|reply| reply == first), "{replies:?}");
    let of_certificate = world.taken(CHAIN, &[&certificate, &cross]).await;
    world.clock.advance_ms(3_600_000);
    assert_eq!(&world.taken(PRE_CHAIN, &[&precertificate, intermediate]).await, first);
    assert_eq!(&world.taken(PRE_CHAIN, &[&precertificate, &cross]).await, first);
    assert_eq!(&world.taken(PRE_CHAIN, &[&precertificate, &cross, &other.root()]).await, first);
    assert_eq!(world.taken(CHAIN, &[&certificate, intermediate, root]).await, of_certificate);
    // Signed once more by the authority: what the log promises of it is the same.
    let again = resigned(precertificate.tbs_der(), &world.ca.signer).await;
    assert_ne!(again.der(), precertificate.der());
    assert_eq!(&world.taken(PRE_CHAIN, &[&again, intermediate]).await, first);

    // The log keeps what came first.
    world.until_size(2).await;
    assert_eq!(world.log.0.log.checkpoint().size, TreeSize(2));
    let (_, tile) = world.get("/tile/data/000.p/2").await;
    let logged = parse_data_tile(&tile).unwrap();
    let fingerprint = |certificate: &Certificate| touchmark_keys::sha256(certificate.der());
    assert_eq!(logged[0].pre_certificate, precertificate.der());
    assert_eq!(logged[0].fingerprints, [fingerprint(intermediate), fingerprint(root)]);
    assert_eq!(logged[1].fingerprints, [fingerprint(&cross), fingerprint(&other.root())]);
}

#[tokio::test]
async fn a_frozen_log_takes_nothing_more_and_is_read_as_before() {
    let world = World::new().await;
    let precertificate = leaf(&world.ca, 1, Form::Precertificate).await;
    world.add_pre_chain(&precertificate).await;
    world.log.0.log.freeze().await.unwrap();
    let frozen = (405, None, "This log has been frozen, please switch to the latest log.\n".to_owned());
    let new = leaf(&world.ca, 2, Form::Precertificate).await;
    assert_eq!(world.submit(PRE_CHAIN, &[&new, &world.ca.chain[0]]).await, frozen);
    assert_eq!(world.submit(PRE_CHAIN, &[&precertificate, &world.ca.chain[0]]).await, frozen);
    assert_eq!(world.submit(CHAIN, &[]).await, frozen);
    assert_eq!(world.log.submit(&new, &world.ca.chain).await, Err(CtError::Frozen));
    assert_eq!(world.get_json("/ct/v1/get-sth").await["tree_size"], 1);
    assert_eq!(world.get("/ct/v1/get-entries?start=0&end=0").await.0, 200);
}

/// The ledger of a log, which fails when it is told to.
struct Failing {
    ledger: FjallLedger,
    fails: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl Ledger for Failing {
    async fn state(&self) -> Result<LedgerState, LedgerError> {
        self.ledger.state().await
    }

    async fn find_duplicates(&self, keys: &[DedupKey]) -> Result<Vec<Option<Sequenced>>, LedgerError> {
        self.ledger.find_duplicates(keys).await
    }

    async fn commit(&self, expected: &TreeHead, batch: &Batch) -> Result<Commit, LedgerError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(LedgerError::Io(std::io::ErrorKind::StorageFull));
        }
        self.ledger.commit(expected, batch).await
    }

    async fn rows(&self, start: LeafIndex, count: usize) -> Result<Vec<Row>, LedgerError> {
        self.ledger.rows(start, count).await
    }

    async fn find_leaf(&self, leaf_hash: &Hash) -> Result<Option<LeafIndex>, LedgerError> {
        self.ledger.find_leaf(leaf_hash).await
    }
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_is_no_fault_of_the_submitter() {
    let ca = TestCa::new().await;
    let fails = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&fails);
    let around = |ledger| Arc::new(Failing { ledger, fails: told }) as Arc<dyn Ledger>;
    let world = World::accepting(vec![ca.root()], ca, Validity::ANY, around).await;
    let precertificate = leaf(&world.ca, 1, Form::Precertificate).await;
    let chain = [&precertificate, &world.ca.chain[0]];
    let busy = (503, Some("1".to_owned()), "the log is busy, try again\n".to_owned());
    assert_eq!(world.submit(PRE_CHAIN, &chain).await, busy);
    fails.store(false, Ordering::SeqCst);
    let sct = sct_of(&serde_json::from_str(&world.taken(PRE_CHAIN, &chain).await).unwrap());
    assert_eq!(parse_leaf_index_extension(&sct.extensions), Ok(LeafIndex(0)));
}

#[test]
fn only_what_may_pass_asks_to_come_back() {
    let stopped = FatalCause::ObjectDiffers { name: "tile/0/000".to_owned() };
    for (error, status) in [
        (AddError::PoolFull, 503),
        (AddError::ShuttingDown, 503),
        (AddError::Storage, 503),
        (AddError::Unsigned, 503),
        (AddError::Frozen, 405),
        (AddError::EntryTooLarge { bytes: 2, max: 1 }, 400),
        (AddError::Fatal(stopped), 500),
    ] {
        let response = Refusal::from(CtError::from(error.clone())).into_response();
        assert_eq!(response.status().as_u16(), status, "{error}");
        assert_eq!(response.headers().contains_key("retry-after"), status == 503, "{error}");
    }
}

/// The leaf of a test ends ten minutes after the time at which its clock begins.
fn not_after(plus_s: i64) -> Timestamp {
    Timestamp::from_second(i64::try_from(NOW_S).unwrap() + 600 + plus_s).unwrap()
}

async fn world_of(interval: Option<(i64, i64)>, expired: Expired) -> World {
    let interval = interval.map(|(start, limit)| Interval::new(not_after(start), not_after(limit)).unwrap());
    World::of(TestCa::new().await, Validity { interval, expired }).await
}

#[tokio::test]
async fn a_log_of_an_interval_takes_what_ends_within_it_and_says_so() {
    // From the start on, and not at the limit.
    for (start, limit, taken) in [(0, 1, true), (-5, 5, true), (-5, 0, false), (1, 5, false)] {
        let world = world_of(Some((start, limit)), Expired::Taken).await;
        let precertificate = leaf(&world.ca, 1, Form::Precertificate).await;
        let chain = [&precertificate, &world.ca.chain[0]];
        let in_process = world.log.submit(&precertificate, &world.ca.chain).await;
        if taken {
            world.taken(PRE_CHAIN, &chain).await;
            assert!(in_process.is_ok());
        } else {
            world.refused(PRE_CHAIN, &chain, "send it to the log of its time").await;
            assert_eq!(in_process, Err(CtError::Refused { status: 400 }));
        }
        let interval = world.get_json("/log.v3.json").await["temporal_interval"].clone();
        let [start, limit] = [start, limit].map(|plus_s| not_after(plus_s).to_string());
        assert_eq!(interval, json!({ "start_inclusive": start, "end_exclusive": limit }));
    }
    assert!(Interval::new(not_after(0), not_after(0)).is_none());
    let world = world_of(None, Expired::Taken).await;
    assert!(world.get_json("/log.v3.json").await.get("temporal_interval").is_none());
}

#[tokio::test]
async fn what_has_expired_is_taken_unless_the_log_is_told_otherwise() {
    let expired = "this log takes none that has expired";
    for (rule, before, after) in [
        (Expired::Taken, None, None),
        (Expired::Refused, None, Some(expired)),
        (Expired::Demanded, Some("takes only what has expired"), None),
    ] {
        let world = world_of(None, rule).await;
        let check = async |serial: u8, refusal: Option<&str>| {
            let precertificate = leaf(&world.ca, serial, Form::Precertificate).await;
            let chain = [&precertificate, &world.ca.chain[0]];
            match refusal {
                Some(why) => world.refused(PRE_CHAIN, &chain, why).await,
                None => assert!(world.taken(PRE_CHAIN, &chain).await.contains("signature")),
            }
        };
        check(1, before).await;
        // The last second is a valid one.
        world.clock.advance_ms(600_000);
        check(2, before).await;
        world.clock.advance_ms(1);
        check(3, after).await;
    }
}
