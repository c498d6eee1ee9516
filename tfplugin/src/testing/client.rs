//! Terraform's part, played inside the test.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::provider_server::Provider as _;
use tfplugin_proto::tfplugin6::{self as proto, ClientCapabilities};
use tonic::Request;

use super::received::{diagnostics, refused, sent, value};
use super::wired::Wired;
use crate::oracle::Driver;
use crate::rpc::Calls;
use crate::server::Server;
use crate::{Diagnostics, Function, FunctionError, Provider, Value};

/// A provider that is asked as Terraform asks it: over the wire form of everything, without a process.
///
/// It belongs to the runtime of the test. Every response is held against Terraform's contract; a broken rule is an error
/// that begins with "Bug in the provider".
pub struct Client {
    pub(super) calls: Arc<Calls>,
    pub(super) server: Arc<Server>,
    pub(super) capabilities: ClientCapabilities,
}

impl Client {
    /// A provider without a configuration, of a client that knows everything that the protocol has.
    ///
    /// # Errors
    /// The schemas are not sound.
    pub async fn new(provider: impl Provider) -> Result<Self, Diagnostics> {
        let server = Arc::new(Server::new(provider).judged());
        let calls = Arc::new(Calls::new(Arc::clone(&server)));
        let request = proto::get_provider_schema::Request {};
        let schemas = calls.get_provider_schema(Request::new(request)).await.unwrap().into_inner();
        refused(schemas.diagnostics)?;
        let capabilities = ClientCapabilities {
            deferral_allowed: false,
            write_only_attributes_allowed: true,
            store_planned_private: true,
            computed_blocks_allowed: true,
        };
        Ok(Self { calls, server, capabilities })
    }

    /// The same, configured; null is a block in which nothing is set.
    ///
    /// # Errors
    /// What validation or configuration says.
    pub async fn configured(provider: impl Provider, config: &Value) -> Result<Self, Diagnostics> {
        let client = Self::new(provider).await?;
        client.configure(config).await?;
        Ok(client)
    }

    /// The same as a client that knows no write-only values and keeps no planned private bytes, as Terraform before 1.11.
    #[must_use]
    pub fn of_old(mut self) -> Self {
        self.capabilities = ClientCapabilities::default();
        self
    }

    /// The same as a client that lets things be put off.
    #[must_use]
    pub fn that_defers(mut self) -> Self {
        self.capabilities.deferral_allowed = true;
        self
    }

    /// Validates the provider's configuration and hands it over; null is a block in which nothing is set.
    ///
    /// # Errors
    /// What validation or configuration says.
    pub async fn configure(&self, config: &Value) -> Result<(), Diagnostics> {
        let shape = &self.server.catalog().provider.shape;
        let empty = shape.empty_block();
        let config = Some(sent(if config.is_null() { &empty } else { config }, &shape.ty));
        let request = proto::validate_provider_config::Request { config: config.clone() };
        let valid = self.calls.validate_provider_config(Request::new(request)).await.unwrap();
        refused(valid.into_inner().diagnostics)?;
        let request = proto::configure_provider::Request {
            terraform_version: "1.16.0".to_owned(),
            config,
            client_capabilities: Some(self.capabilities),
        };
        let configured = self.calls.configure_provider(Request::new(request)).await.unwrap();
        refused(configured.into_inner().diagnostics)
    }

    /// An object of this type that is not there yet.
    ///
    /// # Errors
    /// There is no such type.
    pub fn object(&self, type_name: &str) -> Result<Driver, Diagnostics> {
        Ok(Driver::new(Arc::new(Wired::new(self, type_name)?)))
    }

    /// Reads a data source.
    ///
    /// # Errors
    /// What validation or the read says.
    pub async fn read(&self, type_name: &str, config: &Value) -> Result<Value, Diagnostics> {
        let ty = self.server.catalog().data_source(type_name)?.shape.ty.clone();
        let (type_name, config) = (type_name.to_owned(), Some(sent(config, &ty)));
        let request = proto::validate_data_resource_config::Request {
            type_name: type_name.clone(),
            config: config.clone(),
        };
        let valid = self.calls.validate_data_resource_config(Request::new(request)).await.unwrap();
        refused(valid.into_inner().diagnostics)?;
        let request = proto::read_data_source::Request {
            type_name,
            config,
            provider_meta: None,
            client_capabilities: Some(self.capabilities),
        };
        let read = self.calls.read_data_source(Request::new(request)).await.unwrap().into_inner();
        refused(read.diagnostics)?;
        Ok(value(read.state.as_ref(), &ty))
    }

    /// Opens an ephemeral value and closes it again.
    ///
    /// # Errors
    /// What validation, the opening or the closing says.
    pub async fn open(&self, type_name: &str, config: &Value) -> Result<Value, Diagnostics> {
        let ty = self.server.catalog().ephemeral(type_name)?.shape.ty.clone();
        let (type_name, config) = (type_name.to_owned(), Some(sent(config, &ty)));
        let request = proto::validate_ephemeral_resource_config::Request {
            type_name: type_name.clone(),
            config: config.clone(),
        };
        let valid = self.calls.validate_ephemeral_resource_config(Request::new(request)).await;
        refused(valid.unwrap().into_inner().diagnostics)?;
        let request = proto::open_ephemeral_resource::Request {
            type_name: type_name.clone(),
            config,
            client_capabilities: Some(self.capabilities),
        };
        let opened = self.calls.open_ephemeral_resource(Request::new(request)).await.unwrap();
        let opened = opened.into_inner();
        refused(opened.diagnostics)?;
        let request =
            proto::close_ephemeral_resource::Request { type_name, private: opened.private };
        let closed = self.calls.close_ephemeral_resource(Request::new(request)).await.unwrap();
        refused(closed.into_inner().diagnostics)?;
        Ok(value(opened.result.as_ref(), &ty))
    }

    /// Calls a function.
    ///
    /// # Errors
    /// What the function says of its arguments.
    pub async fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, FunctionError> {
        let unknown = |found: Diagnostics| FunctionError::new(format!("{found:?}"));
        let function: Arc<dyn Function> = self.server.catalog().function(name).map_err(unknown)?;
        let signature = function.signature();
        let arguments = arguments.iter().enumerate().map(|(position, argument)| {
            let parameter = signature.parameter_at(position);
            let ty = &parameter.expect("there are no more arguments than parameters").ty;
            sent(argument, ty)
        });
        let request =
            proto::call_function::Request { name: name.to_owned(), arguments: arguments.collect() };
        let called = self.calls.call_function(Request::new(request)).await.unwrap().into_inner();
        match called.error {
            Some(error) => {
                let argument = error.function_argument.and_then(|at| usize::try_from(at).ok());
                Err(FunctionError { text: error.text, argument })
            }
            None => Ok(value(called.result.as_ref(), &signature.result)),
        }
    }

    /// Asks everything that runs to come to an early end, as Ctrl-C does.
    pub async fn stop(&self) {
        let stopped = self.calls.stop_provider(Request::new(proto::stop_provider::Request {}));
        assert_eq!(stopped.await.unwrap().into_inner().error, "");
    }

    /// What validation says of the configuration of an object, warnings included.
    ///
    /// # Errors
    /// There is no such type.
    pub async fn validate(
        &self,
        type_name: &str,
        config: &Value,
    ) -> Result<Diagnostics, Diagnostics> {
        let ty = self.server.catalog().resource(type_name)?.shape.ty.clone();
        let request = proto::validate_resource_config::Request {
            type_name: type_name.to_owned(),
            config: Some(sent(config, &ty)),
            client_capabilities: Some(self.capabilities),
        };
        let valid = self.calls.validate_resource_config(Request::new(request)).await.unwrap();
        Ok(diagnostics(valid.into_inner().diagnostics))
    }
}
