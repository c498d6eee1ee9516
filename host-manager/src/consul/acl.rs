//! Tokens whose ids are chosen before Consul knows them: a server's own agent token, with a policy for its node only, and
//! the one that client agents share.
//!
//! Everything reads before it writes, so doing it again changes nothing.

use hcs_planner::rotation::SecretVersion;
use serde_json::json;
use uuid::Uuid;

use crate::consul::client::{ConsulClient, ConsulError};
use crate::consul::types::{AclPolicy, AclToken};
use crate::secrets::Secret;

/// Whose token.
#[derive(Clone, Debug)]
pub struct AgentIdentity<'a> {
    /// The cluster's ARM id.
    pub cluster_id: &'a str,
    /// The server's slot.
    pub slot: u32,
    /// Its node name.
    pub node_name: &'a str,
    /// The version of its token.
    pub version: &'a SecretVersion,
}

impl AgentIdentity<'_> {
    fn policy_name(&self) -> String {
        format!("hcs-server-{}", self.slot)
    }

    fn accessor_of(&self, version: &SecretVersion) -> String {
        accessor(self.cluster_id, &format!("servers/{}/agent", self.slot), version)
    }

    /// What an agent needs: to register its own node and to read services.
    fn rules(&self) -> String {
        format!(
            "node \"{}\" {{\n  policy = \"write\"\n}}\nagent \"{}\" {{\n  policy = \"write\"\n}}\nservice_prefix \"\" {{\n  policy = \"read\"\n}}\n",
            self.node_name, self.node_name
        )
    }
}

/// Makes policy and token if they are missing, and gives the token to the agent; tokens of versions before it go then.
pub async fn ensure_agent_token(
    client: &ConsulClient,
    identity: &AgentIdentity<'_>,
    secret: &Secret,
    before: &[SecretVersion],
) -> Result<(), ConsulError> {
    let wanted = Wanted {
        policy_name: identity.policy_name(),
        policy_description: "Agent of one server; kept by hcs-host-manager".to_owned(),
        rules: identity.rules(),
        accessor: identity.accessor_of(identity.version),
        token_description: format!("Agent token of {}", identity.node_name),
    };
    wanted.ensure(client, secret).await?;
    client.put_only("agent/token/agent", &json!({ "Token": secret.expose() })).await?;
    verify(client, secret).await?;
    for version in before {
        delete(client, &identity.accessor_of(version)).await?;
    }
    Ok(())
}

/// Makes policy and token of client agents if they are missing.
pub async fn ensure_client_token(
    client: &ConsulClient,
    cluster_id: &str,
    version: &SecretVersion,
    secret: &Secret,
) -> Result<(), ConsulError> {
    if verify(client, secret).await.is_ok() {
        return Ok(());
    }
    let wanted = Wanted {
        policy_name: "hcs-client".to_owned(),
        policy_description: "Client agents of all nodes; kept by hcs-host-manager".to_owned(),
        rules: CLIENT_RULES.to_owned(),
        accessor: accessor(cluster_id, CLIENT, version),
        token_description: "Token of client agents".to_owned(),
    };
    wanted.ensure(client, secret).await
}

/// Takes a version of the clients' token away.
pub async fn delete_client_token(
    client: &ConsulClient,
    cluster_id: &str,
    version: &SecretVersion,
) -> Result<(), ConsulError> {
    delete(client, &accessor(cluster_id, CLIENT, version)).await
}

/// Makes a management token beside the one that is used for it.
pub async fn ensure_management_token(
    client: &ConsulClient,
    cluster_id: &str,
    version: &SecretVersion,
    secret: &Secret,
) -> Result<(), ConsulError> {
    if verify(client, secret).await.is_ok() {
        return Ok(());
    }
    let body = json!({
        "AccessorID": accessor(cluster_id, "management", version),
        "SecretID": secret.expose(),
        "Description": "Management token; kept by hcs-host-manager",
        "Policies": [{ "ID": MANAGEMENT_POLICY }],
    });
    client.put_only("acl/token", &body).await?;
    verify(client, secret).await
}

/// Takes the token with this secret away, if there is one.
pub async fn delete_by_secret(client: &ConsulClient, secret: &Secret) -> Result<(), ConsulError> {
    let found: Result<AclToken, ConsulError> =
        client.with_token(secret.clone()).get("acl/token/self").await;
    match found {
        Ok(token) => delete(client, &token.accessor).await,
        Err(error) if error.is_absent() => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is not there is done, in the words of any version.
async fn delete(client: &ConsulClient, accessor: &str) -> Result<(), ConsulError> {
    match client.delete(&format!("acl/token/{accessor}")).await {
        Err(error) if error.is_absent() => Ok(()),
        other => other,
    }
}

/// Of Consul's own policy that allows everything; the same in every cluster.
const MANAGEMENT_POLICY: &str = "00000000-0000-0000-0000-000000000001";
const CLIENT: &str = "clients/agent";

/// What client agents need, whatever their names: to register their nodes, and to read nodes and services for their
/// anti-entropy and for DNS. It opens neither KV nor the registration of services.
const CLIENT_RULES: &str =
    "node_prefix \"\" {\n  policy = \"write\"\n}\nservice_prefix \"\" {\n  policy = \"read\"\n}\n";

/// Whether the agent token works.
pub async fn verify(client: &ConsulClient, secret: &Secret) -> Result<(), ConsulError> {
    let own = client.with_token(secret.clone());
    own.get::<serde::de::IgnoredAny>("acl/token/self").await.map(drop)
}

/// The accessor id follows from cluster and version, so that whoever comes later finds the token again.
fn accessor(cluster_id: &str, what: &str, version: &SecretVersion) -> String {
    let name = version.blob(&format!("{}/{what}", cluster_id.to_ascii_lowercase()));
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
}

/// A policy and the one token that has it.
struct Wanted {
    policy_name: String,
    policy_description: String,
    rules: String,
    accessor: String,
    token_description: String,
}

impl Wanted {
    async fn ensure(&self, client: &ConsulClient, secret: &Secret) -> Result<(), ConsulError> {
        self.ensure_policy(client).await?;
        self.ensure_token(client, secret).await
    }

    async fn ensure_policy(&self, client: &ConsulClient) -> Result<(), ConsulError> {
        let policies: Vec<AclPolicy> = client.get("acl/policies").await?;
        let body = json!({
            "Name": self.policy_name,
            "Description": self.policy_description,
            "Rules": self.rules,
        });
        let Some(found) = policies.into_iter().find(|policy| policy.name == self.policy_name)
        else {
            return client.put_only("acl/policy", &body).await;
        };
        let path = format!("acl/policy/{}", found.id);
        let found: AclPolicy = client.get(&path).await?;
        if found.rules == self.rules {
            return Ok(());
        }
        client.put_only(&path, &body).await
    }

    async fn ensure_token(
        &self,
        client: &ConsulClient,
        secret: &Secret,
    ) -> Result<(), ConsulError> {
        let path = format!("acl/token/{}", self.accessor);
        match client.get::<AclToken>(&path).await {
            Ok(found) => {
                let mut links = found.policies.iter().flatten();
                let is_linked = links.any(|link| link.name == self.policy_name);
                if is_linked && found.secret == secret.expose() {
                    return Ok(());
                }
                // A secret id cannot be changed: the blob holds a new one, the old one must die.
                client.delete(&path).await?;
            }
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error),
        }
        let body = json!({
            "AccessorID": self.accessor,
            "SecretID": secret.expose(),
            "Description": self.token_description,
            "Policies": [{ "Name": self.policy_name }],
        });
        client.put_only("acl/token", &body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accessor_follows_from_cluster_and_slot_whatever_the_case() {
        let (first, second) = (SecretVersion::default(), SecretVersion::of_rotation("v"));
        let at = |cluster_id, slot, version| {
            AgentIdentity { cluster_id, slot, node_name: "n", version }.accessor_of(version)
        };
        assert_eq!(at("/subscriptions/A", 0, &first), at("/SUBSCRIPTIONS/a", 0, &first));
        assert_ne!(at("/subscriptions/A", 0, &first), at("/subscriptions/A", 1, &first));
        assert_ne!(at("/subscriptions/A", 0, &first), at("/subscriptions/B", 0, &first));
        assert_ne!(at("/subscriptions/A", 0, &first), at("/subscriptions/A", 0, &second));
    }
}
