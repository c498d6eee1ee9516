//! From values to msgpack.

use std::collections::BTreeMap;
use std::fmt::Display;

use rmp::encode::{self, ByteBuf};

use super::{REFINED, refinement_key};
use crate::path::Step;
use crate::schema::Type;
use crate::value::error::{Place, index};
use crate::value::number::Form;
use crate::value::{Bound, Number, Refinement, Value, ValueError};

/// Writes a value by a type. Absent attributes of objects are null; everything else must fit.
pub(crate) fn encode(value: &Value, ty: &Type) -> Result<Vec<u8>, ValueError> {
    let mut encoder = Encoder::default();
    encoder.value(value, ty)?;
    Ok(encoder.out.into_vec())
}

#[derive(Default)]
struct Encoder {
    out: ByteBuf,
    place: Place,
}

impl Encoder {
    fn value(&mut self, value: &Value, ty: &Type) -> Result<(), ValueError> {
        match (value, ty) {
            (Value::Typed(typed), Type::Dynamic) => self.dynamic(&typed.value, &typed.ty),
            (Value::Typed(typed), _) => self.value(&typed.value, ty),
            (Value::Null, _) => self.nil(),
            (Value::Unknown(refinement), _) => self.unknown(refinement, ty),
            (_, Type::Dynamic) => {
                let ty = value.infer(&mut self.place)?;
                self.dynamic(value, &ty)
            }
            (Value::Bool(value), Type::Bool) => self.bool(*value),
            (Value::Number(number), Type::Number) => self.number(number),
            (Value::String(text), Type::String) => self.text(text),
            (Value::List(elements), Type::List(ty) | Type::Set(ty)) => {
                self.elements(elements, std::iter::repeat(ty.as_ref()))
            }
            (Value::List(elements), Type::Tuple(types)) if elements.len() == types.len() => {
                self.elements(elements, types)
            }
            (Value::Map(elements), Type::Map(ty)) => self.map(elements, ty),
            (Value::Map(values), Type::Object(attributes)) => self.object(values, attributes),
            _ => Err(self.place.error(format!("{} where {ty} is wanted", value.kind()))),
        }
    }

    fn elements<'t>(
        &mut self,
        elements: &[Value],
        types: impl IntoIterator<Item = &'t Type>,
    ) -> Result<(), ValueError> {
        self.array(elements.len())?;
        for (position, (value, ty)) in elements.iter().zip(types).enumerate() {
            self.within(index(position), |encoder| encoder.value(value, ty))?;
        }
        Ok(())
    }

    fn map(&mut self, elements: &BTreeMap<String, Value>, ty: &Type) -> Result<(), ValueError> {
        let length = self.length(elements.len())?;
        let written = encode::write_map_len(&mut self.out, length);
        self.written(written)?;
        for (key, value) in elements {
            self.text(key)?;
            self.within(Step::Key(key.clone()), |encoder| encoder.value(value, ty))?;
        }
        Ok(())
    }

    fn object(
        &mut self,
        values: &BTreeMap<String, Value>,
        attributes: &BTreeMap<String, Type>,
    ) -> Result<(), ValueError> {
        if let Some(name) = values.keys().find(|name| !attributes.contains_key(*name)) {
            return self.within(Step::Attribute(name.clone()), |encoder| {
                Err(encoder.place.error("the schema has no such attribute"))
            });
        }
        let length = self.length(attributes.len())?;
        let written = encode::write_map_len(&mut self.out, length);
        self.written(written)?;
        for (name, ty) in attributes {
            self.text(name)?;
            let value = values.get(name).unwrap_or(&Value::Null);
            self.within(Step::Attribute(name.clone()), |encoder| encoder.value(value, ty))?;
        }
        Ok(())
    }

    /// A value of open type: its type, then itself.
    fn dynamic(&mut self, value: &Value, ty: &Type) -> Result<(), ValueError> {
        if *ty == Type::Dynamic {
            return self.value(value, ty);
        }
        self.array(2)?;
        let written = encode::write_bin(&mut self.out, &ty.to_json());
        self.written(written)?;
        self.value(value, ty)
    }

    fn unknown(&mut self, refinement: &Refinement, ty: &Type) -> Result<(), ValueError> {
        if refinement.null == Some(true) {
            return self.nil();
        }
        let (count, body) = self.promises(refinement, ty)?;
        if count == 0 {
            // What Terraform itself sends: a fixed extension of type 0 and one byte.
            let written = encode::write_ext_meta(&mut self.out, 1, 0);
            self.written(written)?;
            self.out.as_mut_vec().push(0);
            return Ok(());
        }
        let length = self.length(body.len() + 1)?;
        let written = encode::write_ext_meta(&mut self.out, length, REFINED);
        self.written(written)?;
        // A map of up to fifteen entries has a length of one byte.
        self.out.as_mut_vec().push(0x80 | count);
        self.out.as_mut_vec().extend(body);
        Ok(())
    }

    /// The promises that a type can carry: how many, and the keys and values.
    fn promises(&self, refinement: &Refinement, ty: &Type) -> Result<(u8, Vec<u8>), ValueError> {
        let mut inner = Self::default();
        let mut count = 0;
        let mut promise = |key: i64, write: &dyn Fn(&mut Self) -> Result<(), ValueError>| {
            count += 1;
            inner.integer(key)?;
            write(&mut inner)
        };
        if let (Some(null), false) = (refinement.null, *ty == Type::Dynamic) {
            promise(refinement_key::NULL, &|inner| inner.bool(null))?;
        }
        if let (Some(prefix), Type::String) = (&refinement.string_prefix, ty) {
            promise(refinement_key::STRING_PREFIX, &|inner| inner.text(prefix))?;
        }
        if *ty == Type::Number {
            let bounds = [
                (refinement_key::NUMBER_MIN, &refinement.number_min),
                (refinement_key::NUMBER_MAX, &refinement.number_max),
            ];
            for (key, bound) in bounds {
                if let Some(Bound { value, inclusive }) = bound {
                    promise(key, &|inner| {
                        inner.array(2)?;
                        inner.number(value)?;
                        inner.bool(*inclusive)
                    })?;
                }
            }
        }
        if matches!(ty, Type::List(_) | Type::Set(_) | Type::Map(_)) {
            let lengths = [
                (refinement_key::LENGTH_MIN, refinement.length_min),
                (refinement_key::LENGTH_MAX, refinement.length_max),
            ];
            for (key, length) in lengths {
                if let Some(length) = length {
                    promise(key, &|inner| inner.integer(length))?;
                }
            }
        }
        Ok((count, inner.out.into_vec()))
    }

    fn nil(&mut self) -> Result<(), ValueError> {
        let written = encode::write_nil(&mut self.out);
        self.written(written)
    }

    fn bool(&mut self, value: bool) -> Result<(), ValueError> {
        let written = encode::write_bool(&mut self.out, value);
        self.written(written)
    }

    fn integer(&mut self, value: i64) -> Result<(), ValueError> {
        let written = encode::write_sint(&mut self.out, value);
        self.written(written)
    }

    fn number(&mut self, number: &Number) -> Result<(), ValueError> {
        match number.form() {
            Form::Int(value) => self.integer(*value),
            Form::Uint(value) => {
                let written = encode::write_uint(&mut self.out, *value);
                self.written(written)
            }
            Form::Float(value) => {
                let written = encode::write_f64(&mut self.out, *value);
                self.written(written)
            }
            Form::Decimal(text) => self.text(text),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), ValueError> {
        self.length(text.len())?;
        let written = encode::write_str(&mut self.out, text);
        self.written(written)
    }

    fn array(&mut self, count: usize) -> Result<(), ValueError> {
        let count = self.length(count)?;
        let written = encode::write_array_len(&mut self.out, count);
        self.written(written)
    }

    fn length(&self, length: usize) -> Result<u32, ValueError> {
        u32::try_from(length).map_err(|_| self.place.error("too long to be sent"))
    }

    fn written<T, E: Display>(&self, result: Result<T, E>) -> Result<(), ValueError> {
        result.map(drop).map_err(|error| self.place.error(error.to_string()))
    }

    fn within(
        &mut self,
        step: Step,
        action: impl FnOnce(&mut Self) -> Result<(), ValueError>,
    ) -> Result<(), ValueError> {
        self.place.enter(step)?;
        let result = action(self);
        self.place.leave();
        result
    }
}
