# The same for clusters of somebody else: found by a tag, and known by nothing but the list.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

data "hcs_clusters" "of_service" {
  tags = { service = "consul" }
}

data "hcs_cluster" "each" {
  for_each = { for cluster in data.hcs_clusters.of_service.clusters : cluster.name => cluster.id }

  id = each.value
}

module "azure" {
  source   = "../azure"
  for_each = data.hcs_cluster.each

  cluster = each.value
}
