//! Roles that somebody else assigns, looked for before anything is made.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::{Names, ROLE_BLOB_CONTRIBUTOR, role_definition_id};
use hcs_planner::observed::Observed;
use hcs_planner::roles::{RequiredRole, may_write_blobs, missing};
use hcs_planner::spec::ClusterSpec;
use serde_json::Value;

use crate::arm::Arm;
use crate::error::EngineError;

/// What somebody has to assign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRole {
    /// Object id of who needs it.
    pub principal_id: String,
    /// The identity behind it; none for the caller.
    pub identity_id: Option<ArmId>,
    /// What the role is called.
    pub role_name: &'static str,
    /// Id of its definition.
    pub role_definition_id: String,
    /// Where.
    pub scope: ArmId,
    /// What keeps it to the containers that it is for.
    pub condition: Option<String>,
}

/// An identity that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identity {0} is not there, or the caller may not see it")]
pub struct NoIdentity(pub ArmId);

/// Reads the identities that a cluster is given: their principals are part of what is told of it.
pub async fn observe_identities(
    arm: &Arm,
    spec: &ClusterSpec,
    observed: &mut Observed,
) -> Result<(), EngineError> {
    let Some(identities) = &spec.identities else { return Ok(()) };
    let reads = identities.all().map(|id| async move {
        match arm.get(id, Kind::Identity).await {
            // Whoever may not see them sees the rest of the cluster.
            Err(EngineError::Arm(error)) if error.status == 403 => Ok(None),
            read => read,
        }
    });
    for body in try_join_all(reads).await?.into_iter().flatten() {
        observed.insert(body);
    }
    Ok(())
}

/// Principal of an identity that was read.
pub fn principal_of<'o>(observed: &'o Observed, identity: &ArmId) -> Option<&'o str> {
    observed.object(identity)?.pointer("/properties/principalId")?.as_str()
}

/// What the cluster lacks, and its caller. Nothing where the apply assigns its roles.
pub async fn missing_roles(
    arm: &Arm,
    spec: &ClusterSpec,
) -> Result<Result<Vec<MissingRole>, NoIdentity>, EngineError> {
    let Some(identities) = &spec.identities else { return Ok(Ok(vec![])) };
    let names = Names::new(spec);
    let mut observed = Observed::default();
    observe_identities(arm, spec, &mut observed).await?;
    if let Some(absent) = identities.all().find(|id| principal_of(&observed, id).is_none()) {
        return Ok(Err(NoIdentity(absent.clone())));
    }
    let group = &names.cluster_id;
    let mut assigned: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for id in identities.all() {
        let principal = principal_of(&observed, id).unwrap_or_default();
        assigned.insert(id.key(), assignments_of(arm, group, principal).await?);
    }
    let of = |id: &ArmId| assigned.get(&id.key()).map_or(&[][..], Vec::as_slice);
    let definition = |role: &str| role_definition_id(&spec.subscription_id, role);
    let told = |one: RequiredRole| MissingRole {
        principal_id: principal_of(&observed, &one.identity).unwrap_or_default().to_owned(),
        role_name: one.role_name(),
        role_definition_id: definition(one.role),
        scope: one.scope.clone(),
        condition: Some(one.condition()),
        identity_id: Some(one.identity),
    };
    let mut found: Vec<MissingRole> = missing(spec, of).into_iter().map(told).collect();
    let caller = arm.caller_object_id().await?;
    if !may_write_blobs(&names, &assignments_of(arm, group, &caller).await?) {
        found.push(MissingRole {
            principal_id: caller,
            identity_id: None,
            role_name: "Storage Blob Data Contributor",
            role_definition_id: definition(ROLE_BLOB_CONTRIBUTOR),
            scope: group.clone(),
            condition: None,
        });
    }
    Ok(Ok(found))
}

/// What a principal has at a scope, above it and below it, by itself or by a group that it is in.
async fn assignments_of(
    arm: &Arm,
    scope: &ArmId,
    principal: &str,
) -> Result<Vec<Value>, EngineError> {
    let version = Kind::RoleAssignment.api_version();
    let kind = Kind::RoleAssignment.resource_type();
    let filter = format!("assignedTo('{principal}')");
    arm.list(&format!("{scope}/providers/{kind}?api-version={version}&$filter={filter}")).await
}
