# Beside `declared`: the words by which somebody knows the cluster.

variable "cluster" {
  type = string
}

import {
  to = hcs_cluster.main
  id = var.cluster
}

import {
  to = hcs_snapshot_policy.hourly
  id = "${var.cluster}/snapshotPolicies/hourly"
}
