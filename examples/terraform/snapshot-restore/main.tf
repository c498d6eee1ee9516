# Nightly snapshots of a cluster that exists, one more before a migration, and the way back to it.

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

variable "cluster_id" {
  description = "Id of the cluster (hcs_cluster.id)."
  type        = string
}

variable "incident" {
  description = "Why Consul goes back to the snapshot; each new value does it once."
  type        = string
  default     = null
}

variable "backup_container_id" {
  description = "Id of a storage container of yours for the nightly ones; null keeps them in the cluster's own account."
  type        = string
  default     = null
}

resource "hcs_snapshot_policy" "nightly" {
  cluster_id = var.cluster_id
  name       = "nightly"

  cron      = "0 2 * * *"
  time_zone = "Europe/Berlin"

  retain_daily   = 14
  retain_weekly  = 8
  retain_monthly = 12

  before_upgrade       = true
  drill_interval       = "7d"
  stale_after          = "36h"
  storage_container_id = var.backup_container_id
}

resource "hcs_snapshot" "before_migration" {
  cluster_id    = var.cluster_id
  name          = "before-migration"
  expires_after = "30d"
}

resource "hcs_snapshot_restore" "back" {
  count = var.incident == null ? 0 : 1

  cluster_id  = var.cluster_id
  snapshot_id = hcs_snapshot.before_migration.id
  triggers    = { incident = var.incident }
}

data "hcs_snapshots" "kept" {
  cluster_id = var.cluster_id
  depends_on = [hcs_snapshot.before_migration, hcs_snapshot_restore.back]
}

# The nightly ones are left out, or each morning would have a plan.
output "on_demand" {
  description = "Ids of the snapshots that somebody asked for."
  value       = [for one in data.hcs_snapshots.kept.snapshots : one.id if one.policy == null]
}
