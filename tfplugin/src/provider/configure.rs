//! The configuration of a provider, and what it makes of it.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;

use crate::typed::Model;
use crate::{Deferred, Diagnostic, Diagnostics, Value};

/// The configuration of a provider.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ConfigureRequest {
    /// The `provider` block.
    pub config: Value,
    /// Version of the Terraform that asks. Not for decisions: others give a number of their own, and say what they can do
    /// in [`crate::Context`].
    pub terraform_version: String,
}

impl ConfigureRequest {
    /// A configuration; for tests and tools.
    pub fn new(config: Value) -> Self {
        Self { config, ..Self::default() }
    }

    /// The block as a struct.
    pub fn read<M: Model>(&self) -> Result<M, Diagnostics> {
        M::from_value(&self.config).map_err(|error| {
            let detail = format!("The provider's configuration cannot be used: {error}.");
            Diagnostic::error("Invalid provider configuration", detail).at(error.path).into()
        })
    }
}

/// What became of a configuration.
#[derive(Debug, Clone, Default)]
pub struct ConfigureResponse {
    /// What all later calls have at hand, see [`crate::Context::data`]; absent where it failed.
    pub data: Option<ProviderData>,
    /// Why nothing can be done in this round, see [`ConfigureResponse::deferred`].
    pub deferred: Option<Deferred>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

impl ConfigureResponse {
    /// Configured: a client, a connection, whatever later calls need.
    pub fn new<T: Send + Sync + 'static>(data: T) -> Self {
        Self { data: Some(ProviderData::new(data)), ..Self::default() }
    }

    /// Could not be configured: later calls that need the data say so.
    pub fn failed(diagnostics: impl Into<Diagnostics>) -> Self {
        Self { diagnostics: diagnostics.into(), ..Self::default() }
    }

    /// Cannot be configured yet, as the configuration holds what is not known: everything waits for another round. The
    /// framework puts off each plan, read, import, ephemeral value and action by itself, and asks no author. Plans are
    /// what the rules of the schema give.
    ///
    /// An error where the client does not let it, so ask [`crate::Context::deferral_allowed`] if there is a better answer
    /// for such a client.
    pub fn deferred(reason: Deferred) -> Self {
        Self { deferred: Some(reason), ..Self::default() }
    }

    /// The same with messages.
    #[must_use]
    pub fn telling(mut self, diagnostics: Diagnostics) -> Self {
        self.diagnostics.extend(diagnostics);
        self
    }
}

/// What a provider made of its configuration. The framework keeps it, and gives it to every call that begins afterwards: a
/// process that serves several runs has in each what was configured last, and a call keeps what it began with.
#[derive(Clone)]
pub struct ProviderData {
    data: Arc<dyn Any + Send + Sync>,
    what: &'static str,
}

impl ProviderData {
    /// Data of a provider.
    pub fn new<T: Send + Sync + 'static>(data: T) -> Self {
        Self::shared(Arc::new(data))
    }

    /// Data that somebody else holds, too.
    pub fn shared<T: Send + Sync + 'static>(data: Arc<T>) -> Self {
        Self { data, what: type_name::<T>() }
    }

    /// The data, if they are of this type.
    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.data).downcast().ok()
    }
}

impl fmt::Debug for ProviderData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}
