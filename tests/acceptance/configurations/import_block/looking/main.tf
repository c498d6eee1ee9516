# One cluster, looked for in both ways.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

variable "cluster" {
  description = "Its id."
  type        = string
}

variable "name" {
  type = string
}

variable "resource_group_name" {
  type = string
}

data "hcs_cluster" "by_id" {
  id = var.cluster
}

data "hcs_cluster" "by_name" {
  name                = var.name
  resource_group_name = var.resource_group_name
}

output "same" {
  value = data.hcs_cluster.by_id.vnet_id == data.hcs_cluster.by_name.vnet_id
}

output "servers" {
  value = length(data.hcs_cluster.by_name.servers)
}
