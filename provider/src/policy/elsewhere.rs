//! The container of somebody that a policy names: looked at before it is used, and opened for the cluster's servers.

use std::sync::Arc;

use hcs_engine::arm::Arm;
use hcs_engine::error::EngineError;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::{Names, ROLE_BLOB_CONTRIBUTOR, role_assignment_id};
use hcs_planner::snapshots::id::parse_container;
use hcs_planner::snapshots::place::PolicyPlace;
use jiff::{Timestamp, Unit};
use serde_json::json;
use tfplugin::{Context, Diagnostic, Diagnostics};

use super::model::Policy;
use super::store::PolicyStore;
use crate::client::Client;
use crate::diagnostics;

const ATTRIBUTE: &str = Policy::STORAGE_CONTAINER_ID;
const ROLE: &str = "Storage Blob Data Contributor";

/// A container in the cluster's own group is no place that outlives it.
pub(super) fn would_go(cluster_id: &ArmId, container_id: &str) -> Option<Diagnostic> {
    let (account, _) = parse_container(container_id).ok()?;
    account.is_within(cluster_id).then(|| {
        let detail = format!(
            "storage_container_id is {container_id}, which lies in the cluster's own group and goes with it. Leave it out to \
             keep the snapshots in the cluster's own account, or name a container of yours."
        );
        Diagnostic::error("The container goes with the cluster", detail).at(ATTRIBUTE)
    })
}

/// Accounts of somebody, seen by a cluster's policies.
pub(super) struct Elsewhere<'a> {
    arm: Arm,
    client: Arc<Client>,
    policies: &'a PolicyStore,
}

impl<'a> Elsewhere<'a> {
    pub(super) fn of(ctx: &Context, policies: &'a PolicyStore) -> Result<Self, Diagnostics> {
        let client = ctx.data::<Client>()?;
        Ok(Self { arm: client.arm(&ctx.cancel), client, policies })
    }

    /// The place in this container, with the right of the servers to write there. One that the policy has already stays as
    /// it is. A caller who may not give the right is told who must.
    pub(super) async fn prepare(
        &self,
        container_id: &str,
        known: Option<&PolicyPlace>,
    ) -> Result<(PolicyPlace, Diagnostics), Diagnostics> {
        let (account, container) = parse_container(container_id).map_err(|detail| {
            Diagnostic::error("Invalid storage container", detail).at(ATTRIBUTE)
        })?;
        if let Some(told) = would_go(&self.policies.cluster_id, container_id) {
            return Err(told.into());
        }
        let blob_endpoint = self.look(&account, &ArmId::new(container_id)).await?;
        let (name, identity) = self.cluster().await?;
        let found = self.give_right(container_id, &identity).await?;
        let is_known = |place: &&PolicyPlace| place.container_id.eq_ignore_ascii_case(container_id);
        if let Some(place) = known.filter(is_known) {
            let place = PolicyPlace {
                container_id: container_id.to_owned(),
                blob_endpoint,
                ..place.clone()
            };
            return Ok((place, found));
        }
        let incarnation_id = self.policies.cluster_incarnation().await?;
        let since = Timestamp::now().round(Unit::Second).unwrap_or_default().to_string();
        let folder = PolicyPlace::folder_of(&name, &incarnation_id);
        tracing::debug!(account = %account, container, folder, "a policy's place");
        let container_id = container_id.to_owned();
        Ok((PolicyPlace { container_id, blob_endpoint, folder, since }, found))
    }

    /// Blob endpoint of the account, where it and the container are there.
    async fn look(&self, account: &ArmId, container: &ArmId) -> Result<String, Diagnostics> {
        let missing = |what: &str, id: &ArmId| {
            let detail = format!(
                "There is no {id}, or the caller may not see it. Nothing was changed. Make it first, or refer to the \
                 resource that makes it (storage_container_id = azurerm_storage_container.example.id)."
            );
            Diagnostics::from(
                Diagnostic::error(format!("{what} does not exist"), detail).at(ATTRIBUTE),
            )
        };
        let read = async |id: &ArmId, kind: Kind| {
            let found = self.arm.get(id, kind).await;
            found.map_err(|error| diagnostics::read(id.as_str(), &error).at(ATTRIBUTE))
        };
        let found = read(account, Kind::StorageAccount).await?;
        let endpoint = found
            .as_ref()
            .and_then(|found| found.pointer("/properties/primaryEndpoints/blob"))
            .and_then(serde_json::Value::as_str)
            .ok_or_else(|| missing("Storage account", account))?;
        if read(container, Kind::BlobContainer).await?.is_none() {
            return Err(missing("Storage container", container));
        }
        Ok(endpoint.to_owned())
    }

    /// Name of the cluster, and the identity that its servers share.
    async fn cluster(&self) -> Result<(String, ArmId), Diagnostics> {
        let cluster_id = &self.policies.cluster_id;
        let spec = self.client.declaration(&self.arm, cluster_id).await?;
        let spec =
            spec.ok_or_else(|| diagnostics::no_cluster(cluster_id).at(Policy::CLUSTER_ID))?;
        Ok((spec.name.clone(), Names::new(&spec).shared_identity()))
    }

    async fn give_right(
        &self,
        container_id: &str,
        identity: &ArmId,
    ) -> Result<Diagnostics, Diagnostics> {
        let failed = |error: &EngineError| {
            Diagnostics::from(diagnostics::read(container_id, error).at(ATTRIBUTE))
        };
        let scope = ArmId::new(container_id);
        let found = self.arm.get(identity, Kind::Identity).await;
        let found = found.map_err(|error| failed(&error))?.unwrap_or_default();
        let principal = found.pointer("/properties/principalId").and_then(|id| id.as_str());
        let principal = principal.ok_or_else(|| {
            let cluster_id = &self.policies.cluster_id;
            let detail = format!(
                "{identity}, the identity of the servers of {cluster_id}, is not there. Apply the cluster first."
            );
            Diagnostic::error("The cluster is not finished", detail).at(Policy::CLUSTER_ID)
        })?;
        let id = role_assignment_id(&scope, identity.as_str(), ROLE_BLOB_CONTRIBUTOR);
        let subscription = scope.segment("subscriptions").unwrap_or_default();
        let definition = format!(
            "/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{ROLE_BLOB_CONTRIBUTOR}"
        );
        let body = json!({ "properties": {
            "roleDefinitionId": definition,
            "principalId": principal,
            // Without it a fresh identity is refused until Entra has replicated it.
            "principalType": "ServicePrincipal",
        } });
        match self.arm.put(&id, Kind::RoleAssignment, body).await {
            Ok(_) => Ok(Diagnostics::none()),
            // Somebody gave the same right under another name.
            Err(EngineError::Arm(error)) if error.is("RoleAssignmentExists") => {
                Ok(Diagnostics::none())
            }
            Err(error) if diagnostics::is_forbidden(&error) => {
                let detail = format!(
                    "The caller may not assign roles on {container_id}. Unless it was done already, whoever may has to run\n\n  \
                     az role assignment create --role \"{ROLE}\" --assignee-object-id {principal} \
                     --assignee-principal-type ServicePrincipal --scope \"{container_id}\"\n\nUntil then the policy keeps \
                     nothing, and its last_error says so."
                );
                let told = Diagnostic::warning("The servers may not write there yet", detail);
                Ok(told.at(ATTRIBUTE).into())
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Takes the servers' right on a place back, unless another policy of the cluster keeps its snapshots there, too. What
    /// cannot be taken back is told.
    pub(super) async fn leave(&self, place: &PolicyPlace, policy: &str) -> Diagnostics {
        let left = async {
            if self.policies.uses_elsewhere(&place.container_id, policy).await? {
                return Ok::<_, Diagnostics>(());
            }
            let (_, identity) = self.cluster().await?;
            let scope = ArmId::new(&place.container_id);
            let id = role_assignment_id(&scope, identity.as_str(), ROLE_BLOB_CONTRIBUTOR);
            let gone = self.arm.delete(&id, Kind::RoleAssignment, false).await;
            gone.map_err(|error| diagnostics::read(id.as_str(), &error).into())
        };
        let Err(found) = left.await else { return Diagnostics::none() };
        let told = found.into_iter().map(|one| {
            let detail = format!(
                "The role {ROLE} of the cluster's servers on {} stays: {} Whoever may assign roles there can take it away.",
                place.container_id, one.detail
            );
            Diagnostic::warning("The servers keep a right that they do not need any more", detail)
        });
        told.collect()
    }
}
