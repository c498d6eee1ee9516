//! The provider block: the names and environment variables that azurerm users know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use hcs_azure::{AzureSettings, Secret};
use hcs_engine::clock::SystemClock;
use tfplugin::typed::Model as _;
use tfplugin::validate::{one_of, text_rule};
use tfplugin::{
    Action, Attr, ConfigureRequest, ConfigureResponse, Context, DataSource, Diagnostic,
    Diagnostics, Ephemeral, Function, ListResource, Model, Path, Provider, Resource, Schema,
    Sensitive, Value, action, async_trait, data_source, ephemeral, function, list, managed,
};

use crate::client::{Client, Ports, Registrations};
use crate::cluster::ClusterResource;
use crate::cluster_data::ClusterDataSource;
use crate::cluster_list::ClusterList;
use crate::clusters_data::ClustersDataSource;
use crate::ephemeral::{ClientConfig, RootToken};
use crate::functions::{
    NextWindowFunction, ParseClusterIdFunction, QuorumFunction, ZonePlacementFunction,
};
use crate::health_data::HealthDataSource;
use crate::helm_data::HelmConfigDataSource;
use crate::policy::PolicyResource;
use crate::snapshots::{
    RestoreAction, RestoreResource, SnapshotAction, SnapshotResource, SnapshotsDataSource,
};
use crate::tagging::{self, Tagging};
use crate::versions_data::ConsulVersionsDataSource;
use crate::zones_data::ZonesDataSource;

/// Highly available Consul clusters in your own Azure subscription.
#[derive(Model)]
pub(crate) struct ProviderConfig {
    /// Subscription of the clusters. `ARM_SUBSCRIPTION_ID`.
    subscription_id: Attr<String>,
    /// Entra tenant of the principal. `ARM_TENANT_ID`.
    tenant_id: Attr<String>,
    /// Other tenants that know the principal, 3 at most, for peers that live there. `ARM_AUXILIARY_TENANT_IDS`,
    /// separated by semicolons.
    auxiliary_tenant_ids: Attr<Vec<String>>,
    /// Client id of the principal. `ARM_CLIENT_ID`.
    client_id: Attr<String>,
    /// File that holds it. `ARM_CLIENT_ID_FILE_PATH`.
    client_id_file_path: Attr<String>,
    /// Secret of the principal. `ARM_CLIENT_SECRET`.
    client_secret: Attr<Sensitive<String>>,
    /// File that holds it. `ARM_CLIENT_SECRET_FILE_PATH`.
    client_secret_file_path: Attr<String>,
    /// Certificate and RSA key of the principal in base64: a PKCS#12 archive (PFX) or PEM. `ARM_CLIENT_CERTIFICATE`.
    client_certificate: Attr<Sensitive<String>>,
    /// File that holds them, in either form. `ARM_CLIENT_CERTIFICATE_PATH`.
    client_certificate_path: Attr<String>,
    /// Password of the PKCS#12 archive. `ARM_CLIENT_CERTIFICATE_PASSWORD`.
    client_certificate_password: Attr<Sensitive<String>>,
    /// Whether the Azure CLI may be asked; default true. `ARM_USE_CLI`.
    use_cli: Attr<bool>,
    /// Whether this machine's managed identity is used. `ARM_USE_MSI`.
    use_msi: Attr<bool>,
    /// Address of the metadata service. `ARM_MSI_ENDPOINT`.
    msi_endpoint: Attr<String>,
    /// Whether a federated token is exchanged. `ARM_USE_OIDC`.
    use_oidc: Attr<bool>,
    /// The federated token. `ARM_OIDC_TOKEN`.
    oidc_token: Attr<Sensitive<String>>,
    /// File that holds the federated token. `ARM_OIDC_TOKEN_FILE_PATH`.
    oidc_token_file_path: Attr<String>,
    /// URL at which a pipeline gets its federated token; runners of GitHub and Azure DevOps set it
    /// (`ACTIONS_ID_TOKEN_REQUEST_URL`, `SYSTEM_OIDCREQUESTURI`). `ARM_OIDC_REQUEST_URL`.
    oidc_request_url: Attr<String>,
    /// Bearer token for that URL (`ACTIONS_ID_TOKEN_REQUEST_TOKEN`, `SYSTEM_ACCESSTOKEN`). `ARM_OIDC_REQUEST_TOKEN`.
    oidc_request_token: Attr<Sensitive<String>>,
    /// Service connection of an Azure DevOps pipeline, whose token is exchanged.
    /// `ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID`, `ARM_OIDC_AZURE_SERVICE_CONNECTION_ID`.
    ado_pipeline_service_connection_id: Attr<String>,
    /// Whether AKS workload identity is used.
    use_aks_workload_identity: Attr<bool>,
    /// `public` (default), `usgovernment` or `china`. `ARM_ENVIRONMENT`.
    #[tf(validate = one_of(ENVIRONMENTS))]
    environment: Attr<String>,
    /// Host that describes another Azure environment. `ARM_METADATA_HOSTNAME`.
    metadata_host: Attr<String>,
    /// Who registers the resource providers that a cluster needs: `none` (default; a plan names what is missing) or
    /// `core` (a create registers them and waits). `ARM_RESOURCE_PROVIDER_REGISTRATIONS`.
    #[tf(validate = text_rule("one of none, core", registrations))]
    resource_provider_registrations: Attr<String>,
    #[tf(block)]
    default_tags: Attr<DefaultTags>,
    #[tf(block)]
    ignore_tags: Attr<IgnoreTags>,
}

/// Tags that every cluster gets; a cluster's own tags win.
#[derive(Model)]
struct DefaultTags {
    /// The tags.
    #[tf(validate = tagging::rules())]
    tags: Attr<BTreeMap<String, Attr<String>>>,
}

/// Tags that somebody else looks after, most often a policy: hcs neither writes nor compares them, even where `tags`
/// or `default_tags` have them. Tags that hcs was never given stay as they are without this.
#[derive(Model)]
pub(crate) struct IgnoreTags {
    /// Their names.
    pub(crate) keys: Attr<BTreeSet<String>>,
    /// Starts of their names.
    pub(crate) key_prefixes: Attr<BTreeSet<String>>,
}

/// Environments that are known by name.
const ENVIRONMENTS: [&str; 3] = ["public", "usgovernment", "china"];

/// The provider `hcs`.
pub(crate) struct HcsProvider;

#[async_trait]
impl Provider for HcsProvider {
    fn address(&self) -> Option<&str> {
        Some("registry.terraform.io/hcs-community/hcs")
    }

    fn schema(&self) -> Schema {
        ProviderConfig::schema()
    }

    fn resources(&self) -> Vec<Arc<dyn Resource>> {
        vec![
            Arc::new(ClusterResource),
            Arc::new(PolicyResource),
            managed(SnapshotResource),
            managed(RestoreResource),
        ]
    }

    fn ephemerals(&self) -> Vec<Arc<dyn Ephemeral>> {
        vec![ephemeral(ClientConfig), ephemeral(RootToken)]
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        vec![
            Arc::new(ClusterDataSource),
            data_source(HelmConfigDataSource),
            data_source(ClustersDataSource),
            data_source(HealthDataSource),
            data_source(SnapshotsDataSource),
            data_source(ConsulVersionsDataSource),
            data_source(ZonesDataSource),
        ]
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![action(SnapshotAction), action(RestoreAction)]
    }

    fn list_resources(&self) -> Vec<Arc<dyn ListResource>> {
        vec![list(ClusterList)]
    }

    fn functions(&self) -> Vec<Arc<dyn Function>> {
        vec![
            function(ZonePlacementFunction),
            function(QuorumFunction),
            function(NextWindowFunction),
            function(ParseClusterIdFunction),
        ]
    }

    async fn validate(&self, _: &Context, config: &Value) -> Diagnostics {
        tfplugin::validate::null_elements(&self.schema(), config)
    }

    async fn configure(&self, _: &Context, request: ConfigureRequest) -> ConfigureResponse {
        match connected(&request).await {
            Ok(client) => ConfigureResponse::new(client),
            Err(found) => ConfigureResponse::failed(found),
        }
    }
}

async fn connected(request: &ConfigureRequest) -> Result<Client, Diagnostics> {
    // Tags may be unknown while planning; without a connection there is no plan at all.
    if let Some(name) = unknown_setting(&request.config) {
        return Err(Diagnostic::error(
            "The provider's configuration is not known yet",
            format!(
                "{name} depends on something that is made in the same run. hcs plans with what the subscription \
                 offers, so it needs {name} while planning: give it as a known value or by its environment \
                 variable, or make what it depends on in a run before (terraform apply -target=...)."
            ),
        )
        .at(name)
        .into());
    }
    let config: ProviderConfig = request.read()?;
    let at = ProviderConfig::RESOURCE_PROVIDER_REGISTRATIONS;
    let word = config.resource_provider_registrations.known().cloned().or_else(|| {
        let set = std::env::var("ARM_RESOURCE_PROVIDER_REGISTRATIONS").ok();
        set.filter(|word| !word.trim().is_empty())
    });
    let registrations = match word {
        None => Registrations::None,
        Some(word) => Registrations::read(&word).ok_or_else(|| {
            let detail = registrations(&word).err().unwrap_or_default();
            Diagnostic::error(format!("Invalid {at}"), detail).at(at)
        })?,
    };
    let ignored = tagging::ignored(&config.ignore_tags);
    let mut settings = settings(config);
    settings
        .merge_env(|name| std::env::var(name).ok())
        .map_err(|error| crate::diagnostics::connect(&error))?;
    let azure = hcs_azure::connect(&settings).await;
    let azure = azure.map_err(|error| crate::diagnostics::connect(&error))?;
    // Once and here, so that one error at the provider block tells what every resource would run into.
    azure.check().await.map_err(|error| crate::diagnostics::connect(&error))?;
    let defaults = request.config.get(ProviderConfig::DEFAULT_TAGS).get(DefaultTags::TAGS).clone();
    let ports = Ports {
        cloud: azure.cloud,
        blobs: azure.blobs,
        clock: Arc::new(SystemClock),
        programs: None,
    };
    let client = Client::new(ports, azure.subscription_id, Tagging { defaults, ignored });
    Ok(client.registering(registrations))
}

fn registrations(word: &str) -> Result<(), String> {
    if Registrations::read(word).is_some() {
        return Ok(());
    }
    let (name, known) =
        (ProviderConfig::RESOURCE_PROVIDER_REGISTRATIONS, Registrations::WORDS.join(", "));
    Err(format!(
        "{name} is {word:?}; it is one of {known}. (azurerm knows more sets: a cluster needs four resource \
         providers, and core is these.)"
    ))
}

/// A setting of the connection that is not known.
fn unknown_setting(config: &Value) -> Option<Path> {
    let schema = ProviderConfig::schema();
    let attributes = schema.block.attributes.iter();
    let attributes = attributes.map(|one| (Path::root(&one.name), config.get(&one.name)));
    let block = config.get(ProviderConfig::IGNORE_TAGS);
    let ignored = [IgnoreTags::KEYS, IgnoreTags::KEY_PREFIXES];
    let ignored =
        ignored.map(|name| (Path::root(ProviderConfig::IGNORE_TAGS).attr(name), block.get(name)));
    attributes.chain(ignored).find(|(_, value)| !value.is_wholly_known()).map(|(path, _)| path)
}

fn settings(config: ProviderConfig) -> AzureSettings {
    let path = |attribute: Attr<String>| attribute.into_known().map(PathBuf::from);
    let secret = |attribute: Attr<Sensitive<String>>| {
        attribute.into_known().map(|secret| Secret::from(secret.into_exposed()))
    };
    AzureSettings {
        subscription_id: config.subscription_id.into_known(),
        tenant_id: config.tenant_id.into_known(),
        auxiliary_tenant_ids: config.auxiliary_tenant_ids.into_known().unwrap_or_default(),
        client_id: config.client_id.into_known(),
        client_secret: secret(config.client_secret),
        client_id_file_path: path(config.client_id_file_path),
        client_secret_file_path: path(config.client_secret_file_path),
        client_certificate: secret(config.client_certificate),
        client_certificate_path: path(config.client_certificate_path),
        client_certificate_password: secret(config.client_certificate_password),
        use_cli: config.use_cli.into_known(),
        use_msi: config.use_msi.into_known(),
        msi_endpoint: config.msi_endpoint.into_known(),
        use_oidc: config.use_oidc.into_known(),
        oidc_token: secret(config.oidc_token),
        oidc_token_file_path: path(config.oidc_token_file_path),
        oidc_request_url: config.oidc_request_url.into_known(),
        oidc_request_token: secret(config.oidc_request_token),
        ado_pipeline_service_connection_id: config.ado_pipeline_service_connection_id.into_known(),
        use_aks_workload_identity: config.use_aks_workload_identity.into_known(),
        environment: config.environment.into_known(),
        metadata_host: config.metadata_host.into_known(),
        auxiliary_tenant_ids_from_environment: false,
        // App Service's alone, by its environment.
        msi_identity_header: None,
    }
}
