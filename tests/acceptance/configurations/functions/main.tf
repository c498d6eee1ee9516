# Beside the reference's examples of versions and zones.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

output "quorum" {
  value = provider::hcs::quorum(5)
}

output "parsed" {
  value = provider::hcs::parse_cluster_id("s/rg/demo").managed_resource_group_name
}
