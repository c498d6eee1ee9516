data "hcs_agent_helm_config" "main" {
  cluster_id          = hcs_cluster.main.id
  kubernetes_endpoint = "https://aks.example:443"
}

output "values" {
  value = data.hcs_agent_helm_config.main.config
}
