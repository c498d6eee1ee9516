//! Snapshots on their way into the account: cut, damaged, refused and killed at any moment, and never half there.
//! `HCS_STREAMS` says how many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::stream;
use hcs_engine::blob::{BlobError, BlockStore};
use hcs_engine::snapshot::archive;
use hcs_host_manager::consul::client::ConsulError;
use hcs_host_manager::snapshot::save::{Place, SaveError, keep, look};
use hcs_planner::names::hex;
use hcs_release_maker::archive::sealed;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};
use support::blobs::Account;

const STREAMS_IN_CI: u64 = 300;
const CONTAINER: &str = "snapshots";
const NAME: &str = "hourly/20261129T000000Z.snap";

/// An archive as Consul writes it, whose state does not get smaller.
fn snapshot(random: &mut StdRng, value_bytes_max: usize) -> Bytes {
    let mut state = b"\x81\xa9LastIndex\x0d".to_vec();
    for _ in 0..random.gen_range(1..200) {
        let mut value = vec![0; random.gen_range(1..value_bytes_max)];
        random.fill_bytes(&mut value);
        state.extend([2, 0xc6]);
        state.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        state.extend(value);
    }
    sealed(&state)
}

fn broken() -> ConsulError {
    ConsulError::Silent {
        address: "127.0.0.1".parse().unwrap(),
        method: reqwest::Method::GET,
        path: "snapshot",
    }
}

/// What arrives of an archive, in chunks of any size.
fn chunks(mut bytes: Bytes, random: &mut StdRng) -> Vec<Result<Bytes, ConsulError>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let size = random.gen_range(1..=bytes.len().min(400_000).max(1 + bytes.len() / 40));
        all.push(Ok(bytes.split_to(size)));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_there_whole_or_not_at_all() {
    let streams = std::env::var("HCS_STREAMS").ok();
    let streams = streams.map_or(STREAMS_IN_CI, |text| text.parse().unwrap());
    let mut random = StdRng::seed_from_u64(29);
    let small: Vec<Bytes> = (0..8).map(|_| snapshot(&mut random, 800)).collect();
    // Of several blocks.
    let large = snapshot(&mut random, 100_000);
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    for count in 0..streams {
        let account = Account::default();
        account.make_container(CONTAINER);
        let is_large = random.gen_range(0..20) == 0;
        let whole =
            if is_large { &large } else { &small[random.gen_range(0..small.len())] }.clone();
        let mut arriving = chunks(whole.clone(), &mut random);
        let fault = random.gen_range(0..6);
        let at = random.gen_range(0..arriving.len());
        let mut polls = u64::MAX;
        match fault {
            // Nothing goes wrong.
            0 => {}
            // Consul's answer ends early, is broken off, goes on with a text, or was damaged.
            1 => arriving.truncate(at),
            2 => arriving.splice(at.., [Err(broken())]).for_each(drop),
            3 => match random.gen_range(0..2) {
                0 => arriving.push(Ok(Bytes::from_static(b"failed to read snapshot"))),
                _ => {
                    let chunk = arriving[at].as_mut().unwrap();
                    let mut bytes = chunk.to_vec();
                    let byte = random.gen_range(0..bytes.len());
                    bytes[byte] ^= 1 << random.gen_range(0..8);
                    *chunk = bytes.into();
                }
            },
            // The account refuses a call.
            4 => account.refuse_write(Some((random.gen_range(0..3), random.gen_bool(0.5)))),
            // We are killed.
            _ => polls = random.gen_range(0..60),
        }
        let view = account.view(&[], &[CONTAINER.to_owned()]);
        let store: Arc<dyn BlockStore> = Arc::new(view);
        let place = Place { store: &store, container: CONTAINER, name: NAME };
        let ended = {
            let mut work = pin!(keep(stream::iter(arriving), place, BTreeMap::new()));
            loop {
                if polls == 0 {
                    break None;
                }
                polls -= 1;
                match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(ended) => break Some(ended),
                    Poll::Pending => tokio::task::yield_now().await,
                }
            }
        };
        let there = account.read(CONTAINER, NAME);
        if let Some(there) = &there {
            archive::verify(there.as_ref()).unwrap_or_else(|error| panic!("{count}: {error}"));
        }
        let told = match &ended {
            Some(Ok(saved)) => {
                assert!(there.is_some(), "{count}: it says that it is there");
                assert_eq!(saved.sha256, hex(&Sha256::digest(there.unwrap())), "{count}");
                "kept"
            }
            Some(Err(SaveError::Archive(_))) => "no good",
            Some(Err(_)) => "failed",
            None => "killed",
        };
        *ends.entry(told).or_default() += 1;
        // Whoever comes next keeps one, or finds the one that is there.
        account.refuse_write(None);
        let again = stream::iter(chunks(whole, &mut random));
        match keep(again, place, BTreeMap::new()).await {
            Ok(_) | Err(SaveError::Blob(BlobError::ConditionFailed { .. })) => {}
            Err(error) => panic!("{count}: {error}"),
        }
        let (found, _) = look(place).await.unwrap().unwrap();
        assert_eq!(found.sha256, hex(&Sha256::digest(account.read(CONTAINER, NAME).unwrap())));
    }
    println!("{streams} streams: {ends:?}");
    assert!(
        ["kept", "no good", "failed", "killed"].iter().all(|end| ends.contains_key(end)),
        "{ends:?}"
    );
}
