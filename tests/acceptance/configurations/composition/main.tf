# A cluster, and in the same run what a team makes of it for other providers.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

variable "resource_group_name" {
  type = string
}

variable "consul_version" {
  type = string
}

variable "consul_archive" {
  type = string
}

variable "with_helm_values" {
  description = "Whether this Consul is one for HashiCorp's chart: 1.14 or newer."
  type        = bool
}

resource "hcs_cluster" "main" {
  name                = "composed"
  resource_group_name = var.resource_group_name
  consul_version      = var.consul_version
  artifact_source     = { location = var.consul_archive }

  tags = {
    service = "consul"
  }
}

module "azure" {
  source  = "./azure"
  cluster = hcs_cluster.main
}

data "hcs_agent_helm_config" "main" {
  count = var.with_helm_values ? 1 : 0

  cluster_id          = hcs_cluster.main.id
  kubernetes_endpoint = "https://aks.example:443"
}

# helm_release
resource "terraform_data" "helm_release" {
  count = var.with_helm_values ? 1 : 0

  input = {
    name       = "consul"
    repository = "https://helm.releases.hashicorp.com"
    chart      = "consul"
    namespace  = "consul"
    values     = [data.hcs_agent_helm_config.main[0].config]
  }
}
