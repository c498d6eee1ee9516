//! What can be told from the configuration alone: rules of single attributes, which [`Cluster`] names at them, and rules
//! on several together. Unknown values are left for the plan.

use hcs_planner::disks::DataDiskType;
use hcs_planner::maintenance::{self, Scope};
use hcs_planner::reach::{OutboundType, StorageAccess, StorageZone};
use hcs_planner::roles::RoleAssignmentMode;
use hcs_planner::rules;
use hcs_planner::spec::{ImageChannel, LockLevel, ZoneFallback, defaults};
use hcs_planner::upgrade::{Channel, RELEASE_INDEX};
use semver::Version;
use tfplugin::typed::Content as _;
use tfplugin::validate::{Finding, Validator, null_elements, rule};
use tfplugin::{Diagnostic, Diagnostics, Path, Value, parse_duration};

use super::model::{Cluster, Identities, Lock, MaintenanceExclusion};

mod images;
mod subnets;

pub(super) use subnets::{same_subnets, zone_subnets};

/// What no attribute can tell by itself.
pub(super) fn validate(config: &Value) -> Diagnostics {
    let mut found = Diagnostics::none();
    same_group(config, &mut found);
    exclusive(config, &mut found);
    endpoint(config, &mut found);
    ssh(config, &mut found);
    versions(config, &mut found);
    exclusions(config, &mut found);
    images::images(config, &mut found);
    images::reservations(config, &mut found);
    subnets::subnets(config, &mut found);
    ways(config, &mut found);
    disks(config, &mut found);
    roles(config, &mut found);
    found.extend(null_elements(&super::schema(), config));
    found.extend(super::timeouts().validate(config));
    found
}

/// Azure does not tell "West Europe" from "westeurope".
pub(super) fn same_location(prior: &Value, planned: &Value) -> bool {
    let read = |value: &Value| value.as_str().map(rules::location);
    read(prior).is_some() && read(prior) == read(planned)
}

/// The order of keys and blanks mean nothing.
pub(super) fn same_json(prior: &Value, planned: &Value) -> bool {
    let read = |value: &Value| serde_json::from_str::<serde_json::Value>(value.as_str()?).ok();
    read(prior).is_some() && read(prior) == read(planned)
}

/// A rule for whole numbers.
pub(super) fn number_rule(
    judge: impl Fn(f64) -> Result<(), String> + Send + Sync + 'static,
) -> impl Validator {
    rule("a whole number", move |value| judge(value.as_f64().unwrap_or_default()))
}

/// Zones that exist, none twice: each element by the others.
pub(super) fn zone_list() -> impl Validator {
    ZoneList
}

struct ZoneList;

impl Validator for ZoneList {
    fn describe(&self) -> String {
        "zones, none of them twice".to_owned()
    }

    fn accepts(&self, value: &Value) -> bool {
        self.findings(value, &Path::empty()).is_empty()
    }

    fn findings(&self, value: &Value, at: &Path) -> Vec<Finding> {
        let zones = super::spec::texts(value).unwrap_or_default();
        let wrong = (0..zones.len())
            .filter_map(|index| Some((at.clone().index(index), rules::zone(&zones, index).err()?)));
        wrong.map(|(path, told)| Finding::says(path, told, self.describe(), value)).collect()
    }
}

pub(crate) fn version(text: &str) -> Result<(), String> {
    rules::consul_version(&parsed(text, "1.22.2")?)
}

/// A version of a program of ours.
pub(super) fn exact_version(text: &str) -> Result<(), String> {
    parsed(text, "0.2.0").map(drop)
}

fn parsed(text: &str, example: &str) -> Result<Version, String> {
    let refused =
        |_| format!("{text:?} is no exact version; write three numbers, e.g. {example:?}.");
    text.parse().map_err(refused)
}

pub(super) fn lock(text: &str) -> Result<(), String> {
    let known = [LockLevel::CanNotDelete, LockLevel::None].map(LockLevel::as_str);
    if known.contains(&text) {
        return Ok(());
    }
    Err(format!(
        "{}.{} is {text:?}; it is {}. ReadOnly would stop the servers' own upkeep.",
        Cluster::LOCK,
        Lock::KIND,
        known.map(|word| format!("{word:?}")).join(" or ")
    ))
}

pub(super) fn zone_fallback(text: &str) -> Result<(), String> {
    let known = ZoneFallback::ALL.map(ZoneFallback::as_str);
    if known.contains(&text) {
        return Ok(());
    }
    Err(format!("zone_fallback is {text:?}; it is {}.", known.map(|w| format!("{w:?}")).join(", ")))
}

pub(super) fn upgrade_channel(text: &str) -> Result<(), String> {
    one_of(Cluster::CONSUL_UPGRADE_CHANNEL, text, &Channel::WORDS.map(|(word, _)| word))
}

pub(super) fn image_channel(text: &str) -> Result<(), String> {
    one_of(Cluster::IMAGE_UPGRADE_CHANNEL, text, &ImageChannel::ALL.map(ImageChannel::as_str))
}

pub(super) fn outbound_type(text: &str) -> Result<(), String> {
    one_of(Cluster::OUTBOUND_TYPE, text, &OutboundType::ALL.map(OutboundType::as_str))
}

pub(super) fn data_disk_type(text: &str) -> Result<(), String> {
    one_of(Cluster::DATA_DISK_TYPE, text, &DataDiskType::ALL.map(DataDiskType::as_str))
}

pub(super) fn role_assignment_mode(text: &str) -> Result<(), String> {
    let words = RoleAssignmentMode::ALL.map(RoleAssignmentMode::as_str);
    one_of(Cluster::ROLE_ASSIGNMENT_MODE, text, &words)
}

pub(super) fn storage_access(text: &str) -> Result<(), String> {
    one_of(Cluster::STORAGE_ACCESS, text, &StorageAccess::ALL.map(StorageAccess::as_str))
}

pub(super) fn exclusion_scope(text: &str) -> Result<(), String> {
    one_of(MaintenanceExclusion::SCOPE, text, &Scope::WORDS.map(|(word, _)| word))
}

fn one_of(name: &str, text: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&text) {
        return Ok(());
    }
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    Err(format!("{name} is {text:?}; it is {}.", words.join(", ")))
}

/// How long a maintenance window lasts.
pub(super) fn window_duration(text: &str) -> Result<(), String> {
    let told = |reason: String| format!("{text:?}: {reason}. Write e.g. \"6h\".");
    let duration = parse_duration(text).map_err(|reason| told(reason.clone()))?;
    maintenance::duration(duration.as_secs()).map_err(told)
}

/// A list that is not longer than anybody needs.
pub(super) fn at_most(count: usize) -> impl Validator {
    rule("a list of a sensible length", move |value| match value.as_list().map(<[Value]>::len) {
        Some(length) if length > count => {
            Err(format!("it has {length} elements; {count} are the most that it may have."))
        }
        _ => Ok(()),
    })
}

/// An exact version is at least the oldest one that will do.
fn versions(config: &Value, found: &mut Diagnostics) {
    let version = |name: &str| config.get(name).as_str().and_then(|text| text.parse().ok());
    let floor: Option<Version> = version(Cluster::MIN_CONSUL_VERSION);
    let exact: Option<Version> = version(Cluster::CONSUL_VERSION);
    if let (Some(exact), Some(floor)) = (exact, floor)
        && exact < floor
    {
        let detail = format!(
            "consul_version is exactly {exact}, and min_consul_version asks for {floor} at least. Raise the one, lower the \
             other, or leave one out."
        );
        let summary = "consul_version is older than min_consul_version";
        found.push(Diagnostic::error(summary, detail).at(Cluster::CONSUL_VERSION));
    }
}

/// Identities of somebody else and their roles come together.
fn roles(config: &Value, found: &mut Diagnostics) {
    let (mode, own) = (config.get(Cluster::ROLE_ASSIGNMENT_MODE), config.get(Cluster::IDENTITIES));
    let is_external = mode.as_str() == Some(RoleAssignmentMode::External.as_str());
    if is_external && own.is_null() {
        let summary = "role_assignment_mode = \"external\" needs identities";
        let diagnostic = Diagnostic::error(summary, rules::EXTERNAL_NEEDS_IDENTITIES);
        found.push(diagnostic.at(Cluster::ROLE_ASSIGNMENT_MODE));
    }
    let is_managed = mode.is_null() || mode.as_str() == Some(RoleAssignmentMode::Managed.as_str());
    if is_managed && own.is_set() {
        let summary = "identities needs role_assignment_mode = \"external\"";
        let diagnostic = Diagnostic::error(summary, rules::IDENTITIES_NEED_EXTERNAL);
        found.push(diagnostic.at(Cluster::IDENTITIES));
    }
    let count = config.get(Cluster::SERVER_COUNT);
    let of = |count: &Value| [1, 3, 5, 7].into_iter().find(|one| Value::from(*one) == *count);
    let count = if count.is_null() { Some(defaults::SERVER_COUNT) } else { of(count) };
    let identities = Identities::read(own).ok().filter(|_| own.is_wholly_known());
    let identities = identities.and_then(|identities| identities.known().cloned());
    if let (true, Some(count), Some(identities)) = (is_external, count, identities)
        && let Ok(identities) = identities.to_spec()
        && let Err(detail) = rules::enough_identities(&identities, count)
    {
        let path = Path::root(Cluster::IDENTITIES).attr(Identities::SERVER_IDS);
        found.push(Diagnostic::error("Not enough identities", detail).at(path));
    }
}

/// Ways out, and to the account, that do not go together.
fn ways(config: &Value, found: &mut Diagnostics) {
    let word = |name: &str| config.get(name).as_str().map(str::to_owned);
    // What is not known now is for the plan.
    let is_left_out = |name: &str| config.get(name).is_null();
    let outbound = word(Cluster::OUTBOUND_TYPE);
    let is = |wanted: OutboundType| outbound.as_deref() == Some(wanted.as_str());
    if is(OutboundType::UserDefinedRouting) && is_left_out(Cluster::SUBNET_ID) {
        let summary = "outbound_type = \"user_defined_routing\" needs a subnet_id";
        let diagnostic = Diagnostic::error(summary, rules::ROUTING_NEEDS_A_SUBNET);
        found.push(diagnostic.at(Cluster::OUTBOUND_TYPE));
    }
    let is_public = is_left_out(Cluster::STORAGE_ACCESS)
        || word(Cluster::STORAGE_ACCESS).as_deref() == Some(StorageAccess::PublicEndpoint.as_str());
    let zone = word(Cluster::STORAGE_PRIVATE_DNS_ZONE_ID)
        .filter(|zone| rules::storage_private_dns_zone_id(zone).is_ok());
    if is_public && zone.is_some_and(|zone| StorageZone::of(&zone) != StorageZone::System) {
        let summary = "storage_private_dns_zone_id without a private endpoint";
        let diagnostic = Diagnostic::error(summary, rules::ZONE_NEEDS_AN_ENDPOINT);
        found.push(diagnostic.at(Cluster::STORAGE_PRIVATE_DNS_ZONE_ID));
    }
    let channel = word(Cluster::CONSUL_UPGRADE_CHANNEL);
    let takes = channel.is_some_and(|channel| channel != Channel::None.as_str());
    let index = config.get(Cluster::CONSUL_RELEASE_INDEX);
    if is(OutboundType::None) && takes && (index.is_null() || index.as_str() == Some(RELEASE_INDEX))
    {
        let summary = "The servers cannot come to releases";
        let diagnostic = Diagnostic::error(summary, rules::NO_WAY_TO_RELEASES);
        found.push(diagnostic.at(Cluster::CONSUL_UPGRADE_CHANNEL));
    }
}

fn exclusions(config: &Value, found: &mut Diagnostics) {
    let all = config.get(Cluster::MAINTENANCE_EXCLUSIONS).as_list().unwrap_or_default();
    for (at, one) in all.iter().enumerate() {
        let text = |name: &str| one.get(name).as_str().unwrap_or_default();
        let (start, end) = (text(MaintenanceExclusion::START), text(MaintenanceExclusion::END));
        if let Err(detail) = rules::exclusion(start, end) {
            let path = Path::root(Cluster::MAINTENANCE_EXCLUSIONS).index(at);
            let path = path.attr(MaintenanceExclusion::END);
            found.push(Diagnostic::error("An exclusion ends before it begins", detail).at(path));
        }
    }
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
    let strict = matches!(config.get(Cluster::ZONE_FALLBACK).as_str(), Some("strict") | None)
        && !config.get(Cluster::ZONE_FALLBACK).is_unknown();
    if strict && is_set(Cluster::VM_SIZE_FALLBACKS) {
        let detail = rules::FALLBACKS_NEED_A_ZONE_FALLBACK;
        let summary = "vm_size_fallbacks needs a zone_fallback";
        found.push(Diagnostic::error(summary, detail).at(Cluster::VM_SIZE_FALLBACKS));
    }
}

/// A kind of disk that needs a zone, where a server may be outside of any.
fn disks(config: &Value, found: &mut Diagnostics) {
    let is = |name: &str, word: &str| config.get(name).as_str() == Some(word);
    if is(Cluster::DATA_DISK_TYPE, DataDiskType::PremiumV2Lrs.as_str())
        && is(Cluster::ZONE_FALLBACK, ZoneFallback::BestEffort.as_str())
    {
        let summary = "data_disk_type = \"PremiumV2_LRS\" needs zones";
        let diagnostic = Diagnostic::error(summary, rules::PREMIUM_V2_NEEDS_A_ZONE);
        found.push(diagnostic.at(Cluster::DATA_DISK_TYPE));
    }
}

fn endpoint(config: &Value, found: &mut Diagnostics) {
    let name = Cluster::CONSUL_EXTERNAL_ENDPOINT_ALLOWED_CIDRS;
    let (wanted, cidrs) = (config.get(Cluster::CONSUL_EXTERNAL_ENDPOINT), config.get(name));
    let is_wanted = wanted.as_bool() == Some(true);
    let empty = cidrs.is_null() || cidrs.as_list().is_some_and(<[Value]>::is_empty);
    if is_wanted && empty {
        let detail = rules::ENDPOINT_NEEDS_CIDRS;
        let diagnostic = Diagnostic::error(format!("The external endpoint needs {name}"), detail);
        found.push(diagnostic.at(name));
    }
    if !is_wanted && !wanted.is_unknown() && !empty && !cidrs.is_unknown() {
        let detail = "There is no external endpoint that they could call. Set consul_external_endpoint = true, or \
                      leave them out.";
        let diagnostic = Diagnostic::error(format!("{name} without an external endpoint"), detail);
        found.push(diagnostic.at(name));
    }
}

fn ssh(config: &Value, found: &mut Diagnostics) {
    let cidrs = config.get(Cluster::SSH_ALLOWED_CIDRS).as_list().unwrap_or_default();
    if !cidrs.is_empty() && config.get(Cluster::SSH_PUBLIC_KEY).is_null() {
        let diagnostic = Diagnostic::error("SSH without a key", rules::SSH_NEEDS_A_KEY);
        found.push(diagnostic.at(Cluster::SSH_ALLOWED_CIDRS));
    }
}

fn same_group(config: &Value, found: &mut Diagnostics) {
    let (own, managed) = (
        config.get(Cluster::RESOURCE_GROUP_NAME),
        config.get(Cluster::MANAGED_RESOURCE_GROUP_NAME),
    );
    if let (Some(own), Some(managed)) = (own.as_str(), managed.as_str())
        && let Err(detail) = rules::other_group(own, managed)
    {
        let diagnostic = Diagnostic::error("Managed group is your own group", detail);
        found.push(diagnostic.at(Cluster::MANAGED_RESOURCE_GROUP_NAME));
    }
}

/// How long a server's certificate is good for.
pub(super) fn server_certificate_ttl(text: &str) -> Result<(), String> {
    let name = Cluster::SERVER_CERTIFICATE_TTL;
    let ttl = parse_duration(text).map_err(|reason| {
        format!("{name} is {text:?}: {reason}. Write e.g. \"168h\" or \"7d\".")
    })?;
    rules::server_certificate_ttl(ttl.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(attributes: Vec<(&str, Value)>) -> Vec<String> {
        let config = Value::object(attributes);
        let mut diagnostics = tfplugin::validate::by_schema(&super::super::schema(), &config);
        diagnostics.extend(validate(&config));
        diagnostics.iter().map(|d| d.detail.clone()).collect()
    }

    fn window(name: &str, value: Value) -> Value {
        let good = [("start", Value::from("00:00")), ("duration", Value::from("6h"))];
        Value::list([Value::object(good).with(name, value)])
    }

    fn exclusion(start: &str, end: &str) -> Value {
        Value::list([Value::object([("start", Value::from(start)), ("end", Value::from(end))])])
    }

    #[test]
    fn an_exact_version_is_at_least_the_floor() {
        let both = |exact: &str, floor: &str| {
            let exact = ("consul_version", Value::from(exact));
            errors(vec![exact, ("min_consul_version", Value::from(floor))])
        };
        assert!(both("1.22.2", "1.21.5").is_empty() && both("1.22.2", "1.22.2").is_empty());
        assert!(both("1.21.5", "1.22.2")[0].contains("asks for 1.22.2 at least"));
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
            ("lock", Value::object([("kind", Value::from("ReadOnly"))]), "CanNotDelete"),
            ("lock", Value::object([("name", Value::from("a/b"))]), "no name for a lock"),
            ("data_disk_gib", 1.into(), "data_disk_gib is 1; it is a whole number from 8 to 4096"),
            ("server_certificate_ttl", "30m".into(), "the smallest is \"1h\""),
            (
                "server_certificate_ttl",
                "400d".into(),
                "server_certificate_ttl is 9600 hours; the largest is \"8760h\"",
            ),
            ("server_certificate_ttl", "a week".into(), "Write e.g. \"168h\""),
            ("zones", vec!["a".to_owned()].into(), "zones are"),
            ("zones", vec!["1".to_owned(), "1".to_owned()].into(), "twice"),
            ("peer_vnet_ids", vec!["vnet".to_owned()].into(), "not the id"),
            ("zone_fallback", "never".into(), "\"strict\", \"prefer\", \"best_effort\""),
            ("subnet_id", "/subscriptions/s".into(), "not the id of a subnet"),
            ("zone_subnet_ids", Value::map([("one", Value::from(SUBNET))]), "is no zone"),
            ("zone_subnet_ids", Value::map([("1", Value::from("one"))]), "not the id of a subnet"),
            ("zone_subnet_ids", Value::map([("1", Value::from(SUBNET))]), "set subnet_id"),
            ("private_dns_zone_id", "hub.example".into(), "not the id of a private DNS zone"),
            ("vm_size_fallbacks", vec!["Standard_D2as_v5".to_owned()].into(), "Set zone_fallback"),
            (
                "consul_external_endpoint_allowed_cidrs",
                vec!["10.0.0.0/8".to_owned()].into(),
                "no external endpoint",
            ),
            ("consul_external_endpoint", true.into(), "List the IPv4 ranges"),
            (
                "consul_upgrade_channel",
                "weekly".into(),
                "\"none\", \"patch\", \"minor\", \"major\"",
            ),
            ("image_upgrade_channel", "weekly".into(), "\"none\", \"latest\""),
            ("role_assignment_mode", "none".into(), "\"managed\", \"external\""),
            ("role_assignment_mode", "external".into(), "set identities"),
            ("outbound_type", "loadBalancer".into(), "\"nat_gateway\", \"user_defined_routing\""),
            ("outbound_type", "user_defined_routing".into(), "set subnet_id"),
            ("data_disk_type", "Ultra".into(), "\"Premium_LRS\", \"PremiumV2_LRS\""),
            ("disk_encryption_set_id", "keys".into(), "not the id of a disk encryption set"),
            ("source_image_id", "gold".into(), "not the id of a version in an image gallery"),
            (
                "capacity_reservation_group_id",
                "room".into(),
                "not the id of a capacity reservation",
            ),
            ("image_plan", image_plan("l1"), "leave image_plan out"),
            ("storage_access", "private".into(), "\"public_endpoint\", \"private_endpoint\""),
            ("storage_private_dns_zone_id", "hub".into(), "neither \"System\""),
            ("storage_private_dns_zone_id", "None".into(), "storage_access = \"private_endpoint\""),
            ("consul_release_index", "http://mirror".into(), "base URL"),
            ("consul_server_config", "{\"ports\": {}}".into(), "ports is what hcs sets"),
            ("consul_server_config", "log_level = 1".into(), "jsonencode"),
            ("min_consul_version", "1.22".into(), "three numbers"),
            ("ignore_maintenance_windows_for", "all".into(), "three numbers"),
            ("maintenance_windows", window("days", vec!["saturday".to_owned()].into()), "no day"),
            ("maintenance_windows", window("start", "24:00".into()), "no time of day"),
            ("maintenance_windows", window("duration", "10m".into()), "from \"30m\" to \"24h\""),
            ("maintenance_windows", window("time_zone", "CEST".into()), "IANA"),
            ("maintenance_exclusions", exclusion("2026-12-20", "2027-01-02T00:00:00Z"), "RFC 3339"),
            (
                "maintenance_exclusions",
                exclusion("2027-01-02T00:00:00Z", "2026-12-20T00:00:00Z"),
                "write the later moment",
            ),
            ("ssh_public_key", "-----BEGIN PRIVATE KEY-----".into(), "public half"),
        ];
        for (name, value, expected) in table {
            let found = errors(vec![(name, value)]);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].contains(expected), "{name}: {}", found[0]);
        }
    }

    const SUBNET: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/hub/subnets/one";

    fn image_plan(name: &str) -> Value {
        let parts = [("publisher", "cis"), ("product", "hardened"), ("name", name)];
        Value::object(parts.map(|(name, text)| (name, Value::from(text))))
    }

    #[test]
    fn a_zone_without_a_subnet_says_nothing() {
        for none in [Value::Null, Value::unknown()] {
            let found = errors(vec![("zone_subnet_ids", Value::map([("1", none)]))]);
            assert_eq!(found, Vec::<String>::new());
        }
    }

    #[test]
    fn inputs_that_exclude_each_other_are_told() {
        let outside = ("zone_fallback", Value::from("best_effort"));
        let both = errors(vec![("data_disk_type", "PremiumV2_LRS".into()), outside]);
        assert!(both.len() == 1 && both[0].contains("machines in a zone only"), "{both:?}");
        let gallery = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0";
        let gallery = ("source_image_id", Value::from(gallery));
        let image = |sku: &str| {
            let parts =
                [("publisher", "cis"), ("offer", "hardened"), ("sku", sku), ("version", "latest")];
            ("image", Value::object(parts.map(|(name, text)| (name, Value::from(text)))))
        };
        let group = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/capacityReservationGroups/c";
        for (inputs, told) in [
            (vec![gallery.clone(), image("l1")], "leave one out"),
            (
                vec![gallery.clone(), ("image_upgrade_channel", "latest".into())],
                "names one version",
            ),
            (vec![image("l2"), ("image_plan", image_plan("l1"))], "publisher, offer and sku"),
            (
                vec![
                    ("capacity_reservation_group_id", group.into()),
                    ("zone_fallback", "prefer".into()),
                ],
                "reserved for one size in one zone",
            ),
        ] {
            let found = errors(inputs);
            assert!(found.len() == 1 && found[0].contains(told), "{told}: {found:?}");
        }
        for good in [
            vec![gallery, ("image_plan", image_plan("l1"))],
            vec![image("l1"), ("image_plan", image_plan("l1"))],
        ] {
            assert_eq!(errors(good), Vec::<String>::new());
        }
        let subnet = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/s";
        let both = errors(vec![("subnet_id", subnet.into()), ("vnet_cidr", "10.0.0.0/24".into())]);
        assert_eq!(both.len(), 1);
        assert!(both[0].contains("leave one out"), "{both:?}");
        let callers = vec!["203.0.113.7/24".to_owned(), "all".to_owned()];
        let found = errors(vec![
            ("consul_external_endpoint", true.into()),
            ("consul_external_endpoint_allowed_cidrs", callers.into()),
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
