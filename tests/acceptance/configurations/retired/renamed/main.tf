# What the configuration of hashicorp/hcs becomes, under other addresses.

terraform {
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

variable "consul_version" {
  type = string
}

variable "consul_archive" {
  type = string
}

variable "resource_group_name" {
  type = string
}

data "hcs_consul_versions" "default" {}

resource "hcs_cluster" "main" {
  name                = "old"
  resource_group_name = var.resource_group_name
  server_count        = 1
  consul_version      = var.consul_version
  artifact_source     = { location = var.consul_archive }
  tags                = { team = "platform" }
}

resource "hcs_snapshot" "before_migration" {
  cluster_id    = hcs_cluster.main.id
  name          = "before-upgrade"
  expires_after = "30d"
}

output "consul_url" {
  value = hcs_cluster.main.consul_private_endpoint_url
}
