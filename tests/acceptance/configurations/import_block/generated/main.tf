# The block was written, and the import must not say any more whose it is.

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
  to = hcs_cluster.found
  id = var.cluster
}
