// SPDX-License-Identifier: Apache-2.0
//! How many requests one address, or one of anything else, may make in a minute.
//!
//! A token bucket for each key, as the generic cell rate algorithm (ITU-T I.371, annex A) keeps one: a single time, at which the bucket is full again.
//!
//! In scope: the buckets, how many are remembered, which address a request counts for. Out of scope: what else is limited (`crate::fulcio`), the reply
//! of each authority; how many requests are handled at once (`crate::http::layers`).
//! Invariants: memory is bounded by [`KEYS_MAX`] for each kind, whatever requests say; an address is believed from a header only if a proxy that the
//! operator names sent it; a clock that is set back locks nobody out longer than a minute.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use axum::extract::Request;
use axum::http::HeaderMap;
use touchmark_keys::sha256;

use crate::http::listener::PeerAddress;

/// Keys of one kind that are remembered: 4 MiB of them. Beyond, the half that has used least is forgotten.
const KEYS_MAX: usize = 1 << 16;
/// What a bucket holds is what flows into it in this time.
const WINDOW_US: u64 = 60_000_000;
/// Bits of an IPv6 address that one subscriber has to choose from (RFC 6177): the rest names the network that is counted.
const HOST_BITS: u32 = 64;
/// Where a proxy says who asked it.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// What an operator allows an address; what he does not name is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressLimitConfig {
    pub(crate) per_minute: Option<NonZeroU32>,
    /// Whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<IpAddr>,
}

/// Nothing is left for this minute; in so many seconds there is room for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Empty {
    pub(crate) retry_after_s: u64,
}

/// The limit on requests of one address.
pub(crate) struct AddressLimit {
    buckets: Option<Buckets>,
    trusted_proxies: Vec<IpAddr>,
}

impl AddressLimit {
    pub(crate) fn new(config: &AddressLimitConfig) -> Self {
        Self { buckets: config.per_minute.map(Buckets::new), trusted_proxies: config.trusted_proxies.clone() }
    }

    /// The address that a request counts for, if it came over a listener.
    pub(crate) fn client_of(&self, request: &Request) -> Option<IpAddr> {
        let PeerAddress(peer) = request.extensions().get::<PeerAddress>()?;
        Some(self.client(*peer, request.headers()))
    }

    /// That of the connection, or what the proxy at its other end says.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusted_proxies.contains(&peer.to_canonical()) {
            return peer;
        }
        // The last one is what the proxy saw; those before it are the client's to make up.
        let last = headers.get_all(FORWARDED_FOR).iter().next_back().and_then(|value| value.to_str().ok());
        let last = last.and_then(|value| value.rsplit(',').next()).map(str::trim);
        last.and_then(|address| address.parse().ok()).unwrap_or(peer)
    }

    /// Before anything is done for a request. A request without an address (none of a listener) is not limited by one.
    pub(crate) fn admit(&self, client: Option<IpAddr>, now_ms: u64) -> Result<(), Empty> {
        match (&self.buckets, client) {
            (Some(buckets), Some(client)) => buckets.take(network(client), now_ms),
            _ => Ok(()),
        }
    }
}

/// All of one IPv4 address, and what of an IPv6 address names a network.
fn network(client: IpAddr) -> [u8; 32] {
    let network = match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> HOST_BITS << HOST_BITS)),
    };
    sha256(network.to_string().as_bytes())
}

/// The buckets of one kind.
pub(crate) struct Buckets {
    /// How long it takes until there is room for one more.
    interval_us: u64,
    /// When each is full again. One that is full is not remembered.
    full_at_us: Mutex<HashMap<[u8; 32], u64>>,
}

impl Buckets {
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        Self { interval_us: (WINDOW_US / u64::from(per_minute.get())).max(1), full_at_us: Mutex::default() }
    }

    /// Takes one out of the bucket of a key.
    pub(crate) fn take(&self, key: [u8; 32], now_ms: u64) -> Result<(), Empty> {
        let now_us = now_ms.saturating_mul(1000);
        let mut buckets = self.full_at_us.lock().unwrap_or_else(PoisonError::into_inner);
        // A bucket that is full later than an empty one would be was filled under a clock that has been set back since.
        let full_at_us = buckets.get(&key).copied().unwrap_or(now_us).clamp(now_us, now_us.saturating_add(WINDOW_US));
        let then_full_at_us = full_at_us.saturating_add(self.interval_us);
        let over_us = then_full_at_us.saturating_sub(now_us.saturating_add(WINDOW_US));
        if over_us > 0 {
            buckets.insert(key, full_at_us);
            return Err(Empty { retry_after_s: over_us.div_ceil(1_000_000) });
        }
        if buckets.len() >= KEYS_MAX && !buckets.contains_key(&key) {
            forget(&mut buckets, now_us);
        }
        buckets.insert(key, then_full_at_us);
        Ok(())
    }
}

/// Makes room: of buckets that are full nothing is lost, and if there are not enough of them the half goes that is nearest to it.
fn forget(buckets: &mut HashMap<[u8; 32], u64>, now_us: u64) {
    buckets.retain(|_, full_at_us| *full_at_us > now_us);
    if buckets.len() < KEYS_MAX / 2 {
        return;
    }
    let mut times: Vec<u64> = buckets.values().copied().collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    let mut equal_that_stay = KEYS_MAX / 4;
    buckets.retain(|_, full_at_us| {
        let stays = *full_at_us > median || (*full_at_us == median && equal_that_stay > 0);
        if *full_at_us == median {
            equal_that_stay = equal_that_stay.saturating_sub(1);
        }
        stays
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_minute(number: u32) -> Buckets {
        Buckets::new(NonZeroU32::new(number).unwrap())
    }

    fn take(buckets: &Buckets, key: u8, now_ms: u64) -> Result<(), u64> {
        buckets.take([key; 32], now_ms).map_err(|empty| empty.retry_after_s)
    }

    #[test]
    fn a_minutes_worth_at_once_and_then_one_after_the_other() {
        let buckets = per_minute(3);
        for _ in 0..3 {
            assert_eq!(take(&buckets, 1, 1000), Ok(()));
        }
        assert_eq!(take(&buckets, 1, 1000), Err(20));
        assert_eq!(take(&buckets, 2, 1000), Ok(()));
        assert_eq!(take(&buckets, 1, 20_999), Err(1));
        assert_eq!(take(&buckets, 1, 21_000), Ok(()));
        assert_eq!(take(&buckets, 1, 21_000), Err(20));
        for _ in 0..3 {
            assert_eq!(take(&buckets, 1, 1_000_000), Ok(()));
        }
        assert_eq!(take(&buckets, 1, 1_000_000), Err(20));
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let buckets = per_minute(1);
        assert_eq!(take(&buckets, 1, 1_000_000_000), Ok(()));
        assert_eq!(take(&buckets, 1, 1000), Err(60));
        assert_eq!(take(&buckets, 1, 31_000), Err(30));
        assert_eq!(take(&buckets, 1, 61_000), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_who_used_most_is_remembered() {
        let buckets = per_minute(2);
        let key = |number: usize| sha256(&number.to_be_bytes());
        for _ in 0..2 {
            buckets.take([0; 32], 1000).unwrap();
        }
        for number in 0..3 * KEYS_MAX {
            buckets.take(key(number), 1000).unwrap();
            assert!(buckets.full_at_us.lock().unwrap().len() <= KEYS_MAX);
        }
        assert!(buckets.take([0; 32], 1000).is_err());
    }

    #[test]
    fn only_a_named_proxy_says_whose_request_it_is() {
        let limits = AddressLimit::new(&AddressLimitConfig {
            per_minute: None,
            trusted_proxies: vec!["10.0.0.1".parse().unwrap()],
        });
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "192.0.2.66".parse().unwrap());
        headers.append("x-forwarded-for", "192.0.2.7, 198.51.100.2".parse().unwrap());
        let client = |peer: &str, headers: &HeaderMap| limits.client(peer.parse().unwrap(), headers).to_string();
        assert_eq!(client("10.0.0.1", &headers), "198.51.100.2");
        assert_eq!(client("::ffff:10.0.0.1", &headers), "198.51.100.2");
        assert_eq!(client("10.0.0.2", &headers), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &HeaderMap::new()), "10.0.0.1");
        headers.append("x-forwarded-for", "unknown".parse().unwrap());
        assert_eq!(client("10.0.0.1", &headers), "10.0.0.1");
    }

    #[test]
    fn an_address_is_limited_by_its_network_and_a_request_without_one_is_not() {
        let limit =
            AddressLimit::new(&AddressLimitConfig { per_minute: NonZeroU32::new(1), trusted_proxies: Vec::new() });
        let admit = |address: &str| limit.admit(Some(address.parse().unwrap()), 1000);
        assert_eq!(admit("2001:db8:1:2::1"), Ok(()));
        assert_eq!(admit("2001:db8:1:2::2"), Err(Empty { retry_after_s: 60 }));
        assert_eq!(admit("192.0.2.1"), Ok(()));
        for _ in 0..3 {
            assert_eq!(limit.admit(None, 1000), Ok(()));
        }
        let unlimited = AddressLimit::new(&AddressLimitConfig::default());
        for _ in 0..100 {
            assert_eq!(unlimited.admit(Some("192.0.2.1".parse().unwrap()), 1000), Ok(()));
        }
    }

    #[test]
    fn a_subscriber_with_many_ipv6_addresses_is_one() {
        let of = |address: &str| network(address.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
