# A cluster that goes to another Consul, machine size and number of servers by plans that somebody reads before they are
# applied. README.md has the steps.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

# Subscription and credentials come from the ARM_* variables or the Azure CLI, as for azurerm.
provider "hcs" {}

variable "resource_group_name" {
  description = "An existing resource group."
  type        = string
}

variable "consul_version" {
  description = "Exact Consul version; a newer one is an upgrade. Null takes the newest at creation that was run with hcs, and stays there."
  type        = string
  default     = null
}

variable "consul_archive" {
  description = "Folder, file or URL of that version's archive; null takes HashiCorp's releases."
  type        = string
  default     = null
}

variable "vm_size" {
  description = "Size of the machines. Another one restarts one server after the other."
  type        = string
  default     = "Standard_D2s_v5"
}

variable "server_count" {
  description = "Number of servers: 1, 3, 5 or 7. More join beside the others, fewer leave one by one."
  type        = number
  default     = 3
}

variable "ignore_maintenance_windows_for" {
  description = "The version to which an apply may upgrade outside of the windows, such as one that mends an incident."
  type        = string
  default     = null
}

variable "maintenance_exclusions" {
  description = "When no maintenance happens, window or not."
  type = list(object({
    start = string
    end   = string
    scope = optional(string, "all")
  }))
  default = []
}

resource "hcs_cluster" "main" {
  name                = "upgrade"
  resource_group_name = var.resource_group_name
  server_count        = var.server_count
  vm_size             = var.vm_size
  consul_version      = var.consul_version
  artifact_source     = var.consul_archive == null ? null : { location = var.consul_archive }

  # They bind upgrades of Consul. Sizes and counts change whenever somebody applies.
  maintenance_windows = [{
    days      = ["Saturday", "Sunday"]
    start     = "00:00"
    duration  = "6h"
    time_zone = "Europe/Berlin"
  }]
  maintenance_exclusions         = var.maintenance_exclusions
  ignore_maintenance_windows_for = var.ignore_maintenance_windows_for
}

# It keeps what is taken before an upgrade, too.
resource "hcs_snapshot_policy" "nightly" {
  cluster_id = hcs_cluster.main.id
  name       = "nightly"

  cron      = "0 2 * * *"
  time_zone = "Europe/Berlin"

  retain_daily   = 14
  before_upgrade = true
}

output "cluster_id" {
  description = "For hcs status and hcs upgrade take-back."
  value       = hcs_cluster.main.id
}

output "servers" {
  description = "What runs on each server."
  value       = { for server in hcs_cluster.main.servers : server.name => server.consul_version }
}

output "survives" {
  description = "What the cluster may lose."
  value       = hcs_cluster.main.quorum
}
