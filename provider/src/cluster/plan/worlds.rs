//! What may come of inputs that are not known yet: a handful of worlds, in each of which they are.
//!
//! What is the same in all of them is known, and nothing else: so an unknown input makes unknown what follows from it and
//! leaves the rest alone, without a table of what follows from what. The values below are chosen to differ in everything
//! that a plan tells apart; two laws hold them to that (`testing/laws/unknown.rs`).

use std::collections::BTreeMap;

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::customer_key::CustomerManagedKey as CustomerKey;
use hcs_planner::dataplane::own_version;
use hcs_planner::disks::DataDiskType;
use hcs_planner::reach::{OutboundType, StorageAccess, StorageZone};
use hcs_planner::roles::RoleAssignmentMode;
use hcs_planner::spec::{ClusterSpec, ImageChannel, LockLevel, ZoneFallback, defaults};
use tfplugin::{Schema, Type, Value};

use crate::cluster::model::{
    ArtifactSource, Cluster, CustomerManagedKey, Identities, Image, KeyUser, Lock,
    MaintenanceExclusion, MaintenanceWindow,
};
use crate::cluster::spec::{TIMEOUTS, inputs, spec_of};
use crate::provider::ProviderConfig;
use crate::tagging::Tagging;

/// More worlds than this are thinned out: then each input varies by itself, and all of them at once.
const WORLDS_MAX: usize = 64;
/// Subscription of ids that nobody has: there is nothing to be read.
const INVENTED: &str = "s";

/// Whether an id is one that stands for another.
pub(super) fn is_invented(id: &ArmId) -> bool {
    id.segment("subscriptions") == Some(INVENTED)
}

/// So many identities of servers an unknown list may turn out to hold: enough for the largest cluster and its helper, or for
/// the smallest.
fn identities(turn: usize) -> usize {
    if turn == 0 { 8 } else { 2 }
}

/// Stands in for the provider's tags among the inputs.
const DEFAULT_TAGS: &str = ProviderConfig::DEFAULT_TAGS;

/// Inputs, all known, and what they declare.
pub(super) struct World {
    pub(super) inputs: Value,
    pub(super) spec: ClusterSpec,
}

/// Worlds that the inputs allow: one where all are known, none where they are and make no sense. `zone_lists`: what the
/// zones may be where they follow from a size that is not known yet; empty where they do not.
pub(super) fn worlds(
    schema: &Schema,
    planned: &Value,
    prior: &Value,
    tagging: &Tagging,
    subscription_id: &str,
    zone_lists: &[Vec<String>],
) -> Vec<World> {
    let mut open: Vec<(&str, Vec<Value>)> = Vec::new();
    for name in inputs(schema).chain([TIMEOUTS, DEFAULT_TAGS]) {
        let value = if name == DEFAULT_TAGS { &tagging.defaults } else { planned.get(name) };
        if !value.is_wholly_known() {
            let mut values = alternatives(schema, name, value, prior.get(name));
            if name == Cluster::ZONES && !zone_lists.is_empty() {
                values = zone_lists.iter().cloned().map(Value::from).collect();
            }
            open.push((name, values));
        }
    }
    let dimensions = dimensions(open, planned);
    let lengths: Vec<usize> = dimensions.iter().map(|one| one.values.len()).collect();
    choices(&lengths)
        .into_iter()
        .filter_map(|chosen| {
            let (mut inputs, mut tags) = (planned.clone(), tagging.clone());
            for (dimension, at) in dimensions.iter().zip(chosen) {
                for (name, value) in dimension.names.iter().zip(dimension.values.get(at)?) {
                    let value = value.clone();
                    if *name == DEFAULT_TAGS {
                        tags.defaults = value;
                    } else {
                        inputs.set(*name, value);
                    }
                }
            }
            let spec = spec_of(&inputs, subscription_id, &tags).ok()?;
            Some(World { inputs, spec })
        })
        .collect()
}

/// Inputs that vary together, and the values that they may have together.
struct Dimension<'n> {
    names: Vec<&'n str>,
    values: Vec<Vec<Value>>,
}

/// Two inputs of which a cluster has what fits together: were they varied each by itself, worlds that make no sense would be
/// all that is seen of the others.
type Coupling = (&'static str, &'static str, fn(&Value, &Value) -> bool);

const COUPLINGS: [Coupling; 3] = [
    (Cluster::SUBNET_ID, Cluster::VNET_CIDR, has_one),
    (Cluster::SOURCE_IMAGE_ID, Cluster::IMAGE, has_one),
    (Cluster::ROLE_ASSIGNMENT_MODE, Cluster::IDENTITIES, has_roles),
];

fn has_one(first: &Value, second: &Value) -> bool {
    first.is_null() != second.is_null()
}

fn has_roles(mode: &Value, identities: &Value) -> bool {
    let is_external = mode.as_str() == Some(RoleAssignmentMode::External.as_str());
    is_external != identities.is_null()
}

/// What varies: coupled inputs together, in what fits, each other one by itself.
fn dimensions<'n>(mut open: Vec<(&'n str, Vec<Value>)>, planned: &Value) -> Vec<Dimension<'n>> {
    let mut all = Vec::new();
    for (first, second, fits) in COUPLINGS {
        let mut take = |name: &str| match open.iter().position(|(own, _)| *own == name) {
            Some(at) => open.swap_remove(at).1,
            None => vec![planned.get(name).clone()],
        };
        let (firsts, seconds) = (take(first), take(second));
        let pairs = firsts.iter().flat_map(|one| seconds.iter().map(move |other| (one, other)));
        let fitting = pairs.filter(|(one, other)| fits(one, other));
        let values = fitting.map(|(one, other)| vec![one.clone(), other.clone()]).collect();
        all.push(Dimension { names: vec![first, second], values });
    }
    let single = |(name, values): (&'n str, Vec<Value>)| Dimension {
        names: vec![name],
        values: values.into_iter().map(|value| vec![value]).collect(),
    };
    all.extend(open.into_iter().map(single));
    all
}

/// Which alternative of each dimension each world takes.
fn choices(lengths: &[usize]) -> Vec<Vec<usize>> {
    if lengths.contains(&0) {
        return vec![];
    }
    let all = lengths.iter().try_fold(1, |all: usize, length| all.checked_mul(*length));
    if all.is_none_or(|all| all > WORLDS_MAX) {
        let first = vec![0; lengths.len()];
        let mut chosen = vec![first.clone()];
        for (at, length) in lengths.iter().enumerate() {
            chosen.extend((1..*length).map(|other| {
                let mut one = first.clone();
                one[at] = other;
                one
            }));
        }
        for other in 1..4 {
            chosen.push(lengths.iter().map(|length| other % length).collect());
        }
        return chosen;
    }
    lengths.iter().fold(vec![vec![]], |chosen, length| {
        let longer = |one: &Vec<usize>| {
            let one = one.clone();
            (0..*length).map(move |at| one.iter().copied().chain([at]).collect())
        };
        chosen.iter().flat_map(longer).collect()
    })
}

/// Values that an input may turn out to have, the prior one among them.
fn alternatives(schema: &Schema, name: &str, value: &Value, prior: &Value) -> Vec<Value> {
    // Of these nothing follows, whatever is known of them.
    let is_apart = [Cluster::MAINTENANCE_WINDOWS, Cluster::MAINTENANCE_EXCLUSIONS].contains(&name);
    let mut values = if value.is_unknown() || is_apart {
        whole(schema, name)
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

/// Values of an input of which nothing is known: by what it means where that is told apart, else by its type, with null
/// where it may stay open.
fn whole(schema: &Schema, name: &str) -> Vec<Value> {
    let list = |items: &[&str]| Value::list(items.iter().map(|item| Value::from(*item)));
    let [first, second] = [0, 1].map(|turn| text(name, turn, 0));
    let mut values = match name {
        Cluster::SERVER_COUNT => [3, 5, 1, 7].map(Value::from).to_vec(),
        // The one that leaves most open comes first.
        Cluster::ZONE_FALLBACK => {
            [ZoneFallback::Prefer, ZoneFallback::Strict, ZoneFallback::BestEffort]
                .map(|fallback| Value::from(fallback.as_str()))
                .to_vec()
        }
        Cluster::IMAGE_UPGRADE_CHANNEL => {
            ImageChannel::ALL.map(|channel| Value::from(channel.as_str())).to_vec()
        }
        Cluster::LOCK => [LockLevel::CanNotDelete, LockLevel::None]
            .map(|kind| {
                let name = Value::from(first.as_str());
                Value::object([(Lock::KIND, kind.as_str().into()), (Lock::NAME, name)])
            })
            .to_vec(),
        Cluster::MAINTENANCE_WINDOWS => {
            let window = |text: &str| {
                let names = [
                    MaintenanceWindow::START,
                    MaintenanceWindow::DURATION,
                    MaintenanceWindow::TIME_ZONE,
                ];
                let window = Value::object(names.map(|name| (name, Value::from(text))));
                Value::list([window.with(MaintenanceWindow::DAYS, list(&[]))])
            };
            vec![window(&first), window(&second), list(&[])]
        }
        Cluster::MAINTENANCE_EXCLUSIONS => {
            let exclusion = |text: &str| {
                let names = [
                    MaintenanceExclusion::START,
                    MaintenanceExclusion::END,
                    MaintenanceExclusion::SCOPE,
                ];
                Value::list([Value::object(names.map(|name| (name, Value::from(text))))])
            };
            vec![exclusion(&first), exclusion(&second), list(&[])]
        }
        Cluster::ZONES => {
            vec![list(&["1", "2", "3"]), list(&["3", "1", "2"]), list(&["2", "1"]), list(&[])]
        }
        Cluster::ARTIFACT_SOURCE => [&first, &second]
            .map(|text| Value::object([(ArtifactSource::LOCATION, Value::from(text.as_str()))]))
            .to_vec(),
        Cluster::ROLE_ASSIGNMENT_MODE => {
            RoleAssignmentMode::ALL.map(|one| one.as_str().into()).to_vec()
        }
        Cluster::IDENTITIES => {
            let ids = |turn: usize| {
                let id = |number: usize| text(name, turn, number);
                let servers: Vec<String> = (1..=identities(turn)).map(id).collect();
                Value::object([
                    (Identities::SHARED_ID, Value::from(id(0))),
                    (Identities::SERVER_IDS, servers.into()),
                ])
            };
            vec![ids(0), ids(1)]
        }
        Cluster::DATA_DISK_TYPE => DataDiskType::ALL.map(|one| one.as_str().into()).to_vec(),
        Cluster::CUSTOMER_MANAGED_KEY => vec![key(0), key(1)],
        Cluster::IMAGE => {
            let parts = [Image::PUBLISHER, Image::OFFER, Image::SKU, Image::VERSION];
            let image = |text: &str| Value::object(parts.map(|name| (name, Value::from(text))));
            vec![image(&first), image(&second), Value::Null]
        }
        Cluster::OUTBOUND_TYPE => OutboundType::ALL.map(|one| one.as_str().into()).to_vec(),
        Cluster::STORAGE_ACCESS => StorageAccess::ALL.map(|one| one.as_str().into()).to_vec(),
        Cluster::STORAGE_PRIVATE_DNS_ZONE_ID => {
            vec![first.into(), StorageZone::SYSTEM.into(), StorageZone::NONE.into()]
        }
        Cluster::ZONE_SUBNET_IDS => {
            let ids = |turn: usize| {
                Value::map((1..=3).map(|zone| (zone.to_string(), text(name, turn, zone).into())))
            };
            vec![ids(0), ids(1), Value::Map(BTreeMap::new())]
        }
        Cluster::VNET_CIDR => {
            vec![first.into(), second.into(), defaults::VNET_CIDR.into(), Value::Null]
        }
        TIMEOUTS => vec![Value::Null, Value::Map(BTreeMap::new())],
        DEFAULT_TAGS => maps(&first, &second),
        _ => {
            let attribute = schema.block.attributes.iter().find(|one| one.name == name);
            attribute.map_or_else(Vec::new, |one| by_type(&one.implied_type(), &first, &second))
        }
    };
    let stays_open = schema.block.attributes.iter().any(|one| one.name == name && !one.computed);
    if stays_open && name != Cluster::NAME && name != Cluster::RESOURCE_GROUP_NAME {
        values.push(Value::Null);
    }
    values
}

/// A key of somebody.
fn key(turn: usize) -> Value {
    let part = |number: usize| text(Cluster::CUSTOMER_MANAGED_KEY, turn, number);
    Value::object([
        (CustomerManagedKey::KEY_VAULT_RESOURCE_ID, Value::from(part(0))),
        (CustomerManagedKey::KEY_NAME, part(1).into()),
        (CustomerManagedKey::KEY_VERSION, part(2).into()),
        (
            CustomerManagedKey::USER_ASSIGNED_IDENTITY,
            Value::object([(KeyUser::RESOURCE_ID, Value::from(part(3)))]),
        ),
    ])
}

fn maps(first: &str, second: &str) -> Vec<Value> {
    [first, second].map(|key| Value::map([(key, Value::from("a"))])).to_vec()
}

/// Two values of a type, and an empty one where there is such.
fn by_type(ty: &Type, first: &str, second: &str) -> Vec<Value> {
    match ty {
        Type::Bool => vec![true.into(), false.into()],
        Type::Number => vec![64.into(), 128.into()],
        Type::List(_) | Type::Set(_) => {
            let one = |text: &str| Value::list([Value::from(text)]);
            vec![one(first), one(second), Value::list([])]
        }
        Type::Map(_) => maps(first, second),
        Type::Object(inner) => [first, second]
            .map(|text| Value::object(inner.keys().map(|name| (name.as_str(), Value::from(text)))))
            .to_vec(),
        _ => vec![first.into(), second.into()],
    }
}

/// The same with its parts unknown where a whole is: none, where that changes nothing.
fn opened(name: &str, value: &Value, turn: usize) -> Option<Value> {
    let is_open = |part: &str| value.get(part).is_unknown();
    match name {
        // A list of which nothing is known may have as many as are ever needed.
        Cluster::IDENTITIES if is_open(Identities::SERVER_IDS) => {
            let ids = std::iter::repeat_n(Value::unknown(), identities(turn));
            Some(value.clone().with(Identities::SERVER_IDS, Value::list(ids)))
        }
        Cluster::CUSTOMER_MANAGED_KEY if is_open(CustomerManagedKey::USER_ASSIGNED_IDENTITY) => {
            let user = Value::object([(KeyUser::RESOURCE_ID, Value::unknown())]);
            Some(value.clone().with(CustomerManagedKey::USER_ASSIGNED_IDENTITY, user))
        }
        _ => None,
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
    let opened = opened(name, value, turn);
    let value = opened.as_ref().unwrap_or(value);
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
        Cluster::ZONES => (1 + turn + number).to_string(),
        Cluster::VNET_CIDR => format!("10.{}.{number}.0/24", 100 + turn),
        Cluster::CONSUL_EXTERNAL_ENDPOINT_ALLOWED_CIDRS => {
            format!("203.0.{}.0/24", 100 * turn + number)
        }
        // Any other is in no account, and a plan that names it is none.
        Cluster::HOST_MANAGER_VERSION => own_version().to_string(),
        Cluster::SERVER_CERTIFICATE_TTL => format!("{}h", 24 + 24 * turn + number),
        Cluster::SSH_ALLOWED_CIDRS => format!("10.{}.0.0/24", 100 * turn + number),
        Cluster::PEER_VNET_IDS => format!("{network}/{unique}"),
        Cluster::SUBNET_ID | Cluster::ZONE_SUBNET_IDS => {
            format!("{network}/{unique}/subnets/{unique}")
        }
        Cluster::PRIVATE_DNS_ZONE_ID => {
            format!("{}/{unique}", network.replace("virtualNetworks", "privateDnsZones"))
        }
        Cluster::IDENTITIES => {
            let kind = Kind::Identity.resource_type();
            format!("/subscriptions/{INVENTED}/resourceGroups/g/providers/{kind}/{unique}")
        }
        Cluster::SOURCE_IMAGE_ID => {
            let gallery = network.replace("Network/virtualNetworks", "Compute/galleries");
            format!("{gallery}/{unique}/images/{unique}/versions/1.0.{number}")
        }
        Cluster::CAPACITY_RESERVATION_GROUP_ID => {
            let kind = "Compute/capacityReservationGroups";
            format!("{}/{unique}", network.replace("Network/virtualNetworks", kind))
        }
        Cluster::DISK_ENCRYPTION_SET_ID => {
            let compute = network.replace("Network/virtualNetworks", "Compute/diskEncryptionSets");
            format!("{compute}/{unique}")
        }
        Cluster::CUSTOMER_MANAGED_KEY => {
            let kind =
                if number == 0 { CustomerKey::VAULT } else { Kind::Identity.resource_type() };
            format!("/subscriptions/{INVENTED}/resourceGroups/g/providers/{kind}/{unique}")
        }
        Cluster::STORAGE_PRIVATE_DNS_ZONE_ID => {
            let zone = network.replace("virtualNetworks", "privateDnsZones");
            format!("{zone}/privatelink.blob.core.windows.net")
        }
        Cluster::CONSUL_VERSION
        | Cluster::MIN_CONSUL_VERSION
        | Cluster::IGNORE_MAINTENANCE_WINDOWS_FOR => format!("1.2{turn}.0"),
        // Of a window the duration alone has to be something.
        Cluster::MAINTENANCE_WINDOWS => format!("{}h", 1 + turn + number),
        // Of the two parts the kind decides, and any text is a name.
        Cluster::LOCK if turn == 0 => LockLevel::CanNotDelete.as_str().to_owned(),
        Cluster::LOCK => LockLevel::None.as_str().to_owned(),
        TIMEOUTS => format!("{}m", 60 + turn),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside a known image no gallery's is possible, and yet everything else is seen to vary.
    #[test]
    fn what_does_not_fit_leaves_every_other_input_its_values() {
        let texts = |count: usize| (0..count).map(|n| Value::from(n.to_string())).collect();
        let mut gallery: Vec<Value> = texts(2);
        gallery.push(Value::Null);
        let names = [
            Cluster::NAME,
            Cluster::LOCATION,
            Cluster::VM_SIZE,
            Cluster::CONSUL_RELEASE_INDEX,
            Cluster::MANAGED_RESOURCE_GROUP_NAME,
        ];
        let mut open = vec![(Cluster::SOURCE_IMAGE_ID, gallery)];
        open.extend(names.map(|name| (name, texts(3))));
        let planned = Value::object([
            (Cluster::IMAGE, Value::from("of the marketplace")),
            (Cluster::VNET_CIDR, "10.0.0.0/24".into()),
        ]);
        let dimensions = dimensions(open, &planned);
        let lengths: Vec<usize> = dimensions.iter().map(|one| one.values.len()).collect();
        let chosen = choices(&lengths);
        assert!(chosen.len() <= WORLDS_MAX, "{}", chosen.len());
        for (at, dimension) in dimensions.iter().enumerate() {
            for value in 0..dimension.values.len() {
                assert!(chosen.iter().any(|one| one[at] == value), "{:?}", dimension.names);
            }
        }
        let of = |name: &str| dimensions.iter().find(|one| one.names.contains(&name)).unwrap();
        assert_eq!(of(Cluster::SOURCE_IMAGE_ID).values.len(), 1, "none of a gallery");
        assert_eq!(of(Cluster::MANAGED_RESOURCE_GROUP_NAME).values.len(), 3);
    }
}
