# Consul on AKS (or any Kubernetes) with the servers of a cluster that exists: HashiCorp's chart installs no servers, and
# its workloads reach ours on 8501 and 8503. Secrets go to Kubernetes and stay out of plan and state.

terraform {
  required_version = ">= 1.10"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

variable "cluster_id" {
  description = "hcs_cluster.<name>.id of the cluster, with Consul 1.14 or newer, in a network that the nodes' is peered with."
  type        = string
}

variable "kubernetes_endpoint" {
  description = "Address of the Kubernetes API as the Consul servers reach it: they check logins of workloads there."
  type        = string
}

variable "namespace" {
  description = "Namespace of the chart."
  type        = string
  default     = "consul"
}

variable "kubectl" {
  description = "kubectl, with the context of the Kubernetes cluster."
  type        = string
  default     = "kubectl"
}

variable "helm" {
  description = "helm, with the same context."
  type        = string
  default     = "helm"
}

variable "chart" {
  description = "The chart: a folder, or a name with its repository added."
  type        = string
  default     = "hashicorp/consul"
}

data "hcs_cluster" "main" {
  id = var.cluster_id
}

data "hcs_agent_helm_config" "main" {
  cluster_id          = var.cluster_id
  kubernetes_endpoint = var.kubernetes_endpoint
}

ephemeral "hcs_cluster_root_token" "main" {
  cluster_id = var.cluster_id
}

# The chart makes its own tokens with this one, and roles by which its workloads log in.
resource "terraform_data" "secrets" {
  triggers_replace = [data.hcs_cluster.main.incarnation_id, var.namespace, var.kubernetes_endpoint]

  provisioner "local-exec" {
    command = <<-EOT
      set -eu
      ${var.kubectl} create namespace '${var.namespace}' --dry-run=client --output yaml | ${var.kubectl} apply --filename -
      printenv CONSUL_CA | base64 -d \
        | ${var.kubectl} create secret generic consul-ca-cert --namespace '${var.namespace}' --from-file=tls.crt=/dev/stdin --dry-run=client --output yaml \
        | ${var.kubectl} apply --filename -
      printenv CONSUL_TOKEN_SECRET | base64 -d | ${var.kubectl} apply --namespace '${var.namespace}' --filename -
    EOT
    environment = {
      CONSUL_CA           = data.hcs_cluster.main.consul_ca_file
      CONSUL_TOKEN_SECRET = ephemeral.hcs_cluster_root_token.main.kubernetes_secret
    }
  }
}

resource "terraform_data" "chart" {
  triggers_replace = [terraform_data.secrets.id, data.hcs_agent_helm_config.main.config, var.chart]

  provisioner "local-exec" {
    command = "printenv VALUES | ${var.helm} upgrade --install consul '${var.chart}' --namespace '${var.namespace}' --values -"
    environment = {
      VALUES = data.hcs_agent_helm_config.main.config
    }
  }
}

output "values" {
  description = "What the chart is told; nothing of it is secret."
  value       = data.hcs_agent_helm_config.main.config
}
