//! Everything that a subscription holds, as one value: what Resource Manager knows, blobs, and the servers on its
//! machines. A clone is a fork: two runs that start from clones never notice each other.

mod blobs;
mod fingerprint;
mod quorum;
mod servers;

use crate::world::World;
use crate::world::events::Event;
use crate::world::settings::Settings;

pub use blobs::{Blob, Blobs};
pub use fingerprint::fingerprint;
pub use quorum::{Losses, Quorum};
pub use servers::{HOPELESS, Servers};

/// A subscription and what runs in it.
#[derive(Clone, Debug)]
pub struct Estate {
    /// Resource Manager.
    pub world: World,
    /// All blobs of all accounts.
    pub blobs: Blobs,
    /// The servers of one cluster; `None`: its machines run nothing.
    pub servers: Option<Servers>,
    /// What happened to machines and data since somebody asked.
    pub(crate) events: Vec<Event>,
}

impl Estate {
    /// An empty subscription.
    pub fn new(settings: Settings, now_ms: u64) -> Self {
        Self::over(World::new(settings, now_ms))
    }

    /// A world without blobs and servers.
    pub fn over(world: World) -> Self {
        Self { world, blobs: Blobs::default(), servers: None, events: Vec::new() }
    }

    /// Lets time pass: operations end and servers have their rounds, each at its own moment and in order.
    pub fn advance(&mut self, now_ms: u64) {
        while let Some(round_ms) = self.servers.as_ref().map(Servers::next_round_ms)
            && round_ms <= now_ms
        {
            self.pass(round_ms);
            if let Some(servers) = &mut self.servers {
                servers.round(&self.world, &self.blobs, round_ms);
            }
        }
        self.pass(now_ms);
        if let Some(servers) = &mut self.servers {
            servers.report(&mut self.blobs);
        }
    }

    fn pass(&mut self, now_ms: u64) {
        for event in self.world.advance(now_ms) {
            match &event {
                Event::AccountDeleted { account } => self.blobs.remove_account(account),
                Event::ContainerDeleted { account, container } => {
                    self.blobs.remove_container(account, container);
                }
                Event::VmStopped { id, .. } => {
                    if let Some(servers) = &mut self.servers {
                        servers.power_lost(id, now_ms);
                    }
                }
                Event::VmStarted { .. } => {}
            }
            self.events.push(event);
        }
    }
}
