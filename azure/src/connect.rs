//! Opens a connection to Azure, and tells early what is wrong with one.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use hcs_engine::cloud::{ArmRequest, ArmResponse, Cloud, Method, Target, TransportError};
use serde_json::Value;

use crate::arm::ArmCloud;
use crate::blob::AzureBlobStores;
use crate::credential::{ChainError, CredentialChain, Method as Way, PlanContext};
use crate::environment::{Environment, KnownCloud};
use crate::error::ConnectError;
use crate::http::{HttpClient, HttpSettings};
use crate::settings::AzureSettings;
use crate::tenants::{AUXILIARY_TENANTS_MAX, Tenant, Tenants};
use crate::token::TokenCache;
use crate::transport::{NoAnswer, chain};

const AUXILIARY: &str = "auxiliary_tenant_ids";
const SUBSCRIPTIONS_API: &str = "2022-12-01";

/// One subscription of one Azure, as one principal sees it.
#[derive(Clone, Debug)]
pub struct Azure {
    /// Azure Resource Manager.
    pub cloud: Arc<ArmCloud>,
    /// Blobs of any account in it.
    pub blobs: Arc<AzureBlobStores>,
    /// Cached tokens of the principal.
    pub tokens: Arc<TokenCache>,
    /// The subscription.
    pub subscription_id: String,
    /// The tenant, when the settings name it; [`Azure::check`] learns it in any case.
    pub tenant_id: Option<String>,
    /// Endpoints in use.
    pub environment: Environment,
    credentials: Arc<CredentialChain>,
    has_custom_environment: bool,
    tenants: Arc<Tenants>,
}

/// What [`Azure::check`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Display name of the subscription.
    pub subscription_name: String,
    /// Tenant that issued the token.
    pub tenant_id: Option<String>,
    /// Object id of the principal.
    pub object_id: Option<String>,
    /// The credential that worked, in words.
    pub credential: String,
}

/// Sets a connection up. Asks the network only for the endpoints of a metadata host.
pub async fn connect(settings: &AzureSettings) -> Result<Azure, ConnectError> {
    connect_with(settings, &HttpSettings::default()).await
}

/// Like [`connect`], with other HTTP settings.
pub async fn connect_with(
    settings: &AzureSettings,
    http: &HttpSettings,
) -> Result<Azure, ConnectError> {
    let subscription_id = subscription_id(settings)?;
    check_tenant(settings)?;
    let http = HttpClient::new(http).map_err(ConnectError::HttpSetup)?;
    let environment = environment(settings, &http).await?;
    let context = PlanContext { authority: environment.authority.clone(), http: http.clone() };
    let credentials = Arc::new(CredentialChain::new(settings, &context));
    let credential: Arc<dyn TokenCredential> = credentials.clone();
    let tokens = Arc::new(TokenCache::new(credential));
    let home = Tenant { id: settings.tenant_id.clone(), tokens: Arc::clone(&tokens) };
    let tenants = Arc::new(Tenants::new(home, auxiliary(settings, &context, &credentials)?));
    let cloud = ArmCloud::new(&environment, Arc::clone(&tokens), Arc::clone(&tenants), &http);
    Ok(Azure {
        cloud: Arc::new(cloud),
        blobs: Arc::new(AzureBlobStores::with_tokens(Arc::clone(&tokens), &http)),
        tokens,
        subscription_id,
        tenant_id: settings.tenant_id.clone(),
        environment,
        credentials,
        has_custom_environment: settings.metadata_host.is_some(),
        tenants,
    })
}

/// The same principal in the other tenants.
fn auxiliary(
    settings: &AzureSettings,
    context: &PlanContext,
    credentials: &CredentialChain,
) -> Result<Vec<Tenant>, ConnectError> {
    let ids = &settings.auxiliary_tenant_ids;
    let refused = |reason: String| ConnectError::InvalidSetting { attribute: AUXILIARY, reason };
    if ids.len() > AUXILIARY_TENANTS_MAX {
        let reason = format!("it names {} tenants; Azure takes {AUXILIARY_TENANTS_MAX}", ids.len());
        return Err(refused(reason));
    }
    if credentials.method() == Some(Way::ManagedIdentity) && !ids.is_empty() {
        // Set for another provider of the same run, perhaps.
        if settings.auxiliary_tenant_ids_from_environment {
            tracing::debug!(
                "a managed identity has no other tenants: ARM_AUXILIARY_TENANT_IDS is ignored"
            );
            return Ok(vec![]);
        }
        let reason = "a managed identity exists in its own tenant only; use another credential, or leave it out";
        return Err(refused(reason.to_owned()));
    }
    let tenant = |id: &String| {
        // Challenges name tenants by their ids.
        if uuid::Uuid::parse_str(id).is_err() {
            return Err(refused(format!(
                "{id:?} is no tenant's id like 00000000-0000-0000-0000-000000000000"
            )));
        }
        let settings = AzureSettings { tenant_id: Some(id.clone()), ..settings.clone() };
        let credential: Arc<dyn TokenCredential> =
            Arc::new(CredentialChain::new(&settings, context));
        Ok(Tenant { id: Some(id.clone()), tokens: Arc::new(TokenCache::new(credential)) })
    };
    ids.iter().map(tenant).collect()
}

impl Azure {
    /// Gets a token and reads the subscription, so that wrong credentials, an endpoint that cannot
    /// be reached and an unknown subscription are told before any plan is made.
    pub async fn check(&self) -> Result<Checked, ConnectError> {
        let token = self.tokens.token(&self.environment.arm_scope()).await;
        let token = token.map_err(|error| Self::credential_error(&error))?;
        for tenant in self.tenants.auxiliary() {
            if let Err(error) = tenant.tokens.token(&self.environment.arm_scope()).await {
                let id = tenant.id.as_deref().unwrap_or_default();
                let reason =
                    format!("tenant {id} gave no token: {}", Self::credential_error(&error));
                return Err(ConnectError::InvalidSetting { attribute: AUXILIARY, reason });
            }
        }
        let claims = crate::token::Claims::of(token.token.secret());
        let credential = self.credentials.subject();
        let path =
            format!("/subscriptions/{}?api-version={SUBSCRIPTIONS_API}", self.subscription_id);
        let request = ArmRequest::new(Method::Get, Target::Path(path));
        let response = self.cloud.send(&request).await;
        let response = response.map_err(|error| self.transport_error(error))?;
        let principal = match &claims.object_id {
            Some(id) => format!("{credential} (object id {id})"),
            None => credential.clone(),
        };
        let subscription_name = self.subscription(&response, principal)?;
        let tenant_id = claims.tenant_id.or_else(|| self.tenant_id.clone());
        let object_id = claims.object_id;
        Ok(Checked { subscription_name, tenant_id, object_id, credential })
    }

    fn subscription(
        &self,
        response: &ArmResponse,
        principal: String,
    ) -> Result<String, ConnectError> {
        let text = |pointer: &str| {
            let value = response.body.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let subscription_id = self.subscription_id.clone();
        if response.status == 200 {
            let state = text("/state");
            return match state.as_str() {
                "Disabled" | "Deleted" | "Expired" => {
                    Err(ConnectError::InactiveSubscription { subscription_id, state })
                }
                _ if response.body.is_object() => Ok(text("/displayName")),
                _ => {
                    let reason = "a subscription is described by nothing".to_owned();
                    Err(ConnectError::NotArm { host: self.cloud.host(), reason })
                }
            };
        }
        let (code, message) = (text("/error/code"), text("/error/message"));
        Err(match response.status {
            401 => ConnectError::TokenRefused { principal, code, message },
            400 | 403 | 404 if code != crate::arm::NON_JSON_CODE => {
                ConnectError::UnknownSubscription { subscription_id, principal, code, message }
            }
            status => ConnectError::Refused { status, code, message },
        })
    }

    fn credential_error(error: &azure_core::Error) -> ConnectError {
        let found = chain(error).iter().find_map(|e| e.downcast_ref::<ChainError>().cloned());
        let unknown = || ChainError {
            attempts: Vec::new(),
            not_tried: Vec::new(),
            not_configured: Vec::new(),
        };
        ConnectError::Credential(found.unwrap_or_else(unknown))
    }

    fn transport_error(&self, error: TransportError) -> ConnectError {
        match error {
            TransportError::NotSent { host, source }
            | TransportError::OutcomeUnknown { host, source } => {
                let reason = source.to_string();
                let cause = source.downcast::<NoAnswer>().map(|cause| *cause);
                let broken = |_| NoAnswer::Broken { host: host.clone(), reason };
                let source = cause.unwrap_or_else(broken);
                ConnectError::Unreachable { host, custom: self.has_custom_environment, source }
            }
            TransportError::Malformed { host, reason } => ConnectError::NotArm { host, reason },
            TransportError::ForeignHost { host } => {
                let reason = "it names a foreign host".to_owned();
                ConnectError::NotArm { host, reason }
            }
            TransportError::Credential { tried } => ConnectError::TokenRefused {
                principal: self.credentials.subject(),
                code: "Credential".to_owned(),
                message: tried,
            },
        }
    }
}

fn subscription_id(settings: &AzureSettings) -> Result<String, ConnectError> {
    let attribute = "subscription_id";
    let variable = "ARM_SUBSCRIPTION_ID";
    let id = settings.subscription_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
    let id = id.ok_or(ConnectError::MissingSetting { attribute, variable })?;
    if id.len() != 36 || uuid::Uuid::parse_str(id).is_err() {
        let reason = format!("{id:?} is no id like 00000000-0000-0000-0000-000000000000");
        return Err(ConnectError::InvalidSetting { attribute, reason });
    }
    Ok(id.to_owned())
}

/// The tenant becomes part of the token endpoint's path.
fn check_tenant(settings: &AzureSettings) -> Result<(), ConnectError> {
    let Some(tenant) = &settings.tenant_id else {
        return Ok(());
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if tenant.is_empty() || !tenant.chars().all(plain) {
        let reason = format!("{tenant:?} is neither an id nor a domain name");
        return Err(ConnectError::InvalidSetting { attribute: "tenant_id", reason });
    }
    Ok(())
}

async fn environment(
    settings: &AzureSettings,
    http: &HttpClient,
) -> Result<Environment, ConnectError> {
    let cloud = match &settings.environment {
        None => None,
        Some(text) => Some(KnownCloud::parse(text).ok_or_else(|| {
            let reason = format!("{text:?} is none of public, usgovernment, china");
            ConnectError::InvalidSetting { attribute: "environment", reason }
        })?),
    };
    match &settings.metadata_host {
        Some(host) => Environment::fetch(host, cloud, http).await,
        None => Environment::known(cloud.unwrap_or_default()),
    }
    .map_err(ConnectError::Environment)
}
