# A policy of which one thing or another is wrong.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

variable "interval" {
  type    = string
  default = null
}

variable "cron" {
  type    = string
  default = null
}

variable "time_zone" {
  type    = string
  default = null
}

variable "retain_count" {
  type    = number
  default = null
}

variable "retain_daily" {
  type    = number
  default = null
}

variable "stale_after" {
  type    = string
  default = null
}

resource "hcs_snapshot_policy" "bad" {
  cluster_id   = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/x"
  interval     = var.interval
  cron         = var.cron
  time_zone    = var.time_zone
  retain_count = var.retain_count
  retain_daily = var.retain_daily
  stale_after  = var.stale_after
}
