//! Valid inputs, and requests around mutated ones.

use prost::Message as _;
use tfplugin_proto::tfplugin6::{self as proto, DynamicValue, RawState, ResourceIdentityData};

use super::mutate::Random;
use super::provider::{NAME, schema};
use crate::schema::Type;
use crate::value::{Refinement, Value};

/// The types that are decoded, and valid documents of them.
pub(super) fn corpus() -> (Vec<Type>, Vec<Vec<u8>>) {
    let disk = Value::object([("name", Value::from("a")), ("size", Value::from(1))]);
    let object = Value::object([
        ("id", Value::Unknown(Refinement::not_null())),
        ("name", Value::from("name")),
        ("count_of", Value::Number("12345678901234567890123.5".parse().unwrap())),
        ("on", Value::from(true)),
        ("any", Value::typed(Type::list(Type::Number), Value::list([Value::from(0.1)]))),
        ("zones", Value::list(["1", "2"].map(Value::from))),
        ("tags", Value::map([("k", Value::list([Value::from(-1)]))])),
        ("pair", Value::list([Value::from(false), Value::typed(Type::Bool, Value::Null)])),
        ("disks", Value::map([("d", disk.clone())])),
        ("parts", Value::list([disk.clone()])),
        ("shelf", Value::list([disk.clone(), disk.clone()])),
        ("seat", Value::list([disk])),
    ]);
    let ty = schema().implied_type();
    let known = object.clone().unknowns_as_null();
    let flat = b"id=i\nname=n\ntags.%=1\ntags.k.#=1\ntags.k.0=2\nzones.#=1\nzones.9=z\n".to_vec();
    let documents = vec![
        object.to_msgpack(&ty).unwrap(),
        known.to_msgpack(&ty).unwrap(),
        known.to_json(&ty).unwrap().into_bytes(),
        ty.to_json(),
        flat,
        Value::Null.to_msgpack(&ty).unwrap(),
        Value::list([Value::from("a"), Value::unknown()])
            .to_msgpack(&Type::list(Type::String))
            .unwrap(),
        b"\x92\xc4\x08\"number\"\xa30.1".to_vec(),
        b"{\"name\":\"a\"}".to_vec(),
        Vec::new(),
    ];
    let types = vec![
        ty,
        Type::Dynamic,
        Type::Number,
        Type::list(Type::String),
        Type::map(Type::list(Type::Dynamic)),
        Type::Tuple(vec![Type::Bool, Type::set(Type::Number)]),
        Type::object([("name", Type::String)]),
    ];
    (types, documents)
}

/// What requests are made of.
struct Parts<'d> {
    document: &'d [u8],
    msgpack: bool,
    version: i64,
    /// Whether prior and planned values are null.
    nulls: [bool; 2],
    short: bool,
}

impl Parts<'_> {
    fn value(&self) -> DynamicValue {
        let bytes = self.document.to_vec().into();
        if self.msgpack {
            DynamicValue { msgpack: bytes, ..Default::default() }
        } else {
            DynamicValue { json: bytes, ..Default::default() }
        }
    }

    fn value_or_null(&self, null: bool) -> DynamicValue {
        let nothing = DynamicValue { msgpack: vec![0xc0].into(), ..Default::default() };
        if null { nothing } else { self.value() }
    }

    fn raw(&self) -> RawState {
        let text = String::from_utf8_lossy(self.document).into_owned();
        let flatmap = text.lines().filter_map(|line| line.split_once('='));
        let flatmap = flatmap.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let json = if self.msgpack { self.document.to_vec() } else { Vec::new() };
        RawState { json, flatmap }
    }

    fn identity(&self) -> ResourceIdentityData {
        ResourceIdentityData { identity_data: Some(self.value()) }
    }
}

/// A request of a call around a document, in its wire form.
pub(super) fn request(name: &str, document: &[u8], random: &mut Random) -> Vec<u8> {
    let parts = Parts {
        document,
        msgpack: random.below(4) > 0,
        version: i64::try_from(random.below(4)).unwrap_or_default(),
        nulls: [random.one_in(2), random.one_in(4)],
        short: random.one_in(2),
    };
    check(name, &parts)
        .or_else(|| life(name, &parts))
        .or_else(|| other(name, &parts))
        .unwrap_or_default()
}

/// Checks and configuration.
fn check(name: &str, parts: &Parts<'_>) -> Option<Vec<u8>> {
    let type_name = NAME.to_owned();
    Some(match name {
        "validate_provider_config" => {
            proto::validate_provider_config::Request { config: Some(parts.value()) }.encode_to_vec()
        }
        "configure_provider" => {
            proto::configure_provider::Request { config: Some(parts.value()), ..Default::default() }
                .encode_to_vec()
        }
        "validate_resource_config" => proto::validate_resource_config::Request {
            type_name,
            config: Some(parts.value()),
            ..Default::default()
        }
        .encode_to_vec(),
        "validate_data_resource_config" => {
            proto::validate_data_resource_config::Request { type_name, config: Some(parts.value()) }
                .encode_to_vec()
        }
        "validate_ephemeral_resource_config" => {
            proto::validate_ephemeral_resource_config::Request {
                type_name,
                config: Some(parts.value()),
            }
            .encode_to_vec()
        }
        "validate_list_resource_config" => proto::validate_list_resource_config::Request {
            type_name,
            config: Some(parts.value()),
            ..Default::default()
        }
        .encode_to_vec(),
        "validate_action_config" => {
            proto::validate_action_config::Request { type_name, config: Some(parts.value()) }
                .encode_to_vec()
        }
        _ => return None,
    })
}

/// The life of a managed resource.
fn life(name: &str, parts: &Parts<'_>) -> Option<Vec<u8>> {
    let type_name = NAME.to_owned();
    Some(match name {
        "upgrade_resource_state" => proto::upgrade_resource_state::Request {
            type_name,
            version: parts.version,
            raw_state: Some(parts.raw()),
        }
        .encode_to_vec(),
        "upgrade_resource_identity" => proto::upgrade_resource_identity::Request {
            type_name,
            version: parts.version,
            raw_identity: Some(parts.raw()),
        }
        .encode_to_vec(),
        "read_resource" => proto::read_resource::Request {
            type_name,
            current_state: Some(parts.value()),
            current_identity: Some(parts.identity()),
            private: parts.document.to_vec(),
            ..Default::default()
        }
        .encode_to_vec(),
        "plan_resource_change" => proto::plan_resource_change::Request {
            type_name,
            prior_state: Some(parts.value_or_null(parts.nulls[0])),
            proposed_new_state: Some(parts.value_or_null(parts.nulls[1])),
            config: Some(parts.value()),
            prior_private: parts.document.to_vec(),
            provider_meta: Some(parts.value()),
            ..Default::default()
        }
        .encode_to_vec(),
        "apply_resource_change" => proto::apply_resource_change::Request {
            type_name,
            prior_state: Some(parts.value_or_null(parts.nulls[0])),
            planned_state: Some(parts.value_or_null(parts.nulls[1])),
            config: Some(parts.value()),
            ..Default::default()
        }
        .encode_to_vec(),
        "import_resource_state" => proto::import_resource_state::Request {
            type_name,
            id: if parts.short { String::new() } else { "name".to_owned() },
            identity: Some(parts.identity()),
            ..Default::default()
        }
        .encode_to_vec(),
        "move_resource_state" => proto::move_resource_state::Request {
            target_type_name: type_name,
            source_state: Some(parts.raw()),
            source_identity: Some(parts.raw()),
            ..Default::default()
        }
        .encode_to_vec(),
        "generate_resource_config" => {
            proto::generate_resource_config::Request { type_name, state: Some(parts.value()) }
                .encode_to_vec()
        }
        _ => return None,
    })
}

/// Everything else that carries a document.
fn other(name: &str, parts: &Parts<'_>) -> Option<Vec<u8>> {
    let type_name = NAME.to_owned();
    Some(match name {
        "read_data_source" => proto::read_data_source::Request {
            type_name,
            config: Some(parts.value()),
            ..Default::default()
        }
        .encode_to_vec(),
        "open_ephemeral_resource" => proto::open_ephemeral_resource::Request {
            type_name,
            config: Some(parts.value()),
            ..Default::default()
        }
        .encode_to_vec(),
        "call_function" => {
            let arguments = vec![parts.value(); usize::from(parts.short) + 1];
            proto::call_function::Request { name: "first".to_owned(), arguments }.encode_to_vec()
        }
        "plan_action" => proto::plan_action::Request {
            action_type: type_name,
            config: Some(parts.value()),
            ..Default::default()
        }
        .encode_to_vec(),
        "invoke_action" => proto::invoke_action::Request {
            action_type: type_name,
            config: Some(parts.value()),
            ..Default::default()
        }
        .encode_to_vec(),
        "list_resource" => proto::list_resource::Request {
            type_name,
            config: Some(parts.value()),
            include_resource_object: parts.short,
            limit: parts.version,
        }
        .encode_to_vec(),
        "renew_ephemeral_resource" | "close_ephemeral_resource" => {
            let private = Some(parts.document.to_vec());
            proto::renew_ephemeral_resource::Request { type_name, private }.encode_to_vec()
        }
        _ => return None,
    })
}
