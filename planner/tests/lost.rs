//! When a server counts as lost: its set goes without asking it, so nothing less than all of the evidence will do.

use crate::support::laws::ids;
use crate::support::world::World;
use crate::support::{spec, with};
use hcs_planner::dataplane::ServerPhase;
use hcs_planner::names::Names;
use hcs_planner::observed::{LOST_AFTER_SECONDS, Observed};
use hcs_planner::plan::plan;
use hcs_planner::spec::ZoneFallback;

/// Whether server 1 of three, dead for an hour, is made anew in a world that differs a little.
fn is_made_anew(change: impl FnOnce(&mut Observed)) -> bool {
    let spec = spec(3, 3);
    let mut world = World::finished(&spec);
    world.die(1);
    let mut observed = world.observe(&spec);
    change(&mut observed);
    ids(&plan(&spec, &observed).unwrap()).contains(&"delete server_1".to_owned())
}

#[test]
fn a_server_is_lost_when_it_is_silent_for_long_and_the_others_go_on_without_it() {
    assert!(is_made_anew(|_| {}));
}

#[test]
fn a_server_that_was_silent_for_a_moment_is_not_lost() {
    let silent_for = |seconds| {
        move |observed: &mut Observed| {
            observed.servers.get_mut(&1).unwrap().age_seconds = Some(seconds);
        }
    };
    assert!(!is_made_anew(silent_for(LOST_AFTER_SECONDS - 1)));
    assert!(is_made_anew(silent_for(LOST_AFTER_SECONDS)));
}

#[test]
fn a_server_that_has_never_spoken_is_waited_for() {
    assert!(!is_made_anew(|observed| drop(observed.servers.remove(&1))));
    // What the machine of an earlier set said is no word of this one, which may be booting.
    assert!(!is_made_anew(|observed| {
        let set = Names::new(&spec(3, 3)).scale_set(1).key();
        let set = observed.objects.get_mut(&set).unwrap();
        set["properties"]["timeCreated"] = "2026-11-20T00:00:00.1+00:00".into();
    }));
}

#[test]
fn a_server_whose_consul_is_dead_is_lost_though_its_machine_speaks() {
    let consul_silent_for = |seconds| {
        move |observed: &mut Observed| {
            let server = observed.servers.get_mut(&1).unwrap();
            server.age_seconds = Some(1);
            (server.status.consul, server.status.consul_silent_seconds) = (None, seconds);
        }
    };
    assert!(is_made_anew(consul_silent_for(LOST_AFTER_SECONDS)));
    assert!(!is_made_anew(consul_silent_for(LOST_AFTER_SECONDS - 1)));
}

#[test]
fn the_others_must_say_so_and_have_a_leader() {
    let consul = |observed: &mut Observed,
                  change: fn(&mut hcs_planner::dataplane::ConsulStatus)| {
        let others = observed.servers.values_mut().filter(|server| server.age_seconds == Some(1));
        others.filter_map(|server| server.status.consul.as_mut()).for_each(change);
    };
    assert!(!is_made_anew(|observed| consul(observed, |consul| consul.leader = None)));
    assert!(!is_made_anew(|observed| consul(observed, |consul| {
        consul.peers.push("demo-server-1".into());
    })));
    assert!(!is_made_anew(|observed| {
        observed.servers.get_mut(&0).unwrap().status.consul.as_mut().unwrap().peers =
            vec!["demo-server-0".into(), "demo-server-1".into(), "demo-server-2".into()];
    }));
    // Consul's word for a member of Raft that gossip does not know: it may be this one.
    assert!(!is_made_anew(|observed| consul(observed, |consul| {
        consul.peers.push("(unknown)".into());
    })));
    // Nobody speaks: the blobs may be out of reach, or the whole cluster is down.
    assert!(!is_made_anew(|observed| observed.servers.clear()));
    assert!(!is_made_anew(|observed| {
        observed.servers.values_mut().for_each(|server| server.age_seconds = Some(3600));
    }));
}

/// Whether the plan deletes a server whose set has failed, in a world that differs a little.
fn deletes_failed(
    servers: u32,
    fallback: ZoneFallback,
    change: impl FnOnce(&mut Observed),
) -> bool {
    let spec = with(spec(servers, 3), |spec| spec.zone_fallback = fallback);
    let mut observed = World::finished(&spec).observe(&spec);
    let set = Names::new(&spec).scale_set(0).key();
    observed.objects.get_mut(&set).unwrap()["properties"]["provisioningState"] = "Failed".into();
    change(&mut observed);
    ids(&plan(&spec, &observed).unwrap()).contains(&"delete server_0".to_owned())
}

#[test]
fn a_failed_set_whose_server_has_spoken_is_never_deleted_unless_the_others_go_on() {
    // Nobody speaks now, whatever the server said last: its disk may hold all that is left of the cluster.
    let all_silent = |observed: &mut Observed| {
        observed.servers.values_mut().for_each(|server| server.age_seconds = Some(3600));
    };
    let without_consul = |observed: &mut Observed| {
        all_silent(observed);
        observed.servers.values_mut().for_each(|server| {
            (server.status.consul, server.status.phase) = (None, ServerPhase::Preparing);
        });
    };
    for servers in [1, 3, 5] {
        for fallback in [ZoneFallback::Strict, ZoneFallback::Prefer, ZoneFallback::BestEffort] {
            assert!(!deletes_failed(servers, fallback, |_| {}), "{servers} {fallback:?}");
            assert!(!deletes_failed(servers, fallback, all_silent), "{servers} {fallback:?}");
            assert!(!deletes_failed(servers, fallback, without_consul), "{servers} {fallback:?}");
            if fallback != ZoneFallback::Strict {
                // It found room in another zone than its own, and stays there.
                let elsewhere = |observed: &mut Observed| {
                    all_silent(observed);
                    let set = Names::new(&spec(servers, 3)).scale_set(0).key();
                    observed.objects.get_mut(&set).unwrap()["zones"] = serde_json::json!(["2"]);
                };
                assert!(!deletes_failed(servers, fallback, elsewhere), "{servers} {fallback:?}");
            }
        }
    }
}

#[test]
fn a_failed_set_whose_server_has_never_spoken_is_made_where_there_is_room() {
    let never_spoke = |observed: &mut Observed| {
        observed.servers.remove(&0);
        observed.servers.values_mut().for_each(|server| {
            if let Some(consul) = &mut server.status.consul {
                consul.peers.retain(|peer| peer != "demo-server-0");
            }
        });
    };
    assert!(deletes_failed(3, ZoneFallback::Prefer, never_spoke));
    assert!(!deletes_failed(3, ZoneFallback::Strict, never_spoke));
}
