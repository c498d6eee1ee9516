//! The shape of identities of one resource, and their way through the wire.

use tfplugin_proto::tfplugin6 as proto;

use super::Shape;
use crate::{Diagnostic, Diagnostics, IdentitySchema, Path, Value};

/// An identity schema with what is derived from it.
pub(crate) struct IdentityShape {
    pub(crate) schema: IdentitySchema,
    name: String,
    shape: Shape,
}

impl IdentityShape {
    pub(super) fn new(name: &str, schema: IdentitySchema) -> Self {
        let shape = Shape::of_type(&format!("the identity of {name}"), schema.implied_type());
        Self { schema, name: name.to_owned(), shape }
    }

    pub(super) fn check(&self) -> impl Iterator<Item = String> {
        let told = |problem| format!("{}.identity: {problem}", self.name);
        self.schema.check().into_iter().map(told)
    }

    pub(crate) fn to_proto(&self) -> proto::ResourceIdentitySchema {
        use proto::resource_identity_schema::IdentityAttribute;
        let attributes = self.schema.attributes.iter().map(|attribute| IdentityAttribute {
            name: attribute.name.clone(),
            r#type: attribute.ty.to_json(),
            required_for_import: attribute.required_for_import,
            optional_for_import: !attribute.required_for_import,
            description: attribute.description.clone(),
        });
        proto::ResourceIdentitySchema {
            version: self.schema.version,
            identity_attributes: attributes.collect(),
        }
    }

    /// Reads what Terraform sent; null where it sent nothing.
    pub(crate) fn decode(
        &self,
        sent: Option<&proto::ResourceIdentityData>,
    ) -> Result<Value, Diagnostics> {
        self.shape.decode(sent.and_then(|sent| sent.identity_data.as_ref()))
    }

    /// Writes an identity that must be wholly known.
    pub(crate) fn encode(&self, value: Value) -> Result<proto::ResourceIdentityData, Diagnostics> {
        let identity_data = Some(self.shape.encode_known(value)?);
        Ok(proto::ResourceIdentityData { identity_data })
    }

    /// Writes the identity of an object that had one before. It may become known, and does not change unless the author
    /// says that it may. (No Terraform compares; whoever refers to the object by its identity would lose it.)
    pub(crate) fn encode_lasting(
        &self,
        before: &Value,
        now: Value,
    ) -> Result<proto::ResourceIdentityData, Diagnostics> {
        let before = if self.schema.mutable { &Value::Null } else { before };
        let changed = before.as_map().into_iter().flatten().find(|(name, value)| {
            !value.is_null() && value.is_wholly_known() && now.get(name) != *value
        });
        if let Some((name, _)) = changed {
            let bug = Diagnostic::error(
                "Bug in the provider: the identity of an object changed",
                format!(
                    "`{name}` of {} is not what it was. An identity is for good; a change needs \
                     a new object.\n\nPlease report this to the provider's developers.",
                    self.shape.name()
                ),
            );
            return Err(bug.at(Path::root(name.as_str())).into());
        }
        self.encode(now)
    }
}
