//! One cluster, one owner: whatever orders core gives, in whatever states, killed wherever.
//!
//! Two workspaces with two addresses each declare a cluster of one name. At the end of each run state and world agree, or
//! an error was told; and nobody's cluster goes by somebody else's doing.

use std::time::Duration;

use bytes::Bytes;
use hcs_planner::names::INCARNATION_TAG;
use serde_json::Value as Json;
use tfplugin::{Resource, Value};

use super::{Random, cases};
use crate::testing::core::{Done, Failure, Instance, Options, apply, import};
use crate::testing::{Azure, Kill, Provider, demo};
use hcs_simulator::CallFault;

/// What one run does to one address.
#[derive(Clone, Debug)]
struct Move {
    workspace: usize,
    address: usize,
    /// `None` takes the block out.
    cidr: Option<&'static str>,
    protected: bool,
    options: Options,
    /// Taints the object first.
    taint: bool,
    kill: Option<Kill>,
}

const CIDRS: [&str; 2] = ["10.0.0.0/24", "10.9.0.0/24"];

fn config(one: &Move) -> Option<Value> {
    let cidr = one.cidr?;
    Some(demo([
        ("server_count", Value::from(1)),
        ("vnet_cidr", cidr.into()),
        ("deletion_protection", one.protected.into()),
    ]))
}

fn random_move(random: &mut Random) -> Move {
    let at = random.below(260);
    let fault = if random.chance(2) { CallFault::KillBefore } else { CallFault::KillAfter };
    Move {
        workspace: random.below(2),
        address: random.below(2),
        cidr: (!random.chance(4)).then(|| CIDRS[usize::from(random.chance(4))]),
        protected: random.chance(8),
        options: Options { replace: random.chance(5), create_first: random.chance(4) },
        taint: random.chance(8),
        kill: random.chance(3).then_some(Kill { at, fault }),
    }
}

/// The cluster that Azure holds: its incarnation by record and tag, and whether it has ever been healthy.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    incarnation_id: Option<String>,
    was_ready: bool,
    /// Its CA: made once in a cluster's life.
    authority: Option<Bytes>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, ready {}", self.incarnation_id, self.was_ready)
    }
}

fn see(azure: &Azure) -> Option<Seen> {
    let id = Azure::cluster_id();
    let group = azure.object(&id)?;
    if group["properties"]["provisioningState"] == "Deleting" {
        return None;
    }
    let account = hcs_planner::names::storage_account_name(&id);
    let blobs = azure.cloud.blobs(&account);
    let record = blobs.get("config/run.json");
    let record = record.and_then(|bytes| serde_json::from_slice::<Json>(bytes).ok());
    let by_record = record.and_then(|record| Some(record["incarnation_id"].as_str()?.to_owned()));
    let by_tag = group["tags"][INCARNATION_TAG].as_str().map(str::to_owned);
    let was_ready = blobs.contains_key("config/ready.json");
    let authority = blobs.get("certificates/ca.pem").cloned();
    Some(Seen { incarnation_id: by_record.or(by_tag), was_ready, authority })
}

fn incarnations(instance: &Instance) -> Vec<Option<String>> {
    let all = instance.current.iter().chain(&instance.deposed);
    all.map(|object| object.state.get("incarnation_id").as_str().map(str::to_owned)).collect()
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Done(Done),
    Failed(Failure),
    Killed,
}

/// One run of core. What it had noted when it was killed stays noted.
async fn run(azure: &Azure, instance: &mut Instance, one: &Move) -> End {
    if one.taint
        && let Some(object) = &mut instance.current
    {
        object.tainted = true;
    }
    let provider = azure.provider(Value::Null, one.kill);
    let (resource, config) = (provider.cluster(), config(one));
    tokio::select! {
        result = apply(&resource, instance, config.as_ref(), one.options) => match result {
            Ok(done) => End::Done(done),
            Err(failure) => End::Failed(failure),
        },
        () = provider.death() => End::Killed,
    }
}

/// What must hold after a run, by what was before.
fn judge(
    azure: &Azure,
    one: &Move,
    before: (&Option<Seen>, &Instance),
    held: &[Option<String>],
    after: &Instance,
    end: &End,
) -> Vec<String> {
    let (seen_before, instance_before) = before;
    let seen = see(azure);
    let mut faults = Vec::new();
    if let End::Failed(Failure::Bug(bug)) = end {
        faults.push(format!("Terraform's contract is broken: {bug:?}"));
    }
    let now = seen.as_ref().and_then(|seen| seen.incarnation_id.clone());
    if let (End::Done(_), Some(_)) = (end, one.cidr) {
        match &after.current {
            None => faults.push("an apply ended well, and the state holds nothing".to_owned()),
            Some(object) => {
                let own = object.state.get("incarnation_id").as_str().map(str::to_owned);
                if own.is_none() || own != now {
                    faults.push(format!("the state holds {own:?}, Azure {now:?}"));
                }
                if object.state.get("state").as_str() != Some("running") {
                    faults.push(format!("an apply ended well at {:?}", object.state.get("state")));
                }
            }
        }
        if !after.deposed.is_empty() {
            faults.push("something deposed is left".to_owned());
        }
    }
    if let (End::Done(_), None) = (end, one.cidr) {
        if now.is_some() && incarnations(instance_before).contains(&now) {
            faults.push(format!("a destroy ended well, and {now:?} is there"));
        }
        if after.current.is_some() {
            faults.push("a destroy ended well, and the state holds it".to_owned());
        }
    }
    // Whose cluster goes was held by the state that let it go.
    if let Some(gone) = seen_before.as_ref().filter(|gone| gone.was_ready) {
        let is_gone = seen.as_ref().is_none_or(|seen| seen.authority != gone.authority);
        let is_another = seen.as_ref().is_some_and(|s| s.incarnation_id != gone.incarnation_id);
        if is_another && !is_gone && held.contains(&gone.incarnation_id) {
            faults.push(format!("{gone:?} was taken from the state that holds it"));
        }
        if is_gone && !incarnations(instance_before).contains(&gone.incarnation_id) {
            faults.push(format!("{gone:?} went by a state that did not hold it"));
        }
        let was_protected = instance_before
            .current
            .iter()
            .any(|object| object.state.get("deletion_protection").as_bool() == Some(true));
        if is_gone && was_protected {
            faults.push(format!("{gone:?} went although it was protected"));
        }
    }
    faults
}

/// At the end somebody brings order: whoever holds the cluster applies, or it is imported, and the next plan is empty.
async fn settle(azure: &Azure, states: &mut [[Instance; 2]; 2]) -> Result<(), String> {
    // A run that was killed counts as alive for a while.
    tokio::time::sleep(Duration::from_mins(1)).await;
    let provider = azure.provider(Value::Null, None);
    let resource = provider.cluster();
    let Some(seen) = see(azure) else { return Ok(()) };
    let holder = states.iter_mut().flatten().find(|instance| {
        instance.current.is_some() && incarnations(instance).first() == Some(&seen.incarnation_id)
    });
    let mut fresh = Instance::default();
    let instance = match holder {
        Some(instance) => instance,
        None => {
            // Nobody holds it: a create goes on with it, or it can be imported.
            if let Ok(imported) = import(&resource, Azure::cluster_id().as_str()).await {
                fresh = imported;
            }
            &mut fresh
        }
    };
    // What is healthy is untainted by hand, not made anew.
    if let Some(object) = instance.current.as_mut().filter(|_| seen.was_ready) {
        object.tainted = false;
    }
    let mut cidrs = Vec::new();
    if let Some(object) = &instance.current {
        cidrs.push(object.state.get("vnet_cidr").as_str().unwrap_or(CIDRS[0]).to_owned());
    } else {
        cidrs.extend(CIDRS.map(str::to_owned));
    }
    let mut told = Vec::new();
    for cidr in cidrs {
        let config = demo([("server_count", Value::from(1)), ("vnet_cidr", cidr.into())]);
        match apply(&resource, instance, Some(&config), Options::default()).await {
            Ok(_) => {
                let again = apply(&resource, instance, Some(&config), Options::default()).await;
                return match again {
                    Ok(done) if done == Done::default() => Ok(()),
                    other => Err(format!("the plan after the last apply is not empty: {other:?}")),
                };
            }
            Err(failure) => told.push(failure),
        }
    }
    Err(format!("nobody can go on with {seen:?}: {told:?}"))
}

async fn sequence(seed: u64) -> (usize, Vec<String>) {
    let mut random = Random(seed);
    let azure = Azure::new().await;
    let mut states: [[Instance; 2]; 2] = Default::default();
    let mut story = Vec::new();
    let moves = 3 + random.below(4);
    for _ in 0..moves {
        let one = random_move(&mut random);
        let before = (see(&azure), states[one.workspace][one.address].clone());
        let held: Vec<_> = states.iter().flatten().flat_map(incarnations).collect();
        let instance = &mut states[one.workspace][one.address];
        let end = run(&azure, instance, &one).await;
        story.push(format!("{one:?} -> {end:?}"));
        let faults = judge(&azure, &one, (&before.0, &before.1), &held, instance, &end);
        if !faults.is_empty() {
            return (story.len(), faults.into_iter().chain(story).collect());
        }
        if end == End::Killed && random.chance(2) {
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
    }
    if let Err(fault) = settle(&azure, &mut states).await {
        return (story.len(), std::iter::once(fault).chain(story).collect());
    }
    (story.len(), vec![])
}

#[tokio::test(start_paused = true)]
async fn one_cluster_has_one_owner_whatever_order_core_gives() {
    let first = std::env::var("HCS_LAW_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (mut runs, count) = (0, cases(120));
    for seed in (first..).take(count) {
        let (done, faults) = sequence(seed).await;
        runs += done;
        assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
    }
    println!("{count} sequences, {runs} runs of core");
}

/// Two runs at the same time, a moment apart.
async fn at_once(seed: u64) -> Vec<String> {
    let mut random = Random(seed);
    let azure = Azure::new().await;
    let mut states: [Instance; 2] = Default::default();
    let moves: Vec<Move> = (0..2)
        .map(|workspace| Move {
            workspace,
            options: Options::default(),
            cidr: Some(CIDRS[if random.chance(2) { 0 } else { workspace }]),
            kill: None,
            taint: false,
            protected: false,
            address: 0,
        })
        .collect();
    let delay = Duration::from_millis(random.next() % 200_000);
    let (one, other) = states.split_at_mut(1);
    let (first, second) = tokio::join!(run(&azure, &mut one[0], &moves[0]), async {
        tokio::time::sleep(delay).await;
        run(&azure, &mut other[0], &moves[1]).await
    });
    let there = see(&azure);
    let story =
        format!("{delay:?} apart\n{:?} -> {first:?}\n{:?} -> {second:?}", moves[0], moves[1]);
    let mut faults = Vec::new();
    let well = [&first, &second].iter().filter(|end| matches!(end, End::Done(_))).count();
    if well != 1 {
        faults.push(format!("{well} of two creates of one cluster ended well"));
    }
    let holders = states.iter().filter(|instance| instance.current.is_some()).count();
    let now = there.and_then(|there| there.incarnation_id);
    let owners = states.iter().filter(|instance| incarnations(instance).contains(&now)).count();
    if holders != 1 || owners != 1 {
        faults.push(format!(
            "{holders} states hold a cluster, {owners} of them the one that is there"
        ));
    }
    // The loser goes on as a person would who reads nothing: the winner's cluster stays.
    for (instance, one) in states.iter_mut().zip(&moves) {
        let _ = run(&azure, instance, one).await;
    }
    if see(&azure).and_then(|seen| seen.incarnation_id) != now {
        faults.push("the winner's cluster did not outlive the loser's next apply".to_owned());
    }
    if faults.is_empty() { faults } else { faults.into_iter().chain([story]).collect() }
}

#[tokio::test(start_paused = true)]
async fn of_two_creates_at_once_one_wins_and_the_other_touches_nothing() {
    let count = cases(40);
    for seed in 0..count as u64 {
        let faults = at_once(seed).await;
        assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
    }
    println!("{count} pairs of creates");
}

/// Somebody deletes the group by hand. While it goes, its state is destroyed and another one makes the cluster anew.
async fn old_and_new(seed: u64) -> Vec<String> {
    let mut random = Random(seed);
    let azure = Azure::new().await;
    let mut states: [Instance; 2] = Default::default();
    let order = |workspace, cidr| Move {
        workspace,
        options: Options::default(),
        cidr,
        kill: None,
        taint: false,
        protected: false,
        address: 0,
    };
    let made = run(&azure, &mut states[0], &order(0, Some(CIDRS[0]))).await;
    assert!(matches!(made, End::Done(_)), "{made:?}");
    azure
        .delete(&Azure::cluster_id().resource("Microsoft.Authorization/locks", "hcs-cannot-delete"))
        .await;
    let delays = [(); 3].map(|()| Duration::from_millis(random.next() % 90_000));
    let (old, new) = states.split_at_mut(1);
    let later = async |delay, instance, order| {
        tokio::time::sleep(delay).await;
        run(&azure, instance, &order).await
    };
    let ((), first, second) = tokio::join!(
        async {
            tokio::time::sleep(delays[0]).await;
            azure.delete(&Azure::cluster_id()).await;
        },
        later(delays[1], &mut old[0], order(0, None)),
        later(delays[2], &mut new[0], order(1, Some(CIDRS[1]))),
    );
    let now = see(&azure).and_then(|there| there.incarnation_id);
    let mut faults = Vec::new();
    if matches!(second, End::Done(_)) && (now.is_none() || !incarnations(&states[1]).contains(&now))
    {
        faults.push("a create ended well, and its cluster is not there".to_owned());
    }
    let next = run(&azure, &mut states[1], &order(1, Some(CIDRS[1]))).await;
    let last = run(&azure, &mut states[0], &order(0, None)).await;
    let now = see(&azure).and_then(|there| there.incarnation_id);
    if now.is_none() || !incarnations(&states[1]).contains(&now) {
        faults.push("the new cluster did not come, or did not outlive the old state".to_owned());
    }
    let story = format!("{delays:?}: {first:?}, {second:?}; then {next:?}, {last:?}");
    if faults.is_empty() { faults } else { faults.into_iter().chain([story]).collect() }
}

#[tokio::test(start_paused = true)]
async fn what_takes_the_place_of_a_cluster_that_goes_is_nobody_elses_to_delete() {
    let count = cases(20);
    for seed in 0..count as u64 {
        let faults = old_and_new(seed).await;
        assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
    }
    println!("{count} destroys beside a create");
}

fn resource(provider: &Provider) -> std::sync::Arc<dyn Resource> {
    provider.cluster()
}

/// Ids of what Azure holds, each with what tells it from one that was made anew.
fn objects(azure: &Azure) -> std::collections::BTreeMap<String, String> {
    let rows = azure.cloud.with_world(|world| world.objects());
    let mark = |id: &str| {
        let body = azure.cloud.with_world(|world| world.inspect(id)).unwrap_or_default();
        let unique =
            ["/properties/uniqueId", "/properties/resourceGuid", "/properties/creationTime"];
        unique.iter().filter_map(|at| body.pointer(at)).map(ToString::to_string).collect::<String>()
    };
    rows.into_iter().map(|row| (row.id.to_lowercase(), mark(&row.id))).collect()
}

/// A policy forbids something in the middle of a create; when it is lifted, the next apply ends with every object made
/// once and none deleted, although core destroys what is tainted before it makes it anew.
#[tokio::test(start_paused = true)]
async fn a_failed_create_is_gone_on_with_and_nothing_of_it_is_deleted() {
    let forbidden = [
        "storageAccounts:1",
        "natGateways:1",
        "virtualNetworks:1",
        "userAssignedIdentities:1:2",
        "virtualMachineScaleSets:1:2",
        "loadBalancers:1",
        "locks:1",
        "roleAssignments:1:4",
    ];
    for fault in forbidden {
        for protected in [false, true] {
            let azure = Azure::new().await;
            let provider = azure.provider(Value::Null, None);
            let config = demo([("deletion_protection", Value::from(protected))]);
            let fault_text = format!("policy:PUT:{fault}");
            azure.cloud.with_world(|world| world.inject(fault_text.parse().unwrap()));
            let mut instance = Instance::default();
            let first =
                apply(&resource(&provider), &mut instance, Some(&config), Options::default()).await;
            let Err(Failure::Told(words)) = first else { panic!("{fault}: {first:?}") };
            assert!(words[0].contains("RequestDisallowedByPolicy"), "{words:?}");
            assert!(instance.current.as_ref().is_some_and(|object| object.tainted), "{fault}");
            let before = objects(&azure);

            let second =
                apply(&resource(&provider), &mut instance, Some(&config), Options::default()).await;
            assert_eq!(second, Ok(Done { added: 1, changed: 0, destroyed: 1 }), "{fault}");
            let after = objects(&azure);
            for (id, mark) in before {
                assert_eq!(after.get(&id), Some(&mark), "{fault}: {id} was made once");
            }
            let again =
                apply(&resource(&provider), &mut instance, Some(&config), Options::default()).await;
            assert_eq!(again, Ok(Done::default()), "{fault}: the next plan is empty");
        }
    }
}

/// The delete of a tainted object fails: what is left is not taken for a cluster that is well.
#[tokio::test(start_paused = true)]
async fn a_failed_delete_of_a_tainted_cluster_is_tried_again() {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let config = demo([("server_count", Value::from(1))]);
    let mut instance = Instance::default();
    apply(&resource(&provider), &mut instance, Some(&config), Options::default()).await.unwrap();
    instance.current.as_mut().unwrap().tainted = true;
    let fault = "403:DELETE:resourceGroups:1".parse().unwrap();
    azure.cloud.with_world(|world| world.inject(fault));
    let failed =
        apply(&resource(&provider), &mut instance, Some(&config), Options::default()).await;
    assert!(matches!(failed, Err(Failure::Told(_))), "{failed:?}");
    let left = instance.current.as_ref().unwrap();
    assert_eq!(left.state.get("state").as_str(), Some("converging"));
    // Whether core keeps the taint or not, something is planned and ends well.
    for tainted in [true, false] {
        let mut instance = instance.clone();
        instance.current.as_mut().unwrap().tainted = tainted;
        let done =
            apply(&resource(&provider), &mut instance, Some(&config), Options::default()).await;
        assert_ne!(done.unwrap(), Done::default());
        if tainted {
            return;
        }
    }
}

/// Each leg of a replacement of a healthy cluster, by hand.
#[tokio::test(start_paused = true)]
async fn a_replacement_before_its_destroy_is_refused_before_anything_is_touched() {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let config = demo([("server_count", Value::from(1))]);
    let mut instance = Instance::default();
    apply(&resource(&provider), &mut instance, Some(&config), Options::default()).await.unwrap();
    let before = see(&azure);
    let writes = provider.writes();
    let options = Options { replace: true, create_first: true };
    let refused = apply(&resource(&provider), &mut instance, Some(&config), options).await;
    let Err(Failure::Told(words)) = refused else { panic!("{refused:?}") };
    assert!(
        words[0].contains("exists already") && words[0].contains("terraform import"),
        "{words:?}"
    );
    assert_eq!(see(&azure), before);
    assert_eq!(provider.writes(), writes, "no write to Resource Manager");
}
