//! What depends on the environment of a process is tried in a process of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use hcs_azure::{AzureSettings, connect};
use serde_json::json;

use crate::server::{Reply, SUBSCRIPTION, Server};

const MARK: &str = "HCS_AZURE_TEST_METADATA_HOST";

/// Runs `child_entry` below in a fresh process and returns what it found.
async fn run(server: &Server, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child::child_entry", "--nocapture", "--test-threads=1"]);
    command.env_clear().env(MARK, &server.host).envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let found = text.lines().find_map(|line| line.split_once("found: "));
    found.unwrap_or_else(|| panic!("{text}")).1.to_owned()
}

#[tokio::test]
async fn child_entry() {
    let Ok(host) = std::env::var(MARK) else { return };
    let mut settings = AzureSettings { metadata_host: Some(host), ..Default::default() };
    settings.merge_env(|name| std::env::var(name).ok()).unwrap();
    let found = match connect(&settings).await {
        Ok(azure) => match azure.check().await {
            Ok(checked) => checked.credential,
            Err(error) => format!("{error} / {:?}", std::error::Error::source(&error)),
        },
        Err(error) => format!("{error:?}"),
    };
    println!("\nfound: {found}");
}

fn write_ca(server: &Server, dir: &Path) -> String {
    let path = dir.join("ca.pem");
    std::fs::write(&path, &server.ca_pem).unwrap();
    path.display().to_string()
}

fn write_az(dir: &Path, script: &str) -> String {
    let path = dir.join("az");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", dir.display())
}

async fn azure() -> Server {
    Server::azure(|_| Reply::json(200, &json!({"displayName": "Team", "state": "Enabled"}))).await
}

#[tokio::test]
async fn ssl_cert_file_is_honoured_everywhere() {
    let server = azure().await;
    let dir = tempfile::tempdir().unwrap();
    let ca = write_ca(&server, dir.path());
    let secret = [
        ("ARM_SUBSCRIPTION_ID", SUBSCRIPTION),
        ("ARM_TENANT_ID", "t"),
        ("ARM_CLIENT_ID", "c"),
        ("ARM_CLIENT_SECRET", "s"),
        ("SSL_CERT_FILE", ca.as_str()),
    ];
    assert_eq!(run(&server, &secret).await, "client secret for client c");
    let without = run(&server, &secret[..4]).await;
    assert!(without.contains("UntrustedCertificate"), "{without}");
}

#[tokio::test]
async fn the_cli_is_run_without_our_secrets_and_read() {
    let server = azure().await;
    let dir = tempfile::tempdir().unwrap();
    let ca = write_ca(&server, dir.path());
    let log = dir.path().join("log");
    let script = format!(
        "echo \"$* secret=$ARM_OIDC_TOKEN\" > {}\necho '{{\"accessToken\":\"{}\",\"expires_on\":2000000000,\"tokenType\":\"Bearer\"}}'",
        log.display(),
        crate::server::jwt()
    );
    let path = write_az(dir.path(), &script);
    let variables = [
        ("ARM_SUBSCRIPTION_ID", SUBSCRIPTION),
        ("ARM_OIDC_TOKEN", "canary"),
        ("SSL_CERT_FILE", ca.as_str()),
        ("PATH", path.as_str()),
    ];
    assert_eq!(run(&server, &variables).await, "Azure CLI");
    let ran = std::fs::read_to_string(log).unwrap();
    let wanted = format!(
        "account get-access-token -o json --scope https://management.azure.com/.default --subscription {SUBSCRIPTION} secret=\n"
    );
    assert_eq!(ran, wanted);
}

#[tokio::test]
async fn a_missing_or_logged_out_cli_is_told() {
    let server = azure().await;
    let dir = tempfile::tempdir().unwrap();
    let ca = write_ca(&server, dir.path());
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().display().to_string();
    let path =
        write_az(dir.path(), "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1");
    for (path, wanted) in [
        (empty.as_str(), "Azure CLI: az not found on PATH; not configured"),
        (path.as_str(), "Azure CLI: Please run 'az login' to setup account.; not configured"),
    ] {
        let variables =
            [("ARM_SUBSCRIPTION_ID", SUBSCRIPTION), ("SSL_CERT_FILE", ca.as_str()), ("PATH", path)];
        let found = run(&server, &variables).await;
        assert!(found.contains(wanted), "{found}");
    }
}
