//! Takes Consul's snapshot and brings it into an account as it comes.

use std::collections::BTreeMap;

pub use hcs_engine::snapshot::save::{Place, SaveError, Saved, keep, look, read, verify};

use crate::consul::client::ConsulClient;
use crate::host::Host;
use crate::room;

/// Takes one and keeps it, where nothing has its name yet and Consul has room for it. `said` is kept beside it.
pub async fn save(
    host: &Host,
    client: &ConsulClient,
    place: Place<'_>,
    said: BTreeMap<String, String>,
) -> Result<Saved, SaveError> {
    room::for_a_snapshot(&host.paths.data_dir())
        .map_err(|error| SaveError::Source(error.into()))?;
    let stream = client.snapshot().await.map_err(|error| SaveError::Source(error.into()))?;
    keep(stream, place, said).await
}
