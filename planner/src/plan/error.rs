//! Why there is no plan.

use std::fmt;

use ipnet::Ipv4Net;
use serde_json::Value;

use crate::arm::ArmId;
use crate::releases::UpgradeRefused;

/// A property differs that Azure never changes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "{path} of {id} is {observed} and should be {desired}, but {reason}; put it back to {observed}, or make \
     another cluster and move over"
)]
pub struct Impossible {
    /// The object.
    pub id: ArmId,
    /// The property.
    pub path: String,
    /// What Azure holds.
    pub observed: Value,
    /// What is declared.
    pub desired: Value,
    /// Why Azure refuses.
    pub reason: &'static str,
}

/// An object in the managed group that hcs did not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its type, as Azure says.
    pub kind: Option<String>,
    /// What Azure says that it is managed by.
    pub maker: Option<String>,
    /// Its id.
    pub id: ArmId,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Some(kind) => write!(f, "{kind} {}", self.id.name())?,
            None => write!(f, "{}", self.id)?,
        }
        match &self.maker {
            Some(maker) => write!(f, " (managed by {maker})"),
            None => Ok(()),
        }
    }
}

/// Why there is no plan. Each says what is in the way, what exists, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A bug of ours.
    #[error("the plan has a cycle through step {step:?}; please report this")]
    Cycle {
        /// A step on the cycle.
        step: String,
    },
    /// A bug of ours.
    #[error("the plan has two steps {step:?}; please report this")]
    Twice {
        /// Their id.
        step: String,
    },
    /// An object has our id but is not this cluster's.
    #[error(
        "{id} exists already and does not belong to this cluster (its tag hcs-cluster is {tag}); \
         move or delete it, or give the cluster another name. If it is this cluster's group and somebody took its tags \
         off, put them back: hcs-cluster = {uid}"
    )]
    Foreign {
        /// Its id.
        id: ArmId,
        /// What its tag says.
        tag: String,
        /// What it would say of this cluster.
        uid: String,
    },
    /// Servers run, but what they share is gone: making it anew would give new servers another CA than the old ones.
    #[error(
        "{} is gone while servers still run, and with it the cluster's keys; recover it (Azure keeps a deleted storage \
         account or container for some days), or take a snapshot with consul and make the cluster anew",
        id
    )]
    LostSecrets {
        /// The account or container.
        id: ArmId,
    },
    /// A property differs that Azure never changes.
    #[error(transparent)]
    Impossible(Box<Impossible>),
    /// Consul does not go from the running version to the declared one.
    #[error(transparent)]
    Upgrade(Box<UpgradeRefused>),
    /// Networks that are to be peered share addresses.
    #[error(
        "the network {peer} has the address space {space}, which overlaps {other} of {whose}; Azure cannot peer them: \
         give the cluster another address space, or leave this peer out"
    )]
    Overlap {
        /// The peer.
        peer: ArmId,
        /// Its address space.
        space: Ipv4Net,
        /// What it overlaps.
        other: Ipv4Net,
        /// Whose that is.
        whose: String,
    },
    /// A name of the cluster is another's in the zone that they share.
    #[error(
        "the record {record} is there already and {}; two clusters of one name cannot share a zone: give this one another \
         name or another zone, or delete the record if nobody needs it",
        owner.as_ref().map_or_else(
            || "does not say that it is this cluster's".to_owned(),
            |owner| format!("belongs to another cluster (its metadata hcs-cluster is {owner:?})")
        )
    )]
    NameTaken {
        /// The record.
        record: ArmId,
        /// Whose it is, where it says so.
        owner: Option<String>,
    },
    /// A document that only a newer version understands.
    #[error(
        "{name} was written by a newer provider (form {needs}; this one knows {}): use that version; nothing was changed",
        crate::dataplane::FORMAT
    )]
    NewerForm {
        /// The document.
        name: String,
        /// The form that it needs.
        needs: u32,
    },
    /// A host manager that nobody has.
    #[error(
        "there is no host manager {version}, which host_manager_version asks for, but {}; take one of these, leave it \
         out, or use the provider of version {version}, which brings it",
        known.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    )]
    HostManager {
        /// What is wanted.
        version: semver::Version,
        /// What runs, and what this provider brings.
        known: std::collections::BTreeSet<semver::Version>,
    },
    /// The servers' names cannot move.
    #[error(
        "clients find the servers by their names in {was}, and private_dns_zone_id says {wanted} now; put it back, or \
         make another cluster and move over"
    )]
    OtherZone {
        /// Where the names are.
        was: String,
        /// Where they should be.
        wanted: String,
    },
    /// Somebody's lock forbids a step.
    #[error(
        "the lock {lock} forbids step {step:?} (its level is {level}); it is not ours, so it stays: remove it, apply, \
         and put it back"
    )]
    Locked {
        /// The lock.
        lock: ArmId,
        /// Its level.
        level: String,
        /// The first step that it forbids.
        step: String,
    },
    /// The note of an adoption is there, and the secrets of before may not be.
    #[error(
        "the adoption of servers of before was begun and not prepared to its end; `hcs adopt prepare` again, with the \
         same files: it goes on where it stopped. Nothing was made"
    )]
    AdoptionUnprepared,
    /// A state of the plan would break the cluster.
    #[error("the plan is not safe: step {step:?}: {reason}; please report this")]
    Unsafe {
        /// The step that leads there.
        step: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A cluster goes and another comes in a group that was given, and in which others are by now.
    #[error(
        "the managed resource group was there before the cluster and holds objects that hcs did not make: {}; the \
         cluster that comes next takes an empty group only: move or delete them first",
        foreign.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    NotFree {
        /// What they are.
        foreign: Vec<Foreign>,
    },
    /// Somebody's addresses are in the network that is to go.
    #[error(
        "the cluster's network {network} is in use by what hcs did not make: {}; Azure deletes no network in use, so nothing \
         of the cluster was touched: move or delete these first",
        users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    NetworkInUse {
        /// The network.
        network: ArmId,
        /// Interfaces, front ends and private endpoints of others.
        users: Vec<ArmId>,
    },
    /// The managed group holds objects that are not ours.
    #[error(
        "the managed resource group holds objects that hcs did not make: {}; move or delete them first (what a policy, \
         backup or Defender made comes back until that is told to stop), or set force_destroy = true, apply that alone, \
         and destroy again: then they go with the group",
        foreign.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    NotOurs {
        /// What they are.
        foreign: Vec<Foreign>,
    },
}
