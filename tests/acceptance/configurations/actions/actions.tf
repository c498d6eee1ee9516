# Beside `cluster`. Terraform 1.14 and newer.

variable "snapshot_id" {
  type    = string
  default = ""
}

variable "release" {
  type    = string
  default = "1"
}

action "hcs_snapshot" "now" {
  config {
    cluster_id    = hcs_cluster.main.id
    expires_after = "7d"
  }
}

action "hcs_snapshot_restore" "back" {
  config {
    cluster_id  = hcs_cluster.main.id
    snapshot_id = var.snapshot_id
  }
}

resource "terraform_data" "release" {
  input = var.release

  lifecycle {
    action_trigger {
      events  = [before_update]
      actions = [action.hcs_snapshot.now]
    }
  }
}
