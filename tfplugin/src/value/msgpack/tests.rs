use proptest::prelude::*;

use crate::schema::Type;
use crate::value::{Number, Refinement, Value, strategy};

fn decode(document: &[u8], ty: &Type) -> Value {
    Value::from_msgpack(document, ty).unwrap()
}

fn problem(document: &[u8], ty: &Type) -> String {
    Value::from_msgpack(document, ty).unwrap_err().to_string()
}

#[test]
fn the_bytes_are_those_of_terraform() {
    let big: Number = "12345678901234567890123".parse().unwrap();
    let cases: [(Value, Type, &[u8]); 12] = [
        (Value::Null, Type::String, b"\xc0"),
        (Value::from(true), Type::Bool, b"\xc3"),
        (Value::from("ab"), Type::String, b"\xa2ab"),
        (Value::from(3), Type::Number, b"\x03"),
        (Value::from(-200), Type::Number, b"\xd1\xff\x38"),
        (Value::from(0.5), Type::Number, b"\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00"),
        (Value::from(0.1), Type::Number, b"\xa30.1"),
        (Value::Number(big), Type::Number, b"\xb712345678901234567890123"),
        (Value::unknown(), Type::String, b"\xd4\x00\x00"),
        (Value::Unknown(Refinement::not_null()), Type::String, b"\xc7\x03\x0c\x81\x01\xc2"),
        (
            Value::typed(Type::String, Value::from("a")),
            Type::Dynamic,
            b"\x92\xc4\x08\"string\"\xa1a",
        ),
        (
            Value::object([("b", Value::from(1)), ("a", Value::Null)]),
            Type::object([("a", Type::String), ("b", Type::Number)]),
            b"\x82\xa1a\xc0\xa1b\x01",
        ),
    ];
    for (value, ty, bytes) in cases {
        assert_eq!(value.to_msgpack(&ty).unwrap(), bytes, "{value:?}");
        assert_eq!(decode(bytes, &ty), value);
    }
}

#[test]
fn a_dynamic_value_without_a_type_gets_the_narrowest() {
    let value = Value::object([("a", Value::from(vec![1, 2])), ("b", Value::Null)]);
    let sent = value.to_msgpack(&Type::Dynamic).unwrap();
    let Value::Typed(typed) = decode(&sent, &Type::Dynamic) else { panic!("it carries a type") };
    assert_eq!(typed.ty.to_string(), "object({a = tuple([number, number]), b = any})");
    assert_eq!(typed.value, value);
}

#[test]
fn absent_attributes_become_null() {
    let ty = Type::object([("a", Type::String), ("b", Type::Number)]);
    let expected = Value::object([("a", Value::Null), ("b", Value::from(1))]);
    assert_eq!(decode(b"\x81\xa1b\x01", &ty), expected);
}

#[test]
fn what_does_not_fit_is_told_with_its_path() {
    let ty = Type::object([("a", Type::list(Type::map(Type::Bool)))]);
    assert_eq!(
        problem(b"\x81\xa1a\x91\x81\xa1k\x01", &ty),
        "a[0][\"k\"]: a number where bool is wanted"
    );
    assert_eq!(problem(b"\x81\xa1b\xc0", &ty), "b: the schema has no such attribute");
    assert_eq!(problem(b"\x81\xa1a\x92\x80\x81", &ty), "a[1]: the msgpack document ends early");
    assert_eq!(problem(b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", &Type::Number), "not-a-number");
    assert_eq!(
        problem(b"\xc0\xc0", &Type::Bool),
        "something follows the end of the msgpack document"
    );
}

#[test]
fn an_announced_length_allocates_nothing() {
    let cases: [(&[u8], Type); 4] = [
        (b"\xdd\xff\xff\xff\xff\xc0", Type::list(Type::String)),
        (b"\xdf\xff\xff\xff\xff\xa1a\xc0", Type::map(Type::String)),
        (b"\xdb\xff\xff\xff\xffa", Type::String),
        (b"\xc9\xff\xff\xff\xff\x0ca", Type::String),
    ];
    for (document, ty) in cases {
        assert_eq!(problem(document, &ty), "the msgpack document ends early");
    }
}

#[test]
fn bottomless_documents_are_refused() {
    // A dynamic value inside a dynamic value has no type to be read by.
    let document = b"\x92\xc4\x09\"dynamic\"".repeat(10_000);
    assert!(Value::from_msgpack(&document, &Type::Dynamic).is_err());

    let ty = (0..200).fold(Type::String, |ty, _| Type::list(ty));
    let document = [b"\x91".repeat(200), b"\xa0".to_vec()].concat();
    assert!(problem(&document, &ty).ends_with("nested deeper than 128 levels"));
}

#[test]
fn promises_of_later_versions_are_passed_over() {
    assert_eq!(
        decode(b"\xc7\x05\x0c\x82\x01\xc2\x63\xc0", &Type::String),
        Value::Unknown(Refinement::not_null())
    );
    assert_eq!(decode(b"\xd4\x63\x00", &Type::String), Value::unknown());
}

proptest! {
    #[test]
    fn values_go_round((ty, value) in strategy::typed_value(true)) {
        let document = value.to_msgpack(&ty).unwrap();
        prop_assert_eq!(decode(&document, &ty), value);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(
        (ty, _) in strategy::typed_value(true),
        document in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let _ = Value::from_msgpack(&document, &ty);
    }

    #[test]
    fn a_damaged_document_does_not_make_the_decoder_panic(
        (ty, value) in strategy::typed_value(true),
        position: prop::sample::Index,
        byte: u8,
    ) {
        let mut document = value.to_msgpack(&ty).unwrap();
        let position = position.index(document.len());
        document[position] = byte;
        let _ = Value::from_msgpack(&document, &ty);
    }
}
