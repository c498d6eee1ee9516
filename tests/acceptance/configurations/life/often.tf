resource "hcs_snapshot_policy" "often" {
  cluster_id   = hcs_cluster.main.id
  name         = "often"
  interval     = "12h"
  retain_count = 1000
}
