//! Everything that a provider offers, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::identity::IdentityShape;
use super::shape::Shape;
use crate::logs::note_subject;
use crate::{
    Action, DataSource, Diagnostic, Diagnostics, Ephemeral, Function, ListResource, Provider,
    Resource, Schema,
};

/// A provider's schemas, collected once.
pub(crate) struct Catalog {
    pub(crate) provider: Entry<dyn Provider>,
    pub(crate) resources: Entries<dyn Resource>,
    pub(crate) data_sources: Entries<dyn DataSource>,
    pub(crate) ephemerals: Entries<dyn Ephemeral>,
    pub(crate) list_resources: Entries<dyn ListResource>,
    pub(crate) actions: Entries<dyn Action>,
    /// What modules may say to the provider.
    pub(crate) meta: Option<Arc<Shape>>,
    pub(crate) identities: BTreeMap<&'static str, Arc<IdentityShape>>,
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
        let list_resources = provider.list_resources().into_iter();
        let list_resources =
            list_resources.map(|author| (author.type_name(), author.schema(), author));
        let actions = provider.actions().into_iter();
        let actions = actions.map(|author| (author.type_name(), author.schema(), author));
        let functions = provider.functions().into_iter().map(|author| (author.name(), author));
        let shape = Arc::new(Shape::new("provider", provider.schema()));
        let meta = provider.meta_schema();
        let meta = meta.map(|schema| Arc::new(Shape::new("provider_meta", schema)));
        let resources = entries(resources, &mut doubles);
        let identities = resources.iter().filter_map(|(name, entry)| {
            Some((*name, Arc::new(IdentityShape::new(name, entry.author.identity()?))))
        });
        Self {
            provider: Entry { author: Arc::clone(provider), shape },
            identities: identities.collect(),
            resources,
            list_resources: entries(list_resources, &mut doubles),
            actions: entries(actions, &mut doubles),
            meta,
            data_sources: entries(data_sources, &mut doubles),
            ephemerals: entries(ephemerals, &mut doubles),
            functions: unique(functions, &mut doubles),
            doubles,
        }
    }

    pub(crate) fn resource(&self, name: &str) -> Result<Entry<dyn Resource>, Diagnostics> {
        note_subject("tf_resource_type", name);
        self.resources.get(name).cloned().ok_or_else(|| absent("resource", name))
    }

    pub(crate) fn list_resource(&self, name: &str) -> Result<Entry<dyn ListResource>, Diagnostics> {
        note_subject("tf_list_resource_type", name);
        self.list_resources.get(name).cloned().ok_or_else(|| absent("list resource", name))
    }

    pub(crate) fn action(&self, name: &str) -> Result<Entry<dyn Action>, Diagnostics> {
        note_subject("tf_action_type", name);
        self.actions.get(name).cloned().ok_or_else(|| absent("action", name))
    }

    /// How objects of a resource are identified, if they are.
    pub(crate) fn identity(&self, name: &str) -> Option<&Arc<IdentityShape>> {
        self.identities.get(name)
    }

    pub(crate) fn data_source(&self, name: &str) -> Result<Entry<dyn DataSource>, Diagnostics> {
        note_subject("tf_data_source_type", name);
        self.data_sources.get(name).cloned().ok_or_else(|| absent("data source", name))
    }

    pub(crate) fn ephemeral(&self, name: &str) -> Result<Entry<dyn Ephemeral>, Diagnostics> {
        note_subject("tf_ephemeral_resource_type", name);
        self.ephemerals.get(name).cloned().ok_or_else(|| absent("ephemeral resource", name))
    }

    pub(crate) fn function(&self, name: &str) -> Result<Arc<dyn Function>, Diagnostics> {
        note_subject("tf_function", name);
        self.functions.get(name).cloned().ok_or_else(|| absent("function", name))
    }

    /// Everything that is wrong with the schemas.
    pub(crate) fn check(&self) -> Diagnostics {
        let shapes = std::iter::once(&self.provider.shape)
            .chain(self.meta.as_ref())
            .chain(self.resources.values().map(|entry| &entry.shape))
            .chain(self.data_sources.values().map(|entry| &entry.shape))
            .chain(self.ephemerals.values().map(|entry| &entry.shape))
            .chain(self.list_resources.values().map(|entry| &entry.shape))
            .chain(self.actions.values().map(|entry| &entry.shape));
        let identities = self.identities.values().flat_map(|identity| identity.check());
        let strangers =
            self.list_resources.keys().filter(|name| !self.identities.contains_key(*name));
        let strangers =
            strangers.map(|name| format!("{name}: is listed, and is no resource with an identity"));
        let findings = shapes.flat_map(|shape| shape.check()).chain(identities).chain(strangers);
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
