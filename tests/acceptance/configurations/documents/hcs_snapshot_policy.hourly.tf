resource "hcs_snapshot_policy" "hourly" {
  cluster_id = hcs_cluster.main.id
  interval   = "1h"
}
