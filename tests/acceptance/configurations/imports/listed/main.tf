# Nothing is declared, and nobody knows an id. Terraform 1.14 and newer.

terraform {
  required_version = ">= 1.14"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}
