//! The deterministic Azure world: one state machine, no threads, no sockets, no clock of its own.

pub(crate) mod bodies;
pub(crate) mod condition;
pub(crate) mod crud;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod fault;
pub(crate) mod http;
pub(crate) mod ids;
pub(crate) mod kind;
pub(crate) mod lists;
pub(crate) mod names;
pub(crate) mod operations;
pub(crate) mod policy;
pub(crate) mod random;
pub(crate) mod rbac;
pub(crate) mod regions;
pub(crate) mod remove;
pub(crate) mod resource;
pub(crate) mod resources;
pub(crate) mod router;
pub(crate) mod settings;
pub(crate) mod tags;
pub(crate) mod throttle;
pub(crate) mod versions;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use self::events::Event;
use self::operations::Operation;
use self::random::Random;
use self::resources::Resources;
use self::settings::Settings;

/// A principal of the tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Principal {
    /// Object id.
    pub object_id: String,
    /// Application id.
    pub client_id: String,
    /// ARM id of the identity, empty for the caller.
    pub identity_id: String,
    /// From when the role service knows it.
    pub(crate) visible_ms: u64,
}

/// A lock that was removed and is still felt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GhostLock {
    pub(crate) id: String,
    pub(crate) level: String,
    pub(crate) until_ms: u64,
}

/// The world. Same settings, same requests at the same times: same answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct World {
    pub(crate) settings: Settings,
    pub(crate) now_ms: u64,
    pub(crate) random: Random,
    pub(crate) sequence: u64,
    pub(crate) resources: Resources,
    pub(crate) operations: BTreeMap<String, Operation>,
    pub(crate) principals: BTreeMap<String, Principal>,
    pub(crate) ghost_locks: Vec<GhostLock>,
    /// Namespace in lower case -> when it is or was registered.
    pub(crate) registrations: BTreeMap<String, u64>,
    /// Subscription, namespace and feature in lower case -> when it is or was registered.
    #[serde(default)]
    pub(crate) features: BTreeMap<String, u64>,
    pub(crate) buckets: BTreeMap<String, throttle::Bucket>,
    pub(crate) faults: Vec<fault::Fault>,
    pub(crate) counters: BTreeMap<String, u64>,
    /// By Microsoft's name of the operation.
    #[serde(default)]
    pub(crate) bodies: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) policies: Vec<policy::Policy>,
    #[serde(default)]
    pub(crate) audited: Vec<policy::Audited>,
    /// Versions of Ubuntu's image that came after this world began, the newest last.
    #[serde(default)]
    pub(crate) published_images: Vec<String>,
    /// How often an object of this key was made, and how many operations it had.
    #[serde(default)]
    pub(crate) births: BTreeMap<String, (u64, u64)>,
    pub(crate) events: Vec<Event>,
}

impl World {
    /// An empty subscription whose caller is its Owner.
    pub fn new(settings: Settings, now_ms: u64) -> Self {
        let caller = Principal {
            object_id: settings.caller_object_id.clone(),
            client_id: settings.client_id.clone(),
            identity_id: String::new(),
            visible_ms: 0,
        };
        let registrations =
            settings.registered.iter().map(|n| (n.to_ascii_lowercase(), 0)).collect();
        let mut world = Self {
            now_ms,
            random: Random::new(settings.seed),
            sequence: 0,
            resources: Resources::default(),
            operations: BTreeMap::new(),
            principals: [(caller.object_id.clone(), caller)].into(),
            ghost_locks: Vec::new(),
            registrations,
            features: BTreeMap::new(),
            buckets: BTreeMap::new(),
            faults: Vec::new(),
            counters: BTreeMap::new(),
            bodies: BTreeMap::new(),
            policies: Vec::new(),
            audited: Vec::new(),
            births: BTreeMap::new(),
            published_images: Vec::new(),
            events: Vec::new(),
            settings,
        };
        world.seed_owners();
        world
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes where handed-out URLs point to and how fast time passes, for a front that restarts.
    pub fn rebase(&mut self, endpoint: &str, storage_suffix: Option<String>, time_scale: f64) {
        endpoint.clone_into(&mut self.settings.endpoint);
        self.settings.storage_suffix = storage_suffix;
        self.settings.time_scale = time_scale;
    }

    /// Canonical publishes another version of its image.
    pub fn publish_image(&mut self, version: &str) {
        self.published_images.push(version.to_owned());
    }

    /// The caller asks from another address.
    pub fn come_from(&mut self, address: IpAddr) {
        self.settings.caller_address = address;
    }

    /// The caller's machine is in this network now, or in none.
    pub fn come_from_network(&mut self, id: Option<String>) {
        self.settings.caller_network_id = id;
    }

    /// The principal behind an object id.
    pub fn principal(&self, object_id: &str) -> Option<&Principal> {
        self.principals.get(object_id)
    }

    /// The principal of a user-assigned identity; ids compare without case.
    pub fn principal_of_identity(&self, identity_id: &str) -> Option<&Principal> {
        let key = ids::key(identity_id);
        self.principals
            .values()
            .find(|p| !p.identity_id.is_empty() && ids::key(&p.identity_id) == key)
    }

    /// Lets time pass; returns what happened since the last call, in order.
    pub fn advance(&mut self, now_ms: u64) -> Vec<Event> {
        self.tick(now_ms);
        std::mem::take(&mut self.events)
    }

    /// When the next operation ends, for a front or a test that wants to sleep until then.
    pub fn next_change_ms(&self) -> Option<u64> {
        self.operations.values().filter_map(Operation::next_ms).min()
    }

    pub(crate) fn scaled(&self, azure_ms: u64) -> u64 {
        self.settings.scaled_ms(azure_ms)
    }

    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// What is drawn once for the object that has this key now: the same, whatever else happened in the world.
    pub(crate) fn drawn_for(&self, key: &str) -> Random {
        let births = self.births.get(key).map_or(0, |(births, _)| *births);
        Random::of(self.settings.seed, key, births)
    }

    pub(crate) fn new_etag(&mut self) -> String {
        format!("W/\"{}\"", self.random.guid())
    }
}
