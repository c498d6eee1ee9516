//! cloud-init of a server: paths and hashes only. It fetches the host manager by identity, checks its hash, starts it.
//!
//! Every path is below `$HCS_ROOT`, which is empty on a VM: the same data can be carried out in a folder.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::dataplane::{BootstrapConfig, blob, container};

/// Where the server finds its [`BootstrapConfig`].
pub const BOOTSTRAP_PATH: &str = "/etc/hcs/bootstrap.json";
/// Where the host manager is installed.
pub const HOST_MANAGER_PATH: &str = "/opt/hcs/bin/hcs-host-manager";
/// The host manager's systemd unit.
pub const UNIT: &str = "hcs-host-manager.service";

/// `#cloud-config` and JSON, which is YAML too: no template, so nothing can be injected.
pub fn render(bootstrap: &BootstrapConfig) -> String {
    let bootstrap_json = serde_json::to_string_pretty(bootstrap).unwrap_or_default();
    // By the disk's stable name: device letters change between boots.
    let disk = "/dev/disk/azure/scsi1/lun10";
    let partition = format!("{disk}-part1");
    let config = json!({
        "disk_setup": { disk: { "table_type": "gpt", "layout": true, "overwrite": false } },
        "fs_setup": [
            { "label": "consul", "filesystem": "ext4", "device": partition, "overwrite": false },
        ],
        "mounts": [[partition, "/opt/consul", "ext4", "defaults,nofail", "0", "2"]],
        "write_files": [
            { "path": BOOTSTRAP_PATH, "permissions": "0644", "content": bootstrap_json },
            {
                "path": "/opt/hcs/bootstrap.sh",
                "permissions": "0755",
                "content": bootstrap_script(bootstrap),
            },
            {
                "path": format!("/etc/systemd/system/{UNIT}"),
                "permissions": "0644",
                "content": unit(),
            },
        ],
        "runcmd": [
            ["/bin/sh", "-c", "exec /bin/sh \"${HCS_ROOT}/opt/hcs/bootstrap.sh\""],
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", "--now", UNIT],
        ],
    });
    format!("#cloud-config\n{}\n", serde_json::to_string_pretty(&config).unwrap_or_default())
}

/// As `osProfile.customData` wants it.
pub fn render_base64(bootstrap: &BootstrapConfig) -> String {
    STANDARD.encode(render(bootstrap))
}

fn unit() -> String {
    format!(
        "[Unit]\n\
         Description=hcs host manager: keeps this Consul server\n\
         Documentation=https://github.com/hcs-community/terraform-provider-hcs\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         ExecStart=/bin/sh -c 'exec \"${{HCS_ROOT}}{HOST_MANAGER_PATH}\" run'\n\
         Restart=always\n\
         RestartSec=5\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// A POSIX shell script that needs curl and sha256sum, which every Azure Linux image has.
///
/// Tokens go through curl's configuration on standard input, never through arguments.
fn bootstrap_script(bootstrap: &BootstrapConfig) -> String {
    let endpoint = bootstrap.blob_endpoint.trim_end_matches('/');
    let blob_name = blob::host_manager_artifact(&bootstrap.host_manager_sha256);
    let url = format!("{endpoint}/{}/{blob_name}", container::ARTIFACTS);
    format!(
        r#"#!/bin/sh
# Fetches the hcs host manager with this VM's identity and checks it. Safe to run again.
set -eu
umask 077
target="${{HCS_ROOT:-}}{HOST_MANAGER_PATH}"
metadata="${{ARM_MSI_ENDPOINT:-http://169.254.169.254}}"
sha256='{sha256}'
identity='{identity}'
url='{url}'

verified() {{ echo "$sha256  $1" | sha256sum -c - >/dev/null 2>&1; }}

mkdir -p "$(dirname "$target")"
if [ -x "$target" ] && verified "$target"; then exit 0; fi

attempt=0
while :; do
  attempt=$((attempt + 1))
  token=$(curl -fsS --noproxy '*' --max-time 20 -H 'Metadata: true' --get \
      --data-urlencode 'api-version=2018-02-01' \
      --data-urlencode 'resource=https://storage.azure.com/' \
      --data-urlencode "msi_res_id=$identity" \
      "$metadata/metadata/identity/oauth2/token" \
    | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p') || token=
  if [ -n "$token" ] && printf 'header = "Authorization: Bearer %s"\n' "$token" \
      | curl -fsS --max-time 600 -K - -H 'x-ms-version: 2021-12-02' -o "$target.new" "$url" \
      && verified "$target.new"; then
    break
  fi
  # A fresh identity's rights take minutes to arrive; wait a little longer each time, one minute at most.
  delay=$((attempt < 12 ? attempt * 5 : 60))
  echo "hcs bootstrap: attempt $attempt failed, next in ${{delay}}s" >&2
  sleep "$(awk "BEGIN {{ print $delay / ${{HCS_TIME_SCALE:-1}} }}")"
done
chmod 0755 "$target.new"
mv -f "$target.new" "$target"
"#,
        sha256 = bootstrap.host_manager_sha256,
        identity = bootstrap.shared_identity_id,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bootstrap() -> BootstrapConfig {
        BootstrapConfig {
            cluster_id: "/subscriptions/s/resourceGroups/g".into(),
            slot: 1,
            node_name: "demo-server-1".into(),
            zone: Some("2".into()),
            blob_endpoint: "https://acct.blob.core.windows.net/".into(),
            shared_identity_id: "/subscriptions/s/x/demo-servers".into(),
            server_identity_id: "/subscriptions/s/x/demo-server-1".into(),
            host_manager_sha256: "ab".repeat(32),
        }
    }

    #[test]
    fn cloud_init_is_json_below_its_header_and_far_below_64_kib() {
        let text = render(&bootstrap());
        let json = text.strip_prefix("#cloud-config\n").unwrap();
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let content = value["write_files"][0]["content"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<BootstrapConfig>(content).unwrap(), bootstrap());
        assert!(render_base64(&bootstrap()).len() < 16 * 1024);
    }

    #[test]
    fn the_script_parses_and_fetches_one_blob() {
        let script = bootstrap_script(&bootstrap());
        let check = std::process::Command::new("sh").args(["-n", "-c", &script]).status().unwrap();
        assert!(check.success());
        let blob = format!("/artifacts/host-manager/{}/hcs-host-manager'", "ab".repeat(32));
        assert!(script.contains(&blob));
    }
}
