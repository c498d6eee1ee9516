# A platform team's root module: the same module twice, each in a group that the landing zone owns.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {
  default_tags {
    tags = {
      managed-by = "platform"
    }
  }
}

variable "consul_version" {
  type    = string
  default = null
}

variable "consul_archive" {
  type    = string
  default = null
}

variable "clusters" {
  description = "Clusters by name: their group, region, network and size."
  type = map(object({
    resource_group_name = string
    location            = string
    vnet_cidr           = string
    server_count        = optional(number, 3)
    snapshot_interval   = optional(string, "1h")
  }))
}

module "consul" {
  source   = "./modules/consul"
  for_each = var.clusters

  name                = each.key
  resource_group_name = each.value.resource_group_name
  location            = each.value.location
  vnet_cidr           = each.value.vnet_cidr
  server_count        = each.value.server_count
  snapshot_interval   = each.value.snapshot_interval
  consul_version      = var.consul_version
  consul_archive      = var.consul_archive
}

output "consul" {
  description = "What an application team needs of each cluster; nothing of it is secret."
  value       = { for name, cluster in module.consul : name => cluster.connection }
}
