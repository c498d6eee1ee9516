//! Why there is no plan.

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
         move or delete it, or give the cluster another name"
    )]
    Foreign {
        /// Its id.
        id: ArmId,
        /// What its tag says.
        tag: String,
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
    /// A state of the plan would break the cluster.
    #[error("the plan is not safe: step {step:?}: {reason}; please report this")]
    Unsafe {
        /// The step that leads there.
        step: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The managed group holds objects that are not ours.
    #[error(
        "the managed resource group holds objects that hcs did not make: {}; move or delete them first",
        ids.iter().map(ArmId::as_str).collect::<Vec<_>>().join(", ")
    )]
    NotOurs {
        /// Their ids.
        ids: Vec<ArmId>,
    },
}
