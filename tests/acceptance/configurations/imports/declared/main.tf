# A cluster and its policy, in whatever shape the variables say.

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
  type = string
}

variable "consul_version" {
  type = string
}

variable "consul_archive" {
  type = string
}

variable "server_count" {
  type = number
}

variable "subnet_id" {
  description = "A network of somebody; null makes one."
  type        = string
  default     = null
}

variable "zone_subnet_ids" {
  description = "Subnets of zones there."
  type        = map(string)
  default     = null
}

resource "hcs_cluster" "main" {
  name                = "imported"
  resource_group_name = var.resource_group_name
  server_count        = var.server_count
  subnet_id           = var.subnet_id
  zone_subnet_ids     = var.zone_subnet_ids
  consul_version      = var.consul_version
  artifact_source     = { location = var.consul_archive }
  tags                = { team = "platform" }
}

resource "hcs_snapshot_policy" "hourly" {
  cluster_id = hcs_cluster.main.id
  name       = "hourly"
  interval   = "1h"
}
