//! What all parts of the front share, and the files of its folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::blob::store::BlobStore;
use super::vm::Machines;
use super::{FrontError, now_ms};
use crate::world::World;
use crate::world::events::Event;

/// Names and secrets of an emulator, kept over restarts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) port: u16,
    pub(crate) subscription_id: String,
    pub(crate) tenant_id: String,
    pub(crate) client_id: String,
    pub(crate) caller_object_id: String,
    pub(crate) client_secret: String,
    pub(crate) token_key: String,
}

/// What the front's own task does, one after the other.
pub(crate) enum Errand {
    CarryOut(Box<Event>),
    /// Tells that all before it is done.
    Tell(oneshot::Sender<()>),
}

/// Shared by every connection.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) endpoint: String,
    /// Accounts are named below it, port and all; absent: by paths of the endpoint.
    pub(crate) storage_suffix: Option<String>,
    pub(crate) identity: Identity,
    pub(crate) token_key: hmac::Key,
    /// Given to machines only when the emulator was started with it.
    pub(crate) time_scale: Option<String>,
    /// The same: the calendar of maintenance windows.
    pub(crate) calendar: Option<String>,
    /// Releases of Consul that are served.
    pub(crate) releases: Option<PathBuf>,
    pub(crate) blobs: BlobStore,
    pub(crate) machines: Machines,
    world: Mutex<World>,
    dirty: AtomicBool,
    saving: Mutex<()>,
    errands: UnboundedSender<Errand>,
}

impl Shared {
    pub(crate) fn new(
        dir: &Path,
        endpoint: String,
        identity: Identity,
        time_scale: Option<String>,
        world: World,
        errands: UnboundedSender<Errand>,
    ) -> Result<Self, FrontError> {
        let token_key = hmac::Key::new(hmac::HMAC_SHA256, identity.token_key.as_bytes());
        Ok(Self {
            dir: dir.to_owned(),
            endpoint,
            storage_suffix: None,
            identity,
            token_key,
            time_scale,
            calendar: None,
            releases: None,
            blobs: BlobStore::open(&dir.join("blobs"))?,
            machines: Machines::open(dir)?,
            world: Mutex::new(world),
            dirty: AtomicBool::new(true),
            saving: Mutex::new(()),
            errands,
        })
    }

    /// The world, at the present time. What happened meanwhile goes to the front's own task.
    pub(crate) fn world(&self) -> WorldGuard<'_> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        for event in world.advance(now_ms()) {
            self.dirty.store(true, Ordering::Relaxed);
            // The receiver lives as long as the front; at its end events no longer matter.
            let _ = self.errands.send(Errand::CarryOut(Box::new(event)));
        }
        WorldGuard { world }
    }

    /// Waits until everything that has happened by now is carried out: a machine that ARM shows as gone has ended.
    pub(crate) async fn settle(&self) {
        drop(self.world());
        let (sender, settled) = oneshot::channel();
        let _ = self.errands.send(Errand::Tell(sender));
        let _ = settled.await;
    }

    fn touch(&self) {
        self.dirty.store(true, Ordering::Relaxed);
    }

    /// Marks the world as changed and writes it down: what was answered must survive a kill.
    pub(crate) fn keep(&self) {
        self.touch();
        if let Err(error) = self.save() {
            tracing::error!(%error, "the world could not be saved");
        }
    }

    /// Writes the world down when it has changed.
    pub(crate) fn save(&self) -> Result<(), FrontError> {
        let _alone = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.dirty.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let text = serde_json::to_vec(&*self.world().world)
            .map_err(|source| FrontError::Format { path: self.dir.join("world.json"), source })?;
        super::write_atomically(&self.dir.join("world.json"), &text)
    }
}

/// The locked world.
pub(crate) struct WorldGuard<'s> {
    world: MutexGuard<'s, World>,
}

impl std::ops::Deref for WorldGuard<'_> {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

impl std::ops::DerefMut for WorldGuard<'_> {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}
