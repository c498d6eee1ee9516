//! What may come of inputs that are not known yet: a handful of worlds, in each of which they are.
//!
//! What is the same in all of them is known, and nothing else: so an unknown input makes unknown what follows from it and
//! leaves the rest alone, without a table of what follows from what. The values below are chosen to differ in everything
//! that a plan tells apart; two laws hold them to that (`testing/laws/unknown.rs`).

use hcs_planner::spec::{ClusterSpec, ZoneFallback, defaults};
use tfplugin::Value;

use crate::cluster::model::{INPUTS, spec_of};
use crate::tagging::Tagging;

/// More worlds than this are thinned out: then each input varies by itself, and all of them at once.
const WORLDS_MAX: usize = 64;
/// Stands in for the provider's tags among the inputs.
const DEFAULT_TAGS: &str = "default_tags";

/// Inputs, all known, and what they declare.
pub(super) struct World {
    pub(super) inputs: Value,
    pub(super) spec: ClusterSpec,
}

/// Worlds that the inputs allow: one where all are known, none where they are and make no sense. `zone_lists`: what the
/// zones may be where they follow from a size that is not known yet; empty where they do not.
pub(super) fn worlds(
    planned: &Value,
    prior: &Value,
    tagging: &Tagging,
    subscription_id: &str,
    zone_lists: &[Vec<String>],
) -> Vec<World> {
    let mut open: Vec<(&str, Vec<Value>)> = Vec::new();
    for name in INPUTS.into_iter().chain(["timeouts", DEFAULT_TAGS]) {
        let value = if name == DEFAULT_TAGS { &tagging.defaults } else { planned.get(name) };
        if !value.is_wholly_known() {
            let mut values = alternatives(name, value, prior.get(name));
            if name == "zones" && !zone_lists.is_empty() {
                values = zone_lists.iter().cloned().map(Value::from).collect();
            }
            open.push((name, values));
        }
    }
    choices(&open)
        .into_iter()
        .filter_map(|chosen| {
            let (mut inputs, mut tags) = (planned.clone(), tagging.clone());
            for ((name, values), at) in open.iter().zip(chosen) {
                let value = values.get(at).cloned().unwrap_or_default();
                if *name == DEFAULT_TAGS { tags.defaults = value } else { inputs.set(*name, value) }
            }
            let spec = spec_of(&inputs, subscription_id, &tags).ok()?;
            let has_one_network = spec.subnet_id.is_some() != spec.vnet_cidr.is_some();
            has_one_network.then_some(World { inputs, spec })
        })
        .collect()
}

/// Which alternative of each input each world takes.
fn choices(open: &[(&str, Vec<Value>)]) -> Vec<Vec<usize>> {
    let all: usize = open.iter().map(|(_, values)| values.len()).product();
    if all > WORLDS_MAX {
        let first = vec![0; open.len()];
        let mut chosen = vec![first.clone()];
        for (at, (_, values)) in open.iter().enumerate() {
            chosen.extend((1..values.len()).map(|other| {
                let mut one = first.clone();
                one[at] = other;
                one
            }));
        }
        for other in 1..4 {
            chosen.push(open.iter().map(|(_, values)| other % values.len().max(1)).collect());
        }
        return chosen;
    }
    open.iter().fold(vec![vec![]], |chosen, (_, values)| {
        let longer = |one: &Vec<usize>| {
            let one = one.clone();
            (0..values.len()).map(move |at| one.iter().copied().chain([at]).collect())
        };
        chosen.iter().flat_map(longer).collect()
    })
}

/// Values that an input may turn out to have, the prior one among them.
fn alternatives(name: &str, value: &Value, prior: &Value) -> Vec<Value> {
    let mut values = if value.is_unknown() {
        whole(name)
    } else {
        (0..2).map(|turn| filled(name, value, &Value::Null, turn)).collect()
    };
    if !prior.is_null() && prior.is_wholly_known() {
        let before = if value.is_unknown() { prior.clone() } else { filled(name, value, prior, 0) };
        if !values.contains(&before) {
            values.push(before);
        }
    }
    values
}

/// Values of an input of which nothing is known.
fn whole(name: &str) -> Vec<Value> {
    let texts = |texts: &[&str]| -> Vec<Value> { texts.iter().map(|t| Value::from(*t)).collect() };
    let list = |items: &[&str]| Value::list(items.iter().map(|item| Value::from(*item)));
    let numbers = |numbers: &[i64]| -> Vec<Value> { numbers.iter().map(|n| (*n).into()).collect() };
    let [first, second] = [0, 1].map(|turn| text(name, turn, 0));
    match name {
        "server_count" => numbers(&[3, 5, 1, 7]),
        "os_disk_gib" | "data_disk_gib" => numbers(&[64, 128]),
        "consul_external_endpoint" | "deletion_protection" | "force_destroy" => {
            vec![true.into(), false.into()]
        }
        // The one that leaves most open comes first.
        "zone_fallback" => [ZoneFallback::Prefer, ZoneFallback::Strict, ZoneFallback::BestEffort]
            .map(|fallback| Value::from(fallback.as_str()))
            .to_vec(),
        "lock" => texts(&["CanNotDelete", "none"]),
        "zones" => {
            vec![list(&["1", "2", "3"]), list(&["3", "1", "2"]), list(&["2", "1"]), list(&[])]
        }
        "vm_size_fallbacks" | "peer_vnet_ids" | "allowed_cidrs" | "ssh_allowed_cidrs" => {
            vec![list(&[&first]), list(&[&second]), list(&[])]
        }
        "tags" | DEFAULT_TAGS => vec![
            Value::map([(first, "a")].map(|(k, v)| (k, Value::from(v)))),
            Value::map([(second, "a")].map(|(k, v)| (k, Value::from(v)))),
        ],
        "image" => [&first, &second]
            .map(|text| {
                let names = ["publisher", "offer", "sku", "version"];
                Value::object(names.map(|name| (name, Value::from(text.as_str()))))
            })
            .to_vec(),
        "artifact_source" => [&first, &second]
            .map(|text| Value::object([("location", Value::from(text.as_str()))]))
            .to_vec(),
        "subnet_id" | "private_dns_zone_id" | "ssh_public_key" => {
            vec![first.into(), second.into(), Value::Null]
        }
        "vnet_cidr" => vec![first.into(), second.into(), defaults::VNET_CIDR.into(), Value::Null],
        "timeouts" => vec![Value::Null, Value::Map(std::collections::BTreeMap::new())],
        _ => vec![first.into(), second.into()],
    }
}

/// The same value with texts in place of what is unknown in it: those of the prior value where that has them.
fn filled(name: &str, value: &Value, prior: &Value, turn: usize) -> Value {
    fn fill(value: &Value, prior: &Value, next: &mut dyn FnMut() -> Value) -> Value {
        if value.is_unknown() {
            return if prior.is_set() { prior.clone() } else { next() };
        }
        if let Some(items) = value.as_list() {
            let before = prior.as_list().unwrap_or_default();
            let null = Value::Null;
            return Value::list(
                items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| fill(item, before.get(at).unwrap_or(&null), next)),
            );
        }
        match value.as_map() {
            Some(items) => Value::map(
                items.iter().map(|(key, item)| (key.clone(), fill(item, prior.get(key), next))),
            ),
            None => value.clone(),
        }
    }
    // No element twice: a list of zones takes none of them again.
    let taken: Vec<&str> =
        value.as_list().unwrap_or_default().iter().filter_map(Value::as_str).collect();
    let mut number = 0;
    let mut next = || loop {
        let text = text(name, turn, number);
        number += 1;
        if !taken.contains(&text.as_str()) {
            return Value::from(text);
        }
    };
    fill(value, prior, &mut next)
}

/// A text that an input, or an element of one, may turn out to be; another one for each turn and number.
fn text(name: &str, turn: usize, number: usize) -> String {
    let unique = format!("{}{number}", if turn == 0 { "a" } else { "b" });
    let network = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks";
    match name {
        "zones" => (1 + turn + number).to_string(),
        "vnet_cidr" => format!("10.{}.{number}.0/24", 100 + turn),
        "allowed_cidrs" => format!("203.0.{}.0/24", 100 * turn + number),
        "ssh_allowed_cidrs" => format!("10.{}.0.0/24", 100 * turn + number),
        "peer_vnet_ids" => format!("{network}/{unique}"),
        "subnet_id" => format!("{network}/{unique}/subnets/{unique}"),
        "private_dns_zone_id" => {
            format!("{}/{unique}", network.replace("virtualNetworks", "privateDnsZones"))
        }
        "consul_version" => format!("1.2{turn}.0"),
        "timeouts" => format!("{}m", 60 + turn),
        _ => format!("unknown-{unique}"),
    }
}

/// What is the same in all worlds, and unknown where they differ.
pub(super) fn common(worlds: &[Value]) -> Value {
    let (Some(first), rest) = (worlds.first(), worlds.get(1..).unwrap_or_default()) else {
        return Value::unknown();
    };
    rest.iter().fold(first.clone(), |known, other| both(&known, other))
}

fn both(a: &Value, b: &Value) -> Value {
    if a == b {
        return a.clone();
    }
    if let (Some(one), Some(other)) = (a.as_list(), b.as_list())
        && one.len() == other.len()
    {
        return Value::list(one.iter().zip(other).map(|(a, b)| both(a, b)));
    }
    if let (Some(one), Some(other)) = (a.as_map(), b.as_map())
        && one.keys().eq(other.keys())
    {
        return Value::map(one.iter().map(|(key, a)| (key.clone(), both(a, b.get(key)))));
    }
    Value::unknown()
}
