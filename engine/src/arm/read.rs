//! Reads: of one object, of a list. That something is not there is believed only when two different reads agree.

use std::collections::BTreeSet;
use std::sync::Arc;

use hcs_planner::arm::{ArmId, Kind};
use serde_json::Value;

use super::{Arm, backoff};
use crate::blob::{BlobStores, BlockStore};
use crate::cloud::{ArmRequest, Method, Target, TransportError};
use crate::error::EngineError;

/// Pages of one list: more is a list that leads in a circle.
const PAGES_MAX: usize = 1000;
/// Reads of an object whose two kinds of reads disagree.
const CONTRADICTIONS_MAX: u32 = 5;

impl Arm {
    /// Reads an object; `None` for 404 only.
    pub async fn get(&self, id: &ArmId, kind: Kind) -> Result<Option<Value>, EngineError> {
        self.get_path(&format!("{id}?api-version={}", kind.api_version())).await
    }

    /// Reads a path with its query; `None` for 404 only.
    pub async fn get_path(&self, path: &str) -> Result<Option<Value>, EngineError> {
        let request = ArmRequest::new(Method::Get, Target::Path(path.to_owned()));
        let id = path.split('?').next().unwrap_or(path);
        match self.send(&request, id).await {
            Ok(response) => Ok(Some(response.body)),
            Err(EngineError::Arm(error)) if error.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a resource group. That it is absent is believed only when another kind of read says so, too: all that is
    /// in it would be believed to be gone with it.
    pub async fn get_group(&self, id: &ArmId) -> Result<Option<Value>, EngineError> {
        self.get_certain(id, Kind::ResourceGroup, || self.lists_group(id)).await
    }

    /// Reads a cluster's storage account, as certainly: all that the cluster knows of itself is in it.
    pub async fn get_account(&self, id: &ArmId) -> Result<Option<Value>, EngineError> {
        let kind = Kind::StorageAccount;
        self.get_certain(id, kind, || self.lists_in_group(id, kind)).await
    }

    /// The blobs of an account; none where it is gone. Only reads.
    pub async fn blobs_of(
        &self,
        stores: &dyn BlobStores,
        account: &ArmId,
    ) -> Result<Option<Arc<dyn BlockStore>>, EngineError> {
        let endpoint = self.blob_endpoint_of(account).await?;
        Ok(endpoint.map(|endpoint| stores.open(&endpoint)).transpose()?)
    }

    /// Blob endpoint of an account; none where it is gone.
    pub async fn blob_endpoint_of(&self, account: &ArmId) -> Result<Option<String>, EngineError> {
        let account = self.get_account(account).await?;
        let pointer = "/properties/primaryEndpoints/blob";
        let endpoint = account.as_ref().and_then(|account| account.pointer(pointer)?.as_str());
        Ok(endpoint.map(str::to_owned))
    }

    async fn get_certain<F>(
        &self,
        id: &ArmId,
        kind: Kind,
        is_listed: impl Fn() -> F,
    ) -> Result<Option<Value>, EngineError>
    where
        F: Future<Output = Result<bool, EngineError>>,
    {
        for attempt in 1..=CONTRADICTIONS_MAX {
            if let Some(body) = self.get(id, kind).await? {
                return Ok(Some(body));
            }
            if !is_listed().await? {
                return Ok(None);
            }
            self.sleep(backoff(attempt)).await?;
        }
        Err(EngineError::Contradiction { id: id.as_str().to_owned() })
    }

    /// The same, once a delete of the group that somebody began has ended.
    pub async fn get_lasting_group(&self, id: &ArmId) -> Result<Option<Value>, EngineError> {
        let mut told = false;
        loop {
            let Some(body) = self.get_group(id).await? else { return Ok(None) };
            let state = body.pointer("/properties/provisioningState").and_then(Value::as_str);
            if !state.is_some_and(|word| word.eq_ignore_ascii_case("Deleting")) {
                return Ok(Some(body));
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!(%id, "the group is being deleted; waiting until it is gone");
            }
            self.sleep(self.cloud.default_poll_interval()).await?;
        }
    }

    /// Whether the subscription's list of groups, or where that is not allowed a check of existence, names the group.
    async fn lists_group(&self, id: &ArmId) -> Result<bool, EngineError> {
        let subscription = id.segment("subscriptions").unwrap_or_default();
        let version = Kind::ResourceGroup.api_version();
        let path = format!("/subscriptions/{subscription}/resourcegroups?api-version={version}");
        match self.list(&path).await {
            Ok(groups) => {
                let is_it = |group: &Value| {
                    group["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(id.name()))
                };
                Ok(groups.iter().any(is_it))
            }
            Err(EngineError::Arm(error)) if matches!(error.status, 401 | 403) => {
                let path = format!("{id}?api-version={version}");
                let request = ArmRequest::new(Method::Head, Target::Path(path));
                match self.send(&request, id.as_str()).await {
                    Ok(_) => Ok(true),
                    Err(EngineError::Arm(error)) if error.status == 404 => Ok(false),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the list of its type in its group names an object. A list may be empty because its group is not seen.
    async fn lists_in_group(&self, id: &ArmId, kind: Kind) -> Result<bool, EngineError> {
        let Some((group, _)) = id.as_str().split_once("/providers/") else { return Ok(false) };
        if self.get_group(&ArmId::new(group)).await?.is_none() {
            return Ok(false);
        }
        let (name, version) = (kind.resource_type(), kind.api_version());
        let rows = self.list(&format!("{group}/providers/{name}?api-version={version}")).await?;
        Ok(rows.iter().any(|row| row["id"].as_str().is_some_and(|own| ArmId::new(own) == *id)))
    }

    /// All pages of a list; a 404 on the parent is an empty list.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, EngineError> {
        self.list_with_pages(path).await.map(|(rows, _)| rows)
    }

    /// The same, and how many pages they were: none where there is nothing to list.
    pub(super) async fn list_with_pages(
        &self,
        path: &str,
    ) -> Result<(Vec<Value>, usize), EngineError> {
        let mut items = Vec::new();
        let mut target = Target::Path(path.to_owned());
        let id = path.split('?').next().unwrap_or(path).to_owned();
        let mut links = BTreeSet::new();
        loop {
            let request = ArmRequest::new(Method::Get, target);
            let mut body = match self.send(&request, &id).await {
                Ok(response) => response.body,
                // A later page that is not there is a list that broke off, not its end.
                Err(EngineError::Arm(error)) if error.status == 404 && links.is_empty() => {
                    return Ok((items, 0));
                }
                Err(error) => return Err(error),
            };
            if let Some(page) = body.get_mut("value").and_then(Value::as_array_mut) {
                items.append(page);
            }
            match body.get("nextLink").and_then(Value::as_str).filter(|link| !link.is_empty()) {
                Some(link) if links.len() < PAGES_MAX && links.insert(link.to_owned()) => {
                    target = Target::Url(link.to_owned());
                }
                Some(_) => {
                    let reason = format!("the list {id} leads in a circle");
                    return Err(TransportError::Malformed { host: "ARM".into(), reason }.into());
                }
                None => return Ok((items, links.len() + 1)),
            }
        }
    }
}
