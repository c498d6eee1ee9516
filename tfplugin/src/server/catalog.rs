//! Everything that a provider offers, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::shape::Shape;
use crate::{DataSource, Diagnostic, Diagnostics, Ephemeral, Function, Provider, Resource, Schema};

/// A provider's schemas, collected once.
pub(crate) struct Catalog {
    pub(crate) provider: Entry<dyn Provider>,
    pub(crate) resources: Entries<dyn Resource>,
    pub(crate) data_sources: Entries<dyn DataSource>,
    pub(crate) ephemerals: Entries<dyn Ephemeral>,
    pub(crate) functions: BTreeMap<&'static str, Arc<dyn Function>>,
    /// Names that are used twice.
    doubles: Vec<&'static str>,
}

type Entries<T> = BTreeMap<&'static str, Entry<T>>;

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
        let resources = provider.resources().into_iter();
        let resources = resources.map(|author| (author.type_name(), author.schema(), author));
        let data_sources = provider.data_sources().into_iter();
        let data_sources = data_sources.map(|author| (author.type_name(), author.schema(), author));
        let ephemerals = provider.ephemerals().into_iter();
        let ephemerals = ephemerals.map(|author| (author.type_name(), author.schema(), author));
        let functions = provider.functions().into_iter().map(|author| (author.name(), author));
        let shape = Arc::new(Shape::new("provider", provider.schema()));
        Self {
            provider: Entry { author: Arc::clone(provider), shape },
            resources: entries(resources, &mut doubles),
            data_sources: entries(data_sources, &mut doubles),
            ephemerals: entries(ephemerals, &mut doubles),
            functions: unique(functions, &mut doubles),
            doubles,
        }
    }

    pub(crate) fn resource(&self, name: &str) -> Result<Entry<dyn Resource>, Diagnostics> {
        self.resources.get(name).cloned().ok_or_else(|| absent("resource", name))
    }

    pub(crate) fn data_source(&self, name: &str) -> Result<Entry<dyn DataSource>, Diagnostics> {
        self.data_sources.get(name).cloned().ok_or_else(|| absent("data source", name))
    }

    pub(crate) fn ephemeral(&self, name: &str) -> Result<Entry<dyn Ephemeral>, Diagnostics> {
        self.ephemerals.get(name).cloned().ok_or_else(|| absent("ephemeral resource", name))
    }

    pub(crate) fn function(&self, name: &str) -> Result<Arc<dyn Function>, Diagnostics> {
        self.functions.get(name).cloned().ok_or_else(|| absent("function", name))
    }

    /// Everything that is wrong with the schemas.
    pub(crate) fn check(&self) -> Diagnostics {
        let resources = self.resources.values().map(|entry| &entry.shape);
        let data_sources = self.data_sources.values().map(|entry| &entry.shape);
        let ephemerals = self.ephemerals.values().map(|entry| &entry.shape);
        let all = std::iter::once(&self.provider.shape).chain(resources);
        let findings = all.chain(data_sources).chain(ephemerals).flat_map(|shape| shape.check());
        let doubles = self.doubles.iter().map(|name| format!("{name}: the name is offered twice"));
        findings
            .chain(doubles)
            .map(|finding| Diagnostic::error("Bug in the provider: unsound schema", finding))
            .collect()
    }
}

fn entries<T: ?Sized>(
    authors: impl Iterator<Item = (&'static str, Schema, Arc<T>)>,
    doubles: &mut Vec<&'static str>,
) -> Entries<T> {
    let entries = authors.map(|(name, schema, author)| {
        (name, Entry { author, shape: Arc::new(Shape::new(name, schema)) })
    });
    unique(entries, doubles)
}

fn unique<T>(
    named: impl Iterator<Item = (&'static str, T)>,
    doubles: &mut Vec<&'static str>,
) -> BTreeMap<&'static str, T> {
    let mut unique = BTreeMap::new();
    for (name, item) in named {
        if unique.insert(name, item).is_some() {
            doubles.push(name);
        }
    }
    unique
}

fn absent(kind: &str, name: &str) -> Diagnostics {
    Diagnostics::error(format!("Unknown {kind}"), format!("This provider has no {kind} {name:?}."))
}
