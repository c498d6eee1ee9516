//! What the world knows of each ARM type: versions, manners, durations, rules.

use serde_json::{Value, json};

use super::World;
use super::errors::Answer;
use super::resource::Resource;

/// How a PUT is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutManner {
    /// Done when the answer comes.
    Sync,
    /// 201/200 with a body and `Azure-AsyncOperation`.
    Async {
        /// What the service suggests as poll interval.
        retry_after_ms: u64,
    },
    /// 202 without a body and `Location`; GET is 404 until the end.
    Location {
        /// What the service suggests as poll interval.
        retry_after_ms: u64,
    },
    /// 202 with an empty object, `Azure-AsyncOperation` and `Location`.
    Accepted {
        /// What the service suggests as poll interval.
        retry_after_ms: u64,
    },
}

/// A write on its way.
pub(crate) struct Put<'r> {
    /// Id of the object.
    pub(crate) id: &'r str,
    /// Body as sent.
    pub(crate) body: &'r Value,
    /// What is there now.
    pub(crate) old: Option<&'r Resource>,
    /// Normalised location, empty for untracked types.
    pub(crate) location: &'r str,
    /// Object id of the caller.
    pub(crate) principal: &'r str,
}

/// A child that a parent's body carries inline.
pub(crate) struct InlineChild {
    /// Id.
    pub(crate) id: String,
    /// Type.
    pub(crate) kind: &'static Kind,
    /// Body as stored.
    pub(crate) body: Value,
}

/// What a checked write stores.
#[derive(Default)]
pub(crate) struct Prepared {
    /// Body.
    pub(crate) body: Value,
    /// Write-only parts.
    pub(crate) secret: Value,
    /// Children to write along.
    pub(crate) children: Vec<InlineChild>,
    /// Keys of children that the body left out.
    pub(crate) removed: Vec<String>,
}

/// One ARM type.
#[allow(clippy::struct_excessive_bools)] // independent manners, not states
pub(crate) struct Kind {
    /// Canonical type.
    pub(crate) rtype: &'static str,
    /// Accepted api-versions, the pinned one first.
    pub(crate) versions: &'static [&'static str],
    /// Manner of PUT.
    pub(crate) put: PutManner,
    /// Whether DELETE is a long-running operation.
    pub(crate) delete_async: bool,
    /// Azure's time for a first PUT.
    pub(crate) create_ms: u64,
    /// Azure's time for a later PUT.
    pub(crate) update_ms: u64,
    /// Azure's time for DELETE.
    pub(crate) delete_ms: u64,
    /// Has location and tags.
    pub(crate) tracked: bool,
    /// Shows and checks etags.
    pub(crate) etag: bool,
    /// PATCH runs as an operation (else it is synchronous).
    pub(crate) patch_async: bool,
    /// Name of the PUT in conflict messages.
    pub(crate) operation: &'static str,
    /// Checks a name.
    pub(crate) name: fn(&str) -> Answer<()>,
    /// Checks a write and fills what the server fills.
    pub(crate) prepare: fn(&World, &Put<'_>) -> Answer<Prepared>,
    /// After the write was stored.
    pub(crate) stored: fn(&mut World, &str),
    /// After the operation of a PUT has ended well.
    pub(crate) settled: fn(&mut World, &str),
    /// Adds to the body that GET shows.
    pub(crate) render: fn(&World, &Resource, &mut Value),
    /// Refuses a DELETE of what is in use.
    pub(crate) deletable: fn(&World, &Resource) -> Answer<()>,
    /// After the object is gone.
    pub(crate) removed: fn(&mut World, &Resource),
}

fn nothing(_: &mut World, _: &str) {}

/// A synchronous, untracked type that stores what it is sent.
pub(crate) const PLAIN: Kind = Kind {
    rtype: "",
    versions: &[],
    put: PutManner::Sync,
    delete_async: false,
    create_ms: 0,
    update_ms: 0,
    delete_ms: 0,
    tracked: false,
    etag: false,
    patch_async: false,
    operation: "PutOperation",
    name: |_| Ok(()),
    prepare: |_, put| Ok(Prepared { body: own_parts(put.body), ..Prepared::default() }),
    stored: nothing,
    settled: nothing,
    render: |_, _, _| {},
    deletable: |_, _| Ok(()),
    removed: |_, _| {},
};

/// A tracked type of Microsoft.Network.
pub(crate) const NETWORK: Kind = Kind {
    versions: NETWORK_VERSIONS,
    put: PutManner::Async { retry_after_ms: 1_000 },
    delete_async: true,
    create_ms: 4_000,
    update_ms: 3_000,
    delete_ms: 10_000,
    tracked: true,
    etag: true,
    ..PLAIN
};

/// Microsoft.Network's api-versions: the pinned one, then those that SDK and CLI send.
pub(crate) const NETWORK_VERSIONS: &[&str] = &[
    "2024-01-01",
    "2018-10-01",
    "2022-01-01",
    "2023-09-01",
    "2023-11-01",
    "2024-03-01",
    "2024-05-01",
    "2024-07-01",
    "2024-10-01",
    "2025-01-01",
    "2025-03-01",
    "2025-05-01",
    "2025-07-01",
    "2025-09-01",
    "2026-01-01",
    "2026-03-01",
];

/// Microsoft.Compute's api-versions.
pub(crate) const COMPUTE_VERSIONS: &[&str] = &[
    "2024-07-01",
    "2023-09-01",
    "2024-03-01",
    "2024-11-01",
    "2025-04-01",
    "2025-11-01",
    "2026-03-01",
    "2026-04-01",
];

/// The body without what ARM itself adds.
pub(crate) fn own_parts(body: &Value) -> Value {
    let mut own = body.clone();
    if let Some(object) = own.as_object_mut() {
        for name in ["id", "name", "type", "etag", "systemData"] {
            object.remove(name);
        }
        if !object.get("properties").is_some_and(Value::is_object) {
            object.insert("properties".to_owned(), json!({}));
        }
    }
    if let Some(properties) = own.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove("provisioningState");
    }
    own
}

/// Every type, parents before children.
pub(crate) static KINDS: &[&Kind] = &[
    &crate::providers::groups::GROUP,
    &crate::providers::locks::LOCK,
    &crate::providers::authorization::ROLE_ASSIGNMENT,
    &crate::providers::identity::IDENTITY,
    &crate::providers::network::nsg::NSG,
    &crate::providers::network::nsg::RULE,
    &crate::providers::network::public_ip::PUBLIC_IP,
    &crate::providers::network::nat::NAT_GATEWAY,
    &crate::providers::network::vnet::VNET,
    &crate::providers::network::vnet::SUBNET,
    &crate::providers::network::peering::PEERING,
    &crate::providers::network::lb::LOAD_BALANCER,
    &crate::providers::network::lb::POOL,
    &crate::providers::network::private_endpoint::INTERFACE,
    &crate::providers::network::private_endpoint::PRIVATE_ENDPOINT,
    &crate::providers::network::private_endpoint::ZONE_GROUP,
    &crate::providers::private_dns::ZONE,
    &crate::providers::private_dns::LINK,
    &crate::providers::private_dns::RECORD_A,
    &crate::providers::private_dns::RECORD_SRV,
    &crate::providers::private_dns::RECORD_TXT,
    &crate::providers::private_dns::RECORD_CNAME,
    &crate::providers::private_dns::RECORD_SOA,
    &crate::providers::key_vault::VAULT,
    &crate::providers::key_vault::KEY,
    &crate::providers::storage::account::ACCOUNT,
    &crate::providers::storage::account::BLOB_SERVICE,
    &crate::providers::storage::account::FILE_SERVICE,
    &crate::providers::storage::account::QUEUE_SERVICE,
    &crate::providers::storage::account::TABLE_SERVICE,
    &crate::providers::storage::container::CONTAINER,
    &crate::providers::storage::retention::IMMUTABILITY_POLICY,
    &crate::providers::compute::disks::DISK_ENCRYPTION_SET,
    &crate::providers::compute::gallery::GALLERY,
    &crate::providers::compute::gallery::IMAGE,
    &crate::providers::compute::gallery::VERSION,
    &crate::providers::compute::gallery::RESERVATION_GROUP,
    &crate::providers::compute::gallery::RESERVATION,
    &crate::providers::compute::scale_set::SCALE_SET,
    &crate::providers::compute::instances::INSTANCE,
    &crate::providers::compute::machine::MACHINE,
];

/// The type of this key (`namespace/type/type`, lower case).
pub(crate) fn find(type_key: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.rtype.eq_ignore_ascii_case(type_key)).copied()
}
