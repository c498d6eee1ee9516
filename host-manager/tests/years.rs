//! Years of a cluster that takes releases by itself: servers decide as ours do, over a Consul of few rules, with faults at
//! random. `HCS_YEARS` says how many, `HCS_YEAR` which one alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "years/laws.rs"]
mod laws;
#[path = "years/server.rs"]
mod server;
#[path = "years/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::rc::Rc;

use hcs_planner::dataplane::{ClusterDocument, ConsulArtifact, Form, ServerCertificates};
use hcs_planner::maintenance::{Window, Work};
use hcs_planner::rotation::Rotations;
use hcs_planner::upgrade::{Channel, Maintenance, UpgradePhase, in_force};
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use semver::Version;

use laws::{Counts, Laws};
use server::{Server, round};
use world::{TakeBack, World};

/// Small documents come and go by the million.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BEGIN: &str = "2027-01-01T00:00:00Z";
const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;
const YEAR_S: u64 = 365 * DAY_S;
const ROUND_S: u64 = 5;
/// Rounds without an event after which time begins to pass faster.
const QUIET_ROUNDS: u64 = 2;
/// How likely trouble is in a round in which something happens.
const TROUBLE: f64 = 0.04;
const IN_CI: u64 = 200;

fn artifact(version: &str) -> ConsulArtifact {
    ConsulArtifact {
        version: version.parse().unwrap(),
        sha256: version.to_owned(),
        file_name: "consul".to_owned(),
    }
}

/// Release so many of the series that runs; none of these is known to have a fault.
fn release(number: u64) -> Version {
    Version::new(1, 22, 20 + number)
}

fn document(rng: &mut StdRng) -> ClusterDocument {
    let server_count = [1, 3, 3, 5][rng.gen_range(0..4)];
    let window = Window {
        days: vec!["Saturday".to_owned(), "Sunday".to_owned()],
        start: "00:00".to_owned(),
        duration_seconds: [HOUR_S / 2, 6 * HOUR_S][rng.gen_range(0..2)],
        time_zone: "Europe/Berlin".to_owned(),
    };
    let windows = if rng.gen_bool(0.8) { vec![window] } else { vec![] };
    ClusterDocument {
        generation: 1,
        datacenter: "dc1".to_owned(),
        server_count,
        slots: (0..server_count).collect(),
        others: vec![],
        consul: artifact(&release(0).to_string()),
        consul_before: None,
        consul_declared_at: 0,
        consul_server_config: serde_json::Map::new(),
        maintenance: Maintenance { channel: Channel::Patch, windows, ..Maintenance::default() },
        certificates: ServerCertificates::default(),
        host_manager: None,
        host_manager_before: None,
        rotations: Rotations::new(),
        form: Form::default(),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let document = Rc::new(document(&mut rng));
        let begin: Timestamp = BEGIN.parse().unwrap();
        let servers = document.slots.iter().map(|slot| (*slot, Server::default())).collect();
        let raft = document.slots.iter().copied().collect();
        let now_s = begin.as_second().try_into().unwrap();
        Self {
            rng,
            now_s,
            document,
            note: None,
            etag: 0,
            servers,
            raft,
            leader: None,
            elects_s: now_s,
            lock: None,
            apply_until_s: 0,
            storage_back_s: 0,
            offered: vec![release(0)],
            broken: BTreeSet::new(),
            missing: BTreeSet::new(),
            request: None,
            laws: Laws::default(),
            is_busy: true,
            quiet: 0,
            is_troubled: true,
        }
    }

    fn step(&mut self) {
        self.is_busy = false;
        self.elect();
        self.publish();
        let slots: Vec<u32> = self.servers.keys().copied().collect();
        let first = self.rng.gen_range(0..slots.len());
        for index in 0..slots.len() {
            round(self, slots[(first + index) % slots.len()]);
        }
        self.let_go();
        // Most of it happens while something goes on already.
        let goes_on = self.note.as_ref().is_some_and(|note| note.phase != UpgradePhase::Done);
        if self.is_troubled && goes_on && self.is_busy && self.rng.gen_bool(TROUBLE) {
            self.trouble();
        }
    }

    fn trouble(&mut self) {
        let (slot, seconds) = (self.any(), self.rng.gen_range(5..400));
        let what = self.rng.gen_range(0..9);
        self.laws.happens(self.now(), &format!("trouble {what} with {slot} for {seconds} s"));
        match what {
            0 | 1 => self.goes_down(slot, seconds),
            2 => self.servers.get_mut(&slot).unwrap().process = None,
            3 => self.servers.get_mut(&slot).unwrap().memory = server::Memory::default(),
            4 => self.storage_back_s = self.now_s + seconds,
            5 => self.apply(None),
            6 => {
                self.laws.forgets(slot);
                self.servers.get_mut(&slot).unwrap().loses_its_disk();
            }
            7 => {
                if let Some(leader) = self.leader {
                    self.goes_down(leader, seconds);
                }
            }
            _ => self.ask_back(),
        }
    }

    /// Servers that the document names no more leave, when those that stay serve with what is in force.
    fn let_go(&mut self) {
        let stays = |slot: &u32| self.document.slots.contains(slot);
        let Some(going) = self.servers.keys().copied().find(|slot| !stays(slot)) else { return };
        let wanted = in_force(&self.document, self.note.as_ref());
        let is_well = |slot: &u32| {
            self.serves(*slot) && self.servers[slot].process.as_ref().unwrap().runs == *wanted
        };
        if self.lock.is_none() && self.document.slots.iter().all(is_well) {
            self.servers.remove(&going);
            self.raft.remove(&going);
            Rc::make_mut(&mut self.document).others.retain(|slot| *slot != going);
            Rc::make_mut(&mut self.document).generation += 1;
            self.is_busy = true;
            if self.leader == Some(going) {
                self.leader = None;
            }
        }
    }

    /// Lets so much time pass: in rounds while something happens, faster while nothing does.
    fn pass(&mut self, seconds: u64) {
        let until_s = self.now_s + seconds;
        while self.now_s < until_s && self.laws.faults.is_empty() {
            self.step();
            self.quiet = if self.is_busy { 0 } else { self.quiet + 1 };
            let fast = (self.quiet / QUIET_ROUNDS).min(12);
            let step_s = (ROUND_S << fast).min(self.until_a_window(2 * HOUR_S));
            self.now_s = (self.now_s + step_s).min(until_s);
        }
    }

    /// So long nothing changes by the calendar; no more than this.
    fn until_a_window(&self, most_s: u64) -> u64 {
        let now = self.now();
        let opening = self.document.maintenance.schedule().opening(Work::Fix, now);
        match opening {
            Some(opening) if opening.is_open(now) => most_s.min(HOUR_S / 3),
            Some(opening) => {
                let seconds = opening.start.duration_since(now).as_secs();
                most_s.min(u64::try_from(seconds).unwrap_or(1)).max(ROUND_S)
            }
            None => most_s,
        }
    }

    /// What an apply writes: a declared version never goes below what the servers chose.
    fn apply(&mut self, version: Option<Version>) {
        let runs = in_force(&self.document, self.note.as_ref()).clone();
        let is_stopped = self.note.as_ref().is_some_and(|note| note.phase == UpgradePhase::Stopped);
        let wanted = version.filter(|version| *version > runs.version && !is_stopped);
        let is_declared = wanted.is_some();
        let document = Rc::make_mut(&mut self.document);
        if let Some(version) = wanted {
            document.consul_before = Some(Box::new(runs));
            document.consul = artifact(&version.to_string());
            self.laws.taken_back.remove(&version);
        } else {
            document.consul = runs;
        }
        document.generation += 1;
        if is_declared {
            document.consul_declared_at = document.generation;
        }
        self.apply_until_s = self.now_s + 20 * 60;
        self.is_busy = true;
    }

    fn resize(&mut self) {
        let server_count = if self.document.server_count == 3 { 5 } else { 3 };
        let document = Rc::make_mut(&mut self.document);
        document.server_count = server_count;
        document.slots = (0..server_count).collect();
        for slot in 0..server_count {
            self.servers.entry(slot).or_default();
        }
        let all = self.servers.keys().copied();
        document.others = all.filter(|slot| *slot >= server_count).collect();
    }

    fn any(&mut self) -> u32 {
        let slots: Vec<u32> = self.servers.keys().copied().collect();
        slots[self.rng.gen_range(0..slots.len())]
    }

    fn goes_down(&mut self, slot: u32, seconds: u64) {
        let until_s = self.now_s + seconds;
        self.servers.get_mut(&slot).unwrap().goes_down(until_s);
    }

    fn something_happens(&mut self, releases: &mut u64) {
        let what = self.rng.gen_range(0..15);
        self.laws.happens(self.now(), &format!("event {what}"));
        match what {
            0..=2 => {
                *releases += 1;
                let version = release(*releases);
                if self.rng.gen_bool(0.3) {
                    self.broken.insert(version.clone());
                } else if self.rng.gen_bool(0.2) {
                    self.missing.insert(version.clone());
                }
                self.offered.push(version);
            }
            3..=5 => {
                let (slot, seconds) = (self.any(), self.rng.gen_range(20..900));
                self.goes_down(slot, seconds);
            }
            // Consul alone, or the host manager alone.
            6 => {
                let slot = self.any();
                self.servers.get_mut(&slot).unwrap().process = None;
            }
            7 => {
                let slot = self.any();
                self.servers.get_mut(&slot).unwrap().memory = server::Memory::default();
            }
            8 => self.storage_back_s = self.now_s + self.rng.gen_range(60..DAY_S),
            9 => self.apply(None),
            10 => {
                let sound = self.offered.iter().filter(|one| !self.broken.contains(one));
                let newest = sound.max().cloned();
                self.apply(newest);
            }
            11 => self.missing.clear(),
            12 if self.document.server_count > 1 => {
                self.resize();
                let newest = self.offered.iter().max().cloned();
                let newest = newest.filter(|one| !self.broken.contains(one));
                self.apply(newest);
            }
            13 => {
                // The lead is lost.
                if let Some(leader) = self.leader {
                    self.goes_down(leader, 30);
                }
            }
            _ => self.ask_back(),
        }
        self.is_busy = true;
    }

    fn ask_back(&mut self) {
        self.request = Some(TakeBack { since_s: self.now_s });
    }

    /// Looks after what stands still, as somebody would in the morning.
    fn morning(&mut self) {
        let note = self.note.as_ref();
        if note.is_some_and(|note| note.phase == UpgradePhase::Stopped) {
            self.ask_back();
        }
    }

    fn is_lawful(&self) -> Result<(), String> {
        self.laws.faults.first().map_or(Ok(()), |fault| Err(self.told(fault)))
    }

    fn told(&self, fault: &str) -> String {
        let past: Vec<&str> = self.laws.past.iter().map(String::as_str).collect();
        format!("{fault}\n{}", past.join("\n"))
    }

    /// Nothing more is done to the cluster: all that was begun comes to an end.
    fn is_settled(&self) -> Result<(), String> {
        let wanted = in_force(&self.document, self.note.as_ref());
        for (slot, server) in &self.servers {
            let runs = server.process.as_ref().map(|process| &process.runs);
            if !self.serves(*slot) || runs != Some(wanted) {
                return Err(format!("server {slot} runs {runs:?}, and {wanted:?} is in force"));
            }
        }
        match &self.note {
            Some(note) if matches!(note.phase, UpgradePhase::Running | UpgradePhase::Stopped) => {
                Err(format!("a way does not end: {note:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// What a year came to, or the law that it broke.
fn year(seed: u64, is_alone: bool) -> Result<Counts, String> {
    let mut world = World::new(seed);
    world.laws.keeps_all = is_alone;
    world.pass(HOUR_S);
    let end_s = world.now_s + YEAR_S;
    let mut releases = 0;
    while world.now_s < end_s {
        // Much happens while something goes on already.
        let under_way = world.note.as_ref().is_some_and(|note| note.phase == UpgradePhase::Running);
        let most_s = if under_way && world.rng.gen_bool(0.5) { 300 } else { 10 * DAY_S };
        let wait_s = world.rng.gen_range(1..most_s);
        for _ in 0..=wait_s / DAY_S {
            world.pass(wait_s.min(DAY_S));
            world.morning();
        }
        world.is_lawful()?;
        world.something_happens(&mut releases);
    }
    world.is_troubled = false;
    // In peace: what is broken is offered no more, and somebody looks each morning.
    world.storage_back_s = 0;
    world.offered.retain(|version| !world.broken.contains(version));
    world.missing.clear();
    for _ in 0..30 {
        world.pass(DAY_S);
        world.morning();
    }
    world.pass(DAY_S);
    world.is_lawful()?;
    world.is_settled().map_err(|told| world.told(&told))?;
    Ok(world.laws.counts)
}

#[test]
fn no_year_breaks_a_law() {
    if let Ok(seed) = std::env::var("HCS_YEAR") {
        match year(seed.parse().unwrap(), true) {
            Ok(counts) => return println!("{counts:?}"),
            Err(told) => panic!("{told}"),
        }
    }
    let years = std::env::var("HCS_YEARS").map_or(IN_CI, |text| text.parse().unwrap());
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let (all, broken) = std::thread::scope(|scope| {
        let shares = (0..threads).map(|first| {
            let seeds = (first..years).step_by(usize::try_from(threads).unwrap());
            scope.spawn(move || {
                let mut broken = Vec::new();
                let all = seeds.fold(Counts::default(), |all, seed| match year(seed, false) {
                    Ok(counts) => all.and(counts),
                    Err(told) => {
                        println!("year {seed}: {told}");
                        broken.push(seed);
                        all
                    }
                });
                (all, broken)
            })
        });
        let shares: Vec<_> = shares.collect();
        shares
            .into_iter()
            .map(|share| share.join().unwrap())
            .fold((Counts::default(), Vec::new()), |(all, broken), (own, more)| {
                (all.and(own), [broken, more].concat())
            })
    });
    println!("{years} years: {all:?}");
    assert!(broken.is_empty(), "years that break a law (HCS_YEAR runs one): {broken:?}");
    assert!(all.done > years && all.stopped > 0 && all.taken_back > 0, "{all:?}");
}
