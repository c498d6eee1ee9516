resource "hcs_snapshot_restore" "back" {
  cluster_id  = hcs_cluster.main.id
  snapshot_id = hcs_snapshot.before_migration.id
}
