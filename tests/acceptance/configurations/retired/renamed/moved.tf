moved {
  from = hcs_cluster.old
  to   = hcs_cluster.main
}

moved {
  from = hcs_snapshot.before_upgrade
  to   = hcs_snapshot.before_migration
}
