//! Resource groups.

use serde_json::json;

use crate::world::errors::{Answer, ArmError};
use crate::world::kind::{Kind, PLAIN, Prepared, Put, own_parts};
use crate::world::resource::{default, text};
use crate::world::{World, names, regions, versions};

/// Resource groups. Deletion cascades.
pub(crate) const GROUP: Kind = Kind {
    rtype: "Microsoft.Resources/resourceGroups",
    versions: versions::RESOURCES,
    delete_async: true,
    delete_ms: 46_000,
    tracked: true,
    operation: "PutResourceGroupOperation",
    name: names::group,
    prepare,
    render: |_, resource, body| {
        body["properties"]["provisioningState"] = json!(resource.state.as_str());
    },
    ..PLAIN
};

fn prepare(_: &World, put: &Put<'_>) -> Answer<Prepared> {
    if regions::find(put.location).is_none() {
        return Err(ArmError::gateway(
            400,
            "LocationNotAvailableForResourceGroup",
            format!(
                "The provided location '{}' is not available for resource group. List of \
                 available regions is '{}'.",
                put.location,
                regions::names()
            ),
        ));
    }
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    if let Some(old) = put.old
        && text(&body, "/managedBy").is_empty()
        && !old.text("/managedBy").is_empty()
    {
        default(&mut body, "managedBy", json!(old.text("/managedBy")));
    }
    Ok(Prepared { body, ..Prepared::default() })
}
