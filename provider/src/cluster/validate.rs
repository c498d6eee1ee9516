//! What can be told from the configuration alone. Unknown values are left for the plan.

use std::collections::BTreeMap;

use hcs_planner::spec::{LockLevel, ZoneFallback};
use hcs_planner::{rules, tags};
use tfplugin::validate::null_elements;
use tfplugin::{Diagnostic, Diagnostics, Path, Value};

pub(super) fn validate(config: &Value) -> Diagnostics {
    let mut found = Diagnostics::none();
    let mut text = |name: &str, summary: &str, rule: &dyn Fn(&str) -> Result<(), String>| {
        if let Some(value) = config.get(name).as_str()
            && let Err(detail) = rule(value)
        {
            found.push(Diagnostic::error(summary, detail).at(name));
        }
    };
    text("name", "Invalid cluster name", &rules::cluster_name);
    let group = "Invalid resource group name";
    text("resource_group_name", group, &rules::resource_group);
    text("managed_resource_group_name", group, &rules::resource_group);
    text("consul_datacenter", "Invalid Consul datacenter", &rules::datacenter);
    text("vnet_cidr", "Invalid network", &|cidr| rules::vnet_cidr(cidr).map(|_| ()));
    text("consul_version", "Invalid Consul version", &version);
    text("lock", "Invalid lock", &lock);
    text("zone_fallback", "Invalid zone_fallback", &zone_fallback);
    text("subnet_id", "Invalid subnet", &rules::subnet_id);
    let zone = "Invalid private DNS zone";
    text("private_dns_zone_id", zone, &rules::private_dns_zone_id);
    text("ssh_public_key", "Invalid SSH key", &rules::ssh_public_key);
    numbers(config, &mut found);
    zones(config, &mut found);
    peers(config, &mut found);
    same_group(config, &mut found);
    exclusive(config, &mut found);
    endpoint(config, &mut found);
    ssh(config, &mut found);
    found.extend(check_tags(config.get("tags"), &Path::root("tags")));
    found.extend(null_elements(&super::schema::schema(), config));
    found.extend(super::timeouts().validate(config));
    found
}

fn version(text: &str) -> Result<(), String> {
    let version = text.parse().map_err(|_| {
        format!("{text:?} is no exact version; write three numbers, e.g. \"1.22.2\".")
    })?;
    rules::consul_version(&version)
}

fn lock(text: &str) -> Result<(), String> {
    let known = [LockLevel::CanNotDelete, LockLevel::None].map(LockLevel::as_str);
    if known.contains(&text) {
        return Ok(());
    }
    Err(format!(
        "lock is {text:?}; it is \"CanNotDelete\" or \"none\". ReadOnly would stop the servers' \
         own upkeep."
    ))
}

fn zone_fallback(text: &str) -> Result<(), String> {
    let known = ZoneFallback::ALL.map(ZoneFallback::as_str);
    if known.contains(&text) {
        return Ok(());
    }
    Err(format!("zone_fallback is {text:?}; it is {}.", known.map(|w| format!("{w:?}")).join(", ")))
}

/// Inputs of which the cluster takes one.
fn exclusive(config: &Value, found: &mut Diagnostics) {
    let is_empty = |value: &Value| value.as_list().is_some_and(<[Value]>::is_empty);
    let is_set = |name: &str| config.get(name).is_set() && !is_empty(config.get(name));
    for (own, other, why) in rules::EXCLUSIVE {
        if is_set(own) && is_set(other) {
            let summary = format!("{other} does not go with {own}");
            found.push(Diagnostic::error(summary, why).at(other));
        }
    }
    let strict = matches!(config.get("zone_fallback").as_str(), Some("strict") | None)
        && !config.get("zone_fallback").is_unknown();
    if strict && is_set("vm_size_fallbacks") {
        let detail = rules::FALLBACKS_NEED_A_ZONE_FALLBACK;
        let summary = "vm_size_fallbacks needs a zone_fallback";
        found.push(Diagnostic::error(summary, detail).at("vm_size_fallbacks"));
    }
}

fn endpoint(config: &Value, found: &mut Diagnostics) {
    let (wanted, cidrs) = (config.get("consul_external_endpoint"), config.get("allowed_cidrs"));
    let is_wanted = wanted.as_bool() == Some(true);
    let empty = cidrs.is_null() || cidrs.as_list().is_some_and(<[Value]>::is_empty);
    if is_wanted && empty {
        let detail = rules::ENDPOINT_NEEDS_CIDRS;
        let diagnostic = Diagnostic::error("The external endpoint needs allowed_cidrs", detail);
        found.push(diagnostic.at("allowed_cidrs"));
    }
    if !is_wanted && !wanted.is_unknown() && !empty && !cidrs.is_unknown() {
        let detail = "There is no external endpoint that they could call. Set consul_external_endpoint = true, or \
                      leave allowed_cidrs out.";
        let diagnostic = Diagnostic::error("allowed_cidrs without an external endpoint", detail);
        found.push(diagnostic.at("allowed_cidrs"));
    }
    for (index, cidr) in cidrs.as_list().unwrap_or_default().iter().enumerate() {
        let Some(text) = cidr.as_str() else { continue };
        if let Err(detail) = rules::allowed_cidr(text) {
            let path = Path::root("allowed_cidrs").index(index);
            found.push(Diagnostic::error("Invalid allowed_cidrs", detail).at(path));
        }
    }
}

fn ssh(config: &Value, found: &mut Diagnostics) {
    let cidrs = config.get("ssh_allowed_cidrs").as_list().unwrap_or_default();
    if !cidrs.is_empty() && config.get("ssh_public_key").is_null() {
        let diagnostic = Diagnostic::error("SSH without a key", rules::SSH_NEEDS_A_KEY);
        found.push(diagnostic.at("ssh_allowed_cidrs"));
    }
    for (index, cidr) in cidrs.iter().enumerate() {
        if let Some(Err(detail)) = cidr.as_str().map(rules::ssh_allowed_cidr) {
            let path = Path::root("ssh_allowed_cidrs").index(index);
            found.push(Diagnostic::error("Invalid ssh_allowed_cidrs", detail).at(path));
        }
    }
}

fn numbers(config: &Value, found: &mut Diagnostics) {
    let mut check = |name: &str, rule: &dyn Fn(&Value) -> Result<(), String>| {
        let value = config.get(name);
        if value.as_number().is_some()
            && let Err(detail) = rule(value)
        {
            found.push(Diagnostic::error(format!("Invalid {name}"), detail).at(name));
        }
    };
    check("server_count", &|count| rules::server_count(count.as_f64().unwrap_or_default()));
    for (name, range) in
        [("os_disk_gib", rules::OS_DISK_GIB), ("data_disk_gib", rules::DATA_DISK_GIB)]
    {
        check(name, &|size| rules::disk_gib(name, &range, size.as_f64().unwrap_or_default()));
    }
}

fn zones(config: &Value, found: &mut Diagnostics) {
    let Some(zones) = super::model::texts(config.get("zones")) else { return };
    for index in 0..zones.len() {
        if let Err(detail) = rules::zone(&zones, index) {
            let path = Path::root("zones").index(index);
            found.push(Diagnostic::error("Invalid zones", detail).at(path));
        }
    }
}

fn peers(config: &Value, found: &mut Diagnostics) {
    let Some(ids) = config.get("peer_vnet_ids").as_list() else { return };
    for (index, id) in ids.iter().enumerate() {
        if let Some(Err(detail)) = id.as_str().map(rules::vnet_id) {
            let path = Path::root("peer_vnet_ids").index(index);
            found.push(Diagnostic::error("Invalid peer", detail).at(path));
        }
    }
}

fn same_group(config: &Value, found: &mut Diagnostics) {
    let (own, managed) =
        (config.get("resource_group_name"), config.get("managed_resource_group_name"));
    if let (Some(own), Some(managed)) = (own.as_str(), managed.as_str())
        && let Err(detail) = rules::other_group(own, managed)
    {
        let diagnostic = Diagnostic::error("Managed group is your own group", detail);
        found.push(diagnostic.at("managed_resource_group_name"));
    }
}

/// Azure's rules for tags, at the attribute that sets them.
pub(crate) fn check_tags(tags: &Value, path: &Path) -> Diagnostics {
    let mut found = Diagnostics::none();
    let known: BTreeMap<String, String> = tags
        .as_map()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    if let Err(detail) = tags::check_all(&known) {
        found.push(Diagnostic::error("Azure does not take these tags", detail).at(path.clone()));
    }
    for (key, value) in &known {
        if let Err(detail) = tags::check(key, value) {
            found.push(Diagnostic::error("Invalid tag", detail).at(path.clone().key(key.clone())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(attributes: Vec<(&str, Value)>) -> Vec<String> {
        let diagnostics = validate(&Value::object(attributes));
        diagnostics.iter().map(|d| d.detail.clone()).collect()
    }

    #[test]
    fn each_wrong_input_is_one_error_that_names_the_mend() {
        let table: Vec<(&str, Value, &str)> = vec![
            ("server_count", 2.into(), "1, 3, 5 or 7"),
            ("server_count", 9.into(), "1, 3, 5 or 7"),
            ("vnet_cidr", "10.0.0.0/30".into(), "/27 or larger"),
            ("vnet_cidr", "ten".into(), "CIDR"),
            ("name", "No_Good".into(), "lower-case letters"),
            ("consul_version", "1.22".into(), "three numbers"),
            ("consul_version", "1.7.4".into(), "oldest"),
            ("lock", "ReadOnly".into(), "CanNotDelete"),
            ("data_disk_gib", 1.into(), "data_disk_gib is 1; it is a whole number from 8 to 4096"),
            ("zones", vec!["a".to_owned()].into(), "zones are"),
            ("zones", vec!["1".to_owned(), "1".to_owned()].into(), "twice"),
            ("peer_vnet_ids", vec!["vnet".to_owned()].into(), "not the id"),
            ("zone_fallback", "never".into(), "\"strict\", \"prefer\", \"best_effort\""),
            ("subnet_id", "/subscriptions/s".into(), "not the id of a subnet"),
            ("private_dns_zone_id", "hub.example".into(), "not the id of a private DNS zone"),
            ("vm_size_fallbacks", vec!["Standard_D2as_v5".to_owned()].into(), "Set zone_fallback"),
            ("allowed_cidrs", vec!["10.0.0.0/8".to_owned()].into(), "no external endpoint"),
            ("consul_external_endpoint", true.into(), "List the IPv4 ranges"),
            ("ssh_public_key", "-----BEGIN PRIVATE KEY-----".into(), "public half"),
        ];
        for (name, value, expected) in table {
            let found = errors(vec![(name, value)]);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].contains(expected), "{name}: {}", found[0]);
        }
    }

    #[test]
    fn inputs_that_exclude_each_other_are_told() {
        let subnet = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/s";
        let both = errors(vec![("subnet_id", subnet.into()), ("vnet_cidr", "10.0.0.0/24".into())]);
        assert_eq!(both.len(), 1);
        assert!(both[0].contains("leave one out"), "{both:?}");
        let callers = vec!["203.0.113.7/24".to_owned(), "all".to_owned()];
        let found = errors(vec![
            ("consul_external_endpoint", true.into()),
            ("allowed_cidrs", callers.into()),
        ]);
        assert!(
            found[0].contains("203.0.113.0/24") && found[1].contains("no IPv4 range"),
            "{found:?}"
        );
    }

    #[test]
    fn unknown_inputs_are_no_errors() {
        let names = ["name", "server_count", "vnet_cidr", "zones", "tags", "peer_vnet_ids", "lock"];
        let all = names.map(|name| (name, Value::unknown()));
        assert!(errors(all.to_vec()).is_empty());
    }
}
