use proptest::prelude::*;

use crate::schema::Type;
use crate::value::{Value, strategy};

fn round_trip(json: &str, ty: &Type) -> String {
    Value::from_json(json.as_bytes(), ty).unwrap().to_json(ty).unwrap()
}

fn problem(json: &str, ty: &Type) -> String {
    Value::from_json(json.as_bytes(), ty).unwrap_err().to_string()
}

#[test]
fn numbers_keep_every_digit() {
    let ty = Type::list(Type::Number);
    let json = "[0.1,12345678901234567890123,0.5,-3,18446744073709551615]";
    assert_eq!(round_trip(json, &ty), json);
    assert_eq!(round_trip("[1e3,\"2.50\"]", &ty), "[1000,2.5]");
}

#[test]
fn a_dynamic_value_is_stored_with_its_type() {
    let json = r#"{"value":[0.1],"type":["list","number"]}"#;
    assert_eq!(round_trip(json, &Type::Dynamic), json);
    assert_eq!(round_trip("null", &Type::Dynamic), "null");
}

#[test]
fn scalars_are_read_across_kinds_where_nothing_is_lost() {
    assert_eq!(round_trip("12.50", &Type::String), "\"12.50\"");
    assert_eq!(round_trip("true", &Type::String), "\"true\"");
    assert_eq!(round_trip("\"true\"", &Type::Bool), "true");
    assert_eq!(problem("\"yes\"", &Type::Bool), "a string where bool is wanted");
    assert_eq!(problem("[]", &Type::String), "an array where string is wanted");
}

#[test]
fn what_does_not_fit_is_told_with_its_path() {
    let ty = Type::object([("a", Type::list(Type::map(Type::Number)))]);
    assert_eq!(problem(r#"{"a":[{"k":"x"}]}"#, &ty), "a[0][\"k\"]: not a decimal number");
    assert_eq!(problem(r#"{"b":1}"#, &ty), "b: the schema has no such attribute");
    assert_eq!(problem("{", &ty).split(':').next(), Some("invalid JSON"));
}

#[test]
fn neither_unknowns_nor_infinity_can_be_stored() {
    assert!(Value::unknown().to_json(&Type::String).is_err());
    assert!(Value::from(f64::INFINITY).to_json(&Type::Number).is_err());
}

#[test]
fn bottomless_documents_are_refused() {
    for depth in [200, 100_000] {
        let json = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(super::decode_untyped(json.as_bytes()).is_err());
    }
}

proptest! {
    #[test]
    fn known_values_go_round((ty, value) in strategy::typed_value(false)) {
        let json = value.to_json(&ty).unwrap();
        prop_assert_eq!(Value::from_json(json.as_bytes(), &ty).unwrap(), value);
    }

    #[test]
    fn no_text_makes_the_decoder_panic(json in "[\\[\\]{}:,\"a-c0-9.e+-]{0,40}") {
        let ty = Type::object([("a", Type::list(Type::Number)), ("b", Type::Dynamic)]);
        let _ = Value::from_json(json.as_bytes(), &ty);
        let _ = super::decode_untyped(json.as_bytes());
    }
}
