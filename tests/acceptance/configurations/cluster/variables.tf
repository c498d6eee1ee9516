variable "name" {
  type = string
}

variable "resource_group_name" {
  type = string
}

variable "default_tags" {
  description = "The provider's; all others are attributes of the cluster."
  type        = map(string)
  default     = null
}

variable "location" {
  type    = string
  default = null
}

variable "server_count" {
  type    = number
  default = null
}

variable "deletion_protection" {
  type    = bool
  default = null
}

variable "lock" {
  type    = object({ kind = string })
  default = null
}

variable "tags" {
  type    = map(string)
  default = null
}

variable "zones" {
  type    = list(string)
  default = null
}

variable "zone_fallback" {
  type    = string
  default = null
}

variable "vm_size" {
  type    = string
  default = null
}

variable "vm_size_fallbacks" {
  type    = list(string)
  default = null
}

variable "data_disk_gib" {
  type    = number
  default = null
}

variable "vnet_cidr" {
  type    = string
  default = null
}

variable "subnet_id" {
  type    = string
  default = null
}

variable "peer_vnet_ids" {
  type    = list(string)
  default = null
}

variable "consul_external_endpoint" {
  type    = bool
  default = null
}

variable "consul_external_endpoint_allowed_cidrs" {
  type    = list(string)
  default = null
}

variable "consul_version" {
  type    = string
  default = null
}

variable "consul_archive" {
  description = "Folder, file or URL of Consul's archive; null takes HashiCorp's releases."
  type        = string
  default     = null
}

variable "consul_datacenter" {
  type    = string
  default = null
}

variable "consul_upgrade_channel" {
  type    = string
  default = null
}

variable "consul_release_index" {
  type    = string
  default = null
}

variable "maintenance_windows" {
  type = list(object({
    days     = optional(list(string))
    start    = string
    duration = string
  }))
  default = null
}

variable "rotation_triggers" {
  type = object({
    gossip_key            = optional(string)
    agent_tokens          = optional(string)
    management_token      = optional(string)
    client_token          = optional(string)
    certificate_authority = optional(string)
  })
  default = null
}

variable "restore_from_snapshot_id" {
  type    = string
  default = null
}

variable "final_snapshot_storage_container_id" {
  type    = string
  default = null
}

variable "skip_final_snapshot" {
  type    = bool
  default = null
}
