//! Generated schemas with two configurations each.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::schema::{Attribute, Block, BlockNesting, Kind, NestedBlock, Nesting, Schema, Type};
use crate::value::Value;
use crate::value::strategy::value_of;

/// A schema, and what an object is first and later to be.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) schema: Schema,
    pub(super) configs: [Value; 2],
}

pub(super) fn world() -> impl Strategy<Value = World> {
    schema().prop_flat_map(|schema| {
        let configs = [config(&schema.block), config(&schema.block)];
        (Just(schema), configs).prop_map(|(schema, configs)| World { schema, configs })
    })
}

fn schema() -> impl Strategy<Value = Schema> {
    (attributes(true, false), vec(block(), 0..3)).prop_map(|(attributes, blocks)| {
        let id = Attribute::string("id").computed().keeps_prior();
        let blocks = blocks.into_iter().enumerate().map(|(number, mut block)| {
            block.name = format!("b{number}");
            block
        });
        Schema::new(1).attribute(id).attributes(attributes).blocks(blocks)
    })
}

fn block() -> impl Strategy<Value = NestedBlock> {
    use BlockNesting::{Group, List, Map, Set, Single};
    prop::sample::select(vec![Single, Group, List, Set, Map]).prop_flat_map(|nesting| {
        attributes(false, nesting == Set).prop_map(move |attributes| {
            let key = Attribute::string("key").required();
            let block = Block::new().attribute(key).attributes(attributes);
            let empty = NestedBlock::single("b", block);
            NestedBlock { nesting, ..empty }
        })
    })
}

/// Attributes; inside sets nothing is write-only or open, and nothing keeps its prior value.
fn attributes(nested: bool, in_set: bool) -> impl Strategy<Value = Vec<Attribute>> {
    vec(attribute(nested, in_set), 0..5).prop_map(|attributes| {
        let named = attributes.into_iter().enumerate().map(|(number, mut attribute)| {
            attribute.name = format!("a{number}");
            attribute
        });
        named.collect()
    })
}

fn attribute(nested: bool, in_set: bool) -> BoxedStrategy<Attribute> {
    let plain = (plain_type(nested && !in_set), 0..7_u8).prop_map(move |(ty, role)| {
        let attribute = Attribute::of("a", ty.clone());
        match role {
            0 => attribute.required(),
            1 => attribute.optional(),
            2 => attribute.optional().computed(),
            3 => attribute.computed(),
            4 if !in_set => attribute.optional().computed().keeps_prior(),
            5 if !in_set && ty == Type::String => attribute.optional().write_only(),
            6 if ty == Type::Number => attribute.default(7),
            _ => attribute.optional().replaces(),
        }
    });
    if !nested {
        return plain.boxed();
    }
    let nestings = vec![Nesting::Single, Nesting::List, Nesting::Set, Nesting::Map];
    let deep = prop::sample::select(nestings).prop_flat_map(move |nesting| {
        (attributes(false, in_set || nesting == Nesting::Set), 0..3_u8).prop_map(
            move |(inner, role)| {
                let key = Attribute::string("key").required();
                let all = std::iter::once(key).chain(inner);
                let attribute = Attribute::nested("a", nesting, all);
                match role {
                    0 => attribute.required(),
                    1 => attribute.optional(),
                    _ => attribute.optional().computed(),
                }
            },
        )
    });
    prop_oneof![3 => plain, 1 => deep].boxed()
}

fn plain_type(dynamic: bool) -> BoxedStrategy<Type> {
    let scalar = prop::sample::select(vec![Type::Bool, Type::Number, Type::String]);
    let some = prop_oneof![
        4 => scalar.clone(),
        1 => scalar.clone().prop_map(Type::list),
        1 => scalar.clone().prop_map(Type::set),
        1 => scalar.prop_map(Type::map),
    ];
    if dynamic { prop_oneof![8 => some, 1 => Just(Type::Dynamic)].boxed() } else { some.boxed() }
}

/// A wholly known configuration of a block.
fn config(block: &Block) -> BoxedStrategy<Value> {
    let attributes = objects(&block.attributes);
    let blocks: Vec<BoxedStrategy<(String, Value)>> = block
        .blocks
        .iter()
        .map(|nested| {
            let name = nested.name.clone();
            let one = config(&nested.block);
            let value = match nested.nesting {
                BlockNesting::Single => prop_oneof![Just(Value::Null), one].boxed(),
                BlockNesting::Group => one,
                BlockNesting::List | BlockNesting::Set => {
                    several(one).prop_map(Value::List).boxed()
                }
                BlockNesting::Map => several(one).prop_map(by_key).boxed(),
            };
            value.prop_map(move |value| (name.clone(), value)).boxed()
        })
        .collect();
    (attributes, blocks)
        .prop_map(|(object, blocks)| {
            blocks.into_iter().fold(object, |object, (name, value)| object.with(name, value))
        })
        .boxed()
}

fn objects(attributes: &[Attribute]) -> BoxedStrategy<Value> {
    let all: Vec<BoxedStrategy<(String, Value)>> = attributes
        .iter()
        .map(|attribute| {
            let name = attribute.name.clone();
            configured(attribute).prop_map(move |value| (name.clone(), value)).boxed()
        })
        .collect();
    all.prop_map(Value::object).boxed()
}

fn configured(attribute: &Attribute) -> BoxedStrategy<Value> {
    let set = match &attribute.kind {
        Kind::Plain(ty) => {
            let is_set = matches!(ty, Type::Set(_));
            value_of(ty).prop_map(move |value| if is_set { distinct(value) } else { value }).boxed()
        }
        Kind::Nested(Nesting::Single, inner) => objects(inner),
        Kind::Nested(Nesting::Map, inner) => several(objects(inner)).prop_map(by_key).boxed(),
        Kind::Nested(_, inner) => several(objects(inner)).prop_map(Value::List).boxed(),
    };
    match (attribute.required, attribute.optional) {
        (true, _) => set,
        (_, true) => prop_oneof![1 => Just(Value::Null), 2 => set].boxed(),
        _ => Just(Value::Null).boxed(),
    }
}

/// Objects that differ in their key, as the elements of a set must.
fn several(one: BoxedStrategy<Value>) -> impl Strategy<Value = Vec<Value>> {
    vec(one, 0..3).prop_map(|all| {
        let keyed = all.into_iter().enumerate();
        keyed.map(|(number, object)| object.with("key", format!("k{number}"))).collect()
    })
}

fn by_key(objects: Vec<Value>) -> Value {
    let key = |object: &Value| object.get("key").as_str().unwrap_or_default().to_owned();
    Value::map(objects.into_iter().map(|object| (key(&object), object)))
}

fn distinct(set: Value) -> Value {
    let Value::List(elements) = set else { return set };
    let mut kept: Vec<Value> = Vec::new();
    for element in elements {
        if !kept.contains(&element) {
            kept.push(element);
        }
    }
    Value::List(kept)
}

/// The configuration as it is while others are still to be made: some attributes are unknown.
pub(super) fn blur(schema: &Schema, config: &Value, seed: u64) -> Value {
    let mut random = Random(seed);
    let mut early = config.clone();
    for attribute in &schema.block.attributes {
        if let Some(value) = early.get_mut(&attribute.name) {
            blur_attribute(attribute, value, &mut random);
        }
    }
    for nested in &schema.block.blocks {
        let many = !matches!(nested.nesting, BlockNesting::Single | BlockNesting::Group);
        let Some(value) = early.get_mut(&nested.name) else { continue };
        value.each_object(many, &mut |object| {
            for attribute in &nested.block.attributes {
                if let Some(value) = object.get_mut(&attribute.name) {
                    blur_attribute(attribute, value, &mut random);
                }
            }
        });
    }
    early
}

fn blur_attribute(attribute: &Attribute, value: &mut Value, random: &mut Random) {
    // What is left open stays open: an expression may turn out null, but this one was not there.
    if value.is_null() || attribute.name == "key" {
        return;
    }
    if random.one_in(4) {
        *value = Value::unknown();
    } else if let Kind::Nested(nesting, inner) = &attribute.kind {
        value.each_object(*nesting != Nesting::Single, &mut |object| {
            for attribute in inner {
                if let Some(value) = object.get_mut(&attribute.name) {
                    blur_attribute(attribute, value, random);
                }
            }
        });
    }
}

/// Enough randomness for a choice (splitmix64).
struct Random(u64);

impl Random {
    fn one_in(&mut self, count: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).is_multiple_of(count)
    }
}
