// SPDX-License-Identifier: Apache-2.0
//! Slow retrieval: a mirror that says enough to keep a connection open, and never all.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use touchmark_outbound::{OutboundError, Reach};

use super::*;

const SHORT: Patience = Patience { file: Duration::from_millis(300), walk: Duration::from_millis(700) };

/// Serves a file that drips for ever, and one that comes whole after a while.
async fn mirror(patience: Patience) -> HttpMirror {
    let drip = || async {
        let drops = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
        });
        Body::from_stream(drops)
    };
    let late = || async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        "{}"
    };
    let router =
        Router::new().route("/drip.json", get(drip)).route("/targets/drip", get(drip)).route("/late.json", get(late));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let targets = base.join("targets").unwrap();
    HttpMirror::new(Outbound::new("touchmark-test", Reach::Private, None), base, targets, patience)
}

#[tokio::test]
async fn slow_retrieval_a_file_that_drips_is_given_up_in_time() {
    let begun = Instant::now();
    let mirror = mirror(SHORT).await;
    for refused in [mirror.fetch_metadata("drip.json", 1 << 20).await, mirror.fetch_target("drip", 1 << 20).await] {
        let Err(Error::Transport { source: Some(source), .. }) = refused else { panic!("{refused:?}") };
        assert!(matches!(source.downcast_ref(), Some(OutboundError::Timeout { .. })), "{source:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn slow_retrieval_a_mirror_that_is_slow_with_each_file_is_given_up_with_the_walk() {
    let mirror = mirror(SHORT).await;
    let mut fetched = 0;
    let refused = loop {
        match mirror.fetch_metadata("late.json", 1 << 10).await {
            Ok(found) => assert_eq!(found.as_deref(), Some(&b"{}"[..])),
            Err(refused) => break refused,
        }
        fetched += 1;
        assert!(fetched < 10, "the walk has no end");
    };
    assert!(fetched >= 1, "each file alone was in time: {refused}");
}

#[test]
fn the_limits_are_those_of_a_slow_line_and_not_of_an_afternoon() {
    assert!(Patience::MAX.file < Patience::MAX.walk && Patience::MAX.walk <= Duration::from_secs(300));
}
