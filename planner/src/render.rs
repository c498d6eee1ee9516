//! A plan as text, JSON, DOT and a page. The same plan gives the same bytes.

mod dot;
mod html;
mod json;
mod text;

pub use dot::dot;
pub use html::html;
pub use json::json;
pub use text::text;

use serde_json::Value;

use crate::plan::{Action, Step, Voter};
use crate::reference::is_reference;

/// What a step does, in one word.
fn verb(step: &Step) -> &'static str {
    match &step.action {
        Action::Put { update: false, .. } => "create",
        Action::Put { update: true, .. } => "update",
        Action::Delete { .. } => "delete",
        Action::Restart { .. } => "restart",
        Action::AwaitProvisioned { .. } | Action::WaitHealthy { .. } => "wait",
        Action::ReadAddress { .. } => "read",
        Action::Ask { .. } => "ask",
        Action::RestoreSnapshot { .. } => "restore",
        Action::GrantCallerBlobAccess { .. }
        | Action::WriteDocument { .. }
        | Action::MintSecret { .. }
        | Action::UploadArtifact { .. }
        | Action::Withdraw { .. } => "write",
    }
}

/// The verbs in the order in which a summary counts them.
const VERBS: [&str; 9] =
    ["create", "update", "restart", "delete", "write", "ask", "restore", "read", "wait"];

/// What it concerns: an ARM object's type and name, a blob, a server.
fn subject(step: &Step) -> String {
    match &step.action {
        Action::Put { kind, id, .. }
        | Action::AwaitProvisioned { kind, id, .. }
        | Action::Delete { kind, id, .. } => format!("{} {}", kind.resource_type(), id.name()),
        Action::Restart { scale_set, .. } => {
            format!("the machine of {}, with its set's model", scale_set.name())
        }
        Action::GrantCallerBlobAccess { account } => format!("blobs of {}", account.name()),
        Action::WriteDocument { container, name, restarts_servers, .. } => format!(
            "blob {container}/{name}{}",
            if *restarts_servers {
                "; the servers restart one by one, the leader last"
            } else {
                ""
            }
        ),
        Action::MintSecret { .. } => "secret, made once".to_owned(),
        Action::UploadArtifact { .. } => "program, stored by its hash".to_owned(),
        Action::Withdraw { slot } => {
            format!("request that the server before it at slot {slot} obeyed")
        }
        Action::ReadAddress { scale_set, .. } => format!("private address of {}", scale_set.name()),
        Action::Ask { node_name, remaining, .. } => {
            format!("{node_name}, until {} are healthy without it", names(remaining))
        }
        Action::RestoreSnapshot { snapshot_id } => {
            format!("the state in {snapshot_id}, tried before in a Consul that is thrown away")
        }
        Action::WaitHealthy { voters, consul_version } => {
            let version = consul_version.as_ref();
            let with = version.map(|version| format!(" with Consul {version}")).unwrap_or_default();
            format!("until {} are healthy voters{with}", names(voters))
        }
    }
}

fn names(voters: &[Voter]) -> String {
    let names: Vec<&str> = voters.iter().map(|voter| voter.node_name.as_str()).collect();
    if names.is_empty() { "the others".to_owned() } else { names.join(", ") }
}

/// A value with every reference in words, so that a person can read it.
fn readable(value: &Value) -> Value {
    match value {
        Value::Object(map) if is_reference(map) => Value::String(told(map)),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, item)| (key.clone(), readable(item))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(readable).collect()),
        plain => plain.clone(),
    }
}

fn told(reference: &serde_json::Map<String, Value>) -> String {
    if let Some(output) = reference.get("$output") {
        let text = |key: &str| output.get(key).and_then(Value::as_str).unwrap_or_default();
        return format!("({} of {}, known by then)", text("pointer"), text("object"));
    }
    match reference.get("$parameter").and_then(Value::as_str) {
        Some(name) => format!("({name}, known by then)"),
        None => "(cloud-init)".to_owned(),
    }
}
