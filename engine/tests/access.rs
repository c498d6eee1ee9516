//! The first write to a new account's blobs: a name, a firewall and a role take their time, one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::TestClock;
use async_trait::async_trait;
use bytes::Bytes;
use hcs_engine::arm::Arm;
use hcs_engine::blob::{BlobContent, BlobEntry, BlobError, BlobStore, WriteCondition};
use hcs_engine::cloud::{ArmRequest, ArmResponse, Cloud, Method, Target, TransportError};
use hcs_engine::error::{Awaited, EngineError};
use hcs_engine::execute::ensure_blob_access;
use hcs_planner::arm::{ArmId, Kind};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// An ARM that grants what it is asked for, and shows an account that is open, or closed and told of by a zone or not.
#[derive(Clone, Copy)]
enum Azure {
    Open,
    Told,
    Untold,
}

#[async_trait]
impl Cloud for Azure {
    async fn send(&self, request: &ArmRequest) -> Result<ArmResponse, TransportError> {
        let Target::Path(path) = &request.target else { panic!("{:?}", request.target) };
        let addresses = json!(["10.0.0.5"]);
        let body = match self {
            Self::Open => json!({ "properties": {} }),
            Self::Told if path.contains("privateDnsZoneGroups") => {
                json!({ "value": [ { "properties": {
                "privateDnsZoneConfigs": [{ "properties": { "recordSets": [{ "ipAddresses": addresses }] } }],
            } } ] })
            }
            _ if path.contains("privateDnsZoneGroups") => json!({ "value": [] }),
            _ if path.contains("privateEndpoints") => {
                let told = if matches!(self, Self::Told) {
                    json!([])
                } else {
                    json!([{ "ipAddresses": addresses }])
                };
                json!({ "properties": { "customDnsConfigs": told } })
            }
            _ => {
                json!({ "properties": { "publicNetworkAccess": "Disabled", "privateEndpointConnections": [
                { "properties": { "privateEndpoint": { "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateEndpoints/e" } } },
            ] } })
            }
        };
        let status = if request.method == Method::Put { 201 } else { 200 };
        Ok(ArmResponse { status, body, ..ArmResponse::default() })
    }

    async fn authorize(&self) -> Result<(), TransportError> {
        Ok(())
    }

    async fn caller_object_id(&self) -> Result<String, TransportError> {
        Ok("caller".to_owned())
    }
}

struct Account {
    started: Instant,
    says: Says,
}

#[async_trait]
impl BlobStore for Account {
    async fn get(&self, _: &str, _: &str) -> Result<Option<BlobContent>, BlobError> {
        Ok(None)
    }

    async fn put(
        &self,
        _: &str,
        _: &str,
        _: Bytes,
        _: WriteCondition,
    ) -> Result<String, BlobError> {
        let refused = (self.says)(self.started.elapsed().as_secs() / 60);
        refused.map_or(Ok("etag".to_owned()), Err)
    }

    async fn delete(&self, _: &str, _: &str) -> Result<bool, BlobError> {
        Ok(true)
    }

    async fn set_metadata(
        &self,
        _: &str,
        _: &str,
        _: &BTreeMap<String, String>,
    ) -> Result<(), BlobError> {
        unreachable!("nothing is said of blobs here")
    }

    async fn list(&self, _: &str, _: &str) -> Result<Vec<BlobEntry>, BlobError> {
        Ok(vec![])
    }
}

/// What the service says at a minute; `None` takes the write.
type Says = fn(u64) -> Option<BlobError>;

fn away() -> BlobError {
    BlobError::Unavailable { account: "a".into(), source: "no such host".into() }
}

fn denied(code: &str) -> BlobError {
    let (account, container) = ("a".into(), "config".into());
    BlobError::Denied { account, container, code: code.into() }
}

fn firewall() -> BlobError {
    denied("AuthorizationFailure")
}

fn no_role() -> BlobError {
    denied("AuthorizationPermissionMismatch")
}

/// How it ends, and after how many minutes.
async fn gain(says: Says) -> (Result<bool, EngineError>, u64) {
    gain_from(Azure::Open, says).await
}

async fn gain_from(azure: Azure, says: Says) -> (Result<bool, EngineError>, u64) {
    let started = Instant::now();
    let arm = Arm::new(Arc::new(azure), Arc::new(TestClock(started)), CancellationToken::new());
    let account =
        ArmId::resource_group("s", "g").resource(Kind::StorageAccount.resource_type(), "a");
    let end = ensure_blob_access(&arm, &account, &Account { started, says }, true).await;
    (end, started.elapsed().as_secs() / 60)
}

#[tokio::test(start_paused = true)]
async fn a_name_a_firewall_and_a_role_have_their_time_each() {
    let (end, minutes) = gain(|minute| match minute {
        0..4 => Some(away()),
        4 => Some(firewall()),
        5..18 => Some(no_role()),
        _ => None,
    })
    .await;
    assert!(end.unwrap(), "the role was given");
    assert_eq!(minutes, 18);
}

#[tokio::test(start_paused = true)]
async fn each_of_them_ends_with_its_own_words() {
    let (end, minutes) = gain(|_| Some(firewall())).await;
    assert!(matches!(end, Err(EngineError::Blob(BlobError::Denied { .. }))), "{end:?}");
    assert_eq!(minutes, 2);
    let scripts: [(Says, u64); 2] = [(|_| Some(away()), 5), (|_| Some(no_role()), 15)];
    for (says, minutes_max) in scripts {
        let (end, minutes) = gain(says).await;
        let is_access =
            matches!(end, Err(EngineError::TimedOut { awaited: Awaited::BlobAccess, .. }));
        assert!(is_access && minutes == minutes_max, "{end:?} after {minutes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_used_is_told_at_once() {
    let (end, minutes) = gain(|_| Some(denied("KeyVaultEncryptionKeyNotFound"))).await;
    assert!(matches!(end, Err(EngineError::Blob(BlobError::Denied { .. }))), "{end:?}");
    assert_eq!(minutes, 0, "no waiting brings it back");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_flickers_for_ever_is_given_up() {
    let (end, minutes) = gain(|minute| match minute % 3 {
        0 => Some(away()),
        1 => Some(no_role()),
        _ => Some(firewall()),
    })
    .await;
    assert!(end.is_err());
    assert!(minutes <= 22, "{minutes}");
}

/// A zone is known within minutes; a policy that is to tell the name has its ten minutes and some more.
#[tokio::test(start_paused = true)]
async fn a_closed_account_is_waited_for_as_long_as_its_name_may_need() {
    for (azure, minutes_max) in [(Azure::Told, 5), (Azure::Untold, 20)] {
        let (end, minutes) = gain_from(azure, |_| Some(firewall())).await;
        let told = end.unwrap_err();
        assert!(matches!(told, EngineError::Closed { .. }), "{told:?}");
        assert!(told.to_string().contains("(10.0.0.5) and nowhere else"), "{told}");
        assert_eq!(minutes, minutes_max);
    }
    let (end, minutes) = gain_from(Azure::Untold, |minute| (minute < 12).then(firewall)).await;
    assert_eq!((end.unwrap(), minutes), (false, 12));
}
