# Nothing is declared. Terraform 1.14 and newer.

terraform {
  required_version = ">= 1.14"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}
