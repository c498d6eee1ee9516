//! Servers of Consul that somebody else made, and that a cluster takes over from: the note that says who they are, and
//! what has to be true of them so that nothing can be lost on the way.
//!
//! The cluster's own servers join those of before, one after the other, and then those of before leave, one after the
//! other. Data, gossip key and authority stay what they are (decision 0041).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;
use crate::dataplane::Form;

mod judge;

pub use judge::{
    BeforeServer, ConsulBefore, Finding, Level, Machine, MachinesBefore, judge, matched,
};

/// `config/adoption.json`: there from before the cluster's first server until the last one of before is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// The servers of before.
    pub servers: Vec<AdoptedServer>,
    /// RFC 3339.
    pub prepared_at: String,
    /// Whether the secrets of before are all where the cluster's servers read them. Nothing is made before.
    pub is_prepared: bool,
    /// Its form.
    #[serde(flatten)]
    pub form: Form,
}

/// A server of before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptedServer {
    /// What Consul calls it.
    pub node_name: String,
    /// Where its Raft and gossip answer.
    pub address: IpAddr,
    /// Its machine: an instance of a scale set, or a virtual machine.
    pub machine_id: ArmId,
}

impl AdoptedServer {
    /// Whether this `address:port` is one of its own, as Raft names whoever leads.
    pub fn is_at(&self, raft_address: &str) -> bool {
        raft_address.parse::<SocketAddr>().is_ok_and(|address| address.ip() == self.address)
    }
}

impl Adoption {
    /// Names of the servers of before.
    pub fn node_names(&self) -> BTreeSet<&str> {
        self.servers.iter().map(|server| server.node_name.as_str()).collect()
    }

    /// The one that goes next, of those who are in Raft's configuration: whoever leads goes last, so that the others
    /// elect once at most.
    pub fn next_to_go(&self, peers: &[String], leader: Option<&str>) -> Option<&AdoptedServer> {
        let is_there = |server: &&AdoptedServer| peers.contains(&server.node_name);
        let leads = |server: &AdoptedServer| leader.is_some_and(|leader| server.is_at(leader));
        self.servers.iter().filter(is_there).min_by_key(|server| leads(server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adoption() -> Adoption {
        let server = |number: u8| AdoptedServer {
            node_name: format!("old{number}"),
            address: [10, 0, 0, number].into(),
            machine_id: ArmId::new(format!("/machines/{number}")),
        };
        Adoption {
            servers: (0..3).map(server).collect(),
            prepared_at: String::new(),
            is_prepared: true,
            form: Form::default(),
        }
    }

    #[test]
    fn who_leads_goes_last() {
        let adoption = adoption();
        let next = |peers: &[&str], leader: Option<&str>| {
            let peers: Vec<String> = peers.iter().map(|peer| (*peer).to_owned()).collect();
            adoption.next_to_go(&peers, leader).map(|server| server.node_name.clone())
        };
        let all = ["new0", "old0", "old1", "old2"];
        assert_eq!(next(&all, Some("10.0.0.0:8300")).as_deref(), Some("old1"));
        assert_eq!(next(&all, Some("10.9.9.9:8300")).as_deref(), Some("old0"));
        assert_eq!(next(&["new0", "old0"], Some("10.0.0.0:8300")).as_deref(), Some("old0"));
        assert_eq!(next(&["new0"], Some("10.0.0.0:8300")), None);
    }
}
