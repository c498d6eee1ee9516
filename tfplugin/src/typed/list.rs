//! Lists over models.

use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Model, read_block};
use crate::{Context, Diagnostics, Found, ListItem, ListRequest, ListResource, Schema, Value};

/// Finds the objects of a resource type, where both its `list` block and the object are Rust structs.
#[async_trait]
pub trait TypedList: Send + Sync + 'static {
    /// The `list` block.
    type Query: Model;

    /// The object: the model of the resource.
    type Model: Model;

    /// The resource type whose objects are listed; that resource must have an identity.
    fn type_name(&self) -> &'static str;

    /// What its block may hold: the fields of the query.
    fn schema(&self) -> Schema {
        Self::Query::schema()
    }

    /// Sends what is found, one by one, until all is sent or [`Finds::send`] says that the receiver has enough.
    async fn list(
        &self,
        ctx: &Context,
        query: Self::Query,
        finds: Finds<Self::Model>,
    ) -> Result<(), Diagnostics>;

    /// Checks the configuration as a whole, beyond what the schema's validators do.
    async fn validate(&self, ctx: &Context, query: Self::Query) -> Diagnostics {
        let _ = (ctx, query);
        Diagnostics::none()
    }
}

/// One object that was found.
#[derive(Debug, Clone)]
pub struct Listed<M> {
    /// What people call it.
    pub display_name: String,
    /// The object; fields of its identity at least, see [`Finds::whole`].
    pub object: M,
    /// Messages about this object.
    pub diagnostics: Diagnostics,
}

impl<M> Listed<M> {
    /// An object without a message.
    pub fn new(display_name: impl Into<String>, object: M) -> Self {
        Self { display_name: display_name.into(), object, diagnostics: Diagnostics::none() }
    }

    /// The same with messages.
    #[must_use]
    pub fn telling(mut self, diagnostics: impl Into<Diagnostics>) -> Self {
        self.diagnostics.extend(diagnostics.into());
        self
    }
}

/// Where objects of a listing go.
#[derive(Debug)]
pub struct Finds<M> {
    /// Whether whole objects are wanted; else what the identity needs is enough.
    pub whole: bool,
    /// Most objects that are wanted; a hint for paging, [`Finds::send`] stops by itself.
    pub limit: Option<usize>,
    found: Found,
    model: PhantomData<fn(M)>,
}

impl<M: Model> Finds<M> {
    /// Sends one object. A break says that no more are wanted.
    pub async fn send(&mut self, listed: Listed<M>) -> ControlFlow<()> {
        let Listed { display_name, object, diagnostics } = listed;
        self.found.send(ListItem { display_name, state: object.into_value(), diagnostics }).await
    }
}

/// Offers a list over models to Terraform.
pub fn list(author: impl TypedList) -> Arc<dyn ListResource> {
    Arc::new(Typed(author))
}

struct Typed<L>(L);

#[async_trait]
impl<L: TypedList> ListResource for Typed<L> {
    fn type_name(&self) -> &'static str {
        self.0.type_name()
    }

    fn schema(&self) -> Schema {
        self.0.schema().model::<L::Query>()
    }

    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        match read_block(self.0.type_name(), config) {
            Ok(query) => self.0.validate(ctx, query).await,
            Err(misfit) => misfit,
        }
    }

    async fn list(&self, ctx: &Context, request: ListRequest, found: Found) -> Diagnostics {
        let query = match read_block(self.0.type_name(), &request.config) {
            Ok(query) => query,
            Err(misfit) => return misfit,
        };
        let (whole, limit) = (request.include_resource, request.limit);
        let finds = Finds { whole, limit, found, model: PhantomData };
        self.0.list(ctx, query, finds).await.err().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attr;

    #[derive(crate::Model)]
    struct Query {
        /// Only names that begin so.
        prefix: Attr<String>,
    }

    #[derive(crate::Model)]
    struct Book {
        #[tf(required)]
        name: Attr<String>,
        #[tf(computed)]
        pages: Attr<u32>,
    }

    /// Books of a shelf; how many it was asked for is on its last book.
    struct Shelf;

    #[async_trait]
    impl TypedList for Shelf {
        type Query = Query;
        type Model = Book;

        fn type_name(&self) -> &'static str {
            "test_book"
        }

        async fn list(
            &self,
            _: &Context,
            query: Query,
            mut finds: Finds<Book>,
        ) -> Result<(), Diagnostics> {
            let prefix = query.prefix.into_known().unwrap_or_default();
            for name in ["ant", "bee", "beetle"].into_iter().filter(|one| one.starts_with(&prefix))
            {
                let pages = if finds.whole { Attr::Known(7) } else { Attr::Null };
                let book = Book { name: Attr::Known(name.to_owned()), pages };
                if finds.send(Listed::new(name.to_uppercase(), book)).await.is_break() {
                    return Ok(());
                }
            }
            Err(Diagnostics::error("The shelf ends here", "There are no more."))
        }
    }

    async fn listed(request: ListRequest, limit: usize) -> (Vec<(String, Value)>, Diagnostics) {
        let (found, mut items) = Found::channel(Some(limit));
        let told = list(Shelf).list(&Context::new(), request, found).await;
        let mut all = Vec::new();
        while let Some(item) = items.recv().await {
            all.push((item.display_name, item.state));
        }
        (all, told)
    }

    fn asked(prefix: impl Into<Value>, whole: bool) -> ListRequest {
        ListRequest::new(Value::object([("prefix", prefix.into())]), whole)
    }

    fn book(name: &str, pages: impl Into<Value>) -> Value {
        Value::object([("name", Value::from(name)), ("pages", pages.into())])
    }

    #[tokio::test]
    async fn a_query_and_what_it_finds_are_structs() {
        let (found, told) = listed(asked("bee", true), 9).await;
        let named = |name: &str| (name.to_uppercase(), book(name, 7));
        assert_eq!(found, [named("bee"), named("beetle")]);
        assert!(told.has_errors(), "what the author says comes with it");
        let (found, told) = listed(asked(Value::Null, false), 2).await;
        assert_eq!(found.last().unwrap(), &("BEE".to_owned(), book("bee", Value::Null)));
        assert!(found.len() == 2 && !told.has_errors());
    }

    #[tokio::test]
    async fn a_query_that_does_not_fit_is_told() {
        let (found, told) = listed(asked(Value::from(7), true), 9).await;
        assert!(found.is_empty() && told.has_errors());
    }
}
