//! Bugs that a planner could have, planted on purpose: each must be found by a law or by the verdict.
//!
//! A bug is a function over the plan of the true planner, as if the planner had made that plan; or over its input.

use std::cell::Cell;

use crate::support::laws::{Case, THOROUGH, broken, honest};
use crate::support::scenarios;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::Names;
use hcs_planner::observed::Observed;
use hcs_planner::plan::{Action, Plan, PlanError, Step};
use hcs_planner::spec::ClusterSpec;
use serde_json::json;

/// A plan taken apart.
struct Parts {
    steps: Vec<Step>,
    /// Every pair of steps of which the second waits for the first, directly or not.
    edges: Vec<(usize, usize)>,
}

impl Parts {
    fn of(plan: &Plan) -> Self {
        let steps = plan.steps();
        let mut edges = Vec::new();
        for (at, (later, _)) in steps.iter().enumerate() {
            for (before, (earlier, _)) in steps.iter().enumerate() {
                if plan.waits_for(*later, *earlier) {
                    edges.push((before, at));
                }
            }
        }
        Self { steps: steps.iter().map(|(_, step)| (*step).clone()).collect(), edges }
    }

    fn find(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.id == id)
    }

    /// The step is gone; who waited for it waits for what it waited for.
    fn without(mut self, is_gone: impl Fn(&Step) -> bool) -> Self {
        let place: Vec<Option<usize>> = self
            .steps
            .iter()
            .scan(0, |next, step| {
                let at = (!is_gone(step)).then_some(*next);
                *next += usize::from(at.is_some());
                Some(at)
            })
            .collect();
        self.edges =
            self.edges.iter().filter_map(|(a, b)| Some((place[*a]?, place[*b]?))).collect();
        self.steps.retain(|step| !is_gone(step));
        self
    }

    /// Nobody waits for anybody any more between these two.
    fn untied(mut self, before: &str, after: &str) -> Self {
        if let (Some(before), Some(after)) = (self.find(before), self.find(after)) {
            // What leads from one to the other goes, too.
            let edges = self.edges.clone();
            let reaches = |a: usize, b: usize| a == b || edges.contains(&(a, b));
            self.edges.retain(|(a, b)| !(reaches(before, *a) && reaches(*b, after)));
        }
        self
    }

    /// Two steps take each other's place in the order.
    fn swapped(mut self, one: &str, other: &str) -> Self {
        if let (Some(one), Some(other)) = (self.find(one), self.find(other)) {
            let turn = |at: usize| {
                if at == one {
                    other
                } else if at == other {
                    one
                } else {
                    at
                }
            };
            self.edges = self.edges.iter().map(|(a, b)| (turn(*a), turn(*b))).collect();
        }
        self
    }

    fn with(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn changed(mut self, change: impl Fn(&mut Step)) -> Self {
        self.steps.iter_mut().for_each(change);
        self
    }

    fn plan(self) -> Result<Plan, PlanError> {
        Plan::new(self.steps, self.edges)
    }
}

type Mutation = Box<dyn Fn(Parts, &ClusterSpec, &Observed) -> Parts>;

/// What is wrong, the scenario that shows it, and the law that must find it.
struct Bug {
    name: &'static str,
    scenario: &'static str,
    found_by: &'static str,
    plant: Mutation,
}

fn bug(
    name: &'static str,
    scenario: &'static str,
    found_by: &'static str,
    plant: impl Fn(Parts, &ClusterSpec, &Observed) -> Parts + 'static,
) -> Bug {
    Bug { name, scenario, found_by, plant: Box::new(plant) }
}

fn delete(id: &str, kind: Kind, object: ArmId) -> Step {
    let action = Action::Delete { kind, id: object, reason: "by mistake".into() };
    Step { id: id.into(), action, slot: None }
}

fn body_of(step: &mut Step) -> Option<&mut serde_json::Value> {
    match &mut step.action {
        Action::Put { body, .. } => Some(body),
        _ => None,
    }
}

fn order() -> Vec<Bug> {
    vec![
        bug("the leader restarts first", "resize-3", "verdict", |plan, _, _| {
            plan.swapped("restart server_0", "restart server_2")
                .swapped("wait until healthy", "wait for server_2")
        }),
        bug("two servers restart at once", "resize-3", "verdict", |plan, _, _| {
            plan.untied("restart server_2", "restart server_1")
        }),
        bug("nobody waits for a restarted server", "resize-5-leader-4", "verdict", |plan, _, _| {
            plan.without(|step| step.id.starts_with("wait for "))
        }),
        bug("nobody looks before the first restart", "resize-3", "verdict", |plan, _, _| {
            plan.without(|step| step.id == "wait until all are healthy")
        }),
        bug(
            "a server is deleted before it has left",
            "replace-os-disk",
            "verdict",
            |plan, _, _| plan.swapped("leave server_1", "delete server_1"),
        ),
        bug("a server is deleted without a word", "scale-5-to-3", "verdict", |plan, _, _| {
            plan.without(|step| step.id == "leave server_4")
        }),
        bug("two servers leave at once", "scale-5-to-3", "verdict", |plan, _, _| {
            plan.untied("leave server_4", "leave server_3")
        }),
        bug(
            "the size rolls while the version rolls",
            "upgrade-and-resize",
            "verdict",
            |plan, _, _| plan.without(|step| step.id == "wait until all are healthy"),
        ),
        bug(
            "ready is marked before anybody looked",
            "scale-3-to-5",
            "ready is seen",
            |plan, _, _| plan.untied("wait until healthy", "mark ready"),
        ),
        bug("ready is marked for fewer servers", "scale-3-to-5", "ready is seen", |plan, _, _| {
            plan.changed(|step| {
                if let Action::WaitHealthy { voters, .. } = &mut step.action {
                    voters.truncate(3);
                }
            })
        }),
        bug(
            "a server boots before its secrets are there",
            "scale-3-to-5",
            "any order",
            |plan, _, _| plan.untied("mint agent token of server 4", "create server_4"),
        ),
        bug(
            "a blob is written before the right to",
            "create-3-on-3-zones",
            "any order|it can be carried out",
            |plan, _, _| plan.untied("grant caller blob access", "mint gossip key"),
        ),
        bug("the lock comes back too early", "scale-5-to-3", "any order", |plan, _, _| {
            plan.untied("delete container_secrets_3", "create lock")
        }),
    ]
}

#[allow(clippy::too_many_lines)]
fn content() -> Vec<Bug> {
    vec![
        bug(
            "zones are reshuffled",
            "create-3-on-3-zones",
            "zones in turn|nothing is left",
            |plan, _, _| {
                plan.changed(|step| {
                    let slot = step.slot.unwrap_or_default();
                    if let Some(zones) = body_of(step).and_then(|body| body.get_mut("zones"))
                        && slot > 0
                    {
                        *zones = json!([(4 - slot).to_string()]);
                    }
                })
            },
        ),
        bug(
            "a silent server is taken for a lost one",
            "silent-server",
            "verdict",
            |plan, spec, _| {
                let set = Names::new(spec).scale_set(1);
                let step = delete("delete server_1", Kind::ScaleSet, set);
                plan.with(Step { slot: Some(1), ..step })
            },
        ),
        bug("another's object is deleted", "policy-adds", "only ours", |plan, spec, _| {
            let group = Names::new(spec).cluster_id;
            let foreign = group.resource(Kind::Identity.resource_type(), "backup-agent");
            plan.with(delete("delete identity backup-agent", Kind::Identity, foreign))
        }),
        bug(
            "a running cluster's account is deleted",
            "nothing-to-do",
            "verdict|nothing is left|it can",
            |plan, spec, _| {
                let account = Names::new(spec).storage_account();
                plan.with(delete("delete storage account", Kind::StorageAccount, account))
            },
        ),
        bug("somebody's tags are overwritten", "tags-of-policy", "others stay", |plan, _, _| {
            plan.changed(|step| {
                let is_update = matches!(&step.action, Action::Put { update: true, .. });
                if let Some(tags) = body_of(step).and_then(|body| body.get_mut("tags"))
                    && is_update
                    && let Some(tags) = tags.as_object_mut()
                {
                    tags.remove("cost-center");
                }
            })
        }),
        bug("an old tag stays", "tags", "nothing stays behind", |plan, _, _| {
            plan.changed(|step| {
                if let Some(tags) = body_of(step).and_then(|body| body.get_mut("tags")) {
                    tags["old"] = json!("1");
                }
            })
        }),
        bug(
            "the helper stays",
            "replace-os-disk",
            "it can be carried out|nothing is left|nothing stays",
            |plan, _, _| {
                plan.without(|step| step.id == "leave server_3" || step.id == "delete server_3")
            },
        ),
        bug(
            "the helper's rights stay",
            "replace-os-disk",
            "nothing is left|nothing stays",
            |plan, _, _| plan.without(|step| step.id.starts_with("delete role_")),
        ),
        bug(
            "a machine never restarts",
            "resize-3",
            "what is published|minimal|verdict",
            |plan, _, _| plan.without(|step| step.id == "restart server_1"),
        ),
        bug(
            "clients are told an old address",
            "replace-data-disk-1",
            "what is published|it can|nothing is left",
            |plan, _, _| plan.without(|step| step.id.starts_with("update dns_record_consul after")),
        ),
        bug(
            "a write that is not needed",
            "changed-network-rule",
            "minimal|the rest",
            |plan, spec, observed| {
                let id = Names::new(spec).shared_identity();
                let action = Action::Put {
                    object: "identity_servers".into(),
                    kind: Kind::Identity,
                    body: observed.object(&id).cloned().unwrap_or_default(),
                    id,
                    update: true,
                    differences: vec![],
                    alternatives: vec![],
                };
                plan.with(Step { id: "update identity_servers".into(), action, slot: None })
            },
        ),
        bug("a wait that waits for nothing new", "peer-added", "minimal", |plan, spec, _| {
            let voters = (0..spec.server_count).map(|slot| hcs_planner::plan::Voter {
                slot,
                node_name: Names::new(spec).server(slot),
            });
            let consul_version = Some(spec.consul_version.clone());
            let action = Action::WaitHealthy { voters: voters.collect(), consul_version };
            plan.with(Step { id: "wait a little".into(), action, slot: None })
        }),
        bug(
            "the lock is forgotten",
            "scale-5-to-3",
            "the lock|nothing is left|ready",
            |plan, _, _| plan.without(|step| step.id == "create lock"),
        ),
        bug(
            "a fixed property is written",
            "zone-removed",
            "it can be carried out",
            |plan, _, _| {
                plan.changed(|step| {
                    if let Action::Put { update: update @ true, kind: Kind::ScaleSet, .. }
                    | Action::Put { update: update @ false, kind: Kind::ScaleSet, .. } =
                        &mut step.action
                        && step.slot == Some(2)
                    {
                        *update = true;
                    }
                })
                .without(|step| step.id == "delete server_2")
            },
        ),
    ]
}

/// A world without the order of its lists and the case of its ids.
fn plain(observed: &Observed) -> String {
    fn sort(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(ToString::to_string);
            }
            serde_json::Value::Object(map) => map.values_mut().for_each(sort),
            serde_json::Value::String(text) => *text = text.to_lowercase(),
            _ => {}
        }
    }
    let mut value = json!(observed);
    sort(&mut value);
    value.to_string()
}

fn case(name: &str) -> Case {
    let all = scenarios::all();
    // A change of tags in a world where a policy has tagged everything.
    let is_tagged = name == "tags-of-policy";
    let name = if is_tagged { "tags" } else { name };
    let scenario = all.iter().find(|scenario| scenario.name == name).expect("a scenario");
    let mut world = scenario.world();
    if is_tagged {
        scenarios::policy(&mut world, &scenario.now);
    }
    Case { spec: scenario.now.clone(), world }
}

#[test]
fn every_planted_bug_is_found() {
    let bugs: Vec<Bug> = order().into_iter().chain(content()).collect();
    assert!(bugs.len() >= 15);
    let mut missed = Vec::new();
    for bug in &bugs {
        let case = case(bug.scenario);
        assert_eq!(broken(&honest, &case, THOROUGH), None, "{}: without the bug", bug.name);
        // The bug is in the first plan only: what it leaves behind is judged by the true planner.
        let observed = plain(&case.world.observe(&case.spec));
        let buggy = |spec: &ClusterSpec, now: &Observed| {
            let plan = honest(spec, now)?;
            if plain(now) == observed {
                (bug.plant)(Parts::of(&plan), spec, now).plan()
            } else {
                Ok(plan)
            }
        };
        match broken(&buggy, &case, THOROUGH) {
            None => missed.push(format!("{}: not found", bug.name)),
            Some(law) if bug.found_by.split('|').any(|word| law.contains(word)) => {
                println!("{}: {}", bug.name, law.chars().take(160).collect::<String>());
            }
            Some(law) => missed.push(format!("{}: found by {law}", bug.name)),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Bugs that are no wrong plan, but a planner that is not a function of its input.
#[test]
fn a_planner_that_depends_on_more_than_its_input_is_found() {
    let case = case("scale-3-to-5");
    let counter = Cell::new(0_u32);
    let forgetful = |spec: &ClusterSpec, now: &Observed| {
        counter.set(counter.get() + 1);
        let plan = honest(spec, now)?;
        let number = counter.get();
        Parts::of(&plan)
            .changed(|step| {
                if step.id == "write spec" {
                    step.id = format!("write spec {number}");
                }
            })
            .plan()
    };
    let law = broken(&forgetful, &case, THOROUGH).expect("it is found");
    assert!(law.starts_with("same bytes"), "{law}");
    // The order of what ARM lists.
    let case = self::case("endpoint-callers");
    let by_position = |spec: &ClusterSpec, now: &Observed| {
        let plan = honest(spec, now)?;
        let names = Names::new(spec);
        let rules = now.object(&names.security_group());
        let first = rules.and_then(|b| b["properties"]["securityRules"][0]["name"].as_str());
        let is_turned = first != Some("consul-rpc");
        Parts::of(&plan)
            .changed(|step| {
                if is_turned && step.id == "write spec" {
                    step.id = "write spec again".into();
                }
            })
            .plan()
    };
    let law = broken(&by_position, &case, THOROUGH).expect("it is found");
    assert!(law.starts_with("input order"), "{law}");
}
