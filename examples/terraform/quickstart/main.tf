# A Consul cluster of three servers, one in each zone, and hourly snapshots of it.

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

variable "server_count" {
  description = "Number of servers: 1, 3, 5 or 7."
  type        = number
  default     = 3
}

variable "consul_version" {
  description = "Exact Consul version; null takes the newest that was run with hcs."
  type        = string
  default     = null
}

variable "consul_archive" {
  description = "Folder, file or URL of Consul's archive; null takes HashiCorp's releases."
  type        = string
  default     = null
}

resource "hcs_cluster" "main" {
  name                = "quickstart"
  resource_group_name = var.resource_group_name
  server_count        = var.server_count
  consul_version      = var.consul_version
  artifact_source     = var.consul_archive == null ? null : { location = var.consul_archive }

  tags = {
    environment = "demo"
  }
}

resource "hcs_snapshot_policy" "hourly" {
  cluster_id   = hcs_cluster.main.id
  interval     = "1h"
  retain_count = 24
}

output "cluster_id" {
  value = hcs_cluster.main.id
}

output "servers" {
  description = "Where each server lives."
  value       = { for server in hcs_cluster.main.servers : server.name => server.zone }
}

output "consul_url" {
  value = hcs_cluster.main.consul_private_endpoint_url
}
