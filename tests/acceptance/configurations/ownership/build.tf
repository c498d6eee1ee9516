# One object of which the cluster is made, and others that are made of the cluster.

resource "terraform_data" "build" {
  input = "1"
}

resource "terraform_data" "server" {
  for_each = { for server in hcs_cluster.main.servers : server.name => server.zone }

  input = each.value
}
