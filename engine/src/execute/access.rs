//! The caller's own way to the blobs of a new account: a name, a firewall or a private endpoint, and a role take their time,
//! one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::dataplane::container;
use hcs_planner::names::{ROLE_BLOB_CONTRIBUTOR, role_assignment_id, role_definition_id};
use serde_json::{Value, json};

use crate::arm::Arm;
use crate::blob::{BlobError, BlobStore, WriteCondition};
use crate::error::{Awaited, EngineError};

/// Rights on a new account take up to ten minutes (Microsoft's troubleshooting page), with some air.
pub const ACCESS_MINUTES_MAX: u64 = 15;
/// The name of a new account is known everywhere within minutes.
const RESOLVE_MINUTES_MAX: u64 = 5;
/// What the blob service says to a caller whose role is missing or has not spread.
const NO_ROLE: &str = "AuthorizationPermissionMismatch";
/// Rules of a new account's firewall settle within a minute or two.
const FIREWALL_MINUTES_MAX: u64 = 2;
/// A policy that tells the name of a private endpoint comes ten minutes after it (Microsoft's page on remediation: a
/// deployment begins ten minutes after the object), with some air.
const POLICY_MINUTES_MAX: u64 = 20;

/// Why the blobs of a new account cannot be written yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NotYet {
    NoRole,
    /// It denies as well, and no role opens it.
    Firewall,
    /// The account is closed to the public, and this caller does not come by its private endpoint yet.
    Closed,
    /// Its name may not resolve everywhere yet.
    Away,
}

impl NotYet {
    fn new(error: &BlobError) -> Self {
        match error {
            BlobError::Denied { code, .. } if code == NO_ROLE => Self::NoRole,
            BlobError::Denied { .. } => Self::Firewall,
            _ => Self::Away,
        }
    }

    fn wait_max(self, way: Option<&PrivateWay>) -> Duration {
        Duration::from_mins(match self {
            Self::NoRole => ACCESS_MINUTES_MAX,
            Self::Firewall => FIREWALL_MINUTES_MAX,
            Self::Closed if way.is_some_and(|way| !way.is_told) => POLICY_MINUTES_MAX,
            Self::Closed | Self::Away => RESOLVE_MINUTES_MAX,
        })
    }
}

/// Gives the caller Storage Blob Data Contributor on the account unless a probe write succeeds already, then waits
/// until one does; returns whether it gave it. Owner and Contributor alone cannot write blobs. One that does not `grant`
/// waits for a right that somebody else gave.
pub async fn ensure_blob_access(
    arm: &Arm,
    account: &ArmId,
    store: &dyn BlobStore,
    grants: bool,
) -> Result<bool, EngineError> {
    const PROBE: &str = "access-probe";
    // Each reason has its own time: a firewall may settle after a name did, and a right after both.
    let mut spent: BTreeMap<NotYet, Duration> = BTreeMap::new();
    let mut before_ms = arm.clock.monotonic_ms();
    let mut granted = false;
    let mut way = None;
    let mut attempt = 0;
    loop {
        let bytes = Bytes::from_static(b"hcs");
        match store.put(container::CONFIG, PROBE, bytes, WriteCondition::Always).await {
            Ok(_) => {
                // The right flickers while it spreads; a probe that stays disturbs nobody.
                match store.delete(container::CONFIG, PROBE).await {
                    Ok(_) | Err(BlobError::Denied { .. } | BlobError::Unavailable { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                return Ok(granted);
            }
            // No waiting brings back a key of the user's.
            Err(error @ BlobError::Denied { .. }) if is_for_want_of_a_key(&error) => {
                return Err(error.into());
            }
            Err(error @ (BlobError::Denied { .. } | BlobError::Unavailable { .. })) => {
                let mut why = NotYet::new(&error);
                if matches!(why, NotYet::Firewall | NotYet::Away) {
                    way = private_way(arm, account).await;
                    if way.is_some() {
                        why = NotYet::Closed;
                    }
                }
                let now_ms = arm.clock.monotonic_ms();
                let waited = spent.entry(why).or_default();
                *waited += Duration::from_millis(now_ms.saturating_sub(before_ms));
                before_ms = now_ms;
                if *waited > why.wait_max(way.as_ref()) {
                    return Err(match why {
                        NotYet::Firewall => error.into(),
                        NotYet::Closed => EngineError::Closed {
                            account: account.name().to_owned(),
                            address: way.and_then(|way| way.address),
                            waited: *waited,
                        },
                        NotYet::NoRole | NotYet::Away => EngineError::TimedOut {
                            what: format!("write access to the blobs of {account}"),
                            awaited: Awaited::BlobAccess,
                            waited: *waited,
                            last: error.to_string(),
                        },
                    });
                }
                if why == NotYet::NoRole && grants && !granted {
                    assign_caller(arm, account).await?;
                    granted = true;
                }
            }
            Err(error) => return Err(error.into()),
        }
        attempt += 1;
        arm.sleep(crate::arm::backoff(attempt)).await?;
    }
}

/// Codes that the storage service takes over from the vault.
fn is_for_want_of_a_key(error: &BlobError) -> bool {
    matches!(error, BlobError::Denied { code, .. } if code.starts_with("KeyVault"))
}

/// How an account that is closed to the public is reached.
struct PrivateWay {
    /// Of its first private endpoint.
    address: Option<String>,
    /// Whether a zone tells that.
    is_told: bool,
}

/// None for an account that is open. What cannot be read is taken for an account that is not told of: that is waited for
/// longest.
async fn private_way(arm: &Arm, account: &ArmId) -> Option<PrivateWay> {
    let text = |body: &Value, pointer: &str| {
        body.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
    };
    let body = arm.get(account, Kind::StorageAccount).await.ok().flatten()?;
    if text(&body, "/properties/publicNetworkAccess").as_deref() != Some("Disabled") {
        return None;
    }
    Some(way_to(arm, &body).await)
}

/// How the account of this body is reached by its first private endpoint, closed or not.
async fn way_to(arm: &Arm, account: &Value) -> PrivateWay {
    let text = |body: &Value, pointer: &str| {
        body.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
    };
    let mut way = PrivateWay { address: None, is_told: false };
    let endpoint = "/properties/privateEndpointConnections/0/properties/privateEndpoint/id";
    let Some(endpoint) = text(account, endpoint).map(ArmId::new) else { return way };
    if let Ok(Some(body)) = arm.get(&endpoint, Kind::PrivateEndpoint).await {
        way.address = text(&body, "/properties/customDnsConfigs/0/ipAddresses/0");
    }
    let version = Kind::PrivateDnsZoneGroup.api_version();
    let groups = format!("{endpoint}/privateDnsZoneGroups?api-version={version}");
    if let Some(group) = arm.list(&groups).await.ok().and_then(|groups| groups.into_iter().next()) {
        let told = "/properties/privateDnsZoneConfigs/0/properties/recordSets/0/ipAddresses/0";
        way.is_told = true;
        way.address = text(&group, told).or(way.address);
    }
    way
}

/// Waits until a zone tells the address of an account that is about to close: servers have no other way to it then, and a
/// policy that is to tell it comes minutes later.
pub(super) async fn await_told(arm: &Arm, account: &ArmId) -> Result<(), EngineError> {
    let started_ms = arm.clock.monotonic_ms();
    let mut attempt = 0;
    loop {
        let body = arm.get(account, Kind::StorageAccount).await?.unwrap_or_default();
        let access = body.pointer("/properties/publicNetworkAccess").and_then(Value::as_str);
        // What is closed already is only written.
        if access == Some("Disabled") || way_to(arm, &body).await.is_told {
            return Ok(());
        }
        let waited = Duration::from_millis(arm.clock.monotonic_ms().saturating_sub(started_ms));
        if waited > Duration::from_mins(POLICY_MINUTES_MAX) {
            return Err(EngineError::TimedOut {
                what: format!("a zone that tells the private address of {account}"),
                awaited: Awaited::PrivateName,
                waited,
                last:
                    "the account's private endpoint has no zone group, and the account stays open"
                        .into(),
            });
        }
        attempt += 1;
        arm.sleep(crate::arm::backoff(attempt)).await?;
    }
}

async fn assign_caller(arm: &Arm, account: &ArmId) -> Result<(), EngineError> {
    let caller = arm.caller_object_id().await?;
    let id = role_assignment_id(account, &caller, ROLE_BLOB_CONTRIBUTOR);
    let subscription = account.segment("subscriptions").unwrap_or_default();
    let definition = role_definition_id(subscription, ROLE_BLOB_CONTRIBUTOR);
    let mut body =
        json!({ "properties": { "roleDefinitionId": definition, "principalId": caller } });
    // Without it a principal that Entra has not replicated is refused, and so is one whom a condition on the role that
    // assigns (Role Based Access Control Administrator) allows by its type only.
    if let Some(kind) = arm.caller_type().await? {
        body["properties"]["principalType"] = json!(kind.as_str());
    }
    match arm.put(&id, Kind::RoleAssignment, body).await {
        Ok(_) => Ok(()),
        // Somebody gave the same right under another name.
        Err(EngineError::Arm(error)) if error.is("RoleAssignmentExists") => Ok(()),
        Err(error) => Err(error),
    }
}
