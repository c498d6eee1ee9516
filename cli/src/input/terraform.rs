//! `hcs_cluster` as a Terraform plan writes it, turned into what a spec has: most inputs have the same name and form there.

use hcs_planner::upgrade::RELEASE_INDEX;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

/// Stands for a subscription that the input does not name.
const NO_SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

/// Inputs that a spec leaves out where there is none.
pub(super) const LEFT_OUT: [&str; 13] = [
    "capacity_reservation_group_id",
    "consul_server_config",
    "customer_managed_key",
    "disk_encryption_set_id",
    "final_snapshot_storage_container_id",
    "host_manager_version",
    "image_plan",
    "ignore_maintenance_windows_for",
    "min_consul_version",
    "restore_from_snapshot_id",
    "rotation_triggers",
    "source_image_id",
    "zone_subnet_ids",
];

/// Inputs whose name or form is another one in a spec.
pub(super) const TURNED: [&str; 10] = [
    "consul_external_endpoint",
    "consul_external_endpoint_allowed_cidrs",
    "consul_release_index",
    "consul_upgrade_channel",
    "lock",
    "maintenance_exclusions",
    "maintenance_windows",
    "server_certificate_ttl",
    "tags",
    "timeouts",
];

/// A resource's attributes as a spec has them.
pub(super) fn from_terraform(values: &Map<String, Value>) -> Map<String, Value> {
    let mut value: Map<String, Value> = values
        .iter()
        .filter(|(_, item)| !item.is_null())
        .map(|(key, item)| (key.clone(), item.clone()))
        .collect();
    if let Some(tags) = value.remove("tags_all") {
        value.insert("tags".to_owned(), tags);
    }
    value.remove("timeouts");
    if value.remove("consul_external_endpoint") == Some(Value::Bool(true)) {
        let allowed =
            value.remove("consul_external_endpoint_allowed_cidrs").unwrap_or_else(|| json!([]));
        value.insert("external_endpoint".to_owned(), json!({ "allowed_cidrs": allowed }));
    }
    if let Some(ttl) = value.remove("server_certificate_ttl").as_ref().and_then(seconds) {
        value.insert("server_certificate_ttl_seconds".to_owned(), json!(ttl));
    }
    let maintenance = maintenance(&mut value);
    value.insert("maintenance".to_owned(), maintenance);
    // The subscription is the provider's business; ids in the plan differ by it only.
    let id = values.get("id").and_then(Value::as_str).and_then(|id| id.split('/').nth(2));
    value.insert("subscription_id".to_owned(), json!(id.unwrap_or(NO_SUBSCRIPTION)));
    value
}

/// What the servers may do by themselves, which a spec has in one place.
fn maintenance(value: &mut Map<String, Value>) -> Value {
    let mut list = |name: &str| {
        let mut rows = value.remove(name).unwrap_or_else(|| json!([]));
        for row in rows.as_array_mut().into_iter().flatten() {
            if let Some(row) = row.as_object_mut() {
                row.retain(|_, part| !part.is_null());
                if let Some(seconds) = row.get("duration").and_then(seconds) {
                    row.insert("duration_seconds".to_owned(), json!(seconds));
                }
            }
        }
        rows
    };
    let (windows, exclusions) = (list("maintenance_windows"), list("maintenance_exclusions"));
    let index = value.remove("consul_release_index").filter(|index| index != RELEASE_INDEX);
    let channel = value.remove("consul_upgrade_channel").unwrap_or_else(|| json!("none"));
    json!({
        "channel": channel,
        "release_index": index,
        "windows": windows,
        "exclusions": exclusions,
    })
}

/// A duration such as `168h`.
fn seconds(text: &Value) -> Option<u64> {
    let duration: SignedDuration = text.as_str()?.parse().ok()?;
    u64::try_from(duration.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hcs_planner::disks::HostEncryption;
    use hcs_planner::spec::ClusterSpec;
    use hcs_planner::upgrade::Channel;

    use super::*;

    /// The reference page is made from the schema.
    const PAGE: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/resources/cluster.md"));

    #[test]
    fn every_input_of_the_resource_reaches_the_spec() {
        let mut spec = json!(ClusterSpec::new("s", "demo", "rg", "westeurope"));
        for name in LEFT_OUT {
            spec[name] = Value::Null;
        }
        let begins = PAGE.find("### Required").unwrap();
        let ends = PAGE.find("### Read-Only").unwrap();
        let names = PAGE[begins..ends].lines().filter_map(|line| line.strip_prefix("- `"));
        let names: BTreeSet<&str> = names.filter_map(|line| line.split('`').next()).collect();
        assert!(names.len() > 40, "{names:?}");
        let lost: Vec<&&str> = names
            .iter()
            .filter(|name| spec.get(**name).is_none() && !TURNED.contains(*name))
            .collect();
        assert!(lost.is_empty(), "hcs plan would not see {lost:?}");
    }

    #[test]
    fn what_has_another_form_in_a_plan_is_turned() {
        let values = json!({
            "name": "demo", "resource_group_name": "rg", "location": "westeurope",
            "server_certificate_ttl": "24h",
            "consul_upgrade_channel": "patch",
            "consul_release_index": "https://mirror.example/consul",
            "maintenance_windows": [
                { "days": null, "start": "02:30", "duration": "1h30m", "time_zone": "UTC" },
            ],
            "maintenance_exclusions": [
                { "start": "2026-12-20T00:00:00Z", "end": "2027-01-02T00:00:00Z", "scope": "os" },
            ],
            "encryption_at_host_enabled": true,
            "customer_managed_key": {
                "key_vault_resource_id": "/v", "key_name": "k", "key_version": null,
                "user_assigned_identity": { "resource_id": "/i" },
            },
        });
        let mut value = json!(ClusterSpec::new("", "", "", ""));
        for (name, own) in from_terraform(values.as_object().unwrap()) {
            value[name] = own;
        }
        let spec: ClusterSpec = serde_json::from_value(value).unwrap();
        assert_eq!(spec.server_certificate_ttl_seconds, 24 * 3600);
        assert_eq!(spec.maintenance.channel, Channel::Patch);
        assert_eq!(spec.maintenance.windows[0].duration_seconds, 90 * 60);
        assert_eq!(spec.maintenance.exclusions.len(), 1);
        assert_eq!(
            spec.maintenance.release_index.as_deref(),
            Some("https://mirror.example/consul")
        );
        assert_eq!(spec.host_encryption, HostEncryption::On);
        assert_eq!(spec.customer_managed_key.unwrap().user.identity_id.as_str(), "/i");
    }
}
