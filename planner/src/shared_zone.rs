//! A private DNS zone of somebody else, in which the cluster has its records among those of others. A record is the
//! cluster's when its metadata says so: its name alone may be that of another cluster, or of anything.

use serde_json::Value;

use crate::arm::ArmId;
use crate::names::{CLUSTER_RECORD, Names, OWNER_METADATA};
use crate::observed::Observed;
use crate::plan::MAX_SLOTS;

/// Whose a record is: the uid of a cluster, or nobody that we know.
pub fn owner(record: &Value) -> Option<&str> {
    record.pointer("/properties/metadata")?.get(OWNER_METADATA)?.as_str()
}

/// Whether a record under one of the cluster's names is the cluster's.
fn is_ours(names: &Names, record: &Value) -> bool {
    owner(record) == Some(names.uid.as_str())
}

/// Every name that the cluster may have in the zone, and what is there under it.
fn records<'o>(names: &Names, observed: &'o Observed) -> impl Iterator<Item = (ArmId, &'o Value)> {
    let labels = (0..MAX_SLOTS).map(|slot| format!("server-{slot}"));
    let labels = labels.chain([CLUSTER_RECORD.to_owned()]);
    let ids =
        labels.map(|label| names.dns_record(&label)).filter(|_| names.shared_zone().is_some());
    let ids: Vec<ArmId> = ids.collect();
    ids.into_iter().filter_map(|id| Some((observed.object(&id)?, id))).map(|(body, id)| (id, body))
}

/// The cluster's records in the zone that it shares.
pub(crate) fn own_records(names: &Names, observed: &Observed) -> Vec<ArmId> {
    let own = records(names, observed).filter(|(_, body)| is_ours(names, body));
    own.map(|(id, _)| id).collect()
}

/// The first record of somebody else under one of the cluster's names, and whose it is.
pub fn taken(names: &Names, observed: &Observed) -> Option<(ArmId, Option<String>)> {
    let mut others = records(names, observed).filter(|(_, body)| !is_ours(names, body));
    others.next().map(|(id, body)| (id, owner(body).map(str::to_owned)))
}
