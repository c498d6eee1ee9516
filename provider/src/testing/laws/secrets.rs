//! Ephemerals hand out what they should, only read, and say what is missing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hcs_planner::names::storage_account_name;
use serde_json::Value as Json;
use tfplugin::{Context, Ephemeral, OpenResponse, Value};

use crate::testing::core::{Instance, Options, apply};
use crate::testing::{Azure, Provider, demo};

const TOKEN: &str = "6f9619ff-8b86-d011-b42d-00c04fc964ff";

async fn ground() -> (Azure, Provider) {
    let azure = Azure::new().await;
    let provider = azure.provider(Value::Null, None);
    let config = demo([("server_count", Value::from(1))]);
    let mut instance = Instance::default();
    apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await.unwrap();
    (azure, provider)
}

async fn open(ephemeral: &dyn Ephemeral, id: &str) -> OpenResponse {
    let config = Value::object([("cluster_id", Value::from(id))]);
    let ty = ephemeral.schema().implied_type();
    let config = Value::from_msgpack(&config.to_msgpack(&ty).unwrap(), &ty).unwrap();
    let opened = ephemeral.open(&Context::new(), config).await;
    if !opened.diagnostics.has_errors() {
        assert!(opened.result.to_msgpack(&ty).is_ok(), "it has the schema's shape");
    }
    opened
}

fn text(opened: &OpenResponse, name: &str) -> String {
    opened.result.get(name).as_str().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_client_gets_all_that_it_needs_and_opening_writes_nothing() {
    let (azure, owner) = ground().await;
    let (account, id) = (storage_account_name(&Azure::cluster_id()), Azure::cluster_id());
    azure.cloud.plant_blob(&account, "secrets-client", "client-token", Bytes::from(TOKEN));
    let blob = |name: &str| {
        String::from_utf8(azure.cloud.blobs(&account)[name].to_vec()).unwrap().trim().to_owned()
    };
    let provider = azure.provider(Value::Null, None);
    let opened = open(&*provider.client_config(), id.as_str()).await;
    assert!(!opened.diagnostics.has_errors(), "{:?}", opened.diagnostics);
    assert_eq!(text(&opened, "client_token"), TOKEN);
    assert_eq!(text(&opened, "gossip_encryption_key"), blob("secrets-shared/gossip-key"));
    let ca = STANDARD.decode(text(&opened, "consul_ca_file")).unwrap();
    assert!(ca.starts_with(b"-----BEGIN CERTIFICATE-----"));
    let file = STANDARD.decode(text(&opened, "consul_config_file")).unwrap();
    let file: Json = serde_json::from_slice(&file).unwrap();
    assert_eq!(file["acl"]["tokens"]["agent"], TOKEN);
    assert_eq!(file["encrypt"], blob("secrets-shared/gossip-key").as_str());

    // In any of the forms in which a cluster's id is written.
    let short = format!("{}/rg/demo", id.segment("subscriptions").unwrap());
    let root = open(&*provider.root_token(), &short).await;
    assert_eq!(text(&root, "secret_id"), blob("secrets-shared/management-token"));
    let manifest = STANDARD.decode(text(&root, "kubernetes_secret")).unwrap();
    let manifest = String::from_utf8(manifest).unwrap();
    assert!(manifest.contains(&STANDARD.encode(text(&root, "secret_id"))), "{manifest}");
    assert_eq!((provider.writes(), provider.blob_writes()), (0, 0), "opening only reads");
    drop(owner);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_late_is_waited_for_and_what_is_missing_is_told() {
    let (azure, provider) = ground().await;
    let (account, id) = (storage_account_name(&Azure::cluster_id()), Azure::cluster_id());
    let client = provider.client_config();
    let missing = open(&*client, id.as_str()).await;
    let words = format!("{:?}", missing.diagnostics);
    assert!(words.contains("token is not there yet"), "{words}");

    let (opened, ()) = tokio::join!(open(&*client, id.as_str()), async {
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        azure.cloud.plant_blob(&account, "secrets-client", "client-token", Bytes::from(TOKEN));
    });
    assert_eq!(text(&opened, "client_token"), TOKEN);

    let other = id.as_str().replace("rg-mrg-demo", "rg-mrg-other");
    let gone = open(&*client, &other).await;
    assert!(format!("{:?}", gone.diagnostics).contains("There is no cluster"));
    let nonsense = open(&*provider.root_token(), "demo").await;
    assert!(format!("{:?}", nonsense.diagnostics).contains("Which cluster?"));
}
