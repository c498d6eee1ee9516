# One Consul cluster with its snapshots, behind an interface of names and ids.

terraform {
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

variable "name" {
  type = string
}

variable "resource_group_name" {
  type = string
}

variable "location" {
  type = string
}

variable "vnet_cidr" {
  type = string
}

variable "server_count" {
  type = number
}

variable "snapshot_interval" {
  type = string
}

variable "consul_version" {
  type    = string
  default = null
}

variable "consul_archive" {
  type    = string
  default = null
}

resource "hcs_cluster" "this" {
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  vnet_cidr           = var.vnet_cidr
  server_count        = var.server_count
  consul_version      = var.consul_version
  artifact_source     = var.consul_archive == null ? null : { location = var.consul_archive }

  tags = {
    service = "consul"
  }
}

resource "hcs_snapshot_policy" "this" {
  cluster_id   = hcs_cluster.this.id
  name         = "regular"
  interval     = var.snapshot_interval
  retain_count = 24
}

output "connection" {
  value = {
    cluster_id = hcs_cluster.this.id
    url        = hcs_cluster.this.consul_private_endpoint_url
    retry_join = hcs_cluster.this.retry_join
    vnet_id    = hcs_cluster.this.vnet_id
    ca_file    = hcs_cluster.this.consul_ca_file
  }
}
