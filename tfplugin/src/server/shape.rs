//! The shape of values of one schema, and the way of values through the wire.

use tfplugin_proto::tfplugin6 as proto;

use crate::schema::{Schema, Type, check, empty_blocks, null_write_only, schema_to_proto};
use crate::value::{Value, ValueError, first_unknown};
use crate::{Diagnostic, Diagnostics};

/// A schema with what is derived from it.
pub(crate) struct Shape {
    name: String,
    pub(crate) schema: Schema,
    pub(crate) ty: Type,
}

impl Shape {
    pub(super) fn new(name: &str, schema: Schema) -> Self {
        Self { name: name.to_owned(), ty: schema.implied_type(), schema }
    }

    /// The shape of a single value, such as an argument of a function.
    pub(crate) fn of_type(name: &str, ty: Type) -> Self {
        Self { name: name.to_owned(), ty, schema: Schema::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn to_proto(&self) -> proto::Schema {
        schema_to_proto(&self.schema)
    }

    /// Everything that is wrong with the schema.
    pub(super) fn check(&self) -> impl Iterator<Item = String> {
        check(&self.schema).into_iter().map(|(path, problem)| {
            let dot = if path.is_empty() { "" } else { "." };
            format!("{}{dot}{path}: {problem}", self.name)
        })
    }

    /// Reads what Terraform sent.
    pub(crate) fn decode(&self, sent: Option<&proto::DynamicValue>) -> Result<Value, Diagnostics> {
        let decoded = match sent {
            Some(sent) if !sent.msgpack.is_empty() => Value::from_msgpack(&sent.msgpack, &self.ty),
            Some(sent) if !sent.json.is_empty() => Value::from_json(&sent.json, &self.ty),
            _ => Ok(Value::Null),
        };
        decoded.map_err(|error| {
            Diagnostic::error(
                "A value does not fit the schema",
                format!("Terraform sent a value for {} that does not fit: {error}.", self.name),
            )
            .at(error.path)
            .into()
        })
    }

    /// Reads a block that may be left out as a whole, as an action's: then it is an object of nulls.
    pub(crate) fn decode_block(
        &self,
        sent: Option<&proto::DynamicValue>,
    ) -> Result<Value, Diagnostics> {
        let block = self.decode(sent)?;
        Ok(if block.is_null() { self.empty_block() } else { block })
    }

    /// A block in which nothing is set.
    pub(crate) fn empty_block(&self) -> Value {
        let Type::Object(types) = &self.ty else { return Value::Null };
        let mut block = Value::object(types.keys().map(|name| (name.clone(), Value::Null)));
        empty_blocks(&mut block, &self.schema.block);
        block
    }

    /// Writes a value that may hold unknowns.
    pub(crate) fn encode(&self, mut value: Value) -> Result<proto::DynamicValue, Diagnostics> {
        // What is write-only must not come back; authors pass on what they got.
        null_write_only(&mut value, &self.schema.block);
        empty_blocks(&mut value, &self.schema.block);
        let msgpack = value.to_msgpack(&self.ty).map_err(|error| self.bug(error))?;
        Ok(proto::DynamicValue { msgpack: msgpack.into(), ..Default::default() })
    }

    /// Writes a value that must be wholly known, unless the answer is that it has to wait.
    pub(crate) fn encode_unless(
        &self,
        deferred: bool,
        value: Value,
    ) -> Result<proto::DynamicValue, Diagnostics> {
        if deferred { self.encode(value) } else { self.encode_known(value) }
    }

    /// Writes a value that must be wholly known.
    pub(crate) fn encode_known(&self, value: Value) -> Result<proto::DynamicValue, Diagnostics> {
        if let Some(path) = first_unknown(&value) {
            let problem = "an unknown value where all must be known".to_owned();
            return Err(self.bug(ValueError { path, problem }));
        }
        self.encode(value)
    }

    fn bug(&self, error: ValueError) -> Diagnostics {
        Diagnostic::error(
            "Bug in the provider: a value does not fit its schema",
            format!(
                "The provider returned a value for {} that does not fit: {error}.\n\nPlease \
                 report this to the provider's developers.",
                self.name
            ),
        )
        .at(error.path)
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attribute, Block, NestedBlock};

    fn shape() -> Shape {
        let schema = Schema::new(0)
            .attribute(Attribute::string("id").computed())
            .attribute(Attribute::string("secret").optional().write_only())
            .attribute(Attribute::list("sizes", Type::Number).optional());
        Shape::new("example_box", schema)
    }

    fn detail(diagnostics: &Diagnostics) -> (String, Option<String>) {
        let first = diagnostics.iter().next().unwrap();
        (first.detail.clone(), first.path.as_ref().map(ToString::to_string))
    }

    #[test]
    fn a_misfit_of_the_author_is_called_a_bug_and_named_with_its_path() {
        let sizes = Value::from(vec![Value::from(1), Value::from("two")]);
        let failed = shape().encode(Value::object([("sizes", sizes)])).unwrap_err();
        let (detail, path) = detail(&failed);
        assert!(detail.contains("example_box that does not fit: sizes[1]: a string"), "{detail}");
        assert_eq!(path.as_deref(), Some("sizes[1]"));
    }

    #[test]
    fn state_must_be_wholly_known() {
        let value = Value::object([("id", Value::unknown())]);
        assert!(shape().encode(value.clone()).is_ok());
        let (_, path) = detail(&shape().encode_known(value).unwrap_err());
        assert_eq!(path.as_deref(), Some("id"));
    }

    #[test]
    fn what_is_write_only_never_comes_back() {
        let sent = shape().encode(Value::object([("secret", Value::from("s3cret"))])).unwrap();
        assert!(shape().decode(Some(&sent)).unwrap().get("secret").is_null());
    }

    #[test]
    fn blocks_that_are_not_there_are_empty_at_every_depth() {
        let inner = || Block::new().attribute(Attribute::string("a").optional());
        let deep = inner().block(NestedBlock::set("deep", inner()));
        let schema = Schema::new(0)
            .block(NestedBlock::list("many", deep))
            .block(NestedBlock::map("named", inner()))
            .block(NestedBlock::group("one", inner()))
            .block(NestedBlock::single("maybe", inner()));
        let shape = Shape::new("example_box", schema);
        let many = Value::list([Value::object([("a", Value::from("x"))])]);
        let sent = shape.encode(Value::object([("many", many)])).unwrap();
        let read = shape.decode(Some(&sent)).unwrap();
        assert_eq!(read.get("many").as_list().unwrap()[0].get("deep"), &Value::list([]));
        assert_eq!(read.get("named"), &Value::Map(std::collections::BTreeMap::new()));
        assert!(read.get("one").is_set() && read.get("one").get("a").is_null());
        assert!(read.get("maybe").is_null());
        let none = shape.decode(Some(&shape.encode(Value::Null).unwrap())).unwrap();
        assert!(none.is_null(), "an object that is gone stays so");
    }

    #[test]
    fn nothing_sent_is_null() {
        assert_eq!(shape().decode(None).unwrap(), Value::Null);
    }
}
