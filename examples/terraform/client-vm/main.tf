# A machine whose Consul joins a cluster that exists. What is secret goes into a vault by a command and stays out of plan
# and state; cloud-init carries the rest, and a command by which the machine fetches the secret with its own identity.

terraform {
  required_version = ">= 1.10"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

variable "cluster_id" {
  description = "hcs_cluster.<name>.id of the cluster to join."
  type        = string
}

variable "vault_name" {
  description = "Key vault that keeps the agent's configuration. Whoever applies may set secrets in it, the machine's identity may get them."
  type        = string
}

variable "store_command" {
  description = "Reads the agent's configuration on standard input and keeps it; null takes the Azure CLI."
  type        = string
  default     = null
}

variable "fetch_command" {
  description = "Writes the agent's configuration on standard output, on the machine; null asks the vault with the machine's identity."
  type        = string
  default     = null
}

locals {
  store = coalesce(var.store_command, <<-EOT
    az keyvault secret set --vault-name '${var.vault_name}' --name consul-client-config --encoding base64 \
      --file /dev/stdin --output none
  EOT
  )

  # An access token goes through curl's configuration, never through arguments.
  fetch = coalesce(var.fetch_command, <<-EOT
    token=$(curl -fsS -H 'Metadata: true' 'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net' | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')
    printf 'header = "Authorization: Bearer %s"\n' "$token" \
      | curl -fsS -K - 'https://${var.vault_name}.vault.azure.net/secrets/consul-client-config?api-version=7.4' \
      | sed -n 's/.*"value" *: *"\([^"]*\)".*/\1/p' | base64 -d
  EOT
  )

  unit = <<-EOT
    [Unit]
    Description=Consul client agent
    Wants=network-online.target
    After=network-online.target

    [Service]
    User=consul
    ExecStart=/usr/bin/consul agent -config-dir=/etc/consul.d -data-dir=/opt/consul
    ExecReload=/bin/kill -HUP $MAINPID
    KillSignal=SIGTERM
    Restart=always
    LimitNOFILE=65536

    [Install]
    WantedBy=multi-user.target
  EOT

  setup = <<-EOT
    #!/bin/sh
    set -eu
    umask 077
    id consul >/dev/null 2>&1 || useradd --system --home /opt/consul --shell /bin/false consul
    install -d -o consul -g consul -m 0700 /opt/consul
    fetch() {
    ${local.fetch}
    }
    # Rights of a fresh identity take a moment.
    until fetch > /etc/consul.d/client.json && [ -s /etc/consul.d/client.json ]; do sleep 10; done
    chown -R consul:consul /etc/consul.d
    systemctl daemon-reload
    systemctl enable --now consul.service
  EOT
}

data "hcs_cluster" "main" {
  id = var.cluster_id
}

ephemeral "hcs_cluster_client_config" "main" {
  cluster_id = var.cluster_id
}

resource "terraform_data" "config" {
  # Once more for another cluster or another version of Consul, which may read other keys.
  triggers_replace = [data.hcs_cluster.main.incarnation_id, data.hcs_cluster.main.consul_version]

  provisioner "local-exec" {
    command = "printenv CONSUL_CLIENT_CONFIG | base64 -d | { ${trimspace(local.store)}; }"
    environment = {
      CONSUL_CLIENT_CONFIG = ephemeral.hcs_cluster_client_config.main.consul_config_file
    }
  }
}

output "cloud_init" {
  description = "custom_data of a machine (base64encode it) whose image has Consul at /usr/bin/consul, in a network that is peered with the cluster's."
  value = join("\n", ["#cloud-config", jsonencode({
    write_files = [
      {
        path        = "/etc/consul.d/ca.pem"
        permissions = "0644"
        encoding    = "b64"
        content     = data.hcs_cluster.main.consul_ca_file
      },
      { path = "/etc/systemd/system/consul.service", permissions = "0644", content = local.unit },
      { path = "/opt/consul-setup.sh", permissions = "0755", content = local.setup },
    ]
    runcmd = [["/bin/sh", "/opt/consul-setup.sh"]]
  })])
}
