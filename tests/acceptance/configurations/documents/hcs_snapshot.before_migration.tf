resource "hcs_snapshot" "before_migration" {
  cluster_id = hcs_cluster.main.id
  name       = "before-migration"
}
