# Takes over a cluster and its policy that exist already. The plan after the import is empty: the cluster itself
# remembers how it was declared.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

variable "cluster_id" {
  description = "ARM id of the cluster's managed resource group."
  type        = string
}

variable "name" {
  type = string
}

variable "resource_group_name" {
  type = string
}

import {
  to = hcs_cluster.main
  id = var.cluster_id
}

import {
  to = hcs_snapshot_policy.hourly
  id = "${var.cluster_id}/snapshotPolicies/default"
}

resource "hcs_cluster" "main" {
  name                = var.name
  resource_group_name = var.resource_group_name

  tags = {
    environment = "demo"
  }
}

resource "hcs_snapshot_policy" "hourly" {
  cluster_id   = hcs_cluster.main.id
  interval     = "1h"
  retain_count = 24
}
