//! A resource behind the wire: what is asked of it is sent, and what it answers is received.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::provider_server::Provider as _;
use tfplugin_proto::tfplugin6::{self as proto, ClientCapabilities};
use tonic::Request;

use super::Client;
use super::received::{diagnostics, path, sent, value};
use crate::provider::{RawState, UpgradeRequest, UpgradeResponse};
use crate::rpc::Calls;
use crate::schema::Type;
use crate::{
    ApplyRequest, ApplyResponse, Context, Diagnostics, ImportRequest, ImportResponse, PlanRequest,
    PlanResponse, ReadRequest, ReadResponse, Resource, Schema, Value, async_trait,
};

/// A resource as Terraform reaches it.
pub(super) struct Wired {
    calls: Arc<Calls>,
    capabilities: ClientCapabilities,
    author: Arc<dyn Resource>,
    schema: Schema,
    ty: Type,
}

impl Wired {
    pub(super) fn new(client: &Client, type_name: &str) -> Result<Self, Diagnostics> {
        let entry = client.server.catalog().resource(type_name)?;
        Ok(Self {
            calls: Arc::clone(&client.calls),
            capabilities: client.capabilities,
            schema: entry.shape.schema.clone(),
            ty: entry.shape.ty.clone(),
            author: entry.author,
        })
    }

    fn sent(&self, value: &Value) -> proto::DynamicValue {
        sent(value, &self.ty)
    }

    fn received(&self, sent: Option<&proto::DynamicValue>) -> Value {
        value(sent, &self.ty)
    }

    fn name(&self) -> String {
        self.author.type_name().to_owned()
    }
}

#[async_trait]
impl Resource for Wired {
    fn type_name(&self) -> &'static str {
        self.author.type_name()
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    async fn validate(&self, _: &Context, config: &Value) -> Diagnostics {
        let request = proto::validate_resource_config::Request {
            type_name: self.name(),
            config: Some(self.sent(config)),
            client_capabilities: Some(self.capabilities),
        };
        let answer = self.calls.validate_resource_config(Request::new(request)).await.unwrap();
        diagnostics(answer.into_inner().diagnostics)
    }

    async fn plan(&self, _: &Context, request: PlanRequest) -> PlanResponse {
        let request = proto::plan_resource_change::Request {
            type_name: self.name(),
            prior_state: Some(self.sent(&request.prior)),
            proposed_new_state: Some(self.sent(&request.proposed)),
            config: Some(self.sent(&request.config)),
            prior_private: request.private,
            client_capabilities: Some(self.capabilities),
            planned_private: request.planned_private.unwrap_or_default(),
            ..Default::default()
        };
        let answer = self.calls.plan_resource_change(Request::new(request)).await.unwrap();
        let answer = answer.into_inner();
        PlanResponse {
            planned: self.received(answer.planned_state.as_ref()),
            requires_replace: answer.requires_replace.into_iter().map(path).collect(),
            private: Some(answer.planned_private),
            diagnostics: diagnostics(answer.diagnostics),
            ..PlanResponse::default()
        }
    }

    async fn apply(&self, _: &Context, request: ApplyRequest) -> ApplyResponse {
        let request = proto::apply_resource_change::Request {
            type_name: self.name(),
            prior_state: Some(self.sent(&request.prior)),
            planned_state: Some(self.sent(&request.planned)),
            config: Some(self.sent(&request.config)),
            planned_private: request.private,
            ..Default::default()
        };
        let answer = self.calls.apply_resource_change(Request::new(request)).await.unwrap();
        let answer = answer.into_inner();
        ApplyResponse {
            state: self.received(answer.new_state.as_ref()),
            private: Some(answer.private),
            diagnostics: diagnostics(answer.diagnostics),
        }
    }

    async fn read(&self, _: &Context, request: ReadRequest) -> ReadResponse {
        let request = proto::read_resource::Request {
            type_name: self.name(),
            current_state: Some(self.sent(&request.state)),
            private: request.private,
            client_capabilities: Some(self.capabilities),
            ..Default::default()
        };
        let answer = self.calls.read_resource(Request::new(request)).await.unwrap().into_inner();
        ReadResponse {
            state: self.received(answer.new_state.as_ref()),
            private: Some(answer.private),
            diagnostics: diagnostics(answer.diagnostics),
            ..ReadResponse::default()
        }
    }

    async fn import(&self, _: &Context, request: ImportRequest) -> ImportResponse {
        let ImportRequest::Id(id) = request else {
            panic!("a test imports by id; an identity has no wire form here")
        };
        let request = proto::import_resource_state::Request {
            type_name: self.name(),
            id,
            client_capabilities: Some(self.capabilities),
            identity: None,
        };
        let answer = self.calls.import_resource_state(Request::new(request)).await.unwrap();
        let mut answer = answer.into_inner();
        let imported = answer.imported_resources.pop().unwrap_or_default();
        ImportResponse {
            state: self.received(imported.state.as_ref()),
            private: imported.private,
            diagnostics: diagnostics(answer.diagnostics),
            ..ImportResponse::default()
        }
    }

    async fn upgrade(&self, _: &Context, request: UpgradeRequest) -> UpgradeResponse {
        let raw = match request.raw {
            RawState::Json(json) => proto::RawState { json, ..Default::default() },
            RawState::Flatmap(flatmap) => proto::RawState { flatmap, ..Default::default() },
        };
        let request = proto::upgrade_resource_state::Request {
            type_name: self.name(),
            version: request.version,
            raw_state: Some(raw),
        };
        let answer = self.calls.upgrade_resource_state(Request::new(request)).await.unwrap();
        let answer = answer.into_inner();
        UpgradeResponse {
            state: self.received(answer.upgraded_state.as_ref()),
            diagnostics: diagnostics(answer.diagnostics),
        }
    }
}
