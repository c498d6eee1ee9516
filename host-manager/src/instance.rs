//! Which machine this is: asked from the metadata service, and remembered for a start while that service is away.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use crate::files::{self, FileError};
use crate::metadata::{self, Instance};
use crate::paths::Paths;
use crate::report::chain;
use crate::timing::Timing;

/// Asks until somebody answers. A machine that was asked before and still has its address goes on with what it heard
/// then, when no answer comes for [`Timing::storage_patience`]: Consul needs the address and nothing else of it.
///
/// Cancel safe: what it writes is whole or not there.
pub async fn find(endpoint: &str, paths: &Paths, timing: &Timing) -> Instance {
    let answer = ask(endpoint, timing);
    tokio::pin!(answer);
    loop {
        if let Ok(found) = tokio::time::timeout(timing.storage_patience, &mut answer).await {
            if let Err(error) = keep(paths, &found) {
                tracing::warn!(error = chain(&error), "what this machine is was not written down");
            }
            return found;
        }
        if let Some(known) = kept(paths).filter(|known| is_ours(known.address)) {
            tracing::warn!(
                address = %known.address,
                "the instance metadata service does not answer: going on with what it said last"
            );
            return known;
        }
    }
}

async fn ask(endpoint: &str, timing: &Timing) -> Instance {
    let mut failures = 0;
    let mut said = String::new();
    loop {
        let error = match metadata::instance(endpoint).await {
            Ok(instance) => return instance,
            Err(error) => error,
        };
        failures += 1;
        let text = chain(&error);
        if text != said {
            tracing::warn!("{text}");
            said = text;
        }
        tokio::time::sleep(timing.backoff(failures).max(Duration::from_millis(100))).await;
    }
}

fn keep(paths: &Paths, instance: &Instance) -> Result<(), FileError> {
    files::make_dir(&paths.state_dir(), 0o700)?;
    let text = serde_json::to_vec_pretty(instance).unwrap_or_default();
    files::write_if_changed(&paths.instance(), &text, 0o600)?;
    Ok(())
}

/// A file that is not understood is as good as none: the service will be asked for longer.
fn kept(paths: &Paths) -> Option<Instance> {
    let bytes = files::read(&paths.instance()).ok()??;
    serde_json::from_slice(&bytes).ok()
}

/// A disk that came from another machine, or a machine with another address, knows nothing.
fn is_ours(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing() -> Timing {
        Timing { storage_patience: Duration::from_millis(200), ..Timing::scaled(60.0) }
    }

    /// Nobody listens at the discard port.
    const AWAY: &str = "http://127.0.0.1:9";

    async fn found_with(instance: Option<Instance>) -> Option<Instance> {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        if let Some(instance) = &instance {
            keep(&paths, instance).unwrap();
        }
        let patience = Duration::from_secs(2);
        tokio::time::timeout(patience, find(AWAY, &paths, &timing())).await.ok()
    }

    #[tokio::test]
    async fn without_the_service_a_machine_is_what_it_was_as_long_as_it_has_its_address() {
        let known = |address: &str| Instance {
            address: address.parse().unwrap(),
            zone: Some("2".into()),
            name: "vm_0".into(),
        };
        assert_eq!(found_with(Some(known("127.0.0.1"))).await, Some(known("127.0.0.1")));
        assert_eq!(found_with(Some(known("192.0.2.1"))).await, None, "another machine's disk");
        assert_eq!(found_with(None).await, None, "a first boot");
    }

    #[test]
    fn a_torn_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        files::make_dir(&paths.state_dir(), 0o700).unwrap();
        std::fs::write(paths.instance(), "{\"addr").unwrap();
        assert_eq!(kept(&paths), None);
    }
}
