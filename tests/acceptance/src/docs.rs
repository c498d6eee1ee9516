//! Reference documentation in the layout of the Terraform Registry, generated from the schema that the provider itself
//! gives to Terraform.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::bins::{ADDRESSES, repository};
use crate::{HarnessError, Workspace};

/// Pages by their path below `docs/`.
pub fn generate(workspace: &Workspace) -> Result<BTreeMap<String, String>, HarnessError> {
    let versions = "terraform {\n  required_providers {\n    hcs = { source = \"hcs-community/hcs\" }\n  }\n}\n";
    workspace.write("main.tf", versions)?;
    workspace.init()?;
    let shown = workspace.run(&["providers", "schema", "-json"])?.expect_code(0)?;
    let schema: Value = serde_json::from_str(&shown.stdout)
        .map_err(|error| HarnessError::Unexpected(format!("no schema: {error}")))?;
    let schemas = &schema["provider_schemas"];
    let provider = ADDRESSES.iter().find_map(|address| schemas.get(address));
    let provider = provider
        .ok_or_else(|| HarnessError::Unexpected("the client shows no schema of ours".to_owned()))?;
    let mut pages = BTreeMap::new();
    pages.insert("index.md".to_owned(), index(&provider["provider"]["block"])?);
    for (folder, key, kind) in [
        ("resources", "resource_schemas", "Resource"),
        ("data-sources", "data_source_schemas", "Data Source"),
        ("ephemeral-resources", "ephemeral_resource_schemas", "Ephemeral Resource"),
    ] {
        for (name, schema) in provider[key].as_object().into_iter().flatten() {
            let short = name.trim_start_matches("hcs_");
            let page = page(name, kind, &schema["block"])?;
            pages.insert(format!("{folder}/{short}.md"), page);
        }
    }
    for (name, signature) in provider["functions"].as_object().into_iter().flatten() {
        pages.insert(format!("functions/{name}.md"), function(name, signature)?);
    }
    Ok(pages)
}

fn unnamed(name: &str) -> HarnessError {
    HarnessError::Unexpected(format!(
        "{name} has no example: name one in tests/acceptance/src/docs.rs"
    ))
}

/// A call of each function, and what it gives.
fn call(name: &str) -> Result<(&'static str, &'static str), HarnessError> {
    Ok(match name {
        "zone_placement" => ("5, [\"1\", \"2\", \"3\"]", "[\"1\", \"2\", \"3\", \"1\", \"2\"]"),
        "quorum" => ("5", "3"),
        "next_window" => (
            "hcs_cluster.main.maintenance_windows[0], plantimestamp()",
            "{ start = \"2026-12-05T00:00:00Z\", end = \"2026-12-05T06:00:00Z\" }",
        ),
        "parse_cluster_id" => (
            "hcs_cluster.main.id",
            "{ id = \"/subscriptions/...\", subscription_id = \"...\", managed_resource_group_name = \"platform-rg-mrg-demo\" }",
        ),
        _ => return Err(unnamed(name)),
    })
}

fn function(name: &str, signature: &Value) -> Result<String, HarnessError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut page = head(&format!("{name} (Function)"), &text(&signature["description"]));
    let (arguments, result) = call(name)?;
    let _ = write!(
        page,
        "\n## Example Usage\n\n```terraform\n# {result}\nprovider::hcs::{name}({arguments})\n```\n\n## Signature\n\n```text\n"
    );
    let parameters = signature["parameters"].as_array().into_iter().flatten();
    let parameters: Vec<(String, String, String)> = parameters
        .map(|one| (text(&one["name"]), signature_type(&one["type"]), text(&one["description"])))
        .collect();
    let taken: Vec<String> =
        parameters.iter().map(|(name, ty, _)| format!("{name} {ty}")).collect();
    let given = signature_type(&signature["return_type"]);
    let _ = write!(page, "{name}({}) {given}\n```\n\n## Arguments\n\n", taken.join(", "));
    for (name, ty, description) in parameters {
        let _ = writeln!(page, "- `{name}` ({ty}) {description}");
    }
    Ok(page)
}

/// A type as signatures write it.
fn signature_type(ty: &Value) -> String {
    match ty {
        Value::String(name) => name.clone(),
        Value::Array(parts) => match parts.as_slice() {
            [kind, Value::Object(inner)] => {
                let inner: Vec<String> = inner
                    .iter()
                    .map(|(name, ty)| format!("{name} {}", signature_type(ty)))
                    .collect();
                format!("{}({})", kind.as_str().unwrap_or_default(), inner.join(", "))
            }
            [kind, inner] => {
                format!("{} of {}", kind.as_str().unwrap_or_default(), signature_type(inner))
            }
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// Writes the pages; returns how many.
pub fn write(pages: &BTreeMap<String, String>) -> Result<usize, HarnessError> {
    for (name, text) in pages {
        let path = repository().join("docs").join(name);
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        fs::create_dir_all(&folder).map_err(HarnessError::file(&folder))?;
        fs::write(&path, text).map_err(HarnessError::file(&path))?;
    }
    Ok(pages.len())
}

fn index(block: &Value) -> Result<String, HarnessError> {
    let mut text = head("hcs Provider", &description(block));
    text.push_str(&example("quickstart")?);
    text.push_str(
        "\nEvery argument may also come from the environment variable that it names. Of \
         certificate, secret, OIDC, managed identity and Azure CLI the first one that is \
         configured is used; where that fails, no other is tried.\n",
    );
    attributes(block, &mut text);
    Ok(text)
}

fn page(name: &str, kind: &str, block: &Value) -> Result<String, HarnessError> {
    let mut text = head(&format!("{name} ({kind})"), &description(block));
    match (kind, name) {
        ("Resource", "hcs_cluster") => text.push_str(&example("quickstart")?),
        ("Resource", "hcs_snapshot_policy") => {
            text.push_str(&part("resource \"hcs_snapshot_policy\"")?);
        }
        ("Resource", "hcs_snapshot") => text.push_str(&part("resource \"hcs_snapshot\"")?),
        ("Resource", "hcs_snapshot_restore") => {
            text.push_str(&part("resource \"hcs_snapshot_restore\"")?);
        }
        ("Data Source", "hcs_snapshots") => text.push_str(&part("data \"hcs_snapshots\"")?),
        ("Ephemeral Resource", "hcs_cluster_client_config") => text.push_str(CLIENT_EXAMPLE),
        ("Ephemeral Resource", _) => {
            let _ = write!(text, "{ROOT_TOKEN_EXAMPLE}\n{CONSUL_PROVIDER}```\n");
        }
        ("Data Source", "hcs_agent_helm_config") => text.push_str(&example("client-aks")?),
        ("Data Source", "hcs_clusters") => text.push_str(CLUSTERS_EXAMPLE),
        ("Data Source", "hcs_cluster_health") => text.push_str(HEALTH_EXAMPLE),
        ("Data Source", "hcs_consul_versions") => text.push_str(VERSIONS_EXAMPLE),
        ("Data Source", "hcs_zones") => text.push_str(ZONES_EXAMPLE),
        ("Data Source", "hcs_cluster") => text.push_str(
            "\n## Example Usage\n\n```terraform\ndata \"hcs_cluster\" \"main\" {\n  name                \
             = \"quickstart\"\n  resource_group_name = \"platform-rg\"\n}\n```\n",
        ),
        _ => return Err(unnamed(name)),
    }
    attributes(block, &mut text);
    if kind == "Resource" {
        text.push_str(import(name));
    }
    Ok(text)
}

const CLIENT_EXAMPLE: &str = r#"
## Example Usage

What a client agent needs goes into a key vault, and into neither plan nor state. A machine that may read it writes
`consul_ca_file` to `/etc/consul.d/ca.pem` and the configuration beside it, and its Consul joins.

```terraform
ephemeral "hcs_cluster_client_config" "main" {
  cluster_id = hcs_cluster.main.id
}

resource "azurerm_key_vault_secret" "consul_client" {
  name             = "consul-client-config"
  key_vault_id     = azurerm_key_vault.platform.id
  value_wo         = ephemeral.hcs_cluster_client_config.main.consul_config_file
  value_wo_version = 1
}
```
"#;

/// Run as it stands by `tests/policy.rs`.
pub const HEALTH_EXAMPLE: &str = r#"
## Example Usage

```terraform
data "hcs_cluster_health" "main" {
  cluster_id = hcs_cluster.main.id
}

check "consul" {
  assert {
    condition     = data.hcs_cluster_health.main.leader_name != null
    error_message = "Consul has no leader: ${join("; ", data.hcs_cluster_health.main.attention)}"
  }
  assert {
    condition     = data.hcs_cluster_health.main.failure_tolerance > 0
    error_message = "Consul cannot lose a server: ${join("; ", data.hcs_cluster_health.main.attention)}"
  }
  assert {
    condition     = coalesce(data.hcs_cluster_health.main.certificate_days_left, 0) >= 2
    error_message = "A certificate of Consul ends soon."
  }
  assert {
    condition     = coalesce(data.hcs_cluster_health.main.last_snapshot_age_seconds, 86401) <= 86400
    error_message = "The last snapshot of Consul is older than a day."
  }
}
```
"#;

/// Run as it stands by `tests/composition.rs`.
pub const CLUSTERS_EXAMPLE: &str = r#"
## Example Usage

```terraform
data "hcs_clusters" "billing" {
  location = "westeurope"
  tags     = { managed-by = "platform" }
}

output "billing" {
  value = { for cluster in data.hcs_clusters.billing.clusters : cluster.name => cluster.id }
}
```
"#;

/// The next version of a cluster, and zones with room for two sizes; run as they stand by `tests/functions.rs`.
pub const VERSIONS_EXAMPLE: &str = r#"
## Example Usage

```terraform
data "hcs_consul_versions" "next" {
  upgrade_from = "1.21.5"
}

output "newest_in_one_step" {
  value = data.hcs_consul_versions.next.newest_version
}
```
"#;

/// See [`VERSIONS_EXAMPLE`].
pub const ZONES_EXAMPLE: &str = r#"
## Example Usage

```terraform
data "hcs_zones" "small" {
  location = "westeurope"
}

output "places_of_five_servers" {
  value = provider::hcs::zone_placement(5, data.hcs_zones.small.zones)
}
```
"#;

const ROOT_TOKEN_EXAMPLE: &str = r#"
## Example Usage

The Consul provider of the same configuration works with the token, and no state holds it.

```terraform
ephemeral "hcs_cluster_root_token" "main" {
  cluster_id = hcs_cluster.main.id
}
"#;

/// Terraform's consul provider for the cluster of the same configuration, as the reference shows it.
pub const CONSUL_PROVIDER: &str = r#"provider "consul" {
  address    = hcs_cluster.main.consul_private_endpoint_url
  datacenter = hcs_cluster.main.consul_datacenter
  ca_pem     = base64decode(hcs_cluster.main.consul_ca_file)
  token      = ephemeral.hcs_cluster_root_token.main.secret_id
}
"#;

fn head(title: &str, description: &str) -> String {
    let line = description.replace('\n', " ");
    format!(
        "---\npage_title: \"{title}\"\ndescription: |-\n  {line}\n---\n\n\
         <!-- Generated from the schema by `cargo xtask docs`. -->\n\n# {title}\n\n{description}\n"
    )
}

fn example(name: &str) -> Result<String, HarnessError> {
    let path = repository().join("examples/terraform").join(name).join("main.tf");
    let text = fs::read_to_string(&path).map_err(HarnessError::file(&path))?;
    Ok(format!("\n## Example Usage\n\n```terraform\n{}\n```\n", text.trim_end()))
}

/// One block of the example of snapshots.
fn part(begins: &str) -> Result<String, HarnessError> {
    let path = repository().join("examples/terraform/snapshot-restore/main.tf");
    let text = fs::read_to_string(&path).map_err(HarnessError::file(&path))?;
    let found = text.find(&format!("\n{begins}")).and_then(|at| {
        let block = &text[at + 1..];
        block.find("\n}\n").map(|end| &block[..end + 2])
    });
    let missing = || HarnessError::Unexpected(format!("no {begins} in {}", path.display()));
    Ok(format!("\n## Example Usage\n\n```terraform\n{}\n```\n", found.ok_or_else(missing)?))
}

fn import(name: &str) -> &'static str {
    match name {
        "hcs_cluster" => {
            "\n## Import\n\nBy the id of the managed resource group, or by \
             `<subscription id>/<resource group>/<name>` where that has its default name:\n\n\
             ```shell\nterraform import hcs_cluster.main \
             /subscriptions/<subscription id>/resourceGroups/<managed resource group>\n```\n"
        }
        "hcs_snapshot" => {
            "\n## Import\n\nBy its id, with neither a cluster nor a state at hand:\n\n```shell\nterraform import \
             hcs_snapshot.before_migration \"<storage container id>/blobs/~on-demand/before-migration.snap\"\n```\n"
        }
        "hcs_snapshot_restore" => "",
        _ => {
            "\n## Import\n\n```shell\nterraform import hcs_snapshot_policy.hourly \
             <cluster id>/snapshotPolicies/<name>\n```\n"
        }
    }
}

fn description(value: &Value) -> String {
    value["description"].as_str().unwrap_or_default().to_owned()
}

/// Arguments first, then what is read only, then the attributes of nested objects.
fn attributes(block: &Value, text: &mut String) {
    let none = Map::new();
    let all = block["attributes"].as_object().unwrap_or(&none);
    let is = |attribute: &Value, key: &str| attribute[key].as_bool() == Some(true);
    let mut nested: Vec<(String, &Value)> = Vec::new();
    let mut section = |title: &str, wanted: &dyn Fn(&Value) -> bool, text: &mut String| {
        let rows: Vec<_> = all.iter().filter(|(_, attribute)| wanted(attribute)).collect();
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(text, "\n### {title}\n");
        for (name, attribute) in rows {
            row(name, attribute, text);
            if attribute.get("nested_type").is_some() {
                nested.push((name.clone(), attribute));
            }
        }
    };
    text.push_str("\n## Schema\n");
    section("Required", &|a| is(a, "required"), text);
    section("Optional", &|a| is(a, "optional"), text);
    section("Read-Only", &|a| is(a, "computed") && !is(a, "optional"), text);
    for (name, inner) in block["block_types"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "\n### Block `{name}`\n\n{}\n", description(&inner["block"]));
        for (name, attribute) in inner["block"]["attributes"].as_object().into_iter().flatten() {
            row(name, attribute, text);
        }
    }
    for (name, attribute) in nested {
        let _ = writeln!(text, "\n### Nested `{name}`\n");
        for (name, inner) in
            attribute["nested_type"]["attributes"].as_object().into_iter().flatten()
        {
            row(name, inner, text);
        }
    }
}

fn row(name: &str, attribute: &Value, text: &mut String) {
    let kind = attribute.get("nested_type").map_or_else(
        || type_name(&attribute["type"]),
        |nested| format!("Attributes {}", nested["nesting_mode"].as_str().unwrap_or_default()),
    );
    let sensitive = if attribute["sensitive"] == true { ", Sensitive" } else { "" };
    let _ = writeln!(text, "- `{name}` ({kind}{sensitive}) {}", description(attribute));
}

fn type_name(value: &Value) -> String {
    match value {
        Value::String(name) => {
            let mut characters = name.chars();
            let first = characters.next().map(|c| c.to_uppercase().collect::<String>());
            format!("{}{}", first.unwrap_or_default(), characters.as_str())
        }
        Value::Array(parts) => {
            let inner = parts.get(1).map(type_name).unwrap_or_default();
            let outer = parts.first().map(type_name).unwrap_or_default();
            format!("{outer} of {inner}")
        }
        _ => "Object".to_owned(),
    }
}
