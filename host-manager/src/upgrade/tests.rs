//! What the leading server does next, written down by hand.

use hcs_planner::maintenance::Window;
use hcs_planner::upgrade::Channel;

use super::back::stays;
use super::turn::{Turn, may_not_begin, waits_for};
use super::*;
use crate::samples;

fn artifact(version: &str) -> ConsulArtifact {
    ConsulArtifact {
        version: version.parse().unwrap(),
        sha256: version.to_owned(),
        file_name: "consul".to_owned(),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A Sunday; the window is from two to six.
const OPEN: &str = "2026-11-29T02:30:00Z";
const ALMOST_OVER: &str = "2026-11-29T05:55:00Z";
const CLOSED: &str = "2026-11-29T07:00:00Z";
const NEXT: &str = "2026-12-06T02:00:00Z";

fn cluster(declared: &str) -> ClusterDocument {
    let mut cluster =
        ClusterDocument { consul: artifact(declared), generation: 4, ..samples::cluster(3) };
    cluster.maintenance.channel = Channel::Patch;
    cluster.maintenance.windows = vec![Window {
        days: vec!["Sunday".to_owned()],
        start: "02:00".to_owned(),
        duration_seconds: 4 * 3600,
        time_zone: "UTC".to_owned(),
    }];
    cluster
}

fn consul(version: &str, healthy: bool) -> ConsulStatus {
    ConsulStatus {
        version: version.to_owned(),
        leader: Some("10.0.0.4:8300".to_owned()),
        is_leader: false,
        healthy,
        failure_tolerance: u32::from(healthy),
        voters: ["s0", "s1", "s2"].map(str::to_owned).to_vec(),
        peers: ["s0", "s1", "s2"].map(str::to_owned).to_vec(),
        acl_ready: true,
    }
}

fn statuses(versions: [&str; 3]) -> Vec<ServerStatus> {
    let rows = versions.iter().zip(0..);
    rows.map(|(version, slot)| ServerStatus {
        consul: Some(consul(version, true)),
        document_generation: Some(4),
        ..samples::status(slot)
    })
    .collect()
}

fn upgrade(from: &str, to: &str, phase: UpgradePhase) -> Upgrade {
    let way = Way { from: artifact(from), to: artifact(to), by: By::Channel, after: None };
    way.note("1".to_owned(), phase, 4, at(OPEN))
}

struct Case {
    cluster: ClusterDocument,
    upgrade: Option<Upgrade>,
    runs: [&'static str; 3],
    healthy: bool,
    unwell_s: u64,
    well_s: u64,
    offered: Vec<&'static str>,
    left_out: Vec<&'static str>,
    own: ConsulStatus,
    more: Vec<ServerStatus>,
    /// The newest with which server 0 has led.
    led_with: Option<Version>,
    now: &'static str,
}

impl Case {
    fn new() -> Self {
        Self {
            cluster: cluster("1.22.6"),
            upgrade: None,
            runs: ["1.22.6"; 3],
            healthy: true,
            unwell_s: 0,
            well_s: 600,
            offered: vec![],
            left_out: vec![],
            own: consul("1.22.6", true),
            more: vec![],
            led_with: None,
            now: OPEN,
        }
    }

    fn next(&self) -> Next {
        let offered: Vec<Version> = self.offered.iter().map(|v| v.parse().unwrap()).collect();
        let left_out = self.left_out.iter().map(|v| v.parse().unwrap()).collect();
        let tolerance = if self.healthy { self.own.failure_tolerance } else { 0 };
        let own = ConsulStatus {
            healthy: self.healthy,
            failure_tolerance: tolerance,
            ..self.own.clone()
        };
        let mut statuses = [statuses(self.runs), self.more.clone()].concat();
        statuses[0].led_with.clone_from(&self.led_with);
        let sight = Sight {
            cluster: &self.cluster,
            upgrade: self.upgrade.as_ref(),
            statuses: &statuses,
            own: &own,
            unwell_for: Duration::from_secs(self.unwell_s),
            well_for: Duration::from_secs(self.well_s),
            recovery_max: Duration::from_mins(3),
            offered: &offered,
            left_out: &left_out,
            now: at(self.now),
        };
        sight.next("new")
    }

    /// What it comes to, in a word and with what it waits for.
    fn told(&self) -> String {
        let of = |word: &str, one: &Upgrade| {
            let until = one.not_before.as_deref().map(|at| format!(" from {at}"));
            format!("{word} {:?} {}{}", one.phase, one.to.version, until.unwrap_or_default())
        };
        match self.next() {
            Next::Nothing => "nothing".to_owned(),
            Next::Fetch(version) => format!("fetch {version}"),
            Next::Begin(one) => of("begin", &one),
            Next::Note(one) => of("note", &one),
        }
    }
}

#[test]
fn a_channel_brings_a_release_when_its_window_is_open_and_long_enough() {
    let chosen = || Some(upgrade("1.22.6", "1.22.7", UpgradePhase::Chosen));
    let case = |upgrade, now| Case { upgrade, now, ..Case::new() }.told();
    let offered = Case { offered: vec!["1.22.5", "1.22.7", "1.23.1"], ..Case::new() };
    assert_eq!(offered.told(), "fetch 1.22.7");
    assert_eq!(case(None, OPEN), "nothing");
    assert_eq!(case(chosen(), OPEN), "begin Running 1.22.7");
    assert_eq!(case(chosen(), ALMOST_OVER), format!("note Chosen 1.22.7 from {NEXT}"));
    assert_eq!(case(chosen(), CLOSED), format!("note Chosen 1.22.7 from {NEXT}"));
    let mut told = chosen().unwrap();
    told.not_before = Some(NEXT.to_owned());
    assert_eq!(case(Some(told), CLOSED), "nothing", "it is told already");
    let ill = Case { upgrade: chosen(), healthy: false, ..Case::new() };
    assert_eq!(ill.told(), "nothing", "what is not whole is not upgraded");
    let mut newer = Case { upgrade: chosen(), offered: vec!["1.22.8"], ..Case::new() };
    assert_eq!(newer.told(), "fetch 1.22.8", "a later one replaces what waits");
    newer.left_out = vec!["1.22.8"];
    assert_eq!(newer.told(), "begin Running 1.22.7", "what cannot be had holds up nothing");
}

#[test]
fn nobody_begins_before_all_know_the_document() {
    let mut case =
        Case { upgrade: Some(upgrade("1.22.6", "1.22.7", UpgradePhase::Chosen)), ..Case::new() };
    case.cluster.generation = 5;
    assert_eq!(case.told(), "nothing");
}

#[test]
fn what_is_not_asked_for_any_more_does_not_come() {
    let mut case =
        Case { upgrade: Some(upgrade("1.22.6", "1.22.7", UpgradePhase::Chosen)), ..Case::new() };
    case.cluster.maintenance.channel = Channel::None;
    let Next::Note(noted) = case.next() else { panic!("{:?}", case.next()) };
    assert!(noted.reason.unwrap().contains("not ask for it any more"));
}

#[test]
fn a_fix_is_not_held_up_by_what_an_exclusion_puts_off() {
    let mut case = Case { offered: vec!["1.22.7", "2.0.3"], ..Case::new() };
    case.cluster.maintenance.channel = Channel::Major;
    assert_eq!(case.told(), "fetch 2.0.3");
    case.cluster.maintenance.exclusions = vec![hcs_planner::maintenance::Exclusion {
        start: "2026-11-28T00:00:00Z".to_owned(),
        end: "2027-01-04T00:00:00Z".to_owned(),
        scope: hcs_planner::maintenance::Scope::Minor,
    }];
    assert_eq!(case.told(), "fetch 1.22.7");
    case.offered = vec!["2.0.3"];
    assert_eq!(case.told(), "fetch 2.0.3", "and waits for the end of the exclusion");
}

#[test]
fn a_way_ends_stops_waits_and_goes_on() {
    let running = || Some(upgrade("1.22.6", "1.22.7", UpgradePhase::Running));
    let stopped = || Some(upgrade("1.22.6", "1.22.7", UpgradePhase::Stopped));
    let half = ["1.22.7", "1.22.6", "1.22.6"];
    let case = |upgrade, runs, healthy, unwell_s, now| {
        Case { upgrade, runs, healthy, unwell_s, now, ..Case::new() }.told()
    };
    assert_eq!(case(running(), half, true, 0, OPEN), "nothing");
    assert_eq!(case(running(), half, false, 150, OPEN), "nothing", "a server is on its way");
    assert_eq!(case(running(), half, false, 201, OPEN), "note Stopped 1.22.7");
    assert_eq!(case(running(), ["1.22.7"; 3], true, 0, OPEN), "note Done 1.22.7");
    let later = format!("note Running 1.22.7 from {NEXT}");
    assert_eq!(case(running(), half, true, 0, CLOSED), later);
    assert_eq!(case(stopped(), half, false, 900, OPEN), "nothing");
    assert_eq!(case(stopped(), half, true, 0, OPEN), later, "well again: in the next window");
    let flaps = Case { upgrade: stopped(), runs: half, well_s: 20, ..Case::new() };
    assert_eq!(flaps.told(), "nothing", "one good look is no health");
    assert_eq!(case(stopped(), ["1.22.7"; 3], true, 0, OPEN), "note Done 1.22.7");
}

#[test]
fn what_is_declared_begins_at_once_and_what_was_taken_back_not_by_itself() {
    let mut case = Case { cluster: cluster("1.22.7"), now: CLOSED, ..Case::new() };
    case.cluster.consul_before = Some(Box::new(artifact("1.22.6")));
    let Next::Begin(begun) = case.next() else { panic!("{:?}", case.next()) };
    assert_eq!((begun.by, begun.from.version.patch), (By::Declaration, 6));
    let back = |generation| Upgrade {
        generation,
        by: By::Declaration,
        ..upgrade("1.22.6", "1.22.7", UpgradePhase::TakenBack)
    };
    case.upgrade = Some(back(4));
    case.offered = vec!["1.22.7"];
    assert_eq!(case.told(), "nothing");
    // The servers are on their way back still.
    case.upgrade = Some(back(4));
    case.runs = ["1.22.7", "1.22.6", "1.22.6"];
    assert_eq!(case.told(), "nothing");
    case.cluster.consul = artifact("1.22.6");
    assert_eq!(case.told(), "nothing", "a channel's way, which no declaration knows");
    case.cluster.consul = artifact("1.22.7");
    case.runs = ["1.22.6"; 3];
    case.upgrade = Some(back(3));
    assert_eq!(case.told(), "nothing", "an apply has written down what the servers had chosen");
    case.cluster.consul_declared_at = 4;
    assert_eq!(case.told(), "begin Running 1.22.7", "it was declared again");
}

#[test]
fn a_cluster_that_is_being_made_is_on_no_way() {
    let case = Case { runs: ["1.22.6"; 3], ..Case::new() };
    let mut statuses = statuses(case.runs);
    statuses[2].consul = None;
    let own = consul("1.22.6", true);
    let sight = Sight {
        cluster: &case.cluster,
        upgrade: None,
        statuses: &statuses,
        own: &own,
        unwell_for: Duration::ZERO,
        well_for: Duration::from_mins(10),
        recovery_max: Duration::from_mins(3),
        offered: &[],
        left_out: &BTreeSet::new(),
        now: at(OPEN),
    };
    assert_eq!(sight.next("new"), Next::Nothing);
}

#[test]
fn a_server_goes_where_the_note_and_the_window_let_it() {
    let by = |by, phase| Some(Upgrade { by, ..upgrade("1.22.6", "1.22.7", phase) });
    let rows = [
        (None, OPEN, "not begun"),
        (by(By::Channel, UpgradePhase::Running), OPEN, ""),
        (by(By::Channel, UpgradePhase::Running), ALMOST_OVER, "next maintenance window"),
        (by(By::Channel, UpgradePhase::Running), CLOSED, "next maintenance window"),
        (by(By::Declaration, UpgradePhase::Running), CLOSED, ""),
        (by(By::Channel, UpgradePhase::Stopped), OPEN, "has stopped"),
        (by(By::Channel, UpgradePhase::Done), CLOSED, ""),
        (by(By::Channel, UpgradePhase::TakenBack), CLOSED, ""),
        (by(By::Channel, UpgradePhase::Chosen), CLOSED, ""),
    ];
    for (upgrade, now, expected) in rows {
        let waits = waits_for(&cluster("1.22.6"), upgrade.as_ref(), at(now));
        let is_as_said = match expected {
            "" => waits.is_none(),
            words => waits.is_some_and(|waits| waits.contains(words)),
        };
        assert!(is_as_said, "{upgrade:?} at {now}: {waits:?}");
    }
}

#[test]
fn it_is_taken_back_until_a_server_of_the_new_version_has_led() {
    let running = upgrade("1.22.6", "1.22.7", UpgradePhase::Running);
    let all = statuses(["1.22.7", "1.22.6", "1.22.6"]);
    let stays = |upgrade: &Upgrade, statuses: &[ServerStatus]| {
        stays(&cluster("1.22.6"), upgrade, statuses).unwrap_or_default()
    };
    assert_eq!(stays(&running, &all), "");
    let mut led = all.clone();
    led[1].led_with = Some(Version::new(1, 22, 6));
    assert_eq!(stays(&running, &led), "", "with the version of before");
    led[0].led_with = Some(Version::new(1, 22, 7));
    assert!(stays(&running, &led).contains("has led with Consul 1.22.7"));
    let mut leads = all.clone();
    leads[0].consul.as_mut().unwrap().is_leader = true;
    assert!(stays(&running, &leads).contains("has led"));
    assert!(stays(&running, &all[..2]).contains("server 2 does not say now"));
    let noted = Upgrade { has_led: true, ..running };
    assert!(stays(&noted, &all).contains("has led"), "whatever became of the server");
    let mut helper = all.clone();
    helper.push(ServerStatus { led_with: Some(Version::new(1, 22, 7)), ..samples::status(7) });
    let running = upgrade("1.22.6", "1.22.7", UpgradePhase::Running);
    assert!(stays(&running, &helper).contains("s7 has led"), "one that is there for a while");
    let done = upgrade("1.22.6", "1.22.7", UpgradePhase::Done);
    assert!(stays(&done, &all).contains("nothing is under way"));
}

/// A server that goes (5 -> 3), or a helper, is part of the cluster as long as it votes.
#[test]
fn another_version_comes_beside_servers_that_go_or_help() {
    let mut case = Case { cluster: cluster("1.22.7"), ..Case::new() };
    case.cluster.consul_before = Some(Box::new(artifact("1.22.6")));
    case.cluster.others = vec![3];
    let voters: Vec<String> = ["s0", "s1", "s2", "s3"].map(str::to_owned).to_vec();
    case.own.voters.clone_from(&voters);
    case.own.peers = voters;
    let of = |version: &str| ServerStatus {
        consul: Some(consul(version, true)),
        document_generation: Some(4),
        ..samples::status(3)
    };
    case.more = vec![of("1.22.6")];
    assert_eq!(case.told(), "begin Running 1.22.7");
    case.upgrade =
        Some(Upgrade { by: By::Declaration, ..upgrade("1.22.6", "1.22.7", UpgradePhase::Running) });
    case.runs = ["1.22.7"; 3];
    assert_eq!(case.told(), "nothing", "the fourth has not gone");
    case.more = vec![of("1.22.7")];
    assert_eq!(case.told(), "note Done 1.22.7");
    // One whose machine is gone is no part of it any more.
    case.more = vec![of("1.22.6")];
    case.own.peers.pop();
    assert_eq!(case.told(), "note Done 1.22.7");
    case.upgrade = None;
    case.runs = ["1.22.6"; 3];
    case.own.voters.remove(0);
    assert_eq!(case.told(), "nothing", "a server of the cluster does not vote");
}

#[test]
fn what_was_taken_back_does_not_come_again_by_itself() {
    let back = upgrade("1.22.6", "1.22.7", UpgradePhase::TakenBack);
    let mut case = Case { upgrade: Some(back), offered: vec!["1.22.7", "1.22.8"], ..Case::new() };
    case.runs[0] = "1.22.7";
    assert_eq!(case.told(), "nothing", "one is on its way back still");
    case.runs[0] = "1.22.6";
    assert_eq!(case.told(), "fetch 1.22.8");
    let (from, to, after) = (artifact("1.22.6"), artifact("1.22.8"), case.upgrade.as_ref());
    let way = Way { from, to, by: By::Channel, after };
    let chosen = way.note("2".to_owned(), UpgradePhase::Chosen, 4, at(OPEN));
    let later = Case {
        upgrade: Some(chosen),
        offered: vec!["1.22.7"],
        left_out: vec!["1.22.8"],
        ..Case::new()
    };
    assert_eq!(later.told(), "begin Running 1.22.8", "and not back to what was refused");
}

/// Between a take-back and the moment in which all know of it, a server of the new version may begin to lead.
#[test]
fn what_has_led_is_not_taken_back_any_more() {
    for phase in [UpgradePhase::Running, UpgradePhase::Stopped, UpgradePhase::TakenBack] {
        let mut case = Case {
            upgrade: Some(upgrade("1.22.6", "1.22.7", phase)),
            runs: ["1.22.7", "1.22.6", "1.22.6"],
            ..Case::new()
        };
        case.own = ConsulStatus { is_leader: true, ..consul("1.22.7", true) };
        let Next::Note(noted) = case.next() else { panic!("{phase:?} {:?}", case.next()) };
        let forward = if phase == UpgradePhase::TakenBack { UpgradePhase::Running } else { phase };
        assert_eq!((noted.has_led, noted.phase), (true, forward));
        // The same where another leads by now and the one that led says so.
        case.own = consul("1.22.6", true);
        assert!(!matches!(case.next(), Next::Note(noted) if noted.has_led));
        case.led_with = Some(Version::new(1, 22, 7));
        assert!(matches!(case.next(), Next::Note(noted) if noted.has_led), "{phase:?}");
    }
}

/// A lone server that came with a fresh disk runs what was declared since, and leads with it: the way of before is not to be
/// gone by anybody any more.
#[test]
fn what_is_declared_and_runs_ends_the_way_of_before() {
    for phase in [UpgradePhase::Running, UpgradePhase::Stopped, UpgradePhase::TakenBack] {
        let mut case = Case {
            cluster: cluster("1.22.8"),
            upgrade: Some(upgrade("1.22.6", "1.22.7", phase)),
            runs: ["1.22.8"; 3],
            led_with: Some(Version::new(1, 22, 8)),
            ..Case::new()
        };
        case.own = ConsulStatus { is_leader: true, ..consul("1.22.8", true) };
        if phase != UpgradePhase::TakenBack {
            let Next::Note(led) = case.next() else { panic!("{phase:?} {:?}", case.next()) };
            assert!(led.has_led, "there is no way back from it");
            case.upgrade = Some(*led);
        }
        case.healthy = false;
        assert_eq!(case.told(), "nothing", "{phase:?}");
        case.healthy = true;
        assert_eq!(case.told(), "note Done 1.22.8", "{phase:?}");
        let Next::Note(done) = case.next() else { panic!("{phase:?} {:?}", case.next()) };
        let is_refused = done.has_refused(&Version::new(1, 22, 7));
        assert_eq!(is_refused, phase == UpgradePhase::TakenBack);
        case.upgrade = Some(*done);
        case.offered = vec!["1.22.9"];
        assert_eq!(case.told(), "fetch 1.22.9", "and the channel goes on from there");
    }
}

/// What was declared since leads, and is neither end of a way that was taken back: that is no reason to go on with it.
#[test]
fn what_leads_from_another_declaration_revives_no_way_that_was_taken_back() {
    let mut case = Case {
        cluster: cluster("1.22.8"),
        upgrade: Some(upgrade("1.22.6", "1.22.9", UpgradePhase::TakenBack)),
        runs: ["1.22.8"; 3],
        led_with: Some(Version::new(1, 22, 8)),
        ..Case::new()
    };
    case.own = ConsulStatus { is_leader: true, ..consul("1.22.8", true) };
    assert_eq!(case.told(), "note Done 1.22.8");
    let Next::Note(done) = case.next() else { panic!("{:?}", case.next()) };
    assert!(done.has_refused(&Version::new(1, 22, 9)), "it does not come again by itself");
}

#[test]
fn a_way_begins_beside_the_apply_that_declared_it_or_in_a_window() {
    let running = |by| Upgrade { by, ..upgrade("1.22.6", "1.22.7", UpgradePhase::Running) };
    let told = |by, is_apply_open, now| {
        may_not_begin(&cluster("1.22.6"), &running(by), is_apply_open, at(now)).unwrap_or_default()
    };
    assert_eq!(told(By::Declaration, true, CLOSED), "");
    assert_eq!(told(By::Declaration, false, OPEN), "");
    let waits = told(By::Declaration, false, CLOSED);
    assert!(waits.contains(&format!("the next one opens at {NEXT}")), "{waits}");
    assert!(told(By::Declaration, false, ALMOST_OVER).contains(NEXT));
    assert_eq!(told(By::Channel, false, OPEN), "");
    assert!(told(By::Channel, true, OPEN).contains("an apply works"));
}

struct Server {
    is_member: bool,
    is_active: bool,
    ran: Option<&'static str>,
    led_with: Option<&'static str>,
    leader_runs: Option<&'static str>,
    /// The newest with which another server says that it has led.
    other_led_with: Option<&'static str>,
}

/// By hand: whatever starts a Consul anew, it starts what it ran; a turn alone changes that, and the way back.
#[test]
fn a_server_runs_what_it_ran_until_it_is_its_turn() {
    let member = || Server {
        is_member: true,
        is_active: true,
        ran: Some("1.22.6"),
        led_with: None,
        leader_runs: Some("1.22.6"),
        other_led_with: None,
    };
    let stopped = || Server { is_active: false, ..member() };
    let gone = || Server { ran: Some("1.22.7"), ..member() };
    let new = |leader_runs| Server { is_member: false, ran: None, leader_runs, ..member() };
    let by_channel = |phase| Some(upgrade("1.22.6", "1.22.7", phase));
    let led = || Server { led_with: Some("1.22.7"), ..gone() };
    let other_led = || Server { other_led_with: Some("1.22.7"), is_active: false, ..gone() };
    let (old_one, new_one) = (Some("1.22.6"), Some("1.22.7"));
    let running = UpgradePhase::Running;
    let rows = [
        ("its turn", member(), by_channel(running), OPEN, "1.22.7"),
        ("a closed window", member(), by_channel(running), CLOSED, "1.22.6"),
        ("rebooted in an open window", stopped(), by_channel(running), OPEN, "1.22.6"),
        ("stopped", member(), by_channel(UpgradePhase::Stopped), OPEN, "1.22.6"),
        (
            "rebooted after it had gone",
            Server { is_active: false, ..gone() },
            by_channel(running),
            CLOSED,
            "1.22.7",
        ),
        ("back", gone(), by_channel(UpgradePhase::TakenBack), CLOSED, "1.22.6"),
        (
            "back, crashed",
            Server { is_active: false, ..gone() },
            by_channel(UpgradePhase::TakenBack),
            CLOSED,
            "1.22.6",
        ),
        ("not back once it has led", led(), by_channel(UpgradePhase::TakenBack), CLOSED, "1.22.7"),
        (
            "booted after another one has led with it, which nobody has noted",
            other_led(),
            by_channel(UpgradePhase::TakenBack),
            CLOSED,
            "1.22.7",
        ),
        ("the same, chosen", other_led(), by_channel(UpgradePhase::Chosen), CLOSED, "1.22.7"),
        ("new, before any went", new(old_one), by_channel(running), OPEN, "1.22.6"),
        ("new, the leader has gone", new(new_one), by_channel(running), CLOSED, "1.22.7"),
        ("new, nobody there", new(None), None, OPEN, "1.22.6"),
        (
            "new, and the leader with which it came is away",
            Server { ran: old_one, ..new(None) },
            by_channel(running),
            OPEN,
            "1.22.6",
        ),
        ("nothing known", Server { ran: None, ..stopped() }, by_channel(running), OPEN, "1.22.6"),
        (
            "back, and another release is chosen",
            Server { is_active: false, ..gone() },
            by_channel(UpgradePhase::Chosen),
            CLOSED,
            "1.22.6",
        ),
        ("the same, and it has led", led(), by_channel(UpgradePhase::Chosen), CLOSED, "1.22.7"),
        ("done", member(), by_channel(UpgradePhase::Done), CLOSED, "1.22.7"),
    ];
    for (name, server, note, now, expected) in rows {
        let cluster = cluster("1.22.6");
        assert_eq!(runs(&cluster, &server, note.as_ref(), now), expected, "{name}");
    }
    // Declared, and nobody has begun: neither a member nor a newcomer goes before the snapshot.
    let mut declared = cluster("1.22.7");
    declared.consul_before = Some(Box::new(artifact("1.22.6")));
    assert_eq!(runs(&declared, &member(), None, OPEN), "1.22.6");
    assert_eq!(runs(&declared, &new(old_one), None, OPEN), "1.22.6");
    assert_eq!(runs(&declared, &new(new_one), None, OPEN), "1.22.7");
    // Declared over a way that was taken back: the ill server goes back first.
    let mut further = cluster("1.22.8");
    further.consul_before = Some(Box::new(artifact("1.22.7")));
    let back = by_channel(UpgradePhase::TakenBack);
    assert_eq!(runs(&further, &gone(), back.as_ref(), OPEN), "1.22.6");
    assert_eq!(runs(&further, &member(), back.as_ref(), OPEN), "1.22.6");
}

fn runs(
    cluster: &ClusterDocument,
    server: &Server,
    upgrade: Option<&Upgrade>,
    now: &str,
) -> String {
    let ran = server.ran.map(artifact);
    let led_with = server.led_with.map(|version| version.parse().unwrap());
    let mut leader = samples::status(1);
    leader.consul =
        server.leader_runs.map(|it| ConsulStatus { is_leader: true, ..consul(it, true) });
    leader.led_with = server.other_led_with.map(|version| version.parse().unwrap());
    let peers = [leader];
    let turn = Turn {
        cluster,
        upgrade,
        peers: &peers,
        is_member: server.is_member,
        is_active: server.is_active,
        ran: ran.as_ref(),
        led_with: led_with.as_ref(),
        now: at(now),
    };
    turn.consul().version.to_string()
}
