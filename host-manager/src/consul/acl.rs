//! The server's own agent token: a policy for its node only, a token whose ids were chosen before.
//!
//! Everything reads before it writes, so doing it again changes nothing.

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
}

impl AgentIdentity<'_> {
    fn policy_name(&self) -> String {
        format!("hcs-server-{}", self.slot)
    }

    /// The accessor id follows from cluster and slot, so that a new VM finds its token again.
    fn accessor(&self) -> String {
        let name = format!("{}/servers/{}/agent", self.cluster_id.to_ascii_lowercase(), self.slot);
        Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
    }

    /// What an agent needs: to register its own node and to read services.
    fn rules(&self) -> String {
        format!(
            "node \"{}\" {{\n  policy = \"write\"\n}}\nagent \"{}\" {{\n  policy = \"write\"\n}}\nservice_prefix \"\" {{\n  policy = \"read\"\n}}\n",
            self.node_name, self.node_name
        )
    }
}

/// Makes policy and token if they are missing, and gives the token to the agent.
pub async fn ensure_agent_token(
    client: &ConsulClient,
    identity: &AgentIdentity<'_>,
    secret: &Secret,
) -> Result<(), ConsulError> {
    ensure_policy(client, identity).await?;
    ensure_token(client, identity, secret).await?;
    client.put_only("agent/token/agent", &json!({ "Token": secret.expose() })).await?;
    verify(client, secret).await
}

/// Whether the agent token works.
pub async fn verify(client: &ConsulClient, secret: &Secret) -> Result<(), ConsulError> {
    let own = client.with_token(secret.clone());
    own.get::<serde::de::IgnoredAny>("acl/token/self").await.map(drop)
}

async fn ensure_policy(
    client: &ConsulClient,
    identity: &AgentIdentity<'_>,
) -> Result<(), ConsulError> {
    let name = identity.policy_name();
    let policies: Vec<AclPolicy> = client.get("acl/policies").await?;
    let body = json!({
        "Name": name,
        "Description": "Agent of one server; kept by hcs-host-manager",
        "Rules": identity.rules(),
    });
    let Some(found) = policies.into_iter().find(|policy| policy.name == name) else {
        return client.put_only("acl/policy", &body).await;
    };
    let path = format!("acl/policy/{}", found.id);
    let found: AclPolicy = client.get(&path).await?;
    if found.rules == identity.rules() {
        return Ok(());
    }
    client.put_only(&path, &body).await
}

async fn ensure_token(
    client: &ConsulClient,
    identity: &AgentIdentity<'_>,
    secret: &Secret,
) -> Result<(), ConsulError> {
    let accessor = identity.accessor();
    let path = format!("acl/token/{accessor}");
    match client.get::<AclToken>(&path).await {
        Ok(found) => {
            let policy = identity.policy_name();
            let linked = found.policies.iter().flatten().any(|link| link.name == policy);
            if linked && found.secret == secret.expose() {
                return Ok(());
            }
            // A secret id cannot be changed: the slot got a new token, the old one must die.
            client.delete(&path).await?;
        }
        Err(error) if error.is_absent() => {}
        Err(error) => return Err(error),
    }
    let body = json!({
        "AccessorID": accessor,
        "SecretID": secret.expose(),
        "Description": format!("Agent token of {}", identity.node_name),
        "Policies": [{ "Name": identity.policy_name() }],
    });
    client.put_only("acl/token", &body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accessor_follows_from_cluster_and_slot_whatever_the_case() {
        let at = |cluster_id, slot| AgentIdentity { cluster_id, slot, node_name: "n" }.accessor();
        assert_eq!(at("/subscriptions/A", 0), at("/SUBSCRIPTIONS/a", 0));
        assert_ne!(at("/subscriptions/A", 0), at("/subscriptions/A", 1));
        assert_ne!(at("/subscriptions/A", 0), at("/subscriptions/B", 0));
    }
}
