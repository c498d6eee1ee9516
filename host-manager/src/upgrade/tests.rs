//! What the leading server does next, written down by hand.

use hcs_planner::maintenance::Window;
use hcs_planner::upgrade::Channel;

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
        voters: ["a", "b", "c"].map(str::to_owned).to_vec(),
        peers: vec![],
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
    let way = Way { from: artifact(from), to: artifact(to), by: By::Channel };
    way.note("1".to_owned(), phase, 4, at(OPEN))
}

struct Case {
    cluster: ClusterDocument,
    upgrade: Option<Upgrade>,
    runs: [&'static str; 3],
    healthy: bool,
    unwell_s: u64,
    offered: Vec<&'static str>,
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
            offered: vec![],
            now: OPEN,
        }
    }

    fn next(&self) -> Next {
        let offered: Vec<Version> = self.offered.iter().map(|v| v.parse().unwrap()).collect();
        let (own, statuses) = (consul("1.22.6", self.healthy), statuses(self.runs));
        let sight = Sight {
            cluster: &self.cluster,
            upgrade: self.upgrade.as_ref(),
            statuses: &statuses,
            own: &own,
            unwell_for: Duration::from_secs(self.unwell_s),
            recovery_max: Duration::from_mins(3),
            offered: &offered,
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
    let newer = Case { upgrade: chosen(), offered: vec!["1.22.8"], ..Case::new() };
    assert_eq!(newer.told(), "fetch 1.22.8", "a later one replaces what waits");
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
        recovery_max: Duration::from_mins(3),
        offered: &[],
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
    assert!(stays(&running, &all[..2]).contains("server 2 does not say"));
    let done = upgrade("1.22.6", "1.22.7", UpgradePhase::Done);
    assert!(stays(&done, &all).contains("nothing is under way"));
}
