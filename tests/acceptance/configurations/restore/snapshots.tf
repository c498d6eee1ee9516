variable "expires_after" {
  type = string
}

resource "hcs_snapshot" "kept" {
  for_each = toset(["before-migration", "second"])

  cluster_id    = hcs_cluster.main.id
  name          = each.key
  expires_after = var.expires_after
}

data "hcs_snapshots" "asked_for" {
  cluster_id = hcs_cluster.main.id
  depends_on = [hcs_snapshot.kept]
}
