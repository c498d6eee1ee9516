# What a module author makes of a cluster, whether the resource or the data source. azurerm is not at hand where this runs, so
# each terraform_data has the arguments of the resource that stands above it, with its blocks as lists. Keys of for_each come
# from the cluster alone: they have to be known before it exists.

variable "cluster" {
  description = "hcs_cluster: these of its attributes are used."
  type = object({
    id                                 = string
    name                               = string
    storage_account_name               = string
    storage_account_id                 = string
    load_balancer_id                   = string
    network_security_group_id          = string
    vnet_id                            = string
    consul_private_endpoint_ip_address = string
    servers = list(object({
      name       = string
      slot       = number
      private_ip = string
      vmss_id    = string
    }))
    required_outbound = list(object({
      name = string
      port = number
    }))
    required_role_assignments = list(object({
      scope                = string
      role_definition_name = string
      principal_id         = string
      condition            = string
      condition_version    = string
    }))
  })
}

variable "hub_resource_group_name" {
  type    = string
  default = "hub-rg"
}

variable "zone_name" {
  type    = string
  default = "corp.example"
}

variable "clients_cidr" {
  type    = string
  default = "10.20.0.0/24"
}

variable "planner_principal_id" {
  description = "Object id of a pipeline that only plans."
  type        = string
  default     = "44444444-4444-4444-8444-444444444444"
}

variable "workspace_id" {
  type    = string
  default = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/hub-rg/providers/Microsoft.OperationalInsights/workspaces/logs"
}

variable "action_group_id" {
  type    = string
  default = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/hub-rg/providers/Microsoft.Insights/actionGroups/oncall"
}

locals {
  addresses = var.cluster.servers[*].private_ip

  records = merge(
    { consul = local.addresses },
    { for server in var.cluster.servers : "server-${server.slot}" => [server.private_ip] },
  )

  # Ports of docs/guides/network.md; no attribute has them.
  rules = {
    consul-rpc    = { priority = 200, protocol = "Tcp", port = "8300", to = local.addresses }
    consul-gossip = { priority = 210, protocol = "*", port = "8301", to = local.addresses }
    consul-grpc   = { priority = 220, protocol = "Tcp", port = "8503", to = local.addresses }
    consul-https = {
      priority = 230
      protocol = "Tcp"
      port     = "8501"
      to       = concat(local.addresses, [var.cluster.consul_private_endpoint_ip_address])
    }
  }

  # What whoever only plans has to read: docs/guides/rights.md.
  containers = concat(
    ["config", "certificates", "decisions", "snapshots"],
    [for server in var.cluster.servers : "status-${server.slot}"],
  )

  alerts = merge(
    {
      for server in var.cluster.servers : server.name => {
        scope       = server.vmss_id
        namespace   = "Microsoft.Compute/virtualMachineScaleSets"
        metric_name = "Percentage CPU"
        operator    = "GreaterThan"
        threshold   = 80
      }
    },
    {
      balancer = {
        scope       = var.cluster.load_balancer_id
        namespace   = "Microsoft.Network/loadBalancers"
        metric_name = "DipAvailability"
        operator    = "LessThan"
        threshold   = 60
      }
      account = {
        scope       = var.cluster.storage_account_id
        namespace   = "Microsoft.Storage/storageAccounts"
        metric_name = "Availability"
        operator    = "LessThan"
        threshold   = 99
      }
    },
  )
}

# azurerm_private_dns_a_record
resource "terraform_data" "private_dns_a_record" {
  for_each = local.records

  input = {
    name                = "${each.key}.${var.cluster.name}"
    zone_name           = var.zone_name
    resource_group_name = var.hub_resource_group_name
    ttl                 = 30
    records             = each.value
  }
}

# azurerm_network_security_rule
resource "terraform_data" "network_security_rule" {
  for_each = local.rules

  input = {
    name                         = "${var.cluster.name}-${each.key}"
    priority                     = each.value.priority
    direction                    = "Outbound"
    access                       = "Allow"
    protocol                     = each.value.protocol
    source_port_range            = "*"
    source_address_prefix        = var.clients_cidr
    destination_port_range       = each.value.port
    destination_address_prefixes = each.value.to
    resource_group_name          = var.hub_resource_group_name
    network_security_group_name  = "clients"
  }
}

# azurerm_firewall_application_rule_collection
resource "terraform_data" "firewall_application_rule_collection" {
  for_each = { for to in var.cluster.required_outbound : "${to.name}:${to.port}" => to }

  input = {
    name                = "${var.cluster.name}-${replace(each.value.name, ".", "-")}"
    azure_firewall_name = "hub"
    resource_group_name = var.hub_resource_group_name
    priority            = 300
    action              = "Allow"
    rule = [{
      name             = each.value.name
      source_addresses = local.addresses
      target_fqdns     = [each.value.name]
      protocol         = [{ port = each.value.port, type = "Https" }]
    }]
  }
}

# azurerm_role_assignment: the group
resource "terraform_data" "role_assignment_of_group" {
  input = {
    scope                = var.cluster.id
    role_definition_name = "Reader"
    principal_id         = var.planner_principal_id
  }
}

# azurerm_role_assignment: containers
resource "terraform_data" "role_assignment_of_container" {
  for_each = toset(local.containers)

  input = {
    scope                = "${var.cluster.storage_account_id}/blobServices/default/containers/${each.key}"
    role_definition_name = "Storage Blob Data Reader"
    principal_id         = var.planner_principal_id
  }
}

# azurerm_role_assignment: what the servers need, where somebody else assigns it. None has a name of its own to be a key.
resource "terraform_data" "role_assignment_of_server" {
  for_each = { for at, role in var.cluster.required_role_assignments : at => role }

  input = {
    scope                = each.value.scope
    role_definition_name = each.value.role_definition_name
    principal_id         = each.value.principal_id
    condition            = each.value.condition
    condition_version    = each.value.condition_version
  }
}

# azurerm_monitor_metric_alert
resource "terraform_data" "monitor_metric_alert" {
  for_each = local.alerts

  input = {
    name                = "${var.cluster.name}-${each.key}"
    resource_group_name = var.hub_resource_group_name
    scopes              = [each.value.scope]
    severity            = 2
    frequency           = "PT1M"
    window_size         = "PT5M"
    criteria = [{
      metric_namespace = each.value.namespace
      metric_name      = each.value.metric_name
      aggregation      = "Average"
      operator         = each.value.operator
      threshold        = each.value.threshold
    }]
    action = [{ action_group_id = var.action_group_id }]
  }
}

# azurerm_monitor_diagnostic_setting
resource "terraform_data" "monitor_diagnostic_setting" {
  for_each = {
    blobs    = "${var.cluster.storage_account_id}/blobServices/default"
    balancer = var.cluster.load_balancer_id
    rules    = var.cluster.network_security_group_id
    network  = var.cluster.vnet_id
  }

  input = {
    name                       = "hcs"
    scope                      = each.value
    target_resource_id         = each.value
    log_analytics_workspace_id = var.workspace_id
    enabled_metric             = [{ category = "AllMetrics" }]
  }
}
