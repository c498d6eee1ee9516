//! Looks at a cluster: one list per type, whatever the number of servers (and of clusters that are looked at just then),
//! then the documents in its blobs.

use std::sync::Arc;

use futures::future::{join_all, try_join_all};
use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::dataplane::{ServerPhase, ServerStatus, blob, container};
use hcs_planner::desired::Desired;
use hcs_planner::names::{Names, SERVER_METADATA};
use hcs_planner::observed::{
    Observed, ObservedMachine, ObservedServer, READY_BLOB, Unseen, UnseenWhy,
};
use hcs_planner::plan::MAX_SLOTS;
use hcs_planner::requests::Request;
use hcs_planner::spec::ClusterSpec;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::arm::Arm;
use crate::blob::{BlobError, BlobStore, BlobStores, BlockStore};
use crate::error::EngineError;

/// Types that are listed in the managed group.
const LISTED: [Kind; 9] = [
    Kind::NetworkSecurityGroup,
    Kind::PublicIpAddress,
    Kind::NatGateway,
    Kind::VirtualNetwork,
    Kind::LoadBalancer,
    Kind::PrivateDnsZone,
    Kind::StorageAccount,
    Kind::Identity,
    Kind::ScaleSet,
];

/// What Azure holds of the cluster with these names. A failed read is an error, never an absence.
pub async fn observe_arm(arm: &Arm, names: &Names) -> Result<Observed, EngineError> {
    let mut observed = Observed::default();
    let group = &names.cluster_id;
    let Some(body) = arm.get_group_of_many(group).await? else { return Ok(observed) };
    observed.insert(body);
    let list = |path: String| async move { arm.list(&path).await };
    let kinds = LISTED.into_iter().chain([Kind::Lock, Kind::RoleAssignment]);
    let lists: Vec<_> = kinds.map(|kind| arm.list_in_group(group, kind)).collect();
    for body in try_join_all(lists).await?.into_iter().flatten() {
        insert_with_peerings(&mut observed, body);
    }
    let mut children = Vec::new();
    let child = |parent: &ArmId, segment: &str, kind: Kind| {
        format!("{parent}/{segment}?api-version={}", kind.api_version())
    };
    let zone = names.dns_zone();
    if names.shared_zone().is_none() && observed.object(&zone).is_some() {
        children.push(list(child(&zone, "virtualNetworkLinks", Kind::PrivateDnsLink)));
        children.push(list(child(&zone, "A", Kind::PrivateDnsRecord)));
    }
    let account = names.storage_account();
    // All that the documents tell hangs on it: that it is absent is asked for by its id, too.
    if observed.object(&account).is_none()
        && let Some(body) = arm.get(&account, Kind::StorageAccount).await?
    {
        observed.insert(body);
    }
    if let Some(body) = observed.object(&account) {
        let has_way = may_have_private_way(body);
        let services = account.child("blobServices", "default");
        children.push(list(child(&services, "containers", Kind::BlobContainer)));
        if let Some(body) = arm.get(&services, Kind::BlobService).await? {
            observed.insert(body);
        }
        if has_way {
            observe_private_way(arm, names, &mut observed).await?;
        }
    }
    let storage_zone = names.own_storage_zone();
    if observed.object(&storage_zone).is_some() {
        children.push(list(child(&storage_zone, "virtualNetworkLinks", Kind::PrivateDnsLink)));
    }
    for body in try_join_all(children).await?.into_iter().flatten() {
        observed.insert(body);
    }
    read_addresses(&mut observed, names);
    Ok(observed)
}

/// An account knows of its endpoints; one that was closed a moment ago may not know yet.
fn may_have_private_way(account: &Value) -> bool {
    let connections = account.pointer("/properties/privateEndpointConnections");
    let access = account.pointer("/properties/publicNetworkAccess").and_then(Value::as_str);
    connections.and_then(Value::as_array).is_some_and(|rows| !rows.is_empty())
        || access == Some("Disabled")
}

/// The account, and the private way to it.
pub async fn observe_way(arm: &Arm, names: &Names) -> Result<Observed, EngineError> {
    let mut observed = Observed::default();
    for (id, kind) in [
        (names.cluster_id.clone(), Kind::ResourceGroup),
        (names.storage_account(), Kind::StorageAccount),
        (names.own_storage_zone(), Kind::PrivateDnsZone),
        (names.storage_zone_link(), Kind::PrivateDnsLink),
    ] {
        if let Some(body) = arm.get(&id, kind).await? {
            observed.insert(body);
        }
    }
    observe_private_way(arm, names, &mut observed).await?;
    Ok(observed)
}

/// The account's private endpoint, and who tells its address. Most clusters have none, and are not asked for it.
async fn observe_private_way(
    arm: &Arm,
    names: &Names,
    observed: &mut Observed,
) -> Result<(), EngineError> {
    let endpoint = names.private_endpoint();
    let Some(body) = arm.get(&endpoint, Kind::PrivateEndpoint).await? else { return Ok(()) };
    observed.insert(body);
    // It has one at most, and that may be somebody else's.
    let version = Kind::PrivateDnsZoneGroup.api_version();
    let groups = format!("{endpoint}/privateDnsZoneGroups?api-version={version}");
    for body in arm.list(&groups).await? {
        observed.insert(body);
    }
    Ok(())
}

/// The cluster's records in a zone that it shares, which may outlive its group: those that end in its name, of however
/// many there are.
pub async fn observe_shared_zone(
    arm: &Arm,
    names: &Names,
    observed: &mut Observed,
) -> Result<(), EngineError> {
    let Some(zone) = names.shared_zone() else { return Ok(()) };
    let version = Kind::PrivateDnsRecord.api_version();
    let suffix = names.record_suffix();
    let path = format!("{zone}/A?api-version={version}&$recordsetnamesuffix={suffix}");
    for body in arm.list(&path).await? {
        observed.insert(body);
    }
    read_addresses(observed, names);
    Ok(())
}

/// The peers' sides of the cluster's peerings, which lie outside the managed group.
pub async fn observe_peers(
    arm: &Arm,
    names: &Names,
    peers: &[ArmId],
    observed: &mut Observed,
) -> Result<(), EngineError> {
    for peer in peers {
        if let Some(body) = arm.get(&names.peering_in(peer), Kind::Peering).await? {
            observed.insert(body);
        }
    }
    Ok(())
}

/// Every top-level resource of the managed group, ours or not.
pub async fn observe_group_resources(
    arm: &Arm,
    names: &Names,
    observed: &mut Observed,
) -> Result<(), EngineError> {
    let version = Kind::ResourceGroup.api_version();
    let path = format!("{}/resources?api-version={version}", names.cluster_id);
    for body in arm.list(&path).await? {
        let known = body
            .get("id")
            .and_then(Value::as_str)
            .is_some_and(|id| observed.object(&ArmId::new(id)).is_some());
        if !known {
            observed.insert(body);
        }
    }
    Ok(())
}

fn insert_with_peerings(observed: &mut Observed, body: Value) {
    let peerings = body.pointer("/properties/virtualNetworkPeerings").and_then(Value::as_array);
    for peering in peerings.cloned().into_iter().flatten() {
        observed.insert(peering);
    }
    observed.insert(body);
}

/// A record tells the address of the scale set that it names: one that was made anew has another.
fn read_addresses(observed: &mut Observed, names: &Names) {
    for slot in 0..MAX_SLOTS {
        let record = observed.object(&names.dns_record(&format!("server-{slot}")));
        let set = observed.object(&names.scale_set(slot));
        let (Some(record), Some(set)) = (record, set) else { continue };
        let of = record.pointer(&format!("/properties/metadata/{SERVER_METADATA}"));
        let address = record.pointer("/properties/aRecords/0/ipv4Address").and_then(Value::as_str);
        if of.is_some()
            && of == set.pointer("/properties/uniqueId")
            && let Some(address) = address.map(str::to_owned)
        {
            observed.addresses.insert(slot, address);
        }
    }
}

/// The machines of one scale set.
pub(crate) async fn machines(arm: &Arm, scale_set: &ArmId) -> Result<Vec<Value>, EngineError> {
    let version = Kind::ScaleSet.api_version();
    arm.list(&format!("{scale_set}/virtualMachines?api-version={version}")).await
}

/// Whether a machine has power, or is about to get it. What is not told counts as power.
pub(crate) async fn is_running(
    arm: &Arm,
    scale_set: &ArmId,
    instance_id: &str,
) -> Result<bool, EngineError> {
    let machine = format!("{scale_set}/virtualMachines/{instance_id}");
    let words = power_words(arm, &machine, Kind::ScaleSet.api_version()).await?;
    Ok(words.iter().flatten().all(|word| ["running", "starting"].contains(&word.as_str())))
}

/// Azure's words of a machine's power, in lower case; none of a machine that is not there.
pub(crate) async fn power_words(
    arm: &Arm,
    machine_id: &str,
    version: &str,
) -> Result<Option<Vec<String>>, EngineError> {
    let path = format!("{machine_id}/instanceView?api-version={version}");
    let Some(view) = arm.get_path(&path).await? else { return Ok(None) };
    let statuses = view.get("statuses").and_then(Value::as_array).into_iter().flatten();
    let codes = statuses.filter_map(|status| status.get("code")?.as_str());
    let words = codes.filter_map(|code| code.strip_prefix("PowerState/")).map(str::to_lowercase);
    Ok(Some(words.collect()))
}

/// The machines of all servers, where they may not follow their sets: while a change is under way, or where a set is
/// not as declared. One list a server, and none for a cluster that is at rest.
pub async fn observe_machines(
    arm: &Arm,
    names: &Names,
    spec: &ClusterSpec,
    observed: &mut Observed,
) -> Result<(), EngineError> {
    let sizes =
        |body: &Value| body.pointer("/sku/name").and_then(Value::as_str).map(str::to_lowercase);
    let sets: Vec<(u32, ArmId, Option<String>)> = (0..spec.server_count)
        .filter_map(|slot| {
            let id = names.scale_set(slot);
            let size = sizes(observed.object(&id)?);
            Some((slot, id, size))
        })
        .collect();
    let declared = spec.vm_size.to_lowercase();
    let differs = sets.iter().any(|(_, _, size)| size.as_ref() != Some(&declared));
    // The stored spec is written when all is done.
    let is_stored = observed.stored_spec.as_ref() == Some(spec);
    if observed.is_ready() && is_stored && !differs {
        return Ok(());
    }
    let lists = sets.iter().map(|(slot, id, _)| async move {
        Ok::<_, EngineError>((*slot, machines(arm, id).await?))
    });
    for (slot, machines) in try_join_all(lists).await? {
        let Some(machine) = machines.first() else { continue };
        let text = |pointer: &str| machine.pointer(pointer).and_then(Value::as_str);
        if let (Some(vm_size), Some(id)) = (text("/sku/name"), text("/instanceId")) {
            let is_off = !is_running(arm, &names.scale_set(slot), id).await?;
            observed.machines.insert(slot, ObservedMachine { vm_size: vm_size.to_owned(), is_off });
        }
    }
    Ok(())
}

/// The networks that are to be peered and are not yet: their address spaces must not overlap.
pub async fn observe_new_peers(
    arm: &Arm,
    names: &Names,
    spec: &ClusterSpec,
    observed: &mut Observed,
) -> Result<(), EngineError> {
    for peer in &spec.peer_vnet_ids {
        if observed.object(&names.peering_out(peer)).is_none()
            && let Some(body) = arm.get(peer, Kind::VirtualNetwork).await?
        {
            observed.insert(body);
        }
    }
    Ok(())
}

/// The blobs of the observed cluster, if its account is there.
pub fn open_store(
    stores: &dyn BlobStores,
    names: &Names,
    observed: &Observed,
) -> Result<Option<Arc<dyn BlockStore>>, EngineError> {
    let endpoint = observed
        .object(&names.storage_account())
        .and_then(|account| account.pointer("/properties/primaryEndpoints/blob"))
        .and_then(Value::as_str);
    Ok(endpoint.map(|endpoint| stores.open(endpoint)).transpose()?)
}

/// Fills in what the blobs say. What cannot be read is left out and told in [`Observed::problems`]; where nothing can,
/// [`Observed::blobs_readable`] stays false.
pub async fn observe_blobs(
    store: &dyn BlobStore,
    names: &Names,
    observed: &mut Observed,
) -> Result<(), EngineError> {
    match store.get(container::CONFIG, blob::SPEC).await {
        // An account that was just made has no container yet: nothing is hidden.
        Err(BlobError::NoContainer { .. })
            if observed.object(&names.container(container::CONFIG)).is_none() =>
        {
            return Ok(());
        }
        Err(
            error @ (BlobError::Denied { .. }
            | BlobError::Unavailable { .. }
            | BlobError::NoContainer { .. }),
        ) => {
            observed.problems.push(unseen(&error.into()));
            return Ok(());
        }
        _ => observed.blobs_readable = true,
    }
    observed.stored_spec = document(store, blob::SPEC, "the spec", observed).await;
    observed.document = document(store, blob::CLUSTER, "the cluster document", observed).await;
    observed.ready = document(store, READY_BLOB, "the ready document", observed).await;
    observed.run = document(store, blob::RUN, "the run record", observed).await;
    let slots: Vec<u32> =
        (0..MAX_SLOTS).filter(|slot| observed.object(&names.scale_set(*slot)).is_some()).collect();
    let statuses = join_all(slots.iter().map(|slot| read_status(store, *slot))).await;
    for status in statuses {
        match status {
            Ok((slot, Some(status))) => {
                observed.servers.insert(slot, status);
            }
            Ok((_, None)) => {}
            Err(error) => observed.problems.push(unseen(&error)),
        }
    }
    observed.follow_servers();
    if may_follow_others(names, observed) {
        let adoption = document(store, blob::ADOPTION, "the note of an adoption", observed).await;
        observed.adoption = adoption.map(Box::new);
    }
    Ok(())
}

/// Whether servers of before may be there: as long as the cluster was never ready, where somebody else votes, and where one of
/// the cluster's own has left: it may have gone back to being none.
fn may_follow_others(names: &Names, observed: &Observed) -> bool {
    if observed.ready.is_none() {
        return observed.run.is_some();
    }
    if observed.servers.values().any(|server| server.status.phase == ServerPhase::Left) {
        return true;
    }
    let own: Vec<String> = (0..MAX_SLOTS).map(|slot| names.server(slot)).collect();
    let mut consuls = observed.servers.values().filter_map(|server| server.status.consul.as_ref());
    consuls.any(|consul| consul.peers.iter().any(|peer| !own.contains(peer)))
}

/// What an error hides.
pub(crate) fn unseen(error: &EngineError) -> Unseen {
    let why = match error {
        EngineError::Blob(BlobError::Denied { code, .. }) => {
            UnseenWhy::Denied { code: code.clone() }
        }
        EngineError::Blob(BlobError::NoContainer { .. }) => UnseenWhy::NoContainer,
        EngineError::Blob(_) => UnseenWhy::Away,
        _ => UnseenWhy::Unreadable,
    };
    Unseen { sentence: crate::error::chain(error), why }
}

/// Requests that an interrupted run has left. Only a change asks for them: who may only look may not read them.
pub async fn observe_requests(
    store: &dyn BlobStore,
    names: &Names,
    observed: &mut Observed,
) -> Result<(), EngineError> {
    let rows = match store.list(container::REQUESTS, blob::LEAVE_REQUESTS).await {
        Ok(rows) => rows,
        Err(BlobError::NoContainer { .. })
            if observed.object(&names.container(container::REQUESTS)).is_none() =>
        {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    for row in rows {
        let content = store.get(container::REQUESTS, &row.name).await?;
        // What cannot be read was not written by us, and no server obeys it.
        let request = content.and_then(|c| serde_json::from_slice::<Request>(&c.bytes).ok());
        if let Some(request) = request {
            observed.leave_requests.extend(request.slot.map(|slot| (slot, request)));
        }
    }
    Ok(())
}

/// Objects that the lists did not name and that must be there: a list may be stale or partial, so each is asked for by
/// its id. Without this, servers that run would be made over.
pub async fn confirm_absences(
    arm: &Arm,
    spec: &ClusterSpec,
    observed: &mut Observed,
) -> Result<(), EngineError> {
    // Before the first document nothing is expected to be there.
    let Some(document) = &observed.document else { return Ok(()) };
    let stored = observed.stored_spec.as_ref().unwrap_or(spec);
    let names = Names::new(stored);
    let helpers = document.others.iter().map(|slot| (names.scale_set(*slot), Kind::ScaleSet));
    let desired = Desired::new(stored).objects.into_values().map(|object| (object.id, object.kind));
    let missing: Vec<(ArmId, Kind)> =
        desired.chain(helpers).filter(|(id, _)| observed.object(id).is_none()).collect();
    let reads = missing.iter().map(|(id, kind)| arm.get(id, *kind));
    for body in try_join_all(reads).await?.into_iter().flatten() {
        tracing::warn!(id = %body["id"], "a list did not name what is there");
        insert_with_peerings(observed, body);
    }
    Ok(())
}

/// Whose status is still the one from before.
pub(crate) fn old_news(before: &[ServerStatus], now: &[ServerStatus]) -> Option<String> {
    let is_old = |status: &&ServerStatus| {
        before.iter().any(|old| {
            old.node_name == status.node_name
                && (old.sequence, &old.written_at) == (status.sequence, &status.written_at)
        })
    };
    now.iter().find(is_old).map(|status| format!("{} has not reported since", status.node_name))
}

/// A server's latest status; `None` where it has none yet or its container is gone.
pub async fn read_status(
    store: &dyn BlobStore,
    slot: u32,
) -> Result<(u32, Option<ObservedServer>), EngineError> {
    let content = match store.get(&container::status(slot), blob::STATUS).await {
        Ok(Some(content)) => content,
        Ok(None) | Err(BlobError::NoContainer { .. }) => return Ok((slot, None)),
        Err(error) => return Err(error.into()),
    };
    let age_seconds = content.age.map(|age| age.as_secs());
    // A status of a newer host manager may have words that we do not know: then the server has not spoken to us.
    let status = serde_json::from_slice::<ServerStatus>(&content.bytes).ok();
    Ok((slot, status.map(|status| ObservedServer { status, age_seconds })))
}

/// A document, with its etag noted. One that cannot be read is a problem, never an absence.
async fn document<T: DeserializeOwned>(
    store: &dyn BlobStore,
    name: &str,
    what: &'static str,
    observed: &mut Observed,
) -> Option<T> {
    let content = match store.get(container::CONFIG, name).await {
        Ok(content) => content?,
        Err(error) => {
            observed.problems.push(unseen(&error.into()));
            return None;
        }
    };
    observed.etags.insert(name.to_owned(), content.etag);
    match serde_json::from_slice(&content.bytes) {
        Ok(document) => Some(document),
        Err(error) => {
            let bad = EngineError::BadDocument {
                container: container::CONFIG.into(),
                name: name.to_owned(),
                what,
                reason: error.to_string(),
            };
            observed.problems.push(unseen(&bad));
            None
        }
    }
}
