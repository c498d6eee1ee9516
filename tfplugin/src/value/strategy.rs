//! Random types with values that conform to them.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::{Bound, Number, Refinement, Value};
use crate::schema::Type;

/// A type and a value of it; with unknowns if wanted.
pub(crate) fn typed_value(unknowns: bool) -> BoxedStrategy<(Type, Value)> {
    ty().prop_flat_map(move |ty| {
        let values = value(&ty, unknowns);
        (Just(ty), values)
    })
    .boxed()
}

/// A wholly known value of a type, not null.
pub(crate) fn value_of(ty: &Type) -> BoxedStrategy<Value> {
    known(ty, false)
}

fn ty() -> BoxedStrategy<Type> {
    let leaf =
        prop_oneof![Just(Type::Bool), Just(Type::Number), Just(Type::String), Just(Type::Dynamic)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::set),
            inner.clone().prop_map(Type::map),
            vec(inner.clone(), 0..4).prop_map(Type::Tuple),
            btree_map("[a-z_]{1,6}", inner, 0..4).prop_map(Type::Object),
        ]
    })
    .boxed()
}

fn value(ty: &Type, unknowns: bool) -> BoxedStrategy<Value> {
    let known = known(ty, unknowns);
    if unknowns {
        prop_oneof![8 => known, 1 => Just(Value::Null), 1 => unknown(ty)].boxed()
    } else {
        prop_oneof![8 => known, 1 => Just(Value::Null)].boxed()
    }
}

fn known(ty: &Type, unknowns: bool) -> BoxedStrategy<Value> {
    match ty {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Number => number().prop_map(Value::Number).boxed(),
        Type::String => any::<String>().prop_map(Value::String).boxed(),
        Type::List(element) | Type::Set(element) => {
            vec(value(element, unknowns), 0..4).prop_map(Value::List).boxed()
        }
        Type::Map(element) => {
            btree_map(any::<String>(), value(element, unknowns), 0..4).prop_map(Value::Map).boxed()
        }
        Type::Tuple(types) => {
            let elements: Vec<_> = types.iter().map(|ty| value(ty, unknowns)).collect();
            elements.prop_map(Value::List).boxed()
        }
        Type::Object(attributes) => {
            let names: Vec<String> = attributes.keys().cloned().collect();
            let values: Vec<_> = attributes.values().map(|ty| value(ty, unknowns)).collect();
            values
                .prop_map(move |values| Value::Map(names.iter().cloned().zip(values).collect()))
                .boxed()
        }
        Type::Dynamic => prop_oneof![
            any::<String>().prop_map(|text| Value::typed(Type::String, text.into())),
            number().prop_map(|number| Value::typed(Type::Number, number.into())),
            vec(number(), 0..4).prop_map(|numbers| {
                Value::typed(Type::list(Type::Number), Value::from(numbers))
            }),
            Just(Value::typed(Type::map(Type::Bool), Value::Map(BTreeMap::new()))),
        ]
        .boxed(),
    }
}

fn number() -> BoxedStrategy<Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any::<f64>()
            .prop_filter("finite", |float| float.is_finite())
            .prop_map(|float| Number::from_f64_exact(float).unwrap()),
        "-?[0-9]{1,40}(\\.[0-9]{1,40})?".prop_map(|text| text.parse().unwrap()),
    ]
    .boxed()
}

fn unknown(ty: &Type) -> BoxedStrategy<Value> {
    let bound = (number(), any::<bool>())
        .prop_map(|(value, inclusive)| Some(Bound { value, inclusive }))
        .boxed();
    let null = prop_oneof![Just(None), Just(Some(false))];
    let refinement: BoxedStrategy<Refinement> = match ty {
        Type::Dynamic => Just(Refinement::default()).boxed(),
        // An empty prefix promises nothing, so it does not come back.
        Type::String => (null, prop::option::of(".{1,12}"))
            .prop_map(|(null, string_prefix)| Refinement {
                null,
                string_prefix,
                ..Default::default()
            })
            .boxed(),
        Type::Number => (null, bound.clone(), bound)
            .prop_map(|(null, number_min, number_max)| Refinement {
                null,
                number_min,
                number_max,
                ..Default::default()
            })
            .boxed(),
        Type::List(_) | Type::Set(_) | Type::Map(_) => (null, any::<Option<i64>>())
            .prop_map(|(null, length_max)| Refinement {
                null,
                length_min: Some(0),
                length_max,
                ..Default::default()
            })
            .boxed(),
        _ => null.prop_map(|null| Refinement { null, ..Default::default() }).boxed(),
    };
    refinement.prop_map(Value::Unknown).boxed()
}
