//! The container of somebody that a policy names: looked at before it is used, and opened for the cluster's servers.

use std::sync::Arc;

use hcs_engine::arm::Arm;
use hcs_engine::error::EngineError;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::names::{Names, ROLE_BLOB_CONTRIBUTOR, role_assignment_id, role_definition_id};
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

/// How the servers came to a right.
pub(super) enum Given {
    /// They have had it.
    Before,
    /// By this call.
    Now,
    /// Somebody else has to give it, as is told here.
    ByOthers(Box<Diagnostic>),
}

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

    /// The place in this container. One that the policy has already stays as it is.
    pub(super) async fn place(
        &self,
        container_id: &str,
        known: Option<&PolicyPlace>,
    ) -> Result<PolicyPlace, Diagnostics> {
        let (account, _) = parse_container(container_id).map_err(|detail| {
            Diagnostic::error("Invalid storage container", detail).at(ATTRIBUTE)
        })?;
        if let Some(told) = would_go(&self.policies.cluster_id, container_id) {
            return Err(told.into());
        }
        let blob_endpoint = self.look(&account, &ArmId::new(container_id)).await?;
        let container_id = container_id.to_owned();
        if let Some(place) = known.filter(|known| known.is_in(&container_id)) {
            return Ok(PolicyPlace { container_id, blob_endpoint, ..place.clone() });
        }
        let (name, _) = self.cluster().await?;
        let incarnation_id = self.policies.cluster_incarnation().await?;
        let since = Timestamp::now().round(Unit::Second).unwrap_or_default().to_string();
        let folder = PolicyPlace::folder_of(&name, &incarnation_id);
        Ok(PolicyPlace { container_id, blob_endpoint, folder, since })
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
        let told =
            |id: &ArmId, error: &EngineError| diagnostics::read(id.as_str(), error).at(ATTRIBUTE);
        let endpoint =
            self.arm.blob_endpoint_of(account).await.map_err(|error| told(account, &error))?;
        let endpoint = endpoint.ok_or_else(|| missing("Storage account", account))?;
        let found = self.arm.get(container, Kind::BlobContainer).await;
        if found.map_err(|error| told(container, &error))?.is_none() {
            return Err(missing("Storage container", container));
        }
        Ok(endpoint)
    }

    /// Name of the cluster, and the identity that its servers share.
    async fn cluster(&self) -> Result<(String, ArmId), Diagnostics> {
        let cluster_id = &self.policies.cluster_id;
        let spec = self.client.declaration(&self.arm, cluster_id).await?;
        let spec =
            spec.ok_or_else(|| diagnostics::no_cluster(cluster_id).at(Policy::CLUSTER_ID))?;
        Ok((spec.name.clone(), Names::new(&spec).shared_identity()))
    }

    /// Gives the servers the right to write there, where they have none; whether that was needed. A caller who may not is
    /// told who must.
    pub(super) async fn give_right(&self, container_id: &str) -> Result<Given, Diagnostics> {
        let failed = |what: &ArmId, error: &EngineError| {
            let detail = format!("{what}: {}", diagnostics::sentence(error));
            Diagnostics::from(
                Diagnostic::error("The servers get no right on the container", detail)
                    .at(ATTRIBUTE),
            )
        };
        let (_, identity) = self.cluster().await?;
        let scope = ArmId::new(container_id);
        let found = self.arm.get(&identity, Kind::Identity).await;
        let found = found.map_err(|error| failed(&identity, &error))?.unwrap_or_default();
        let principal = found.pointer("/properties/principalId").and_then(|id| id.as_str());
        let principal = principal.ok_or_else(|| {
            let cluster_id = &self.policies.cluster_id;
            let detail = format!(
                "{identity}, the identity of the servers of {cluster_id}, is not there. Apply the cluster first."
            );
            Diagnostic::error("The cluster is not finished", detail).at(Policy::CLUSTER_ID)
        })?;
        let id = role_assignment_id(&scope, identity.as_str(), ROLE_BLOB_CONTRIBUTOR);
        // Whoever may not look may still write.
        if let Ok(Some(found)) = self.arm.get(&id, Kind::RoleAssignment).await
            && found.pointer("/properties/principalId").and_then(|id| id.as_str())
                == Some(principal)
        {
            return Ok(Given::Before);
        }
        let subscription = scope.segment("subscriptions").unwrap_or_default();
        let definition = role_definition_id(subscription, ROLE_BLOB_CONTRIBUTOR);
        let body = json!({ "properties": {
            "roleDefinitionId": definition,
            "principalId": principal,
            // Without it a fresh identity is refused until Entra has replicated it.
            "principalType": "ServicePrincipal",
        } });
        match self.arm.put(&id, Kind::RoleAssignment, body).await {
            Ok(_) => Ok(Given::Now),
            // Somebody gave the same right under another name.
            Err(EngineError::Arm(error)) if error.is("RoleAssignmentExists") => Ok(Given::Before),
            Err(error) if diagnostics::is_forbidden(&error) => {
                let detail = format!(
                    "The caller may not assign roles on {container_id}. Unless it was done already, whoever may has to run\n\n  \
                     az role assignment create --role \"{ROLE}\" --assignee-object-id {principal} \
                     --assignee-principal-type ServicePrincipal --scope \"{container_id}\"\n\nUntil then the policy keeps \
                     nothing, and its last_error says so."
                );
                let told = Diagnostic::warning("The servers may not write there yet", detail);
                Ok(Given::ByOthers(Box::new(told.at(ATTRIBUTE))))
            }
            Err(error) => Err(failed(&id, &error)),
        }
    }

    /// Takes the servers' right on a container back, unless another policy of the cluster keeps its snapshots there. One that
    /// comes to it meanwhile gets it again. What cannot be taken back is told.
    pub(super) async fn leave(&self, container_id: &str, policy: &str) -> Diagnostics {
        let left = async {
            if self.policies.uses_elsewhere(container_id, policy).await? {
                return Ok::<_, Diagnostics>(());
            }
            let (_, identity) = self.cluster().await?;
            let scope = ArmId::new(container_id);
            let id = role_assignment_id(&scope, identity.as_str(), ROLE_BLOB_CONTRIBUTOR);
            let gone = self.arm.delete(&id, Kind::RoleAssignment, false).await;
            gone.map_err(|error| Diagnostics::error("", diagnostics::sentence(&error)))?;
            if self.policies.uses_elsewhere(container_id, policy).await? {
                self.give_right(container_id).await?;
            }
            Ok(())
        };
        let Err(found) = left.await else { return Diagnostics::none() };
        let told = found.into_iter().map(|one| {
            let detail = format!(
                "The role {ROLE} of the cluster's servers on {container_id} stays: {} Whoever may assign roles there can take \
                 it away.",
                one.detail
            );
            Diagnostic::warning("The servers keep a right that they do not need any more", detail)
        });
        told.collect()
    }
}
