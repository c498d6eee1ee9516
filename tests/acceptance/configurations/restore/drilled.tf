variable "storage_container_id" {
  type = string
}

resource "hcs_snapshot_policy" "drilled" {
  cluster_id           = hcs_cluster.main.id
  name                 = "drilled"
  interval             = "1h"
  drill_interval       = "12h"
  storage_container_id = var.storage_container_id
}
