# Beside `snapshots.tf`.

variable "because" {
  type = string
}

resource "hcs_snapshot_restore" "back" {
  cluster_id  = hcs_cluster.main.id
  snapshot_id = hcs_snapshot.kept["before-migration"].id
  triggers    = { because = var.because }
}
