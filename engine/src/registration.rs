//! Resource providers of a subscription: which of those that a cluster needs are not registered, and how they get to be.
//!
//! Fact: a write of a type whose provider is not registered is refused with `MissingSubscriptionRegistration`
//! (Microsoft's page "Azure resource providers and types").

use std::time::Duration;

use serde_json::Value;

use crate::arm::Arm;
use crate::cloud::{ArmRequest, Method, Target};
use crate::error::EngineError;

const API_VERSION: &str = "2021-04-01";

/// What a cluster is made of. `Microsoft.Authorization` and `Microsoft.Resources` are registered everywhere.
pub const NEEDED: [&str; 4] =
    ["Microsoft.Compute", "Microsoft.ManagedIdentity", "Microsoft.Network", "Microsoft.Storage"];

/// Between two looks at a registration, which takes a minute or some.
const POLL: Duration = Duration::from_secs(5);
/// Microsoft's own deployments wait as long.
const POLLS_MAX: u32 = 180;

/// The providers that a cluster needs and the subscription has not registered, nor is about to, with one read.
pub async fn missing(arm: &Arm, subscription_id: &str) -> Result<Vec<&'static str>, EngineError> {
    let path = format!("/subscriptions/{subscription_id}/providers?api-version={API_VERSION}");
    let rows = arm.list(&path).await?;
    let is_registered = |namespace: &&str| {
        rows.iter().any(|row| {
            let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
            text("namespace").eq_ignore_ascii_case(namespace)
                && ["registered", "registering"]
                    .contains(&text("registrationState").to_lowercase().as_str())
        })
    };
    Ok(NEEDED.into_iter().filter(|namespace| !is_registered(namespace)).collect())
}

/// Registers these providers and waits until all are. Registering one that is registered changes nothing.
pub async fn register(
    arm: &Arm,
    subscription_id: &str,
    namespaces: &[&str],
) -> Result<(), EngineError> {
    let id = |namespace: &str| format!("/subscriptions/{subscription_id}/providers/{namespace}");
    for namespace in namespaces {
        let path = format!("{}/register?api-version={API_VERSION}", id(namespace));
        arm.send(&ArmRequest::new(Method::Post, Target::Path(path)), &id(namespace)).await?;
        tracing::info!(namespace, "registering the resource provider");
    }
    for namespace in namespaces {
        let path = format!("{}?api-version={API_VERSION}", id(namespace));
        let mut polls = 0;
        loop {
            let body = arm.get_path(&path).await?.unwrap_or_default();
            let state = body.get("registrationState").and_then(Value::as_str).unwrap_or_default();
            if state.eq_ignore_ascii_case("Registered") {
                break;
            }
            polls += 1;
            if polls > POLLS_MAX {
                return Err(EngineError::Contradiction { id: id(namespace) });
            }
            arm.sleep(POLL).await?;
        }
    }
    Ok(())
}
