# A cluster for production: five servers, fixes of Consul and new images in windows at night, snapshots that are tried,
# and a destroy that is refused. README.md says why each line is there, and what is left for you to do.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

# Subscription and credentials come from the ARM_* variables or the Azure CLI, as for azurerm.
provider "hcs" {
  default_tags {
    tags = {
      managed-by = "terraform"
    }
  }
}

variable "resource_group_name" {
  description = "An existing resource group."
  type        = string
}

variable "name" {
  description = "Name of the cluster."
  type        = string
  default     = "production"
}

variable "owner" {
  description = "Who looks after it; a tag of all objects."
  type        = string
  default     = "platform"
}

variable "server_count" {
  description = "Number of servers: 1, 3, 5 or 7. Five go on while one is in maintenance and another one fails."
  type        = number
  default     = 5
}

variable "peer_vnet_ids" {
  description = "Ids of the networks whose machines are clients."
  type        = list(string)
  default     = []
}

variable "time_zone" {
  description = "IANA name of the clock on which maintenance windows and snapshots are read."
  type        = string
  default     = "Europe/Berlin"
}

variable "change_freezes" {
  description = "When no maintenance happens, window or not. Scope: all (default), minor (fixes of Consul come) or os (images)."
  type = list(object({
    start = string
    end   = string
    scope = optional(string, "all")
  }))
  default = [
    { start = "2026-12-18T00:00:00Z", end = "2027-01-04T00:00:00Z" },
    { start = "2027-03-25T00:00:00Z", end = "2027-04-05T00:00:00Z", scope = "minor" },
  ]
}

variable "rotation_triggers" {
  description = "Another word for a secret, such as a month, asks for another version of it."
  type = object({
    gossip_key            = optional(string)
    agent_tokens          = optional(string)
    management_token      = optional(string)
    client_token          = optional(string)
    certificate_authority = optional(string)
  })
  default = {}
}

variable "backup_container_id" {
  description = "Id of a storage container of yours for the snapshots and for the last one before a destroy; null keeps them in the cluster's own account, which goes with it."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether a destroy is refused. Set it to false and apply that alone before the cluster may go."
  type        = bool
  default     = true
}

variable "consul_version" {
  description = "Exact Consul version, which stays until another one is written; null leaves it to the channel."
  type        = string
  default     = null
}

variable "consul_archive" {
  description = "Folder, file or URL of Consul's archive; null takes HashiCorp's releases."
  type        = string
  default     = null
}

variable "consul_release_index" {
  description = "Mirror of HashiCorp's releases where the servers look for fixes, or none; null takes HashiCorp's."
  type        = string
  default     = null
}

resource "hcs_cluster" "main" {
  name                = var.name
  resource_group_name = var.resource_group_name
  server_count        = var.server_count
  peer_vnet_ids       = var.peer_vnet_ids

  # Fixes of the series that runs come by themselves. An exact version and a channel would contradict each other.
  consul_version         = var.consul_version
  consul_upgrade_channel = var.consul_version == null ? "patch" : "none"
  consul_release_index   = var.consul_release_index
  artifact_source        = var.consul_archive == null ? null : { location = var.consul_archive }

  # Servers cannot exchange their own images: an apply in a window brings them, a pipeline's say.
  image_upgrade_channel = "latest"

  maintenance_windows = [
    {
      days      = ["Saturday", "Sunday"]
      start     = "00:00"
      duration  = "6h"
      time_zone = var.time_zone
    },
    {
      days      = ["Wednesday"]
      start     = "03:00"
      duration  = "2h"
      time_zone = var.time_zone
    },
  ]
  maintenance_exclusions = var.change_freezes

  rotation_triggers = var.rotation_triggers

  # Nobody reaches port 22. `az vmss run-command invoke` is the way in.
  ssh_allowed_cidrs = []

  # The first refuses Terraform's destroy, the second everybody else's.
  deletion_protection = var.deletion_protection
  lock                = { kind = "CanNotDelete" }

  final_snapshot_storage_container_id = var.backup_container_id

  tags = {
    environment = "production"
    owner       = var.owner
  }

  # An update may make each server anew, one after the other.
  timeouts {
    create = "90m"
    update = "3h"
    delete = "90m"
  }
}

resource "hcs_snapshot_policy" "regular" {
  cluster_id = hcs_cluster.main.id
  name       = "regular"

  cron      = "0 */6 * * *"
  time_zone = var.time_zone

  retain_count   = 8
  retain_daily   = 14
  retain_weekly  = 8
  retain_monthly = 12

  before_upgrade       = true
  drill_interval       = "7d"
  stale_after          = "13h"
  storage_container_id = var.backup_container_id
}

# A plan warns where it does not hold; nothing fails.
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
}

# Nothing of this is secret, and no release and no night changes it, or each morning would have a plan. Only while the CA
# is rotated ca_file changes by itself: clients are to see that.
output "connection" {
  description = "What an application team needs to join and to call Consul."
  value = {
    cluster_id  = hcs_cluster.main.id
    datacenter  = hcs_cluster.main.consul_datacenter
    url         = hcs_cluster.main.consul_private_endpoint_url
    address     = hcs_cluster.main.consul_private_endpoint_ip_address
    retry_join  = hcs_cluster.main.retry_join
    ca_file     = hcs_cluster.main.consul_ca_file
    config_file = hcs_cluster.main.consul_config_file
  }
}

output "network" {
  description = "What a network team needs: to peer, and for the rules of a firewall."
  value = {
    vnet_id  = hcs_cluster.main.vnet_id
    outbound = [for to in hcs_cluster.main.required_outbound : "${to.name}:${to.port}"]
  }
}

output "servers" {
  description = "Scope of alerts, address and zone of each server."
  value = {
    for server in hcs_cluster.main.servers : server.name => {
      vmss_id    = server.vmss_id
      private_ip = server.private_ip
      zone       = server.zone
    }
  }
}

output "survives" {
  description = "What the cluster may lose."
  value       = hcs_cluster.main.quorum
}

output "snapshots" {
  description = "Where the snapshots are, where no container of yours is named, and the policy that takes them."
  value = {
    policy_id            = hcs_snapshot_policy.regular.id
    storage_account_name = hcs_cluster.main.storage_account_name
    container_name       = hcs_cluster.main.blob_container_name
  }
}
