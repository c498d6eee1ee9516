//! Everything that a provider offers, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::shape::Shape;
use crate::{DataSource, Diagnostic, Diagnostics, Provider, Resource};

/// A provider's schemas, collected once.
pub(crate) struct Catalog {
    pub(crate) provider: Entry<dyn Provider>,
    pub(crate) resources: BTreeMap<&'static str, Entry<dyn Resource>>,
    pub(crate) data_sources: BTreeMap<&'static str, Entry<dyn DataSource>>,
    /// Names that are used twice.
    doubles: Vec<&'static str>,
}

/// One thing that the author wrote, with the shape of its values.
pub(crate) struct Entry<T: ?Sized> {
    pub(crate) author: Arc<T>,
    pub(crate) shape: Arc<Shape>,
}

impl<T: ?Sized> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { author: Arc::clone(&self.author), shape: Arc::clone(&self.shape) }
    }
}

impl Catalog {
    pub(super) fn of(provider: &Arc<dyn Provider>) -> Self {
        let mut doubles = Vec::new();
        let mut resources = BTreeMap::new();
        for author in provider.resources() {
            let name = author.type_name();
            let shape = Arc::new(Shape::new(name, author.schema()));
            if resources.insert(name, Entry { author, shape }).is_some() {
                doubles.push(name);
            }
        }
        let mut data_sources = BTreeMap::new();
        for author in provider.data_sources() {
            let name = author.type_name();
            let shape = Arc::new(Shape::new(name, author.schema()));
            if data_sources.insert(name, Entry { author, shape }).is_some() {
                doubles.push(name);
            }
        }
        let shape = Arc::new(Shape::new("provider", provider.schema()));
        let provider = Entry { author: Arc::clone(provider), shape };
        Self { provider, resources, data_sources, doubles }
    }

    pub(crate) fn resource(&self, name: &str) -> Result<Entry<dyn Resource>, Diagnostics> {
        self.resources.get(name).cloned().ok_or_else(|| absent("resource", name))
    }

    pub(crate) fn data_source(&self, name: &str) -> Result<Entry<dyn DataSource>, Diagnostics> {
        self.data_sources.get(name).cloned().ok_or_else(|| absent("data source", name))
    }

    /// Everything that is wrong with the schemas.
    pub(crate) fn check(&self) -> Diagnostics {
        let resources = self.resources.values().map(|entry| &entry.shape);
        let data_sources = self.data_sources.values().map(|entry| &entry.shape);
        let shapes = std::iter::once(&self.provider.shape).chain(resources).chain(data_sources);
        let doubles = self.doubles.iter().map(|name| format!("{name}: the type is offered twice"));
        let findings = shapes.flat_map(|shape| shape.check());
        findings
            .chain(doubles)
            .map(|finding| Diagnostic::error("Bug in the provider: unsound schema", finding))
            .collect()
    }
}

fn absent(kind: &str, name: &str) -> Diagnostics {
    Diagnostics::error(
        format!("Unknown {kind} type"),
        format!("This provider has no {kind} {name:?}."),
    )
}
