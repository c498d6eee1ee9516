# What the module makes of its inputs, with nobody's credentials and in a second.

mock_provider "hcs" {
  mock_resource "hcs_cluster" {
    defaults = {
      id                          = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-billing-mrg-billing"
      consul_private_endpoint_url = "https://consul.billing.hcs.internal:8501"
      retry_join                  = ["consul.billing.hcs.internal"]
    }
  }
}

variables {
  name                = "billing"
  resource_group_name = "rg-billing"
  location            = "westeurope"
  vnet_cidr           = "10.1.0.0/24"
  server_count        = 3
  snapshot_interval   = "1h"
}

run "declares_what_it_is_given" {
  command = plan

  assert {
    condition     = hcs_cluster.this.server_count == 3 && hcs_cluster.this.vnet_cidr == "10.1.0.0/24"
    error_message = "The cluster is not the one that was asked for."
  }

  assert {
    condition     = hcs_cluster.this.tags["service"] == "consul"
    error_message = "Whoever pays looks for this tag."
  }

  assert {
    condition     = hcs_snapshot_policy.this.interval == "1h" && hcs_snapshot_policy.this.retain_count == 24
    error_message = "A day of snapshots is kept, whatever else."
  }
}

run "hands_on_what_applications_need" {
  assert {
    condition     = output.connection.url == "https://consul.billing.hcs.internal:8501"
    error_message = "Applications call the private endpoint."
  }

  assert {
    condition     = hcs_snapshot_policy.this.cluster_id == output.connection.cluster_id
    error_message = "The snapshots are those of this cluster."
  }
}

run "takes_an_archive_where_the_releases_cannot_be_reached" {
  command = plan

  variables {
    consul_archive = "/srv/consul"
  }

  assert {
    condition     = hcs_cluster.this.artifact_source.location == "/srv/consul"
    error_message = "The archive is not taken."
  }
}
