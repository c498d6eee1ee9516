variable "interval" {
  type = string
}

variable "enabled" {
  type    = bool
  default = null
}

variable "on_delete" {
  type    = string
  default = null
}

resource "hcs_snapshot_policy" "often" {
  cluster_id   = hcs_cluster.main.id
  name         = "often"
  interval     = var.interval
  retain_count = 3
  enabled      = var.enabled
  on_delete    = var.on_delete
}
