# A group, a cluster in it and a policy, all of one run.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

variable "name" {
  type = string
}

variable "resource_group_name" {
  description = "Name of a group, known while planning; null takes that of the group that is made here."
  type        = string
  default     = null
}

variable "consul_version" {
  type = string
}

variable "consul_archive" {
  type = string
}

variable "group_url" {
  description = "Where the group is written."
  type        = string
}

variable "curl_config" {
  description = "File of options for curl, with the caller's token in a header."
  type        = string
}

variable "ca_file" {
  type = string
}

# Stands for any resource that makes the group.
resource "terraform_data" "group" {
  input = "new-rg"

  provisioner "local-exec" {
    command = "curl -fsS -K ${var.curl_config} --cacert ${var.ca_file} -X PUT -H 'Content-Type: application/json' -d '{\"location\":\"westeurope\"}' '${var.group_url}'"
  }
}

resource "hcs_cluster" "main" {
  name                = var.name
  resource_group_name = var.resource_group_name == null ? terraform_data.group.output : var.resource_group_name
  location            = "westeurope"
  server_count        = 1
  consul_version      = var.consul_version
  artifact_source     = { location = var.consul_archive }
}

resource "hcs_snapshot_policy" "hourly" {
  cluster_id = hcs_cluster.main.id
  interval   = "1h"
}
