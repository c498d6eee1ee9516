# Nothing is declared: terraform writes it.

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
  type = string
}

import {
  provider = hcs
  to       = hcs_cluster.main
  id       = var.cluster
}

import {
  provider = hcs
  to       = hcs_snapshot_policy.hourly
  id       = "${var.cluster}/snapshotPolicies/hourly"
}
