//! What servers of before do in a cluster that takes over from them.

use hcs_planner::adoption::Adoption;
use hcs_planner::dataplane::ConsulStatus;

/// Whoever of before leads, and what a server of the cluster says of it: none of those says then that it does.
pub(super) fn led(adoption: &Adoption, consuls: &[ConsulStatus]) -> Option<(String, ConsulStatus)> {
    consuls.iter().find_map(|consul| {
        let leader = consul.leader.as_deref()?;
        let server = adoption.servers.iter().find(|server| server.is_at(leader))?;
        Some((server.node_name.clone(), consul.clone()))
    })
}

/// Who of before is in Raft's configuration, and what is to be done.
pub(super) fn told(adoption: &Adoption, consuls: &[ConsulStatus]) -> Option<String> {
    let is_listed =
        |name: &str| consuls.iter().any(|consul| consul.peers.iter().any(|peer| peer == name));
    let listed: Vec<&str> =
        adoption.node_names().into_iter().filter(|name| is_listed(name)).collect();
    (!listed.is_empty()).then(|| {
        format!(
            "{} of before still belong to it: `hcs adopt finish` has them go, `hcs adopt undo` goes back",
            listed.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use hcs_planner::adoption::AdoptedServer;
    use hcs_planner::arm::ArmId;
    use hcs_planner::dataplane::Form;

    use super::*;

    fn adoption() -> Adoption {
        let server = |number: u8| AdoptedServer {
            node_name: format!("before-{number}"),
            address: [10, 0, 0, number].into(),
            machine_id: ArmId::new(format!("/m/{number}")),
        };
        Adoption {
            servers: vec![server(1), server(2)],
            prepared_at: String::new(),
            is_prepared: true,
            form: Form::default(),
        }
    }

    fn consul(leader: &str, peers: &[&str]) -> ConsulStatus {
        let names: Vec<String> = peers.iter().map(|name| (*name).to_owned()).collect();
        ConsulStatus {
            version: "1.22.7".to_owned(),
            leader: Some(leader.to_owned()),
            is_leader: false,
            healthy: true,
            failure_tolerance: 2,
            voters: names.clone(),
            peers: names,
            acl_ready: true,
        }
    }

    #[test]
    fn one_of_before_that_leads_is_the_leader() {
        let said = [consul("10.0.0.2:8300", &["before-1", "before-2", "own-0", "own-1", "own-2"])];
        let (leader, consul) = led(&adoption(), &said).unwrap();
        assert_eq!(leader, "before-2");
        let found = super::super::quorum_status(leader, &consul);
        assert_eq!((found.voters, found.needed, found.failure_tolerance), (5, 3, 2));
        assert!(told(&adoption(), &said).unwrap().starts_with("before-1, before-2 of before"));
    }

    #[test]
    fn servers_that_have_gone_say_nothing() {
        let own = consul("10.0.9.4:8300", &["own-0", "own-1", "own-2"]);
        assert_eq!(led(&adoption(), std::slice::from_ref(&own)), None);
        assert_eq!(told(&adoption(), &[own]), None);
    }
}
