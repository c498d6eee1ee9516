//! One host manager: it decides by the product's own functions, and knows what it has read.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use hcs_host_manager::rollout::reason_to_wait;
use hcs_host_manager::upgrade::back::stays;
use hcs_host_manager::upgrade::turn::{Turn, known, may_not_begin, waits_for};
use hcs_host_manager::upgrade::{Next, Sight, Way, plain};
use hcs_planner::dataplane::{ClusterDocument, ConsulArtifact, ConsulStatus, ServerStatus};
use hcs_planner::observed::is_same_consul;
use hcs_planner::upgrade::{By, Upgrade, UpgradePhase, in_force};
use rand::Rng as _;
use semver::Version;

use crate::artifact;
use crate::world::{Process, World};

const REFRESH_S: u64 = 30;
const RECOVERY_S: u64 = 180;
const LOCK_S: u64 = 120;
const ALONE_S: u64 = 60;
const BEFORE_BACK_S: u64 = 10;

/// What a server has read.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) cluster: Rc<ClusterDocument>,
    pub(crate) upgrade: Option<Upgrade>,
    pub(crate) etag: u64,
    pub(crate) read_s: u64,
}

/// What takes a while.
#[derive(Clone)]
enum Brings {
    Release(ConsulArtifact),
    Saved(Box<Upgrade>),
}

/// What a leading server remembers; gone with a restart of its host manager.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    offered: Vec<Version>,
    ask_s: u64,
    left_out: Vec<(Version, u64)>,
    errand: Option<(Brings, u64, u64)>,
    unwell_since_s: Option<u64>,
    well_since_s: Option<u64>,
    is_old: bool,
    no_use_since_s: Option<u64>,
    alone_since_s: Option<u64>,
}

/// A server.
#[derive(Clone, Default)]
pub(crate) struct Server {
    pub(crate) process: Option<Process>,
    /// What Consul was started as last.
    pub(crate) last: Option<ConsulArtifact>,
    pub(crate) is_member: bool,
    pub(crate) led_with: Option<Version>,
    pub(crate) view: Option<Rc<View>>,
    pub(crate) status: Option<(u64, ServerStatus)>,
    /// The machine is off until then.
    pub(crate) off_until_s: u64,
    pub(crate) memory: Memory,
    /// It was restarted in its turn, then, and looks whether it is well.
    restarted_s: Option<u64>,
}

impl Server {
    /// The machine goes down: nothing of the host manager is left but its disk.
    pub(crate) fn goes_down(&mut self, until_s: u64) {
        self.process = None;
        self.off_until_s = until_s;
        self.view = None;
        self.memory = Memory::default();
        self.restarted_s = None;
    }

    /// The machine is made anew.
    pub(crate) fn loses_its_disk(&mut self) {
        *self = Self { status: self.status.take(), ..Self::default() };
    }
}

/// One round of one server.
pub(crate) fn round(world: &mut World, slot: u32) {
    if world.servers[&slot].off_until_s > world.now_s {
        return;
    }
    let own = world.consul(slot);
    // The status looks beside the rounds, which may wait for minutes.
    if let Some(own) = own.as_ref().filter(|own| own.is_leader) {
        let version = plain(&own.version.parse().unwrap());
        let server = world.servers.get_mut(&slot).unwrap();
        if server.led_with.as_ref().is_none_or(|known| *known < version) {
            server.led_with = Some(version);
        }
    }
    if look_at_the_restart(world, slot) {
        return;
    }
    refresh(world, slot);
    let Some(view) = world.servers[&slot].view.clone() else { return };
    let own = world.consul(slot);
    converge(world, slot, &view, own.as_ref());
    be_a_member(world, slot, own.as_ref());
}

/// Whether a restart in its turn goes on still. One that does not end well stops the way.
fn look_at_the_restart(world: &mut World, slot: u32) -> bool {
    let Some(began_s) = world.servers[&slot].restarted_s else { return false };
    world.is_busy = true;
    let is_well = world.consul(slot).is_some_and(|own| own.healthy);
    if !is_well && world.now_s < began_s + RECOVERY_S {
        world.lock = Some((slot, world.now_s + LOCK_S));
        return true;
    }
    world.servers.get_mut(&slot).unwrap().restarted_s = None;
    world.lock = None;
    if !is_well {
        stop(world, slot);
    }
    false
}

/// Nobody follows a server that has gone and is not well.
fn stop(world: &mut World, slot: u32) {
    let runs = world.servers[&slot].last.clone().unwrap();
    let upgrade = world.note.clone().filter(|_| world.has_storage());
    let upgrade = upgrade.filter(|one| one.phase == UpgradePhase::Running && one.to == runs);
    if let Some(upgrade) = upgrade {
        let since = world.now().to_string();
        let reason = Some(format!("server {slot} is not well"));
        let stopped = Upgrade { phase: UpgradePhase::Stopped, since, reason, ..upgrade };
        let _ = world.put_note(stopped, world.etag);
    }
}

fn refresh(world: &mut World, slot: u32) {
    let (now_s, has_storage) = (world.now_s, world.has_storage());
    let server = world.servers.get_mut(&slot).unwrap();
    let awaits = |view: &View| {
        let wanted = in_force(&view.cluster, view.upgrade.as_ref());
        view.upgrade.as_ref().and_then(Upgrade::decided) != Some(wanted)
            && server.last.as_ref() != Some(wanted)
    };
    let is_time = server.view.as_ref().is_none_or(|view| {
        now_s >= view.read_s + REFRESH_S || server.memory.is_old || awaits(view)
    });
    if is_time && has_storage {
        server.memory.is_old = false;
        let (cluster, upgrade) = (world.document.clone(), world.note.clone());
        server.view = Some(Rc::new(View { cluster, upgrade, etag: world.etag, read_s: now_s }));
    }
}

fn ran(
    world: &World,
    slot: u32,
    view: &View,
    own: Option<&ConsulStatus>,
) -> Option<ConsulArtifact> {
    let last = world.servers[&slot].last.clone();
    let Some(own) = own else { return last };
    if last.as_ref().is_some_and(|last| own.version == last.sha256) {
        return last;
    }
    let named = known(&view.cluster, view.upgrade.as_ref());
    let mut all = last.iter().chain(named);
    all.find(|one| is_same_consul(&own.version, &one.version)).cloned()
}

/// The Consul that runs is the one that is to run.
fn converge(world: &mut World, slot: u32, view: &View, own: Option<&ConsulStatus>) {
    let ran = ran(world, slot, view, own);
    let server = &world.servers[&slot];
    // Who is a member, knows what it ran and does not go back asks nobody.
    let in_force = in_force(&view.cluster, view.upgrade.as_ref());
    let is_back = ran.as_ref().is_none_or(|ran| in_force.version < ran.version);
    let asks = !server.is_member || is_back;
    let peers = if asks { world.statuses(slot, false) } else { vec![] };
    let is_active = server.process.is_some();
    let turn = Turn {
        cluster: &view.cluster,
        upgrade: view.upgrade.as_ref(),
        peers: &peers,
        is_member: server.is_member,
        is_active,
        ran: ran.as_ref(),
        led_with: server.led_with.as_ref(),
        now: world.now(),
    };
    let wanted = turn.consul().clone();
    let goes_back = ran.as_ref().is_some_and(|ran| wanted.version < ran.version);
    if goes_back && (!world.has_storage() || world.etag != view.etag) {
        let server = world.servers.get_mut(&slot).unwrap();
        server.memory.is_old = true;
        if let (None, Some(ran)) = (&server.process, ran) {
            world.start(slot, &ran, false);
        }
        return;
    }
    let is_new = server.last.as_ref() != Some(&wanted);
    if !is_active || (is_new && !server.is_member) {
        return world.start(slot, &wanted, false);
    }
    if !is_new {
        return;
    }
    let serves_nobody = own.is_none_or(|own| own.leader.is_none()) || !world.serves(slot);
    let since_s = world.servers[&slot].memory.no_use_since_s.filter(|_| serves_nobody);
    let since_s = serves_nobody.then(|| since_s.unwrap_or(world.now_s));
    world.servers.get_mut(&slot).unwrap().memory.no_use_since_s = since_s;
    if goes_back && since_s.is_some_and(|since_s| world.now_s >= since_s + BEFORE_BACK_S) {
        return world.start(slot, &wanted, false);
    }
    if waits_for(&view.cluster, view.upgrade.as_ref(), world.now()).is_some() {
        return;
    }
    let Some(own) = own else { return };
    let cluster = ClusterDocument { consul: wanted.clone(), ..(*view.cluster).clone() };
    let is_locked = world.lock.is_some_and(|(_, until_s)| world.now_s < until_s);
    let is_declared = view.upgrade.as_ref().is_none_or(|one| one.by != By::Channel);
    let apply_works = world.is_apply_open() && !is_declared;
    // Nobody notes the job, so nobody restarts.
    if !world.has_storage() || is_locked || apply_works {
        return;
    }
    let leads = world.leader.and_then(|leader| world.servers[&leader].process.as_ref());
    let is_below = leads.is_some_and(|leads| leads.runs.version > wanted.version);
    let peers = world.statuses(slot, false);
    if is_below || reason_to_wait(&cluster, own, &peers).is_some() {
        return;
    }
    // Under the lock it is read again.
    if world.etag != view.etag || world.document.generation != view.cluster.generation {
        world.servers.get_mut(&slot).unwrap().memory.is_old = true;
        return;
    }
    world.lock = Some((slot, world.now_s + LOCK_S));
    world.start(slot, &wanted, true);
    world.servers.get_mut(&slot).unwrap().restarted_s = Some(world.now_s);
}

fn be_a_member(world: &mut World, slot: u32, own: Option<&ConsulStatus>) {
    let now_s = world.now_s;
    let server = world.servers.get_mut(&slot).unwrap();
    let Some(own) = own.filter(|own| own.leader.is_some()) else {
        let alone_since_s = *server.memory.alone_since_s.get_or_insert(now_s);
        if now_s > alone_since_s + RECOVERY_S {
            stop(world, slot);
        }
        let first = world.document.slots.iter().min();
        if first == Some(&slot) && now_s >= alone_since_s + ALONE_S {
            take_back(world, slot);
        }
        return;
    };
    server.memory.alone_since_s = None;
    server.is_member |= world.raft.contains(&slot);
    if !own.is_leader {
        server.memory.errand = None;
        server.memory.unwell_since_s = None;
        server.memory.well_since_s = None;
        return;
    }
    take_back(world, slot);
    lead(world, slot, own);
}

/// What somebody asked for, by documents and statuses that are read anew.
fn take_back(world: &mut World, slot: u32) {
    let Some(request) = world.request.take_if(|_| world.now_s >= world.storage_back_s) else {
        return;
    };
    world.is_busy = true;
    let Some(upgrade) = world.note.clone() else { return };
    let mut statuses = world.statuses(slot, true);
    statuses.extend(own_status(world, slot, world.consul(slot)));
    if stays(&world.document, &upgrade, &statuses).is_some() || request.since_s > world.now_s {
        return;
    }
    let since = world.now().to_string();
    let (phase, generation) = (UpgradePhase::TakenBack, world.document.generation);
    let back = Upgrade { phase, since, generation, not_before: None, reason: None, ..upgrade };
    if world.put_note(back, world.etag).is_ok() {
        world.servers.get_mut(&slot).unwrap().memory.is_old = true;
    }
}

fn own_status(world: &World, slot: u32, consul: Option<ConsulStatus>) -> Option<ServerStatus> {
    let server = &world.servers[&slot];
    let (_, status) = server.status.clone()?;
    Some(ServerStatus { consul, led_with: server.led_with.clone(), ..status })
}

/// The leading server's part.
fn lead(world: &mut World, slot: u32, own: &ConsulStatus) {
    end_of_errand(world, slot);
    let now_s = world.now_s;
    let mut statuses = world.statuses(slot, false);
    statuses.extend(own_status(world, slot, Some(own.clone())));
    let (now, is_apply_open) = (world.now(), world.is_apply_open());
    let server = world.servers.get_mut(&slot).unwrap();
    let Some(view) = server.view.clone() else { return };
    let memory = &mut server.memory;
    memory.unwell_since_s =
        if own.healthy { None } else { Some(memory.unwell_since_s.unwrap_or(now_s)) };
    memory.well_since_s =
        if own.healthy { Some(memory.well_since_s.unwrap_or(now_s)) } else { None };
    memory.left_out.retain(|(_, until_s)| now_s < *until_s);
    let left_out: BTreeSet<Version> = memory.left_out.iter().map(|(one, _)| one.clone()).collect();
    let sight = Sight {
        cluster: &view.cluster,
        upgrade: view.upgrade.as_ref(),
        statuses: &statuses,
        own,
        unwell_for: Duration::from_secs(memory.unwell_since_s.map_or(0, |since| now_s - since)),
        well_for: Duration::from_secs(memory.well_since_s.map_or(0, |since| now_s - since)),
        recovery_max: Duration::from_secs(RECOVERY_S),
        offered: &memory.offered,
        left_out: &left_out,
        now,
    };
    let next = sight.next(&format!("{}-{slot}", world.etag));
    let is_idle = memory.errand.is_none();
    let saves = matches!(memory.errand, Some((Brings::Saved(_), ..)));
    match next {
        Next::Note(note) => {
            note_it(world, slot, *note, view.etag);
        }
        Next::Begin(begun)
            if !saves && may_not_begin(&view.cluster, &begun, is_apply_open, now).is_none() =>
        {
            let snapshot = Some(format!("before-{}", begun.id));
            let brings = Brings::Saved(Box::new(Upgrade { snapshot, ..*begun }));
            send(world, slot, brings, view.etag, 5..60);
        }
        Next::Fetch(version) if is_idle => {
            if world.missing.contains(&version) {
                memory.left_out.push((version, now_s + 3600));
            } else {
                let release = Brings::Release(artifact(&version.to_string()));
                send(world, slot, release, view.etag, 10..300);
            }
        }
        Next::Nothing
            if is_idle && view.cluster.maintenance.channel.is_on() && now_s >= memory.ask_s =>
        {
            memory.ask_s = now_s + 6 * 3600;
            memory.offered.clone_from(&world.offered);
        }
        _ => {}
    }
}

fn send(world: &mut World, slot: u32, brings: Brings, etag: u64, takes: std::ops::Range<u64>) {
    let ends_s = world.now_s + world.rng.gen_range(takes);
    world.is_busy = true;
    world.servers.get_mut(&slot).unwrap().memory.errand = Some((brings, etag, ends_s));
}

fn end_of_errand(world: &mut World, slot: u32) {
    let now_s = world.now_s;
    let server = world.servers.get_mut(&slot).unwrap();
    world.is_busy |= server.memory.errand.is_some();
    let Some((brings, etag, _)) = server.memory.errand.take_if(|errand| now_s >= errand.2) else {
        return;
    };
    let Some(view) = server.view.clone() else { return };
    match brings {
        Brings::Release(to) => {
            let from = in_force(&view.cluster, view.upgrade.as_ref()).clone();
            if from.version < to.version {
                let way = Way { from, to, by: By::Channel, after: view.upgrade.as_ref() };
                let id = format!("{}-{slot}", world.etag);
                let generation = view.cluster.generation;
                let chosen = way.note(id, UpgradePhase::Chosen, generation, world.now());
                note_it(world, slot, chosen, etag);
            }
        }
        Brings::Saved(begun) => note_it(world, slot, *begun, etag),
    }
}

fn note_it(world: &mut World, slot: u32, note: Upgrade, etag: u64) {
    let noted = world.put_note(note.clone(), etag);
    let server = world.servers.get_mut(&slot).unwrap();
    match (noted, &mut server.view) {
        (Ok(etag), Some(view)) => {
            let view = Rc::make_mut(view);
            view.upgrade = Some(note);
            view.etag = etag;
        }
        _ => server.memory.is_old = true,
    }
}
