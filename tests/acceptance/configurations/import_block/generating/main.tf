# There is no block yet: the import says whose the resource is, and terraform writes the block.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

variable "cluster" {
  type = string
}

import {
  provider = hcs
  to       = hcs_cluster.found
  id       = var.cluster
}
