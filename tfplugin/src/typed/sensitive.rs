//! Values that stay out of logs.

use std::fmt;

use super::{Attr, Content, FieldShape};
use crate::value::{Value, ValueError};

/// A value that must not be read in a log: its `Debug` form does not tell it.
///
/// An attribute that the schema calls sensitive has to be such a field in the model; a schema and
/// a struct that disagree about it are told at the start.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sensitive<T>(T);

impl<T> Sensitive<T> {
    /// Masks a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one place that uses it.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> From<T> for Sensitive<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(sensitive)")
    }
}

impl<T: Content> Content for Sensitive<T> {
    fn shape() -> FieldShape {
        FieldShape { masked: true, ..T::shape() }
    }

    fn read(value: &Value) -> Result<Attr<Self>, ValueError> {
        Ok(T::read(value)?.map(Self))
    }

    fn write(self) -> Value {
        self.0.write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::typed::ModelField;

    #[derive(crate::Model, Debug)]
    struct Login {
        user: Attr<String>,
        password: Attr<Sensitive<String>>,
        tokens: Attr<Vec<Sensitive<String>>>,
    }

    #[test]
    fn a_sensitive_value_is_not_in_the_debug_form() {
        let value = Value::object([
            ("user", Value::from("ada")),
            ("password", Value::from("s3cret")),
            ("tokens", Value::from(vec![Value::from("t0ken")])),
        ]);
        let login: Login = crate::typed::Model::from_value(&value).unwrap();
        assert_eq!(login.password.known().unwrap().expose(), "s3cret");
        let told = format!("{login:?}");
        assert!(told.contains("ada") && told.contains("(sensitive)"), "{told}");
        assert!(!told.contains("s3cret") && !told.contains("t0ken"), "{told}");
        assert_eq!(crate::typed::Model::into_value(login), value);
    }

    #[test]
    fn a_field_knows_that_it_is_masked_also_inside_a_list() {
        let masked = |field: &ModelField| (field.name, field.shape.masked);
        let fields = <Login as crate::typed::Model>::fields();
        let expected = [("user", false), ("password", true), ("tokens", true)];
        assert_eq!(fields.iter().map(masked).collect::<Vec<_>>(), expected);
    }
}
