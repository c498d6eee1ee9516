//! From msgpack to values.

use std::collections::BTreeMap;

use super::reader::{Reader, Token};
use super::{REFINED, refinement_key};
use crate::path::Step;
use crate::schema::Type;
use crate::value::error::{Place, index};
use crate::value::{Bound, Number, Refinement, Value, ValueError};

/// Reads a document by a type. Absent attributes of objects become null.
pub(crate) fn decode(document: &[u8], ty: &Type) -> Result<Value, ValueError> {
    let mut decoder = Decoder { reader: Reader::new(document), place: Place::default() };
    let value = decoder.value(ty)?;
    if decoder.reader.is_at_end() {
        Ok(value)
    } else {
        Err(ValueError::new("something follows the end of the msgpack document"))
    }
}

struct Decoder<'a> {
    reader: Reader<'a>,
    place: Place,
}

impl<'a> Decoder<'a> {
    fn token(&mut self) -> Result<Token<'a>, ValueError> {
        self.reader.token().map_err(|error| self.place.error(error.to_string()))
    }

    fn value(&mut self, ty: &Type) -> Result<Value, ValueError> {
        let token = self.token()?;
        match (token, ty) {
            (Token::Nil, _) => Ok(Value::Null),
            (Token::Extension(REFINED, body), _) => {
                Ok(Value::Unknown(self.refinement(body)?.unwrap_or_default()))
            }
            (Token::Extension(..), _) => Ok(Value::unknown()),
            (Token::Bool(value), Type::Bool) => Ok(Value::Bool(value)),
            (Token::Text(text), Type::String) => Ok(Value::from(text)),
            (_, Type::Number) => self.number(token).map(Value::Number),
            (Token::Array(count), Type::List(element) | Type::Set(element)) => {
                self.elements((0..count).map(|_| element.as_ref()))
            }
            (Token::Array(count), Type::Tuple(types)) if count == types.len() => {
                self.elements(types.iter())
            }
            (Token::Map(count), Type::Map(element)) => self.map(count, element),
            (Token::Map(count), Type::Object(attributes)) => self.object(count, attributes),
            (Token::Array(2), Type::Dynamic) => self.dynamic(),
            _ => Err(self.misfit(token, ty)),
        }
    }

    fn number(&mut self, token: Token<'_>) -> Result<Number, ValueError> {
        match token {
            Token::Int(value) => Ok(value.into()),
            Token::Uint(value) => Ok(value.into()),
            Token::Float(value) => {
                Number::from_f64_exact(value).map_err(|error| self.place.error(error.to_string()))
            }
            Token::Text(text) => text.parse().map_err(|error| self.place.error(format!("{error}"))),
            _ => Err(self.misfit(token, &Type::Number)),
        }
    }

    fn elements<'t>(&mut self, types: impl Iterator<Item = &'t Type>) -> Result<Value, ValueError> {
        let step = |(position, ty)| self.within(index(position), |decoder| decoder.value(ty));
        types.enumerate().map(step).collect::<Result<_, _>>().map(Value::List)
    }

    fn map(&mut self, count: usize, element: &Type) -> Result<Value, ValueError> {
        let mut elements = BTreeMap::new();
        for _ in 0..count {
            let key = self.key()?;
            let value = self.within(Step::Key(key.to_owned()), |decoder| decoder.value(element))?;
            elements.insert(key.to_owned(), value);
        }
        Ok(Value::Map(elements))
    }

    fn object(
        &mut self,
        count: usize,
        attributes: &BTreeMap<String, Type>,
    ) -> Result<Value, ValueError> {
        let mut values: BTreeMap<_, _> =
            attributes.keys().map(|name| (name.clone(), Value::Null)).collect();
        for _ in 0..count {
            let name = self.key()?;
            let value =
                self.within(Step::Attribute(name.to_owned()), |decoder| {
                    match attributes.get(name) {
                        Some(ty) => decoder.value(ty),
                        None => Err(decoder.place.error("the schema has no such attribute")),
                    }
                })?;
            values.insert(name.to_owned(), value);
        }
        Ok(Value::Map(values))
    }

    fn key(&mut self) -> Result<&'a str, ValueError> {
        match self.token()? {
            Token::Text(key) => Ok(key),
            token => Err(self.place.error(format!("{} as the key of a map", kind(token)))),
        }
    }

    /// The second half of a value of open type: its type, then itself.
    fn dynamic(&mut self) -> Result<Value, ValueError> {
        let ty = match self.token()? {
            Token::Bytes(json) => json,
            Token::Text(json) => json.as_bytes(),
            token => return Err(self.place.error(format!("{} as a type", kind(token)))),
        };
        match Type::from_json(ty).map_err(|error| self.place.error(error.to_string()))? {
            // What is left open once more has no type to be read by.
            Type::Dynamic => match self.token()? {
                Token::Nil => Ok(Value::Null),
                Token::Extension(..) => Ok(Value::unknown()),
                token => Err(self.misfit(token, &Type::Dynamic)),
            },
            ty => self.value(&ty).map(|value| Value::typed(ty, value)),
        }
    }

    /// Reads the promises inside a refined unknown; nothing where the body is no map.
    fn refinement(&mut self, body: &[u8]) -> Result<Option<Refinement>, ValueError> {
        let mut inner = Decoder { reader: Reader::new(body), place: Place::default() };
        inner.refinement_body().map_err(|error| {
            self.place.error(format!("a refinement of an unknown is broken: {}", error.problem))
        })
    }

    fn refinement_body(&mut self) -> Result<Option<Refinement>, ValueError> {
        let Token::Map(count) = self.token()? else {
            return Ok(None);
        };
        let mut refinement = Refinement::default();
        for _ in 0..count {
            let key = self.integer()?;
            match key {
                refinement_key::NULL => refinement.null = Some(self.bool()?),
                refinement_key::STRING_PREFIX => {
                    // To begin with nothing is no promise.
                    let prefix = Some(self.key()?.to_owned());
                    refinement.string_prefix = prefix.filter(|prefix| !prefix.is_empty());
                }
                refinement_key::NUMBER_MIN => refinement.number_min = Some(self.bound()?),
                refinement_key::NUMBER_MAX => refinement.number_max = Some(self.bound()?),
                refinement_key::LENGTH_MIN => refinement.length_min = Some(self.integer()?),
                refinement_key::LENGTH_MAX => refinement.length_max = Some(self.integer()?),
                // Promises of later protocol versions; one need not know a promise.
                _ => break,
            }
        }
        Ok(Some(refinement))
    }

    fn bound(&mut self) -> Result<Bound, ValueError> {
        match self.token()? {
            Token::Array(2) => {
                let token = self.token()?;
                Ok(Bound { value: self.number(token)?, inclusive: self.bool()? })
            }
            token => Err(self.place.error(format!("{} as a bound", kind(token)))),
        }
    }

    fn bool(&mut self) -> Result<bool, ValueError> {
        match self.token()? {
            Token::Bool(value) => Ok(value),
            token => Err(self.misfit(token, &Type::Bool)),
        }
    }

    fn integer(&mut self) -> Result<i64, ValueError> {
        let token = self.token()?;
        let number = self.number(token)?;
        number.as_i64().ok_or_else(|| self.place.error(format!("{number} as an integer")))
    }

    fn within<T>(
        &mut self,
        step: Step,
        action: impl FnOnce(&mut Self) -> Result<T, ValueError>,
    ) -> Result<T, ValueError> {
        self.place.enter(step)?;
        let result = action(self);
        self.place.leave();
        result
    }

    fn misfit(&self, token: Token<'_>, ty: &Type) -> ValueError {
        self.place.error(format!("{} where {ty} is wanted", kind(token)))
    }
}

fn kind(token: Token<'_>) -> String {
    match token {
        Token::Nil => "null".to_owned(),
        Token::Bool(_) => "a bool".to_owned(),
        Token::Int(_) | Token::Uint(_) | Token::Float(_) => "a number".to_owned(),
        Token::Text(_) => "a string".to_owned(),
        Token::Bytes(_) => "a binary".to_owned(),
        Token::Array(count) => format!("an array of {count}"),
        Token::Map(_) => "a map".to_owned(),
        Token::Extension(..) => "an unknown value".to_owned(),
    }
}
