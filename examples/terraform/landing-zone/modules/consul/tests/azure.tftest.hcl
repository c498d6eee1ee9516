# The same module in a subscription: `ARM_*` and TF_VAR_resource_group_name name an existing group. Costs a server for some
# minutes; it is destroyed at the end.

variables {
  name              = "tested"
  location          = "westeurope"
  vnet_cidr         = "10.9.0.0/24"
  server_count      = 1
  snapshot_interval = "1h"
}

run "is_known_before_anything_exists" {
  command = plan

  assert {
    condition     = output.connection.url == "https://consul.tested.hcs.internal:8501"
    error_message = "Other modules plan with the address before the cluster is there."
  }

  assert {
    condition     = output.connection.retry_join == tolist(["consul.tested.hcs.internal"])
    error_message = "Clients are planned with the name that they join."
  }
}

run "serves" {
  assert {
    condition     = hcs_cluster.this.state == "running" && length(hcs_cluster.this.servers) == 1
    error_message = "The cluster does not run: ${join("; ", hcs_cluster.this.drift)}"
  }

  assert {
    condition     = strcontains(base64decode(output.connection.ca_file), "BEGIN CERTIFICATE")
    error_message = "Clients get no CA."
  }
}
