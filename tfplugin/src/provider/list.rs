//! The author's side of listing: objects that exist, managed or not.

use std::ops::ControlFlow;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{Context, Diagnostics, Schema, Value};

/// Finds the objects of a resource type, for `terraform query` (1.14 and later).
#[async_trait]
pub trait ListResource: Send + Sync {
    /// The resource type whose objects are listed; that resource must have an identity.
    fn type_name(&self) -> &'static str;

    /// What its `list` block may hold, such as filters.
    fn schema(&self) -> Schema;

    /// Checks the configuration without touching the outside world. It may hold unknowns.
    async fn validate(&self, ctx: &Context, config: &Value) -> Diagnostics {
        let _ = (ctx, config);
        Diagnostics::none()
    }

    /// Sends what is found, one by one, until all is sent or the receiver has enough.
    async fn list(&self, ctx: &Context, request: ListRequest, found: Found) -> Diagnostics;
}

/// What is to be listed.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ListRequest {
    /// The `list` block.
    pub config: Value,
    /// Whether whole states are wanted; else what the identity needs is enough.
    pub include_resource: bool,
    /// Most objects that are wanted; a hint for paging, [`Found`] stops by itself.
    pub limit: Option<usize>,
}

impl ListRequest {
    /// A listing without a limit; for tests and tools.
    pub fn new(config: Value, include_resource: bool) -> Self {
        Self { config, include_resource, limit: None }
    }
}

/// One object that was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListItem {
    /// What people call it.
    pub display_name: String,
    /// Its state, with at least what its identity is made of.
    pub state: Value,
    /// Messages about this object.
    pub diagnostics: Diagnostics,
}

/// Where found objects go.
#[derive(Debug)]
pub struct Found {
    sender: mpsc::Sender<ListItem>,
    left: Option<usize>,
}

impl Found {
    /// A receiver for the objects, and the sender that stops at a limit.
    pub fn channel(limit: Option<usize>) -> (Self, mpsc::Receiver<ListItem>) {
        let (sender, receiver) = mpsc::channel(16);
        (Self { sender, left: limit }, receiver)
    }

    /// Sends one object. A break says that no more are wanted.
    pub async fn send(&mut self, item: ListItem) -> ControlFlow<()> {
        if self.left == Some(0) || self.sender.send(item).await.is_err() {
            return ControlFlow::Break(());
        }
        self.left = self.left.map(|left| left - 1);
        match self.left {
            Some(0) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_than_the_limit_gets_through() {
        let (mut found, mut receiver) = Found::channel(Some(2));
        assert!(found.send(ListItem::default()).await.is_continue());
        assert!(found.send(ListItem::default()).await.is_break());
        assert!(found.send(ListItem::default()).await.is_break());
        drop(found);
        let mut count = 0;
        while receiver.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, 2);
    }

    #[tokio::test]
    async fn a_receiver_that_is_gone_stops_the_search() {
        let (mut found, receiver) = Found::channel(None);
        drop(receiver);
        assert!(found.send(ListItem::default()).await.is_break());
    }
}
