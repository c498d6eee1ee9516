//! What every part of the host manager needs to know of its server.

use std::sync::Arc;

use hcs_engine::clock::Clock;
use hcs_planner::dataplane::BootstrapConfig;

use crate::documents::Stores;
use crate::metadata::Instance;
use crate::own_program::OwnProgram;
use crate::paths::Paths;
use crate::releases::Keys;
use crate::service::Service;
use crate::timing::Timing;

/// One server and the ports through which it is managed.
#[derive(Clone)]
pub struct Host {
    /// From cloud-init.
    pub bootstrap: BootstrapConfig,
    /// From the metadata service.
    pub instance: Instance,
    /// The program that runs.
    pub own: OwnProgram,
    /// The disk.
    pub paths: Paths,
    /// The storage account.
    pub stores: Stores,
    /// The service manager.
    pub service: Arc<dyn Service>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Whose signature makes a release one.
    pub release_keys: Keys,
    /// Our periods.
    pub timing: Timing,
}
