# Whose cluster is imported. Whether there is a block yet, the import beside it says.

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
