# Beside `main.tf`, in another folder than the lists.

variable "consul_version" {
  type = string
}

variable "consul_archive" {
  type = string
}

variable "resource_group_name" {
  type = string
}

resource "hcs_cluster" "each" {
  for_each = toset(["billing", "search"])

  name                = each.key
  resource_group_name = var.resource_group_name
  server_count        = 1
  consul_version      = var.consul_version
  artifact_source     = { location = var.consul_archive }
  tags                = { team = each.key }
}
