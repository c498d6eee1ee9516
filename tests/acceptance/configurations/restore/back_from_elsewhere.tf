variable "snapshot_id" {
  description = "Id of a snapshot in another account."
  type        = string
}

resource "hcs_snapshot_restore" "back" {
  cluster_id  = hcs_cluster.main.id
  snapshot_id = var.snapshot_id
}
