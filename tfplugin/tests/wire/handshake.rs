//! The way from the start of a provider to its first answer, with and without the right papers.

use std::process::Command;
use std::time::Duration;

use crate::support::{Identity, Plugin, program};
use tfplugin_proto::health::HealthCheckRequest;
use tfplugin_proto::health::health_client::HealthClient;
use tfplugin_proto::plugin::grpc_stdio_client::GrpcStdioClient;
use tfplugin_proto::tfplugin6::provider_client::ProviderClient;
use tfplugin_proto::tfplugin6::{DynamicValue, get_metadata, upgrade_resource_state};
use tfplugin_proto::tfplugin6::{RawState, get_provider_schema};
use tonic::transport::Channel;

async fn answers(channel: Channel) -> bool {
    let request = get_metadata::Request {};
    ProviderClient::new(channel).get_metadata(request).await.is_ok()
}

/// Whether a client with these papers gets an answer.
async fn is_let_in(plugin: &Plugin, identity: Option<&Identity>) -> bool {
    match plugin.connect(identity).await {
        Ok(channel) => answers(channel).await,
        Err(_) => false,
    }
}

#[test]
fn a_person_at_a_shell_gets_one_sentence_and_exit_code_1() {
    let output = Command::new(program()).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert!(sentence.starts_with("This program is a Terraform provider"), "{sentence}");
    assert_eq!(sentence.lines().count(), 1);
}

#[tokio::test]
async fn the_right_certificate_of_every_curve_is_let_in() {
    let algorithms = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
    ];
    for algorithm in algorithms {
        let identity = Identity::new(algorithm);
        let plugin = Plugin::start(Some(&identity));
        let channel = plugin.connect(Some(&identity)).await.unwrap();
        assert!(answers(channel.clone()).await);
        assert!(plugin.shut_down(channel).await, "it ends well and removes its socket");
    }
}

#[tokio::test]
async fn without_a_certificate_nobody_is_let_in() {
    let identity = Identity::new(&rcgen::PKCS_ECDSA_P521_SHA512);
    let plugin = Plugin::start(Some(&identity));
    assert!(!is_let_in(&plugin, None).await);
    assert!(is_let_in(&plugin, Some(&identity)).await, "and the right one still is");
}

#[tokio::test]
async fn another_certificate_is_refused() {
    let identity = Identity::new(&rcgen::PKCS_ECDSA_P521_SHA512);
    let other = Identity::new(&rcgen::PKCS_ECDSA_P521_SHA512);
    let plugin = Plugin::start(Some(&identity));
    assert!(!is_let_in(&plugin, Some(&other)).await);
}

#[tokio::test]
async fn without_a_pinned_certificate_the_connection_is_plain() {
    let plugin = Plugin::start(None);
    let channel = plugin.connect(None).await.unwrap();
    assert!(answers(channel.clone()).await);
    assert!(plugin.shut_down(channel).await);
}

#[tokio::test]
async fn an_interrupt_from_the_terminal_ends_nothing() {
    let plugin = Plugin::start(None);
    let channel = plugin.connect(None).await.unwrap();
    plugin.interrupt();
    assert!(answers(channel.clone()).await);
    assert!(plugin.shut_down(channel).await);
}

#[tokio::test]
async fn an_orphan_does_not_stay() {
    let plugin = Plugin::start_by_shell();
    assert!(answers(plugin.connect(None).await.unwrap()).await);
    assert!(plugin.goes_without_its_parent().await);
}

#[tokio::test]
async fn a_silent_client_keeps_nobody_waiting() {
    let identity = Identity::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    let plugin = Plugin::start(Some(&identity));
    let _silent = plugin.open_silently().await;
    assert!(is_let_in(&plugin, Some(&identity)).await);
}

#[tokio::test]
async fn the_side_services_answer_and_do_not_delay_the_end() {
    let plugin = Plugin::start(None);
    let channel = plugin.connect(None).await.unwrap();
    let request = HealthCheckRequest { service: "plugin".to_owned() };
    let health = HealthClient::new(channel.clone()).check(request).await.unwrap();
    assert_eq!(health.into_inner().status().as_str_name(), "SERVING");

    let mut stdio =
        GrpcStdioClient::new(channel.clone()).stream_stdio(()).await.unwrap().into_inner();
    let silence = tokio::time::timeout(Duration::from_millis(20), stdio.message()).await;
    assert!(silence.is_err(), "the stream stays open");
    assert!(plugin.shut_down(channel).await);
}

#[tokio::test]
async fn a_large_value_passes_in_both_directions() {
    let plugin = Plugin::start(None);
    let channel = plugin.connect(None).await.unwrap();
    let name = "x".repeat(6 * 1024 * 1024);
    let request = upgrade_resource_state::Request {
        type_name: "example_box".to_owned(),
        version: 1,
        raw_state: Some(RawState {
            json: format!("{{\"name\":\"{name}\"}}").into_bytes(),
            ..Default::default()
        }),
    };
    let mut client = ProviderClient::new(channel).max_decoding_message_size(16 * 1024 * 1024);
    let response = client.upgrade_resource_state(request).await.unwrap().into_inner();
    let DynamicValue { msgpack, .. } = response.upgraded_state.unwrap();
    assert!(msgpack.len() > name.len());

    let schema = client.get_provider_schema(get_provider_schema::Request {}).await.unwrap();
    assert!(schema.into_inner().diagnostics.is_empty());
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_and_the_provider_lives_on() {
    let plugin = Plugin::start(None);
    let channel = plugin.connect(None).await.unwrap();
    let mut client = ProviderClient::new(channel.clone());
    let request = upgrade_resource_state::Request {
        type_name: "example_box".to_owned(),
        version: 1,
        raw_state: Some(RawState { json: vec![b' '; 257 * 1024 * 1024], ..Default::default() }),
    };
    let refused = client.upgrade_resource_state(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused}");
    assert!(answers(channel).await);
}
