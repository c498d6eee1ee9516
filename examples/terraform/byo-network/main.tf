# A cluster in a corporate landing zone: in a subnet of the platform team's, behind its firewall, with no public address and
# a storage account that answers in that network alone. Run it from a machine that reaches the subnet.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

variable "resource_group_name" {
  description = "An existing resource group."
  type        = string
}

variable "subnet_id" {
  description = "Subnet for the servers, /27 or larger, with a security group and a route table."
  type        = string
}

variable "zone_subnet_ids" {
  description = "Subnets for the servers by zone, /28 or larger, in the network of subnet_id; zones that are left out use that."
  type        = map(string)
  default     = {}
}

variable "blob_private_dns_zone_id" {
  description = "The hub's zone privatelink.blob.core.windows.net, which answers in the subnet's network."
  type        = string
}

variable "consul_private_dns_zone_id" {
  description = "The hub's zone in which the servers have their names."
  type        = string
}

variable "server_count" {
  description = "Number of servers: 1, 3, 5 or 7."
  type        = number
  default     = 3
}

variable "customer_managed_key" {
  description = "Key with which the storage account is encrypted; null takes Azure's."
  type = object({
    key_vault_resource_id  = string
    key_name               = string
    key_version            = optional(string)
    user_assigned_identity = object({ resource_id = string })
  })
  default = null
}

variable "disk_encryption_set_id" {
  description = "Disk encryption set of the servers' disks; null takes Azure's keys."
  type        = string
  default     = null
}

variable "encryption_at_host_enabled" {
  description = "Whether hosts encrypt caches and temporary disks; needs the feature Microsoft.Compute/EncryptionAtHost."
  type        = bool
  default     = false
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
  name                = "corp"
  resource_group_name = var.resource_group_name
  server_count        = var.server_count
  consul_version      = var.consul_version
  artifact_source     = var.consul_archive == null ? null : { location = var.consul_archive }

  subnet_id           = var.subnet_id
  zone_subnet_ids     = var.zone_subnet_ids
  outbound_type       = "user_defined_routing"
  private_dns_zone_id = var.consul_private_dns_zone_id

  storage_access              = "private_endpoint"
  storage_private_dns_zone_id = var.blob_private_dns_zone_id

  customer_managed_key       = var.customer_managed_key
  disk_encryption_set_id     = var.disk_encryption_set_id
  encryption_at_host_enabled = var.encryption_at_host_enabled
}

resource "hcs_snapshot_policy" "hourly" {
  cluster_id   = hcs_cluster.main.id
  interval     = "1h"
  retain_count = 24
}

output "firewall_rules" {
  description = "What the servers must reach, for the rules of the hub's firewall."
  value       = [for to in hcs_cluster.main.required_outbound : "${to.name}:${to.port}"]
}

output "consul_url" {
  value = hcs_cluster.main.consul_private_endpoint_url
}
