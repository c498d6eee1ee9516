//! A create that is cut off goes on with the next apply: nothing twice, nothing lost, no manual step.

use std::collections::BTreeMap;
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use hcs_acceptance::Scenario;
use hcs_acceptance::kill::Cut;
use hcs_acceptance::scenario::CLUSTER;

type Done = Result<(), Box<dyn Error>>;

/// Slow enough that a create lasts some seconds.
const TIME_SCALE: u32 = 15;

#[test]
fn one_ctrl_c_keeps_the_state_and_the_next_apply_goes_on() -> Done {
    let scenario = start("ctrl-c")?;
    let mut apply = scenario.terraform.spawn("apply", &APPLY)?;
    wait_until_half_made(&scenario)?;
    assert!(!Cut::Interrupt.off(&mut apply)?, "Terraform says that it was interrupted");

    let cluster = scenario.terraform.attributes(CLUSTER)?;
    assert_eq!(cluster["state"], "converging", "the state knows the half-made cluster");
    let next = scenario.terraform.plan(&[])?.expect_code(2)?;
    assert!(next.stdout.contains("will be updated in-place"), "{}", next.stdout);
    assert!(!next.stdout.contains("must be replaced"), "{}", next.stdout);
    finish(&scenario)
}

#[test]
fn a_killed_terraform_is_resumed_by_the_next_apply() -> Done {
    let scenario = start("kill-terraform")?;
    let mut apply = scenario.terraform.spawn("apply", &APPLY)?;
    wait_until_half_made(&scenario)?;
    Cut::Both.off(&mut apply)?;
    // What a person does whose runner died: the lock of the local state file went with the process.
    finish(&scenario)
}

const APPLY: [&str; 4] = ["apply", "-no-color", "-input=false", "-auto-approve"];

fn start(name: &str) -> Result<Scenario, Box<dyn Error>> {
    let scenario = Scenario::start(name, "quickstart", TIME_SCALE)?;
    scenario.terraform.init()?;
    Ok(scenario)
}

/// A scale set is on its way: the middle of a create.
fn wait_until_half_made(scenario: &Scenario) -> Done {
    let started = Instant::now();
    while started.elapsed() < Duration::from_mins(1) {
        let objects = scenario.azure.objects()?;
        if objects.iter().any(|id| id.to_lowercase().contains("/virtualmachinescalesets/")) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err("no scale set after a minute".into())
}

fn finish(scenario: &Scenario) -> Done {
    let again = scenario.terraform.apply(&[])?;
    assert!(again.stdout.contains("0 destroyed"), "{}", again.stdout);
    scenario.terraform.plan(&[])?.expect_code(0)?;
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for id in scenario.made()? {
        let id = id.to_lowercase();
        let parts: Vec<&str> =
            id.rsplit("/providers/").next().unwrap_or_default().split('/').collect();
        // Namespace, type, name: children are their parents' business.
        if let [namespace, kind, _] = parts.as_slice() {
            *count.entry(format!("{namespace}/{kind}")).or_default() += 1;
        }
    }
    let exactly = [
        ("microsoft.compute/virtualmachinescalesets", 3),
        ("microsoft.network/virtualnetworks", 1),
        ("microsoft.network/natgateways", 1),
        ("microsoft.network/loadbalancers", 1),
        ("microsoft.network/publicipaddresses", 1),
        ("microsoft.network/networksecuritygroups", 1),
        ("microsoft.managedidentity/userassignedidentities", 4),
        ("microsoft.authorization/locks", 1),
        ("microsoft.storage/storageaccounts", 1),
    ];
    for (kind, expected) in exactly {
        assert_eq!(count.get(kind), Some(&expected), "{kind} in {count:?}");
    }
    let consul = scenario.consul()?;
    assert_eq!(consul.voters(0)?.len(), 3);
    scenario.terraform.destroy(&[])?;
    assert_eq!(scenario.made()?, Vec::<String>::new());
    Ok(())
}
