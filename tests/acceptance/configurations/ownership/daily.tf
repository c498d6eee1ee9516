resource "hcs_snapshot_policy" "daily" {
  cluster_id = hcs_cluster.main.id
  interval   = "24h"
  on_delete  = "purge"
}
