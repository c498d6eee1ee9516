//! A large state goes up in constant memory, beside Consul's own way to a file. `HCS_SNAPSHOT_MIB` says how large.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::blob::{BlobContent, BlobEntry, BlobError, BlobStore, BlockStore, WriteCondition};
use hcs_host_manager::snapshot::save::{Place, save};
use hcs_planner::names::hex;
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use support::world::{DATACENTER, MANAGEMENT, World};
use support::{consul_binary, eventually};

/// Its archive has half of it, which is more than may be held.
const MIB_IN_CI: u64 = 32;
const MIB: u64 = 1 << 20;
const VALUE_BYTES: u64 = MIB / 4;
/// What a snapshot of any size may take: four blocks, and what is read and verified.
const MEMORY_MIB_MAX: u64 = 26;

/// An account that holds nothing: what it takes is counted.
#[derive(Default)]
struct Sink(AtomicU64);

#[async_trait]
impl BlobStore for Sink {
    async fn get(&self, _: &str, _: &str) -> Result<Option<BlobContent>, BlobError> {
        Ok(None)
    }

    async fn put(
        &self,
        _: &str,
        _: &str,
        _: Bytes,
        _: WriteCondition,
    ) -> Result<String, BlobError> {
        panic!("it would have to be held")
    }

    async fn delete(&self, _: &str, _: &str) -> Result<bool, BlobError> {
        Ok(false)
    }

    async fn set_metadata(
        &self,
        _: &str,
        _: &str,
        _: &BTreeMap<String, String>,
    ) -> Result<(), BlobError> {
        unreachable!("nothing is said of blobs here")
    }

    async fn list(&self, _: &str, _: &str) -> Result<Vec<BlobEntry>, BlobError> {
        Ok(vec![])
    }
}

#[async_trait]
impl BlockStore for Sink {
    async fn stage(&self, _: &str, _: &str, _: &str, bytes: Bytes) -> Result<(), BlobError> {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    async fn commit(
        &self,
        _: &str,
        _: &str,
        _: &[String],
        _: &BTreeMap<String, String>,
        _: WriteCondition,
    ) -> Result<String, BlobError> {
        Ok("etag".to_owned())
    }

    async fn read_part(
        &self,
        _: &str,
        _: &str,
        _: u64,
        _: usize,
        _: Option<&str>,
    ) -> Result<Option<BlobContent>, BlobError> {
        Ok(None)
    }
}

/// Of this process, as the kernel says.
fn memory_mib(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_state_goes_up_in_constant_memory() {
    let mib = std::env::var("HCS_SNAPSHOT_MIB").ok();
    let mib = mib.map_or(MIB_IN_CI, |text| text.parse().unwrap());
    let world = World::new(&consul_binary(), 1);
    let mut server = world.server(0);
    server.start_manager();
    let client = world.client(0, MANAGEMENT);
    let mut random = StdRng::seed_from_u64(7);
    for number in 0..mib * MIB / VALUE_BYTES {
        let mut bytes = vec![0; usize::try_from(VALUE_BYTES / 2).unwrap()];
        random.fill_bytes(&mut bytes);
        let (client, value) = (&client, hex(&bytes));
        eventually("a key is written", Duration::from_mins(1), || async {
            client.put_only(&format!("kv/large/{number}"), &value).await.ok()
        })
        .await;
    }
    let ca = world.folder.path().join("large-ca.pem");
    std::fs::write(&ca, &world.ca_pem).unwrap();
    let file = world.folder.path().join("large.snap");
    let of_consul = || {
        let began = Instant::now();
        let output = Command::new(consul_binary())
            .args(["snapshot", "save"])
            .arg(format!("-http-addr=https://{}:8501", world.address(0)))
            .arg(format!("-ca-file={}", ca.display()))
            .arg(format!("-tls-server-name=server.{DATACENTER}.consul"))
            .arg(format!("-token={MANAGEMENT}"))
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        began.elapsed()
    };
    let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
    let (mut size_bytes, mut grown_mib) = (0, 0);
    for _ in 0..3 {
        theirs = theirs.min(of_consul());
        // The peak begins anew.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before_mib = memory_mib("VmRSS:");
        let sink = Arc::new(Sink::default());
        let store: Arc<dyn BlockStore> = sink.clone();
        let place = Place { store: &store, container: "snapshots", name: "large.snap" };
        let began = Instant::now();
        let saved = save(&server.host, &client, place, BTreeMap::new()).await.unwrap();
        ours = ours.min(began.elapsed());
        grown_mib = grown_mib.max(memory_mib("VmHWM:").saturating_sub(before_mib));
        assert_eq!(saved.size_bytes, sink.0.load(Ordering::Relaxed), "all of it went up");
        assert!(saved.facts.state_bytes > mib * MIB, "{saved:?}");
        size_bytes = saved.size_bytes;
    }
    println!(
        "{mib} MiB of keys, an archive of {:.1} MiB: {:.2} s, {:.2} of what consul snapshot save takes ({:.2} s); memory grew by \
         {grown_mib} MiB at most",
        f64::from(u32::try_from(size_bytes / 1024).unwrap()) / 1024.0,
        ours.as_secs_f64(),
        ours.as_secs_f64() / theirs.as_secs_f64(),
        theirs.as_secs_f64()
    );
    assert!(grown_mib < MEMORY_MIB_MAX, "{grown_mib} MiB for {mib}");
    server.stop_manager().await;
}
