# Beside `cluster`: what a user would put into a vault, in files of the folder `handed`. A provisioner may use ephemeral
# values.

ephemeral "hcs_cluster_client_config" "main" {
  cluster_id = hcs_cluster.main.id
}

ephemeral "hcs_cluster_root_token" "main" {
  cluster_id = hcs_cluster.main.id
}

resource "terraform_data" "hand_out" {
  provisioner "local-exec" {
    command = "umask 077; mkdir -p handed; for name in config ca token root; do printenv \"HANDED_$name\" > \"handed/$name\"; done"
    environment = {
      HANDED_config = ephemeral.hcs_cluster_client_config.main.consul_config_file
      HANDED_ca     = ephemeral.hcs_cluster_client_config.main.consul_ca_file
      HANDED_token  = ephemeral.hcs_cluster_client_config.main.client_token
      HANDED_root   = ephemeral.hcs_cluster_root_token.main.secret_id
    }
  }
}
