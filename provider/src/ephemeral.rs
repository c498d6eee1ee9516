//! Ephemeral resources: a cluster's secrets, which enter neither plan nor state.
//!
//! Opening one only reads. Terraform opens it in plans, too.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hcs_engine::blob::{BlobError, BlobStore};
use hcs_engine::error::EngineError;
use hcs_engine::observe::open_store;
use hcs_planner::client_config::{ClientSecrets, client_config_with_secrets};
use hcs_planner::dataplane::{blob, container};
use hcs_planner::helm_values::token_secret_name;
use hcs_planner::names::Names;
use hcs_planner::spec::ClusterSpec;
use tfplugin::{
    Attribute, Context, Diagnostic, Ephemeral, OpenResponse, Schema, Type, Value, async_trait,
};

use crate::advice::advice;
use crate::client::SharedClient;
use crate::diagnostics;

/// Servers make the clients' token within seconds of their first leader.
const CLIENT_TOKEN_TRIES: u32 = 30;
const CLIENT_TOKEN_PAUSE: Duration = Duration::from_secs(2);

/// `hcs_cluster_client_config`: all that a client agent needs to join.
pub(crate) struct ClientConfig {
    client: SharedClient,
}

/// `hcs_cluster_root_token`: the management token.
pub(crate) struct RootToken {
    client: SharedClient,
}

impl ClientConfig {
    pub(crate) fn new(client: SharedClient) -> Self {
        Self { client }
    }
}

impl RootToken {
    pub(crate) fn new(client: SharedClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Ephemeral for ClientConfig {
    fn type_name(&self) -> &'static str {
        "hcs_cluster_client_config"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe(
                "What a Consul client agent needs to join a cluster. Opening it reads the cluster's blobs and needs \
                 `Storage Blob Data Reader` on the containers `config`, `certificates`, `secrets-shared` and \
                 `secrets-client` of its storage account.",
            )
            .attributes([
                cluster_id(),
                computed("consul_datacenter", "Datacenter."),
                computed("consul_version", "The Consul that the servers run."),
                Attribute::list("retry_join", Type::String)
                    .computed()
                    .describe("What clients join: a name that holds the addresses of all servers."),
                computed("consul_ca_file", "The CA certificate, PEM in base64."),
                computed("gossip_encryption_key", "Key of the gossip.").sensitive(),
                computed(
                    "client_token",
                    "Token of client agents: it registers nodes and reads nodes and services, nothing else.",
                )
                .sensitive(),
                computed(
                    "consul_config_file",
                    "The whole configuration of a client agent, JSON in base64, for this version of Consul. It expects \
                     `consul_ca_file` at `/etc/consul.d/ca.pem`.",
                )
                .sensitive(),
            ])
    }

    async fn open(&self, ctx: &Context, config: Value) -> OpenResponse {
        match self.read(ctx, &config).await {
            Ok(result) => OpenResponse::new(result),
            Err(found) => OpenResponse::failed(found),
        }
    }
}

impl ClientConfig {
    async fn read(&self, ctx: &Context, config: &Value) -> Result<Value, tfplugin::Diagnostics> {
        let cluster = Cluster::find(&self.client, ctx, config).await?;
        let spec = &cluster.spec;
        let gossip_key = cluster.secret(container::SECRETS_SHARED, blob::GOSSIP_KEY).await?;
        let ca = cluster.secret(container::CERTIFICATES, blob::CA_CERTIFICATE).await?;
        let client_token = cluster.client_token(ctx).await?;
        let secrets = ClientSecrets { gossip_key: &gossip_key, client_token: &client_token };
        let whole = format!("{:#}", client_config_with_secrets(spec, secrets));
        Ok(Value::object([
            ("cluster_id", config.get("cluster_id").clone()),
            ("consul_datacenter", Value::from(&spec.consul_datacenter)),
            ("consul_version", Value::from(spec.consul_version.to_string())),
            ("retry_join", Value::from(vec![Names::new(spec).join_name()])),
            ("consul_ca_file", Value::from(STANDARD.encode(ca))),
            ("consul_config_file", Value::from(STANDARD.encode(whole))),
            ("gossip_encryption_key", Value::from(gossip_key)),
            ("client_token", Value::from(client_token)),
        ]))
    }
}

#[async_trait]
impl Ephemeral for RootToken {
    fn type_name(&self) -> &'static str {
        "hcs_cluster_root_token"
    }

    fn schema(&self) -> Schema {
        Schema::new(0)
            .describe(
                "The management token of a cluster: it may do everything. Opening it needs `Storage Blob Data Reader` on \
                 the containers `config` and `secrets-shared` of the cluster's storage account.",
            )
            .attributes([
                cluster_id(),
                computed("secret_id", "The token.").sensitive(),
                computed(
                    "kubernetes_secret",
                    "The token as the manifest of a Kubernetes secret, YAML in base64.",
                )
                .sensitive(),
            ])
    }

    async fn open(&self, ctx: &Context, config: Value) -> OpenResponse {
        match self.read(ctx, &config).await {
            Ok(result) => OpenResponse::new(result),
            Err(found) => OpenResponse::failed(found),
        }
    }
}

impl RootToken {
    async fn read(&self, ctx: &Context, config: &Value) -> Result<Value, tfplugin::Diagnostics> {
        let cluster = Cluster::find(&self.client, ctx, config).await?;
        let token = cluster.secret(container::SECRETS_SHARED, blob::MANAGEMENT_TOKEN).await?;
        let manifest = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\ntype: Opaque\ndata:\n  token: {}\n",
            token_secret_name(&cluster.spec),
            STANDARD.encode(&token)
        );
        Ok(Value::object([
            ("cluster_id", config.get("cluster_id").clone()),
            ("secret_id", Value::from(token)),
            ("kubernetes_secret", Value::from(STANDARD.encode(manifest))),
        ]))
    }
}

/// A cluster and its blobs.
struct Cluster {
    spec: ClusterSpec,
    store: Arc<dyn BlobStore>,
}

impl Cluster {
    async fn find(
        client: &SharedClient,
        ctx: &Context,
        config: &Value,
    ) -> Result<Self, tfplugin::Diagnostics> {
        let client = client.configured()?;
        let (id, spec, observed) = client.cluster_of(&client.arm(&ctx.cancel), config).await?;
        let store = open_store(client.stores().as_ref(), &Names::new(&spec), &observed);
        let store = store.map_err(|error| told(&spec, &error))?;
        let Some(store) = store else {
            let detail = format!("{id} has no storage account: its secrets are lost with it.");
            return Err(Diagnostic::error("Cannot read the cluster's secrets", detail).into());
        };
        Ok(Self { spec, store })
    }

    async fn secret(&self, container: &str, name: &str) -> Result<String, Diagnostic> {
        match self.look(container, name).await? {
            Some(secret) => Ok(secret),
            None => Err(Diagnostic::error(
                "Cannot read the cluster's secrets",
                format!(
                    "{container}/{name} of cluster {:?} does not exist yet. An apply of the cluster makes it; `hcs \
                     status` tells how far that has come.",
                    self.spec.name
                ),
            )),
        }
    }

    async fn look(&self, container: &str, name: &str) -> Result<Option<String>, Diagnostic> {
        let content = match self.store.get(container, name).await {
            Ok(content) => content,
            Err(BlobError::NoContainer { .. }) => None,
            Err(error) => return Err(told(&self.spec, &error.into())),
        };
        let text = content.and_then(|content| String::from_utf8(content.bytes.to_vec()).ok());
        Ok(text.map(|text| if text.contains('\n') { text } else { text.trim().to_owned() }))
    }

    /// Waits a moment: right after the first apply the servers may still be at it.
    async fn client_token(&self, ctx: &Context) -> Result<String, Diagnostic> {
        let (container, name) = (container::SECRETS_CLIENT, blob::CLIENT_TOKEN);
        for _ in 1..CLIENT_TOKEN_TRIES {
            if let Some(token) = self.look(container, name).await? {
                return Ok(token);
            }
            tokio::select! {
                () = tokio::time::sleep(CLIENT_TOKEN_PAUSE) => {}
                () = ctx.cancel.cancelled() => break,
            }
        }
        self.look(container, name).await?.ok_or_else(|| {
            Diagnostic::error(
                "The clients' token is not there yet",
                format!(
                    "The leading server of cluster {:?} makes it as soon as the cluster has a leader. Nothing was changed. \
                     `hcs status` tells how the servers are; a cluster that an earlier version of hcs made gets it with \
                     the next apply.",
                    self.spec.name
                ),
            )
        })
    }
}

fn told(spec: &ClusterSpec, error: &EngineError) -> Diagnostic {
    let advice = match error {
        EngineError::Blob(BlobError::Denied { code, .. }) if crate::advice::is_role(code) => {
            "Opening it needs the role Storage Blob Data Reader on secrets-shared and secrets-client of the cluster's \
             storage account."
                .to_owned()
        }
        error => advice(error),
    };
    Diagnostic::error(
        format!("Cannot read the secrets of cluster {:?}", spec.name),
        format!("{}\n\nNothing was changed. {advice}", diagnostics::sentence(error)),
    )
}

fn cluster_id() -> Attribute {
    Attribute::string("cluster_id").required().describe("`hcs_cluster.id`.")
}

fn computed(name: &str, markdown: &str) -> Attribute {
    Attribute::string(name).computed().describe(markdown)
}
