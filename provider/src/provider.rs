//! The provider block: the names and environment variables that azurerm users know.

use std::path::PathBuf;
use std::sync::Arc;

use hcs_azure::{AzureSettings, Secret};
use hcs_engine::clock::SystemClock;
use tfplugin::{
    Attribute, Block, ConfigureRequest, Context, DataSource, Diagnostic, Diagnostics, Ephemeral,
    NestedBlock, Path, Provider, Resource, Schema, Type, Value, async_trait,
};

use crate::client::{Client, Ports, Registrations, SharedClient};
use crate::cluster::ClusterResource;
use crate::cluster_data::ClusterDataSource;
use crate::ephemeral::{ClientConfig, RootToken};
use crate::helm_data::HelmConfigDataSource;
use crate::policy::PolicyResource;
use crate::tagging::{self, Tagging};

/// The provider `hcs`.
#[derive(Default)]
pub(crate) struct HcsProvider {
    client: SharedClient,
}

#[async_trait]
impl Provider for HcsProvider {
    fn address(&self) -> Option<&str> {
        Some("registry.terraform.io/hcs-community/hcs")
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe("Highly available Consul clusters in your own Azure subscription.")
            .attributes([
                text("subscription_id", "Subscription of the clusters. `ARM_SUBSCRIPTION_ID`."),
                text("tenant_id", "Entra tenant of the principal. `ARM_TENANT_ID`."),
                Attribute::list("auxiliary_tenant_ids", Type::String).optional().describe(
                    "Other tenants that know the principal, 3 at most, for peers that live there. \
                     `ARM_AUXILIARY_TENANT_IDS`, separated by semicolons.",
                ),
                text("client_id", "Client id of the principal. `ARM_CLIENT_ID`."),
                text("client_id_file_path", "File that holds it. `ARM_CLIENT_ID_FILE_PATH`."),
                text("client_secret", "Secret of the principal. `ARM_CLIENT_SECRET`.").sensitive(),
                text(
                    "client_secret_file_path",
                    "File that holds it. `ARM_CLIENT_SECRET_FILE_PATH`.",
                ),
                text(
                    "client_certificate",
                    "Certificate and RSA key of the principal in base64: a PKCS#12 archive (PFX) \
                     or PEM. `ARM_CLIENT_CERTIFICATE`.",
                )
                .sensitive(),
                text(
                    "client_certificate_path",
                    "File that holds them, in either form. `ARM_CLIENT_CERTIFICATE_PATH`.",
                ),
                text(
                    "client_certificate_password",
                    "Password of the PKCS#12 archive. `ARM_CLIENT_CERTIFICATE_PASSWORD`.",
                )
                .sensitive(),
                flag("use_cli", "Whether the Azure CLI may be asked; default true. `ARM_USE_CLI`."),
                flag("use_msi", "Whether this machine's managed identity is used. `ARM_USE_MSI`."),
                text("msi_endpoint", "Address of the metadata service. `ARM_MSI_ENDPOINT`."),
                flag("use_oidc", "Whether a federated token is exchanged. `ARM_USE_OIDC`."),
                text("oidc_token", "The federated token. `ARM_OIDC_TOKEN`.").sensitive(),
                text(
                    "oidc_token_file_path",
                    "File that holds the federated token. `ARM_OIDC_TOKEN_FILE_PATH`.",
                ),
                text(
                    "oidc_request_url",
                    "URL at which a pipeline gets its federated token; runners of GitHub and Azure \
                     DevOps set it (`ACTIONS_ID_TOKEN_REQUEST_URL`, `SYSTEM_OIDCREQUESTURI`). \
                     `ARM_OIDC_REQUEST_URL`.",
                ),
                text(
                    "oidc_request_token",
                    "Bearer token for that URL (`ACTIONS_ID_TOKEN_REQUEST_TOKEN`, \
                     `SYSTEM_ACCESSTOKEN`). `ARM_OIDC_REQUEST_TOKEN`.",
                )
                .sensitive(),
                text(
                    "ado_pipeline_service_connection_id",
                    "Service connection of an Azure DevOps pipeline, whose token is exchanged. \
                     `ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID`, `ARM_OIDC_AZURE_SERVICE_CONNECTION_ID`.",
                ),
                flag("use_aks_workload_identity", "Whether AKS workload identity is used."),
                text(
                    "environment",
                    "`public` (default), `usgovernment` or `china`. `ARM_ENVIRONMENT`.",
                ),
                text(
                    "metadata_host",
                    "Host that describes another Azure environment. `ARM_METADATA_HOSTNAME`.",
                ),
            ])
            .attributes([text(
                "resource_provider_registrations",
                "Who registers the resource providers that a cluster needs: `none` (default; a plan names \
                 what is missing) or `core` (a create registers them and waits). \
                 `ARM_RESOURCE_PROVIDER_REGISTRATIONS`.",
            )])
            .block(NestedBlock::single(
                "default_tags",
                Block::new()
                    .describe("Tags that every cluster gets; a cluster's own tags win.")
                    .attribute(
                        Attribute::map("tags", Type::String).optional().describe("The tags."),
                    ),
            ))
            .block(NestedBlock::single(
                "ignore_tags",
                Block::new()
                    .describe(
                        "Tags that somebody else looks after, most often a policy: hcs neither writes nor \
                         compares them, even where `tags` or `default_tags` have them. Tags that hcs was never \
                         given stay as they are without this.",
                    )
                    .attribute(
                        Attribute::set("keys", Type::String).optional().describe("Their names."),
                    )
                    .attribute(
                        Attribute::set("key_prefixes", Type::String)
                            .optional()
                            .describe("Starts of their names."),
                    ),
            ))
    }

    fn resources(&self) -> Vec<Arc<dyn Resource>> {
        vec![
            Arc::new(ClusterResource::new(self.client.clone())),
            Arc::new(PolicyResource::new(self.client.clone())),
        ]
    }

    fn ephemerals(&self) -> Vec<Arc<dyn Ephemeral>> {
        vec![
            Arc::new(ClientConfig::new(self.client.clone())),
            Arc::new(RootToken::new(self.client.clone())),
        ]
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        vec![
            Arc::new(ClusterDataSource::new(self.client.clone())),
            Arc::new(HelmConfigDataSource::new(self.client.clone())),
        ]
    }

    async fn validate(&self, _: &Context, config: &Value) -> Diagnostics {
        let environment = config.get("environment").as_str();
        let known = ["public", "usgovernment", "china"];
        let mut found = tfplugin::validate::null_elements(&self.schema(), config);
        if let Some(name) = environment.filter(|name| !known.contains(name)) {
            let detail = format!("environment is {name:?}; it is one of {}.", known.join(", "));
            found.push(Diagnostic::error("Unknown Azure environment", detail).at("environment"));
        }
        if let Some(word) = config.get(REGISTRATIONS).as_str()
            && Registrations::read(word).is_none()
        {
            found.push(unknown_registrations(word));
        }
        let path = Path::root("default_tags").attr("tags");
        found.extend(crate::cluster::check_tags(config.get("default_tags").get("tags"), &path));
        found
    }

    async fn configure(&self, _: &Context, request: ConfigureRequest) -> Diagnostics {
        // Whatever comes of it, an earlier run's connection is not this one's.
        self.client.clear();
        let config = &request.config;
        // Tags may be unknown while planning; without a connection there is no plan at all.
        if let Some(name) = unknown_setting(&self.schema(), config) {
            return Diagnostic::error(
                "The provider's configuration is not known yet",
                format!(
                    "{name} depends on something that is made in the same run. hcs plans with what the subscription \
                     offers, so it needs {name} while planning: give it as a known value or by its environment \
                     variable, or make what it depends on in a run before (terraform apply -target=...)."
                ),
            )
            .at(name)
            .into();
        }
        let word = config.get(REGISTRATIONS).as_str().map(str::to_owned);
        let word = word.or_else(|| {
            let set = std::env::var("ARM_RESOURCE_PROVIDER_REGISTRATIONS").ok();
            set.filter(|word| !word.trim().is_empty())
        });
        let registrations = match word.as_deref().map(|word| (word, Registrations::read(word))) {
            None => Registrations::None,
            Some((_, Some(known))) => known,
            Some((word, None)) => return unknown_registrations(word).into(),
        };
        let mut settings = settings(config);
        if let Err(error) = settings.merge_env(|name| std::env::var(name).ok()) {
            return crate::diagnostics::connect(&error);
        }
        let azure = match hcs_azure::connect(&settings).await {
            Ok(azure) => azure,
            Err(error) => return crate::diagnostics::connect(&error),
        };
        // Once and here, so that one error at the provider block tells what every resource would run into.
        if let Err(error) = azure.check().await {
            return crate::diagnostics::connect(&error);
        }
        let tagging = Tagging {
            defaults: config.get("default_tags").get("tags").clone(),
            ignored: tagging::ignored(config.get("ignore_tags")),
        };
        let subscription_id = azure.subscription_id.clone();
        let ports = Ports {
            cloud: azure.cloud,
            blobs: azure.blobs,
            clock: Arc::new(SystemClock),
            programs: None,
        };
        let client = Client::new(ports, subscription_id, tagging);
        self.client.set(client.registering(registrations));
        Diagnostics::none()
    }
}

const REGISTRATIONS: &str = "resource_provider_registrations";

fn unknown_registrations(word: &str) -> Diagnostic {
    let known = Registrations::WORDS.join(", ");
    let detail = format!(
        "{REGISTRATIONS} is {word:?}; it is one of {known}. (azurerm knows more sets: a cluster needs four resource \
         providers, and core is these.)"
    );
    Diagnostic::error("Unknown set of resource providers", detail).at(REGISTRATIONS)
}

/// A setting of the connection that is not known.
fn unknown_setting(schema: &Schema, config: &Value) -> Option<Path> {
    let attributes = schema.block.attributes.iter();
    let attributes = attributes.map(|one| (Path::root(&one.name), config.get(&one.name)));
    let block = config.get("ignore_tags");
    let ignored = ["keys", "key_prefixes"];
    let ignored = ignored.map(|name| (Path::root("ignore_tags").attr(name), block.get(name)));
    attributes.chain(ignored).find(|(_, value)| !value.is_wholly_known()).map(|(path, _)| path)
}

fn text(name: &str, markdown: &str) -> Attribute {
    Attribute::string(name).optional().describe(markdown)
}

fn flag(name: &str, markdown: &str) -> Attribute {
    Attribute::bool(name).optional().describe(markdown)
}

fn settings(config: &Value) -> AzureSettings {
    let text = |name: &str| config.get(name).as_str().map(str::to_owned);
    let secret = |name: &str| text(name).map(Secret::from);
    let path = |name: &str| text(name).map(PathBuf::from);
    let flag = |name: &str| config.get(name).as_bool();
    AzureSettings {
        subscription_id: text("subscription_id"),
        tenant_id: text("tenant_id"),
        auxiliary_tenant_ids: config
            .get("auxiliary_tenant_ids")
            .as_list()
            .into_iter()
            .flatten()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect(),
        client_id: text("client_id"),
        client_secret: secret("client_secret"),
        client_id_file_path: path("client_id_file_path"),
        client_secret_file_path: path("client_secret_file_path"),
        client_certificate: secret("client_certificate"),
        client_certificate_path: path("client_certificate_path"),
        client_certificate_password: secret("client_certificate_password"),
        use_cli: flag("use_cli"),
        use_msi: flag("use_msi"),
        msi_endpoint: text("msi_endpoint"),
        use_oidc: flag("use_oidc"),
        oidc_token: secret("oidc_token"),
        oidc_token_file_path: path("oidc_token_file_path"),
        oidc_request_url: text("oidc_request_url"),
        oidc_request_token: secret("oidc_request_token"),
        ado_pipeline_service_connection_id: text("ado_pipeline_service_connection_id"),
        use_aks_workload_identity: flag("use_aks_workload_identity"),
        environment: text("environment"),
        metadata_host: text("metadata_host"),
        auxiliary_tenant_ids_from_environment: false,
        // App Service's alone, by its environment.
        msi_identity_header: None,
    }
}
