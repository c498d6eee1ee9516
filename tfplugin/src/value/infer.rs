//! The type of a value that an author gave to a dynamic attribute without saying its type.

use super::error::{Place, index};
use super::{Value, ValueError};
use crate::path::Step;
use crate::schema::Type;

impl Value {
    /// The narrowest type that fits: tuples and objects rather than lists and maps.
    pub(super) fn infer(&self, place: &mut Place) -> Result<Type, ValueError> {
        match self {
            Self::Null | Self::Unknown(_) => Ok(Type::Dynamic),
            Self::Bool(_) => Ok(Type::Bool),
            Self::Number(_) => Ok(Type::Number),
            Self::String(_) => Ok(Type::String),
            Self::List(elements) => elements
                .iter()
                .enumerate()
                .map(|(position, value)| place.within(index(position), |place| value.infer(place)))
                .collect::<Result<_, _>>()
                .map(Type::Tuple),
            Self::Map(elements) => elements
                .iter()
                .map(|(name, value)| {
                    let step = Step::Attribute(name.clone());
                    let ty = place.within(step, |place| value.infer(place))?;
                    Ok((name.clone(), ty))
                })
                .collect::<Result<_, _>>()
                .map(Type::Object),
            Self::Typed(typed) => Ok(typed.ty.clone()),
        }
    }
}
