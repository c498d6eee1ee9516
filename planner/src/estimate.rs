//! How long steps take on Azure, for the critical path. Seconds from recorded runs and module logs; they are for people,
//! nothing is decided by them.

use std::collections::BTreeMap;

use crate::arm::Kind;
use crate::plan::{Action, Artifact, Plan, StepIndex};

/// Expected seconds of a step.
pub fn seconds(action: &Action) -> u32 {
    match action {
        Action::Put { kind, update, .. } => match (kind, update) {
            (Kind::ScaleSet, false) => 150,
            (Kind::ScaleSet, true) => 30,
            (Kind::PrivateEndpoint, false) => 40,
            (Kind::PrivateDnsZone | Kind::PrivateDnsLink, false) => 30,
            (Kind::StorageAccount, false) => 20,
            (Kind::NatGateway | Kind::Peering, false) => 10,
            (Kind::VirtualNetwork | Kind::NetworkSecurityGroup | Kind::LoadBalancer, _) => 6,
            (Kind::ResourceGroup | Kind::PublicIpAddress, _) => 3,
            _ => 2,
        },
        Action::AwaitProvisioned { kind: Kind::ScaleSet, .. } => 75,
        Action::AwaitProvisioned { .. } => 10,
        Action::Delete { kind, .. } => match kind {
            Kind::ResourceGroup => 300,
            Kind::ScaleSet => 90,
            _ => 5,
        },
        Action::Restart { .. } => 60,
        Action::GrantCallerBlobAccess { .. } => 60,
        Action::UploadArtifact { artifact: Artifact::Consul { .. } } => 20,
        Action::UploadArtifact { artifact: Artifact::HostManager } => 10,
        Action::Ask { .. } => 30,
        Action::RestoreSnapshot { .. } => 60,
        Action::WaitHealthy { .. } => 90,
        Action::Withdraw { .. }
        | Action::WriteDocument { .. }
        | Action::MintSecret { .. }
        | Action::ReadAddress { .. } => 1,
    }
}

/// How long the plan takes along its longest chain of steps.
pub fn duration_seconds(plan: &Plan) -> u32 {
    let (path, starts) = critical_path(plan);
    let last = path.last().and_then(|index| Some((starts.get(index)?, plan.step(*index)?)));
    last.map_or(0, |(start, step)| start + seconds(&step.action))
}

/// The longest chain of steps, first to last, and when each step of the plan would start at the earliest.
pub fn critical_path(plan: &Plan) -> (Vec<StepIndex>, BTreeMap<StepIndex, u32>) {
    let mut starts: BTreeMap<StepIndex, u32> = BTreeMap::new();
    let mut ends: BTreeMap<StepIndex, u32> = BTreeMap::new();
    let mut through: BTreeMap<StepIndex, Option<StepIndex>> = BTreeMap::new();
    for (index, step) in plan.steps() {
        let needs = plan.needs(index);
        let last = needs.into_iter().max_by_key(|need| ends.get(need).copied().unwrap_or(0));
        let start = last.and_then(|need| ends.get(&need).copied()).unwrap_or(0);
        starts.insert(index, start);
        ends.insert(index, start + seconds(&step.action));
        through.insert(index, last);
    }
    let mut path = Vec::new();
    let mut next = ends.iter().max_by_key(|(_, end)| **end).map(|(index, _)| *index);
    while let Some(index) = next {
        path.push(index);
        next = through.get(&index).copied().flatten();
    }
    path.reverse();
    (path, starts)
}
