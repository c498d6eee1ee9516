//! A plan as text, JSON, DOT and a page. The same plan gives the same bytes.

mod dot;
mod html;
mod json;
mod text;

pub use dot::dot;
pub use html::html;
pub use json::json;
pub use text::text;

use crate::plan::{Action, Step};

/// What a step does, in one word.
fn verb(step: &Step) -> &'static str {
    match &step.action {
        Action::Put { update: false, .. } => "create",
        Action::Put { update: true, .. } => "update",
        Action::Delete { .. } => "delete",
        Action::AwaitProvisioned { .. } | Action::WaitHealthy { .. } => "wait",
        Action::ReadAddress { .. } => "read",
        Action::Ask { .. } => "ask",
        Action::GrantCallerBlobAccess { .. }
        | Action::WriteDocument { .. }
        | Action::MintSecret { .. }
        | Action::UploadArtifact { .. } => "write",
    }
}

/// What it concerns: an ARM object's type and name, a blob, a server.
fn subject(step: &Step) -> String {
    match &step.action {
        Action::Put { kind, id, .. }
        | Action::AwaitProvisioned { kind, id, .. }
        | Action::Delete { kind, id, .. } => format!("{} {}", kind.resource_type(), id.name()),
        Action::GrantCallerBlobAccess { account } => format!("blobs of {}", account.name()),
        Action::WriteDocument { container, name, .. } => format!("blob {container}/{name}"),
        Action::MintSecret { .. } => "secret, made once".to_owned(),
        Action::UploadArtifact { .. } => "program, stored by its hash".to_owned(),
        Action::ReadAddress { scale_set, .. } => format!("private address of {}", scale_set.name()),
        Action::Ask { node_name, remaining, .. } => {
            format!("{node_name}, until {} are healthy without it", remaining.join(", "))
        }
        Action::WaitHealthy { voters } => format!("until {} are healthy voters", voters.join(", ")),
    }
}
