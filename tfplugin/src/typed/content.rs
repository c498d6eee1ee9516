//! Between Rust values and Terraform's.

use std::collections::{BTreeMap, BTreeSet};

use super::Attr;
use crate::path::Step;
use crate::schema::{Block, Nesting, Schema, Type};
use crate::value::{Number, Value, ValueError, index};
use crate::{Diagnostic, Diagnostics, IdentitySchema};

/// A struct whose fields are the attributes of an object. Derived with `#[derive(Model)]`.
pub trait Model: Sized + Send + Sync + 'static {
    /// The attributes.
    fn fields() -> Vec<ModelField>;

    /// Reads an object. Absent attributes are null.
    fn from_value(value: &Value) -> Result<Self, ValueError>;

    /// Writes an object.
    fn into_value(self) -> Value;

    /// What a block of it holds: an attribute for each field.
    fn block() -> Block;

    /// Version of its stored state.
    fn version() -> i64 {
        0
    }

    /// The fields that identify an object, if any are said to.
    fn identity() -> Option<IdentitySchema> {
        None
    }

    /// The schema of a resource, data source or the like whose block this is.
    fn schema() -> Schema {
        Schema { block: Self::block(), ..Schema::new(Self::version()) }.model::<Self>()
    }
}

/// One field of a model: what a schema has to agree with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelField {
    /// Name of the attribute.
    pub name: &'static str,
    /// What it holds.
    pub shape: FieldShape,
}

impl ModelField {
    /// The field of this name and Rust type.
    pub fn of<F: Field>(name: &'static str) -> Self {
        Self { name, shape: F::shape() }
    }
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldShape {
    /// Type of its values.
    pub ty: Type,
    /// Whether its values are kept out of logs, see [`Sensitive`](super::Sensitive).
    pub masked: bool,
    /// The fields of the objects in it, if there are such.
    pub inner: Vec<ModelField>,
    /// How it holds them, and what each of them may hold.
    pub nested: Option<(Nesting, Block)>,
}

impl FieldShape {
    /// Plain values of a type.
    pub fn plain(ty: Type) -> Self {
        Self { ty, masked: false, inner: Vec::new(), nested: None }
    }

    /// A collection of such values. Collections of collections are plain types.
    fn within(self, collection: fn(Type) -> Type, nesting: Nesting) -> Self {
        let nested = self.nested.filter(|(inner, _)| *inner == Nesting::Single);
        let nested = nested.map(|(_, block)| (nesting, block));
        Self { ty: collection(self.ty), nested, ..self }
    }
}

/// A field of a model: an [`Attr`], or a [`Value`] where the schema leaves the type open.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot hold what is null or not known yet",
    label = "wrap it: `Attr<{Self}>`"
)]
pub trait Field: Sized {
    /// What it holds.
    fn shape() -> FieldShape;

    /// Reads the attribute.
    fn read(value: &Value) -> Result<Self, ValueError>;

    /// Writes the attribute.
    fn write(self) -> Value;
}

/// What an [`Attr`] can hold.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that an attribute can hold",
    note = "bool, numbers, String, Vec, BTreeSet, BTreeMap<String, _>, Sensitive<_> and structs with \
            #[derive(Model)] are"
)]
pub trait Content: Sized {
    /// What that is.
    fn shape() -> FieldShape;

    /// Reads a value. What holds an unknown element, and cannot say so itself, is unknown.
    fn read(value: &Value) -> Result<Attr<Self>, ValueError>;

    /// Writes a value.
    fn write(self) -> Value;

    /// Reads an element of a collection. One that is null is refused, and one that is not known makes the whole unknown;
    /// where elements may be either, they are an [`Attr`] of their own: `Attr<Vec<Attr<String>>>`.
    fn read_element(value: &Value) -> Result<Attr<Self>, ValueError> {
        match value.plain() {
            Value::Null => Err(ValueError::new("null where an element is wanted")),
            Value::Unknown(_) => Ok(Attr::Unknown),
            _ => Self::read(value),
        }
    }
}

/// An element that may be null or not known.
impl<T: Content> Content for Attr<T> {
    fn shape() -> FieldShape {
        T::shape()
    }

    fn read(value: &Value) -> Result<Attr<Self>, ValueError> {
        <Self as Field>::read(value).map(Attr::Known)
    }

    fn write(self) -> Value {
        Field::write(self)
    }

    fn read_element(value: &Value) -> Result<Attr<Self>, ValueError> {
        Content::read(value)
    }
}

impl<T: Content> Field for Attr<T> {
    fn shape() -> FieldShape {
        T::shape()
    }

    fn read(value: &Value) -> Result<Self, ValueError> {
        match value.plain() {
            Value::Null => Ok(Self::Null),
            Value::Unknown(_) => Ok(Self::Unknown),
            _ => T::read(value),
        }
    }

    fn write(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Unknown => Value::unknown(),
            Self::Known(value) => value.write(),
        }
    }
}

impl Field for Value {
    fn shape() -> FieldShape {
        FieldShape::plain(Type::Dynamic)
    }

    fn read(value: &Value) -> Result<Self, ValueError> {
        Ok(value.clone())
    }

    fn write(self) -> Value {
        self
    }
}

/// Reads one attribute of an object; the error names it.
pub fn read_field<F: Field>(object: &Value, name: &str) -> Result<F, ValueError> {
    F::read(object.get(name)).map_err(|error| error.below(Step::Attribute(name.to_owned())))
}

/// Reads the block of something that has a name; the misfit is for the user.
pub(crate) fn read_block<M: Model>(type_name: &str, block: &Value) -> Result<M, Diagnostics> {
    M::from_value(block).map_err(|error| {
        let detail = format!("A value of {type_name} cannot be used: {error}.");
        Diagnostic::error("Invalid value", detail).at(error.path).into()
    })
}

/// Reads a nested object.
pub fn read_object<M: Model>(value: &Value) -> Result<Attr<M>, ValueError> {
    match value.as_map() {
        Some(_) => M::from_value(value).map(Attr::Known),
        None => Err(misfit("an object", value)),
    }
}

/// What a model's objects are.
pub fn object_shape<M: Model>() -> FieldShape {
    let inner = M::fields();
    let types = inner.iter().map(|field| (field.name, field.shape.ty.clone()));
    let nested = Some((Nesting::Single, M::block()));
    FieldShape { ty: Type::object(types), masked: false, inner, nested }
}

fn misfit(wanted: &str, value: &Value) -> ValueError {
    ValueError::new(format!("{} where {wanted} is wanted", value.kind()))
}

macro_rules! scalars {
    ($($content:ty: $ty:expr, $wanted:literal, $read:expr;)*) => {$(
        impl Content for $content {
            fn shape() -> FieldShape {
                FieldShape::plain($ty)
            }

            fn read(value: &Value) -> Result<Attr<Self>, ValueError> {
                let read: fn(&Value) -> Option<Self> = $read;
                read(value).map(Attr::Known).ok_or_else(|| misfit($wanted, value))
            }

            fn write(self) -> Value {
                Value::from(self)
            }
        }
    )*};
}
scalars! {
    bool: Type::Bool, "a bool", Value::as_bool;
    String: Type::String, "a string", |value| value.as_str().map(str::to_owned);
    i64: Type::Number, "a whole number of 64 bits", Value::as_i64;
    u64: Type::Number, "a natural number of 64 bits", Value::as_u64;
    u32: Type::Number, "a natural number of 32 bits", |value| value.as_u64()?.try_into().ok();
    u16: Type::Number, "a natural number of 16 bits", |value| value.as_u64()?.try_into().ok();
    f64: Type::Number, "a number", Value::as_f64;
    Number: Type::Number, "a number", |value| value.as_number().cloned();
}

/// Reads elements; any that is unknown, and cannot say so itself, makes the whole unknown.
fn elements<'v, T, C>(
    all: impl Iterator<Item = (Step, &'v Value)>,
    keep: impl Fn(Step, T) -> C,
    read: impl Fn(&Value) -> Result<Attr<T>, ValueError>,
) -> Result<Attr<Vec<C>>, ValueError> {
    let mut known = Vec::new();
    for (step, value) in all {
        match read(value).map_err(|error| error.below(step.clone()))? {
            Attr::Known(element) => known.push(keep(step, element)),
            Attr::Null | Attr::Unknown => return Ok(Attr::Unknown),
        }
    }
    Ok(Attr::Known(known))
}

fn list<T: Content>(value: &Value) -> Result<Attr<Vec<T>>, ValueError> {
    let all = value.as_list().ok_or_else(|| misfit("a list", value))?;
    let all = all.iter().enumerate().map(|(position, value)| (index(position), value));
    elements(all, |_, element| element, T::read_element)
}

impl<T: Content> Content for Vec<T> {
    fn shape() -> FieldShape {
        T::shape().within(Type::list, Nesting::List)
    }

    fn read(value: &Value) -> Result<Attr<Self>, ValueError> {
        list(value)
    }

    fn write(self) -> Value {
        Value::list(self.into_iter().map(T::write))
    }
}

impl<T: Content + Ord> Content for BTreeSet<T> {
    fn shape() -> FieldShape {
        T::shape().within(Type::set, Nesting::Set)
    }

    fn read(value: &Value) -> Result<Attr<Self>, ValueError> {
        Ok(list(value)?.map(|elements| elements.into_iter().collect()))
    }

    fn write(self) -> Value {
        Value::list(self.into_iter().map(T::write))
    }
}

impl<T: Content> Content for BTreeMap<String, T> {
    fn shape() -> FieldShape {
        T::shape().within(Type::map, Nesting::Map)
    }

    fn read(value: &Value) -> Result<Attr<Self>, ValueError> {
        let all = value.as_map().ok_or_else(|| misfit("a map", value))?;
        let all = all.iter().map(|(key, value)| (Step::Key(key.clone()), value));
        let named = |step, element| match step {
            Step::Key(key) | Step::Attribute(key) => (key, element),
            Step::Index(index) => (index.to_string(), element),
        };
        Ok(elements(all, named, T::read_element)?.map(|elements| elements.into_iter().collect()))
    }

    fn write(self) -> Value {
        Value::map(self.into_iter().map(|(key, element)| (key, element.write())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(crate::Model, Debug, PartialEq)]
    struct Open {
        tags: Attr<BTreeMap<String, Attr<String>>>,
        names: Attr<Vec<String>>,
    }

    #[test]
    fn elements_are_null_or_unknown_where_they_say_so_and_nowhere_else() {
        let tags = Value::map([("a", Value::Null), ("b", Value::unknown()), ("c", "d".into())]);
        let names = Value::list([Value::from("x"), Value::unknown()]);
        let value = Value::object([("tags", tags), ("names", names)]);
        let read = Open::from_value(&value).unwrap();
        let elements = read.tags.known().unwrap();
        assert_eq!(elements["a"], Attr::Null);
        assert_eq!(elements["b"], Attr::Unknown);
        assert_eq!(elements["c"], Attr::from("d"));
        assert_eq!(read.names, Attr::Unknown);
        assert_eq!(read.into_value(), value.clone().with("names", Value::unknown()));
        let nulls = value.with("names", Value::list([Value::Null]));
        let refused = Open::from_value(&nulls).unwrap_err().to_string();
        assert!(refused.contains("names[0]") && refused.contains("null"), "{refused}");
        assert_eq!(Open::block().attributes[0].implied_type(), Type::map(Type::String));
    }
}
