# Beside `declared`. Terraform 1.12 and newer.

variable "cluster" {
  type = string
}

import {
  to       = hcs_cluster.main
  identity = { id = var.cluster }
}

import {
  to       = hcs_snapshot_policy.hourly
  identity = { id = "${var.cluster}/snapshotPolicies/hourly" }
}
