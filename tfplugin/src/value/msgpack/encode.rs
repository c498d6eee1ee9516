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
        let mut promises = Promises::default();
        promises.add_all(refinement, ty)?;
        if promises.count == 0 {
            // What Terraform itself sends: a fixed extension of type 0 and one byte.
            let written = encode::write_ext_meta(&mut self.out, 1, 0);
            self.written(written)?;
            self.out.as_mut_vec().push(0);
            return Ok(());
        }
        let body = promises.body.out.into_vec();
        let length = self.length(body.len() + 1)?;
        let written = encode::write_ext_meta(&mut self.out, length, REFINED);
        self.written(written)?;
        // A map of up to fifteen entries has a length of one byte.
        self.out.as_mut_vec().push(0x80 | promises.count);
        self.out.as_mut_vec().extend(body);
        Ok(())
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

/// The keys and values inside a refined unknown.
#[derive(Default)]
struct Promises {
    count: u8,
    body: Encoder,
}

impl Promises {
    /// Adds what a value of this type can promise.
    fn add_all(&mut self, refinement: &Refinement, ty: &Type) -> Result<(), ValueError> {
        if let (Some(null), false) = (refinement.null, *ty == Type::Dynamic) {
            self.key(refinement_key::NULL)?.bool(null)?;
        }
        match ty {
            Type::String => match &refinement.string_prefix {
                Some(prefix) => self.key(refinement_key::STRING_PREFIX)?.text(prefix),
                None => Ok(()),
            },
            Type::Number => {
                self.bound(refinement_key::NUMBER_MIN, refinement.number_min.as_ref())?;
                self.bound(refinement_key::NUMBER_MAX, refinement.number_max.as_ref())
            }
            Type::List(_) | Type::Set(_) | Type::Map(_) => {
                self.size(refinement_key::LENGTH_MIN, refinement.length_min)?;
                self.size(refinement_key::LENGTH_MAX, refinement.length_max)
            }
            _ => Ok(()),
        }
    }

    fn key(&mut self, key: i64) -> Result<&mut Encoder, ValueError> {
        self.count += 1;
        self.body.integer(key)?;
        Ok(&mut self.body)
    }

    fn bound(&mut self, key: i64, bound: Option<&Bound>) -> Result<(), ValueError> {
        let Some(Bound { value, inclusive }) = bound else { return Ok(()) };
        let body = self.key(key)?;
        body.array(2)?;
        body.number(value)?;
        body.bool(*inclusive)
    }

    fn size(&mut self, key: i64, size: Option<i64>) -> Result<(), ValueError> {
        size.map_or(Ok(()), |size| self.key(key)?.integer(size))
    }
}
