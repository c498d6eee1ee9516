//! Runs that are cut off at random moments, under the real Terraform: no orphan, no double, quorum kept.
//!
//! `HCS_KILLS` sets how many (a minute each); `HCS_SEED` where the moments come from.

use std::collections::BTreeMap;
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use hcs_acceptance::Scenario;
use hcs_acceptance::consul::Consul;
use hcs_acceptance::kill::Cut;
use hcs_acceptance::scenario::CLUSTER;
use hcs_acceptance::terraform::Ran;
use serde_json::{Value, json};

type Done<T = ()> = Result<T, Box<dyn Error>>;

const TIME_SCALE: u32 = 60;
/// Applies that a person would try before they call.
const TRIES_MAX: usize = 3;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Create,
    Scale,
    Replace,
    Destroy,
}

impl Change {
    const ALL: [Self; 4] = [Self::Create, Self::Scale, Self::Replace, Self::Destroy];

    /// Servers afterwards.
    fn servers(self) -> u32 {
        match self {
            Self::Create | Self::Replace => 3,
            Self::Scale => 5,
            Self::Destroy => 0,
        }
    }

    fn arguments(self) -> Vec<&'static str> {
        let mut arguments = vec!["apply", "-no-color", "-input=false", "-auto-approve"];
        match self {
            Self::Create | Self::Scale => {}
            Self::Replace => arguments.push("-replace=hcs_cluster.main"),
            Self::Destroy => arguments[0] = "destroy",
        }
        arguments
    }

    /// How long it takes when nobody disturbs it, about.
    fn seconds(self) -> u64 {
        match self {
            Self::Create | Self::Scale => 9,
            Self::Replace => 14,
            Self::Destroy => 4,
        }
    }
}

#[test]
fn a_run_that_is_cut_off_anywhere_is_finished_by_the_next() -> Done {
    let (count, seed) = (number("HCS_KILLS", 2), number("HCS_SEED", 1));
    let scenario = Scenario::start(&format!("kills-{seed}"), "", TIME_SCALE)?;
    let terraform = &scenario.terraform;
    terraform.declare("kills", json!({ "server_count": 3 }))?;
    terraform.init()?;
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (mut cut_off, mut torn) = (0, 0);
    for turn in 0..count {
        let change = Change::ALL[usize::try_from(turn % 4)?];
        let cut = Cut::ALL[usize::try_from((turn / 4 + turn) % 4)?];
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let moment = Duration::from_millis(300 + (random >> 33) % (change.seconds() * 1000));
        if change.servers() > 0 {
            terraform.declare("kills", json!({ "server_count": change.servers() }))?;
        }
        let mut run = terraform.spawn("cut", &change.arguments())?;
        thread::sleep(moment);
        let ended_well = cut.off(&mut run)?;
        cut_off += usize::from(!ended_well);
        if cut == Cut::Both && is_state_torn(&scenario) {
            torn += 1;
            import_what_is_there(&scenario)?;
        }
        let tries = finish(&scenario, change)?;
        println!(
            "{turn}: {change:?} cut off by {cut:?} after {moment:?}, finished by {tries} more"
        );
    }
    terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new(), "no orphan");
    assert_eq!(scenario.vms()?, Vec::<Value>::new());
    println!(
        "{count} runs, {cut_off} of them cut off, {torn} with Terraform's state: 0 orphans, 0 doubles, quorum kept"
    );
    Ok(())
}

/// Terraform empties a local state file before it writes it anew (`Truncate(0)` in its statemgr/filesystem.go). Killed
/// between the two, as it is by the death of its provider and its own a moment later, it leaves none.
fn is_state_torn(scenario: &Scenario) -> bool {
    let state = std::fs::read(scenario.terraform.dir.join("terraform.tfstate"));
    state.is_ok_and(|bytes| serde_json::from_slice::<Value>(&bytes).is_err())
}

/// What a person does whose state is lost. What never came to be held is gone on with by the next apply instead.
fn import_what_is_there(scenario: &Scenario) -> Done {
    let terraform = &scenario.terraform;
    std::fs::remove_file(terraform.dir.join("terraform.tfstate"))?;
    let made = scenario.made()?;
    let Some(id) = made.iter().find(|id| !id.contains("/providers/")) else { return Ok(()) };
    let ran = terraform.run(&["import", "-no-color", "-input=false", CLUSTER, id])?;
    if ran.code != 0 && !ran.words().contains("The cluster is not finished") {
        return Err(format!("a lost state cannot be imported:\n{}", ran.text()).into());
    }
    Ok(())
}

/// Applies as a person would, until it is done; how many times.
fn finish(scenario: &Scenario, change: Change) -> Done<usize> {
    let terraform = &scenario.terraform;
    let mut told = String::new();
    for tries in 1..=TRIES_MAX {
        let ran = again(scenario, change)?;
        if ran.code != 0 {
            told = ran.text();
            continue;
        }
        if change == Change::Destroy {
            assert_eq!(scenario.made()?, Vec::<String>::new(), "no orphan");
            return Ok(tries);
        }
        terraform.plan(&[])?.expect_code(0)?;
        once(scenario, change.servers())?;
        return Ok(tries);
    }
    Err(format!("{change:?} is not finished after {TRIES_MAX} tries:\n{told}").into())
}

fn again(scenario: &Scenario, change: Change) -> Done<Ran> {
    let words = if change == Change::Destroy { "destroy" } else { "apply" };
    Ok(scenario.terraform.run(&[words, "-no-color", "-input=false", "-auto-approve"])?)
}

/// Exactly one object of each, and all servers vote.
fn once(scenario: &Scenario, servers: u32) -> Done {
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    for id in scenario.made()? {
        let id = id.to_lowercase();
        let parts: Vec<&str> =
            id.rsplit("/providers/").next().unwrap_or_default().split('/').collect();
        if let [namespace, kind, _] = parts.as_slice() {
            *count.entry(format!("{namespace}/{kind}")).or_default() += 1;
        }
    }
    for (kind, expected) in [
        ("microsoft.compute/virtualmachinescalesets", servers),
        ("microsoft.managedidentity/userassignedidentities", servers + 1),
        ("microsoft.network/virtualnetworks", 1),
        ("microsoft.network/natgateways", 1),
        ("microsoft.network/publicipaddresses", 1),
        ("microsoft.storage/storageaccounts", 1),
        ("microsoft.authorization/locks", 1),
    ] {
        assert_eq!(count.get(kind), Some(&expected), "{kind} in {count:?}");
    }
    let cluster = scenario.terraform.attributes(CLUSTER)?;
    let account = cluster["storage_account_name"].as_str().unwrap_or_default();
    let consul = Consul::of_cluster(&scenario.azure, account, &scenario.dir)?;
    let started = Instant::now();
    while consul.voters(0)?.len() != servers as usize {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", consul.voters(0)?);
        thread::sleep(Duration::from_millis(250));
    }
    Ok(())
}
