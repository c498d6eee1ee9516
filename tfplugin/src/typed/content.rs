//! Between Rust values and Terraform's.

use std::collections::{BTreeMap, BTreeSet};

use super::Attr;
use crate::path::Step;
use crate::schema::Type;
use crate::value::{Number, Value, ValueError, index};

/// A struct whose fields are the attributes of an object. Derived with `#[derive(Model)]`.
pub trait Model: Sized + Send + Sync + 'static {
    /// The attributes.
    fn fields() -> Vec<ModelField>;

    /// Reads an object. Absent attributes are null.
    fn from_value(value: &Value) -> Result<Self, ValueError>;

    /// Writes an object.
    fn into_value(self) -> Value;
}

/// What a schema has to agree with: one field of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelField {
    /// Name of the attribute.
    pub name: &'static str,
    /// Type of its values.
    pub ty: Type,
    /// Whether its values are kept out of logs, see [`Sensitive`](super::Sensitive).
    pub masked: bool,
    /// The fields of the objects that it holds, if it holds such.
    pub inner: Vec<ModelField>,
}

impl ModelField {
    /// The field of this name and Rust type.
    pub fn of<F: Field>(name: &'static str) -> Self {
        Self { name, ty: F::ty(), masked: F::MASKED, inner: F::inner() }
    }
}

/// A field of a model: an [`Attr`], or a [`Value`] where the schema leaves the type open.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot hold what is null or not known yet",
    label = "wrap it: `Attr<{Self}>`"
)]
pub trait Field: Sized {
    /// Whether its values are kept out of logs.
    const MASKED: bool = false;

    /// The type of its values.
    fn ty() -> Type;

    /// The fields of the objects that it holds, if it holds such.
    fn inner() -> Vec<ModelField> {
        Vec::new()
    }

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
    /// Whether it is kept out of logs.
    const MASKED: bool = false;

    /// The type of its values.
    fn ty() -> Type;

    /// The fields of the objects that it holds, if it holds such.
    fn inner() -> Vec<ModelField> {
        Vec::new()
    }

    /// Reads a value. What holds an unknown element, and cannot say so itself, is unknown.
    fn read(value: &Value) -> Result<Attr<Self>, ValueError>;

    /// Writes a value.
    fn write(self) -> Value;
}

impl<T: Content> Field for Attr<T> {
    const MASKED: bool = T::MASKED;

    fn ty() -> Type {
        T::ty()
    }

    fn inner() -> Vec<ModelField> {
        T::inner()
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
    fn ty() -> Type {
        Type::Dynamic
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

/// Reads a nested object.
pub fn read_object<M: Model>(value: &Value) -> Result<Attr<M>, ValueError> {
    match value.as_map() {
        Some(_) => M::from_value(value).map(Attr::Known),
        None => Err(misfit("an object", value)),
    }
}

/// The type of a model's objects.
pub fn object_type<M: Model>() -> Type {
    Type::object(M::fields().into_iter().map(|field| (field.name, field.ty)))
}

fn misfit(wanted: &str, value: &Value) -> ValueError {
    ValueError::new(format!("{} where {wanted} is wanted", value.kind()))
}

macro_rules! scalars {
    ($($content:ty: $ty:expr, $wanted:literal, $read:expr;)*) => {$(
        impl Content for $content {
            fn ty() -> Type {
                $ty
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

/// Reads elements; any that is unknown makes the whole unknown, and null is refused.
fn elements<'v, T, C>(
    all: impl Iterator<Item = (Step, &'v Value)>,
    keep: impl Fn(Step, T) -> C,
    read: impl Fn(&Value) -> Result<Attr<T>, ValueError>,
) -> Result<Attr<Vec<C>>, ValueError> {
    let mut known = Vec::new();
    for (step, value) in all {
        let element = match value.plain() {
            Value::Null => Err(ValueError::new("null where an element is wanted")),
            Value::Unknown(_) => Ok(Attr::Unknown),
            _ => read(value),
        };
        match element.map_err(|error| error.below(step.clone()))? {
            Attr::Known(element) => known.push(keep(step, element)),
            Attr::Null | Attr::Unknown => return Ok(Attr::Unknown),
        }
    }
    Ok(Attr::Known(known))
}

fn list<T: Content>(value: &Value) -> Result<Attr<Vec<T>>, ValueError> {
    let all = value.as_list().ok_or_else(|| misfit("a list", value))?;
    let all = all.iter().enumerate().map(|(position, value)| (index(position), value));
    elements(all, |_, element| element, T::read)
}

impl<T: Content> Content for Vec<T> {
    const MASKED: bool = T::MASKED;

    fn ty() -> Type {
        Type::list(T::ty())
    }

    fn inner() -> Vec<ModelField> {
        T::inner()
    }

    fn read(value: &Value) -> Result<Attr<Self>, ValueError> {
        list(value)
    }

    fn write(self) -> Value {
        Value::list(self.into_iter().map(T::write))
    }
}

impl<T: Content + Ord> Content for BTreeSet<T> {
    const MASKED: bool = T::MASKED;

    fn ty() -> Type {
        Type::set(T::ty())
    }

    fn inner() -> Vec<ModelField> {
        T::inner()
    }

    fn read(value: &Value) -> Result<Attr<Self>, ValueError> {
        Ok(list(value)?.map(|elements| elements.into_iter().collect()))
    }

    fn write(self) -> Value {
        Value::list(self.into_iter().map(T::write))
    }
}

impl<T: Content> Content for BTreeMap<String, T> {
    const MASKED: bool = T::MASKED;

    fn ty() -> Type {
        Type::map(T::ty())
    }

    fn inner() -> Vec<ModelField> {
        T::inner()
    }

    fn read(value: &Value) -> Result<Attr<Self>, ValueError> {
        let all = value.as_map().ok_or_else(|| misfit("a map", value))?;
        let all = all.iter().map(|(key, value)| (Step::Key(key.clone()), value));
        let named = |step, element| match step {
            Step::Key(key) | Step::Attribute(key) => (key, element),
            Step::Index(index) => (index.to_string(), element),
        };
        Ok(elements(all, named, T::read)?.map(|elements| elements.into_iter().collect()))
    }

    fn write(self) -> Value {
        Value::map(self.into_iter().map(|(key, element)| (key, element.write())))
    }
}
