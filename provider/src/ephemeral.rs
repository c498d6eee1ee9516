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
use hcs_engine::versions::Versions;
use hcs_planner::client_config::{ClientSecrets, client_config_with_secrets};
use hcs_planner::dataplane::{blob, container};
use hcs_planner::helm_values::token_secret_name;
use hcs_planner::names::Names;
use hcs_planner::rotation::Rotated;
use hcs_planner::spec::ClusterSpec;
use tfplugin::{
    Attr, Context, Diagnostic, Diagnostics, Model, Opened, Sensitive, TypedEphemeral, async_trait,
};

use crate::advice::advice;
use crate::client::Client;
use crate::diagnostics;

/// Servers make the clients' token within seconds of their first leader.
const CLIENT_TOKEN_TRIES: u32 = 30;
const CLIENT_TOKEN_PAUSE: Duration = Duration::from_secs(2);

/// `hcs_cluster_client_config`: all that a client agent needs to join.
pub(crate) struct ClientConfig;

/// What a Consul client agent needs to join a cluster. Opening it reads the cluster's blobs and needs `Storage Blob
/// Data Reader` on the containers `config`, `certificates`, `decisions`, `secrets-shared` and `secrets-client` of its
/// storage account. While a secret is being rotated it hands out the version that is in use.
#[derive(Model)]
pub(crate) struct ClientConfigModel {
    /// `hcs_cluster.id`.
    #[tf(required)]
    cluster_id: Attr<String>,
    /// Datacenter.
    #[tf(computed)]
    consul_datacenter: Attr<String>,
    /// The Consul that the servers run.
    #[tf(computed)]
    consul_version: Attr<String>,
    /// What clients join: a name that holds the addresses of all servers.
    #[tf(computed)]
    retry_join: Attr<Vec<String>>,
    /// The CA certificate, PEM in base64.
    #[tf(computed)]
    consul_ca_file: Attr<String>,
    /// Key of the gossip.
    #[tf(computed)]
    gossip_encryption_key: Attr<Sensitive<String>>,
    /// Token of client agents: it registers nodes and reads nodes and services, nothing else.
    #[tf(computed)]
    client_token: Attr<Sensitive<String>>,
    /// The whole configuration of a client agent, JSON in base64, for this version of Consul. It expects
    /// `consul_ca_file` at `/etc/consul.d/ca.pem`.
    #[tf(computed)]
    consul_config_file: Attr<Sensitive<String>>,
}

#[async_trait]
impl TypedEphemeral for ClientConfig {
    type Model = ClientConfigModel;

    fn type_name(&self) -> &'static str {
        "hcs_cluster_client_config"
    }

    async fn open(
        &self,
        ctx: &Context,
        config: ClientConfigModel,
    ) -> Result<Opened<ClientConfigModel>, Diagnostics> {
        let cluster = Cluster::find(ctx, &config.cluster_id).await?;
        let spec = &cluster.spec;
        let gossip_key = cluster.gossip_key().await?;
        let ca = cluster.authorities().await?;
        let client_token = cluster.client_token(ctx).await?;
        let secrets = ClientSecrets { gossip_key: &gossip_key, client_token: &client_token };
        let whole = format!("{:#}", client_config_with_secrets(spec, secrets));
        let opened = ClientConfigModel {
            cluster_id: config.cluster_id,
            consul_datacenter: spec.consul_datacenter.clone().into(),
            consul_version: spec.consul_version.to_string().into(),
            retry_join: vec![Names::new(spec).join_name()].into(),
            consul_ca_file: STANDARD.encode(ca).into(),
            consul_config_file: Sensitive::new(STANDARD.encode(whole)).into(),
            gossip_encryption_key: Sensitive::new(gossip_key).into(),
            client_token: Sensitive::new(client_token).into(),
        };
        Ok(opened.into())
    }
}

/// `hcs_cluster_root_token`: the management token.
pub(crate) struct RootToken;

/// The management token of a cluster: it may do everything. Opening it needs `Storage Blob Data Reader` on the
/// containers `config`, `decisions` and `secrets-shared` of the cluster's storage account.
#[derive(Model)]
pub(crate) struct RootTokenModel {
    /// `hcs_cluster.id`.
    #[tf(required)]
    cluster_id: Attr<String>,
    /// The token.
    #[tf(computed)]
    secret_id: Attr<Sensitive<String>>,
    /// The token as the manifest of a Kubernetes secret, YAML in base64.
    #[tf(computed)]
    kubernetes_secret: Attr<Sensitive<String>>,
}

#[async_trait]
impl TypedEphemeral for RootToken {
    type Model = RootTokenModel;

    fn type_name(&self) -> &'static str {
        "hcs_cluster_root_token"
    }

    async fn open(
        &self,
        ctx: &Context,
        config: RootTokenModel,
    ) -> Result<Opened<RootTokenModel>, Diagnostics> {
        let cluster = Cluster::find(ctx, &config.cluster_id).await?;
        let version = cluster.versions.turn(Rotated::ManagementToken).in_use;
        let name = version.blob(blob::MANAGEMENT_TOKEN);
        let token = cluster.secret(container::SECRETS_SHARED, &name).await?;
        let manifest = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\ntype: Opaque\ndata:\n  token: {}\n",
            token_secret_name(&cluster.spec),
            STANDARD.encode(&token)
        );
        let opened = RootTokenModel {
            cluster_id: config.cluster_id,
            secret_id: Sensitive::new(token).into(),
            kubernetes_secret: Sensitive::new(STANDARD.encode(manifest)).into(),
        };
        Ok(opened.into())
    }
}

/// A cluster and its blobs.
struct Cluster {
    spec: ClusterSpec,
    store: Arc<dyn BlobStore>,
    versions: Versions,
}

impl Cluster {
    async fn find(ctx: &Context, cluster_id: &Attr<String>) -> Result<Self, Diagnostics> {
        let (client, at) = (ctx.data::<Client>()?, ClientConfigModel::CLUSTER_ID);
        let cluster_id = cluster_id.require(at)?;
        let found = client.cluster_of(&client.arm(&ctx.cancel), at, cluster_id).await?;
        let (id, spec, observed) = found;
        let store = open_store(client.stores().as_ref(), &Names::new(&spec), &observed);
        let store = store.map_err(|error| told(&spec, &error))?;
        let Some(store) = store else {
            let detail = format!("{id} has no storage account: its secrets are lost with it.");
            return Err(Diagnostic::error("Cannot read the cluster's secrets", detail).into());
        };
        let versions = Versions::read(store.as_ref()).await;
        let versions = versions.map_err(|error| told(&spec, &error.into()))?;
        Ok(Self { spec, store, versions })
    }

    /// The key that the gossip uses: one that somebody rotated to by hand counts before ours.
    async fn gossip_key(&self) -> Result<String, Diagnostic> {
        if let Some(adopted) =
            self.look(container::SECRETS_CLIENT, blob::ADOPTED_GOSSIP_KEY).await?
        {
            return Ok(adopted);
        }
        let version = self.versions.turn(Rotated::GossipKey).in_use;
        self.secret(container::SECRETS_SHARED, &version.blob(blob::GOSSIP_KEY)).await
    }

    async fn authorities(&self) -> Result<String, Diagnostic> {
        let read = self.versions.authorities(self.store.as_ref()).await;
        match read.map_err(|error| told(&self.spec, &error.into()))? {
            Some(all) => Ok(all),
            None => self.secret(container::CERTIFICATES, blob::CA_CERTIFICATE).await,
        }
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
        let version = self.versions.turn(Rotated::ClientToken).in_use;
        let (container, name) = (container::SECRETS_CLIENT, &version.blob(blob::CLIENT_TOKEN));
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
