# As it stood for hashicorp/hcs, but for the source of the provider.

terraform {
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

data "hcs_plan_defaults" "default" {}

resource "hcs_cluster" "old" {
  resource_group_name      = "acceptance-rg"
  managed_application_name = "old"
  email                    = "platform@example.com"
  cluster_mode             = "Development"
  plan_name                = data.hcs_plan_defaults.default.plan_name
}

resource "hcs_snapshot" "before_upgrade" {
  resource_group_name      = "acceptance-rg"
  managed_application_name = "old"
  snapshot_name            = "before-upgrade"
}

resource "hcs_cluster_root_token" "admin" {
  resource_group_name      = "acceptance-rg"
  managed_application_name = "old"
}
