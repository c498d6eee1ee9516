# One server of a platform team's image, in room that it reserved.

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

variable "source_image_id" {
  type = string
}

variable "capacity_reservation_group_id" {
  type = string
}

resource "hcs_cluster" "main" {
  name                          = "gallery"
  resource_group_name           = var.resource_group_name
  server_count                  = 1
  consul_version                = var.consul_version
  artifact_source               = { location = var.consul_archive }
  source_image_id               = var.source_image_id
  capacity_reservation_group_id = var.capacity_reservation_group_id
}

output "image_version" {
  value = hcs_cluster.main.image_version
}
