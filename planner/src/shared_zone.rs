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

/// What is there under the names that the cluster may have in the zone that it shares.
fn records<'o>(names: &Names, observed: &'o Observed) -> Vec<(ArmId, &'o Value)> {
    if names.shared_zone().is_none() {
        return vec![];
    }
    let labels = (0..MAX_SLOTS).map(|slot| format!("server-{slot}"));
    let ids = labels.chain([CLUSTER_RECORD.to_owned()]).map(|label| names.dns_record(&label));
    ids.filter_map(|id| observed.object(&id).map(|body| (id, body))).collect()
}

/// The cluster's records in the zone that it shares.
pub(crate) fn own_records(names: &Names, observed: &Observed) -> Vec<ArmId> {
    let own = records(names, observed).into_iter().filter(|(_, body)| is_ours(names, body));
    own.map(|(id, _)| id).collect()
}

/// Records of others under the cluster's names, and whose they are.
pub fn taken(names: &Names, observed: &Observed) -> Vec<(ArmId, Option<String>)> {
    let others = records(names, observed).into_iter().filter(|(_, body)| !is_ours(names, body));
    others.map(|(id, body)| (id, owner(body).map(str::to_owned))).collect()
}
