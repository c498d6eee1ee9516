resource "hcs_cluster" "main" {
  name                = "main"
  resource_group_name = "platform-rg"
  server_count        = 3
}
