# In place of `cluster/main.tf`: the same cluster by another address, and nothing that says so.

resource "hcs_cluster" "renamed" {
  name                = var.name
  resource_group_name = var.resource_group_name
  server_count        = var.server_count
  vnet_cidr           = var.vnet_cidr
  consul_version      = var.consul_version
  artifact_source     = { location = var.consul_archive }
}
