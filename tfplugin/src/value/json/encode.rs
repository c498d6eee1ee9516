//! From values to JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::path::Step;
use crate::schema::Type;
use crate::value::error::{Place, index};
use crate::value::number::Form;
use crate::value::{Number, Value, ValueError};

/// Writes a wholly known value by a type.
pub(crate) fn encode(value: &Value, ty: &Type) -> Result<String, ValueError> {
    let mut encoder = Encoder::default();
    encoder.value(value, ty)?;
    Ok(encoder.out)
}

#[derive(Default)]
struct Encoder {
    out: String,
    place: Place,
}

impl Encoder {
    fn value(&mut self, value: &Value, ty: &Type) -> Result<(), ValueError> {
        match (value, ty) {
            (Value::Typed(typed), Type::Dynamic) => self.dynamic(&typed.value, &typed.ty),
            (Value::Typed(typed), _) => self.value(&typed.value, ty),
            (Value::Null, _) => {
                self.out.push_str("null");
                Ok(())
            }
            (Value::Unknown(_), _) => Err(self.place.error("an unknown value cannot be stored")),
            (_, Type::Dynamic) => {
                let ty = value.infer(&mut self.place)?;
                self.dynamic(value, &ty)
            }
            (Value::Bool(value), Type::Bool) => {
                self.out.push_str(if *value { "true" } else { "false" });
                Ok(())
            }
            (Value::Number(number), Type::Number) => self.number(number),
            (Value::String(text), Type::String) => self.string(text),
            (Value::List(elements), Type::List(ty) | Type::Set(ty)) => {
                self.elements(elements, std::iter::repeat(ty.as_ref()))
            }
            (Value::List(elements), Type::Tuple(types)) if elements.len() == types.len() => {
                self.elements(elements, types)
            }
            (Value::Map(elements), Type::Map(ty)) => {
                let entries = elements.iter().map(|(key, value)| (key, value, ty.as_ref()));
                self.entries(entries, Step::Key)
            }
            (Value::Map(values), Type::Object(attributes)) => self.object(values, attributes),
            _ => Err(self.place.error(format!("{} where {ty} is wanted", value.kind()))),
        }
    }

    fn number(&mut self, number: &Number) -> Result<(), ValueError> {
        if matches!(number.form(), Form::Float(value) if value.is_infinite()) {
            return Err(self.place.error("infinity cannot be stored"));
        }
        self.out.push_str(&number.to_string());
        Ok(())
    }

    fn elements<'t>(
        &mut self,
        elements: &[Value],
        types: impl IntoIterator<Item = &'t Type>,
    ) -> Result<(), ValueError> {
        self.out.push('[');
        for (position, (value, ty)) in elements.iter().zip(types).enumerate() {
            if position > 0 {
                self.out.push(',');
            }
            self.place.enter(index(position))?;
            self.value(value, ty)?;
            self.place.leave();
        }
        self.out.push(']');
        Ok(())
    }

    fn object(
        &mut self,
        values: &BTreeMap<String, Value>,
        attributes: &BTreeMap<String, Type>,
    ) -> Result<(), ValueError> {
        if let Some(name) = values.keys().find(|name| !attributes.contains_key(*name)) {
            self.place.enter(Step::Attribute(name.clone()))?;
            return Err(self.place.error("the schema has no such attribute"));
        }
        let entries = attributes
            .iter()
            .map(|(name, ty)| (name, values.get(name).unwrap_or(&Value::Null), ty));
        self.entries(entries, Step::Attribute)
    }

    fn entries<'t>(
        &mut self,
        entries: impl Iterator<Item = (&'t String, &'t Value, &'t Type)>,
        step: impl Fn(String) -> Step,
    ) -> Result<(), ValueError> {
        self.out.push('{');
        for (position, (name, value, ty)) in entries.enumerate() {
            if position > 0 {
                self.out.push(',');
            }
            self.string(name)?;
            self.out.push(':');
            self.place.enter(step(name.clone()))?;
            self.value(value, ty)?;
            self.place.leave();
        }
        self.out.push('}');
        Ok(())
    }

    fn dynamic(&mut self, value: &Value, ty: &Type) -> Result<(), ValueError> {
        if *ty == Type::Dynamic {
            return self.value(value, ty);
        }
        self.out.push_str("{\"value\":");
        self.value(value, ty)?;
        self.out.push_str(",\"type\":");
        self.out.push_str(&String::from_utf8_lossy(&ty.to_json()));
        self.out.push('}');
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), ValueError> {
        let quoted = serde_json::Value::from(text);
        write!(self.out, "{quoted}").map_err(|error| self.place.error(error.to_string()))
    }
}
