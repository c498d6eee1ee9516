//! Where a configuration can be set, and what users write there.

use std::collections::BTreeMap;

use hcs_planner::rotation::Rotated;
use tfplugin::Value;
use tfplugin::schema::{Attribute, Block, Kind, Nesting, Type};

use super::Random;
use crate::testing::group_id;

/// Networks of the user's.
const NETWORK: &str = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg/providers/\
                       Microsoft.Network/virtualNetworks";
/// Where some sizes are offered in fewer zones than others.
pub(super) const REGION: &str = "germanywestcentral";

/// A step into a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

/// Where a configuration can be set, elements of lists and maps included.
pub(super) type Leaf = Vec<Step>;

/// Of another host manager nobody has a program, so only one version can be planned.
pub(super) const ONLY_VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn shown(leaf: &Leaf) -> String {
    let parts = leaf.iter().map(|step| match step {
        Step::Name(name) => name.clone(),
        Step::Index(index) => index.to_string(),
    });
    parts.collect::<Vec<_>>().join(".")
}

pub(super) fn named(path: &Leaf, name: &str) -> Leaf {
    path.iter().cloned().chain([Step::Name(name.to_owned())]).collect()
}

/// Every leaf of a block: each attribute whole, each attribute of a nested one, one element of each collection.
pub(super) fn leaves(block: &Block, path: &Leaf, found: &mut Vec<Leaf>) {
    attribute_leaves(&block.attributes, path, found);
    for nested in &block.blocks {
        leaves(&nested.block, &named(path, &nested.name), found);
    }
}

fn attribute_leaves(attributes: &[Attribute], path: &Leaf, found: &mut Vec<Leaf>) {
    for attribute in attributes.iter().filter(|one| one.required || one.optional) {
        let path = named(path, &attribute.name);
        found.push(path.clone());
        match &attribute.kind {
            Kind::Nested(Nesting::List | Nesting::Set, inner) => {
                let element: Leaf = path.into_iter().chain([Step::Index(0)]).collect();
                attribute_leaves(inner, &element, found);
            }
            Kind::Nested(_, inner) => attribute_leaves(inner, &path, found),
            Kind::Plain(Type::List(_) | Type::Set(_)) => {
                found.push(path.into_iter().chain([Step::Index(0)]).collect());
            }
            Kind::Plain(Type::Map(_)) => {
                // Keys of one are zones.
                let key = if attribute.name.starts_with("zone_") { "1" } else { "k" };
                found.push(named(&path, key));
            }
            Kind::Plain(_) => {}
        }
    }
}

/// The same value with `new` at a path; objects and elements on the way are made.
pub(super) fn set(value: &Value, path: &[Step], new: &Value) -> Value {
    let Some((step, rest)) = path.split_first() else { return new.clone() };
    match step {
        Step::Name(name) => {
            let inner = set(value.get(name), rest, new);
            let whole = if value.is_set() { value.clone() } else { Value::Map(BTreeMap::new()) };
            whole.with(name.clone(), inner)
        }
        Step::Index(index) => {
            let mut items = value.as_list().unwrap_or_default().to_vec();
            items.resize(items.len().max(index + 1), Value::Null);
            items[*index] = set(&items[*index], rest, new);
            Value::list(items)
        }
    }
}

/// A random value of a leaf, by what users write there; `None` for a leaf that nobody has thought of.
pub(super) fn random(leaf: &Leaf, random: &mut Random) -> Option<Value> {
    let number = random.below(200);
    let size = *random.pick(&["Standard_D2s_v5", "Standard_D2s_v3", "Standard_D2as_v5"]);
    let peer = format!("{NETWORK}/peer-{}", 1 + random.below(2));
    let cidr = format!("203.0.{number}.0/24");
    let sha256 = format!("{number:0>64}");
    let file = env!("CARGO_MANIFEST_DIR").to_owned()
        + "/"
        + random.pick::<&str>(&["Cargo.toml", "src/main.rs", "src/leg.rs"]);
    let list = |items: Vec<String>| Value::from(items);
    let word = |words: &[&str], random: &mut Random| Value::from(*random.pick(words));
    Some(match shown(leaf).as_str() {
        "name" => format!("demo-{number}").into(),
        "resource_group_name" => word(&["rg", "rg-2"], random),
        "managed_resource_group_name" => format!("rg-managed-{number}").into(),
        "location" => word(
            &["westeurope", "northeurope", "West Europe", REGION, "westus", "francecentral"],
            random,
        ),
        "consul_datacenter" => format!("dc{number}").into(),
        "server_count" => Value::from(*random.pick(&[1_i64, 3, 5, 7])),
        "zones" => {
            let choices: [&[&str]; 6] =
                [&["1", "2", "3"], &["3", "2", "1"], &["1", "2"], &["2", "1"], &["2"], &["3", "1"]];
            list(random.pick(&choices).iter().map(|zone| (*zone).to_owned()).collect())
        }
        "zones.0" => word(&["1", "2", "3"], random),
        "zone_fallback" => word(&["strict", "prefer", "best_effort"], random),
        "vm_size" | "vm_size_fallbacks.0" => size.into(),
        "vm_size_fallbacks" => list(if random.chance(3) { vec![] } else { vec![size.to_owned()] }),
        "image" => {
            let text = format!("i{number}");
            let names = ["publisher", "offer", "sku", "version"];
            Value::object(names.map(|name| (name, Value::from(text.as_str()))))
        }
        "image.publisher" | "image.offer" | "image.sku" | "image.version" => {
            format!("i{number}").into()
        }
        "os_disk_gib" => i64::try_from(64 + number).ok()?.into(),
        "data_disk_gib" => i64::try_from(32 + number).ok()?.into(),
        "host_manager_version" => ONLY_VERSION.into(),
        "server_certificate_ttl" => format!("{}h", 168 + number).into(),
        "ssh_public_key" => {
            let key = [
                "AAAAC3NzaC1lZDI1NTE5AAAAIN76zuqnjypL54/w4763l7q1Sn3IBYHptJ5wcYfEWkzb",
                "AAAAC3NzaC1lZDI1NTE5AAAAIAbGp8dNkHMuxZ8TQ9aSHgLHz0wZCj3lJWEp4GsYVbmq",
            ];
            format!("ssh-ed25519 {}", random.pick(&key)).into()
        }
        "artifact_source" => Value::object([("location", file.into()), ("sha256", sha256.into())]),
        "artifact_source.location" => file.into(),
        "artifact_source.sha256" => sha256.into(),
        "vnet_cidr" => format!("10.{number}.0.0/24").into(),
        "subnet_id" => match random.below(4) {
            0 => Value::Null,
            1 => format!("{NETWORK}/own-3/subnets/servers")
                .replace("Groups/rg/", "Groups/rg-2/")
                .into(),
            number => format!("{NETWORK}/own-{}/subnets/servers", number - 1).into(),
        },
        "private_dns_zone_id" => match random.below(3) {
            0 => Value::Null,
            number => {
                let zone = NETWORK.replace("virtualNetworks", "privateDnsZones");
                format!("{zone}/hub-{number}.example").into()
            }
        },
        "peer_vnet_ids" => list(if random.chance(3) { vec![] } else { vec![peer] }),
        "peer_vnet_ids.0" => peer.into(),
        "consul_external_endpoint"
        | "deletion_protection"
        | "encryption_at_host_enabled"
        | "force_destroy"
        | "skip_final_snapshot"
        | "enabled" => random.chance(2).into(),
        "consul_external_endpoint_allowed_cidrs" => list(vec![cidr]),
        "consul_external_endpoint_allowed_cidrs.0" => cidr.into(),
        "ssh_allowed_cidrs" => list(vec![format!("10.{number}.0.0/24")]),
        "ssh_allowed_cidrs.0" => format!("10.{number}.0.0/24").into(),
        "lock" => Value::object([
            ("kind", word(&["CanNotDelete", "None"], random)),
            ("name", word(&["hcs-cannot-delete", "kept"], random)),
        ]),
        "lock.kind" => word(&["CanNotDelete", "None"], random),
        "lock.name" => word(&["hcs-cannot-delete", "kept"], random),
        "tags" | "default_tags" => {
            let all =
                (0..random.below(3)).map(|at| (format!("t{at}"), Value::from(format!("{number}"))));
            Value::map(all.collect::<Vec<_>>())
        }
        "tags.k" | "default_tags.k" => format!("v{number}").into(),
        "cluster_id" => group_id(&format!("rg-mrg-{number}")).as_str().into(),
        name => {
            return maintenance(name, number, random)
                .or_else(|| ways(name, random))
                .or_else(|| rotation_trigger(name, random))
                .or_else(|| policy(name, number, random))
                .or_else(|| snapshots(name, number));
        }
    })
}

/// Id of an identity that somebody made.
pub(super) fn identity(name: &str) -> String {
    let kind = hcs_planner::arm::Kind::Identity.resource_type();
    group_id("rg").resource(kind, name).to_string()
}

fn vault(random: &mut Random) -> String {
    let name = ["keys", "spare"][random.below(2)];
    group_id("rg").resource("Microsoft.KeyVault/vaults", name).to_string()
}

/// A key of somebody.
pub(super) fn a_key(random: &mut Random) -> Value {
    let names = ["consul", "next"];
    Value::object([
        ("key_vault_resource_id", Value::from(vault(random))),
        ("key_name", names[random.below(2)].into()),
        ("key_version", Value::Null),
        (
            "user_assigned_identity",
            Value::object([("resource_id", Value::from(identity("key-user")))]),
        ),
    ])
}

/// A subnet of the network in which there are subnets of zones.
fn zone_subnet(random: &mut Random) -> String {
    format!("{NETWORK}/own-1/subnets/{}", ["servers", "zone-1", "zone-2"][random.below(3)])
}

/// A version of an image in somebody's gallery.
pub(super) fn gallery_image(version: &str) -> String {
    let gallery = group_id("rg").resource("Microsoft.Compute/galleries", "gold");
    gallery.child("images", "ubuntu").child("versions", version).to_string()
}

/// Somebody's group of reservations.
pub(super) fn reservation_group(name: &str) -> String {
    group_id("rg").resource("Microsoft.Compute/capacityReservationGroups", name).to_string()
}

/// What was bought with an image.
pub(super) fn a_plan(name: &str) -> Value {
    let parts = [("publisher", "cis"), ("product", "hardened"), ("name", name)];
    Value::object(parts.map(|(name, text)| (name, Value::from(text))))
}

/// Ways out, and to the account; disks and keys.
fn ways(name: &str, random: &mut Random) -> Option<Value> {
    let word = |words: &[&str], random: &mut Random| Value::from(*random.pick(words));
    Some(match name {
        "identities" => {
            let first = random.below(2);
            let ids = (first..first + 8).map(|slot| identity(&format!("server-{slot}")));
            Value::object([
                ("shared_id", Value::from(identity(["servers", "others"][first]))),
                ("server_ids", ids.collect::<Vec<_>>().into()),
            ])
        }
        "identities.shared_id" => identity(["servers", "others"][random.below(2)]).into(),
        "identities.server_ids" => {
            let first = random.below(2);
            let ids = (first..first + 8).map(|slot| identity(&format!("server-{slot}")));
            ids.collect::<Vec<_>>().into()
        }
        "identities.server_ids.0" => identity(["server-8", "server-9"][random.below(2)]).into(),
        "data_disk_type" => word(&["Premium_LRS", "PremiumV2_LRS", "StandardSSD_LRS"], random),
        "disk_encryption_set_id" if random.chance(3) => Value::Null,
        "disk_encryption_set_id" => {
            let name = ["keys", "other-keys"][random.below(2)];
            let kind = "Microsoft.Compute/diskEncryptionSets";
            group_id("rg").resource(kind, name).as_str().into()
        }
        "source_image_id" if random.chance(2) => Value::Null,
        "source_image_id" => gallery_image(["1.0.0", "1.1.0"][random.below(2)]).into(),
        "image_plan" if random.chance(2) => Value::Null,
        "image_plan" => a_plan(["l1", "l2"][random.below(2)]),
        "image_plan.publisher" | "image_plan.product" | "image_plan.name" => {
            word(&["l1", "l2"], random)
        }
        "capacity_reservation_group_id" if random.chance(3) => Value::Null,
        "capacity_reservation_group_id" => {
            reservation_group(["room", "more-room"][random.below(2)]).into()
        }
        "customer_managed_key" if random.chance(3) => Value::Null,
        "customer_managed_key" => a_key(random),
        "customer_managed_key.key_vault_resource_id" => vault(random).into(),
        "customer_managed_key.key_name" => word(&["consul", "next"], random),
        "customer_managed_key.key_version" => {
            word(&["0682afdd9c104f4285df20107e956cad", "1682afdd9c104f4285df20107e956cad"], random)
        }
        "customer_managed_key.user_assigned_identity" => {
            let id = identity(["servers", "others"][random.below(2)]);
            Value::object([("resource_id", Value::from(id))])
        }
        "customer_managed_key.user_assigned_identity.resource_id" => {
            identity(["servers", "others"][random.below(2)]).into()
        }
        "zone_subnet_ids" => {
            let zones = ["1", "2", "3"].into_iter().filter(|_| random.chance(2));
            let zones: Vec<&str> = zones.collect();
            let id = |random: &mut Random| Value::from(zone_subnet(random));
            Value::map(zones.into_iter().map(|zone| (zone, id(random))).collect::<Vec<_>>())
        }
        "zone_subnet_ids.1" => zone_subnet(random).into(),
        "role_assignment_mode" => word(&["managed", "external"], random),
        "outbound_type" => word(&["nat_gateway", "none", "user_defined_routing"], random),
        "storage_access" => word(&["public_endpoint", "private_endpoint"], random),
        "storage_private_dns_zone_id" => match random.below(3) {
            0 => "System".into(),
            1 => "None".into(),
            _ => {
                let zone = NETWORK.replace("virtualNetworks", "privateDnsZones");
                format!("{zone}/privatelink.blob.core.windows.net").into()
            }
        },
        _ => return None,
    })
}

fn snapshots(name: &str, number: usize) -> Option<Value> {
    let account = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg/providers/\
                   Microsoft.Storage/storageAccounts/backups";
    let container = format!("{account}/blobServices/default/containers/consul-{number}");
    match name {
        "final_snapshot_storage_container_id" | "storage_container_id" => Some(container.into()),
        "restore_from_snapshot_id" => Some(format!("{container}/blobs/demo/final.snap").into()),
        _ => None,
    }
}

/// Of a snapshot policy. Rules of retention may be left out by an expression.
fn policy(name: &str, number: usize, random: &mut Random) -> Option<Value> {
    let word = |words: &[&str], random: &mut Random| Value::from(*random.pick(words));
    Some(match name {
        "cron" => word(&["0 2 * * *", "*/15 * * * *", "30 4 * * SUN"], random),
        "time_zone" => word(&["UTC", "Europe/Berlin", "America/New_York"], random),
        "interval" => format!("{}m", 1 + number).into(),
        "on_delete" => word(&["keep", "purge"], random),
        "stale_after" | "drill_interval" => format!("{}h", 24 + number).into(),
        "before_upgrade" => random.chance(2).into(),
        name if name.starts_with("retain_") && name != "retain_count" && random.chance(3) => {
            Value::Null
        }
        "retain_age" => format!("{}h", 24 + number).into(),
        name if name.starts_with("retain_") => i64::try_from(1 + number).ok()?.into(),
        _ => return None,
    })
}

fn maintenance(name: &str, number: usize, random: &mut Random) -> Option<Value> {
    let word = |words: &[&str], random: &mut Random| Value::from(*random.pick(words));
    Some(match name {
        "timeouts.create" | "timeouts.update" | "timeouts.delete" => {
            format!("{}m", 30 + number).into()
        }
        "consul_version" => word(&["1.22.2", "1.21.5", "2.0.2", "1.20.6"], random),
        "min_consul_version" | "ignore_maintenance_windows_for" => {
            word(&["1.22.2", "1.21.5", "1.20.6", "2.0.3"], random)
        }
        "image_upgrade_channel" => word(&["none", "latest"], random),
        "consul_upgrade_channel" => word(&["none", "patch", "minor"], random),
        "consul_server_config" => {
            format!("{{\"limits\":{{\"http_max_conns_per_client\":{number}}}}}").into()
        }
        "consul_release_index" => word(&["none", "https://mirror.example/consul"], random),
        "maintenance_windows" => {
            let hours = format!("{}h", 1 + number % 24);
            let window = Value::list([a_window().with("duration", Value::from(hours))]);
            if random.chance(3) { Value::list([]) } else { window }
        }
        "maintenance_windows.0.days" => {
            Value::from(vec![(*random.pick(&["Monday", "Sunday"])).to_owned()])
        }
        "maintenance_windows.0.days.0" => word(&["Monday", "Sunday"], random),
        "maintenance_windows.0.start" => format!("{:02}:30", number % 24).into(),
        "maintenance_windows.0.duration" => format!("{}h", 1 + number % 24).into(),
        "maintenance_windows.0.time_zone" => word(&["UTC", "Europe/Berlin"], random),
        "maintenance_exclusions" => {
            let end = format!("2027-01-02T00:00:{:02}Z", number % 60);
            let exclusion = Value::list([an_exclusion().with("end", Value::from(end))]);
            if random.chance(3) { Value::list([]) } else { exclusion }
        }
        "maintenance_exclusions.0.start" => format!("2026-12-20T00:00:{:02}Z", number % 60).into(),
        "maintenance_exclusions.0.end" => format!("2027-01-02T00:00:{:02}Z", number % 60).into(),
        "maintenance_exclusions.0.scope" => word(&["all", "minor", "os"], random),
        _ => return None,
    })
}

fn rotation_trigger(name: &str, random: &mut Random) -> Option<Value> {
    let word = format!("r{}", random.below(200));
    match name.strip_prefix("rotation_triggers") {
        Some("") => {
            let all = Rotated::ALL.map(|what| {
                let word = random.chance(2).then(|| word.clone());
                (what.as_str(), Value::from(word))
            });
            Some(Value::object(all))
        }
        Some(_) => Some(word.into()),
        None => None,
    }
}

pub(super) fn a_window() -> Value {
    let all = [("start", "00:00"), ("duration", "6h"), ("time_zone", "UTC")];
    Value::object(all.map(|(name, text)| (name, Value::from(text))))
        .with("days", vec!["Sunday".to_owned()])
}

pub(super) fn an_exclusion() -> Value {
    let all =
        [("start", "2026-12-20T00:00:00Z"), ("end", "2027-01-02T00:00:00Z"), ("scope", "all")];
    Value::object(all.map(|(name, text)| (name, Value::from(text))))
}
